//! Outcomes that their owner wants together: they are kept back until the last of them is there.

use std::collections::{BTreeMap, VecDeque};

use phalanx_protocol::ids::TaskId;

/// The tasks of one submit that has not ended everywhere.
#[derive(Debug)]
struct Group {
    /// How many have not ended.
    open: u64,
    /// Those that have, in the order in which they did.
    ended: Vec<TaskId>,
}

/// The groups of one client.
#[derive(Debug, Default)]
pub(crate) struct Coalesced {
    /// By the number after the last of their tasks.
    groups: BTreeMap<u64, Group>,
    /// How many outcomes are kept back, in all groups.
    kept_back: u64,
}

impl Coalesced {
    /// Outcomes of so many tasks, from this number on, go together.
    pub(crate) fn expect(&mut self, first: u64, tasks: u64) {
        self.groups.insert(first + tasks, Group { open: tasks, ended: Vec::new() });
    }

    /// A task has ended: what may be sent now goes to the outbox. That is the task, or its whole
    /// group, or nothing yet.
    pub(crate) fn post(&mut self, task: TaskId, outbox: &mut VecDeque<TaskId>) {
        // Groups do not overlap, but between them are tasks of none.
        let next = self.groups.range_mut(task.seq + 1..).next();
        let Some((end, group)) = next.filter(|(end, group)| task.seq + group.len() >= **end) else {
            return outbox.push_back(task);
        };
        group.ended.push(task);
        group.open -= 1;
        self.kept_back += 1;
        if group.open == 0 {
            self.kept_back -= group.len();
            outbox.extend(group.ended.drain(..));
            let end = *end;
            self.groups.remove(&end);
        }
    }

    /// How many outcomes are kept back.
    pub(crate) const fn kept_back(&self) -> u64 {
        self.kept_back
    }

    /// Nobody waits for them together any more: answers what is kept back.
    pub(crate) fn dissolve(&mut self) -> impl Iterator<Item = TaskId> {
        self.kept_back = 0;
        std::mem::take(&mut self.groups).into_values().flat_map(|group| group.ended)
    }

    /// Panics if a fact contradicts another.
    pub(crate) fn check_invariants(&self) {
        let mut before = 0;
        for (end, group) in &self.groups {
            let first = end - group.len();
            assert!(first >= before, "groups overlap");
            assert!(group.open > 0, "a group is kept back that is whole");
            assert!(group.ended.iter().all(|task| (first..*end).contains(&task.seq)));
            before = *end;
        }
        let kept_back: u64 = self.groups.values().map(|group| group.ended.len() as u64).sum();
        assert_eq!(kept_back, self.kept_back, "outcomes kept back");
    }
}

impl Group {
    fn len(&self) -> u64 {
        self.open + self.ended.len() as u64
    }
}
