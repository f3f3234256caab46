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
use crate::pieces::Pieces;

/// To what payloads are aligned: a cache line.
pub const ALIGNMENT: usize = 64;

/// Pieces up to this length are copied: to keep track of one costs as much.
const COPIED_LEN_MAX: usize = 4 << 10;

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

/// Joins payloads whose bytes are here; one whose bytes are not counts as empty. Long pieces of them
/// are not copied.
pub fn join<'a>(payloads: impl Iterator<Item = &'a Payload> + Clone) -> Payload {
    let len_of = |payload: &Payload| payload.pieces().map_or(0, Pieces::len);
    let entries = payloads.clone().count();
    let mut joined = Joined::default();
    joined.run.reserve(HEAD_LEN + entries * ENTRY_LEN);
    joined.run.put_u32_le(entries as u32);
    joined.run.put_u32_le(0);
    for payload in payloads.clone() {
        joined.run.put_u64_le(u64::from(payload.format as u8));
        joined.run.put_u64_le(len_of(payload) as u64);
    }
    joined.len = joined.run.len();
    for payload in payloads {
        joined.align();
        let pieces = payload.pieces().into_iter().flat_map(Pieces::iter);
        pieces.for_each(|piece| joined.put(piece));
    }
    joined.end_run();
    Payload::in_pieces(Format::Bundle, joined.pieces.into_iter().collect())
}

/// How many bytes [`join`] makes of payloads of these lengths.
pub fn joined_len(lens: impl Iterator<Item = u64> + Clone) -> u64 {
    let head_len = (HEAD_LEN + lens.clone().count() * ENTRY_LEN) as u64;
    let put = |end: u64, len: u64| end.next_multiple_of(ALIGNMENT as u64).saturating_add(len);
    lens.fold(head_len, put)
}

/// A bundle that is being written.
#[derive(Default)]
struct Joined {
    pieces: Vec<Bytes>,
    /// Short pieces in a row, copied together.
    run: BytesMut,
    /// Bytes so far, in pieces and run.
    len: usize,
}

impl Joined {
    fn align(&mut self) {
        let padding = self.len.next_multiple_of(ALIGNMENT) - self.len;
        self.run.put_bytes(0, padding);
        self.len += padding;
    }

    fn put(&mut self, piece: &Bytes) {
        self.len += piece.len();
        if piece.len() <= COPIED_LEN_MAX {
            self.run.extend_from_slice(piece);
        } else {
            self.end_run();
            self.pieces.push(piece.clone());
        }
    }

    fn end_run(&mut self) {
        self.pieces.push(self.run.split().freeze());
    }
}

/// The payloads of a bundle, each a slice of it.
///
/// # Errors
/// [`BundleError`] of bytes that [`join`] does not write.
pub fn split(bundle: &Pieces) -> Result<Vec<Payload>, BundleError> {
    let len = bundle.len();
    let short = BundleError::Len(len);
    let slice = |start: usize, end: usize| bundle.slice(start..end).ok_or(short);
    let entries = number(&slice(0, HEAD_LEN)?.contiguous()).ok_or(short)?;
    let entries = usize::try_from(entries).map_err(|_| BundleError::Number)?;
    let head_len = entries.checked_mul(ENTRY_LEN).and_then(|len| len.checked_add(HEAD_LEN));
    let head_len = head_len.filter(|head_len| *head_len <= len).ok_or(short)?;
    let head = slice(HEAD_LEN, head_len)?.contiguous();
    let mut payloads = Vec::with_capacity(entries);
    let mut end = head_len;
    for entry in head.chunks_exact(ENTRY_LEN) {
        let format = number(entry).and_then(|format| u8::try_from(format).ok());
        let format = format.and_then(Format::from_number).ok_or(BundleError::Number)?;
        let len = number(&entry[8..]).and_then(|len| usize::try_from(len).ok()).ok_or(short)?;
        let start = end.checked_next_multiple_of(ALIGNMENT).ok_or(short)?;
        end = start.checked_add(len).ok_or(short)?;
        payloads.push(Payload::in_pieces(format, slice(start, end)?));
    }
    if end == len { Ok(payloads) } else { Err(short) }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.first_chunk()?))
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
        assert_eq!(joined_len(payloads.iter().map(Payload::len)), joined.len());
        let split = split(&bytes.clone().into()).expect("a bundle");
        assert_eq!(split, payloads);
        for payload in split.iter().filter(|payload| !payload.is_empty()) {
            let at = payload.bytes().expect("inline").as_ptr() as usize - bytes.as_ptr() as usize;
            assert_eq!(at % ALIGNMENT, 0);
        }
    }

    #[test]
    fn long_pieces_are_passed_on_as_they_lie() {
        let long = [payload(Format::Raw, COPIED_LEN_MAX + 1), payload(Format::Pickle5, 1 << 20)];
        let several = [payload(Format::Raw, 9), long[0].clone(), long[1].clone()];
        let pieces = several.iter().filter_map(Payload::pieces).flat_map(Pieces::iter).cloned();
        let several = Payload::in_pieces(Format::Raw, pieces.collect());
        let joined = join([&long[0], &several, &long[1]].into_iter());
        let split = split(joined.pieces().expect("inline")).expect("a bundle");
        assert_eq!(split, [long[0].clone(), several, long[1].clone()]);
        let at = |payload: &Payload| {
            let pieces = payload.pieces().expect("inline").iter();
            pieces.last().map(|piece| piece.as_ptr())
        };
        assert!(split.iter().map(at).eq([at(&long[0]), at(&long[1]), at(&long[1])]));
    }

    #[test]
    fn what_is_cut_or_longer_or_lies_is_an_error() {
        let joined = join([payload(Format::Raw, 9), payload(Format::Raw, 3)].iter());
        let bytes = joined.bytes().expect("inline");
        let split = |bytes: Bytes| split(&bytes.into());
        for len in 0..bytes.len() {
            assert!(split(bytes.slice(..len)).is_err(), "{len}");
        }
        let changed = |at: usize, to: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] = to;
            split(Bytes::from(bytes))
        };
        assert_eq!(changed(8, 99), Err(BundleError::Number));
        assert!(changed(0, 255).is_err() && changed(7, 255).is_err() && changed(23, 255).is_err());
        let longer = Bytes::from([&bytes[..], b"x"].concat());
        assert!(split(longer).is_err());
    }
}
