//! Questions about records: reading, paging, forgetting, running a task again.

use std::time::Duration;

use phalanx_core::Room;
use phalanx_core::hub::{
    ClientReply, ClientRequest, HubEffect, HubEvent, HubSettings, RecordBounds,
};
use phalanx_core::scheduler::SchedulerEvent;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{ClientId, EngineId, Epoch, RequestId, SessionId, TaskId};
use phalanx_protocol::limits::{LABEL_LEN_MAX, RECORDS_IN_MESSAGE_BYTES_MAX, RECORDS_NAMED_MAX};
use phalanx_protocol::needs::Needs;
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::query::{Again, Cursor, Purged, RECORD_BYTES, Select, TaskRecord};
use phalanx_protocol::task::{Dependency, GraphPart, Target, TaskOptions, TaskSpec};

use crate::harness::{Bench, assignments, inline, outcomes, placed, report, spec, with_options};

const REQUEST: RequestId = RequestId(3);

/// A hub with an engine and a client.
struct World {
    bench: Bench,
    engine_session: SessionId,
    engine: EngineId,
    session: SessionId,
    client: ClientId,
    reports: u64,
}

impl World {
    fn new() -> Self {
        Self::with(HubSettings::new(Epoch(5)))
    }

    fn with(settings: HubSettings) -> Self {
        let mut bench = Bench::with(HubSettings { zero_us: 5_000_000, ..settings });
        let (engine_session, engine) = bench.engine(1, 1);
        let (session, client) = bench.client();
        Self { bench, engine_session, engine, session, client, reports: 0 }
    }

    fn id(&self, seq: u64) -> TaskId {
        TaskId::new(self.client, seq)
    }

    /// Submits a direct task with this many bytes of arguments, and has it done.
    fn done(&mut self, seq: u64, len: usize) {
        let task = self.id(seq);
        let payload = inline(&"x".repeat(len));
        let spec = TaskSpec { payload, ..spec(task, Target::Engine(self.engine)) };
        self.bench.submit(self.session, spec);
        self.end(task);
    }

    fn end(&mut self, task: TaskId) {
        let done = report(self.reports, task.attempt(1), inline("r"));
        self.reports += 1;
        self.bench.report(self.engine_session, done);
    }

    fn ask(&mut self, select: Select) -> (Vec<TaskRecord>, Option<Cursor>) {
        let mut effects = self.bench.request(self.session, ClientRequest::Records(REQUEST, select));
        match effects.pop() {
            Some(HubEffect::ToClient(_, ClientReply::Records(REQUEST, records, next))) => {
                (records, next)
            }
            other => panic!("records, not {other:?}"),
        }
    }

    fn all(&mut self) -> Vec<TaskRecord> {
        let (mut found, mut next) = self.ask(Select::default());
        while let Some(cursor) = next {
            let (more, after) = self.ask(Select::From(cursor));
            found.extend(more);
            next = after;
        }
        found
    }

    fn purge(&mut self, what: Purged) -> ClientReply {
        let mut effects = self.bench.request(self.session, ClientRequest::Purge(REQUEST, what));
        match effects.pop() {
            Some(HubEffect::ToClient(_, reply)) => reply,
            other => panic!("an answer, not {other:?}"),
        }
    }

    fn again(&mut self, seq: u64, of: TaskId) -> Vec<HubEffect> {
        let again = Some(Again { task: of, number: None });
        let options = TaskOptions { again, ..TaskOptions::default() };
        let empty = TaskSpec { payload: inline(""), ..spec(self.id(seq), Target::Any) };
        self.bench.submit(self.session, with_options(empty, options))
    }
}

fn refused(reply: &ClientReply) -> Option<ErrorCode> {
    match reply {
        ClientReply::Refused(REQUEST, code, _) => Some(*code),
        _ => None,
    }
}

