//! MessagePack value rules for calls between languages ([`crate::payload::Format::MessagePack`]).
//!
//! A call's payload is one MessagePack value: the argument as serde sees it in Rust; for calls
//! from Python the array `[args, kwargs]` collapses to the single positional argument. A result's
//! payload is one value.
//!
//! | value | MessagePack | Rust | Python |
//! |---|---|---|---|
//! | nothing | nil | `()`, `None` | `None` |
//! | truth | bool | `bool` | `bool` |
//! | integer, -2^63 to 2^64-1 | shortest int form | `i8`-`u64` | `int` (beyond: error) |
//! | float | float 64; float 32 for `f32` | `f32`, `f64` | `float` |
//! | text | str, UTF-8 | `String`, `&str`, `char` | `str` |
//! | bytes | bin | `Bytes`, `serde_bytes` | `bytes`, `bytearray`, `memoryview` |
//! | list, tuple | array | `Vec`, tuples, arrays | `list` |
//! | map | map, any keys | `HashMap`, `BTreeMap` | `dict` |
//! | struct | map of field names (array is read) | `struct` | `dict` |
//! | enum variant | str, or map of one entry | `enum` | `str`, `dict` |
//! | instant | ext -1 (timestamp 32, 64 or 96) | [`Timestamp`] | timezone-aware `datetime` |
//! | array of numbers | ext 1 ([`ArrayBuffer`]) | [`ArrayBuffer`] | `numpy.ndarray`, read-only |
//!
//! Ext types from -128 to -2 and 2 to 63 are reserved; 64 to 127 are for applications.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{DeserializeSeed, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Ext type of [`ArrayBuffer`].
pub const EXT_ARRAY: i8 = 1;

/// Ext type of [`Timestamp`], given by the MessagePack specification.
pub const EXT_TIMESTAMP: i8 = -1;

/// The MessagePack encoding of `value` by the rules of this module: structs as maps.
///
/// # Errors
/// What serde reports of a value that MessagePack cannot express, e.g. an `i128`.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(value).map(Bytes::from)
}

/// Reads a value by the rules of this module.
///
/// # Errors
/// What serde reports of bytes that are not a `T`, or of bytes that trail it.
pub fn from_bytes<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
) -> Result<T, rmp_serde::decode::Error> {
    from_bytes_by(PhantomData::<T>, bytes)
}

/// The same for a reader that carries something of its own, e.g. another language's interpreter.
///
/// # Errors
/// As [`from_bytes`].
pub fn from_bytes_by<'de, S: DeserializeSeed<'de>>(
    reader: S,
    bytes: &'de [u8],
) -> Result<S::Value, rmp_serde::decode::Error> {
    check_shape(bytes)?;
    reader.deserialize(&mut rmp_serde::Deserializer::from_read_ref(bytes))
}

/// Checks that `bytes` are one value, not too deep. A pass of its own, because the deserializer's
/// depth limit does not count the variants of a recursive enum, only arrays and maps.
fn check_shape(bytes: &[u8]) -> Result<(), rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    // Its own count ends before the depth it is given.
    deserializer.set_max_depth(VALUE_DEPTH_MAX + 1);
    IgnoredAny::deserialize(&mut deserializer)?;
    match IgnoredAny::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(error))
            if error.kind() == std::io::ErrorKind::UnexpectedEof =>
        {
            Ok(())
        }
        _ => Err(serde::de::Error::custom("bytes trail the value")),
    }
}

/// Deepest nesting of a value; deeper ones are an error, not a stack overflow.
pub const VALUE_DEPTH_MAX: usize = 128;

/// An instant: seconds since 1970-01-01 UTC, and nanoseconds (below 1,000,000,000) after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after them.
    pub nanoseconds: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "_ExtStruct")]
struct Ext((i8, serde_bytes::ByteBuf));

impl Serialize for Timestamp {
    /// Always the 96-bit form: one form to write, three to read.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(12);
        bytes.extend_from_slice(&self.nanoseconds.to_be_bytes());
        bytes.extend_from_slice(&self.seconds.to_be_bytes());
        Ext((EXT_TIMESTAMP, bytes.into())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Ext((ext, bytes)) = Ext::deserialize(deserializer)?;
        let read = || {
            let timestamp = match bytes.len() {
                4 => Self {
                    seconds: u32::from_be_bytes(bytes[..].try_into().ok()?).into(),
                    nanoseconds: 0,
                },
                8 => {
                    let both = u64::from_be_bytes(bytes[..].try_into().ok()?);
                    let seconds = (both & ((1 << 34) - 1)) as i64;
                    Self { seconds, nanoseconds: (both >> 34) as u32 }
                }
                12 => Self {
                    seconds: i64::from_be_bytes(bytes[4..].try_into().ok()?),
                    nanoseconds: u32::from_be_bytes(bytes[..4].try_into().ok()?),
                },
                _ => return None,
            };
            (ext == EXT_TIMESTAMP && timestamp.nanoseconds < 1_000_000_000).then_some(timestamp)
        };
        read().ok_or_else(|| serde::de::Error::custom("not a MessagePack timestamp"))
    }
}

