//! What a task needs, as the scheduler compares it. Pure data: who can meet it is the fleet's
//! matter, whose turn it is the queue's.

use std::sync::Arc;

use phalanx_protocol::ids::{ClientId, EngineId};
use phalanx_protocol::needs::Resource;
use phalanx_protocol::room::ReadyTask;

use super::methods::MethodId;

/// What a task needs and in which line it waits; tasks that agree in all of it are of one class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Needs {
    pub(super) method: MethodId,
    /// The only engines that may have it, ascending; `None` = any.
    pub(super) engines: Option<Vec<EngineId>>,
    /// Whether it cannot wait for `engines` to come back.
    pub(super) follows: bool,
    /// Whether its engine may have no other task meanwhile.
    pub(super) alone: bool,
    /// Labels and amounts; `None` = it needs neither.
    pub(super) asks: Option<Arc<Asks>>,
    pub(super) priority: i32,
    pub(super) client: ClientId,
    /// Whether it had its turn and was taken back: it goes before others of its priority.
    pub(super) is_back: bool,
}

/// The hub sends them so; what comes from another process is not relied upon.
fn ascending(mut engines: Vec<EngineId>) -> Vec<EngineId> {
    if !engines.is_sorted_by(|a, b| a < b) {
        engines.sort_unstable();
        engines.dedup();
    }
    engines
}

impl Needs {
    /// What a task needs, the method as it is known here.
    pub(super) fn of(ready: ReadyTask, method: MethodId) -> Self {
        let ReadyTask { task, method: _, engines, follows, alone, priority, needs } = ready;
        let engines = engines.map(ascending);
        let follows = follows && engines.is_some();
        let asks = Asks::of(needs);
        let client = task.client;
        Self { method, engines, follows, alone, asks, priority, client, is_back: false }
    }

    /// Whether any engine that offers the method may have it, beside others.
    pub(super) const fn is_plain(&self) -> bool {
        self.engines.is_none() && self.asks.is_none() && !self.alone
    }

    /// So much of each resource is the task's while an engine has it.
    pub(super) fn amounts(&self) -> &[Resource] {
        self.asks.as_ref().map_or(&[], |asks| &asks.amounts)
    }
}

/// Labels and amounts that a task needs, each in order of names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asks {
    pub(super) labels: Vec<String>,
    pub(super) amounts: Vec<Resource>,
}

impl Asks {
    /// These, or `None` if they are none.
    pub(super) fn of(needs: Option<phalanx_protocol::needs::Needs>) -> Option<Arc<Self>> {
        let mut needs = needs.filter(|needs| !needs.is_empty())?;
        needs.labels.sort_unstable();
        needs.labels.dedup();
        Some(Arc::new(Self { labels: needs.labels, amounts: in_order(needs.amounts) }))
    }
}

/// Resources by name; of one that is named twice the larger amount.
pub(super) fn in_order(mut resources: Vec<Resource>) -> Vec<Resource> {
    resources.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    resources.dedup_by(|later, earlier| later.0 == earlier.0);
    resources
}

/// What engines of a kind have, each in order of names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Offer {
    pub(super) methods: Vec<MethodId>,
    pub(super) labels: Vec<String>,
    pub(super) totals: Vec<Resource>,
}

impl Offer {
    /// Whether an engine that has nothing to do can run what needs this.
    pub(super) fn meets(&self, method: MethodId, asks: Option<&Asks>) -> bool {
        let knows = method == MethodId::NONE || self.methods.binary_search(&method).is_ok();
        knows && asks.is_none_or(|asks| self.has_labels(asks) && self.has_amounts(asks))
    }

    fn has_labels(&self, asks: &Asks) -> bool {
        asks.labels.iter().all(|label| self.labels.binary_search(label).is_ok())
    }

    fn has_amounts(&self, asks: &Asks) -> bool {
        asks.amounts.iter().all(|(name, amount)| {
            self.resource(name).is_some_and(|index| self.totals[index].1 >= *amount)
        })
    }

    /// The place of a resource among the totals.
    pub(super) fn resource(&self, name: &str) -> Option<usize> {
        self.totals.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()
    }
}
