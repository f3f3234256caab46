//! The exceptions of the native module, and which error becomes which.
//!
//! Raised by everything here. How a task ended is no exception here: it is data, and becomes one
//! in the package.

use std::io::ErrorKind;

use phalanx_client::protocol::limits::{CLIENT_QUEUE_BYTES_MAX, CLIENT_QUEUE_TASKS_MAX};
use phalanx_client::{ConnectError as ClientConnectError, RequestError, SubmitError};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyFileNotFoundError, PyPermissionError, PyTimeoutError};
use pyo3::prelude::*;

create_exception!(
    phalanx._phalanx,
    PhalanxError,
    PyException,
    "Base of what the native module raises."
);
create_exception!(phalanx._phalanx, ConnectError, PhalanxError, "No session with a hub.");
create_exception!(
    phalanx._phalanx,
    ClosedError,
    PhalanxError,
    "The client is closed, or gave up on its hub."
);
create_exception!(phalanx._phalanx, RefusedError, PhalanxError, "The request is not taken.");
create_exception!(
    phalanx._phalanx,
    ClusterError,
    PhalanxError,
    "A cluster could not be started, stopped or found."
);

/// Adds the exceptions to the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("PhalanxError", py.get_type::<PhalanxError>())?;
    module.add("ConnectError", py.get_type::<ConnectError>())?;
    module.add("ClosedError", py.get_type::<ClosedError>())?;
    module.add("RefusedError", py.get_type::<RefusedError>())?;
    module.add("ClusterError", py.get_type::<ClusterError>())
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    for cause in causes {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
}

pub(crate) fn submit_error(error: &SubmitError) -> PyErr {
    match error {
        SubmitError::Closed(_) => ClosedError::new_err(error.to_string()),
        _ => RefusedError::new_err(error.to_string()),
    }
}

/// A request that no queue would ever take.
pub(crate) fn too_much(tasks: usize, bytes: usize) -> PyErr {
    RefusedError::new_err(format!(
        "{tasks} tasks of {bytes} bytes are over the limits of a client's queue \
         ({CLIENT_QUEUE_TASKS_MAX} tasks, {CLIENT_QUEUE_BYTES_MAX} bytes); submit them in pieces"
    ))
}

pub(crate) fn request_error(error: &RequestError) -> PyErr {
    match error {
        RequestError::Refused { .. } => RefusedError::new_err(error.to_string()),
        _ => ConnectError::new_err(error.to_string()),
    }
}

/// Why a connection file cannot be used.
pub(crate) fn file_error(error: &(dyn std::error::Error + 'static)) -> PyErr {
    let text = chain(error);
    let causes = std::iter::successors(Some(error), |cause| (*cause).source());
    let mut kinds = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    match kinds.next().map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => PyFileNotFoundError::new_err(text),
        Some(ErrorKind::PermissionDenied) => PyPermissionError::new_err(text),
        _ => ConnectError::new_err(text),
    }
}

pub(crate) fn connect_error(error: &ClientConnectError) -> PyErr {
    ConnectError::new_err(chain(error))
}

pub(crate) fn timed_out(text: String) -> PyErr {
    PyTimeoutError::new_err(text)
}
