//! Which of the engines with room a task that arrives is given to: the schemes, on the fleet.

use std::collections::BTreeSet;

use phalanx_protocol::ids::EngineId;

use super::fleet::{Fleet, Rank};
use super::needs::Needs;
use super::scheme::{Lots, Scheme};

/// What an engine with no task weighs when chances are in inverse proportion to load.
const WEIGHT_MAX: u64 = 1 << 32;

impl Fleet {
    /// The engine with room for a task of these needs that the scheme says. Amounts and running
    /// alone are not looked at: see [`Fleet::able_with_room`] and [`Fleet::idle`].
    ///
    /// Costs O(kinds that can meet the needs), or O(engines named), which is as long as the event;
    /// `weighted` costs O(engines with room).
    pub(super) fn choose(&self, needs: &Needs, lots: &mut Lots) -> Option<EngineId> {
        if self.with_room_len == 0 {
            return None;
        }
        match self.settings.scheme {
            Scheme::LeastLoad | Scheme::Lru | Scheme::Pure => self.freest(needs),
            Scheme::PlainRandom => self.open(needs).draw(lots),
            Scheme::TwoBin => {
                let open = self.open(needs);
                let two = [open.draw(lots)?, open.draw(lots)?];
                self.freer(two)
            }
            Scheme::Weighted => {
                let open = self.open(needs);
                let weights: Vec<_> = open.iter().map(|id| (id, self.weight(id))).collect();
                let two = [draw_weighted(&weights, lots)?, draw_weighted(&weights, lots)?];
                self.freer(two)
            }
        }
    }

    /// The first by rank: the one with the fewest tasks per slot if the scheme looks at load, then
    /// the one least recently given a task, then the lowest.
    fn freest(&self, needs: &Needs) -> Option<EngineId> {
        let rank = match &needs.engines {
            None => {
                let kinds = self.kinds_that_meet(needs);
                kinds.filter_map(|kind| self.kinds[kind.0].room.first()).min()
            }
            Some(engines) => self.ranks_of(engines, needs).min(),
        };
        rank.map(|rank| rank.engine)
    }

    /// An engine with room and without a task that can meet these needs; the one that `leastload`
    /// or `lru` would choose. Costs O(engines with room) unless engines are ordered by load.
    pub(super) fn idle(&self, needs: &Needs) -> Option<EngineId> {
        let by_load = !self.settings.scheme.is_in_turn();
        let idle = |rank: &&Rank| {
            if by_load { rank.share == 0 } else { self.load(rank.engine) == Some(0) }
        };
        let rank = match &needs.engines {
            None => {
                let rooms = self.kinds_that_meet(needs).map(|kind| &self.kinds[kind.0].room);
                let first = |room: &BTreeSet<Rank>| {
                    let mut ranks = room.iter().take(if by_load { 1 } else { usize::MAX });
                    ranks.find(idle).copied()
                };
                rooms.filter_map(first).min()
            }
            Some(engines) => self.ranks_of(engines, needs).filter(idle).min().copied(),
        };
        rank.map(|rank| rank.engine)
    }

    /// Every engine with room that can meet these needs, the freest first.
    pub(super) fn able_with_room(&self, needs: &Needs) -> Vec<EngineId> {
        let mut ranks: Vec<Rank> = match &needs.engines {
            None => {
                let kinds = self.kinds_that_meet(needs);
                kinds.flat_map(|kind| self.kinds[kind.0].room.iter().copied()).collect()
            }
            Some(engines) => self.ranks_of(engines, needs).copied().collect(),
        };
        ranks.sort_unstable();
        ranks.into_iter().map(|rank| rank.engine).collect()
    }

    fn ranks_of<'a>(
        &'a self,
        engines: &'a [EngineId],
        needs: &'a Needs,
    ) -> impl Iterator<Item = &'a Rank> {
        let able = engines.iter().filter(|engine| self.can_meet(**engine, needs));
        able.filter_map(|engine| self.engines[engine].rank.as_ref())
    }

    /// The engines with room that can meet these needs, to draw from.
    fn open(&self, needs: &Needs) -> Open<'_> {
        match &needs.engines {
            None => {
                let kinds = self.kinds_that_meet(needs);
                Open::Kinds(kinds.map(|kind| self.kinds[kind.0].open.as_slice()).collect())
            }
            Some(engines) => {
                Open::Named(self.ranks_of(engines, needs).map(|rank| rank.engine).collect())
            }
        }
    }

    /// The one of two with fewer tasks per slot, then the one least recently given a task.
    fn freer(&self, two: [EngineId; 2]) -> Option<EngineId> {
        two.iter().filter_map(|id| self.engines[id].rank).min().map(|rank| rank.engine)
    }

    /// In inverse proportion to one more than its tasks per slot.
    fn weight(&self, id: EngineId) -> u64 {
        let one = 1_u64 << 32;
        let loaded = one + self.engines[&id].share();
        // At least 2^19: an engine has at most 2^13 tasks.
        (u128::from(WEIGHT_MAX) * u128::from(one) / u128::from(loaded)) as u64
    }
}

/// Engines to draw from.
enum Open<'a> {
    Kinds(Vec<&'a [EngineId]>),
    Named(Vec<EngineId>),
}

impl Open<'_> {
    fn iter(&self) -> impl Iterator<Item = EngineId> {
        let (kinds, named): (&[&[EngineId]], &[EngineId]) = match self {
            Self::Kinds(kinds) => (kinds, &[]),
            Self::Named(named) => (&[], named),
        };
        kinds.iter().flat_map(|kind| kind.iter()).chain(named).copied()
    }

    fn draw(&self, lots: &mut Lots) -> Option<EngineId> {
        match self {
            Self::Named(named) if named.is_empty() => None,
            Self::Named(named) => Some(named[lots.below(named.len() as u64) as usize]),
            Self::Kinds(kinds) => {
                let len: usize = kinds.iter().map(|kind| kind.len()).sum();
                let mut at = (len > 0).then(|| lots.below(len as u64) as usize)?;
                for kind in kinds {
                    match kind.get(at) {
                        Some(engine) => return Some(*engine),
                        None => at -= kind.len(),
                    }
                }
                None
            }
        }
    }
}

fn draw_weighted(weights: &[(EngineId, u64)], lots: &mut Lots) -> Option<EngineId> {
    let sum: u64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut at = (sum > 0).then(|| lots.below(sum))?;
    for (engine, weight) in weights {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return Some(*engine),
        }
    }
    None
}
