//! Starting one process of the cluster: its group, its log, its readiness pipe, its death with ours.
//!
//! Called by the host from its main thread only, since the kernel ties the death signal to the
//! thread that spawns. It does not wait for what it started.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::host::logs;
use crate::os;

/// Tells a child the number of the pipe on which it says that it is ready.
pub const READY_FD_ENV: &str = "PHALANX_READY_FD";
/// Marks every process of a run, however deep: the sweep finds what is left by it.
pub const RUN_ENV: &str = "PHALANX_RUN";
/// Tells a child where its connection file is.
pub const CONNECTION_ENV: &str = "PHALANX_CONNECTION";
/// Tells an engine its stable name in the cluster: `<machine>/<index>`.
pub const ENGINE_NAME_ENV: &str = "PHALANX_ENGINE_NAME";
/// Tells an engine its index on this machine.
pub const ENGINE_INDEX_ENV: &str = "PHALANX_ENGINE_INDEX";

/// What is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, OsString)>,
    pub(crate) log: PathBuf,
    pub(crate) tie: Tie,
    pub(crate) stdin: Input,
}

/// What a child finds on its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Nothing: it ends at once.
    Nothing,
    /// A pipe that ends when the host does.
    EndsWithHost,
}

/// What a child does when its parent is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    /// It is killed too.
    DiesWithHost,
    /// It lives on, to clean up.
    OutlivesHost,
}

/// A child that has been started.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: u32,
    /// Readable when the child says that it is ready; at its end without a line, it never was.
    pub(crate) ready: OwnedFd,
    /// The host's end of the child's standard input, if it has one.
    pub(crate) lease: Option<OwnedFd>,
}

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("cannot open its log {}: {source}", path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error("cannot make its readiness pipe: {0}")]
    Pipe(io::Error),
    #[error("cannot start {}: {source}", program.display())]
    Exec { program: PathBuf, source: io::Error },
}

/// Starts a process in a group of its own, with nothing to read and its output in its log.
pub(crate) fn spawn(launch: &Launch) -> Result<Spawned, SpawnError> {
    let log = open_log(&launch.log)?;
    let errors = log.try_clone().map_err(|source| log_error(&launch.log, source))?;
    let (ready, said) = io::pipe().map_err(SpawnError::Pipe)?;
    let said = OwnedFd::from(said);
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .envs(launch.env.iter().map(|(name, value)| (name, value)))
        .env(READY_FD_ENV, os::number_of(&said).to_string())
        .stdin(match launch.stdin {
            Input::Nothing => Stdio::null(),
            Input::EndsWithHost => Stdio::piped(),
        })
        .stdout(log)
        .stderr(errors)
        .process_group(0);
    match launch.tie {
        Tie::DiesWithHost => os::die_with_parent(&mut command, said),
        Tie::OutlivesHost => os::outlive_parent(&mut command, said),
    }
    let mut child = command
        .spawn()
        .map_err(|source| SpawnError::Exec { program: launch.program.clone(), source })?;
    let lease = child.stdin.take().map(OwnedFd::from);
    Ok(Spawned { pid: child.id(), ready: ready.into(), lease })
}

fn open_log(path: &Path) -> Result<std::fs::File, SpawnError> {
    logs::bound(path).map_err(|source| log_error(path, source))?;
    logs::open(path).map_err(|source| log_error(path, source))
}

fn log_error(path: &Path, source: io::Error) -> SpawnError {
    SpawnError::Log { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::process::{Signal, WaitOptions};

    use super::*;
    use crate::host::cause::Cause;

    fn launch(dir: &Path, script: &str) -> Launch {
        Launch {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![(RUN_ENV, "spawn-test".into())],
            log: dir.join("child.log"),
            tie: Tie::DiesWithHost,
            stdin: Input::Nothing,
        }
    }

    fn wait(pid: u32) -> Cause {
        let pid = os::pid_of(pid).unwrap();
        let (_, status) =
            rustix::process::waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        Cause::from_status(status, false)
    }

    #[test]
    fn a_child_says_that_it_is_ready_and_writes_to_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let script = "echo out; echo err >&2; echo \"run $PHALANX_RUN\"; \
                      echo ready >/proc/self/fd/$PHALANX_READY_FD; exit 3";
        let child = spawn(&launch(dir.path(), script)).unwrap();
        let mut line = String::new();
        std::fs::File::from(child.ready).read_to_string(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        assert_eq!(wait(child.pid), Cause::Exited(3));
        let log = std::fs::read_to_string(dir.path().join("child.log")).unwrap();
        assert_eq!(log, "out\nerr\nrun spawn-test\n");
    }

    #[test]
    fn a_child_is_a_group_of_its_own_with_a_death_signal() {
        let dir = tempfile::tempdir().unwrap();
        let child = spawn(&launch(dir.path(), "exec sleep 60")).unwrap();
        let pid = os::pid_of(child.pid).unwrap();
        assert_eq!(rustix::process::getpgid(Some(pid)).unwrap(), pid);
        rustix::process::kill_process_group(pid, Signal::KILL).unwrap();
        assert_eq!(wait(child.pid), Cause::Signaled(9));
    }

    #[test]
    fn the_pipe_of_a_child_that_dies_ends_without_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let child = spawn(&launch(dir.path(), "exit 1")).unwrap();
        let mut line = String::new();
        std::fs::File::from(child.ready).read_to_string(&mut line).unwrap();
        assert_eq!(line, "");
        assert_eq!(wait(child.pid), Cause::Exited(1));
    }

    #[test]
    fn a_missing_program_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut launch = launch(dir.path(), "");
        launch.program = "/no/such/program".into();
        let error = spawn(&launch).unwrap_err().to_string();
        assert!(error.contains("cannot start /no/such/program"), "{error}");
    }
}
