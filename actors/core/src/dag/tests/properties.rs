//! Random graphs and event orders, against a model that is slow and obviously right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::outcome::{DependencyFailure, Impossible};
use phalanx_protocol::room::{Condition, DagVerdict, Ending, Known, WaitingTask};
use phalanx_protocol::task::{Accept, Quorum};
use proptest::collection::vec;
use proptest::prelude::*;

use super::text::assert_empty;
use crate::dag::{Dag, DagEffect, DagEvent};
use crate::{Room, Time};

/// Few tasks, so that they meet often.
const TASKS: u64 = 12;

/// One step of a random run.
#[derive(Debug, Clone)]
enum Step {
    Hold(WaitingTask),
    Assigned(TaskId, EngineId),
    Ended(TaskId, Ending),
    Release(TaskId),
    Sleep(u64),
}

/// A held task as it came, with all that ended since, in order.
#[derive(Debug, Clone)]
struct Entry {
    waiting: WaitingTask,
    deadline: Option<Time>,
    heard: Vec<(TaskId, Ending)>,
}

impl Entry {
    /// What it was said to depend on.
    fn listed(&self) -> impl Iterator<Item = &(TaskId, Known)> {
        let conditions = [&self.waiting.after, &self.waiting.follow].into_iter().flatten();
        conditions.flat_map(|condition| &condition.tasks)
    }

    /// The tasks that have not ended of those it was said to depend on.
    fn waits_for(&self) -> BTreeSet<TaskId> {
        let is_open = |task: &TaskId| self.heard.iter().all(|(heard, _)| heard != task);
        let listed = self.listed().filter(|(_, known)| !matches!(known, Known::Ended(_)));
        listed.map(|(task, _)| *task).filter(is_open).collect()
    }
}

/// The dag as one would explain it: judges each held task anew at each event.
#[derive(Debug, Default)]
struct Model {
    /// In the order in which they came.
    held: Vec<Entry>,
    /// Where tasks are for which held ones wait.
    engines: BTreeMap<TaskId, EngineId>,
}

impl Model {
    fn hold(&mut self, now: Time, waiting: WaitingTask) -> Vec<DagEffect> {
        let task = waiting.task;
        if self.held.iter().any(|entry| entry.waiting.task == task) {
            return Vec::new();
        }
        let deadline = waiting.timeout_ms.map(|ms| now + Duration::from_millis(ms));
        let entry = Entry { waiting, deadline, heard: Vec::new() };
        match judge(&entry) {
            Some(verdict) => vec![DagEffect { task, verdict }],
            None => {
                for (task, known) in entry.listed() {
                    if let Known::Assigned(engine) = known {
                        self.engines.insert(*task, *engine);
                    }
                }
                self.held.push(entry);
                self.nearly(self.held.len() - 1).into_iter().collect()
            }
        }
    }

    fn assigned(&mut self, task: TaskId, engine: EngineId) -> Vec<DagEffect> {
        let first = self.held.iter().position(|entry| entry.waits_for().contains(&task));
        if first.is_some() {
            self.engines.insert(task, engine);
        }
        first.and_then(|first| self.nearly(first)).into_iter().collect()
    }

    fn ended(&mut self, task: TaskId, ending: Ending) -> Vec<DagEffect> {
        let mut effects = Vec::new();
        let mut at = 0;
        while at < self.held.len() {
            let entry = &mut self.held[at];
            if !entry.waits_for().contains(&task) {
                at += 1;
                continue;
            }
            entry.heard.push((task, ending));
            if let Some(verdict) = judge(entry) {
                effects.push(DagEffect { task: entry.waiting.task, verdict });
                self.held.remove(at);
            } else {
                effects.extend(self.nearly(at));
                at += 1;
            }
        }
        self.forget_engines();
        effects
    }

