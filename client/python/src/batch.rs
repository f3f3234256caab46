//! Tasks that were submitted together, and how each ended, as Python sees them.
//!
//! An ending is turned into Python when it is asked for, in the asking thread, and never under a
//! lock: making objects may run any code.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use phalanx_client::TaskId;
use phalanx_client::blocking::Waiter;
use phalanx_client::core::End;
use phalanx_client::protocol::outcome::{Delivery, Loss, Outcome};
use phalanx_client::protocol::output::OutputKind;
use phalanx_client::protocol::payload::{Format, Payload};
use phalanx_client::task_batch::{Ended, TaskBatch, Until};
use pyo3::exceptions::{PyIndexError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::fork::OfProcess;
use crate::wait::{self, Deadline, duration};
use crate::{completion, parts, values};

/// The tasks of one submit.
#[pyclass(frozen, module = "phalanx._phalanx")]
#[derive(Debug)]
pub(crate) struct Batch {
    tasks: OfProcess<TaskBatch>,
}

impl Batch {
    pub(crate) fn new(tasks: TaskBatch) -> Self {
        Self { tasks: OfProcess::new(tasks) }
    }

    /// The tasks, and whether the index is one of theirs.
    fn at(&self, index: u32) -> PyResult<&TaskBatch> {
        let tasks = self.tasks.get()?;
        if index < tasks.len() {
            return Ok(tasks);
        }
        let len = tasks.len();
        Err(PyIndexError::new_err(format!("task {index} of a batch of {len}")))
    }

    fn until(&self, index: Option<u32>, count: Option<usize>) -> PyResult<(&TaskBatch, Until)> {
        match (index, count) {
            (Some(index), _) => Ok((self.at(index)?, Until::Filled(index))),
            (None, count) => {
                let tasks = self.tasks.get()?;
                let len = tasks.len() as usize;
                Ok((tasks, Until::Count(count.map_or(len, |count| count.min(len)))))
            }
        }
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> PyResult<usize> {
        Ok(self.tasks.get()?.len() as usize)
    }

    fn __repr__(&self) -> PyResult<String> {
        let tasks = self.tasks.get()?;
        let (first, len, ended) = (tasks.id(0), tasks.len(), tasks.ended_len());
        Ok(format!("<Batch from {first}: {ended} of {len} ended>"))
    }

    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let tasks = self.tasks.get()?;
        PyList::new(py, (0..tasks.len()).map(|index| id_pair(tasks.id(index))))
    }

    fn id(&self, index: u32) -> PyResult<(u32, u64)> {
        Ok(id_pair(self.at(index)?.id(index)))
    }

    #[pyo3(signature = (index = None))]
    fn ready(&self, index: Option<u32>) -> PyResult<bool> {
        let (tasks, until) = self.until(index, None)?;
        Ok(tasks.meets(until))
    }

    fn done_count(&self) -> PyResult<usize> {
        Ok(self.tasks.get()?.ended_len())
    }

    #[pyo3(signature = (timeout = None, index = None, count = None))]
    fn wait(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        index: Option<u32>,
        count: Option<usize>,
    ) -> PyResult<bool> {
        let (tasks, until) = self.until(index, count)?;
        if tasks.meets(until) {
            return Ok(true);
        }
        Ok(wait::wait(py, &tasks.waiter(), Deadline::after(timeout)?, tasks.wait(until))?.is_some())
    }

    fn nth_done(&self, n: usize) -> PyResult<Option<u32>> {
        Ok(self.tasks.get()?.nth_ended(n))
    }

    fn outcome<'py>(&self, py: Python<'py>, index: u32) -> PyResult<Bound<'py, PyTuple>> {
        let tasks = self.at(index)?;
        let ended = tasks.ended(index).ok_or_else(|| {
            let task = tasks.id(index);
            PyRuntimeError::new_err(format!("task {task} has not ended; wait for it"))
        })?;
        match ended.end {
            End::Delivered(delivery) => outcome(py, *delivery),
            End::Forgotten(_) => tuple(py, ("forgotten",)),
            End::Disconnected(cause) => tuple(py, ("disconnected", &*cause)),
        }
    }

    fn metadata<'py>(&self, py: Python<'py>, index: u32) -> PyResult<Bound<'py, PyDict>> {
        let tasks = self.at(index)?;
        let ended = tasks.ended(index);
        let metadata = PyDict::new(py);
        metadata.set_item(intern!(py, "task"), id_pair(tasks.id(index)))?;
        metadata.set_item(intern!(py, "submitted"), seconds(tasks.submitted()))?;
        let received = ended.as_ref().map(|ended| seconds(ended.received));
        metadata.set_item(intern!(py, "received"), received)?;
        metadata.set_item(intern!(py, "outcome"), ended.as_ref().map(word))?;
        let delivery = ended.and_then(|ended| match ended.end {
            End::Delivered(delivery) => Some(delivery),
            _ => None,
        });
        let engine = delivery.as_ref().and_then(|delivery| delivery.engine);
        metadata.set_item(intern!(py, "engine"), engine.map(|engine| engine.0))?;
        let attempts = delivery.as_ref().map_or(0, |delivery| delivery.attempts);
        metadata.set_item(intern!(py, "attempts"), attempts)?;
        let tried = delivery.as_ref().map(|delivery| delivery.tried.iter().map(|it| it.0));
        let tried: Vec<u32> = tried.into_iter().flatten().collect();
        metadata.set_item(intern!(py, "tried"), tried)?;
        let times = delivery.as_ref().map(|delivery| delivery.times);
        let times = times.filter(|times| times.started_us > 0);
        let started = times.map(|times| Duration::from_micros(times.started_us).as_secs_f64());
        metadata.set_item(intern!(py, "started"), started)?;
        let ran = times.map(|times| Duration::from_nanos(times.ran_ns).as_secs_f64());
        metadata.set_item(intern!(py, "ran"), ran)?;
        let output = delivery.and_then(|delivery| delivery.output);
        let text = |kind| output.as_ref().map_or_else(String::new, |output| output.text(kind));
        metadata.set_item(intern!(py, "stdout"), text(OutputKind::STDOUT))?;
        metadata.set_item(intern!(py, "stderr"), text(OutputKind::STDERR))?;
        let truncated = output.as_ref().map_or(0, |output| output.truncated);
        metadata.set_item(intern!(py, "output_truncated"), truncated)?;
        Ok(metadata)
    }

    /// All pieces of kept output, in the order written.
    fn output<'py>(&self, py: Python<'py>, index: u32) -> PyResult<Bound<'py, PyList>> {
        let ended = self.at(index)?.ended(index);
        let output = ended.and_then(|ended| match ended.end {
            End::Delivered(delivery) => delivery.output,
            _ => None,
        });
        let chunks = output.iter().flat_map(|output| &output.chunks);
        PyList::new(py, chunks.map(|chunk| (chunk.kind.0, PyBytes::new(py, &chunk.bytes))))
    }

    /// Reads what the task writes, while it runs.
    fn follow_output(&self, index: u32) -> PyResult<Option<OutputReader>> {
        let tasks = self.at(index)?;
        let (reader, waiter) = (tasks.follow_output(index), tasks.waiter());
        Ok(reader
            .map(|reader| OutputReader { reader: OfProcess::new((Mutex::new(reader), waiter)) }))
    }

    #[pyo3(signature = (index, callback))]
    fn add_callback(&self, index: Option<u32>, callback: Py<PyAny>) -> PyResult<()> {
        let (tasks, until) = self.until(index, None)?;
        completion::call_when(tasks, until, callback)
    }

    #[pyo3(signature = (kill_after = None))]
    fn abort(&self, kill_after: Option<f64>) -> PyResult<()> {
        let tasks = self.tasks.get()?;
        match kill_after.map(duration).transpose()? {
            Some(kill_after) => tasks.abort_or_kill(kill_after),
            None => tasks.abort(),
        }
        Ok(())
    }
}

