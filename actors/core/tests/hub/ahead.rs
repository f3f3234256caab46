//! Tasks that are sent to an engine before what they wait for is done there.

use phalanx_core::dag::DagEvent;
use phalanx_core::hub::{ClientRequest, EngineNews, HostNews, HubEffect, HubEvent};
use phalanx_core::scheduler::SchedulerEvent;
use phalanx_protocol::ids::{EngineId, RequestId, SessionId, TaskId};
use phalanx_protocol::outcome::{
    AttemptOutcome, DependencyFailure, Impossible, Outcome, RemoteError, Report,
};
use phalanx_protocol::peer::Inventory;
use phalanx_protocol::role::Role;
use phalanx_protocol::room::{DagVerdict, Known, RoomName, SchedulerVerdict};
use phalanx_protocol::task::{Dependency, Retry, Target, TaskOptions};

use crate::harness::{
    Bench, assignments, inline, outcomes, placed, profile, report, spec, with_options,
};

/// A hub with two engines, the first of which has a task for which another waits.
struct Play {
    bench: Bench,
    client: SessionId,
    session: SessionId,
    engines: [EngineId; 2],
    first: TaskId,
    second: TaskId,
}

impl Play {
    fn new() -> Self {
        Self::with(TaskOptions::default(), |first| TaskOptions {
            after: Some(Dependency::all([first])),
            ..TaskOptions::default()
        })
    }

    fn with(one: TaskOptions, other: impl Fn(TaskId) -> TaskOptions) -> Self {
        let mut bench = Bench::new();
        // Not the first client, whose first task is the one that a default names.
        bench.client();
        let (client, id) = bench.client();
        let (session, engine) = bench.engine(1, 1);
        let (_, beside) = bench.engine(2, 1);
        let (first, second) = (TaskId::new(id, 0), TaskId::new(id, 1));
        bench.submit(client, with_options(spec(first, Target::Any), one));
        bench.submit(client, with_options(spec(second, Target::Any), other(first)));
        bench.assign(first, engine);
        Self { bench, client, session, engines: [engine, beside], first, second }
    }

    /// One whose second task has been sent ahead.
    fn sent() -> Self {
        let mut play = Self::new();
        play.nearly();
        play.bench.assign(play.second, play.engines[0]);
        play
    }

    fn dag_says(&mut self, verdict: DagVerdict) -> Vec<HubEffect> {
        self.bench.event(HubEvent::FromDag(self.bench.dag, self.second, verdict))
    }

    fn nearly(&mut self) -> Vec<HubEffect> {
        self.dag_says(DagVerdict::Nearly(self.first))
    }

    fn reports(&mut self, number: u64, task: TaskId, attempt: u32) -> Vec<HubEffect> {
        self.bench.report(self.session, report(number, task.attempt(attempt), inline("x")))
    }

    fn fails(&mut self) -> Vec<HubEffect> {
        let error = RemoteError { kind: "E".into(), ..RemoteError::default() };
        let outcome = AttemptOutcome::Failed(Box::new(error));
        let attempt = self.first.attempt(1);
        self.bench.report(self.session, Report { outcome, ..report(0, attempt, inline("")) })
    }

    fn gives_back(&mut self, attempt: u32) -> Vec<HubEffect> {
        let news = EngineNews::GaveBack(self.second.attempt(attempt), true);
        self.bench.event(HubEvent::FromEngine(self.session, news))
    }

    fn status(&self) -> (u64, u64) {
        let tasks = self.bench.hub.status(self.bench.now).tasks;
        (tasks.waiting, tasks.assigned)
    }
}

/// What the scheduler is asked to place at once or forget.
fn placed_ahead(effects: &[HubEffect]) -> Vec<(TaskId, EngineId)> {
    let asked = effects.iter().filter_map(|effect| match effect {
        HubEffect::ToScheduler(_, SchedulerEvent::PlaceAhead(ready, engine)) => {
            Some((ready.task, *engine))
        }
        _ => None,
    });
    asked.collect()
}

