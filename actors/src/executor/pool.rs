//! Threads for handlers that block: as many as the engine has slots, started when first needed.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Work = Box<dyn FnOnce() + Send>;

/// The threads. Dropping the pool lets them end when they are through with what they run: nobody
/// can end a thread from outside.
#[derive(Debug)]
pub(super) struct Pool {
    work: Sender<Work>,
    queue: Arc<Mutex<Receiver<Work>>>,
    threads: u32,
    threads_max: u32,
}

impl Pool {
    /// A pool that never has more threads than this. The engine starts no more work at a time than
    /// it has slots, so nothing waits in the queue for long.
    pub(super) fn new(threads_max: u32) -> Self {
        let (work, queue) = channel();
        Self { work, queue: Arc::new(Mutex::new(queue)), threads: 0, threads_max }
    }

    /// Runs `work` on one of the threads; `busy` = how many of them have something to do already.
    ///
    /// # Errors
    /// If a thread is needed, none is there yet, and the system gives none.
    pub(super) fn run(&mut self, busy: usize, work: Work) -> io::Result<()> {
        if busy >= self.threads as usize && self.threads < self.threads_max {
            match self.start_thread() {
                Ok(()) => self.threads += 1,
                // Later is better than never.
                Err(_) if self.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        // The pool holds the other end itself, so it is open.
        let _ = self.work.send(work);
        Ok(())
    }

    fn start_thread(&self) -> io::Result<()> {
        let queue = Arc::clone(&self.queue);
        thread::Builder::new()
            .name(format!("phalanx-slot-{}", self.threads))
            .spawn(move || {
                while let Some(work) = next(&queue) {
                    work();
                }
            })
            .map(drop)
    }
}

/// Waits for work; `None` when the pool is gone. The lock is held while waiting, never while
/// working.
fn next(queue: &Mutex<Receiver<Work>>) -> Option<Work> {
    // A poisoned lock: some thread panicked in `recv`, which leaves nothing half done.
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
