//! Engines: registering, resuming, dying.

use std::time::Duration;

use phalanx_core::hub::{ClientReply, EngineNews, EngineOrder, HostNews, HubEffect, HubEvent};
use phalanx_core::scheduler::SchedulerEvent;
use phalanx_protocol::ids::{EngineId, Incarnation, SessionId, TaskId};
use phalanx_protocol::limits::{CRASHES_PER_TASK_MAX, LOST_AFTER};
use phalanx_protocol::needs::{Amount, Needs};
use phalanx_protocol::outcome::{Loss, Outcome};
use phalanx_protocol::peer::{EngineProfile, Inventory};
use phalanx_protocol::role::Role;
use phalanx_protocol::task::{Target, TaskOptions, TaskSpec};

use crate::harness::{
    Bench, assignments, by_ticket, closed, confirmed, inline, outcomes, placed, profile, report,
    spec, with_options,
};

/// One engine with a balanced and a direct task of one client.
fn busy() -> (Bench, SessionId, EngineId, TaskId, TaskId) {
    let mut bench = Bench::new();
    let (engine_session, engine) = bench.engine(1, 1);
    let (session, client) = bench.client();
    let balanced = TaskId::new(client, 0);
    let direct = TaskId::new(client, 1);
    bench.submit(session, spec(balanced, Target::Any));
    bench.assign(balanced, engine);
    bench.submit(session, spec(direct, Target::Engine(engine)));
    (bench, engine_session, engine, balanced, direct)
}

fn again(inventory: Inventory) -> (Bench, SessionId, Vec<TaskId>, Vec<TaskId>, u32) {
    let (mut bench, engine_session, engine, ..) = busy();
    bench.close(engine_session);
    bench.pass(LOST_AFTER / 2);
    let (session, registration, drop, effects) = bench.register(profile("here/1", 1, 1), inventory);
    assert_eq!(registration.engine, engine);
    let is_abort = |it: &HubEffect| matches!(it, HubEffect::ToEngine(_, EngineOrder::Abort(_)));
    assert!(!effects.iter().any(is_abort), "nobody wants it to stop: {effects:?}");
    let sent = assignments(&effects).iter().map(|a| a.attempt.task).collect();
    let drop = drop.into_iter().map(|attempt| attempt.task).collect();
    (bench, session, sent, drop, registration.incarnation.0)
}

#[test]
fn an_engine_that_comes_back_in_time_is_sent_only_what_it_lacks() {
    let (_, _, _, balanced, direct) = busy();
    let (_, _, sent, drop, incarnation) = again(Inventory::default());
    assert_eq!((sent, drop, incarnation), (vec![balanced, direct], vec![], 1));

    let all = Inventory {
        running: vec![balanced.attempt(1)],
        queued: vec![direct.attempt(1)],
        ..Inventory::default()
    };
    let (_, _, sent, drop, _) = again(all);
    assert_eq!((sent, drop), (vec![], vec![]));

    let ended = Inventory { unconfirmed: vec![balanced.attempt(1)], ..Inventory::default() };
    let (mut bench, session, sent, drop, _) = again(ended);
    assert_eq!((sent, drop), (vec![direct], vec![]));
    let effects = bench.report(session, report(7, balanced.attempt(1), inline("r")));
    assert_eq!(outcomes(&effects).len(), 1);
    assert_eq!(confirmed(&effects), Some(8), "its numbers go on where they were");
}

#[test]
fn attempts_that_are_no_longer_wanted_are_dropped() {
    let (mut bench, engine_session, _, balanced, direct) = busy();
    bench.report(engine_session, report(0, balanced.attempt(1), inline("r")));
    bench.close(engine_session);
    let inventory = Inventory {
        queued: vec![direct.attempt(1)],
        unconfirmed: vec![balanced.attempt(1)],
        ..Inventory::default()
    };
    let (_, _, drop, _) = bench.register(profile("here/1", 1, 1), inventory);
    assert_eq!(drop, [balanced.attempt(1)], "recorded before the cut");
}

