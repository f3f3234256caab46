//! Starting a host in the background and waiting for the event that it is ready.
//!
//! Used by `phalanx start` and by `LocalCluster`. The host tells each step on a pipe; its end
//! without a verdict is the host's death. Nothing here sleeps or guesses.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cluster_dir::{ClusterDir, DirError, Liveness};
use crate::host::report::StartReport;
use crate::host::{HostOptions, Owner, logs, sweep};
use crate::{limits, os, placement};

/// A cluster that is ready.
#[derive(Debug)]
pub(crate) struct Launched {
    /// The host process. Its standard input is open while it has an owner.
    pub(crate) host: Child,
    /// Where the hub listens.
    pub(crate) hub_address: String,
    /// How long the start took.
    pub(crate) took: Duration,
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its directory cannot be used, or it runs already.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The `phalanx` program is nowhere to be found.
    #[error(
        "the phalanx program is not found beside this program or on PATH; set PHALANX_BIN to it"
    )]
    NoProgram,
    /// The host could not be started.
    #[error("cannot start {}", program.display())]
    Exec {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A step of the start failed; everything was ended again.
    #[error("cluster {cluster} did not start: {step} failed: {reason}{}", log_words(log.as_ref(), tail))]
    Failed {
        /// The cluster.
        cluster: String,
        /// Which step: a process, or `host`.
        step: String,
        /// Why, in words.
        reason: String,
        /// The log that may say more.
        log: Option<PathBuf>,
        /// Its last lines.
        tail: String,
    },
    /// The host said nothing more for too long.
    #[error(
        "cluster {cluster} did not start within {} s; the host was killed, the last step was: {step}",
        waited.as_secs()
    )]
    TimedOut {
        /// The cluster.
        cluster: String,
        /// The last step it told.
        step: String,
        /// How long it was waited for.
        waited: Duration,
    },
}

fn log_words(log: Option<&PathBuf>, tail: &str) -> String {
    match log {
        Some(log) if !tail.is_empty() => format!("\nlast lines of {}:\n{tail}", log.display()),
        Some(log) => format!("\nits log is empty: {}", log.display()),
        None => String::new(),
    }
}

/// Starts a host of `options` by the program `phalanx` and waits until its cluster is ready.
pub(crate) fn launch(
    phalanx: &Path,
    options: &HostOptions,
    mut told: impl FnMut(&StartReport),
) -> Result<Launched, StartError> {
    let dir = options.home.cluster(&options.cluster);
    if let Liveness::Running { pid } = dir.liveness()? {
        let pid = os::number_of_pid(pid);
        return Err(DirError::Locked { cluster: options.cluster.clone(), pid }.into());
    }
    let began = Instant::now();
    let (mut host, pipe) = spawn_host(phalanx, options)?;
    let mut reports = Reports { pipe, buffer: Vec::new(), deadline: began + start_max() };
    let mut step = "starting host".to_owned();
    loop {
        match reports.next() {
            Next::Report(StartReport::Ready { hub_address, .. }) => {
                return Ok(Launched { host, hub_address, took: began.elapsed() });
            }
            Next::Report(StartReport::Failed { step, reason, log }) => {
                end_host(&mut host, options, false);
                return Err(failed(&dir, step, reason, log));
            }
            Next::Report(report) => {
                told(&report);
                step = report.to_string();
            }
            Next::End => {
                end_host(&mut host, options, false);
                let reason = format!("it ended while {step}");
                let log = Some(dir.log_file("host"));
                return Err(failed(&dir, "host".into(), reason, log));
            }
            Next::TimedOut => {
                end_host(&mut host, options, true);
                let cluster = dir.name().to_string();
                return Err(StartError::TimedOut { cluster, step, waited: began.elapsed() });
            }
        }
    }
}

fn failed(dir: &ClusterDir, step: String, reason: String, log: Option<PathBuf>) -> StartError {
    let tail =
        log.as_deref().map(|log| logs::tail(log, limits::LOG_TAIL_LINES, limits::LOG_TAIL_LEN_MAX));
    let tail = tail.unwrap_or_default();
    StartError::Failed { cluster: dir.name().to_string(), step, reason, log, tail }
}

/// The host itself bounds each step; this only bounds a host that is stuck.
fn start_max() -> Duration {
    limits::HUB_READY_MAX * 2 + limits::ENGINES_READY_MAX + limits::STOP_MARGIN
}

