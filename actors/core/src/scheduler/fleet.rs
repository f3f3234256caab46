//! The engines as the scheduler sees them: what they offer, what they have, which has room.
//! It knows nothing of queued tasks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::limits::{BALANCED_WINDOW_MAX, SLOTS_PER_ENGINE_MAX};
use phalanx_protocol::task::MethodName;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Place;
use super::methods::{KindId, MethodId, Methods};
use super::pace::Backlog;
use super::queue::Tasks;
use super::settings::{AHEAD_NANOS, Hwm};
use crate::slab::Slab;

/// Where an engine stands among those with room; the least one is the next to be given a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Tasks per slot, in 2^-32: exact enough to tell any two apart, as there are at most 2^10
    /// slots.
    share: u64,
    /// When it was last given a task.
    last_assigned: u64,
    engine: EngineId,
}

/// An engine that takes tasks.
#[derive(Debug)]
pub(super) struct Engine {
    slots: u32,
    kind: KindId,
    /// What it was given and has not ended.
    tasks: FxHashSet<TaskId>,
    backlog: Backlog,
    last_assigned: u64,
    /// The tasks beside which it may have no other: one, unless it came with more.
    alone: Vec<TaskId>,
    /// It is given nothing until it has nothing: the next task must run alone.
    draining: bool,
    /// Its entry among those of its kind with room; `None` = it has none.
    rank: Option<Rank>,
}

impl Engine {
    fn has_room(&self, hwm: Hwm) -> bool {
        let load = self.tasks.len();
        let slots = u64::from(self.slots);
        load < BALANCED_WINDOW_MAX
            && self.alone.is_empty()
            && !self.draining
            && match hwm {
                Hwm::Adaptive => self.backlog.nanos() < slots * AHEAD_NANOS,
                Hwm::Fixed(0) => slots > 0,
                Hwm::Fixed(per_slot) => (load as u64) < slots * u64::from(per_slot),
            }
    }

    /// The rank that its load asks for; `id` is its own.
    fn rank_now(&self, id: EngineId, hwm: Hwm) -> Option<Rank> {
        self.has_room(hwm).then(|| Rank {
            // An engine with room has a slot.
            share: ((self.tasks.len() as u64) << 32) / u64::from(self.slots),
            last_assigned: self.last_assigned,
            engine: id,
        })
    }
}

/// The engines that offer exactly the same methods.
#[derive(Debug)]
struct Kind {
    /// Ascending.
    methods: Arc<[MethodId]>,
    engines: usize,
    /// Those with room, the freest first.
    room: BTreeSet<Rank>,
}

/// What an engine that is gone leaves behind.
#[derive(Debug)]
pub(super) struct Wreck {
    pub(super) tasks: FxHashSet<TaskId>,
    /// Its kind, if it was the last of it.
    pub(super) extinct: Option<KindId>,
}

/// All engines.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    hwm: Hwm,
    engines: FxHashMap<EngineId, Engine>,
    kinds: Slab<Kind>,
    kind_ids: FxHashMap<Arc<[MethodId]>, KindId>,
    pub(super) methods: Methods,
    /// Engines with room, of all kinds.
    with_room_len: usize,
    /// Engines that drain.
    draining: BTreeSet<EngineId>,
    assignments: u64,
}

impl Fleet {
    pub(super) fn new(hwm: Hwm) -> Self {
        Self { hwm, ..Self::default() }
    }

    /// Adds an engine without tasks and without a rank. Says its kind, and whether that is new.
    pub(super) fn add(
        &mut self,
        id: EngineId,
        slots: u32,
        methods: &[MethodName],
    ) -> (KindId, bool) {
        let mut ids: Vec<_> = methods.iter().map(|name| self.methods.intern(Some(name))).collect();
        ids.sort_unstable();
        ids.dedup();
        let ids: Arc<[MethodId]> = ids.into();
        let known = self.kind_ids.get(&ids).copied();
        let kind = known.unwrap_or_else(|| self.add_kind(ids));
        self.kinds[kind.0].engines += 1;
        let engine = Engine {
            // The registry refuses more; exact ranks depend on it.
            slots: slots.min(SLOTS_PER_ENGINE_MAX),
            kind,
            tasks: FxHashSet::default(),
            backlog: Backlog::default(),
            last_assigned: 0,
            alone: Vec::new(),
            draining: false,
            rank: None,
        };
        let before = self.engines.insert(id, engine);
        assert!(before.is_none(), "{id} was to be removed first");
        (kind, known.is_none())
    }

