//! The receiving half of a session: reads the wire, splits frames, checks who may say what.
//!
//! No input panics, and none makes it hold more than what has arrived: a claimed length is only
//! ever compared, never allocated.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use phalanx_protocol::codec::{
    DecodeError, Lane, Message, MessageInfo, Prefix, decode_parts, message_info,
};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::Ticket;
use phalanx_protocol::limits::FRAME_PREFIX_LEN;
use phalanx_protocol::payload::{Body, Payload, Piece};
use phalanx_protocol::pieces::Pieces;
use phalanx_protocol::role::Role;

use super::payloads::{Payloads, Stop};
use super::queue::LANES;
use super::{CloseReason, Link};
use crate::segments::{OpenError, PeerMemory};
use crate::settings::{READ_LEN_MAX, READ_LEN_MIN};
use crate::wire::WireReader;

/// Passes over the wire in one poll before others get their turn.
const PASSES_MAX: usize = 16;

/// What arrives.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming<In> {
    /// A message. A payload with a ticket has its bytes still to come.
    Message(In),
    /// The bytes of a payload that an earlier message announced.
    Payload {
        /// The ticket that the message named.
        ticket: Ticket,
        /// As many bytes as it announced.
        bytes: Bytes,
    },
}

/// A rule that the other end broke.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) code: ErrorCode,
    pub(super) detail: String,
}

impl Violation {
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self { code: ErrorCode::Malformed, detail: detail.into() }
    }
}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Self {
        let code = match error {
            DecodeError::FrameTooLong { .. } | DecodeError::PayloadTooLong { .. } => {
                ErrorCode::TooLarge
            }
            _ => ErrorCode::Malformed,
        };
        Self { code, detail: error.to_string() }
    }
}

/// Bytes of one lane that are not a whole frame yet.
struct LaneInput {
    buffer: BytesMut,
    is_open: bool,
    read_len: usize,
}

/// Receives the messages of one direction.
///
/// When it is dropped the session closes, as by
/// [`SessionSender::close`](super::SessionSender::close) with [`ErrorCode::Closed`].
pub struct SessionReceiver<In: Message> {
    wire: Box<dyn WireReader>,
    link: Arc<Link>,
    /// The other end's memory, if payloads may be in it.
    memory: Option<PeerMemory>,
    peer_role: Role,
    lanes: [LaneInput; LANES],
    payloads: Payloads,
    ended: Option<CloseReason>,
    direction: PhantomData<fn() -> In>,
}

impl<In: Message> fmt::Debug for SessionReceiver<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionReceiver")
            .field("direction", &In::CONVERSATION)
            .field("peer_role", &self.peer_role)
            .finish_non_exhaustive()
    }
}

impl<In: Message> Drop for SessionReceiver<In> {
    fn drop(&mut self) {
        self.link.request_close(ErrorCode::Closed, "receiver dropped");
    }
}

impl<In: Message> SessionReceiver<In> {
    pub(super) fn new(
        wire: Box<dyn WireReader>,
        memory: Option<PeerMemory>,
        link: Arc<Link>,
        peer_role: Role,
    ) -> Self {
        Self {
            wire,
            link,
            memory,
            peer_role,
            lanes: std::array::from_fn(|_| LaneInput {
                buffer: BytesMut::new(),
                is_open: true,
                read_len: READ_LEN_MIN,
            }),
            payloads: Payloads::default(),
            ended: None,
            direction: PhantomData,
        }
    }

    /// Waits until something arrives and appends all that is there, up to one read of each lane:
    /// control first, then tasks, events, payloads. Within a lane the order is the order sent.
    ///
    /// Cancel-safe: nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// Why the session is over, after everything that arrived before was delivered.
    pub async fn recv_batch(&mut self, batch: &mut Vec<Incoming<In>>) -> Result<(), CloseReason> {
        std::future::poll_fn(|cx| self.poll_recv_batch(cx, batch)).await
    }

