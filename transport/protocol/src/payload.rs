//! Payloads: bytes that only their makers understand. Hub, dag and scheduler never look inside.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::Ticket;

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
}

impl Format {
    /// The format with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Raw),
            1 => Some(Self::MessagePack),
            2 => Some(Self::Pickle5),
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
}

/// Opaque bytes with a format tag. In a header it travels as `[format, nil | [ticket, len]]`.
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
            Body::Ticket { .. } => None,
        }
    }

    /// The stream the bytes come by, if they are not here.
    pub const fn ticket(&self) -> Option<Ticket> {
        match &self.body {
            Body::Inline(_) => None,
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
        let by_stream = match &self.body {
            Body::Inline(_) => None,
            Body::Ticket { ticket, len } => Some((ticket.0, *len)),
        };
        (self.format as u8, by_stream).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (format, by_stream) = <(u8, Option<(u64, u64)>)>::deserialize(deserializer)?;
        let format = Format::from_number(format)
            .ok_or_else(|| serde::de::Error::custom("unknown payload format"))?;
        let body = match by_stream {
            None => Body::Inline(Bytes::new()),
            Some((ticket, len)) => Body::Ticket { ticket: Ticket(ticket), len },
        };
        Ok(Self { format, body })
    }
}
