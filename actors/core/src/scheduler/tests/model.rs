//! What the scheduler should do, as naively as can be: lists, searched from the front each time.

use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::limits::{BALANCED_WINDOW_MAX, PREFETCH_PER_SLOT_MAX};
use phalanx_protocol::room::{EngineCapacity, ReadyTask, SchedulerVerdict};
use phalanx_protocol::task::MethodName;

use crate::scheduler::{Hwm, PREFETCH_AHEAD, SchedulerEffect, SchedulerEvent};

/// A method, or that a task names none.
type Need = Option<MethodName>;

#[derive(Debug, Clone)]
struct ModelEngine {
    id: EngineId,
    slots: u64,
    methods: Vec<MethodName>,
    /// What it has; `None` = nobody knows what that task needs.
    tasks: Vec<(TaskId, Option<Need>)>,
    last_assigned: u64,
    /// Run times of the tasks that ended on it, in order.
    runs: Vec<(Need, u64)>,
    /// The tasks beside which it may have no other.
    alone: Vec<TaskId>,
    /// Given nothing before it has nothing, since it came to a task that must run alone.
    draining: bool,
}

impl ModelEngine {
    fn offers(&self, need: &Need) -> bool {
        need.as_ref().is_none_or(|method| self.methods.contains(method))
    }

    fn has_room(&self, hwm: Hwm) -> bool {
        let load = self.tasks.len() as u64;
        let below = match hwm {
            Hwm::Fixed(0) => self.slots > 0,
            Hwm::Fixed(per_slot) => load < u64::from(per_slot) * self.slots,
            Hwm::Adaptive => {
                let costs = self.tasks.iter().map(|(_, need)| self.cost(need.as_ref()));
                costs.sum::<u64>() < self.slots * ahead_nanos()
            }
        };
        below && self.alone.is_empty() && !self.draining && load < BALANCED_WINDOW_MAX as u64
    }

    /// What a task counts as: learned anew from all that ran before.
    fn cost(&self, need: Option<&Need>) -> u64 {
        let Some(need) = need else {
            return ahead_nanos();
        };
        let mut cost = ahead_nanos();
        let mut average = None;
        let mut short_ends = 0;
        for (_, ran) in self.runs.iter().filter(|(method, _)| method == need) {
            let now = average.map_or(*ran, |average: u64| average - average / 8 + ran / 8);
            average = Some(now);
            let least = ahead_nanos().div_ceil(1 + u64::from(PREFETCH_PER_SLOT_MAX));
            let goal = now.clamp(least, ahead_nanos());
            short_ends += 1;
            if goal >= cost {
                (cost, short_ends) = (goal, 0);
            } else if short_ends >= (self.slots * ahead_nanos()).div_ceil(cost) {
                (cost, short_ends) = (goal.max(cost / 2), 0);
            }
        }
        cost
    }
}

fn ahead_nanos() -> u64 {
    PREFETCH_AHEAD.as_nanos() as u64
}

/// All of it.
#[derive(Debug, Clone)]
pub(super) struct Model {
    hwm: Hwm,
    engines: Vec<ModelEngine>,
    /// In order of arrival.
    queue: Vec<ReadyTask>,
    assignments: u64,
}

impl Model {
    pub(super) const fn new(hwm: Hwm) -> Self {
        Self { hwm, engines: Vec::new(), queue: Vec::new(), assignments: 0 }
    }

    pub(super) fn handle(&mut self, event: SchedulerEvent) -> Vec<SchedulerEffect> {
        let mut effects = Vec::new();
        let alone_before = self.alone_queued();
        match event {
            SchedulerEvent::EngineUp(capacity) => self.engine_up(capacity, &mut effects),
            SchedulerEvent::EngineDown(id) => {
                self.engines.retain(|engine| engine.id != id);
                self.drop_stranded(&mut effects);
            }
            SchedulerEvent::Place(task) => self.place(task, &mut effects),
            SchedulerEvent::Free(task, ran) => self.free(task, ran, &mut effects),
        }
        if alone_before.iter().any(|id| !self.alone_queued().contains(id)) {
            let mut draining: Vec<_> =
                self.engines.iter().filter(|e| e.draining).map(|e| e.id).collect();
            draining.sort_unstable();
            for id in draining {
                self.fill(id, &mut effects);
            }
        }
        self.check();
        effects
    }

