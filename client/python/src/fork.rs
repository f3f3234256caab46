//! What a process made and a forked child must not touch.
//!
//! A child has none of the threads that serve a connection, shares its sockets with the parent, and
//! may find any lock taken for ever. So it may neither use nor drop what came to it by fork: use is
//! refused, and what would be dropped is leaked.

use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;

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
        Self { pid: std::process::id(), value: Some(value) }
    }

    /// The value, unless this is a forked child.
    pub(crate) fn get(&self) -> PyResult<&T> {
        let pid = self.pid;
        if let Some(value) = self.value.as_ref().filter(|_| pid == std::process::id()) {
            return Ok(value);
        }
        Err(PyRuntimeError::new_err(format!(
            "this client belongs to process {pid}; make a new Client in the child"
        )))
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            std::mem::forget(self.value.take());
        }
    }
}
