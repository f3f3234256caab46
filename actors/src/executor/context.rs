//! What a handler may know of the attempt it runs, and how it learns that nobody wants it any more.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use phalanx_protocol::ids::{AttemptId, EngineId};
use phalanx_protocol::output::OutputKind;

use super::OutputSink;

/// The attempt that a handler runs.
#[derive(Debug, Clone)]
pub struct TaskContext {
    /// Which attempt at which task.
    pub attempt: AttemptId,
    /// On which engine.
    pub engine: EngineId,
    /// Whether it is still wanted.
    pub cancel: CancelToken,
    /// What it writes, its user sees: live, and with the result.
    pub output: OutputSink,
}

impl TaskContext {
    /// Writes a line of standard output; never waits.
    pub fn print(&self, line: impl Display) {
        self.output.write_text(OutputKind::STDOUT, format!("{line}\n"));
    }

    /// Writes a line of standard error; never waits.
    pub fn print_error(&self, line: impl Display) {
        self.output.write_text(OutputKind::STDERR, format!("{line}\n"));
    }
}

/// Says whether an attempt was aborted. A blocking handler that runs for long asks it now and then
/// and returns early; what it returns then does not matter. An asynchronous handler need not: its
/// future is dropped.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<Cancel>);

#[derive(Debug, Default)]
struct Cancel {
    cancelled: AtomicBool,
    /// Guards nothing but the moment between a waiter's look and its sleep.
    gate: Mutex<()>,
    woken: Condvar,
}

impl CancelToken {
    /// Whether the attempt was aborted.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Sleeps this long, or until the attempt is aborted; says whether it was.
    pub fn wait(&self, at_most: Duration) -> bool {
        let gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        // A poisoned gate guards nothing either.
        let waited = self.0.woken.wait_timeout_while(gate, at_most, |()| !self.is_cancelled());
        drop(waited);
        self.is_cancelled()
    }

    pub(super) fn cancel(&self) {
        let gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.cancelled.store(true, Ordering::Release);
        drop(gate);
        self.0.woken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_is_woken_by_the_abort() {
        let token = CancelToken::default();
        assert!(!token.wait(Duration::from_millis(1)));
        let waiter = {
            let token = token.clone();
            std::thread::spawn(move || token.wait(Duration::from_secs(60)))
        };
        token.cancel();
        assert!(waiter.join().unwrap());
        assert!(token.is_cancelled());
    }
}
