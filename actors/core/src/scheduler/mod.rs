//! The scheduler room: holds ready tasks until an engine has room for them.
//!
//! Its fact: the ready queue and the load of each engine. It knows nothing of dependencies,
//! payloads, clients or sessions.
//!
//! Ready tasks that no engine has room for are queued in classes by what they need: a method, and
//! perhaps certain engines. An engine that has room is given the first arrived of all tasks that
//! it may have; a task that arrives goes to the freest engine that may have it. So no engine with
//! room is without a task that is queued and that it may have ([`Scheduler::check_invariants`]).
//! The exception is a task that must run alone: an engine that comes to it is given nothing until
//! it has nothing, and then that task.
//!
//! An event about a task costs O(log) of the engines and classes concerned, plus the length of the
//! engine list that comes with it, however many classes and engines there are.
//!
//! | module | its fact |
//! |---|---|
//! | `queue` | the queued tasks, by class |
//! | `board` | which class is next for an engine |
//! | `fleet` | the engines: load and room |
//! | `pace` | how long the tasks of an engine are expected to take |
//! | `methods` | which methods there are, and who offers them |

mod board;
mod fleet;
mod methods;
mod pace;
mod queue;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::room::{EngineCapacity, ReadyTask, SchedulerVerdict};

pub use self::settings::{Hwm, PREFETCH_AHEAD, Settings};

use self::board::ClassId;
use self::fleet::Fleet;
use self::methods::MethodId;
use self::queue::{Needs, Queue, Tasks};
use crate::supervise::Recreate;
use crate::{Room, Time};

/// What the hub tells the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchedulerEvent {
    /// An engine takes tasks from now on, and has these already.
    EngineUp(EngineCapacity),
    /// An engine is gone: forget it and all it had. The hub says what becomes of those tasks.
    EngineDown(EngineId),
    /// Place this task. One that is queued or assigned already is left as it is.
    Place(ReadyTask),
    /// Forget this task, queued or assigned: it ended (after running so long), or was aborted.
    Free(TaskId, Option<Duration>),
}

/// The scheduler's word on a queued task. `Assign`: it counts as the engine's load until freed.
/// `Unplaceable`: it is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerEffect {
    /// Which task.
    pub task: TaskId,
    /// What became of it.
    pub verdict: SchedulerVerdict,
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

