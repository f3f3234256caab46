//! Tasks that are tried again: those whose code raised, if they asked for it, and those that an
//! engine refused. And how long an attempt may run.
//!
//! A retry goes to another engine as long as there is one where the task has not failed; when it
//! has failed on each, a new round begins, anywhere but where it failed last. A refusal is for good:
//! a task that every engine refused ends with the last one's words. So a task never waits for an
//! engine that it would not be given.
//!
//! Called by `attempts`, `engines` and `rooms` with what happens to attempts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::limits::{RETRY_BACKOFF_MAX, STARTED_AFTER, TRIED_ENGINES_MAX};
use phalanx_protocol::outcome::{Loss, Outcome, RemoteError, RunTimes};
use phalanx_protocol::output::TaskOutput;
use phalanx_protocol::payload::Payload;
use phalanx_protocol::task::{Retry, TaskOptions};

use super::attempts::Returned;
use super::explain::seconds;
use super::ledger::{Task, TaskState};
use super::{EngineOrder, Hub, HubEffect};
use crate::Time;
use crate::scheduler::SchedulerEvent;

/// The kind of the error of a task that ran for too long.
pub const TIME_LIMIT: &str = "TimeLimitExceeded";

/// What is to be done at which time about which task: each is here at most once.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// Tasks that pause until they are tried again.
    pub(super) retries: BTreeSet<(Time, TaskId)>,
    /// Tasks whose running attempt is to be aborted.
    pub(super) run_limits: BTreeSet<(Time, TaskId)>,
    /// Aborted tasks whose engine is to be killed.
    pub(super) kills: BTreeSet<(Time, TaskId)>,
}

impl Clocks {
    pub(super) fn next(&self) -> Option<Time> {
        let first = |set: &BTreeSet<(Time, TaskId)>| set.first().map(|(at, _)| *at);
        let all = [&self.retries, &self.run_limits, &self.kills];
        all.into_iter().filter_map(first).min()
    }
}

/// How an attempt failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure {
    pub(super) error: RemoteError,
    pub(super) times: RunTimes,
    pub(super) output: Option<Arc<TaskOutput>>,
}

/// How often a task may run and how long; where it failed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tries {
    retry: Option<Retry>,
    run_limit: Option<Duration>,
    /// Retries so far.
    retried: u32,
    /// Engines where it failed in this round.
    failed_on: Vec<EngineId>,
    /// Engines that refused it.
    refused_by: Vec<EngineId>,
    /// The engines of attempts that failed or were refused, the latest ones.
    tried: Vec<EngineId>,
    /// What the last of these said.
    last: Option<Box<Failure>>,
    /// The engines that the scheduler was told to choose from, if not all that the task may have.
    narrowed: Option<Vec<EngineId>>,
    /// When it is tried again, if it pauses.
    due: Option<Time>,
    /// When its running attempt is to be aborted.
    ends_at: Option<Time>,
    /// Whether its running attempt has been aborted for that.
    is_over_limit: bool,
    /// Deaths of engines that are put down to it.
    pub(super) losses: Vec<Loss>,
    /// When its engine is to be killed, if it has not ended by then, and how long after the abort.
    pub(super) kill_at: Option<(Time, Duration)>,
}

impl Tries {
    /// What a task's options say of it.
    pub(super) fn of(options: &TaskOptions) -> Option<Box<Self>> {
        let retry = options.retry.clone().filter(|retry| retry.count > 0);
        let run_limit = options.run_limit_ms.map(Duration::from_millis);
        (retry.is_some() || run_limit.is_some())
            .then(|| Box::new(Self { retry, run_limit, ..Self::default() }))
    }

    /// Where attempts failed before, for the task's owner.
    pub(crate) fn tried(&self) -> &[EngineId] {
        &self.tried
    }

    /// Whether its running attempt was aborted because it ran too long.
    pub(super) const fn is_over_limit(&self) -> bool {
        self.is_over_limit
    }

    /// For people: what it pauses for.
    pub(super) fn told(&self, now: Time) -> String {
        let left = self.due.map_or(Duration::ZERO, |due| due.since(now));
        let (nth, of) = (self.retried, self.retry.as_ref().map_or(0, |retry| retry.count));
        let last = self.last.as_deref().map_or_else(String::new, |last| last.error.to_string());
        format!("retry {nth} of {of} comes in {}; it failed with {last}", seconds(left))
    }

