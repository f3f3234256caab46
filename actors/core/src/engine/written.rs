//! What one running attempt has written: its beginning, to be reported, and what is to be told live.
//!
//! Bounded on both sides, and nothing at all for an attempt that writes nothing. Deliberately
//! without a clock: when it is told is for `running` to say.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use phalanx_protocol::limits::{
    OUTPUT_CHUNK_OVERHEAD, OUTPUT_KEPT_LEN_MAX, OUTPUT_LIVE_LEN_MAX, OUTPUT_MESSAGE_LEN_MAX,
};
use phalanx_protocol::output::{OutputChunk, OutputKind, TaskOutput, text_boundary};

/// The output of one attempt.
#[derive(Debug, Default)]
pub(super) struct Written {
    kept: Vec<(OutputKind, Vec<u8>)>,
    /// Bytes of what is kept, with the overhead of each piece.
    kept_weight: usize,
    truncated: u64,
    /// What was not told, without a gap.
    live: VecDeque<OutputChunk>,
    live_weight: usize,
    /// How many bytes were written before the first of these.
    offset: u64,
}

impl Written {
    /// The attempt wrote this.
    pub(super) fn write(&mut self, chunk: OutputChunk) {
        if chunk.bytes.is_empty() {
            return;
        }
        self.keep(&chunk);
        self.live_weight += weight(&chunk);
        self.live.push_back(chunk);
        while self.live_weight > OUTPUT_LIVE_LEN_MAX {
            let excess = self.live_weight - OUTPUT_LIVE_LEN_MAX;
            self.drop_live(excess);
        }
    }

    /// The executor wrote so much that nobody could hold it.
    pub(super) fn lose(&mut self, len: u64) {
        self.truncated += len;
        // What follows it must not seem to follow what came before.
        self.offset += len + self.live.drain(..).map(|chunk| chunk.bytes.len() as u64).sum::<u64>();
        self.live_weight = 0;
    }

    fn keep(&mut self, chunk: &OutputChunk) {
        let len = chunk.bytes.len();
        let is_same = self.kept.last().is_some_and(|(kind, _)| *kind == chunk.kind);
        let overhead = if is_same { 0 } else { OUTPUT_CHUNK_OVERHEAD };
        let room = OUTPUT_KEPT_LEN_MAX.saturating_sub(self.kept_weight + overhead);
        // It is the beginning that is kept: after a gap nothing more is.
        let fits =
            if self.truncated > 0 || room == 0 { 0 } else { text_boundary(&chunk.bytes, room) };
        self.truncated += (len - fits) as u64;
        if fits == 0 {
            return;
        }
        self.kept_weight += overhead + fits;
        match self.kept.last_mut() {
            Some((_, bytes)) if is_same => bytes.extend_from_slice(&chunk.bytes[..fits]),
            _ => self.kept.push((chunk.kind, chunk.bytes[..fits].to_vec())),
        }
    }

    /// Drops the oldest of what was not told: at least this much, unless there is less.
    fn drop_live(&mut self, excess: usize) {
        let Some(oldest) = self.live.front_mut() else {
            return;
        };
        let weighs = weight(oldest);
        if excess < oldest.bytes.len() {
            let _ = oldest.bytes.split_to(excess);
            self.live_weight -= excess;
            self.offset += excess as u64;
        } else {
            self.live_weight -= weighs;
            self.offset += oldest.bytes.len() as u64;
            self.live.pop_front();
        }
    }

    /// Whether there is something to tell.
    pub(super) fn has_news(&self) -> bool {
        !self.live.is_empty()
    }

    /// As much as one message may tell of what was not told, and its offset.
    pub(super) fn take_news(&mut self) -> (u64, Vec<OutputChunk>) {
        let offset = self.offset;
        let mut room = OUTPUT_MESSAGE_LEN_MAX;
        let mut chunks = Vec::new();
        while let Some(next) = self.live.front_mut()
            && room > OUTPUT_CHUNK_OVERHEAD
        {
            room -= OUTPUT_CHUNK_OVERHEAD;
            let len = text_boundary(&next.bytes, room);
            room -= len;
            self.offset += len as u64;
            self.live_weight -= len;
            let bytes = next.bytes.split_to(len);
            let (kind, is_all) = (next.kind, next.bytes.is_empty());
            chunks.push(OutputChunk { kind, bytes });
            if !is_all {
                break;
            }
            self.live_weight -= OUTPUT_CHUNK_OVERHEAD;
            self.live.pop_front();
        }
        (offset, chunks)
    }

