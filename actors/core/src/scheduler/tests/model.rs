//! What the scheduler should do, as naively as can be: lists, searched from the front each time.

use std::cmp::Ordering;
use std::time::Duration;

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::room::{EngineCapacity, ReadyTask, SchedulerVerdict};

use super::model_engine::{ModelEngine, Need, amounts, may_have};
use crate::Time;
use crate::scheduler::{SchedulerEffect, SchedulerEvent, Scheme, Settings};

/// All of it.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) settings: Settings,
    pub(super) engines: Vec<ModelEngine>,
    /// In order of arrival, each with its round.
    queue: Vec<(u64, ReadyTask)>,
    /// The last round of each client that has tasks waiting, by priority.
    last: Vec<((i32, ClientId), u64)>,
    /// The latest round of which a task was given away, by priority.
    served: Vec<(i32, u64)>,
    /// Those with amounts that are queued no longer, and that others may have stood behind.
    left: Vec<ReadyTask>,
    /// Whether one that must run alone is queued no longer, and engines may have drained for it.
    alone_left: bool,
    assignments: u64,
    pub(super) now: Time,
    /// What was asked back and not answered, for whom; `None` = whoever has room first.
    pub(super) asked: Vec<(TaskId, Option<EngineId>)>,
    /// When it is looked what to take back, and when that was done last.
    pub(super) look_at: Option<Time>,
    pub(super) looked_at: Option<Time>,
    /// When it is looked what waits for too long.
    pub(super) overdue_at: Option<Time>,
    /// For whom the task that is being placed was asked back, if it was.
    pub(super) back_for: Option<Option<EngineId>>,
}

