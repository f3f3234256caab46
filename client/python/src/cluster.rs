//! Clusters of this machine as Python sees them: started, found, stopped.
//!
//! On top of the runtime's local cluster: host and hub are processes of the `phalanx` command,
//! engines processes of a Python interpreter. A cluster ends with the process that started it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use phalanx::LocalCluster;
use phalanx::cluster_dir::{ClusterDir, ClusterName, Home, Liveness};
use phalanx::cluster_state::ClusterState;
use phalanx::config::ListenAddress;
use phalanx::hwm::HighWaterMark;
use phalanx::local::{LocalClusterBuilder, StartError};
use phalanx::placement::{self, Hwm, Scheme};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::errors::{self, ClusterError};
use crate::fork::OfProcess;
use crate::wait::{Deadline, SLICE};

/// Names the `phalanx` command.
const COMMAND_ENV: &str = "PHALANX_BIN";

/// The directory of profiles, each a home of its own, under the home.
const PROFILES: &str = "profiles";

/// A cluster of this machine that ends with this process.
#[pyclass(frozen, module = "phalanx._phalanx")]
#[derive(Debug)]
pub(crate) struct NativeCluster {
    cluster: OfProcess<Mutex<Option<LocalCluster>>>,
    dir: ClusterDir,
}

#[pymethods]
impl NativeCluster {
    #[getter]
    fn connection_file(&self) -> OsString {
        self.dir.connection_file("client").into()
    }

    #[getter]
    fn cluster_id(&self) -> String {
        self.dir.name().to_string()
    }

    #[getter]
    fn dir(&self) -> OsString {
        self.dir.path().into()
    }

    fn engine_log_files(&self) -> PyResult<Vec<OsString>> {
        let state = self.dir.read_state::<ClusterState>();
        let state = state.map_err(|error| ClusterError::new_err(errors::chain(&error)))?;
        let engines = state.iter().flat_map(ClusterState::engines);
        Ok(engines.map(|engine| self.dir.log_file(&engine.process.to_string()).into()).collect())
    }

    fn is_running(&self) -> bool {
        matches!(self.dir.liveness(), Ok(Liveness::Running { .. }))
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let cluster = self.cluster.get()?;
        let cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(cluster) = cluster else { return Ok(()) };
        let stopped = py.detach(|| cluster.stop());
        stopped.map_err(|error| ClusterError::new_err(errors::chain(&error)))?;
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("<NativeCluster {} in {}>", self.dir.name(), self.dir.path().display())
    }
}

/// What the thread that starts a cluster tells.
enum Told {
    Step(String),
    End(Box<Result<LocalCluster, StartError>>),
}

/// Starts hub and engines, and waits for them.
#[pyfunction]
#[pyo3(signature = (n, *, cluster_id = None, home = None, profile = None, python = None,
    engine_module = "phalanx.engine", engine_args = Vec::new(), phalanx = None, scheme = None, hwm = None, listen = None,
    scheduler_process = false, timeout = None, progress = None))]
