//! The scheduler room: holds ready tasks until an engine has room for them.
//!
//! Its fact: the ready queue and the load of each engine. It knows nothing of dependencies,
//! payloads, clients or sessions.

use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::room::{EngineCapacity, ReadyTask, SchedulerVerdict};

/// What the hub tells the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchedulerEvent {
    /// An engine takes tasks from now on, and has these already.
    EngineUp(EngineCapacity),
    /// An engine is gone: forget it and all it had. The hub says what becomes of those tasks.
    EngineDown(EngineId),
    /// Place this task. One that is queued or assigned already is left as it is.
    Place(ReadyTask),
    /// Forget this task, queued or assigned: it ended (after running so long), or was aborted.
    Free(TaskId, Option<Duration>),
}

/// The scheduler's word on a queued task. `Assign`: it counts as the engine's load until freed.
/// `Unplaceable`: it is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerEffect {
    /// Which task.
    pub task: TaskId,
    /// What became of it.
    pub verdict: SchedulerVerdict,
}
