//! A cluster of this machine, owned by the program that started it.
//!
//! For examples, tests and programs that bring their own engines. The cluster ends with the value,
//! and also if the program is killed: its host watches a pipe that the program holds.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::cluster_dir::{ClusterDir, ClusterName, Home};
use crate::config::ListenAddress;
use crate::host::report::StartReport;
use crate::host::{HostOptions, Owner, Program};
use crate::launch::{self, Launched};
use crate::{limits, words};

pub use crate::launch::StartError;
use crate::placement::Placement;
pub use crate::stop::{StopError, Stopped};

/// Names the `phalanx` program for [`LocalCluster`].
pub const PROGRAM_ENV: &str = "PHALANX_BIN";

/// A running cluster: a host, a hub and engines, each a process of its own.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = phalanx::LocalCluster::builder().engines(4).start()?;
/// println!("{}", cluster.connection_file().display());
/// cluster.stop()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalCluster {
    home: Home,
    dir: ClusterDir,
    host: Child,
    hub_address: String,
    took: Duration,
    is_stopped: bool,
}

impl LocalCluster {
    /// Describes a cluster to start.
    pub fn builder() -> LocalClusterBuilder {
        LocalClusterBuilder::default()
    }

    /// The connection file of a client of this cluster.
    pub fn connection_file(&self) -> PathBuf {
        self.dir.connection_file("client")
    }

    /// The cluster's directory: connection files of all roles, state file, logs.
    pub fn dir(&self) -> &ClusterDir {
        &self.dir
    }

    /// The directory that holds this cluster and others.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Where the hub listens.
    pub fn hub_address(&self) -> &str {
        &self.hub_address
    }

    /// How long the start took.
    pub fn start_took(&self) -> Duration {
        self.took
    }

    /// Stops the cluster and makes sure that nothing of it is left.
    ///
    /// # Errors
    /// [`StopError`] names what would not end. The value is gone all the same.
    pub fn stop(mut self) -> Result<Stopped, StopError> {
        self.end()
    }

    fn end(&mut self) -> Result<Stopped, StopError> {
        if self.is_stopped {
            return Ok(Stopped::WasAbsent);
        }
        self.is_stopped = true;
        let stopped = crate::stop::stop(&self.home, &self.dir);
        if stopped.is_ok() {
            // It has ended: this collects it.
            let _ = self.host.wait();
        }
        stopped
    }
}

/// Stops the cluster. A stop that fails is logged.
impl Drop for LocalCluster {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            let cluster = self.dir.name();
            tracing::error!(%cluster, error = words::chain(&error), "cluster was not stopped");
        }
    }
}

/// What a [`LocalCluster`] is to be.
#[derive(Debug, Clone)]
pub struct LocalClusterBuilder {
    home: Option<PathBuf>,
    name: Option<ClusterName>,
    engines: u32,
    scheduler_process: bool,
    placement: Placement,
    listen: ListenAddress,
    stop_grace: Duration,
    program: Option<PathBuf>,
    program_args: Vec<OsString>,
    phalanx: Option<PathBuf>,
}

impl Default for LocalClusterBuilder {
    fn default() -> Self {
        Self {
            home: None,
            name: None,
            engines: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            scheduler_process: false,
            placement: Placement::default(),
            listen: ListenAddress::default(),
            stop_grace: limits::STOP_GRACE,
            program: None,
            program_args: Vec::new(),
            phalanx: None,
        }
    }
}

impl LocalClusterBuilder {
    /// How many engines; by default one for each processor.
    #[must_use]
    pub fn engines(mut self, engines: u32) -> Self {
        self.engines = engines;
        self
    }

    /// The program that the engines are; by default `phalanx engine`.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// Further arguments of each engine: of the program, whether it was given before or comes
    /// after, or of `phalanx engine`.
    #[must_use]
    pub fn program_args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.program_args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Engines are this very program, started with these arguments: by them it must know that it is
    /// to be an engine, and call [`run_engine`](crate::run_engine).
    ///
    /// # Errors
    /// The system's answer, if it does not say where this program is.
    pub fn this_program<A: Into<OsString>>(
        self,
        args: impl IntoIterator<Item = A>,
    ) -> io::Result<Self> {
        Ok(self.program(std::env::current_exe()?).program_args(args))
    }

