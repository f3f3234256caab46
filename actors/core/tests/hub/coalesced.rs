//! Outcomes that go together: none is told before the last of them is there.

use phalanx_core::hub::{ClientRequest, HubEffect};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{ClientId, EngineId, SessionId, TaskId};
use phalanx_protocol::limits::CLIENT_GONE_TTL;
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::task::{Target, TaskOptions, TaskSpec};

use crate::harness::{Bench, deliveries, inline, outcomes, report, spec, with_options};

fn together(client: ClientId, seq: u64, target: Target) -> TaskSpec {
    let options = TaskOptions { coalesce: true, ..TaskOptions::default() };
    with_options(spec(TaskId::new(client, seq), target), options)
}

/// Three engines, and a client that has submitted task 0 to the first, tasks 1 to 3 together to all
/// of them, and task 4 to the first.
struct Setting {
    bench: Bench,
    engines: Vec<(SessionId, EngineId)>,
    reports: [u64; 3],
    session: SessionId,
    client: ClientId,
}

impl Setting {
    fn new() -> Self {
        let mut bench = Bench::new();
        let engines: Vec<_> = (1..4).map(|instance| bench.engine(instance, 1)).collect();
        let (session, client) = bench.client();
        let all = Target::Engines(engines.iter().map(|(_, id)| *id).collect());
        let first = Target::Engine(engines[0].1);
        bench.submit(session, spec(TaskId::new(client, 0), first.clone()));
        bench.submit(session, together(client, 1, all));
        bench.submit(session, spec(TaskId::new(client, 4), first));
        Self { bench, engines, reports: [0; 3], session, client }
    }

    fn task(&self, seq: u64) -> TaskId {
        TaskId::new(self.client, seq)
    }

    /// An engine has done a task: the tasks whose outcomes the client is sent then.
    fn done(&mut self, engine: usize, seq: u64) -> Vec<u64> {
        let number = self.reports[engine];
        self.reports[engine] += 1;
        let report = report(number, self.task(seq).attempt(1), inline("r"));
        told(&self.bench.report(self.engines[engine].0, report))
    }

    fn undelivered(&self) -> u64 {
        self.bench.hub.status(self.bench.now).clients[0].undelivered
    }
}

fn told(effects: &[HubEffect]) -> Vec<u64> {
    deliveries(effects).iter().map(|delivery| delivery.task.seq).collect()
}

#[test]
fn they_are_told_in_one_turn_when_the_last_has_ended_in_the_order_in_which_they_did() {
    let mut setting = Setting::new();
    assert_eq!(setting.done(2, 3), []);
    assert_eq!(setting.done(0, 0), [0], "what is before them does not wait");
    assert_eq!(setting.done(0, 1), []);
    assert_eq!(setting.done(0, 4), [4], "nor what is after them");
    assert_eq!(setting.undelivered(), 4, "none of these is confirmed");
    assert_eq!(setting.done(1, 2), [3, 1, 2]);
    setting.bench.request(setting.session, ClientRequest::Received(5));
    assert_eq!(setting.undelivered(), 0);
}

#[test]
fn an_end_of_any_kind_counts() {
    let mut setting = Setting::new();
    assert_eq!(setting.done(0, 0), [0]);
    assert_eq!(setting.done(0, 1), []);
    assert_eq!(setting.done(2, 3), []);
    setting.bench.close(setting.engines[1].0);
    let effects = setting.bench.pass(CLIENT_GONE_TTL);
    assert_eq!(told(&effects), [1, 3, 2]);
    assert!(matches!(&outcomes(&effects)[2], (_, Outcome::EngineLost(_))), "{effects:?}");
}

#[test]
fn those_of_a_refused_submit_are_told_together_too() {
    let mut setting = Setting::new();
    let unknown = Target::Engines(vec![EngineId(0), EngineId(77)]);
    let effects = setting.bench.submit(setting.session, together(setting.client, 5, unknown));
    assert_eq!(told(&effects), [5, 6]);
}

#[test]
fn a_client_that_was_away_meanwhile_is_told_of_all_when_it_is_back_or_later() {
    let mut setting = Setting::new();
    assert_eq!((setting.done(0, 0), setting.done(0, 1)), (vec![0], vec![]));
    setting.bench.close(setting.session);
    assert_eq!(setting.done(1, 2), []);
    let (session, _, effects) = setting.bench.open(Some(setting.bench.resume(setting.client)));
    assert_eq!(told(&effects), [0], "the third has not ended");
    assert_eq!(setting.done(2, 3), [1, 2, 3]);
    setting.bench.close(session);
    let (_, _, effects) = setting.bench.open(Some(setting.bench.resume(setting.client)));
    assert_eq!(told(&effects), [0, 1, 2, 3], "in flight, and sent again");
}

#[test]
fn the_submit_repeated_changes_nothing() {
    let mut setting = Setting::new();
    assert_eq!((setting.done(0, 0), setting.done(0, 1)), (vec![0], vec![]));
    let all = Target::Engines(setting.engines.iter().map(|(_, id)| *id).collect());
    let effects = setting.bench.submit(setting.session, together(setting.client, 1, all));
    assert_eq!(told(&effects), []);
    assert_eq!(setting.done(2, 3), []);
    assert_eq!(setting.done(1, 2), [1, 3, 2]);
}

#[test]
fn those_of_a_client_that_leaves_are_nobodys() {
    let mut setting = Setting::new();
    assert_eq!((setting.done(0, 0), setting.done(0, 1)), (vec![0], vec![]));
    setting.bench.request(setting.session, ClientRequest::Leave { abort_open: false });
    setting.bench.close(setting.session);
    assert_eq!(setting.undelivered(), 0);
    for (engine, seq) in [(1, 2), (2, 3), (0, 4)] {
        assert_eq!(setting.done(engine, seq), []);
    }
    assert_eq!(setting.bench.hub.status(setting.bench.now).clients, []);
}

#[test]
fn balanced_tasks_are_told_one_by_one_only() {
    let mut setting = Setting::new();
    let effects = setting.bench.submit(setting.session, together(setting.client, 5, Target::Any));
    let [(_, Outcome::Rejected(rejection))] = &outcomes(&effects)[..] else {
        panic!("rejected, not {effects:?}");
    };
    assert_eq!(rejection.code, Some(ErrorCode::InvalidTask));
    assert!(rejection.detail.contains("coalesce"), "{}", rejection.detail);
}