fn freed(effects: &[HubEffect]) -> Vec<TaskId> {
    let freed = effects.iter().filter_map(|effect| match effect {
        HubEffect::ToScheduler(_, SchedulerEvent::Free(task, _)) => Some(*task),
        _ => None,
    });
    freed.collect()
}

fn released(effects: &[HubEffect]) -> Vec<TaskId> {
    let released = effects.iter().filter_map(|effect| match effect {
        HubEffect::ToDag(_, DagEvent::Release(task)) => Some(*task),
        _ => None,
    });
    released.collect()
}

#[test]
fn the_dag_is_told_which_engine_has_what_others_wait_for() {
    let mut bench = Bench::new();
    let (client, id) = bench.client();
    let (_, engine) = bench.engine(1, 4);
    let tasks = [0, 1, 2].map(|seq| TaskId::new(id, seq));
    let after =
        |task| TaskOptions { after: Some(Dependency::all([task])), ..TaskOptions::default() };
    bench.submit(client, spec(tasks[0], Target::Any));
    bench.submit(client, with_options(spec(tasks[1], Target::Any), after(tasks[0])));
    let told = DagEvent::Assigned(tasks[0], engine);
    let effects = bench.assign(tasks[0], engine);
    assert!(effects.contains(&HubEffect::ToDag(bench.dag, told)), "{effects:?}");
    let effects = bench.submit(client, with_options(spec(tasks[2], Target::Any), after(tasks[0])));
    let held = effects.iter().find_map(|effect| match effect {
        HubEffect::ToDag(_, DagEvent::Hold(waiting)) => waiting.after.clone(),
        _ => None,
    });
    assert_eq!(held.map(|held| held.tasks), Some(vec![(tasks[0], Known::Assigned(engine))]));
}

