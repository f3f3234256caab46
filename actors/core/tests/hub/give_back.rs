//! Attempts that are taken back from one engine for another.

use phalanx_core::hub::{ClientRequest, EngineNews, EngineOrder, HubEffect, HubEvent};
use phalanx_core::scheduler::SchedulerEvent;
use phalanx_protocol::ids::{AttemptId, EngineId, Generation, SessionId, TaskId};
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::peer::Inventory;
use phalanx_protocol::room::{RoomName, SchedulerVerdict};
use phalanx_protocol::task::{Target, TaskOptions};

use crate::harness::{
    Bench, assignments, inline, outcomes, placed, profile, report, spec, with_options,
};

/// A hub with a client and two engines of one slot, the first of which has two tasks.
struct Play {
    bench: Bench,
    client: SessionId,
    sessions: [SessionId; 2],
    engines: [EngineId; 2],
    tasks: [TaskId; 2],
}

impl Play {
    fn new() -> Self {
        let mut bench = Bench::new();
        let (client, id) = bench.client();
        let (one, other) = (bench.engine(1, 1), bench.engine(2, 1));
        let tasks = [TaskId::new(id, 0), TaskId::new(id, 1)];
        for task in tasks {
            bench.submit(client, spec(task, Target::Any));
            bench.assign(task, one.1);
        }
        Self { bench, client, sessions: [one.0, other.0], engines: [one.1, other.1], tasks }
    }

    /// The scheduler wants the second task back.
    fn take_back(&mut self) -> Vec<HubEffect> {
        let verdict = SchedulerVerdict::TakeBack(self.engines[0]);
        let scheduler = self.bench.scheduler;
        self.bench.event(HubEvent::FromScheduler(scheduler, self.tasks[1], verdict))
    }

    /// The first engine answers about an attempt at the second task.
    fn gave_back(&mut self, number: u32, given: bool) -> Vec<HubEffect> {
        let news = EngineNews::GaveBack(self.tasks[1].attempt(number), given);
        self.bench.event(HubEvent::FromEngine(self.sessions[0], news))
    }
}

/// The attempts that engines are asked for.
fn asked(effects: &[HubEffect]) -> Vec<(SessionId, AttemptId)> {
    let orders = effects.iter().filter_map(|effect| match effect {
        HubEffect::ToEngine(session, EngineOrder::GiveBack(attempt)) => Some((*session, *attempt)),
        _ => None,
    });
    orders.collect()
}

