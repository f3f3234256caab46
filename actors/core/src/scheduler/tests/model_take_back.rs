//! What the scheduler should take back, as naively as can be. The limits on how much is looked at
//! at once are not reached here.

use std::cmp::Reverse;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::room::{ReadyTask, SchedulerVerdict};

use super::model::Model;
use super::model_engine::{ModelEngine, ahead_nanos, amounts, may_have};
use crate::Time;
use crate::scheduler::{Hwm, OVERDUE_AFTER, PREFETCH_AHEAD, SchedulerEffect};

impl ModelEngine {
    fn waiting(&self) -> usize {
        self.tasks.len().saturating_sub(self.slots as usize)
    }

    fn is_stuck(&self, now: Time) -> bool {
        now >= self.moved_at + PREFETCH_AHEAD
    }
}

impl Model {
    /// Engines with a free slot, for which not enough is coming, by id.
    fn hungry(&self) -> Vec<EngineId> {
        let coming = |id| self.asked.iter().filter(|(_, for_id)| *for_id == Some(id)).count();
        let is_hungry = |engine: &&ModelEngine| {
            let has = engine.tasks.len() + coming(engine.id);
            engine.has_room(self.settings.hwm) && has < engine.slots as usize
        };
        let mut hungry: Vec<_> = self.engines.iter().filter(is_hungry).map(|e| e.id).collect();
        hungry.sort_unstable();
        hungry
    }

    /// What is on no engine any more has been answered for.
    pub(super) fn forget_answered(&mut self) {
        let engines = &self.engines;
        self.asked.retain(|(task, _)| {
            let mut given = engines.iter().flat_map(|engine| &engine.given);
            given.any(|(given, asked)| given.task == *task && *asked)
        });
    }

    /// Its engine gave a task back, or keeps it.
    pub(super) fn taken_back(
        &mut self,
        id: TaskId,
        ready: Option<ReadyTask>,
        did: &[SchedulerEffect],
        effects: &mut Vec<SchedulerEffect>,
    ) {
        let asked = self.asked.iter().position(|(task, _)| *task == id);
        let back_for = asked.map(|at| self.asked.remove(at).1);
        let Some(ready) = ready else {
            if back_for == Some(None) {
                let given = self.engines.iter_mut().flat_map(|engine| &mut engine.given);
                given.filter(|(given, _)| given.task == id).for_each(|(_, asked)| *asked = false);
            }
            return;
        };
        let has = |engine: &&mut ModelEngine| engine.tasks.iter().any(|(task, _)| *task == id);
        let Some(engine) = self.engines.iter_mut().find(has) else {
            return self.place(ready, did, effects);
        };
        if back_for.is_none() && engine.given.iter().any(|(given, _)| given.task == id) {
            let verdict = SchedulerVerdict::Assign(engine.id);
            return effects.push(SchedulerEffect { task: id, verdict });
        }
        engine.tasks.retain(|(task, _)| *task != id);
        engine.given.retain(|(given, _)| given.task != id);
        engine.alone.retain(|alone| *alone != id);
        engine.held.retain(|(task, _)| *task != id);
        let from = engine.id;
        self.fill(from, effects);
        self.back_for = back_for;
        self.place(ready, did, effects);
        self.back_for = None;
    }

