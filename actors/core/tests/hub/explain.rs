//! Explanations: a task in each of its states says why it is there.

use std::time::Duration;

use phalanx_core::hub::{ClientReply, ClientRequest, EngineNews, HubEffect, HubEvent, HubSettings};
use phalanx_protocol::explain::Explanation;
use phalanx_protocol::ids::{ClientId, EngineId, Epoch, RequestId, SessionId, TaskId};
use phalanx_protocol::needs::{Amount, Needs};
use phalanx_protocol::outcome::{AttemptOutcome, RemoteError, Report};
use phalanx_protocol::payload::Payload;
use phalanx_protocol::peer::{EngineProfile, Inventory};
use phalanx_protocol::role::Role;
use phalanx_protocol::task::{Dependency, GraphPart, Retry, Target, TaskOptions, TaskSpec};

use crate::harness::{Bench, by_ticket, profile, report, spec, with_options};

fn explain(bench: &mut Bench, session: SessionId, task: TaskId) -> Explanation {
    let effects = bench.request(session, ClientRequest::Explain(RequestId(3), task));
    let [HubEffect::ToClient(to, ClientReply::Explanation(explanation))] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!((*to, explanation.request, explanation.task), (session, RequestId(3), task));
    (**explanation).clone()
}

/// A client with `tasks` balanced tasks, and an engine of one slot.
fn world(tasks: u64) -> (Bench, SessionId, (SessionId, EngineId), ClientId) {
    let mut bench = Bench::new();
    let engine = bench.engine(1, 1);
    let (session, client) = bench.client();
    for seq in 0..tasks {
        bench.submit(session, spec(TaskId::new(client, seq), Target::Any));
    }
    (bench, session, engine, client)
}

#[test]
fn a_waiting_task_names_what_it_waits_for_and_where_that_is() {
    let (mut bench, session, engine, client) = world(3);
    let id = |seq| TaskId::new(client, seq);
    bench.assign(id(0), engine.1);
    bench.event(HubEvent::FromEngine(engine.0, EngineNews::Started(id(0).attempt(1))));
    let options = TaskOptions {
        after: Some(Dependency::all([id(0), id(1)])),
        follow: Some(Dependency::any([id(2)])),
        timeout_ms: Some(90_000),
        ..TaskOptions::default()
    };
    bench.submit(session, with_options(spec(id(3), Target::Any), options));
    let told = explain(&mut bench, session, id(3));
    assert_eq!(told.state, "waiting");
    assert_eq!(told.waits_for, [id(0), id(1), id(2)]);
    let text = told.to_string();
    assert!(text.contains("comes after c0/0 (runs on engine 0), c0/1 (queued)"), "{text}");
    assert!(text.contains("follows c0/2 (queued), one of which must be done"), "{text}");
    assert!(text.contains("it has 1 min left"), "{text}");
    assert!(!text.contains("room is down"), "{text}");
}

#[test]
fn what_a_task_waits_for_is_told_with_where_it_is() {
    let (mut bench, session, engine, client) = world(1);
    let id = |seq| TaskId::new(client, seq);
    let retry = Some(Retry { count: 1, backoff_ms: 3_000, ..Retry::default() });
    let options = TaskOptions { retry, ..TaskOptions::default() };
    bench.submit(session, with_options(spec(id(1), Target::Any), options));
    let after = |tasks: Vec<TaskId>| TaskOptions {
        after: Some(Dependency::all(tasks)),
        ..TaskOptions::default()
    };
    bench.submit(session, with_options(spec(id(2), Target::Any), after(vec![id(0)])));
    let last = with_options(spec(id(3), Target::Any), after(vec![id(0), id(1), id(2)]));
    bench.submit(session, last);
    bench.assign(id(0), engine.1);
    bench.assign(id(1), engine.1);
    let outcome = AttemptOutcome::Failed(Box::default());
    bench.report(engine.0, Report { outcome, ..report(0, id(1).attempt(1), Payload::empty()) });
    let told = explain(&mut bench, session, id(3)).to_string();
    let all = "it comes after c0/0 (at engine 0), c0/1 (tried again soon), c0/2 (waits too)";
    assert!(told.contains(all), "{told}");
}

#[test]
fn a_task_at_an_engine_says_how_many_came_there_before_it() {
    let (mut bench, session, engine, client) = world(3);
    for seq in 0..3 {
        bench.assign(TaskId::new(client, seq), engine.1);
    }
    let told = explain(&mut bench, session, TaskId::new(client, 2));
    assert_eq!(told.engine, Some(engine.1));
    assert_eq!(
        told.to_string(),
        "task c0/2 is assigned: it was sent to engine 0, which had 2 tasks before it: \
         engine 0 has 3 tasks for 1 slots"
    );
}