#[test]
fn a_silent_engine_is_lost_when_its_lease_ends_and_not_before() {
    let (mut bench, engine_session, engine, balanced, direct) = busy();
    bench.close(engine_session);
    assert_eq!(bench.pass(LOST_AFTER - Duration::from_millis(1)), []);
    let effects = bench.pass(Duration::from_millis(1));
    let [(task, Outcome::EngineLost(loss))] = &outcomes(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!((*task, loss.engine), (direct, engine));
    assert_eq!(placed(&effects), [balanced], "the balanced task moves");
    let told = effects.iter().any(|effect| {
        matches!(effect, HubEffect::ToClient(_, ClientReply::EngineLeft(lost, _)) if *lost == engine)
    });
    assert!(told, "clients hear of it");
}

#[test]
fn a_lost_engine_that_wakes_is_a_new_incarnation_and_drops_what_it_had() {
    let (mut bench, engine_session, engine, balanced, direct) = busy();
    bench.close(engine_session);
    bench.pass(LOST_AFTER);
    let inventory = Inventory {
        running: vec![balanced.attempt(1)],
        queued: vec![direct.attempt(1)],
        ..Inventory::default()
    };
    let (session, registration, drop, effects) = bench.register(profile("here/1", 1, 1), inventory);
    assert_eq!((registration.engine, registration.incarnation), (engine, Incarnation(2)));
    assert_eq!(drop, [balanced.attempt(1), direct.attempt(1)]);
    assert_eq!(assignments(&effects).len(), 0);
    let late = bench.report(session, report(0, balanced.attempt(1), inline("late")));
    assert_eq!(outcomes(&late), [], "an older attempt is fenced off");
}

#[test]
fn a_new_process_under_the_same_name_takes_the_place_of_the_dead_one() {
    let (mut bench, old_session, engine, balanced, direct) = busy();
    let session = bench.session(Role::Engine);
    let news = EngineNews::Register(Box::new(profile("here/1", 99, 1)), Box::default());
    let effects = bench.event(HubEvent::FromEngine(session, news));
    assert_eq!(closed(&effects), [old_session]);
    assert_eq!(outcomes(&effects)[0].0, direct);
    assert_eq!(placed(&effects), [balanced]);
    let late = bench.report(old_session, report(0, balanced.attempt(1), inline("late")));
    assert_eq!(late, []);
    assert_eq!(bench.hub.registry().get(engine).and_then(|e| e.session()), Some(session));
}

#[test]
fn the_host_reports_a_death_with_its_cause() {
    let (mut bench, engine_session, engine, _, _) = busy();
    let host = bench.session(Role::Host);
    let attach = HostNews::Attach { host: "here".into() };
    bench.event(HubEvent::FromHost(host, attach));
    let exited = |pid| HostNews::EngineExited {
        name: "here/1".into(),
        pid,
        cause: "killed by signal 9 (SIGKILL)".into(),
    };
    assert_eq!(bench.event(HubEvent::FromHost(host, exited(12345))), [], "another process");
    let effects = bench.event(HubEvent::FromHost(host, exited(1)));
    let [(_, Outcome::EngineLost(loss))] = &outcomes(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(loss.to_string(), format!("engine {}: killed by signal 9 (SIGKILL)", engine.0));
    assert_eq!(closed(&effects), [engine_session]);
    assert_eq!(bench.event(HubEvent::FromHost(host, exited(1))), [], "told twice");
}

#[test]
fn a_task_under_which_engines_keep_dying_ends_as_poison_and_its_neighbours_do_not() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let (poison, queued) = (TaskId::new(client, 0), TaskId::new(client, 1));
    bench.submit(session, spec(poison, Target::Any));
    bench.submit(session, spec(queued, Target::Any));
    let host = bench.session(Role::Host);
    bench.event(HubEvent::FromHost(host, HostNews::Attach { host: "here".into() }));
    for death in 1..=CRASHES_PER_TASK_MAX {
        let pid = u64::from(death);
        let (_, registration, _, _) =
            bench.register(profile("here/0", pid, 1), Inventory::default());
        bench.assign(poison, registration.engine);
        bench.assign(queued, registration.engine);
        let exited = HostNews::EngineExited {
            name: "here/0".into(),
            pid: death,
            cause: format!("death {death}"),
        };
        let effects = bench.event(HubEvent::FromHost(host, exited));
        if death < CRASHES_PER_TASK_MAX {
            assert_eq!(placed(&effects), [poison, queued]);
            continue;
        }
        let loss = |n| Loss { engine: EngineId(0), cause: format!("death {n}") };
        assert_eq!(
            outcomes(&effects),
            [(poison, Outcome::Poison(vec![loss(1), loss(2), loss(3)]))]
        );
        assert_eq!(placed(&effects), [queued], "it only stood behind the poison");
    }
}

#[test]
fn a_direct_task_to_a_lost_engine_ends_at_once() {
    let mut bench = Bench::new();
    let (engine_session, engine) = bench.engine(1, 1);
    bench.event(HubEvent::FromEngine(engine_session, EngineNews::Leave("bye".into())));
    let (session, client) = bench.client();
    let effects = bench.submit(session, spec(TaskId::new(client, 0), Target::Engine(engine)));
    assert!(matches!(outcomes(&effects)[..], [(_, Outcome::EngineLost(_))]), "{effects:?}");
}

#[test]
fn the_scheduler_hears_of_engines_with_the_balanced_tasks_they_have() {
    let (mut bench, engine_session, engine, balanced, _) = busy();
    bench.close(engine_session);
    let inventory = Inventory { running: vec![balanced.attempt(1)], ..Inventory::default() };
    let (_, _, _, effects) = bench.register(profile("here/1", 1, 1), inventory);
    let up = effects.iter().find_map(|effect| match effect {
        HubEffect::ToScheduler(_, SchedulerEvent::EngineUp(capacity)) => Some(capacity),
        _ => None,
    });
    let up = up.expect("the scheduler is told");
    assert_eq!((up.engine, &up.assigned[..]), (engine, &[balanced][..]));
}

#[test]
fn the_scheduler_hears_of_what_the_tasks_of_an_engine_hold() {
    let mut bench = Bench::new();
    let gpus = |count| vec![("gpu".to_owned(), Amount::units(count))];
    let equipped = || EngineProfile { resources: gpus(4), ..profile("here/1", 1, 4) };
    let (engine_session, registration, ..) = bench.register(equipped(), Inventory::default());
    let (session, client) = bench.client();
    let [holds, other] = [0, 1].map(|seq| TaskId::new(client, seq));
    let needs = Some(Needs { amounts: gpus(3), ..Needs::default() });
    let options = TaskOptions { needs, ..TaskOptions::default() };
    bench.submit(session, with_options(spec(holds, Target::Any), options));
    bench.submit(session, spec(other, Target::Any));
    bench.assign(holds, registration.engine);
    bench.assign(other, registration.engine);
    bench.close(engine_session);
    let (.., effects) = bench.register(equipped(), Inventory::default());
    let held = effects.iter().find_map(|effect| match effect {
        HubEffect::ToScheduler(_, SchedulerEvent::EngineUp(capacity)) => Some(&capacity.held),
        _ => None,
    });
    assert_eq!(held, Some(&vec![(holds, gpus(3))]));
}

#[test]
fn an_engine_that_reports_before_it_registers_is_let_go() {
    let (mut bench, _, _, balanced, _) = busy();
    let session = bench.session(Role::Engine);
    let effects = bench.report(session, report(0, balanced.attempt(1), inline("r")));
    assert_eq!(closed(&effects), [session]);
    assert_eq!(effects.len(), 1);
}

#[test]
fn direct_tasks_behind_one_that_is_late_are_lost_with_their_engine() {
    let (mut bench, engine_session, engine, balanced, direct) = busy();
    let (session, client) = bench.client();
    let [late, behind] = [0, 1].map(|seq| TaskId::new(client, seq));
    let target = Target::Engine(engine);
    bench.submit(session, TaskSpec { payload: by_ticket(1, 5), ..spec(late, target.clone()) });
    assert_eq!(assignments(&bench.submit(session, spec(behind, target))).len(), 0);
    let left = HubEvent::FromEngine(engine_session, EngineNews::Leave("bye".into()));
    let effects = bench.event(left);
    let ended: Vec<TaskId> = outcomes(&effects).into_iter().map(|(task, _)| task).collect();
    assert_eq!((ended, placed(&effects)), (vec![late, behind, direct], vec![balanced]));
}

#[test]
fn what_said_that_it_ran_is_blamed_for_a_death_also_beyond_the_slots() {
    let mut bench = Bench::new();
    let (session, client) = bench.client();
    let running = TaskId::new(client, u64::from(CRASHES_PER_TASK_MAX));
    for seq in 0..=running.seq {
        bench.submit(session, spec(TaskId::new(client, seq), Target::Any));
    }
    for death in 1..=CRASHES_PER_TASK_MAX {
        let (engine_session, engine) = bench.engine(u64::from(death), 1);
        // Each time behind another one.
        bench.assign(TaskId::new(client, u64::from(death - 1)), engine);
        bench.assign(running, engine);
        let started = EngineNews::Started(running.attempt(death));
        bench.event(HubEvent::FromEngine(engine_session, started));
        let left = HubEvent::FromEngine(engine_session, EngineNews::Leave("bye".into()));
        let ended = outcomes(&bench.event(left));
        let is_poison = matches!(ended[..], [(task, Outcome::Poison(_))] if task == running);
        assert_eq!(is_poison, death == CRASHES_PER_TASK_MAX, "death {death}: {ended:?}");
    }
}

#[test]
fn an_absurd_profile_is_refused() {
    let mut bench = Bench::new();
    for slots in [0, u32::MAX] {
        let session = bench.session(Role::Engine);
        let news = EngineNews::Register(Box::new(profile("x", 1, slots)), Box::default());
        assert_eq!(closed(&bench.event(HubEvent::FromEngine(session, news))), [session]);
    }
}
