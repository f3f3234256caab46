//! What clients may ask of the hub's records, and what the records say. Part of the client's
//! conversation ([`crate::client`]).
//!
//! ```text
//! client                                   hub
//!   | -- RecordsRequest ----------------->  |   these tasks, or a page of all
//!   | <------------------ Records --------- |   what is on record; where the next page begins
//!   | -- Watch ---------------------------> |   the outcome of these tasks, whoever submitted them
//!   | <------------------ Delivery* ------- |   each once, when it has ended: at once if it has
//!   | -- Purge ---------------------------> |   forget these
//!   | <------------------ Pong, Refused --- |
//! ```
//!
//! A watch is an order, not a poll: the hub answers when the task ends. It lasts as long as its
//! session; whoever still wants the outcome says so again in the next one. A task that is not on
//! record comes as rejected with [`crate::error::ErrorCode::Purged`].

use serde::{Deserialize, Serialize};

use crate::ids::{EngineId, RequestId, TaskId};
use crate::macros::map_encoded;
use crate::outcome::RunTimes;

map_encoded! {
    /// Asks what is on record.
    pub struct RecordsRequest {
        /// Comes back with the answer.
        pub request: RequestId,
        /// Of which tasks.
        pub select: Select,
    }
}

/// Which records are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Select {
    /// Those of these tasks, at most [`crate::limits::RECORDS_NAMED_MAX`]. Who is not on record is
    /// left out of the answer.
    Tasks(Vec<TaskId>),
    /// The page of all that begins here: open tasks first, then ended ones in the order of their
    /// ends. A task that ends meanwhile may come twice, but is never missed.
    From(Cursor),
}

impl Default for Select {
    fn default() -> Self {
        Self::From(Cursor::default())
    }
}

/// Where a page begins; the default is the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// Open tasks beyond this one, by id.
    #[serde(default)]
    pub open_after: Option<TaskId>,
    /// No more open tasks: ended ones with this record number or a higher one.
    #[serde(default)]
    pub ended_from: Option<u64>,
}

map_encoded! {
    /// What is on record.
    pub struct RecordsReply {
        /// To which request.
        pub request: RequestId,
        /// The records, as many as fit.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub records: Vec<TaskRecord>,
        /// Where the next page begins, if there is one.
        pub next: Option<Cursor>,
    }
}

map_encoded! {
    /// What the hub knows of a task beside what it was given and what it returned.
    pub struct TaskRecord {
        /// Which task.
        pub task: TaskId,
        /// The number of its record, once it has ended.
        pub number: Option<u64>,
        /// How it stands: `waiting`, `ready`, `assigned`, `running`, or the name of its outcome.
        pub status: String,
        /// What it calls; empty if that is not on record any more.
        pub method: String,
        /// What its client calls it.
        pub label: Option<String>,
        /// Whether it is for one engine, and never moved.
        pub direct: bool,
        /// The engine that has or had it last.
        pub engine: Option<EngineId>,
        /// How many attempts there were.
        pub attempts: u32,
        /// When the hub recorded it, in microseconds since 1970-01-01 UTC; 0 if that is not known.
        pub submitted_us: u64,
        /// When its last attempt ran, by the engine's clock.
        pub times: RunTimes,
        /// When the hub recorded its outcome, in microseconds since 1970-01-01 UTC; 0 if it has
        /// not, or that is not known.
        pub ended_us: u64,
        /// The task that it runs again.
        pub again: Option<TaskId>,
        /// Whether it can be run again: what it was given is kept.
        pub repeatable: bool,
        /// Whether its outcome is kept whole.
        pub whole: bool,
        /// Bytes of what it returned and wrote.
        pub result_bytes: u64,
    }
}

impl TaskRecord {
    /// At least as many bytes as it takes in a header.
    pub fn weight(&self) -> usize {
        let label = self.label.as_ref().map_or(0, String::len);
        // Field names, numbers, and at most five bytes of mark for each text.
        RECORD_BYTES + self.status.len() + self.method.len() + label
    }
}

/// What a record takes at most in a header beside its texts.
pub const RECORD_BYTES: usize = 280;

/// Whether a task has ended, by the status of its record.
pub fn is_open(status: &str) -> bool {
    matches!(status, "waiting" | "ready" | "assigned" | "running")
}

map_encoded! {
    /// Asks for the outcomes of tasks, also another client's.
    pub struct Watch {
        /// Which ones.
        pub tasks: Vec<TaskId>,
    }
}

map_encoded! {
    /// Asks for tasks to be forgotten: their records, and, once their owners have them, their
    /// outcomes.
    pub struct Purge {
        /// Comes back with the answer.
        pub request: RequestId,
        /// Which ones.
        pub what: Purged,
    }
}

/// What is to be forgotten. Open tasks are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purged {
    /// These tasks; refused if one of them is open.
    Tasks(Vec<TaskId>),
    /// Those that ran on these engines last.
    Engines(Vec<EngineId>),
    /// All.
    All,
}

impl Default for Purged {
    fn default() -> Self {
        Self::Tasks(Vec::new())
    }
}

map_encoded! {
    /// Names a task that is run again: the hub takes from its record what it calls, what it was
    /// given, and where.
    pub struct Again {
        /// Which task, of any client.
        pub task: TaskId,
        /// The number of its record, so that the hub need not look for it.
        pub number: Option<u64>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ClientId;
    use crate::limits::{LABEL_LEN_MAX, METHOD_LEN_MAX};

    #[test]
    fn no_record_weighs_less_than_it_takes() {
        let task = TaskId::new(ClientId(u32::MAX), u64::MAX);
        let record = TaskRecord {
            task,
            number: Some(u64::MAX),
            status: "dependency timeout".into(),
            method: "m".repeat(METHOD_LEN_MAX),
            label: Some("l".repeat(LABEL_LEN_MAX)),
            direct: true,
            engine: Some(EngineId(u32::MAX)),
            attempts: u32::MAX,
            submitted_us: u64::MAX,
            times: RunTimes { started_us: u64::MAX, ran_ns: u64::MAX },
            ended_us: u64::MAX,
            again: Some(task),
            repeatable: true,
            whole: true,
            result_bytes: u64::MAX,
        };
        let len = rmp_serde::to_vec_named(&record).expect("a record").len();
        assert!(len <= record.weight(), "{len} bytes weigh {}", record.weight());
    }
}