impl Model {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            engines: Vec::new(),
            queue: Vec::new(),
            last: Vec::new(),
            served: Vec::new(),
            left: Vec::new(),
            alone_left: false,
            assignments: 0,
            now: Time::ZERO,
            asked: Vec::new(),
            look_at: None,
            looked_at: None,
            overdue_at: None,
            back_for: None,
        }
    }

    /// What the room is to do. Which engine a drawn lot falls on it takes from what the room did.
    pub(super) fn handle(
        &mut self,
        now: Time,
        event: SchedulerEvent,
        did: &[SchedulerEffect],
    ) -> Vec<SchedulerEffect> {
        let mut effects = Vec::new();
        self.now = now;
        // What is queued is placed anew.
        if let SchedulerEvent::Place(ready) | SchedulerEvent::TakenBack(_, Some(ready)) = &event
            && self.queue.iter().any(|(_, queued)| queued.task == ready.task)
        {
            self.hear(SchedulerEvent::Free(ready.task, None), did, &mut effects);
        }
        self.hear(event, did, &mut effects);
        self.check();
        self.look(&mut effects);
        self.look_overdue(&mut effects);
        effects
    }

    fn hear(
        &mut self,
        event: SchedulerEvent,
        did: &[SchedulerEffect],
        effects: &mut Vec<SchedulerEffect>,
    ) {
        match event {
            SchedulerEvent::EngineUp(capacity) => self.engine_up(capacity, effects),
            SchedulerEvent::EngineDown(id) => {
                self.engines.retain(|engine| engine.id != id);
                self.forget_answered();
                self.drop_stranded(effects);
            }
            SchedulerEvent::Place(task) => self.place(task, did, effects),
            SchedulerEvent::PlaceAhead(task, id) => self.place_ahead(task, id, effects),
            SchedulerEvent::Free(task, ran) => self.free(task, ran, effects),
            SchedulerEvent::TakenBack(task, ready) => {
                self.taken_back(task, ready, did, effects);
            }
        }
        self.go_on(effects);
    }

    /// Who waited for a task that is queued no longer may go on.
    fn go_on(&mut self, effects: &mut Vec<SchedulerEffect>) {
        loop {
            let mut engines: Vec<&ModelEngine> = if std::mem::take(&mut self.alone_left) {
                let mut draining: Vec<_> = self.engines.iter().filter(|e| e.draining).collect();
                draining.sort_by_key(|engine| engine.id);
                draining
            } else if let Some(left) = self.left.pop() {
                let able = self.engines.iter().filter(|engine| may_have(engine, &left));
                let mut able: Vec<_> =
                    able.filter(|engine| engine.has_room(self.settings.hwm)).collect();
                able.sort_by(|a, b| self.by_rank(a, b));
                able
            } else {
                return;
            };
            let engines: Vec<_> = engines.drain(..).map(|engine| engine.id).collect();
            for id in engines {
                self.fill(id, effects);
            }
        }
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
                labels: engine.labels.clone(),
                resources: engine.resources.clone(),
                held: engine.held.clone(),
            })
        });
        let queued = self.queue.iter().map(|(_, task)| task.clone());
        up.chain(queued.map(SchedulerEvent::Place)).collect()
    }

    pub(super) fn alone_queued(&self) -> Vec<TaskId> {
        self.queue.iter().filter(|(_, task)| task.alone).map(|(_, task)| task.task).collect()
    }

    /// A queued task that could start, did it not stand behind one that waits for amounts.
    pub(super) fn held_back(&self) -> Option<TaskId> {
        let could_start = |task: &ReadyTask| {
            let mut engines = self.engines.iter();
            engines.any(|engine| engine.has_room(self.settings.hwm) && engine.can_start(task))
        };
        let mut queue = self.queue.iter().map(|(_, task)| task);
        queue.find(|task| !task.alone && could_start(task)).map(|task| task.task)
    }

    /// Appends a task to its client's line; one that was asked back goes before all lines.
    fn enqueue(&mut self, task: ReadyTask) {
        self.forget_old_rounds();
        if self.back_for.is_some() {
            return self.queue.push((0, task));
        }
        let line = (task.priority, task.task.client);
        let served = self.served.iter().find(|(priority, _)| *priority == line.0);
        let last = self.last.iter().position(|(other, _)| *other == line);
        let before = last.map_or(0, |at| self.last.remove(at).1);
        let round = before.max(served.map_or(0, |(_, round)| *round)) + 1;
        self.last.push((line, round));
        self.queue.push((round, task));
    }

    /// Takes a task out of the queue, whatever becomes of it.
    fn leave(&mut self, at: usize) -> (u64, ReadyTask) {
        let (round, task) = self.queue.remove(at);
        self.left.extend((!amounts(&task).is_empty()).then(|| task.clone()));
        self.alone_left |= task.alone;
        (round, task)
    }

    /// Who has nothing waiting begins anew.
    fn forget_old_rounds(&mut self) {
        let queue = &self.queue;
        let waits = |line| queue.iter().any(|(_, task)| (task.priority, task.task.client) == line);
        self.last.retain(|(line, _)| waits(*line));
        self.served.retain(|(priority, _)| queue.iter().any(|(_, t)| t.priority == *priority));
    }

    /// The place in the queue of what this engine is to be given next, if anything.
    fn next_for(&self, engine: &ModelEngine) -> Option<usize> {
        let able = (0..self.queue.len()).filter(|at| may_have(engine, &self.queue[*at].1));
        let mut order: Vec<_> = able.collect();
        order.sort_by_key(|at| (-i64::from(self.queue[*at].1.priority), self.queue[*at].0, *at));
        let mut awaited: Vec<String> = Vec::new();
        for at in order {
            let needed = amounts(&self.queue[at].1);
            let lacking = needed.iter().filter(|(name, amount)| engine.free(name) < amount.0);
            let lacking: Vec<_> = lacking.map(|(name, _)| name.clone()).collect();
            if lacking.is_empty() && !needed.iter().any(|(name, _)| awaited.contains(name)) {
                return Some(at);
            }
            awaited.extend(lacking);
        }
        None
    }

    fn engine_up(&mut self, capacity: EngineCapacity, effects: &mut Vec<SchedulerEffect>) {
        let mut tasks: Vec<(TaskId, Option<Need>)> = Vec::new();
        let mut relieved = Vec::new();
        let before = self.engines.iter().position(|engine| engine.id == capacity.engine);
        let before = before.map(|at| self.engines.remove(at));
        let named = capacity.assigned.clone();
        for id in capacity.assigned {
            let mut need = None;
            if let Some(at) = self.queue.iter().position(|(_, queued)| queued.task == id) {
                need = Some(self.leave(at).1.method);
            }
            for other in &mut self.engines {
                if let Some(at) = other.tasks.iter().position(|(task, _)| *task == id) {
                    need = other.tasks.remove(at).1;
                    other.given.retain(|(given, _)| given.task != id);
                    other.alone.retain(|alone| *alone != id);
                    other.held.retain(|(task, _)| *task != id);
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
            labels: capacity.labels,
            resources: capacity.resources,
            held: Vec::new(),
            tasks: Vec::new(),
            last_assigned: 0,
            runs: Vec::new(),
            given: Vec::new(),
            moved_at: self.now,
            alone: capacity.alone,
            draining: false,
        };
        for (_, need) in &mut tasks {
            *need = need.take().filter(|need| engine.offers(need));
        }
        engine.tasks = tasks;
        for (task, amounts) in capacity.held {
            let has = engine.tasks.iter().any(|(id, _)| *id == task);
            if has && !amounts.is_empty() && engine.held.iter().all(|(id, _)| *id != task) {
                engine.held.push((task, amounts));
            }
        }
        if let Some(before) = before {
            // What it had and is not named is under way.
            let mut kept = before.tasks.clone();
            kept.retain(|(id, _)| !named.contains(id));
            kept.sort_by_key(|(id, _)| *id);
            for (id, need) in kept {
                let need = need.filter(|need| engine.offers(need));
                engine.tasks.push((id, need));
                engine.alone.extend(before.alone.contains(&id).then_some(id));
                engine.held.extend(before.held.iter().find(|(held, _)| *held == id).cloned());
            }
        }
        self.engines.push(engine);
        self.forget_answered();
        self.drop_stranded(effects);
        for id in [capacity.engine].into_iter().chain(relieved) {
            self.fill(id, effects);
        }
    }

    pub(super) fn place(
        &mut self,
        task: ReadyTask,
        did: &[SchedulerEffect],
        effects: &mut Vec<SchedulerEffect>,
    ) {
        let has = |engine: &ModelEngine| engine.tasks.iter().any(|(id, _)| *id == task.task);
        if self.engines.iter().any(has) {
            return;
        }
        if self.is_stranded(&task) {
            let verdict = SchedulerVerdict::Unplaceable;
            return effects.push(SchedulerEffect { task: task.task, verdict });
        }
        let stands_in_line = !amounts(&task).is_empty();
        let draws = !task.alone && !stands_in_line && self.settings.scheme.is_random();
        let able = self.engines.iter().filter(|engine| may_have(engine, &task));
        let with_room = able.filter(|engine| engine.has_room(self.settings.hwm));
        let mut by_rank: Vec<&ModelEngine> = with_room.collect();
        by_rank.sort_by(|a, b| self.by_rank(a, b));
        let fits = |engine: &&ModelEngine| !task.alone || engine.tasks.is_empty();
        let mut ids: Vec<_> = by_rank.into_iter().filter(fits).map(|engine| engine.id).collect();
        let preferred = self.back_for.flatten().filter(|id| ids.contains(id) && !task.alone);
        if let Some(preferred) = preferred.filter(|_| !stands_in_line) {
            return self.hand(task, preferred, effects);
        }
        if draws && !ids.is_empty() {
            let drawn = did.iter().find_map(|effect| match effect.verdict {
                SchedulerVerdict::Assign(drawn) if effect.task == task.task => Some(drawn),
                _ => None,
            });
            let Some(drawn) = drawn else {
                panic!("{} is to be given to one of {ids:?}, not {did:?}", task.task);
            };
            assert!(ids.contains(&drawn), "{} may not go to {drawn}", task.task);
            ids = vec![drawn];
        }
        if let Some(first) = ids.first().filter(|_| !stands_in_line) {
            return self.hand(task, *first, effects);
        }
        let id = task.task;
        self.enqueue(task);
        for engine in ids {
            if self.queue.iter().any(|(_, queued)| queued.task == id) {
                self.fill(engine, effects);
            }
        }
    }

    /// A task that is not ready goes to this engine at once, or nowhere.
    fn place_ahead(&mut self, task: ReadyTask, id: EngineId, effects: &mut Vec<SchedulerEffect>) {
        let has = |engine: &ModelEngine| engine.tasks.iter().any(|(id, _)| *id == task.task);
        let is_queued = self.queue.iter().any(|(_, queued)| queued.task == task.task);
        let is_known = is_queued || self.engines.iter().any(has);
        let engine = self.engines.iter().find(|engine| engine.id == id);
        let can =
            |engine: &ModelEngine| engine.has_room(self.settings.hwm) && may_have(engine, &task);
        if !is_known && engine.is_some_and(can) && !task.alone && amounts(&task).is_empty() {
            self.hand(task, id, effects);
        }
    }

    /// Who is given a task first. Fewest tasks per slot: a / b < c / d just if a * d < c * b.
    fn by_rank(&self, a: &ModelEngine, b: &ModelEngine) -> Ordering {
        let load = |engine: &ModelEngine| engine.tasks.len() as u64;
        let in_turn = matches!(self.settings.scheme, Scheme::Lru | Scheme::Pure);
        let shares =
            if in_turn { Ordering::Equal } else { (load(a) * b.slots).cmp(&(load(b) * a.slots)) };
        shares.then(a.last_assigned.cmp(&b.last_assigned)).then(a.id.cmp(&b.id))
    }

    fn free(&mut self, id: TaskId, ran: Option<Duration>, effects: &mut Vec<SchedulerEffect>) {
        if let Some(at) = self.queue.iter().position(|(_, queued)| queued.task == id) {
            self.leave(at);
        }
        let mut freed = None;
        for engine in &mut self.engines {
            if let Some(at) = engine.tasks.iter().position(|(task, _)| *task == id) {
                freed = Some(engine.id);
                engine.alone.retain(|alone| *alone != id);
                engine.held.retain(|(task, _)| *task != id);
                engine.given.retain(|(given, _)| given.task != id);
                let (_, need) = engine.tasks.remove(at);
                if let Some(ran) = ran {
                    engine.moved_at = self.now;
                    engine.runs.extend(need.map(|need| (need, Some(ran.as_nanos() as u64))));
                }
            }
        }
        self.forget_answered();
        if let Some(id) = freed {
            self.fill(id, effects);
        }
    }

    fn engine(&mut self, id: EngineId) -> &mut ModelEngine {
        self.engines.iter_mut().find(|engine| engine.id == id).expect("it is up")
    }

    pub(super) fn fill(&mut self, id: EngineId, effects: &mut Vec<SchedulerEffect>) {
        self.engine(id).draining = false;
        loop {
            let engine = self.engine(id).clone();
            let first = self.next_for(&engine);
            let Some(at) = first.filter(|_| engine.has_room(self.settings.hwm)) else { return };
            if self.queue[at].1.alone && !engine.tasks.is_empty() {
                self.engine(id).draining = true;
                return;
            }
            self.give(at, id, effects);
        }
    }

    fn give(&mut self, at: usize, id: EngineId, effects: &mut Vec<SchedulerEffect>) {
        let (round, task) = self.leave(at);
        let served = self.served.iter().find(|(priority, _)| *priority == task.priority);
        let round = served.map_or(round, |(_, before)| round.max(*before));
        self.served.retain(|(priority, _)| *priority != task.priority);
        self.served.push((task.priority, round));
        self.forget_old_rounds();
        self.hand(task, id, effects);
    }

    fn hand(&mut self, task: ReadyTask, id: EngineId, effects: &mut Vec<SchedulerEffect>) {
        self.assignments += 1;
        let (hwm, assignments, now) = (self.settings.hwm, self.assignments, self.now);
        let engine = self.engine(id);
        assert!(engine.has_room(hwm), "over the window");
        assert!(!task.alone || engine.tasks.is_empty(), "not alone");
        engine.last_assigned = assignments;
        if engine.tasks.is_empty() {
            engine.moved_at = now;
        }
        engine.given.extend((!task.alone).then(|| (task.clone(), false)));
        engine.alone.extend(task.alone.then_some(task.task));
        for (name, amount) in amounts(&task) {
            assert!(engine.free(&name) >= amount.0, "{} has no {name} for {}", id, task.task);
        }
        if !amounts(&task).is_empty() {
            engine.held.push((task.task, amounts(&task)));
        }
        engine.tasks.push((task.task, Some(task.method)));
        effects.push(SchedulerEffect { task: task.task, verdict: SchedulerVerdict::Assign(id) });
    }

    /// Whether it cannot wait for its engines, and none of them is there that may have it.
    fn is_stranded(&self, task: &ReadyTask) -> bool {
        let nobody = !self.engines.iter().any(|engine| may_have(engine, task));
        task.follows && task.engines.is_some() && nobody
    }

    fn drop_stranded(&mut self, effects: &mut Vec<SchedulerEffect>) {
        while let Some(at) = self.queue.iter().position(|(_, task)| self.is_stranded(task)) {
            let task = self.leave(at).1.task;
            effects.push(SchedulerEffect { task, verdict: SchedulerVerdict::Unplaceable });
        }
    }

    /// Work is conserved, and nothing is in two places.
    fn check(&self) {
        for engine in &self.engines {
            let next = self.next_for(engine).map(|at| &self.queue[at].1);
            if engine.draining {
                // One that came since may be before it: that is seen when a task ends.
                let mut alone = self.queue.iter().filter(|(_, task)| task.alone);
                assert!(alone.any(|(_, task)| may_have(engine, task)), "{} drains", engine.id);
            } else if engine.has_room(self.settings.hwm) {
                let idles = next.filter(|task| !task.alone || engine.tasks.is_empty());
                assert!(idles.is_none(), "{} has room, {idles:?} waits", engine.id);
            }
        }
        let assigned =
            self.engines.iter().flat_map(|engine| engine.tasks.iter().map(|(id, _)| *id));
        let mut all: Vec<_> =
            assigned.chain(self.queue.iter().map(|(_, task)| task.task)).collect();
        let len = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), len, "a task is in two places");
    }
}