    /// For people: where it has failed, if it has.
    pub(super) fn told_where(&self, id: TaskId) -> Option<String> {
        let last = self.last.as_deref()?;
        let engines: Vec<String> = self.tried.iter().map(|engine| engine.0.to_string()).collect();
        let word = if last.error.refused { "was refused by" } else { "failed on" };
        Some(format!("task {id} {word} engines {}, last: {}", engines.join(", "), last.error))
    }

    pub(super) fn avoids(&self, engine: &EngineId) -> bool {
        self.failed_on.contains(engine) || self.refused_by.contains(engine)
    }

    pub(super) const fn is_choosy(&self) -> bool {
        !self.failed_on.is_empty() || !self.refused_by.is_empty()
    }

    /// An attempt failed; the pause before the next one, or `None` if there shall be none.
    fn note(&mut self, engine: EngineId, failure: &Failure) -> Option<Duration> {
        let error = &failure.error;
        let pause = if error.refused {
            self.refused_by.push(engine);
            Duration::ZERO
        } else {
            let retry = self.retry.as_ref()?;
            let is_wanted = retry.kinds.is_empty() || retry.kinds.iter().any(|it| error.is_a(it));
            if !is_wanted || self.retried >= retry.count {
                return None;
            }
            self.failed_on.push(engine);
            self.retried += 1;
            backoff(retry.backoff_ms, self.retried)
        };
        if self.tried.len() == TRIED_ENGINES_MAX {
            self.tried.remove(0);
        }
        self.tried.push(engine);
        self.last = Some(Box::new(failure.clone()));
        Some(pause)
    }

    /// Those of these engines that it may be given: where it has not failed, or if that is none,
    /// where it did not fail last.
    fn choose(&mut self, able: &[EngineId]) -> Vec<EngineId> {
        let left = |tries: &Self| -> Vec<EngineId> {
            able.iter().copied().filter(|engine| !tries.avoids(engine)).collect()
        };
        let mut chosen = left(self);
        if chosen.is_empty() && self.failed_on.len() > 1 {
            self.failed_on.drain(..self.failed_on.len() - 1);
            chosen = left(self);
        }
        if chosen.is_empty() {
            self.failed_on.clear();
            chosen = left(self);
        }
        chosen
    }
}

