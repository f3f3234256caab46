//! Attempts: assigning, fencing, ending, aborting. Each task gets exactly one outcome here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use phalanx_protocol::ids::{AttemptId, EngineId, SessionId, TaskId};
use phalanx_protocol::limits::{ERROR_BASES_MAX, OUTPUT_KEPT_LEN_MAX};
use phalanx_protocol::outcome::{AttemptOutcome, Outcome, Report, RunTimes};
use phalanx_protocol::output::TaskOutput;
use phalanx_protocol::payload::{Body, Payload};
use phalanx_protocol::task::Assignment;

use super::ledger::{Place, Task, TaskState};
use super::records::{Arguments, Record};
use super::sessions::Peer;
use super::tries::Failure;
use super::{Arriving, EngineOrder, Hub, HubEffect};
use crate::Time;
use crate::dag::DagEvent;
use crate::results::Ended;
use crate::scheduler::SchedulerEvent;

/// What is left of a task's last attempt.
#[derive(Debug, Default)]
pub(super) struct Returned {
    pub(super) times: RunTimes,
    pub(super) payload: Payload,
    pub(super) output: Option<Arc<TaskOutput>>,
}

/// An engine keeps no more of a task's output than the limit; of one that does all the same only
/// the length is kept.
fn bounded(output: Option<Arc<TaskOutput>>) -> Option<Arc<TaskOutput>> {
    output.map(|output| match output.len() {
        len if len <= OUTPUT_KEPT_LEN_MAX as u64 => output,
        len => {
            let truncated = output.truncated.saturating_add(len);
            Arc::new(TaskOutput { chunks: Vec::new(), truncated })
        }
    })
}

impl Hub {
    /// Begins the next attempt at a task on an engine: from here on reports of earlier attempts
    /// are fenced off.
    pub(super) fn begin_attempt(
        &mut self,
        id: TaskId,
        engine: EngineId,
        effects: &mut Vec<HubEffect>,
    ) {
        self.ledger.set_state(id, TaskState::Assigned(engine));
        self.widen(id);
        let Some(task) = self.ledger.get_mut(id) else {
            return;
        };
        task.attempts += 1;
        let direct = task.is_direct();
        if let Some(engine) = self.registry.get_mut(engine) {
            engine.assigned.insert(id);
            engine.direct += usize::from(direct);
        }
        self.send_attempt(id, engine, effects);
        self.tell_dag_of_attempt(id, engine, effects);
    }

    /// Sends a task's current attempt to its engine, if that has a session; if not, the engine
    /// gets it when it registers again.
    pub(super) fn send_attempt(
        &mut self,
        id: TaskId,
        engine: EngineId,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(task) = self.ledger.get(id) else {
            return;
        };
        let Some(session) = self.registry.get(engine).and_then(|engine| engine.session()) else {
            return;
        };
        let payload = self.arguments(task);
        let gates = if self.ahead.contains(&id) { self.gates(id) } else { Vec::new() };
        let Some(known) = self.registry.get_mut(engine) else {
            return;
        };
        known.owed.note_told();
        if let Some(function) = &task.function
            && let Some(define) = known.functions.define(function)
        {
            let define = EngineOrder::Define(Box::new(define));
            effects.push(HubEffect::ToEngine(session, define));
        }
        let assignment = Assignment {
            attempt: id.attempt(task.attempts),
            direct: task.is_direct(),
            method: task.method.clone(),
            payload,
            gates,
            function: task.function.as_ref().map(|function| function.digest),
        };
        effects.push(HubEffect::ToEngine(session, EngineOrder::Assign(Box::new(assignment))));
        self.engine_due(engine);
    }

    pub(super) fn on_started(&mut self, now: Time, engine: EngineId, attempt: AttemptId) {
        if self.is_current(engine, attempt)
            && let Some(TaskState::Assigned(_)) = self.ledger.get(attempt.task).map(Task::state)
        {
            self.ledger.mark_running(now, attempt.task);
            if let Some(engine) = self.registry.get_mut(engine) {
                engine.running += 1;
            }
            self.start_clock(now, attempt.task);
        }
    }