#[allow(clippy::too_many_arguments, reason = "keywords of Python")]
pub(crate) fn start_cluster(
    py: Python<'_>,
    n: u32,
    cluster_id: Option<&str>,
    home: Option<PathBuf>,
    profile: Option<&str>,
    python: Option<OsString>,
    engine_module: &str,
    engine_args: Vec<OsString>,
    phalanx: Option<PathBuf>,
    scheme: Option<&str>,
    hwm: Option<u32>,
    listen: Option<&str>,
    scheduler_process: bool,
    timeout: Option<f64>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<NativeCluster> {
    let python = match python {
        Some(python) => PathBuf::from(python),
        None => py.import("sys")?.getattr("executable")?.extract()?,
    };
    // `-P`: nothing is imported from the current directory.
    let args = ["-P", "-m", engine_module].map(OsString::from).into_iter().chain(engine_args);
    let mut builder = LocalCluster::builder().engines(n).program(python).program_args(args);
    let scheme = scheme.map(str::parse::<Scheme>).transpose();
    let scheme = scheme.map_err(|error| PyValueError::new_err(error.to_string()))?;
    builder = builder
        .placement(placement::chosen(scheme, hwm.map(|tasks| HighWaterMark(Hwm::Fixed(tasks)))));
    if let Some(listen) = listen {
        let listen = listen.parse::<ListenAddress>();
        builder = builder.listen(listen.map_err(|error| PyValueError::new_err(error.to_string()))?);
    }
    if scheduler_process {
        builder = builder.scheduler_process();
    }
    if let Some(name) = cluster_id {
        builder = builder.name(cluster_name(name)?);
    }
    if home.is_some() || profile.is_some() {
        builder = builder.home(resolve_home(home, profile)?.path());
    }
    if let Some(command) = command(py, phalanx)? {
        builder = builder.phalanx(command);
    }
    let cluster = start(py, builder, Deadline::after(timeout)?, progress.as_ref())?;
    let dir = cluster.dir().clone();
    Ok(NativeCluster { cluster: OfProcess::new(Mutex::new(Some(cluster))), dir })
}

/// Starts on another thread, so that Ctrl-C need not wait for it. That thread takes signals: the
/// host it starts inherits its mask. What it started for nobody it stops again.
fn start(
    py: Python<'_>,
    builder: LocalClusterBuilder,
    deadline: Deadline,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<LocalCluster> {
    let (sender, mut receiver) = channel();
    let thread = std::thread::Builder::new().name("phalanx-start".to_owned());
    thread.spawn(move || run_start(builder, &sender))?;
    loop {
        match next(py, &mut receiver) {
            Ok(Told::Step(step)) => {
                if let Some(progress) = progress {
                    progress.call1((step,))?;
                }
            }
            Ok(Told::End(end)) => {
                return (*end).map_err(|error| ClusterError::new_err(errors::chain(&error)));
            }
            Err(RecvTimeoutError::Timeout) => {
                if deadline.slice().is_none() {
                    let text = "the cluster did not start in time; its start is being undone";
                    return Err(errors::timed_out(text.to_owned()));
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(ClusterError::new_err("the thread that starts the cluster panicked"));
            }
        }
        py.check_signals()?;
    }
}

fn next(py: Python<'_>, receiver: &mut Receiver<Told>) -> Result<Told, RecvTimeoutError> {
    py.detach(move || receiver.recv_timeout(SLICE))
}

fn run_start(builder: LocalClusterBuilder, told: &Sender<Told>) {
    let started = builder.start_telling(|report| {
        // Whoever asked may have stopped waiting.
        let _ = told.send(Told::Step(report.to_string()));
    });
    // A cluster that nobody waits for is dropped here, which stops it.
    let _ = told.send(Told::End(Box::new(started)));
}

/// The `phalanx` command: given, named by the environment, beside the interpreter; else it is
/// looked for on PATH by the runtime.
fn command(py: Python<'_>, given: Option<PathBuf>) -> PyResult<Option<PathBuf>> {
    if given.is_some() || std::env::var_os(COMMAND_ENV).is_some() {
        return Ok(given);
    }
    let scripts = py.import("sysconfig")?.call_method1("get_path", ("scripts",))?;
    let beside = scripts.extract::<PathBuf>()?.join("phalanx");
    Ok(beside.is_file().then_some(beside))
}

fn cluster_name(name: &str) -> PyResult<ClusterName> {
    name.parse().map_err(|error: phalanx::cluster_dir::ClusterNameError| {
        PyValueError::new_err(error.to_string())
    })
}

/// The home, or a profile's own home in it.
fn resolve_home(home: Option<PathBuf>, profile: Option<&str>) -> PyResult<Home> {
    let failed =
        |error: phalanx::cluster_dir::DirError| ClusterError::new_err(errors::chain(&error));
    let home = match home {
        Some(home) => Home::resolve(Some(home)),
        None => Home::from_env(),
    };
    let home = home.map_err(failed)?;
    match profile {
        None | Some("default") => Ok(home),
        Some(profile) => {
            let profile = cluster_name(profile)?;
            let path = home.path().join(PROFILES).join(profile.to_string());
            Home::resolve(Some(path)).map_err(failed)
        }
    }
}

/// Running clusters, the newest first, with what their hosts say of them.
fn running(home: &Home) -> PyResult<Vec<(ClusterDir, Option<ClusterState>)>> {
    let clusters = home.clusters();
    let clusters = clusters.map_err(|error| ClusterError::new_err(errors::chain(&error)))?;
    let is_running = |dir: &ClusterDir| matches!(dir.liveness(), Ok(Liveness::Running { .. }));
    let state = |dir: ClusterDir| {
        let state = dir.read_state::<ClusterState>().ok().flatten();
        (dir, state)
    };
    let mut running: Vec<_> = clusters.into_iter().filter(is_running).map(state).collect();
    // In UTC and of one form, so texts are in the order of times.
    running.sort_by(|(_, a), (_, b)| {
        let started = |state: &Option<ClusterState>| state.as_ref().map(|s| s.started_at.clone());
        started(b).cmp(&started(a))
    });
    Ok(running)
}

/// The client's connection file of a running cluster.
#[pyfunction]
#[pyo3(signature = (cluster_id = None, profile = None, home = None))]
pub(crate) fn find_cluster(
    cluster_id: Option<&str>,
    profile: Option<&str>,
    home: Option<PathBuf>,
) -> PyResult<OsString> {
    let home = resolve_home(home, profile)?;
    let wanted = cluster_id.map(cluster_name).transpose()?;
    let mut running = running(&home)?.into_iter().map(|(dir, _)| dir);
    let found = match &wanted {
        Some(name) => running.find(|dir| dir.name() == name),
        None => running.next(),
    };
    let dir = found.ok_or_else(|| {
        let what =
            wanted.map_or_else(|| "no cluster".to_owned(), |name| format!("no cluster {name}"));
        let place = home.path().display();
        ClusterError::new_err(format!("{what} runs in {place}; start one: phalanx start"))
    })?;
    Ok(dir.connection_file("client").into())
}

/// Running clusters, the newest first.
#[pyfunction]
#[pyo3(signature = (home = None, profile = None))]
pub(crate) fn list_clusters<'py>(
    py: Python<'py>,
    home: Option<PathBuf>,
    profile: Option<&str>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (dir, state) in running(&resolve_home(home, profile)?)? {
        let cluster = PyDict::new(py);
        cluster.set_item("cluster_id", dir.name().to_string())?;
        cluster.set_item("dir", dir.path().as_os_str())?;
        cluster.set_item("connection_file", dir.connection_file("client").as_os_str())?;
        cluster.set_item("started", state.as_ref().map(|state| &state.started_at))?;
        cluster.set_item("pid", state.as_ref().map(|state| state.host_pid))?;
        list.append(cluster)?;
    }
    Ok(list)
}
