//! Functions: defined once for each session, resolved at submit, held by tasks, sent once to each
//! engine's session; lost with it, repeated, delayed, reset.

use bytes::Bytes;
use phalanx_core::hub::{ClientRequest, EngineOrder, HubEffect, HubEvent, HubSettings};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::function::{Define, Digest, FunctionLimits};
use phalanx_protocol::ids::{ClientId, EngineId, Epoch, SessionId, TaskId, Ticket};
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::payload::Payload;
use phalanx_protocol::peer::Inventory;
use phalanx_protocol::task::{Target, TaskSpec};

use crate::harness::{
    Bench, accepted, assignments, by_ticket, closed, inline, outcomes, placed, profile, report,
    spec,
};

const F: Digest = Digest([b'f'; 16]);
const G: Digest = Digest([b'g'; 16]);
const H: Digest = Digest([b'h'; 16]);

fn bench() -> Bench {
    bench_that_holds(100)
}

/// As many bytes of functions for the open tasks of one client, or a little more.
fn bench_that_holds(bytes: u64) -> Bench {
    let mut settings = HubSettings::new(Epoch(5));
    settings.functions = FunctionLimits { count: 2, bytes: 10 };
    settings.function_bytes_held = bytes;
    Bench::with(settings)
}

fn define(number: u64, digest: Digest, payload: Payload) -> Define {
    Define { number, digest, reset: false, payload }
}

impl Bench {
    fn define(&mut self, session: SessionId, define: Define) -> Vec<HubEffect> {
        self.request(session, ClientRequest::Define(define))
    }

    fn payload(&mut self, session: SessionId, ticket: u64, bytes: &'static [u8]) -> Vec<HubEffect> {
        let bytes = Bytes::from_static(bytes);
        self.event(HubEvent::PayloadArrived { session, ticket: Ticket(ticket), bytes })
    }
}

fn with(client: ClientId, seq: u64, function: Digest) -> TaskSpec {
    TaskSpec { function: Some(function), ..spec(TaskId::new(client, seq), Target::Any) }
}

/// What engines are told of functions and attempts, in order.
fn told(effects: &[HubEffect]) -> Vec<String> {
    let letter = |digest: Digest| char::from(digest.0[0]);
    let text = |effect: &HubEffect| match effect {
        HubEffect::ToEngine(_, EngineOrder::Define(define)) => {
            let reset = if define.reset { " reset" } else { "" };
            Some(format!("define {} {}{reset}", define.number, letter(define.digest)))
        }
        HubEffect::ToEngine(_, EngineOrder::Assign(assignment)) => {
            let with = assignment.function.map(|digest| format!(" with {}", letter(digest)));
            Some(format!("assign {}{}", assignment.attempt.task.seq, with.unwrap_or_default()))
        }
        _ => None,
    };
    effects.iter().filter_map(text).collect()
}

fn rejection(effects: &[HubEffect]) -> Option<ErrorCode> {
    match &outcomes(effects)[..] {
        [(_, Outcome::Rejected(rejection)), ..] => rejection.code,
        _ => None,
    }
}

#[test]
fn a_function_reaches_each_engines_session_once_and_before_what_names_it() {
    let mut bench = bench();
    let engines: [EngineId; 2] = [1, 2].map(|instance| bench.engine(instance, 4).1);
    let (session, client) = bench.client();
    assert_eq!(bench.define(session, define(0, F, inline("def"))), []);
    for seq in 0..3 {
        assert_eq!(placed(&bench.submit(session, with(client, seq, F))).len(), 1);
    }
    bench.submit(session, spec(TaskId::new(client, 3), Target::Any));
    let mut assign = |seq, engine| told(&bench.assign(TaskId::new(client, seq), engine));
    assert_eq!(assign(0, engines[0]), ["define 0 f", "assign 0 with f"]);
    assert_eq!(assign(1, engines[0]), ["assign 1 with f"]);
    assert_eq!(assign(2, engines[1]), ["define 0 f", "assign 2 with f"]);
    assert_eq!(assign(3, engines[0]), ["assign 3"]);
    let status = bench.hub.status(bench.now);
    let sent: Vec<u64> = status.engines.iter().map(|engine| engine.functions).collect();
    assert_eq!((status.clients[0].functions, &sent[..]), (1, &[1, 1][..]));
}

