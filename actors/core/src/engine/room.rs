//! [`EngineRoom`]: what an engine does about each event. The sub-states keep the facts.

use std::sync::Arc;

use bytes::Bytes;
use phalanx_protocol::function::{Define, FunctionLimits};
use phalanx_protocol::ids::{AttemptId, Ticket};
use phalanx_protocol::limits::{
    ATTEMPTS_PER_ENGINE_MAX, GIVEN_BACK_MAX, HUB_LOST_MAX, INLINE_LEN_MAX, SETTLED_ATTEMPTS_MAX,
    TOMBSTONES_MAX, UNCONFIRMED_BYTES_MAX,
};
use phalanx_protocol::outcome::{AttemptOutcome, RunTimes};
use phalanx_protocol::output::TaskOutput;
use phalanx_protocol::payload::Payload;
use phalanx_protocol::peer::{EngineProfile, Registration};
use phalanx_protocol::task::Assignment;
use rustc_hash::FxHashSet;

use super::arrivals::Arrivals;
use super::functions::Functions;
use super::marks::DirectMarks;
use super::queue::{Needed, Queue, Queued, filled};
use super::recent::Recent;
use super::reports::Reports;
use super::running::Slots;
use super::session::Link;
use super::{EngineEffect, EngineEvent};
use crate::{Room, Time};

/// The engine room. See the [module](super).
#[derive(Debug)]
pub struct EngineRoom {
    pub(super) profile: EngineProfile,
    pub(super) registration: Option<Registration>,
    pub(super) link: Link,
    /// Since when the engine is not registered; unknown before the first event.
    pub(super) unregistered_since: Option<Time>,
    pub(super) ended: bool,
    pub(super) queue: Queue,
    pub(super) slots: Slots,
    pub(super) reports: Reports,
    pub(super) marks: DirectMarks,
    pub(super) arrivals: Arrivals,
    pub(super) functions: Functions,
    /// Aborted before they came.
    pub(super) tombstones: Recent,
    /// Confirmed, so not to be run again should an assignment be repeated.
    pub(super) settled: Recent,
    /// Given back in this session, so not to be run should an assignment be repeated. In the next
    /// one the hub assigns again what it has not heard was given back.
    pub(super) given_back: Recent,
    /// The longest payload that goes with its message, and so comes in order.
    pub(super) inline_len_max: u64,
    /// Withdrawn from the executor after the hub was told that they run, which has not answered yet.
    pub(super) given_late: Vec<AttemptId>,
}

/// What is left of an attempt.
struct Returned {
    times: RunTimes,
    payload: Payload,
    output: Option<Arc<TaskOutput>>,
}

/// The hub broke a rule of the conversation; what it knows cannot be trusted to fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RuleBroken;

impl EngineRoom {
    /// An idle engine without a session. One without slots is taken to have one.
    ///
    /// Call [`Room::on_deadline`] once at the start: it learns the time by it, and so when
    /// [`HUB_LOST_MAX`] without a hub is over.
    pub fn new(profile: EngineProfile) -> Self {
        let profile = EngineProfile { slots: profile.slots.max(1), ..profile };
        Self {
            slots: Slots::new(profile.slots, 0),
            profile,
            registration: None,
            link: Link::Down,
            unregistered_since: None,
            ended: false,
            queue: Queue::default(),
            reports: Reports::default(),
            marks: DirectMarks::default(),
            arrivals: Arrivals::default(),
            functions: Functions::default(),
            tombstones: Recent::new(TOMBSTONES_MAX),
            settled: Recent::new(SETTLED_ATTEMPTS_MAX),
            given_back: Recent::new(GIVEN_BACK_MAX),
            inline_len_max: INLINE_LEN_MAX as u64,
            given_late: Vec::new(),
        }
    }

    /// Starts so many attempts more than there are slots, for an executor that keeps them in order
    /// until a slot is free: then it need not ask for the next one.
    #[must_use]
    pub fn starting_ahead(mut self, ahead: u32) -> Self {
        self.slots = Slots::new(self.profile.slots, ahead);
        self
    }

    /// The same, with sessions in which longer payloads take streams of their own, which may overtake
    /// and be overtaken.
    #[must_use]
    pub fn with_inline_len_max(self, inline_len_max: u64) -> Self {
        Self { inline_len_max, ..self }
    }

