//! What the hub and its scheduling rooms tell each other, as data. The rooms may run in the hub
//! process or in one of their own; [`crate::scheduling`] is this on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{EngineId, TaskId};
use crate::macros::map_encoded;
use crate::needs::{Amount, Needs, Resource};
use crate::outcome::DependencyFailure;
use crate::task::{Accept, MethodName, Quorum};

/// A room that can be re-created from the hub's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RoomName {
    /// Holds tasks until their dependencies are met.
    Dag,
    /// Holds tasks until an engine is free.
    Scheduler,
}

impl RoomName {
    /// Both rooms.
    pub const ALL: [Self; 2] = [Self::Dag, Self::Scheduler];

    /// Its name in status and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dag => "dag",
            Self::Scheduler => "scheduler",
        }
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a task ended, as far as dependents care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ending {
    /// Whether it is done.
    pub success: bool,
    /// Where it ran last, if it ran.
    pub engine: Option<EngineId>,
}

/// What the hub knows of a task that another depends on, at the time it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Known {
    /// It has not ended; its ending will be told.
    Open,
    /// It has ended.
    Ended(Ending),
    /// It has not ended, and this engine has it; its ending will be told.
    Assigned(EngineId),
}

map_encoded! {
    /// A dependency together with what is known of its tasks.
    pub struct Condition {
        /// The tasks, each with its state. No task twice.
        pub tasks: Vec<(TaskId, Known)>,
        /// How many must be met.
        pub quorum: Quorum,
        /// What meets them.
        pub accept: Accept,
    }
}

map_encoded! {
    /// A task for the dag to hold.
    pub struct WaitingTask {
        /// Which task.
        pub task: TaskId,
        /// Order.
        pub after: Option<Condition>,
        /// Place.
        pub follow: Option<Condition>,
        /// Time left, in milliseconds.
        pub timeout_ms: Option<u64>,
    }
}

/// What the dag answers about a task. It holds it no longer, unless it says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DagVerdict {
    /// Its dependencies are met. The engines where the tasks ran that met its `follow`, ascending;
    /// `None` if it follows nothing.
    Ready(Option<Vec<EngineId>>),
    /// They can never be met.
    Impossible(DependencyFailure),
    /// They were not met in time.
    TimedOut,
    /// They are met as soon as this task is done, which an engine has; the dag holds on to it.
    Nearly(TaskId),
}

map_encoded! {
    /// A task for the scheduler to place.
    pub struct ReadyTask {
        /// Which task.
        pub task: TaskId,
        /// What it calls: only engines that offer this may have it.
        pub method: Option<MethodName>,
        /// The only engines that may have it, ascending; `None` = any.
        pub engines: Option<Vec<EngineId>>,
        /// Whether it fails when none of `engines` is there with its method (it follows), or waits
        /// for one (it was targeted).
        pub follows: bool,
        /// Whether it may only run on an engine that has no other balanced task meanwhile: engines
        /// died under it and others, and the next death shall show whose doing it is.
        pub alone: bool,
        /// Of tasks that wait those with a higher one go first.
        pub priority: i32,
        /// What its engine must have.
        pub needs: Option<Needs>,
    }
}

map_encoded! {
    /// An engine as the scheduler needs it.
    pub struct EngineCapacity {
        /// Which engine.
        pub engine: EngineId,
        /// How many tasks it runs at once.
        pub slots: u32,
        /// What it offers.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub methods: Vec<MethodName>,
        /// Tasks that it has already, e.g. when the scheduler was re-created.
        pub assigned: Vec<TaskId>,
        /// Those of `assigned` beside which it may have no other: see [`ReadyTask::alone`].
        pub alone: Vec<TaskId>,
        /// Words to choose it by.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub labels: Vec<String>,
        /// What it has for tasks that need some of it.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub resources: Vec<Resource>,
        /// What those of `assigned` have of it that need some.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub held: Vec<(TaskId, Vec<Resource>)>,
    }
}

/// What the scheduler answers about a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulerVerdict {
    /// This engine shall have it.
    Assign(EngineId),
    /// It follows, and none of the engines it may run on is there and offers its method.
    Unplaceable,
    /// This engine, which has it, shall give it back unless it has started: another could run it now.
    TakeBack(EngineId),
}

/// Why a task that is ready has no engine yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WaitReason {
    /// There is no engine at all.
    NoEngines,
    /// None of the engines that it is for is there.
    EnginesGone(Vec<EngineId>),
    /// No engine that it may go to offers its method.
    NoMethod(MethodName),
    /// No engine that it may go to carries this label.
    NoLabel(String),
    /// No engine that it may go to has so much of this resource in all.
    NoResource {
        /// Which resource, and how much the task needs.
        needed: Resource,
        /// The most that one of the engines has.
        most: Amount,
    },
    /// Each thing that it needs is somewhere, and no engine has them all.
    NoEngineFits,
    /// Engines that it may go to are there, and busy.
    Busy {
        /// Tasks whose turn for one of these engines comes before its own.
        ahead: u64,
    },
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEngines => f.write_str("there is no engine"),
            Self::EnginesGone(engines) => {
                f.write_str("none of its engines is there:")?;
                engines.iter().take(8).try_for_each(|engine| write!(f, " {engine}"))
            }
            Self::NoMethod(method) => write!(f, "no engine offers {:?}", method.as_str()),
            Self::NoLabel(label) => write!(f, "no engine has label {label:?}"),
            Self::NoResource { needed: (name, needed), most } if *most == Amount::default() => {
                write!(f, "no engine has resource {name:?}, of which it needs {needed}")
            }
            Self::NoResource { needed: (name, needed), most } => {
                write!(
                    f,
                    "it needs {needed} of resource {name:?}, and no engine has more than {most}"
                )
            }
            Self::NoEngineFits => f.write_str("no engine has all that it needs"),
            Self::Busy { ahead: 0 } => f.write_str("its engines are busy; it is the next"),
            Self::Busy { ahead } => write!(f, "its engines are busy; {ahead} tasks go first"),
        }
    }
}
