//! The send queue: one growing buffer of encoded frames per lane, payloads beside them.
//!
//! Senders append under a short lock; the pump swaps whole buffers out. Two buffers per lane take
//! turns, so that a busy session allocates nothing.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::BytesMut;
use phalanx_protocol::codec::{EncodeError, Lane, Message, encode_frame};
use phalanx_protocol::ids::Ticket;
use phalanx_protocol::limits::{INLINE_LEN_MAX, TASK_PAYLOAD_LEN_MAX};
use phalanx_protocol::payload::{Body, Payload};
use phalanx_protocol::pieces::Pieces;

use super::CloseReason;
use crate::segments;
use crate::settings::CONTROL_QUEUE_FRAMES_MAX;

/// Largest buffer that a lane keeps once it is empty again.
const BUFFER_KEPT_MAX: usize = 1 << 20;

/// Number of lanes.
pub(super) const LANES: usize = Lane::ALL.len();

/// Why a message was not queued.
#[derive(Debug)]
pub(super) enum Refused {
    Closed,
    Overloaded,
    PayloadTooLong { len: u64 },
    ForeignTicket,
    Encode(EncodeError),
}

/// Where a session is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Takes messages.
    Open,
    /// Takes none; what is queued still goes out.
    Closing,
    /// Nothing goes out any more.
    Ended,
}

/// Frames of one lane that wait for the pump.
#[derive(Debug, Default)]
struct LaneQueue {
    buffer: BytesMut,
    frames: usize,
    /// The pump holds a buffer of this lane that it could not write whole: it need not be woken.
    is_blocked: bool,
}

/// A payload that waits for its stream.
#[derive(Debug)]
pub(super) struct QueuedPayload {
    pub(super) ticket: Ticket,
    pub(super) bytes: Pieces,
}

/// A payload that is not in its message's frame.
#[derive(Debug)]
struct LongPayload {
    /// Its stream; none if it is in shared memory.
    ticket: Option<Ticket>,
    bytes: Pieces,
}

/// A buffer of encoded frames that the pump writes.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    buffer: BytesMut,
    written: usize,
    frames: usize,
}

impl Outgoing {
    /// What is still to be written.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    pub(super) fn advance(&mut self, len: usize) {
        self.written += len;
    }

    pub(super) fn is_done(&self) -> bool {
        self.written == self.buffer.len()
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    lanes: [LaneQueue; LANES],
    payloads: VecDeque<QueuedPayload>,
    /// Frames here and in the pump's hands.
    frames: usize,
    /// Bytes of frames and payloads here and in the pump's hands.
    bytes: u64,
    frames_max: usize,
    bytes_max: u64,
    /// Whether the other end can map this process's memory.
    shares_memory: bool,
    tickets: u64,
    state: State,
    own_reason: Option<CloseReason>,
    pump: Option<Waker>,
}

impl Queue {
    pub(super) fn new(frames_max: usize, bytes_max: u64, shares_memory: bool) -> Self {
        Self {
            lanes: Default::default(),
            payloads: VecDeque::new(),
            frames: 0,
            bytes: 0,
            frames_max,
            bytes_max,
            shares_memory,
            tickets: 0,
            state: State::Open,
            own_reason: None,
            pump: None,
        }
    }

    /// Frames and bytes that are queued or being written.
    pub(super) const fn load(&self) -> (usize, u64) {
        (self.frames, self.bytes)
    }

    /// Queues a message; answers the pump's waker if it sleeps and there is something new for
    /// it. On an error the message is as it was.
    pub(super) fn push<M: Message>(&mut self, message: &mut M) -> Result<Option<Waker>, Refused> {
        if self.state != State::Open {
            return Err(Refused::Closed);
        }
        let lane = message.info().lane;
        self.admit(lane, message.payload().map_or(0, Payload::len))?;
        let long = match message.payload_mut() {
            None => None,
            Some(payload) => self.take_long_payload(payload)?,
        };
        let queue = &mut self.lanes[lane as usize];
        let len_before = queue.buffer.len();
        if let Err(error) = encode_frame(message, &mut queue.buffer) {
            if let (Some(payload), Some(long)) = (message.payload_mut(), long) {
                payload.body = Body::Inline(long.bytes);
            }
            return Err(Refused::Encode(error));
        }
        queue.frames += 1;
        self.frames += 1;
        self.bytes += (queue.buffer.len() - len_before) as u64;
        let is_blocked = queue.is_blocked;
        if let Some(LongPayload { ticket: Some(ticket), bytes }) = long {
            self.tickets = ticket.0;
            self.bytes += bytes.len() as u64;
            self.payloads.push_back(QueuedPayload { ticket, bytes });
        }
        Ok(if is_blocked { None } else { self.pump.take() })
    }

