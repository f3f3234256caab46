//! The engines as the scheduler sees them: what they offer, what they have, which has room.
//! It knows nothing of queued tasks. Which engine a task is given to is chosen in `choice`.

mod check;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::limits::{BALANCED_WINDOW_MAX, SLOTS_PER_ENGINE_MAX};
use phalanx_protocol::needs::{Amount, Resource};
use phalanx_protocol::room::EngineCapacity;
use rustc_hash::{FxHashMap, FxHashSet};

use super::methods::{KindId, MethodId, Methods};
use super::needs::{Needs, Offer, in_order};
use super::pace::Backlog;
use super::settings::{AHEAD_NANOS, Hwm, Settings};
use super::take_back::{Ahead, AskedFor, Numbers};
use crate::Time;
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
    pub(super) slots: u32,
    kind: KindId,
    /// What it was given and has not ended.
    pub(super) tasks: Numbers,
    pub(super) ahead: Ahead,
    pub(super) backlog: Backlog,
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
    /// Whether it is among [`Fleet::hungry`].
    pub(super) in_hungry: bool,
    /// Whether it is among [`Fleet::laden`].
    pub(super) in_laden: bool,
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
    pub(super) tasks: Numbers,
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
    /// Engines with a free slot and room, for which not enough was asked back.
    pub(super) hungry: BTreeSet<EngineId>,
    /// Engines with more tasks than slots.
    pub(super) laden: BTreeSet<EngineId>,
    /// Who is looked at first when tasks are taken back.
    pub(super) hungry_from: EngineId,
    pub(super) laden_from: EngineId,
    pub(super) overdue_from: EngineId,
    /// Tasks that were asked back and not answered for.
    pub(super) asked: FxHashMap<TaskId, AskedFor>,
    /// When what happens now happens.
    pub(super) now: Time,
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
            tasks: Numbers::default(),
            ahead: self.ahead_of(id, self.now),
            backlog: Backlog::default(),
            last_assigned: 0,
            used,
            held: FxHashMap::default(),
            alone: Vec::new(),
            draining: false,
            rank: None,
            open_at: 0,
            in_hungry: false,
            in_laden: false,
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
        self.hungry.remove(&id);
        self.laden.remove(&id);
        if !self.asked.is_empty() {
            for task in engine.tasks.keys() {
                self.answered(*task);
            }
        }
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
        let tasks = engine.tasks.keys().copied();
        let mut tasks: Vec<_> = tasks.filter(|task| !named.contains(task)).collect();
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

    /// Gives it a task; `all` are its needs to keep, unless they are but a method. [`Fleet::rank`] is
    /// to follow.
    pub(super) fn assign(
        &mut self,
        id: EngineId,
        task: TaskId,
        needs: &Needs,
        all: Option<Arc<Needs>>,
    ) {
        self.assignments += 1;
        let (number, now) = (self.assignments, self.now);
        let engine = self.engine_mut(id);
        engine.last_assigned = number;
        if engine.tasks.is_empty() {
            engine.ahead.note_move(now);
        }
        engine.backlog.add(Some(needs.method), engine.slots);
        if needs.alone {
            engine.tasks.insert(task, 0);
            engine.alone.push(task);
        } else {
            engine.tasks.insert(task, number);
            engine.ahead.push(task, number, needs, all);
        }
        self.hold(id, task, needs.amounts());
    }

    /// A task that it has, has so much of its resources. [`Fleet::rank`] is to follow.
    pub(super) fn hold(&mut self, id: EngineId, task: TaskId, amounts: &[Resource]) {
        if amounts.is_empty() {
            return;
        }
        let engine = self.engine_mut(id);
        if !engine.tasks.contains_key(&task) || engine.held.contains_key(&task) {
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
        let has = |task: &TaskId| engine.tasks.contains_key(task);
        engine.alone = alone.iter().copied().filter(has).collect();
    }

    /// The engines that drain, ascending.
    pub(super) fn draining(&self) -> Vec<EngineId> {
        self.draining.iter().copied().collect()
    }

    /// Counts a task that it has already. [`Fleet::rank`] is to follow.
    pub(super) fn adopt(&mut self, id: EngineId, task: TaskId, method: Option<MethodId>) {
        let engine = self.engine_mut(id);
        engine.tasks.insert(task, 0);
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
        let now = self.now;
        let engine = self.engine_mut(id);
        if let Some(number) = engine.tasks.remove(&task) {
            engine.ahead.forget(number, &engine.tasks);
        }
        if ran.is_some() {
            engine.ahead.note_move(now);
        }
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
            self.note_load(id);
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

    pub(super) fn engine_mut(&mut self, id: EngineId) -> &mut Engine {
        self.engines.get_mut(&id).expect("the room names engines that are there")
    }
}
