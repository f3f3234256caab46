//! The file of a segment: anonymous memory under a descriptor, its length sealed.
//!
//! ```text
//! 0            capacity (whole pages)      capacity + 8
//! | content                     | turn u64 |
//! ```
//!
//! Its name is in its link in `/proc/<pid>/fd`, for whoever may read that: processes of the same
//! user on the same machine. Locks say who uses it: readers hold a shared one as long as they map
//! it, its maker takes an exclusive one to write. The kernel drops them with the process. Used by
//! the files next to it only.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use phalanx_protocol::ids::SegmentId;
use rustix::fs::{FlockOperation, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

/// Pages are of this size, or of a multiple that the kernel rounds up to by itself.
pub(super) const PAGE_LEN: u64 = 4_096;

/// What stands behind the content: the number of its use.
const TURN_LEN: u64 = 8;

/// Its length can never change, whoever tries: so no reader ever reads past its end.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// Why another process's segment was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It is not there, or no longer: its holder has let it go, or ended.
    #[error("the segment {0} is no longer there")]
    Gone(SegmentId),
    /// What is there is none, or not as long as was said.
    #[error("the segment {id} is not what was said: {reason}")]
    Wrong {
        /// Which one.
        id: SegmentId,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system refused.
    #[error("cannot open the segment {id}: {source}")]
    System {
        /// Which one.
        id: SegmentId,
        /// What the system said.
        source: io::Error,
    },
}

/// An open segment; closed, and unlocked, when dropped.
#[derive(Debug)]
pub(super) struct SegmentFile {
    file: File,
    id: SegmentId,
    capacity: u64,
}

impl SegmentFile {
    /// A new segment with room for so many bytes; memory is taken as it is written.
    pub(super) fn create(len: u64) -> io::Result<Self> {
        let id = SegmentId(getrandom::u64().map_err(io::Error::other)?);
        let name = format!("phalanx-{:016x}", id.0);
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = match rustix::fs::memfd_create(&*name, flags | MemfdFlags::NOEXEC_SEAL) {
            // Kernels before 6.3 do not know the last flag.
            Err(Errno::INVAL) => rustix::fs::memfd_create(&*name, flags),
            made => made,
        }?;
        let capacity = len.next_multiple_of(PAGE_LEN).max(PAGE_LEN);
        let file = File::from(memory);
        file.set_len(capacity + TURN_LEN)?;
        rustix::fs::fcntl_add_seals(&file, SEALS | SealFlags::SEAL)?;
        Ok(Self { file, id, capacity })
    }

    /// Opens the segment that a process has under this descriptor, if it has this name, and locks
    /// it against being written. `descriptors` is that process's `/proc/<pid>/fd`.
    pub(super) fn open(
        descriptors: &OwnedFd,
        descriptor: u32,
        id: SegmentId,
    ) -> Result<Self, OpenError> {
        let wrong = |reason| OpenError::Wrong { id, reason };
        let number = descriptor.to_string();
        // Looked at before it is opened, which may have an effect if it is something else.
        let link = rustix::fs::readlinkat(descriptors, &*number, Vec::new());
        if !link.is_ok_and(|link| link.as_bytes() == link_of(id).as_bytes()) {
            return Err(OpenError::Gone(id));
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::openat(descriptors, &*number, flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| failed(id, errno))?;
        let metadata = file.metadata().map_err(|source| OpenError::System { id, source })?;
        let seals = rustix::fs::fcntl_get_seals(&file).unwrap_or(SealFlags::empty());
        if !seals.contains(SEALS) || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(wrong("it is no sealed memory of this user"));
        }
        let capacity = metadata
            .len()
            .checked_sub(TURN_LEN)
            .filter(|capacity| *capacity > 0 && capacity.is_multiple_of(PAGE_LEN))
            .ok_or_else(|| wrong("its length is not that of a segment"))?;
        let segment = Self { file, id, capacity };
        if !segment.has_name() {
            return Err(OpenError::Gone(id));
        }
        match rustix::fs::flock(&segment.file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(segment),
            Err(Errno::WOULDBLOCK) => Err(OpenError::Gone(id)),
            Err(errno) => Err(failed(id, errno)),
        }
    }

    /// Whether what was opened is what was looked at.
    fn has_name(&self) -> bool {
        std::fs::read_link(format!("/proc/self/fd/{}", self.descriptor()))
            .is_ok_and(|link| link.as_os_str().as_encoded_bytes() == link_of(self.id).as_bytes())
    }

    /// Locks it for writing, if no other process has it open for reading.
    pub(super) fn try_claim(&self) -> bool {
        rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok()
    }

    /// Ends [`SegmentFile::try_claim`]: others may read from now on.
    pub(super) fn release(&self) -> io::Result<()> {
        Ok(rustix::fs::flock(&self.file, FlockOperation::Unlock)?)
    }

    pub(super) fn set_turn(&self, turn: u64) -> io::Result<()> {
        self.file.write_all_at(&turn.to_le_bytes(), self.capacity)
    }

    pub(super) fn turn(&self) -> io::Result<u64> {
        let mut turn = [0; 8];
        self.file.read_exact_at(&mut turn, self.capacity)?;
        Ok(u64::from_le_bytes(turn))
    }

    /// Writes content; takes memory, and fails if there is none.
    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Reads content into memory of our own.
    pub(super) fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    pub(super) const fn id(&self) -> SegmentId {
        self.id
    }

    /// How many bytes fit.
    pub(super) const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Under which number this process has it.
    pub(super) fn descriptor(&self) -> u32 {
        // Open descriptors are not negative.
        self.file.as_raw_fd().unsigned_abs()
    }

    pub(super) fn as_file(&self) -> impl AsFd + '_ {
        &self.file
    }
}

/// What the link of a segment's descriptor says.
fn link_of(id: SegmentId) -> String {
    format!("/memfd:phalanx-{:016x} (deleted)", id.0)
}

fn failed(id: SegmentId, errno: Errno) -> OpenError {
    match errno {
        Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM => OpenError::Gone(id),
        errno => OpenError::System { id, source: errno.into() },
    }
}
