//! Reports that the hub has not confirmed, oldest first. They outlive sessions.

use std::collections::VecDeque;
use std::sync::Arc;

use phalanx_protocol::ids::{AttemptId, TaskId};
use phalanx_protocol::outcome::{AttemptOutcome, Report, RunTimes};
use phalanx_protocol::output::TaskOutput;
use phalanx_protocol::payload::Payload;
use rustc_hash::FxHashSet;

use super::gates::is_done;
use super::room::RuleBroken;

/// Unconfirmed reports. At most one for each attempt.
#[derive(Debug, Default)]
pub(super) struct Reports {
    next_number: u64,
    /// By number, ascending; those no longer wanted are missing.
    waiting: VecDeque<Report>,
    attempts: FxHashSet<AttemptId>,
    carried_bytes: u64,
}

impl Reports {
    /// Numbers a report and keeps it.
    pub(super) fn add(
        &mut self,
        attempt: AttemptId,
        outcome: AttemptOutcome,
        times: RunTimes,
        payload: Payload,
        output: Option<Arc<TaskOutput>>,
    ) -> &Report {
        let number = self.next_number;
        self.next_number += 1;
        let report = Report { number, attempt, outcome, times, payload, output };
        self.carried_bytes += report.carried_bytes();
        self.attempts.insert(attempt);
        self.waiting.push_back(report);
        &self.waiting[self.waiting.len() - 1]
    }

    /// Forgets those below `up_to` and hands each attempt to `confirmed`.
    pub(super) fn confirm(
        &mut self,
        up_to: u64,
        mut confirmed: impl FnMut(AttemptId),
    ) -> Result<(), RuleBroken> {
        if up_to > self.next_number {
            return Err(RuleBroken);
        }
        let recorded = self.waiting.partition_point(|report| report.number < up_to);
        for report in self.waiting.drain(..recorded) {
            self.carried_bytes -= report.carried_bytes();
            self.attempts.remove(&report.attempt);
            confirmed(report.attempt);
        }
        Ok(())
    }

    /// Forgets those of attempts no longer wanted.
    pub(super) fn forget(&mut self, unwanted: &FxHashSet<AttemptId>) {
        self.waiting.retain(|report| {
            let keep = !unwanted.contains(&report.attempt);
            if !keep {
                self.carried_bytes -= report.carried_bytes();
                self.attempts.remove(&report.attempt);
            }
            keep
        });
    }

    /// Whether there is one for this attempt.
    pub(super) fn contains(&self, attempt: AttemptId) -> bool {
        self.attempts.contains(&attempt)
    }

    /// The one that says that this task is done.
    pub(super) fn done(&self, task: TaskId) -> Option<&Report> {
        let last = self.waiting.iter().rev().find(|report| report.attempt.task == task);
        last.filter(|report| is_done(report))
    }

    /// All of them, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Report> {
        self.waiting.iter()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes of what they carry.
    pub(super) const fn carried_bytes(&self) -> u64 {
        self.carried_bytes
    }

    /// Panics if a fact contradicts another.
    pub(super) fn check_invariants(&self) {
        let numbers: Vec<_> = self.waiting.iter().map(|report| report.number).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "numbers {numbers:?}");
        assert!(numbers.last().is_none_or(|last| *last < self.next_number));
        assert_eq!(self.attempts.len(), self.waiting.len());
        assert!(self.waiting.iter().all(|report| self.attempts.contains(&report.attempt)));
        let bytes: u64 = self.waiting.iter().map(Report::carried_bytes).sum();
        assert_eq!(bytes, self.carried_bytes);
    }
}
