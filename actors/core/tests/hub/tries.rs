//! What is tried again: after errors, if asked for; after refusals, always; never for ever.

use std::time::Duration;

use phalanx_core::hub::{ClientRequest, EngineNews, EngineOrder, HubEffect, HubEvent, TIME_LIMIT};
use phalanx_core::scheduler::SchedulerEvent;
use phalanx_protocol::ids::{AttemptId, EngineId, SessionId, TaskId};
use phalanx_protocol::limits::{RETRIES_MAX, RETRY_BACKOFF_MAX, STARTED_AFTER};
use phalanx_protocol::needs::Needs;
use phalanx_protocol::outcome::{AttemptOutcome, Outcome, RemoteError, Report, RunTimes};
use phalanx_protocol::payload::Payload;
use phalanx_protocol::peer::{EngineProfile, Inventory};
use phalanx_protocol::room::{ReadyTask, SchedulerVerdict};
use phalanx_protocol::task::{Retry, Target, TaskOptions};

use crate::harness::{
    Bench, assignments, deliveries, inline, outcomes, placed, profile, report, spec, with_options,
};

/// A client, engines, and tasks that go where the test says.
struct Trial {
    bench: Bench,
    session: SessionId,
    engines: Vec<(SessionId, EngineId)>,
    task: TaskId,
    reports: u64,
}

impl Trial {
    /// One task of these options, at `engines[0]`.
    fn new(engines: u64, options: TaskOptions) -> Self {
        let mut bench = Bench::new();
        let engines = (0..engines).map(|instance| bench.engine(instance, 1)).collect();
        let (session, client) = bench.client();
        let task = TaskId::new(client, 0);
        bench.submit(session, with_options(spec(task, Target::Any), options));
        let mut trial = Self { bench, session, engines, task, reports: 0 };
        trial.assign(0);
        trial
    }

    fn assign(&mut self, engine: usize) -> AttemptId {
        let effects = self.bench.assign(self.task, self.engines[engine].1);
        assignments(&effects)[0].attempt
    }

    fn reports(&mut self, engine: usize, attempt: u32, outcome: AttemptOutcome) -> Vec<HubEffect> {
        let number = self.reports;
        self.reports += 1;
        let attempt = self.task.attempt(attempt);
        let report = Report { outcome, ..report(number, attempt, Payload::empty()) };
        self.bench.report(self.engines[engine].0, report)
    }

    fn raises(&mut self, engine: usize, attempt: u32) -> Vec<HubEffect> {
        self.reports(engine, attempt, AttemptOutcome::Failed(Box::new(error("ValueError"))))
    }

    fn refuses(&mut self, engine: usize, attempt: u32) -> Vec<HubEffect> {
        let error = RemoteError { refused: true, ..error("UnmetDependency") };
        self.reports(engine, attempt, AttemptOutcome::Failed(Box::new(error)))
    }

    fn unplaceable(&mut self) -> Vec<HubEffect> {
        let verdict = SchedulerVerdict::Unplaceable;
        self.bench.event(HubEvent::FromScheduler(self.bench.scheduler, self.task, verdict))
    }
}

fn error(kind: &str) -> RemoteError {
    let bases = vec!["Exception".into()];
    RemoteError { kind: kind.into(), message: "no".into(), bases, ..RemoteError::default() }
}

fn retries(count: u32) -> TaskOptions {
    TaskOptions { retry: Some(Retry { count, ..Retry::default() }), ..TaskOptions::default() }
}

/// The engines that the scheduler may choose from, if the task is to be placed.
fn choice(effects: &[HubEffect]) -> Option<Vec<u32>> {
    effects.iter().find_map(|effect| match effect {
        HubEffect::ToScheduler(_, SchedulerEvent::Place(ReadyTask { engines, .. })) => {
            Some(engines.iter().flatten().map(|engine| engine.0).collect())
        }
        _ => None,
    })
}

fn failed_with(effects: &[HubEffect], kind: &str) -> bool {
    matches!(&outcomes(effects)[..], [(_, Outcome::Failed(error))] if error.kind == kind)
}