    /// The same, with sessions that may define so many functions; the hub must agree.
    #[must_use]
    pub fn with_function_limits(self, limits: FunctionLimits) -> Self {
        Self { functions: Functions::new(limits), ..self }
    }

    /// Whether there is nothing to run, running or unconfirmed.
    pub fn is_idle(&self) -> bool {
        self.queue.len() + self.slots.len() + self.reports.len() == 0
    }

    /// Its place in the cluster, as last granted; also while there is no session.
    pub const fn registration(&self) -> Option<Registration> {
        self.registration
    }

    /// Payloads and tickets that wait for each other's assignment.
    #[cfg(test)]
    pub(super) fn loose_ends_len(&self) -> usize {
        self.arrivals.len()
    }

    fn on_assigned(
        &mut self,
        assignment: Assignment,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        if self.link != Link::Registered {
            return self.out_of_turn();
        }
        let ticket = assignment.payload.ticket();
        if self.is_known(&assignment) {
            return match ticket.filter(|ticket| !self.queue.awaits(*ticket)) {
                Some(ticket) => self.arrivals.refuse(ticket),
                None => Ok(()),
            };
        }
        // A hub that counts would not send more, and one ticket stands for one payload.
        let held_len = self.queue.len() + self.slots.len();
        let is_more = self.queue.attempt(assignment.attempt.task).is_none();
        if is_more && held_len >= ATTEMPTS_PER_ENGINE_MAX
            || self.reports.len() >= ATTEMPTS_PER_ENGINE_MAX
            || ticket.is_some_and(|ticket| self.queue.awaits(ticket))
        {
            return Err(RuleBroken);
        }
        let function = match assignment.function {
            None => None,
            Some(digest) => Some(self.functions.needed(digest)?),
        };
        let Some(gates) = self.closed_gates(&assignment) else {
            self.give_back(assignment.attempt, effects);
            return ticket.map_or(Ok(()), |ticket| self.arrivals.refuse(ticket));
        };
        let payload = match ticket.and_then(|ticket| self.arrivals.take(ticket)) {
            Some(bytes) => filled(&assignment.payload, bytes)?,
            None => assignment.payload,
        };
        let attempt = assignment.attempt;
        self.enqueue(Assignment { payload, gates, ..assignment }, function)?;
        if self.tombstones.remove(attempt) {
            self.abort_queued(attempt, effects)?;
        }
        Ok(())
    }

    /// Whether this attempt, or a later one at its task, has been seen. What an older one reports
    /// the hub fences off.
    fn is_known(&self, assignment: &Assignment) -> bool {
        let AttemptId { task, number } = assignment.attempt;
        let running = self.slots.get(task).filter(|run| run.wanted).map(|run| run.attempt);
        let queued = self.queue.attempt(task);
        // A queued one may be replaced even if it is direct: it has not been started.
        let seen = assignment.direct && queued.is_none() && self.marks.covers(task);
        seen || queued.is_some_and(|queued| queued.number >= number)
            || running.is_some_and(|running| running.number >= number)
            || self.reports.contains(assignment.attempt)
            || self.settled.contains(assignment.attempt)
            || self.given_back.contains(assignment.attempt)
    }

    fn enqueue(
        &mut self,
        assignment: Assignment,
        function: Option<Needed>,
    ) -> Result<(), RuleBroken> {
        let task = assignment.attempt.task;
        if self.queue.attempt(task).is_some() {
            let old = self.queue.replace(assignment, function);
            return self.refuse_payload(old);
        }
        let mark_before = if assignment.direct { self.marks.advance(task) } else { None };
        self.queue.push(assignment, function, mark_before);
        Ok(())
    }

    /// If the payload of this attempt is on its way, it is not wanted any more.
    pub(super) fn refuse_payload(&mut self, queued: Option<Queued>) -> Result<(), RuleBroken> {
        match queued.and_then(|queued| queued.assignment.payload.ticket()) {
            Some(ticket) => self.arrivals.refuse(ticket),
            None => Ok(()),
        }
    }

    fn on_payload_arrived(&mut self, ticket: Ticket, bytes: Bytes) -> Result<(), RuleBroken> {
        // Payload streams may overtake the answer to the registration.
        match self.link {
            Link::Down | Link::Leaving => Ok(()),
            Link::Open | Link::Registered if self.queue.awaits(ticket) => {
                self.queue.feed(ticket, bytes)
            }
            Link::Open | Link::Registered => match self.functions.fill(ticket, &bytes)? {
                Some(function) => {
                    self.queue.feed_function(ticket, &function);
                    Ok(())
                }
                None => self.arrivals.keep(ticket, bytes),
            },
        }
    }

