//! Results as arguments: they reach the engine without the client, and stay until they have.

use phalanx_core::dag::DagEvent;
use phalanx_core::hub::{ClientRequest, HubEffect, HubEvent, HubSettings};
use phalanx_core::results::Bounds;
use phalanx_protocol::bundle;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{EngineId, Epoch, SessionId, TaskId};
use phalanx_protocol::limits::{INPUTS_PER_TASK_MAX, TASK_PAYLOAD_LEN_MAX};
use phalanx_protocol::outcome::{AttemptOutcome, Outcome, Report};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::room::{DagVerdict, WaitingTask};
use phalanx_protocol::task::{Accept, Dependency, Target, TaskOptions};

use crate::harness::{
    Bench, assignments, deliveries, inline, outcomes, placed, report, spec, with_options,
};

struct Taker {
    bench: Bench,
    session: SessionId,
    engine: (SessionId, EngineId),
    first: TaskId,
}

impl Taker {
    /// A hub that keeps nothing that was delivered.
    fn new() -> Self {
        let settings = HubSettings::new(Epoch(5));
        let results = Bounds { delivered: 0, ..settings.results };
        let mut bench = Bench::with(HubSettings { results, ..settings });
        let engine = bench.engine(1, 8);
        let (session, client) = bench.client();
        Self { bench, session, engine, first: TaskId::new(client, 0) }
    }

    fn id(&self, seq: u64) -> TaskId {
        TaskId::new(self.first.client, seq)
    }

    fn submit(&mut self, seq: u64) {
        let spec = spec(self.id(seq), Target::Any);
        self.bench.submit(self.session, spec);
    }

    fn submit_taking(&mut self, seq: u64, inputs: &[u64], more: TaskOptions) -> Vec<HubEffect> {
        let inputs = inputs.iter().map(|seq| self.id(*seq)).collect();
        let options = TaskOptions { inputs, ..more };
        let spec = with_options(spec(self.id(seq), Target::Any), options);
        self.bench.submit(self.session, spec)
    }

    fn ends(&mut self, seq: u64, outcome: AttemptOutcome, result: &str) -> Vec<HubEffect> {
        let task = self.id(seq);
        self.bench.assign(task, self.engine.1);
        let report = Report { outcome, ..report(seq, task.attempt(1), inline(result)) };
        let mut effects = self.bench.report(self.engine.0, report);
        effects.extend(self.bench.request(self.session, ClientRequest::Received(seq + 1)));
        effects
    }

    fn ready(&mut self, seq: u64) -> Vec<HubEffect> {
        let task = self.id(seq);
        let verdict = DagVerdict::Ready(None);
        self.bench.event(HubEvent::FromDag(self.bench.dag, task, verdict))
    }

    /// The payloads that an engine gets with a task.
    fn arguments(&mut self, seq: u64) -> Vec<Payload> {
        let effects = self.bench.assign(self.id(seq), self.engine.1);
        let payload = assignments(&effects)[0].payload.clone();
        assert_eq!(payload.format, Format::Bundle);
        bundle::split(payload.pieces().expect("inline")).expect("a bundle")
    }
}

/// The tasks that the dag is told to hold a task for, as `after`.
fn held_after(effects: &[HubEffect]) -> Vec<TaskId> {
    let of = |effect: &HubEffect| match effect {
        HubEffect::ToDag(_, DagEvent::Hold(WaitingTask { after: Some(after), .. })) => {
            after.tasks.iter().map(|(task, _)| *task).collect()
        }
        _ => Vec::new(),
    };
    effects.iter().flat_map(of).collect()
}

#[test]
fn results_go_to_the_engine_beside_the_arguments_in_the_order_named() {
    let mut taker = Taker::new();
    taker.submit(0);
    taker.submit(1);
    let effects = taker.submit_taking(2, &[1, 0, 1], TaskOptions::default());
    assert_eq!(held_after(&effects), [taker.id(0), taker.id(1)], "it waits for both");
    taker.ends(0, AttemptOutcome::Done, "zero");
    taker.ends(1, AttemptOutcome::Done, "one");
    assert_eq!(placed(&taker.ready(2)), [taker.id(2)]);
    let expected = [inline("args"), inline("one"), inline("zero"), inline("one")];
    assert_eq!(taker.arguments(2), expected);
}

#[test]
fn a_result_stays_until_its_last_taker_has_ended() {
    let mut taker = Taker::new();
    taker.submit(0);
    taker.submit_taking(1, &[0], TaskOptions::default());
    taker.submit_taking(2, &[0], TaskOptions::default());
    taker.ends(0, AttemptOutcome::Done, "zero");
    assert!(taker.bench.hub.results().get(taker.id(0)).is_some(), "delivered, but wanted");
    taker.ready(1);
    taker.ends(1, AttemptOutcome::Done, "one");
    assert!(taker.bench.hub.results().get(taker.id(0)).is_some(), "one still wants it");
    let last = taker.id(2);
    taker.bench.request(taker.session, ClientRequest::Abort(vec![last], None));
    assert!(taker.bench.hub.results().get(taker.id(0)).is_none());
    assert!(taker.bench.hub.results().ending(taker.id(0)).is_some());
}