#[test]
fn what_raised_is_tried_on_another_engine_and_its_owner_learns_where() {
    let mut trial = Trial::new(3, retries(2));
    assert_eq!(choice(&trial.raises(0, 1)), Some(vec![1, 2]));
    assert_eq!(trial.assign(2).number, 2);
    assert_eq!(choice(&trial.raises(2, 2)), Some(vec![1]));
    trial.assign(1);
    let effects = trial.reports(1, 3, AttemptOutcome::Done);
    let delivery = deliveries(&effects)[0];
    assert_eq!((&delivery.outcome, delivery.attempts), (&Outcome::Done, 3));
    assert_eq!(delivery.tried, [EngineId(0), EngineId(2)]);
}

#[test]
fn nothing_is_tried_again_unasked() {
    let mut trial = Trial::new(2, TaskOptions::default());
    assert!(failed_with(&trial.raises(0, 1), "ValueError"));
}

#[test]
fn with_no_retries_left_the_last_error_is_the_outcome() {
    let mut trial = Trial::new(3, retries(1));
    trial.raises(0, 1);
    trial.assign(1);
    let last = AttemptOutcome::Failed(Box::new(error("KeyError")));
    assert!(failed_with(&trial.reports(1, 2, last), "KeyError"));
}

#[test]
fn a_task_that_failed_on_each_engine_begins_a_new_round_elsewhere_than_where_it_failed_last() {
    let mut trial = Trial::new(2, retries(4));
    assert_eq!(choice(&trial.raises(0, 1)), Some(vec![1]));
    trial.assign(1);
    assert_eq!(choice(&trial.raises(1, 2)), Some(vec![0]));
    trial.assign(0);
    assert_eq!(choice(&trial.raises(0, 3)), Some(vec![1]));
    let mut alone = Trial::new(1, retries(1));
    assert_eq!(placed(&alone.raises(0, 1)), [alone.task], "the only engine gets it again");
    alone.assign(0);
    assert!(failed_with(&alone.raises(0, 2), "ValueError"));
}

#[test]
fn only_errors_of_the_kinds_named_are_tried_again_bases_included() {
    let only = |kind: &str| TaskOptions {
        retry: Some(Retry { count: 1, kinds: vec![kind.into()], backoff_ms: 0 }),
        ..TaskOptions::default()
    };
    assert!(failed_with(&Trial::new(2, only("OSError")).raises(0, 1), "ValueError"));
    for kind in ["ValueError", "Exception"] {
        assert_eq!(choice(&Trial::new(2, only(kind)).raises(0, 1)), Some(vec![1]), "{kind}");
    }
    let rust = RemoteError { kind: "my_crate::Flaky".into(), ..RemoteError::default() };
    assert!(rust.is_a("Flaky") && rust.is_a("my_crate::Flaky") && !rust.is_a("my_crate"));
}

#[test]
fn a_refused_task_goes_elsewhere_and_ends_when_all_engines_refused_it() {
    let mut trial = Trial::new(2, TaskOptions::default());
    assert_eq!(choice(&trial.refuses(0, 1)), Some(vec![1]));
    trial.assign(1);
    assert!(failed_with(&trial.refuses(1, 2), "UnmetDependency"));
}

#[test]
fn a_refused_task_goes_only_where_it_could_have_gone_before() {
    let mut bench = Bench::new();
    let equipped = |n: u64, label: &str, method: &str| EngineProfile {
        labels: vec![label.into()],
        methods: vec![method.try_into().expect("a short name")],
        ..profile(&format!("here/{n}"), n, 1)
    };
    let all = [("fast", "work"), ("slow", "work"), ("fast", "odd"), ("fast", "work")];
    let engines: Vec<(SessionId, EngineId)> = (0..)
        .zip(all)
        .map(|(n, (label, method))| {
            let equipped = equipped(n, label, method);
            let (session, registration, ..) = bench.register(equipped, Inventory::default());
            (session, registration.engine)
        })
        .collect();
    let gone = equipped(9, "fast", "work");
    let (gone, ..) = bench.register(gone, Inventory::default());
    bench.event(HubEvent::FromEngine(gone, EngineNews::Leave("done".into())));
    let (session, client) = bench.client();
    let task = TaskId::new(client, 0);
    let needs = Some(Needs { labels: vec!["fast".into()], ..Needs::default() });
    let options = TaskOptions { needs, ..TaskOptions::default() };
    bench.submit(session, with_options(spec(task, Target::Any), options));
    bench.assign(task, engines[0].1);
    let mut trial = Trial { bench, session, engines, task, reports: 0 };
    assert_eq!(choice(&trial.refuses(0, 1)), Some(vec![3]));
}

