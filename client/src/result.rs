//! What a call gives back at once: the promise of one task's result.
//!
//! Made by the views. Dropping it does not end the task; it only makes the outcome nobody's.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use phalanx_transport::protocol::ids::{EngineId, TaskId};
use phalanx_transport::protocol::outcome::Delivery;
use phalanx_transport::protocol::output::OutputKind;
use phalanx_transport::protocol::payload::{Format, Payload};
use phalanx_transport::protocol::value;
use serde::de::DeserializeOwned;

use crate::batch::{Batch, Ending, Until, Wait, WaiterId, nth_task};
use crate::client::Handle;
use crate::core::End;
use crate::error::{DecodeError, TaskError};
use crate::live::OutputReader;

/// What can be made of a result's payload: any type that serde reads from MessagePack, or [`Raw`].
pub trait FromPayload: Sized {
    /// Reads the payload.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not such a value.
    fn from_payload(format: Format, bytes: &Bytes) -> Result<Self, DecodeError>;
}

impl<T: DeserializeOwned> FromPayload for T {
    fn from_payload(format: Format, bytes: &Bytes) -> Result<Self, DecodeError> {
        if format != Format::MessagePack {
            return Err(DecodeError::Format(format));
        }
        value::from_bytes(bytes).map_err(|error| DecodeError::Value(Arc::new(error)))
    }
}

/// A payload as it is: for formats that this client does not read. Cloning it copies nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// How the bytes are to be read.
    pub format: Format,
    /// The bytes.
    pub bytes: Bytes,
}

impl FromPayload for Raw {
    fn from_payload(format: Format, bytes: &Bytes) -> Result<Self, DecodeError> {
        let bytes = bytes.clone();
        Ok(Self { format, bytes })
    }
}

/// What is known of a task that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Which task.
    pub task: TaskId,
    /// How it ended: `done`, `failed` and so on; `unknown` if the hub did not say.
    pub outcome: &'static str,
    /// The engine that had it last.
    pub engine: Option<EngineId>,
    /// How many attempts there were.
    pub attempts: u32,
    /// When it was submitted, by this client's clock.
    pub submitted: SystemTime,
    /// When its last attempt started, by the engine's clock.
    pub started: Option<SystemTime>,
    /// How long its last attempt ran.
    pub ran: Duration,
    /// When its outcome arrived, by this client's clock.
    pub received: SystemTime,
    /// What its last attempt wrote to standard output, as far as it is kept.
    pub stdout: String,
    /// What its last attempt wrote to standard error, as far as it is kept.
    pub stderr: String,
    /// How many bytes it wrote beyond what is kept.
    pub output_truncated: u64,
}

/// The result of one task, now or later.
///
/// It is a future: `.await` gives the result or the [`TaskError`]. [`AsyncResult::get`] does the
/// same without using it up. Its [`id`](AsyncResult::id) is known at once, so other tasks can
/// depend on it. Costs one small allocation while the task is open, and its result's bytes then.
#[must_use = "dropping a result makes it nobody's; the task runs all the same"]
pub struct AsyncResult<R> {
    handle: Arc<Handle>,
    batch: Arc<Batch>,
    first: TaskId,
    index: u32,
    waiter: Option<WaiterId>,
    returns: PhantomData<fn() -> R>,
}

impl<R> AsyncResult<R> {
    pub(crate) const fn new(
        handle: Arc<Handle>,
        batch: Arc<Batch>,
        first: TaskId,
        index: u32,
    ) -> Self {
        Self { handle, batch, first, index, waiter: None, returns: PhantomData }
    }

    /// The task's name.
    pub const fn id(&self) -> TaskId {
        nth_task(self.first, self.index)
    }

    /// What keeps the client alive.
    pub(crate) const fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// Whether the task has ended, in whatever way.
    pub fn ready(&self) -> bool {
        self.batch.meets(Until::Filled(self.index))
    }

    /// Waits until the task has ended, in whatever way.
    pub async fn wait(&self) {
        Wait::new(&self.batch, Until::Filled(self.index)).await;
    }

    /// Wants the task to end; returns at once. A running one is interrupted, a waiting one never
    /// starts, an ended one is left as it is.
    pub fn abort(&self) {
        self.handle.shared().abort([self.id()]);
    }

    /// As [`AsyncResult::abort`]; and if it has not ended `kill_after` after the hub has heard
    /// it, its engine's process is killed, and started again by its host. For code that heeds no
    /// abort. What else that engine had moves if balanced and ends as
    /// [`TaskError::EngineLost`](crate::TaskError::EngineLost) if direct. Less than 100 ms counts
    /// as that.
    pub fn abort_or_kill(&self, kill_after: Duration) {
        self.handle.shared().abort_or_kill([self.id()], kill_after);
    }

