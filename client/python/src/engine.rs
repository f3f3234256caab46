//! An engine as Python sees it: a thread that serves it, and the main thread that runs its tasks.
//!
//! The engine's thread keeps the session, the heartbeat and the reports, and never attaches to
//! Python. The main thread runs one task after another, and gives up the GIL only when there is
//! none.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use phalanx::config::LogFormat;
use phalanx::executor::{self, Finished};
use phalanx::host::{ENGINE_INDEX_ENV, LOG_ENV, LOG_FORMAT_ENV, RUN_ENV};
use phalanx::logging;
use phalanx::{Engine, EngineEnd, EngineProcess, EngineProcessError, EngineStop};
use phalanx_client::protocol::bundle;
use phalanx_client::protocol::function::Function;
use phalanx_client::protocol::limits::TASK_PAYLOAD_LEN_MAX;
use phalanx_client::protocol::needs::Amount;
use phalanx_client::protocol::outcome::{AttemptOutcome, RemoteError, RunTimes};
use phalanx_client::protocol::output::OutputKind;
use phalanx_client::protocol::payload::{Format, Payload};
use phalanx_client::protocol::pieces::Pieces;
use phalanx_client::protocol::task::MethodName;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::container::{self, Index};
use crate::desk::{Clerk, Desk, Ending, Found, Job};
use crate::errors::{self, ConnectError};
use crate::output::Output;
use crate::parts::{FunctionParts, Parts, function_parts, pack_parts};
use crate::signals::{self, MainThread};

/// How long an idle main thread sleeps before it looks at signals that other code waits for.
const IDLE_SLICE: Duration = Duration::from_secs(1);

/// The methods of an engine that runs Python.
const METHODS: [&str; 5] =
    ["python.apply", "python.execute", "python.push", "python.pull", "python.clear"];

/// An engine of this process.
#[pyclass(frozen, module = "phalanx._phalanx")]
#[derive(Debug)]
pub(crate) struct NativeEngine {
    desk: Arc<Desk>,
    stop: EngineStop,
    output: Arc<Output>,
    /// Its id, or -1 before it has one.
    id: Arc<AtomicI64>,
    pid: u32,
}

/// An attempt to run.
#[pyclass(frozen, module = "phalanx._phalanx")]
#[derive(Debug)]
pub(crate) struct Task {
    attempt: phalanx_client::protocol::ids::AttemptId,
    method: MethodName,
    function: Option<Function>,
    container: Pieces,
    index: Arc<Index>,
    /// Results that stand among the arguments.
    inputs: Vec<Payload>,
}

#[pymethods]
impl Task {
    #[getter]
    fn attempt(&self) -> String {
        self.attempt.to_string()
    }

    #[getter]
    fn task(&self) -> (u32, u64) {
        crate::batch::id_pair(self.attempt.task)
    }

    #[getter]
    fn method(&self) -> &str {
        self.method.as_str()
    }

    #[getter]
    fn function<'py>(&self, py: Python<'py>) -> Option<FunctionParts<'py>> {
        self.function.as_ref().map(|function| function_parts(py, function))
    }

    #[getter]
    fn parts(&self) -> Parts {
        Parts::new(self.container.clone(), Arc::clone(&self.index))
    }

    /// The results that stand among the arguments, each as `Batch.outcome` gives it.
    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.inputs.iter().map(|payload| crate::batch::done(py, payload)).collect()
    }

    fn __repr__(&self) -> String {
        format!("<Task {}: {}>", self.attempt, self.method)
    }
}

