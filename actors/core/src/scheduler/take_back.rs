//! Taking back: tasks that were sent ahead to an engine that takes longer than was expected, for one
//! that has nothing to do. For whichever has room first: see `overdue`.
//!
//! What an engine is sent ahead is too much if no task has ended there for [`PREFETCH_AHEAD`], or if
//! what ended since says that all of it takes longer. Then an engine with a free slot, for which
//! nothing is queued, gets half of what waits there and that it may have, the newest first: asked
//! back from the engine, which says whether it has started a task. One that has started stays, so
//! nothing runs twice. While engines end short tasks as expected nothing is taken back, however much
//! they have; behind one that takes longer than [`PREFETCH_AHEAD`], whatever waits is for whoever
//! idles.
//!
//! So sending ahead costs at most about [`PREFETCH_AHEAD`] and a round trip when it was wrong. What
//! the scheduler found an engine with when it met it is not taken back: it does not know what that
//! needs. Looking costs nothing while no engine has a free slot or none has tasks waiting, and is
//! done once per [`PREFETCH_AHEAD`] at most.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::limits::{TAKE_BACK_LOOKS_MAX, TAKE_BACK_TASKS_MAX};
use phalanx_protocol::room::{ReadyTask, SchedulerVerdict};
use rustc_hash::FxHashMap;

use super::fleet::{Engine, Fleet};
use super::methods::MethodId;
use super::needs::Needs;
use super::settings::{AHEAD_NANOS, PREFETCH_AHEAD};
use super::{Place, Scheduler, SchedulerEffect};
use crate::Time;

/// A task that an engine was given.
#[derive(Debug)]
pub(super) struct Given {
    task: TaskId,
    /// The number of its assignment.
    number: u64,
    method: MethodId,
    /// All that it needs; `None` = only the method.
    needs: Option<Arc<Needs>>,
    /// Whether it was asked back.
    asked: bool,
}

/// What an engine was given, in order.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Some are of tasks that it has no more; the first is not.
    given: VecDeque<Given>,
    dead_len: usize,
    /// When a task ended on it last, or it was last given one when it had none.
    moved_at: Time,
    /// Tasks that were asked back for it and are not here yet.
    coming: usize,
}

/// For whom a task was asked back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskedFor {
    /// An engine with a free slot.
    Engine(EngineId),
    /// Whichever has room first.
    Anyone,
}

/// The tasks of an engine, each with the number of its assignment; 0 if it may not be taken back.
pub(super) type Numbers = FxHashMap<TaskId, u64>;

impl Given {
    fn is_alive(&self, numbers: &Numbers) -> bool {
        numbers.get(&self.task) == Some(&self.number)
    }
}

impl Ahead {
    /// It was given another task.
    pub(super) fn push(
        &mut self,
        task: TaskId,
        number: u64,
        needs: &Needs,
        all: Option<Arc<Needs>>,
    ) {
        let method = needs.method;
        self.given.push_back(Given { task, number, method, needs: all, asked: false });
    }

    /// It has one task less. Mostly that is the one that it was given first.
    pub(super) fn forget(&mut self, number: u64, numbers: &Numbers) {
        if number == 0 {
            return;
        }
        if self.given.front().is_some_and(|given| given.number == number) {
            self.given.pop_front();
        } else {
            self.dead_len += 1;
        }
        while self.dead_len > 0 && self.given.front().is_some_and(|given| !given.is_alive(numbers))
        {
            self.given.pop_front();
            self.dead_len -= 1;
        }
        if self.dead_len > self.given.len() / 2 {
            self.given.retain(|given| given.is_alive(numbers));
            self.dead_len = 0;
        }
    }

    /// When a task ended on it last, or it was last given one when it had none.
    pub(super) const fn moved_at(&self) -> Time {
        self.moved_at
    }

    /// It is at work: it ended a task, or was given its first.
    pub(super) const fn note_move(&mut self, now: Time) {
        self.moved_at = now;
    }

