//! The words for a cluster's processes: which they are, how they are, how far the cluster is.
//!
//! Shared by the plan, the state file and the commands that show it. No behaviour.

use serde::{Deserialize, Serialize};

/// A process of the cluster that the host starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Process {
    /// Waits for the host's death, to end what the host can no longer end.
    Keeper,
    /// The hub.
    Hub,
    /// Scheduler and DAG, when they have a process of their own.
    Scheduler,
    /// The engine with this index.
    Engine(u32),
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Keeper => f.write_str("keeper"),
            Self::Hub => f.write_str("hub"),
            Self::Scheduler => f.write_str("scheduler"),
            Self::Engine(index) => write!(f, "engine-{index}"),
        }
    }
}

impl Serialize for Process {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Process {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "keeper" => Ok(Self::Keeper),
            "hub" => Ok(Self::Hub),
            "scheduler" => Ok(Self::Scheduler),
            other => other
                .strip_prefix("engine-")
                .and_then(|index| index.parse().ok())
                .map(Self::Engine)
                .ok_or_else(|| serde::de::Error::custom(format!("{other:?} is not a process"))),
        }
    }
}

/// How far the cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Phase {
    /// Not every process has been ready yet.
    Starting,
    /// All have been ready.
    Running,
    /// It was told to stop, or failed, and its processes are ending.
    Stopping,
    /// Nothing is left of it.
    Stopped,
    /// It stopped because it could not go on.
    Failed,
}

/// How a process is, as `status` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ProcessState {
    /// Its turn has not come.
    Planned,
    /// Started, not ready.
    Starting,
    /// Ready.
    Running,
    /// Dead, to be started again.
    Restarting,
    /// Told to stop.
    Stopping,
    /// Ended as planned.
    Stopped,
    /// Died too often; it is not started again.
    Failed,
}

/// One process, as the state file tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessStatus {
    /// Which process.
    pub process: Process,
    /// How it is.
    pub state: ProcessState,
    /// Its process id while it lives.
    pub pid: Option<u32>,
    /// How often it has been started again.
    pub restarts: u64,
    /// How it ended last, in words.
    pub last_exit: Option<String>,
}
