//! Runs a future on the calling thread until it is done, and the client's sessions with it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::client::Handle;
use crate::wheel::is_inside_runtime;

/// Longer than any wait.
const FOR_EVER: Duration = Duration::MAX;

/// Blocks callers of one client until what they wait for is there. Cheap to clone; keeps the
/// client alive.
#[derive(Clone)]
pub struct Waiter {
    handle: Arc<Handle>,
}

impl Waiter {
    pub(crate) fn of(handle: &Arc<Handle>) -> Self {
        Self { handle: Arc::clone(handle) }
    }

    /// Blocks this thread until the future is done, but not longer than `limit`; `None` then.
    /// Meanwhile this thread runs the client's sessions, so that what it waits for comes without
    /// a hop from another thread.
    ///
    /// For futures of this crate. Give it a reference to a pinned future to go on waiting for the
    /// same one.
    pub fn wait_at_most<F: Future>(&self, future: F, limit: Duration) -> Option<F::Output> {
        wait_at_most(&self.handle, future, limit)
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waiter").field(&self.handle).finish()
    }
}

/// Blocks until the future is done.
pub(super) fn wait<F: Future>(handle: &Handle, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Some(output) = wait_at_most(handle, future.as_mut(), FOR_EVER) {
            return output;
        }
    }
}

/// Blocks until the future is done, but not longer than `limit`; `None` then.
pub(super) fn wait_at_most<F: Future>(
    handle: &Handle,
    future: F,
    limit: Duration,
) -> Option<F::Output> {
    match handle.shared().wheel() {
        Some(wheel) if !is_inside_runtime() => wheel.wait_at_most(future, limit),
        // Another runtime runs the sessions, or they are over.
        _ => park(future, limit),
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// One waker a thread, not one a wait.
    static WAKER: Waker = Waker::from(Arc::new(Unpark(std::thread::current())));
}

/// Sleeps until the future is done, but not longer than `limit`; `None` then. Something else runs
/// what it waits for.
pub(super) fn park<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    // Without a deadline the wait is longer than any clock counts.
    let deadline = Instant::now().checked_add(limit);
    let mut future = pin!(future);
    WAKER.with(|waker| {
        let mut context = Context::from_waker(waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Some(output);
            }
            let Some(deadline) = deadline else {
                std::thread::park();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            std::thread::park_timeout(left);
        }
    })
}
