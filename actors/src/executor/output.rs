//! Where attempts write: one outlet for all of an engine, from any thread, never waiting.
//!
//! The engine's shell empties it once a turn, so that what piles up is what is written during one
//! turn; even that is bounded for each attempt. What is kept, and what is told live, is decided by
//! the engine room.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use phalanx_protocol::ids::AttemptId;
use phalanx_protocol::limits::{OUTPUT_CHUNK_OVERHEAD, OUTPUT_KEPT_LEN_MAX};
use phalanx_protocol::output::{OutputChunk, OutputKind};
use tokio::sync::Notify;

/// What an attempt has written since the engine last looked.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) chunks: Vec<OutputChunk>,
    /// Bytes after these that were too many to hold.
    pub(crate) lost: u64,
    weight: usize,
}

impl Written {
    fn write(&mut self, kind: OutputKind, bytes: Bytes) {
        let weight = bytes.len() + OUTPUT_CHUNK_OVERHEAD;
        if self.lost > 0 || self.weight + weight > 2 * OUTPUT_KEPT_LEN_MAX {
            self.lost += bytes.len() as u64;
            return;
        }
        self.weight += weight;
        self.chunks.push(OutputChunk { kind, bytes });
    }
}

/// The outlet of one engine.
#[derive(Debug, Clone, Default)]
pub(super) struct Outlet(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether something waits: looked at for each task that ends.
    filled: AtomicBool,
    waiting: Mutex<BTreeMap<AttemptId, Written>>,
    written: Notify,
}

impl Outlet {
    pub(super) fn sink(&self, attempt: AttemptId) -> OutputSink {
        OutputSink { attempt, outlet: self.clone() }
    }

    pub(super) fn has_output(&self) -> bool {
        self.0.filled.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> BTreeMap<AttemptId, Written> {
        let mut waiting = self.lock();
        self.0.filled.store(false, Ordering::Release);
        std::mem::take(&mut *waiting)
    }

    pub(super) async fn written(&self) {
        self.0.written.notified().await;
    }

    fn write(&self, attempt: AttemptId, kind: OutputKind, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        waiting.entry(attempt).or_default().write(kind, bytes);
        let was_filled = self.0.filled.swap(true, Ordering::AcqRel);
        drop(waiting);
        if !was_filled {
            self.0.written.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Written>> {
        // Nothing under this lock panics half-way through a change.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where one attempt writes. Cheap to clone, usable from any thread, and it never waits: what
/// is beyond the limits is dropped and counted. What comes after the attempt's end is dropped.
#[derive(Debug, Clone)]
pub struct OutputSink {
    attempt: AttemptId,
    outlet: Outlet,
}

impl OutputSink {
    /// Writes bytes; those of a text are UTF-8.
    pub fn write(&self, kind: OutputKind, bytes: impl Into<Bytes>) {
        self.outlet.write(self.attempt, kind, bytes.into());
    }

    /// Writes a text.
    pub fn write_text(&self, kind: OutputKind, text: impl Into<String>) {
        self.write(kind, text.into().into_bytes());
    }

    /// The standard output of the attempt, for what writes to an [`io::Write`].
    pub fn stdout(&self) -> OutputStream {
        OutputStream { sink: self.clone(), kind: OutputKind::STDOUT }
    }

    /// The standard error of the attempt.
    pub fn stderr(&self) -> OutputStream {
        OutputStream { sink: self.clone(), kind: OutputKind::STDERR }
    }
}

/// One of an attempt's streams. Every write is a piece of its own.
#[derive(Debug, Clone)]
pub struct OutputStream {
    sink: OutputSink,
    kind: OutputKind,
}

impl io::Write for OutputStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(self.kind, Bytes::copy_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use phalanx_protocol::ids::{ClientId, TaskId};

    use super::*;

    const ATTEMPT: AttemptId = TaskId::new(ClientId(1), 2).attempt(1);

    #[test]
    fn what_threads_write_is_taken_by_attempt_and_once() {
        let outlet = Outlet::default();
        let other = AttemptId { number: 2, ..ATTEMPT };
        let threads = [ATTEMPT, other].map(|attempt| {
            let sink = outlet.sink(attempt);
            std::thread::spawn(move || sink.write_text(OutputKind::STDOUT, "text"))
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(outlet.has_output());
        let taken = outlet.take();
        let texts: Vec<_> = taken.values().map(|written| &written.chunks[0].bytes[..]).collect();
        assert_eq!(texts, [b"text", b"text"]);
        assert!(!outlet.has_output() && outlet.take().is_empty());
    }

    #[test]
    fn a_flood_that_nobody_takes_is_bounded_and_counted() {
        let outlet = Outlet::default();
        let sink = outlet.sink(ATTEMPT);
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..100 {
            sink.write(OutputKind::STDERR, piece.clone());
        }
        let written = outlet.take().remove(&ATTEMPT).unwrap();
        let held: usize = written.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        assert!((OUTPUT_KEPT_LEN_MAX..=2 * OUTPUT_KEPT_LEN_MAX).contains(&held), "{held}");
        assert_eq!(held as u64 + written.lost, 100 * piece.len() as u64);
    }
}
