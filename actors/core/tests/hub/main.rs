//! The hub room, event by event: what it records, whom it tells what, and nothing else.

mod attempts;
mod clients;
mod confirmations;
mod engines;
mod functions;
mod harness;
mod queries;
mod rooms;
mod submits;
mod tries;
mod watches;
