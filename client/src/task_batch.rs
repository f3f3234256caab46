//! Tasks without types: the way in for faces in other languages, which encode and decode
//! themselves.
//!
//! Used by the Python face; Rust programs have the views. It adds nothing to what these can do, it
//! only leaves out the types, the decoding and the errors: an ending is given as it came.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use phalanx_transport::protocol::ids::TaskId;

use crate::batch::{Batch, Wait, nth_task};
use crate::blocking::Waiter;
use crate::client::{Client, Handle};
use crate::core::{End, NewTask, RequestError, SubmitError};
use crate::live::OutputReader;

pub use crate::batch::Until;

/// How a task ended, as it came, and when.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Ended {
    /// How it ended; a payload is inline, its bytes are shared.
    pub end: End,
    /// When the client heard of it, by its clock.
    pub received: SystemTime,
}

/// Tasks that were submitted together, and their endings as they come. Cheap to clone.
///
/// Dropping it makes the endings nobody's; the tasks run all the same.
#[derive(Clone)]
pub struct TaskBatch {
    handle: Arc<Handle>,
    batch: Arc<Batch>,
    ids: Ids,
    len: u32,
}

/// The names of the tasks of a batch.
#[derive(Clone)]
enum Ids {
    /// In a row, from this one on.
    From(TaskId),
    /// These.
    Listed(Arc<[TaskId]>),
}

impl Client {
    /// Submits tasks, all or none, in this order; returns at once. A task for several engines
    /// stands for as many.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was submitted then.
    pub fn submit<T>(&self, tasks: T) -> Result<TaskBatch, SubmitError>
    where
        T: AsRef<[NewTask]> + IntoIterator<Item = NewTask>,
    {
        let ids: u64 = tasks.as_ref().iter().map(|task| task.target.ids_len()).sum();
        let len = u32::try_from(ids).map_err(|_| SubmitError::QueueFull)?;
        let handle = self.handle();
        let (first, batch) = handle.shared().submit(tasks)?;
        Ok(TaskBatch { handle: Arc::clone(handle), batch, ids: Ids::From(first), len })
    }

    /// The outcomes of tasks by name, whoever submitted them; each comes when the task has ended. A
    /// task that the hub has no record of comes as rejected. Dropping the batch before does not take
    /// back the wish: at most [`WATCHES_PER_CLIENT_MAX`] of them are open.
    ///
    /// [`WATCHES_PER_CLIENT_MAX`]: phalanx_transport::protocol::limits::WATCHES_PER_CLIENT_MAX
    ///
    /// # Errors
    /// [`RequestError`] if there are too many, the client is closed, or it is a monitor's.
    pub fn watch(&self, tasks: impl Into<Arc<[TaskId]>>) -> Result<TaskBatch, RequestError> {
        let tasks: Arc<[TaskId]> = tasks.into();
        let len = u32::try_from(tasks.len()).map_err(|_| RequestError::TooManyWatched)?;
        let handle = self.handle();
        let batch = handle.shared().watch(&tasks)?;
        Ok(TaskBatch { handle: Arc::clone(handle), batch, ids: Ids::Listed(tasks), len })
    }
}

impl Client {
    /// Submits a graph: as [`Client::submit`], but its tasks may name each other, by
    /// [`node`](crate::core::node), and the hub takes all of them or none.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was submitted then.
    pub fn submit_graph(&self, tasks: Vec<NewTask>) -> Result<TaskBatch, SubmitError> {
        let len = u32::try_from(tasks.len()).map_err(|_| SubmitError::QueueFull)?;
        let handle = self.handle();
        let (first, batch) = handle.shared().submit_graph(tasks)?;
        Ok(TaskBatch { handle: Arc::clone(handle), batch, ids: Ids::From(first), len })
    }
}

impl TaskBatch {
    /// How many tasks there are.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The name of a task, known at once. Beyond the last it names somebody else's.
    pub fn id(&self, index: u32) -> TaskId {
        match &self.ids {
            Ids::From(first) => nth_task(*first, index),
            Ids::Listed(ids) => ids.get(index as usize).copied().unwrap_or_default(),
        }
    }

    /// When they were submitted, by this client's clock.
    pub fn submitted(&self) -> SystemTime {
        self.batch.submitted
    }

    /// How many have ended.
    pub fn ended_len(&self) -> usize {
        self.batch.filled()
    }

    /// Which was the `nth` to end, from 0, if so many have.
    pub fn nth_ended(&self, nth: usize) -> Option<u32> {
        self.batch.nth_filled(nth)
    }

    /// How a task ended, if it has.
    pub fn ended(&self, index: u32) -> Option<Ended> {
        let copy = |ending: &crate::batch::Ending| Ended {
            end: ending.end.clone(),
            received: ending.received,
        };
        self.batch.read(index, copy)
    }

    /// Whether it has come to this.
    pub fn meets(&self, until: Until) -> bool {
        self.batch.meets(until)
    }

    /// Waits until it has come to this.
    pub async fn wait(&self, until: Until) {
        Wait::new(&self.batch, until).await;
    }

    /// Wakes `waker` once, when it has come to this; says whether it has already, and then does
    /// not. The waker is woken or dropped on whatever thread brings the news: neither may block.
    pub fn wake_when(&self, until: Until, waker: &Waker) -> bool {
        self.batch.poll(until, &mut None, &Context::from_waker(waker)) == Poll::Ready(())
    }

    /// Follows what a task writes, unless somebody does already, or there is no such task.
    pub fn follow_output(&self, index: u32) -> Option<OutputReader> {
        if index < self.len { OutputReader::new(&self.batch, index) } else { None }
    }

    /// Blocks callers that wait for these tasks.
    pub fn waiter(&self) -> Waiter {
        Waiter::of(&self.handle)
    }

    /// Wants all tasks to end; returns at once.
    pub fn abort(&self) {
        self.handle.shared().abort((0..self.len).map(|index| self.id(index)));
    }

    /// The same, and the engine of a task that has not ended `kill_after` later is killed.
    pub fn abort_or_kill(&self, kill_after: Duration) {
        let ids = (0..self.len).map(|index| self.id(index));
        self.handle.shared().abort_or_kill(ids, kill_after);
    }
}

impl fmt::Debug for TaskBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBatch")
            .field("first", &self.id(0))
            .field("len", &self.len)
            .field("ended", &self.ended_len())
            .finish_non_exhaustive()
    }
}
