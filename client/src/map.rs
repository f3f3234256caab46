//! What a call to many engines, or a map over many items, gives back at once.
//!
//! Made by the views. One lock and two words a task for all of its results together.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use phalanx_transport::protocol::ids::TaskId;

use crate::batch::{Batch, Until, Wait, nth_task};
use crate::client::Handle;
use crate::error::TaskError;
use crate::result::{AsyncResult, FromPayload, Metadata, metadata, read};

/// The results of tasks that were submitted together, now or later, in the order of their items
/// or engines.
///
/// `.await` gives all of them, or the error of the first that has none.
/// [`AsyncMapResult::next_done`] gives them one by one as they come.
#[must_use = "dropping results makes them nobody's; the tasks run all the same"]
pub struct AsyncMapResult<R> {
    handle: Arc<Handle>,
    batch: Arc<Batch>,
    first: TaskId,
    len: u32,
    /// How many `next_done` has given out.
    given: usize,
    returns: PhantomData<fn() -> R>,
}

impl<R> AsyncMapResult<R> {
    pub(crate) const fn new(
        handle: Arc<Handle>,
        batch: Arc<Batch>,
        first: TaskId,
        len: u32,
    ) -> Self {
        Self { handle, batch, first, len, given: 0, returns: PhantomData }
    }

    /// What keeps the client alive.
    pub(crate) const fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// How many tasks there are.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of the tasks have ended.
    pub fn done_len(&self) -> usize {
        self.batch.filled()
    }

    /// Whether all tasks have ended, in whatever way.
    pub fn ready(&self) -> bool {
        self.batch.meets(Until::Count(self.len()))
    }

    /// The names of the tasks, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = TaskId> + use<R> {
        let first = self.first;
        (0..self.len).map(move |index| nth_task(first, index))
    }

    /// Waits until all tasks have ended, in whatever way.
    pub async fn wait(&self) {
        Wait::new(&self.batch, Until::Count(self.len())).await;
    }

    /// Wants all tasks to end; returns at once.
    pub fn abort(&self) {
        self.handle.shared().abort(self.ids());
    }

    /// What is known of the task of this item or engine; `None` before it has ended.
    pub fn metadata(&self, index: usize) -> Option<Metadata> {
        metadata(&self.batch, self.first, u32::try_from(index).ok()?)
    }

    /// The result of this item or engine, to be awaited by itself; `None` beyond the last.
    pub fn result(&self, index: usize) -> Option<AsyncResult<R>> {
        let index = u32::try_from(index).ok().filter(|index| *index < self.len)?;
        let (handle, batch) = (Arc::clone(&self.handle), Arc::clone(&self.batch));
        Some(AsyncResult::new(handle, batch, self.first, index))
    }
}

impl<R: FromPayload> AsyncMapResult<R> {
    /// Waits for all results, in order. Can be called again.
    ///
    /// # Errors
    /// The [`TaskError`] of the first task, in order, that has no result.
    pub async fn get(&self) -> Result<Vec<R>, TaskError> {
        self.wait().await;
        self.read_all()
    }

    /// Waits for all results, but not longer than `after`. The tasks go on in any case.
    ///
    /// # Errors
    /// [`TaskError::NotYet`] for the first that has not ended, else as [`AsyncMapResult::get`].
    ///
    /// # Panics
    /// Outside a tokio runtime that has time.
    pub async fn timeout(&self, after: Duration) -> Result<Vec<R>, TaskError> {
        match tokio::time::timeout(after, self.wait()).await {
            Ok(()) => self.read_all(),
            Err(_) => Err(self.not_yet(after)),
        }
    }

    /// Waits until all tasks have ended; what each came to, in order.
    pub async fn outcomes(&self) -> Vec<Result<R, TaskError>> {
        self.wait().await;
        self.try_outcomes().flatten().collect()
    }

    /// What the next task that ends came to, and its place in the order; `None` after the last.
    /// Those that have ended come at once, in the order in which they ended.
    pub async fn next_done(&mut self) -> Option<(usize, Result<R, TaskError>)> {
        if self.given >= self.len() {
            return None;
        }
        Wait::new(&self.batch, Until::Count(self.given + 1)).await;
        self.try_next_done()
    }

    /// The same, but `None` also if no other task has ended yet.
    pub fn try_next_done(&mut self) -> Option<(usize, Result<R, TaskError>)> {
        let index = self.batch.nth_filled(self.given)?;
        let outcome = read(&self.batch, self.first, index)?;
        self.given += 1;
        Some((index as usize, outcome))
    }

    pub(crate) fn not_yet(&self, after: Duration) -> TaskError {
        let open = |index: &u32| !self.batch.meets(Until::Filled(*index));
        let index = (0..self.len).find(open).unwrap_or(0);
        let task = nth_task(self.first, index);
        TaskError::NotYet { task, after }
    }

    pub(crate) fn read_all(&self) -> Result<Vec<R>, TaskError> {
        self.try_outcomes().flatten().collect()
    }

    fn try_outcomes(&self) -> impl Iterator<Item = Option<Result<R, TaskError>>> {
        (0..self.len).map(|index| read(&self.batch, self.first, index))
    }
}

impl<R: FromPayload + 'static> IntoFuture for AsyncMapResult<R> {
    type Output = Result<Vec<R>, TaskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.get().await })
    }
}

impl<R> fmt::Debug for AsyncMapResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncMapResult")
            .field("first", &self.first)
            .field("len", &self.len)
            .field("done", &self.done_len())
            .finish_non_exhaustive()
    }
}
