//! The rooms beside the hub: verdicts, panics, rebuilding from the ledger.

use std::time::Duration;

use phalanx_core::dag::DagEvent;
use phalanx_core::hub::{HostNews, HubEffect, HubEvent};
use phalanx_core::scheduler::SchedulerEvent;
use phalanx_protocol::ids::{EngineId, SessionId, TaskId};
use phalanx_protocol::limits::{PANICS_PER_TASK_MAX, ROOM_RESTART_WINDOW, ROOM_RESTARTS_MAX};
use phalanx_protocol::outcome::{DependencyFailure, Impossible, Outcome};
use phalanx_protocol::role::Role;
use phalanx_protocol::room::{DagVerdict, Known, RoomName, SchedulerVerdict};
use phalanx_protocol::task::{Dependency, Target, TaskOptions};

use crate::harness::{Bench, assignments, outcomes, placed, spec, with_options};

/// An engine with one task, one ready, and one waiting for both.
fn three() -> (Bench, EngineId, [TaskId; 3]) {
    let mut bench = Bench::new();
    let (_, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    let tasks = [0, 1, 2].map(|seq| TaskId::new(client, seq));
    bench.submit(session, spec(tasks[0], Target::Any));
    bench.assign(tasks[0], engine);
    bench.submit(session, spec(tasks[1], Target::Any));
    let options = TaskOptions {
        after: Some(Dependency::all([tasks[0], tasks[1]])),
        timeout_ms: Some(1_000),
        ..TaskOptions::default()
    };
    bench.submit(session, with_options(spec(tasks[2], Target::Any), options));
    (bench, engine, tasks)
}

fn down(bench: &Bench, room: RoomName, culprit: Option<TaskId>) -> HubEvent {
    let generation = match room {
        RoomName::Dag => bench.dag,
        RoomName::Scheduler => bench.scheduler,
    };
    HubEvent::RoomDown { room, generation, culprit, message: "boom".into() }
}

#[test]
fn a_lost_scheduler_is_filled_again_from_the_ledger() {
    let (mut bench, engine, tasks) = three();
    let effects = bench.event(down(&bench, RoomName::Scheduler, None));
    assert_eq!(effects[0], HubEffect::Recreate(RoomName::Scheduler, bench.scheduler));
    let HubEffect::ToScheduler(generation, SchedulerEvent::EngineUp(capacity)) = &effects[1] else {
        panic!("{effects:?}");
    };
    assert_eq!(*generation, bench.scheduler);
    assert_eq!((capacity.engine, &capacity.assigned[..]), (engine, &tasks[..1]));
    assert_eq!(placed(&effects[2..]), [tasks[1]]);
    assert_eq!(effects.len(), 3);
}

#[test]
fn a_lost_scheduler_is_told_anew_which_tasks_run_alone() {
    let (mut bench, dead, tasks) = three();
    let (_, other) = bench.engine(2, 4);
    let session = bench.session(Role::Host);
    let (name, cause) = ("here/1".into(), "killed".into());
    let exited = HostNews::EngineExited { name, pid: 1, cause };
    bench.event(HubEvent::FromHost(session, exited));
    bench.assign(tasks[0], other);
    let effects = bench.event(down(&bench, RoomName::Scheduler, None));
    let ups: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            HubEffect::ToScheduler(_, SchedulerEvent::EngineUp(capacity)) => Some(capacity),
            _ => None,
        })
        .collect();
    let [capacity] = ups[..] else { panic!("{dead} is lost: {effects:?}") };
    assert_eq!((&capacity.assigned[..], &capacity.alone[..]), (&tasks[..1], &tasks[..1]));
}

#[test]
fn a_lost_dag_is_filled_again_with_the_time_that_is_left() {
    let (mut bench, _, tasks) = three();
    bench.pass(Duration::from_millis(300));
    let effects = bench.event(down(&bench, RoomName::Dag, None));
    let [HubEffect::Recreate(RoomName::Dag, _), HubEffect::ToDag(_, DagEvent::Hold(waiting))] =
        &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!((waiting.task, waiting.timeout_ms), (tasks[2], Some(700)));
    let known = waiting.after.as_ref().map(|after| after.tasks.clone());
    let engine = EngineId(0);
    assert_eq!(known, Some(vec![(tasks[0], Known::Assigned(engine)), (tasks[1], Known::Open)]));
}

#[test]
fn what_an_earlier_life_said_is_dropped_and_a_panic_told_twice_counts_once() {
    let (mut bench, engine, tasks) = three();
    let (old, first) = (bench.scheduler, down(&bench, RoomName::Scheduler, None));
    bench.event(first.clone());
    assert_eq!(bench.event(first), []);
    assert_eq!(bench.hub.status(bench.now).rooms.iter().map(|room| room.restarts).sum::<u32>(), 1);
    let verdict = SchedulerVerdict::Assign(engine);
    assert_eq!(bench.event(HubEvent::FromScheduler(old, tasks[1], verdict)), []);
    assert_eq!(assignments(&bench.assign(tasks[1], engine)).len(), 1);
    let old = bench.dag;
    bench.event(down(&bench, RoomName::Dag, None));
    assert_eq!(bench.event(HubEvent::FromDag(old, tasks[2], DagVerdict::TimedOut)), []);
}

