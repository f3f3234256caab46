//! The scheduler room: holds ready tasks until an engine has room for them.
//!
//! Its fact: the ready queue and the load of each engine. It knows nothing of dependencies,
//! payloads, clients or sessions.
//!
//! Ready tasks that no engine has room for are queued in classes by what they need: a method, and
//! perhaps certain engines, labels or amounts. An engine that has room is given the one of all
//! tasks that it may have whose turn is first; a task that arrives goes to one of the engines with
//! room that may have it, by the [`Scheme`]. So no engine with room is without a task that is
//! queued and that it may have ([`Scheduler::check_invariants`]). The exceptions: for a task that
//! must run alone an engine that comes to it is given nothing until it has nothing; and amounts
//! that the task whose turn is first waits for are given to no other.
//!
//! Whose turn it is: higher priority first, then what was taken back, then clients in rounds
//! (`rounds`), then as they came.
//!
//! An event about a task costs O(log) of the engines and classes concerned, plus the length of the
//! engine list that comes with it, however many classes and engines there are; if it needs amounts,
//! also O(engines with room that have them), and O(different amounts that tasks wait for).
//!
//! | module | its fact |
//! |---|---|
//! | `queue` | the queued tasks, by class |
//! | `class` | the queued tasks of the same needs |
//! | `rounds` | in which round each of them is served |
//! | `shapes` | which amounts they need |
//! | `board` | which class is next for an engine |
//! | `fleet` | the engines: load and room |
//! | `take_back`, `overdue` | what engines were given, and what of it was too much |
//! | `pace` | how long the tasks of an engine are expected to take |
//! | `methods` | which methods there are, and who offers them |
//!
//! `scheme` and `choice` are the rules by which an engine is chosen; `needs` is what tasks need and
//! engines have, as data; `why` explains to people what a task waits for.

mod board;
mod choice;
mod class;
mod fleet;
mod methods;
mod needs;
mod overdue;
mod pace;
mod queue;
mod rounds;
mod scheme;
mod settings;
mod shapes;
mod take_back;
#[cfg(test)]
mod tests;
mod why;

use std::sync::Arc;
use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::room::{EngineCapacity, ReadyTask, SchedulerVerdict};

pub use self::scheme::{Scheme, SchemeError};
pub use self::settings::{FOLLOWED_MAX, Hwm, OVERDUE_AFTER, PREFETCH_AHEAD, Settings};

use self::board::ClassId;
use self::fleet::{Fleet, Kept};
use self::methods::MethodId;
use self::needs::Needs;
use self::queue::{Queue, Tasks};
use self::scheme::Lots;
use self::take_back::AskedFor;
use crate::supervise::Recreate;
use crate::{Room, Time};

/// What the hub tells the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchedulerEvent {
    /// An engine takes tasks from now on, and has these already. If it was there before, it also
    /// keeps what it was assigned: of what it has no more the hub has told before, and what the hub
    /// does not name it has not heard of yet.
    EngineUp(EngineCapacity),
    /// An engine is gone: forget it and all it had. The hub says what becomes of those tasks.
    EngineDown(EngineId),
    /// Place this task. One that is queued is placed anew, as it is described now; one that is
    /// assigned is left as it is, for its verdict is on the way.
    Place(ReadyTask),
    /// Forget this task, queued or assigned: it ended (after running so long), or was aborted.
    Free(TaskId, Option<Duration>),
    /// Assign this task to this engine, if that has room for it now; if not, forget it. One that is
    /// known is left as it is.
    PlaceAhead(ReadyTask, EngineId),
    /// A task that was to be taken back: it was, and is to be placed again; or its engine keeps it.
    TakenBack(TaskId, Option<ReadyTask>),
}

/// The scheduler's word on a task. Of one that is queued, `Assign`: it counts as the engine's load
/// until freed; `Unplaceable`: it is forgotten. Of one that is assigned, `TakeBack`: it stays the
/// engine's load until [`SchedulerEvent::TakenBack`] answers, unless it ends before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerEffect {
    /// Which task.
    pub task: TaskId,
    /// What became of it.
    pub verdict: SchedulerVerdict,
}

impl SchedulerEvent {
    /// The task that is to be placed from now on as this says.
    const fn places(&self) -> Option<TaskId> {
        match self {
            Self::Place(ready) | Self::TakenBack(_, Some(ready)) => Some(ready.task),
            _ => None,
        }
    }
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the queue.
    Queued {
        /// With its like.
        class: ClassId,
        /// Its number in the order of arrival: the same task may have been there before.
        arrival: u64,
    },
    /// On an engine.
    Assigned {
        engine: EngineId,
        /// `None` if the engine had it when the scheduler met it.
        method: Option<MethodId>,
    },
}

