//! Clients: opening, resuming, deliveries, departures.

use std::time::Duration;

use phalanx_core::hub::{ClientReply, ClientRequest, HubEffect};
use phalanx_protocol::client::Resume;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{ClientId, Epoch, RequestId, SessionId, TaskId};
use phalanx_protocol::limits::{CLIENT_GONE_TTL, OPEN_DEADLINE};
use phalanx_protocol::role::Role;
use phalanx_protocol::task::{Dependency, Target, TaskOptions};

use crate::harness::{
    Bench, assignments, closed, deliveries, inline, outcomes, report, spec, with_options,
};

/// A client with `tasks` direct tasks that are done and delivered, but not confirmed.
fn delivered(tasks: u64) -> (Bench, SessionId, ClientId) {
    let mut bench = Bench::new();
    let (engine_session, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    for seq in 0..tasks {
        let task = TaskId::new(client, seq);
        bench.submit(session, spec(task, Target::Engine(engine)));
        let effects = bench.report(engine_session, report(seq, task.attempt(1), inline("r")));
        assert_eq!(deliveries(&effects)[0].number, seq);
    }
    (bench, session, client)
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let mut bench = Bench::new();
    let session = bench.session(Role::Client);
    let effects = bench.pass(OPEN_DEADLINE);
    assert_eq!(closed(&effects), [session]);
}

#[test]
fn submitting_before_opening_closes_the_session() {
    let mut bench = Bench::new();
    let session = bench.session(Role::Client);
    let effects = bench.submit(session, spec(TaskId::default(), Target::Any));
    assert_eq!(closed(&effects), [session]);
}

#[test]
fn what_was_delivered_and_not_confirmed_is_sent_again_in_the_next_session() {
    let (mut bench, session, client) = delivered(3);
    bench.request(session, ClientRequest::Received(1));
    bench.close(session);
    let (_, opened, effects) = bench.open(Some(bench.resume(client)));
    assert_eq!((opened.client, opened.next_seq), (client, 3));
    let again: Vec<_> = deliveries(&effects).iter().map(|d| (d.number, d.task.seq)).collect();
    assert_eq!(again, [(0, 1), (1, 2)]);
}

#[test]
fn confirming_twice_or_less_than_before_does_no_harm() {
    let (mut bench, session, _) = delivered(3);
    for up_to in [2, 2, 1, 3] {
        assert_eq!(closed(&bench.request(session, ClientRequest::Received(up_to))), []);
    }
    assert_eq!(bench.hub.status(bench.now).clients[0].undelivered, 0);
}

#[test]
fn confirming_what_was_not_sent_closes_the_session() {
    let (mut bench, session, _) = delivered(1);
    assert_eq!(closed(&bench.request(session, ClientRequest::Received(2))), [session]);
}

#[test]
fn a_wrong_token_epoch_or_name_makes_a_new_client() {
    let (mut bench, session, client) = delivered(1);
    bench.close(session);
    let right = bench.resume(client);
    let wrong = [
        Resume { token: right.token + 1, ..right },
        Resume { epoch: Epoch(6), ..right },
        Resume { client: ClientId(40), ..right },
    ];
    for resume in wrong {
        let (_, opened, effects) = bench.open(Some(resume));
        assert_ne!(opened.client, client);
        assert_eq!(deliveries(&effects).len(), 0, "nobody else's outcomes");
    }
}

#[test]
fn a_newer_session_takes_the_place_of_the_old_one() {
    let (mut bench, old, client) = delivered(1);
    let (new, opened, effects) = {
        let session = bench.session(Role::Client);
        let open = ClientRequest::Open { resume: Some(bench.resume(client)), name: String::new() };
        let effects = bench.request(session, open);
        (session, client, effects)
    };
    assert_eq!(opened, client);
    assert_eq!(closed(&effects), [old]);
    assert_eq!(bench.request(old, ClientRequest::Received(1)), [], "the old one says nothing");
    bench.close(old);
    assert_eq!(bench.hub.status(bench.now).clients[0].undelivered, 1);
    bench.request(new, ClientRequest::Received(1));
    assert_eq!(bench.hub.status(bench.now).clients[0].undelivered, 0);
}

#[test]
fn tasks_go_on_while_their_client_is_away() {
    let mut bench = Bench::new();
    let (engine_session, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    let task = TaskId::new(client, 0);
    bench.submit(session, spec(task, Target::Engine(engine)));
    bench.close(session);
    let effects = bench.report(engine_session, report(0, task.attempt(1), inline("r")));
    assert_eq!(deliveries(&effects).len(), 0);
    bench.pass(CLIENT_GONE_TTL / 2);
    let (_, _, effects) = bench.open(Some(bench.resume(client)));
    assert_eq!(deliveries(&effects)[0].payload, inline("r"));
}

#[test]
fn a_client_that_stays_away_is_forgotten_and_others_may_depend_on_its_tasks() {
    let (mut bench, session, client) = delivered(1);
    bench.close(session);
    bench.pass(CLIENT_GONE_TTL + Duration::from_secs(1));
    assert_eq!(bench.hub.status(bench.now).clients, []);
    let (session, opened, _) = bench.open(Some(bench.resume(client)));
    assert_ne!(opened.client, client);
    let ended = TaskId::new(client, 0);
    let after = TaskOptions { after: Some(Dependency::all([ended])), ..TaskOptions::default() };
    let task = TaskId::new(opened.client, 0);
    let effects = bench.submit(session, with_options(spec(task, Target::Any), after));
    assert_eq!(outcomes(&effects), []);
}

#[test]
fn a_client_that_leaves_can_take_its_tasks_along() {
    let mut bench = Bench::new();
    let (_, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    bench.submit(session, spec(TaskId::new(client, 0), Target::Any));
    let direct = bench.submit(session, spec(TaskId::new(client, 1), Target::Engine(engine)));
    assert_eq!(assignments(&direct).len(), 1);
    let effects = bench.request(session, ClientRequest::Leave { abort_open: true });
    assert_eq!(deliveries(&effects).len(), 1, "before it had left");
    bench.close(session);
    assert_eq!(bench.hub.open_len(), 1, "what an engine has ends when the engine says so");
}

#[test]
fn requests_are_answered_with_their_number() {
    let mut bench = Bench::new();
    let session = bench.session(Role::Monitor);
    let ping = bench.request(session, ClientRequest::Ping(RequestId(4)));
    assert_eq!(ping, [HubEffect::ToClient(session, ClientReply::Pong(RequestId(4)))]);
    let status = bench.request(session, ClientRequest::Status(RequestId(5)));
    assert!(matches!(&status[..], [HubEffect::ToClient(_, ClientReply::Status(RequestId(5), _))]));
    let unknown =
        phalanx_protocol::client::Scope::Engines(vec![phalanx_protocol::ids::EngineId(8)]);
    let refused = bench.request(session, ClientRequest::Shutdown(RequestId(6), unknown));
    assert!(matches!(
        &refused[..],
        [HubEffect::ToClient(_, ClientReply::Refused(RequestId(6), ErrorCode::NoSuchEngine, _))]
    ));
}