    fn on_defined(&mut self, define: Define) -> Result<(), RuleBroken> {
        if self.link != Link::Registered {
            return self.out_of_turn();
        }
        let Some(ticket) = self.functions.define(define)? else {
            return Ok(());
        };
        match self.arrivals.take(ticket) {
            Some(bytes) => self.on_payload_arrived(ticket, bytes),
            None => Ok(()),
        }
    }

    fn on_confirmed(&mut self, up_to: u64) -> Result<(), RuleBroken> {
        if self.link != Link::Registered {
            return self.out_of_turn();
        }
        let mut recorded = Vec::new();
        let result = self.reports.confirm(up_to, |attempt| {
            self.settled.insert(attempt);
            recorded.extend(self.queue.waits_for(attempt.task).then_some(attempt.task));
        });
        self.open_gates(&recorded);
        result
    }

    /// Control overtakes: this is heard in every state of the link.
    fn on_abort_requested(
        &mut self,
        attempt: AttemptId,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        let queued = self.queue.attempt(attempt.task);
        let running = self.slots.get(attempt.task).filter(|run| run.wanted).map(|run| run.attempt);
        if queued == Some(attempt) {
            return self.abort_queued(attempt, effects);
        }
        if running == Some(attempt) {
            self.interrupt(attempt, effects);
            return Ok(());
        }
        let newest = queued.max(running).map_or(0, |newest| newest.number);
        let is_over = self.reports.contains(attempt)
            || self.settled.contains(attempt)
            || self.given_back.contains(attempt);
        if attempt.number > newest && !is_over {
            self.tombstones.insert(attempt);
        }
        Ok(())
    }

    fn abort_queued(
        &mut self,
        attempt: AttemptId,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        let queued = self.queue.remove(attempt);
        let returned =
            Returned { times: RunTimes::default(), payload: Payload::empty(), output: None };
        self.report(attempt, AttemptOutcome::Aborted, returned, effects);
        let result = self.settle_gates(attempt.task, effects);
        result.and(self.refuse_payload(queued))
    }

    fn on_ran(
        &mut self,
        now: Time,
        finished: (AttemptId, AttemptOutcome, RunTimes, Payload),
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        let (attempt, outcome, times, payload) = finished;
        let Some(run) = self.slots.end(now, attempt) else {
            return Ok(());
        };
        self.queue.ended(attempt.task, run.direct);
        if run.wanted {
            let returned = Returned { times, payload, output: run.into_output() };
            self.report(attempt, outcome, returned, effects);
        }
        self.settle_gates(attempt.task, effects)
    }

    fn report(
        &mut self,
        attempt: AttemptId,
        outcome: AttemptOutcome,
        Returned { times, payload, output }: Returned,
        effects: &mut Vec<EngineEffect>,
    ) {
        let report = self.reports.add(attempt, outcome, times, payload, output);
        if self.link == Link::Registered {
            effects.push(EngineEffect::Report(report.clone()));
        }
    }

    pub(super) fn interrupt(&mut self, attempt: AttemptId, effects: &mut Vec<EngineEffect>) {
        if self.slots.interrupt(attempt) {
            effects.push(EngineEffect::Interrupt(attempt));
        }
    }

    /// Fills free slots, unless too much waits for the hub already.
    fn start(&mut self, now: Time, effects: &mut Vec<EngineEffect>) {
        while !self.slots.is_full() && self.reports.carried_bytes() < UNCONFIRMED_BYTES_MAX {
            let Some((assignment, function)) = self.queue.start_next() else {
                return;
            };
            let Assignment { attempt, direct, method, payload, .. } = assignment;
            self.slots.start(now, attempt, direct);
            effects.push(EngineEffect::Start { attempt, method, payload, function });
        }
    }

    /// The last it does.
    fn end(&mut self, reason: String, effects: &mut Vec<EngineEffect>) {
        let running: Vec<_> = self.slots.iter().map(|run| run.attempt).collect();
        for attempt in running {
            self.interrupt(attempt, effects);
        }
        self.ended = true;
        effects.push(EngineEffect::End(reason));
    }

