//! Graphs: all of it goes, or none; whatever is late, repeated or lost on the way.

use phalanx_core::hub::{ClientRequest, HubEffect, HubEvent, HubSettings};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{EngineId, Epoch, SessionId, TaskId, Ticket};
use phalanx_protocol::limits::CLIENT_GONE_TTL;
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::room::DagVerdict;
use phalanx_protocol::task::{Dependency, GraphPart, Target, TaskOptions, TaskSpec};

use crate::harness::{Bench, accepted, by_ticket, outcomes, placed, spec, with_options};

/// A client, and graphs that begin with its first task.
struct Drawn {
    bench: Bench,
    session: SessionId,
    first: TaskId,
    len: u32,
}

impl Drawn {
    fn new(len: u32) -> Self {
        let mut bench = Bench::new();
        bench.engine(1, 8);
        let (session, client) = bench.client();
        Self { bench, session, first: TaskId::new(client, 0), len }
    }

    fn id(&self, index: u64) -> TaskId {
        TaskId::new(self.first.client, index)
    }

    fn spec(&self, index: u64, after: &[u64]) -> TaskSpec {
        let tasks = after.iter().map(|index| self.id(*index));
        let options = TaskOptions {
            after: (!after.is_empty()).then(|| Dependency::all(tasks)),
            graph: Some(GraphPart { first: 0, len: self.len }),
            ..TaskOptions::default()
        };
        with_options(spec(self.id(index), Target::Any), options)
    }

    fn submit(&mut self, index: u64, after: &[u64]) -> Vec<HubEffect> {
        let spec = self.spec(index, after);
        self.bench.submit(self.session, spec)
    }
}

/// The codes and words by which tasks were rejected.
fn rejections(effects: &[HubEffect]) -> Vec<(TaskId, ErrorCode, String)> {
    let of = |(task, outcome): (TaskId, Outcome)| match outcome {
        Outcome::Rejected(why) => (task, why.code.expect("a code"), why.detail),
        other => panic!("{task}: {other:?}"),
    };
    outcomes(effects).into_iter().map(of).collect()
}

#[test]
fn nothing_of_a_graph_goes_until_all_of_it_is_here_and_then_its_roots_do() {
    let mut drawn = Drawn::new(3);
    let effects = drawn.submit(0, &[2]);
    assert_eq!((placed(&effects).len(), accepted(&effects)), (0, Some(1)), "recorded all the same");
    assert_eq!(placed(&drawn.submit(1, &[])), []);
    let effects = drawn.submit(2, &[1]);
    assert_eq!(placed(&effects), [drawn.id(1)]);
    assert_eq!(outcomes(&effects), []);
    let held = effects.iter().filter(|effect| matches!(effect, HubEffect::ToDag(..))).count();
    assert_eq!(held, 2, "the others wait in the dag");
}

#[test]
fn a_cycle_refuses_the_graph_whole_and_names_its_path() {
    let mut drawn = Drawn::new(4);
    drawn.submit(0, &[]);
    drawn.submit(1, &[3]);
    drawn.submit(2, &[1]);
    let effects = drawn.submit(3, &[2, 0]);
    assert_eq!(placed(&effects), []);
    let rejections = rejections(&effects);
    assert_eq!(rejections.len(), 4);
    let client = drawn.first.client;
    for (_, code, why) in rejections {
        assert_eq!(code, ErrorCode::InvalidGraph);
        assert!(why.contains("cycle of 3"), "{why}");
        for index in [1, 2, 3] {
            assert!(why.contains(&format!("{client}/{index}")), "{why}");
        }
    }
    assert_eq!(drawn.bench.hub.open_len(), 0);
}

#[test]
fn a_long_cycle_is_named_by_its_first_tasks() {
    for (len, has_more) in [(20, false), (21, true)] {
        let mut drawn = Drawn::new(len);
        let len = u64::from(len);
        let effects: Vec<_> =
            (0..len).flat_map(|index| drawn.submit(index, &[(index + 1) % len])).collect();
        let (_, _, why) = &rejections(&effects)[0];
        assert_eq!(why.matches("c0/").count(), 21, "twenty and the first again: {why}");
        assert_eq!(why.contains("-> … -> c0/"), has_more, "{why}");
    }
}