impl Place {
    /// The method of an assigned task; the inner `None` if it is not known, the outer if the task is
    /// queued.
    const fn method(&self) -> Option<Option<MethodId>> {
        match self {
            Self::Queued { .. } => None,
            Self::Assigned { method, .. } => Some(*method),
        }
    }
}

/// The scheduler room.
#[derive(Debug, Default)]
pub struct Scheduler {
    tasks: Tasks,
    queue: Queue,
    fleet: Fleet,
    lots: Lots,
    /// When to look for what can be taken back, and when that was done last.
    look_at: Option<Time>,
    looked_at: Option<Time>,
    /// When to look where tasks wait for too long.
    overdue_at: Option<Time>,
    /// For whom the task that is being placed was asked back, if it was.
    back_for: Option<AskedFor>,
}

impl Recreate for Scheduler {
    type Settings = Settings;

    fn fresh(settings: &Settings) -> Self {
        Self::with_settings(*settings)
    }
}

impl Scheduler {
    /// A room without engines and tasks.
    pub fn with_settings(settings: Settings) -> Self {
        let (fleet, lots) = (Fleet::new(settings), Lots::new(settings.seed));
        Self { fleet, lots, ..Self::default() }
    }

    /// How many tasks wait for an engine.
    pub fn queued_len(&self) -> usize {
        self.queue.len()
    }

    /// How many tasks engines have.
    pub fn assigned_len(&self) -> usize {
        self.tasks.len() - self.queue.len()
    }

    /// How many tasks this engine has; `None` if it is not there.
    pub fn load(&self, engine: EngineId) -> Option<usize> {
        self.fleet.load(engine)
    }

    /// Whether it knows of no engine and no task, and keeps nothing about any.
    #[cfg(test)]
    fn is_vacant(&self) -> bool {
        self.tasks.is_empty() && self.queue.is_vacant() && self.fleet.is_vacant()
    }

    fn place(&mut self, ready: ReadyTask, effects: &mut Vec<SchedulerEffect>) {
        let task = ready.task;
        if self.tasks.contains_key(&task) {
            return;
        }
        let method = ready.method.clone();
        let known = self.fleet.methods.find(method.as_ref());
        // Nobody offers a method that is not known.
        let mut needs = Needs::of(ready, known.unwrap_or(MethodId::NONE));
        if needs.follows && (known.is_none() || self.fleet.able_len(&needs) == 0) {
            effects.push(SchedulerEffect { task, verdict: SchedulerVerdict::Unplaceable });
            return;
        }
        if known.is_none() {
            needs.method = self.fleet.methods.intern(method.as_ref());
        } else if !needs.amounts().is_empty() {
            return self.place_with_amounts(task, needs, effects);
        } else if let Some(engine) = self.choose(&needs) {
            return self.assign_new(task, engine, needs, effects);
        }
        self.enqueue(task, needs);
    }

    /// A task that is not ready: what it waits for is on this engine, and it may queue there behind
    /// that. It gets no more room than a task that is ready would, and never waits for it. Amounts
    /// and engines of its own are for tasks that can start.
    fn place_ahead(
        &mut self,
        ready: ReadyTask,
        engine: EngineId,
        effects: &mut Vec<SchedulerEffect>,
    ) {
        let Some(method) = self.fleet.methods.find(ready.method.as_ref()) else { return };
        let (task, needs) = (ready.task, Needs::of(ready, method));
        let is_free = !needs.alone && needs.amounts().is_empty();
        if is_free && !self.tasks.contains_key(&task) && self.fleet.has_room_for(engine, &needs) {
            self.assign_new(task, engine, needs, effects);
        }
    }

    /// Assigns a task that was not queued.
    fn assign_new(
        &mut self,
        task: TaskId,
        engine: EngineId,
        needs: Needs,
        effects: &mut Vec<SchedulerEffect>,
    ) {
        if needs.is_plain() {
            return self.assign(task, engine, &needs, None, effects);
        }
        let needs = Arc::new(needs);
        self.assign(task, engine, &needs, Some(&needs), effects);
    }

    /// The engine that a task is to be given at once, if one has room for it.
    fn choose(&mut self, needs: &Needs) -> Option<EngineId> {
        if let Some(AskedFor::Engine(engine)) = self.back_for
            && !needs.alone
            && self.fleet.has_room_for(engine, needs)
        {
            return Some(engine);
        }
        if needs.alone {
            return self.fleet.idle(needs);
        }
        self.fleet.choose(needs, &mut self.lots)
    }