/// Waits for a host that is ending, or kills one that is stuck.
fn end_host(host: &mut Child, options: &HostOptions, is_stuck: bool) {
    if is_stuck {
        // It may just have ended.
        let _ = host.kill();
    }
    if let Some(process) = os::pid_of(host.id()).and_then(sweep::pin)
        && !sweep::wait_for(&process, stop_max(options.stop_grace))
    {
        let _ = host.kill();
    }
    let _ = host.wait();
}

/// How long a host may take to end all of its processes: three stages of grace, and its own work.
pub(crate) fn stop_max(grace: Duration) -> Duration {
    grace * 3 + limits::SWEEP_MAX + limits::STOP_MARGIN
}

fn spawn_host(phalanx: &Path, options: &HostOptions) -> Result<(Child, OwnedFd), StartError> {
    let exec = |source| StartError::Exec { program: phalanx.to_owned(), source };
    let (pipe, told) = std::io::pipe().map_err(exec)?;
    let told = OwnedFd::from(told);
    let mut command = Command::new(phalanx);
    command
        .args(host_args(options))
        .arg("--status-fd")
        .arg(os::number_of(&told).to_string())
        .args(program_args(options))
        .stdin(match options.owner {
            Owner::Nobody => Stdio::null(),
            Owner::StandardInput => Stdio::piped(),
        })
        .stdout(Stdio::null());
    os::detach(&mut command, told);
    let host = command.spawn().map_err(exec)?;
    Ok((host, pipe.into()))
}

fn host_args(options: &HostOptions) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["host", "--home"].map(OsString::from).to_vec();
    args.push(options.home.path().into());
    // Rounded up: less than a second of grace is not none.
    let stop_grace_s = options.stop_grace.as_millis().div_ceil(1_000);
    let values = [
        ("--cluster", options.cluster.to_string()),
        ("--engines", options.engines.to_string()),
        ("--listen", options.listen.to_string()),
        ("--stop-grace-s", stop_grace_s.to_string()),
    ];
    for (name, value) in values {
        args.extend([OsString::from(name), value.into()]);
    }
    let log_format = options.log_format.map(|format| format.as_str().to_owned());
    for (name, value) in [("--log", options.log.clone()), ("--log-format", log_format)] {
        args.extend(value.into_iter().flat_map(|value| [OsString::from(name), value.into()]));
    }
    if options.scheduler_process {
        args.push("--scheduler-process".into());
    }
    args.extend(placement::args(options.placement));
    if options.owner == Owner::StandardInput {
        args.push("--until-stdin-closes".into());
    }
    args
}

/// What engines are has been settled here: the host shall not look for a Python again.
fn program_args(options: &HostOptions) -> Vec<OsString> {
    let Some(program) = &options.program else {
        return vec!["--native".into()];
    };
    let mut args = vec!["--program".into(), program.path.clone().into(), "--".into()];
    args.extend(program.args.iter().cloned());
    args
}

/// The reports of a host, read under a deadline.
struct Reports {
    pipe: OwnedFd,
    buffer: Vec<u8>,
    deadline: Instant,
}

enum Next {
    Report(StartReport),
    End,
    TimedOut,
}

impl Reports {
    fn next(&mut self) -> Next {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(report) => return Next::Report(report),
                    // A newer host may tell more than this program knows.
                    Err(_) => continue,
                }
            }
            if self.buffer.len() > limits::REPORT_LINE_LEN_MAX {
                return Next::End;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if !sweep::wait_for(&self.pipe, left) {
                return Next::TimedOut;
            }
            if !self.read() {
                return Next::End;
            }
        }
    }

    /// Reads what is there; says whether the pipe goes on.
    fn read(&mut self) -> bool {
        let mut chunk = [0; 4096];
        match rustix::io::read(&self.pipe, &mut chunk) {
            Ok(len @ 1..) => self.buffer.extend_from_slice(&chunk[..len]),
            Err(rustix::io::Errno::INTR) => {}
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_dir::{ClusterName, Home};

    #[test]
    fn a_grace_of_less_than_a_second_is_not_none() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::resolve(Some(dir.path().to_owned())).unwrap();
        let name: ClusterName = "grace".parse().unwrap();
        let mut options = HostOptions::new(home, name);
        for (millis, seconds) in [(0, "0"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            options.stop_grace = Duration::from_millis(millis);
            let args = host_args(&options);
            let at = args.iter().position(|arg| arg == "--stop-grace-s").unwrap();
            assert_eq!(args[at + 1], seconds, "{millis} ms");
        }
    }
}
