//! Attempts that the hub asks for because another engine could start them now, or because what
//! runs before them takes long. What has started stays; what has not is the hub's again, and never
//! starts here. Of those that the executor keeps until a slot is free only the executor knows
//! whether it has begun them, so it is asked.

use phalanx_protocol::ids::AttemptId;
use rustc_hash::FxHashSet;

use super::EngineEffect;
use super::room::{EngineRoom, RuleBroken};
use super::session::Link;
use crate::Time;

impl EngineRoom {
    /// Gives an attempt back if it waits here, and says whether it does; if the executor keeps it,
    /// as soon as that has answered.
    pub(super) fn on_asked_back(
        &mut self,
        attempt: AttemptId,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        if self.link != Link::Registered {
            return self.out_of_turn();
        }
        if self.slots.can_spare(attempt) && !self.queue.waits_for(attempt.task) {
            effects.push(EngineEffect::Withdraw(attempt));
            return Ok(());
        }
        if !self.queue.can_spare(attempt) {
            effects.push(EngineEffect::GaveBack { attempt, given: false });
            return Ok(());
        }
        let queued = self.queue.remove(attempt);
        self.give_back(attempt, effects);
        self.refuse_payload(queued)
    }

    /// The executor has forgotten an attempt that it kept, or has begun it.
    pub(super) fn on_withdrew(
        &mut self,
        now: Time,
        attempt: AttemptId,
        withdrew: bool,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        let run = if withdrew { self.slots.end(now, attempt) } else { None };
        if let Some(run) = &run {
            self.queue.ended(attempt.task, run.direct);
        }
        if run.is_some_and(|run| run.wanted) {
            self.give_back(attempt, effects);
        } else if self.link == Link::Registered {
            effects.push(EngineEffect::GaveBack { attempt, given: false });
        }
        self.settle_gates(attempt.task, effects)
    }

    /// What was listed, and is not here any more; unless the hub wants it dropped anyway.
    pub(super) fn give_back_late(
        &mut self,
        dropped: &FxHashSet<AttemptId>,
        effects: &mut Vec<EngineEffect>,
    ) {
        for attempt in std::mem::take(&mut self.given_late) {
            if !dropped.contains(&attempt) {
                self.given_back.insert(attempt);
                effects.push(EngineEffect::GaveBack { attempt, given: true });
            }
        }
    }
}