#[pymethods]
impl NativeEngine {
    #[staticmethod]
    #[pyo3(signature = (connection, name = None, labels = Vec::new(), methods = None,
        resources = Vec::new()))]
    fn start(
        py: Python<'_>,
        connection: PathBuf,
        name: Option<String>,
        labels: Vec<String>,
        methods: Option<Vec<String>>,
        resources: Vec<(String, String)>,
    ) -> PyResult<Self> {
        launch(py, EngineProcess::new(connection, name), (labels, resources), methods)
    }

    #[staticmethod]
    #[pyo3(signature = (labels = Vec::new(), methods = None, resources = Vec::new()))]
    fn from_environment(
        py: Python<'_>,
        labels: Vec<String>,
        methods: Option<Vec<String>>,
        resources: Vec<(String, String)>,
    ) -> PyResult<Self> {
        let process = EngineProcess::from_env();
        let process = process.map_err(|error| ConnectError::new_err(errors::chain(&error)))?;
        launch(py, process, (labels, resources), methods)
    }

    #[getter]
    fn engine_id(&self) -> Option<u32> {
        u32::try_from(self.id.load(Ordering::Relaxed)).ok()
    }

    fn run(&self, py: Python<'_>, handler: &Bound<'_, PyAny>) -> PyResult<String> {
        is_main_thread(py)?;
        if let Err(error) = self.output.take_descriptors() {
            tracing::warn!(%error, "what child processes write is in the log alone");
        }
        let result = self.serve(py, handler);
        self.output.give_back();
        self.desk.leave();
        result
    }

    /// Output of the running task; without one, what goes to a standard stream is logged.
    fn write(&self, stream: u8, text: Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = match text.cast::<PyString>() {
            Ok(text) => Bytes::copy_from_slice(text.to_cow()?.as_bytes()),
            Err(_) => Bytes::copy_from_slice(text.cast::<PyBytes>()?.as_bytes()),
        };
        self.output.write(OutputKind(stream), bytes);
        Ok(())
    }

    fn aborted(&self) -> bool {
        self.desk.is_unwanted()
    }

    fn stopping(&self) -> bool {
        self.desk.is_stopping()
    }

    fn stop(&self, reason: String) {
        self.stop.stop(reason);
    }
}

impl NativeEngine {
    fn serve(&self, py: Python<'_>, handler: &Bound<'_, PyAny>) -> PyResult<String> {
        loop {
            let found = match self.desk.take() {
                Found::Nothing => py.detach(|| self.desk.wait(IDLE_SLICE)),
                found => found,
            };
            // What came for nobody, or for a task that is over, is not for the next one.
            forgive_interrupts(py)?;
            match found {
                Found::Job(job) => self.run_job(py, handler, *job),
                Found::End(ending) => return ending.map_err(ConnectError::new_err),
                Found::Nothing => {}
            }
        }
    }

    fn run_job(&self, py: Python<'_>, handler: &Bound<'_, PyAny>, job: Job) {
        let Job { start, finisher } = job;
        let run = Run::begin();
        self.output.begin(finisher.output(start.attempt));
        let answer = call(py, handler, &start);
        if std::process::id() != self.pid {
            // The task forked, and this is the child, which has no engine to go back to.
            eprintln!("phalanx: a process forked by a task returned from it; it ends here");
            signals::exit_now(1);
        }
        let times = run.end();
        self.output.end();
        let was_unwanted = self.desk.put_away();
        let engine = start.engine;
        let (outcome, payload) = match answer {
            Ok(Answer::Done(bytes)) => {
                (AttemptOutcome::Done, Payload::in_pieces(Format::Pickle5, bytes))
            }
            Ok(Answer::Aborted) => (AttemptOutcome::Aborted, Payload::empty()),
            Err(_) if was_unwanted => (AttemptOutcome::Aborted, Payload::empty()),
            Ok(Answer::Failed(error)) => {
                let (engine, method) = (Some(engine), start.method.as_str().to_owned());
                let error = RemoteError { engine, method, ..*error };
                (executor::failed(error), Payload::empty())
            }
            Err(error) => {
                let (engine, method) = (Some(engine), start.method.as_str().to_owned());
                let error = RemoteError { engine, method, ..described(py, &error) };
                (executor::failed(error), Payload::empty())
            }
        };
        finisher.finish(Finished { attempt: start.attempt, outcome, times, payload });
    }
}

/// What the handler said.
enum Answer {
    Done(Pieces),
    Failed(Box<RemoteError>),
    Aborted,
}

