//! Attempts that the hub sent ahead of what they wait for, which is here too: its *gates*.
//!
//! A gate opens when its task is done here, and the hub is sure to record that before anything that
//! the gate held up: at once if the report travels with its message, else when it is confirmed. A
//! gate whose task is not here, or ends in another way, never opens: what waits for it is the hub's
//! again, unasked. So no attempt starts before all that it waits for is done, whatever the hub
//! thought when it sent it.

use phalanx_protocol::ids::{AttemptId, TaskId};
use phalanx_protocol::outcome::{AttemptOutcome, Report};
use phalanx_protocol::task::Assignment;

use super::EngineEffect;
use super::room::{EngineRoom, RuleBroken};
use super::session::Link;

impl EngineRoom {
    /// Whether the hub records this before all that is reported later: its payload takes no stream
    /// of its own.
    fn is_recorded_in_order(&self, report: &Report) -> bool {
        report.payload.len() <= self.inline_len_max
    }

    /// The gates of a new attempt that are not open; `None` if one of them never opens here.
    pub(super) fn closed_gates(&self, assignment: &Assignment) -> Option<Vec<TaskId>> {
        let mut closed = Vec::new();
        for &gate in &assignment.gates {
            let waits = self.queue.is_before(gate, assignment.attempt.task);
            let is_closed = waits || !self.is_recorded_in_order(self.reports.done(gate)?);
            if is_closed && !closed.contains(&gate) {
                closed.push(gate);
            }
        }
        Some(closed)
    }

    /// The last attempt at a task that was here has ended, and is reported if the hub wants to know.
    pub(super) fn settle_gates(
        &mut self,
        task: TaskId,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        if self.queue.is_here(task) || !self.queue.waits_for(task) {
            return Ok(());
        }
        match self.reports.done(task) {
            Some(report) if self.is_recorded_in_order(report) => self.queue.open_gates(task),
            Some(_) => {}
            None => return self.shut_gates(task, effects),
        }
        Ok(())
    }

    /// The hub has recorded what became of a task.
    pub(super) fn open_gates(&mut self, recorded: &[TaskId]) {
        for &task in recorded {
            if !self.queue.is_here(task) {
                self.queue.open_gates(task);
            }
        }
    }

    /// Gives back what waits for a task that will not be done here, and what waits for that.
    fn shut_gates(
        &mut self,
        task: TaskId,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        let (mut shut, mut result) = (vec![task], Ok(()));
        while let Some(task) = shut.pop() {
            for attempt in self.queue.behind(task) {
                let queued = self.queue.remove(attempt);
                result = result.and(self.refuse_payload(queued));
                self.give_back(attempt, effects);
                shut.push(attempt.task);
            }
        }
        result
    }

    /// An attempt that never started is not here any more.
    pub(super) fn give_back(&mut self, attempt: AttemptId, effects: &mut Vec<EngineEffect>) {
        match self.link {
            Link::Registered => {
                self.given_back.insert(attempt);
                effects.push(EngineEffect::GaveBack { attempt, given: true });
            }
            // The inventory that the hub is reading says that it is here.
            Link::Open => self.given_late.push(attempt),
            // The next inventory will not list it.
            Link::Down | Link::Leaving => {}
        }
    }
}

/// Whether this report opens gates.
pub(super) const fn is_done(report: &Report) -> bool {
    matches!(report.outcome, AttemptOutcome::Done)
}
