//! Typed Rust handlers by stable wire name.
//!
//! Asynchronous handlers run on the engine's own thread, beside its session: one that computes for
//! long holds up everything else, so what computes belongs into a blocking handler, which gets a
//! thread of its own. Arguments and results are MessagePack values
//! ([`phalanx_protocol::value`]).

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use phalanx_protocol::ids::{AttemptId, EngineId};
use phalanx_protocol::limits::{METHODS_PER_ENGINE_MAX, TASK_PAYLOAD_LEN_MAX};
use phalanx_protocol::outcome::{AttemptOutcome, RunTimes};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::task::{MethodName, MethodNameError};
use phalanx_protocol::value;
use phalanx_transport::segments;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Span;

use super::failure::Failure;
use super::panics::catch;
use super::pool::Pool;
use super::{CancelToken, Executor, Finished, Finisher, Start, TaskContext};
use crate::rt;

/// What a handler may return as its error: any [`std::error::Error`], `anyhow::Error`, a text.
pub trait HandlerError: Into<Box<dyn Error + Send + Sync>> + 'static {}

impl<E: Into<Box<dyn Error + Send + Sync>> + 'static> HandlerError for E {}

/// A handler that cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerNameError {
    /// The name is empty or too long.
    #[error("handler {name:?}: {source}")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        source: MethodNameError,
    },
    /// The name is taken.
    #[error("handler \"{name}\" is registered twice; give one of them another name")]
    Twice {
        /// Which name.
        name: MethodName,
    },
    /// An engine cannot offer that many.
    #[error("more than {METHODS_PER_ENGINE_MAX} handlers; split them over several engines")]
    TooMany,
}

type Answer = Result<Bytes, Failure>;
type Answering = Pin<Box<dyn Future<Output = Answer>>>;

/// One handler, its types hidden.
enum Handler {
    Async(Box<dyn Fn(TaskContext, Payload) -> Result<Answering, Failure> + Send>),
    Blocking(Arc<dyn Fn(TaskContext, Payload) -> Answer + Send + Sync>),
}

/// Handlers by name, to be given to an engine. Can be sent to the engine's thread.
#[derive(Default)]
pub struct Handlers {
    by_name: BTreeMap<MethodName, Handler>,
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl Handlers {
    /// No handlers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an asynchronous handler. Abort drops its future.
    ///
    /// # Errors
    /// [`HandlerNameError`] if the name cannot be used.
    pub fn add<A, R, E, F, Fut>(&mut self, name: &str, handler: F) -> Result<(), HandlerNameError>
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
        E: HandlerError,
        F: Fn(TaskContext, A) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, E>> + 'static,
    {
        let call = move |context, payload: Payload| -> Result<Answering, Failure> {
            let answering = handler(context, decode(&payload)?);
            Ok(Box::pin(async move { encode(answering.await) }))
        };
        self.insert(name, Handler::Async(Box::new(call)))
    }

    /// Adds a blocking handler: it runs on a thread of its own, at most as many at a time as the
    /// engine has slots. Abort sets its [`CancelToken`].
    ///
    /// # Errors
    /// [`HandlerNameError`] if the name cannot be used.
    pub fn add_blocking<A, R, E, F>(
        &mut self,
        name: &str,
        handler: F,
    ) -> Result<(), HandlerNameError>
    where
        A: DeserializeOwned,
        R: Serialize,
        E: HandlerError,
        F: Fn(TaskContext, A) -> Result<R, E> + Send + Sync + 'static,
    {
        let call = move |context, payload: Payload| -> Answer {
            encode(handler(context, decode(&payload)?))
        };
        self.insert(name, Handler::Blocking(Arc::new(call)))
    }

    fn insert(&mut self, name: &str, handler: Handler) -> Result<(), HandlerNameError> {
        if self.by_name.len() >= METHODS_PER_ENGINE_MAX {
            return Err(HandlerNameError::TooMany);
        }
        let method = MethodName::try_from(name)
            .map_err(|source| HandlerNameError::Name { name: name.to_owned(), source })?;
        match self.by_name.entry(method) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(handler);
                Ok(())
            }
            std::collections::btree_map::Entry::Occupied(entry) => {
                Err(HandlerNameError::Twice { name: entry.key().clone() })
            }
        }
    }
}

