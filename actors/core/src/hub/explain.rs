//! Why a task is where it is, in words. Reads, and changes nothing; costs O(open tasks) for a task
//! that is queued, O(engines) for one that waits for an engine, less for all others.

use std::time::Duration;

use phalanx_protocol::explain::Explanation;
use phalanx_protocol::ids::{EngineId, RequestId, TaskId};
use phalanx_protocol::limits::{EXPLAINED_ENGINES_MAX, EXPLAINED_TASKS_MAX};
use phalanx_protocol::needs::Needs;
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::peer::{EngineProfile, EngineState};
use phalanx_protocol::room::{RoomName, WaitReason};
use phalanx_protocol::task::{Accept, Quorum};

use super::Hub;
use super::ledger::{Place, Task, TaskState};
use super::task_list::KeptDependency;
use crate::Time;
use crate::registry::Engine;

impl Hub {
    /// Why a task is where it is.
    pub fn explain(&self, now: Time, request: RequestId, id: TaskId) -> Explanation {
        let mut answer = Explanation { request, task: id, ..Explanation::default() };
        match self.ledger.get(id) {
            Some(task) => self.explain_open(now, id, task, &mut answer),
            None => self.explain_ended(id, &mut answer),
        }
        answer
    }

    fn explain_ended(&self, id: TaskId, answer: &mut Explanation) {
        if let Some(ended) = self.results.get(id) {
            answer.state = ended.outcome.name().into();
            answer.engine = ended.engine;
            answer.reasons.push(how(&ended.outcome));
        } else if let Some(ending) = self.results.ending(id) {
            answer.state = if ending.success { "done" } else { "failed" }.into();
            answer.engine = ending.engine;
            answer.reasons.push("it ended some time ago; only how is still known".into());
        } else {
            answer.state = "unknown".into();
            let was_submitted = self.clients.submitted(id.client).is_some_and(|end| id.seq < end);
            answer.reasons.push(match was_submitted {
                true => "it ended long ago and is no longer on record".into(),
                false => "it is on its way here, or was never submitted".into(),
            });
        }
    }

    fn explain_open(&self, now: Time, id: TaskId, task: &Task, answer: &mut Explanation) {
        let (state, reasons) = match task.state() {
            TaskState::Arriving => {
                ("arriving", vec!["its arguments or its function are on their way".into()])
            }
            TaskState::Gathering => ("gathering", vec![self.explain_graph(id)]),
            TaskState::Held => ("held", vec![self.explain_held(task)]),
            TaskState::Waiting => ("waiting", self.explain_waiting(now, task, answer)),
            TaskState::Pausing => ("pausing", task.tries.iter().map(|it| it.told(now)).collect()),
            TaskState::Ready => ("ready", self.explain_ready(now, id, task, answer)),
            TaskState::Assigned(engine) => {
                answer.engine = Some(engine);
                let mut reasons = vec![self.explain_assigned(now, id, engine)];
                if self.ahead.contains(&id) {
                    reasons.extend(self.explain_waiting(now, task, answer));
                }
                ("assigned", reasons)
            }
            TaskState::Running(engine) => {
                answer.engine = Some(engine);
                let since = task.running_since.map_or_else(String::new, |since| {
                    format!(" for {}", seconds(now.since(since)))
                });
                ("running", vec![format!("it runs on engine {}{since}", engine.0)])
            }
        };
        answer.state = state.into();
        answer.reasons = reasons;
        if task.abort_requested {
            answer.reasons.push("it was asked to end".into());
        }
        if task.suspect {
            answer.reasons.push("an engine died while it had it, so it runs alone".into());
        }
    }

    fn explain_graph(&self, id: TaskId) -> String {
        let (here, of) = self.graph_progress(id).unwrap_or_default();
        format!("of its graph {here} of {of} tasks are here")
    }

    fn explain_held(&self, task: &Task) -> String {
        match &task.place {
            Place::Direct(engine) => {
                let engine_state = self.registry.get(*engine).map(Engine::state);
                let silent = if engine_state == Some(EngineState::Silent) {
                    ", which has been silent for a while"
                } else {
                    ""
                };
                format!("it is behind earlier tasks for engine {}{silent}", engine.0)
            }
            Place::Balanced(_) => "it is behind earlier tasks".into(),
        }
    }