#[test]
fn what_stays_goes_to_its_takers_and_to_who_asks_and_not_to_its_owner() {
    let mut taker = Taker::new();
    taker.submit_taking(0, &[], TaskOptions { stays: true, ..TaskOptions::default() });
    taker.submit_taking(1, &[0], TaskOptions::default());
    let payloads = |effects: &[HubEffect]| -> Vec<Payload> {
        deliveries(effects).into_iter().map(|delivery| delivery.payload.clone()).collect()
    };
    let effects = taker.ends(0, AttemptOutcome::Done, "zero");
    assert_eq!(outcomes(&effects), [(taker.id(0), Outcome::Done)]);
    assert_eq!(payloads(&effects), [Payload::empty()]);
    let wanted = ClientRequest::Watch(vec![taker.id(0)]);
    let effects = taker.bench.request(taker.session, wanted);
    assert_eq!(payloads(&effects), [inline("zero")]);
    taker.ready(1);
    assert_eq!(taker.arguments(1), [inline("args"), inline("zero")]);
}

#[test]
fn results_that_are_too_long_together_reject_the_task_that_takes_them() {
    let mut taker = Taker::new();
    let long = vec![0; TASK_PAYLOAD_LEN_MAX as usize / 2];
    taker.submit(0);
    taker.submit_taking(1, &[0], TaskOptions::default());
    taker.submit_taking(2, &[0, 0], TaskOptions::default());
    let attempt = taker.id(0).attempt(1);
    taker.bench.assign(taker.id(0), taker.engine.1);
    let payload = Payload::inline(Format::Raw, long.into());
    taker.bench.report(taker.engine.0, Report { payload, ..report(0, attempt, inline("")) });
    taker.bench.request(taker.session, ClientRequest::Received(1));
    assert_eq!(placed(&taker.ready(1)), [taker.id(1)], "one of them is taken");
    let effects = taker.ready(2);
    let [(task, Outcome::Rejected(why))] = &outcomes(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((*task, why.code), (taker.id(2), Some(ErrorCode::TooLarge)));
    assert!(why.detail.contains("2 results among them"), "{}", why.detail);
    assert_eq!(placed(&effects), []);
}

#[test]
fn a_result_that_has_gone_cannot_be_taken() {
    let mut taker = Taker::new();
    taker.submit(0);
    taker.ends(0, AttemptOutcome::Done, "zero");
    let effects = taker.submit_taking(1, &[0], TaskOptions::default());
    let [(_, Outcome::Rejected(why))] = &outcomes(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(why.code, Some(ErrorCode::Purged));
}

#[test]
fn a_lost_engine_takes_no_result_with_it() {
    let mut taker = Taker::new();
    taker.submit(0);
    taker.submit_taking(1, &[0], TaskOptions::default());
    taker.ends(0, AttemptOutcome::Done, "zero");
    taker.ready(1);
    taker.arguments(1);
    let (other, engine) = taker.bench.engine(2, 8);
    let left = phalanx_core::hub::EngineNews::Leave("gone".into());
    let effects = taker.bench.event(HubEvent::FromEngine(taker.engine.0, left));
    assert_eq!(placed(&effects), [taker.id(1)]);
    taker.engine = (other, engine);
    assert_eq!(taker.arguments(1), [inline("args"), inline("zero")]);
}

#[test]
fn a_task_takes_so_many_results_and_no_more() {
    for (len, is_taken) in [(INPUTS_PER_TASK_MAX, true), (INPUTS_PER_TASK_MAX + 1, false)] {
        let mut taker = Taker::new();
        taker.submit(0);
        let effects = taker.submit_taking(1, &vec![0; len], TaskOptions::default());
        assert_eq!(outcomes(&effects).is_empty(), is_taken, "{len} results");
    }
}

#[test]
fn another_kind_of_after_does_not_go_with_results() {
    let kinds: [fn(TaskId) -> Dependency; 2] =
        [|task| Dependency::any([task]), |task| Dependency::all([task]).accepting(Accept::Either)];
    for kind in kinds {
        let mut taker = Taker::new();
        taker.submit(0);
        taker.submit(1);
        let after = Some(kind(taker.id(0)));
        let more = TaskOptions { after, ..TaskOptions::default() };
        let effects = taker.submit_taking(2, &[1], more);
        let [(_, Outcome::Rejected(why))] = &outcomes(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!(why.code, Some(ErrorCode::InvalidTask));
        assert!(why.detail.contains("success of all"), "{}", why.detail);
    }
}

#[test]
fn an_after_of_the_same_kind_is_waited_for_together_with_the_results() {
    let mut taker = Taker::new();
    taker.submit(0);
    taker.submit(1);
    let after = Some(Dependency::all([taker.id(0)]));
    let effects = taker.submit_taking(2, &[1], TaskOptions { after, ..TaskOptions::default() });
    assert_eq!(held_after(&effects), [taker.id(0), taker.id(1)]);
}
