//! Frames: a 12-byte prefix, a MessagePack header, a raw payload tail.
//!
//! ```text
//! 0        4        6        8          12            12+h         12+h+t
//! | body u32 | kind u16 | 0 u16 | header u32 | header (h) | tail (t) |      body = h + t
//! ```
//!
//! All numbers are little-endian. Decoding checks lengths first, then content, then that nothing
//! trails. No input panics, and what one allocates is bounded by its length: at most 32 bytes for
//! each byte of its header, and 8 MiB besides. Payload bytes are never copied.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::{
    FRAME_PREFIX_LEN, HEADER_DEPTH_MAX, HEADER_LEN_MAX, INLINE_LEN_MAX, TASK_PAYLOAD_LEN_MAX,
};
use crate::payload::{Body, Payload};
use crate::role::RoleSet;

/// Which ordered stream of a session a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Abort, ping, shutdown: overtakes everything else.
    Control = 0,
    /// Tasks, outcomes, and what must stay in order with them.
    Tasks = 1,
    /// Output and other news that may be dropped with a count.
    Events = 2,
}

impl Lane {
    /// Every lane, most urgent first.
    pub const ALL: [Self; 3] = [Self::Control, Self::Tasks, Self::Events];
}

/// How a message's header is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// An array: compact, fixed for ever; growth goes into its options map.
    Array,
    /// A map with named fields: unknown ones are skipped, missing ones take their default.
    Map,
}

/// What is fixed about one message of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageInfo {
    /// Its number on the wire; never reused.
    pub number: u16,
    /// Its name in code and documents.
    pub name: &'static str,
    /// The stream it takes.
    pub lane: Lane,
    /// How its header is encoded.
    pub encoding: Encoding,
    /// The roles that may send it.
    pub senders: RoleSet,
    /// Whether a payload may follow its header.
    pub carries_payload: bool,
}

/// One direction of a conversation: what its messages are and how they are encoded.
pub trait Message: Sized + Send + 'static {
    /// The direction's name, for errors and documents.
    const CONVERSATION: &'static str;
    /// Every message of this direction, by ascending number.
    const MESSAGES: &'static [MessageInfo];

    /// What is fixed about this message.
    fn info(&self) -> &'static MessageInfo;
    /// The payload, if this message carries one.
    fn payload(&self) -> Option<&Payload>;
    /// The payload, to be replaced by what travels.
    fn payload_mut(&mut self) -> Option<&mut Payload>;
    /// Appends the MessagePack header.
    ///
    /// # Errors
    /// [`EncodeError::Header`] if a value cannot be expressed, which no wire type brings about.
    fn encode_header(&self, out: &mut BytesMut) -> Result<(), EncodeError>;
    /// Reads the header of the message with this number.
    ///
    /// # Errors
    /// [`DecodeError`] for an unknown number, malformed content or trailing bytes.
    fn decode_header(number: u16, header: &[u8]) -> Result<Self, DecodeError>;
}

/// What is fixed about message `number` of a direction; `None` if it has no such message.
pub fn message_info<M: Message>(number: u16) -> Option<&'static MessageInfo> {
    M::MESSAGES.iter().find(|info| info.number == number)
}

/// Why a message could not be put on the wire: our own limits, not a peer's doing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A value that MessagePack cannot express.
    #[error("cannot encode the header: {0}")]
    Header(#[from] rmp_serde::encode::Error),
    /// The header is over the limit: too many dependencies, targets or too long a text.
    #[error(
        "header of {len} bytes is over the limit of {HEADER_LEN_MAX}; send fewer or shorter items in one message"
    )]
    HeaderTooLong {
        /// How long it would be.
        len: usize,
    },
    /// The inline payload is over the limit and should have taken a payload stream.
    #[error("inline payload of {len} bytes is over the limit of {INLINE_LEN_MAX}")]
    TailTooLong {
        /// How long it is.
        len: usize,
    },
}