    /// The `phalanx` command that runs host and hub; by default the one that `PHALANX_BIN` names,
    /// beside this program, or on PATH.
    #[must_use]
    pub fn phalanx(mut self, path: impl Into<PathBuf>) -> Self {
        self.phalanx = Some(path.into());
        self
    }

    /// The directory of the clusters; by default `PHALANX_HOME` or the XDG state directory.
    #[must_use]
    pub fn home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// The cluster's name; by default one of its own.
    #[must_use]
    pub fn name(mut self, name: ClusterName) -> Self {
        self.name = Some(name);
        self
    }

    /// Where the hub listens; by default on loopback.
    #[must_use]
    pub fn listen(mut self, listen: ListenAddress) -> Self {
        self.listen = listen;
        self
    }

    /// Runs scheduler and DAG in a process of their own.
    #[must_use]
    pub fn scheduler_process(mut self) -> Self {
        self.scheduler_process = true;
        self
    }

    /// How the scheduler places; by default the least loaded engine.
    #[must_use]
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// From being told to stop until being killed, for each stage of a stop.
    #[must_use]
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// Starts the cluster and waits until every engine is registered. It blocks: about a quarter of
    /// a second, and until a deadline if something is wrong.
    ///
    /// # Errors
    /// [`StartError`] says which step failed and shows the last lines of its log; what had been
    /// started is ended again.
    pub fn start(self) -> Result<LocalCluster, StartError> {
        self.start_telling(|_| {})
    }

    /// The same; `told` is called with each step of the start.
    ///
    /// # Errors
    /// As [`LocalClusterBuilder::start`].
    pub fn start_telling(self, told: impl FnMut(&StartReport)) -> Result<LocalCluster, StartError> {
        let home = match self.home {
            Some(home) => Home::resolve(Some(home))?,
            None => Home::from_env()?,
        };
        let mut options = HostOptions::new(home, self.name.unwrap_or_else(own_name));
        options.engines = self.engines;
        options.scheduler_process = self.scheduler_process;
        options.placement = self.placement;
        options.listen = self.listen;
        options.stop_grace = self.stop_grace;
        options.owner = Owner::StandardInput;
        let phalanx = self.phalanx.or_else(find_phalanx).ok_or(StartError::NoProgram)?;
        options.program = program(self.program, self.program_args, &phalanx);
        let Launched { host, hub_address, took } = launch::launch(&phalanx, &options, told)?;
        let dir = options.home.cluster(&options.cluster);
        let home = options.home;
        Ok(LocalCluster { home, dir, host, hub_address, took, is_stopped: false })
    }
}

/// What engines are; `None` is `phalanx engine` as it is.
fn program(path: Option<PathBuf>, args: Vec<OsString>, phalanx: &Path) -> Option<Program> {
    match path {
        Some(path) => Some(Program::new(path, args)),
        None if args.is_empty() => None,
        None => Some(Program::native(phalanx.to_owned(), args)),
    }
}

/// A name that no other cluster of this machine has.
fn own_name() -> ClusterName {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let name = format!("local-{}-{number}", std::process::id());
    name.parse().unwrap_or_default()
}

/// The `phalanx` program: named by `PHALANX_BIN`, beside this program or one directory up (tests
/// and examples lie in a directory of their own), or on PATH.
fn find_phalanx() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(PROGRAM_ENV) {
        return Some(path.into());
    }
    let own = std::env::current_exe().ok()?;
    if own.file_name().is_some_and(|name| name == "phalanx") {
        return Some(own);
    }
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("phalanx"))
        .find(|path| path.is_file())
        .or_else(|| on_path(Path::new("phalanx")))
}

/// A program on PATH. Entries that mean the current directory are skipped.
pub(crate) fn on_path(program: &Path) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}
