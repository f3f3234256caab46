//! The pump: the one task of a session that writes. It takes all that is queued, most urgent lane
//! first, and hands it to the wire.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use phalanx_protocol::codec::Lane;
use phalanx_protocol::limits::PAYLOAD_STREAMS_MAX;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::queue::{LANES, Outgoing, QueuedPayload, State};
use super::{CloseReason, Link};
use crate::settings::WRITE_LEN_MAX;
use crate::wire::WireWriter;

/// Starts the pump of a session on the current executor. It ends with the session.
pub(super) fn spawn<W: WireWriter>(writer: W, link: Arc<Link>, close_deadline: Duration) {
    let pump = Pump {
        writer,
        link,
        outgoing: Default::default(),
        payloads: JoinSet::new(),
        close_deadline,
        closing: None,
        is_finished: false,
    };
    tokio::spawn(pump.run());
}

/// Payload bytes that left, or why they did not.
type PayloadSent = Result<u64, CloseReason>;

struct Pump<W> {
    writer: W,
    link: Arc<Link>,
    outgoing: [Outgoing; LANES],
    payloads: JoinSet<PayloadSent>,
    close_deadline: Duration,
    closing: Option<Pin<Box<Sleep>>>,
    /// Everything is flushed, or the deadline for it is over: only the end is awaited.
    is_finished: bool,
}

impl<W: WireWriter> Pump<W> {
    async fn run(mut self) {
        let reason = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.link.settle(reason);
    }

    /// Ready when the connection is gone.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        if let Poll::Ready(reason) = self.writer.poll_closed(cx) {
            return Poll::Ready(reason);
        }
        match self.write(cx) {
            Ok(State::Closing) => self.close(cx),
            // Ended: the receiver punished the other end; the wire is closing and will say so.
            Ok(State::Open | State::Ended) => {}
            Err(reason) => return Poll::Ready(reason),
        }
        Poll::Pending
    }

    /// Writes until nothing new is queued or every lane with something to write is blocked.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<State, CloseReason> {
        loop {
            let state = self.link.queue().exchange(&mut self.outgoing, cx);
            if state == State::Ended {
                return Ok(state);
            }
            let mut is_any_done = false;
            for lane in Lane::ALL {
                let outgoing = &mut self.outgoing[lane as usize];
                if !outgoing.is_done() {
                    is_any_done |= write_lane(&mut self.writer, cx, lane, outgoing)?;
                }
            }
            let is_payload_started = self.poll_payloads(cx)?;
            if !(is_any_done || is_payload_started) {
                return Ok(state);
            }
        }
    }

    /// Starts payload streams while there is room; true if any was started.
    fn poll_payloads(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        while let Poll::Ready(Some(sent)) = self.payloads.poll_join_next(cx) {
            match sent {
                Ok(sent) => self.link.queue().payload_sent(sent?),
                // Only a runtime that shuts down cancels them; the session ends with it.
                Err(error) => {
                    return Err(CloseReason::Network { detail: error.to_string() });
                }
            }
        }
        let mut is_started = false;
        while self.payloads.len() < PAYLOAD_STREAMS_MAX as usize {
            let Some(QueuedPayload { ticket, bytes }) = self.link.queue().pop_payload() else {
                break;
            };
            let len = bytes.len() as u64;
            let sending = self.writer.write_payload(ticket, bytes);
            self.payloads.spawn(async move { sending.await.map(|()| len) });
            is_started = true;
        }
        Ok(is_started)
    }

    /// Flushes, then closes; or closes when the deadline is over.
    fn close(&mut self, cx: &mut Context<'_>) {
        if self.is_finished {
            return;
        }
        let deadline =
            self.closing.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.close_deadline)));
        let is_late = deadline.as_mut().poll(cx).is_ready();
        if !is_late && self.poll_flushed(cx).is_pending() {
            return;
        }
        self.is_finished = true;
        let own_reason = self.link.queue().own_reason().cloned();
        if let Some(CloseReason::Us { code, detail }) = own_reason {
            self.link.closer.close(code, &detail);
        }
        // Registers for the end that this brings about.
        cx.waker().wake_by_ref();
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_written = self.link.queue().is_empty()
            && self.payloads.is_empty()
            && self.outgoing.iter().all(Outgoing::is_done);
        if !is_written {
            return Poll::Pending;
        }
        ready!(self.writer.poll_finish(cx));
        Poll::Ready(())
    }
}

/// Writes until the lane is done (true) or blocked.
fn write_lane<W: WireWriter>(
    writer: &mut W,
    cx: &mut Context<'_>,
    lane: Lane,
    outgoing: &mut Outgoing,
) -> Result<bool, CloseReason> {
    while !outgoing.is_done() {
        let rest = outgoing.rest();
        let piece = &rest[..rest.len().min(WRITE_LEN_MAX)];
        match writer.poll_write(cx, lane, piece) {
            Poll::Ready(Ok(len)) => outgoing.advance(len),
            Poll::Ready(Err(reason)) => return Err(reason),
            Poll::Pending => return Ok(false),
        }
    }
    Ok(true)
}