#[test]
fn what_was_aborted_is_not_tried_again() {
    let mut trial = Trial::new(2, retries(1));
    trial.bench.request(trial.session, ClientRequest::Abort(vec![trial.task], None));
    assert!(failed_with(&trial.raises(0, 1), "ValueError"));
}

#[test]
fn the_scheduler_learns_how_long_an_attempt_ran_that_is_tried_again() {
    for (ran_ns, ran) in [(0, None), (1, Some(Duration::from_nanos(1)))] {
        let mut trial = Trial::new(2, retries(1));
        let times = RunTimes { started_us: 1, ran_ns };
        let outcome = AttemptOutcome::Failed(Box::new(error("ValueError")));
        let report = report(0, trial.task.attempt(1), Payload::empty());
        let effects = trial.bench.report(trial.engines[0].0, Report { outcome, times, ..report });
        let free = SchedulerEvent::Free(trial.task, ran);
        let told = HubEffect::ToScheduler(trial.bench.scheduler, free);
        assert!(effects.contains(&told), "{ran_ns} ns: {effects:?}");
    }
}

#[test]
fn an_engine_that_refused_is_not_asked_again_by_a_retry() {
    let mut trial = Trial::new(2, retries(3));
    trial.refuses(0, 1);
    trial.assign(1);
    assert_eq!(choice(&trial.raises(1, 2)), Some(vec![1]));
}

#[test]
fn a_direct_task_is_not_moved_whoever_refuses_it() {
    let mut bench = Bench::new();
    let (engine_session, engine) = bench.engine(1, 1);
    bench.engine(2, 1);
    let (session, client) = bench.client();
    let task = TaskId::new(client, 0);
    bench.submit(session, spec(task, Target::Engine(engine)));
    let refused = RemoteError { refused: true, ..error("UnmetDependency") };
    let outcome = AttemptOutcome::Failed(Box::new(refused));
    let report = Report { outcome, ..report(0, task.attempt(1), Payload::empty()) };
    assert!(failed_with(&bench.report(engine_session, report), "UnmetDependency"));
}

#[test]
fn a_repeated_report_of_the_attempt_that_failed_counts_no_second_time() {
    let mut trial = Trial::new(3, retries(1));
    trial.raises(0, 1);
    assert_eq!(placed(&trial.raises(0, 1)), [], "while it waits for an engine");
    trial.assign(1);
    assert_eq!(outcomes(&trial.raises(0, 1)), [], "while it runs elsewhere");
    assert_eq!(deliveries(&trial.reports(1, 2, AttemptOutcome::Done))[0].outcome, Outcome::Done);
}

#[test]
fn pauses_grow_from_retry_to_retry() {
    let retry = Some(Retry { count: 5, backoff_ms: 100, ..Retry::default() });
    let mut trial = Trial::new(1, TaskOptions { retry, ..TaskOptions::default() });
    for (attempt, pause) in [(1, 100), (2, 200), (3, 400)] {
        assert_eq!(placed(&trial.raises(0, attempt)), []);
        assert_eq!(placed(&trial.bench.pass(Duration::from_millis(pause - 1))), []);
        assert_eq!(placed(&trial.bench.pass(Duration::from_millis(1))), [trial.task]);
        trial.assign(0);
    }
    let retry = Some(Retry { count: RETRIES_MAX, backoff_ms: u64::MAX, ..Retry::default() });
    let mut trial = Trial::new(1, TaskOptions { retry, ..TaskOptions::default() });
    trial.raises(0, 1);
    assert_eq!(placed(&trial.bench.pass(RETRY_BACKOFF_MAX)), [trial.task], "not for ever");
}

