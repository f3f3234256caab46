//! What goes into the plan and what comes out of it: events, effects and limits.
//!
//! Written by the shell in `host/mod.rs`, read by `plan.rs`, and the other way round.

use std::time::Duration;

use crate::host::cause::Cause;
use crate::host::process::Process;
use crate::limits;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The host is up: start.
    Begin,
    /// A process was started.
    Spawned {
        /// Which.
        process: Process,
        /// Its process id.
        pid: u32,
    },
    /// A process could not be started.
    SpawnFailed {
        /// Which.
        process: Process,
        /// Why, in words.
        reason: String,
    },
    /// A process said that it is ready.
    Ready {
        /// Its process id.
        pid: u32,
    },
    /// A process ended.
    Exited {
        /// Its process id.
        pid: u32,
        /// How.
        cause: Cause,
    },
    /// A process lives and is of no use.
    Unusable {
        /// Which.
        process: Process,
        /// Why, in words.
        reason: String,
    },
    /// A process shall not be started again when it ends.
    Retired(Process),
    /// There shall be one more engine, of this index.
    EngineAdded(u32),
    /// The engine of this index shall end, and not be started again.
    EngineUnwanted(u32),
    /// The engine of this index shall end, and be started again at once.
    RestartAsked(u32),
    /// The engine with this process id shall be killed, and started again at once.
    KillAsked {
        /// The engine's index.
        engine: u32,
        /// Its process id; another process than this one lives on.
        pid: u32,
    },
    /// The cluster shall end; said again, it changes nothing.
    StopWanted,
    /// Somebody asked for a stop; asked a second time, it does not wait.
    StopAsked,
    /// A deadline may have passed.
    Due,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start a process.
    Spawn(Process),
    /// Ask a process to end.
    Terminate {
        /// Which.
        process: Process,
        /// Its process id.
        pid: u32,
    },
    /// End a process and all of its group.
    Kill {
        /// Which.
        process: Process,
        /// Its process id, which is its group's.
        pid: u32,
    },
    /// A process ended: end what is left of its group, and tell the hub if it was an engine.
    Bury {
        /// Which.
        process: Process,
        /// Its process id, which is its group's.
        pid: u32,
        /// How it ended.
        cause: Cause,
    },
    /// All processes are ready.
    Started,
    /// A process will not be started again.
    GaveUp {
        /// Which.
        process: Process,
        /// Why, in words.
        reason: String,
    },
    /// The cluster cannot start or go on; it stops.
    Fail {
        /// The process that failed.
        process: Process,
        /// Why, in words.
        reason: String,
    },
    /// All processes have ended.
    Finish,
}

/// Waiting times and limits of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanLimits {
    /// Restarts of one process within the window.
    pub restarts_max: usize,
    /// The window.
    pub restart_window: Duration,
    /// From exec to ready, for hub and scheduler.
    pub hub_ready_max: Duration,
    /// From exec to ready, for the engines of a start.
    pub engines_ready_max: Duration,
    /// From being told to stop to being killed.
    pub stop_grace: Duration,
}

impl Default for PlanLimits {
    fn default() -> Self {
        Self {
            restarts_max: limits::RESTARTS_MAX,
            restart_window: limits::RESTART_WINDOW,
            hub_ready_max: limits::HUB_READY_MAX,
            engines_ready_max: limits::ENGINES_READY_MAX,
            stop_grace: limits::STOP_GRACE,
        }
    }
}
