//! Attempts: exactly one outcome, whatever is repeated, late or stale.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use phalanx_core::hub::{ClientReply, ClientRequest, EngineNews, EngineOrder, HubEffect, HubEvent};
use phalanx_core::scheduler::SchedulerEvent;
use phalanx_protocol::ids::{EngineId, SessionId, TaskId, Ticket};
use phalanx_protocol::limits::{OUTPUT_KEPT_LEN_MAX, OUTPUT_MESSAGE_LEN_MAX};
use phalanx_protocol::outcome::{AttemptOutcome, Outcome, RemoteError, Report, RunTimes};
use phalanx_protocol::output::{Output, OutputChunk, OutputKind, TaskOutput};
use phalanx_protocol::payload::Payload;
use phalanx_protocol::role::Role;
use phalanx_protocol::task::Target;

use crate::harness::{
    Bench, assignments, by_ticket, confirmed, deliveries, inline, outcomes, placed, report, spec,
};

/// A client, an engine, and a balanced task assigned to it.
fn assigned() -> (Bench, SessionId, SessionId, EngineId, TaskId) {
    let mut bench = Bench::new();
    let (engine_session, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    let task = TaskId::new(client, 0);
    bench.submit(session, spec(task, Target::Any));
    let effects = bench.assign(task, engine);
    assert_eq!(assignments(&effects)[0].attempt, task.attempt(1));
    (bench, session, engine_session, engine, task)
}

#[test]
fn a_report_ends_the_task_is_confirmed_and_delivered() {
    let (mut bench, _, engine_session, engine, task) = assigned();
    assert_eq!(bench.hub.fenced_reports(), 0);
    let effects = bench.report(engine_session, report(0, task.attempt(1), inline("result")));
    assert_eq!(bench.hub.fenced_reports(), 0);
    let delivery = deliveries(&effects)[0];
    assert_eq!(delivery.outcome, Outcome::Done);
    assert_eq!((delivery.number, delivery.engine, delivery.attempts), (0, Some(engine), 1));
    assert_eq!(delivery.payload, inline("result"));
    assert_eq!(confirmed(&effects), Some(1));
    let status = bench.hub.status(bench.now);
    assert_eq!((status.tasks.done, status.tasks.failed, status.engines[0].ended), (1, 0, 1));
}

#[test]
fn the_scheduler_learns_how_long_an_attempt_ran_if_its_engine_says_so() {
    for (ran_ns, ran) in [(0, None), (1, Some(Duration::from_nanos(1)))] {
        let (mut bench, _, engine_session, _, task) = assigned();
        let times = RunTimes { started_us: 1, ran_ns };
        let done = Report { times, ..report(0, task.attempt(1), inline("r")) };
        let free = HubEffect::ToScheduler(bench.scheduler, SchedulerEvent::Free(task, ran));
        assert!(bench.report(engine_session, done).contains(&free), "{ran_ns} ns");
    }
}

#[test]
fn a_repeated_report_is_fenced_and_confirmed() {
    let (mut bench, _, engine_session, _, task) = assigned();
    bench.report(engine_session, report(0, task.attempt(1), inline("result")));
    let effects = bench.report(engine_session, report(0, task.attempt(1), inline("other")));
    assert_eq!(effects, []);
    assert_eq!(bench.hub.fenced_reports(), 1);
}

#[test]
fn a_report_of_another_attempt_or_engine_changes_nothing() {
    let (mut bench, _, engine_session, _, task) = assigned();
    let (other_session, _) = bench.engine(2, 1);
    let stale = bench.report(engine_session, report(0, task.attempt(2), inline("x")));
    assert_eq!((outcomes(&stale).len(), confirmed(&stale)), (0, Some(1)));
    let foreign = bench.report(other_session, report(0, task.attempt(1), inline("x")));
    assert_eq!(outcomes(&foreign), []);
    assert_eq!(bench.hub.open_len(), 1);
}

#[test]
fn a_verdict_repeated_or_of_an_old_generation_assigns_nothing() {
    let (mut bench, _, _, engine, task) = assigned();
    assert_eq!(bench.assign(task, engine), []);
    let (session, client) = bench.client();
    let next = TaskId::new(client, 0);
    bench.submit(session, spec(next, Target::Any));
    bench.scheduler.0 -= 1;
    assert_eq!(bench.assign(next, engine), []);
}

#[test]
fn what_user_code_raised_comes_back_with_its_engine() {
    let (mut bench, _, engine_session, engine, task) = assigned();
    let error = RemoteError { kind: "E".into(), message: "m".into(), ..RemoteError::default() };
    let failed = Report {
        outcome: AttemptOutcome::Failed(Box::new(error)),
        ..report(0, task.attempt(1), Payload::empty())
    };
    let effects = bench.report(engine_session, failed);
    let [(_, Outcome::Failed(error))] = &outcomes(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((error.engine, error.kind.as_str()), (Some(engine), "E"));
    let tasks = bench.hub.status(bench.now).tasks;
    assert_eq!((tasks.done, tasks.failed), (0, 1));
}

#[test]
fn a_result_by_stream_counts_when_its_bytes_are_here() {
    let (mut bench, _, engine_session, _, task) = assigned();
    let effects = bench.report(engine_session, report(0, task.attempt(1), by_ticket(3, 5)));
    assert_eq!(effects, [], "neither done nor confirmed");
    let bytes = Bytes::from_static(b"bytes");
    let arrived = HubEvent::PayloadArrived { session: engine_session, ticket: Ticket(3), bytes };
    let effects = bench.event(arrived);
    assert_eq!(deliveries(&effects)[0].payload, inline("bytes"));
    assert_eq!(confirmed(&effects), Some(1));
}

#[test]
fn the_bytes_of_a_result_may_come_before_its_report() {
    let (mut bench, _, engine_session, _, task) = assigned();
    let bytes = Bytes::from_static(b"bytes");
    let arrived = HubEvent::PayloadArrived { session: engine_session, ticket: Ticket(3), bytes };
    assert_eq!(bench.event(arrived), []);
    let effects = bench.report(engine_session, report(0, task.attempt(1), by_ticket(3, 5)));
    assert_eq!(deliveries(&effects)[0].payload, inline("bytes"));
    assert_eq!(confirmed(&effects), Some(1));
}

#[test]
fn a_repeated_report_whose_bytes_have_come_holds_back_no_confirmation() {
    let (mut bench, session, engine_session, engine, task) = assigned();
    let next = TaskId::new(task.client, 1);
    bench.submit(session, spec(next, Target::Any));
    bench.assign(next, engine);
    let again = report(0, task.attempt(1), by_ticket(3, 5));
    bench.report(engine_session, again.clone());
    let bytes = Bytes::from_static(b"bytes");
    bench.event(HubEvent::PayloadArrived { session: engine_session, ticket: Ticket(3), bytes });
    assert_eq!(outcomes(&bench.report(engine_session, again)), []);
    let effects = bench.report(engine_session, report(1, next.attempt(1), inline("x")));
    assert_eq!(confirmed(&effects), Some(2));
}

#[test]
fn a_late_payload_holds_back_the_confirmation_of_later_reports() {
    let (mut bench, session, engine_session, engine, task) = assigned();
    let next = TaskId::new(task.client, 1);
    bench.submit(session, spec(next, Target::Any));
    bench.assign(next, engine);
    bench.report(engine_session, report(0, task.attempt(1), by_ticket(3, 5)));
    let effects = bench.report(engine_session, report(1, next.attempt(1), inline("x")));
    assert_eq!((outcomes(&effects).len(), confirmed(&effects)), (1, None));
    let bytes = Bytes::from_static(b"bytes");
    let arrived = HubEvent::PayloadArrived { session: engine_session, ticket: Ticket(3), bytes };
    assert_eq!(confirmed(&bench.event(arrived)), Some(2));
}

#[test]
fn a_waiting_task_is_aborted_at_once() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let task = TaskId::new(client, 0);
    bench.submit(session, spec(task, Target::Any));
    let effects = bench.request(session, ClientRequest::Abort(vec![task], None));
    assert_eq!(outcomes(&effects), [(task, Outcome::Aborted)]);
}

#[test]
fn an_assigned_task_is_aborted_by_its_engine_and_ends_as_that_says() {
    let (mut bench, session, engine_session, _, task) = assigned();
    let effects = bench.request(session, ClientRequest::Abort(vec![task], None));
    let order = EngineOrder::Abort(vec![task.attempt(1)]);
    assert_eq!(effects, [HubEffect::ToEngine(engine_session, order)]);
    let effects = bench.report(engine_session, report(0, task.attempt(1), inline("in time")));
    assert_eq!(outcomes(&effects), [(task, Outcome::Done)]);
}

#[test]
fn aborting_an_ended_task_is_a_quiet_no() {
    let (mut bench, session, engine_session, _, task) = assigned();
    bench.report(engine_session, report(0, task.attempt(1), inline("r")));
    assert_eq!(bench.request(session, ClientRequest::Abort(vec![task], None)), []);
}

#[test]
fn aborts_that_overtake_their_submits_end_these_tasks_on_arrival_and_no_others() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let [first, between, last] = [0, 1, 2].map(|seq| TaskId::new(client, seq));
    for task in [first, last] {
        assert_eq!(bench.request(session, ClientRequest::Abort(vec![task], None)), []);
    }
    for task in [first, between, last] {
        let effects = bench.submit(session, spec(task, Target::Any));
        let (ended, went) = match task == between {
            true => (vec![], vec![task]),
            false => (vec![(task, Outcome::Aborted)], vec![]),
        };
        assert_eq!((outcomes(&effects), placed(&effects)), (ended, went));
    }
}

