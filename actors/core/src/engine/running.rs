//! The slots: what runs, since when, what it writes, and what was said about it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use phalanx_protocol::ids::{AttemptId, TaskId};
use phalanx_protocol::limits::{OUTPUT_INTERVAL, STARTED_AFTER};
use phalanx_protocol::output::{Output, OutputChunk, TaskOutput};

use super::written::Written;
use crate::Time;

/// Running attempts: at most one for each task, at most `slots` in all, and those that the executor
/// keeps until a slot is free, at most `ahead`.
#[derive(Debug)]
pub(super) struct Slots {
    slots: usize,
    ahead: usize,
    runs: BTreeMap<TaskId, Run>,
    /// Those of `runs` that the executor keeps, in the order in which it will run them.
    kept: VecDeque<TaskId>,
    /// Those of which the hub has not been told that they run, by start.
    untold: BTreeSet<(Time, TaskId)>,
    /// Those that wrote what the hub was not told, by when it may be told.
    writers: BTreeSet<(Time, TaskId)>,
}

/// One running attempt.
#[derive(Debug)]
pub(super) struct Run {
    /// Which one.
    pub(super) attempt: AttemptId,
    /// Whether its task is direct.
    pub(super) direct: bool,
    /// Whether the hub still wants to hear of it.
    pub(super) wanted: bool,
    started: Time,
    interrupted: bool,
    /// What it wrote, once it did.
    written: Option<Box<Written>>,
    /// When the hub may be told what it writes.
    may_tell: Time,
}

impl Run {
    /// What it wrote in all.
    pub(super) fn into_output(self) -> Option<std::sync::Arc<TaskOutput>> {
        self.written.and_then(|written| written.into_output())
    }
}

impl Slots {
    /// This many, all free, and an executor that keeps so many more attempts.
    pub(super) fn new(slots: u32, ahead: u32) -> Self {
        Self {
            slots: slots as usize,
            ahead: ahead as usize,
            runs: BTreeMap::new(),
            kept: VecDeque::new(),
            untold: BTreeSet::new(),
            writers: BTreeSet::new(),
        }
    }

    /// How many run or are kept.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether no slot is free, and the executor keeps no more.
    pub(super) fn is_full(&self) -> bool {
        self.runs.len() >= self.slots + self.ahead
    }

    /// The running attempt at this task.
    pub(super) fn get(&self, task: TaskId) -> Option<&Run> {
        self.runs.get(&task)
    }

    /// Takes a slot, or has the executor keep it until one is free.
    pub(super) fn start(&mut self, now: Time, attempt: AttemptId, direct: bool) {
        let run = Run {
            attempt,
            direct,
            wanted: true,
            started: now,
            interrupted: false,
            written: None,
            may_tell: now,
        };
        let is_kept = self.runs.len() - self.kept.len() >= self.slots;
        self.runs.insert(attempt.task, run);
        if is_kept {
            self.kept.push_back(attempt.task);
        } else {
            self.untold.insert((now, attempt.task));
        }
    }

    /// Frees the slot of this attempt, if it runs; the first that is kept has it from now on.
    pub(super) fn end(&mut self, now: Time, attempt: AttemptId) -> Option<Run> {
        self.runs.get(&attempt.task).filter(|run| run.attempt == attempt)?;
        let run = self.runs.remove(&attempt.task)?;
        match self.kept.iter().position(|kept| *kept == attempt.task) {
            Some(kept) => drop(self.kept.remove(kept)),
            None => self.run_next(now),
        }
        self.untold.remove(&(run.started, attempt.task));
        if run.written.is_some() {
            self.writers.remove(&(run.may_tell, attempt.task));
        }
        Some(run)
    }

    fn run_next(&mut self, now: Time) {
        let Some(task) = self.kept.pop_front() else { return };
        if let Some(run) = self.runs.get_mut(&task) {
            run.started = now;
            if run.wanted {
                self.untold.insert((now, task));
            }
        }
    }

    /// Whether the executor keeps this attempt, and could do without it: it is wanted, and no direct
    /// one.
    pub(super) fn can_spare(&self, attempt: AttemptId) -> bool {
        let run = self.runs.get(&attempt.task).filter(|run| run.attempt == attempt);
        run.is_some_and(|run| run.wanted && !run.direct && !run.interrupted)
            && self.kept.contains(&attempt.task)
    }