    /// A task that needs amounts stands in line for them: it is not placed before others of the
    /// same needs, nor before one that an engine waits for. Engines are tried by load, whatever the
    /// scheme: which of them have what it needs decides.
    fn place_with_amounts(
        &mut self,
        task: TaskId,
        needs: Needs,
        effects: &mut Vec<SchedulerEffect>,
    ) {
        let engines = match needs.alone {
            true => self.fleet.idle(&needs).into_iter().collect(),
            false => self.fleet.able_with_room(&needs),
        };
        // Behind others of the same needs: none of the engines has what those need.
        if !self.enqueue(task, needs) {
            return;
        }
        for engine in engines {
            self.fill(engine, effects);
            if matches!(self.tasks.get(&task), Some(Place::Assigned { .. })) {
                return;
            }
        }
    }

    /// Queues a task; says whether it is the only one of its needs.
    fn enqueue(&mut self, task: TaskId, needs: Needs) -> bool {
        let needs = Needs { is_back: self.back_for.is_some(), ..needs };
        let (place, is_first) = self.queue.push(task, needs, &mut self.fleet);
        self.tasks.insert(task, place);
        is_first
    }

    fn assign(
        &mut self,
        task: TaskId,
        engine: EngineId,
        needs: &Needs,
        shared: Option<&Arc<Needs>>,
        effects: &mut Vec<SchedulerEffect>,
    ) {
        let all = shared.filter(|needs| !needs.is_plain()).cloned();
        self.fleet.assign(engine, task, needs, all);
        self.fleet.rank(engine);
        self.tasks.insert(task, Place::Assigned { engine, method: Some(needs.method) });
        effects.push(SchedulerEffect { task, verdict: SchedulerVerdict::Assign(engine) });
    }

    fn free(&mut self, task: TaskId, ran: Option<Duration>, effects: &mut Vec<SchedulerEffect>) {
        match self.tasks.remove(&task) {
            None => {}
            Some(Place::Queued { class, .. }) => {
                self.queue.forget(class, &self.tasks, &mut self.fleet);
            }
            Some(Place::Assigned { engine, method }) => {
                self.fleet.answered(task);
                self.fleet.free(engine, task, method, ran);
                self.fill(engine, effects);
            }
        }
    }

    fn engine_up(&mut self, capacity: EngineCapacity, effects: &mut Vec<SchedulerEffect>) {
        let engine = capacity.engine;
        let under_way = self.fleet.tasks_beside(engine, &capacity.assigned);
        let under_way: Vec<_> = under_way
            .into_iter()
            .filter_map(|kept| Some((self.tasks.get(&kept.task)?.method()?, kept)))
            .collect();
        // A method that it goes on offering keeps its number, and no other gets it.
        let offered = self.fleet.methods.hold_all(&capacity.methods);
        self.remove_engine(engine);
        let kind = self.fleet.add(&capacity);
        offered.into_iter().for_each(|method| self.fleet.methods.release(method));
        let EngineCapacity { assigned, alone, mut held, .. } = capacity;
        self.queue.engine_up(engine, kind, &self.fleet);
        let mut relieved = Vec::new();
        for task in assigned {
            relieved.extend(self.adopt(task, engine));
        }
        let mut alone = alone;
        for (method, Kept { task, is_alone, amounts }) in under_way {
            let method = method.filter(|method| self.fleet.offers(engine, *method));
            self.fleet.adopt(engine, task, method);
            self.tasks.insert(task, Place::Assigned { engine, method });
            alone.extend(is_alone.then_some(task));
            held.push((task, amounts));
        }
        self.fleet.set_alone(engine, &alone);
        for (task, amounts) in held {
            self.fleet.hold(engine, task, &amounts);
        }
        self.drop_stranded(engine, effects);
        self.fill(engine, effects);
        for engine in relieved {
            self.fill(engine, effects);
        }
    }

    /// Notes that an engine has a task, whatever was known of it. Says who was thought to have it.
    fn adopt(&mut self, task: TaskId, engine: EngineId) -> Option<EngineId> {
        let mut relieved = None;
        let method = match self.tasks.remove(&task) {
            None => None,
            Some(Place::Queued { class, .. }) => {
                let needs = self.queue.forget(class, &self.tasks, &mut self.fleet);
                self.fleet.offers(engine, needs.method).then_some(needs.method)
            }
            Some(Place::Assigned { engine: other, method }) => {
                self.fleet.answered(task);
                self.fleet.free(other, task, method, None);
                relieved = (other != engine).then_some(other);
                method.filter(|&method| self.fleet.offers(engine, method))
            }
        };
        self.fleet.adopt(engine, task, method);
        self.tasks.insert(task, Place::Assigned { engine, method });
        relieved
    }

