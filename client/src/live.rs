//! What a task writes while it runs, for a caller who wants to see it then.
//!
//! Of each task that runs, and whose result somebody holds, the newest [`OUTPUT_LIVE_LEN_MAX`] bytes
//! that were not read are held, also before somebody follows it: who comes late misses nothing of
//! that. Deliberately without promise: what was dropped on the way shows as a gap, and all that is kept
//! comes with the result's metadata.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use phalanx_transport::protocol::limits::{OUTPUT_CHUNK_OVERHEAD, OUTPUT_LIVE_LEN_MAX};
use phalanx_transport::protocol::output::{Output, OutputChunk, OutputKind};

use crate::batch::{Batch, Until, Wait};

/// A piece of what a running task wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveOutput {
    /// Which attempt at the task wrote it, from 1: a later one begins anew.
    pub attempt: u32,
    /// How many bytes that attempt had written before, to whatever stream: what is missing
    /// between two pieces was dropped on the way.
    pub offset: u64,
    /// Where to.
    pub kind: OutputKind,
    /// What.
    pub bytes: Bytes,
}

/// What was not read of one task.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// Whether somebody follows it. If nobody does, it is dropped when the task ends.
    pub(crate) has_reader: bool,
    pieces: VecDeque<LiveOutput>,
    weight: usize,
}

impl Unread {
    pub(crate) fn push(&mut self, output: Output) {
        let Output { attempt, mut offset, chunks } = output;
        for OutputChunk { kind, bytes } in chunks {
            self.weight += weight(&bytes);
            let len = bytes.len() as u64;
            self.pieces.push_back(LiveOutput { attempt: attempt.number, offset, kind, bytes });
            offset += len;
        }
        while self.weight > OUTPUT_LIVE_LEN_MAX && self.take().is_some() {}
    }

    pub(crate) fn take(&mut self) -> Option<LiveOutput> {
        let piece = self.pieces.pop_front()?;
        self.weight -= weight(&piece.bytes);
        Some(piece)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

const fn weight(bytes: &Bytes) -> usize {
    bytes.len() + OUTPUT_CHUNK_OVERHEAD
}

/// Reads what one task writes, while it runs. Dropping it ends the following.
#[derive(Debug)]
#[must_use = "output is held for its reader"]
pub struct OutputReader {
    batch: Arc<Batch>,
    index: u32,
}

impl OutputReader {
    /// Follows a task, unless somebody does already.
    pub(crate) fn new(batch: &Arc<Batch>, index: u32) -> Option<Self> {
        batch.follow(index).then(|| Self { batch: Arc::clone(batch), index })
    }

    /// Waits for the next piece; `None` once the task has ended and all was read. What the result's
    /// metadata has of the output is then the whole of what is kept.
    pub async fn next(&mut self) -> Option<LiveOutput> {
        Wait::new(&self.batch, Until::Wrote(self.index)).await;
        self.try_next()
    }

    /// The next piece if there is one now.
    pub fn try_next(&mut self) -> Option<LiveOutput> {
        self.batch.take_output(self.index)
    }
}

impl Drop for OutputReader {
    fn drop(&mut self) {
        self.batch.unfollow(self.index);
    }
}

#[cfg(test)]
mod tests {
    use phalanx_transport::protocol::ids::{ClientId, TaskId};

    use super::*;

    fn output(offset: u64, len: usize) -> Output {
        let bytes = Bytes::from(vec![b'x'; len]);
        let chunks = vec![OutputChunk { kind: OutputKind::STDOUT, bytes }; 2];
        Output { attempt: TaskId::new(ClientId(1), 2).attempt(3), offset, chunks }
    }

    #[test]
    fn what_is_not_read_is_bounded_and_the_newest_stays() {
        let mut unread = Unread::default();
        for index in 0..1_000 {
            unread.push(output(index * 2_000, 1_000));
        }
        assert!(unread.weight <= OUTPUT_LIVE_LEN_MAX);
        let mut offsets = Vec::new();
        while let Some(piece) = unread.take() {
            assert_eq!(piece.attempt, 3);
            offsets.push(piece.offset);
        }
        assert_eq!(offsets.last(), Some(&1_999_000));
        assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1_000));
        assert_eq!((unread.weight, unread.is_empty()), (0, true));
    }
}
