//! The engine room: one engine's slots, queue and unconfirmed reports.
//!
//! Its fact: which attempts it holds and in which state. It runs inside the engine process; an
//! executor runs what it starts. It knows nothing of other engines or of dependencies.
//!
//! | sub-state | its fact |
//! |---|---|
//! | `queue` | what waits, in which order, and what of it may start |
//! | `running` | what runs, and whether the hub knows |
//! | `written` | what a running attempt has written |
//! | `reports` | what the hub has not confirmed |
//! | `marks` | the last direct task of each client |
//! | `arrivals` | payloads without assignment |
//! | `functions` | the functions that this session's assignments may name |
//! | `give_back` | what of the queue the hub may have again |
//! | `gates` | what of it waits for what else is here |
//! | `recent` | attempts aborted before they came, attempts confirmed, and attempts given back |

mod arrivals;
mod functions;
mod gates;
mod give_back;
mod marks;
mod queue;
mod recent;
mod reports;
mod room;
mod running;
mod session;
#[cfg(test)]
mod tests;
mod written;

use bytes::Bytes;
use phalanx_protocol::function::{Define, Function};
use phalanx_protocol::ids::{AttemptId, Ticket};
use phalanx_protocol::outcome::{AttemptOutcome, Report, RunTimes};
use phalanx_protocol::output::{Output, OutputChunk};
use phalanx_protocol::payload::Payload;
use phalanx_protocol::peer::{EngineProfile, Inventory, Registration};
use phalanx_protocol::task::{Assignment, MethodName};

pub use self::room::EngineRoom;

/// What can happen to an engine. There is one session at a time: what a session brought ends with
/// [`EngineEvent::SessionClosed`].
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// There is a session with the hub.
    SessionOpened,
    /// It is gone; payloads that were on their way with it will not come.
    SessionClosed,
    /// The hub took the engine in.
    Registered {
        /// As whom.
        registration: Registration,
        /// Attempts that are no longer wanted.
        drop: Vec<AttemptId>,
    },
    /// The hub gives a function that later assignments of this session name.
    Defined(Define),
    /// The hub wants this run. Again, perhaps: one that is known is left as it is.
    Assigned(Assignment),
    /// A payload that an assignment named by its ticket; may come before the assignment.
    PayloadArrived(Ticket, Bytes),
    /// The hub has recorded all reports below this number.
    Confirmed(u64),
    /// The hub wants these ended.
    AbortRequested(Vec<AttemptId>),
    /// The hub could have another engine start this now.
    AskedBack(AttemptId),
    /// The executor answers to [`EngineEffect::Withdraw`]: whether it has the attempt no longer, and
    /// never began it.
    Withdrew(AttemptId, bool),
    /// The hub, or the process's owner, wants the engine to end.
    EndRequested(String),
    /// A running attempt wrote something.
    Wrote {
        /// Which one.
        attempt: AttemptId,
        /// What, in the order written.
        chunks: Vec<OutputChunk>,
        /// Bytes that it wrote after these and that the executor could not hold.
        lost: u64,
    },
    /// The executor is through with an attempt.
    Ran {
        /// Which one.
        attempt: AttemptId,
        /// How it ended.
        outcome: AttemptOutcome,
        /// When it ran.
        times: RunTimes,
        /// What it returned, inline; the session decides whether it takes a stream of its own.
        payload: Payload,
    },
}

/// What an engine wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEffect {
    /// Tell the hub who this is and what it has.
    Register(Box<EngineProfile>, Box<Inventory>),
    /// Run this attempt; answer with [`EngineEvent::Ran`].
    Start {
        /// Which one.
        attempt: AttemptId,
        /// What to call.
        method: MethodName,
        /// With what; inline.
        payload: Payload,
        /// The function that goes with it.
        function: Option<Function>,
    },
    /// Interrupt this running attempt if it still runs; it still answers with
    /// [`EngineEvent::Ran`].
    Interrupt(AttemptId),
    /// If this attempt is kept by the executor until a slot is free, have it forgotten there: it
    /// answers with [`EngineEvent::Withdrew`], in either case.
    Withdraw(AttemptId),
    /// Tell the hub that this attempt has been running for [`phalanx_protocol::limits::STARTED_AFTER`].
    Started(AttemptId),
    /// Tell the hub what a running attempt writes; may be left out.
    Output(Output),
    /// Tell the hub how an attempt ended.
    Report(Report),
    /// Tell the hub what became of an attempt that it asked for, or that waits for what will not be
    /// done here.
    GaveBack {
        /// Which one.
        attempt: AttemptId,
        /// Whether the engine has it no longer, and never started it.
        given: bool,
    },
    /// Close the session and connect anew: the hub broke the rules.
    Reconnect,
    /// Say goodbye and end the engine.
    End(String),
}