#[test]
fn a_queued_task_says_who_is_before_it_and_what_engines_are_busy_with() {
    let (mut bench, session, engine, client) = world(4);
    let id = |seq| TaskId::new(client, seq);
    bench.assign(id(0), engine.1);
    bench.event(HubEvent::FromEngine(engine.0, EngineNews::Started(id(0).attempt(1))));
    bench.pass(Duration::from_millis(2_500));
    let told = explain(&mut bench, session, id(3));
    assert_eq!((told.state.as_str(), told.position), ("ready", Some(2)));
    let text = told.to_string();
    assert!(text.contains("2 tasks came to the queue before it"), "{text}");
    assert!(text.contains("engine 0 has 1 tasks for 1 slots, busy with c0/0 for 2.5 s"), "{text}");
    assert!(!text.contains("scheduler is down"), "{text}");
    let first = explain(&mut bench, session, id(1)).to_string();
    assert!(first.contains("it is the first of those that wait for an engine"), "{first}");
    let told = explain(&mut bench, session, id(0));
    assert_eq!((told.state.as_str(), told.engine), ("running", Some(engine.1)));
    assert!(told.to_string().contains("runs on engine 0 for 2.5 s"), "{told}");
}

#[test]
fn short_times_are_told_in_milliseconds_and_long_ones_in_hours() {
    let (mut bench, session, engine, client) = world(1);
    let task = TaskId::new(client, 0);
    bench.assign(task, engine.1);
    bench.event(HubEvent::FromEngine(engine.0, EngineNews::Started(task.attempt(1))));
    for (ms, told) in [(7, "for 7 ms"), (2 * 3_600_000, "for 2 h")] {
        bench.pass(Duration::from_millis(ms));
        let text = explain(&mut bench, session, task).to_string();
        assert!(text.ends_with(told), "{text}");
    }
}

#[test]
fn a_task_without_an_engine_says_what_is_missing() {
    let (mut bench, session, engine, client) = world(1);
    let id = |seq| TaskId::new(client, seq);
    bench.submit(session, spec(id(1), Target::Subset(vec![engine.1])));
    bench.event(HubEvent::FromEngine(engine.0, EngineNews::Leave("done".into())));
    let told = explain(&mut bench, session, id(0)).to_string();
    assert!(told.contains("there are no engines"), "{told}");
    bench.engine(2, 1);
    let told = explain(&mut bench, session, id(1)).to_string();
    assert!(told.contains("none of the engines that it may have is there: 0"), "{told}");
}

#[test]
fn a_task_that_needs_something_of_engines_without_its_method_says_that_of_the_method() {
    let (mut bench, session, engine, client) = world(0);
    let odd = || "odd".try_into().expect("a short name");
    let other = EngineProfile { methods: vec![odd()], ..profile("here/2", 2, 1) };
    bench.register(other, Inventory::default());
    let needs = Needs { labels: vec!["fast".into()], ..Needs::default() };
    let options = TaskOptions { needs: Some(needs), ..TaskOptions::default() };
    let task = TaskId::new(client, 0);
    let spec = TaskSpec { method: odd(), ..spec(task, Target::Subset(vec![engine.1])) };
    bench.submit(session, with_options(spec, options));
    let told = explain(&mut bench, session, task).to_string();
    assert!(told.contains("no engine that it may have offers \"odd\""), "{told}");
}

#[test]
fn a_task_whose_needs_no_engine_meets_says_which_and_waits_in_no_queue() {
    let (mut bench, session, _, client) = world(0);
    let equipped = |n: u64, label: &str, gpus| EngineProfile {
        labels: vec![label.into()],
        resources: vec![("gpu".into(), Amount::units(gpus))],
        ..profile(&format!("here/{n}"), n, 1)
    };
    bench.register(equipped(2, "fast", 1), Inventory::default());
    bench.register(equipped(3, "big", 4), Inventory::default());
    let mut told = |seq, labels: &[&str], gpus: Option<u64>, target| {
        let needs = Needs {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            amounts: gpus.map(|gpus| ("gpu".to_owned(), Amount::units(gpus))).into_iter().collect(),
        };
        let options = TaskOptions { needs: Some(needs), ..TaskOptions::default() };
        let id = TaskId::new(client, seq);
        bench.submit(session, with_options(spec(id, target), options));
        explain(&mut bench, session, id).to_string()
    };
    let cold = told(0, &["cold"], None, Target::Any);
    assert!(cold.contains("no engine has label \"cold\""), "{cold}");
    let many = told(1, &["big"], Some(5), Target::Any);
    assert!(
        many.contains("it needs 5 of resource \"gpu\", and no engine has more than 4"),
        "{many}"
    );
    let both = told(2, &["fast"], Some(4), Target::Any);
    assert!(both.contains("no engine has all that it needs"), "{both}");
    let elsewhere = told(3, &["fast"], None, Target::Subset(vec![EngineId(2)]));
    assert!(elsewhere.contains("no engine has label \"fast\""), "{elsewhere}");
    let met = told(4, &["fast"], Some(1), Target::Any);
    assert!(met.contains("engine 1 has 0 tasks for 1 slots"), "{met}");
    assert!(!met.contains("engine 0") && !met.contains("engine 2"), "those that can: {met}");
}