#[test]
fn an_abort_lost_with_the_engines_session_is_sent_again() {
    let (mut bench, session, engine_session, _, task) = assigned();
    bench.close(engine_session);
    assert_eq!(bench.request(session, ClientRequest::Abort(vec![task], None)), []);
    let inventory =
        phalanx_protocol::peer::Inventory { running: vec![task.attempt(1)], ..Default::default() };
    let (again, _, _, effects) = bench.register(crate::harness::profile("here/1", 1, 1), inventory);
    let order = EngineOrder::Abort(vec![task.attempt(1)]);
    assert!(effects.contains(&HubEffect::ToEngine(again, order)), "{effects:?}");
}

#[test]
fn started_is_shown_and_repeating_it_does_no_harm() {
    let (mut bench, _, engine_session, _, task) = assigned();
    for _ in 0..2 {
        let started = EngineNews::Started(task.attempt(1));
        assert_eq!(bench.event(HubEvent::FromEngine(engine_session, started)), []);
    }
    let status = bench.hub.status(bench.now);
    assert_eq!((status.tasks.assigned, status.tasks.running), (0, 1));
    assert_eq!(status.engines[0].running, 1);
    bench.report(engine_session, report(0, task.attempt(1), inline("r")));
    let status = bench.hub.status(bench.now);
    assert_eq!((status.tasks.running, status.engines[0].running), (0, 0));
}

