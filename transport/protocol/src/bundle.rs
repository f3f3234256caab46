//! Several payloads as one: the arguments of a task, and the results of others that stand among them.
//!
//! ```text
//! u32 payloads | u32 zero | (u64 format, u64 length) of each | payloads
//! ```
//!
//! All numbers little-endian. Each payload begins at a multiple of [`ALIGNMENT`] from the start, so
//! that what is aligned in it stays so. Written by the hub, which looks into none of them; read by
//! the engine. What is read comes from a peer: whatever breaks a rule is an error.

use bytes::{BufMut, Bytes, BytesMut};

use crate::payload::{Format, Payload};

/// To what payloads are aligned: a cache line.
pub const ALIGNMENT: usize = 64;

const HEAD_LEN: usize = 8;
const ENTRY_LEN: usize = 16;

/// Bytes that are not a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// There are fewer than it says, or more.
    #[error("a bundle of {0} bytes does not have the length it says")]
    Len(usize),
    /// A number is not what it must be.
    #[error("a bundle names a format or a count that there is not")]
    Number,
}

/// Joins payloads whose bytes are here; one whose bytes are not counts as empty.
pub fn join<'a>(payloads: impl Iterator<Item = &'a Payload> + Clone) -> Payload {
    let entries = payloads.clone().count();
    let head_len = HEAD_LEN + entries * ENTRY_LEN;
    let bytes_of = |payload: &'a Payload| payload.bytes().map_or(&[][..], |bytes| &bytes[..]);
    let len = payloads
        .clone()
        .fold(head_len, |end, payload| end.next_multiple_of(ALIGNMENT) + bytes_of(payload).len());
    let mut joined = BytesMut::with_capacity(len);
    joined.put_u32_le(entries as u32);
    joined.put_u32_le(0);
    for payload in payloads.clone() {
        joined.put_u64_le(u64::from(payload.format as u8));
        joined.put_u64_le(bytes_of(payload).len() as u64);
    }
    for payload in payloads {
        joined.put_bytes(0, joined.len().next_multiple_of(ALIGNMENT) - joined.len());
        joined.put_slice(bytes_of(payload));
    }
    Payload::inline(Format::Bundle, joined.freeze())
}

/// The payloads of a bundle, each a slice of it.
///
/// # Errors
/// [`BundleError`] of bytes that [`join`] does not write.
pub fn split(bytes: &Bytes) -> Result<Vec<Payload>, BundleError> {
    let short = BundleError::Len(bytes.len());
    let number = |at: usize| -> Option<u64> {
        let (eight, _) = bytes.get(at..)?.split_first_chunk()?;
        Some(u64::from_le_bytes(*eight))
    };
    let entries = usize::try_from(number(0).ok_or(short)?).map_err(|_| BundleError::Number)?;
    let head_len = entries.checked_mul(ENTRY_LEN).and_then(|len| len.checked_add(HEAD_LEN));
    let head_len = head_len.filter(|len| *len <= bytes.len()).ok_or(short)?;
    let mut payloads = Vec::with_capacity(entries);
    let mut end = head_len;
    for entry in (HEAD_LEN..head_len).step_by(ENTRY_LEN) {
        let format = number(entry).and_then(|format| u8::try_from(format).ok());
        let format = format.and_then(Format::from_number).ok_or(BundleError::Number)?;
        let len = number(entry + 8).and_then(|len| usize::try_from(len).ok()).ok_or(short)?;
        let start = end.checked_next_multiple_of(ALIGNMENT).ok_or(short)?;
        end = start.checked_add(len).filter(|end| *end <= bytes.len()).ok_or(short)?;
        payloads.push(Payload::inline(format, bytes.slice(start..end)));
    }
    if end == bytes.len() { Ok(payloads) } else { Err(short) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(format: Format, len: usize) -> Payload {
        Payload::inline(format, Bytes::from(vec![7; len]))
    }

    #[test]
    fn what_is_joined_splits_again_aligned_and_uncopied() {
        let payloads = [
            payload(Format::Pickle5, 5),
            payload(Format::Raw, 0),
            payload(Format::MessagePack, 200),
            payload(Format::Pickle5, 1),
        ];
        let joined = join(payloads.iter());
        let bytes = joined.bytes().expect("inline");
        let split = split(bytes).expect("a bundle");
        assert_eq!(split, payloads);
        for payload in split.iter().filter(|payload| !payload.is_empty()) {
            let at = payload.bytes().expect("inline").as_ptr() as usize - bytes.as_ptr() as usize;
            assert_eq!(at % ALIGNMENT, 0);
        }
    }

    #[test]
    fn what_is_cut_or_longer_or_lies_is_an_error() {
        let joined = join([payload(Format::Raw, 9), payload(Format::Raw, 3)].iter());
        let bytes = joined.bytes().expect("inline").clone();
        for len in 0..bytes.len() {
            assert!(split(&bytes.slice(..len)).is_err(), "{len}");
        }
        let changed = |at: usize, to: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] = to;
            split(&Bytes::from(bytes))
        };
        assert_eq!(changed(8, 99), Err(BundleError::Number));
        assert!(changed(0, 255).is_err() && changed(7, 255).is_err() && changed(23, 255).is_err());
        let longer = Bytes::from([&bytes[..], b"x"].concat());
        assert!(split(&longer).is_err());
    }
}