#[test]
fn a_function_that_was_not_defined_is_refused_in_words() {
    let mut bench = bench();
    let (session, client) = bench.client();
    let effects = bench.submit(session, with(client, 0, F));
    assert_eq!(rejection(&effects), Some(ErrorCode::UnknownFunction));
    let [(_, Outcome::Rejected(rejection))] = &outcomes(&effects)[..] else { panic!() };
    assert!(rejection.detail.contains("was not defined in this session"), "{}", rejection.detail);
    // Another client's functions are its own.
    let (other, _) = bench.client();
    bench.define(other, define(0, F, inline("def")));
    assert!(rejection_of(&mut bench, session, client, 1).is_some());
}

fn rejection_of(
    bench: &mut Bench,
    session: SessionId,
    client: ClientId,
    seq: u64,
) -> Option<ErrorCode> {
    rejection(&bench.submit(session, with(client, seq, F)))
}

#[test]
fn a_task_waits_for_its_payload_and_its_function_whichever_comes_first() {
    for function_first in [true, false] {
        let mut bench = bench();
        let (session, client) = bench.client();
        bench.define(session, define(0, F, by_ticket(7, 3)));
        let late = TaskSpec { payload: by_ticket(8, 5), ..with(client, 0, F) };
        assert_eq!(bench.submit(session, late), [], "neither accepted nor placed");
        // Said again by a link that repeats.
        bench.define(session, define(0, F, by_ticket(7, 3)));
        let behind = bench.submit(session, with(client, 1, F));
        assert_eq!((placed(&behind).len(), accepted(&behind)), (0, None));
        let (first, second) = if function_first {
            let first = bench.payload(session, 7, b"def");
            assert_eq!(placed(&first), [TaskId::new(client, 1)], "it lacks nothing more");
            (first, bench.payload(session, 8, b"bytes"))
        } else {
            (bench.payload(session, 8, b"bytes"), bench.payload(session, 7, b"def"))
        };
        assert_eq!(accepted(&first), None);
        assert!(placed(&second).contains(&TaskId::new(client, 0)));
        assert_eq!(accepted(&second), Some(2));
    }
}

#[test]
fn a_function_may_come_before_its_definition() {
    let mut bench = bench();
    let (session, client) = bench.client();
    bench.payload(session, 7, b"def");
    bench.define(session, define(0, F, by_ticket(7, 3)));
    assert_eq!(placed(&bench.submit(session, with(client, 0, F))).len(), 1);
}

#[test]
fn a_function_lost_with_its_session_is_awaited_from_the_next() {
    let mut bench = bench();
    let (session, client) = bench.client();
    bench.define(session, define(0, F, by_ticket(7, 3)));
    bench.submit(session, with(client, 0, F));
    bench.close(session);
    let (again, opened, _) = bench.open(Some(bench.resume(client)));
    assert_eq!(opened.next_seq, 0, "it is not recorded with its function");
    bench.define(again, define(0, F, by_ticket(0, 3)));
    assert_eq!(placed(&bench.submit(again, with(client, 0, F))), []);
    let effects = bench.payload(again, 0, b"def");
    assert_eq!((placed(&effects).len(), accepted(&effects)), (1, Some(1)));
}

#[test]
fn a_submit_said_again_without_its_function_is_rejected() {
    let mut bench = bench();
    let (session, client) = bench.client();
    bench.define(session, define(0, F, by_ticket(7, 3)));
    bench.submit(session, with(client, 0, F));
    bench.close(session);
    let (again, ..) = bench.open(Some(bench.resume(client)));
    let effects = bench.submit(again, with(client, 0, F));
    assert_eq!(rejection(&effects), Some(ErrorCode::UnknownFunction));
    assert_eq!(accepted(&effects), Some(1));
}

#[test]
fn a_new_session_begins_with_none_and_open_tasks_keep_theirs() {
    let mut bench = bench();
    let (_, engine) = bench.engine(1, 4);
    let (session, client) = bench.client();
    bench.define(session, define(0, F, inline("def")));
    bench.submit(session, with(client, 0, F));
    bench.close(session);
    let (again, ..) = bench.open(Some(bench.resume(client)));
    assert_eq!(rejection_of(&mut bench, again, client, 1), Some(ErrorCode::UnknownFunction));
    let effects = bench.assign(TaskId::new(client, 0), engine);
    assert_eq!(told(&effects), ["define 0 f", "assign 0 with f"]);
}

