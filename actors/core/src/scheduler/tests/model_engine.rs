//! An engine of the naive model: what it offers, what it has, and what that counts as.

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::limits::{BALANCED_WINDOW_MAX, PREFETCH_PER_SLOT_MAX};
use phalanx_protocol::needs::{Amount, Resource};
use phalanx_protocol::room::ReadyTask;
use phalanx_protocol::task::MethodName;

use crate::Time;
use crate::scheduler::{FOLLOWED_MAX, Hwm, PREFETCH_AHEAD};

/// A method, or that a task names none.
pub(super) type Need = Option<MethodName>;

#[derive(Debug, Clone)]
pub(super) struct ModelEngine {
    pub(super) id: EngineId,
    pub(super) slots: u64,
    pub(super) methods: Vec<MethodName>,
    pub(super) labels: Vec<String>,
    pub(super) resources: Vec<Resource>,
    /// The amounts of those of its tasks that have some.
    pub(super) held: Vec<(TaskId, Vec<Resource>)>,
    /// What it has; `None` = nobody knows what that task needs.
    pub(super) tasks: Vec<(TaskId, Option<Need>)>,
    pub(super) last_assigned: u64,
    /// Run times of the tasks that ended on it, in order; `None` = one was found to run for too long
    /// before it had ended.
    pub(super) runs: Vec<(Need, Option<u64>)>,
    /// What it was given and may be asked back, in order; whether it was.
    pub(super) given: Vec<(ReadyTask, bool)>,
    /// When a task ended on it last, or it was last given one when it had none.
    pub(super) moved_at: Time,
    /// The tasks beside which it may have no other.
    pub(super) alone: Vec<TaskId>,
    /// Given nothing before it has nothing, since it came to a task that must run alone.
    pub(super) draining: bool,
}

impl ModelEngine {
    pub(super) fn offers(&self, need: &Need) -> bool {
        need.as_ref().is_none_or(|method| self.methods.contains(method))
    }

    /// The most of a resource that it has; of one that it names twice the larger amount counts.
    pub(super) fn total(&self, name: &str) -> Amount {
        let named = self.resources.iter().filter(|(other, _)| other == name);
        named.map(|(_, amount)| *amount).max().unwrap_or_default()
    }

    pub(super) fn free(&self, name: &str) -> u64 {
        let held = self.held.iter().flat_map(|(_, amounts)| amounts);
        let held: u64 = held.filter(|(other, _)| other == name).map(|(_, amount)| amount.0).sum();
        self.total(name).0.saturating_sub(held)
    }

    /// Whether what it has left is enough for a task that it may have.
    pub(super) fn can_start(&self, task: &ReadyTask) -> bool {
        may_have(self, task) && amounts(task).iter().all(|(name, least)| self.free(name) >= least.0)
    }

    /// What all that it has counts as.
    pub(super) fn cost_of_all(&self) -> u64 {
        self.tasks.iter().map(|(_, need)| self.cost(need.as_ref())).sum()
    }

    pub(super) fn has_room(&self, hwm: Hwm) -> bool {
        let load = self.tasks.len() as u64;
        let below = match hwm {
            Hwm::Fixed(0) => self.slots > 0,
            Hwm::Fixed(per_slot) => load < u64::from(per_slot) * self.slots,
            Hwm::Adaptive => self.cost_of_all() < self.slots * ahead_nanos(),
        };
        below && self.alone.is_empty() && !self.draining && load < BALANCED_WINDOW_MAX as u64
    }

    /// What a task counts as: learned anew from all that ran before.
    pub(super) fn cost(&self, need: Option<&Need>) -> u64 {
        let Some(need) = need else {
            return ahead_nanos();
        };
        let mut cost = ahead_nanos();
        let mut average = None;
        let mut short_ends = 0;
        for (_, ran) in self.runs.iter().filter(|(method, _)| method == need) {
            let Some(ran) = ran else {
                (cost, short_ends) = (ahead_nanos(), 0);
                continue;
            };
            let now = average.map_or(*ran, |average: u64| average - average / 8 + ran / 8);
            average = Some(now);
            let least = ahead_nanos().div_ceil(1 + u64::from(PREFETCH_PER_SLOT_MAX));
            let goal = match u128::from(now) > FOLLOWED_MAX.as_nanos() {
                true => ahead_nanos(),
                false => now.clamp(least, ahead_nanos() - 1),
            };
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

pub(super) fn ahead_nanos() -> u64 {
    PREFETCH_AHEAD.as_nanos() as u64
}

/// What a task needs of resources; of one that it names twice the larger amount.
pub(super) fn amounts(task: &ReadyTask) -> Vec<Resource> {
    let needed = task.needs.iter().flat_map(|needs| &needs.amounts);
    let most = |name: &str| {
        let named = task.needs.iter().flat_map(|needs| &needs.amounts);
        named.filter(|(other, _)| other == name).map(|(_, amount)| *amount).max()
    };
    let mut amounts: Vec<_> =
        needed.map(|(name, _)| (name.clone(), most(name).unwrap_or_default())).collect();
    amounts.sort();
    amounts.dedup();
    amounts
}

pub(super) fn may_have(engine: &ModelEngine, task: &ReadyTask) -> bool {
    let mut labels = task.needs.iter().flat_map(|needs| &needs.labels);
    let has_all = amounts(task).iter().all(|(name, amount)| {
        engine.resources.iter().any(|(other, _)| other == name) && engine.total(name) >= *amount
    });
    engine.offers(&task.method)
        && has_all
        && labels.all(|label| engine.labels.contains(label))
        && task.engines.as_ref().is_none_or(|allowed| allowed.contains(&engine.id))
}
