//! A session's wire over a cable.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use phalanx_protocol::codec::Lane;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::Ticket;
use phalanx_protocol::limits::FRAME_PREFIX_LEN;
use phalanx_protocol::pieces::Pieces;
use tokio::time::{Instant, Sleep, sleep_until};

use super::cable::{End, Plug, Timed};
use crate::segments::PeerMemory;
use crate::session::{CloseReason, Wire};
use crate::wire::{
    BoxFuture, PAYLOAD_PREFIX_LEN, PayloadReader, WireCloser, WireReader, WireWriter,
    payload_prefix,
};

/// The wire of the end at this plug.
pub(super) fn wire(plug: Plug, memory: Option<PeerMemory>) -> Wire<MemoryWriter> {
    Wire {
        writer: MemoryWriter {
            plug: plug.clone(),
            partial: Default::default(),
            alarm: Alarm::default(),
        },
        reader: Box::new(MemoryReader { plug: plug.clone(), alarm: Alarm::default() }),
        closer: Box::new(plug),
        memory,
    }
}

impl WireCloser for Plug {
    fn close(&self, code: ErrorCode, detail: &str) {
        self.lock().close(self.own(), code, detail);
    }
}

/// Wakes a task when something under way is due.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether `at` has come; if not, the task is woken then.
    fn is_due(&mut self, cx: &mut Context<'_>, at: Instant) -> bool {
        if at <= Instant::now() {
            return true;
        }
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        loop {
            // The earliest of all that is waited for.
            if sleep.is_elapsed() || sleep.deadline() > at {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            if at <= Instant::now() {
                return true;
            }
        }
    }

    /// What is due at the front of a queue.
    fn front<'a, T>(
        &mut self,
        cx: &mut Context<'_>,
        front: Option<&'a mut Timed<T>>,
    ) -> Option<&'a mut T> {
        let front = front?;
        self.is_due(cx, front.at).then_some(&mut front.what)
    }

    fn closed(&mut self, cx: &mut Context<'_>, end: &mut End) -> Poll<CloseReason> {
        match self.front(cx, end.close.as_mut()) {
            Some(reason) => Poll::Ready(reason.clone()),
            None => Poll::Pending,
        }
    }
}

pub(super) struct MemoryWriter {
    plug: Plug,
    /// The beginning of a frame whose rest has not been written yet, by lane.
    partial: [BytesMut; 3],
    alarm: Alarm,
}

impl WireWriter for MemoryWriter {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        lane: Lane,
        bytes: &[u8],
    ) -> Poll<Result<usize, CloseReason>> {
        let own = self.plug.own();
        let mut state = self.plug.lock();
        if !state.has_room(own, lane) {
            state.ends[own].writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let partial = &mut self.partial[lane as usize];
        partial.extend_from_slice(bytes);
        while let Some(len) = frame_len(partial).filter(|len| *len <= partial.len()) {
            state.send_frame(own, lane, &partial.split_to(len).freeze());
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn write_payload(&self, ticket: Ticket, bytes: Pieces) -> BoxFuture<Result<(), CloseReason>> {
        let plug = self.plug.clone();
        Box::pin(async move {
            plug.lock().send_payload(plug.own(), ticket, bytes.contiguous());
            Ok(())
        })
    }

    fn poll_finish(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let mut state = self.plug.lock();
        let end = &mut state.ends[self.plug.own()];
        end.writer = Some(cx.waker().clone());
        self.alarm.closed(cx, end)
    }
}

/// The length of the frame at the front; our own encoder wrote it.
fn frame_len(buffer: &[u8]) -> Option<usize> {
    let body_len = buffer.first_chunk::<4>()?;
    Some(FRAME_PREFIX_LEN + u32::from_le_bytes(*body_len) as usize)
}

struct MemoryReader {
    plug: Plug,
    alarm: Alarm,
}

impl WireReader for MemoryReader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        lane: Lane,
        buffer: &mut BytesMut,
    ) -> Poll<Result<usize, CloseReason>> {
        let own = self.plug.own();
        let mut state = self.plug.lock();
        let len_before = buffer.len();
        loop {
            let room = buffer.capacity() - buffer.len();
            let queue = &mut state.ends[own].lanes[lane as usize];
            let Some(chunk) = self.alarm.front(cx, queue.front_mut()) else {
                break;
            };
            if room == 0 {
                break;
            }
            let len = chunk.len().min(room);
            buffer.extend_from_slice(&chunk[..len]);
            chunk.advance(len);
            if chunk.is_empty() {
                queue.pop_front();
            }
            state.taken(own, lane, len);
        }
        if buffer.len() > len_before {
            return Poll::Ready(Ok(buffer.len() - len_before));
        }
        let end = &mut state.ends[own];
        end.reader = Some(cx.waker().clone());
        if !end.lanes[lane as usize].is_empty() {
            return Poll::Pending;
        }
        self.alarm.closed(cx, end).map(Err)
    }

    fn poll_payload(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<dyn PayloadReader>, CloseReason>> {
        let mut state = self.plug.lock();
        let end = &mut state.ends[self.plug.own()];
        end.reader = Some(cx.waker().clone());
        if self.alarm.front(cx, end.payloads.front_mut()).is_some()
            && let Some(Timed { what: (ticket, bytes), .. }) = end.payloads.pop_front()
        {
            let prefix = payload_prefix(ticket, bytes.len() as u64);
            return Poll::Ready(Ok(Box::new(MemoryPayload { prefix, bytes, read: 0 })));
        }
        if !end.payloads.is_empty() {
            return Poll::Pending;
        }
        self.alarm.closed(cx, end).map(Err)
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let mut state = self.plug.lock();
        let end = &mut state.ends[self.plug.own()];
        end.reader = Some(cx.waker().clone());
        self.alarm.closed(cx, end)
    }
}

/// A payload that has arrived whole.
struct MemoryPayload {
    prefix: [u8; PAYLOAD_PREFIX_LEN],
    bytes: Bytes,
    read: usize,
}

impl PayloadReader for MemoryPayload {
    fn poll_read(
        &mut self,
        _cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        len_max: usize,
    ) -> Poll<Result<usize, CloseReason>> {
        let rest = match self.prefix.get(self.read..) {
            Some(prefix) if !prefix.is_empty() => prefix,
            _ => &self.bytes[self.read - PAYLOAD_PREFIX_LEN..],
        };
        let len = rest.len().min(len_max);
        buffer.extend_from_slice(&rest[..len]);
        self.read += len;
        Poll::Ready(Ok(len))
    }
}
