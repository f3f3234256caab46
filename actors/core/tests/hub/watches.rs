//! Watches: who wants another's outcome gets it once, when it is there.

use bytes::Bytes;
use phalanx_core::hub::{ClientReply, ClientRequest, EngineNews, HubEffect, HubEvent};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::RequestId;
use phalanx_protocol::ids::{EngineId, SessionId, TaskId};
use phalanx_protocol::limits::WATCHES_PER_CLIENT_MAX;
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::output::{Output, OutputChunk, OutputKind};
use phalanx_protocol::query::Purged;
use phalanx_protocol::task::Target;

use crate::harness::{Bench, closed, inline, report, spec};

/// An engine, an owner with one open task, and a second client.
fn world() -> (Bench, SessionId, EngineId, SessionId, SessionId, TaskId) {
    let mut bench = Bench::new();
    let (engine_session, engine) = bench.engine(1, 1);
    let (owner, client) = bench.client();
    let task = TaskId::new(client, 0);
    bench.submit(owner, spec(task, Target::Engine(engine)));
    let (watcher, _) = bench.client();
    (bench, engine_session, engine, owner, watcher, task)
}

/// To whom which outcomes went, with their numbers.
fn told(effects: &[HubEffect]) -> Vec<(SessionId, u64, TaskId, Outcome)> {
    let delivery = |effect: &HubEffect| match effect {
        HubEffect::ToClient(session, ClientReply::Delivery(delivery)) => {
            Some((*session, delivery.number, delivery.task, delivery.outcome.clone()))
        }
        _ => None,
    };
    effects.iter().filter_map(delivery).collect()
}

fn watch(bench: &mut Bench, session: SessionId, tasks: &[TaskId]) -> Vec<HubEffect> {
    bench.request(session, ClientRequest::Watch(tasks.to_vec()))
}

#[test]
fn an_outcome_goes_to_its_owner_and_to_whoever_watches() {
    let (mut bench, engine_session, _, owner, watcher, task) = world();
    assert_eq!(told(&watch(&mut bench, watcher, &[task])), []);
    assert_eq!(told(&watch(&mut bench, watcher, &[task])), [], "a second time is no news");
    let effects = bench.report(engine_session, report(0, task.attempt(1), inline("r")));
    let both = [(owner, 0, task, Outcome::Done), (watcher, 0, task, Outcome::Done)];
    assert_eq!(told(&effects), both);
    assert_eq!(told(&watch(&mut bench, watcher, &[task])), [(watcher, 1, task, Outcome::Done)]);
}

#[test]
fn live_output_goes_to_whoever_watches_too_and_to_each_once() {
    let (mut bench, engine_session, _, owner, watcher, task) = world();
    let chunks = vec![OutputChunk { kind: OutputKind::STDOUT, bytes: Bytes::from_static(b"text") }];
    let output = Output { attempt: task.attempt(1), offset: 0, chunks };
    let wrote = HubEvent::FromEngine(engine_session, EngineNews::Output(output.clone()));
    let passed_to = |sessions: &[SessionId]| -> Vec<HubEffect> {
        let reply = |_| ClientReply::Output(Box::new(output.clone()));
        sessions.iter().map(|session| HubEffect::ToClient(*session, reply(session))).collect()
    };
    watch(&mut bench, owner, &[task]);
    assert_eq!(bench.event(wrote.clone()), passed_to(&[owner]));
    watch(&mut bench, watcher, &[task]);
    assert_eq!(bench.event(wrote.clone()), passed_to(&[owner, watcher]));
    bench.close(owner);
    assert_eq!(bench.event(wrote.clone()), passed_to(&[watcher]));
    bench.close(watcher);
    assert_eq!(bench.event(wrote), []);
}

