//! A task before it has a name, and what makes a client refuse it.

use std::sync::Arc;

use phalanx_transport::protocol::function::Function;
use phalanx_transport::protocol::ids::TaskId;
use phalanx_transport::protocol::limits::{
    CLIENT_QUEUE_BYTES_MAX, CLIENT_QUEUE_TASKS_MAX, DEPENDENCIES_PER_TASK_MAX,
    FUNCTION_BYTES_PER_SESSION_MAX, GRAPH_TASKS_MAX, INPUTS_PER_TASK_MAX,
    OPEN_BYTES_PER_CLIENT_MAX, RETRIES_MAX, RETRY_KINDS_MAX, TARGET_ENGINES_MAX,
    TASK_PAYLOAD_LEN_MAX,
};
use phalanx_transport::protocol::payload::{Format, Payload};
use phalanx_transport::protocol::pieces::Pieces;
use phalanx_transport::protocol::role::Role;
use phalanx_transport::protocol::task::{MethodName, Target, TaskOptions, TaskSpec};

/// A task to be submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// The engines it is for.
    pub target: Target,
    /// What to call.
    pub method: MethodName,
    /// How the arguments are to be read.
    pub format: Format,
    /// The arguments.
    pub arguments: Pieces,
    /// Dependencies and other rare wishes, most of them only for balanced tasks.
    pub options: Option<Box<TaskOptions>>,
    /// The function that goes with it: sent once for each session, however many tasks name it.
    pub function: Option<Function>,
}

impl NewTask {
    /// Whether a hub may take it, as far as a client can know.
    pub(super) fn check(&self) -> Result<(), SubmitError> {
        if let Target::Subset(engines) | Target::Engines(engines) = &self.target {
            match engines.len() {
                0 => return Err(SubmitError::NoEngines),
                1..=TARGET_ENGINES_MAX => {}
                len => return Err(SubmitError::TooManyEngines(len)),
            }
        }
        if let Some(options) = &self.options {
            if self.target.is_direct() && options.is_for_balanced() {
                return Err(SubmitError::DirectWithOptions);
            }
            if options.inputs.len() > INPUTS_PER_TASK_MAX {
                return Err(SubmitError::TooManyInputs(options.inputs.len()));
            }
            if let Some(retry) = &options.retry
                && (retry.count > RETRIES_MAX || retry.kinds.len() > RETRY_KINDS_MAX)
            {
                return Err(SubmitError::TooManyRetries);
            }
            for dependency in [&options.after, &options.follow].into_iter().flatten() {
                let len = dependency.tasks.len();
                if len > DEPENDENCIES_PER_TASK_MAX {
                    return Err(SubmitError::TooManyDependencies(len));
                }
            }
        }
        let len = self.arguments.len() as u64;
        if len > TASK_PAYLOAD_LEN_MAX {
            return Err(SubmitError::PayloadTooLong(len));
        }
        if let Some(function) = &self.function
            && function.bytes.len() as u64 > FUNCTION_BYTES_PER_SESSION_MAX
        {
            return Err(SubmitError::FunctionTooLong(function.bytes.len() as u64));
        }
        if self.bytes() > OPEN_BYTES_PER_CLIENT_MAX {
            return Err(SubmitError::TooLongForSoMany { len, engines: self.target.ids_len() });
        }
        Ok(())
    }

    /// The payload bytes of all tasks that it stands for.
    pub(super) fn bytes(&self) -> u64 {
        (self.arguments.len() as u64).saturating_mul(self.target.ids_len())
    }

    /// The task under its name.
    pub(super) fn into_spec(self, id: TaskId) -> TaskSpec {
        TaskSpec {
            id,
            target: self.target,
            method: self.method,
            payload: Payload::in_pieces(self.format, self.arguments),
            options: self.options,
            function: self.function.map(|function| function.digest),
        }
    }
}

/// Why a task was not taken. Nothing was submitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// There was never a session: the client has no name yet.
    #[error("the client has not been opened by a hub yet")]
    NotOpened,
    /// The client was closed, or gave up on its hub.
    #[error("the client is closed: {0}; connect anew")]
    Closed(Arc<str>),
    /// The credential is for looking, not for submitting.
    #[error("a {0} may not submit tasks; connect with a client's credential")]
    WrongRole(Role),
    /// The queue before the hub's grant is full.
    #[error(
        "{CLIENT_QUEUE_TASKS_MAX} tasks or {CLIENT_QUEUE_BYTES_MAX} bytes already wait for the \
         hub's grant; wait for room, then submit again"
    )]
    QueueFull,
    /// The view has no engines.
    #[error("the view has no engines; wait for some, then take a new view")]
    NoEngines,
    /// The view has too many engines.
    #[error("a target of {0} engines is over the limit of {TARGET_ENGINES_MAX}; split the view")]
    TooManyEngines(usize),
    /// A dependency names too many tasks.
    #[error(
        "{0} dependencies are over the limit of {DEPENDENCIES_PER_TASK_MAX}; join some in a task \
         of their own"
    )]
    TooManyDependencies(usize),
    /// Direct tasks run where and when they are told.
    #[error(
        "a direct task has no dependencies, no timeout and no retries; use a load-balanced view"
    )]
    DirectWithOptions,
    /// Too many results stand among the arguments.
    #[error("{0} results as arguments are over the limit of {INPUTS_PER_TASK_MAX}")]
    TooManyInputs(usize),
    /// A graph is too large.
    #[error("a graph of {0} tasks is over the limit of {GRAPH_TASKS_MAX}; submit it in pieces")]
    GraphTooLarge(usize),
    /// A graph names a task that it does not have.
    #[error("node {0} is not in the graph")]
    NoSuchNode(u64),
    /// An edge of a graph leads to a task that waits in another way already.
    #[error(
        "node {0} comes after other tasks in a way that takes no more edges; give it an `after`          that all of its tasks meet by success"
    )]
    MixedDependency(u32),
    /// A task may be retried often, but not for ever.
    #[error(
        "a task has at most {RETRIES_MAX} retries, after at most {RETRY_KINDS_MAX} kinds of errors"
    )]
    TooManyRetries,
    /// The arguments are too long.
    #[error("arguments of {0} bytes are over the limit of {TASK_PAYLOAD_LEN_MAX}")]
    PayloadTooLong(u64),
    /// The function is too long.
    #[error(
        "a function of {0} bytes is over the limit of {FUNCTION_BYTES_PER_SESSION_MAX}; pass what it \
         holds as an argument"
    )]
    FunctionTooLong(u64),
    /// The arguments are too long for so many engines: a hub would never grant it.
    #[error(
        "arguments of {len} bytes for {engines} engines are together over the limit of \
         {OPEN_BYTES_PER_CLIENT_MAX} bytes; call fewer engines at a time"
    )]
    TooLongForSoMany {
        /// How long they are.
        len: u64,
        /// For how many engines.
        engines: u64,
    },
}
