//! The processes of a measured cluster, and what each of them has cost so far.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use phalanx::LocalCluster;
use phalanx::cluster_state::ClusterState;
use phalanx::host::process::Process;
use serde::Serialize;

use crate::cpu::cpu_time;

/// The processes that take part; the client is this one.
#[derive(Debug, Clone)]
pub struct Processes {
    host: Option<u32>,
    hub: Vec<u32>,
    engines: Vec<u32>,
}

/// Processor time by part.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuTimes {
    host: Duration,
    hub: Duration,
    engines: Duration,
    client: Duration,
}

/// Processor time per task by part, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct CpuPerTask {
    /// The hub.
    pub hub_us: f64,
    /// All engines together.
    pub engines_us: f64,
    /// This process.
    pub client_us: f64,
    /// The host, which has nothing to do with tasks.
    pub host_us: f64,
    /// All of them.
    pub total_us: f64,
}

impl Processes {
    /// These.
    pub const fn new(host: Option<u32>, hub: Vec<u32>, engines: Vec<u32>) -> Self {
        Self { host, hub, engines }
    }

    /// Asks the cluster's state file.
    pub fn of(cluster: &LocalCluster) -> Result<Self> {
        let state: Option<ClusterState> = cluster.dir().read_state()?;
        let state = state.context("the cluster has no state file")?;
        let pids = |wanted: fn(Process) -> bool| -> Vec<u32> {
            let chosen = state.processes.iter().filter(|status| wanted(status.process));
            chosen.filter_map(|status| status.pid).collect()
        };
        let hub = pids(|process| matches!(process, Process::Hub | Process::Scheduler));
        let engines = pids(|process| matches!(process, Process::Engine(_)));
        ensure!(!hub.is_empty(), "the state file of the cluster names no hub process");
        ensure!(!engines.is_empty(), "the state file of the cluster names no engine process");
        Ok(Self::new(Some(state.host_pid), hub, engines))
    }

    /// What they have cost since they started.
    pub fn cpu_times(&self) -> Result<CpuTimes> {
        let sum = |pids: &[u32]| -> Result<Duration> {
            pids.iter().map(|pid| Ok(cpu_time(*pid)?)).sum::<Result<Duration>>()
        };
        Ok(CpuTimes {
            host: sum(self.host.as_slice())?,
            hub: sum(&self.hub)?,
            engines: sum(&self.engines)?,
            client: cpu_time(std::process::id())?,
        })
    }
}

impl CpuTimes {
    /// What each of so many tasks has cost since `before`.
    pub fn per_task_since(&self, before: &Self, tasks: u64) -> CpuPerTask {
        let each = |now: Duration, before: Duration| {
            now.saturating_sub(before).as_secs_f64() * 1e6 / tasks.max(1) as f64
        };
        let hub_us = each(self.hub, before.hub);
        let engines_us = each(self.engines, before.engines);
        let client_us = each(self.client, before.client);
        let host_us = each(self.host, before.host);
        let total_us = hub_us + engines_us + client_us + host_us;
        CpuPerTask { hub_us, engines_us, client_us, host_us, total_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shared_out_among_the_tasks() {
        let ms = Duration::from_millis;
        let before = CpuTimes { host: ms(1), hub: ms(10), engines: ms(20), client: ms(30) };
        let now = CpuTimes { host: ms(1), hub: ms(20), engines: ms(40), client: ms(60) };
        let each = now.per_task_since(&before, 10_000);
        let expected = [1.0, 2.0, 3.0, 0.0, 6.0];
        let got = [each.hub_us, each.engines_us, each.client_us, each.host_us, each.total_us];
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-9, "{each:?}");
        }
    }
}