    /// Whether this is the attempt that the ledger waits for, on the engine that has it.
    pub(super) fn is_current(&self, engine: EngineId, attempt: AttemptId) -> bool {
        self.ledger.get(attempt.task).is_some_and(|task| {
            task.state().engine() == Some(engine) && task.attempts == attempt.number
        })
    }

    pub(super) fn on_report(
        &mut self,
        now: Time,
        session: SessionId,
        engine: EngineId,
        mut report: Report,
        effects: &mut Vec<HubEffect>,
    ) {
        self.engine_due(engine);
        let Some(known) = self.registry.get_mut(engine) else { return };
        let is_repeated = report.number < known.reports_end;
        known.reports_end = known.reports_end.max(report.number + 1);
        if let Some(ticket) = report.payload.ticket() {
            match self.arriving.remove(&(session, ticket)) {
                Some(Arriving::Early(bytes)) => report.payload.body = Body::Inline(bytes.into()),
                // Its payload has come, and does not come again.
                None if is_repeated => return,
                _ => {
                    known.reports_arriving.insert(report.number);
                    let arriving = Arriving::Report(Box::new(report));
                    self.arriving.insert((session, ticket), arriving);
                    return;
                }
            }
        }
        self.record_report(now, engine, report, effects);
    }

    pub(super) fn on_report_payload(
        &mut self,
        now: Time,
        session: SessionId,
        mut report: Report,
        bytes: Bytes,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(Peer::Engine(engine)) = self.peer(session) else {
            return;
        };
        let Some(known) = self.registry.get_mut(engine) else {
            return;
        };
        known.reports_arriving.remove(&report.number);
        self.engine_due(engine);
        report.payload.body = Body::Inline(bytes.into());
        self.record_report(now, engine, report, effects);
    }

    fn record_report(
        &mut self,
        now: Time,
        engine: EngineId,
        report: Report,
        effects: &mut Vec<HubEffect>,
    ) {
        if !self.is_current(engine, report.attempt) {
            self.fenced_reports += 1;
            return;
        }
        if let Some(engine) = self.registry.get_mut(engine) {
            engine.ended += 1;
        }
        let id = report.attempt.task;
        let output = bounded(report.output);
        let (outcome, payload) = match report.outcome {
            AttemptOutcome::Done => {
                let Payload { format, body } = report.payload;
                let Body::Inline(bytes) = body else { return };
                let kept = bytes.map(|bytes| self.keeper.keep(bytes));
                (Outcome::Done, Payload::in_pieces(format, kept))
            }
            AttemptOutcome::Failed(mut error) => {
                error.engine = Some(engine);
                error.bases.truncate(ERROR_BASES_MAX);
                let failure = Failure { error: *error, times: report.times, output };
                return self.on_failed(now, id, failure, effects);
            }
            AttemptOutcome::Aborted => match self.over_limit(id) {
                Some(error) => {
                    let failure = Failure { error, times: report.times, output };
                    return self.on_failed(now, id, failure, effects);
                }
                None => (Outcome::Aborted, Payload::empty()),
            },
        };
        let returned = Returned { times: report.times, payload, output };
        self.end(now, id, outcome, returned, effects);
    }

    /// Ends a task that returned nothing.
    pub(super) fn end_without_result(
        &mut self,
        now: Time,
        id: TaskId,
        outcome: Outcome,
        effects: &mut Vec<HubEffect>,
    ) {
        self.end(now, id, outcome, Returned::default(), effects);
    }

