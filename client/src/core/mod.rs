//! The client's side of its conversation with the hub, as a pure state machine.
//!
//! The driver of this crate runs it on real sessions, the simulator in virtual time; nobody else
//! needs it. It reads no clock, does no I/O, and never blocks: what is to be done comes back as
//! [`Effect`]s, in order. It does not know how results are awaited: each task carries a key of
//! its caller's choice that comes back, once, with [`Effect::Ended`].
//!
//! ```text
//!  caller --submit--> [queued] --grant--> [sent] --Accepted--> [recorded] --Delivery--> ended
//!                        ^                   |
//!                        +---- cut ----------+      (Opened.next_seq says what to send again)
//! ```
//!
//! | module | its fact |
//! |---|---|
//! | `submits` | which tasks were named, sent, recorded, and how far the grant reaches |
//! | `functions` | which functions the hub has, and which are kept to be sent again |
//! | `deliveries` | which outcomes and payloads of this session arrived, and were confirmed |
//! | `questions` | what was asked and not answered |
//! | `watches` | whose outcomes are wanted beside those of open tasks |
//! | `room` | who the client is, which tasks are open, which engines there are; `wishes` is what callers may want of it |

mod deliveries;
mod functions;
mod graph;
mod questions;
mod room;
mod submits;
mod task;
#[cfg(test)]
mod tests;
mod watches;
mod wishes;

use std::sync::Arc;

use bytes::Bytes;
use phalanx_transport::protocol::client::{ClientToHub, HubToClient};
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::explain::Explanation;
use phalanx_transport::protocol::ids::{ClientId, Epoch, RequestId, TaskId, Ticket};
use phalanx_transport::protocol::limits::{REQUESTS_OPEN_MAX, WATCHES_PER_CLIENT_MAX};
use phalanx_transport::protocol::outcome::Delivery;
use phalanx_transport::protocol::output::Output;
use phalanx_transport::protocol::peer::ClusterStatus;
use phalanx_transport::protocol::query::{Cursor, TaskRecord};
use phalanx_transport::protocol::role::Role;

pub use self::graph::node;
pub use self::room::ClientRoom;
pub use self::task::{NewTask, SubmitError};

/// Room for tasks that is kept once none is left; after greater bursts it is given back.
const BURST_KEPT_MAX: usize = 16_384;

/// What can happen to a client. A session's events come between its `SessionUp` and its
/// `SessionDown`; those of an older session must not come after that.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// There is a session. It answers with [`ClientToHub::Open`].
    SessionUp,
    /// The hub said something.
    Message(HubToClient),
    /// A payload that a delivery names by its ticket arrived, before or after that delivery.
    Payload {
        /// Which one.
        ticket: Ticket,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The session is over; there may be another.
    SessionDown,
    /// There will be no other session: whatever is open ends.
    GaveUp(Arc<str>),
}

/// What a client wants done, in order.
#[derive(Debug, PartialEq)]
pub enum Effect<K> {
    /// Send this over the session.
    Send(ClientToHub),
    /// The hub broke the protocol: end the session. [`Event::SessionDown`] is expected next.
    CloseSession(ErrorCode, &'static str),
    /// The client has a name and may submit from now on; comes with each session.
    Opened {
        /// The name. Another one than before: the open tasks have ended as forgotten.
        client: ClientId,
        /// By which ledger.
        epoch: Epoch,
    },
    /// A task ended; said once per task.
    Ended {
        /// Whose it is.
        key: K,
        /// Which one.
        task: TaskId,
        /// How.
        end: End,
    },
    /// An open task writes something while it runs; [`ClientRoom::key`] says whose it is. May be
    /// left out.
    Output(Output),
    /// A question was answered; said once per question.
    Answered(RequestId, Result<Answer, RequestError>),
    /// The set of engines changed.
    EnginesChanged,
    /// The queue before the grant is below half of its limits again, after it was at one.
    RoomInQueue,
    /// Everything that was submitted is recorded, and the hub was told goodbye: close the session.
    Left,
}

/// How a task ended, as far as the client is concerned.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// The hub said how; the payload is inline.
    Delivered(Box<Delivery>),
    /// The hub's ledger is another one now, and does not know the task.
    Forgotten(Epoch),
    /// The client gave up on the hub.
    Disconnected(Arc<str>),
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To a ping or a shutdown.
    Done,
    /// To a request for the cluster's status.
    Status(Box<ClusterStatus>),
    /// To a request for records: some, and where the others begin.
    Records(Vec<TaskRecord>, Option<Cursor>),
    /// To the question why a task is where it is.
    Explanation(Box<Explanation>),
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The hub said no.
    #[error("the hub refused: {detail}")]
    Refused {
        /// Why, as a number.
        code: Option<ErrorCode>,
        /// Why, in words.
        detail: String,
    },
    /// There is no session, or it was cut before the answer came.
    #[error("no session with the hub; ask again when it is back")]
    Disconnected,
    /// Too many questions are open.
    #[error("{REQUESTS_OPEN_MAX} requests are open already; wait for some answers")]
    TooMany,
    /// Too many outcomes are waited for.
    #[error(
        "more than {WATCHES_PER_CLIENT_MAX} outcomes of tasks by name are waited for; wait for some"
    )]
    TooManyWatched,
    /// This role may not ask it.
    #[error("a {0} may not ask for results; connect with a client's connection file")]
    WrongRole(Role),
}
