//! The host process: one for each machine and cluster. It starts hub and engines, is their
//! subreaper, starts them again when they die, and ends them all.
//!
//! [`run`] must be called from the main thread of a process that does nothing else. What happens
//! next is decided in `plan.rs`; here it is only carried out. Everything runs on that one thread:
//! spawning must, because the kernel ties the death signal of a child to the thread that made it.

pub mod cause;
mod commands;
pub mod control;
mod credentials;
mod hub_link;
pub(crate) mod logs;
pub mod plan;
pub mod plan_events;
pub mod process;
pub mod report;
mod shell;
pub(crate) mod spawn;
pub mod sweep;

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use tracing::Instrument;

use crate::cluster_dir::{ClusterName, DirError, Home, HostLock};
use crate::cluster_state::ClusterState;
use crate::config::{ListenAddress, LogFormat};
use crate::host::process::Phase;
use crate::host::report::{Reporter, StartReport};
use crate::placement::Placement;
use crate::{limits, os};

pub use crate::host::commands::{LOG_ENV, LOG_FORMAT_ENV};
pub use crate::host::credentials::CredentialError;
pub use crate::host::spawn::{
    CONNECTION_ENV, ENGINE_INDEX_ENV, ENGINE_NAME_ENV, READY_FD_ENV, RUN_ENV,
};

/// What engines are, when they are not `phalanx engine` without arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<std::ffi::OsString>,
}

impl Program {
    /// An executable and its arguments.
    pub fn new(path: impl Into<PathBuf>, args: Vec<std::ffi::OsString>) -> Self {
        Self { path: path.into(), args }
    }

    /// `phalanx engine`, with arguments.
    pub(crate) fn native(phalanx: PathBuf, args: Vec<std::ffi::OsString>) -> Self {
        Self::new(phalanx, std::iter::once("engine".into()).chain(args).collect())
    }
}

/// Whose end also ends the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's: it lives until it is stopped.
    Nobody,
    /// Whoever holds the other end of standard input.
    StandardInput,
}

/// Where the host tells how its start goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportTo {
    /// The terminal it runs in.
    Terminal,
    /// An inherited pipe; the host's own output then goes to its log.
    Pipe(RawFd),
}

/// What a host is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostOptions {
    /// Where clusters live.
    pub home: Home,
    /// The cluster's name.
    pub cluster: ClusterName,
    /// How many engines.
    pub engines: u32,
    /// Whether scheduler and DAG run in a process of their own.
    pub scheduler_process: bool,
    /// How the scheduler places.
    pub placement: Placement,
    /// Where the hub listens.
    pub listen: ListenAddress,
    /// From being told to stop until being killed.
    pub stop_grace: Duration,
    /// What engines are; `phalanx engine` by default.
    pub program: Option<Program>,
    /// What all processes log; by default what the environment says.
    pub log: Option<String>,
    /// How they write it; by default what the environment says.
    pub log_format: Option<LogFormat>,
    /// Whose end also ends the cluster.
    pub owner: Owner,
    /// Where the host tells how its start goes.
    pub report_to: ReportTo,
}

impl HostOptions {
    /// A host without engines, on loopback, that tells the terminal and lives until it is stopped.
    pub fn new(home: Home, cluster: ClusterName) -> Self {
        Self {
            home,
            cluster,
            engines: 0,
            scheduler_process: false,
            placement: Placement::default(),
            listen: ListenAddress::default(),
            stop_grace: limits::STOP_GRACE,
            program: None,
            log: None,
            log_format: None,
            owner: Owner::Nobody,
            report_to: ReportTo::Terminal,
        }
    }
}

/// Why a host could not run at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The cluster's directory cannot be used.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The status descriptor is no pipe.
    #[error("the status pipe cannot be used")]
    StatusPipe(#[source] std::io::Error),
    /// The system refused something a host needs.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The run's credentials could not be made.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// Processes of an earlier run would not end.
    #[error("an earlier run of cluster {cluster} is not gone")]
    Leftovers {
        /// The cluster.
        cluster: ClusterName,
        /// Which processes.
        #[source]
        source: sweep::SweepError,
    },
}

/// How a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostEnd {
    /// As asked.
    Stopped,
    /// It could not start or go on.
    Failed {
        /// Which process failed.
        step: String,
        /// Why, in words.
        reason: String,
    },
}

/// Runs a cluster's host until it is told to stop or cannot go on.
///
/// Call it from the main thread of a process of its own: it collects every child of the process.
pub fn run(options: HostOptions) -> Result<HostEnd, HostError> {
    let mut reporter = match options.report_to {
        ReportTo::Terminal => Reporter::Terminal,
        ReportTo::Pipe(number) => {
            Reporter::to_pipe(os::inherited_pipe(number).map_err(HostError::StatusPipe)?)
        }
    };
    let result = run_with(options, &mut reporter);
    if let Err(error) = &result {
        let reason = crate::words::chain(error);
        reporter.report(&StartReport::Failed { step: "host".into(), reason, log: None });
    }
    result
}

fn run_with(options: HostOptions, reporter: &mut Reporter) -> Result<HostEnd, HostError> {
    let lock = options.home.cluster(&options.cluster).lock(&options.home)?;
    clear_earlier_run(&lock)?;
    if let ReportTo::Pipe(_) = options.report_to {
        redirect_output(&lock)?;
    }
    let system =
        |what| move |errno: rustix::io::Errno| HostError::System { what, source: errno.into() };
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(system("become the reaper of its descendants"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| HostError::System { what: "make a runtime", source })?;
    let shell = shell::Shell::new(options, lock, reporter)?;
    let span = tracing::error_span!("cluster", run = shell.run_id());
    let (end, lock) = runtime.block_on(shell.run().instrument(span))?;
    match &end {
        HostEnd::Stopped => lock.remove()?,
        // Its log and state stay for whoever asks; its keys are of no use any more.
        HostEnd::Failed { .. } => lock.remove_keys()?,
    }
    Ok(end)
}

/// Ends what is left of a run whose host was killed, and removes its files.
fn clear_earlier_run(lock: &HostLock) -> Result<(), HostError> {
    let cluster = lock.dir().name().clone();
    match lock.dir().read_state::<ClusterState>() {
        Ok(Some(state)) if state.phase != Phase::Failed && state.is_of_this_machine() => {
            sweep::sweep(&state.run, || {})
                .map_err(|source| HostError::Leftovers { cluster, source })?;
        }
        Ok(_) => {}
        // Without a readable state nothing is known to sweep; the files go all the same.
        Err(error) => tracing::warn!(%error, "the state of an earlier run is lost"),
    }
    Ok(lock.clear()?)
}

/// From here on the host's own output goes to its log, not to the terminal of whoever started it.
fn redirect_output(lock: &HostLock) -> Result<(), HostError> {
    let system = |source| HostError::System { what: "open its log", source };
    lock.dir().create_logs()?;
    let log = logs::open(&lock.dir().log_file("host")).map_err(system)?;
    rustix::stdio::dup2_stderr(&log).map_err(|errno| system(errno.into()))?;
    rustix::stdio::dup2_stdout(&log).map_err(|errno| system(errno.into()))
}
