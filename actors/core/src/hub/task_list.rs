//! Lists of tasks that take little memory: two or three bytes for each task that is near the one
//! before it, as those that one task waits for mostly are. For the ledger, which may hold a million
//! such lists; read from the front only.

use phalanx_protocol::ids::{ClientId, TaskId};
use phalanx_protocol::task::{Accept, Dependency, Quorum};

/// Bits of a number in one byte; the highest says that more follow.
const BITS: u32 = 7;
const MORE: u8 = 1 << BITS;

/// Tasks in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TaskList {
    /// For each task how its client and its number differ from those of the one before.
    bytes: Box<[u8]>,
}

impl TaskList {
    pub(crate) fn iter(&self) -> impl Iterator<Item = TaskId> + Clone + '_ {
        let (mut bytes, mut last) = (self.bytes.iter(), TaskId::default());
        std::iter::from_fn(move || {
            let client = last.client.0.wrapping_add_signed(read(&mut bytes)? as i32);
            let seq = last.seq.wrapping_add_signed(read(&mut bytes)?);
            last = TaskId::new(ClientId(client), seq);
            Some(last)
        })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }
}

impl FromIterator<TaskId> for TaskList {
    fn from_iter<I: IntoIterator<Item = TaskId>>(tasks: I) -> Self {
        let (mut bytes, mut last) = (Vec::new(), TaskId::default());
        for task in tasks {
            write(i64::from(task.client.0.wrapping_sub(last.client.0) as i32), &mut bytes);
            write(task.seq.wrapping_sub(last.seq) as i64, &mut bytes);
            last = task;
        }
        Self { bytes: bytes.into() }
    }
}

/// Small numbers of either sign are short.
fn write(number: i64, bytes: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= u64::from(MORE) {
        bytes.push(rest as u8 | MORE);
        rest >>= BITS;
    }
    bytes.push(rest as u8);
}

fn read(bytes: &mut std::slice::Iter<'_, u8>) -> Option<i64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = *bytes.next()?;
        number |= u64::from(byte & !MORE) << shift;
        shift += BITS;
        if byte & MORE == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
}

/// A [`Dependency`] as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptDependency {
    pub(crate) tasks: TaskList,
    pub(crate) quorum: Quorum,
    pub(crate) accept: Accept,
}

impl KeptDependency {
    /// `None` of one that waits for nothing.
    pub(crate) fn of(dependency: Dependency) -> Option<Self> {
        let Dependency { tasks, quorum, accept } = dependency;
        let tasks: TaskList = tasks.into_iter().collect();
        (!tasks.is_empty()).then_some(Self { tasks, quorum, accept })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_is_what_it_was_made_of(
            tasks in vec((prop_oneof![any::<u32>(), 0..3_u32], prop_oneof![any::<u64>(), 0..99_u64]), 0..20),
        ) {
            let tasks: Vec<TaskId> = tasks.into_iter().map(TaskId::from).collect();
            let list: TaskList = tasks.iter().copied().collect();
            prop_assert_eq!((list.len(), list.is_empty()), (tasks.len(), tasks.is_empty()));
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), tasks);
        }
    }

    #[test]
    fn neighbours_are_short() {
        let after = |gap: u64| (0..100).map(move |n| TaskId::new(ClientId(3), 1_000_000 + n * gap));
        let len = |gap: u64| after(gap).collect::<TaskList>().bytes.len();
        assert_eq!(len(1), 2 + 2 * 100);
        assert_eq!(len(1_000), 1 + 3 * 100);
    }
}
