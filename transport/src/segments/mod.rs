//! Long payloads between processes of one host: in memory that both can map, copied once by
//! whoever makes them and not at all by whoever reads them or passes them on.
//!
//! ```text
//! client: place(bytes) ──copy──> segment ··map··> hub ··map··> engine
//!         Submit [descriptor, id, …] ─────────────>  Assign [its descriptor, id, …] ──>
//! ```
//!
//! A segment is *anonymous* memory (a memfd). Others open it through `/proc/<pid>/fd`, which the
//! kernel allows to processes of the same user on the same machine, and to nobody else. So there
//! is no file to be left behind, whoever is killed; `/dev/shm`, often 64 MiB in a container, sets
//! no limit; and its length can be sealed, so that no reader ever gets a `SIGBUS`.
//!
//! * **Whether two ends share a host and a user** is found out by trying, in the handshake: each
//!   names a segment with a secret in it. No name of a machine is ever compared.
//! * **Nothing above a session knows of segments.** Bytes that lie in one are `Bytes` like others.
//!   The sending half finds them in the table of this process by their address and sends a
//!   reference in their place; the receiving half maps what the reference names. Whoever keeps
//!   the `Bytes` keeps the segment: there are no leases to be returned, and no counts that a
//!   death could make wrong.
//! * **Each process names only descriptors of its own**, also for what it received, so a reference
//!   is good as long as its sender keeps the bytes. Senders keep payloads until they are
//!   confirmed; that is the rule for all payloads. A reference that came too late ends the
//!   session, and what was lost with it is sent again.
//! * **When anything is missing** (another host or user, a limit, no memory, a kernel that will
//!   not) the payload takes a stream. `PHALANX_SHARED_MEMORY=off` has all of them do so.
//!
//! A segment that nobody maps any more is filled again by its maker, for a while: memory that was
//! touched before costs half as much. Locks on the open files say that nobody maps it.

mod file;
mod mapping;
mod peer;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::LazyLock;

use bytes::Bytes;
use phalanx_protocol::limits::{
    INLINE_LEN_MAX, PAYLOAD_PIECES_MAX, SEGMENT_LEN_MIN, TASK_PAYLOAD_LEN_MAX,
};
use phalanx_protocol::payload::{Piece, Shared};
use phalanx_protocol::pieces::Pieces;

pub(crate) use self::file::OpenError;
use self::mapping::{copy_shared, is_worth_sharing};
pub(crate) use self::peer::{Beacon, PeerMemory};
pub use self::table::SegmentStats;
use self::table::{Bounds, Made, Table};

/// Turns shared memory off for a process and all that it starts, if it says `off`, `0` or `false`.
pub const SHARED_MEMORY_ENV: &str = "PHALANX_SHARED_MEMORY";

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(Bounds::of_this_process()));

/// Whether the environment leaves shared memory on.
pub fn is_wanted() -> bool {
    let value = std::env::var(SHARED_MEMORY_ENV).unwrap_or_default();
    !["off", "0", "false"].contains(&value.to_ascii_lowercase().as_str())
}

/// How much of this process's memory is in segments, for people and tests.
pub fn stats() -> SegmentStats {
    TABLE.stats()
}

/// Writes bytes piece by piece into a segment, so that they need not be in one piece before.
#[derive(Debug)]
struct SegmentWriter {
    made: Made,
    len: u64,
    written: u64,
}

impl SegmentWriter {
    /// A segment for `len` bytes; `None` at a limit.
    fn from_table(table: &'static Table, len: u64) -> Option<Self> {
        let made = table.make(len).unwrap_or_else(|error| {
            tracing::debug!(%error, len, "no shared memory for a payload: it takes a stream");
            None
        });
        Some(Self { made: made?, len, written: 0 })
    }

    /// Appends a piece: the one copy. Fails if the system has no memory, or more is written than was
    /// announced.
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let end = self.written + piece.len() as u64;
        if end > self.len {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{end} bytes for a segment of {}", self.len),
            ));
        }
        if end <= self.made.filled && is_worth_sharing(piece.len()) {
            copy_shared(&self.made.file, self.written, piece)?;
        } else {
            // Writing takes memory, and fails where touching a mapping would kill.
            self.made.file.write_at(self.written, piece)?;
            self.made.filled = self.made.filled.max(end);
        }
        self.written = end;
        Ok(())
    }

    /// All of them. What was not written is not part of it.
    fn finish(self) -> io::Result<Bytes> {
        let table = self.made.table();
        let len = usize::try_from(self.written).map_err(io::Error::other)?;
        table.publish(self.made, len)
    }
}

