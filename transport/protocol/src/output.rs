//! What a task writes while it runs: pieces of its standard streams.
//!
//! All of it travels twice: live, in pieces that may be dropped, and, as far as it is kept, with
//! the attempt's report and the task's delivery. Nobody on the way reads it.

use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::ids::AttemptId;
use crate::macros::map_encoded;

/// Where a task wrote to. A number, so that a reader passes on what it does not know: 3 (rich
/// display), 4 (published data) and 5 (the exception that ended it, as the engine's language has it)
/// are for engines and clients to agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OutputKind(pub u8);

impl OutputKind {
    /// Standard output.
    pub const STDOUT: Self = Self(1);
    /// Standard error.
    pub const STDERR: Self = Self(2);
}

impl fmt::Display for OutputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::STDOUT => f.write_str("stdout"),
            Self::STDERR => f.write_str("stderr"),
            Self(number) => write!(f, "output {number}"),
        }
    }
}

/// A piece of what a task wrote to one place. Travels as `[kind, bytes]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputChunk {
    /// Where to.
    pub kind: OutputKind,
    /// What; text in UTF-8 if it is text.
    pub bytes: Bytes,
}

map_encoded! {
    /// What is kept of the output of one attempt: its beginning.
    pub struct TaskOutput {
        /// In the order written; neighbours differ in kind.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub chunks: Vec<OutputChunk>,
        /// How many bytes more were written than are kept.
        pub truncated: u64,
    }
}

impl TaskOutput {
    /// How many bytes are kept.
    pub fn len(&self) -> u64 {
        len_of(&self.chunks)
    }

    /// Whether nothing is kept.
    pub const fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// All that was written to one place, as text; what is not UTF-8 is replaced.
    pub fn text(&self, kind: OutputKind) -> String {
        let mut joined = BytesMut::new();
        for chunk in self.chunks.iter().filter(|chunk| chunk.kind == kind) {
            joined.extend_from_slice(&chunk.bytes);
        }
        String::from_utf8_lossy(&joined).into_owned()
    }
}

/// News of what a running attempt writes. May be lost. Travels array-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Which attempt.
    pub attempt: AttemptId,
    /// How many bytes it had written before these: what is missing in between was dropped.
    pub offset: u64,
    /// In the order written, without a gap.
    #[serde(deserialize_with = "crate::list::bounded")]
    pub chunks: Vec<OutputChunk>,
}

impl Output {
    /// How many bytes it tells.
    pub fn len(&self) -> u64 {
        len_of(&self.chunks)
    }

    /// Whether it tells nothing.
    pub const fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

fn len_of(chunks: &[OutputChunk]) -> u64 {
    chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum()
}

/// How many of the first `len_max` bytes to take so that no character of a text is cut in two.
pub fn text_boundary(bytes: &[u8], len_max: usize) -> usize {
    if bytes.len() <= len_max {
        return bytes.len();
    }
    // A character has at most three continuation bytes; without a start among four it is no text.
    let starts = (len_max.saturating_sub(3)..=len_max).rev();
    starts.into_iter().find(|at| bytes[*at] & 0xc0 != 0x80).filter(|at| *at > 0).unwrap_or(len_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(kind: OutputKind, text: &str) -> OutputChunk {
        OutputChunk { kind, bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    #[test]
    fn texts_of_one_kind_are_joined_before_they_are_read() {
        let (first, second) = ("ä".as_bytes().split_at(1), "!");
        let piece = |bytes: &[u8]| OutputChunk {
            kind: OutputKind::STDOUT,
            bytes: Bytes::copy_from_slice(bytes),
        };
        let chunks = vec![piece(first.0), chunk(OutputKind::STDERR, second), piece(first.1)];
        let output = TaskOutput { chunks, truncated: 0 };
        assert_eq!(output.text(OutputKind::STDOUT), "ä");
        assert_eq!(output.text(OutputKind::STDERR), "!");
        assert_eq!(output.len(), 3);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let text = "aß☃".as_bytes();
        let cuts: Vec<_> = (1..=text.len()).map(|len| text_boundary(text, len)).collect();
        assert_eq!(cuts, [1, 1, 3, 3, 3, 6]);
        assert_eq!(text_boundary(&[0x80; 9], 5), 5, "no text");
        assert_eq!(text_boundary("☃".as_bytes(), 2), 2, "progress is made in any case");
    }
}
