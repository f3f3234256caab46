//! Mapping a segment into this process, to read it or to fill it again.
//!
//! Used by the files next to it. It decides nothing: whether a file may be mapped is checked by
//! [`super::file`] before it comes here.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;
use std::thread;

use rustix::mm::{MapFlags, ProtFlags};

use super::file::{PAGE_LEN, SegmentFile};

/// What one thread copies at least: less is done before another thread has begun.
const COPY_SHARE_MIN: usize = 8 << 20;

/// Threads that copy at once at most. Memory is the limit: four fill the channels of most machines.
const COPY_THREADS_MAX: usize = 4;

/// Whether a piece of this length is worth a mapping and a thread.
pub(super) const fn is_worth_sharing(len: usize) -> bool {
    len >= 2 * COPY_SHARE_MIN
}

/// Copies a piece into a part of a segment that has been written before, on several threads: a quarter
/// less time than one write for 100 MB on two processors. The caller has claimed the segment.
pub(super) fn copy_shared(segment: &SegmentFile, offset: u64, piece: &[u8]) -> io::Result<()> {
    let end = offset + piece.len() as u64;
    assert!(end <= segment.capacity(), "{end} of {}", segment.capacity());
    let start = offset - offset % PAGE_LEN;
    let window = Window::writable(segment, start, end - start)?;
    let into = (offset - start) as usize;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let most = (piece.len() / COPY_SHARE_MIN).max(1);
    let share = piece.len().div_ceil(threads.clamp(1, COPY_THREADS_MAX).min(most));
    thread::scope(|scope| {
        let window = &window;
        let mut parts = piece.chunks(share).enumerate();
        let own = parts.next();
        for (index, part) in parts {
            let copy = move || window.write(into + index * share, part);
            // Without another thread it is this one that copies.
            if thread::Builder::new().spawn_scoped(scope, copy).is_err() {
                copy();
            }
        }
        if let Some((_, part)) = own {
            window.write(into, part);
        }
    });
    Ok(())
}

/// Writable memory of this process for as long as one piece is copied.
struct Window(Mapping);

impl Window {
    fn writable(segment: &SegmentFile, start: u64, len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address that the kernel chooses touches nobody's memory.
        let address = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                segment.as_file(),
                start,
            )
        }?;
        let start = NonNull::new(address).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self(Mapping { start, len }))
    }

    /// Parts that threads write at the same time do not overlap.
    fn write(&self, at: usize, part: &[u8]) {
        assert!(at + part.len() <= self.0.len, "a part beyond the window");
        // SAFETY: the target lies within the mapping, as just checked, whose file is sealed against
        // getting shorter and has pages there, as they were written before. Nobody reads it: the
        // segment is claimed, so no other process has it mapped and no `Bytes` of this one exist;
        // and the source is a slice of other memory, for a segment that can be read is not claimed.
        unsafe {
            let target = self.0.start.as_ptr().cast::<u8>().add(at);
            std::ptr::copy_nonoverlapping(part.as_ptr(), target, part.len());
        }
    }
}

/// The content of a segment, as read-only memory of this process.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<c_void>,
    len: usize,
}

impl Mapping {
    /// Maps the whole content of a segment, whose length is sealed.
    pub(super) fn read_only(segment: &SegmentFile) -> io::Result<Self> {
        let len = usize::try_from(segment.capacity()).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address that the kernel chooses touches nobody's memory.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ,
                MapFlags::SHARED,
                segment.as_file(),
                0,
            )
        }?;
        let start = NonNull::new(start).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, len })
    }

    /// Where it begins: no two mappings of a process have an address in common.
    pub(super) fn address(&self) -> usize {
        self.start.addr().get()
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the mapping has this length and lives as long as the borrow of `self`. The file
        // cannot get shorter: `SegmentFile` only hands out files sealed against it, so no read
        // runs past its end. Its content does not change while it can be seen here: whoever made
        // the segment writes only under an exclusive lock, the maker's own `Bytes` exist only
        // between two such times, and every other reader holds a shared lock as long as its
        // mapping. Only a process of the same user could write in spite of these locks, and such
        // a process may change the memory of this one by other means too.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len) }
    }
}

// SAFETY: it is memory that is only read, by its address, from whichever thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping was made above, nobody else unmaps it, and every slice of it
        // borrowed `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr(), self.len) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
