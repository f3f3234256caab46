//! Attempts that were sent ahead and are taken back for an engine that could start them now, or
//! because what runs before them takes long.
//!
//! Which ones, and for whom, the scheduler decides; whether one has started, its engine knows. The
//! hub passes on question and answer. It keeps no note of a question: one that is lost with its
//! session, or with its engine, is answered by what the engine has when it is back, of which the
//! scheduler is told as of any engine that comes.

use phalanx_protocol::ids::{AttemptId, EngineId, TaskId};
use phalanx_protocol::outcome::Outcome;

use super::ledger::TaskState;
use super::{EngineOrder, Hub, HubEffect};
use crate::Time;
use crate::scheduler::SchedulerEvent;

impl Hub {
    /// The scheduler wants a task of this engine's back.
    pub(super) fn on_take_back(
        &mut self,
        id: TaskId,
        engine: EngineId,
        effects: &mut Vec<HubEffect>,
    ) {
        // One that has ended or moved meanwhile: the scheduler has been told.
        let Some(task) = self.ledger.get(id).filter(|task| task.state().engine() == Some(engine))
        else {
            return;
        };
        let is_wanted = task.state() == TaskState::Assigned(engine) && !task.abort_requested;
        let attempt = id.attempt(task.attempts);
        let session = self.registry.get(engine).and_then(|engine| engine.session());
        match session.filter(|_| is_wanted) {
            Some(session) => {
                effects.push(HubEffect::ToEngine(session, EngineOrder::GiveBack(attempt)));
            }
            None => self.tell_scheduler(SchedulerEvent::TakenBack(id, None), effects),
        }
    }

    /// An engine gives an attempt back, or keeps it.
    pub(super) fn on_gave_back(
        &mut self,
        now: Time,
        engine: EngineId,
        attempt: AttemptId,
        given: bool,
        effects: &mut Vec<HubEffect>,
    ) {
        let id = attempt.task;
        let Some(task) = self.ledger.get(id).filter(|_| self.is_current(engine, attempt)) else {
            return;
        };
        if task.is_direct() {
            // Never asked for: an engine that says so all the same has it, as far as the hub knows.
            return;
        }
        if !given {
            return self.tell_scheduler(SchedulerEvent::TakenBack(id, None), effects);
        }
        if task.abort_requested {
            return self.end_without_result(now, id, Outcome::Aborted, effects);
        }
        let state = task.state();
        self.stop_clocks(id);
        self.unassign(id, engine, state, false);
        if let Some(ready) = self.ready(now, id, effects) {
            self.tell_scheduler(SchedulerEvent::TakenBack(id, Some(ready)), effects);
        }
    }
}
