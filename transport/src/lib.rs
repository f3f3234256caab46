//! How Phalanx messages travel: QUIC with mutual TLS 1.3, and a twin of it in memory.
//!
//! ```text
//!  Connector ── handshake ──┐                    ┌── handshake ── HubEndpoint
//!      │                    └── TLS, Hello ──────┘                    │
//!      └──> Session<Out, In>  <── lanes, payload streams ──>  Session<In, Out> ──> Arrival
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`identity`] | cluster authority, credentials by role, private files |
//! | [`settings`] | every number of the transport, with its reason |
//! | [`accept`] | the hub's end: [`HubEndpoint`], [`Arrival`] |
//! | [`audit`] | who was admitted and who refused: [`Audit`], [`LogAudit`] |
//! | [`connect`] | a peer's end: [`Connector`], [`ConnectError`] |
//! | [`session`] | [`Session`]: send queue, batches, payloads, close reasons |
//! | [`segments`] | long payloads in shared memory, between processes of one host |
//! | [`memory`] | the same sessions without a network, with seeded faults |
//! | [`reconnect`] | when to try again |
//! | [`conversation`] | which messages each role exchanges with the hub |
//!
//! Inside: `handshake` (greeting), `build` (who understands whom), `admission` (who gets one), `wire` (what a session needs from
//! its carrier), `quic` (that over quinn), `sources` (which of its streams has something), `endpoint` and `socket`
//! (UDP).
//!
//! This crate moves messages and knows who sent them. It does not know what they mean, it does
//! not resend, and it does not reconnect by itself. quinn and rustls are named nowhere else.
#![warn(missing_docs)]

pub mod accept;
mod admission;
pub mod audit;
mod build;
pub mod connect;
pub mod conversation;
mod endpoint;
mod handshake;
pub mod identity;
pub mod memory;
mod quic;
pub mod reconnect;
pub mod segments;
pub mod session;
pub mod settings;
mod socket;
mod sources;
mod tls_failure;
mod wire;

pub use phalanx_protocol as protocol;

pub use crate::accept::HubEndpoint;
pub use crate::audit::{Audit, LogAudit, RefusalKind, RefusedPeer};
pub use crate::build::{Build, Mismatch};
pub use crate::connect::{ConnectError, Connector};
pub use crate::conversation::{Arrival, Conversation, HubSession, PeerSession};
pub use crate::endpoint::EndpointError;
pub use crate::session::{
    CloseReason, Incoming, PeerInfo, SendError, Session, SessionReceiver, SessionSender,
};
pub use crate::settings::Settings;
pub use crate::tls_failure::TlsFailure;
