//! Clients: opening, resuming, deliveries, departures.

use std::time::Duration;

use bytes::Bytes;
use phalanx_core::Room;
use phalanx_core::hub::{
    ClientReply, ClientRequest, EngineNews, EngineOrder, HostNews, HostOrder, HubEffect, HubEvent,
};
use phalanx_protocol::client::{Resume, Scope};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{ClientId, EngineId, Epoch, RequestId, SessionId, TaskId};
use phalanx_protocol::limits::{
    CLIENT_GONE_TTL, CLIENT_SESSIONS_MAX, CLIENTS_IN_STATUS_BYTES_MAX, DELIVERIES_IN_FLIGHT_MAX,
    DELIVERY_BYTES_IN_FLIGHT_MAX, ENGINES_IN_MESSAGE_BYTES_MAX, OPEN_DEADLINE, TEXT_LEN_MAX,
};
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::peer::{EngineProfile, Inventory};
use phalanx_protocol::role::Role;
use phalanx_protocol::task::{Dependency, Target, TaskOptions, TaskSpec};

use crate::harness::{
    Bench, assignments, by_ticket, closed, deliveries, inline, outcomes, profile, report, spec,
    with_options,
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
    let (engine_session, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    bench.submit(session, spec(TaskId::new(client, 0), Target::Any));
    let direct = bench.submit(session, spec(TaskId::new(client, 1), Target::Engine(engine)));
    assert_eq!(assignments(&direct).len(), 1);
    let effects = bench.request(session, ClientRequest::Leave { abort_open: true });
    let abort = EngineOrder::Abort(vec![TaskId::new(client, 1).attempt(1)]);
    assert!(effects.contains(&HubEffect::ToEngine(engine_session, abort)), "{effects:?}");
    assert_eq!(deliveries(&effects).len(), 1, "before it had left");
    bench.close(session);
    assert_eq!(bench.hub.open_len(), 1, "what an engine has ends when the engine says so");
}

#[test]
fn what_ends_after_its_client_has_left_is_counted_and_then_the_client_forgotten() {
    let mut bench = Bench::new();
    let (engine_session, engine) = bench.engine(1, 3);
    let (session, client) = bench.client();
    for seq in 0..2 {
        bench.submit(session, spec(TaskId::new(client, seq), Target::Engine(engine)));
    }
    bench.request(session, ClientRequest::Leave { abort_open: false });
    bench.close(session);
    for seq in 0..2 {
        assert_eq!(bench.hub.status(bench.now).clients[0].open, 2 - seq);
        let done = report(seq, TaskId::new(client, seq).attempt(1), inline("r"));
        assert_eq!(outcomes(&bench.report(engine_session, done)), []);
    }
    assert_eq!(bench.hub.status(bench.now).clients, []);
}

/// A client that was away while its tasks returned these, and what it is sent when it is back.
fn comes_back_to(results: impl IntoIterator<Item = Payload>) -> (Bench, SessionId, usize) {
    let mut bench = Bench::new();
    let (engine_session, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    let results: Vec<Payload> = results.into_iter().collect();
    let tasks = (0..results.len() as u64).map(|seq| TaskId::new(client, seq));
    // Not one by one, for so many are not checked one by one.
    let mut effects = Vec::new();
    for task in tasks.clone() {
        let submit = ClientRequest::Submit(spec(task, Target::Engine(engine)));
        bench.hub.handle(bench.now, HubEvent::FromClient(session, submit), &mut effects);
    }
    bench.close(session);
    for (task, payload) in tasks.zip(results) {
        let news = EngineNews::Report(report(task.seq, task.attempt(1), payload));
        bench.hub.handle(bench.now, HubEvent::FromEngine(engine_session, news), &mut effects);
    }
    bench.pass(Duration::ZERO);
    let (session, _, effects) = bench.open(Some(bench.resume(client)));
    (bench, session, deliveries(&effects).len())
}

#[test]
fn so_many_outcomes_are_on_their_way_to_a_client_and_more_wait_for_its_word() {
    let many = DELIVERIES_IN_FLIGHT_MAX + 2;
    let (mut bench, session, sent) = comes_back_to((0..many).map(|_| inline("r")));
    assert_eq!(sent, DELIVERIES_IN_FLIGHT_MAX);
    let effects = bench.request(session, ClientRequest::Received(1));
    let numbers: Vec<u64> = deliveries(&effects).iter().map(|it| it.number).collect();
    assert_eq!(numbers, [DELIVERIES_IN_FLIGHT_MAX as u64]);
}

#[test]
fn so_many_bytes_of_outcomes_are_on_their_way_to_a_client_and_more_wait_for_its_word() {
    let half = Bytes::from(vec![0; DELIVERY_BYTES_IN_FLIGHT_MAX as usize / 2]);
    let (mut bench, session, sent) =
        comes_back_to((0..4).map(|_| Payload::inline(Format::Raw, half.clone())));
    assert_eq!(sent, 2);
    let effects = bench.request(session, ClientRequest::Received(1));
    assert_eq!(deliveries(&effects).len(), 1);
}

#[test]
fn there_are_so_many_clients_and_no_more_until_one_goes() {
    let mut bench = Bench::new();
    let sessions: Vec<SessionId> = (0..CLIENT_SESSIONS_MAX).map(|_| bench.client().0).collect();
    let open = || ClientRequest::Open { resume: None, name: String::new() };
    let late = bench.session(Role::Client);
    assert_eq!(closed(&bench.request(late, open())), [late]);
    assert_eq!(bench.hub.status(bench.now).clients.len(), CLIENT_SESSIONS_MAX);
    bench.close(sessions[0]);
    bench.client();
}

#[test]
fn a_client_that_leaves_takes_along_what_has_not_come_whole() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let late = TaskSpec { payload: by_ticket(1, 5), ..spec(TaskId::new(client, 0), Target::Any) };
    bench.submit(session, late);
    bench.submit(session, spec(TaskId::new(client, 1), Target::Any));
    let effects = bench.request(session, ClientRequest::Leave { abort_open: false });
    assert_eq!(outcomes(&effects), [(TaskId::new(client, 0), Outcome::Aborted)]);
    assert_eq!(bench.hub.open_len(), 1);
}

#[test]
fn a_client_is_told_of_the_engines_that_are_up() {
    let mut bench = Bench::new();
    let (_, up) = bench.engine(1, 1);
    let (silent, _) = bench.engine(2, 1);
    bench.close(silent);
    let (_, opened, _) = bench.open(None);
    assert_eq!(opened.engines.iter().map(|info| info.id).collect::<Vec<_>>(), [up]);
}

#[test]
fn a_client_may_stop_the_cluster_through_its_hosts_or_without_any() {
    let stop = || ClientRequest::Shutdown(RequestId(6), Scope::Cluster);
    let mut bench = Bench::new();
    let (engine, _) = bench.engine(1, 1);
    let (client, _) = bench.client();
    let effects = bench.request(client, stop());
    let is_end = |it: &HubEffect| matches!(it, HubEffect::ToEngine(to, EngineOrder::End(_)) if *to == engine);
    let is_stop = |it: &HubEffect| matches!(it, HubEffect::Stop { asked: true, .. });
    assert!(effects.iter().any(is_end) && effects.iter().any(is_stop), "{effects:?}");
    let host = bench.session(Role::Host);
    bench.event(HubEvent::FromHost(host, HostNews::Attach { host: "here".into() }));
    let effects = bench.request(client, stop());
    let is_host_asked = |it: &HubEffect| matches!(it, HubEffect::ToHost(to, HostOrder::StopCluster(_)) if *to == host);
    assert!(effects.iter().any(is_host_asked) && !effects.iter().any(is_stop), "{effects:?}");
}

#[test]
fn a_status_names_as_many_clients_and_engines_as_fit_and_counts_the_others() {
    const LEN: usize = 300;
    let mut bench = Bench::new();
    for n in 0..LEN as u64 {
        let session = bench.session(Role::Client);
        let name = "n".repeat(TEXT_LEN_MAX);
        bench.request(session, ClientRequest::Open { resume: None, name });
        let name = format!("here/{n}");
        let labels = (0..40).map(|label| format!("{label}{}", "l".repeat(60))).collect();
        bench.register(EngineProfile { labels, ..profile(&name, n, 1) }, Inventory::default());
    }
    let status = bench.hub.status(bench.now);
    // Beside its texts each has some figures.
    let client = TEXT_LEN_MAX + 130;
    assert_eq!(status.clients.len(), CLIENTS_IN_STATUS_BYTES_MAX / client);
    assert_eq!(status.clients.len() as u64 + status.clients_omitted, LEN as u64);
    let engines: usize = status.engines.iter().map(|it| it.info.weight() + 140).sum();
    let left = ENGINES_IN_MESSAGE_BYTES_MAX - engines;
    assert!(left < status.engines[0].info.weight() + 141, "{left}");
    assert_eq!(status.engines.len() as u64 + status.engines_omitted, LEN as u64);
}

#[test]
fn requests_are_answered_with_their_number() {
    let mut bench = Bench::new();
    let session = bench.session(Role::Monitor);
    let ping = bench.request(session, ClientRequest::Ping(RequestId(4)));
    assert_eq!(ping, [HubEffect::ToClient(session, ClientReply::Pong(RequestId(4)))]);
    let status = bench.request(session, ClientRequest::Status(RequestId(5)));
    assert!(matches!(&status[..], [HubEffect::ToClient(_, ClientReply::Status(RequestId(5), _))]));
    let unknown = Scope::Engines(vec![EngineId(8)]);
    let refused = bench.request(session, ClientRequest::Shutdown(RequestId(6), unknown));
    assert!(matches!(
        &refused[..],
        [HubEffect::ToClient(_, ClientReply::Refused(RequestId(6), ErrorCode::NoSuchEngine, _))]
    ));
}
