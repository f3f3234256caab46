//! A class: the queued tasks of the same needs, in order. Owned by the queue, which says when a task
//! is entered, taken or forgotten.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use phalanx_protocol::ids::TaskId;

use super::Place;
use super::board::{ClassId, Turn, Vitals};
use super::needs::Needs;
use super::queue::Tasks;
use super::shapes::ShapeId;

/// A queued task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) round: u64,
    pub(super) arrival: u64,
    pub(super) task: TaskId,
}

/// Queued tasks of the same needs, in order of arrival, which is that of their turns. Never without
/// a living task.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) needs: Arc<Needs>,
    pub(super) shape: ShapeId,
    /// The arrival that it was made for.
    pub(super) birth: u64,
    /// The first is alive. Others may be of tasks that were forgotten since.
    pub(super) entries: VecDeque<Entry>,
    pub(super) dead_len: usize,
    /// Engines of its needs that are there and can meet them.
    pub(super) engines_able: usize,
}

impl Class {
    pub(super) fn vitals(&self) -> Option<Vitals> {
        Some(Vitals { birth: self.birth, turn: self.turn(self.entries.front()?) })
    }

    /// What its tasks need, if others can stand behind them.
    pub(super) fn leaver(&self) -> Option<Arc<Needs>> {
        (self.shape != ShapeId::NONE).then(|| self.needs.clone())
    }

    /// The turn of one of its tasks.
    pub(super) fn turn(&self, entry: &Entry) -> Turn {
        let Entry { round, arrival, .. } = *entry;
        Turn { priority: Reverse(self.needs.priority), round, arrival }
    }

    /// Drops what is dead at the front, and everywhere if it is more than what is alive.
    pub(super) fn tidy(&mut self, id: ClassId, tasks: &Tasks) {
        while self.dead_len > 0
            && self.entries.front().is_some_and(|entry| !is_alive(id, entry, tasks))
        {
            self.entries.pop_front();
            self.dead_len -= 1;
        }
        if self.dead_len > self.entries.len() / 2 {
            self.entries.retain(|entry| is_alive(id, entry, tasks));
            self.dead_len = 0;
        }
    }

    /// Panics unless it is as the queue keeps it.
    pub(super) fn check(&self, id: ClassId, tasks: &Tasks) {
        assert!(self.entries.iter().map(|entry| self.turn(entry)).is_sorted(), "class {id}");
        assert!(self.entries.iter().is_sorted_by_key(|entry| entry.arrival), "class {id}");
        let has_head = self.entries.front().is_some_and(|head| is_alive(id, head, tasks));
        assert!(has_head, "class {id} has no head");
        let alive_len = self.alive(id, tasks).count();
        assert_eq!(alive_len + self.dead_len, self.entries.len());
        assert!(self.dead_len <= alive_len, "class {id} keeps what is dead");
    }

    /// Its living tasks, in order.
    pub(super) fn alive(&self, id: ClassId, tasks: &Tasks) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| is_alive(id, entry, tasks))
    }
}

/// Whether the task of this entry is still queued by it.
pub(super) fn is_alive(class: ClassId, entry: &Entry, tasks: &Tasks) -> bool {
    tasks.get(&entry.task) == Some(&Place::Queued { class, arrival: entry.arrival })
}