#[test]
fn a_pausing_task_is_aborted_at_once() {
    let retry = Some(Retry { count: 1, backoff_ms: 1_000, ..Retry::default() });
    let mut trial = Trial::new(1, TaskOptions { retry, ..TaskOptions::default() });
    trial.raises(0, 1);
    let effects = trial.bench.request(trial.session, ClientRequest::Abort(vec![trial.task], None));
    assert_eq!(outcomes(&effects), [(trial.task, Outcome::Aborted)]);
    assert_eq!(trial.bench.pass(Duration::from_secs(2)), []);
}

#[test]
fn if_the_engines_that_are_left_go_the_task_ends_with_its_last_error() {
    let mut trial = Trial::new(2, TaskOptions::default());
    trial.refuses(0, 1);
    let left = EngineNews::Leave("done".into());
    trial.bench.event(HubEvent::FromEngine(trial.engines[1].0, left));
    assert!(failed_with(&trial.unplaceable(), "UnmetDependency"));
}

#[test]
fn if_the_engine_that_is_left_goes_a_retry_begins_a_new_round() {
    let mut trial = Trial::new(2, retries(1));
    assert_eq!(choice(&trial.raises(0, 1)), Some(vec![1]));
    let left = EngineNews::Leave("done".into());
    trial.bench.event(HubEvent::FromEngine(trial.engines[1].0, left));
    assert_eq!(placed(&trial.unplaceable()), [trial.task]);
}

#[test]
fn a_task_that_has_not_failed_waits_for_any_engine_whatever_it_will_retry() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let task = TaskId::new(client, 0);
    let effects = bench.submit(session, with_options(spec(task, Target::Any), retries(1)));
    let engines = effects.iter().find_map(|effect| match effect {
        HubEffect::ToScheduler(_, SchedulerEvent::Place(ready)) => Some(&ready.engines),
        _ => None,
    });
    assert_eq!(engines, Some(&None));
}

#[test]
fn an_engine_that_comes_back_goes_on_with_what_may_be_tried_again() {
    let mut trial = Trial::new(1, retries(1));
    let running = vec![trial.task.attempt(1)];
    trial.bench.close(trial.engines[0].0);
    let inventory = Inventory { running, ..Inventory::default() };
    let (.., effects) = trial.bench.register(profile("here/0", 0, 1), inventory);
    assert_eq!(aborted(&effects), []);
}

#[test]
fn an_engine_that_joins_is_offered_what_waits_for_another() {
    let mut trial = Trial::new(2, TaskOptions::default());
    assert_eq!(choice(&trial.refuses(0, 1)), Some(vec![1]));
    let (.., effects) = trial.bench.register(profile("here/9", 9, 1), Inventory::default());
    assert_eq!(choice(&effects), Some(vec![1, 2]));
    // It is placed anew, not taken away: the scheduler may have assigned it just before.
    let is_free =
        |effect: &HubEffect| matches!(effect, HubEffect::ToScheduler(_, SchedulerEvent::Free(..)));
    assert!(!effects.iter().any(is_free), "{effects:?}");
}

#[test]
fn a_rebuilt_scheduler_is_told_the_same_choice() {
    let mut trial = Trial::new(2, TaskOptions::default());
    trial.refuses(0, 1);
    let effects = trial.bench.event(HubEvent::RoomsOffered(None));
    assert_eq!(choice(&effects), Some(vec![1]));
    assert_eq!(outcomes(&effects), []);
}

/// A task with a run limit of a second that has just been said to run.
fn limited(retry: Option<Retry>) -> (Trial, Duration) {
    let options = TaskOptions { run_limit_ms: Some(1_000), retry, ..TaskOptions::default() };
    let mut trial = Trial::new(2, options);
    started(&mut trial, 0, 1);
    (trial, Duration::from_secs(1).saturating_sub(STARTED_AFTER))
}

fn started(trial: &mut Trial, engine: usize, attempt: u32) {
    let started = EngineNews::Started(trial.task.attempt(attempt));
    trial.bench.event(HubEvent::FromEngine(trial.engines[engine].0, started));
}