#[test]
fn an_owner_may_watch_its_own_task() {
    let (mut bench, engine_session, _, owner, _, task) = world();
    watch(&mut bench, owner, &[task]);
    let effects = bench.report(engine_session, report(0, task.attempt(1), inline("r")));
    let twice = [(owner, 0, task, Outcome::Done), (owner, 1, task, Outcome::Done)];
    assert_eq!(told(&effects), twice);
    bench.request(owner, ClientRequest::Received(2));
}

#[test]
fn what_a_watcher_has_does_not_count_as_delivered_to_the_owner() {
    let (mut bench, engine_session, _, owner, watcher, task) = world();
    bench.close(owner);
    bench.report(engine_session, report(0, task.attempt(1), inline("r")));
    watch(&mut bench, watcher, &[task]);
    bench.request(watcher, ClientRequest::Received(1));
    bench.request(watcher, ClientRequest::Purge(RequestId(1), Purged::All));
    let (session, _, effects) = bench.open(Some(bench.resume(task.client)));
    assert_eq!(told(&effects), [(session, 0, task, Outcome::Done)]);
}

#[test]
fn a_task_that_is_not_on_record_comes_as_rejected() {
    let (mut bench, _, _, _, watcher, task) = world();
    let unknown = TaskId::new(task.client, 7);
    let effects = watch(&mut bench, watcher, &[unknown]);
    let [(_, 0, told, Outcome::Rejected(rejection))] = &told(&effects)[..] else {
        panic!("rejected, not {effects:?}");
    };
    assert_eq!((*told, rejection.code), (unknown, Some(ErrorCode::Purged)));
}

#[test]
fn a_watch_ends_with_its_session_and_is_not_sent_again() {
    let (mut bench, engine_session, _, owner, watcher, task) = world();
    let (resumed, opened, _) = bench.open(None);
    watch(&mut bench, watcher, &[task]);
    watch(&mut bench, resumed, &[task]);
    bench.close(watcher);
    let effects = bench.report(engine_session, report(0, task.attempt(1), inline("r")));
    assert_eq!(told(&effects).iter().map(|told| told.0).collect::<Vec<_>>(), [owner, resumed]);
    bench.close(resumed);
    let (_, again, effects) = bench.open(Some(bench.resume(opened.client)));
    assert_eq!((again.client, told(&effects)), (opened.client, Vec::new()), "unless asked again");
}

#[test]
fn a_client_that_is_back_is_told_only_of_what_it_watches_anew() {
    let (mut bench, engine_session, engine, owner, _, first) = world();
    let task = TaskId::new(first.client, 1);
    bench.submit(owner, spec(task, Target::Engine(engine)));
    let (watcher, opened, _) = bench.open(None);
    watch(&mut bench, watcher, &[task]);
    bench.close(watcher);
    let (again, ..) = bench.open(Some(bench.resume(opened.client)));
    let effects = bench.report(engine_session, report(0, task.attempt(1), inline("r")));
    assert_eq!(told(&effects), [(owner, 0, task, Outcome::Done)]);
    let effects = watch(&mut bench, again, &[task]);
    assert_eq!(told(&effects), [(again, 0, task, Outcome::Done)]);
}

#[test]
fn a_client_that_watches_without_end_is_let_go() {
    let (mut bench, _, engine, owner, watcher, task) = world();
    let mut most = Vec::new();
    for seq in 0..WATCHES_PER_CLIENT_MAX as u64 {
        let open = TaskId::new(task.client, seq);
        if seq > 0 {
            let submit = ClientRequest::Submit(spec(open, Target::Engine(engine)));
            let mut effects = Vec::new();
            let event = phalanx_core::hub::HubEvent::FromClient(owner, submit);
            phalanx_core::Room::handle(&mut bench.hub, bench.now, event, &mut effects);
        }
        most.push(open);
    }
    assert_eq!(closed(&watch(&mut bench, watcher, &most)), []);
    let more = TaskId::new(task.client, 1_000_000);
    assert_eq!(closed(&watch(&mut bench, watcher, &[more])), [watcher]);
}
