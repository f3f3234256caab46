//! What the room says to each event, when all goes well.

use phalanx_transport::protocol::client::{
    EngineLeft, Grant, HubToClient, Ping, Refused, Scope, StatusReply,
};
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::ids::{EngineId, RequestId};
use phalanx_transport::protocol::limits::{
    CLIENT_QUEUE_TASKS_MAX, DEPENDENCIES_PER_TASK_MAX, RECEIVED_DELIVERIES_MAX, RETRIES_MAX,
    SUBMIT_BYTES_UNACCEPTED_MAX, SUBMITS_UNACCEPTED_MAX, TARGET_ENGINES_MAX,
};
use phalanx_transport::protocol::payload::Payload;
use phalanx_transport::protocol::peer::{ClusterStatus, EngineInfo};
use phalanx_transport::protocol::role::Role;
use phalanx_transport::protocol::task::{Dependency, Retry, TaskOptions};

use super::*;

#[test]
fn a_task_is_submitted_accepted_delivered_and_confirmed() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(3, "submit c1/0");
    bench.check(accepted(1, ENDLESS), "");
    bench.check(done(0, 0), "done c1/0");
    assert_eq!(bench.room.open_tasks(), 0);
    bench.pass_deadline("received 1");
    bench.pass_deadline("");
}

#[test]
fn a_confirmation_travels_with_the_next_submit() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(3, "submit c1/0");
    bench.check(done(0, 0), "done c1/0");
    bench.submit(3, "received 1, submit c1/1");
    bench.pass_deadline("");
}

#[test]
fn many_deliveries_are_confirmed_at_once() {
    let mut bench = Bench::opened(ENDLESS);
    for _ in 0..RECEIVED_DELIVERIES_MAX {
        bench.submit_to(Target::Any, 0).unwrap();
    }
    let last = RECEIVED_DELIVERIES_MAX - 1;
    for seq in 0..last {
        bench.check(done(seq, seq), &format!("done c1/{seq}"));
    }
    bench.check(done(last, last), &format!("done c1/{last}, received {}", last + 1));
}

#[test]
fn nothing_is_submitted_before_the_client_has_a_name() {
    let mut bench = Bench::unopened();
    let refused = bench.submit_to(Target::Any, 0);
    assert_eq!(refused, Err(SubmitError::NotOpened));
    bench.check(Event::SessionUp, "open");
    assert_eq!(bench.submit_to(Target::Any, 0), Err(SubmitError::NotOpened));
}

#[test]
fn submits_beyond_the_grant_wait_for_more() {
    let tasks = |seq_end| Grant { seq_end, bytes_end: u64::MAX };
    let mut bench = Bench::opened(tasks(1));
    bench.submit(0, "submit c1/0");
    bench.submit(0, "");
    bench.submit(0, "");
    bench.check(accepted(1, tasks(2)), "submit c1/1");
    bench.check(accepted(2, tasks(1)), "");
    bench.check(accepted(2, tasks(9)), "submit c1/2");
}

#[test]
fn bytes_are_granted_over_all_tasks_ever() {
    let bytes = |bytes_end| Grant { seq_end: u64::MAX, bytes_end };
    let mut bench = Bench::opened(bytes(10));
    bench.submit(6, "submit c1/0");
    bench.submit(4, "submit c1/1");
    bench.submit(1, "");
    bench.check(accepted(2, bytes(10)), "");
    bench.check(accepted(2, bytes(11)), "submit c1/2");
}

#[test]
fn a_task_for_many_engines_takes_an_id_for_each() {
    let mut bench = Bench::opened(Grant { seq_end: 3, bytes_end: u64::MAX });
    let engines = Target::Engines(vec![EngineId(4), EngineId(2), EngineId(9)]);
    let submitted = bench.submit_to(engines.clone(), 8);
    assert_eq!(submitted.as_deref(), Ok("submit c1/0"));
    assert_eq!(bench.room.open_tasks(), 3);
    assert_eq!(bench.submit_to(engines, 8).as_deref(), Ok(""));
    bench.check(done(0, 2), "done c1/2");
    bench.check(accepted(3, ENDLESS), "received 1, submit c1/3");
}

