//! The desk between an engine's own thread and the main thread: attempts are laid on it by the one
//! and taken by the other. One wake-up from the first to the second, and none while there is more.
//!
//! It knows nothing of Python: so the engine's thread cannot wait for the GIL here.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx::executor::{Executor, Finished, Finisher, Start};
use phalanx_client::protocol::ids::AttemptId;
use phalanx_client::protocol::outcome::{AttemptOutcome, RunTimes};
use phalanx_client::protocol::payload::Payload;
use phalanx_client::protocol::task::MethodName;

use crate::signals::{MainThread, spawn_masked};

/// What engines of this kind call themselves.
pub(crate) const KIND: &str = "python";

/// Attempts that may lie on the desk behind the one that runs. At 100,000 short tasks a second they
/// last for half a millisecond, which is ten wake-ups of a sleeping thread.
const AHEAD_MAX: u32 = 63;

/// Between two signals to a task that is unwanted and still runs. One that comes just before a system
/// call, such as a sleep, does not end that call: Python has seen it only after the call.
const SIGNAL_AGAIN: Duration = Duration::from_millis(100);

/// Signals to one such task. Code that has ignored so many ignores them all; that is for whoever may
/// kill the engine.
const SIGNALS_MAX: u32 = 100;

/// How long a running task may take to end after its engine has; then the process ends.
const END_MAX: Duration = Duration::from_secs(2);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Desk {
    state: Mutex<State>,
    /// Tells the main thread of an attempt, or of the end.
    filled: Condvar,
    /// Tells the engine's thread that the main thread will take nothing more.
    left: Condvar,
    main: MainThread,
    abort_signal: i32,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    running: Option<AttemptId>,
    /// Whether nobody wants the running one any more.
    is_unwanted: bool,
    /// Whether the engine has been told to end, or has ended.
    is_stopping: bool,
    /// Why the engine has ended.
    ended: Option<Ending>,
    /// Whether the main thread sleeps until something is there.
    is_awaited: bool,
    has_left: bool,
}

/// An attempt, and where to answer.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) start: Start,
    pub(crate) finisher: Finisher,
}

/// How the engine has ended: in order and why, or what has gone wrong, in words.
pub(crate) type Ending = Result<String, String>;

/// What the main thread finds on the desk.
#[derive(Debug)]
pub(crate) enum Found {
    Job(Box<Job>),
    /// The engine has ended.
    End(Ending),
    /// Nothing yet.
    Nothing,
}

/// What became of an attempt that nobody wants any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interrupted {
    /// It had not begun, and never will.
    Job,
    /// It runs, and was signalled for the first time.
    Signalled,
    /// It is not here, or was signalled before.
    Nothing,
}

