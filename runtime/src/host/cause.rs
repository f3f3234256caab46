//! Why a process ended, in words, and the kernel's count of processes killed for want of memory.
//!
//! The words go into the state file, the log and the hub's records. Nothing here waits or signals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::process::WaitStatus;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It returned an exit code.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
    /// The kernel ended it because memory ran out.
    OutOfMemory,
}

const SIGKILL: i32 = 9;

impl Cause {
    /// Reads a wait status. `out_of_memory`: the kernel's count of such kills rose for this process.
    pub fn from_status(status: WaitStatus, out_of_memory: bool) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (_, Some(SIGKILL)) if out_of_memory => Self::OutOfMemory,
            (_, Some(signal)) => Self::Signaled(signal),
            (Some(code), None) => Self::Exited(code),
            // Stopped or continued: such states are not asked for.
            (None, None) => Self::Exited(0),
        }
    }

    /// The exit code, if the process returned one.
    pub fn exit_code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// The signal that ended the process, if one did.
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Exited(_) => None,
            Self::Signaled(signal) => Some(signal),
            Self::OutOfMemory => Some(SIGKILL),
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::OutOfMemory => f.write_str("killed by the kernel because memory ran out"),
            Self::Signaled(signal) => match signal_name(signal) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {signal}"),
            },
        }
    }
}

/// The name of a signal on Linux.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL (illegal instruction)",
        5 => "SIGTRAP",
        6 => "SIGABRT (abort)",
        7 => "SIGBUS (bus error)",
        8 => "SIGFPE (arithmetic fault)",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV (segmentation fault)",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU (processor time limit)",
        25 => "SIGXFSZ (file size limit)",
        31 => "SIGSYS (forbidden system call)",
        _ => return None,
    })
}

/// The kernel's counts of out-of-memory kills, for the memory groups of the children.
///
/// Each counted kill explains one death: processes of one group share a counter.
#[derive(Debug, Default)]
pub(crate) struct OomWatch {
    file_of: BTreeMap<u32, PathBuf>,
    explained: BTreeMap<PathBuf, u64>,
}

impl OomWatch {
    /// Notes which group a process is in. Repeated while it lives, since it may be moved.
    pub(crate) fn watch(&mut self, pid: u32) {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let Some(file) = counter_file(&groups, Path::new("/sys/fs/cgroup")) else {
            return;
        };
        self.watch_file(pid, file);
    }

    /// Whether the process was killed because memory ran out. It is not watched any more.
    pub(crate) fn explains(&mut self, pid: u32) -> bool {
        let Some(file) = self.file_of.remove(&pid) else {
            return false;
        };
        let counted = read_count(&file);
        let Some(explained) = self.explained.get_mut(&file) else {
            return false;
        };
        let rose = counted.is_some_and(|counted| counted > *explained);
        *explained += u64::from(rose);
        rose
    }

    fn watch_file(&mut self, pid: u32, file: PathBuf) {
        if !self.explained.contains_key(&file) {
            let Some(count) = read_count(&file) else {
                return;
            };
            self.explained.insert(file.clone(), count);
        }
        self.file_of.insert(pid, file);
    }
}

fn read_count(file: &Path) -> Option<u64> {
    oom_kills(&std::fs::read_to_string(file).ok()?)
}

/// The file that counts, by the lines of `/proc/<pid>/cgroup`: of the memory controller's own
/// hierarchy (cgroup v1) where there is one, or else of the unified one.
fn counter_file(groups: &str, root: &Path) -> Option<PathBuf> {
    let mut unified = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let group = group.trim_start_matches('/');
        if controllers.split(',').any(|controller| controller == "memory") {
            return Some(root.join("memory").join(group).join("memory.oom_control"));
        }
        if controllers.is_empty() {
            unified = Some(root.join(group).join("memory.events"));
        }
    }
    unified
}

/// The number after `oom_kill` in `memory.oom_control` (v1) or `memory.events` (v2).
fn oom_kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_read_as_words() {
        let cases = [
            (Cause::Exited(3), "exited with code 3"),
            (Cause::Signaled(9), "killed by SIGKILL"),
            (Cause::Signaled(11), "killed by SIGSEGV (segmentation fault)"),
            (Cause::Signaled(40), "killed by signal 40"),
            (Cause::OutOfMemory, "killed by the kernel because memory ran out"),
        ];
        for (cause, words) in cases {
            assert_eq!(cause.to_string(), words);
        }
    }

    #[test]
    fn the_counter_is_found_in_both_kinds_of_groups() {
        let root = Path::new("/sys/fs/cgroup");
        let v1 = "5:devices:/\n4:cpu,memory:/a/b\n0::/\n";
        let v2 = "0::/user.slice/x\n";
        let file = counter_file(v1, root).unwrap();
        assert_eq!(file, Path::new("/sys/fs/cgroup/memory/a/b/memory.oom_control"));
        let file = counter_file(v2, root).unwrap();
        assert_eq!(file, Path::new("/sys/fs/cgroup/user.slice/x/memory.events"));
        assert_eq!(counter_file("", root), None);
    }

    #[test]
    fn the_count_is_read_from_either_file() {
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(oom_kills("low 0\nmax 4\noom 2\noom_kill 1\n"), Some(1));
        assert_eq!(oom_kills("nothing"), None);
    }

    #[test]
    fn each_counted_kill_explains_one_death() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memory.events");
        std::fs::write(&file, "oom_kill 1\n").unwrap();
        let mut watch = OomWatch::default();
        for pid in 1..=4 {
            watch.watch_file(pid, file.clone());
        }
        assert!(!watch.explains(1));
        std::fs::write(&file, "oom_kill 2\n").unwrap();
        assert!(watch.explains(2));
        assert!(!watch.explains(3));
        assert!(!watch.explains(3));
    }
}