fn call(py: Python<'_>, handler: &Bound<'_, PyAny>, start: &executor::Start) -> PyResult<Answer> {
    let mut inputs = Vec::new();
    let mut payload = start.payload.clone();
    if payload.format == Format::Bundle {
        let bytes = payload.pieces().cloned().unwrap_or_default();
        let wrong = |error: bundle::BundleError| PyValueError::new_err(error.to_string());
        inputs = bundle::split(&bytes).map_err(wrong)?;
        payload = if inputs.is_empty() { Payload::empty() } else { inputs.remove(0) };
    }
    let container = match payload.format {
        // The engine hands out inline payloads only.
        Format::Pickle5 => payload.pieces().cloned().unwrap_or_default(),
        other => {
            let text = format!("an engine that runs Python takes pickles, not {other:?}");
            return Err(PyValueError::new_err(text));
        }
    };
    let index = container::read(&container);
    let index = index.map_err(|error| PyValueError::new_err(error.to_string()))?;
    let (attempt, method) = (start.attempt, start.method.clone());
    let (function, index) = (start.function.clone(), Arc::new(index));
    let task = Bound::new(py, Task { attempt, method, function, container, index, inputs })?;
    let said = handler.call1((task,))?;
    let said = said.cast::<PyTuple>()?;
    let word = said.get_item(0)?;
    let rest = said.len() - 1;
    match (word.cast::<PyString>()?.to_cow()?.as_ref(), rest) {
        ("done", 1) => {
            let packed = pack_parts(&said.get_item(1)?)?;
            if packed.len() as u64 > TASK_PAYLOAD_LEN_MAX {
                let (len, max) = (packed.len(), TASK_PAYLOAD_LEN_MAX);
                let text = format!("a result of {len} bytes is over the limit of {max}");
                return Err(PyValueError::new_err(text));
            }
            Ok(Answer::Done(packed))
        }
        ("failed" | "refused", 3 | 4) => {
            let refused = word.eq("refused")?;
            let text = |index: usize| said.get_item(index)?.extract::<String>();
            let bases = if rest == 4 { said.get_item(4)?.extract()? } else { Vec::new() };
            let (kind, message, traceback) = (text(1)?, text(2)?, text(3)?);
            let error =
                RemoteError { kind, message, traceback, bases, refused, ..RemoteError::default() };
            Ok(Answer::Failed(Box::new(error)))
        }
        ("aborted", 0) => Ok(Answer::Aborted),
        (word, _) => Err(PyRuntimeError::new_err(format!("the handler answered {word:?}"))),
    }
}

/// An exception as text: what the handler did not see to itself.
fn described(py: Python<'_>, error: &PyErr) -> RemoteError {
    let kind = error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default();
    let message = error.value(py).to_string();
    let traceback = error.traceback(py).and_then(|traceback| traceback.format().ok());
    RemoteError {
        kind,
        message,
        traceback: traceback.unwrap_or_default(),
        ..RemoteError::default()
    }
}

/// Has Python's signal handlers run, and drops a Ctrl-C.
fn forgive_interrupts(py: Python<'_>) -> PyResult<()> {
    match py.check_signals() {
        Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => Ok(()),
        other => other,
    }
}

/// When an attempt began.
struct Run {
    started_us: u64,
    started: Instant,
}

impl Run {
    fn begin() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        Self { started_us, started: Instant::now() }
    }

    fn end(&self) -> RunTimes {
        // 584 years fit.
        let ran_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        RunTimes { started_us: self.started_us, ran_ns }
    }
}

fn is_main_thread(py: Python<'_>) -> PyResult<()> {
    let threading = py.import("threading")?;
    let current = threading.call_method0("current_thread")?;
    if current.is(&threading.call_method0("main_thread")?) {
        return Ok(());
    }
    Err(PyRuntimeError::new_err("an engine is started and run on the main thread"))
}

/// Python's own handler of the signal is the caller's to install; without one the signal must not
/// end the process.
fn ignore_if_unhandled(py: Python<'_>, number: i32) -> PyResult<()> {
    let signal = py.import("signal")?;
    let default = signal.getattr("SIG_DFL")?;
    if signal.call_method1("getsignal", (number,))?.eq(default)? {
        signal.call_method1("signal", (number, signal.getattr("SIG_IGN")?))?;
    }
    Ok(())
}

