//! What can go wrong for a caller: submitting, awaiting, asking, connecting.
//!
//! Outcomes are data everywhere else; here they become errors, each naming its task.

use std::sync::Arc;
use std::time::Duration;

use phalanx_transport::CloseReason;
use phalanx_transport::protocol::ids::{Epoch, TaskId};
use phalanx_transport::protocol::limits::HANDSHAKE_DEADLINE;
use phalanx_transport::protocol::outcome::{
    DependencyFailure, Loss, Outcome, Rejection, RemoteError,
};
use phalanx_transport::protocol::payload::Format;
use phalanx_transport::protocol::task::MethodNameError;

pub use crate::core::{RequestError, SubmitError};

/// Why a task has no result.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// Its code raised.
    #[error("task {task} failed: {error}")]
    Remote {
        /// Which task.
        task: TaskId,
        /// What it raised, with its traceback.
        error: Box<RemoteError>,
    },
    /// A user asked for it to end.
    #[error("task {task} was aborted")]
    Aborted {
        /// Which task.
        task: TaskId,
    },
    /// Its engine died, and it was direct.
    #[error("task {task} is lost with its {loss}")]
    EngineLost {
        /// Which task.
        task: TaskId,
        /// Which engine, and why.
        loss: Box<Loss>,
    },
    /// Engines died under it until its crash budget was used up.
    #[error("task {task} is poison: engines died under it ({})", list(.losses))]
    Poison {
        /// Which task.
        task: TaskId,
        /// Which engines, and why.
        losses: Vec<Loss>,
    },
    /// Its dependencies can never be met.
    #[error("task {task} can never run: {failure}")]
    DependencyFailed {
        /// Which task.
        task: TaskId,
        /// Because of whom.
        failure: Box<DependencyFailure>,
    },
    /// Its dependencies were not met in time.
    #[error("task {task} has not run: its dependencies were not met in time")]
    DependencyTimeout {
        /// Which task.
        task: TaskId,
    },
    /// The hub did not take it.
    #[error("task {task} was rejected: {}", .rejection.detail)]
    Rejected {
        /// Which task.
        task: TaskId,
        /// Why.
        rejection: Box<Rejection>,
    },
    /// The hub has no record of it: it was restarted, or the client was gone for too long.
    #[error(
        "task {task} is not on record any more: the hub's ledger is {epoch} now; \
         submit it again if it may run twice"
    )]
    HubForgot {
        /// Which task.
        task: TaskId,
        /// The ledger that does not know it.
        epoch: Epoch,
    },
    /// The client was closed, or gave up on the hub.
    #[error("task {task} has no outcome: {cause}; it may have run")]
    Disconnected {
        /// Which task.
        task: TaskId,
        /// Why there is no session.
        cause: Arc<str>,
    },
    /// What it returned is not what the caller expects.
    #[error("task {task} returned something else than expected: {error}")]
    Decode {
        /// Which task.
        task: TaskId,
        /// In which way.
        #[source]
        error: DecodeError,
    },
    /// It did not end as long as the caller wanted to wait. It goes on, and can be awaited again.
    #[error("task {task} has not ended within {after:?}; it goes on")]
    NotYet {
        /// Which task.
        task: TaskId,
        /// How long the caller waited.
        after: Duration,
    },
}

impl TaskError {
    /// The task it is about.
    pub const fn task(&self) -> TaskId {
        match self {
            Self::Remote { task, .. }
            | Self::Aborted { task }
            | Self::EngineLost { task, .. }
            | Self::Poison { task, .. }
            | Self::DependencyFailed { task, .. }
            | Self::DependencyTimeout { task }
            | Self::Rejected { task, .. }
            | Self::HubForgot { task, .. }
            | Self::Disconnected { task, .. }
            | Self::Decode { task, .. }
            | Self::NotYet { task, .. } => *task,
        }
    }

    /// The traceback, or chain of causes, that the engine sent; empty if there is none.
    pub fn traceback(&self) -> &str {
        match self {
            Self::Remote { error, .. } => &error.traceback,
            _ => "",
        }
    }

    /// The error that an outcome is to the caller; `None` if the task is done.
    pub(crate) fn of_outcome(task: TaskId, outcome: &Outcome) -> Option<Self> {
        Some(match outcome.clone() {
            Outcome::Done => return None,
            Outcome::Failed(error) => Self::Remote { task, error },
            Outcome::Aborted => Self::Aborted { task },
            Outcome::EngineLost(loss) => Self::EngineLost { task, loss },
            Outcome::Poison(losses) => Self::Poison { task, losses },
            Outcome::DependencyFailed(failure) => Self::DependencyFailed { task, failure },
            Outcome::DependencyTimeout => Self::DependencyTimeout { task },
            Outcome::Rejected(rejection) => Self::Rejected { task, rejection },
        })
    }
}

fn list(losses: &[Loss]) -> String {
    let losses: Vec<_> = losses.iter().map(Loss::to_string).collect();
    losses.join("; ")
}

/// Why a payload is not the value that was expected.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not a MessagePack value.
    #[error("it is {0:?}, not MessagePack; take it raw")]
    Format(Format),
    /// It is a value of another type.
    #[error(transparent)]
    Value(Arc<rmp_serde::decode::Error>),
}

/// Why a call was not submitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The method's name is empty or too long.
    #[error(transparent)]
    Method(#[from] MethodNameError),
    /// The arguments cannot be expressed in MessagePack.
    #[error("cannot encode the arguments: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// The client does not take it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// Why engines were waited for in vain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitForEnginesError {
    /// Too few came in time.
    #[error("{there} of {wanted} engines are there after {after:?}")]
    TooFew {
        /// How many there are.
        there: usize,
        /// How many were wanted.
        wanted: usize,
        /// How long the caller waited.
        after: Duration,
    },
    /// The client was closed, or gave up on the hub.
    #[error("the client is closed: {0}")]
    Closed(Arc<str>),
}

/// Why there is no session with the hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no session.
    #[error(transparent)]
    Transport(#[from] phalanx_transport::ConnectError),
    /// The session ended before the hub had opened it.
    #[error("the hub did not open the session: {0}")]
    Closed(#[from] CloseReason),
    /// The hub has accepted the session, and then said nothing.
    #[error(
        "the hub has not opened the session within {} ms; it is overloaded or stuck, try again",
        HANDSHAKE_DEADLINE.as_millis()
    )]
    Silent,
    /// The system gives no thread or runtime for a blocking client.
    #[error("cannot start the client's thread: {0}")]
    Runtime(#[source] std::io::Error),
    /// The hub broke the protocol while it opened the session.
    #[error("the hub broke the protocol: {0}")]
    Protocol(&'static str),
}

impl ConnectError {
    /// Whether another attempt may go well.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_retryable(),
            Self::Closed(reason) => reason.is_retryable(),
            Self::Silent => true,
            Self::Runtime(_) | Self::Protocol(_) => false,
        }
    }
}