    /// The end of a burst: at most once in a while it is looked what was too much.
    pub(super) fn look(&mut self, effects: &mut Vec<SchedulerEffect>) {
        let now = self.now;
        let may = |model: &Self| {
            !model.hungry().is_empty() && model.engines.iter().any(|e| e.waiting() > 0)
        };
        if !may(self) {
            self.look_at = None;
            return;
        }
        let last = self.looked_at.map(|last| last + PREFETCH_AHEAD);
        let look_at = self.look_at.unwrap_or_else(|| last.map_or(now, |last| last.max(now)));
        self.look_at = Some(look_at);
        if look_at > now {
            return;
        }
        self.looked_at = Some(now);
        let too_much = |engine: &&ModelEngine| {
            let overfull = engine.cost_of_all() >= (engine.slots + 1) * ahead_nanos();
            engine.waiting() > 0 && (engine.is_stuck(now) || overfull)
        };
        let laden = self.engines.iter().filter(too_much);
        let mut laden: Vec<_> = laden.map(|engine| (engine.waiting(), engine.id)).collect();
        for hungry in self.hungry() {
            laden.sort_unstable_by_key(|(waiting, id)| (Reverse(*waiting), *id));
            for (waiting, id) in &mut laden {
                let tasks = self.spare(*id, hungry, *waiting);
                if !tasks.is_empty() {
                    *waiting -= tasks.len();
                    self.ask(*id, Some(hungry), tasks, effects);
                    break;
                }
            }
        }
        let moving = self.engines.iter().filter(|e| e.waiting() > 0 && !e.is_stuck(now));
        let next = moving.map(|engine| engine.moved_at + PREFETCH_AHEAD).min();
        self.look_at = next.filter(|_| may(self)).map(|next| next.max(now + PREFETCH_AHEAD));
    }

    /// Once in a while: where no task ended for so long, all that waits is asked back for anyone.
    pub(super) fn look_overdue(&mut self, effects: &mut Vec<SchedulerEffect>) {
        let may = self.settings.hwm == Hwm::Adaptive;
        let waits = |model: &Self| may && model.engines.iter().any(|e| e.waiting() > 0);
        if !waits(self) {
            self.overdue_at = None;
            return;
        }
        let at = *self.overdue_at.get_or_insert(self.now + OVERDUE_AFTER);
        if at > self.now {
            return;
        }
        let overdue = |e: &&ModelEngine| e.waiting() > 0 && e.moved_at + OVERDUE_AFTER <= self.now;
        let mut overdue: Vec<_> = self.engines.iter().filter(overdue).map(|e| e.id).collect();
        overdue.sort_unstable();
        for id in overdue {
            let engine = self.engines.iter().find(|engine| engine.id == id).expect("it is up");
            let newest = engine.given.iter().rev().take(engine.waiting());
            let tasks: Vec<_> =
                newest.filter(|(_, asked)| !asked).map(|(task, _)| task.task).collect();
            if !tasks.is_empty() {
                self.ask(id, None, tasks, effects);
            }
        }
        self.overdue_at = waits(self).then_some(self.now + OVERDUE_AFTER);
    }

    /// The newest that wait, at most half of so many, that the other may have.
    fn spare(&self, id: EngineId, hungry: EngineId, waiting: usize) -> Vec<TaskId> {
        let find = |id| self.engines.iter().find(|engine| engine.id == id).expect("it is up");
        let (engine, other) = (find(id), find(hungry));
        let is_for_it = |(task, asked): &&(_, bool)| {
            let has_free = amounts(task).iter().all(|(name, some)| other.free(name) >= some.0);
            !asked && may_have(other, task) && has_free
        };
        let newest = engine.given.iter().rev().take(engine.waiting()).filter(is_for_it);
        newest.take(waiting.div_ceil(2)).map(|(task, _)| task.task).collect()
    }

    fn ask(
        &mut self,
        id: EngineId,
        for_id: Option<EngineId>,
        tasks: Vec<TaskId>,
        effects: &mut Vec<SchedulerEffect>,
    ) {
        let now = self.now;
        let engine = self.engines.iter_mut().find(|engine| engine.id == id).expect("it is up");
        if engine.is_stuck(now) {
            let running = engine.given.iter().take(engine.slots as usize);
            let long: Vec<_> = match for_id {
                Some(_) => running.map(|(task, _)| (task.method.clone(), None)).collect(),
                None => {
                    let known = engine.tasks.iter().filter_map(|(_, need)| need.clone());
                    known.map(|need| (need, None)).collect()
                }
            };
            engine.runs.extend(long);
        }
        for task in tasks {
            let given = engine.given.iter_mut().find(|(given, _)| given.task == task);
            given.expect("it was given it").1 = true;
            self.asked.push((task, for_id));
            let verdict = SchedulerVerdict::TakeBack(id);
            effects.push(SchedulerEffect { task, verdict });
        }
    }
}
