//! The native module of the Python package `phalanx`: bytes, waits and signals.
//!
//! Private: users import `phalanx`, whose modules are beside this crate's sources. What it offers
//! is written down in `phalanx/_phalanx.pyi`, for both sides.
//!
//! | module | what lives there |
//! |---|---|
//! | `client`, `submit` | a client: submitting, looking, asking |
//! | `batch`, `completion` | endings, and the thread that tells of them |
//! | `container`, `parts` | the parts of a payload, and Python's buffers |
//! | `values` | MessagePack and Python |
//! | `engine`, `desk` | an engine: its thread, and the main thread that runs tasks |
//! | `cluster` | clusters of this machine |
//! | `wait`, `fork`, `signals`, `errors` | what living with Python takes |
//!
//! Invariants: the GIL is never held in a wait; no thread that serves a session ever attaches to
//! Python, and all of them block all signals; what came by fork is neither used nor dropped;
//! nothing here pickles.

#![allow(clippy::needless_pass_by_value, reason = "arguments from Python are extracted to values")]

mod batch;
mod client;
mod cluster;
mod completion;
mod connect;
mod container;
mod desk;
mod engine;
mod errors;
mod fork;
mod output;
mod parts;
mod signals;
mod submit;
mod values;
mod wait;

use phalanx_client::protocol::payload::Format;
use pyo3::prelude::*;

/// Closes clients and ends the module's own thread; the interpreter calls it before it ends.
#[pyfunction]
fn end(py: Python<'_>) {
    connect::end(py);
    completion::end(py);
}

/// For `os.register_at_fork(after_in_child=...)`. What came by fork refuses use by itself.
#[pyfunction]
fn forked() {
    completion::forget();
}

/// The native module of the package `phalanx`.
#[pymodule(gil_used = true)]
fn _phalanx(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("FORMAT_RAW", Format::Raw as u8)?;
    module.add("FORMAT_MESSAGEPACK", Format::MessagePack as u8)?;
    module.add("FORMAT_PICKLE5", Format::Pickle5 as u8)?;
    module.add("ABORT_SIGNAL", signals::abort_signal())?;
    errors::add_to(module)?;
    module.add_class::<parts::Parts>()?;
    module.add_class::<parts::Part>()?;
    module.add_class::<batch::Batch>()?;
    module.add_class::<batch::OutputReader>()?;
    module.add_class::<client::NativeClient>()?;
    module.add_class::<engine::NativeEngine>()?;
    module.add_class::<engine::Task>()?;
    module.add_class::<cluster::NativeCluster>()?;
    module.add_function(wrap_pyfunction!(cluster::start_cluster, module)?)?;
    module.add_function(wrap_pyfunction!(cluster::find_cluster, module)?)?;
    module.add_function(wrap_pyfunction!(cluster::list_clusters, module)?)?;
    module.add_function(wrap_pyfunction!(connect::connect, module)?)?;
    module.add_function(wrap_pyfunction!(parts::pack, module)?)?;
    module.add_function(wrap_pyfunction!(parts::unpack, module)?)?;
    module.add_function(wrap_pyfunction!(values::encode_value, module)?)?;
    module.add_function(wrap_pyfunction!(values::decode_value, module)?)?;
    module.add_function(wrap_pyfunction!(forked, module)?)?;
    let end = wrap_pyfunction!(end, module)?;
    py.import("atexit")?.call_method1("register", (end,))?;
    Ok(())
}
