//! A client as Python sees it: submit, look, ask, leave.
//!
//! Whoever waits runs the sessions, else a thread of the client crate that never attaches to Python
//! ([`super::connect`] makes it). Submitting takes a lock for a moment and gives up the GIL only if it
//! has to wait for room.

use std::sync::Arc;
use std::time::{Duration, Instant};

use phalanx_client::blocking::Client;
use phalanx_client::core::{NewTask, SubmitError};
use phalanx_client::protocol::ids::EngineId;
use phalanx_client::protocol::limits::{CLIENT_QUEUE_BYTES_MAX, CLIENT_QUEUE_TASKS_MAX};
use phalanx_client::protocol::payload::Format;
use phalanx_client::protocol::query::{Cursor, Purged, TaskRecord};
use phalanx_client::protocol::value;
use phalanx_client::task_batch::TaskBatch;
use phalanx_client::{Repeat, TaskId, WaitForEnginesError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Serialize;

use crate::batch::{Batch, id_pair};
use crate::errors::{self, ClosedError};
use crate::fork::OfProcess;
use crate::parts::{FunctionRef, pack_parts};
use crate::submit::{Template, Wishes};
use crate::values;
use crate::wait::{self, Deadline, duration};

/// Pause before another look at a queue that has room, but not enough.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// A session with a hub.
#[pyclass(frozen, module = "phalanx._phalanx")]
#[derive(Debug)]
pub(crate) struct NativeClient {
    client: OfProcess<Arc<Client>>,
}

impl NativeClient {
    /// A client of this process.
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self { client: OfProcess::new(client) }
    }

    fn get(&self) -> PyResult<&phalanx_client::Client> {
        Ok(self.client.get()?.as_async())
    }

    /// Submits, waiting without the GIL while the queue has no room.
    fn hand_in<T>(&self, py: Python<'_>, tasks: T) -> PyResult<Batch>
    where
        T: AsRef<[NewTask]> + IntoIterator<Item = NewTask> + Clone,
    {
        let client = self.get()?;
        let submitted = match client.submit(tasks.clone()) {
            Err(SubmitError::QueueFull) => return self.hand_in_later(py, &tasks),
            other => other.map_err(|error| errors::submit_error(&error))?,
        };
        Ok(Batch::new(submitted))
    }

    fn hand_in_later<T>(&self, py: Python<'_>, tasks: &T) -> PyResult<Batch>
    where
        T: AsRef<[NewTask]> + IntoIterator<Item = NewTask> + Clone,
    {
        let client = self.get()?;
        let len = tasks.as_ref().len();
        let bytes: usize = tasks.as_ref().iter().map(|task| task.arguments.len()).sum();
        if len > CLIENT_QUEUE_TASKS_MAX || bytes as u64 > CLIENT_QUEUE_BYTES_MAX {
            return Err(errors::too_much(len, bytes));
        }
        loop {
            let room =
                wait::wait(py, &client.waiter(), Deadline::after(None)?, client.wait_for_room())?;
            room.transpose().map_err(|error| errors::submit_error(&error))?;
            match client.submit(tasks.clone()) {
                Err(SubmitError::QueueFull) => py.detach(|| std::thread::sleep(ROOM_PAUSE)),
                other => {
                    let submitted: TaskBatch = other.map_err(|e| errors::submit_error(&e))?;
                    return Ok(Batch::new(submitted));
                }
            }
            py.check_signals()?;
        }
    }

    fn ask<'py, T: Send>(
        &self,
        py: Python<'py>,
        question: impl Future<Output = Result<T, phalanx_client::RequestError>> + Send,
    ) -> PyResult<T> {
        let answer = wait::wait(py, &self.get()?.waiter(), Deadline::after(None)?, question)?;
        // There is no deadline, so there is an answer: the session's end is one too.
        let answer = answer.unwrap_or(Err(phalanx_client::RequestError::Disconnected));
        answer.map_err(|error| match self.get().map(|client| client.closed()) {
            Ok(Some(cause)) => errors::submit_error(&SubmitError::Closed(cause)),
            _ => errors::request_error(&error),
        })
    }
}

/// One task of a graph: `(parts, function, wishes)`, the last a dict of keywords of `submit`.
fn read_node(method: &str, node: &Bound<'_, PyAny>) -> PyResult<NewTask> {
    let (parts, function, wishes): (Bound<'_, PyAny>, Option<FunctionRef>, Bound<'_, PyDict>) =
        node.extract()?;
    let template = Template::one(method, Wishes::read(Some(&wishes))?)?.with(function);
    Ok(template.task(Format::Pickle5, pack_parts(&parts)?))
}

/// What the hub tells of itself, as plain Python.
fn plain<'py>(py: Python<'py>, told: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let bytes = value::to_bytes(told);
    let bytes = bytes.map_err(|e| pyo3::exceptions::PyValueError::new_err(e.to_string()))?;
    values::decode(py, &bytes)
}

/// Where a page of records begins: `(open tasks after, ended ones from number)`.
type Place = (Option<(u32, u64)>, Option<u64>);