#[test]
fn a_task_whose_event_panics_a_rebuilt_room_ends_before_the_next_rebuild() {
    let (mut bench, _, tasks) = three();
    for panic in 1..=PANICS_PER_TASK_MAX {
        let effects = bench.event(down(&bench, RoomName::Dag, Some(tasks[2])));
        let held = effects.iter().any(|effect| matches!(effect, HubEffect::ToDag(..)));
        let ended = outcomes(&effects);
        if panic < PANICS_PER_TASK_MAX {
            assert!(held && ended.is_empty());
        } else {
            assert!(!held, "it is not told to the new room");
            let [(task, Outcome::Failed(error))] = &ended[..] else { panic!("{effects:?}") };
            assert_eq!((*task, error.kind.as_str()), (tasks[2], "internal"));
            assert!(error.message.contains("the dag room panicked"), "{}", error.message);
        }
    }
}

#[test]
fn too_many_panics_in_a_while_stop_the_hub_loudly() {
    let (mut bench, ..) = three();
    for _ in 0..ROOM_RESTARTS_MAX {
        assert!(!stops(&bench.event(down(&bench, RoomName::Dag, None))));
    }
    bench.pass(ROOM_RESTART_WINDOW + Duration::from_secs(1));
    for _ in 0..ROOM_RESTARTS_MAX {
        assert!(!stops(&bench.event(down(&bench, RoomName::Dag, None))), "long ago");
    }
    assert!(stops(&bench.event(down(&bench, RoomName::Dag, None))));
    let (mut bench, ..) = three();
    for _ in 0..ROOM_RESTARTS_MAX {
        bench.event(down(&bench, RoomName::Dag, None));
    }
    bench.pass(ROOM_RESTART_WINDOW);
    assert!(stops(&bench.event(down(&bench, RoomName::Dag, None))), "just not long ago");
}

fn stops(effects: &[HubEffect]) -> bool {
    effects.iter().any(|effect| matches!(effect, HubEffect::Stop { asked: false, .. }))
}

#[test]
fn an_impossible_dependency_and_a_timeout_end_the_task() {
    let failure = DependencyFailure { reason: Impossible::Unmet, ..DependencyFailure::default() };
    let verdicts = [
        (DagVerdict::Impossible(failure.clone()), Outcome::DependencyFailed(Box::new(failure))),
        (DagVerdict::TimedOut, Outcome::DependencyTimeout),
    ];
    for (verdict, outcome) in verdicts {
        let (mut bench, _, tasks) = three();
        let event = HubEvent::FromDag(bench.dag, tasks[2], verdict);
        assert_eq!(outcomes(&bench.event(event.clone())), [(tasks[2], outcome)]);
        assert_eq!(bench.event(event), [], "once");
    }
}

#[test]
fn a_task_that_follows_where_it_may_not_go_ends_at_once() {
    let (mut bench, engine, tasks) = three();
    let elsewhere = EngineId(engine.0 + 7);
    let session = SessionId(1);
    let options =
        TaskOptions { follow: Some(Dependency::all([tasks[0]])), ..TaskOptions::default() };
    let task = TaskId::new(tasks[0].client, 3);
    bench.submit(session, with_options(spec(task, Target::Subset(vec![engine])), options));
    let ready = DagVerdict::Ready(Some(vec![elsewhere]));
    let effects = bench.event(HubEvent::FromDag(bench.dag, task, ready));
    let [(_, Outcome::DependencyFailed(failure))] = &outcomes(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(failure.reason, Impossible::FollowedEngineGone);
    assert_eq!((failure.culprit, failure.engine), (Some(tasks[0]), Some(elsewhere)));
}

#[test]
fn a_task_whose_followed_engine_the_scheduler_no_longer_has_ends() {
    let (mut bench, engine, tasks) = three();
    let options =
        TaskOptions { follow: Some(Dependency::all([tasks[0]])), ..TaskOptions::default() };
    let task = TaskId::new(tasks[0].client, 3);
    bench.submit(SessionId(1), with_options(spec(task, Target::Any), options));
    let ready = DagVerdict::Ready(Some(vec![engine]));
    assert_eq!(placed(&bench.event(HubEvent::FromDag(bench.dag, task, ready))), [task]);
    let verdict = SchedulerVerdict::Unplaceable;
    let effects = bench.event(HubEvent::FromScheduler(bench.scheduler, task, verdict));
    let [(_, Outcome::DependencyFailed(failure))] = &outcomes(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(failure.reason, Impossible::FollowedEngineGone);
}

#[test]
fn an_assignment_to_an_engine_that_just_died_is_placed_again() {
    let (mut bench, engine, tasks) = three();
    let (other_session, other) = bench.engine(2, 1);
    let leave = phalanx_core::hub::EngineNews::Leave("bye".into());
    bench.event(HubEvent::FromEngine(other_session, leave));
    assert_eq!(placed(&bench.assign(tasks[1], other)), [tasks[1]]);
    assert_eq!(assignments(&bench.assign(tasks[1], engine)).len(), 1);
}

#[test]
fn rooms_in_a_process_of_their_own_are_filled_when_it_offers_and_wait_when_it_is_gone() {
    let (mut bench, _, tasks) = three();
    let process = bench.session(Role::Scheduler);
    assert_eq!(bench.hub.rooms_session(), None);
    let effects = bench.event(HubEvent::RoomsOffered(Some(process)));
    assert_eq!(placed(&effects), [tasks[1]]);
    assert_eq!(bench.hub.rooms_session(), Some(process));
    bench.close(process);
    assert_eq!(bench.hub.rooms_session(), None);
    let (client_session, client) = bench.client();
    let effects = bench.submit(client_session, spec(TaskId::new(client, 0), Target::Any));
    assert_eq!(placed(&effects), [], "nobody is there to place it");
    let process = bench.session(Role::Scheduler);
    let effects = bench.event(HubEvent::RoomsOffered(Some(process)));
    assert_eq!(placed(&effects), [tasks[1], TaskId::new(client, 0)]);
    assert!(bench.hub.status(bench.now).rooms.iter().all(|room| room.up && room.restarts == 1));
}
