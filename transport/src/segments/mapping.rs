//! Mapping a segment into this process, for reading: the only unsafe code of this crate.
//!
//! Used by the files next to it. It decides nothing: whether a file may be mapped is checked by
//! [`super::file`] before it comes here.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags};

use super::file::SegmentFile;

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