    fn dispatch(
        &mut self,
        now: Time,
        event: EngineEvent,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        match event {
            EngineEvent::SessionOpened => self.on_session_opened(effects),
            EngineEvent::SessionClosed => self.on_session_closed(),
            EngineEvent::Registered { registration, drop } => {
                self.on_registered(now, registration, drop, effects)?;
            }
            EngineEvent::Defined(define) => self.on_defined(define)?,
            EngineEvent::Assigned(assignment) => self.on_assigned(assignment, effects)?,
            EngineEvent::PayloadArrived(ticket, bytes) => self.on_payload_arrived(ticket, bytes)?,
            EngineEvent::Confirmed(up_to) => self.on_confirmed(up_to)?,
            EngineEvent::AbortRequested(attempts) => {
                let abort = |attempt| self.on_abort_requested(attempt, effects);
                // Each is heard, whatever one of them says of the hub.
                return attempts.into_iter().map(abort).fold(Ok(()), Result::and);
            }
            EngineEvent::AskedBack(attempt) => self.on_asked_back(attempt, effects)?,
            EngineEvent::Withdrew(attempt, withdrew) => {
                self.on_withdrew(now, attempt, withdrew, effects)?;
            }
            EngineEvent::EndRequested(reason) => self.end(reason, effects),
            EngineEvent::Wrote { attempt, chunks, lost } => {
                self.slots.write(now, attempt, chunks, lost);
                self.tell_output(now, effects);
            }
            EngineEvent::Ran { attempt, outcome, times, payload } => {
                self.on_ran(now, (attempt, outcome, times, payload), effects)?;
            }
        }
        Ok(())
    }
}

impl Room for EngineRoom {
    type Event = EngineEvent;
    type Effect = EngineEffect;

    fn handle(&mut self, now: Time, event: EngineEvent, effects: &mut Vec<EngineEffect>) {
        if self.ended {
            return;
        }
        if self.dispatch(now, event, effects) == Err(RuleBroken) && self.link != Link::Leaving {
            self.link = Link::Leaving;
            effects.push(EngineEffect::Reconnect);
        }
        self.note_time(now);
        if !self.ended {
            self.start(now, effects);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        match self.link {
            _ if self.ended => None,
            Link::Registered => {
                [self.slots.next_news(), self.slots.next_output()].into_iter().flatten().min()
            }
            Link::Down | Link::Open | Link::Leaving => {
                Some(self.unregistered_since.map_or(Time::ZERO, |since| since + HUB_LOST_MAX))
            }
        }
    }

    fn on_deadline(&mut self, now: Time, effects: &mut Vec<EngineEffect>) {
        if self.ended {
            return;
        }
        self.note_time(now);
        self.tell_started(now, effects);
        self.tell_output(now, effects);
        if self.unregistered_since.is_some_and(|since| now >= since + HUB_LOST_MAX) {
            self.end(format!("no hub for {} s", HUB_LOST_MAX.as_secs()), effects);
        }
    }

    fn check_invariants(&self) {
        self.queue.check_invariants();
        self.slots.check_invariants();
        self.reports.check_invariants();
        self.marks.check_invariants();
        self.arrivals.check_invariants();
        self.functions.check_invariants();
        self.tombstones.check_invariants();
        self.settled.check_invariants();
        self.given_back.check_invariants();
        let running: FxHashSet<_> = self.slots.iter().map(|run| run.attempt.task).collect();
        assert_eq!(&running, self.queue.started());
        assert!(self.queue.len() + self.slots.len() <= ATTEMPTS_PER_ENGINE_MAX);
        if self.link == Link::Down {
            assert_eq!(self.arrivals.len() + self.functions.len(), 0, "left of a session");
            let waits = |queued: &Queued| queued.assignment.payload.ticket().is_some();
            assert!(!self.queue.iter().any(waits), "a payload that will not come");
        }
        for Assignment { attempt, gates, .. } in self.queue.iter().map(|it| &it.assignment) {
            for gate in gates {
                let is_known = self.queue.is_here(*gate) || self.reports.done(*gate).is_some();
                assert!(is_known, "{attempt} waits for {gate}, which is not here");
            }
        }
        for queued in self.queue.iter().map(|queued| queued.assignment.attempt) {
            assert!(!self.reports.contains(queued), "{queued} is queued and reported");
            assert!(!self.tombstones.contains(queued), "{queued} is queued and aborted");
            assert!(!self.given_back.contains(queued), "{queued} is queued and given back");
        }
    }
}