fn decode<A: DeserializeOwned>(payload: &Payload) -> Result<A, Failure> {
    let invalid = |message| Failure::new("InvalidArguments", message);
    if payload.format != Format::MessagePack {
        let format = payload.format;
        return Err(invalid(format!("typed handlers take MessagePack, not {format:?}")));
    }
    let bytes = payload.bytes().ok_or_else(|| invalid("the payload is not here".to_owned()))?;
    value::from_bytes(&bytes)
        .map_err(|error| invalid(format!("not a {}: {error}", std::any::type_name::<A>())))
}

fn encode<R: Serialize, E: HandlerError>(result: Result<R, E>) -> Answer {
    let result = result.map_err(|error| Failure::of_error::<E>(error.into().as_ref()))?;
    let bytes = value::to_bytes(&result)
        .map_err(|error| Failure::new("InvalidResult", format!("cannot be encoded: {error}")))?;
    if bytes.len() as u64 > TASK_PAYLOAD_LEN_MAX {
        let len = bytes.len();
        let message = format!("{len} bytes are over the limit of {TASK_PAYLOAD_LEN_MAX}");
        return Err(Failure::new("ResultTooLarge", message));
    }
    Ok(segments::place(bytes))
}

/// Runs [`Handlers`].
pub struct Native {
    handlers: Handlers,
    active: HashMap<AttemptId, Active>,
    pool: Pool,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Native")
            .field("handlers", &self.handlers)
            .field("active", &self.active.len())
            .finish_non_exhaustive()
    }
}

/// An attempt that has not been taken as finished.
enum Active {
    Async(tokio::task::AbortHandle, Running),
    Blocking(CancelToken),
}

impl Native {
    /// An executor for an engine with so many slots.
    pub fn new(handlers: Handlers, slots: u32) -> Self {
        Self { handlers, active: HashMap::new(), pool: Pool::new(slots) }
    }

    /// Polls once right here: most handlers that only compute a little are over then, and a task
    /// of their own would cost more than they do.
    fn start_async(
        &mut self,
        mut answering: Answering,
        running: Running,
        finisher: &Finisher,
    ) -> Option<Finished> {
        let mut context = Context::from_waker(Waker::noop());
        if let Some(answer) = poll_caught(&mut answering, &mut context) {
            drop_caught(answering);
            return Some(running.end(answer));
        }
        let finisher = finisher.clone();
        // The engine's shell starts an attempt in its span, which goes on with it.
        let span = Span::current();
        let attempt = running.attempt;
        let task = {
            let running = running.clone();
            rt::spawn(async move {
                let answer = std::future::poll_fn(|context| {
                    match span.in_scope(|| poll_caught(&mut answering, context)) {
                        Some(answer) => Poll::Ready(answer),
                        None => Poll::Pending,
                    }
                })
                .await;
                span.in_scope(|| drop_caught(answering));
                finisher.finish(running.end(answer));
            })
        };
        self.active.insert(attempt, Active::Async(task.abort_handle(), running));
        None
    }
}

impl Drop for Native {
    /// Nobody waits for what still runs.
    fn drop(&mut self) {
        for active in self.active.values() {
            if let Active::Blocking(cancel) = active {
                cancel.cancel();
            }
        }
    }
}

impl Executor for Native {
    fn kind(&self) -> &str {
        "native"
    }

    fn methods(&self) -> Vec<MethodName> {
        self.handlers.by_name.keys().cloned().collect()
    }

