//! Stopping a cluster from outside: told, awaited, verified, and cleaned up after a crash.
//!
//! Used by `phalanx stop` and by `LocalCluster`. Repeating it is harmless. The host's process id
//! comes from the lock, and its end is an event on a descriptor that cannot mean another process.

use std::time::Duration;

use rustix::process::Signal;

use crate::cluster_dir::{ClusterDir, ClusterName, DirError, Home, Liveness};
use crate::cluster_state::ClusterState;
use crate::host::sweep::{self, SweepError};
use crate::launch::stop_max;
use crate::{limits, os};

/// What a stop found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// There was no such cluster.
    WasAbsent,
    /// Its host ended it.
    Ended,
    /// Its host was dead already: so many processes were left, and their files.
    CleanedUp {
        /// Processes that had to be killed.
        killed: usize,
    },
    /// Its host did not end in time and was killed.
    Forced {
        /// Processes that had to be killed with it.
        killed: usize,
    },
}

/// Why a cluster could not be stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// Its directory cannot be used.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// It runs on another machine that shares this directory.
    #[error("cluster {cluster} runs on {machine}; run phalanx stop there")]
    OtherMachine {
        /// The cluster.
        cluster: ClusterName,
        /// The machine.
        machine: String,
    },
    /// Its host cannot be signalled.
    #[error("cannot signal the host of cluster {cluster} (process {pid})")]
    Signal {
        /// The cluster.
        cluster: ClusterName,
        /// The host's process id.
        pid: u32,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Its host did not end, even killed.
    #[error(
        "the host of cluster {cluster} (process {pid}) did not end within {} s, even killed; \
         look at it with: ps -o pid,stat,wchan:30,cmd -p {pid}",
        waited.as_secs()
    )]
    TimedOut {
        /// The cluster.
        cluster: ClusterName,
        /// The host's process id.
        pid: u32,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Processes of it would not end.
    #[error("cluster {cluster} is not gone")]
    Leftovers {
        /// The cluster.
        cluster: ClusterName,
        /// Which processes.
        #[source]
        source: SweepError,
    },
}

/// Stops a cluster and makes sure that nothing of it is left: no process and no file.
pub fn stop(home: &Home, dir: &ClusterDir) -> Result<Stopped, StopError> {
    let liveness = dir.liveness()?;
    let state = dir.read_state::<ClusterState>().unwrap_or_default();
    check_machine(dir, liveness, state.as_ref())?;
    match liveness {
        Liveness::Absent => Ok(Stopped::WasAbsent),
        Liveness::Stale => {
            let killed = clean_up(home, dir, state.as_ref())?;
            Ok(Stopped::CleanedUp { killed })
        }
        Liveness::Running { pid } => stop_host(home, dir, pid, state.as_ref()),
    }
}

fn check_machine(
    dir: &ClusterDir,
    liveness: Liveness,
    state: Option<&ClusterState>,
) -> Result<(), StopError> {
    match state {
        Some(state) if liveness != Liveness::Stale && !state.is_of_this_machine() => {
            let machine = state.machine.clone();
            Err(StopError::OtherMachine { cluster: dir.name().clone(), machine })
        }
        _ => Ok(()),
    }
}

fn stop_host(
    home: &Home,
    dir: &ClusterDir,
    pid: rustix::process::Pid,
    state: Option<&ClusterState>,
) -> Result<Stopped, StopError> {
    let number = os::number_of_pid(pid);
    let cluster = dir.name().clone();
    let host = sweep::pin(pid);
    // Pinned: if the lock still names this id, the descriptor is the host's.
    let Some(host) =
        host.filter(|_| matches!(dir.liveness(), Ok(Liveness::Running { pid: p }) if p == pid))
    else {
        return Ok(Stopped::CleanedUp { killed: clean_up(home, dir, state)? });
    };
    let signal = |signal| match rustix::process::pidfd_send_signal(&host, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    };
    let refused = |source| StopError::Signal { cluster: cluster.clone(), pid: number, source };
    signal(Signal::TERM).map_err(refused)?;
    let grace =
        state.map_or(limits::STOP_GRACE, |state| Duration::from_millis(state.stop_grace_ms));
    let waited = stop_max(grace);
    let was_forced = !sweep::wait_for(&host, waited);
    if was_forced {
        signal(Signal::KILL).map_err(refused)?;
        if !sweep::wait_for(&host, limits::STOP_MARGIN) {
            let waited = waited + limits::STOP_MARGIN;
            return Err(StopError::TimedOut { cluster, pid: number, waited });
        }
    }
    let killed = clean_up(home, dir, state)?;
    Ok(if was_forced { Stopped::Forced { killed } } else { Stopped::Ended })
}

/// Ends what a dead host left running and removes its files; says how many processes there were.
fn clean_up(
    home: &Home,
    dir: &ClusterDir,
    state: Option<&ClusterState>,
) -> Result<usize, StopError> {
    let killed = match state {
        Some(state) if state.is_of_this_machine() => sweep::sweep(&state.run, || {})
            .map_err(|source| StopError::Leftovers { cluster: dir.name().clone(), source })?,
        _ => 0,
    };
    if dir.liveness()? == Liveness::Stale {
        match dir.lock(home) {
            Ok(lock) => lock.remove()?,
            // Somebody has started it again meanwhile: then it is not ours to remove.
            Err(DirError::Locked { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(killed)
}
