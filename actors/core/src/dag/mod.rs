//! The dag room: holds tasks until their dependencies are met, or never can be, or time is up.
//!
//! Its fact: which dependencies of which held task are unmet. It knows nothing of payloads,
//! clients or engines' health; what it must know of other tasks comes in the event that needs it.
//! A verdict does not end the task: when others wait for it, the hub tells its ending like any
//! other. Callers: the hub's shells and the simulator, through [`crate::supervise::Guarded`].

mod condition;
mod cycle;
mod held;
mod room;
mod snapshot;
#[cfg(test)]
mod tests;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::room::{DagVerdict, Ending, WaitingTask};

pub use self::cycle::find_cycle;
pub use self::room::Dag;
pub use self::snapshot::{HeldTask, Unmet};

/// What the hub tells the dag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DagEvent {
    /// Hold this task and answer with one [`DagVerdict`], perhaps at once; before that, perhaps, with
    /// [`DagVerdict::Nearly`]. A task that is held already is left as it is.
    Hold(WaitingTask),
    /// This engine has a task that some held task was told to be open. Again, if it moves; that an
    /// engine has lost one is not told.
    Assigned(TaskId, EngineId),
    /// A task ended. Told once, and only of tasks that some held task was told to be open.
    Ended(TaskId, Ending),
    /// Forget a held task without a verdict: it was aborted.
    Release(TaskId),
}

/// The dag's word on a task; after it the task is no longer held, unless it is
/// [`DagVerdict::Nearly`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DagEffect {
    /// Which task.
    pub task: TaskId,
    /// What became of it.
    pub verdict: DagVerdict,
}
