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
use phalanx_protocol::limits::{SEGMENT_LEN_MIN, TASK_PAYLOAD_LEN_MAX};
use phalanx_protocol::payload::SegmentRef;

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

/// Writes a payload piece by piece into a segment, so that it need not be in one piece before.
#[derive(Debug)]
pub struct SegmentWriter {
    made: Made,
    len: u64,
    written: u64,
}

impl SegmentWriter {
    /// A segment for a payload of `len` bytes; `None` if it would travel by stream anyway: too
    /// short ([`SEGMENT_LEN_MIN`]) or too long, no session of this process can use it, or a limit
    /// is reached. Bytes in ordinary memory then do.
    pub fn for_payload(len: u64) -> Option<Self> {
        if !is_worth_it(len) || !TABLE.is_in_use() {
            return None;
        }
        Self::from_table(&TABLE, len)
    }

    fn from_table(table: &'static Table, len: u64) -> Option<Self> {
        let made = table.make(len).unwrap_or_else(|error| {
            tracing::debug!(%error, len, "no shared memory for a payload: it takes a stream");
            None
        });
        Some(Self { made: made?, len, written: 0 })
    }

    /// Appends a piece: the one copy.
    ///
    /// # Errors
    /// If the system has no memory, or more is written than was announced. The payload then needs
    /// ordinary memory.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
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

    /// The whole payload. What was not written of it is not part of it.
    ///
    /// # Errors
    /// If the system refuses; the payload then needs ordinary memory.
    pub fn finish(self) -> io::Result<Bytes> {
        let table = self.made.table();
        let len = usize::try_from(self.written).map_err(io::Error::other)?;
        table.publish(self.made, len)
    }
}

/// Copies pieces into one segment, if that is of use (see [`SegmentWriter::for_payload`]).
pub fn place_pieces(pieces: &[&[u8]]) -> Option<Bytes> {
    let len = pieces.iter().map(|piece| piece.len() as u64).sum();
    let mut writer = SegmentWriter::for_payload(len)?;
    let written = pieces.iter().try_for_each(|piece| writer.write(piece));
    match written.and_then(|()| writer.finish()) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::debug!(%error, len, "shared memory failed: a payload takes a stream");
            None
        }
    }
}

/// The same bytes, in a segment if that is of use and they are in none. For whoever makes a
/// payload, on the thread that made it: it may copy up to a gigabyte.
#[must_use]
pub fn place(bytes: Bytes) -> Bytes {
    if !is_worth_it(bytes.len() as u64) || reference(&bytes).is_some() {
        return bytes;
    }
    place_pieces(&[&bytes]).unwrap_or(bytes)
}

fn is_worth_it(len: u64) -> bool {
    (SEGMENT_LEN_MIN as u64..=TASK_PAYLOAD_LEN_MAX).contains(&len)
}

/// What to send in place of these bytes to somebody who can map this process's memory; `None` if
/// they are in no segment.
pub(crate) fn reference(bytes: &Bytes) -> Option<SegmentRef> {
    if is_worth_it(bytes.len() as u64) { TABLE.find(bytes) } else { None }
}