/// The pause before the `nth` retry, from 1.
fn backoff(first_ms: u64, nth: u32) -> Duration {
    let factor = 1_u64.checked_shl(nth.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_millis(first_ms.saturating_mul(factor)).min(RETRY_BACKOFF_MAX)
}

impl Hub {
    /// An attempt failed, or was refused: the task is tried again, or ends.
    pub(super) fn on_failed(
        &mut self,
        now: Time,
        id: TaskId,
        failure: Failure,
        effects: &mut Vec<HubEffect>,
    ) {
        if !self.try_again(now, id, &failure, effects) {
            self.end_failed(now, id, failure, effects);
        }
    }

    fn end_failed(
        &mut self,
        now: Time,
        id: TaskId,
        Failure { error, times, output }: Failure,
        effects: &mut Vec<HubEffect>,
    ) {
        let returned = Returned { times, payload: Payload::empty(), output };
        self.end(now, id, Outcome::Failed(Box::new(error)), returned, effects);
    }

    /// Whether the task is tried again.
    fn try_again(
        &mut self,
        now: Time,
        id: TaskId,
        failure: &Failure,
        effects: &mut Vec<HubEffect>,
    ) -> bool {
        let Some(task) = self.ledger.get_mut(id) else { return false };
        let state = task.state();
        let Some(engine) = state.engine().filter(|_| !task.is_direct() && !task.abort_requested)
        else {
            return false;
        };
        if task.tries.is_none() && !failure.error.refused {
            return false;
        }
        let Some(pause) = task.tries.get_or_insert_default().note(engine, failure) else {
            return false;
        };
        if self.candidates(id).is_some_and(|left| left.is_empty()) {
            // It was its last attempt, not an earlier one.
            if let Some(tries) = self.ledger.get_mut(id).and_then(|task| task.tries.as_mut()) {
                tries.tried.pop();
            }
            return false;
        }
        self.stop_clocks(id);
        self.unassign(id, engine, state, false);
        let ran_ns = failure.times.ran_ns;
        let ran = (ran_ns > 0).then(|| Duration::from_nanos(ran_ns));
        self.tell_scheduler(SchedulerEvent::Free(id, ran), effects);
        if pause.is_zero() {
            self.place(now, id, effects);
        } else {
            self.pause(now + pause, id);
        }
        true
    }

    fn pause(&mut self, due: Time, id: TaskId) {
        self.ledger.set_state(id, TaskState::Pausing);
        if let Some(tries) = self.ledger.get_mut(id).and_then(|task| task.tries.as_mut()) {
            tries.due = Some(due);
            self.clocks.retries.insert((due, id));
        }
    }

    /// The engines from which a task that failed somewhere may be given one; `None` if it may have
    /// all that it could have in the beginning.
    pub(super) fn candidates(&mut self, id: TaskId) -> Option<Vec<EngineId>> {
        let task = self.ledger.get(id)?;
        if !task.tries.as_ref()?.is_choosy() {
            return None;
        }
        let able = match task.allowed() {
            Some(allowed) => allowed,
            None => self.registry.iter().map(|(engine, _)| engine).collect(),
        };
        let (method, needs) = (task.method.clone(), task.needs().cloned());
        let offers = |engine: &EngineId| {
            let profile = self.registry.get(*engine).map(|engine| engine.profile());
            profile.is_some_and(|profile| {
                let meets = needs.as_ref().is_none_or(|needs| profile.meets(needs));
                profile.methods.contains(&method) && meets
            })
        };
        let is_able = |engine: &EngineId| self.is_present(*engine) && offers(engine);
        let able: Vec<EngineId> = able.into_iter().filter(is_able).collect();
        let tries = self.ledger.get_mut(id)?.tries.as_mut()?;
        Some(tries.choose(&able))
    }

    /// Notes which engines the scheduler is told to choose from.
    pub(super) fn narrow(&mut self, id: TaskId, engines: &[EngineId]) {
        if let Some(tries) = self.ledger.get_mut(id).and_then(|task| task.tries.as_mut()) {
            tries.narrowed = Some(engines.to_vec());
            self.narrowed.insert(id);
        }
    }

    /// Whether the scheduler was told to choose from some engines, has found none of them, and there
    /// are others now.
    pub(super) fn has_others(&mut self, id: TaskId) -> bool {
        let Some(left) = self.candidates(id).filter(|left| !left.is_empty()) else { return false };
        let tries = self.ledger.get(id).and_then(|task| task.tries.as_ref());
        tries.is_some_and(|tries| tries.narrowed.as_ref() != Some(&left))
    }

    /// Whether it was tried somewhere, and failed.
    pub(super) fn is_choosy(&self, id: TaskId) -> bool {
        let tries = self.ledger.get(id).and_then(|task| task.tries.as_ref());
        tries.is_some_and(|tries| tries.is_choosy())
    }

    /// The scheduler has it no longer, or is told anew.
    pub(super) fn widen(&mut self, id: TaskId) {
        if let Some(tries) = self.ledger.get_mut(id).and_then(|task| task.tries.as_mut()) {
            tries.narrowed = None;
            self.narrowed.remove(&id);
        }
    }

    /// There is an engine more: tasks that may have only some may have this one too.
    pub(super) fn offer_to_narrowed(&mut self, now: Time, effects: &mut Vec<HubEffect>) {
        for id in std::mem::take(&mut self.narrowed) {
            self.widen(id);
            if self.is_in(id, TaskState::Ready) {
                self.place(now, id, effects);
            }
        }
    }

    /// It failed wherever it could be tried.
    pub(super) fn end_with_last_error(
        &mut self,
        now: Time,
        id: TaskId,
        effects: &mut Vec<HubEffect>,
    ) {
        let task = self.ledger.get_mut(id);
        let last = task.and_then(|task| task.tries.as_mut()?.last.take()).unwrap_or_default();
        self.end_failed(now, id, *last, effects);
    }

    /// A running attempt's time runs from [`STARTED_AFTER`] before this news.
    pub(super) fn start_clock(&mut self, now: Time, id: TaskId) {
        let Some(tries) = self.ledger.get_mut(id).and_then(|task| task.tries.as_mut()) else {
            return;
        };
        if let Some(limit) = tries.run_limit
            && tries.ends_at.is_none()
        {
            let ends_at = now + limit.saturating_sub(STARTED_AFTER);
            tries.ends_at = Some(ends_at);
            self.clocks.run_limits.insert((ends_at, id));
        }
    }

    /// The task's attempt, or its pause, is over.
    pub(super) fn stop_clocks(&mut self, id: TaskId) {
        if let Some(tries) = self.ledger.get_mut(id).and_then(|task| task.tries.as_mut()) {
            stop(&mut self.clocks, id, tries);
        }
    }

    /// Forgets what is to be done about a task that has left the ledger.
    pub(super) fn drop_clocks(&mut self, id: TaskId, task: &mut Task) {
        if let Some(tries) = task.tries.as_mut() {
            stop(&mut self.clocks, id, tries);
            self.narrowed.remove(&id);
        }
    }

    pub(super) fn on_clocks(&mut self, now: Time, effects: &mut Vec<HubEffect>) {
        while let Some((_, id)) = self.clocks.retries.first().copied().filter(|(at, _)| *at <= now)
        {
            self.stop_clocks(id);
            self.place(now, id, effects);
        }
        while let Some((_, id)) =
            self.clocks.run_limits.first().copied().filter(|(at, _)| *at <= now)
        {
            self.clocks.run_limits.pop_first();
            self.on_run_limit(id, effects);
        }
        while let Some((_, id)) = self.clocks.kills.first().copied().filter(|(at, _)| *at <= now) {
            self.clocks.kills.pop_first();
            self.on_kill_due(id, effects);
        }
    }

    fn on_run_limit(&mut self, id: TaskId, effects: &mut Vec<HubEffect>) {
        let Some(task) = self.ledger.get_mut(id) else { return };
        let attempt = id.attempt(task.attempts);
        let engine = task.state().engine();
        if let Some(tries) = task.tries.as_mut() {
            tries.ends_at = None;
            tries.is_over_limit = true;
        }
        let session = engine.and_then(|engine| self.registry.get(engine)?.session());
        if let Some(session) = session {
            effects.push(HubEffect::ToEngine(session, EngineOrder::Abort(vec![attempt])));
        }
    }

    /// The error of an attempt that was aborted because it ran for too long.
    pub(super) fn over_limit(&self, id: TaskId) -> Option<RemoteError> {
        let task = self.ledger.get(id).filter(|task| !task.abort_requested)?;
        let tries = task.tries.as_ref().filter(|tries| tries.is_over_limit)?;
        let limit = tries.run_limit.unwrap_or_default();
        Some(RemoteError {
            kind: TIME_LIMIT.into(),
            message: format!("task {id} ran for longer than its limit of {limit:?}"),
            engine: task.state().engine(),
            method: task.method.as_str().into(),
            ..RemoteError::default()
        })
    }

    pub(super) fn check_clocks(&self) {
        let (mut retries, mut limits, mut kills) = (0, 0, 0);
        for (id, task) in self.ledger.iter() {
            let tries = task.tries.as_deref();
            let due = tries.and_then(|tries| tries.due);
            let ends_at = tries.and_then(|tries| tries.ends_at);
            assert_eq!(due.is_some(), task.state() == TaskState::Pausing, "{id} pauses");
            assert!(due.is_none_or(|due| self.clocks.retries.contains(&(due, id))), "{id}");
            assert!(ends_at.is_none_or(|at| self.clocks.run_limits.contains(&(at, id))), "{id}");
            assert!(ends_at.is_none() || task.state().engine().is_some(), "{id} runs");
            let kill_at = tries.and_then(|tries| tries.kill_at).map(|(at, _)| at);
            assert!(kill_at.is_none_or(|at| self.clocks.kills.contains(&(at, id))), "{id}");
            assert!(kill_at.is_none() || task.abort_requested, "{id} is to be killed");
            assert!(kill_at.is_none() || task.state().engine().is_some(), "{id} is somewhere");
            kills += usize::from(kill_at.is_some());
            retries += usize::from(due.is_some());
            limits += usize::from(ends_at.is_some());
        }
        assert_eq!(retries, self.clocks.retries.len(), "pauses");
        assert_eq!(limits, self.clocks.run_limits.len(), "limits of running attempts");
        assert_eq!(kills, self.clocks.kills.len(), "engines to be killed");
        let is_narrowed = |id: &TaskId| {
            let task = self.ledger.get(*id);
            task.is_some_and(|task| task.tries.as_ref().is_some_and(|it| it.narrowed.is_some()))
        };
        assert!(self.narrowed.iter().all(is_narrowed), "tasks that may have only some engines");
    }
}

fn stop(clocks: &mut Clocks, id: TaskId, tries: &mut Tries) {
    if let Some(due) = tries.due.take() {
        clocks.retries.remove(&(due, id));
    }
    if let Some(ends_at) = tries.ends_at.take() {
        clocks.run_limits.remove(&(ends_at, id));
    }
    if let Some((kill_at, _)) = tries.kill_at.take() {
        clocks.kills.remove(&(kill_at, id));
    }
    tries.is_over_limit = false;
}
