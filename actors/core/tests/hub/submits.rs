//! Submitting: what is taken, what is not, and what a repetition changes.

use bytes::Bytes;
use phalanx_core::hub::{ClientReply, ClientRequest, HubEffect, HubEvent, HubSettings};
use phalanx_core::scheduler::{SchedulerEvent, Scheme};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{ClientId, EngineId, Epoch, TaskId, Ticket};
use phalanx_protocol::limits::{
    DEPENDENCIES_PER_TASK_MAX, DIRECT_WINDOW_MAX, LABEL_LEN_MAX, RETRIES_MAX, RETRY_KINDS_MAX,
    TARGET_ENGINES_MAX,
};
use phalanx_protocol::needs::{Amount, Needs};
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::payload::Payload;
use phalanx_protocol::task::{Dependency, Retry, Target, TaskOptions, TaskSpec};

use crate::harness::{
    Bench, accepted, assignments, by_ticket, closed, outcomes, placed, report, spec, with_options,
};

#[test]
fn a_balanced_task_is_accepted_and_placed() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let task = TaskId::new(client, 0);
    let effects = bench.submit(session, spec(task, Target::Any));
    assert_eq!(placed(&effects), [task]);
    assert_eq!(accepted(&effects), Some(1));
    assert_eq!(effects.len(), 2);
}

#[test]
fn a_repeated_submit_is_only_accepted_again() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let task = TaskId::new(client, 0);
    bench.submit(session, spec(task, Target::Any));
    let effects = bench.submit(session, spec(task, Target::Any));
    assert_eq!(accepted(&effects), Some(1));
    assert_eq!(effects.len(), 1);
}

#[test]
fn a_submit_that_leaves_a_gap_or_names_another_client_closes_the_session() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    for wrong in [TaskId::new(client, 1), TaskId::new(ClientId(9), 0)] {
        let effects = bench.submit(session, spec(wrong, Target::Any));
        assert_eq!(closed(&effects), [session]);
        assert_eq!(effects.len(), 1);
    }
    assert_eq!(bench.hub.open_len(), 0);
}

#[test]
fn a_group_takes_an_id_per_engine_and_shares_one_payload() {
    let mut bench = Bench::new();
    let (_, first) = bench.engine(1, 1);
    let (_, second) = bench.engine(2, 1);
    let (session, client) = bench.client();
    let effects =
        bench.submit(session, spec(TaskId::new(client, 0), Target::Engines(vec![second, first])));
    let sent: Vec<_> =
        assignments(&effects).iter().map(|a| (a.attempt.task.seq, a.direct)).collect();
    assert_eq!(sent, [(0, true), (1, true)]);
    assert_eq!(accepted(&effects), Some(2));
    let pointers: Vec<_> =
        assignments(&effects).iter().map(|a| a.payload.bytes().map(|b| b.as_ptr())).collect();
    assert_eq!(pointers[0], pointers[1], "one copy of the bytes");
}

