//! Payloads: bytes that only their makers understand. Hub, dag and scheduler never look inside.

use std::fmt;

use bytes::Bytes;
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{SegmentId, Ticket};

/// How a payload's bytes are to be read by who it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Format {
    /// Bytes as they are.
    #[default]
    Raw = 0,
    /// MessagePack, by the rules of [`crate::value`]: calls between languages.
    MessagePack = 1,
    /// Pickle protocol 5 with out-of-band buffers: Python to Python.
    Pickle5 = 2,
    /// Several payloads, by the rules of [`crate::bundle`]: the arguments of a task, and results that
    /// stand among them. Only from a hub to an engine.
    Bundle = 3,
}

impl Format {
    /// The format with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Raw),
            1 => Some(Self::MessagePack),
            2 => Some(Self::Pickle5),
            3 => Some(Self::Bundle),
            _ => None,
        }
    }
}

/// Where the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Here: they are the tail of the message's frame.
    Inline(Bytes),
    /// On a payload stream of the same session: they arrive by themselves, later or sooner.
    Ticket {
        /// Which stream.
        ticket: Ticket,
        /// How many bytes it will carry.
        len: u64,
    },
    /// In memory that both ends of the session can map. Sessions put it in place of long bytes
    /// and bytes in place of it: nothing above them ever sees one.
    Segment(SegmentRef),
}

/// Names bytes in a segment of shared memory that the sender of the message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRef {
    /// The number of the sender's descriptor of the segment.
    pub descriptor: u32,
    /// The segment's own name: a number that nobody can guess.
    pub id: SegmentId,
    /// Which use of the segment: whoever made it may use it again.
    pub turn: u64,
    /// Where in the segment the bytes begin.
    pub offset: u64,
    /// How many they are.
    pub len: u64,
}

/// Opaque bytes with a format tag. In a header it travels as `[format, where]`: nil = in the
/// frame's tail, `[ticket, len]` = on a stream, `[descriptor, id, turn, offset, len]` = in a
/// segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// How to read the bytes.
    pub format: Format,
    /// Where the bytes are.
    pub body: Body,
}

impl Payload {
    /// A payload whose bytes are here.
    pub const fn inline(format: Format, bytes: Bytes) -> Self {
        Self { format, body: Body::Inline(bytes) }
    }

    /// No bytes.
    pub const fn empty() -> Self {
        Self::inline(Format::Raw, Bytes::new())
    }

    /// How many bytes there are, here or still on their way.
    pub fn len(&self) -> u64 {
        match &self.body {
            Body::Inline(bytes) => bytes.len() as u64,
            Body::Ticket { len, .. } => *len,
            Body::Segment(segment) => segment.len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are here.
    pub const fn bytes(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Inline(bytes) => Some(bytes),
            Body::Ticket { .. } | Body::Segment(_) => None,
        }
    }

    /// The stream the bytes come by, if they are not here.
    pub const fn ticket(&self) -> Option<Ticket> {
        match &self.body {
            Body::Inline(_) | Body::Segment(_) => None,
            Body::Ticket { ticket, .. } => Some(*ticket),
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::empty()
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let format = self.format as u8;
        match &self.body {
            Body::Inline(_) => (format, ()).serialize(serializer),
            Body::Ticket { ticket, len } => (format, (ticket.0, *len)).serialize(serializer),
            Body::Segment(SegmentRef { descriptor, id, turn, offset, len }) => {
                (format, (*descriptor, id.0, *turn, *offset, *len)).serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (format, elsewhere) = <(u8, Option<Elsewhere>)>::deserialize(deserializer)?;
        let format = Format::from_number(format)
            .ok_or_else(|| D::Error::custom("unknown payload format"))?;
        let body = elsewhere.map_or_else(|| Body::Inline(Bytes::new()), |Elsewhere(body)| body);
        Ok(Self { format, body })
    }
}

/// Where bytes are that are not in the frame: two numbers or five.
struct Elsewhere(Body);

impl<'de> Deserialize<'de> for Elsewhere {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElsewhereVisitor)
    }
}

struct ElsewhereVisitor;

impl<'de> Visitor<'de> for ElsewhereVisitor {
    type Value = Elsewhere;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[ticket, len] or [descriptor, id, turn, offset, len]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Elsewhere, A::Error> {
        let missing = |count: usize| A::Error::invalid_length(count, &self);
        let first: u64 = numbers.next_element()?.ok_or_else(|| missing(0))?;
        let second: u64 = numbers.next_element()?.ok_or_else(|| missing(1))?;
        let Some(turn) = numbers.next_element()? else {
            return Ok(Elsewhere(Body::Ticket { ticket: Ticket(first), len: second }));
        };
        let offset = numbers.next_element()?.ok_or_else(|| missing(3))?;
        let len = numbers.next_element()?.ok_or_else(|| missing(4))?;
        if numbers.next_element::<IgnoredAny>()?.is_some() {
            return Err(missing(6));
        }
        let descriptor = u32::try_from(first)
            .map_err(|_| A::Error::custom("a segment's descriptor is a number of 32 bits"))?;
        let id = SegmentId(second);
        Ok(Elsewhere(Body::Segment(SegmentRef { descriptor, id, turn, offset, len })))
    }
}
