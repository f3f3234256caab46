//! The engines as the scheduler sees them: what they offer, what they have, which has room.
//! It knows nothing of queued tasks. Which engine a task is given to is chosen in `choice`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::limits::{BALANCED_WINDOW_MAX, SLOTS_PER_ENGINE_MAX};
use phalanx_protocol::needs::{Amount, Resource};
use phalanx_protocol::room::EngineCapacity;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Place;
use super::methods::{KindId, MethodId, Methods};
use super::needs::{Needs, Offer, in_order};
use super::pace::Backlog;
use super::queue::Tasks;
use super::settings::{AHEAD_NANOS, Hwm, Settings};
use crate::slab::Slab;

/// Where an engine stands among those with room; the least one is the next to be given a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Tasks per slot, in 2^-32: exact enough to tell any two apart, as there are at most 2^10
    /// slots. 0 if the scheme takes engines in turn.
    pub(super) share: u64,
    /// When it was last given a task.
    last_assigned: u64,
    pub(super) engine: EngineId,
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
    /// How much of each resource its tasks have, in the order of the kind's totals. An engine that
    /// came with more than it has, has nothing left.
    used: Box<[u128]>,
    /// The amounts of those of its tasks that have some.
    held: FxHashMap<TaskId, Box<[Resource]>>,
    /// The tasks beside which it may have no other: one, unless it came with more.
    alone: Vec<TaskId>,
    /// It is given nothing until it has nothing: the next task must run alone.
    draining: bool,
    /// Its entry among those of its kind with room; `None` = it has none.
    pub(super) rank: Option<Rank>,
    /// Its place in the list of those of its kind with room, if lots are drawn and it has room.
    open_at: usize,
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
    fn rank_now(&self, id: EngineId, settings: Settings) -> Option<Rank> {
        let last_assigned = self.last_assigned;
        self.has_room(settings.hwm).then(|| Rank {
            share: if settings.scheme.is_in_turn() { 0 } else { self.share() },
            last_assigned,
            engine: id,
        })
    }

    /// Its tasks per slot, in 2^-32. Only one with a slot has room, and so is asked.
    pub(super) fn share(&self) -> u64 {
        ((self.tasks.len() as u64) << 32) / u64::from(self.slots)
    }
}

/// The engines that offer exactly the same methods, labels and amounts.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) offer: Arc<Offer>,
    engines: usize,
    /// Those with room, the freest first.
    pub(super) room: BTreeSet<Rank>,
    /// Those with room, in no order, if lots are drawn.
    pub(super) open: Vec<EngineId>,
}

/// A task that an engine has and that is not named when it comes up again.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) task: TaskId,
    pub(super) is_alone: bool,
    pub(super) amounts: Vec<Resource>,
}

/// What an engine that is gone leaves behind.
#[derive(Debug)]
pub(super) struct Wreck {
    pub(super) tasks: FxHashSet<TaskId>,
    /// Its kind, if it was the last of it.
    pub(super) extinct: Option<KindId>,
}

/// What is left of `total`.
fn free(total: Amount, used: u128) -> u64 {
    u64::try_from(u128::from(total.0).saturating_sub(used)).unwrap_or(total.0)
}

/// All engines.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub(super) settings: Settings,
    pub(super) engines: FxHashMap<EngineId, Engine>,
    pub(super) kinds: Slab<Kind>,
    kind_ids: FxHashMap<Arc<Offer>, KindId>,
    pub(super) methods: Methods,
    /// Engines with room, of all kinds.
    pub(super) with_room_len: usize,
    /// Engines that drain.
    draining: BTreeSet<EngineId>,
    assignments: u64,
}

impl Fleet {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Adds an engine without tasks and without a rank. Says its kind, and whether that is new.
    pub(super) fn add(&mut self, capacity: &EngineCapacity) -> (KindId, bool) {
        let EngineCapacity { engine: id, slots, methods, labels, resources, .. } = capacity;
        let id = *id;
        let mut methods: Vec<_> =
            methods.iter().map(|name| self.methods.intern(Some(name))).collect();
        methods.sort_unstable();
        methods.dedup();
        let mut labels = labels.clone();
        labels.sort_unstable();
        labels.dedup();
        let offer = Offer { methods, labels, totals: in_order(resources.clone()) };
        let used = vec![0; offer.totals.len()].into();
        let known = self.kind_ids.get(&offer).copied();
        let kind = known.unwrap_or_else(|| self.add_kind(offer));
        self.kinds[kind.0].engines += 1;
        let engine = Engine {
            // The registry refuses more; exact ranks depend on it.
            slots: (*slots).min(SLOTS_PER_ENGINE_MAX),
            kind,
            tasks: FxHashSet::default(),
            backlog: Backlog::default(),
            last_assigned: 0,
            used,
            held: FxHashMap::default(),
            alone: Vec::new(),
            draining: false,
            rank: None,
            open_at: 0,
        };
        let before = self.engines.insert(id, engine);
        assert!(before.is_none(), "{id} was to be removed first");
        (kind, known.is_none())
    }

