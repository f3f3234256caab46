//! Tasks whose outcome somebody here waits for beside the owner's open ones: another client's, or
//! own ones that ended before. Owned by the room.
//!
//! Deliberately knows nothing of sessions: the room says each session anew what is watched.

use std::collections::BTreeMap;

use phalanx_transport::protocol::ids::TaskId;
use phalanx_transport::protocol::limits::WATCHES_PER_CLIENT_MAX;

/// Keys by task, each task with one at least.
#[derive(Debug)]
pub(super) struct Watches<K> {
    by_task: BTreeMap<TaskId, Vec<K>>,
}

impl<K> Default for Watches<K> {
    fn default() -> Self {
        Self { by_task: BTreeMap::new() }
    }
}

impl<K> Watches<K> {
    /// Whether so many tasks more are within the limit.
    pub(super) fn admits(&self, tasks: usize) -> bool {
        self.by_task.len().saturating_add(tasks) <= WATCHES_PER_CLIENT_MAX
    }

    /// Adds a key; says whether nobody waited for that task before.
    pub(super) fn add(&mut self, task: TaskId, key: K) -> bool {
        let keys = self.by_task.entry(task).or_default();
        keys.push(key);
        keys.len() == 1
    }

    /// The keys of a task that ended, in the order added.
    pub(super) fn take(&mut self, task: TaskId) -> Vec<K> {
        if self.by_task.is_empty() {
            return Vec::new();
        }
        self.by_task.remove(&task).unwrap_or_default()
    }

    /// The keys of a task that has not ended; none if nobody here waits for it.
    pub(super) fn of(&self, task: TaskId) -> &[K] {
        self.by_task.get(&task).map_or(&[], Vec::as_slice)
    }

    /// All keys, by task.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (TaskId, K)> + use<K> {
        let all = std::mem::take(&mut self.by_task).into_iter();
        all.flat_map(|(task, keys)| keys.into_iter().map(move |key| (task, key)))
    }

    /// The tasks, by id.
    pub(super) fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.by_task.keys().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_task.is_empty()
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.by_task.len() <= WATCHES_PER_CLIENT_MAX, "watches over bound");
        assert!(self.by_task.values().all(|keys| !keys.is_empty()), "watched by nobody");
    }
}
