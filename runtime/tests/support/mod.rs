//! A place of its own for each test: a home directory, the command line, and a guard that nothing
//! is left when the test ends.
//!
//! Every process of a test inherits a mark in its environment, so that what is left is found by
//! looking at all processes, whoever their parent is.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod sockets;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Time within which nothing of a killed cluster may be left.
pub(crate) const GONE_WITHIN: Duration = Duration::from_secs(10);
/// Time within which a restarted process must be back.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(20);

const MARK_ENV: &str = "PHALANX_TEST_MARK";

/// A home directory and a mark.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    mark: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{number}", std::process::id());
        Self { dir: tempfile::tempdir().unwrap(), mark }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub(crate) fn cluster_dir(&self, name: &str) -> PathBuf {
        self.home().join("clusters").join(name)
    }

    /// The command line, in this place's home, with nothing else of ours in its environment.
    pub(crate) fn phalanx(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PHALANX_") {
                command.env_remove(name);
            }
        }
        command
            .args(line.split_whitespace())
            .env("PHALANX_HOME", self.home())
            .env(MARK_ENV, &self.mark)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command line to its end, which must be a good one.
    pub(crate) fn run(&self, line: &str) -> Output {
        let output = self.phalanx(line).output().unwrap();
        assert!(output.status.success(), "phalanx {line}: {}", text(&output));
        output
    }

    /// Runs a command line to its end and gives the exit code.
    pub(crate) fn exit_code(&self, line: &str) -> (i32, String) {
        let output = self.phalanx(line).output().unwrap();
        (output.status.code().unwrap_or(-1), text(&output))
    }

    /// The JSON that a read command prints.
    pub(crate) fn json(&self, line: &str) -> Value {
        let output = self.run(line);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)))
    }

    /// What the host says of its cluster.
    pub(crate) fn state(&self, cluster: &str) -> Option<Value> {
        let text = std::fs::read(self.cluster_dir(cluster).join("state.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The process of a cluster that has this name, as the host knows it.
    pub(crate) fn process(&self, cluster: &str, name: &str) -> Option<Process> {
        let state = self.state(cluster)?;
        let process = state["processes"].as_array()?.iter().find(|p| p["process"] == name)?;
        Some(Process {
            pid: process["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()),
            state: process["state"].as_str().unwrap_or_default().to_owned(),
            restarts: process["restarts"].as_u64().unwrap_or(0),
            last_exit: process["last_exit"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// The id of a living process of a cluster; `host` is one too.
    pub(crate) fn pid(&self, cluster: &str, name: &str) -> u32 {
        if name == "host" {
            let pid = self.state(cluster).unwrap()["host_pid"].as_u64().unwrap();
            return pid.try_into().unwrap();
        }
        let process = self.process(cluster, name);
        process.and_then(|process| process.pid).unwrap_or_else(|| panic!("{name} is not alive"))
    }

    /// Kills a process of a cluster as nothing can refuse.
    pub(crate) fn kill(&self, cluster: &str, name: &str) -> u32 {
        let pid = self.pid(cluster, name);
        signal(pid, "KILL");
        pid
    }

    /// Waits until a killed process is back with another id.
    pub(crate) fn wait_for_restart(&self, cluster: &str, name: &str, old: u32) -> Process {
        let mut found = None;
        wait_until(BACK_WITHIN, &format!("{name} is running again"), || {
            found = self.process(cluster, name);
            found.as_ref().is_some_and(|process| {
                process.state == "running" && process.pid.is_some_and(|pid| pid != old)
            })
        });
        found.unwrap()
    }

    /// All living processes of this place.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = format!("{MARK_ENV}={}", self.mark);
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
            })
        })
        .collect()
    }

    /// Waits until no process of this place is left.
    pub(crate) fn wait_until_gone(&self) {
        let what = "no process is left";
        wait_until(GONE_WITHIN, what, || self.processes().is_empty());
    }
}

/// Whatever a failed test leaves behind is ended.
impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.processes() {
            eprintln!("left behind: {pid} {}", command_line(pid));
            signal(pid, "KILL");
        }
        if std::thread::panicking() {
            show_logs(&self.home());
        }
    }
}

/// A process as the state file tells it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: Option<u32>,
    pub(crate) state: String,
    pub(crate) restarts: u64,
    pub(crate) last_exit: String,
}

/// Waits for a condition, at most this long.
pub(crate) fn wait_until(timeout: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {timeout:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Sends a signal by its name.
pub(crate) fn signal(pid: u32, name: &str) {
    let command = format!("kill -{name} {pid}");
    let _ = Command::new("/bin/sh").args(["-c", &command]).stderr(Stdio::null()).status();
}

/// What a command said, on both outputs.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status
    )
}

/// Reads lines of a child until one contains the text; what was read is in the panic.
pub(crate) fn wait_for_line(child: &mut Child, text: &str) -> String {
    let stderr = child.stderr.as_mut().expect("the child's standard error is piped");
    let mut seen = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.unwrap();
        if line.contains(text) {
            return line;
        }
        seen.push_str(&line);
        seen.push('\n');
    }
    panic!("no line with {text:?} in:\n{seen}");
}

pub(crate) fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn show_logs(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            show_logs(&path);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            eprintln!("--- {}\n{text}", path.display());
        }
    }
}