    fn engine_down(&mut self, engine: EngineId, effects: &mut Vec<SchedulerEffect>) {
        if self.remove_engine(engine) {
            self.drop_stranded(engine, effects);
        }
    }

    /// Gives up what follows to this engine and now has none left that may have it.
    fn drop_stranded(&mut self, engine: EngineId, effects: &mut Vec<SchedulerEffect>) {
        for task in self.queue.take_stranded(engine, &self.tasks, &mut self.fleet) {
            self.tasks.remove(&task);
            effects.push(SchedulerEffect { task, verdict: SchedulerVerdict::Unplaceable });
        }
    }

    /// Forgets an engine and all it had. Says whether it was there.
    fn remove_engine(&mut self, engine: EngineId) -> bool {
        let Some(wreck) = self.fleet.remove(engine) else {
            return false;
        };
        for task in wreck.tasks.keys() {
            self.tasks.remove(task);
        }
        self.queue.engine_down(engine, wreck.extinct, &self.fleet);
        true
    }

    /// Tasks that others waited for are queued no longer. One that had to run alone: engines that
    /// drained for it go on. One that needed amounts: what stood behind it on an engine may have its
    /// turn.
    fn go_on(&mut self, effects: &mut Vec<SchedulerEffect>) {
        loop {
            let engines = if self.queue.take_alone_left() {
                self.fleet.draining()
            } else if let Some(needs) = self.queue.take_left() {
                self.fleet.able_with_room(&needs)
            } else {
                return;
            };
            for engine in engines {
                self.fill(engine, effects);
            }
        }
    }

    /// Gives an engine queued tasks as long as it has room. If the next is one that must run
    /// alone, the engine drains for it: it is given nothing until it has nothing.
    fn fill(&mut self, engine: EngineId, effects: &mut Vec<SchedulerEffect>) {
        self.fleet.set_draining(engine, false);
        while let Some(kind) = self.fleet.kind_with_room(engine)
            && let Some(class) = self.queue.first_for(engine, kind, &self.fleet)
        {
            let needs = self.queue.needs(class).clone();
            if needs.alone && self.fleet.load(engine) != Some(0) {
                self.fleet.set_draining(engine, true);
                break;
            }
            let task = self.queue.take(class, &self.tasks, &mut self.fleet);
            self.assign(task, engine, &needs, Some(&needs), effects);
        }
        self.fleet.rank(engine);
    }
}

impl Room for Scheduler {
    type Event = SchedulerEvent;
    type Effect = SchedulerEffect;

    fn handle(&mut self, now: Time, event: SchedulerEvent, effects: &mut Vec<SchedulerEffect>) {
        self.fleet.now = now;
        if let Some(task) = event.places()
            && matches!(self.tasks.get(&task), Some(Place::Queued { .. }))
        {
            self.handle(now, SchedulerEvent::Free(task, None), effects);
        }
        match event {
            SchedulerEvent::EngineUp(capacity) => self.engine_up(capacity, effects),
            SchedulerEvent::EngineDown(engine) => self.engine_down(engine, effects),
            SchedulerEvent::Place(ready) => self.place(ready, effects),
            SchedulerEvent::PlaceAhead(ready, engine) => self.place_ahead(ready, engine, effects),
            SchedulerEvent::Free(task, ran) => self.free(task, ran, effects),
            SchedulerEvent::TakenBack(task, ready) => self.taken_back(task, ready, effects),
        }
        self.go_on(effects);
        self.plan_look(now);
        self.plan_overdue(now);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.look_at.into_iter().chain(self.overdue_at).min()
    }

    fn on_deadline(&mut self, now: Time, effects: &mut Vec<SchedulerEffect>) {
        self.settle(now, effects);
    }

    /// At the end of a burst: an engine that has nothing to do in the middle of one may be given
    /// more by what follows.
    fn settle(&mut self, now: Time, effects: &mut Vec<SchedulerEffect>) {
        self.look(now, effects);
        self.look_overdue(now, effects);
    }

    fn check_invariants(&self) {
        self.fleet.check(&self.tasks);
        self.queue.check(&self.tasks, &self.fleet);
        self.fleet.methods.check(self.queue.methods().chain(self.fleet.methods_of_kinds()));
    }
}
