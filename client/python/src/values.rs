//! MessagePack values and Python objects, by the table in `phalanx_protocol::value`.
//!
//! For calls of typed handlers, and for what the hub tells of itself. Python to Python goes by
//! pickle, which is not done here.

use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;
use phalanx_client::protocol::value::{
    self, ArrayBuffer, EXT_ARRAY, EXT_TIMESTAMP, Timestamp, VALUE_DEPTH_MAX,
};
use pyo3::BoundObject;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDateTime, PyDelta, PyDeltaAccess, PyDict, PyFloat, PyInt,
    PyList, PyMemoryView, PyString, PyTuple, PyTzInfo, PyTzInfoAccess,
};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::parts::Part;

/// The MessagePack of a Python object.
pub(crate) fn encode(object: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let error = RefCell::new(None);
    let value = Value { object, error: &error, depth: 0 };
    value::to_bytes(&value).map_err(|failure| {
        let raised = error.take();
        raised.unwrap_or_else(|| PyValueError::new_err(failure.to_string()))
    })
}

/// The Python object of a MessagePack value.
pub(crate) fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let wrong = |error| PyValueError::new_err(format!("not a value: {error}"));
    value::from_bytes_by(Object { py }, bytes).map_err(wrong)
}

/// The MessagePack of a value, as a call sends it.
#[pyfunction]
pub(crate) fn encode_value<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(value.py(), &encode(value)?))
}

/// The value of some MessagePack, as a call's result.
#[pyfunction]
pub(crate) fn decode_value<'py>(bytes: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyAny>> {
    decode(bytes.py(), bytes.as_bytes())
}

/// A Python object on its way into MessagePack. What Python raises meanwhile is kept in `error`.
#[derive(Clone, Copy)]
struct Value<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    error: &'a RefCell<Option<PyErr>>,
    depth: usize,
}

impl<'a, 'py> Value<'a, 'py> {
    fn raise<E: serde::ser::Error>(self, error: PyErr) -> E {
        self.error.replace(Some(error));
        E::custom("Python raised")
    }

    const fn inner<'b>(self, object: &'b Bound<'py, PyAny>) -> Value<'b, 'py>
    where
        'a: 'b,
    {
        Value { object, error: self.error, depth: self.depth + 1 }
    }

    fn seq<S: Serializer>(
        self,
        len: usize,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(len))?;
        for item in items.take(len) {
            seq.serialize_element(&self.inner(&item))?;
        }
        seq.end()
    }

    fn map<S: Serializer>(
        self,
        dict: &Bound<'py, PyDict>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        // A copy: encoding a key or value may run code that changes the dictionary.
        let items = dict.items();
        let mut map = serializer.serialize_map(Some(items.len()))?;
        for item in &items {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
                item.extract().map_err(|error| self.raise(error))?;
            map.serialize_entry(&self.inner(&key), &self.inner(&value))?;
        }
        map.end()
    }

    fn int<S: Serializer>(self, int: &Bound<'py, PyInt>, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(small) = int.extract::<i64>() {
            return serializer.serialize_i64(small);
        }
        match int.extract::<u64>() {
            Ok(large) => serializer.serialize_u64(large),
            Err(_) => Err(self
                .raise(PyOverflowError::new_err("an int in a call goes from -2**63 to 2**64 - 1"))),
        }
    }

    /// Arrays and what can be made one; everything else has no place in a call.
    fn other<S: Serializer>(self, serializer: S) -> Result<S::Ok, S::Error> {
        match array(self.object) {
            Ok(Some(array)) => array.serialize(serializer),
            Ok(None) => {
                let kind = self.object.get_type();
                Err(self.raise(PyTypeError::new_err(format!(
                    "{kind} cannot be sent to a typed handler; \
                     send None, bool, int, float, str, bytes, list, tuple, dict, datetime or array"
                ))))
            }
            Err(error) => Err(self.raise(error)),
        }
    }
}

impl Serialize for Value<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object = self.object;
        if self.depth > VALUE_DEPTH_MAX {
            let text = format!("a value is nested deeper than {VALUE_DEPTH_MAX}");
            return Err(self.raise(PyValueError::new_err(text)));
        }
        if object.is_none() {
            serializer.serialize_unit()
        } else if let Ok(truth) = object.cast::<PyBool>() {
            serializer.serialize_bool(truth.is_true())
        } else if let Ok(int) = object.cast::<PyInt>() {
            self.int(int, serializer)
        } else if let Ok(float) = object.cast::<PyFloat>() {
            serializer.serialize_f64(float.value())
        } else if let Ok(text) = object.cast::<PyString>() {
            let text = text.to_cow().map_err(|error| self.raise(error))?;
            serializer.serialize_str(&text)
        } else if let Ok(bytes) = object.cast::<PyBytes>() {
            serializer.serialize_bytes(bytes.as_bytes())
        } else if let Ok(bytes) = object.cast::<PyByteArray>() {
            serializer.serialize_bytes(&bytes.to_vec())
        } else if object.is_instance_of::<PyMemoryView>() || object.is_instance_of::<Part>() {
            let bytes = object.py().get_type::<PyBytes>().call1((object,));
            let bytes = bytes.map_err(|error| self.raise(error))?;
            self.inner(&bytes).serialize(serializer)
        } else if let Ok(list) = object.cast::<PyList>() {
            self.seq(list.len(), list.iter(), serializer)
        } else if let Ok(tuple) = object.cast::<PyTuple>() {
            self.seq(tuple.len(), tuple.iter(), serializer)
        } else if let Ok(dict) = object.cast::<PyDict>() {
            self.map(dict, serializer)
        } else if let Ok(instant) = object.cast::<PyDateTime>() {
            let timestamp = timestamp(instant).map_err(|error| self.raise(error))?;
            timestamp.serialize(serializer)
        } else {
            self.other(serializer)
        }
    }
}

