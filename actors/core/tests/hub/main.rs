//! The hub room, event by event: what it records, whom it tells what, and nothing else.

mod ahead;
mod attempts;
mod clients;
mod coalesced;
mod confirmations;
mod engines;
mod explain;
mod fault_points;
mod functions;
mod give_back;
mod graphs;
mod harness;
mod inputs;
mod kills;
mod queries;
mod rooms;
mod submits;
mod tries;
mod watches;