    fn start(&mut self, start: Start, finisher: &Finisher) -> Option<Finished> {
        let Start { attempt, engine, method, payload, .. } = start;
        let cancel = CancelToken::default();
        let output = finisher.output(attempt);
        let context = TaskContext { attempt, engine, cancel: cancel.clone(), output };
        let running = Running::new(attempt, engine, method);
        match self.handlers.by_name.get(&running.method) {
            None => {
                let failure = unknown(&running.method, &self.handlers);
                Some(running.end(Err(failure)))
            }
            Some(Handler::Async(call)) => match catch(|| call(context, payload)) {
                Ok(Ok(answering)) => self.start_async(answering, running, finisher),
                Ok(Err(failure)) => Some(running.end(Err(failure))),
                Err(panic) => Some(running.end(Err(panic.into()))),
            },
            Some(Handler::Blocking(call)) => {
                let call = Arc::clone(call);
                let finisher = finisher.clone();
                let work = {
                    let running = running.clone();
                    let (cancel, span) = (cancel.clone(), Span::current());
                    Box::new(move || {
                        let running = running.restart();
                        let answer = catch(|| span.in_scope(|| call(context, payload)));
                        let answer = answer.unwrap_or_else(|panic| Err(panic.into()));
                        finisher.finish(match cancel.is_cancelled() {
                            true => running.abort(),
                            false => running.end(answer),
                        });
                    })
                };
                if let Err(error) = self.pool.run(self.active.len(), work) {
                    let message = format!("no thread to run it on: {error}");
                    return Some(running.end(Err(Failure::new("NoThread", message))));
                }
                self.active.insert(attempt, Active::Blocking(cancel));
                None
            }
        }
    }

    fn interrupt(&mut self, attempt: AttemptId, finisher: &Finisher) {
        match self.active.get(&attempt) {
            Some(Active::Blocking(cancel)) => cancel.cancel(),
            Some(Active::Async(task, running)) if !task.is_finished() => {
                task.abort();
                finisher.finish(running.clone().abort());
                self.active.remove(&attempt);
            }
            // Over already; its answer is on its way.
            Some(Active::Async(..)) | None => {}
        }
    }

    fn on_finished(&mut self, attempt: AttemptId) {
        self.active.remove(&attempt);
    }
}

/// `None` while it is not over.
fn poll_caught(answering: &mut Answering, context: &mut Context<'_>) -> Option<Answer> {
    match catch(|| answering.as_mut().poll(context)) {
        Ok(Poll::Pending) => None,
        Ok(Poll::Ready(answer)) => Some(answer),
        Err(panic) => Some(Err(panic.into())),
    }
}

/// What a handler leaves behind may panic when it is dropped; its answer stands already.
fn drop_caught(answering: Answering) {
    if let Err(panic) = catch(|| drop(answering)) {
        tracing::warn!(panic.message, "a handler's future panicked when it was dropped");
    }
}

fn unknown(method: &MethodName, handlers: &Handlers) -> Failure {
    let offered: Vec<&str> = handlers.by_name.keys().map(MethodName::as_str).collect();
    let offered = offered.join(", ");
    Failure::new("UnknownMethod", format!("no handler \"{method}\" here; there are: {offered}"))
}

/// An attempt that began.
#[derive(Debug, Clone)]
struct Running {
    attempt: AttemptId,
    engine: EngineId,
    method: MethodName,
    started_us: u64,
    started: Instant,
}

impl Running {
    fn new(attempt: AttemptId, engine: EngineId, method: MethodName) -> Self {
        let (started_us, started) = (wall_clock_us(), Instant::now());
        Self { attempt, engine, method, started_us, started }
    }

    /// It had to wait for its thread.
    fn restart(self) -> Self {
        Self::new(self.attempt, self.engine, self.method)
    }

    fn end(self, answer: Answer) -> Finished {
        let (outcome, payload) = match answer {
            Ok(bytes) => (AttemptOutcome::Done, Payload::inline(Format::MessagePack, bytes)),
            Err(failure) => (failure.outcome(self.engine, &self.method), Payload::empty()),
        };
        Finished { attempt: self.attempt, outcome, times: self.times(), payload }
    }

    fn abort(self) -> Finished {
        Finished {
            attempt: self.attempt,
            outcome: AttemptOutcome::Aborted,
            times: self.times(),
            payload: Payload::empty(),
        }
    }

    fn times(&self) -> RunTimes {
        // 584 years fit.
        let ran_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        RunTimes { started_us: self.started_us, ran_ns }
    }
}

/// Microseconds since 1970; 0 on a machine whose clock stands before that.
pub(crate) fn wall_clock_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