#[test]
fn bytes_count_once_for_each_task_of_a_call_to_many_engines() {
    let mut bench = Bench::opened(Grant { seq_end: u64::MAX, bytes_end: 15 });
    let engines = |len| Target::Engines((0..len).map(EngineId).collect());
    assert_eq!(bench.submit_to(engines(2), 4).as_deref(), Ok("submit c1/0"));
    assert_eq!(bench.submit_to(engines(2), 4).as_deref(), Ok(""));
    let more = Grant { seq_end: u64::MAX, bytes_end: 16 };
    bench.check(accepted(2, more), "submit c1/2");
}

#[test]
fn a_call_to_many_engines_that_counts_more_than_a_session_takes_goes_alone() {
    let mut bench = Bench::opened(ENDLESS);
    let engines = Target::Engines((0..1_100).map(EngineId).collect());
    const { assert!(1_100 << 20 > SUBMIT_BYTES_UNACCEPTED_MAX) };
    bench.submit(0, "submit c1/0");
    assert_eq!(bench.submit_to(engines, 1 << 20).as_deref(), Ok(""));
    bench.check(accepted(1, ENDLESS), "submit c1/1");
    bench.submit(0, "");
    bench.check(accepted(1_101, ENDLESS), "submit c1/1101");
    let engines = Target::Engines((0..3).map(EngineId).collect());
    let refused = bench.submit_to(engines, 1 << 30);
    assert_eq!(refused, Err(SubmitError::TooLongForSoMany { len: 1 << 30, engines: 3 }));
}

#[test]
fn a_session_takes_no_more_submits_than_its_queue_has_room_for() {
    let mut bench = Bench::opened(ENDLESS);
    let tasks = vec![task(Target::Any, 0); SUBMITS_UNACCEPTED_MAX + 1];
    let mut effects = Vec::new();
    bench.room.submit(tasks, |id| id.seq, &mut effects).unwrap();
    assert_eq!(effects.len(), SUBMITS_UNACCEPTED_MAX);
    bench.check(accepted(1, ENDLESS), &format!("submit c1/{SUBMITS_UNACCEPTED_MAX}"));
}

#[test]
fn a_full_queue_refuses_and_says_when_it_has_room_again() {
    let mut bench = Bench::opened(Grant::default());
    let tasks = vec![task(Target::Any, 0); CLIENT_QUEUE_TASKS_MAX];
    bench.room.submit(tasks, |id| id.seq, &mut Vec::new()).unwrap();
    assert_eq!(bench.submit_to(Target::Any, 0), Err(SubmitError::QueueFull));
    let granted = |seq_end: u64| {
        let bytes_end = u64::MAX;
        Grant { seq_end, bytes_end }
    };
    let mut said = String::new();
    let (mut next_seq, step) = (0, SUBMITS_UNACCEPTED_MAX as u64);
    let half = CLIENT_QUEUE_TASKS_MAX as u64 / 2;
    while next_seq < half {
        assert!(!said.contains("room"), "at {next_seq}");
        said = bench.run(accepted(next_seq, granted(next_seq + step)));
        next_seq += step;
    }
    assert!(said.ends_with("room"), "{}", &said[said.len() - 20..]);
}

#[test]
fn what_no_hub_would_take_is_refused_at_once() {
    let mut bench = Bench::opened(ENDLESS);
    let mut refused = |target, options: Option<TaskOptions>| {
        let task = NewTask { options: options.map(Box::new), ..task(target, 0) };
        bench.room.submit([task], |id| id.seq, &mut Vec::new()).unwrap_err()
    };
    let engines = |len: usize| vec![EngineId(0); len];
    assert_eq!(refused(Target::Engines(engines(0)), None), SubmitError::NoEngines);
    assert_eq!(refused(Target::Subset(engines(0)), None), SubmitError::NoEngines);
    let many = TARGET_ENGINES_MAX + 1;
    let too_many = SubmitError::TooManyEngines(many);
    assert_eq!(refused(Target::Engines(engines(many)), None), too_many);
    let retried = |count| TaskOptions {
        retry: Some(Retry { count, ..Retry::default() }),
        ..TaskOptions::default()
    };
    let direct = refused(Target::Engine(EngineId(0)), Some(retried(1)));
    assert_eq!(direct, SubmitError::DirectWithOptions);
    let often = refused(Target::Any, Some(retried(RETRIES_MAX + 1)));
    assert_eq!(often, SubmitError::TooManyRetries);
    let many = DEPENDENCIES_PER_TASK_MAX + 1;
    let options = TaskOptions {
        follow: Some(Dependency::all((0..many as u64).map(id))),
        ..TaskOptions::default()
    };
    let too_many = SubmitError::TooManyDependencies(many);
    assert_eq!(refused(Target::Any, Some(options)), too_many);
    assert_eq!(bench.room.open_tasks(), 0);
    bench.submit(0, "submit c1/0");
}