fn wrote(text: &'static str) -> Vec<OutputChunk> {
    vec![OutputChunk { kind: OutputKind::STDOUT, bytes: Bytes::from_static(text.as_bytes()) }]
}

fn news(task: TaskId, number: u32, offset: u64, text: &'static str) -> Output {
    Output { attempt: task.attempt(number), offset, chunks: wrote(text) }
}

#[test]
fn live_output_of_the_current_attempt_goes_to_the_tasks_client_and_is_not_kept() {
    let (mut bench, session, engine_session, _, task) = assigned();
    let tell = |output| HubEvent::FromEngine(engine_session, EngineNews::Output(output));
    let output = news(task, 1, 3, "text");
    let passed = HubEffect::ToClient(session, ClientReply::Output(Box::new(output.clone())));
    // Repeating it, or losing one before it, does no harm.
    for _ in 0..2 {
        assert_eq!(bench.event(tell(output.clone())), std::slice::from_ref(&passed));
    }
    assert_eq!(bench.event(tell(news(task, 2, 0, "of no attempt"))), []);
    let (other_session, _) = bench.engine(2, 1);
    let foreign = HubEvent::FromEngine(other_session, EngineNews::Output(output.clone()));
    assert_eq!(bench.event(foreign), []);
    for (len, passes) in [(OUTPUT_MESSAGE_LEN_MAX, true), (OUTPUT_MESSAGE_LEN_MAX + 1, false)] {
        let flood = Bytes::from(vec![b'x'; len]);
        let chunks = vec![OutputChunk { kind: OutputKind::STDOUT, bytes: flood }];
        let effects = bench.event(tell(Output { chunks, ..output.clone() }));
        assert_eq!(effects.len(), usize::from(passes), "{len} bytes");
    }
    bench.close(session);
    assert_eq!(bench.event(tell(output.clone())), [], "nobody is there to read it");
    bench.report(engine_session, report(0, task.attempt(1), inline("r")));
    assert_eq!(bench.event(tell(output)), [], "late");
}

#[test]
fn output_that_overtakes_its_engines_registration_is_dropped() {
    let (mut bench, _, _, _, task) = assigned();
    let session = bench.session(Role::Engine);
    let early = HubEvent::FromEngine(session, EngineNews::Output(news(task, 1, 0, "early")));
    assert_eq!(bench.event(early), []);
}

#[test]
fn what_an_attempt_wrote_is_delivered_with_its_outcome_again_after_a_cut() {
    let (mut bench, session, engine_session, _, task) = assigned();
    let output = Some(Arc::new(TaskOutput { chunks: wrote("text"), truncated: 7 }));
    let failed = AttemptOutcome::Failed(Box::default());
    let said = Report {
        outcome: failed,
        output: output.clone(),
        ..report(0, task.attempt(1), Payload::empty())
    };
    let effects = bench.report(engine_session, said.clone());
    assert_eq!(deliveries(&effects)[0].output, output);
    assert_eq!(bench.hub.results().bytes(), 4);
    assert_eq!(deliveries(&bench.report(engine_session, said)).len(), 0, "it is said once");
    bench.close(session);
    let (again, _, effects) = bench.open(Some(bench.resume(task.client)));
    assert_eq!(deliveries(&effects)[0].output, output);
    assert_eq!(bench.request(again, ClientRequest::Received(1)), []);
}

#[test]
fn an_engine_that_keeps_more_than_it_may_has_it_only_counted() {
    let (mut bench, _, engine_session, _, task) = assigned();
    let flood = Bytes::from(vec![b'x'; OUTPUT_KEPT_LEN_MAX + 1]);
    let chunks = vec![OutputChunk { kind: OutputKind::STDERR, bytes: flood }];
    let output = Some(Arc::new(TaskOutput { chunks, truncated: 1 }));
    let said = Report { output, ..report(0, task.attempt(1), inline("r")) };
    let effects = bench.report(engine_session, said);
    let output = deliveries(&effects)[0].output.as_ref().expect("something was written");
    assert_eq!((output.len(), output.truncated), (0, OUTPUT_KEPT_LEN_MAX as u64 + 2));
}