/// An n-dimensional array of numbers, its elements in one buffer, C order.
///
/// The ext body is the MessagePack array `[dtype, shape]` followed by the raw elements. `dtype` is
/// numpy's array-protocol type string with explicit byte order, e.g. `<f8`, `<i4`, `|u1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayBuffer {
    /// Element type.
    pub dtype: String,
    /// Length of each axis; empty for a single element.
    pub shape: Vec<u64>,
    /// The elements.
    pub data: Bytes,
}

impl ArrayBuffer {
    /// How many bytes `dtype` and `shape` demand; `None` if `dtype` is not one we know or the
    /// product overflows.
    pub fn expected_len(dtype: &str, shape: &[u64]) -> Option<u64> {
        let (order, kind) = dtype.split_at_checked(1)?;
        let (kind, size) = kind.split_at_checked(1)?;
        let size: u64 = size.parse().ok()?;
        let known = match kind {
            "b" => size == 1,
            "i" | "u" => matches!(size, 1 | 2 | 4 | 8),
            "f" => matches!(size, 2 | 4 | 8),
            "c" => matches!(size, 8 | 16),
            _ => false,
        };
        let order_fits = if size == 1 { order == "|" } else { matches!(order, "<" | ">") };
        (known && order_fits)
            .then(|| shape.iter().try_fold(size, |len, axis| len.checked_mul(*axis)))?
    }
}

impl Serialize for ArrayBuffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body =
            rmp_serde::to_vec(&(&self.dtype, &self.shape)).map_err(serde::ser::Error::custom)?;
        body.extend_from_slice(&self.data);
        Ext((EXT_ARRAY, body.into())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ArrayBuffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let Ext((ext, body)) = Ext::deserialize(deserializer)?;
        if ext != EXT_ARRAY {
            return Err(D::Error::custom("not an array buffer"));
        }
        let mut rest = std::io::Cursor::new(&body[..]);
        let (dtype, shape): (String, Vec<u64>) =
            Deserialize::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))
                .map_err(D::Error::custom)?;
        let start = rest.position() as usize;
        let data = Bytes::from(body.into_vec()).slice(start..);
        if Self::expected_len(&dtype, &shape) != Some(data.len() as u64) {
            return Err(D::Error::custom("array buffer's length does not fit its type and shape"));
        }
        Ok(Self { dtype, shape, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_and_arrays_survive_the_round_trip() {
        let instant = Timestamp { seconds: -5, nanoseconds: 999_999_999 };
        assert_eq!(from_bytes::<Timestamp>(&to_bytes(&instant).unwrap()).unwrap(), instant);
        let array =
            ArrayBuffer { dtype: "<f4".into(), shape: vec![2, 3], data: Bytes::from(vec![7; 24]) };
        assert_eq!(from_bytes::<ArrayBuffer>(&to_bytes(&array).unwrap()).unwrap(), array);
    }

    #[test]
    fn the_short_timestamp_forms_are_read() {
        let four = [0xd6, 0xff, 0, 0, 0, 9];
        assert_eq!(
            from_bytes::<Timestamp>(&four).unwrap(),
            Timestamp { seconds: 9, nanoseconds: 0 }
        );
        let eight = [0xd7, 0xff, 0, 0, 0, 4, 0, 0, 0, 9];
        assert_eq!(
            from_bytes::<Timestamp>(&eight).unwrap(),
            Timestamp { seconds: 9, nanoseconds: 1 }
        );
    }

    #[test]
    fn an_array_whose_length_lies_is_refused() {
        let lying =
            ArrayBuffer { dtype: "<i8".into(), shape: vec![3], data: Bytes::from(vec![0; 8]) };
        assert!(from_bytes::<ArrayBuffer>(&to_bytes(&lying).unwrap()).is_err());
        for dtype in ["f8", "<f3", "|i4", "<u1", "O", "", "<é8"] {
            assert_eq!(ArrayBuffer::expected_len(dtype, &[1]), None, "{dtype}");
        }
        assert_eq!(ArrayBuffer::expected_len("<f8", &[u64::MAX, 2]), None);
    }
}
