//! Which of this process's memory is in segments: by address, with limits, and with those kept
//! that can be used again.
//!
//! Addresses, descriptors and memory belong to the process, and so does the one table of it. Used
//! by the files next to it only. It takes no part in what a session agrees on.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use phalanx_protocol::ids::SegmentId;
use phalanx_protocol::limits::{
    SEGMENT_BYTES_MAX, SEGMENT_POOL_AGE_MAX, SEGMENT_POOL_BYTES_MAX, SEGMENTS_HELD_MAX,
};
use phalanx_protocol::payload::SegmentRef;
use rustix::process::{Resource, getrlimit};
use tokio::runtime::Handle;

use super::file::{OpenError, SegmentFile};
use super::mapping::Mapping;

/// How much a process may have in segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes of the segments it made.
    pub(super) bytes: u64,
    /// Segments it has a descriptor of.
    pub(super) held: usize,
    /// Bytes of segments that wait to be used again.
    pub(super) pool_bytes: u64,
}

impl Bounds {
    /// The limits of the protocol, or a quarter of what the system gives if that is less.
    pub(super) fn of_this_process() -> Self {
        let system = rustix::system::sysinfo();
        let memory = u64::from(system.mem_unit).saturating_mul(system.totalram as u64);
        // Beyond this length a write does not fail but kills.
        let file_len = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
        let files = getrlimit(Resource::Nofile).current;
        let files = files.and_then(|files| usize::try_from(files / 4).ok()).unwrap_or(usize::MAX);
        Self {
            bytes: SEGMENT_BYTES_MAX.min(memory / 4).min(file_len / 2),
            held: SEGMENTS_HELD_MAX.min(files),
            pool_bytes: SEGMENT_POOL_BYTES_MAX,
        }
    }
}

/// A segment that this process made; unmapped, closed and uncounted when dropped.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) file: SegmentFile,
    mapping: Mapping,
    /// How far it has been written in any of its uses: so far it has its memory.
    pub(super) filled: u64,
    /// The number of its present use.
    turn: u64,
    /// Which process made it: a forked child has a copy of this, and must not write to it.
    maker: u32,
    table: &'static Table,
}

impl Made {
    pub(super) const fn table(&self) -> &'static Table {
        self.table
    }

    fn is_own(&self) -> bool {
        self.maker == std::process::id()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let mut inner = self.table.inner();
        inner.made_bytes -= self.file.capacity();
        inner.held -= 1;
    }
}

/// What keeps the bytes of a segment.
type Owner = dyn AsRef<[u8]> + Send + Sync;

/// Bytes of a segment that keep it.
struct Owned(Arc<Owner>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

/// What others may map of this process's memory.
#[derive(Debug)]
struct Entry {
    len: usize,
    descriptor: u32,
    id: SegmentId,
    turn: u64,
    owner: Weak<Owner>,
}

impl Entry {
    /// Whether a piece is most of it: a small one must not keep a large segment.
    const fn is_most(&self, piece_len: usize) -> bool {
        piece_len >= self.len / 2
    }
}

/// How much is in segments now, and how much ever was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SegmentStats {
    /// Payloads that were written into a segment.
    pub written: u64,
    /// Those of them that found one to use again.
    pub reused: u64,
    /// Segments of other processes that were mapped.
    pub mapped: u64,
    /// Segments that this process has a descriptor of.
    pub held: usize,
    /// Bytes of the segments that this process made.
    pub made_bytes: u64,
}

#[derive(Debug, Default)]
struct Inner {
    by_address: BTreeMap<usize, Entry>,
    /// Sessions over which segments may be named.
    sessions: usize,
    /// What nobody here uses any more, oldest first.
    pool: Vec<Made>,
    /// Whether the pool is to be emptied at some time.
    is_timed: bool,
    /// Where to wait for that time: the runtime of the latest session.
    runtime: Option<Handle>,
    made_bytes: u64,
    held: usize,
    written: u64,
    reused: u64,
    mapped: u64,
}