    fn admit(&self, lane: Lane, payload_len: u64) -> Result<(), Refused> {
        if payload_len > TASK_PAYLOAD_LEN_MAX {
            return Err(Refused::PayloadTooLong { len: payload_len });
        }
        // Control has room of its own: an abort must get out when tasks are stuck.
        let frames_max = match lane {
            Lane::Control => self.frames_max + CONTROL_QUEUE_FRAMES_MAX,
            Lane::Tasks | Lane::Events => self.frames_max,
        };
        let has_bytes = lane == Lane::Control || self.bytes + payload_len <= self.bytes_max;
        if self.frames < frames_max && has_bytes { Ok(()) } else { Err(Refused::Overloaded) }
    }

    /// Puts a ticket, or the name of shared memory, in the place of bytes that are too long for a
    /// frame.
    fn take_long_payload(&self, payload: &mut Payload) -> Result<Option<LongPayload>, Refused> {
        match &payload.body {
            Body::Ticket { .. } | Body::Shared(_) => Err(Refused::ForeignTicket),
            Body::Inline(bytes) if bytes.len() <= INLINE_LEN_MAX => Ok(None),
            Body::Inline(bytes) => {
                let bytes = bytes.clone();
                let shared = self.shares_memory.then(|| segments::reference(&bytes)).flatten();
                let ticket = Ticket(self.tickets + 1);
                let (body, ticket) = match shared {
                    Some(shared) => (Body::Shared(Box::new(shared)), None),
                    None => (Body::Ticket { ticket, len: bytes.len() as u64 }, Some(ticket)),
                };
                payload.body = body;
                Ok(Some(LongPayload { ticket, bytes }))
            }
        }
    }

    /// Gives the pump a new buffer for each lane whose buffer it has written whole, and notes how
    /// to wake it.
    pub(super) fn exchange(&mut self, outgoing: &mut [Outgoing; LANES], cx: &Context<'_>) -> State {
        if self.state == State::Ended {
            return State::Ended;
        }
        for (queue, outgoing) in self.lanes.iter_mut().zip(outgoing) {
            if outgoing.is_done() {
                self.frames -= outgoing.frames;
                self.bytes -= outgoing.buffer.len() as u64;
                outgoing.frames = 0;
                outgoing.written = 0;
                outgoing.buffer.clear();
                if outgoing.buffer.capacity() > BUFFER_KEPT_MAX {
                    outgoing.buffer = BytesMut::new();
                }
                std::mem::swap(&mut outgoing.buffer, &mut queue.buffer);
                std::mem::swap(&mut outgoing.frames, &mut queue.frames);
            }
            queue.is_blocked = !outgoing.is_done();
        }
        match &mut self.pump {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.pump = Some(cx.waker().clone()),
        }
        self.state
    }

    /// The next payload that waits for a stream.
    pub(super) fn pop_payload(&mut self) -> Option<QueuedPayload> {
        self.payloads.pop_front()
    }

    /// A payload has left.
    pub(super) fn payload_sent(&mut self, len: u64) {
        // Nothing is counted any more once the session is over.
        self.bytes = self.bytes.saturating_sub(len);
    }

    /// Whether nothing waits here for the pump.
    pub(super) fn is_empty(&self) -> bool {
        self.payloads.is_empty() && self.lanes.iter().all(|lane| lane.buffer.is_empty())
    }

    /// Takes no more messages; what is queued still goes out. The first reason stays.
    pub(super) fn begin_close(&mut self, reason: CloseReason) -> Option<Waker> {
        if self.state != State::Open {
            return None;
        }
        self.state = State::Closing;
        self.own_reason.get_or_insert(reason);
        self.pump.take()
    }

    pub(super) const fn own_reason(&self) -> Option<&CloseReason> {
        self.own_reason.as_ref()
    }

    /// The session is over: what is queued goes nowhere.
    pub(super) fn end(&mut self) {
        if self.state == State::Ended {
            return;
        }
        self.state = State::Ended;
        self.lanes = Default::default();
        self.payloads = VecDeque::new();
        self.frames = 0;
        self.bytes = 0;
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }
}