fn aborted(effects: &[HubEffect]) -> Vec<AttemptId> {
    let of = |effect: &HubEffect| match effect {
        HubEffect::ToEngine(_, EngineOrder::Abort(attempts)) => attempts.clone(),
        _ => Vec::new(),
    };
    effects.iter().flat_map(of).collect()
}

#[test]
fn an_attempt_over_its_limit_is_aborted_and_the_task_fails_with_that_reason() {
    let (mut trial, left) = limited(None);
    assert_eq!(aborted(&trial.bench.pass(left - Duration::from_millis(1))), []);
    let effects = trial.bench.pass(Duration::from_millis(1));
    assert_eq!(aborted(&effects), [trial.task.attempt(1)]);
    let effects = trial.reports(0, 1, AttemptOutcome::Aborted);
    assert!(failed_with(&effects, TIME_LIMIT), "{effects:?}");
    let [(_, Outcome::Failed(error))] = &outcomes(&effects)[..] else { panic!() };
    assert!(error.message.contains("limit of 1s"), "{}", error.message);
    assert_eq!((error.engine, error.method.as_str()), (Some(trial.engines[0].1), "work"));
}

#[test]
fn an_attempt_that_ends_in_time_is_left_alone_and_the_next_has_a_limit_of_its_own() {
    let (mut trial, left) = limited(Some(Retry { count: 1, ..Retry::default() }));
    trial.bench.pass(left - Duration::from_millis(1));
    trial.raises(0, 1);
    trial.assign(1);
    started(&mut trial, 1, 2);
    assert_eq!(aborted(&trial.bench.pass(Duration::from_millis(1))), []);
    assert_eq!(aborted(&trial.bench.pass(left)), [trial.task.attempt(2)]);
}

#[test]
fn running_too_long_is_an_error_that_can_be_retried() {
    let kinds = vec![TIME_LIMIT.into()];
    let (mut trial, left) = limited(Some(Retry { count: 1, kinds, backoff_ms: 0 }));
    trial.bench.pass(left);
    assert_eq!(choice(&trial.reports(0, 1, AttemptOutcome::Aborted)), Some(vec![1]));
}

#[test]
fn what_a_user_aborts_is_aborted_also_over_its_limit() {
    let (mut trial, left) = limited(Some(Retry { count: 1, ..Retry::default() }));
    trial.bench.pass(left);
    trial.bench.request(trial.session, ClientRequest::Abort(vec![trial.task], None));
    let effects = trial.reports(0, 1, AttemptOutcome::Aborted);
    assert_eq!(outcomes(&effects), [(trial.task, Outcome::Aborted)]);
}

#[test]
fn an_engine_that_comes_back_is_told_again_of_what_runs_too_long() {
    let (mut trial, left) = limited(None);
    let attempt = trial.task.attempt(1);
    trial.bench.close(trial.engines[0].0);
    assert_eq!(aborted(&trial.bench.pass(left)), []);
    let inventory = Inventory { running: vec![attempt], ..Inventory::default() };
    let (.., effects) = trial.bench.register(profile("here/0", 0, 1), inventory);
    assert_eq!(aborted(&effects), [attempt]);
}

#[test]
fn that_an_attempt_runs_is_learnt_from_an_inventory_too() {
    let options = TaskOptions { run_limit_ms: Some(1_000), ..TaskOptions::default() };
    let mut trial = Trial::new(1, options);
    trial.bench.close(trial.engines[0].0);
    let inventory = Inventory { running: vec![trial.task.attempt(1)], ..Inventory::default() };
    trial.bench.register(profile("here/0", 0, 1), inventory);
    assert_eq!(aborted(&trial.bench.pass(Duration::from_secs(1))), [trial.task.attempt(1)]);
}

#[test]
fn a_result_that_comes_in_spite_of_the_limit_counts() {
    let (mut trial, left) = limited(None);
    trial.bench.pass(left);
    let done = report(0, trial.task.attempt(1), inline("late"));
    let effects = trial.bench.report(trial.engines[0].0, done);
    assert_eq!(outcomes(&effects), [(trial.task, Outcome::Done)]);
}
