//! The other end's memory: finding out whether it can be mapped, and mapping it.
//!
//! The handshake and the receiving half of a session use it. What it is told comes from a peer and
//! is checked; what it opens is held until the session is over.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::LazyLock;

use bytes::Bytes;
use phalanx_protocol::handshake::MemoryOffer;
use phalanx_protocol::payload::SegmentRef;
use rustix::fs::{Mode, OFlags};

use super::TABLE;
use super::file::{OpenError, SegmentFile};
use super::table::Table;

/// What shows others that they can map this process's memory: a segment with a secret in it.
#[derive(Debug)]
pub(crate) struct Beacon {
    file: SegmentFile,
    secret: u64,
}

impl Beacon {
    /// This process's one, made when it is first asked for; `None` if the system gives none.
    pub(crate) fn of_this_process() -> Option<&'static Self> {
        static BEACON: LazyLock<Option<Beacon>> = LazyLock::new(|| {
            Beacon::create()
                .inspect_err(|error| tracing::debug!(%error, "no shared memory here"))
                .ok()
        });
        BEACON.as_ref()
    }

    fn create() -> io::Result<Self> {
        let secret = getrandom::u64().map_err(io::Error::other)?;
        let file = SegmentFile::create(size_of::<u64>() as u64)?;
        file.write_at(0, &secret.to_le_bytes())?;
        Ok(Self { file, secret })
    }

    /// Where it is.
    pub(crate) fn offer(&self) -> MemoryOffer {
        MemoryOffer {
            process: std::process::id(),
            descriptor: self.file.descriptor(),
            id: self.file.id(),
        }
    }

    /// What only those know who can read it.
    pub(crate) const fn secret(&self) -> u64 {
        self.secret
    }
}

/// The memory of the process at the other end, while a session may name it.
#[derive(Debug)]
pub(crate) struct PeerMemory {
    /// Its `/proc/<pid>/fd`: goes on meaning this process, whoever gets its number later.
    descriptors: OwnedFd,
    /// Counts the session as one that can use segments.
    is_agreed: bool,
}

impl PeerMemory {
    /// Finds what a peer offers, and reads the secret in it; `None` if it is of another host or
    /// user, or not what it says.
    pub(crate) fn find(offer: &MemoryOffer) -> Option<(Self, u64)> {
        let path = format!("/proc/{}/fd", offer.process);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptors = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        let beacon = SegmentFile::open(&descriptors, offer.descriptor, offer.id)
            .inspect_err(|error| tracing::debug!(%error, "a peer's memory was not found"))
            .ok()?;
        let mut secret = [0; size_of::<u64>()];
        beacon.read_at(0, &mut secret).ok()?;
        Some((Self { descriptors, is_agreed: false }, u64::from_le_bytes(secret)))
    }

    /// This process's own memory, for sessions within it.
    pub(crate) fn of_this_process() -> Option<Self> {
        let (memory, _) = Self::find(&Beacon::of_this_process()?.offer())?;
        Some(memory.agreed())
    }

    /// Both ends have found each other's memory: from now on payloads are worth being placed.
    #[must_use]
    pub(crate) fn agreed(mut self) -> Self {
        if !std::mem::replace(&mut self.is_agreed, true) {
            TABLE.join();
        }
        self
    }

    /// The bytes that a message names.
    ///
    /// # Errors
    /// [`OpenError`]: they are not there any more, or are not what was said.
    pub(crate) fn open(&self, segment: &SegmentRef) -> Result<Bytes, OpenError> {
        self.open_in(&TABLE, segment)
    }

    pub(super) fn open_in(
        &self,
        table: &'static Table,
        segment: &SegmentRef,
    ) -> Result<Bytes, OpenError> {
        let file = SegmentFile::open(&self.descriptors, segment.descriptor, segment.id)?;
        table.open(file, segment)
    }
}

impl Drop for PeerMemory {
    fn drop(&mut self) {
        if self.is_agreed {
            TABLE.part();
        }
    }
}
