//! Sessions as QUIC gives them: each lane in order, lanes against each other in any order, and
//! what is lost is lost with the session, from some moment on. Frames are really encoded.

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use phalanx_core::Time;
use phalanx_protocol::codec::{Message, decode_frame, encode_frame};
use phalanx_protocol::ids::Ticket;
use phalanx_protocol::payload::Body;

use crate::plan::{Peer, Plan};

/// An end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Hub,
    Peer,
}

impl End {
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Hub => 0,
            Self::Peer => 1,
        }
    }
}

/// Something on its way.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Frame(Bytes),
    Payload(Ticket, Bytes),
}

/// Streams that keep their order: three lanes and, one each, the payload streams.
const LANES: usize = 3;

/// One session.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: Peer,
    /// Which life of the peer's process it belongs to.
    pub(crate) life: u64,
    /// By end: whether it considers the session open.
    pub(crate) open: [bool; 2],
    /// By receiving end: what would arrive from this moment on is lost.
    pub(crate) dead_from: [Option<Time>; 2],
    /// Nothing new is taken.
    pub(crate) closing: bool,
    /// Long payloads are named in their messages, and there when these are: a reference to memory
    /// is as good as the bytes, or the session is cut.
    shares_memory: bool,
    /// By receiving end and lane: when the last frame arrives.
    last: [[Time; LANES]; 2],
    next_ticket: [u64; 2],
}

impl Link {
    /// A session whose ends hear of it at these times.
    pub(crate) const fn new(peer: Peer, life: u64, heard: [Time; 2], shares_memory: bool) -> Self {
        Self {
            peer,
            life,
            open: [false, false],
            dead_from: [None, None],
            closing: false,
            shares_memory,
            last: [[heard[0]; LANES], [heard[1]; LANES]],
            next_ticket: [0; 2],
        }
    }

    /// Encodes a message to an end; answers what travels, each with its arrival.
    pub(crate) fn send<M: Message>(
        &mut self,
        now: Time,
        to: End,
        mut message: M,
        plan: &Plan,
        rng: &mut Rng,
    ) -> Vec<(Time, Item)> {
        if self.closing {
            return Vec::new();
        }
        let lane = message.info().lane as usize;
        let mut items = Vec::new();
        if !self.shares_memory
            && let Some(payload) = message.payload_mut()
            && let Body::Inline(bytes) = &payload.body
            && bytes.len() > plan.inline_len_max
        {
            let bytes = bytes.contiguous();
            let ticket = Ticket(self.next_ticket[to.index()]);
            self.next_ticket[to.index()] += 1;
            payload.body = Body::Ticket { ticket, len: bytes.len() as u64 };
            let at = self.last[to.index()][lane].max(now) + delay(plan, rng) + delay(plan, rng);
            // Streams have no order among each other: the payload may come first.
            let early = self.heard(to).max(now) + delay(plan, rng);
            items.push((if rng.bool() { at } else { early }, Item::Payload(ticket, bytes)));
        }
        let mut frame = BytesMut::new();
        encode_frame(&message, &mut frame).expect("rooms make messages within the limits");
        let at = self.last[to.index()][lane].max(now + delay(plan, rng));
        self.last[to.index()][lane] = at;
        let frame = frame.freeze();
        if plan.repeat_one_in > 0 && rng.u64(0..plan.repeat_one_in) == 0 {
            items.push((at, Item::Frame(frame.clone())));
        }
        items.push((at, Item::Frame(frame)));
        items
    }

    /// When everything sent so far has arrived at this end.
    pub(crate) fn drained(&self, to: End) -> Time {
        self.last[to.index()].into_iter().max().unwrap_or(Time::ZERO)
    }

    fn heard(&self, to: End) -> Time {
        self.last[to.index()].into_iter().min().unwrap_or(Time::ZERO)
    }

    /// Whether something that arrives now at this end is still heard there.
    pub(crate) fn hears(&self, now: Time, to: End) -> bool {
        self.open[to.index()] && self.dead_from[to.index()].is_none_or(|dead| now < dead)
    }
}

/// How long a message takes.
pub(crate) fn delay(plan: &Plan, rng: &mut Rng) -> std::time::Duration {
    let max = plan.delay_max.as_nanos() as u64;
    std::time::Duration::from_nanos(rng.u64(0..=max))
}

/// Reads a frame that the rooms' own messages made.
pub(crate) fn decode<M: Message>(frame: &Bytes) -> M {
    let mut buffer = BytesMut::from(&frame[..]);
    let message = decode_frame(&mut buffer).expect("what was encoded can be decoded");
    message.expect("a frame is whole")
}