    pub(super) fn queued_len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn engine_ids(&self) -> Vec<EngineId> {
        self.engines.iter().map(|engine| engine.id).collect()
    }

    pub(super) fn tasks_on(&self, id: EngineId) -> Vec<TaskId> {
        let engine = self.engines.iter().find(|engine| engine.id == id);
        engine
            .map(|engine| engine.tasks.iter().map(|(task, _)| *task).collect())
            .unwrap_or_default()
    }

    /// What the hub would say to a new room that is to take over.
    pub(super) fn replay(&self) -> Vec<SchedulerEvent> {
        let up = self.engines.iter().map(|engine| {
            SchedulerEvent::EngineUp(EngineCapacity {
                engine: engine.id,
                slots: engine.slots as u32,
                methods: engine.methods.clone(),
                assigned: self.tasks_on(engine.id),
                alone: engine.alone.clone(),
            })
        });
        up.chain(self.queue.iter().cloned().map(SchedulerEvent::Place)).collect()
    }

    pub(super) fn alone_queued(&self) -> Vec<TaskId> {
        self.queue.iter().filter(|task| task.alone).map(|task| task.task).collect()
    }

    fn engine_up(&mut self, capacity: EngineCapacity, effects: &mut Vec<SchedulerEffect>) {
        let mut tasks: Vec<(TaskId, Option<Need>)> = Vec::new();
        let mut relieved = Vec::new();
        self.engines.retain(|engine| engine.id != capacity.engine);
        for id in capacity.assigned {
            let mut need = None;
            if let Some(at) = self.queue.iter().position(|queued| queued.task == id) {
                need = Some(self.queue.remove(at).method);
            }
            for other in &mut self.engines {
                if let Some(at) = other.tasks.iter().position(|(task, _)| *task == id) {
                    need = other.tasks.remove(at).1;
                    other.alone.retain(|alone| *alone != id);
                    relieved.push(other.id);
                }
            }
            if tasks.iter().all(|(task, _)| *task != id) {
                tasks.push((id, need));
            }
        }
        let mut engine = ModelEngine {
            id: capacity.engine,
            slots: u64::from(capacity.slots),
            methods: capacity.methods,
            tasks: Vec::new(),
            last_assigned: 0,
            runs: Vec::new(),
            alone: capacity.alone,
            draining: false,
        };
        for (_, need) in &mut tasks {
            *need = need.take().filter(|need| engine.offers(need));
        }
        engine.tasks = tasks;
        self.engines.push(engine);
        self.drop_stranded(effects);
        for id in [capacity.engine].into_iter().chain(relieved) {
            self.fill(id, effects);
        }
    }

    fn place(&mut self, task: ReadyTask, effects: &mut Vec<SchedulerEffect>) {
        let known = self.queue.iter().any(|queued| queued.task == task.task)
            || self
                .engines
                .iter()
                .any(|engine| engine.tasks.iter().any(|(id, _)| *id == task.task));
        if known {
            return;
        }
        let able = self.engines.iter().filter(|engine| may_have(engine, &task));
        let with_room = able.filter(|engine| engine.has_room(self.hwm));
        // Fewest tasks per slot: a / b < c / d just if a * d < c * b.
        let freest = with_room.min_by(|a, b| {
            let load = |engine: &ModelEngine| engine.tasks.len() as u64;
            let shares = (load(a) * b.slots).cmp(&(load(b) * a.slots));
            shares.then(a.last_assigned.cmp(&b.last_assigned)).then(a.id.cmp(&b.id))
        });
        let fits = freest.filter(|engine| !task.alone || engine.tasks.is_empty());
        let id = fits.map(|engine| engine.id);
        self.queue.push(task);
        if let Some(id) = id {
            self.give(self.queue.len() - 1, id, effects);
        }
        self.drop_stranded(effects);
    }