    /// Whether this attempt runs and must be interrupted: only the first time, for code that is
    /// cleaning up after an interrupt shall not meet a second one.
    pub(super) fn interrupt(&mut self, attempt: AttemptId) -> bool {
        let run = self.runs.get_mut(&attempt.task).filter(|run| run.attempt == attempt);
        run.is_some_and(|run| !std::mem::replace(&mut run.interrupted, true))
    }

    /// The hub does not want to hear of this attempt any more.
    pub(super) fn disown(&mut self, attempt: AttemptId) {
        let run = self.runs.get_mut(&attempt.task).filter(|run| run.attempt == attempt);
        if let Some(run) = run {
            run.wanted = false;
            run.written = None;
            self.untold.remove(&(run.started, attempt.task));
            self.writers.remove(&(run.may_tell, attempt.task));
        }
    }

    /// Every running attempt, by task.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    /// All that run now are told of in an inventory.
    pub(super) fn told_all(&mut self) {
        self.untold.clear();
    }

    /// A running attempt wrote something. Of one that nobody wants any more it is forgotten.
    pub(super) fn write(
        &mut self,
        now: Time,
        attempt: AttemptId,
        chunks: Vec<OutputChunk>,
        lost: u64,
    ) {
        let run = self.runs.get_mut(&attempt.task);
        let Some(run) = run.filter(|run| run.attempt == attempt && run.wanted) else {
            return;
        };
        let written = run.written.get_or_insert_default();
        for chunk in chunks {
            written.write(chunk);
        }
        if lost > 0 {
            written.lose(lost);
        }
        if written.has_news() {
            self.writers.remove(&(run.may_tell, attempt.task));
            run.may_tell = run.may_tell.max(now);
            self.writers.insert((run.may_tell, attempt.task));
        }
    }

    /// When the hub may be told next what one writes.
    pub(super) fn next_output(&self) -> Option<Time> {
        self.writers.first().map(|(may_tell, _)| *may_tell)
    }

    /// What the hub may be told now of what one writes.
    pub(super) fn take_output(&mut self, now: Time) -> Option<Output> {
        let (_, task) = *self.writers.first().filter(|(may_tell, _)| *may_tell <= now)?;
        self.writers.pop_first();
        let run = self.runs.get_mut(&task)?;
        let written = run.written.as_mut()?;
        let (offset, chunks) = written.take_news();
        run.may_tell = now + OUTPUT_INTERVAL;
        if written.has_news() {
            self.writers.insert((run.may_tell, task));
        }
        Some(Output { attempt: run.attempt, offset, chunks })
    }

    /// When the next one has run for [`STARTED_AFTER`] untold.
    pub(super) fn next_news(&self) -> Option<Time> {
        self.untold.first().map(|(started, _)| *started + STARTED_AFTER)
    }

    /// One that has run for [`STARTED_AFTER`] untold; from now on it counts as told.
    pub(super) fn take_news(&mut self, now: Time) -> Option<AttemptId> {
        let due = self.next_news().filter(|due| *due <= now);
        let (_, task) = due.and_then(|_| self.untold.pop_first())?;
        self.runs.get(&task).map(|run| run.attempt)
    }

    /// Panics if a fact contradicts another.
    pub(super) fn check_invariants(&self) {
        let running = self.runs.len() - self.kept.len();
        assert!(running <= self.slots, "{running} run in {} slots", self.slots);
        assert!(self.kept.is_empty() || running == self.slots, "one is kept beside a free slot");
        assert!(
            self.kept.len() <= self.ahead && self.kept.iter().all(|t| self.runs.contains_key(t))
        );
        for (task, run) in &self.runs {
            assert_eq!(run.attempt.task, *task);
        }
        for (started, task) in &self.untold {
            let run = &self.runs[task];
            assert!(run.wanted && run.started == *started, "{task} is to be told of");
        }
        for (may_tell, task) in &self.writers {
            let run = &self.runs[task];
            let has_news = run.written.as_ref().is_some_and(|written| written.has_news());
            assert!(run.wanted && has_news && run.may_tell == *may_tell, "{task} has news");
        }
        for written in self.runs.values().filter_map(|run| run.written.as_ref()) {
            written.check_invariants();
        }
    }
}