#[test]
fn of_several_tasks_all_are_taken_or_none() {
    let mut bench = Bench::opened(ENDLESS);
    let tasks = vec![task(Target::Any, 0), task(Target::Engines(vec![]), 0)];
    let mut effects = Vec::new();
    let refused = bench.room.submit(tasks, |id| id.seq, &mut effects);
    assert_eq!(refused, Err(SubmitError::NoEngines));
    assert!(effects.is_empty() && bench.room.open_tasks() == 0);
}

#[test]
fn a_monitor_is_told_that_it_may_not_submit() {
    let mut room = ClientRoom::<u64>::new(Role::Monitor, "watch".into());
    let refused = room.submit([task(Target::Any, 0)], |id| id.seq, &mut Vec::new());
    assert_eq!(refused, Err(SubmitError::WrongRole(Role::Monitor)));
}

#[test]
fn an_outcome_waits_for_its_payload_and_holds_up_no_other() {
    let mut bench = Bench::opened(ENDLESS);
    for expected in ["submit c1/0", "submit c1/1", "submit c1/2"] {
        bench.submit(0, expected);
    }
    bench.check(by_ticket(0, 0, 0, 5), "");
    bench.check(by_ticket(1, 1, 1, 6), "");
    bench.check(done(2, 2), "done c1/2");
    bench.pass_deadline("");
    bench.check(payload(1, 6), "done c1/1");
    bench.pass_deadline("");
    bench.check(payload(0, 5), "done c1/0");
    bench.pass_deadline("received 3");
}

#[test]
fn a_payload_may_come_before_its_outcome() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.check(payload(0, 5), "");
    bench.check(by_ticket(0, 0, 0, 5), "done c1/0");
    bench.pass_deadline("received 1");
}

#[test]
fn an_abort_is_sent_once_for_a_burst_and_only_for_open_tasks() {
    let mut bench = Bench::opened(ENDLESS);
    for expected in ["submit c1/0", "submit c1/1", "submit c1/2"] {
        bench.submit(0, expected);
    }
    bench.check(accepted(3, ENDLESS), "");
    bench.check(done(0, 1), "done c1/1");
    bench.room.abort([id(0)]);
    bench.abort(&[0, 1, 2, 77], "abort c1/0 c1/2");
    bench.pass_deadline("received 1");
}

#[test]
fn an_abort_before_the_submit_goes_with_it_and_again_once_it_is_recorded() {
    let mut bench = Bench::opened(Grant::default());
    bench.submit(0, "");
    bench.abort(&[0], "");
    let one = Grant { seq_end: 1, bytes_end: 0 };
    bench.check(accepted(0, one), "abort c1/0, submit c1/0");
    bench.check(accepted(1, one), "abort c1/0");
}

#[test]
fn questions_are_answered_once_each() {
    let mut bench = Bench::opened(ENDLESS);
    let mut effects = Vec::new();
    assert_eq!(bench.room.status(&mut effects), Ok(RequestId(0)));
    assert_eq!(bench.room.ping(&mut effects), Ok(RequestId(1)));
    assert_eq!(bench.room.shutdown(Scope::Cluster, &mut effects), Ok(RequestId(2)));
    assert_eq!(text(&effects), "status r0, ping r1, shutdown r2");
    let pong = |request| Event::Message(HubToClient::Pong(Ping { request }));
    bench.check(pong(RequestId(1)), "r1 done");
    bench.check(pong(RequestId(1)), "");
    let reply = StatusReply { request: RequestId(0), status: ClusterStatus::default() };
    bench.check(Event::Message(reply.into()), "r0 status");
    let refused =
        Refused { request: RequestId(2), code: Some(ErrorCode::WrongRole), detail: String::new() };
    bench.check(Event::Message(refused.into()), "r2 refused");
}