    /// [`SessionReceiver::recv_batch`] for hand-written futures and streams.
    pub fn poll_recv_batch(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Vec<Incoming<In>>,
    ) -> Poll<Result<(), CloseReason>> {
        let len_before = batch.len();
        for _ in 0..PASSES_MAX {
            let mut is_moving = false;
            for lane in Lane::ALL {
                is_moving |= self.poll_lane(cx, lane, batch);
            }
            is_moving |= self.poll_payloads(cx, batch);
            if batch.len() > len_before {
                return Poll::Ready(Ok(()));
            }
            if is_moving {
                continue;
            }
            if self.ended.is_none() && self.lanes.iter().all(|lane| !lane.is_open) {
                // The other end has said all it had to say: its close follows.
                if let Poll::Ready(reason) = self.wire.poll_closed(cx) {
                    self.ended = Some(reason);
                }
            }
            return match self.ended.take() {
                Some(reason) => {
                    let reason = self.link.settle(reason);
                    self.ended = Some(reason.clone());
                    Poll::Ready(Err(reason))
                }
                None => Poll::Pending,
            };
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads one lane once; true if anything changed.
    fn poll_lane(
        &mut self,
        cx: &mut Context<'_>,
        lane: Lane,
        batch: &mut Vec<Incoming<In>>,
    ) -> bool {
        let input = &mut self.lanes[lane as usize];
        if !input.is_open {
            return false;
        }
        make_room(input);
        let room = input.buffer.capacity() - input.buffer.len();
        match self.wire.poll_read(cx, lane, &mut input.buffer) {
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => {
                input.is_open = false;
                if !input.buffer.is_empty() {
                    self.punish(Violation::malformed("a lane ended within a frame"));
                }
                true
            }
            Poll::Ready(Ok(len)) => {
                input.read_len = if len == room { READ_LEN_MAX } else { READ_LEN_MIN };
                match self.split_frames(lane, batch) {
                    Ok(()) => {}
                    Err(Stop::Violation(violation)) => self.punish(violation),
                    Err(Stop::Lost(reason)) => self.abandon(reason),
                }
                true
            }
            Poll::Ready(Err(reason)) => {
                input.is_open = false;
                self.ended.get_or_insert(reason);
                true
            }
        }
    }

    fn split_frames(&mut self, lane: Lane, batch: &mut Vec<Incoming<In>>) -> Result<(), Stop> {
        let buffer = &mut self.lanes[lane as usize].buffer;
        while let Some(prefix) = buffer.first_chunk::<FRAME_PREFIX_LEN>() {
            let prefix = Prefix::parse(prefix).map_err(Violation::from)?;
            check_sender::<In>(prefix.number, lane, self.peer_role)?;
            let header_len = prefix.header_len as usize;
            let tail_len = (prefix.body_len - prefix.header_len) as usize;
            if buffer.len() < FRAME_PREFIX_LEN + header_len + tail_len {
                break;
            }
            let mut message = take_frame::<In>(buffer, prefix.number, header_len, tail_len)
                .map_err(Violation::from)?;
            match message.payload_mut() {
                Some(Payload { body: Body::Ticket { ticket, len }, .. }) => {
                    self.payloads.announce(*ticket, *len)?;
                }
                Some(Payload { body: body @ Body::Shared(_), .. }) => {
                    resolve(self.memory.as_ref(), body)?;
                }
                _ => {}
            }
            batch.push(Incoming::Message(message));
        }
        Ok(())
    }

    fn poll_payloads(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Incoming<In>>) -> bool {
        let mut is_moving = false;
        while self.payloads.has_room() {
            match self.wire.poll_payload(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(stream)) => {
                    self.payloads.add(stream);
                    is_moving = true;
                }
                Poll::Ready(Err(reason)) => {
                    is_moving |= self.ended.is_none();
                    self.ended.get_or_insert(reason);
                    break;
                }
            }
        }
        match self.payloads.poll(cx, |ticket, bytes| {
            batch.push(Incoming::Payload { ticket, bytes });
        }) {
            Ok(has_moved) => is_moving | has_moved,
            Err(Stop::Violation(violation)) => {
                self.punish(violation);
                true
            }
            Err(Stop::Lost(reason)) => {
                self.payloads = Payloads::closed();
                self.ended.get_or_insert(reason);
                true
            }
        }
    }

    /// Closes the session: the other end broke a rule.
    fn punish(&mut self, violation: Violation) {
        let reason = self.link.punish(violation.code, violation.detail);
        self.stop(reason);
    }

    /// Closes the session without blame: both ends may open another.
    fn abandon(&mut self, reason: CloseReason) {
        self.link.closer.close(ErrorCode::Internal, &reason.to_string());
        let reason = self.link.settle(reason);
        self.stop(reason);
    }

    /// Takes nothing more; the session is over for this reason.
    fn stop(&mut self, reason: CloseReason) {
        self.ended = Some(reason);
        for lane in &mut self.lanes {
            lane.is_open = false;
            lane.buffer = BytesMut::new();
        }
        self.payloads = Payloads::closed();
    }
}

/// Puts the bytes in the place of what names them.
fn resolve(memory: Option<&PeerMemory>, body: &mut Body) -> Result<(), Stop> {
    let (Some(memory), Body::Shared(shared)) = (memory, &*body) else {
        let detail = "a payload is in shared memory, of which there is none in this session";
        return Err(Violation::malformed(detail).into());
    };
    let mut tail = shared.tail.clone();
    let mut open = |piece: &Piece| match piece {
        // Decoding has seen that they make out the tail.
        Piece::Tail(len) => Ok(tail.split_to(tail.len().min(*len as usize))),
        Piece::Segment(segment) => memory.open(segment).map_err(|error| unopened(&error)),
    };
    let pieces = shared.pieces.iter().map(&mut open).collect::<Result<Pieces, Stop>>()?;
    *body = Body::Inline(pieces);
    Ok(())
}

fn unopened(error: &OpenError) -> Stop {
    match error {
        OpenError::Wrong { .. } => Violation::malformed(error.to_string()).into(),
        // Whoever sent it kept it not long enough, or we lack something: a new session begins
        // with what was not confirmed.
        OpenError::Gone(_) | OpenError::System { .. } => {
            Stop::Lost(CloseReason::Network { detail: error.to_string() })
        }
    }
}

/// Gives a lane's buffer room for the next read. It grows only after a read has filled it, and
/// towards a frame only as its bytes arrive.
fn make_room(input: &mut LaneInput) {
    let room = input.buffer.capacity() - input.buffer.len();
    let room_min = if input.read_len == READ_LEN_MAX { READ_LEN_MAX / 2 } else { READ_LEN_MIN / 4 };
    if room < room_min {
        input.buffer.reserve(input.read_len);
    }
}

/// Whether a peer of this role may send this message on this lane.
fn check_sender<In: Message>(number: u16, lane: Lane, role: Role) -> Result<(), Violation> {
    let Some(info) = message_info::<In>(number) else {
        return Err(DecodeError::UnknownMessage { conversation: In::CONVERSATION, number }.into());
    };
    let MessageInfo { name, .. } = info;
    if !info.senders.contains(role) {
        return Err(Violation {
            code: ErrorCode::WrongRole,
            detail: format!("{name} may not be sent by role {role}"),
        });
    }
    if info.lane != lane {
        return Err(Violation::malformed(format!("{name} came on the {lane:?} lane")));
    }
    Ok(())
}

/// Takes a frame that is all there off the buffer. Its payload is a slice of the buffer; a frame
/// without one leaves nothing behind that would keep the buffer alive.
fn take_frame<In: Message>(
    buffer: &mut BytesMut,
    number: u16,
    header_len: usize,
    tail_len: usize,
) -> Result<In, DecodeError> {
    buffer.advance(FRAME_PREFIX_LEN);
    if tail_len == 0 {
        let message = decode_parts(number, &buffer[..header_len], Bytes::new())?;
        buffer.advance(header_len);
        return Ok(message);
    }
    let mut frame = buffer.split_to(header_len + tail_len);
    let tail = frame.split_off(header_len).freeze();
    decode_parts(number, &frame, tail)
}