    fn add_kind(&mut self, offer: Offer) -> KindId {
        let offer = Arc::new(offer);
        let row =
            Kind { offer: offer.clone(), engines: 0, room: BTreeSet::new(), open: Vec::new() };
        let kind = KindId(self.kinds.insert(row));
        self.methods.add_kind(kind, &offer.methods);
        self.kind_ids.insert(offer, kind);
        kind
    }

    /// Removes an engine, if it is there.
    pub(super) fn remove(&mut self, id: EngineId) -> Option<Wreck> {
        self.set_rank(id, None);
        let engine = self.engines.remove(&id)?;
        self.draining.remove(&id);
        let kind = &mut self.kinds[engine.kind.0];
        kind.engines -= 1;
        let extinct = (kind.engines == 0).then_some(engine.kind);
        if extinct.is_some() {
            let kind = self.kinds.remove(engine.kind.0);
            self.kind_ids.remove(&kind.offer);
            self.methods.remove_kind(engine.kind, &kind.offer.methods);
        }
        Some(Wreck { tasks: engine.tasks, extinct })
    }

    /// What an engine has beside these, by id.
    pub(super) fn tasks_beside(&self, id: EngineId, named: &[TaskId]) -> Vec<Kept> {
        let Some(engine) = self.engines.get(&id) else { return Vec::new() };
        let named: FxHashSet<_> = named.iter().copied().collect();
        let mut tasks: Vec<_> = engine.tasks.difference(&named).copied().collect();
        tasks.sort_unstable();
        let kept = |task| Kept {
            task,
            is_alone: engine.alone.contains(&task),
            amounts: engine.held.get(&task).map_or_else(Vec::new, |amounts| amounts.to_vec()),
        };
        tasks.into_iter().map(kept).collect()
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

    /// What it offers, if it is there.
    pub(super) fn offer(&self, id: EngineId) -> Option<&Offer> {
        self.engines.get(&id).map(|engine| &*self.kinds[engine.kind.0].offer)
    }

    /// Whether it is there and offers this method.
    pub(super) fn offers(&self, id: EngineId, method: MethodId) -> bool {
        let engine = self.engines.get(&id);
        engine.is_some_and(|engine| self.kinds[engine.kind.0].offer.meets(method, None))
    }

    /// Whether it is there and has all that this needs when it has nothing to do. Whether it is
    /// one of the engines that are named is not looked at.
    pub(super) fn can_meet(&self, id: EngineId, needs: &Needs) -> bool {
        self.engines.get(&id).is_some_and(|engine| self.kind_meets(engine.kind, needs))
    }

    /// The same, of all engines of a kind.
    pub(super) fn kind_meets(&self, kind: KindId, needs: &Needs) -> bool {
        self.kinds[kind.0].offer.meets(needs.method, needs.asks.as_deref())
    }

    /// The kinds whose engines can meet these needs.
    pub(super) fn kinds_that_meet(&self, needs: &Needs) -> impl Iterator<Item = KindId> {
        let kinds = self.methods.kinds(needs.method).iter().copied();
        kinds.filter(|kind| needs.asks.is_none() || self.kind_meets(*kind, needs))
    }

    /// How many of the engines that this names are there and can meet it.
    pub(super) fn able_len(&self, needs: &Needs) -> usize {
        let named = needs.engines.iter().flatten();
        named.filter(|engine| self.can_meet(**engine, needs)).count()
    }

    /// How much of a resource an engine has to give.
    pub(super) fn free_amount(&self, id: EngineId, name: &str) -> u64 {
        let Some(engine) = self.engines.get(&id) else { return 0 };
        let offer = &self.kinds[engine.kind.0].offer;
        offer.resource(name).map_or(0, |at| free(offer.totals[at].1, engine.used[at]))
    }

    /// Its kind, if it has room now.
    pub(super) fn kind_with_room(&self, id: EngineId) -> Option<KindId> {
        let engine = self.engines.get(&id)?;
        engine.has_room(self.settings.hwm).then_some(engine.kind)
    }

    /// Gives it a task. [`Fleet::rank`] is to follow.
    pub(super) fn assign(&mut self, id: EngineId, task: TaskId, needs: &Needs) {
        self.assignments += 1;
        let assignments = self.assignments;
        let engine = self.engine_mut(id);
        engine.last_assigned = assignments;
        engine.alone.extend(needs.alone.then_some(task));
        self.adopt(id, task, Some(needs.method));
        self.hold(id, task, needs.amounts());
    }

    /// A task that it has, has so much of its resources. [`Fleet::rank`] is to follow.
    pub(super) fn hold(&mut self, id: EngineId, task: TaskId, amounts: &[Resource]) {
        if amounts.is_empty() {
            return;
        }
        let engine = self.engine_mut(id);
        if !engine.tasks.contains(&task) || engine.held.contains_key(&task) {
            return;
        }
        engine.held.insert(task, amounts.into());
        self.count_held(id, amounts, u128::saturating_add);
    }

    fn count_held(&mut self, id: EngineId, amounts: &[Resource], count: fn(u128, u128) -> u128) {
        let Some(engine) = self.engines.get_mut(&id) else { return };
        let offer = &self.kinds[engine.kind.0].offer;
        for (name, amount) in amounts {
            if let Some(at) = offer.resource(name) {
                engine.used[at] = count(engine.used[at], amount.0.into());
            }
        }
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
        if !engine.held.is_empty()
            && let Some(amounts) = engine.held.remove(&task)
        {
            self.count_held(id, &amounts, u128::saturating_sub);
        }
    }

    /// Gives it the place among those with room that its load asks for.
    pub(super) fn rank(&mut self, id: EngineId) {
        if let Some(engine) = self.engines.get(&id) {
            let now = engine.rank_now(id, self.settings);
            if now != engine.rank {
                self.set_rank(id, now);
            }
        }
    }

    fn set_rank(&mut self, id: EngineId, now: Option<Rank>) {
        let Some(engine) = self.engines.get_mut(&id) else { return };
        let before = std::mem::replace(&mut engine.rank, now);
        let kind = &mut self.kinds[engine.kind.0];
        if let Some(before) = before {
            kind.room.remove(&before);
            self.with_room_len -= 1;
        }
        if let Some(now) = now {
            kind.room.insert(now);
            self.with_room_len += 1;
        }
        if !self.settings.scheme.is_random() || before.is_some() == now.is_some() {
            return;
        }
        if now.is_some() {
            engine.open_at = kind.open.len();
            kind.open.push(id);
            return;
        }
        let at = engine.open_at;
        kind.open.swap_remove(at);
        if let Some(moved) = kind.open.get(at).copied() {
            self.engine_mut(moved).open_at = at;
        }
    }

    /// The methods of each kind, for checks.
    pub(super) fn methods_of_kinds(&self) -> impl Iterator<Item = MethodId> {
        self.kinds.iter().flat_map(|(_, kind)| kind.offer.methods.iter().copied())
    }

    /// The engines with room, for checks.
    pub(super) fn all_with_room(&self) -> impl Iterator<Item = EngineId> {
        let engines = self.engines.iter();
        engines.filter(|(_, engine)| engine.has_room(self.settings.hwm)).map(|(&id, _)| id)
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
            assert_eq!(engine.rank, engine.rank_now(id, self.settings));
            assert!(!engine.draining || !engine.tasks.is_empty(), "{id} drains and is empty");
            assert_eq!(engine.draining, self.draining.contains(&id));
            assert!(engine.alone.iter().all(|alone| engine.tasks.contains(alone)), "{id} alone");
            self.check_held(id, engine);
            room.entry(engine.kind).or_default().extend(engine.rank);
            *engines.entry(engine.kind).or_default() += 1;
        }
        assert_eq!(room.values().map(BTreeSet::len).sum::<usize>(), self.with_room_len);
        assert!(self.draining.iter().all(|&id| self.has(id)));
        assert_eq!(engines.len(), self.kinds.len(), "a kind is kept that has no engine");
        assert_eq!(self.kind_ids.len(), self.kinds.len());
        self.check_kinds(&room, &engines);
    }