    /// Reads what the task writes while it runs, from now on; `None` if somebody does already.
    /// What nobody reads is not held: it comes with the metadata.
    pub fn follow_output(&self) -> Option<OutputReader> {
        OutputReader::new(&self.batch, self.index)
    }

    /// What is known of the task; `None` before it has ended.
    pub fn metadata(&self) -> Option<Metadata> {
        metadata(&self.batch, self.first, self.index)
    }
}

impl<R: FromPayload> AsyncResult<R> {
    /// Waits for the result. Can be called again, and by several tasks at once.
    ///
    /// # Errors
    /// [`TaskError`] if the task ended otherwise than by returning an `R`.
    pub async fn get(&self) -> Result<R, TaskError> {
        self.wait().await;
        self.read()
    }

    /// Waits for the result, but not longer than `after`. The task goes on in any case.
    ///
    /// # Errors
    /// [`TaskError::NotYet`] if it did not end in time, else as [`AsyncResult::get`].
    ///
    /// # Panics
    /// Outside a tokio runtime that has time.
    pub async fn timeout(&self, after: Duration) -> Result<R, TaskError> {
        match tokio::time::timeout(after, self.wait()).await {
            Ok(()) => self.read(),
            Err(_) => Err(self.not_yet(after)),
        }
    }

    /// The result if the task has ended.
    pub fn try_get(&self) -> Option<Result<R, TaskError>> {
        read(&self.batch, self.first, self.index)
    }

    pub(crate) fn not_yet(&self, after: Duration) -> TaskError {
        let task = self.id();
        TaskError::NotYet { task, after }
    }

    fn read(&self) -> Result<R, TaskError> {
        let not_yet = || Err(self.not_yet(Duration::ZERO));
        self.try_get().unwrap_or_else(not_yet)
    }
}

impl<R: FromPayload> Future for AsyncResult<R> {
    type Output = Result<R, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let until = Until::Filled(self.index);
        let Self { batch, waiter, .. } = &mut *self;
        match batch.poll(until, waiter, context) {
            Poll::Ready(()) => Poll::Ready(self.read()),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<R> Drop for AsyncResult<R> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.batch.forget(waiter);
        }
    }
}

impl<R> fmt::Debug for AsyncResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResult")
            .field("id", &self.id())
            .field("ready", &self.ready())
            .finish_non_exhaustive()
    }
}

/// What the task at `index` of a batch came to, if it has ended.
pub(crate) fn read<R: FromPayload>(
    batch: &Batch,
    first: TaskId,
    index: u32,
) -> Option<Result<R, TaskError>> {
    let task = nth_task(first, index);
    // Decoding happens without the lock: bytes are shared, not copied.
    let payload = batch.read(index, |ending| payload(task, ending))?;
    Some(payload.and_then(|Raw { format, bytes }| {
        R::from_payload(format, &bytes).map_err(|error| TaskError::Decode { task, error })
    }))
}

fn payload(task: TaskId, ending: &Ending) -> Result<Raw, TaskError> {
    match &ending.end {
        End::Delivered(delivery) => match TaskError::of_outcome(task, &delivery.outcome) {
            Some(error) => Err(error),
            None => Ok(raw(&delivery.payload)),
        },
        End::Forgotten(epoch) => Err(TaskError::HubForgot { task, epoch: *epoch }),
        End::Disconnected(cause) => Err(TaskError::Disconnected { task, cause: Arc::clone(cause) }),
    }
}

fn raw(payload: &Payload) -> Raw {
    Raw {
        format: payload.format,
        // The room hands out inline payloads only.
        bytes: payload.bytes().unwrap_or_default(),
    }
}

/// What is known of the task at `index` of a batch, if it has ended.
pub(crate) fn metadata(batch: &Batch, first: TaskId, index: u32) -> Option<Metadata> {
    batch.read(index, |ending| {
        let mut metadata = Metadata {
            task: nth_task(first, index),
            outcome: "unknown",
            engine: None,
            attempts: 0,
            submitted: batch.submitted,
            started: None,
            ran: Duration::ZERO,
            received: ending.received,
            stdout: String::new(),
            stderr: String::new(),
            output_truncated: 0,
        };
        if let End::Delivered(delivery) = &ending.end {
            add_delivery(&mut metadata, delivery);
        }
        metadata
    })
}

fn add_delivery(metadata: &mut Metadata, delivery: &Delivery) {
    let started_us = delivery.times.started_us;
    let started = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(started_us));
    metadata.outcome = delivery.outcome.name();
    metadata.engine = delivery.engine;
    metadata.attempts = delivery.attempts;
    metadata.started = started.filter(|_| started_us > 0);
    metadata.ran = Duration::from_nanos(delivery.times.ran_ns);
    if let Some(output) = &delivery.output {
        metadata.stdout = output.text(OutputKind::STDOUT);
        metadata.stderr = output.text(OutputKind::STDERR);
        metadata.output_truncated = output.truncated;
    }
}