    /// Panics unless it says what the engine's tasks say.
    pub(super) fn check(
        &self,
        id: EngineId,
        numbers: &Numbers,
        asked: &FxHashMap<TaskId, AskedFor>,
    ) {
        assert!(self.given.iter().is_sorted_by_key(|given| given.number), "{id}");
        let alive: Vec<_> = self.given.iter().filter(|given| given.is_alive(numbers)).collect();
        assert_eq!(alive.len() + self.dead_len, self.given.len(), "given to {id}");
        assert_eq!(alive.len(), numbers.values().filter(|number| **number > 0).count(), "{id}");
        assert!(self.given.front().is_none_or(|first| first.is_alive(numbers)), "first of {id}");
        let unasked = |given: &&&Given| asked.contains_key(&given.task) && !given.asked;
        assert!(alive.iter().find(unasked).is_none(), "asked back from {id}");
        assert_eq!(coming_len(id, asked), self.coming, "to {id}");
    }
}

impl Engine {
    /// Whether it has a free slot and room, and not enough is coming.
    pub(super) fn is_hungry(&self) -> bool {
        self.rank.is_some() && self.tasks.len() + self.ahead.coming < self.slots as usize
    }

    /// How many of its tasks wait for a slot, as far as is known here.
    pub(super) fn waiting_len(&self) -> usize {
        self.tasks.len().saturating_sub(self.slots as usize)
    }

    /// Whether no task has ended on it for so long that what waits there would start sooner
    /// elsewhere.
    fn is_stuck(&self, now: Time) -> bool {
        self.ahead.moved_at + PREFETCH_AHEAD <= now
    }

    /// Whether it has more than an engine is given, by what is known now.
    fn is_overfull(&self) -> bool {
        self.backlog.nanos() >= (u64::from(self.slots) + 1) * AHEAD_NANOS
    }
}

impl Scheduler {
    /// When to look for what can be taken back, after an event.
    pub(super) fn plan_look(&mut self, now: Time) {
        if !self.fleet.may_take_back() {
            self.look_at = None;
        } else if self.look_at.is_none() {
            self.look_at = Some(self.looked_at.map_or(now, |last| now.max(last + PREFETCH_AHEAD)));
        }
    }

    /// Asks back what is too much, if it is time to look.
    pub(super) fn look(&mut self, now: Time, effects: &mut Vec<SchedulerEffect>) {
        if self.look_at.is_none_or(|look_at| look_at > now) {
            return;
        }
        self.looked_at = Some(now);
        for (engine, task) in self.fleet.ask_back(now) {
            effects.push(SchedulerEffect { task, verdict: SchedulerVerdict::TakeBack(engine) });
        }
        let stuck_at = self.fleet.next_stuck(now).filter(|_| self.fleet.may_take_back());
        self.look_at = stuck_at.map(|at| at.max(now + PREFETCH_AHEAD));
    }

    /// A task that was asked back is to be placed again, if possible where it was asked back for; or
    /// its engine keeps it.
    pub(super) fn taken_back(
        &mut self,
        task: TaskId,
        ready: Option<ReadyTask>,
        effects: &mut Vec<SchedulerEffect>,
    ) {
        let asked_for = self.fleet.answered(task);
        let Some(ready) = ready else {
            if asked_for == Some(AskedFor::Anyone)
                && let Some(Place::Assigned { engine, .. }) = self.tasks.get(&task)
            {
                self.fleet.may_ask_again(*engine, task);
            }
            return;
        };
        let Some(Place::Assigned { engine, method }) = self.tasks.get(&task).copied() else {
            return self.place(ready, effects);
        };
        if asked_for.is_none() && self.fleet.was_given(engine, task) {
            // Nobody waits for it, so mostly this is said twice, and it has been given anew since. Where
            // it is is where it stays: the hub hears that again, and heeds it if it does not know.
            let verdict = SchedulerVerdict::Assign(engine);
            return effects.push(SchedulerEffect { task, verdict });
        }
        self.tasks.remove(&task);
        self.fleet.free(engine, task, method, None);
        self.fill(engine, effects);
        self.back_for = asked_for;
        self.place(ready, effects);
        self.back_for = None;
    }
}