/// Reads what one task writes, while it runs.
#[pyclass(frozen, module = "phalanx._phalanx")]
#[derive(Debug)]
pub(crate) struct OutputReader {
    reader: OfProcess<(Mutex<phalanx_client::OutputReader>, Waiter)>,
}

#[pymethods]
impl OutputReader {
    #[pyo3(signature = (timeout = None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Piece>> {
        let (reader, waiter) = self.reader.get()?;
        let in_use = |_| PyRuntimeError::new_err("another thread reads this output");
        let mut reader = reader.try_lock().map_err(in_use)?;
        let piece = wait::wait(py, waiter, Deadline::after(timeout)?, reader.next())?.flatten();
        let of = |bytes: &[u8]| PyBytes::new(py, bytes).unbind();
        Ok(piece.map(|piece| (piece.attempt, piece.offset, piece.kind.0, of(&piece.bytes))))
    }
}

/// `(attempt, offset, kind, bytes)`.
type Piece = (u32, u64, u8, Py<PyBytes>);

/// A task's id as Python names it.
pub(crate) const fn id_pair(task: TaskId) -> (u32, u64) {
    (task.client.0, task.seq)
}

fn seconds(time: SystemTime) -> f64 {
    // A clock that stands before 1970 counts as there.
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn tuple<'py, T>(py: Python<'py>, values: T) -> PyResult<Bound<'py, PyTuple>>
where
    T: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
{
    values.into_pyobject(py)
}