impl Desk {
    /// An empty desk; `main` is signalled to interrupt what it runs.
    pub(crate) fn new(main: MainThread, abort_signal: i32) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            left: Condvar::new(),
            main,
            abort_signal,
        }
    }

    /// The next attempt, which runs from now on, if one is there.
    pub(crate) fn take(&self) -> Found {
        self.lock().take()
    }

    /// The same, but waits so long for something.
    pub(crate) fn wait(&self, at_most: Duration) -> Found {
        let mut state = self.lock();
        state.is_awaited = true;
        let waited = self.filled.wait_timeout_while(state, at_most, |state| state.is_empty());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_awaited = false;
        state.take()
    }

    /// The running attempt is over; says whether nobody wanted it any more.
    pub(crate) fn put_away(&self) -> bool {
        let mut state = self.lock();
        state.running = None;
        std::mem::take(&mut state.is_unwanted)
    }

    /// Whether nobody wants the running attempt any more.
    pub(crate) fn is_unwanted(&self) -> bool {
        let state = self.lock();
        state.running.is_some() && state.is_unwanted
    }

    /// Whether the engine has been told to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().is_stopping
    }

    /// The main thread takes nothing more.
    pub(crate) fn leave(&self) {
        self.lock().has_left = true;
        self.left.notify_all();
    }

    /// The engine has ended: interrupts what runs, and gives it a time to end. Says whether it did.
    pub(crate) fn end(&self, ending: Ending) -> bool {
        let mut state = self.lock();
        state.jobs.clear();
        state.ended = Some(ending);
        state.stop(self);
        self.filled.notify_all();
        let is_busy = |state: &mut State| state.running.is_some() && !state.has_left;
        let waited = self.left.wait_timeout_while(state, END_MAX, is_busy);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.running.is_none() || state.has_left
    }

    fn put(&self, job: Job) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        let is_awaited = state.is_awaited;
        drop(state);
        if is_awaited {
            self.filled.notify_one();
        }
    }

    /// Interrupts an attempt if it runs, or takes it off the desk.
    fn interrupt(&self, attempt: AttemptId) -> Interrupted {
        let mut state = self.lock();
        if state.running == Some(attempt) {
            let is_first = !std::mem::replace(&mut state.is_unwanted, true);
            // Under the lock: so it is not the next one that runs when the signal comes, and if the
            // handler runs later, it asks.
            self.main.signal(self.abort_signal);
            return if is_first { Interrupted::Signalled } else { Interrupted::Nothing };
        }
        if state.remove(attempt) { Interrupted::Job } else { Interrupted::Nothing }
    }

    /// Takes an attempt off the desk, if it lies there; says whether it did.
    fn withdraw(&self, attempt: AttemptId) -> bool {
        self.lock().remove(attempt)
    }

    /// Signals again, now and then, while that attempt runs on; from a thread of its own.
    fn insist(&self, attempt: AttemptId) {
        for _ in 1..SIGNALS_MAX {
            std::thread::sleep(SIGNAL_AGAIN);
            let state = self.lock();
            if state.running != Some(attempt) || state.has_left {
                return;
            }
            self.main.signal(self.abort_signal);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.ended.is_none()
    }

    fn take(&mut self) -> Found {
        if let Some(ending) = &self.ended {
            return Found::End(ending.clone());
        }
        let Some(job) = self.jobs.pop_front() else { return Found::Nothing };
        self.running = Some(job.start.attempt);
        self.is_unwanted = false;
        Found::Job(Box::new(job))
    }

    fn remove(&mut self, attempt: AttemptId) -> bool {
        let at = self.jobs.iter().position(|job| job.start.attempt == attempt);
        at.and_then(|at| self.jobs.remove(at)).is_some()
    }

    /// Has what runs interrupted, once.
    fn stop(&mut self, desk: &Desk) {
        if !std::mem::replace(&mut self.is_stopping, true) && self.running.is_some() {
            self.is_unwanted = true;
            desk.main.signal(desk.abort_signal);
        }
    }
}

/// Lays attempts on the desk.
#[derive(Debug)]
pub(crate) struct Clerk {
    desk: std::sync::Arc<Desk>,
    methods: Vec<MethodName>,
}

impl Clerk {
    pub(crate) const fn new(desk: std::sync::Arc<Desk>, methods: Vec<MethodName>) -> Self {
        Self { desk, methods }
    }
}

impl Executor for Clerk {
    fn kind(&self) -> &str {
        KIND
    }

    fn methods(&self) -> Vec<MethodName> {
        self.methods.clone()
    }

    fn ahead(&self) -> u32 {
        AHEAD_MAX
    }

    fn start(&mut self, start: Start, finisher: &Finisher) -> Option<Finished> {
        self.desk.put(Job { start, finisher: finisher.clone() });
        None
    }

    fn interrupt(&mut self, attempt: AttemptId, finisher: &Finisher) {
        match self.desk.interrupt(attempt) {
            Interrupted::Job => finisher.finish(Finished {
                attempt,
                outcome: AttemptOutcome::Aborted,
                times: RunTimes::default(),
                payload: Payload::empty(),
            }),
            Interrupted::Signalled => {
                let desk = std::sync::Arc::clone(&self.desk);
                // At most one lives for a task, and one task runs. Without it the first signal counts.
                if let Err(error) = spawn_masked("phalanx-abort", move || desk.insist(attempt)) {
                    tracing::warn!(%error, "an unwanted task is signalled only once");
                }
            }
            Interrupted::Nothing => {}
        }
    }

    fn withdraw(&mut self, attempt: AttemptId) -> bool {
        self.desk.withdraw(attempt)
    }

    fn on_finished(&mut self, _attempt: AttemptId) {}
}
