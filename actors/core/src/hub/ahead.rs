//! Tasks that are sent ahead: to the engine that has the one task that they wait for, so that they
//! start there as soon as that is done, without a round trip to the hub.
//!
//! The dag says which task waits for nothing else, the scheduler whether that engine has room for it
//! now; if it has none the task waits on, and nothing has changed. To the dag it is held until the
//! hub has recorded what it waits for, and the dag's word is heeded then. Until then it is in the
//! ledger as any task that an engine has, and here. The engine starts it only when what it waits for
//! is done there, and gives it back if that is not to be ([`crate::engine`]); so nothing here depends
//! on what becomes of the other.

use phalanx_protocol::ids::{EngineId, TaskId};

use super::ledger::{Task, TaskState};
use super::{Hub, HubEffect};
use crate::Time;
use crate::dag::DagEvent;
use crate::scheduler::SchedulerEvent;

impl Hub {
    /// An engine has a task: what waits for it may be sent after it.
    pub(super) fn tell_dag_of_attempt(
        &self,
        id: TaskId,
        engine: EngineId,
        effects: &mut Vec<HubEffect>,
    ) {
        if self.ledger.get(id).is_some_and(|task| task.watched) {
            self.tell_dag(DagEvent::Assigned(id, engine), effects);
        }
    }

    /// A held task waits only for another that an engine has.
    pub(super) fn on_nearly_ready(
        &mut self,
        now: Time,
        id: TaskId,
        waits_for: TaskId,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(engine) = self.can_be_followed(waits_for) else { return };
        if self.ledger.get(id).is_some_and(can_be_sent_ahead)
            && let Some(ready) = self.as_ready(now, id, effects)
        {
            self.tell_scheduler(SchedulerEvent::PlaceAhead(ready, engine), effects);
        }
    }

    /// The engine that has a task, if what waits for it can be sent there.
    fn can_be_followed(&self, id: TaskId) -> Option<EngineId> {
        let task = self.ledger.get(id).filter(|task| !task.abort_requested)?;
        let engine = task.state().engine()?;
        self.registry.get(engine)?.session().map(|_| engine)
    }

    /// The scheduler has room for a task that is not ready. If what it waits for is not on that
    /// engine any more, it waits on.
    pub(super) fn begin_ahead(
        &mut self,
        id: TaskId,
        engine: EngineId,
        effects: &mut Vec<HubEffect>,
    ) {
        let gates = self.gates(id);
        let is_here = |gate: &TaskId| self.can_be_followed(*gate) == Some(engine);
        if gates.is_empty() || !gates.iter().all(is_here) {
            return self.tell_scheduler(SchedulerEvent::Free(id, None), effects);
        }
        self.ahead.insert(id);
        self.begin_attempt(id, engine, effects);
    }

    /// What a task waits for that has not ended.
    pub(super) fn gates(&self, id: TaskId) -> Vec<TaskId> {
        let awaited = self.ledger.get(id).into_iter().flat_map(Task::awaited);
        let is_open = |id: &TaskId| self.ledger.get(*id).is_some();
        let mut gates: Vec<TaskId> = awaited.filter(is_open).collect();
        gates.sort_unstable();
        gates.dedup();
        gates
    }

    /// A task that was sent ahead is to be placed anew, and was not ready yet: it waits on. Says
    /// whether it was that.
    pub(super) fn waits_on(&mut self, id: TaskId, effects: &mut Vec<HubEffect>) -> bool {
        let was_ahead = self.ahead.remove(&id);
        if was_ahead {
            self.ledger.set_state(id, TaskState::Waiting);
            self.tell_scheduler(SchedulerEvent::Free(id, None), effects);
        }
        was_ahead
    }

    /// Whether a task was sent ahead to an engine that does not have what it waits for any more; where
    /// that has ended, the dag's word on how is on its way.
    pub(super) fn is_out_of_place(&self, id: TaskId, engine: EngineId) -> bool {
        let is_here = |gate: &TaskId| {
            self.ledger.get(*gate).and_then(|gate| gate.state().engine()) == Some(engine)
        };
        if !self.ahead.contains(&id) {
            return false;
        }
        let gates = self.gates(id);
        gates.is_empty() || !gates.iter().all(is_here)
    }

    /// Whether what a task follows was done on another engine than the one that has it.
    pub(super) fn follows_elsewhere(&self, id: TaskId) -> bool {
        let Some(task) = self.ledger.get(id) else { return false };
        let engine = task.state().engine();
        task.followed().is_some_and(|to| engine.is_some_and(|engine| !to.contains(&engine)))
    }

    /// Takes a task from its engine that cannot have begun it: what it waits for was not done there.
    pub(super) fn call_off(&mut self, now: Time, id: TaskId, effects: &mut Vec<HubEffect>) {
        let Some(state) = self.ledger.get(id).map(Task::state) else { return };
        let Some(engine) = state.engine() else { return };
        self.stop_clocks(id);
        self.unassign(id, engine, state, false);
        self.tell_scheduler(SchedulerEvent::Free(id, None), effects);
        self.place(now, id, effects);
    }

    /// Tasks sent ahead against the ledger.
    pub(super) fn check_ahead(&self) {
        for id in &self.ahead {
            let task = self.ledger.get(*id);
            let is_away = task.is_some_and(|task| {
                task.state().engine().is_some() || task.state() == TaskState::Pausing
            });
            assert!(is_away, "{id} was sent ahead, and is {task:?}");
        }
    }
}

/// Whether nothing but what it waits for speaks against it. One that failed chooses its engine, one
/// that was there when an engine died runs alone, results among the arguments are not there yet, and
/// time that is up must find it here.
fn can_be_sent_ahead(task: &Task) -> bool {
    let is_free = task.waits.as_ref().is_none_or(|waits| {
        waits.deadline.is_none() && waits.inputs.is_empty() && waits.followed.is_none()
    });
    let has_failed = task.tries.as_ref().is_some_and(|tries| tries.is_choosy());
    task.state() == TaskState::Waiting && is_free && !task.suspect && !has_failed
}
