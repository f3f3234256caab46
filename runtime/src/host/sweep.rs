//! Finding and ending whatever is left of a run, by the mark in its environment.
//!
//! Every process of a run inherits `PHALANX_RUN=<run>`, so what a task started and left behind is
//! found too, whoever its parent is by now. Used by the host at its end, by the keeper, and by
//! `start` and `stop` after a host that was killed. A process id is never trusted by itself: the
//! mark is read again after the process has been pinned by a descriptor.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::host::spawn::RUN_ENV;
use crate::limits;
use crate::os;

/// Processes that would not end.
#[derive(Debug, thiserror::Error)]
#[error("{} of the run would not end within {} s: {}", count_words(left.len()), waited.as_secs(), pid_words(left))]
pub struct SweepError {
    /// Their process ids.
    pub left: Vec<u32>,
    /// How long they were waited for.
    pub waited: Duration,
}

fn count_words(count: usize) -> String {
    if count == 1 { "a process".to_owned() } else { format!("{count} processes") }
}

fn pid_words(pids: &[u32]) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

/// The processes of a run that live now, this one left out.
pub fn processes_of(run: &str) -> Vec<u32> {
    let own = std::process::id();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own && is_of_run(*pid, run))
        .collect()
}

/// Kills every process of a run and waits until none is left; says how many there were.
///
/// `reap` is called after each pass: the host collects its dead children there.
pub(crate) fn sweep(run: &str, mut reap: impl FnMut()) -> Result<usize, SweepError> {
    let began = Instant::now();
    let mut killed = 0;
    for _ in 0..limits::SWEEP_PASSES_MAX {
        let found: Vec<OwnedFd> =
            processes_of(run).into_iter().filter_map(|pid| kill_if_of(pid, run)).collect();
        reap();
        if found.is_empty() || began.elapsed() >= limits::SWEEP_MAX {
            break;
        }
        killed += found.len();
        for process in &found {
            wait_for(process, limits::SWEEP_MAX.saturating_sub(began.elapsed()));
        }
    }
    let left = processes_of(run);
    if left.is_empty() { Ok(killed) } else { Err(SweepError { left, waited: began.elapsed() }) }
}

/// Waits until a process has ended, or a pipe has something to read or its end; says whether so.
pub(crate) fn wait_for(process: &OwnedFd, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timespec = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut polled = [PollFd::new(process, PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&timespec)) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) if left.is_zero() => return false,
            Ok(0) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

/// A descriptor that goes on meaning the same process.
pub(crate) fn pin(pid: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()
}

fn kill_if_of(number: u32, run: &str) -> Option<OwnedFd> {
    let process = pin(os::pid_of(number)?)?;
    // The id may have passed to another process before it was pinned.
    if !is_of_run(number, run) {
        return None;
    }
    rustix::process::pidfd_send_signal(&process, Signal::KILL).ok()?;
    Some(process)
}

/// Whether a process of this user carries the mark. One that has ended has no environment any more.
fn is_of_run(pid: u32, run: &str) -> bool {
    let path = format!("/proc/{pid}/environ");
    let is_own = std::fs::metadata(&path)
        .is_ok_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw());
    let mark = format!("{RUN_ENV}={run}");
    is_own
        && std::fs::read(&path).is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_sweep_ends_the_whole_run_and_nobody_else() {
        let run = format!("sweep-{}", std::process::id());
        let spawn = |run: &str| {
            // A grandchild in a session of its own: no group and no parent leads to it.
            Command::new("/bin/sh")
                .args(["-c", "setsid sleep 60 & exec sleep 60"])
                .env(RUN_ENV, run)
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        };
        let mut other = spawn(&format!("{run}-other"));
        let mut own = spawn(&run);
        let deadline = Instant::now() + Duration::from_secs(10);
        while processes_of(&run).len() < 2 {
            assert!(Instant::now() < deadline, "the processes did not start");
            std::thread::yield_now();
        }
        let killed = sweep(&run, || drop(own.try_wait())).unwrap();
        assert!(killed >= 2, "{killed}");
        assert_eq!(processes_of(&run), [0; 0]);
        assert_eq!(sweep(&run, || {}).unwrap(), 0);
        assert!(other.try_wait().unwrap().is_none(), "another run's process was ended");
        sweep(&format!("{run}-other"), || drop(other.try_wait())).unwrap();
    }
}