#[test]
fn a_record_says_what_a_task_was_and_how_it_ended() {
    let mut world = World::new();
    let task = world.id(0);
    let label = Some("first".to_owned());
    let options = TaskOptions { label: label.clone(), ..TaskOptions::default() };
    world.bench.pass(Duration::from_secs(1));
    let labelled = with_options(spec(task, Target::Engine(world.engine)), options);
    world.bench.submit(world.session, labelled);
    let (records, next) = world.ask(Select::Tasks(vec![task, world.id(9)]));
    let open = TaskRecord {
        task,
        status: "assigned".into(),
        method: "work".into(),
        label,
        direct: true,
        engine: Some(world.engine),
        attempts: 1,
        submitted_us: 6_000_000,
        repeatable: true,
        ..TaskRecord::default()
    };
    assert_eq!((&records[..], next), (&[open.clone()][..], None), "the other is left out");
    world.bench.pass(Duration::from_secs(2));
    world.end(task);
    let ended = TaskRecord {
        number: Some(0),
        status: "done".into(),
        times: report(0, task.attempt(1), inline("r")).times,
        ended_us: 8_000_000,
        whole: true,
        result_bytes: 1,
        ..open
    };
    assert_eq!(world.all(), world.ask(Select::Tasks(vec![task])).0);
    assert_eq!(world.all(), [ended]);
}

#[test]
fn any_client_may_ask_about_the_tasks_of_any() {
    let mut world = World::new();
    world.done(0, 1);
    let task = world.id(0);
    world.bench.submit(world.session, spec(world.id(1), Target::Any));
    (world.session, _) = world.bench.client();
    let status = |record: &TaskRecord| (record.task.seq, record.status.clone());
    let found: Vec<_> = world.all().iter().map(status).collect();
    assert_eq!(found, [(1, "ready".to_owned()), (0, "done".to_owned())], "open ones first");
    assert_eq!(world.ask(Select::Tasks(vec![task])).0.len(), 1);
}

#[test]
fn pages_hold_every_record_once_if_nothing_changes() {
    let mut world = World::new();
    for seq in 0..2_000 {
        world.done(seq, 1);
    }
    for seq in 2_000..4_500 {
        world.bench.submit(world.session, spec(world.id(seq), Target::Any));
    }
    let (first, next) = world.ask(Select::default());
    assert!(first.len() < 4_500 && next.is_some(), "more than a page");
    let mut seqs: Vec<_> = world.all().iter().map(|record| record.task.seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (0..4_500).collect::<Vec<_>>());
}

#[test]
fn a_page_may_be_just_what_is_open() {
    let mut world = World::new();
    let count = (RECORDS_IN_MESSAGE_BYTES_MAX / RECORD_BYTES) as u64;
    for seq in 0..count {
        let submit = ClientRequest::Submit(spec(world.id(seq), Target::Any));
        let now = world.bench.now;
        let event = HubEvent::FromClient(world.session, submit);
        world.bench.hub.handle(now, event, &mut Vec::new());
    }
    world.bench.pass(Duration::ZERO);
    assert_eq!(world.all().len() as u64, count);
}

#[test]
fn a_request_that_names_too_many_tasks_is_refused() {
    let mut world = World::new();
    let just = (0..RECORDS_NAMED_MAX as u64).map(|seq| world.id(seq)).collect();
    assert_eq!(world.ask(Select::Tasks(just)).0, []);
    let tasks = (0..=RECORDS_NAMED_MAX as u64).map(|seq| world.id(seq)).collect();
    let select = Select::Tasks(tasks);
    let effects = world.bench.request(world.session, ClientRequest::Records(REQUEST, select));
    let [HubEffect::ToClient(_, reply)] = &effects[..] else {
        panic!("one answer, not {effects:?}");
    };
    assert_eq!(refused(reply), Some(ErrorCode::TooLarge));
}