    /// Ends a task: the one place where outcomes are made.
    pub(super) fn end(
        &mut self,
        now: Time,
        id: TaskId,
        outcome: Outcome,
        Returned { times, payload, output }: Returned,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(mut task) = self.ledger.remove(id) else {
            return;
        };
        self.panics.remove(&id);
        self.drop_clocks(id, &mut task);
        self.unpin_inputs(&task);
        *(if outcome.is_done() { &mut self.done } else { &mut self.failed }) += 1;
        let ran = (times.ran_ns > 0).then(|| Duration::from_nanos(times.ran_ns));
        self.leave_rooms(id, &task, ran, effects);
        // Where it ran last matters to who follows it, also if it was lost there and moved.
        let engine = task.state().engine();
        let tried = task.tries.as_ref().map(|tries| tries.tried()).filter(|it| !it.is_empty());
        let tried = tried.map(Box::from);
        let (attempts, stays) = (task.attempts, task.stays);
        let ended = Ended { outcome, engine, attempts, times, payload, output, tried, stays };
        if task.watched {
            self.tell_dag(DagEvent::Ended(id, ended.ending()), effects);
        }
        // One that was not taken, or not all of which came, cannot be run again.
        let is_whole =
            task.state() != TaskState::Arriving && !matches!(ended.outcome, Outcome::Rejected(_));
        let status = ended.outcome.name();
        let result_bytes = ended.carried_bytes();
        self.results.insert(id, ended);
        self.settle_with_client(id, &task);
        if let Place::Direct(engine) = task.place
            && matches!(task.state(), TaskState::Arriving | TaskState::Held)
        {
            self.release_held(now, id.client, engine, effects);
        }
        self.on_member_ended(now, id, task.state(), effects);
        self.records.push(Record {
            task: id,
            arguments: Arguments::of(task.payload, task.function).filter(|_| is_whole),
            method: task.method,
            tag: task.tag,
            place: task.place,
            placing: task.placing,
            submitted: task.submitted,
            attempts: task.attempts,
            ended: now,
            times,
            status,
            engine,
            result_bytes,
        });
        self.deliver(id.client, effects);
        if !self.watches.is_empty() {
            self.tell_watchers(id, effects);
        }
    }

    /// Takes an ended task from whoever has it.
    fn leave_rooms(
        &mut self,
        id: TaskId,
        task: &Task,
        ran: Option<Duration>,
        effects: &mut Vec<HubEffect>,
    ) {
        if self.ahead.remove(&id) {
            self.tell_dag(DagEvent::Release(id), effects);
        }
        match task.state() {
            TaskState::Arriving | TaskState::Gathering | TaskState::Held | TaskState::Pausing => {}
            TaskState::Waiting => {
                self.tell_dag(DagEvent::Release(id), effects);
                // It may be about to be sent ahead.
                self.tell_scheduler(SchedulerEvent::Free(id, None), effects);
            }
            TaskState::Ready => self.tell_scheduler(SchedulerEvent::Free(id, None), effects),
            TaskState::Assigned(engine) | TaskState::Running(engine) => {
                self.unassign(id, engine, task.state(), task.is_direct());
                if task.is_direct() {
                    self.drain_backlog(engine, effects);
                } else {
                    self.tell_scheduler(SchedulerEvent::Free(id, ran), effects);
                }
            }
        }
    }

    /// An engine has a task no longer.
    pub(super) fn unassign(
        &mut self,
        id: TaskId,
        engine: EngineId,
        state: TaskState,
        direct: bool,
    ) {
        if let Some(engine) = self.registry.get_mut(engine) {
            engine.assigned.remove(&id);
            engine.direct -= usize::from(direct);
            engine.running -= u64::from(matches!(state, TaskState::Running(_)));
        }
    }

    /// An ended task counts no longer as open, and its outcome waits for its owner.
    fn settle_with_client(&mut self, id: TaskId, task: &Task) {
        let Some(client) = self.clients.get_mut(id.client) else {
            return;
        };
        client.release(task.granted_bytes());
        if let Some(function) = &task.function {
            client.held_functions.release(function.digest);
        }
        if client.departed {
            client.discard();
            self.results.mark_delivered(id);
            self.clients.forget_if_over(id.client);
        } else {
            client.post(id);
        }
    }

    /// Somebody wants a task to end. One that has ended stays as it is; one that an engine has
    /// ends when the engine says so.
    pub(super) fn abort(&mut self, now: Time, id: TaskId, effects: &mut Vec<HubEffect>) {
        let Some(task) = self.ledger.get_mut(id) else {
            if let Some(client) = self.clients.get_mut(id.client)
                && id.seq >= client.next_seq
            {
                client.bury(id.seq);
            }
            return;
        };
        let Some(engine) = task.state().engine() else {
            return self.end_without_result(now, id, Outcome::Aborted, effects);
        };
        task.abort_requested = true;
        let attempt = id.attempt(task.attempts);
        if let Some(session) = self.registry.get(engine).and_then(|engine| engine.session()) {
            effects.push(HubEffect::ToEngine(session, EngineOrder::Abort(vec![attempt])));
        }
    }
}