/// The first word of an outcome.
fn word(ended: &Ended) -> &'static str {
    match &ended.end {
        End::Forgotten(_) => "forgotten",
        End::Disconnected(_) => "disconnected",
        End::Delivered(delivery) => match &delivery.outcome {
            Outcome::Done => "done",
            Outcome::Failed(_) => "failed",
            Outcome::Aborted => "aborted",
            Outcome::EngineLost(_) => "engine_lost",
            Outcome::Poison(_) => "poison",
            Outcome::DependencyFailed(_) => "dependency_failed",
            Outcome::DependencyTimeout => "dependency_timeout",
            Outcome::Rejected(_) => "rejected",
        },
    }
}

fn outcome(py: Python<'_>, delivery: Delivery) -> PyResult<Bound<'_, PyTuple>> {
    match delivery.outcome {
        Outcome::Done => done(py, &delivery.payload),
        Outcome::Failed(error) => {
            let engine = error.engine.or(delivery.engine).map(|engine| engine.0);
            let texts = (error.kind, error.message, error.traceback);
            tuple(py, ("failed", texts.0, texts.1, texts.2, engine, error.method))
        }
        Outcome::Aborted => tuple(py, ("aborted",)),
        Outcome::EngineLost(loss) => tuple(py, ("engine_lost", loss.engine.0, loss.cause)),
        Outcome::Poison(losses) => {
            let pair = |loss: Loss| (loss.engine.0, loss.cause);
            let losses: Vec<(u32, String)> = losses.into_iter().map(pair).collect();
            tuple(py, ("poison", losses))
        }
        Outcome::DependencyFailed(failure) => {
            let culprit = failure.culprit.map(id_pair);
            let engine = failure.engine.map(|engine| engine.0);
            tuple(py, ("dependency_failed", failure.to_string(), culprit, engine))
        }
        Outcome::DependencyTimeout => tuple(py, ("dependency_timeout",)),
        Outcome::Rejected(rejection) => {
            let code = rejection.code.map(|code| format!("{code:?}"));
            tuple(py, ("rejected", code, rejection.detail))
        }
    }
}

pub(crate) fn done<'py>(py: Python<'py>, payload: &Payload) -> PyResult<Bound<'py, PyTuple>> {
    // The client hands out inline payloads only.
    let bytes = payload.pieces().cloned().unwrap_or_default();
    let value = match payload.format {
        Format::MessagePack => values::decode(py, &bytes.contiguous())?,
        Format::Pickle5 => Bound::new(py, parts::read(bytes)?)?.into_any(),
        Format::Raw | Format::Bundle => Bound::new(py, parts::Parts::whole(bytes))?.into_any(),
    };
    tuple(py, ("done", payload.format as u8, value))
}
