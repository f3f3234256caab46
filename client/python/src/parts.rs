//! Parts of a payload as Python sees them, and bytes of Python as parts: buffers in, buffers out.
//!
//! What arrives is never copied: a [`Part`] is a window of the payload's bytes, which it keeps
//! alive. What leaves is copied once, into its container, or not at all if it lies in shared memory.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::sync::Arc;

use bytes::Bytes;
use phalanx_client::protocol::function::{Digest, Function};
use phalanx_client::protocol::pieces::Pieces;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyIndexError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PySequence, PyTuple};

use crate::container::{self, Index};

/// From this length on the GIL is given up while parts are copied: below, that costs more.
const COPIED_DETACHED_FROM: usize = 1 << 20;

/// The parts of a payload.
#[pyclass(frozen, module = "phalanx._phalanx")]
#[derive(Debug)]
pub(crate) struct Parts {
    container: Pieces,
    /// Of a payload that is no container there is one part: all of it.
    index: Option<Arc<Index>>,
}

impl Parts {
    /// The parts of a container.
    pub(crate) const fn new(container: Pieces, index: Arc<Index>) -> Self {
        Self { container, index: Some(index) }
    }

    /// A payload that is one part.
    pub(crate) const fn whole(payload: Pieces) -> Self {
        Self { container: payload, index: None }
    }
}

#[pymethods]
impl Parts {
    fn __len__(&self) -> usize {
        self.index.as_ref().map_or(1, |index| index.len())
    }

    fn __getitem__(&self, index: isize) -> PyResult<Part> {
        let len = self.__len__();
        let at = if index < 0 { index.checked_add_unsigned(len) } else { Some(index) };
        let at = at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < len);
        let range = at.and_then(|at| match &self.index {
            Some(index) => index.part(at),
            None => Some(0..self.container.len()),
        });
        let part = range.and_then(|range| self.container.slice(range));
        let part = part.ok_or_else(|| PyIndexError::new_err("there is no such part"))?;
        // A part that somebody sent in several pieces is copied.
        Ok(Part(part.contiguous()))
    }

    fn __repr__(&self) -> String {
        format!("<Parts: {} of {} bytes>", self.__len__(), self.container.len())
    }
}

/// One part: read-only bytes.
#[pyclass(frozen, module = "phalanx._phalanx")]
#[derive(Debug)]
pub(crate) struct Part(pub(crate) Bytes);

#[pymethods]
impl Part {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0)
    }

    fn __repr__(&self) -> String {
        format!("<Part: {} bytes>", self.0.len())
    }

    /// # Safety
    /// Called by the interpreter only, with a `view` that it may fill.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = &slf.get().0;
        let len = ffi::Py_ssize_t::try_from(bytes.len())
            .map_err(|_| PyBufferError::new_err("the part is too long for a buffer"))?;
        let data = bytes.as_ptr().cast_mut().cast();
        // SAFETY: `view` is the interpreter's. The bytes are immutable and owned by the object,
        // which the view keeps alive; they are offered read-only, so nobody writes to them.
        let result = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), data, len, 1, flags) };
        if result == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// Bytes of Python that stay where they are while this lives.
enum Source<'py> {
    Bytes(Bound<'py, PyBytes>),
    Part(Bytes),
    /// Its exporter may not move or free it; contiguous.
    Buffer(PyUntypedBuffer),
}

impl<'py> Source<'py> {
    fn of(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.clone()));
        }
        if let Ok(part) = object.cast::<Part>() {
            return Ok(Self::Part(part.get().0.clone()));
        }
        let buffer = PyUntypedBuffer::get(object)?;
        // In either order: whoever sends an array says in its pickle which.
        if !buffer.is_c_contiguous() && !buffer.is_fortran_contiguous() {
            return Err(PyBufferError::new_err("a part must be contiguous bytes"));
        }
        Ok(Self::Buffer(buffer))
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            Self::Part(bytes) => bytes,
            Self::Buffer(buffer) if buffer.len_bytes() == 0 => &[],
            Self::Buffer(buffer) => {
                // SAFETY: the export lives as long as `self` and covers `len_bytes` bytes from
                // `buf_ptr`, which is not null as there are some. Should another thread of the
                // program write to them meanwhile, it gets what it asked for: mixed bytes in the
                // copy. They are only read as bytes, for which every value is valid.
                unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes()) }
            }
        }
    }
}

/// A function as Python gives it: its digest and its pickle.
#[derive(Debug)]
pub(crate) struct FunctionRef(pub(crate) Function);

impl<'a, 'py> FromPyObject<'a, 'py> for FunctionRef {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let (digest, blob): (Bound<'py, PyBytes>, Bound<'py, PyBytes>) = object.extract()?;
        let digest = digest.as_bytes().try_into();
        let digest = digest.map_err(|_| PyValueError::new_err("a digest has 16 bytes"))?;
        let bytes = Bytes::copy_from_slice(blob.as_bytes());
        Ok(Self(Function { digest: Digest(digest), bytes }))
    }
}

/// Copies a sequence of bytes-likes into a container.
pub(crate) fn pack_parts(parts: &Bound<'_, PyAny>) -> PyResult<Pieces> {
    let sources = sources(parts)?;
    let slices: Vec<&[u8]> = sources.iter().map(Source::as_slice).collect();
    let len: usize = slices.iter().map(|slice| slice.len()).sum();
    Ok(if len < COPIED_DETACHED_FROM {
        container::pack(&slices)
    } else {
        parts.py().detach(|| container::pack(&slices))
    })
}

fn sources<'py>(parts: &Bound<'py, PyAny>) -> PyResult<Vec<Source<'py>>> {
    if let Ok(list) = parts.cast::<PyList>() {
        return list.iter().map(|part| Source::of(&part)).collect();
    }
    if let Ok(tuple) = parts.cast::<PyTuple>() {
        return tuple.iter_borrowed().map(|part| Source::of(&part)).collect();
    }
    if parts.cast::<PyBytes>().is_ok() || parts.cast::<PySequence>().is_err() {
        return Err(PyTypeError::new_err("parts are a sequence of bytes-like objects"));
    }
    parts.try_iter()?.map(|part| Source::of(&part?)).collect()
}

/// Reads a container that a peer made.
pub(crate) fn read(container: Pieces) -> PyResult<Parts> {
    let index = container::read(&container);
    let index = index.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(Parts::new(container, Arc::new(index)))
}

/// The container in which parts travel.
#[pyfunction]
pub(crate) fn pack<'py>(parts: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(parts.py(), &pack_parts(parts)?.contiguous()))
}

/// A function's digest and pickle, as they came.
pub(crate) type FunctionParts<'py> = (Bound<'py, PyBytes>, Part);

/// A function that came with a task, as Python gets it.
pub(crate) fn function_parts<'py>(py: Python<'py>, function: &Function) -> FunctionParts<'py> {
    (PyBytes::new(py, &function.digest.0), Part(function.bytes.clone()))
}

/// The parts of a container.
#[pyfunction]
pub(crate) fn unpack(container: &Bound<'_, PyAny>) -> PyResult<Parts> {
    read(Bytes::copy_from_slice(Source::of(container)?.as_slice()).into())
}
