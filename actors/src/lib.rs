//! Who does it in Phalanx: thin actix rooms round the core, executors, supervision.
//!
//! ```text
//! session task ──batch──> hub shell ──orders──> dag shell, scheduler shell
//!       ▲                  │     ▲                       │
//!       └── SessionSender ─┘     └───── statements ──────┘
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`hub_process`] | a hub, whole: start, stop, join |
//! | [`engine`] | an engine, whole: builder, run, spawn |
//! | [`executor`] | what an engine's slots run: typed handlers, or nothing |
//! | [`scheduling_process`] | dag and scheduler in a process of their own |
//! | [`peer`] | wire messages <-> events and effects, one to one |
//! | [`link`] | a peer's session with its hub, opened again when it is lost |
//! | [`supervise`] | the rooms' actors, and what follows from their death |
//! | [`rt`] | the one module that touches actix |
//!
//! Inside: `hub` and `room` (the shells), `dag` and `scheduler` (which rooms there are),
//! `sessions` (the hub's sessions), `busy_poll` (when the hub looks for mail instead of sleeping),
//! `task_span` (one id through all logs).
//!
//! Invariants: no shell decides anything about a task; no handler awaits; nothing here blocks but
//! the threads of blocking handlers; actix is named in [`rt`] alone.
#![warn(missing_docs)]

mod busy_poll;
mod dag;
pub mod engine;
pub mod executor;
mod hub;
pub mod hub_process;
pub mod link;
pub mod peer;
mod room;
pub mod rt;
mod scheduler;
pub mod scheduling_process;
mod sessions;
pub mod supervise;
mod task_span;

pub use crate::engine::{Engine, EngineBuilder, EngineEnd, EngineError, EngineHandle};
pub use crate::executor::{CancelToken, NotHere, OutputSink, OutputStream, TaskContext};
pub use crate::hub::Scheduling;
pub use crate::hub_process::{Hub, HubCommand, HubEnd, HubError, HubHandle, HubOptions};
pub use crate::sessions::SessionEntry;
