//! Attempts that the hub asks for because another engine could start them now. What has started
//! stays; what has not is the hub's again, and never starts here.

use phalanx_protocol::ids::AttemptId;

use super::EngineEffect;
use super::room::{EngineRoom, RuleBroken};
use super::session::Link;

impl EngineRoom {
    /// Gives an attempt back if it waits here, and says whether it does.
    pub(super) fn on_asked_back(
        &mut self,
        attempt: AttemptId,
        effects: &mut Vec<EngineEffect>,
    ) -> Result<(), RuleBroken> {
        if self.link != Link::Registered {
            return self.out_of_turn();
        }
        let given = self.queue.can_spare(attempt);
        effects.push(EngineEffect::GaveBack { attempt, given });
        if !given {
            return Ok(());
        }
        self.given_back.insert(attempt);
        let queued = self.queue.remove(attempt);
        self.refuse_payload(queued)
    }
}
