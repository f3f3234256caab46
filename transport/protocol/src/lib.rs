//! What Phalanx peers say to each other.
//!
//! This crate is data and its encoding, nothing else: no sockets, no clocks, no state.
//!
//! | module | what lives there |
//! |---|---|
//! | [`ids`] | names of clients, tasks, attempts, engines, generations |
//! | [`role`] | who a peer is, by its certificate |
//! | [`method`] | a typed handler's wire name, shared by who calls and who answers |
//! | [`task`] | a task as it travels: spec, target, dependencies, options |
//! | [`outcome`] | how a task or an attempt ended |
//! | [`function`] | functions that are sent once for each session |
//! | [`output`] | what a task writes while it runs |
//! | [`payload`] | opaque bytes: inline, or a ticket for a payload stream |
//! | [`query`] | what clients may ask of the hub's records |
//! | [`peer`] | what peers tell of themselves: engine profile, inventory, status |
//! | [`room`] | what the hub and its scheduling rooms tell each other |
//! | [`client`], [`engine`], [`host`], [`scheduling`], [`handshake`] | the conversations, one enum per direction |
//! | [`codec`] | frames and the [`codec::Message`] trait |
//! | [`error`] | stable error codes |
//! | [`limits`] | every limit, with its reason |
//! | [`value`] | MessagePack value rules for calls between languages |
//!
//! `PROTOCOL.md` at the root of the repository describes the same for people; a test keeps the
//! numbers of both equal.
#![warn(missing_docs)]

pub mod bundle;
pub mod client;
pub mod codec;
pub mod engine;
pub mod error;
pub mod explain;
pub mod function;
pub mod handshake;
pub mod host;
pub mod ids;
pub mod limits;
mod list;
mod macros;
pub mod method;
pub mod needs;
pub mod outcome;
pub mod output;
pub mod payload;
pub mod peer;
pub mod pieces;
pub mod query;
pub mod role;
pub mod room;
pub mod scheduling;
pub mod task;
pub mod value;