#[test]
fn a_self_edge_or_a_missing_task_refuses_all_that_came_and_all_that_comes() {
    for wrong in [1, 77] {
        let mut drawn = Drawn::new(3);
        drawn.submit(0, &[]);
        let effects = drawn.submit(1, &[wrong]);
        assert_eq!(rejections(&effects).len(), 2, "what is there");
        let effects = drawn.submit(2, &[]);
        let [(task, code, why)] = &rejections(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!((*task, *code), (drawn.id(2), ErrorCode::InvalidDependency));
        assert!(why.contains(&drawn.id(1).to_string()), "{why}");
        let next = spec(drawn.id(3), Target::Any);
        assert_eq!(placed(&drawn.bench.submit(drawn.session, next)), [drawn.id(3)]);
    }
}

#[test]
fn a_graph_waits_for_its_last_payload() {
    let mut drawn = Drawn::new(2);
    let late = TaskSpec { payload: by_ticket(5, 3), ..drawn.spec(0, &[]) };
    drawn.bench.submit(drawn.session, late);
    assert_eq!(placed(&drawn.submit(1, &[0])), []);
    let bytes = bytes::Bytes::from_static(b"abc");
    let arrived = HubEvent::PayloadArrived { session: drawn.session, ticket: Ticket(5), bytes };
    assert_eq!(placed(&drawn.bench.event(arrived)), [drawn.id(0)]);
}

#[test]
fn after_a_cut_in_the_middle_the_rest_is_sent_again_and_repeats_do_no_harm() {
    let mut drawn = Drawn::new(3);
    drawn.submit(0, &[1]);
    drawn.submit(1, &[]);
    drawn.bench.close(drawn.session);
    let resume = drawn.bench.resume(drawn.first.client);
    let (session, opened, _) = drawn.bench.open(Some(resume));
    drawn.session = session;
    assert_eq!(opened.next_seq, 2);
    assert_eq!(placed(&drawn.submit(1, &[])), [], "said again");
    assert_eq!(placed(&drawn.submit(2, &[0])), [drawn.id(1)]);
    assert_eq!(placed(&drawn.submit(2, &[0])), [], "said again");
}

#[test]
fn a_client_that_never_comes_back_leaves_no_half_graph() {
    let mut drawn = Drawn::new(3);
    drawn.submit(0, &[]);
    drawn.submit(1, &[2]);
    drawn.bench.close(drawn.session);
    drawn.bench.pass(CLIENT_GONE_TTL);
    assert_eq!(drawn.bench.hub.open_len(), 0);
}

#[test]
fn an_aborted_member_ends_alone_and_the_rest_goes_its_way() {
    let mut drawn = Drawn::new(3);
    drawn.submit(0, &[]);
    let aborted = drawn.id(0);
    let effects = drawn.bench.request(drawn.session, ClientRequest::Abort(vec![aborted], None));
    assert_eq!(outcomes(&effects), [(aborted, Outcome::Aborted)]);
    drawn.submit(1, &[0]);
    assert_eq!(placed(&drawn.submit(2, &[])), [drawn.id(2)]);
    assert_eq!(drawn.bench.hub.open_len(), 2, "one waits for the dag's verdict");
}

#[test]
fn a_member_that_is_aborted_before_its_payload_comes_holds_up_nobody() {
    let mut drawn = Drawn::new(2);
    let late = TaskSpec { payload: by_ticket(5, 3), ..drawn.spec(0, &[]) };
    drawn.bench.submit(drawn.session, late);
    assert_eq!(placed(&drawn.submit(1, &[])), []);
    let aborted = drawn.id(0);
    let effects = drawn.bench.request(drawn.session, ClientRequest::Abort(vec![aborted], None));
    assert_eq!(outcomes(&effects), [(aborted, Outcome::Aborted)]);
    assert_eq!(placed(&effects), [drawn.id(1)]);
}

#[test]
fn what_follows_a_graph_that_is_not_whole_is_no_part_of_it() {
    let mut drawn = Drawn::new(2);
    drawn.submit(0, &[]);
    let late = TaskSpec { payload: by_ticket(5, 3), ..drawn.spec(1, &[]) };
    drawn.bench.submit(drawn.session, late);
    let next = spec(drawn.id(2), Target::Any);
    assert_eq!(placed(&drawn.bench.submit(drawn.session, next)), [drawn.id(2)]);
}

#[test]
fn a_graph_of_no_tasks_is_refused() {
    let effects = Drawn::new(0).submit(0, &[]);
    assert_eq!(rejections(&effects)[0].1, ErrorCode::InvalidGraph);
}

#[test]
fn a_graph_may_be_as_large_as_what_a_client_may_have_open() {
    for (len, is_taken) in [(3, true), (4, false)] {
        let mut drawn = Drawn::new(len);
        let settings = HubSettings { client_tasks: 3, ..HubSettings::new(Epoch(5)) };
        drawn.bench = Bench::with(settings);
        (drawn.session, _) = drawn.bench.client();
        assert_eq!(rejections(&drawn.submit(0, &[])).is_empty(), is_taken, "{len} tasks");
    }
}

#[test]
fn a_graph_that_contradicts_itself_is_refused() {
    let other_len = |drawn: &Drawn| {
        let graph = Some(GraphPart { first: 0, len: 9 });
        with_options(
            spec(drawn.id(1), Target::Any),
            TaskOptions { graph, ..TaskOptions::default() },
        )
    };
    let no_part = |drawn: &Drawn| spec(drawn.id(1), Target::Any);
    let direct =
        |drawn: &Drawn| TaskSpec { target: Target::Engine(EngineId(0)), ..drawn.spec(1, &[]) };
    let makers: [&dyn Fn(&Drawn) -> TaskSpec; 3] = [&other_len, &no_part, &direct];
    for make in makers {
        let mut drawn = Drawn::new(2);
        drawn.submit(0, &[]);
        let spec = make(&drawn);
        let effects = drawn.bench.submit(drawn.session, spec);
        assert_eq!(rejections(&effects).len(), 2, "{effects:?}");
        assert_eq!(drawn.bench.hub.open_len(), 0);
    }
}

#[test]
fn a_graph_larger_than_a_client_may_have_open_is_refused_and_not_waited_for() {
    let mut drawn = Drawn::new(u32::MAX);
    let effects = drawn.submit(0, &[]);
    assert_eq!(rejections(&effects)[0].1, ErrorCode::TooLarge);
    assert_eq!(rejections(&drawn.submit(1, &[]))[0].1, ErrorCode::TooLarge);
}

#[test]
fn a_failure_goes_through_the_graph() {
    let mut drawn = Drawn::new(2);
    drawn.submit(0, &[1]);
    drawn.submit(1, &[]);
    let (task, culprit) = (drawn.id(0), drawn.id(1));
    drawn.bench.request(drawn.session, ClientRequest::Abort(vec![culprit], None));
    let failure = phalanx_protocol::outcome::DependencyFailure {
        culprit: Some(culprit),
        ..Default::default()
    };
    let verdict = DagVerdict::Impossible(failure);
    let effects = drawn.bench.event(HubEvent::FromDag(drawn.bench.dag, task, verdict));
    assert!(matches!(&outcomes(&effects)[..], [(id, Outcome::DependencyFailed(_))] if *id == task));
}
