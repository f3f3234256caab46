//! Aborts that kill: when the process of an engine is to be ended, who is asked, and what becomes of
//! what it had.

use std::time::Duration;

use phalanx_core::hub::{ClientRequest, EngineNews, EngineOrder, HostNews, HostOrder};
use phalanx_core::hub::{HubEffect, HubEvent};
use phalanx_protocol::ids::{EngineId, SessionId, TaskId};
use phalanx_protocol::limits::{CRASHES_PER_TASK_MAX, KILL_AFTER_MIN, LOST_AFTER};
use phalanx_protocol::outcome::{AttemptOutcome, Loss, Outcome, Report, RunTimes};
use phalanx_protocol::payload::Payload;
use phalanx_protocol::peer::Inventory;
use phalanx_protocol::role::Role;
use phalanx_protocol::task::Target;

use crate::harness::{Bench, outcomes, placed, profile, spec};

const AFTER: Duration = Duration::from_secs(2);
const MOMENT: Duration = Duration::from_millis(1);
const CAUSE: &str = "killed: task c0/0 did not end within 2.0 s of its abort";

/// A host, and an engine of it that runs a task which heeds no abort; behind it a balanced and a
/// direct one.
struct Stuck {
    bench: Bench,
    host: SessionId,
    client: SessionId,
    engine_session: SessionId,
    engine: EngineId,
    stuck: TaskId,
    behind: TaskId,
    direct: TaskId,
}

impl Stuck {
    fn new() -> Self {
        let mut bench = Bench::new();
        let host = bench.session(Role::Host);
        bench.event(HubEvent::FromHost(host, HostNews::Attach { host: "here".into() }));
        let (engine_session, engine) = bench.engine(1, 1);
        let (client, id) = bench.client();
        let [stuck, behind, direct] = [0, 1, 2].map(|seq| TaskId::new(id, seq));
        for (task, target) in
            [(stuck, Target::Any), (behind, Target::Any), (direct, Target::Engine(engine))]
        {
            bench.submit(client, spec(task, target));
        }
        bench.assign(stuck, engine);
        bench.assign(behind, engine);
        let started = EngineNews::Started(stuck.attempt(1));
        bench.event(HubEvent::FromEngine(engine_session, started));
        Self { bench, host, client, engine_session, engine, stuck, behind, direct }
    }

    fn abort(&mut self, task: TaskId, kill_after: Option<Duration>) -> Vec<HubEffect> {
        self.bench.request(self.client, ClientRequest::Abort(vec![task], kill_after))
    }

    /// Both that can end the process are asked to.
    fn orders(&self) -> [HubEffect; 2] {
        let (name, reason) = ("here/1".to_owned(), CAUSE.to_owned());
        let kill = HostOrder::Kill { name, pid: 1, reason: reason.clone() };
        [
            HubEffect::ToHost(self.host, kill),
            HubEffect::ToEngine(self.engine_session, EngineOrder::End(reason)),
        ]
    }

    fn exited(&mut self, pid: u32) -> Vec<HubEffect> {
        let exited = HostNews::EngineExited {
            name: "here/1".into(),
            pid,
            cause: "killed by SIGKILL".into(),
        };
        self.bench.event(HubEvent::FromHost(self.host, exited))
    }
}

#[test]
fn an_engine_is_killed_when_its_aborted_task_has_not_ended_in_time_and_not_before() {
    let mut cluster = Stuck::new();
    let effects = cluster.abort(cluster.stuck, Some(AFTER));
    let abort = EngineOrder::Abort(vec![cluster.stuck.attempt(1)]);
    assert_eq!(effects, [HubEffect::ToEngine(cluster.engine_session, abort)]);
    assert_eq!(cluster.bench.pass(AFTER - MOMENT), []);
    assert_eq!(cluster.bench.pass(MOMENT), cluster.orders());
    assert_eq!(cluster.bench.pass(AFTER), [], "it is asked once");
}

