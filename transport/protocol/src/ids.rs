//! Names: small copyable numbers, each its own type, each with a short `Display`.
//!
//! Everybody uses them; nothing here allocates.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($(#[$meta:meta])* $name:ident, $inner:ty, $prefix:literal) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number_id!(
    /// The part of a task's name that the hub gives to one client; never given twice in an epoch.
    ClientId,
    u32,
    "c"
);
number_id!(
    /// An engine's place in the cluster; a restarted engine keeps it.
    EngineId,
    u32,
    "e"
);
number_id!(
    /// One life of an engine as the hub sees it: a new one each time it was lost and came back.
    Incarnation,
    u32,
    "i"
);
number_id!(
    /// One life of a control room (dag or scheduler); messages of an older one are dropped.
    Generation,
    u32,
    "g"
);
number_id!(
    /// One life of a hub's ledger. Another epoch means: the ledger that knew your tasks is gone.
    Epoch,
    u64,
    "h"
);
number_id!(
    /// A connection as the process that accepted it names it; means nothing elsewhere.
    SessionId,
    u64,
    "s"
);
number_id!(
    /// A payload stream of one session and direction.
    Ticket,
    u64,
    "t"
);
number_id!(
    /// A segment of shared memory, as whoever made it named it: a number that nobody can guess.
    SegmentId,
    u64,
    "m"
);
number_id!(
    /// The number a client gives to one of its questions, so that it knows the answer.
    RequestId,
    u64,
    "r"
);

/// A task's name: who submitted it, and the how-manieth of that client's tasks it is.
///
/// The client makes it, so it can name a task as a dependency before the hub has seen it.
/// Travels as the pair `[client, seq]`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(from = "(u32, u64)", into = "(u32, u64)")]
pub struct TaskId {
    /// Who submitted it.
    pub client: ClientId,
    /// Its place in that client's sequence, from 0.
    pub seq: u64,
}

impl TaskId {
    /// Names the `seq`th task of `client`.
    pub const fn new(client: ClientId, seq: u64) -> Self {
        Self { client, seq }
    }

    /// The first attempt at this task.
    pub const fn attempt(self, number: u32) -> AttemptId {
        AttemptId { task: self, number }
    }
}

impl From<(u32, u64)> for TaskId {
    fn from((client, seq): (u32, u64)) -> Self {
        Self::new(ClientId(client), seq)
    }
}

impl From<TaskId> for (u32, u64) {
    fn from(task: TaskId) -> Self {
        (task.client.0, task.seq)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.client, self.seq)
    }
}

/// Text that is not a task id such as `c7/42`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a task id; a task id looks like c7/42")]
pub struct ParseTaskIdError(Box<str>);

impl std::str::FromStr for TaskId {
    type Err = ParseTaskIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (client, seq) = text.strip_prefix('c')?.split_once('/')?;
            Some(Self::new(ClientId(client.parse().ok()?), seq.parse().ok()?))
        };
        parse().ok_or_else(|| ParseTaskIdError(text.into()))
    }
}

/// One try of a task on one engine. Travels as `[[client, seq], number]`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(from = "(TaskId, u32)", into = "(TaskId, u32)")]
pub struct AttemptId {
    /// The task that is tried.
    pub task: TaskId,
    /// Which try, from 1.
    pub number: u32,
}

impl From<(TaskId, u32)> for AttemptId {
    fn from((task, number): (TaskId, u32)) -> Self {
        Self { task, number }
    }
}

impl From<AttemptId> for (TaskId, u32) {
    fn from(attempt: AttemptId) -> Self {
        (attempt.task, attempt.number)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.task, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_short_and_task_ids_parse_back() {
        let task = TaskId::new(ClientId(7), 42);
        assert_eq!(task.to_string(), "c7/42");
        assert_eq!(task.attempt(2).to_string(), "c7/42#2");
        assert_eq!(EngineId(3).to_string(), "e3");
        assert_eq!("c7/42".parse(), Ok(task));
        for wrong in ["", "c7", "7/42", "c7/", "c/1", "c7/x", "c99999999999/1"] {
            assert!(wrong.parse::<TaskId>().is_err(), "{wrong}");
        }
    }
}
