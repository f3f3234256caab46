//! Checks that nothing of a cluster outlives it.
//!
//! May call it: the example programs, before and after they stop a cluster. It looks for itself, in
//! `/proc` and on the disk, and deliberately asks neither the cluster nor the code that stops it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use phalanx::LocalCluster;
use phalanx::cluster_state::ClusterState;
use phalanx::host::RUN_ENV;
use thiserror::Error;

/// What a cluster consists of, noted while it runs.
#[derive(Debug, Clone)]
pub struct Leftovers {
    dir: PathBuf,
    /// The variable that each process of the run has in its environment.
    mark: Vec<u8>,
    processes: Vec<Process>,
}

/// A process, told from a later one with the same number by the time it started.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: u32,
    started_ticks: String,
}

/// Why a cluster cannot be looked at.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LeftoversError {
    /// Its state file cannot be read.
    #[error("cannot read the state of the cluster")]
    State(#[from] phalanx::cluster_dir::DirError),
    /// It has no state file.
    #[error("the cluster has no state file in {dir}; look before it is stopped")]
    NoState {
        /// Its directory.
        dir: PathBuf,
    },
    /// The processes of this machine cannot be listed.
    #[error("cannot list /proc")]
    Proc(#[source] io::Error),
    /// Processes of it are left.
    #[error("processes of the stopped cluster are left: {pids:?}")]
    Processes {
        /// Which.
        pids: Vec<u32>,
    },
    /// Its directory is left.
    #[error("the stopped cluster has left {dir} behind")]
    Dir {
        /// Its directory.
        dir: PathBuf,
    },
}

/// How long the last process may take to end after the cluster said that it has stopped: the keeper,
/// which makes sure that all others have ended, ends after them.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// How often it looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Leftovers {
    /// Notes what `cluster` consists of.
    pub fn of(cluster: &LocalCluster) -> Result<Self, LeftoversError> {
        let dir = cluster.dir().path().to_owned();
        let state: Option<ClusterState> = cluster.dir().read_state()?;
        let Some(state) = state else { return Err(LeftoversError::NoState { dir }) };
        let mark = format!("{RUN_ENV}={}", state.run).into_bytes();
        let named = state.processes.iter().filter_map(|process| process.pid);
        let pids = named.chain([state.host_pid]).chain(marked(&mark)?);
        let processes = pids.filter_map(Process::of).collect();
        Ok(Self { dir, mark, processes })
    }

    /// How many processes were noted.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Checks that none of its processes lives, nor any other that a task of it started, and that its
    /// directory is gone.
    pub fn check(&self) -> Result<(), LeftoversError> {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let pids = self.left()?;
            if pids.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                return Err(LeftoversError::Processes { pids });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        if self.dir.exists() {
            return Err(LeftoversError::Dir { dir: self.dir.clone() });
        }
        Ok(())
    }

    fn left(&self) -> Result<Vec<u32>, LeftoversError> {
        let noted = self.processes.iter().filter(|process| process.lives()).map(|noted| noted.pid);
        let mut left: Vec<_> = noted.chain(marked(&self.mark)?).collect();
        left.sort_unstable();
        left.dedup();
        Ok(left)
    }
}

impl Process {
    fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started_ticks: started_ticks(pid)? })
    }

    fn lives(&self) -> bool {
        started_ticks(self.pid).as_ref() == Some(&self.started_ticks)
    }
}

/// When a process started, in ticks since the machine did; `None` if there is none, or it has ended and
/// only its parent has not looked yet.
fn started_ticks(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name, in parentheses, and may hold anything; the start is the 22nd.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let has_ended = matches!(fields.next(), Some("Z" | "X"));
    fields.nth(18).filter(|_| !has_ended).map(str::to_owned)
}

/// The processes with `mark` in their environment, this one left out.
fn marked(mark: &[u8]) -> Result<Vec<u32>, LeftoversError> {
    let own = std::process::id();
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").map_err(LeftoversError::Proc)? {
        let name = entry.map_err(LeftoversError::Proc)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended since it was listed, or be somebody else's.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if pid != own && environment.split(|byte| *byte == 0).any(|variable| variable == mark) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn child(mark: &str) -> Child {
        let (name, value) = mark.split_once('=').expect("a variable");
        // It ends with its standard input, which the test holds.
        Command::new("cat").env(name, value).stdin(Stdio::piped()).spawn().expect("cat starts")
    }

    #[test]
    fn processes_are_found_by_number_and_by_mark_until_they_end() {
        let mark = format!("PHALANX_LEFTOVERS_TEST={}", std::process::id());
        let (mut noted, mut marked) = (child("OTHER=1"), child(&mark));
        let leftovers = Leftovers {
            dir: "/nonexistent/cluster".into(),
            mark: mark.into_bytes(),
            processes: Process::of(noted.id()).into_iter().collect(),
        };
        // The environment is the child's own once it has become `cat`.
        let deadline = Instant::now() + Duration::from_secs(10);
        while leftovers.left().expect("listed").len() < 2 {
            assert!(Instant::now() < deadline, "both are seen");
            std::thread::yield_now();
        }
        let mut both = vec![noted.id(), marked.id()];
        both.sort_unstable();
        assert_eq!(leftovers.left().expect("listed"), both);
        for child in [&mut noted, &mut marked] {
            drop(child.stdin.take());
        }
        // Ended is enough: their parent looks only afterwards.
        leftovers.check().expect("nothing is left");
        noted.wait().expect("ended");
        marked.wait().expect("ended");
    }

    #[test]
    fn a_directory_that_is_left_is_named() {
        let dir = tempfile::tempdir().expect("tempdir");
        let leftovers =
            Leftovers { dir: dir.path().into(), mark: b"NO=SUCH".into(), processes: Vec::new() };
        assert!(matches!(leftovers.check(), Err(LeftoversError::Dir { .. })));
    }
}
