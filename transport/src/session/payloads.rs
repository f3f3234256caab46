//! Payload streams that are arriving: matched with the messages that announced them.
//!
//! A stream is read only after its message was delivered, so that bytes never come before the
//! message they belong to, and memory grows with the bytes received.

use std::collections::HashMap;
use std::task::{Context, Poll};

use bytes::Bytes;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::Ticket;
use phalanx_protocol::limits::PAYLOAD_STREAMS_MAX;

use super::CloseReason;
use super::receiver::Violation;
use crate::settings::ANNOUNCED_PAYLOADS_MAX;
use crate::wire::{PAYLOAD_PREFIX_LEN, PayloadReader};

/// First allocation for a payload; it doubles as bytes arrive, up to the announced length.
const FIRST_CAPACITY: usize = 256 << 10;

/// Bytes of one payload read in one pass, before the others get their turn.
const READ_LEN_MAX: usize = 1 << 20;

/// A stream whose payload is not complete.
struct Arriving {
    stream: Box<dyn PayloadReader>,
    prefix: Vec<u8>,
    body: Option<ArrivingBody>,
}

/// The bytes of an announced payload.
struct ArrivingBody {
    ticket: Ticket,
    len: usize,
    bytes: Vec<u8>,
}

/// The payload streams of one session and direction.
#[derive(Default)]
pub(super) struct Payloads {
    announced: HashMap<Ticket, u64>,
    arriving: Vec<Arriving>,
    is_closed: bool,
}

impl Payloads {
    /// Takes nothing any more.
    pub(super) fn closed() -> Self {
        Self { is_closed: true, ..Self::default() }
    }

    /// Whether another stream may be taken from the wire.
    pub(super) fn has_room(&self) -> bool {
        !self.is_closed && self.arriving.len() < PAYLOAD_STREAMS_MAX as usize
    }

    /// A message with this ticket was received.
    pub(super) fn announce(&mut self, ticket: Ticket, len: u64) -> Result<(), Violation> {
        if self.announced.len() >= ANNOUNCED_PAYLOADS_MAX {
            return Err(Violation {
                code: ErrorCode::TooLarge,
                detail: format!("more than {ANNOUNCED_PAYLOADS_MAX} payloads announced, not sent"),
            });
        }
        match self.announced.insert(ticket, len) {
            None => Ok(()),
            Some(_) => Err(Violation::malformed(format!("payload {ticket} was announced twice"))),
        }
    }

    pub(super) fn add(&mut self, stream: Box<dyn PayloadReader>) {
        self.arriving.push(Arriving {
            stream,
            prefix: Vec::with_capacity(PAYLOAD_PREFIX_LEN),
            body: None,
        });
    }

    /// Reads every stream once and hands over the payloads that are complete; true if anything
    /// arrived.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut on_complete: impl FnMut(Ticket, Bytes),
    ) -> Result<bool, Stop> {
        let mut is_moving = false;
        let mut index = 0;
        while let Some(arriving) = self.arriving.get_mut(index) {
            match arriving.poll(cx, &mut self.announced)? {
                Progress::None => index += 1,
                Progress::Some => {
                    is_moving = true;
                    index += 1;
                }
                Progress::Complete(ticket, bytes) => {
                    is_moving = true;
                    self.arriving.swap_remove(index);
                    on_complete(ticket, bytes);
                }
            }
        }
        Ok(is_moving)
    }
}

enum Progress {
    None,
    Some,
    Complete(Ticket, Bytes),
}

/// Why payloads cannot go on arriving.
pub(super) enum Stop {
    /// The other end broke a rule.
    Violation(Violation),
    /// The wire is gone.
    Lost(CloseReason),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl Arriving {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        announced: &mut HashMap<Ticket, u64>,
    ) -> Result<Progress, Stop> {
        if self.body.is_none() {
            let rest = PAYLOAD_PREFIX_LEN - self.prefix.len();
            if rest > 0 {
                match self.stream.poll_read(cx, &mut self.prefix, rest) {
                    Poll::Pending => return Ok(Progress::None),
                    Poll::Ready(Err(reason)) => return Err(Stop::Lost(reason)),
                    Poll::Ready(Ok(0)) => {
                        let detail = "a payload stream ended in its prefix";
                        return Err(Violation::malformed(detail).into());
                    }
                    Poll::Ready(Ok(_)) => return Ok(Progress::Some),
                }
            }
            self.body = self.begin(announced)?;
        }
        let Some(body) = &mut self.body else {
            // Its message is still on its way.
            return Ok(Progress::None);
        };
        let rest = body.len - body.bytes.len();
        body.make_room();
        // One byte more than announced would be one too many; none means the end.
        let read = self.stream.poll_read(cx, &mut body.bytes, (rest + 1).min(READ_LEN_MAX));
        match read {
            Poll::Pending => Ok(Progress::None),
            Poll::Ready(Err(reason)) => Err(Stop::Lost(reason)),
            Poll::Ready(Ok(0)) if rest == 0 => {
                let bytes = std::mem::take(&mut body.bytes);
                Ok(Progress::Complete(body.ticket, Bytes::from(bytes)))
            }
            Poll::Ready(Ok(len)) if len == 0 || len > rest => {
                Err(Stop::Violation(Violation::malformed(format!(
                    "payload {} is not of the announced length {}",
                    body.ticket, body.len
                ))))
            }
            Poll::Ready(Ok(_)) => Ok(Progress::Some),
        }
    }

    /// Matches the stream with its announcement, if that was received.
    fn begin(
        &self,
        announced: &mut HashMap<Ticket, u64>,
    ) -> Result<Option<ArrivingBody>, Violation> {
        let Some((ticket, len)) = self.parse_prefix() else {
            return Ok(None);
        };
        let Some(announced_len) = announced.get(&ticket) else {
            return Ok(None);
        };
        if *announced_len != len {
            return Err(Violation::malformed(format!(
                "payload {ticket} was announced with {announced_len} bytes and sent with {len}"
            )));
        }
        let len = usize::try_from(len).map_err(|_| {
            Violation::malformed(format!("payload {ticket} does not fit this machine"))
        })?;
        announced.remove(&ticket);
        Ok(Some(ArrivingBody { ticket, len, bytes: Vec::new() }))
    }

    fn parse_prefix(&self) -> Option<(Ticket, u64)> {
        let (ticket, len) = self.prefix.split_first_chunk::<8>()?;
        let len = len.first_chunk::<8>()?;
        Some((Ticket(u64::from_le_bytes(*ticket)), u64::from_le_bytes(*len)))
    }
}

impl ArrivingBody {
    /// Room for the next read: doubles with what has arrived, up to the announced length and the
    /// one byte that must not come.
    fn make_room(&mut self) {
        if self.bytes.len() < self.bytes.capacity() {
            return;
        }
        let rest = self.len + 1 - self.bytes.len();
        self.bytes.reserve_exact(rest.min(self.bytes.len().max(FIRST_CAPACITY)));
    }
}
