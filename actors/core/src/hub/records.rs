//! Records of ended tasks, for whoever asks: what each was, when it ran, how it ended, and what it
//! was given, so that it can be run again.
//!
//! Owned by the hub room, which pushes one as a task ends and changes none after that. What a task
//! *returned* is not here but in [`crate::results`]. A ring: a push costs no hashing, a record's
//! number finds it at once, a name is looked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use phalanx_protocol::function::Function;
use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::outcome::RunTimes;
use phalanx_protocol::payload::Payload;
use phalanx_protocol::task::MethodName;

use super::ledger::{Place, Placing, Tag};
use crate::Time;

/// How much is kept of ended tasks for whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordBounds {
    /// So many records.
    pub count: usize,
    /// So many bytes of arguments and functions. Neighbours with the same function count it once.
    pub argument_bytes: u64,
}

/// What a task was given.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) payload: Payload,
    pub(super) function: Option<Arc<Function>>,
    /// Whether the function's bytes are counted here, and not at an earlier neighbour.
    counts_function: bool,
}

impl Arguments {
    /// Of a task that ended, if all of them are here.
    pub(super) fn of(payload: Payload, function: Option<Arc<Function>>) -> Option<Self> {
        payload.pieces().is_some().then_some(Self { payload, function, counts_function: true })
    }

    fn is_same_function(&self, other: &Self) -> bool {
        let digest = |arguments: &Self| arguments.function.as_ref().map(|known| known.digest);
        digest(self) == digest(other)
    }

    fn function_bytes(&self) -> u64 {
        self.function.as_ref().map_or(0, |function| function.bytes.len() as u64)
    }

    fn bytes(&self) -> u64 {
        self.payload.len() + if self.counts_function { self.function_bytes() } else { 0 }
    }
}

/// A task that ended.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) task: TaskId,
    pub(super) method: MethodName,
    pub(super) tag: Option<Box<Tag>>,
    pub(super) place: Place,
    pub(super) placing: Option<Box<Placing>>,
    pub(super) arguments: Option<Arguments>,
    pub(super) submitted: Time,
    pub(super) ended: Time,
    pub(super) times: RunTimes,
    /// The name of its outcome.
    pub(super) status: &'static str,
    pub(super) engine: Option<EngineId>,
    pub(super) attempts: u32,
    pub(super) result_bytes: u64,
}

/// The records, in the order in which tasks ended, numbered without gaps.
#[derive(Debug)]
pub(super) struct Records {
    bounds: RecordBounds,
    /// `None`: purged.
    ring: VecDeque<Option<Record>>,
    /// The number of the first in the ring.
    first: u64,
    /// Records below this number have no arguments any more.
    arguments_from: u64,
    argument_bytes: u64,
}

impl Records {
    pub(super) const fn new(bounds: RecordBounds) -> Self {
        Self { bounds, ring: VecDeque::new(), first: 0, arguments_from: 0, argument_bytes: 0 }
    }

    /// The number that the next record will have.
    fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// Puts a record in; the oldest make room.
    pub(super) fn push(&mut self, mut record: Record) {
        if let Some(arguments) = &mut record.arguments {
            let last = self.ring.back().and_then(Option::as_ref);
            let last = last.and_then(|last| last.arguments.as_ref());
            arguments.counts_function = !last.is_some_and(|last| last.is_same_function(arguments));
            let bytes = arguments.payload.len() + arguments.function_bytes();
            if bytes > self.bounds.argument_bytes {
                record.arguments = None;
            } else {
                self.argument_bytes += arguments.bytes();
            }
        }
        self.ring.push_back(Some(record));
        self.bound_arguments();
        while self.ring.len() > self.bounds.count {
            self.drop_arguments(self.first);
            self.ring.pop_front();
            self.first += 1;
            self.arguments_from = self.arguments_from.max(self.first);
        }
    }

    fn bound_arguments(&mut self) {
        while self.argument_bytes > self.bounds.argument_bytes {
            self.drop_arguments(self.arguments_from);
            self.arguments_from += 1;
        }
    }