#[test]
fn engines_come_and_go() {
    let mut bench = Bench::unopened();
    bench.check(Event::SessionUp, "open");
    bench.check(opened_with(1, 0, ENDLESS, &[3, 1]), "opened c1 h1, engines");
    let ids = |bench: &Bench| bench.room.engines().keys().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!(ids(&bench), [1, 3]);
    let joined = EngineInfo { id: EngineId(2), ..EngineInfo::default() };
    bench.check(Event::Message(joined.into()), "engines");
    let left = EngineLeft { engine: EngineId(3), cause: String::new() };
    bench.check(Event::Message(left.into()), "engines");
    assert_eq!(ids(&bench), [1, 2]);
    bench.check(Event::SessionDown, "");
    assert_eq!(ids(&bench), [1, 2], "the last that is known");
}

#[test]
fn a_leaving_client_waits_until_all_is_recorded() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    let mut effects = Vec::new();
    bench.room.leave(false, &mut effects);
    assert_eq!(text(&effects), "");
    assert!(matches!(bench.submit_to(Target::Any, 0), Err(SubmitError::Closed(_))));
    bench.check(accepted(1, ENDLESS), "leave, left");
    bench.check(accepted(1, ENDLESS), "");
    bench.check(Event::GaveUp("closed".into()), "disconnected c1/0, engines");
    assert_eq!(bench.run(Event::SessionUp), "", "a closed client stays closed");
}

#[test]
fn a_client_that_aborts_all_leaves_at_once() {
    let mut bench = Bench::opened(Grant::default());
    bench.submit(0, "");
    let mut effects = Vec::new();
    bench.room.leave(true, &mut effects);
    assert_eq!(text(&effects), "leave and abort, left");
}

#[test]
fn a_hub_that_breaks_the_protocol_loses_the_session() {
    let breaches = [
        ("accepted before the session was opened", vec![accepted(0, ENDLESS)], false),
        ("more accepted than was sent", vec![accepted(3, ENDLESS)], true),
        ("a delivery left out", vec![done(1, 0)], true),
        ("a ticket twice", vec![by_ticket(0, 0, 4, 1), by_ticket(1, 1, 4, 1)], true),
        ("a payload too short", vec![by_ticket(0, 0, 4, 9), payload(4, 8)], true),
    ];
    for (name, events, is_opened) in breaches {
        let mut bench = Bench::unopened();
        bench.check(Event::SessionUp, "open");
        if is_opened {
            bench.check(opened(1, 0, ENDLESS), "opened c1 h1, engines");
            bench.submit(0, "submit c1/0");
            bench.submit(0, "submit c1/1");
        }
        let said: Vec<_> = events.into_iter().map(|event| bench.run(event)).collect();
        let (last, before) = said.split_last().unwrap();
        assert!(last.starts_with("close "), "{name}: {last}");
        assert!(before.iter().all(String::is_empty), "{name}");
        assert_eq!(bench.run(done(0, 0)), "", "{name}: what it says then does not count");
        let open = if is_opened { "open as c1" } else { "open" };
        bench.check(Event::SessionDown, "");
        bench.check(Event::SessionUp, open);
    }
}

#[test]
fn an_ended_task_leaves_nothing_behind() {
    let mut bench = Bench::opened(ENDLESS);
    for seq in 0..10_000 {
        bench.submit_to(Target::Any, 0).unwrap();
        bench.run(accepted(seq + 1, ENDLESS));
        bench.run(delivery(seq, seq, Payload::empty()));
    }
    assert_eq!(bench.room.open_tasks(), 0);
    let shown = format!("{:?}", bench.room);
    assert!(shown.len() < 2_000, "{shown}");
}