#[test]
fn a_task_that_ends_in_time_costs_no_engine() {
    let mut cluster = Stuck::new();
    cluster.abort(cluster.stuck, Some(AFTER));
    cluster.bench.pass(AFTER - MOMENT);
    let report = Report {
        number: 0,
        attempt: cluster.stuck.attempt(1),
        outcome: AttemptOutcome::Aborted,
        times: RunTimes::default(),
        payload: Payload::empty(),
        output: None,
    };
    let effects = cluster.bench.report(cluster.engine_session, report);
    assert_eq!(outcomes(&effects), [(cluster.stuck, Outcome::Aborted)]);
    assert_eq!(cluster.bench.pass(AFTER), []);
}

#[test]
fn what_a_killed_engine_had_moves_or_is_lost_and_the_aborted_task_is_aborted() {
    let mut cluster = Stuck::new();
    cluster.abort(cluster.stuck, Some(AFTER));
    cluster.bench.pass(AFTER);
    let effects = cluster.exited(1);
    let loss = Loss { engine: cluster.engine, cause: CAUSE.into() };
    let expected =
        [(cluster.direct, Outcome::EngineLost(Box::new(loss))), (cluster.stuck, Outcome::Aborted)];
    assert_eq!(outcomes(&effects), expected);
    assert_eq!(placed(&effects), [cluster.behind]);
}

#[test]
fn a_death_that_was_asked_for_is_put_down_to_nobody() {
    let mut cluster = Stuck::new();
    cluster.abort(cluster.stuck, Some(AFTER));
    cluster.bench.pass(AFTER);
    cluster.exited(1);
    // As often as would make any task poison.
    for pid in 2..=CRASHES_PER_TASK_MAX + 1 {
        let (session, registration, ..) =
            cluster.bench.register(profile("here/1", pid.into(), 1), Inventory::default());
        let stuck = TaskId::new(cluster.stuck.client, u64::from(pid) + 1);
        cluster.bench.submit(cluster.client, spec(stuck, Target::Any));
        for task in [cluster.behind, stuck] {
            cluster.bench.assign(task, registration.engine);
        }
        let attempt = cluster.behind.attempt(pid);
        cluster.bench.event(HubEvent::FromEngine(session, EngineNews::Started(attempt)));
        cluster.abort(stuck, Some(AFTER));
        cluster.bench.pass(AFTER);
        let effects = cluster.exited(pid);
        assert_eq!(outcomes(&effects), [(stuck, Outcome::Aborted)], "death {pid}");
        assert_eq!(placed(&effects), [cluster.behind], "death {pid}");
    }
}

#[test]
fn of_several_wishes_the_soonest_counts_and_none_is_too_soon() {
    let mut cluster = Stuck::new();
    cluster.abort(cluster.stuck, Some(AFTER));
    cluster.abort(cluster.stuck, Some(AFTER * 3));
    cluster.bench.pass(AFTER / 2);
    cluster.abort(cluster.stuck, None);
    cluster.abort(cluster.stuck, Some(AFTER));
    assert_eq!(cluster.bench.pass(AFTER / 2), cluster.orders());

    let mut cluster = Stuck::new();
    cluster.abort(cluster.stuck, Some(AFTER));
    cluster.abort(cluster.stuck, Some(Duration::ZERO));
    assert_eq!(cluster.bench.pass(KILL_AFTER_MIN - MOMENT), []);
    assert_eq!(cluster.bench.pass(MOMENT).len(), 2);
}

#[test]
fn a_task_that_no_engine_has_ends_at_once_and_kills_none() {
    let mut cluster = Stuck::new();
    let waiting = TaskId::new(cluster.stuck.client, 3);
    cluster.bench.submit(cluster.client, spec(waiting, Target::Any));
    let effects = cluster.abort(waiting, Some(AFTER));
    assert_eq!(outcomes(&effects), [(waiting, Outcome::Aborted)]);
    assert_eq!(cluster.bench.pass(AFTER), []);
}

