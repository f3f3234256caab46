//! Confirmations ride with other messages; alone they go only when they have waited long enough.

use phalanx_core::hub::{ClientReply, ClientRequest, HubEffect, HubSettings};
use phalanx_core::{Room, Time};
use phalanx_protocol::client::Grant;
use phalanx_protocol::ids::{AttemptId, EngineId, Epoch, SessionId, TaskId};
use phalanx_protocol::limits::CONFIRM_AFTER;
use phalanx_protocol::task::Target;

use crate::harness::{Bench, accepted, assignments, confirmed, deliveries, inline, report, spec};

struct Cast {
    bench: Bench,
    client: SessionId,
    engine_session: SessionId,
    engine: EngineId,
    task: TaskId,
}

fn cast() -> Cast {
    let mut bench = Bench::as_is(HubSettings::new(Epoch(5)));
    let (client, id) = bench.client();
    let (engine_session, engine) = bench.engine(1, 4);
    Cast { bench, client, engine_session, engine, task: TaskId::new(id, 0) }
}

impl Cast {
    fn submit(&mut self, index: u64) -> Vec<HubEffect> {
        let id = TaskId::new(self.task.client, index);
        self.bench.submit(self.client, spec(id, Target::Engine(self.engine)))
    }

    fn report(&mut self, number: u64) -> Vec<HubEffect> {
        let attempt: AttemptId = TaskId::new(self.task.client, number).attempt(1);
        self.bench.report(self.engine_session, report(number, attempt, inline("out")))
    }
}

#[test]
fn a_submit_is_confirmed_with_the_outcome_that_goes_the_same_way() {
    let mut cast = cast();
    let effects = cast.submit(0);
    assert_eq!((assignments(&effects).len(), accepted(&effects)), (1, None));
    let effects = cast.report(0);
    assert_eq!((deliveries(&effects).len(), accepted(&effects)), (1, Some(1)));
    assert_eq!(cast.bench.pass(CONFIRM_AFTER * 3).iter().filter(|e| is_accepted(e)).count(), 0);
}

#[test]
fn a_report_is_confirmed_with_the_next_attempt() {
    let mut cast = cast();
    cast.submit(0);
    assert_eq!(confirmed(&cast.report(0)), None);
    let effects = cast.submit(1);
    assert_eq!((assignments(&effects).len(), confirmed(&effects)), (1, Some(1)));
}

#[test]
fn without_company_a_confirmation_waits_so_long_and_no_longer() {
    let mut cast = cast();
    cast.submit(0);
    assert_eq!(cast.bench.hub.next_deadline(), Some(Time::ZERO + CONFIRM_AFTER));
    assert_eq!(accepted(&cast.bench.pass(CONFIRM_AFTER / 2)), None);
    // More of the same does not put it off.
    cast.submit(1);
    assert_eq!(accepted(&cast.bench.pass(CONFIRM_AFTER / 2)), Some(2));
    assert_eq!(cast.bench.pass(CONFIRM_AFTER * 3), []);
    cast.report(0);
    assert_eq!(confirmed(&cast.bench.pass(CONFIRM_AFTER)), Some(1));
}

/// The grant that a client is sent.
fn granted(effects: &[HubEffect]) -> Option<Grant> {
    effects.iter().find_map(|effect| match effect {
        HubEffect::ToClient(_, ClientReply::Accepted(accepted)) => Some(accepted.grant),
        _ => None,
    })
}

/// A client of a hub with such a window, three tasks of which are confirmed.
fn windowed(client_tasks: u64, client_bytes: u64) -> Cast {
    let settings = HubSettings { client_tasks, client_bytes, ..HubSettings::new(Epoch(5)) };
    let mut bench = Bench::as_is(settings);
    let (client, id) = bench.client();
    let (engine_session, engine) = bench.engine(1, 4);
    let mut cast = Cast { bench, client, engine_session, engine, task: TaskId::new(id, 0) };
    for index in 0..3 {
        cast.submit(index);
    }
    assert_eq!(accepted(&cast.bench.pass(CONFIRM_AFTER)), Some(3));
    cast
}