/// The instant that a timezone-aware datetime means.
fn timestamp(instant: &Bound<'_, PyDateTime>) -> PyResult<Timestamp> {
    if instant.get_tzinfo().is_none() {
        return Err(PyTypeError::new_err(
            "a datetime without time zone means no instant; give it a tzinfo",
        ));
    }
    let since = instant.sub(epoch(instant.py())?)?;
    let since = since.cast::<PyDelta>()?;
    let days = i64::from(since.get_days());
    let seconds = days * 86_400 + i64::from(since.get_seconds());
    // From 0 to 999,999 by Python's rules.
    let nanoseconds = since.get_microseconds().unsigned_abs() * 1_000;
    Ok(Timestamp { seconds, nanoseconds })
}

fn epoch(py: Python<'_>) -> PyResult<Bound<'_, PyDateTime>> {
    let utc = PyTzInfo::utc(py)?;
    PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, Some(&utc))
}

/// A numpy array, or a scalar of it, or anything else with its array interface; C order.
fn array(object: &Bound<'_, PyAny>) -> PyResult<Option<ArrayBuffer>> {
    let py = object.py();
    let Some(interface) = object.getattr_opt("__array_interface__")? else { return Ok(None) };
    let dtype: String = interface.get_item("typestr")?.extract()?;
    let shape: Vec<u64> = interface.get_item("shape")?.extract()?;
    if ArrayBuffer::expected_len(&dtype, &shape).is_none() {
        return Err(PyTypeError::new_err(format!(
            "an array of {dtype} cannot be sent to a typed handler; make it one of numbers"
        )));
    }
    let contiguous = py.import("numpy")?.call_method1("ascontiguousarray", (object,))?;
    let data: Bound<'_, PyBytes> = contiguous.call_method0("tobytes")?.cast_into()?;
    let data = Bytes::copy_from_slice(data.as_bytes());
    Ok(Some(ArrayBuffer { dtype, shape, data }))
}

/// Makes a Python object of whatever comes.
#[derive(Clone, Copy)]
struct Object<'py> {
    py: Python<'py>,
}

fn raised<E: serde::de::Error>(error: PyErr) -> E {
    E::custom(error)
}

impl<'py> Object<'py> {
    fn of<T, E>(self, value: T) -> Result<Bound<'py, PyAny>, E>
    where
        T: IntoPyObject<'py>,
        E: serde::de::Error,
    {
        let object = value.into_pyobject(self.py).map_err(|error| raised(error.into()))?;
        Ok(object.into_any().into_bound())
    }

    fn timestamp(self, timestamp: Timestamp) -> PyResult<Bound<'py, PyAny>> {
        let microseconds = timestamp.nanoseconds / 1_000;
        let since = self.py.import("datetime")?.getattr("timedelta")?;
        let since = since.call1((0, timestamp.seconds, microseconds))?;
        epoch(self.py)?.add(since)
    }

    /// Read-only, as it lies over bytes. Without numpy: a tuple of type, shape and bytes.
    fn array(self, array: &ArrayBuffer) -> PyResult<Bound<'py, PyAny>> {
        let data = PyBytes::new(self.py, &array.data);
        let Ok(numpy) = self.py.import("numpy") else {
            let shape = PyTuple::new(self.py, &array.shape)?;
            return Ok((&array.dtype, shape, data).into_pyobject(self.py)?.into_any());
        };
        let flat = numpy.call_method1("frombuffer", (data, &array.dtype))?;
        flat.call_method1("reshape", (PyTuple::new(self.py, &array.shape)?,))
    }
}

impl<'de, 'py> DeserializeSeed<'de> for Object<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Object<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a MessagePack value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
        self.deserialize(inner)
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<Self::Value, E> {
        self.of(truth)
    }

    fn visit_i64<E: serde::de::Error>(self, int: i64) -> Result<Self::Value, E> {
        self.of(int)
    }

    fn visit_u64<E: serde::de::Error>(self, int: u64) -> Result<Self::Value, E> {
        self.of(int)
    }

    fn visit_f64<E: serde::de::Error>(self, float: f64) -> Result<Self::Value, E> {
        self.of(float)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.of(text)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(PyBytes::new(self.py, bytes).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.py);
        while let Some(item) = items.next_element_seed(self)? {
            list.append(item).map_err(raised)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.py);
        while let Some((key, value)) = entries.next_entry_seed(self, self)? {
            // A key that is a list has to become one that can be looked up.
            let key = match key.cast::<PyList>() {
                Ok(list) => list.to_tuple().into_any(),
                Err(_) => key,
            };
            dict.set_item(key, value).map_err(raised)?;
        }
        Ok(dict.into_any())
    }

    /// What MessagePack calls an ext.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, ext: D) -> Result<Self::Value, D::Error> {
        let (kind, body) = <(i8, serde_bytes::ByteBuf)>::deserialize(ext)?;
        let again = |body: serde_bytes::ByteBuf| {
            value::to_bytes(&Ext((kind, body))).map_err(D::Error::custom)
        };
        match kind {
            EXT_TIMESTAMP => {
                let timestamp = value::from_bytes(&again(body)?).map_err(D::Error::custom)?;
                self.timestamp(timestamp).map_err(raised)
            }
            EXT_ARRAY => {
                let array = value::from_bytes(&again(body)?).map_err(D::Error::custom)?;
                self.array(&array).map_err(raised)
            }
            kind => Err(D::Error::custom(format_args!("ext type {kind} has no meaning here"))),
        }
    }
}

/// An ext as MessagePack's serde writes it.
#[derive(Serialize)]
#[serde(rename = "_ExtStruct")]
struct Ext((i8, serde_bytes::ByteBuf));