#[test]
fn a_task_goes_ahead_with_its_gate_and_counts_when_what_it_waited_for_is_recorded() {
    let mut play = Play::new();
    assert_eq!(placed_ahead(&play.nearly()), [(play.second, play.engines[0])]);
    assert_eq!(play.status(), (1, 1));
    let effects = play.bench.assign(play.second, play.engines[0]);
    let [assignment] = assignments(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(assignment.attempt, play.second.attempt(1));
    assert_eq!(assignment.gates, [play.first]);
    assert_eq!(play.status(), (0, 2));
    play.reports(0, play.first, 1);
    assert_eq!(play.dag_says(DagVerdict::Ready(None)), []);
    assert_eq!(outcomes(&play.reports(1, play.second, 1)), [(play.second, Outcome::Done)]);
}

#[test]
fn its_report_may_come_before_the_word_of_the_dag_which_is_then_told_to_forget_it() {
    let mut play = Play::sent();
    play.reports(0, play.first, 1);
    let effects = play.reports(1, play.second, 1);
    assert_eq!(outcomes(&effects), [(play.second, Outcome::Done)]);
    assert_eq!(released(&effects), [play.second]);
    assert_eq!(play.dag_says(DagVerdict::Ready(None)), []);
}

#[test]
fn a_task_that_its_engine_gives_back_waits_on_and_is_placed_when_it_is_ready() {
    let mut play = Play::sent();
    let effects = play.gives_back(1);
    assert_eq!((freed(&effects), placed(&effects)), (vec![play.second], vec![]));
    assert_eq!(play.status(), (1, 1));
    assert_eq!(play.gives_back(1), [], "again");
    play.reports(0, play.first, 1);
    assert_eq!(placed(&play.dag_says(DagVerdict::Ready(None))), [play.second]);
    let effects = play.bench.assign(play.second, play.engines[1]);
    let [assignment] = assignments(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((assignment.attempt.number, assignment.gates.len()), (2, 0));
    assert_eq!(outcomes(&play.reports(1, play.second, 1)), [], "the earlier attempt is fenced");
}

#[test]
fn a_task_that_comes_back_before_the_word_of_the_dag_waits_for_that() {
    let mut play = Play::sent();
    play.reports(0, play.first, 1);
    assert_eq!(placed(&play.gives_back(1)), []);
    assert_eq!(placed(&play.dag_says(DagVerdict::Ready(None))), [play.second]);
}

#[test]
fn a_task_that_can_never_run_ends_wherever_it_is() {
    let mut play = Play::sent();
    play.fails();
    let failure = DependencyFailure {
        reason: Impossible::Unmet,
        culprit: Some(play.first),
        engine: Some(play.engines[0]),
    };
    let effects = play.dag_says(DagVerdict::Impossible(failure.clone()));
    let outcome = Outcome::DependencyFailed(Box::new(failure));
    assert_eq!(outcomes(&effects), [(play.second, outcome)]);
    assert_eq!(freed(&effects), [play.second]);
    assert_eq!(play.gives_back(1), []);
}

#[test]
fn a_task_does_not_go_ahead_if_what_it_waits_for_has_ended_or_moved_meanwhile() {
    let mut play = Play::new();
    play.nearly();
    play.reports(0, play.first, 1);
    let effects = play.bench.assign(play.second, play.engines[0]);
    assert_eq!((assignments(&effects).len(), freed(&effects)), (0, vec![play.second]));
    assert_eq!(placed(&play.dag_says(DagVerdict::Ready(None))), [play.second]);

    let mut play = Play::new();
    play.nearly();
    let news = EngineNews::GaveBack(play.first.attempt(1), true);
    play.bench.event(HubEvent::FromEngine(play.session, news));
    play.bench.assign(play.first, play.engines[1]);
    let effects = play.bench.assign(play.second, play.engines[0]);
    assert_eq!((assignments(&effects).len(), freed(&effects)), (0, vec![play.second]));
}

#[test]
fn a_task_that_ended_before_it_went_ahead_is_freed() {
    let mut play = Play::new();
    play.nearly();
    let abort = ClientRequest::Abort(vec![play.second], None);
    let effects = play.bench.request(play.client, abort);
    assert_eq!(outcomes(&effects), [(play.second, Outcome::Aborted)]);
    assert_eq!((freed(&effects), released(&effects)), (vec![play.second], vec![play.second]));
    assert_eq!(play.bench.assign(play.second, play.engines[0]), []);
}

#[test]
fn tasks_with_a_deadline_or_results_to_take_wait_at_the_hub() {
    let after = |first| Some(Dependency::all([first]));
    let timed = |first| TaskOptions {
        after: after(first),
        timeout_ms: Some(500),
        ..TaskOptions::default()
    };
    assert_eq!(Play::with(TaskOptions::default(), timed).nearly(), []);
    let takes = |first| TaskOptions { inputs: vec![first], ..TaskOptions::default() };
    assert_eq!(Play::with(TaskOptions::default(), takes).nearly(), []);
}

#[test]
fn nothing_is_sent_after_a_task_that_was_aborted_or_whose_engine_is_silent() {
    let mut play = Play::new();
    play.bench.request(play.client, ClientRequest::Abort(vec![play.first], None));
    assert_eq!(play.nearly(), []);
    let mut play = Play::new();
    play.bench.close(play.session);
    assert_eq!(play.nearly(), []);
}

#[test]
fn when_the_engine_dies_the_task_waits_on_while_what_it_waited_for_is_placed_again() {
    let mut play = Play::sent();
    let host = play.bench.session(Role::Host);
    play.bench.event(HubEvent::FromHost(host, HostNews::Attach { host: "here".into() }));
    let gone = HostNews::EngineExited { name: "here/1".into(), pid: 1, cause: "killed".into() };
    let effects = play.bench.event(HubEvent::FromHost(host, gone));
    assert_eq!(placed(&effects), [play.first]);
    assert_eq!(play.status().0, 1);
}

#[test]
fn a_lost_dag_holds_again_what_was_sent_ahead() {
    let mut play = Play::sent();
    let down = HubEvent::RoomDown {
        room: RoomName::Dag,
        generation: play.bench.dag,
        culprit: None,
        message: "boom".into(),
    };
    let effects = play.bench.event(down);
    let held = |effect: &HubEffect| match effect {
        HubEffect::ToDag(_, DagEvent::Hold(waiting)) => Some(waiting.task),
        _ => None,
    };
    assert_eq!(effects.iter().filter_map(held).collect::<Vec<_>>(), [play.second]);
}

#[test]
fn an_engine_that_is_back_without_it_is_sent_it_again_with_the_gates_that_are_left() {
    let mut play = Play::sent();
    play.bench.close(play.session);
    let inventory = Inventory { running: vec![play.first.attempt(1)], ..Inventory::default() };
    let (_, _, drop, effects) = play.bench.register(profile("here/1", 1, 1), inventory);
    assert_eq!(drop, []);
    let [assignment] = assignments(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(
        (assignment.attempt, &assignment.gates[..]),
        (play.second.attempt(1), &[play.first][..])
    );
}

#[test]
fn an_engine_that_is_back_without_what_it_waits_for_is_not_sent_it() {
    let retry = Retry { count: 1, ..Retry::default() };
    let one = TaskOptions { retry: Some(retry), ..TaskOptions::default() };
    let mut play = Play::with(one, |first| TaskOptions {
        after: Some(Dependency::all([first])),
        ..TaskOptions::default()
    });
    play.nearly();
    play.bench.assign(play.second, play.engines[0]);
    // What it waits for moves; that the engine gave it back is lost with the session.
    assert_eq!(placed(&play.fails()), [play.first]);
    play.bench.assign(play.first, play.engines[1]);
    play.bench.close(play.session);
    let (_, _, _, effects) = play.bench.register(profile("here/1", 1, 1), Inventory::default());
    assert_eq!((assignments(&effects).len(), freed(&effects).contains(&play.second)), (0, true));
    assert_eq!(play.status(), (1, 1));
}

#[test]
fn an_engine_that_is_back_is_not_sent_it_before_the_dag_has_said_how_what_it_waited_for_ended() {
    let mut play = Play::sent();
    play.fails();
    play.bench.close(play.session);
    let (_, _, _, effects) = play.bench.register(profile("here/1", 1, 1), Inventory::default());
    assert_eq!(assignments(&effects).len(), 0);
    assert_eq!(play.status(), (1, 0));
}

#[test]
fn a_follower_is_recalled_when_what_it_follows_was_done_elsewhere_in_the_end() {
    let retry = Retry { count: 1, ..Retry::default() };
    let one = TaskOptions { retry: Some(retry), ..TaskOptions::default() };
    let mut play = Play::with(one, |first| TaskOptions {
        follow: Some(Dependency::all([first])),
        ..TaskOptions::default()
    });
    play.nearly();
    play.bench.assign(play.second, play.engines[0]);
    play.fails();
    play.bench.assign(play.first, play.engines[1]);
    let elsewhere = DagVerdict::Ready(Some(vec![play.engines[1]]));
    let effects = play.dag_says(elsewhere);
    assert_eq!((freed(&effects), placed(&effects)), (vec![play.second], vec![play.second]));
}

#[test]
fn the_scheduler_may_ask_for_it_back_like_for_any_other() {
    let mut play = Play::sent();
    let verdict = SchedulerVerdict::TakeBack(play.engines[0]);
    let scheduler = play.bench.scheduler;
    let effects = play.bench.event(HubEvent::FromScheduler(scheduler, play.second, verdict));
    assert_eq!(effects.len(), 1, "{effects:?}");
    assert_eq!(freed(&play.gives_back(1)), [play.second]);
    assert_eq!(play.status(), (1, 1));
}

#[test]
fn a_task_that_was_sent_ahead_is_explained_by_what_it_waits_for_there() {
    let mut play = Play::sent();
    let explain = |play: &Play| play.bench.hub.explain(play.bench.now, RequestId(0), play.second);
    let waits = explain(&play);
    assert_eq!((waits.state.as_str(), &waits.waits_for[..]), ("assigned", &[play.first][..]));
    assert!(waits.reasons.iter().any(|reason| reason.contains("comes after")), "{waits}");
    play.reports(0, play.first, 1);
    play.dag_says(DagVerdict::Ready(None));
    assert_eq!(explain(&play).waits_for, []);
}
