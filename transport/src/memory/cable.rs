//! What is under way between the two ends, and what goes wrong there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use phalanx_protocol::codec::Lane;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::Ticket;
use tokio::time::Instant;

use super::FaultPlan;
use crate::session::CloseReason;
use crate::settings::LOOPBACK_STREAM_WINDOW;

/// Bytes under way on one lane, beyond which its writer waits: as over QUIC on loopback.
const WINDOW: usize = LOOPBACK_STREAM_WINDOW as usize;

/// The cable between two ends, in the hands of a test.
#[derive(Debug, Clone)]
pub struct Cable(Arc<Shared>);

impl Cable {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Cuts it: all that is under way is lost, and each end notices within the plan's time.
    pub fn cut(&self) {
        self.0.lock().cut();
    }

    /// Whether it was cut, by a fault or by [`Cable::cut`].
    pub fn is_cut(&self) -> bool {
        self.0.lock().is_cut
    }
}

/// Tells whether a frame has a payload stream of its own.
type HasPayloadStream = fn(&[u8]) -> bool;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
}

impl Shared {
    /// The functions are for frames sent by the peer and by the hub.
    pub(super) fn new(faults: FaultPlan, has_payload_stream: [HasPayloadStream; 2]) -> Self {
        Self {
            state: Mutex::new(State {
                random: fastrand::Rng::with_seed(faults.seed),
                faults,
                has_payload_stream,
                is_cut: false,
                ends: [End::default(), End::default()],
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end's access to the cable.
#[derive(Debug, Clone)]
pub(super) struct Plug {
    shared: Arc<Shared>,
    own: usize,
}

impl Plug {
    /// The peer's and the hub's.
    pub(super) fn both(shared: &Arc<Shared>) -> [Self; 2] {
        [0, 1].map(|own| Self { shared: Arc::clone(shared), own })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    pub(super) const fn own(&self) -> usize {
        self.own
    }
}

/// Something that arrives at its time.
#[derive(Debug)]
pub(super) struct Timed<T> {
    pub(super) at: Instant,
    pub(super) what: T,
}

/// What is under way to one end.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) lanes: [VecDeque<Timed<Bytes>>; 3],
    lane_bytes: [usize; 3],
    pub(super) payloads: VecDeque<Timed<(Ticket, Bytes)>>,
    /// When and why the session ends for this end.
    pub(super) close: Option<Timed<CloseReason>>,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl End {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn end_at(&mut self, at: Instant, reason: CloseReason) {
        self.close.get_or_insert(Timed { at, what: reason });
        self.wake();
    }
}

#[derive(Debug)]
pub(super) struct State {
    random: fastrand::Rng,
    faults: FaultPlan,
    has_payload_stream: [HasPayloadStream; 2],
    is_cut: bool,
    pub(super) ends: [End; 2],
}

impl State {
    /// Whether the lane from `own` to the other end takes more.
    pub(super) fn has_room(&self, own: usize, lane: Lane) -> bool {
        self.ends[1 - own].lane_bytes[lane as usize] < WINDOW
    }

    /// Puts one whole frame under way.
    pub(super) fn send_frame(&mut self, own: usize, lane: Lane, frame: &Bytes) {
        if !self.passes() {
            return;
        }
        let is_twice = self.chance(self.faults.duplicate) && !self.has_payload_stream[own](frame);
        let delay = self.delay();
        let other = &mut self.ends[1 - own];
        let queue = &mut other.lanes[lane as usize];
        let earliest = Instant::now() + delay;
        let at = queue.back().map_or(earliest, |last| last.at.max(earliest));
        for _ in 0..=usize::from(is_twice) {
            other.lane_bytes[lane as usize] += frame.len();
            queue.push_back(Timed { at, what: frame.clone() });
        }
        wake(&mut other.reader);
        self.may_cut();
    }

    /// Puts one payload under way.
    pub(super) fn send_payload(&mut self, own: usize, ticket: Ticket, bytes: Bytes) {
        if !self.passes() {
            return;
        }
        let at = Instant::now() + self.delay();
        let other = &mut self.ends[1 - own];
        let position = other.payloads.partition_point(|payload| payload.at <= at);
        let payload = Timed { at, what: (ticket, bytes) };
        other.payloads.insert(position, payload);
        wake(&mut other.reader);
        self.may_cut();
    }

    /// The reader of `own` took bytes off a lane.
    pub(super) fn taken(&mut self, own: usize, lane: Lane, len: usize) {
        self.ends[own].lane_bytes[lane as usize] -= len;
        wake(&mut self.ends[1 - own].writer);
    }

    /// `own` closes; the other end learns it after all that is under way to it.
    pub(super) fn close(&mut self, own: usize, code: ErrorCode, detail: &str) {
        if self.ends[own].close.is_some() {
            return;
        }
        let now = Instant::now();
        let by_us = CloseReason::Us { code, detail: detail.to_owned() };
        self.ends[own].end_at(now, by_us);
        if self.is_cut {
            return;
        }
        let other = &mut self.ends[1 - own];
        let last_frames = other.lanes.iter().filter_map(|lane| lane.back()).map(|last| last.at);
        let last_payload = other.payloads.back().map(|last| last.at);
        let at = last_frames.chain(last_payload).max().unwrap_or(now);
        let by_peer = CloseReason::Peer { code: Some(code), detail: detail.to_owned() };
        other.end_at(at, by_peer);
    }

    fn cut(&mut self) {
        if self.is_cut {
            return;
        }
        self.is_cut = true;
        let now = Instant::now();
        for end in [0, 1] {
            let noticed_at = now + self.up_to(self.faults.notice_max);
            let end = &mut self.ends[end];
            end.lanes = Default::default();
            end.lane_bytes = [0; 3];
            end.payloads = VecDeque::new();
            // An end that was told to close and had not read everything yet loses that too.
            end.close = end.close.take().filter(|close| close.at <= now);
            let reason = CloseReason::Network { detail: "the cable was cut".to_owned() };
            end.end_at(noticed_at, reason);
        }
    }

    /// Whether something that is sent now gets onto the cable at all.
    fn passes(&mut self) -> bool {
        if !self.is_cut && self.chance(self.faults.drop) {
            self.cut();
        }
        !self.is_cut
    }

    fn may_cut(&mut self) {
        if self.chance(self.faults.cut) {
            self.cut();
        }
    }

    fn delay(&mut self) -> Duration {
        self.up_to(self.faults.delay_max)
    }

    fn up_to(&mut self, max: Duration) -> Duration {
        if max.is_zero() {
            return Duration::ZERO;
        }
        max.mul_f64(self.random.f64())
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.f64() < probability
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
