//! How tasks and attempts end. Exactly one [`Outcome`] per task, for ever.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::ErrorCode;
use crate::ids::{AttemptId, EngineId, TaskId};
use crate::macros::map_encoded;
use crate::output::TaskOutput;
use crate::payload::Payload;

map_encoded! {
    /// An error that user code raised on an engine, as text.
    pub struct RemoteError {
        /// The error's type as its language names it, e.g. `ValueError` or a Rust type's path.
        pub kind: String,
        /// What it says.
        pub message: String,
        /// The rendered traceback or chain of causes; may be empty.
        pub traceback: String,
        /// Where it happened.
        pub engine: Option<EngineId>,
        /// What was called.
        pub method: String,
        /// Other names under which it can be met, such as those of the error's base classes.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub bases: Vec<String>,
        /// Whether the engine refused the task: it may be tried where it was not refused yet.
        pub refused: bool,
    }
}

impl RemoteError {
    /// Whether `name` names its kind, or one that it derives from: in full or, of a Rust path, by
    /// its last part.
    pub fn is_a(&self, name: &str) -> bool {
        let is_named = |kind: &str| kind == name || kind.rsplit("::").next() == Some(name);
        is_named(&self.kind) || self.bases.iter().any(|base| is_named(base))
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(engine) = self.engine {
            write!(f, "[{}:{}] ", engine.0, self.method)?;
        }
        write!(f, "{}: {}", self.kind, self.message)
    }
}

map_encoded! {
    /// An engine's death, or silence, as far as a task is concerned.
    pub struct Loss {
        /// Which engine.
        pub engine: EngineId,
        /// Why, in words: a signal's name, an exit code, silence.
        pub cause: String,
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "engine {}: {}", self.engine.0, self.cause)
    }
}

/// Why dependencies can never be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Impossible {
    /// The culprit ended in a way the dependency does not accept (with any: all of them did).
    #[default]
    Unmet,
    /// The tasks to follow ran on different engines; the culprit is the first elsewhere.
    FollowsApart,
    /// The engine to follow to is gone, is not among the targets, or does not offer the method.
    FollowedEngineGone,
}

map_encoded! {
    /// A task that can never run, and because of whom.
    pub struct DependencyFailure {
        /// In which way.
        pub reason: Impossible,
        /// The task on which it failed.
        pub culprit: Option<TaskId>,
        /// Where the culprit ran.
        pub engine: Option<EngineId>,
    }
}

impl fmt::Display for DependencyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let culprit = self.culprit.map_or_else(|| "a task".into(), |task| task.to_string());
        let engine =
            self.engine.map(|engine| format!(" (engine {})", engine.0)).unwrap_or_default();
        match self.reason {
            Impossible::Unmet => {
                write!(f, "it depends on {culprit}{engine}, which ended otherwise")
            }
            Impossible::FollowsApart => write!(
                f,
                "it follows tasks that ran on different engines, {culprit}{engine} among them"
            ),
            Impossible::FollowedEngineGone => {
                write!(
                    f,
                    "it follows {culprit}{engine}, and no engine that it may go to is there and offers its method"
                )
            }
        }
    }
}

map_encoded! {
    /// A task that the hub recorded only to say no.
    pub struct Rejection {
        /// Why, as a number. A number of a newer hub reads as none.
        #[serde(deserialize_with = "crate::error::known")]
        pub code: Option<ErrorCode>,
        /// Why, in words.
        pub detail: String,
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It ran and returned; the result is the payload beside the outcome.
    Done,
    /// Its code raised.
    Failed(Box<RemoteError>),
    /// A user asked for it to end.
    Aborted,
    /// Its engine died, and it was direct.
    EngineLost(Box<Loss>),
    /// Engines died under it until its crash budget was used up.
    Poison(#[serde(deserialize_with = "crate::list::bounded")] Vec<Loss>),
    /// Its dependencies can never be met.
    DependencyFailed(Box<DependencyFailure>),
    /// Its dependencies were not met in time.
    DependencyTimeout,
    /// The hub did not take it.
    Rejected(Box<Rejection>),
}

impl Outcome {
    /// Whether it ran and returned.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Its name, one of the eight of the delivery contract.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Aborted => "aborted",
            Self::EngineLost(_) => "engine lost",
            Self::Poison(_) => "poison",
            Self::DependencyFailed(_) => "dependency failed",
            Self::DependencyTimeout => "dependency timeout",
            Self::Rejected(_) => "rejected",
        }
    }
}

/// How an attempt ended on its engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptOutcome {
    /// It returned.
    Done,
    /// It raised.
    Failed(Box<RemoteError>),
    /// It was aborted, before or while it ran.
    Aborted,
}

/// When and how long an attempt ran, by the engine's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunTimes {
    /// Start, wall clock, microseconds since 1970-01-01 UTC; 0 if it never started.
    pub started_us: u64,
    /// Duration, monotonic clock, nanoseconds.
    pub ran_ns: u64,
}

/// An engine's word on an attempt. Kept by the engine until the hub has recorded it.
/// Travels array-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its place among this engine process's reports, from 0.
    pub number: u64,
    /// Which attempt.
    pub attempt: AttemptId,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// When it ran.
    pub times: RunTimes,
    /// What it returned.
    pub payload: Payload,
    /// What it wrote; `None` if that is nothing.
    pub output: Option<Arc<TaskOutput>>,
}

impl Report {
    /// How many bytes it carries: what the attempt returned, and what it wrote.
    pub fn carried_bytes(&self) -> u64 {
        carried_bytes(&self.payload, self.output.as_deref())
    }
}

/// An outcome on its way to a client. Travels array-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its place among this session's deliveries, from 0.
    pub number: u64,
    /// Which task.
    pub task: TaskId,
    /// How it ended.
    pub outcome: Outcome,
    /// The engine that had it last.
    pub engine: Option<EngineId>,
    /// How many attempts there were; one that was taken back before it began is one too.
    pub attempts: u32,
    /// When the last one ran.
    pub times: RunTimes,
    /// What it returned.
    pub payload: Payload,
    /// What the last one wrote; `None` if that is nothing.
    pub output: Option<Arc<TaskOutput>>,
    /// The engines where earlier attempts raised or were refused, in order, the latest
    /// [`crate::limits::TRIED_ENGINES_MAX`] of them.
    pub tried: Vec<EngineId>,
}

impl Delivery {
    /// How many bytes it carries: what the task returned, and what it wrote. Both ends count them
    /// for the window of deliveries.
    pub fn carried_bytes(&self) -> u64 {
        carried_bytes(&self.payload, self.output.as_deref())
    }
}

/// How many bytes belong to an outcome.
pub fn carried_bytes(payload: &Payload, output: Option<&TaskOutput>) -> u64 {
    payload.len() + output.map_or(0, TaskOutput::len)
}