/// How a peer broke the rules of the codec.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Header or body longer than any message may be.
    #[error("frame of {len} bytes is over the limit of {max}")]
    FrameTooLong {
        /// What the prefix claims.
        len: u64,
        /// What is allowed.
        max: u64,
    },
    /// The prefix contradicts itself.
    #[error("frame prefix is malformed: header {header} of body {body}, reserved {reserved}")]
    Prefix {
        /// Claimed header length.
        header: u32,
        /// Claimed body length.
        body: u32,
        /// The reserved field, which must be 0.
        reserved: u16,
    },
    /// No such message in this direction.
    #[error("{conversation} has no message {number}")]
    UnknownMessage {
        /// The direction.
        conversation: &'static str,
        /// The number that was sent.
        number: u16,
    },
    /// The header is not what the message's type demands.
    #[error("malformed header: {0}")]
    Header(#[from] rmp_serde::decode::Error),
    /// Bytes after the header's value.
    #[error("bytes trail the header")]
    Trailing,
    /// A tail on a message that carries none, beside a ticket, or not as long as the pieces of a
    /// payload say that are in it.
    #[error("message {number} has a tail of {len} bytes, which its header does not say")]
    UnexpectedTail {
        /// Which message.
        number: u16,
        /// How long the tail is.
        len: usize,
    },
    /// A ticket or a segment for more bytes than a task's payload may have.
    #[error("payload of {len} bytes is over the limit of {TASK_PAYLOAD_LEN_MAX}")]
    PayloadTooLong {
        /// What the message claims.
        len: u64,
    },
}

/// Array-encoded headers.
pub(crate) mod hot {
    use super::{BytesMut, EncodeError, Scratch, Serialize};

    pub(crate) fn encode<T: Serialize>(value: &T, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut scratch = Scratch::over(out);
        rmp_serde::encode::write(&mut scratch, value)?;
        scratch.empty();
        Ok(())
    }
}

/// Map-encoded headers.
pub(crate) mod named {
    use super::{BytesMut, EncodeError, Scratch, Serialize};

    pub(crate) fn encode<T: Serialize>(value: &T, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut scratch = Scratch::over(out);
        rmp_serde::encode::write_named(&mut scratch, value)?;
        scratch.empty();
        Ok(())
    }
}

/// Length of [`Scratch`]: the header of a task, its attempt or its outcome fits.
const SCRATCH_LEN: usize = 128;

/// Collects what the serializer writes byte by byte, and appends it at once: a header is written
/// in some thirty pieces, and growing the output at each costs more than encoding it.
struct Scratch<'a> {
    bytes: [u8; SCRATCH_LEN],
    len: usize,
    out: &'a mut BytesMut,
}

impl<'a> Scratch<'a> {
    const fn over(out: &'a mut BytesMut) -> Self {
        Self { bytes: [0; SCRATCH_LEN], len: 0, out }
    }

    fn empty(&mut self) {
        self.out.extend_from_slice(&self.bytes[..self.len]);
        self.len = 0;
    }

    #[cold]
    fn overflow(&mut self, piece: &[u8]) {
        self.empty();
        self.out.extend_from_slice(piece);
    }
}

impl std::io::Write for Scratch<'_> {
    #[inline]
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.write_all(piece).map(|()| piece.len())
    }

    #[inline]
    fn write_all(&mut self, piece: &[u8]) -> std::io::Result<()> {
        match self.bytes.get_mut(self.len..self.len + piece.len()) {
            Some(room) => {
                room.copy_from_slice(piece);
                self.len += piece.len();
            }
            None => self.overflow(piece),
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads one MessagePack value that must fill `header`.
pub(crate) fn decode_value<T: DeserializeOwned>(header: &[u8]) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(header);
    // Its own count ends before the depth it is given.
    deserializer.set_max_depth(HEADER_DEPTH_MAX + 1);
    let value = T::deserialize(&mut deserializer)?;
    match <serde::de::IgnoredAny as serde::Deserialize>::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(error))
            if error.kind() == std::io::ErrorKind::UnexpectedEof =>
        {
            Ok(value)
        }
        _ => Err(DecodeError::Trailing),
    }
}

/// Appends `message` as one frame. Its payload must be inline within the limit, or
/// a ticket, or in shared memory.
///
/// # Errors
/// [`EncodeError`]; `out` is then as it was before.
pub fn encode_frame<M: Message>(message: &M, out: &mut BytesMut) -> Result<(), EncodeError> {
    let start = out.len();
    let result = encode_into(message, out, start);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn encode_into<M: Message>(
    message: &M,
    out: &mut BytesMut,
    start: usize,
) -> Result<(), EncodeError> {
    out.put_bytes(0, FRAME_PREFIX_LEN);
    message.encode_header(out)?;
    let header_len = out.len() - start - FRAME_PREFIX_LEN;
    if header_len > HEADER_LEN_MAX {
        return Err(EncodeError::HeaderTooLong { len: header_len });
    }
    match message.payload().map(|payload| &payload.body) {
        Some(Body::Inline(tail)) if tail.len() > INLINE_LEN_MAX => {
            return Err(EncodeError::TailTooLong { len: tail.len() });
        }
        Some(Body::Inline(tail)) => tail.iter().for_each(|piece| out.extend_from_slice(piece)),
        Some(Body::Shared(shared)) if shared.tail.len() > INLINE_LEN_MAX => {
            return Err(EncodeError::TailTooLong { len: shared.tail.len() });
        }
        Some(Body::Shared(shared)) => out.extend_from_slice(&shared.tail),
        Some(Body::Ticket { .. }) | None => {}
    }
    let body_len = out.len() - start - FRAME_PREFIX_LEN;
    let prefix = Prefix {
        // Both fit: they are checked against limits far below u32::MAX.
        body_len: body_len as u32,
        number: message.info().number,
        header_len: header_len as u32,
    };
    out[start..start + FRAME_PREFIX_LEN].copy_from_slice(&prefix.to_bytes());
    Ok(())
}

/// The first 12 bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// Bytes after the prefix.
    pub body_len: u32,
    /// Message number.
    pub number: u16,
    /// How many of the body's bytes are the header.
    pub header_len: u32,
}