    fn check_held(&self, id: EngineId, engine: &Engine) {
        assert!(engine.held.keys().all(|task| engine.tasks.contains(task)), "{id} holds");
        for (at, (name, _)) in self.kinds[engine.kind.0].offer.totals.iter().enumerate() {
            let of_name = engine.held.values().flat_map(|amounts| amounts.iter());
            let of_name =
                of_name.filter(|(other, _)| other == name).map(|(_, amount)| u128::from(amount.0));
            assert_eq!(of_name.sum::<u128>(), engine.used[at], "{id}'s {name}");
        }
    }

    fn check_kinds(
        &self,
        room: &FxHashMap<KindId, BTreeSet<Rank>>,
        engines: &FxHashMap<KindId, usize>,
    ) {
        for (id, kind) in self.kinds.iter() {
            assert_eq!(engines[&KindId(id)], kind.engines);
            assert_eq!(room[&KindId(id)], kind.room);
            assert_eq!(self.kind_ids[&kind.offer], KindId(id));
            let drawn = self.settings.scheme.is_random();
            assert_eq!(kind.open.len(), if drawn { kind.room.len() } else { 0 });
            for (at, open) in kind.open.iter().enumerate() {
                let engine = &self.engines[open];
                assert!(engine.rank.is_some() && engine.open_at == at, "{open} is not open");
            }
            for &method in kind.offer.methods.iter().chain([&MethodId::NONE]) {
                assert!(self.methods.kinds(method).contains(&KindId(id)));
            }
        }
    }

    fn engine_mut(&mut self, id: EngineId) -> &mut Engine {
        self.engines.get_mut(&id).expect("the room names engines that are there")
    }
}
