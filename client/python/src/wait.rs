//! Waiting without the GIL, so that Ctrl-C ends it: in slices, between which signals are checked.
//!
//! Only the main thread runs Python's signal handlers, and only while it holds the GIL; nothing
//! wakes a thread that sleeps in Rust for them.

use std::time::{Duration, Instant};

use phalanx_client::blocking::Waiter;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// How long a wait goes on before signals are looked at: what Ctrl-C takes at most.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// The end of a wait; none for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// So many seconds from now; without a number, or with more than any clock counts, never.
    pub(crate) fn after(timeout: Option<f64>) -> PyResult<Self> {
        let Some(seconds) = timeout else { return Ok(Self(None)) };
        if seconds.is_nan() {
            return Err(PyValueError::new_err("a timeout is a number of seconds, not NaN"));
        }
        let length = Duration::try_from_secs_f64(seconds.max(0.0));
        Ok(Self(length.ok().and_then(|length| Instant::now().checked_add(length))))
    }

    /// How long the next slice is; `None` when it is over.
    pub(crate) fn slice(self) -> Option<Duration> {
        let Some(deadline) = self.0 else { return Some(SLICE) };
        let left = deadline.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(SLICE))
    }
}

/// A length of time that Python gave as seconds.
pub(crate) fn duration(seconds: f64) -> PyResult<Duration> {
    let wrong = |_| PyValueError::new_err("a duration is a number of seconds, 0 or more");
    Duration::try_from_secs_f64(seconds).map_err(wrong)
}

/// Waits for a future of the client, without the GIL; `None` if it was not done in time.
pub(crate) fn wait<F>(
    py: Python<'_>,
    waiter: &Waiter,
    deadline: Deadline,
    future: F,
) -> PyResult<Option<F::Output>>
where
    F: Future + Send,
    F::Output: Send,
{
    let mut future = Box::pin(future);
    // Even a wait of no length looks once.
    let mut slice = deadline.slice().unwrap_or_default();
    loop {
        if let Some(output) = py.detach(|| waiter.wait_at_most(&mut future, slice)) {
            return Ok(Some(output));
        }
        py.check_signals()?;
        match deadline.slice() {
            Some(next) => slice = next,
            None => return Ok(None),
        }
    }
}
