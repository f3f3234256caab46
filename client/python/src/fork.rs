//! What a process made and a forked child must not touch.
//!
//! A child has none of the threads that serve a connection, shares its sockets with the parent, and
//! may find any lock taken for ever. So it may neither use nor drop what came to it by fork: use is
//! refused, and what would be dropped is leaked.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;

/// This process, once somebody has asked; 0 before. A task and its result use their client seven
/// times, and each time to ask the system would be a system call.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// The id of this process.
fn process() -> u32 {
    match PROCESS.load(Ordering::Relaxed) {
        0 => note_process(),
        process => process,
    }
}

/// Python tells each child that it forks so, before any code runs there.
pub(crate) fn note_process() -> u32 {
    let process = std::process::id();
    PROCESS.store(process, Ordering::Relaxed);
    process
}

/// A value that only the process that made it uses and drops.
#[derive(Debug)]
pub(crate) struct OfProcess<T> {
    pid: u32,
    /// Taken only when it is dropped.
    value: Option<T>,
}

impl<T> OfProcess<T> {
    /// A value of this process.
    pub(crate) fn new(value: T) -> Self {
        Self { pid: process(), value: Some(value) }
    }

    /// The value, unless this is a forked child.
    pub(crate) fn get(&self) -> PyResult<&T> {
        let pid = self.pid;
        if let Some(value) = self.value.as_ref().filter(|_| pid == process()) {
            return Ok(value);
        }
        Err(PyRuntimeError::new_err(format!(
            "this client belongs to process {pid}; make a new Client in the child"
        )))
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if self.pid != process() {
            std::mem::forget(self.value.take());
        }
    }
}