    /// What is kept of it.
    pub(super) fn into_output(self) -> Option<Arc<TaskOutput>> {
        if self.kept.is_empty() && self.truncated == 0 {
            return None;
        }
        let chunks = self.kept.into_iter();
        let chunks = chunks.map(|(kind, bytes)| OutputChunk { kind, bytes: Bytes::from(bytes) });
        Some(Arc::new(TaskOutput { chunks: chunks.collect(), truncated: self.truncated }))
    }

    /// Panics if a fact contradicts another.
    pub(super) fn check_invariants(&self) {
        let weights = self.kept.iter().map(|(_, bytes)| bytes.len() + OUTPUT_CHUNK_OVERHEAD);
        assert_eq!(weights.sum::<usize>(), self.kept_weight);
        assert!(self.kept_weight <= OUTPUT_KEPT_LEN_MAX);
        assert_eq!(self.live.iter().map(weight).sum::<usize>(), self.live_weight);
        assert!(self.live_weight <= OUTPUT_LIVE_LEN_MAX);
        assert!(self.live.iter().all(|chunk| !chunk.bytes.is_empty()));
    }
}

fn weight(chunk: &OutputChunk) -> usize {
    chunk.bytes.len() + OUTPUT_CHUNK_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(kind: OutputKind, len: usize) -> OutputChunk {
        OutputChunk { kind, bytes: Bytes::from(vec![b'x'; len]) }
    }

    #[test]
    fn the_beginning_is_kept_and_the_rest_counted() {
        let mut written = Written::default();
        let fits = OUTPUT_KEPT_LEN_MAX - OUTPUT_CHUNK_OVERHEAD;
        for len in [fits - 3, 2, 10, 5] {
            written.write(chunk(OutputKind::STDOUT, len));
            written.check_invariants();
        }
        written.write(chunk(OutputKind::STDERR, 1));
        let output = written.into_output().expect("something");
        assert_eq!((output.len(), output.truncated), (fits as u64, 15));
        assert_eq!(output.chunks.len(), 1, "neighbours of one kind are one");
    }

    #[test]
    fn many_small_pieces_are_as_few_as_a_list_may_have() {
        let mut written = Written::default();
        for index in 0..OUTPUT_KEPT_LEN_MAX {
            written.write(chunk(OutputKind(1 + (index % 2) as u8), 1));
        }
        written.check_invariants();
        let output = written.into_output().expect("something");
        assert!(output.chunks.len() <= phalanx_protocol::limits::LIST_ITEMS_MAX);
        assert_eq!(output.len() + output.truncated, OUTPUT_KEPT_LEN_MAX as u64);
    }

    #[test]
    fn news_is_in_order_and_says_what_is_missing() {
        let mut written = Written::default();
        written.write(chunk(OutputKind::STDOUT, OUTPUT_LIVE_LEN_MAX));
        written.write(chunk(OutputKind::STDERR, 100));
        written.check_invariants();
        let dropped = (100 + 2 * OUTPUT_CHUNK_OVERHEAD) as u64;
        let mut next = dropped;
        while written.has_news() {
            let (offset, chunks) = written.take_news();
            assert_eq!(offset, next, "no gap but the first");
            let weight: usize = chunks.iter().map(weight).sum();
            assert!(weight <= OUTPUT_MESSAGE_LEN_MAX);
            next += chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum::<u64>();
            written.check_invariants();
        }
        assert_eq!(next, (OUTPUT_LIVE_LEN_MAX + 100) as u64);
        written.lose(7);
        written.write(chunk(OutputKind::STDOUT, 1));
        assert_eq!(written.take_news().0, next + 7);
    }
}
