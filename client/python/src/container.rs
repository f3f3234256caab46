//! The container in which the parts of a Python payload travel: a pickle and its buffers, as one
//! run of bytes.
//!
//! ```text
//! u32 parts | u32 flags | u64 length of each part | parts
//! ```
//!
//! All numbers little-endian. A part of [`ALIGNED_FROM`] bytes or more starts at a multiple of
//! [`ALIGNMENT`] from the container's start, with zeros before it; shorter ones follow directly.
//! No flag is known yet.
//!
//! Used by client and engine alike. It knows nothing of Python; what it reads comes from a peer, so
//! whatever breaks a rule is an error, and nothing is allocated that the bytes do not pay for.

use std::ops::Range;

use bytes::Bytes;
use phalanx_client::protocol::pieces::Pieces;
use phalanx_client::segments;

/// Parts of this length or more are aligned: arrays want it, and the padding does not count there.
pub(crate) const ALIGNED_FROM: usize = 1024;

/// To what parts are aligned: a cache line, and more than any element of an array needs.
pub(crate) const ALIGNMENT: usize = 64;

const HEAD_LEN: usize = 8;
const LEN_LEN: usize = 8;

/// Bytes that are not a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContainerError {
    #[error("a container of {len} bytes is cut short; it needs {needed}")]
    Short { len: usize, needed: u64 },
    #[error("{0} bytes trail the container")]
    Trailing(usize),
    #[error("container flags {0:#x} are unknown; the sender is newer")]
    Flags(u32),
    #[error("the padding before part {0} is not zero")]
    Padding(usize),
}

/// Where the parts of a container are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// Start and end of each part.
    parts: Box<[(usize, usize)]>,
}

impl Index {
    /// How many parts there are.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Where a part is.
    pub(crate) fn part(&self, index: usize) -> Option<Range<usize>> {
        self.parts.get(index).map(|(start, end)| *start..*end)
    }
}

/// The start of a part of this length that comes after `end` bytes.
const fn start_after(end: usize, part_len: usize) -> Option<usize> {
    if part_len >= ALIGNED_FROM { end.checked_next_multiple_of(ALIGNMENT) } else { Some(end) }
}

/// Writes a container. Each part is copied once: into shared memory, if the container is long and
/// somebody can map it there; a long part that came in shared memory is passed on as it lies.
pub(crate) fn pack(parts: &[&[u8]]) -> Pieces {
    let count = parts.len();
    let mut head = Vec::with_capacity(HEAD_LEN + count * LEN_LEN);
    // 2^32 slices take 64 GiB by themselves.
    head.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    head.extend_from_slice(&0u32.to_le_bytes());
    for part in parts {
        head.extend_from_slice(&(part.len() as u64).to_le_bytes());
    }
    let mut pieces = Vec::with_capacity(1 + 2 * count);
    let mut end = head.len();
    pieces.push(&head[..]);
    for part in parts {
        // Slices lie in memory, so their lengths have a sum; only padding could go beyond it.
        let start = start_after(end, part.len()).unwrap_or(end);
        pieces.push(&[0; ALIGNMENT][..start - end]);
        pieces.push(part);
        end = start + part.len();
    }
    segments::gather(&pieces)
}

/// Reads where the parts of a container are.
///
/// # Errors
/// [`ContainerError`] of bytes that [`pack`] does not write.
pub(crate) fn read(container: &Pieces) -> Result<Index, ContainerError> {
    let container_len = container.len();
    let short = |needed| ContainerError::Short { len: container_len, needed };
    let run = |start, end| container.slice(start..end).map(|run: Pieces| run.contiguous());
    let head = run(0, HEAD_LEN).ok_or(short(HEAD_LEN as u64))?;
    let (count, flags) = (take_u32(&head), head.get(4..).and_then(take_u32));
    let (count, flags) = count.zip(flags).ok_or(short(HEAD_LEN as u64))?;
    if flags != 0 {
        return Err(ContainerError::Flags(flags));
    }
    let lens_len = u64::from(count) * LEN_LEN as u64;
    let needed = lens_len + HEAD_LEN as u64;
    // From here on the count is paid for by as many lengths.
    let lens = usize::try_from(needed).ok().and_then(|end| run(HEAD_LEN, end));
    let lens = lens.ok_or(short(needed))?;
    let mut parts = Vec::with_capacity(lens.len() / LEN_LEN);
    let mut end = HEAD_LEN + lens.len();
    for (number, len) in lens.chunks_exact(LEN_LEN).enumerate() {
        let len = take_u64(len).unwrap_or(0);
        let needed = (end as u64).saturating_add(len);
        let start = usize::try_from(len).ok().and_then(|len| start_after(end, len));
        let start = start.ok_or(short(needed))?;
        let stop = start.checked_add(len as usize).ok_or(short(needed))?;
        let padding = if start == end { Some(Bytes::new()) } else { run(end, start) };
        let padding = padding.ok_or(short(needed))?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(ContainerError::Padding(number));
        }
        if stop > container_len {
            return Err(short(stop as u64));
        }
        parts.push((start, stop));
        end = stop;
    }
    if end != container_len {
        return Err(ContainerError::Trailing(container_len - end));
    }
    Ok(Index { parts: parts.into() })
}

fn take_u32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.first_chunk()?))
}

fn take_u64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.first_chunk()?))
}