    fn explain_waiting(&self, now: Time, task: &Task, answer: &mut Explanation) -> Vec<String> {
        let mut reasons = Vec::new();
        let parts = [("comes after", task.after.as_ref()), ("follows", task.follow())];
        for (word, part) in parts {
            if let Some(part) = part {
                reasons.extend(self.explain_dependency(word, part, &mut answer.waits_for));
            }
        }
        answer.waits_for.sort_unstable();
        answer.waits_for.dedup();
        answer.waits_for.truncate(EXPLAINED_TASKS_MAX);
        if let Some(deadline) = task.waits.as_ref().and_then(|waits| waits.deadline) {
            reasons.push(format!("it has {} left for that", seconds(deadline.since(now))));
        }
        if !self.rooms.get(RoomName::Dag).up {
            reasons.push("the dag room is down; it is filled anew when it is back".into());
        }
        reasons
    }

    fn explain_dependency(
        &self,
        word: &str,
        part: &KeptDependency,
        waits_for: &mut Vec<TaskId>,
    ) -> Option<String> {
        let open: Vec<TaskId> =
            part.tasks.iter().filter(|task| self.ledger.get(*task).is_some()).collect();
        let names: Vec<String> =
            open.iter().take(EXPLAINED_TASKS_MAX).map(|task| self.with_state(*task)).collect();
        waits_for.extend(open.iter().take(EXPLAINED_TASKS_MAX));
        let more = match open.len().saturating_sub(EXPLAINED_TASKS_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let how = match (part.quorum, part.accept) {
            (Quorum::All, Accept::Success) => "",
            (Quorum::All, Accept::Failure) => ", all of which must fail",
            (Quorum::All, Accept::Either) => ", however they end",
            (Quorum::Any, Accept::Success) => ", one of which must be done",
            (Quorum::Any, Accept::Failure) => ", one of which must fail",
            (Quorum::Any, Accept::Either) => ", one of which must end",
        };
        (!open.is_empty()).then(|| format!("it {word} {}{more}{how}", names.join(", ")))
    }

    fn with_state(&self, task: TaskId) -> String {
        match self.ledger.get(task).map(Task::state) {
            Some(TaskState::Running(engine)) => format!("{task} (runs on engine {})", engine.0),
            Some(TaskState::Assigned(engine)) => format!("{task} (at engine {})", engine.0),
            Some(TaskState::Ready) => format!("{task} (queued)"),
            Some(TaskState::Pausing) => format!("{task} (tried again soon)"),
            _ => format!("{task} (waits too)"),
        }
    }

    fn explain_ready(
        &self,
        now: Time,
        id: TaskId,
        task: &Task,
        answer: &mut Explanation,
    ) -> Vec<String> {
        let is_before =
            |other: &Task| other.state() == TaskState::Ready && other.order() < task.order();
        let position = self.ledger.iter().filter(|(_, other)| is_before(other)).count();
        answer.position = Some(position as u64);
        let mut reasons = Vec::new();
        if let Some(tries) = &task.tries
            && let Some(told) = tries.told_where(id)
        {
            reasons.push(told);
        }
        let allowed = task.allowed();
        let may = |engine: &EngineId| {
            allowed.as_ref().is_none_or(|allowed| allowed.contains(engine))
                && task.tries.as_ref().is_none_or(|tries| !tries.avoids(engine))
        };
        let able: Vec<(EngineId, &Engine)> = self
            .registry
            .iter()
            .filter(|(engine, known)| may(engine) && known.state() != EngineState::Lost)
            .filter(|(_, known)| known.profile().methods.contains(&task.method))
            .filter(|(_, known)| task.needs().is_none_or(|needs| known.profile().meets(needs)))
            .collect();
        if able.is_empty() {
            reasons.push(self.explain_no_engine(task, allowed.as_deref()));
            return reasons;
        }
        reasons.push(match position {
            0 => "it is the first of those that wait for an engine".into(),
            _ => format!("{position} tasks came to the queue before it"),
        });
        for (engine, known) in able.into_iter().take(EXPLAINED_ENGINES_MAX) {
            reasons.push(self.explain_busy(now, engine, known));
        }
        if !self.rooms.get(RoomName::Scheduler).up {
            reasons.push("the scheduler is down; it is filled anew when it is back".into());
        }
        reasons
    }

    fn explain_no_engine(&self, task: &Task, allowed: Option<&[EngineId]>) -> String {
        let method = task.method.as_str();
        let present = self.registry.iter().filter(|(_, it)| it.state() != EngineState::Lost);
        let present: Vec<EngineId> = present.map(|(engine, _)| engine).collect();
        match allowed {
            _ if present.is_empty() => "there are no engines".into(),
            Some(allowed) if !allowed.iter().any(|engine| present.contains(engine)) => {
                let names: Vec<String> =
                    allowed.iter().take(EXPLAINED_ENGINES_MAX).map(|it| it.0.to_string()).collect();
                format!("none of the engines that it may have is there: {}", names.join(", "))
            }
            _ => {
                let may = |engine: &EngineId| allowed.is_none_or(|them| them.contains(engine));
                let able: Vec<&EngineProfile> = present
                    .iter()
                    .filter(|engine| may(engine))
                    .filter_map(|engine| Some(self.registry.get(*engine)?.profile()))
                    .filter(|profile| profile.methods.contains(&task.method))
                    .collect();
                match task.needs() {
                    Some(needs) if !able.is_empty() => lacking(needs, &able).to_string(),
                    _ => format!("no engine that it may have offers {method:?}"),
                }
            }
        }
    }

    fn explain_busy(&self, now: Time, engine: EngineId, known: &Engine) -> String {
        let slots = known.profile().slots;
        let longest = known
            .assigned
            .iter()
            .filter_map(|task| Some((self.ledger.get(*task)?.running_since?, *task)))
            .min();
        let busy = match longest {
            Some((since, task)) => {
                format!(", busy with {task} for {}", seconds(now.since(since)))
            }
            None => String::new(),
        };
        let silent =
            if known.state() == EngineState::Silent { ", and has been silent" } else { "" };
        let (engine, tasks) = (engine.0, known.assigned.len());
        format!("engine {engine} has {tasks} tasks for {slots} slots{busy}{silent}")
    }

    fn explain_assigned(&self, now: Time, id: TaskId, engine: EngineId) -> String {
        let Some(known) = self.registry.get(engine) else { return String::new() };
        let order = self.ledger.get(id).map_or(0, Task::order);
        let is_before =
            |task: &&TaskId| self.ledger.get(**task).is_some_and(|task| task.order() < order);
        let before = known.assigned.iter().filter(is_before).count();
        format!(
            "it was sent to engine {}, which had {before} tasks before it: {}",
            engine.0,
            self.explain_busy(now, engine, known)
        )
    }
}

/// What a task needs that none of these engines has, in the words of the scheduler.
fn lacking(needs: &Needs, engines: &[&EngineProfile]) -> WaitReason {
    let is_nowhere = |label: &&String| !engines.iter().any(|engine| engine.labels.contains(label));
    if let Some(label) = needs.labels.iter().find(is_nowhere) {
        return WaitReason::NoLabel(label.clone());
    }
    for (name, needed) in &needs.amounts {
        let amounts = engines.iter().flat_map(|engine| &engine.resources);
        let most = amounts.filter(|(other, _)| other == name).map(|(_, amount)| *amount).max();
        let most = most.unwrap_or_default();
        if most < *needed {
            return WaitReason::NoResource { needed: (name.clone(), *needed), most };
        }
    }
    WaitReason::NoEngineFits
}

/// How a task ended.
fn how(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "it ran and returned".into(),
        Outcome::Failed(error) => error.to_string(),
        Outcome::Aborted => "a user asked for it to end".into(),
        Outcome::EngineLost(loss) => loss.to_string(),
        Outcome::Poison(losses) => {
            let losses: Vec<String> = losses.iter().map(ToString::to_string).collect();
            format!("engines died under it: {}", losses.join("; "))
        }
        Outcome::DependencyFailed(failure) => failure.to_string(),
        Outcome::DependencyTimeout => "its dependencies were not met in time".into(),
        Outcome::Rejected(rejection) => rejection.detail.clone(),
    }
}

/// A duration for people.
pub(super) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3_600 => format!("{} min", duration.as_secs() / 60),
        _ => format!("{} h", duration.as_secs() / 3_600),
    }
}