#[test]
fn a_task_that_is_tried_again_says_what_failed() {
    let (mut bench, session, engine, client) = world(0);
    let id = TaskId::new(client, 0);
    let retry = Some(Retry { count: 2, backoff_ms: 3_000, ..Retry::default() });
    let options = TaskOptions { retry, ..TaskOptions::default() };
    bench.submit(session, with_options(spec(id, Target::Any), options));
    bench.assign(id, engine.1);
    let error = RemoteError { kind: "E".into(), message: "no".into(), ..RemoteError::default() };
    let outcome = AttemptOutcome::Failed(Box::new(error));
    bench.report(engine.0, Report { outcome, ..report(0, id.attempt(1), Payload::empty()) });
    let told = explain(&mut bench, session, id);
    assert_eq!(told.state, "pausing");
    assert!(told.to_string().contains("retry 1 of 2 comes in 3.0 s; it failed with"), "{told}");
    bench.pass(Duration::from_secs(3));
    let told = explain(&mut bench, session, id).to_string();
    assert!(told.contains("it failed on") || told.contains("failed on engines 0"), "{told}");
}

#[test]
fn engines_where_a_task_has_failed_are_not_among_those_that_it_waits_for() {
    let (mut bench, session, engine, client) = world(0);
    bench.engine(2, 1);
    let id = TaskId::new(client, 0);
    let options =
        TaskOptions { retry: Some(Retry { count: 2, ..Retry::default() }), ..Default::default() };
    bench.submit(session, with_options(spec(id, Target::Any), options));
    bench.assign(id, engine.1);
    let outcome = AttemptOutcome::Failed(Box::default());
    bench.report(engine.0, Report { outcome, ..report(0, id.attempt(1), Payload::empty()) });
    let told = explain(&mut bench, session, id).to_string();
    assert!(told.contains("engine 1 has 0 tasks") && !told.contains("engine 0 has"), "{told}");
}

#[test]
fn arriving_gathering_and_held_tasks_say_so() {
    let (mut bench, session, engine, client) = world(0);
    let id = |seq| TaskId::new(client, seq);
    let direct = |seq| spec(id(seq), Target::Engine(engine.1));
    let late = TaskSpec { payload: by_ticket(1, 9), ..direct(0) };
    bench.submit(session, late);
    bench.submit(session, direct(1));
    let graph = Some(GraphPart { first: 2, len: 5 });
    let options = TaskOptions { graph, ..TaskOptions::default() };
    bench.submit(session, with_options(spec(id(2), Target::Any), options));
    assert_eq!(explain(&mut bench, session, id(0)).state, "arriving");
    let held = explain(&mut bench, session, id(1));
    assert_eq!(held.to_string(), "task c0/1 is held: it is behind earlier tasks for engine 0");
    let told = explain(&mut bench, session, id(2)).to_string();
    assert_eq!(told, "task c0/2 is gathering: of its graph 1 of 5 tasks are here");
}

#[test]
fn ended_and_unknown_tasks_say_how_and_any_monitor_may_ask() {
    let (mut bench, _, engine, client) = world(1);
    let task = TaskId::new(client, 0);
    bench.assign(task, engine.1);
    bench.report(engine.0, report(0, task.attempt(1), Payload::empty()));
    let monitor = bench.session(Role::Monitor);
    let told = explain(&mut bench, monitor, task);
    assert_eq!((told.state.as_str(), told.engine), ("done", Some(engine.1)));
    assert_eq!(told.reasons, ["it ran and returned"]);
    let told = explain(&mut bench, monitor, TaskId::new(client, 9));
    assert_eq!((told.state.as_str(), told.reasons.len()), ("unknown", 1));
}

#[test]
fn a_task_no_longer_on_record_is_told_from_one_that_is_yet_to_come() {
    let mut settings = HubSettings::new(Epoch(5));
    (settings.results.delivered, settings.results.endings) = (0, 0);
    let mut bench = Bench::with(settings);
    let (engine_session, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    let id = |seq| TaskId::new(client, seq);
    // Endings are kept and forgotten in blocks of neighbours.
    for seq in 0..65 {
        bench.submit(session, spec(id(seq), Target::Engine(engine)));
        bench.report(engine_session, report(seq, id(seq).attempt(1), Payload::empty()));
        bench.request(session, ClientRequest::Received(seq + 1));
    }
    let mut reasons = |seq| explain(&mut bench, session, id(seq)).reasons;
    assert_eq!(reasons(0), ["it ended long ago and is no longer on record"]);
    assert_eq!(reasons(64), ["it ended some time ago; only how is still known"]);
    assert_eq!(reasons(65), ["it is on its way here, or was never submitted"]);
}
