//! What a task waits for, for people. It changes nothing.

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::needs::Amount;
use phalanx_protocol::room::WaitReason;

use super::fleet::Fleet;
use super::needs::{Needs, Offer};
use super::{Place, Scheduler};

impl Scheduler {
    /// Why this task has no engine yet; `None` if it has one, or is not known.
    ///
    /// What no engine can meet, whatever it has to do, is named first: such a task waits until an
    /// engine comes that can. Costs O(engines), and O(tasks of its needs).
    pub fn why(&self, task: TaskId) -> Option<WaitReason> {
        let Some(Place::Queued { class, arrival }) = self.tasks.get(&task) else {
            return None;
        };
        let needs = self.queue.needs(*class);
        Some(self.fleet.why_not(needs).unwrap_or_else(|| {
            let is_rival = |other: &Needs| self.fleet.are_rivals(needs, other);
            WaitReason::Busy { ahead: self.queue.ahead_len(*class, *arrival, is_rival) }
        }))
    }
}

impl Fleet {
    /// Why none of the engines can meet these needs, whatever they have to do; `None` if one can.
    fn why_not(&self, needs: &Needs) -> Option<WaitReason> {
        if self.engines.is_empty() {
            return Some(WaitReason::NoEngines);
        }
        let offers = self.offers_for(needs);
        if offers.is_empty() {
            return Some(WaitReason::EnginesGone(needs.engines.clone().unwrap_or_default()));
        }
        if offers.iter().any(|offer| offer.meets(needs.method, needs.asks.as_deref())) {
            return None;
        }
        if !offers.iter().any(|offer| offer.meets(needs.method, None)) {
            // Every engine has what tasks without a method need.
            return self.methods.name(needs.method).cloned().map(WaitReason::NoMethod);
        }
        let asks = needs.asks.as_deref()?;
        let is_nowhere =
            |label: &&String| !offers.iter().any(|offer| offer.labels.binary_search(label).is_ok());
        if let Some(label) = asks.labels.iter().find(is_nowhere) {
            return Some(WaitReason::NoLabel(label.clone()));
        }
        for needed in &asks.amounts {
            let has = |offer: &&Offer| offer.resource(&needed.0).map(|at| offer.totals[at].1);
            let most = offers.iter().filter_map(has).max().unwrap_or(Amount(0));
            if most < needed.1 {
                return Some(WaitReason::NoResource { needed: needed.clone(), most });
            }
        }
        Some(WaitReason::NoEngineFits)
    }

    /// What the engines offer that these needs allow.
    fn offers_for(&self, needs: &Needs) -> Vec<&Offer> {
        match &needs.engines {
            None => self.kinds.iter().map(|(_, kind)| &*kind.offer).collect(),
            Some(engines) => engines.iter().filter_map(|engine| self.offer(*engine)).collect(),
        }
    }

    /// Whether an engine may have both.
    fn are_rivals(&self, one: &Needs, other: &Needs) -> bool {
        let may_have = |engine: EngineId, needs: &Needs| {
            let named = needs.engines.as_ref().is_none_or(|engines| engines.contains(&engine));
            named && self.can_meet(engine, needs)
        };
        match one.engines.as_ref().or(other.engines.as_ref()) {
            Some(engines) => {
                engines.iter().any(|&engine| may_have(engine, one) && may_have(engine, other))
            }
            None => self.kinds_that_meet(one).any(|kind| self.kind_meets(kind, other)),
        }
    }
}