impl Fleet {
    /// Whether an engine has a free slot while another has tasks waiting.
    fn may_take_back(&self) -> bool {
        !self.hungry.is_empty() && !self.laden.is_empty()
    }

    /// Puts an engine among those with a free slot and those with tasks waiting, if it is one.
    pub(super) fn note_load(&mut self, id: EngineId) {
        let Some(engine) = self.engines.get_mut(&id) else { return };
        let (hungry, laden) = (engine.is_hungry(), engine.waiting_len() > 0);
        if std::mem::replace(&mut engine.in_hungry, hungry) != hungry {
            enter(&mut self.hungry, id, hungry);
        }
        if std::mem::replace(&mut engine.in_laden, laden) != laden {
            enter(&mut self.laden, id, laden);
        }
    }

    /// Chooses what is asked back for the engines with a free slot, and notes it.
    fn ask_back(&mut self, now: Time) -> Vec<(EngineId, TaskId)> {
        let mut looks = TAKE_BACK_LOOKS_MAX;
        let mut laden = self.too_laden(now, &mut looks);
        let mut all = Vec::new();
        let hungry: Vec<_> = around(&self.hungry, self.hungry_from).take(looks).collect();
        self.hungry_from = EngineId::default();
        for hungry in hungry {
            if laden.is_empty() {
                break;
            }
            if looks == 0 {
                self.hungry_from = hungry;
                break;
            }
            looks -= 1;
            laden.sort_unstable_by_key(|(waiting, id)| (std::cmp::Reverse(*waiting), *id));
            for (waiting, id) in &mut laden {
                let most = waiting.div_ceil(2).min(TAKE_BACK_TASKS_MAX);
                let may = |given: &Given| self.could_have(hungry, given);
                let tasks = self.waiting_on(*id, most, &mut looks, may);
                if !tasks.is_empty() {
                    *waiting = waiting.saturating_sub(tasks.len());
                    self.note_asked(now, *id, AskedFor::Engine(hungry), &tasks);
                    all.extend(tasks.into_iter().map(|(_, task)| (*id, task)));
                    break;
                }
            }
        }
        all
    }

    /// Engines with more than they should have, each with how many tasks wait there.
    fn too_laden(&mut self, now: Time, looks: &mut usize) -> Vec<(usize, EngineId)> {
        let mut found = Vec::new();
        let mut next = None;
        for id in around(&self.laden, self.laden_from) {
            if *looks <= TAKE_BACK_LOOKS_MAX / 2 {
                next = Some(id);
                break;
            }
            *looks -= 1;
            let engine = &self.engines[&id];
            if engine.is_stuck(now) || engine.is_overfull() {
                found.push((engine.waiting_len(), id));
            }
        }
        self.laden_from = next.unwrap_or_default();
        found
    }

    /// The newest tasks of an engine that were not asked back and are such as these: none of the
    /// oldest, which run. Each with its place among those given.
    pub(super) fn waiting_on(
        &self,
        id: EngineId,
        most: usize,
        looks: &mut usize,
        is_such: impl Fn(&Given) -> bool,
    ) -> Vec<(usize, TaskId)> {
        let engine = &self.engines[&id];
        let mut left = engine.waiting_len();
        let mut waiting = Vec::new();
        for (at, given) in engine.ahead.given.iter().enumerate().rev() {
            if left == 0 || waiting.len() == most || *looks == 0 {
                break;
            }
            *looks -= 1;
            if given.is_alive(&engine.tasks) {
                left -= 1;
                if !given.asked && is_such(given) {
                    waiting.push((at, given.task));
                }
            }
        }
        waiting
    }