impl Inner {
    /// The segment that these bytes are in, if they are most of it, and where in it.
    fn segment_of(&self, bytes: &[u8]) -> Option<(usize, &Entry)> {
        let address = bytes.as_ptr().addr();
        let (start, entry) = self.by_address.range(..=address).next_back()?;
        let offset = address - start;
        let is_in = offset + bytes.len() <= entry.len && entry.is_most(bytes.len());
        is_in.then_some((offset, entry))
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    inner: Mutex<Inner>,
    bounds: Bounds,
}

impl Table {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { inner: Mutex::default(), bounds }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic happens under the lock between two facts that belong together.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> SegmentStats {
        let inner = self.inner();
        SegmentStats {
            written: inner.written,
            reused: inner.reused,
            mapped: inner.mapped,
            held: inner.held,
            made_bytes: inner.made_bytes,
        }
    }

    /// A session may name segments from now on.
    pub(super) fn join(&self) {
        let mut inner = self.inner();
        inner.sessions += 1;
        inner.runtime = Handle::try_current().ok().or(inner.runtime.take());
    }

    /// A session that could name segments is over. Without any nothing is kept to be used again.
    pub(super) fn part(&self) {
        let mut inner = self.inner();
        inner.sessions -= 1;
        let pool = if inner.sessions == 0 { std::mem::take(&mut inner.pool) } else { Vec::new() };
        drop(inner);
        drop(pool);
    }

    /// Whether any session may name segments.
    pub(super) fn is_in_use(&self) -> bool {
        self.inner().sessions > 0
    }

    /// A segment that nobody else sees, with room for `len` bytes; `None` at a limit.
    pub(super) fn make(&'static self, len: u64) -> io::Result<Option<Made>> {
        if let Some(made) = self.take_from_pool(len) {
            return Ok(Some(made));
        }
        let file = SegmentFile::create(len)?;
        let mapping = Mapping::read_only(&file)?;
        let mut dropped = Vec::new();
        let mut inner = self.inner();
        let is_over = |inner: &Inner| {
            inner.made_bytes + file.capacity() > self.bounds.bytes || inner.held >= self.bounds.held
        };
        // What only waits gives way.
        if is_over(&inner) && !inner.pool.is_empty() {
            dropped.append(&mut inner.pool);
            drop(inner);
            dropped.clear();
            inner = self.inner();
        }
        if is_over(&inner) {
            return Ok(None);
        }
        inner.made_bytes += file.capacity();
        inner.held += 1;
        inner.written += 1;
        drop(inner);
        let maker = std::process::id();
        Ok(Some(Made { file, mapping, filled: 0, turn: 0, maker, table: self }))
    }

    /// The oldest one that is free, and neither too small nor more than twice too large.
    fn take_from_pool(&self, len: u64) -> Option<Made> {
        let mut inner = self.inner();
        let index = inner.pool.iter().position(|made| {
            let capacity = made.file.capacity();
            len <= capacity && capacity / 2 <= len && made.is_own() && made.file.try_claim()
        })?;
        let mut made = inner.pool.remove(index);
        made.turn += 1;
        inner.reused += 1;
        inner.written += 1;
        Some(made)
    }

    /// Keeps a segment of this process to use it again, if there is room and anybody may need it.
    fn put_into_pool(&'static self, made: Made) {
        if !made.is_own() || !self.is_in_use() {
            return;
        }
        let mut old = Vec::new();
        let mut inner = self.inner();
        inner.pool.push(made);
        let bytes = |pool: &[Made]| pool.iter().map(|made| made.file.capacity()).sum::<u64>();
        while bytes(&inner.pool) > self.bounds.pool_bytes {
            old.push(inner.pool.remove(0));
        }
        let timer = inner.runtime.clone().filter(|_| !std::mem::replace(&mut inner.is_timed, true));
        drop(inner);
        drop(old);
        if let Some(runtime) = timer {
            let timed = Timed(self);
            runtime.spawn(async move {
                tokio::time::sleep(SEGMENT_POOL_AGE_MAX).await;
                timed.0.empty_pool();
            });
        }
    }

    fn empty_pool(&self) {
        let pool = std::mem::take(&mut self.inner().pool);
        drop(pool);
    }

    /// The first `len` bytes of a segment that was written.
    pub(super) fn publish(&'static self, made: Made, len: usize) -> io::Result<Bytes> {
        made.file.set_turn(made.turn)?;
        made.file.release()?;
        let (address, mapped) = (made.mapping.address(), made.mapping.len());
        let (descriptor, id, turn) = (made.file.descriptor(), made.file.id(), made.turn);
        let owner: Arc<Owner> = Arc::new(Lent(Some(made)));
        let entry = Entry { len: mapped, descriptor, id, turn, owner: Arc::downgrade(&owner) };
        self.inner().by_address.insert(address, entry);
        Ok(Bytes::from_owner(Owned(owner)).slice(..len))
    }

