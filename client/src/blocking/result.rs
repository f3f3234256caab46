//! Results that block the thread that wants them.

use std::sync::Arc;
use std::time::Duration;

use phalanx_transport::protocol::ids::TaskId;
use phalanx_transport::protocol::task::Dependency;

use super::park::{park, wait, wait_at_most};
use crate::dependency::IntoDependency;
use crate::error::TaskError;
use crate::live::LiveOutput;
use crate::result::{FromPayload, Metadata};

/// The result of one task, now or later; as [`crate::AsyncResult`], but it blocks.
#[derive(Debug)]
#[must_use = "dropping a result makes it nobody's; the task runs all the same"]
pub struct AsyncResult<R> {
    inner: crate::AsyncResult<R>,
}

impl<R> AsyncResult<R> {
    pub(super) const fn new(inner: crate::AsyncResult<R>) -> Self {
        Self { inner }
    }

    /// The task's name.
    pub const fn id(&self) -> TaskId {
        self.inner.id()
    }

    /// Whether the task has ended, in whatever way.
    pub fn ready(&self) -> bool {
        self.inner.ready()
    }

    /// Waits until the task has ended, in whatever way.
    pub fn wait(&self) {
        wait(self.inner.handle(), self.inner.wait());
    }

    /// Wants the task to end; returns at once.
    pub fn abort(&self) {
        self.inner.abort();
    }

    /// As [`AsyncResult::abort`]; and if it has not ended `kill_after` after the hub has heard
    /// it, its engine's process is killed, and started again by its host. For code that heeds no
    /// abort. What else that engine had moves if balanced and ends as
    /// [`TaskError::EngineLost`](crate::TaskError::EngineLost) if direct. Less than 100 ms counts
    /// as that.
    pub fn abort_or_kill(&self, kill_after: Duration) {
        self.inner.abort_or_kill(kill_after);
    }

    /// Reads what the task writes while it runs, from now on; `None` if somebody does already.
    pub fn follow_output(&self) -> Option<OutputReader> {
        self.inner.follow_output().map(|inner| OutputReader { inner })
    }

    /// What is known of the task; `None` before it has ended.
    pub fn metadata(&self) -> Option<Metadata> {
        self.inner.metadata()
    }
}

impl<R: FromPayload> AsyncResult<R> {
    /// Waits for the result. Can be called again.
    ///
    /// # Errors
    /// [`TaskError`] if the task ended otherwise than by returning an `R`.
    pub fn get(&self) -> Result<R, TaskError> {
        wait(self.inner.handle(), self.inner.get())
    }

    /// Waits for the result, but not longer than `after`. The task goes on in any case.
    ///
    /// # Errors
    /// [`TaskError::NotYet`] if it did not end in time, else as [`AsyncResult::get`].
    pub fn timeout(&self, after: Duration) -> Result<R, TaskError> {
        wait_at_most(self.inner.handle(), self.inner.get(), after)
            .unwrap_or_else(|| Err(self.inner.not_yet(after)))
    }

    /// The result if the task has ended.
    pub fn try_get(&self) -> Option<Result<R, TaskError>> {
        self.inner.try_get()
    }
}

/// Reads what one task writes, while it runs; as [`crate::OutputReader`], but its `next` blocks:
/// it gives `None` once the task has ended and all was read.
#[derive(Debug)]
#[must_use = "output is held for its reader"]
pub struct OutputReader {
    inner: crate::OutputReader,
}

impl OutputReader {
    /// The next piece if there is one now.
    pub fn try_next(&mut self) -> Option<LiveOutput> {
        self.inner.try_next()
    }
}

impl Iterator for OutputReader {
    type Item = LiveOutput;

    fn next(&mut self) -> Option<LiveOutput> {
        // Whoever waits for the task drives; a reader only looks on.
        park(self.inner.next(), Duration::MAX).flatten()
    }
}

impl<R> IntoDependency for &AsyncResult<R> {
    fn into_dependency(self) -> Dependency {
        (&self.inner).into_dependency()
    }
}

impl<R> IntoDependency for &[AsyncResult<R>] {
    fn into_dependency(self) -> Dependency {
        Dependency::all(self.iter().map(AsyncResult::id))
    }
}

impl<R> IntoDependency for &Vec<AsyncResult<R>> {
    fn into_dependency(self) -> Dependency {
        self.as_slice().into_dependency()
    }
}

/// The results of tasks that were submitted together; as [`crate::AsyncMapResult`], but it blocks.
#[derive(Debug)]
#[must_use = "dropping results makes them nobody's; the tasks run all the same"]
pub struct AsyncMapResult<R> {
    inner: crate::AsyncMapResult<R>,
}

impl<R> AsyncMapResult<R> {
    pub(super) const fn new(inner: crate::AsyncMapResult<R>) -> Self {
        Self { inner }
    }

    /// How many tasks there are.
    pub const fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// How many of the tasks have ended.
    pub fn done_len(&self) -> usize {
        self.inner.done_len()
    }

    /// Whether all tasks have ended, in whatever way.
    pub fn ready(&self) -> bool {
        self.inner.ready()
    }

    /// The names of the tasks, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = TaskId> + use<R> {
        self.inner.ids()
    }

    /// Waits until all tasks have ended, in whatever way.
    pub fn wait(&self) {
        wait(self.inner.handle(), self.inner.wait());
    }

    /// Wants all tasks to end; returns at once.
    pub fn abort(&self) {
        self.inner.abort();
    }

    /// What is known of the task of this item or engine; `None` before it has ended.
    pub fn metadata(&self, index: usize) -> Option<Metadata> {
        self.inner.metadata(index)
    }

    /// The result of this item or engine, to be awaited by itself; `None` beyond the last.
    pub fn result(&self, index: usize) -> Option<AsyncResult<R>> {
        self.inner.result(index).map(AsyncResult::new)
    }
}

impl<R: FromPayload> AsyncMapResult<R> {
    /// Waits for all results, in order. Can be called again.
    ///
    /// # Errors
    /// The [`TaskError`] of the first task, in order, that has no result.
    pub fn get(&self) -> Result<Vec<R>, TaskError> {
        wait(self.inner.handle(), self.inner.get())
    }

    /// Waits for all results, but not longer than `after`. The tasks go on in any case.
    ///
    /// # Errors
    /// [`TaskError::NotYet`] for the first that has not ended, else as [`AsyncMapResult::get`].
    pub fn timeout(&self, after: Duration) -> Result<Vec<R>, TaskError> {
        wait_at_most(self.inner.handle(), self.inner.get(), after)
            .unwrap_or_else(|| Err(self.inner.not_yet(after)))
    }

    /// Waits until all tasks have ended; what each came to, in order.
    pub fn outcomes(&self) -> Vec<Result<R, TaskError>> {
        wait(self.inner.handle(), self.inner.outcomes())
    }

    /// What the next task that ends came to, and its place in the order; `None` after the last.
    pub fn next_done(&mut self) -> Option<(usize, Result<R, TaskError>)> {
        let handle = Arc::clone(self.inner.handle());
        wait(&handle, self.inner.next_done())
    }
}

impl<R> IntoDependency for &AsyncMapResult<R> {
    fn into_dependency(self) -> Dependency {
        (&self.inner).into_dependency()
    }
}