#[test]
fn a_reset_forgets_the_sessions_functions_and_hurts_no_task() {
    let mut bench = bench();
    let (_, engine) = bench.engine(1, 4);
    let (session, client) = bench.client();
    bench.define(session, define(0, F, inline("def")));
    bench.define(session, define(1, G, by_ticket(7, 3)));
    bench.submit(session, with(client, 0, F));
    bench.submit(session, with(client, 1, G));
    let reset = Define { reset: true, ..define(2, H, inline("def")) };
    for _ in 0..2 {
        assert_eq!(bench.define(session, reset.clone()), []);
    }
    assert_eq!(rejection_of(&mut bench, session, client, 2), Some(ErrorCode::UnknownFunction));
    assert_eq!(placed(&bench.payload(session, 7, b"def")), [TaskId::new(client, 1)]);
    bench.submit(session, with(client, 3, H));
    let mut assign = |seq| told(&bench.assign(TaskId::new(client, seq), engine));
    assert_eq!(assign(0), ["define 0 f", "assign 0 with f"]);
    assert_eq!(assign(1), ["define 1 g", "assign 1 with g"]);
    assert_eq!(assign(3), ["define 2 h reset", "assign 3 with h"], "engines have the same limits");
}

#[test]
fn definitions_out_of_order_or_over_the_limits_close_the_session() {
    let mut bench = bench();
    let (session, _) = bench.client();
    assert_eq!(closed(&bench.define(session, define(1, F, inline("def")))), [session]);
    let (session, _) = bench.client();
    assert_eq!(closed(&bench.define(session, define(0, F, by_ticket(7, 11)))), [session]);
}

#[test]
fn functions_that_open_tasks_hold_are_bounded() {
    let mut bench = bench_that_holds(5);
    let (engine_session, engine) = bench.engine(1, 4);
    let (session, client) = bench.client();
    bench.define(session, define(0, F, inline("six by")));
    bench.submit(session, with(client, 0, F));
    assert_eq!(rejection_of(&mut bench, session, client, 1), Some(ErrorCode::TooLarge));
    bench.assign(TaskId::new(client, 0), engine);
    let attempt = TaskId::new(client, 0).attempt(1);
    bench.report(engine_session, report(0, attempt, Payload::empty()));
    assert_eq!(rejection_of(&mut bench, session, client, 2), None, "nobody holds it any more");
    let mut bench = bench_that_holds(6);
    let (session, client) = bench.client();
    bench.define(session, define(0, F, inline("six by")));
    bench.submit(session, with(client, 0, F));
    assert_eq!(rejection_of(&mut bench, session, client, 1), None, "just as much as they may");
}

#[test]
fn another_session_of_an_engine_and_another_engine_get_the_function_again() {
    let mut bench = bench();
    let (engine_session, engine) = bench.engine(1, 1);
    let (_, other) = bench.engine(2, 1);
    let (session, client) = bench.client();
    bench.define(session, define(0, F, inline("def")));
    let task = TaskId::new(client, 0);
    bench.submit(session, with(client, 0, F));
    assert_eq!(told(&bench.assign(task, engine)), ["define 0 f", "assign 0 with f"]);
    bench.close(engine_session);
    // Both were lost with the session.
    let (_, _, _, effects) = bench.register(profile("here/1", 1, 1), Inventory::default());
    assert_eq!(told(&effects), ["define 0 f", "assign 0 with f"]);
    // The process is replaced: the task moves, its function with it.
    let (_, _, _, effects) = bench.register(profile("here/1", 9, 1), Inventory::default());
    assert_eq!(placed(&effects), [task]);
    let effects = bench.assign(task, other);
    assert_eq!(told(&effects), ["define 0 f", "assign 0 with f"]);
    assert_eq!(assignments(&effects)[0].attempt.number, 2);
}

#[test]
fn an_aborted_task_that_waits_for_its_function_ends_at_once() {
    let mut bench = bench();
    let (session, client) = bench.client();
    bench.define(session, define(0, F, by_ticket(7, 3)));
    let task = TaskId::new(client, 0);
    let engines = Target::Engines(vec![EngineId(0), EngineId(1)]);
    bench.engine(1, 1);
    bench.engine(2, 1);
    bench.submit(session, TaskSpec { target: engines, ..with(client, 0, F) });
    let effects = bench.request(session, ClientRequest::Abort(vec![task], None));
    assert_eq!(outcomes(&effects), [(task, Outcome::Aborted)]);
    let effects = bench.payload(session, 7, b"def");
    assert_eq!(told(&effects), ["define 0 f", "assign 1 with f"]);
    assert_eq!(accepted(&effects), Some(2));
}