    fn leave(&self, mapping: &Mapping) {
        self.inner().by_address.remove(&mapping.address());
    }

    /// Where in a segment these bytes are, if they are in one and most of it.
    pub(super) fn find(&self, bytes: &Bytes) -> Option<SegmentRef> {
        let inner = self.inner();
        let (offset, entry) = inner.segment_of(bytes)?;
        Some(SegmentRef {
            descriptor: entry.descriptor,
            id: entry.id,
            turn: entry.turn,
            offset: offset as u64,
            len: bytes.len() as u64,
        })
    }

    /// The same bytes as they lie in a segment, if they are in one and most of it: whoever has the
    /// result keeps the segment.
    pub(super) fn hold(&self, bytes: &[u8]) -> Option<Bytes> {
        let (offset, owner) = {
            let inner = self.inner();
            let (offset, entry) = inner.segment_of(bytes)?;
            (offset, entry.owner.upgrade()?)
        };
        Some(Bytes::from_owner(Owned(owner)).slice(offset..offset + bytes.len()))
    }

    /// The bytes that another process names: mapped, or copied if this process has too many
    /// segments already.
    pub(super) fn open(
        &'static self,
        file: SegmentFile,
        segment: &SegmentRef,
    ) -> Result<Bytes, OpenError> {
        let id = segment.id;
        let system = |source| OpenError::System { id, source };
        if file.turn().map_err(system)? != segment.turn {
            return Err(OpenError::Gone(id));
        }
        let end = segment.offset.checked_add(segment.len).filter(|end| *end <= file.capacity());
        let (Ok(start), Some(Ok(end))) = (segment.offset.try_into(), end.map(usize::try_from))
        else {
            return Err(OpenError::Wrong { id, reason: "it is shorter than was said" });
        };
        let range: std::ops::Range<usize> = start..end;
        match self.map(file, segment.turn) {
            Ok(opened) => Ok(Bytes::from_owner(opened).slice(range)),
            Err(file) => copy(&file, range).map_err(system),
        }
    }

    fn map(&'static self, file: SegmentFile, turn: u64) -> Result<Owned, SegmentFile> {
        {
            let mut inner = self.inner();
            if inner.held >= self.bounds.held {
                return Err(file);
            }
            inner.held += 1;
            inner.mapped += 1;
        }
        match Mapping::read_only(&file) {
            Ok(mapping) => {
                let (address, len) = (mapping.address(), mapping.len());
                let (descriptor, id) = (file.descriptor(), file.id());
                let owner: Arc<Owner> = Arc::new(Opened { mapping, _file: file, table: self });
                let entry = Entry { len, descriptor, id, turn, owner: Arc::downgrade(&owner) };
                self.inner().by_address.insert(address, entry);
                Ok(Owned(owner))
            }
            Err(error) => {
                tracing::debug!(%error, "a segment is copied: it cannot be mapped");
                self.inner().held -= 1;
                Err(file)
            }
        }
    }
}

fn copy(file: &SegmentFile, range: std::ops::Range<usize>) -> io::Result<Bytes> {
    let mut bytes = vec![0; range.len()];
    file.read_at(range.start as u64, &mut bytes)?;
    Ok(bytes.into())
}

/// The pool is to be emptied. Also if that never comes about, since its runtime has ended, the next
/// who puts something into it may see to it.
struct Timed(&'static Table);

impl Drop for Timed {
    fn drop(&mut self) {
        self.0.inner().is_timed = false;
    }
}

/// Owns the bytes of a segment of this process while anybody here has them.
struct Lent(Option<Made>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |made| made.mapping.as_ref())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(made) = self.0.take() {
            let table = made.table;
            table.leave(&made.mapping);
            table.put_into_pool(made);
        }
    }
}

/// Owns the bytes of another process's segment while anybody here has them. Its open file keeps
/// the lock, and is what others open when these bytes are passed on.
struct Opened {
    mapping: Mapping,
    _file: SegmentFile,
    table: &'static Table,
}

impl AsRef<[u8]> for Opened {
    fn as_ref(&self) -> &[u8] {
        self.mapping.as_ref()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.table.leave(&self.mapping);
        self.table.inner().held -= 1;
    }
}