#[test]
fn an_outcome_that_outlives_its_record_is_found_by_name() {
    let records = RecordBounds { count: 1, argument_bytes: 100 };
    let mut world = World::with(HubSettings { records, ..HubSettings::new(Epoch(5)) });
    for seq in 0..3 {
        world.done(seq, 1);
    }
    let task = world.id(1);
    let (found, _) = world.ask(Select::Tasks(vec![task]));
    let bare = TaskRecord {
        task,
        status: "done".into(),
        engine: Some(world.engine),
        attempts: 1,
        times: report(0, task.attempt(1), inline("r")).times,
        whole: true,
        result_bytes: 1,
        ..TaskRecord::default()
    };
    assert_eq!(found, [bare]);
}

#[test]
fn what_was_refused_with_its_graph_cannot_be_run_again() {
    let mut world = World::new();
    for seq in 0..2 {
        let after = (seq == 1).then(|| Dependency::all([world.id(9)]));
        let graph = Some(GraphPart { first: 0, len: 2 });
        let options = TaskOptions { after, graph, ..TaskOptions::default() };
        world.bench.submit(world.session, with_options(spec(world.id(seq), Target::Any), options));
    }
    let all = world.all();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|it| &*it.status == "rejected" && !it.repeatable), "{all:?}");
}

#[test]
fn a_task_is_run_again_with_what_it_was_given_where_it_was() {
    let mut world = World::new();
    world.done(0, 5);
    let effects = world.again(1, world.id(0));
    let sent = assignments(&effects);
    assert_eq!(sent[0].attempt, world.id(1).attempt(1));
    assert_eq!((sent[0].direct, &sent[0].payload), (true, &inline("xxxxx")));
    let record = world.ask(Select::Tasks(vec![world.id(1)])).0.remove(0);
    assert_eq!((record.again, &*record.status), (Some(world.id(0)), "assigned"));
    world.end(world.id(1));
    let record = world.ask(Select::Tasks(vec![world.id(1)])).0.remove(0);
    assert_eq!((record.again, &*record.method), (Some(world.id(0)), "work"));
}

#[test]
fn a_task_run_again_needs_what_it_needed_and_goes_as_early_unless_it_says_otherwise() {
    let mut world = World::new();
    let needs = |label: &str| Some(Needs { labels: vec![label.into()], ..Needs::default() });
    let options = TaskOptions { priority: 3, needs: needs("fast"), ..TaskOptions::default() };
    let first = world.id(0);
    world.bench.submit(world.session, with_options(spec(first, Target::Any), options));
    let ready = |effects: &[HubEffect]| {
        effects.iter().find_map(|effect| match effect {
            HubEffect::ToScheduler(_, SchedulerEvent::Place(ready)) => {
                Some((ready.priority, ready.needs.clone()))
            }
            _ => None,
        })
    };
    assert_eq!(ready(&world.again(1, first)), Some((3, needs("fast"))), "while it is open");
    world.bench.request(world.session, ClientRequest::Abort(vec![first], None));
    assert_eq!(ready(&world.again(2, first)), Some((3, needs("fast"))), "off its record");
    let again = Some(Again { task: first, number: None });
    let own = TaskOptions { again, priority: -1, needs: needs("big"), ..TaskOptions::default() };
    let own = with_options(spec(world.id(3), Target::Any), own);
    let effects = world.bench.submit(world.session, own);
    assert_eq!(ready(&effects), Some((-1, needs("big"))));
}

#[test]
fn an_open_task_of_another_client_can_be_run_again() {
    let mut world = World::new();
    let first = world.id(0);
    world.bench.submit(world.session, spec(first, Target::Subset(vec![world.engine])));
    (world.session, world.client) = world.bench.client();
    let effects = world.again(0, first);
    assert_eq!(placed(&effects), [world.id(0)]);
}

#[test]
fn arguments_of_a_task_run_again_do_not_count_against_the_grant() {
    let settings = HubSettings { client_bytes: 10, ..HubSettings::new(Epoch(5)) };
    let mut world = World::with(settings);
    world.done(0, 8);
    for seq in 1..5 {
        world.again(seq, world.id(0));
        world.end(world.id(seq));
    }
    assert!(world.all().iter().all(|record| record.status == "done"));
}