    /// Whether a held task waits for one other only, is the first who does, and would be ready if
    /// that were done where it is, there or anywhere.
    fn nearly(&self, at: usize) -> Option<DagEffect> {
        let entry = &self.held[at];
        let waits_for = entry.waits_for();
        let other = *waits_for.first().filter(|_| waits_for.len() == 1)?;
        let engine = Some(*self.engines.get(&other)?);
        let is_first = !self.held[..at].iter().any(|entry| entry.waits_for().contains(&other));
        let mut done = entry.clone();
        done.heard.push((other, Ending { success: true, engine }));
        let would_be = match judge(&done)? {
            DagVerdict::Ready(None) => true,
            DagVerdict::Ready(Some(engines)) => engines[..] == [engine?],
            _ => false,
        };
        let effect = DagEffect { task: entry.waiting.task, verdict: DagVerdict::Nearly(other) };
        (is_first && would_be).then_some(effect)
    }

    /// Where a task is for which nobody waits nobody knows.
    fn forget_engines(&mut self) {
        let held = &self.held;
        self.engines.retain(|task, _| held.iter().any(|entry| entry.waits_for().contains(task)));
    }

    fn pass(&mut self, now: Time) -> Vec<DagEffect> {
        let due = |entry: &Entry| entry.deadline.filter(|deadline| *deadline <= now);
        let mut late: Vec<_> =
            self.held.iter().filter_map(|entry| Some((due(entry)?, entry.waiting.task))).collect();
        late.sort();
        self.held.retain(|entry| due(entry).is_none());
        self.forget_engines();
        late.into_iter()
            .map(|(_, task)| DagEffect { task, verdict: DagVerdict::TimedOut })
            .collect()
    }
}

/// The endings that a condition has heard of: those known when it came, then the others in the
/// order they came.
fn endings(condition: &Condition, heard: &[(TaskId, Ending)]) -> Vec<(TaskId, Ending)> {
    let known = condition.tasks.iter().filter_map(|(task, known)| match known {
        Known::Open | Known::Assigned(_) => None,
        Known::Ended(ending) => Some((*task, *ending)),
    });
    let was_open = |(task, known): &(TaskId, Known), ended: TaskId| {
        *task == ended && !matches!(known, Known::Ended(_))
    };
    let later = heard
        .iter()
        .filter(|(ended, _)| condition.tasks.iter().any(|listed| was_open(listed, *ended)));
    known.chain(later.copied()).collect()
}

fn impossible(reason: Impossible, (task, ending): (TaskId, Ending)) -> DependencyFailure {
    DependencyFailure { reason, culprit: Some(task), engine: ending.engine }
}

/// `Ok(true)`: met; `Ok(false)`: may be met.
fn judge_condition(
    condition: &Condition,
    endings: &[(TaskId, Ending)],
    places: bool,
) -> Result<bool, DependencyFailure> {
    let met = |(_, ending): &&(TaskId, Ending)| condition.accept.is_met_by(ending.success);
    if condition.tasks.is_empty() {
        return Ok(true);
    }
    if condition.quorum == Quorum::Any {
        let some = endings.iter().any(|ending| met(&ending));
        return match endings.last() {
            Some(last) if !some && endings.len() == condition.tasks.len() => {
                Err(impossible(Impossible::Unmet, *last))
            }
            _ => Ok(some),
        };
    }
    let mut place = None;
    for ending in endings {
        if !met(&ending) {
            return Err(impossible(Impossible::Unmet, *ending));
        }
        if let Some(engine) = ending.1.engine.filter(|_| places)
            && *place.get_or_insert(engine) != engine
        {
            return Err(impossible(Impossible::FollowsApart, *ending));
        }
    }
    Ok(endings.len() == condition.tasks.len())
}

fn judge(entry: &Entry) -> Option<DagVerdict> {
    let mut met = true;
    let mut engines = Vec::new();
    if let Some(follow) = &entry.waiting.follow {
        let endings = endings(follow, &entry.heard);
        match judge_condition(follow, &endings, true) {
            Err(failure) => return Some(DagVerdict::Impossible(failure)),
            Ok(is_met) => met &= is_met,
        }
        engines = endings
            .iter()
            .filter(|(_, ending)| follow.accept.is_met_by(ending.success))
            .filter_map(|(_, ending)| ending.engine)
            .collect();
        engines.sort();
        engines.dedup();
    }
    if let Some(after) = &entry.waiting.after {
        match judge_condition(after, &endings(after, &entry.heard), false) {
            Err(failure) => return Some(DagVerdict::Impossible(failure)),
            Ok(is_met) => met &= is_met,
        }
    }
    met.then(|| DagVerdict::Ready((!engines.is_empty()).then_some(engines)))
}