/// Bytes gathered from where they lie, for whoever makes a payload, on the thread that made them: it
/// may copy up to a gigabyte. Where a session of this process shares memory and there are
/// [`SEGMENT_LEN_MIN`] bytes or more, they are copied into segments, but for long ones that are in
/// one already: those are passed on as they lie. Otherwise, or at a limit, they are copied into
/// ordinary memory.
pub fn gather(slices: &[&[u8]]) -> Pieces {
    if TABLE.is_in_use() { gather_by(&TABLE, slices) } else { Pieces::of(slices.concat().into()) }
}

fn gather_by(table: &'static Table, slices: &[&[u8]]) -> Pieces {
    let len: usize = slices.iter().map(|slice| slice.len()).sum();
    if !is_worth_it(len as u64) {
        return Pieces::of(slices.concat().into());
    }
    let hold = |slice: &&[u8]| {
        let is_long = slice.len() >= SEGMENT_LEN_MIN;
        if is_long { table.hold(slice) } else { None }
    };
    let held: Vec<Option<Bytes>> = slices.iter().map(hold).collect();
    let held_len: usize = held.iter().flatten().map(Bytes::len).sum();
    // What fits a frame beside those that are passed on need not be in a segment.
    let is_placed = len - held_len > if held_len == 0 { 0 } else { INLINE_LEN_MAX };
    let mut pieces = Vec::new();
    let mut run = 0;
    for (index, held) in held.into_iter().enumerate() {
        let Some(held) = held else { continue };
        pieces.push(copied(table, &slices[run..index], is_placed));
        pieces.push(held);
        run = index + 1;
    }
    pieces.push(copied(table, &slices[run..], is_placed));
    pieces.into_iter().collect()
}

/// Slices in one run, in a segment if that is wanted and can be.
fn copied(table: &'static Table, slices: &[&[u8]], is_placed: bool) -> Bytes {
    let len: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
    let placed = if is_placed && len > 0 { write_all(table, len, slices) } else { None };
    placed.unwrap_or_else(|| slices.concat().into())
}

fn write_all(table: &'static Table, len: u64, slices: &[&[u8]]) -> Option<Bytes> {
    let mut writer = SegmentWriter::from_table(table, len)?;
    let written = slices.iter().try_for_each(|slice| writer.write(slice));
    match written.and_then(|()| writer.finish()) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::debug!(%error, len, "shared memory failed: a payload takes a stream");
            None
        }
    }
}

/// The same bytes, in a segment if that is of use and they are in none: as [`gather`], for bytes
/// that need not be copied otherwise.
#[must_use]
pub fn place(bytes: Bytes) -> Bytes {
    let len = bytes.len() as u64;
    if !is_worth_it(len) || !TABLE.is_in_use() || TABLE.find(&bytes).is_some() {
        return bytes;
    }
    write_all(&TABLE, len, &[&bytes]).unwrap_or(bytes)
}

fn is_worth_it(len: u64) -> bool {
    (SEGMENT_LEN_MIN as u64..=TASK_PAYLOAD_LEN_MAX).contains(&len)
}

/// What to send in place of these bytes to somebody who can map this process's memory; `None` if
/// that is of no use: few are in a segment, or too many are not.
pub(crate) fn reference(bytes: &Pieces) -> Option<Shared> {
    if !is_worth_it(bytes.len() as u64) || bytes.iter().count() > PAYLOAD_PIECES_MAX {
        return None;
    }
    let mut shared = Shared { pieces: Vec::new(), tail: Bytes::new() };
    let mut tail = Vec::new();
    for piece in bytes.iter() {
        match TABLE.find(piece) {
            Some(segment) => shared.pieces.push(Piece::Segment(segment)),
            None if tail.len() + piece.len() <= INLINE_LEN_MAX => {
                tail.extend_from_slice(piece);
                shared.pieces.push(Piece::Tail(piece.len() as u64));
            }
            None => return None,
        }
    }
    shared.tail = tail.into();
    Some(shared)
}