    fn add_kind(&mut self, methods: Arc<[MethodId]>) -> KindId {
        let row = Kind { methods: methods.clone(), engines: 0, room: BTreeSet::new() };
        let kind = KindId(self.kinds.insert(row));
        self.methods.add_kind(kind, &methods);
        self.kind_ids.insert(methods, kind);
        kind
    }

    /// Removes an engine, if it is there.
    pub(super) fn remove(&mut self, id: EngineId) -> Option<Wreck> {
        let engine = self.engines.remove(&id)?;
        self.draining.remove(&id);
        let kind = &mut self.kinds[engine.kind.0];
        if let Some(rank) = engine.rank {
            kind.room.remove(&rank);
            self.with_room_len -= 1;
        }
        kind.engines -= 1;
        let extinct = (kind.engines == 0).then_some(engine.kind);
        if extinct.is_some() {
            let kind = self.kinds.remove(engine.kind.0);
            self.kind_ids.remove(&kind.methods);
            self.methods.remove_kind(engine.kind, &kind.methods);
        }
        Some(Wreck { tasks: engine.tasks, extinct })
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_vacant(&self) -> bool {
        self.engines.is_empty() && self.kinds.is_empty() && self.methods.is_vacant()
    }

    /// Whether it is there.
    pub(super) fn has(&self, id: EngineId) -> bool {
        self.engines.contains_key(&id)
    }

    /// How many tasks it has.
    pub(super) fn load(&self, id: EngineId) -> Option<usize> {
        self.engines.get(&id).map(|engine| engine.tasks.len())
    }

    /// What it offers.
    pub(super) fn methods_of_kind(&self, kind: KindId) -> &[MethodId] {
        &self.kinds[kind.0].methods
    }

    /// Whether it is there and may have tasks of this method.
    pub(super) fn offers(&self, id: EngineId, method: MethodId) -> bool {
        self.engines.get(&id).is_some_and(|engine| self.kind_offers(engine.kind, method))
    }

    fn kind_offers(&self, kind: KindId, method: MethodId) -> bool {
        method == MethodId::NONE || self.kinds[kind.0].methods.binary_search(&method).is_ok()
    }

    /// Its kind, if it has room now.
    pub(super) fn kind_with_room(&self, id: EngineId) -> Option<KindId> {
        let engine = self.engines.get(&id)?;
        engine.has_room(self.hwm).then_some(engine.kind)
    }

    /// The engine with room that a task of this method is to go to: the one with the fewest tasks
    /// per slot, then the one least recently given a task, then the lowest.
    ///
    /// Costs O(kinds that offer the method), or O(`engines`), which is as long as the event.
    pub(super) fn freest(
        &self,
        method: MethodId,
        engines: Option<&[EngineId]>,
    ) -> Option<EngineId> {
        if self.with_room_len == 0 {
            return None;
        }
        let rank = match engines {
            None => {
                let kinds = self.methods.kinds(method).iter();
                kinds.filter_map(|kind| self.kinds[kind.0].room.first()).min()
            }
            Some(engines) => {
                let engines = engines.iter().filter_map(|id| self.engines.get(id));
                let able = engines.filter(|engine| {
                    engine.rank.is_some() && self.kind_offers(engine.kind, method)
                });
                able.filter_map(|engine| engine.rank.as_ref()).min()
            }
        };
        rank.map(|rank| rank.engine)
    }

    /// Gives it a task, that may be one beside which it has no other. [`Fleet::rank`] is to follow.
    pub(super) fn assign(&mut self, id: EngineId, task: TaskId, method: MethodId, alone: bool) {
        self.assignments += 1;
        let assignments = self.assignments;
        let engine = self.engine_mut(id);
        engine.last_assigned = assignments;
        engine.alone.extend(alone.then_some(task));
        self.adopt(id, task, Some(method));
    }

    /// Whether it is given nothing until it has nothing. [`Fleet::rank`] is to follow.
    pub(super) fn set_draining(&mut self, id: EngineId, draining: bool) {
        if let Some(engine) = self.engines.get_mut(&id).filter(|it| it.draining != draining) {
            engine.draining = draining;
            if draining {
                self.draining.insert(id);
            } else {
                self.draining.remove(&id);
            }
        }
    }

    /// Notes beside which of its tasks it may have no other. [`Fleet::rank`] is to follow.
    pub(super) fn set_alone(&mut self, id: EngineId, alone: &[TaskId]) {
        let engine = self.engine_mut(id);
        engine.alone = alone.iter().copied().filter(|task| engine.tasks.contains(task)).collect();
    }

    /// The engines that drain, ascending.
    pub(super) fn draining(&self) -> Vec<EngineId> {
        self.draining.iter().copied().collect()
    }

    /// Counts a task that it has already. [`Fleet::rank`] is to follow.
    pub(super) fn adopt(&mut self, id: EngineId, task: TaskId, method: Option<MethodId>) {
        let engine = self.engine_mut(id);
        engine.tasks.insert(task);
        engine.backlog.add(method, engine.slots);
    }

    /// Its load no longer. [`Fleet::rank`] is to follow.
    pub(super) fn free(
        &mut self,
        id: EngineId,
        task: TaskId,
        method: Option<MethodId>,
        ran: Option<Duration>,
    ) {
        let engine = self.engine_mut(id);
        engine.tasks.remove(&task);
        engine.alone.retain(|alone| *alone != task);
        engine.backlog.remove(method, engine.slots, ran);
    }

    /// Gives it the place among those with room that its load asks for.
    pub(super) fn rank(&mut self, id: EngineId) {
        let Some(engine) = self.engines.get_mut(&id) else {
            return;
        };
        let now = engine.rank_now(id, self.hwm);
        let before = std::mem::replace(&mut engine.rank, now);
        if now == before {
            return;
        }
        let room = &mut self.kinds[engine.kind.0].room;
        if let Some(before) = before {
            room.remove(&before);
            self.with_room_len -= 1;
        }
        if let Some(now) = now {
            room.insert(now);
            self.with_room_len += 1;
        }
    }

    /// The methods of each kind, for checks.
    pub(super) fn methods_of_kinds(&self) -> impl Iterator<Item = MethodId> {
        self.kinds.iter().flat_map(|(_, kind)| kind.methods.iter().copied())
    }

    /// The engines with room that may have tasks of this method, for checks.
    pub(super) fn with_room_for(&self, method: MethodId) -> impl Iterator<Item = EngineId> {
        let able = move |kind: KindId| self.kind_offers(kind, method);
        let engines = self.engines.iter();
        engines
            .filter(move |(_, engine)| engine.has_room(self.hwm) && able(engine.kind))
            .map(|(&id, _)| id)
    }

    /// Panics unless engines have just the tasks that `tasks` says, and all that is derived from
    /// that is right.
    pub(super) fn check(&self, tasks: &Tasks) {
        let mut methods: FxHashMap<EngineId, Vec<Option<MethodId>>> = FxHashMap::default();
        for (task, place) in tasks {
            if let Place::Assigned { engine, method } = place {
                assert!(self.engines[engine].tasks.contains(task), "{task} is not on {engine}");
                assert!(method.is_none_or(|method| self.offers(*engine, method)));
                methods.entry(*engine).or_default().push(*method);
            }
        }
        let mut room: FxHashMap<KindId, BTreeSet<Rank>> = FxHashMap::default();
        let mut engines: FxHashMap<KindId, usize> = FxHashMap::default();
        for (&id, engine) in &self.engines {
            let methods = methods.remove(&id).unwrap_or_default();
            assert_eq!(methods.len(), engine.tasks.len(), "{id} has a task that is not noted");
            engine.backlog.check(methods.into_iter());
            assert_eq!(engine.rank, engine.rank_now(id, self.hwm));
            assert!(!engine.draining || !engine.tasks.is_empty(), "{id} drains and is empty");
            assert_eq!(engine.draining, self.draining.contains(&id));
            assert!(engine.alone.iter().all(|alone| engine.tasks.contains(alone)), "{id} alone");
            room.entry(engine.kind).or_default().extend(engine.rank);
            *engines.entry(engine.kind).or_default() += 1;
        }
        assert_eq!(room.values().map(BTreeSet::len).sum::<usize>(), self.with_room_len);
        assert!(self.draining.iter().all(|&id| self.has(id)));
        assert_eq!(engines.len(), self.kinds.len(), "a kind is kept that has no engine");
        assert_eq!(self.kind_ids.len(), self.kinds.len());
        for (id, kind) in self.kinds.iter() {
            assert_eq!(engines[&KindId(id)], kind.engines);
            assert_eq!(room[&KindId(id)], kind.room);
            assert_eq!(self.kind_ids[&kind.methods], KindId(id));
            for &method in kind.methods.iter().chain([&MethodId::NONE]) {
                assert!(self.methods.kinds(method).contains(&KindId(id)));
            }
        }
    }

    fn engine_mut(&mut self, id: EngineId) -> &mut Engine {
        self.engines.get_mut(&id).expect("the room names engines that are there")
    }
}
