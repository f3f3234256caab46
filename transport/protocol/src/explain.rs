//! Why a task is where it is: the answer to a client that wonders what its task waits for.
//!
//! Words for people beside the facts in them, so that whoever shows them need not know every reason
//! there may be, and a newer hub can have others.

use std::fmt;

use crate::ids::{EngineId, RequestId, TaskId};
use crate::macros::map_encoded;

map_encoded! {
    /// Asks why a task is where it is.
    pub struct ExplainRequest {
        /// Comes back with the answer.
        pub request: RequestId,
        /// Which task, of whichever client.
        pub task: TaskId,
    }
}

map_encoded! {
    /// Where a task is, and why.
    pub struct Explanation {
        /// To which request.
        pub request: RequestId,
        /// Which task.
        pub task: TaskId,
        /// Where it is, in one word: `unknown`, `arriving`, `gathering`, `held`, `waiting`, `pausing`,
        /// `ready`, `assigned`, `running`, or how it ended.
        pub state: String,
        /// Why, most important first.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub reasons: Vec<String>,
        /// The tasks that must end before it: the first [`crate::limits::EXPLAINED_TASKS_MAX`].
        pub waits_for: Vec<TaskId>,
        /// The engine that has it, or had it last.
        pub engine: Option<EngineId>,
        /// How many tasks came to the queue before it and are still there.
        pub position: Option<u64>,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} is {}", self.task, self.state)?;
        for (index, reason) in self.reasons.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            f.write_str(reason)?;
        }
        Ok(())
    }
}