#[test]
fn a_grant_is_raised_at_once_when_an_eighth_of_the_tasks_has_become_free() {
    let mut cast = windowed(17, 1 << 20);
    for number in 0..3 {
        assert_eq!(granted(&cast.report(number)), None, "they are not fetched");
    }
    let received = |up_to| ClientRequest::Received(up_to);
    assert_eq!(cast.bench.request(cast.client, received(1)), [], "it can wait");
    let grant = granted(&cast.bench.request(cast.client, received(2)));
    assert_eq!(grant.map(|grant| grant.seq_end), Some(19));
    assert_eq!(cast.bench.request(cast.client, received(3)), []);
}

#[test]
fn a_grant_is_raised_at_once_when_an_eighth_of_the_bytes_has_become_free() {
    // Each task has four.
    let mut cast = windowed(1 << 20, 64);
    assert_eq!(granted(&cast.report(0)), None);
    assert_eq!(granted(&cast.report(1)).map(|grant| grant.bytes_end), Some(72));
    assert_eq!(granted(&cast.report(2)), None);
}

#[test]
fn no_grant_is_raised_while_too_many_outcomes_wait_and_every_one_is_as_soon_as_they_do_not() {
    let mut settings = HubSettings { client_tasks: 2, ..HubSettings::new(Epoch(5)) };
    settings.results.undelivered = 2;
    let mut bench = Bench::as_is(settings);
    let (engine_session, engine) = bench.engine(1, 4);
    let (other, other_id) = bench.client();
    let (client, id) = bench.client();
    let all = [TaskId::new(id, 0), TaskId::new(id, 1), TaskId::new(other_id, 0)];
    for (number, (task, session)) in (0..).zip(all.into_iter().zip([client, client, other])) {
        bench.submit(session, spec(task, Target::Engine(engine)));
        bench.report(engine_session, report(number, task.attempt(1), inline("out")));
    }
    bench.pass(CONFIRM_AFTER);
    assert_eq!(bench.request(other, ClientRequest::Received(1)), [], "two of another wait still");
    let effects = bench.request(client, ClientRequest::Received(1));
    let raised = |to: SessionId| {
        let is_to = |effect: &&HubEffect| matches!(effect, HubEffect::ToClient(it, _) if *it == to);
        granted(&effects.iter().filter(is_to).cloned().collect::<Vec<_>>()).map(|it| it.seq_end)
    };
    assert_eq!((raised(client), raised(other)), (Some(3), Some(3)));
}

#[test]
fn what_frees_a_client_that_is_held_up_goes_at_once() {
    let mut bench = Bench::as_is(HubSettings { client_tasks: 2, ..HubSettings::new(Epoch(5)) });
    let (client, id) = bench.client();
    let (session, engine) = bench.engine(1, 4);
    bench.submit(client, spec(TaskId::new(id, 0), Target::Engine(engine)));
    bench.report(session, report(0, TaskId::new(id, 0).attempt(1), inline("out")));
    let effects = bench.request(client, phalanx_core::hub::ClientRequest::Received(1));
    assert!(effects.iter().any(is_accepted), "the grant is raised: {effects:?}");
}

#[test]
fn a_repeated_submit_is_answered_at_once() {
    let mut cast = cast();
    cast.submit(0);
    cast.bench.pass(CONFIRM_AFTER);
    assert_eq!(accepted(&cast.submit(0)), Some(1));
}

#[test]
fn a_cut_session_is_owed_nothing_and_the_next_one_learns_it_when_it_opens() {
    let mut cast = cast();
    cast.submit(0);
    let (client, id) = (cast.client, cast.task.client);
    cast.bench.close(client);
    assert_eq!(cast.bench.pass(CONFIRM_AFTER), []);
    let resume = cast.bench.resume(id);
    let (_, opened, rest) = cast.bench.open(Some(resume));
    assert_eq!((opened.next_seq, rest), (1, vec![]));
}

fn is_accepted(effect: &HubEffect) -> bool {
    accepted(std::slice::from_ref(effect)).is_some()
}