    /// The record of this number, if it is this task's.
    pub(super) fn get(&self, number: u64, task: TaskId) -> Option<&Record> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.ring.get(place)?.as_ref().filter(|record| record.task == task)
    }

    /// The record of this task. Looks through them, the latest first.
    pub(super) fn find(&self, task: TaskId) -> Option<&Record> {
        self.ring.iter().rev().flatten().find(|record| record.task == task)
    }

    /// The records of these tasks, with their numbers, in one pass.
    pub(super) fn of(&self, tasks: &BTreeSet<TaskId>) -> BTreeMap<TaskId, (u64, &Record)> {
        self.from(0)
            .filter(|(_, record)| tasks.contains(&record.task))
            .map(|(number, record)| (record.task, (number, record)))
            .collect()
    }

    /// All records from this number on.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = (u64, &Record)> {
        let skipped = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let numbered = (self.first..).zip(&self.ring).skip(skipped);
        numbered.filter_map(|(number, record)| Some((number, record.as_ref()?)))
    }

    /// Forgets all of which this holds.
    pub(super) fn purge(&mut self, is_wanted: impl Fn(&Record) -> bool) {
        for number in self.first..self.end() {
            let place = (number - self.first) as usize;
            if self.ring[place].as_ref().is_some_and(&is_wanted) {
                self.drop_arguments(number);
                self.ring[place] = None;
            }
        }
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.first += 1;
        }
        self.arguments_from = self.arguments_from.max(self.first);
        self.bound_arguments();
    }

    /// Drops the arguments of a record. A neighbour that left the function to it counts it now.
    fn drop_arguments(&mut self, number: u64) {
        let place = (number - self.first) as usize;
        let record = self.ring.get_mut(place).and_then(Option::as_mut);
        let Some(dropped) = record.and_then(|record| record.arguments.take()) else {
            return;
        };
        self.argument_bytes -= dropped.bytes();
        let next = self.ring.get_mut(place + 1).and_then(Option::as_mut);
        if let Some(next) = next.and_then(|next| next.arguments.as_mut())
            && !next.counts_function
        {
            next.counts_function = true;
            self.argument_bytes += next.function_bytes();
        }
    }

    pub(super) fn check_invariants(&self) {
        let kept = || self.ring.iter().flatten().filter_map(|record| record.arguments.as_ref());
        assert_eq!(kept().map(Arguments::bytes).sum::<u64>(), self.argument_bytes, "arguments");
        assert!(self.argument_bytes <= self.bounds.argument_bytes, "arguments over bound");
        assert!(self.ring.len() <= self.bounds.count, "records over bound");
        assert!(self.arguments_from >= self.first && self.arguments_from <= self.end());
        let mut before: Option<&Arguments> = None;
        for record in &self.ring {
            let arguments = record.as_ref().and_then(|record| record.arguments.as_ref());
            if let Some(arguments) = arguments.filter(|arguments| !arguments.counts_function) {
                let counted = before.is_some_and(|before| before.is_same_function(arguments));
                assert!(counted, "a function that nobody counts");
            }
            before = arguments;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use phalanx_protocol::function::Digest;
    use phalanx_protocol::ids::ClientId;
    use phalanx_protocol::payload::Format;

    use super::*;

    fn id(seq: u64) -> TaskId {
        TaskId::new(ClientId(1), seq)
    }

    fn records(count: usize, argument_bytes: u64) -> Records {
        Records::new(RecordBounds { count, argument_bytes })
    }

    /// A record of a task with so many bytes of arguments and a function of 10 bytes of this name.
    fn record(seq: u64, len: usize, function: Option<u8>) -> Record {
        let payload = Payload::inline(Format::Raw, Bytes::from(vec![0; len]));
        let function = function.map(|name| {
            Arc::new(Function { digest: Digest([name; 16]), bytes: Bytes::from(vec![name; 10]) })
        });
        Record {
            task: id(seq),
            method: MethodName::try_from("m").expect("a short name"),
            tag: None,
            place: Place::Balanced(None),
            placing: None,
            arguments: Arguments::of(payload, function),
            submitted: Time::ZERO,
            ended: Time::ZERO,
            times: RunTimes::default(),
            status: "done",
            engine: None,
            attempts: 1,
            result_bytes: 0,
        }
    }

    fn push(records: &mut Records, record: Record) {
        records.push(record);
        records.check_invariants();
    }

    fn seqs(records: &Records) -> Vec<(u64, u64)> {
        records.from(0).map(|(number, record)| (number, record.task.seq)).collect()
    }

    #[test]
    fn the_oldest_make_room_and_a_number_stays_its_records() {
        let mut records = records(3, 1_000);
        for seq in 0..5 {
            push(&mut records, record(seq, 1, None));
        }
        assert_eq!(seqs(&records), [(2, 2), (3, 3), (4, 4)]);
        assert_eq!(records.get(3, id(3)).map(|record| record.task), Some(id(3)));
        assert!(records.get(3, id(4)).is_none() && records.get(1, id(1)).is_none());
        assert!(records.find(id(4)).is_some() && records.find(id(1)).is_none());
        assert_eq!(records.from(4).count(), 1);
        assert_eq!(records.from(9).count(), 0);
        let of = records.of(&BTreeSet::from([id(0), id(2), id(4)]));
        assert_eq!(of.keys().copied().collect::<Vec<_>>(), [id(2), id(4)]);
    }

    #[test]
    fn arguments_are_dropped_oldest_first_and_their_records_stay() {
        let mut records = records(100, 50);
        for seq in 0..4 {
            push(&mut records, record(seq, 20, None));
        }
        push(&mut records, record(4, 51, None));
        let kept = |records: &Records| -> Vec<bool> {
            records.from(0).map(|(_, record)| record.arguments.is_some()).collect()
        };
        assert_eq!(kept(&records), [false, false, true, true, false], "one too long moves nobody");
        push(&mut records, record(5, 10, None));
        assert_eq!(kept(&records)[2..], [true, true, false, true], "just as much as is kept");
        push(&mut records, record(6, 50, None));
        assert_eq!(kept(&records)[2..], [false, false, false, false, true]);
    }

    #[test]
    fn neighbours_with_one_function_count_it_once() {
        let mut records = records(4, 1_000);
        for seq in 0..3 {
            push(&mut records, record(seq, 1, Some(1)));
        }
        assert_eq!(records.argument_bytes, 13);
        push(&mut records, record(3, 1, Some(2)));
        push(&mut records, record(4, 1, Some(1)));
        assert_eq!(records.argument_bytes, 34, "the first is gone, the second counts for it");
        records.purge(|record| record.task == id(1));
        records.check_invariants();
        assert_eq!(records.argument_bytes, 33);
    }

    #[test]
    fn what_is_purged_is_gone_and_numbers_stay() {
        let mut records = records(10, 1_000);
        for seq in 0..5 {
            push(&mut records, record(seq, 1, Some(1)));
        }
        records.purge(|record| record.task.seq % 2 == 0);
        records.check_invariants();
        assert_eq!(seqs(&records), [(1, 1), (3, 3)]);
        push(&mut records, record(5, 1, None));
        assert_eq!(seqs(&records).last(), Some(&(5, 5)));
        records.purge(|_| true);
        records.check_invariants();
        assert_eq!((records.ring.len(), records.argument_bytes), (0, 0));
    }

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Option<Record>>() <= 240, "{}", size_of::<Option<Record>>());
    }
}
