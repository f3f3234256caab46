//! The result store: outcomes and bytes kept for clients, bounded by count and bytes.
//!
//! The hub owns it. A task that ended is kept whole until its owner has its outcome (or is gone),
//! and after that while there is room; then only how it ended is kept, for tasks that depend on
//! it; then nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::outcome::{Delivery, Outcome, RunTimes, carried_bytes};
use phalanx_protocol::output::TaskOutput;
use phalanx_protocol::payload::Payload;
use phalanx_protocol::room::Ending;
use rustc_hash::FxHashMap;

use crate::endings::Endings;
use crate::task_map::TaskMap;

/// How a task ended, with what it returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Which engine had it last.
    pub engine: Option<EngineId>,
    /// How many attempts there were.
    pub attempts: u32,
    /// When the last one ran.
    pub times: RunTimes,
    /// What it returned; inline.
    pub payload: Payload,
    /// What its last attempt wrote.
    pub output: Option<Arc<TaskOutput>>,
    /// Where earlier attempts failed; `None` if nowhere.
    pub tried: Option<Box<[EngineId]>>,
    /// Whether its owner does without what it returned.
    pub stays: bool,
}

impl Ended {
    /// How it ended, as far as dependents care.
    pub const fn ending(&self) -> Ending {
        Ending { success: self.outcome.is_done(), engine: self.engine }
    }

    /// As it is told to its owner.
    pub(crate) fn delivery_to_owner(&self, number: u64, task: TaskId) -> Delivery {
        let whole = self.delivery(number, task);
        if self.stays { Delivery { payload: Payload::empty(), ..whole } } else { whole }
    }

    /// How many bytes its owner is told.
    pub(crate) fn bytes_to_owner(&self) -> u64 {
        let nothing = Payload::empty();
        carried_bytes(if self.stays { &nothing } else { &self.payload }, self.output.as_deref())
    }

    /// As it is told to a client; nothing is copied.
    pub(crate) fn delivery(&self, number: u64, task: TaskId) -> Delivery {
        Delivery {
            number,
            task,
            outcome: self.outcome.clone(),
            engine: self.engine,
            attempts: self.attempts,
            times: self.times,
            payload: self.payload.clone(),
            output: self.output.clone(),
            tried: self.tried.as_deref().map_or_else(Vec::new, <[_]>::to_vec),
        }
    }