#[test]
fn what_is_not_on_record_cannot_be_run_again_and_the_reason_is_said() {
    let records = RecordBounds { count: 10, argument_bytes: 20 };
    let mut world = World::with(HubSettings { records, ..HubSettings::new(Epoch(5)) });
    world.done(0, 15);
    world.done(1, 15);
    let cases = [(world.id(77), "is not on record"), (world.id(0), "are not kept any more")];
    for (seq, (task, why)) in (2..).zip(cases) {
        let effects = world.again(seq, task);
        let [(_, Outcome::Rejected(rejection))] = &outcomes(&effects)[..] else {
            panic!("rejected, not {effects:?}");
        };
        assert_eq!(rejection.code, Some(ErrorCode::Purged));
        assert!(rejection.detail.contains(why), "{}", rejection.detail);
    }
    let all = world.all();
    let repeatable = |record: &&TaskRecord| record.repeatable;
    assert_eq!(all.iter().filter(repeatable).count(), 1, "nor what was rejected");
}

#[test]
fn a_label_that_is_too_long_is_rejected() {
    let mut world = World::new();
    let label = Some("l".repeat(LABEL_LEN_MAX + 1));
    let options = TaskOptions { label, ..TaskOptions::default() };
    let effects =
        world.bench.submit(world.session, with_options(spec(world.id(0), Target::Any), options));
    assert!(matches!(&outcomes(&effects)[..], [(_, Outcome::Rejected(_))]));
}

#[test]
fn purged_tasks_are_forgotten_and_open_ones_are_not_purged() {
    let mut world = World::new();
    world.done(0, 1);
    world.done(1, 1);
    world.bench.request(world.session, ClientRequest::Received(2));
    world.bench.submit(world.session, spec(world.id(2), Target::Any));
    let open = world.purge(Purged::Tasks(vec![world.id(0), world.id(2)]));
    assert_eq!(refused(&open), Some(ErrorCode::InvalidTask));
    assert_eq!(world.all().len(), 3, "then nothing is purged");
    let done = world.purge(Purged::Tasks(vec![world.id(0), world.id(77)]));
    assert_eq!(done, ClientReply::Pong(REQUEST));
    let left = |world: &mut World| -> Vec<u64> {
        world.all().iter().map(|record| record.task.seq).collect()
    };
    assert_eq!(left(&mut world), [2, 1]);
    assert!(world.bench.hub.results().get(world.id(0)).is_none());
    assert!(world.bench.hub.results().ending(world.id(0)).is_some(), "dependents still know");
    world.purge(Purged::All);
    assert_eq!(left(&mut world), [2]);
}

#[test]
fn the_tasks_of_an_engine_are_purged_together() {
    let mut world = World::new();
    world.done(0, 1);
    let (second_session, second) = world.bench.engine(2, 1);
    let task = world.id(1);
    world.bench.submit(world.session, spec(task, Target::Engine(second)));
    world.bench.report(second_session, report(0, task.attempt(1), inline("r")));
    let unknown = world.purge(Purged::Engines(vec![EngineId(9)]));
    assert_eq!(refused(&unknown), Some(ErrorCode::NoSuchEngine));
    world.purge(Purged::Engines(vec![world.engine]));
    assert_eq!(world.all().iter().map(|record| record.task).collect::<Vec<_>>(), [task]);
}

#[test]
fn an_outcome_that_its_owner_has_not_stays_until_it_has_but_for_nobody_else() {
    let mut world = World::new();
    world.done(0, 1);
    world.purge(Purged::All);
    let task = world.id(0);
    assert_eq!(world.ask(Select::Tasks(vec![task])).0, []);
    world.bench.close(world.session);
    let (session, _, effects) = world.bench.open(Some(world.bench.resume(world.client)));
    assert_eq!(outcomes(&effects), [(task, Outcome::Done)], "its owner gets it again");
    world.bench.request(session, ClientRequest::Received(1));
    assert!(world.bench.hub.results().get(task).is_none());
}
