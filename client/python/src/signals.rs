//! Signals and threads: the only calls of libc, all about who gets which signal.
//!
//! Used by whoever starts a thread, and by the engine to interrupt its main thread. It installs no
//! handler: that is Python's business.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::thread::JoinHandle;

/// A thread that can be sent a signal: one that lives as long as the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MainThread(libc::pthread_t);

impl MainThread {
    /// The calling thread, which must be the main one.
    pub(crate) fn current() -> Self {
        // SAFETY: it takes nothing and cannot fail.
        Self(unsafe { libc::pthread_self() })
    }

    /// Sends it a signal for which there is a handler, or which is ignored.
    pub(crate) fn signal(self, signal: i32) {
        // SAFETY: the main thread lives as long as the process, so its handle is valid; the call
        // takes no memory. An unknown signal is an error and nothing else.
        let result = unsafe { libc::pthread_kill(self.0, signal) };
        if result != 0 {
            tracing::error!(signal, result, "the main thread cannot be signalled");
        }
    }
}

/// The signal by which an engine's running task is interrupted: one that nobody else uses.
pub(crate) fn abort_signal() -> i32 {
    libc::SIGRTMIN() + 1
}

/// Starts a thread that no signal is ever delivered to.
pub(crate) fn spawn_masked<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    masked(|| builder.spawn(work))
}

/// Does something with all signals blocked: a thread that it starts inherits that for good.
pub(crate) fn masked<T>(work: impl FnOnce() -> T) -> T {
    /// Puts the mask back whatever happens.
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set was written by `pthread_sigmask` below.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
            };
        }
    }
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are ours; `sigfillset` writes the first whole, and `pthread_sigmask` the
    // second. Neither can fail with these arguments.
    let before = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    };
    let _restore = Restore(before);
    work()
}

/// Ends the process at once, without running anything.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: it does not return, and what it leaves undone is the kernel's to clean up.
    unsafe { libc::_exit(status) }
}
