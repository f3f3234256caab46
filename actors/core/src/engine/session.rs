//! The engine's side of sessions: registering, what a cut session takes with it, and what the hub
//! no longer wants.

use phalanx_protocol::ids::AttemptId;
use phalanx_protocol::peer::{Inventory, Registration};
use rustc_hash::FxHashSet;

use super::EngineEffect;
use super::queue::Queued;
use super::room::{EngineRoom, RuleBroken};
use crate::Time;

/// How things stand with the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// No session.
    Down,
    /// A session; the hub has not answered to the registration.
    Open,
    /// A session in which the hub may assign and hears reports.
    Registered,
    /// A session that is to be closed: nothing is said in it or believed of it.
    Leaving,
}

impl EngineRoom {
    /// What it has.
    fn inventory(&self) -> Inventory {
        let running = self.slots.iter().filter(|run| run.wanted);
        Inventory {
            previous: self.registration,
            running: running.map(|run| run.attempt).collect(),
            queued: self.queue.iter().map(|queued| queued.assignment.attempt).collect(),
            unconfirmed: self.reports.iter().map(|report| report.attempt).collect(),
            direct_marks: self.marks.list(),
        }
    }

    pub(super) fn on_session_opened(&mut self, effects: &mut Vec<EngineEffect>) {
        self.on_session_closed();
        self.link = Link::Open;
        self.tombstones.mark();
        self.slots.told_all();
        effects.push(EngineEffect::Register(
            Box::new(self.profile.clone()),
            Box::new(self.inventory()),
        ));
    }

    /// What waited for a payload is as if it had never come: the hub sends it again.
    pub(super) fn on_session_closed(&mut self) {
        self.link = Link::Down;
        self.arrivals.clear();
        self.functions.clear();
        self.given_back.clear();
        self.given_late.clear();
        let mut restored = FxHashSet::default();
        for Queued { assignment, mark_before, .. } in self.queue.lose_unfed() {
            let client = assignment.attempt.task.client;
            if assignment.direct && restored.insert(client) {
                self.marks.restore(client, mark_before);
            }
        }
    }

    pub(super) fn on_registered(
        &mut self,
        now: Time,
        registration: Registration,
        drop: Vec<AttemptId>,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        if self.link != Link::Open {
            return Ok(());
        }
        self.link = Link::Registered;
        let before = self.registration.replace(registration);
        if before.is_some_and(|before| before.epoch != registration.epoch) {
            // Another ledger gives the same names to other tasks.
            self.marks.clear();
            self.settled.clear();
            self.tombstones.forget_marked();
        }
        let drop: FxHashSet<AttemptId> = drop.into_iter().collect();
        let result = self.forget(&drop, effects);
        self.give_back_late(&drop, effects);
        effects.extend(self.reports.iter().cloned().map(EngineEffect::Report));
        self.tell_started(now, effects);
        self.tell_output(now, effects);
        result
    }

    /// Forgets what the hub no longer wants. A running attempt keeps its slot until it ends.
    fn forget(
        &mut self,
        unwanted: &FxHashSet<AttemptId>,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        if unwanted.is_empty() {
            return Ok(());
        }
        self.reports.forget(unwanted);
        let queued: Vec<_> = self
            .queue
            .iter()
            .map(|queued| queued.assignment.attempt)
            .filter(|attempt| unwanted.contains(attempt))
            .collect();
        for attempt in queued {
            self.queue.remove(attempt);
        }
        let running: Vec<_> = self
            .slots
            .iter()
            .map(|run| run.attempt)
            .filter(|attempt| unwanted.contains(attempt))
            .collect();
        for attempt in running {
            self.slots.disown(attempt);
            self.interrupt(attempt, effects);
        }
        let mut tasks: Vec<_> = unwanted.iter().map(|attempt| attempt.task).collect();
        tasks.sort_unstable();
        let settle = |task| self.settle_gates(task, effects);
        tasks.into_iter().map(settle).fold(Ok(()), Result::and)
    }

    /// Something that only a registered engine may be told. After a rule was broken, what the old
    /// session still brings is not news.
    pub(super) fn out_of_turn(&self) -> Result<(), RuleBroken> {
        if self.link == Link::Open { Err(RuleBroken) } else { Ok(()) }
    }

    pub(super) fn tell_started(&mut self, now: Time, effects: &mut Vec<EngineEffect>) {
        if self.link == Link::Registered {
            while let Some(attempt) = self.slots.take_news(now) {
                effects.push(EngineEffect::Started(attempt));
            }
        }
    }

    /// What waited longest is told first.
    pub(super) fn tell_output(&mut self, now: Time, effects: &mut Vec<EngineEffect>) {
        if self.link == Link::Registered {
            while let Some(output) = self.slots.take_output(now) {
                effects.push(EngineEffect::Output(output));
            }
        }
    }

    pub(super) fn note_time(&mut self, now: Time) {
        self.unregistered_since = match self.link {
            Link::Registered => None,
            Link::Down | Link::Open | Link::Leaving => self.unregistered_since.or(Some(now)),
        };
    }
}
