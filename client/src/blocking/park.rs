//! Runs a future on the calling thread, which sleeps in between.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

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

/// Blocks until the future is done.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    WAKER.with(|waker| {
        let mut context = Context::from_waker(waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            std::thread::park();
        }
    })
}

/// Blocks this thread until the future is done, but not longer than `limit`; `None` then.
///
/// For futures of this crate that need no runtime, so not for those that take a time limit. Give it
/// a reference to a pinned future to go on waiting for the same one.
pub fn wait_at_most<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    // Without a deadline the wait is longer than any clock counts.
    let Some(deadline) = Instant::now().checked_add(limit) else {
        return Some(wait(future));
    };
    let mut future = pin!(future);
    WAKER.with(|waker| {
        let mut context = Context::from_waker(waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Some(output);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            std::thread::park_timeout(left);
        }
    })
}