    pub(super) fn note_asked(
        &mut self,
        now: Time,
        id: EngineId,
        asked_for: AskedFor,
        tasks: &[(usize, TaskId)],
    ) {
        let engine = self.engine_mut(id);
        if engine.is_stuck(now) {
            // Nothing more is to be sent there until tasks end again.
            let running = engine.ahead.given.iter().filter(|given| given.is_alive(&engine.tasks));
            let running = running.take(engine.slots as usize).map(|given| given.method);
            match asked_for {
                AskedFor::Engine(_) => {
                    running.for_each(|method| engine.backlog.shut(method, engine.slots));
                }
                // By now it may well be one that it came with.
                AskedFor::Anyone => engine.backlog.shut_all(engine.slots),
            }
        }
        for (at, _) in tasks {
            engine.ahead.given[*at].asked = true;
        }
        self.asked.extend(tasks.iter().map(|(_, task)| (*task, asked_for)));
        self.rank(id);
        if let AskedFor::Engine(hungry) = asked_for {
            self.engine_mut(hungry).ahead.coming += tasks.len();
            self.rank(hungry);
        }
    }

    /// A task that was asked back stays for now.
    fn may_ask_again(&mut self, id: EngineId, task: TaskId) {
        let given = self.engine_mut(id).ahead.given.iter_mut().rev();
        given.filter(|given| given.task == task).for_each(|given| given.asked = false);
    }

    /// Whether an engine with a free slot may have a task of another.
    fn could_have(&self, id: EngineId, given: &Given) -> bool {
        let Some(needs) = &given.needs else {
            return self.offers(id, given.method);
        };
        let has = |name: &str, amount: u64| self.free_amount(id, name) >= amount;
        self.may_have(id, needs) && needs.amounts().iter().all(|(name, amount)| has(name, amount.0))
    }

    /// Whether it is one of the engines that are named, if any are, and can meet these needs.
    fn may_have(&self, id: EngineId, needs: &Needs) -> bool {
        let is_named = needs.engines.as_ref().is_none_or(|engines| engines.contains(&id));
        is_named && self.can_meet(id, needs)
    }

    /// Whether it has room for a task of these needs, which are no amounts.
    pub(super) fn has_room_for(&self, id: EngineId, needs: &Needs) -> bool {
        self.kind_with_room(id).is_some() && self.may_have(id, needs)
    }

    /// When one of the engines with tasks waiting counts as stuck that does not yet.
    fn next_stuck(&self, now: Time) -> Option<Time> {
        let laden = around(&self.laden, self.laden_from);
        let laden = laden.take(TAKE_BACK_LOOKS_MAX).map(|id| &self.engines[&id]);
        let moving = laden.filter(|engine| !engine.is_stuck(now));
        moving.map(|engine| engine.ahead.moved_at + PREFETCH_AHEAD).min()
    }

    /// Whether an engine was given this task here, and did not have it when it came.
    fn was_given(&self, engine: EngineId, task: TaskId) -> bool {
        let number = self.engines.get(&engine).and_then(|engine| engine.tasks.get(&task));
        number.is_some_and(|number| *number > 0)
    }

    /// A task that was asked back will not come that way, or is here. Says for whom it was.
    pub(super) fn answered(&mut self, task: TaskId) -> Option<AskedFor> {
        if self.asked.is_empty() {
            return None;
        }
        let asked_for = self.asked.remove(&task)?;
        if let AskedFor::Engine(hungry) = asked_for
            && let Some(engine) = self.engines.get_mut(&hungry)
        {
            engine.ahead.coming -= 1;
            self.rank(hungry);
        }
        Some(asked_for)
    }

    /// What is coming to an engine that is new here: asked back for an earlier life of it.
    pub(super) fn ahead_of(&self, id: EngineId, now: Time) -> Ahead {
        Ahead { moved_at: now, coming: coming_len(id, &self.asked), ..Ahead::default() }
    }
}

/// How many tasks were asked back for this engine and are not here yet.
fn coming_len(id: EngineId, asked: &FxHashMap<TaskId, AskedFor>) -> usize {
    asked.values().filter(|asked_for| **asked_for == AskedFor::Engine(id)).count()
}

fn enter(set: &mut BTreeSet<EngineId>, id: EngineId, is_in: bool) {
    if is_in {
        set.insert(id);
    } else {
        set.remove(&id);
    }
}

/// All of a set, from this one on and then the others: whoever had no turn is the next to have one.
pub(super) fn around(set: &BTreeSet<EngineId>, from: EngineId) -> impl Iterator<Item = EngineId> {
    set.range(from..).chain(set.range(..from)).copied()
}