/// The scheduler room.
#[derive(Debug, Default)]
pub struct Scheduler {
    tasks: Tasks,
    queue: Queue,
    fleet: Fleet,
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
        Self { fleet: Fleet::new(settings.hwm), ..Self::default() }
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
        let ReadyTask { task, method, engines, follows, alone } = ready;
        let Entry::Vacant(unknown) = self.tasks.entry(task) else { return };
        let engines = engines.map(ascending);
        let known = self.fleet.methods.find(method.as_ref());
        let able = |engine: &EngineId| known.is_some_and(|it| self.fleet.offers(*engine, it));
        if let Some(engines) = &engines
            && follows
            && !engines.iter().any(able)
        {
            effects.push(SchedulerEffect { task, verdict: SchedulerVerdict::Unplaceable });
            return;
        }
        let freest = known.and_then(|known| {
            let engine = self.fleet.freest(known, engines.as_deref())?;
            // The freest has no task if any has none.
            let fits = !alone || self.fleet.load(engine) == Some(0);
            fits.then_some((engine, known))
        });
        unknown.insert(if let Some((engine, method)) = freest {
            self.fleet.assign(engine, task, method, alone);
            self.fleet.rank(engine);
            effects.push(SchedulerEffect { task, verdict: SchedulerVerdict::Assign(engine) });
            Place::Assigned { engine, method: Some(method) }
        } else {
            let method = known.unwrap_or_else(|| self.fleet.methods.intern(method.as_ref()));
            let follows = follows && engines.is_some();
            let needs = Needs { method, engines, follows, alone };
            self.queue.push(task, needs, &mut self.fleet)
        });
    }

    fn free(&mut self, task: TaskId, ran: Option<Duration>, effects: &mut Vec<SchedulerEffect>) {
        match self.tasks.remove(&task) {
            None => {}
            Some(Place::Queued { class, .. }) => {
                self.queue.forget(class, &self.tasks, &mut self.fleet);
            }
            Some(Place::Assigned { engine, method }) => {
                self.fleet.free(engine, task, method, ran);
                self.fill(engine, effects);
            }
        }
    }

    fn engine_up(&mut self, capacity: EngineCapacity, effects: &mut Vec<SchedulerEffect>) {
        let EngineCapacity { engine, slots, methods, assigned, alone } = capacity;
        self.remove_engine(engine);
        let kind = self.fleet.add(engine, slots, &methods);
        self.queue.engine_up(engine, kind, &self.fleet);
        let mut relieved = Vec::new();
        for task in assigned {
            relieved.extend(self.adopt(task, engine));
        }
        self.fleet.set_alone(engine, &alone);
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
                let method = self.queue.forget(class, &self.tasks, &mut self.fleet);
                self.fleet.offers(engine, method).then_some(method)
            }
            Some(Place::Assigned { engine: other, method }) => {
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
        for task in &wreck.tasks {
            self.tasks.remove(task);
        }
        self.queue.engine_down(engine, wreck.extinct, &self.fleet);
        true
    }

    /// A task that had to run alone waits no longer: engines that drained for it go on.
    fn resume_draining(&mut self, effects: &mut Vec<SchedulerEffect>) {
        for engine in self.fleet.draining() {
            self.fill(engine, effects);
        }
    }

    /// Gives an engine queued tasks as long as it has room. If the next is one that must run
    /// alone, the engine drains for it: it is given nothing until it has nothing.
    fn fill(&mut self, engine: EngineId, effects: &mut Vec<SchedulerEffect>) {
        self.fleet.set_draining(engine, false);
        while let Some(kind) = self.fleet.kind_with_room(engine)
            && let Some(class) = self.queue.first_for(engine, kind)
        {
            let alone = self.queue.is_alone(class);
            if alone && self.fleet.load(engine) != Some(0) {
                self.fleet.set_draining(engine, true);
                break;
            }
            let (task, method) = self.queue.take(class, &self.tasks, &mut self.fleet);
            self.fleet.assign(engine, task, method, alone);
            self.tasks.insert(task, Place::Assigned { engine, method: Some(method) });
            effects.push(SchedulerEffect { task, verdict: SchedulerVerdict::Assign(engine) });
        }
        self.fleet.rank(engine);
    }
}

/// The hub sends them so; what comes from another process is not relied upon.
fn ascending(mut engines: Vec<EngineId>) -> Vec<EngineId> {
    if !engines.is_sorted_by(|a, b| a < b) {
        engines.sort_unstable();
        engines.dedup();
    }
    engines
}

impl Room for Scheduler {
    type Event = SchedulerEvent;
    type Effect = SchedulerEffect;

    fn handle(&mut self, _now: Time, event: SchedulerEvent, effects: &mut Vec<SchedulerEffect>) {
        let alone_len = self.queue.alone_len();
        match event {
            SchedulerEvent::EngineUp(capacity) => self.engine_up(capacity, effects),
            SchedulerEvent::EngineDown(engine) => self.engine_down(engine, effects),
            SchedulerEvent::Place(ready) => self.place(ready, effects),
            SchedulerEvent::Free(task, ran) => self.free(task, ran, effects),
        }
        if self.queue.alone_len() < alone_len {
            self.resume_draining(effects);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }

    fn on_deadline(&mut self, _now: Time, _effects: &mut Vec<SchedulerEffect>) {}

    fn check_invariants(&self) {
        self.fleet.check(&self.tasks);
        self.queue.check(&self.tasks, &self.fleet);
        self.fleet.methods.check(self.queue.methods().chain(self.fleet.methods_of_kinds()));
    }
}