/// A task that is to run again: its id, the number of its record, its method, its new label.
type AgainRef = ((u32, u64), Option<u64>, String, Option<String>);

/// Some records, and where the others begin.
type Page<'py> = (Bound<'py, PyAny>, Option<Place>);

#[pymethods]
impl NativeClient {
    #[getter]
    fn id(&self) -> PyResult<u32> {
        Ok(self.get()?.id().0)
    }

    #[getter]
    fn epoch(&self) -> PyResult<u64> {
        Ok(self.get()?.epoch().0)
    }

    #[getter]
    fn closed(&self) -> PyResult<bool> {
        Ok(self.get()?.closed().is_some())
    }

    fn engines<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.get()?.engines())
    }

    #[pyo3(signature = (kind = None))]
    fn engine_ids(&self, kind: Option<&str>) -> PyResult<Vec<u32>> {
        let client = self.get()?;
        Ok(match kind {
            None => client.engine_ids().into_iter().map(|engine| engine.0).collect(),
            Some(kind) => {
                let engines = client.engines().into_iter();
                engines.filter(|engine| engine.kind == kind).map(|engine| engine.id.0).collect()
            }
        })
    }

    fn changes(&self) -> PyResult<u64> {
        Ok(self.get()?.changes())
    }

    #[pyo3(signature = (n, kind = None, timeout = None))]
    fn wait_for_engines(
        &self,
        py: Python<'_>,
        n: usize,
        kind: Option<String>,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        let client = self.get()?;
        let engines = client.wait_for_engines_like(n, |engine| {
            kind.as_ref().is_none_or(|kind| engine.kind == *kind)
        });
        match wait::wait(py, &client.waiter(), Deadline::after(timeout)?, engines)? {
            None => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(WaitForEnginesError::Closed(cause))) => {
                Err(ClosedError::new_err(format!("the client is closed: {cause}")))
            }
            Some(Err(error)) => Err(errors::timed_out(error.to_string())),
        }
    }

    #[pyo3(signature = (method, parts, *, function = None, **wishes))]
    fn submit<'py>(
        &self,
        method: &str,
        parts: &Bound<'py, PyAny>,
        function: Option<FunctionRef>,
        wishes: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Batch> {
        let template = Template::one(method, Wishes::read(wishes)?)?.with(function);
        let arguments = pack_parts(parts)?;
        self.hand_in(parts.py(), [template.task(Format::Pickle5, arguments)])
    }

    #[pyo3(signature = (method, list_of_parts, *, function = None, **wishes))]
    fn submit_many<'py>(
        &self,
        method: &str,
        list_of_parts: &Bound<'py, PyAny>,
        function: Option<FunctionRef>,
        wishes: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Batch> {
        let template = Template::many(method, Wishes::read(wishes)?)?.with(function);
        let pack = |parts: PyResult<Bound<'py, PyAny>>| pack_parts(&parts?);
        let arguments = list_of_parts.try_iter()?.map(pack).collect::<PyResult<_>>()?;
        self.hand_in(list_of_parts.py(), template.tasks(arguments)?)
    }

    #[pyo3(signature = (method, value, **wishes))]
    fn call<'py>(
        &self,
        method: &str,
        value: &Bound<'py, PyAny>,
        wishes: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Batch> {
        let template = Template::one(method, Wishes::read(wishes)?)?;
        let arguments = values::encode(value)?;
        self.hand_in(value.py(), [template.task(Format::MessagePack, arguments.into())])
    }

    /// The outcomes of tasks by name, whoever submitted them.
    fn watch(&self, ids: Vec<(u32, u64)>) -> PyResult<Batch> {
        let tasks: Vec<TaskId> = ids.into_iter().map(TaskId::from).collect();
        let watched = self.get()?.watch(tasks).map_err(|error| errors::request_error(&error))?;
        Ok(Batch::new(watched))
    }

    /// What is on record of these tasks.
    fn records_of<'py>(
        &self,
        py: Python<'py>,
        ids: Vec<(u32, u64)>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tasks: Vec<TaskId> = ids.into_iter().map(TaskId::from).collect();
        let records = self.ask(py, self.get()?.records_of(&tasks))?;
        plain(py, &records)
    }

    /// A page of all that is on record, and where the next one begins.
    #[pyo3(signature = (after = None))]
    fn records<'py>(&self, py: Python<'py>, after: Option<Place>) -> PyResult<Page<'py>> {
        let (open_after, ended_from) = after.unwrap_or_default();
        let from = Cursor { open_after: open_after.map(TaskId::from), ended_from };
        let (records, next) = self.ask(py, self.get()?.records(from))?;
        let next = next.map(|next| (next.open_after.map(id_pair), next.ended_from));
        Ok((plain(py, &records)?, next))
    }

    /// Runs tasks again: `(id, number of its record or None, method, label)` of each.
    fn resubmit(&self, tasks: Vec<AgainRef>) -> PyResult<Batch> {
        let repeat = |(id, number, method, label): AgainRef| Repeat {
            record: TaskRecord { task: TaskId::from(id), number, method, ..TaskRecord::default() },
            label,
        };
        let tasks: Vec<Repeat> = tasks.into_iter().map(repeat).collect();
        let submitted = self.get()?.resubmit(&tasks);
        Ok(Batch::new(submitted.map_err(|error| errors::submit_error(&error))?))
    }

    /// Has ended tasks forgotten: these, those of these engines, or all.
    #[pyo3(signature = (ids = None, engines = None))]
    fn purge(
        &self,
        py: Python<'_>,
        ids: Option<Vec<(u32, u64)>>,
        engines: Option<Vec<u32>>,
    ) -> PyResult<()> {
        let what = match (ids, engines) {
            (Some(ids), None) => Purged::Tasks(ids.into_iter().map(TaskId::from).collect()),
            (None, Some(engines)) => Purged::Engines(engines.into_iter().map(EngineId).collect()),
            (None, None) => Purged::All,
            (Some(_), Some(_)) => {
                let text = "either tasks or engines are purged at once";
                return Err(pyo3::exceptions::PyValueError::new_err(text));
            }
        };
        self.ask(py, self.get()?.purge(what))
    }

    fn submit_graph(
        &self,
        py: Python<'_>,
        method: &str,
        nodes: Vec<Bound<'_, PyAny>>,
    ) -> PyResult<Batch> {
        let tasks = nodes.iter().map(|node| read_node(method, node));
        let tasks = tasks.collect::<PyResult<Vec<_>>>()?;
        let client = self.get()?;
        let (len, bytes) = (tasks.len(), tasks.iter().map(|task| task.arguments.len()).sum());
        if len > CLIENT_QUEUE_TASKS_MAX || bytes as u64 > CLIENT_QUEUE_BYTES_MAX {
            return Err(errors::too_much(len, bytes));
        }
        loop {
            match client.submit_graph(tasks.clone()) {
                Err(SubmitError::QueueFull) => {
                    let (waiter, for_ever) = (client.waiter(), Deadline::after(None)?);
                    let room = wait::wait(py, &waiter, for_ever, client.wait_for_room())?;
                    room.transpose().map_err(|error| errors::submit_error(&error))?;
                    py.detach(|| std::thread::sleep(ROOM_PAUSE));
                }
                submitted => {
                    let submitted = submitted.map_err(|error| errors::submit_error(&error))?;
                    return Ok(Batch::new(submitted));
                }
            }
        }
    }

    fn explain<'py>(&self, py: Python<'py>, task: (u32, u64)) -> PyResult<Bound<'py, PyAny>> {
        let explanation = self.ask(py, self.get()?.explain(TaskId::from(task)))?;
        let told = plain(py, &explanation)?;
        told.set_item("text", explanation.to_string())?;
        Ok(told)
    }

    fn open_ids(&self) -> PyResult<Vec<(u32, u64)>> {
        Ok(self.get()?.open_ids().into_iter().map(id_pair).collect())
    }

    #[pyo3(signature = (ids, kill_after = None))]
    fn abort(&self, ids: Option<Vec<(u32, u64)>>, kill_after: Option<f64>) -> PyResult<()> {
        let client = self.get()?;
        let ids = ids.map(|ids| ids.into_iter().map(TaskId::from));
        match (ids, kill_after.map(duration).transpose()?) {
            (Some(ids), None) => client.abort(ids),
            (Some(ids), Some(kill_after)) => client.abort_or_kill(ids, kill_after),
            (None, None) => client.abort_all(),
            (None, Some(kill_after)) => client.abort_all_or_kill(kill_after),
        }
        Ok(())
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let status = self.ask(py, self.get()?.status())?;
        plain(py, &status)
    }

    fn ping(&self, py: Python<'_>) -> PyResult<f64> {
        let asked = Instant::now();
        self.ask(py, self.get()?.ping())?;
        Ok(asked.elapsed().as_secs_f64())
    }

    fn open_tasks(&self) -> PyResult<usize> {
        Ok(self.get()?.open_tasks())
    }

    #[pyo3(signature = (engines = None))]
    fn shutdown(&self, py: Python<'_>, engines: Option<Vec<u32>>) -> PyResult<()> {
        let client = self.get()?;
        match engines {
            None => self.ask(py, client.shutdown()),
            Some(engines) => {
                self.ask(py, client.shutdown_engines(engines.into_iter().map(EngineId)))
            }
        }
    }

    #[pyo3(signature = (timeout = None))]
    fn wait_for_room(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let client = self.get()?;
        let room = client.wait_for_room();
        match wait::wait(py, &client.waiter(), Deadline::after(timeout)?, room)? {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(errors::submit_error(&error)),
        }
    }

    #[pyo3(signature = (timeout = Some(5.0)))]
    fn close(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        // What is not recorded in time is sent all the same while the process lives.
        let client = self.get()?;
        wait::wait(py, &client.waiter(), Deadline::after(timeout)?, client.close())?;
        Ok(())
    }
}