#[test]
fn an_engine_whose_session_was_cut_is_asked_when_it_comes_back() {
    let mut cluster = Stuck::new();
    cluster.abort(cluster.stuck, Some(AFTER));
    cluster.bench.close(cluster.engine_session);
    let effects = cluster.bench.pass(AFTER);
    assert_eq!(effects, cluster.orders()[..1], "its host can always");
    let inventory = Inventory {
        running: vec![cluster.stuck.attempt(1)],
        queued: vec![cluster.behind.attempt(1), cluster.direct.attempt(1)],
        ..Inventory::default()
    };
    let (session, .., effects) = cluster.bench.register(profile("here/1", 1, 1), inventory);
    let end = HubEffect::ToEngine(session, EngineOrder::End(CAUSE.into()));
    assert_eq!(effects.last(), Some(&end));
    let left = HubEvent::FromEngine(session, EngineNews::Leave(CAUSE.into()));
    assert_eq!(placed(&cluster.bench.event(left)), [cluster.behind]);
}

#[test]
fn an_engine_that_cannot_be_reached_is_lost_in_the_end_and_asked_no_more() {
    let mut cluster = Stuck::new();
    cluster.abort(cluster.stuck, Some(AFTER));
    cluster.bench.close(cluster.engine_session);
    cluster.bench.pass(AFTER);
    let effects = cluster.bench.pass(LOST_AFTER);
    assert_eq!(outcomes(&effects)[1], (cluster.stuck, Outcome::Aborted));
    let (.., effects) = cluster.bench.register(profile("here/1", 1, 1), Inventory::default());
    let is_end = |effect: &HubEffect| matches!(effect, HubEffect::ToEngine(_, EngineOrder::End(_)));
    assert!(!effects.iter().any(is_end), "it has dropped what it had: {effects:?}");
}

#[test]
fn it_is_enough_that_one_of_both_could_be_asked() {
    let cause_of = |cluster: &mut Stuck| {
        let lost = outcomes(&cluster.bench.pass(LOST_AFTER));
        match &lost[0].1 {
            Outcome::EngineLost(loss) => loss.cause.clone(),
            other => panic!("{other:?}"),
        }
    };
    // The engine alone, which then says nothing more.
    let mut cluster = Stuck::new();
    cluster.bench.close(cluster.host);
    cluster.abort(cluster.stuck, Some(AFTER));
    assert_eq!(cluster.bench.pass(AFTER), cluster.orders()[1..]);
    cluster.bench.close(cluster.engine_session);
    assert_eq!(cause_of(&mut cluster), CAUSE);
    // Its host alone.
    let mut cluster = Stuck::new();
    cluster.abort(cluster.stuck, Some(AFTER));
    cluster.bench.close(cluster.engine_session);
    assert_eq!(cluster.bench.pass(AFTER), cluster.orders()[..1]);
    assert_eq!(cause_of(&mut cluster), CAUSE);
    // Neither.
    let mut cluster = Stuck::new();
    cluster.abort(cluster.stuck, Some(AFTER));
    cluster.bench.close(cluster.engine_session);
    cluster.bench.close(cluster.host);
    assert_eq!(cluster.bench.pass(AFTER), []);
    assert_ne!(cause_of(&mut cluster), CAUSE);
}

#[test]
fn the_next_process_of_a_killed_engine_is_not_meant() {
    let mut cluster = Stuck::new();
    cluster.abort(cluster.stuck, Some(AFTER));
    cluster.bench.pass(AFTER);
    // It is there before the death of the other is known.
    let (.., effects) = cluster.bench.register(profile("here/1", 9, 1), Inventory::default());
    let lost = outcomes(&effects);
    assert_eq!(lost[1], (cluster.stuck, Outcome::Aborted));
    assert!(matches!(&lost[0].1, Outcome::EngineLost(loss) if loss.cause == CAUSE), "{lost:?}");
    let is_order = |effect: &HubEffect| {
        matches!(effect, HubEffect::ToHost(..) | HubEffect::ToEngine(_, EngineOrder::End(_)))
    };
    assert!(!effects.iter().any(is_order), "{effects:?}");
    assert_eq!(cluster.exited(1), [], "told late");
}
