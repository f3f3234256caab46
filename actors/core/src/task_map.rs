//! Tables by task, for the rooms' largest: tasks with consecutive numbers share what it takes to find
//! them. Any room may use them; they are no place for other keys.

use phalanx_protocol::ids::{ClientId, TaskId};
use rustc_hash::FxHashMap;

use crate::slab::Slab;

/// Tasks that are looked up as one. A client submits in order, and its tasks end more or less in that
/// order, so pages are full mostly: a task costs 6 to 12 bytes, and neighbours share a cache line. More
/// would cost more where they are not.
const PAGE_LEN: u64 = 16;

/// No task.
const NONE: u32 = u32::MAX;

/// Names a page: a client, and the number of its tasks over [`PAGE_LEN`].
type PageId = (ClientId, u64);

const fn place(task: TaskId) -> (PageId, usize) {
    ((task.client, task.seq / PAGE_LEN), (task.seq % PAGE_LEN) as usize)
}

/// A number below `u32::MAX` for each of some tasks: where a room keeps what it knows of it.
#[derive(Debug, Default)]
pub(crate) struct TaskIndex {
    /// None of which is empty.
    pages: FxHashMap<PageId, [u32; PAGE_LEN as usize]>,
    len: usize,
}

impl TaskIndex {
    /// The number of a task.
    pub(crate) fn get(&self, task: TaskId) -> Option<u32> {
        let (id, within) = place(task);
        self.pages.get(&id).map(|page| page[within]).filter(|index| *index != NONE)
    }

    /// Gives a task a number; the one that it had.
    pub(crate) fn insert(&mut self, task: TaskId, index: u32) -> Option<u32> {
        let (id, within) = place(task);
        let page = self.pages.entry(id).or_insert([NONE; PAGE_LEN as usize]);
        let earlier = std::mem::replace(&mut page[within], index);
        self.len += usize::from(earlier == NONE);
        (earlier != NONE).then_some(earlier)
    }

    /// A task has no number any more; the one that it had.
    pub(crate) fn remove(&mut self, task: TaskId) -> Option<u32> {
        let (id, within) = place(task);
        let page = self.pages.get_mut(&id)?;
        let index = std::mem::replace(&mut page[within], NONE);
        if index == NONE {
            return None;
        }
        self.len -= 1;
        if *page == [NONE; PAGE_LEN as usize] {
            self.pages.remove(&id);
            if self.pages.is_empty() {
                self.pages.shrink_to(PAGE_LEN as usize);
            }
        }
        Some(index)
    }

    /// How many tasks have a number.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

/// A map by task. Its order means nothing.
#[derive(Debug)]
pub(crate) struct TaskMap<V> {
    rows: Slab<(TaskId, V)>,
    index: TaskIndex,
}

impl<V> TaskMap<V> {
    /// What is kept of a task.
    pub(crate) fn get(&self, task: &TaskId) -> Option<&V> {
        let (_, value) = self.rows.get(self.index.get(*task)?)?;
        Some(value)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, task: &TaskId) -> Option<&mut V> {
        let (_, value) = self.rows.get_mut(self.index.get(*task)?)?;
        Some(value)
    }

    /// Whether anything is kept of a task.
    pub(crate) fn contains_key(&self, task: &TaskId) -> bool {
        self.index.get(*task).is_some()
    }

    /// Keeps this of a task; what was kept before.
    pub(crate) fn insert(&mut self, task: TaskId, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(&task) {
            return Some(std::mem::replace(known, value));
        }
        let row = self.rows.insert((task, value));
        self.index.insert(task, row);
        None
    }

    /// Keeps nothing of a task any more; what was kept.
    pub(crate) fn remove(&mut self, task: &TaskId) -> Option<V> {
        let (_, value) = self.rows.remove(self.index.remove(*task)?);
        Some(value)
    }

    /// Of how many tasks something is kept.
    pub(crate) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is kept.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All of it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TaskId, &V)> {
        self.rows.iter().map(|(_, (task, value))| (task, value))
    }

    /// The same, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&TaskId, &mut V)> {
        self.rows.iter_mut().map(|(_, (task, value))| (&*task, value))
    }

    /// The tasks.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &TaskId> {
        self.iter().map(|(task, _)| task)
    }

    /// What is kept of them.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<V> Default for TaskMap<V> {
    fn default() -> Self {
        Self { rows: Slab::default(), index: TaskIndex::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn id(client: u32, seq: u64) -> TaskId {
        TaskId::new(ClientId(client), seq)
    }

    proptest! {
        #[test]
        fn a_task_map_is_a_map(
            steps in vec((any::<bool>(), 0_u32..3, 0_u64..40, any::<bool>()), 0..300),
        ) {
            let (mut map, mut model) = (TaskMap::default(), BTreeMap::new());
            for (number, (is_put, client, seq, is_far)) in steps.into_iter().enumerate() {
                let task = id(client, seq + if is_far { 1 << 40 } else { 0 });
                if is_put {
                    prop_assert_eq!(map.insert(task, number), model.insert(task, number));
                } else {
                    prop_assert_eq!(map.remove(&task), model.remove(&task));
                }
                prop_assert_eq!(map.get(&task), model.get(&task));
                prop_assert_eq!(map.contains_key(&task), model.contains_key(&task));
                prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(map.index.len(), model.len());
            }
            map.iter_mut().for_each(|(_, value)| *value += 1);
            let all: BTreeMap<_, _> = map.iter().map(|(task, value)| (*task, *value - 1)).collect();
            prop_assert_eq!(all, model);
            prop_assert_eq!(map.keys().count(), map.values().count());
        }
    }

    #[test]
    fn pages_go_with_their_last_task() {
        let mut index = TaskIndex::default();
        for seq in 0..100 * PAGE_LEN {
            assert_eq!(index.insert(id(1, seq), 0), None);
            assert_eq!(index.insert(id(1, seq), seq as u32), Some(0));
            index.insert(id(2, seq), seq as u32);
        }
        assert_eq!(index.pages.len(), 200);
        for seq in 0..100 * PAGE_LEN {
            assert_eq!(index.remove(id(1, seq)), Some(seq as u32));
            assert_eq!(index.remove(id(1, seq)), None);
        }
        assert_eq!((index.pages.len(), index.len()), (100, 100 * PAGE_LEN as usize));
        for seq in 0..100 * PAGE_LEN {
            index.remove(id(2, seq));
        }
        assert_eq!((index.pages.len(), index.len()), (0, 0));
        assert!(index.pages.capacity() < 100, "{}", index.pages.capacity());
    }
}
