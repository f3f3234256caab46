//! Whether what the fleet keeps agrees with itself, and with where tasks are: for tests and the
//! simulator. It changes nothing.

use std::collections::BTreeSet;

use phalanx_protocol::ids::EngineId;
use rustc_hash::FxHashMap;

use super::super::Place;
use super::super::methods::{KindId, MethodId};
use super::super::queue::Tasks;
use super::{Engine, Fleet, Rank};

impl Fleet {
    /// The methods of each kind, for checks.
    pub(in super::super) fn methods_of_kinds(&self) -> impl Iterator<Item = MethodId> {
        self.kinds.iter().flat_map(|(_, kind)| kind.offer.methods.iter().copied())
    }

    /// The engines with room, for checks.
    pub(in super::super) fn all_with_room(&self) -> impl Iterator<Item = EngineId> {
        let engines = self.engines.iter();
        engines.filter(|(_, engine)| engine.has_room(self.settings.hwm)).map(|(&id, _)| id)
    }

    /// Panics unless engines have just the tasks that `tasks` says, and all that is derived from
    /// that is right.
    pub(in super::super) fn check(&self, tasks: &Tasks) {
        let mut methods: FxHashMap<EngineId, Vec<Option<MethodId>>> = FxHashMap::default();
        for (task, place) in tasks.iter() {
            if let Place::Assigned { engine, method } = place {
                assert!(self.engines[engine].tasks.contains_key(task), "{task} is not on {engine}");
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
            assert!(
                engine.alone.iter().all(|alone| engine.tasks.contains_key(alone)),
                "{id} alone"
            );
            self.check_held(id, engine);
            engine.ahead.check(id, &engine.tasks, &self.asked);
            assert_eq!(self.hungry.contains(&id), engine.is_hungry(), "{id} has a free slot");
            assert_eq!(
                self.laden.contains(&id),
                engine.waiting_len() > 0,
                "{id} has tasks waiting"
            );
            room.entry(engine.kind).or_default().extend(engine.rank);
            *engines.entry(engine.kind).or_default() += 1;
        }
        assert_eq!(room.values().map(BTreeSet::len).sum::<usize>(), self.with_room_len);
        let mut noted = self.draining.iter().chain(&self.hungry).chain(&self.laden);
        assert!(noted.all(|&id| self.has(id)));
        let is_assigned = |task| matches!(tasks.get(task), Some(Place::Assigned { .. }));
        assert!(self.asked.keys().all(is_assigned), "asked back, and on no engine");
        assert_eq!(engines.len(), self.kinds.len(), "a kind is kept that has no engine");
        assert_eq!(self.kind_ids.len(), self.kinds.len());
        self.check_kinds(&room, &engines);
    }

    fn check_held(&self, id: EngineId, engine: &Engine) {
        assert!(engine.held.keys().all(|task| engine.tasks.contains_key(task)), "{id} holds");
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
}