/// What the scheduler is told of what it wanted back: whether it was given.
fn taken(effects: &[HubEffect]) -> Vec<(TaskId, bool)> {
    let told = effects.iter().filter_map(|effect| match effect {
        HubEffect::ToScheduler(_, SchedulerEvent::TakenBack(task, ready)) => {
            assert!(ready.as_ref().is_none_or(|ready| ready.task == *task));
            Some((*task, ready.is_some()))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn what_is_given_back_is_placed_again_and_its_next_attempt_fences_the_earlier_one_off() {
    let mut play = Play::new();
    let [first, second] = play.tasks;
    assert_eq!(asked(&play.take_back()), [(play.sessions[0], second.attempt(1))]);
    let effects = play.gave_back(1, true);
    assert_eq!(effects.len(), 1, "nothing else is said: {effects:?}");
    assert_eq!(taken(&effects), [(second, true)]);
    let effects = play.bench.assign(second, play.engines[1]);
    assert_eq!(assignments(&effects)[0].attempt, second.attempt(2));
    // What the first engine might still say of it counts for nothing.
    let late = play.bench.report(play.sessions[0], report(0, second.attempt(1), inline("late")));
    assert_eq!(outcomes(&late), []);
    assert_eq!(play.bench.hub.fenced_reports(), 1);
    assert_eq!(taken(&play.gave_back(1, true)), [], "a repeated answer");
    assert_eq!(taken(&play.gave_back(1, false)), [], "an answer to a repeated question");
    let done = play.bench.report(play.sessions[1], report(0, second.attempt(2), inline("r")));
    assert_eq!(outcomes(&done), [(second, Outcome::Done)]);
    let done = play.bench.report(play.sessions[0], report(1, first.attempt(1), inline("r")));
    assert_eq!(outcomes(&done), [(first, Outcome::Done)]);
}

#[test]
fn what_is_kept_ends_where_it_is() {
    let mut play = Play::new();
    let second = play.tasks[1];
    play.take_back();
    assert_eq!(taken(&play.gave_back(1, false)), [(second, false)]);
    let done = play.bench.report(play.sessions[0], report(0, second.attempt(1), inline("r")));
    assert_eq!(outcomes(&done), [(second, Outcome::Done)]);
}

#[test]
fn a_task_that_ended_moved_or_runs_is_not_asked_for() {
    let mut play = Play::new();
    let second = play.tasks[1];
    let started = EngineNews::Started(second.attempt(1));
    play.bench.event(HubEvent::FromEngine(play.sessions[0], started));
    let effects = play.take_back();
    assert_eq!((asked(&effects), taken(&effects)), (vec![], vec![(second, false)]));

    let mut play = Play::new();
    let second = play.tasks[1];
    play.bench.report(play.sessions[0], report(0, second.attempt(1), inline("r")));
    assert_eq!(play.take_back(), [], "the scheduler has been told that it ended");

    let mut play = Play::new();
    let verdict = SchedulerVerdict::TakeBack(play.engines[1]);
    let event = HubEvent::FromScheduler(play.bench.scheduler, play.tasks[1], verdict);
    assert_eq!(play.bench.event(event), [], "another engine has it");
    let verdict = SchedulerVerdict::TakeBack(play.engines[0]);
    let event = HubEvent::FromScheduler(Generation(99), play.tasks[1], verdict);
    assert_eq!(play.bench.event(event), [], "another life of the scheduler said so");
}

#[test]
fn a_task_that_is_aborted_while_it_is_asked_for_ends_and_is_not_asked_for_after() {
    let mut play = Play::new();
    let second = play.tasks[1];
    play.take_back();
    assert_eq!(
        outcomes(&play.bench.request(play.client, ClientRequest::Abort(vec![second], None))),
        []
    );
    assert_eq!(outcomes(&play.gave_back(1, true)), [(second, Outcome::Aborted)]);

    let mut play = Play::new();
    let second = play.tasks[1];
    play.bench.request(play.client, ClientRequest::Abort(vec![second], None));
    let effects = play.take_back();
    assert_eq!((asked(&effects), taken(&effects)), (vec![], vec![(second, false)]));
}

#[test]
fn a_question_or_an_answer_that_is_lost_with_its_session_is_settled_by_the_inventory() {
    for has_given in [false, true] {
        let mut play = Play::new();
        let [first, second] = play.tasks.map(|task| task.attempt(1));
        play.take_back();
        play.bench.close(play.sessions[0]);
        let effects = play.take_back();
        assert_eq!(asked(&effects), [], "a silent engine is not asked");
        assert_eq!(taken(&effects), [(second.task, false)]);
        let queued = if has_given { vec![] } else { vec![second] };
        let inventory = Inventory { running: vec![first], queued, ..Inventory::default() };
        let (session, _, drop, effects) = play.bench.register(profile("here/1", 1, 1), inventory);
        assert_eq!(drop, []);
        let sent: Vec<_> = assignments(&effects).iter().map(|sent| sent.attempt).collect();
        assert_eq!(sent, if has_given { vec![second] } else { vec![] });
        // The scheduler is told of all that the engine has, and asks anew if it wants to.
        let up = effects.iter().find_map(|effect| match effect {
            HubEffect::ToScheduler(_, SchedulerEvent::EngineUp(capacity)) => Some(capacity),
            _ => None,
        });
        assert_eq!(up.expect("it is back").assigned, [first.task, second.task]);
        play.sessions[0] = session;
        assert_eq!(asked(&play.take_back()), [(session, second)]);
        assert_eq!(taken(&play.gave_back(1, true)), [(second.task, true)]);
    }
}

#[test]
fn an_engine_that_dies_while_it_is_asked_loses_what_it_has_as_ever() {
    let mut play = Play::new();
    let [first, second] = play.tasks;
    play.take_back();
    let leave = EngineNews::Leave("stopped".into());
    let effects = play.bench.event(HubEvent::FromEngine(play.sessions[0], leave));
    assert_eq!(placed(&effects), [first, second]);
    assert_eq!(taken(&effects), []);
    assert_eq!(play.gave_back(1, true), [], "of a session that is over");
}

#[test]
fn an_answer_for_an_earlier_life_of_the_scheduler_serves_the_next() {
    let mut play = Play::new();
    let second = play.tasks[1];
    play.take_back();
    let down = HubEvent::RoomDown {
        room: RoomName::Scheduler,
        generation: play.bench.scheduler,
        culprit: None,
        message: "planted".into(),
    };
    play.bench.event(down);
    let effects = play.gave_back(1, true);
    assert_eq!(taken(&effects), [(second, true)]);
    let HubEffect::ToScheduler(generation, _) = effects[0] else { panic!("{effects:?}") };
    assert_eq!(generation, play.bench.scheduler);
}

#[test]
fn being_given_back_costs_none_of_a_tasks_retries_and_a_direct_task_never_moves() {
    let mut play = Play::new();
    let (client, id) = play.bench.client();
    let limited = TaskId::new(id, 0);
    let options = TaskOptions { run_limit_ms: Some(1_000), ..TaskOptions::default() };
    play.bench.submit(client, with_options(spec(limited, Target::Any), options));
    play.bench.assign(limited, play.engines[0]);
    play.tasks[1] = limited;
    for number in 1..=10 {
        play.take_back();
        assert_eq!(taken(&play.gave_back(number, true)), [(limited, true)]);
        play.bench.assign(limited, play.engines[0]);
    }
    let done = play.bench.report(play.sessions[0], report(0, limited.attempt(11), inline("r")));
    assert_eq!(outcomes(&done), [(limited, Outcome::Done)]);

    let direct = TaskId::new(id, 1);
    play.bench.submit(client, spec(direct, Target::Engine(play.engines[0])));
    play.tasks[1] = direct;
    assert_eq!(play.gave_back(1, true), [], "nobody asked for it");
    let done = play.bench.report(play.sessions[0], report(1, direct.attempt(1), inline("r")));
    assert_eq!(outcomes(&done), [(direct, Outcome::Done)]);
}
