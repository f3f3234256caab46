//! Who runs the sessions of a blocking client: the caller that waits, and a thread of the client's
//! own while none does.
//!
//! A caller that waits for a result has nothing else to do, so it drives the client's runtime
//! itself: what it submitted leaves, and the answer arrives, without a hop to another thread, each
//! of which costs a wake-up of tens of microseconds. Between two waits nobody drives for
//! [`LINGER`] at most; a submit in that time sends its own frames ([`Wheel::pass`]).
//!
//! It knows nothing of tasks. Asynchronous clients have no wheel: their runtime is the caller's.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long the client's thread leaves the sessions alone after a wait: long enough for a caller
/// that waits again and again, short enough that nothing which arrives meanwhile is late.
const LINGER: Duration = Duration::from_millis(1);

/// A runtime that several threads drive in turns.
#[derive(Debug)]
pub(crate) struct Wheel {
    runtime: Runtime,
    /// Tells the keeper that a caller drives.
    wanted: Notify,
    /// Callers that drive now, or wait for their turn.
    callers: AtomicUsize,
    /// Waits that ever began.
    waits: AtomicU64,
    /// Whether the keeper drives.
    is_kept: AtomicBool,
    /// Whether the keeper sleeps until no caller drives any more.
    is_keeper_asleep: AtomicBool,
    keeper: OnceLock<Thread>,
}

impl Wheel {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            wanted: Notify::new(),
            callers: AtomicUsize::new(0),
            waits: AtomicU64::new(0),
            is_kept: AtomicBool::new(true),
            is_keeper_asleep: AtomicBool::new(false),
            keeper: OnceLock::new(),
        }
    }

    pub(crate) const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The client's own thread: drives whenever no caller does, until `driver` has ended.
    pub(crate) fn keep(&self, mut driver: JoinHandle<()>) {
        // Called once.
        let _ = self.keeper.set(std::thread::current());
        loop {
            self.is_kept.store(true, Ordering::SeqCst);
            let has_ended = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = &mut driver => true,
                    () = self.wanted.notified() => false,
                }
            });
            if has_ended {
                return;
            }
            self.is_kept.store(false, Ordering::SeqCst);
            self.leave_to_callers();
        }
    }

    /// Returns when no caller has waited for [`LINGER`]. Callers that wait again and again in that
    /// time never wake it; it looks by itself.
    fn leave_to_callers(&self) {
        loop {
            let waits = self.waits.load(Ordering::SeqCst);
            std::thread::park_timeout(LINGER);
            if self.waits.load(Ordering::SeqCst) != waits {
                continue;
            }
            if self.callers.load(Ordering::SeqCst) == 0 {
                return;
            }
            self.sleep_while_callers_drive();
        }
    }

    /// Returns when the last caller that drives has woken it.
    fn sleep_while_callers_drive(&self) {
        self.is_keeper_asleep.store(true, Ordering::SeqCst);
        while self.callers.load(Ordering::SeqCst) > 0
            && self.is_keeper_asleep.load(Ordering::SeqCst)
        {
            std::thread::park();
        }
        self.is_keeper_asleep.store(false, Ordering::SeqCst);
    }

    /// Drives until the future is done, but not longer than `limit`; `None` then.
    pub(crate) fn wait_at_most<F: Future>(&self, future: F, limit: Duration) -> Option<F::Output> {
        self.waits.fetch_add(1, Ordering::SeqCst);
        let _caller = Caller::of(self);
        if self.is_kept.load(Ordering::SeqCst) {
            self.wanted.notify_one();
        }
        // A runtime that another thread drives makes this one wait for its turn, or for the future.
        self.runtime.block_on(async { tokio::time::timeout(limit, future).await.ok() })
    }

    /// Does what queues something, and sends it, unless somebody drives and will. It is queued inside
    /// the runtime, so that nobody need be woken for it.
    pub(crate) fn pass<T>(&self, queue: impl FnOnce() -> T) -> T {
        let is_driven =
            self.is_kept.load(Ordering::SeqCst) || self.callers.load(Ordering::SeqCst) > 0;
        if is_driven || is_inside_runtime() {
            return queue();
        }
        let _caller = Caller::of(self);
        self.runtime.block_on(async {
            let queued = queue();
            tokio::task::yield_now().await;
            queued
        })
    }
}

/// Counts a caller that drives.
struct Caller<'a>(&'a Wheel);

impl<'a> Caller<'a> {
    fn of(wheel: &'a Wheel) -> Self {
        wheel.callers.fetch_add(1, Ordering::SeqCst);
        Self(wheel)
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let Self(wheel) = self;
        let was_last = wheel.callers.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last
            && wheel.is_keeper_asleep.swap(false, Ordering::SeqCst)
            && let Some(keeper) = wheel.keeper.get()
        {
            keeper.unpark();
        }
    }
}

/// Whether this thread runs asynchronous code, where no runtime can be driven.
pub(crate) fn is_inside_runtime() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}