fn refusal(target: Target, options: TaskOptions) -> Option<ErrorCode> {
    let mut bench = Bench::new();
    bench.engine(1, 1);
    let (session, client) = bench.client();
    bench.submit(session, spec(TaskId::new(client, 0), Target::Any));
    let wrong = with_options(spec(TaskId::new(client, 1), target), options);
    let effects = bench.submit(session, wrong);
    match &outcomes(&effects)[..] {
        [] => None,
        [(_, Outcome::Rejected(rejection))] => rejection.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_that_cannot_be_is_recorded_as_rejected_with_the_reason() {
    let none = TaskOptions::default;
    let after = |client, seq| TaskOptions {
        after: Some(Dependency::all([TaskId::new(ClientId(client), seq)])),
        ..TaskOptions::default()
    };
    let unknown = EngineId(9);
    assert_eq!(refusal(Target::Any, none()), None);
    assert_eq!(refusal(Target::Engine(unknown), none()), Some(ErrorCode::NoSuchEngine));
    assert_eq!(refusal(Target::Subset(vec![unknown]), none()), Some(ErrorCode::NoSuchEngine));
    assert_eq!(refusal(Target::Subset(vec![]), none()), Some(ErrorCode::InvalidTask));
    assert_eq!(refusal(Target::Engines(vec![]), none()), Some(ErrorCode::InvalidTask));
    assert_eq!(refusal(Target::Any, after(0, 0)), None);
    assert_eq!(refusal(Target::Any, after(0, 1)), Some(ErrorCode::InvalidDependency));
    assert_eq!(refusal(Target::Any, after(0, 2)), Some(ErrorCode::InvalidDependency));
    assert_eq!(refusal(Target::Any, after(3, 0)), Some(ErrorCode::InvalidDependency));
    assert_eq!(
        refusal(Target::Engine(EngineId(0)), after(0, 0)),
        Some(ErrorCode::InvalidTask),
        "dependencies are for balanced tasks"
    );
}

#[test]
fn what_a_task_names_is_bounded() {
    let first = TaskId::new(ClientId(0), 0);
    let any = |options| refusal(Target::Any, options);
    let none = TaskOptions::default;
    let label = |len| TaskOptions { label: Some("l".repeat(len)), ..none() };
    let retry = |count, kinds| {
        let retry = Retry { count, kinds: vec!["E".into(); kinds], ..Retry::default() };
        TaskOptions { retry: Some(retry), ..none() }
    };
    let after = |len| TaskOptions { after: Some(Dependency::all(vec![first; len])), ..none() };
    let subset = |len| refusal(Target::Subset(vec![EngineId(0); len]), none());
    let invalid = Some(ErrorCode::InvalidTask);
    let too_large = Some(ErrorCode::TooLarge);
    assert_eq!(subset(TARGET_ENGINES_MAX), None);
    assert_eq!(subset(TARGET_ENGINES_MAX + 1), invalid);
    assert_eq!(any(label(LABEL_LEN_MAX)), None);
    assert_eq!(any(label(LABEL_LEN_MAX + 1)), too_large);
    assert_eq!(any(retry(RETRIES_MAX, RETRY_KINDS_MAX)), None);
    assert_eq!(any(retry(RETRIES_MAX + 1, 0)), invalid);
    assert_eq!(any(retry(1, RETRY_KINDS_MAX + 1)), invalid);
    assert_eq!(any(after(DEPENDENCIES_PER_TASK_MAX)), None);
    assert_eq!(any(after(DEPENDENCIES_PER_TASK_MAX + 1)), too_large);
}

#[test]
fn a_task_cannot_depend_on_one_that_is_no_longer_on_record() {
    let mut settings = HubSettings::new(Epoch(5));
    (settings.results.delivered, settings.results.endings) = (0, 0);
    let mut bench = Bench::with(settings);
    let (engine_session, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    // Endings are kept and forgotten in blocks of neighbours.
    for seq in 0..65 {
        let task = TaskId::new(client, seq);
        bench.submit(session, spec(task, Target::Engine(engine)));
        bench.report(engine_session, report(seq, task.attempt(1), Payload::empty()));
        bench.request(session, ClientRequest::Received(seq + 1));
    }
    let after = Some(Dependency::all([TaskId::new(client, 0)]));
    let options = TaskOptions { after, ..TaskOptions::default() };
    let late = with_options(spec(TaskId::new(client, 65), Target::Any), options);
    let effects = bench.submit(session, late);
    let [(_, Outcome::Rejected(why))] = &outcomes(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(why.code, Some(ErrorCode::Purged));
}

#[test]
fn a_method_that_nobody_ever_offered_is_rejected_once_there_was_an_engine() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let odd = |seq| TaskSpec {
        method: "odd".try_into().expect("a short name"),
        ..spec(TaskId::new(client, seq), Target::Any)
    };
    assert_eq!(outcomes(&bench.submit(session, odd(0))), []);
    bench.engine(1, 1);
    let effects = bench.submit(session, odd(1));
    let [(_, Outcome::Rejected(rejection))] = &outcomes(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(rejection.code, Some(ErrorCode::NoSuchMethod));
    assert!(rejection.detail.contains("work"), "it says what there is: {}", rejection.detail);
}

#[test]
fn a_submit_beyond_the_grant_is_rejected_and_the_next_one_in_it_is_not() {
    let mut settings = phalanx_core::hub::HubSettings::new(phalanx_protocol::ids::Epoch(5));
    settings.client_tasks = 1;
    let mut bench = Bench::with(settings);
    let (session, client) = bench.client();
    bench.submit(session, spec(TaskId::new(client, 0), Target::Any));
    let effects = bench.submit(session, spec(TaskId::new(client, 1), Target::Any));
    let [(_, Outcome::Rejected(rejection))] = &outcomes(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(rejection.code, Some(ErrorCode::OverGrant));
    bench.request(session, ClientRequest::Received(1));
    bench.request(session, ClientRequest::Abort(vec![TaskId::new(client, 0)], None));
    bench.request(session, ClientRequest::Received(2));
    let effects = bench.submit(session, spec(TaskId::new(client, 2), Target::Any));
    assert_eq!(placed(&effects).len(), 1);
}

fn arriving(client: ClientId, seq: u64, target: Target, ticket: u64) -> TaskSpec {
    TaskSpec { payload: by_ticket(ticket, 5), ..spec(TaskId::new(client, seq), target) }
}

#[test]
fn a_task_waits_for_its_payload_and_is_accepted_with_it() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let effects = bench.submit(session, arriving(client, 0, Target::Any, 1));
    assert_eq!(effects, [], "not accepted, not placed");
    let effects = bench.submit(session, spec(TaskId::new(client, 1), Target::Any));
    assert_eq!(accepted(&effects), None, "acceptance is cumulative");
    assert_eq!(placed(&effects).len(), 1, "but nobody waits behind it");
    let bytes = Bytes::from_static(b"bytes");
    let effects = bench.event(HubEvent::PayloadArrived { session, ticket: Ticket(1), bytes });
    assert_eq!(placed(&effects), [TaskId::new(client, 0)]);
    assert_eq!(accepted(&effects), Some(2));
}

#[test]
fn a_payload_may_come_before_its_task() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let bytes = Bytes::from_static(b"bytes");
    bench.event(HubEvent::PayloadArrived { session, ticket: Ticket(1), bytes });
    let effects = bench.submit(session, arriving(client, 0, Target::Any, 1));
    assert_eq!((placed(&effects).len(), accepted(&effects)), (1, Some(1)));
}

#[test]
fn a_payload_lost_with_its_session_is_sent_again() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    bench.submit(session, arriving(client, 0, Target::Any, 1));
    bench.submit(session, spec(TaskId::new(client, 1), Target::Any));
    bench.close(session);
    let (session, opened, _) = bench.open(Some(bench.resume(client)));
    assert_eq!((opened.client, opened.next_seq), (client, 0));
    assert_eq!(placed(&bench.submit(session, arriving(client, 0, Target::Any, 7))), []);
    assert_eq!(placed(&bench.submit(session, spec(TaskId::new(client, 1), Target::Any))), []);
    let bytes = Bytes::from_static(b"bytes");
    let effects = bench.event(HubEvent::PayloadArrived { session, ticket: Ticket(7), bytes });
    assert_eq!((placed(&effects).len(), accepted(&effects)), (1, Some(2)));
}

#[test]
fn direct_tasks_do_not_pass_one_whose_payload_is_late() {
    let mut bench = Bench::new();
    let (_, engine) = bench.engine(1, 1);
    let (_, other) = bench.engine(2, 1);
    let (session, client) = bench.client();
    bench.submit(session, arriving(client, 0, Target::Engine(engine), 1));
    let behind = bench.submit(session, spec(TaskId::new(client, 1), Target::Engine(engine)));
    assert_eq!(assignments(&behind).len(), 0);
    let beside = bench.submit(session, spec(TaskId::new(client, 2), Target::Engine(other)));
    assert_eq!(assignments(&beside).len(), 1);
    let bytes = Bytes::from_static(b"bytes");
    let effects = bench.event(HubEvent::PayloadArrived { session, ticket: Ticket(1), bytes });
    let order: Vec<_> = assignments(&effects).iter().map(|a| a.attempt.task.seq).collect();
    assert_eq!(order, [0, 1]);
}

#[test]
fn direct_tasks_behind_several_late_ones_go_as_far_as_the_next_of_these() {
    let mut bench = Bench::new();
    let (_, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    for seq in [0, 2] {
        bench.submit(session, arriving(client, seq, Target::Engine(engine), seq));
        bench.submit(session, spec(TaskId::new(client, seq + 1), Target::Engine(engine)));
    }
    for seq in [0, 2] {
        let bytes = Bytes::from_static(b"bytes");
        let effects = bench.event(HubEvent::PayloadArrived { session, ticket: Ticket(seq), bytes });
        let sent: Vec<_> = assignments(&effects).iter().map(|a| a.attempt.task.seq).collect();
        assert_eq!(sent, [seq, seq + 1]);
    }
}

#[test]
fn aborting_a_late_direct_task_lets_those_behind_it_go() {
    let mut bench = Bench::new();
    let (_, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    bench.submit(session, arriving(client, 0, Target::Engine(engine), 1));
    bench.submit(session, spec(TaskId::new(client, 1), Target::Engine(engine)));
    let effects = bench.request(session, ClientRequest::Abort(vec![TaskId::new(client, 0)], None));
    assert_eq!(outcomes(&effects), [(TaskId::new(client, 0), Outcome::Aborted)]);
    assert_eq!(assignments(&effects).len(), 1);
}

#[test]
fn an_engine_gets_no_more_direct_tasks_than_it_may_hold_until_it_ends_some() {
    let mut bench = Bench::new();
    let (engine_session, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    for seq in 0..DIRECT_WINDOW_MAX as u64 + 2 {
        let mut effects = Vec::new();
        let submit = ClientRequest::Submit(spec(TaskId::new(client, seq), Target::Engine(engine)));
        phalanx_core::Room::handle(
            &mut bench.hub,
            bench.now,
            HubEvent::FromClient(session, submit),
            &mut effects,
        );
        assert_eq!(assignments(&effects).len(), usize::from(seq < DIRECT_WINDOW_MAX as u64));
    }
    let attempt = TaskId::new(client, 0).attempt(1);
    let effects = bench.report(engine_session, report(0, attempt, Payload::empty()));
    let sent: Vec<_> = assignments(&effects).iter().map(|a| a.attempt.task.seq).collect();
    assert_eq!(sent, [DIRECT_WINDOW_MAX as u64]);
}

#[test]
fn a_task_with_dependencies_goes_to_the_dag_with_what_is_known_of_them() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let first = TaskId::new(client, 0);
    bench.submit(session, spec(first, Target::Any));
    let options = TaskOptions { after: Some(Dependency::all([first])), ..TaskOptions::default() };
    let effects =
        bench.submit(session, with_options(spec(TaskId::new(client, 1), Target::Any), options));
    assert!(
        effects.iter().any(|effect| matches!(effect, HubEffect::ToDag(..))),
        "held: {effects:?}"
    );
    assert_eq!(placed(&effects), []);
    let effects = bench.request(session, ClientRequest::Abort(vec![first], None));
    let told = effects.iter().filter(|effect| matches!(effect, HubEffect::ToDag(..))).count();
    assert_eq!(told, 1, "the dag hears how a task ended that others wait for");
    let freed = effects
        .iter()
        .any(|effect| matches!(effect, HubEffect::ToScheduler(_, SchedulerEvent::Free(..))));
    assert!(freed, "and the scheduler that it is gone");
}

#[test]
fn priority_and_needs_reach_the_scheduler_with_the_task() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let needs = Needs { labels: vec!["fast".into()], amounts: vec![("gpu".into(), Amount::ONE)] };
    let options = TaskOptions { priority: 3, needs: Some(needs.clone()), ..TaskOptions::default() };
    let effects =
        bench.submit(session, with_options(spec(TaskId::new(client, 0), Target::Any), options));
    let ready = effects.iter().find_map(|effect| match effect {
        HubEffect::ToScheduler(_, SchedulerEvent::Place(ready)) => Some(ready),
        _ => None,
    });
    let ready = ready.expect("the task is placed");
    assert_eq!((ready.priority, ready.needs.as_ref()), (3, Some(&needs)));
    let options = TaskOptions { priority: -2, ..TaskOptions::default() };
    let effects =
        bench.submit(session, with_options(spec(TaskId::new(client, 1), Target::Any), options));
    let is_so = |effect: &HubEffect| matches!(effect, HubEffect::ToScheduler(_, SchedulerEvent::Place(it)) if it.priority == -2);
    assert!(effects.iter().any(is_so), "a priority alone: {effects:?}");
}

#[test]
fn needs_that_cannot_be_are_refused_and_direct_tasks_have_none() {
    let mut bench = Bench::new();
    let (_, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    let nothing = Needs { amounts: vec![("gpu".into(), Amount(0))], ..Needs::default() };
    let one = Needs { amounts: vec![("gpu".into(), Amount::ONE)], ..Needs::default() };
    let table = [
        (Target::Any, TaskOptions { needs: Some(nothing), ..TaskOptions::default() }, "nothing"),
        (Target::Engine(engine), TaskOptions { priority: 1, ..TaskOptions::default() }, "balanced"),
        (
            Target::Engine(engine),
            TaskOptions { needs: Some(one), ..TaskOptions::default() },
            "balanced",
        ),
    ];
    for (seq, (target, options, word)) in (0..).zip(table) {
        let effects =
            bench.submit(session, with_options(spec(TaskId::new(client, seq), target), options));
        let detail = effects.iter().find_map(|effect| match effect {
            HubEffect::ToClient(_, ClientReply::Delivery(delivery)) => match &delivery.outcome {
                Outcome::Rejected(rejection) => Some(rejection.detail.clone()),
                _ => None,
            },
            _ => None,
        });
        assert!(detail.expect("it is rejected").contains(word));
    }
}

#[test]
fn under_pure_balanced_tasks_are_plain_and_direct_ones_as_ever() {
    let mut bench = Bench::with(HubSettings { scheme: Scheme::Pure, ..HubSettings::new(Epoch(5)) });
    let (_, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    let mut rejected = |seq, target, options: TaskOptions| {
        let task = with_options(spec(TaskId::new(client, seq), target), options);
        let effects = bench.submit(session, task);
        effects.iter().any(|effect| match effect {
            HubEffect::ToClient(_, ClientReply::Delivery(delivery)) => {
                matches!(delivery.outcome, Outcome::Rejected(_))
            }
            _ => false,
        })
    };
    assert!(!rejected(0, Target::Any, TaskOptions::default()));
    assert!(!rejected(1, Target::Engine(engine), TaskOptions::default()));
    assert!(rejected(2, Target::Subset(vec![engine]), TaskOptions::default()));
    let after = Some(Dependency::all([TaskId::new(client, 0)]));
    assert!(rejected(3, Target::Any, TaskOptions { after, ..TaskOptions::default() }));
    let prior = TaskOptions { priority: 1, ..TaskOptions::default() };
    assert!(rejected(4, Target::Any, prior));
}
