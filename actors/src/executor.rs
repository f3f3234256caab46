//! Executors: what an engine's slots run. The engine's shell starts and interrupts attempts here;
//! the engine's queue, slots and reports are in [`phalanx_core::engine`].
//!
//! | module | runs |
//! |---|---|
//! | [`native`] | typed Rust handlers, asynchronous and blocking |
//! | [`null`] | nothing: answers at once, for measurements |
//!
//! What a task writes goes to its [`OutputSink`], which any executor gets from its [`Finisher`].

mod context;
mod failure;
pub mod native;
pub mod null;
mod output;
mod panics;
mod pool;

use std::collections::BTreeMap;

use phalanx_protocol::function::Function;
use phalanx_protocol::ids::{AttemptId, EngineId};
use phalanx_protocol::limits::ERROR_BASES_MAX;
use phalanx_protocol::outcome::{AttemptOutcome, RemoteError, RunTimes};
use phalanx_protocol::payload::Payload;
use phalanx_protocol::task::MethodName;
use tokio::sync::mpsc;

pub use context::{CancelToken, TaskContext};
pub use failure::NotHere;
pub(crate) use output::Written;
pub use output::{OutputSink, OutputStream};

use output::Outlet;

/// Runs attempts. Lives on the engine's arbiter: its functions must return at once.
///
/// The engine starts at most as many attempts at a time as it has slots, and
/// [`ahead`](Executor::ahead) more, and none twice.
pub trait Executor: 'static {
    /// What it runs, for people: `native`, `null`, `python`.
    fn kind(&self) -> &str;

    /// The methods it offers.
    fn methods(&self) -> Vec<MethodName>;

    /// How many attempts beyond the engine's slots it takes and keeps, in order, until a slot is
    /// free: one that runs them on another thread then finds the next without a word to the
    /// engine's. An attempt that it keeps can be interrupted like one that runs.
    fn ahead(&self) -> u32 {
        0
    }

    /// Begins an attempt. It is answered exactly once: by what this returns if it is over already,
    /// otherwise through `finisher`, from any thread.
    fn start(&mut self, start: Start, finisher: &Finisher) -> Option<Finished>;

    /// Interrupts an attempt if it still runs. It is answered all the same.
    fn interrupt(&mut self, attempt: AttemptId, finisher: &Finisher);

    /// Forgets an attempt that it keeps and has not begun, and says whether it did: another engine
    /// could start it now. One that was forgotten is not answered. An executor that keeps none has
    /// none to forget.
    fn withdraw(&mut self, attempt: AttemptId) -> bool {
        let _ = attempt;
        false
    }

    /// The engine has taken the answer of an attempt that [`Executor::start`] left open: what was
    /// kept to interrupt it can go.
    fn on_finished(&mut self, attempt: AttemptId);
}

/// An attempt to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Which one.
    pub attempt: AttemptId,
    /// On which engine.
    pub engine: EngineId,
    /// What to call.
    pub method: MethodName,
    /// With what; inline.
    pub payload: Payload,
    /// The function that goes with it, if the call has one: what it means is for caller and
    /// executor to say. Its digest names it, so that what was made of it can be kept.
    pub function: Option<Function>,
}

/// An attempt that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Which one.
    pub attempt: AttemptId,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// When it ran.
    pub times: RunTimes,
    /// What it returned, inline. Long bytes travel best in shared memory: an executor puts them
    /// there, on the thread that made them ([`phalanx_transport::segments`]).
    pub payload: Payload,
}

/// How an attempt ended whose code raised `error`; texts that are too long to travel are cut.
pub fn failed(error: RemoteError) -> AttemptOutcome {
    AttemptOutcome::Failed(Box::new(RemoteError {
        kind: failure::cut(error.kind),
        message: failure::cut(error.message),
        traceback: failure::cut(error.traceback),
        bases: error.bases.into_iter().take(ERROR_BASES_MAX).map(failure::cut).collect(),
        ..error
    }))
}

/// Where executors answer, and where attempts write. Cheap to clone; never blocks. The slots bound
/// how much waits in it.
#[derive(Debug, Clone)]
pub struct Finisher {
    answers: mpsc::UnboundedSender<Finished>,
    outlet: Outlet,
}

impl Finisher {
    /// A finisher, and where its answers come out.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Finished>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { answers: sender, outlet: Outlet::default() }, receiver)
    }

    /// Answers a start.
    pub fn finish(&self, finished: Finished) {
        // Without a receiver the engine has ended, and nobody is left to tell.
        let _ = self.answers.send(finished);
    }

    /// Where this attempt writes what its user shall see. Costs nothing until something is written.
    pub fn output(&self, attempt: AttemptId) -> OutputSink {
        self.outlet.sink(attempt)
    }

    /// Whether something was written that was not taken.
    pub(crate) fn has_output(&self) -> bool {
        self.outlet.has_output()
    }

    /// What was written since, by attempt.
    pub(crate) fn take_output(&self) -> BTreeMap<AttemptId, Written> {
        self.outlet.take()
    }

    /// Waits until something is written.
    pub(crate) async fn output_written(&self) {
        self.outlet.written().await;
    }
}
