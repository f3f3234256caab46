//! A bounded memory of attempts; the oldest is forgotten first.

use std::collections::VecDeque;

use phalanx_protocol::ids::AttemptId;
use rustc_hash::FxHashSet;

/// The last few attempts of some kind.
#[derive(Debug)]
pub(super) struct Recent {
    len_max: usize,
    order: VecDeque<AttemptId>,
    set: FxHashSet<AttemptId>,
    /// How many at the front came before the mark.
    marked: usize,
}

impl Recent {
    /// Remembers at most `len_max`.
    pub(super) fn new(len_max: usize) -> Self {
        Self { len_max, order: VecDeque::new(), set: FxHashSet::default(), marked: 0 }
    }

    /// Whether it is remembered.
    pub(super) fn contains(&self, attempt: AttemptId) -> bool {
        self.set.contains(&attempt)
    }

    /// Remembers it, and forgets the oldest for it if there are too many.
    pub(super) fn insert(&mut self, attempt: AttemptId) {
        if !self.set.insert(attempt) {
            return;
        }
        self.order.push_back(attempt);
        if self.order.len() > self.len_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
            self.marked = self.marked.saturating_sub(1);
        }
    }

    /// Forgets one; says whether it was remembered. Looks from the front: they mostly go in the
    /// order they came.
    pub(super) fn remove(&mut self, attempt: AttemptId) -> bool {
        if !self.set.remove(&attempt) {
            return false;
        }
        if let Some(at) = self.order.iter().position(|known| *known == attempt) {
            self.order.remove(at);
            self.marked -= usize::from(at < self.marked);
        }
        true
    }

    /// Marks all that are remembered now as old.
    pub(super) fn mark(&mut self) {
        self.marked = self.order.len();
    }

    /// Forgets all that were marked as old.
    pub(super) fn forget_marked(&mut self) {
        for attempt in self.order.drain(..self.marked) {
            self.set.remove(&attempt);
        }
        self.marked = 0;
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.mark();
        self.forget_marked();
    }

    /// Panics if a fact contradicts another.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.order.len(), self.set.len());
        assert!(self.order.len() <= self.len_max && self.marked <= self.order.len());
        assert!(self.order.iter().all(|attempt| self.set.contains(attempt)));
    }
}
