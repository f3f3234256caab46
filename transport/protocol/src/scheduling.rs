//! The hub's conversation with its scheduling rooms when they run in a process of their own.
//!
//! ```text
//! hub                                      scheduler process
//!   | <------------------ Offer ----------- |   first message: ready to run the rooms
//!   | -- Recreate(room, generation) ----->  |   a fresh room; what follows rebuilds it
//!   | -- Hold, Assigned, Ended … -------->  |   for the dag
//!   | -- EngineUp, Place, Free … -------->  |   for the scheduler
//!   | <--- Verdicts, RoomPanicked --------- |
//! ```
//!
//! Every message names its room's generation; one of another generation is dropped. Losing the
//! session loses both rooms: the hub re-creates them from its ledger when a process offers again.

use serde::{Deserialize, Serialize};

use crate::ids::{EngineId, Generation, TaskId};
use crate::macros::{map_encoded, messages};
use crate::room::{
    DagVerdict, Ending, EngineCapacity, ReadyTask, RoomName, SchedulerVerdict, WaitingTask,
};

messages! {
    /// What the hub says to its scheduling rooms.
    pub enum HubToScheduling {
        /// Start this room afresh.
        1 => Recreate(Recreate), hot, Tasks, [Hub];
        /// Dag: hold this task until its dependencies are met.
        2 => Hold(Addressed<WaitingTask>), named, Tasks, [Hub];
        /// Dag: a task that others wait for has ended.
        3 => Ended(Addressed<(TaskId, Ending)>), hot, Tasks, [Hub];
        /// Dag: forget this task.
        4 => Release(Addressed<TaskId>), hot, Tasks, [Hub];
        /// Scheduler: an engine takes tasks.
        5 => EngineUp(Addressed<EngineCapacity>), named, Tasks, [Hub];
        /// Scheduler: an engine is gone, and all it had.
        6 => EngineDown(Addressed<EngineId>), hot, Tasks, [Hub];
        /// Scheduler: place this task.
        7 => Place(Addressed<ReadyTask>), named, Tasks, [Hub];
        /// Scheduler: forget this task, queued or assigned; how long it ran, if it did.
        8 => Free(Addressed<(TaskId, Option<u64>)>), hot, Tasks, [Hub];
        /// Scheduler: its engine gave a task back that was to be taken back, and it is to be placed
        /// again; or (nothing more said) keeps it.
        9 => TakenBack(Addressed<(TaskId, Option<ReadyTask>)>), hot, Tasks, [Hub];
        /// Dag: an engine has a task for which others wait.
        10 => Assigned(Addressed<(TaskId, EngineId)>), hot, Tasks, [Hub];
        /// Scheduler: assign this task to this engine, or, if that has no room now, forget it. All
        /// that it waits for is there.
        11 => PlaceAhead(Addressed<(ReadyTask, EngineId)>), hot, Tasks, [Hub];
    }
}

messages! {
    /// What the scheduling rooms say to the hub.
    pub enum SchedulingToHub {
        /// This process can run the rooms.
        1 => Offer(Offer), named, Tasks, [Scheduler];
        /// What the dag decided about a task.
        2 => Dag(Addressed<(TaskId, DagVerdict)>), hot, Tasks, [Scheduler];
        /// What the scheduler decided about a task.
        3 => Scheduler(Addressed<(TaskId, SchedulerVerdict)>), hot, Tasks, [Scheduler];
        /// A room panicked and is gone.
        4 => RoomPanicked(RoomPanicked), named, Tasks, [Scheduler];
    }
}

/// Something for, or from, one life of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressed<T> {
    /// Which life.
    pub generation: Generation,
    /// What is said.
    pub what: T,
}

/// Start a room afresh. Travels array-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recreate {
    /// Which room.
    pub room: RoomName,
    /// Which life begins.
    pub generation: Generation,
}

map_encoded! {
    /// A process that can run the rooms.
    pub struct Offer {
        /// The machine, for people.
        pub host: String,
        /// Its process id there.
        pub pid: u32,
    }
}

map_encoded! {
    /// A room panicked and is gone.
    pub struct RoomPanicked {
        /// Which life of which room; `None` never travels.
        pub room: Option<(RoomName, Generation)>,
        /// The task whose event it was, if it was about one.
        pub culprit: Option<TaskId>,
        /// What the panic said.
        pub message: String,
    }
}