fn launch(
    py: Python<'_>,
    process: EngineProcess,
    (labels, resources): (Vec<String>, Vec<(String, String)>),
    methods: Option<Vec<String>>,
) -> PyResult<NativeEngine> {
    is_main_thread(py)?;
    let abort_signal = signals::abort_signal();
    ignore_if_unhandled(py, abort_signal)?;
    let methods = methods.unwrap_or_else(|| METHODS.map(str::to_owned).to_vec());
    let methods = methods.iter().map(|name| MethodName::try_from(name.as_str()));
    let methods = methods.collect::<Result<Vec<_>, _>>();
    let methods = methods.map_err(|error| PyValueError::new_err(error.to_string()))?;
    let process = process.without_interrupt();
    // A file that cannot be used is told to who asked, not to a log.
    let file = phalanx_client::ConnectionFile::load(process.connection());
    file.map_err(|error| errors::file_error(&error))?;
    let desk = Arc::new(Desk::new(MainThread::current(), abort_signal));
    let clerk = Clerk::new(Arc::clone(&desk), methods);
    let builder = labels.into_iter().fold(Engine::builder(), phalanx::EngineBuilder::label);
    let builder = resources.into_iter().try_fold(builder, |builder, (name, amount)| {
        let amount = amount.parse::<Amount>();
        Ok::<_, PyErr>(
            builder
                .resource(name, amount.map_err(|error| PyValueError::new_err(error.to_string()))?),
        )
    })?;
    let builder = builder.executor(move || clerk);
    let stop = process.stop_handle();
    let id = Arc::new(AtomicI64::new(-1));
    // Not standard error itself: in its place there will be a pipe for what tasks write.
    let log = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
    let (own_id, own_desk) = (Arc::clone(&id), Arc::clone(&desk));
    let thread = EngineThread { process, builder, id: own_id, desk: own_desk, log };
    signals::spawn_masked("phalanx-engine", move || thread.run())?;
    let output = Arc::new(Output::new());
    Ok(NativeEngine { desk, stop, output, id, pid: std::process::id() })
}

/// What the engine's thread is given.
struct EngineThread {
    process: EngineProcess,
    builder: phalanx::EngineBuilder,
    id: Arc<AtomicI64>,
    desk: Arc<Desk>,
    log: File,
}

impl EngineThread {
    fn run(self) {
        let Self { process, builder, id, desk, log } = self;
        let _log = start_log(log);
        let ended = process.run_telling(builder, move |place| {
            id.store(place.engine.0.into(), Ordering::Relaxed);
        });
        if !desk.end(ending(ended)) {
            tracing::warn!("the running task does not end; the process does");
            signals::exit_now(1);
        }
    }
}

/// Log lines of this thread, to what standard error was, as other processes of a cluster write them.
fn start_log(log: File) -> Option<impl Sized> {
    let text = |name: &str| std::env::var(name).ok();
    let filter = text(LOG_ENV).unwrap_or_else(|| "info".to_owned());
    let is_json = text(LOG_FORMAT_ENV).is_some_and(|format| format == LogFormat::Json.as_str());
    let format = if is_json { LogFormat::Json } else { LogFormat::Text };
    let index = text(ENGINE_INDEX_ENV).map_or_else(String::new, |index| format!("-{index}"));
    let run = text(RUN_ENV);
    let process = format!("engine{index}");
    let log = logging::start_into(Arc::new(log), &filter, format, &process, run.as_deref());
    log.inspect_err(|error| eprintln!("phalanx: no log lines: {}", errors::chain(error))).ok()
}

fn ending(ended: Result<EngineEnd, EngineProcessError>) -> Ending {
    match ended {
        Ok(end) => {
            tracing::info!(reason = end.reason, "the engine has ended");
            Ok(end.reason)
        }
        Err(error) => {
            let error = errors::chain(&error);
            tracing::error!(error, "the engine did not end in order");
            Err(error)
        }
    }
}
