//! The state file of a cluster: what its host knows about its processes.
//!
//! Written by the host after every change, read by `list`, `status` and `stop`. It holds process
//! ids for people to read; whether they still mean anything is the lock's to say. No secret in it.

use serde::{Deserialize, Serialize};

use crate::host::process::{Phase, Process, ProcessStatus};

/// The version of the state file's form.
pub const STATE_VERSION: u32 = 1;

/// What a host writes about its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClusterState {
    /// The form of this file.
    pub version: u32,
    /// The cluster's name.
    pub cluster: String,
    /// The run's id: every process of the run carries it in its environment and its log lines.
    pub run: String,
    /// The machine the host runs on; its process ids mean nothing elsewhere.
    pub machine: String,
    /// The host's process id.
    pub host_pid: u32,
    /// When the host started, in UTC.
    pub started_at: String,
    /// What its host gives a process from being told to stop until being killed.
    pub stop_grace_ms: u64,
    /// How far the cluster is.
    pub phase: Phase,
    /// Where the hub listens, once it does.
    pub hub_address: Option<String>,
    /// Why the cluster failed, if it did.
    pub failure: Option<String>,
    /// Hub, scheduler and engines.
    pub processes: Vec<ProcessStatus>,
}

impl ClusterState {
    /// The engines among the processes.
    pub fn engines(&self) -> impl Iterator<Item = &ProcessStatus> {
        self.processes.iter().filter(|status| matches!(status.process, Process::Engine(_)))
    }

    /// Whether these process ids are of this machine.
    pub fn is_of_this_machine(&self) -> bool {
        self.machine == machine_name()
    }
}

/// The name of this machine, as the state file tells it.
pub fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
