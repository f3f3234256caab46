//! Payloads: bytes that only their makers understand. Hub, dag and scheduler never look inside.

use std::fmt;

use bytes::Bytes;
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{SegmentId, Ticket};
use crate::limits::PAYLOAD_PIECES_MAX;
use crate::pieces::Pieces;

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
    Inline(Pieces),
    /// On a payload stream of the same session: they arrive by themselves, later or sooner.
    Ticket {
        /// Which stream.
        ticket: Ticket,
        /// How many bytes it will carry.
        len: u64,
    },
    /// In memory that both ends of the session can map, but for a few between. Sessions put it in
    /// place of long bytes and bytes in place of it: nothing above them ever sees one.
    Shared(Box<Shared>),
}

/// Bytes that are in shared memory in part at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Where they are, in order.
    pub pieces: Vec<Piece>,
    /// Those in the tail of the message's frame.
    pub tail: Bytes,
}

impl Shared {
    /// Bytes that are all in one segment.
    pub fn of(segment: SegmentRef) -> Self {
        Self { pieces: vec![Piece::Segment(segment)], tail: Bytes::new() }
    }

    fn len(&self) -> u64 {
        self.pieces.iter().map(Piece::len).fold(0, u64::saturating_add)
    }

    /// How many bytes the tail must have.
    pub(crate) fn tail_len(&self) -> u64 {
        let in_tail = |piece: &Piece| if let Piece::Tail(len) = piece { *len } else { 0 };
        self.pieces.iter().map(in_tail).fold(0, u64::saturating_add)
    }
}

/// Where one piece of a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes of the frame's tail, after those that earlier pieces have taken.
    Tail(u64),
    /// In a segment.
    Segment(SegmentRef),
}

impl Piece {
    const fn len(&self) -> u64 {
        match self {
            Self::Tail(len) => *len,
            Self::Segment(segment) => segment.len,
        }
    }
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
/// segment, an array of such arrays and of `[len]` = in segments and, in between, in the tail.
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
        Self::in_pieces(format, Pieces::of(bytes))
    }

    /// A payload whose bytes are here, in pieces.
    pub const fn in_pieces(format: Format, pieces: Pieces) -> Self {
        Self { format, body: Body::Inline(pieces) }
    }

    /// No bytes.
    pub const fn empty() -> Self {
        Self::in_pieces(Format::Raw, Pieces::new())
    }

    /// How many bytes there are, here or still on their way.
    pub fn len(&self) -> u64 {
        match &self.body {
            Body::Inline(bytes) => bytes.len() as u64,
            Body::Ticket { len, .. } => *len,
            Body::Shared(shared) => shared.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are here, as they lie.
    pub const fn pieces(&self) -> Option<&Pieces> {
        match &self.body {
            Body::Inline(bytes) => Some(bytes),
            Body::Ticket { .. } | Body::Shared(_) => None,
        }
    }

    /// The bytes, if they are here, in one run: copied if they are in several pieces.
    pub fn bytes(&self) -> Option<Bytes> {
        self.pieces().map(Pieces::contiguous)
    }

    /// The stream the bytes come by, if they are not here.
    pub const fn ticket(&self) -> Option<Ticket> {
        match &self.body {
            Body::Inline(_) | Body::Shared(_) => None,
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
            Body::Shared(shared) => match &shared.pieces[..] {
                [piece @ Piece::Segment(_)] => (format, piece).serialize(serializer),
                _ => (format, shared).serialize(serializer),
            },
        }
    }
}

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pieces = serializer.serialize_seq(Some(self.pieces.len()))?;
        self.pieces.iter().try_for_each(|piece| pieces.serialize_element(piece))?;
        pieces.end()
    }
}