    fn free(&mut self, id: TaskId, ran: Option<Duration>, effects: &mut Vec<SchedulerEffect>) {
        self.queue.retain(|queued| queued.task != id);
        let mut freed = None;
        for engine in &mut self.engines {
            if let Some(at) = engine.tasks.iter().position(|(task, _)| *task == id) {
                freed = Some(engine.id);
                engine.alone.retain(|alone| *alone != id);
                if let ((_, Some(need)), Some(ran)) = (engine.tasks.remove(at), ran) {
                    engine.runs.push((need, ran.as_nanos() as u64));
                }
            }
        }
        if let Some(id) = freed {
            self.fill(id, effects);
        }
    }

    fn engine(&mut self, id: EngineId) -> &mut ModelEngine {
        self.engines.iter_mut().find(|engine| engine.id == id).expect("it is up")
    }

    fn fill(&mut self, id: EngineId, effects: &mut Vec<SchedulerEffect>) {
        self.engine(id).draining = false;
        loop {
            let engine = self.engine(id).clone();
            let first = self.queue.iter().position(|task| may_have(&engine, task));
            let Some(at) = first.filter(|_| engine.has_room(self.hwm)) else { return };
            if self.queue[at].alone && !engine.tasks.is_empty() {
                self.engine(id).draining = true;
                return;
            }
            self.give(at, id, effects);
        }
    }

    fn give(&mut self, at: usize, id: EngineId, effects: &mut Vec<SchedulerEffect>) {
        let task = self.queue.remove(at);
        self.assignments += 1;
        let (hwm, assignments) = (self.hwm, self.assignments);
        let engine = self.engine(id);
        assert!(engine.has_room(hwm), "over the window");
        assert!(!task.alone || engine.tasks.is_empty(), "not alone");
        engine.last_assigned = assignments;
        engine.alone.extend(task.alone.then_some(task.task));
        engine.tasks.push((task.task, Some(task.method)));
        effects.push(SchedulerEffect { task: task.task, verdict: SchedulerVerdict::Assign(id) });
    }

    fn drop_stranded(&mut self, effects: &mut Vec<SchedulerEffect>) {
        let engines = &self.engines;
        self.queue.retain(|task| {
            let nobody = !engines.iter().any(|engine| may_have(engine, task));
            let stranded = task.follows && task.engines.is_some() && nobody;
            if stranded {
                let verdict = SchedulerVerdict::Unplaceable;
                effects.push(SchedulerEffect { task: task.task, verdict });
            }
            !stranded
        });
    }

    /// Work is conserved, and nothing is in two places.
    fn check(&self) {
        for engine in &self.engines {
            let mut waits = self.queue.iter().filter(|task| may_have(engine, task));
            if engine.draining {
                assert!(waits.next().is_some_and(|task| task.alone), "{} drains", engine.id);
            } else if engine.has_room(self.hwm) {
                let idles = waits.find(|task| !task.alone || engine.tasks.is_empty());
                assert!(idles.is_none(), "{} has room, {idles:?} waits", engine.id);
            }
        }
        let assigned =
            self.engines.iter().flat_map(|engine| engine.tasks.iter().map(|(id, _)| *id));
        let mut all: Vec<_> = assigned.chain(self.queue.iter().map(|task| task.task)).collect();
        let len = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), len, "a task is in two places");
    }
}

fn may_have(engine: &ModelEngine, task: &ReadyTask) -> bool {
    engine.offers(&task.method)
        && task.engines.as_ref().is_none_or(|allowed| allowed.contains(&engine.id))
}