impl Prefix {
    fn to_bytes(self) -> [u8; FRAME_PREFIX_LEN] {
        let mut bytes = [0; FRAME_PREFIX_LEN];
        bytes[0..4].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.header_len.to_le_bytes());
        bytes
    }

    /// Reads and checks a prefix, before anything is allocated for the body.
    ///
    /// # Errors
    /// [`DecodeError::Prefix`] or [`DecodeError::FrameTooLong`].
    pub fn parse(bytes: &[u8; FRAME_PREFIX_LEN]) -> Result<Self, DecodeError> {
        let mut fields = &bytes[..];
        let body_len = fields.get_u32_le();
        let number = fields.get_u16_le();
        let reserved = fields.get_u16_le();
        let header_len = fields.get_u32_le();
        if reserved != 0 || header_len > body_len {
            return Err(DecodeError::Prefix { header: header_len, body: body_len, reserved });
        }
        for (len, max) in [(header_len, HEADER_LEN_MAX), (body_len - header_len, INLINE_LEN_MAX)] {
            if len as usize > max {
                return Err(DecodeError::FrameTooLong { len: len.into(), max: max as u64 });
            }
        }
        Ok(Self { body_len, number, header_len })
    }
}

/// Takes the next whole frame off the front of `buffer`; `None` if it is not all there yet.
///
/// The payload is a slice of `buffer`, not a copy.
///
/// # Errors
/// [`DecodeError`]; the session that sent it cannot go on.
pub fn decode_frame<M: Message>(buffer: &mut BytesMut) -> Result<Option<M>, DecodeError> {
    let Some(prefix) = buffer.first_chunk::<FRAME_PREFIX_LEN>() else {
        return Ok(None);
    };
    let prefix = Prefix::parse(prefix)?;
    let frame_len = FRAME_PREFIX_LEN + prefix.body_len as usize;
    if buffer.len() < frame_len {
        return Ok(None);
    }
    let mut body = buffer.split_to(frame_len);
    body.advance(FRAME_PREFIX_LEN);
    let header = body.split_to(prefix.header_len as usize);
    decode_parts(prefix.number, &header, body.freeze()).map(Some)
}

/// Reads the message with this number from its header and tail.
///
/// # Errors
/// [`DecodeError`] if either breaks the message's rules.
pub fn decode_parts<M: Message>(number: u16, header: &[u8], tail: Bytes) -> Result<M, DecodeError> {
    let mut message = M::decode_header(number, header)?;
    match message.payload_mut() {
        Some(Payload { body: Body::Ticket { len, .. }, .. }) if *len > TASK_PAYLOAD_LEN_MAX => {
            return Err(DecodeError::PayloadTooLong { len: *len });
        }
        Some(payload @ Payload { body: Body::Shared(_), .. })
            if payload.len() > TASK_PAYLOAD_LEN_MAX =>
        {
            return Err(DecodeError::PayloadTooLong { len: payload.len() });
        }
        Some(Payload { body: Body::Shared(shared), .. }) if shared.tail_len() > 0 => {
            if shared.tail_len() != tail.len() as u64 {
                return Err(DecodeError::UnexpectedTail { number, len: tail.len() });
            }
            shared.tail = tail;
        }
        Some(Payload { body: Body::Inline(bytes), .. }) if !tail.is_empty() => *bytes = tail.into(),
        // An empty slice of the receive buffer would keep all of it: the payload stays as it is.
        _ if tail.is_empty() => {}
        _ => {
            return Err(DecodeError::UnexpectedTail { number, len: tail.len() });
        }
    }
    Ok(message)
}