impl Serialize for Piece {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Tail(len) => (*len,).serialize(serializer),
            Self::Segment(SegmentRef { descriptor, id, turn, offset, len }) => {
                (*descriptor, id.0, *turn, *offset, *len).serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (format, elsewhere) = <(u8, Option<Elsewhere>)>::deserialize(deserializer)?;
        let format = Format::from_number(format)
            .ok_or_else(|| D::Error::custom("unknown payload format"))?;
        let body = elsewhere.map_or_else(|| Body::Inline(Pieces::new()), |Elsewhere(body)| body);
        Ok(Self { format, body })
    }
}

/// Where bytes are that are not, or not all, in the frame's tail alone.
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
        f.write_str("[ticket, len], [descriptor, id, turn, offset, len] or an array of pieces")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Elsewhere, A::Error> {
        match items.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))? {
            NumberOrPiece::Number(first) => match numbers(first, &mut items, &self)? {
                Numbers::One(_) => Err(A::Error::invalid_length(1, &self)),
                Numbers::Two(ticket, len) => {
                    Ok(Elsewhere(Body::Ticket { ticket: Ticket(ticket), len }))
                }
                Numbers::Five(segment) => {
                    Ok(Elsewhere(Body::Shared(Box::new(Shared::of(segment)))))
                }
            },
            NumberOrPiece::Piece(first) => {
                let mut pieces = vec![first];
                while let Some(piece) = items.next_element()? {
                    if pieces.len() == PAYLOAD_PIECES_MAX {
                        return Err(A::Error::custom("a payload of too many pieces"));
                    }
                    pieces.push(piece);
                }
                Ok(Elsewhere(Body::Shared(Box::new(Shared { pieces, tail: Bytes::new() }))))
            }
        }
    }
}

/// What an array of numbers can be.
enum Numbers {
    One(u64),
    Two(u64, u64),
    Five(SegmentRef),
}

/// Reads what follows the first number.
fn numbers<'de, A: SeqAccess<'de>>(
    first: u64,
    items: &mut A,
    expected: &dyn serde::de::Expected,
) -> Result<Numbers, A::Error> {
    let missing = |count: usize| A::Error::invalid_length(count, expected);
    let Some(second) = items.next_element()? else {
        return Ok(Numbers::One(first));
    };
    let Some(turn) = items.next_element()? else {
        return Ok(Numbers::Two(first, second));
    };
    let offset = items.next_element()?.ok_or_else(|| missing(3))?;
    let len = items.next_element()?.ok_or_else(|| missing(4))?;
    if items.next_element::<IgnoredAny>()?.is_some() {
        return Err(missing(6));
    }
    let descriptor = u32::try_from(first)
        .map_err(|_| A::Error::custom("a segment's descriptor is a number of 32 bits"))?;
    Ok(Numbers::Five(SegmentRef { descriptor, id: SegmentId(second), turn, offset, len }))
}

/// The first item of an array: what it is says what the array is.
enum NumberOrPiece {
    Number(u64),
    Piece(Piece),
}

impl<'de> Deserialize<'de> for NumberOrPiece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrPieceVisitor)
    }
}

impl<'de> Deserialize<'de> for Piece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_seq(NumberOrPieceVisitor)? {
            NumberOrPiece::Piece(piece) => Ok(piece),
            NumberOrPiece::Number(_) => Err(D::Error::custom("a piece is an array")),
        }
    }
}

struct NumberOrPieceVisitor;

impl<'de> Visitor<'de> for NumberOrPieceVisitor {
    type Value = NumberOrPiece;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, [len] or [descriptor, id, turn, offset, len]")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<NumberOrPiece, E> {
        Ok(NumberOrPiece::Number(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<NumberOrPiece, A::Error> {
        let first: u64 = items.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        match numbers(first, &mut items, &self)? {
            Numbers::One(len) => Ok(NumberOrPiece::Piece(Piece::Tail(len))),
            Numbers::Two(..) => Err(A::Error::invalid_length(2, &self)),
            Numbers::Five(segment) => Ok(NumberOrPiece::Piece(Piece::Segment(segment))),
        }
    }
}