    /// How many bytes are kept of it.
    pub fn carried_bytes(&self) -> u64 {
        carried_bytes(&self.payload, self.output.as_deref())
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Outcomes that their owner has: more are cut down to how they ended.
    pub delivered: usize,
    /// Bytes of payloads of these outcomes: more are cut down in the same way.
    pub delivered_bytes: u64,
    /// Outcomes cut down to how they ended, in blocks of 64 neighbours: of more blocks than so many
    /// fill, the oldest is forgotten.
    pub endings: usize,
    /// Outcomes that their owner has not: at this many the store is full.
    pub undelivered: usize,
    /// Bytes of results and output: at this many delivered ones are cut down, and if there are none the
    /// store is full.
    pub bytes: u64,
}

#[derive(Debug)]
struct Kept {
    ended: Ended,
    delivered: bool,
    /// Somebody wants it forgotten: it stays until its owner has it, for nobody else.
    purged: bool,
}

/// The store.
#[derive(Debug)]
pub struct Results {
    bounds: Bounds,
    kept: TaskMap<Kept>,
    delivered: VecDeque<TaskId>,
    delivered_bytes: u64,
    endings: Endings,
    bytes: u64,
    /// Tasks whose results others will take, and how many: they stay, delivered or not.
    pins: FxHashMap<TaskId, u32>,
}

impl Results {
    /// An empty store.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            kept: TaskMap::default(),
            delivered: VecDeque::new(),
            delivered_bytes: 0,
            endings: Endings::default(),
            bytes: 0,
            pins: FxHashMap::default(),
        }
    }

    /// Somebody will take the result of this task, ended or not: it stays until he says otherwise.
    pub fn pin(&mut self, task: TaskId) {
        let pins = self.pins.entry(task).or_default();
        *pins += 1;
        let is_first = *pins == 1;
        if let Some(kept) = self.kept.get(&task).filter(|kept| kept.delivered && is_first) {
            self.delivered.retain(|delivered| *delivered != task);
            self.delivered_bytes -= kept.ended.carried_bytes();
        }
    }

    /// One who wanted to take the result of this task does not any more.
    pub fn unpin(&mut self, task: TaskId) {
        let Some(pins) = self.pins.get_mut(&task) else { return };
        *pins -= 1;
        if *pins > 0 {
            return;
        }
        self.pins.remove(&task);
        if let Some(kept) = self.kept.get(&task).filter(|kept| kept.delivered) {
            self.delivered_bytes += kept.ended.carried_bytes();
            if kept.purged {
                return self.cut_down(task);
            }
            self.delivered.push_back(task);
            self.make_room();
        }
    }

    /// Whether somebody will take its result.
    pub fn is_pinned(&self, task: TaskId) -> bool {
        self.pins.contains_key(&task)
    }

    /// How many takers there are, of all results.
    pub(crate) fn pins_len(&self) -> usize {
        self.pins.values().map(|pins| *pins as usize).sum()
    }

    /// Keeps how a task ended. A task ends once; a second time changes nothing and answers false.
    pub fn insert(&mut self, task: TaskId, ended: Ended) -> bool {
        if self.ending(task).is_some() {
            return false;
        }
        self.bytes += ended.carried_bytes();
        self.kept.insert(task, Kept { ended, delivered: false, purged: false });
        self.make_room();
        true
    }

    /// The whole outcome, if it is still kept.
    pub fn get(&self, task: TaskId) -> Option<&Ended> {
        self.kept.get(&task).map(|kept| &kept.ended)
    }

    /// How a task ended, if that is still known.
    pub fn ending(&self, task: TaskId) -> Option<Ending> {
        self.get(task).map(Ended::ending).or_else(|| self.endings.get(task))
    }

    /// The same, unless somebody wanted it forgotten: for others than its owner.
    pub fn on_record(&self, task: TaskId) -> Option<&Ended> {
        self.kept.get(&task).filter(|kept| !kept.purged).map(|kept| &kept.ended)
    }

    /// Cuts outcomes down to how they ended: those that their owner has now, the others once it has.
    pub fn purge(&mut self, is_wanted: impl Fn(TaskId, &Ended) -> bool) {
        for (task, kept) in self.kept.iter_mut() {
            kept.purged |= is_wanted(*task, &kept.ended);
        }
        let kept = std::mem::take(&mut self.delivered);
        for task in kept {
            if self.kept.get(&task).is_some_and(|kept| kept.purged) {
                self.cut_down(task);
            } else {
                self.delivered.push_back(task);
            }
        }
    }

    /// Its owner has it, or is gone: from now on it may be evicted.
    pub fn mark_delivered(&mut self, task: TaskId) {
        if let Some(kept) = self.kept.get_mut(&task)
            && !kept.delivered
        {
            kept.delivered = true;
            if self.pins.contains_key(&task) {
                return;
            }
            if kept.purged {
                self.delivered_bytes += kept.ended.carried_bytes();
                return self.cut_down(task);
            }
            self.delivered_bytes += kept.ended.carried_bytes();
            self.delivered.push_back(task);
            self.make_room();
        }
    }

    /// Whether no more work should be taken in until clients fetch what they have.
    pub fn is_full(&self) -> bool {
        self.undelivered_len() >= self.bounds.undelivered
            || (self.bytes >= self.bounds.bytes && self.delivered.is_empty())
    }

    /// How many outcomes are kept whole.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether no outcome is kept whole.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many bytes of results and output are kept.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn undelivered_len(&self) -> usize {
        self.kept.len() - self.delivered.len()
    }

    fn make_room(&mut self) {
        while self.delivered.len() > self.bounds.delivered
            || self.delivered_bytes > self.bounds.delivered_bytes
            || self.bytes > self.bounds.bytes
        {
            let Some(task) = self.delivered.pop_front() else {
                break;
            };
            self.cut_down(task);
        }
    }

    /// Keeps only how a delivered task ended.
    fn cut_down(&mut self, task: TaskId) {
        if let Some(kept) = self.kept.remove(&task) {
            self.bytes -= kept.ended.carried_bytes();
            self.delivered_bytes -= kept.ended.carried_bytes();
            self.endings.insert(task, kept.ended.ending(), self.bounds.endings);
        }
    }

    /// Panics if a fact contradicts another.
    pub fn check_invariants(&self) {
        let bytes: u64 = self.kept.values().map(|kept| kept.ended.carried_bytes()).sum();
        assert_eq!(bytes, self.bytes, "bytes kept");
        let is_evictable =
            |(task, kept): &(&TaskId, &Kept)| kept.delivered && !self.is_pinned(**task);
        let delivered = || self.kept.iter().filter(is_evictable).map(|(_, kept)| kept);
        assert_eq!(delivered().count(), self.delivered.len(), "delivered outcomes");
        let delivered_bytes: u64 = delivered().map(|kept| kept.ended.carried_bytes()).sum();
        assert_eq!(delivered_bytes, self.delivered_bytes, "bytes delivered and kept");
        assert!(self.delivered_bytes <= self.bounds.delivered_bytes, "bytes over bound");
        self.endings.check_invariants();
        assert!(self.delivered.len() <= self.bounds.delivered, "delivered outcomes over bound");
        assert!(self.kept.values().all(|kept| kept.ended.payload.ticket().is_none()));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use phalanx_protocol::ids::ClientId;
    use phalanx_protocol::output::{OutputChunk, OutputKind};
    use phalanx_protocol::payload::Format;

    use super::*;

    const BOUNDS: Bounds =
        Bounds { delivered: 2, delivered_bytes: 50, endings: 2, undelivered: 3, bytes: 100 };

    fn id(seq: u64) -> TaskId {
        TaskId::new(ClientId(1), seq)
    }

    fn done(len: usize) -> Ended {
        Ended {
            outcome: Outcome::Done,
            engine: Some(EngineId(1)),
            attempts: 1,
            times: RunTimes::default(),
            payload: Payload::inline(Format::Raw, Bytes::from(vec![0; len])),
            output: None,
            tried: None,
            stays: false,
        }
    }

    #[test]
    fn what_a_task_wrote_counts_as_what_it_returned() {
        let mut results = Results::new(BOUNDS);
        let bytes = Bytes::from_static(&[b'x'; 60]);
        let chunks = vec![OutputChunk { kind: OutputKind::STDOUT, bytes }];
        let output = Some(Arc::new(TaskOutput { chunks, truncated: 1_000 }));
        results.insert(id(1), Ended { output, ..done(50) });
        assert_eq!(results.bytes(), 110);
        assert!(results.is_full());
        results.mark_delivered(id(1));
        assert_eq!((results.bytes(), results.is_full()), (0, false));
        results.check_invariants();
    }

    #[test]
    fn a_task_ends_once() {
        let mut results = Results::new(BOUNDS);
        assert!(results.insert(id(1), done(1)));
        assert!(!results.insert(id(1), done(2)));
        assert_eq!(results.bytes(), 1);
    }

    #[test]
    fn delivered_outcomes_are_cut_down_and_then_forgotten_oldest_first() {
        let mut results = Results::new(BOUNDS);
        let far_apart = |n: u64| id(1_000 * n);
        for n in 0..5 {
            results.insert(far_apart(n), done(1));
            results.mark_delivered(far_apart(n));
            results.check_invariants();
        }
        assert_eq!(results.ending(far_apart(1)), None);
        assert!(results.get(far_apart(2)).is_none() && results.ending(far_apart(2)).is_some());
        assert!(results.get(far_apart(3)).is_some());
    }

    #[test]
    fn long_results_are_not_kept_for_whoever_has_them() {
        let mut results = Results::new(BOUNDS);
        results.insert(id(1), done(30));
        results.insert(id(2), done(60));
        results.mark_delivered(id(1));
        assert!(results.get(id(1)).is_some());
        results.mark_delivered(id(2));
        results.check_invariants();
        assert_eq!((results.len(), results.bytes()), (0, 0));
        assert!(results.ending(id(1)).is_some() && results.ending(id(2)).is_some());
    }

    #[test]
    fn what_nobody_has_fetched_is_never_evicted_but_fills_the_store() {
        let mut results = Results::new(BOUNDS);
        results.insert(id(1), done(60));
        assert!(!results.is_full());
        results.insert(id(2), done(60));
        assert!(results.is_full());
        assert!(results.get(id(1)).is_some());
        results.mark_delivered(id(1));
        assert!(results.get(id(1)).is_none());
        assert!(!results.is_full());
        results.check_invariants();
    }

    #[test]
    fn what_another_will_take_stays_until_he_has_or_wants_it_no_more() {
        let mut results = Results::new(BOUNDS);
        let deliver = |results: &mut Results, seq| {
            results.insert(id(seq), done(10));
            results.mark_delivered(id(seq));
            results.check_invariants();
        };
        results.insert(id(9), done(10));
        for seq in [1, 2] {
            deliver(&mut results, seq);
        }
        for seq in [9, 1, 1] {
            results.pin(id(seq));
            results.check_invariants();
        }
        for seq in [3, 4] {
            deliver(&mut results, seq);
        }
        assert!(results.get(id(1)).is_some() && results.get(id(2)).is_none());
        for (still_there, later) in [(true, [5, 6]), (false, [7, 8])] {
            results.unpin(id(1));
            for seq in later {
                deliver(&mut results, seq);
            }
            assert_eq!(results.get(id(1)).is_some(), still_there);
        }
    }

    #[test]
    fn delivered_results_stay_as_long_as_the_bounds_are_kept() {
        let mut results = Results::new(BOUNDS);
        assert!(results.is_empty());
        for (seq, len) in [(1, 50), (2, 50)] {
            results.insert(id(seq), done(len));
        }
        // Both bounds are met exactly.
        results.mark_delivered(id(1));
        assert_eq!((results.len(), results.is_empty(), results.bytes()), (2, false, 100));
        results.insert(id(3), done(1));
        assert_eq!((results.get(id(1)), results.len()), (None, 2));
        results.check_invariants();
    }
}