fn task() -> impl Strategy<Value = TaskId> {
    (0..TASKS).prop_map(|seq| TaskId::new(ClientId(1), seq))
}

fn engine() -> impl Strategy<Value = EngineId> {
    (0..3u32).prop_map(EngineId)
}

fn ending() -> impl Strategy<Value = Ending> {
    let engine = prop_oneof![1 => Just(None), 4 => engine().prop_map(Some)];
    (prop::bool::weighted(0.7), engine).prop_map(|(success, engine)| Ending { success, engine })
}

fn condition() -> impl Strategy<Value = Condition> {
    let known = prop_oneof![
        3 => Just(Known::Open),
        1 => engine().prop_map(Known::Assigned),
        1 => ending().prop_map(Known::Ended),
    ];
    let tasks = prop::collection::btree_map(task(), known, 0..5);
    let quorum = prop_oneof![Just(Quorum::All), Just(Quorum::Any)];
    let accept = prop_oneof![3 => Just(Accept::Success), 1 => Just(Accept::Failure), 2 => Just(Accept::Either)];
    // Listed in any order.
    (tasks, quorum, accept)
        .prop_flat_map(|(tasks, quorum, accept)| {
            (Just(tasks.into_iter().collect::<Vec<_>>()).prop_shuffle(), Just(quorum), Just(accept))
        })
        .prop_map(|(tasks, quorum, accept)| Condition { tasks, quorum, accept })
}

fn waiting() -> impl Strategy<Value = WaitingTask> {
    (
        task(),
        prop::option::weighted(0.7, condition()),
        prop::option::weighted(0.5, condition()),
        prop::option::weighted(0.3, 0..30u64),
    )
        .prop_map(|(task, after, follow, timeout_ms)| WaitingTask {
            task,
            after,
            follow,
            timeout_ms,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => waiting().prop_map(Step::Hold),
        4 => (task(), engine()).prop_map(|(task, engine)| Step::Assigned(task, engine)),
        8 => (task(), ending()).prop_map(|(task, ending)| Step::Ended(task, ending)),
        2 => task().prop_map(Step::Release),
        1 => (0..20u64).prop_map(Step::Sleep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_dag_says_what_the_naive_model_says(steps in vec(step(), 0..80)) {
        let mut dag = Dag::default();
        let mut model = Model::default();
        let mut now = Time::ZERO;
        for step in steps {
            let mut effects = Vec::new();
            let expected = match step.clone() {
                Step::Hold(waiting) => {
                    dag.handle(now, DagEvent::Hold(waiting.clone()), &mut effects);
                    model.hold(now, waiting)
                }
                Step::Assigned(task, engine) => {
                    dag.handle(now, DagEvent::Assigned(task, engine), &mut effects);
                    model.assigned(task, engine)
                }
                Step::Ended(task, ending) => {
                    dag.handle(now, DagEvent::Ended(task, ending), &mut effects);
                    model.ended(task, ending)
                }
                Step::Release(task) => {
                    dag.handle(now, DagEvent::Release(task), &mut effects);
                    model.held.retain(|entry| entry.waiting.task != task);
                    model.forget_engines();
                    Vec::new()
                }
                Step::Sleep(ms) => {
                    now = now + Duration::from_millis(ms);
                    dag.on_deadline(now, &mut effects);
                    model.pass(now)
                }
            };
            prop_assert_eq!(effects, expected, "at {:?}", step);
            dag.check_invariants();
            prop_assert_eq!(dag.held_len(), model.held.len());
        }
        // Once all tasks have ended nothing can be waiting, so nothing is left.
        for seq in 0..TASKS {
            let task = TaskId::new(ClientId(1), seq);
            let ending = Ending { success: seq % 2 == 0, engine: None };
            let mut effects = Vec::new();
            dag.handle(now, DagEvent::Ended(task, ending), &mut effects);
            prop_assert_eq!(effects, model.ended(task, ending));
        }
        assert_empty(&dag);
    }
}
