//! Any events in any order: the room does exactly what the naive model does.

use std::collections::BTreeSet;
use std::time::Duration;

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::needs::{Amount, Needs, Resource};
use phalanx_protocol::room::{EngineCapacity, ReadyTask, SchedulerVerdict};
use phalanx_protocol::task::MethodName;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::model::Model;
use super::text::method;
use crate::scheduler::{Hwm, Scheduler, SchedulerEffect, SchedulerEvent, Scheme, Settings};
use crate::{Room, Time};

const TASKS: u64 = 60;
const ENGINES: u32 = 5;

fn methods() -> impl Strategy<Value = Vec<MethodName>> {
    // With repetitions: an engine may list a method twice.
    vec(select(vec![method("a"), method("b"), method("c")]), 0..5)
}

/// Tasks by number: of three clients.
fn any_task(number: u64) -> TaskId {
    TaskId::new(ClientId((number % 3) as u32), number)
}

fn labels() -> impl Strategy<Value = Vec<String>> {
    vec(select(vec!["fast".to_owned(), "near".to_owned()]), 0..3)
}

fn resources(most: u64) -> impl Strategy<Value = Vec<Resource>> {
    vec((select(vec!["gpu".to_owned(), "ram".to_owned()]), (1..=most).prop_map(Amount)), 0..3)
}

fn engine_up() -> impl Strategy<Value = SchedulerEvent> {
    let alone = proptest::bool::weighted(0.1);
    let has = vec((0..TASKS, alone, resources(2)), 0..4);
    (0..ENGINES, 0..4_u32, methods(), labels(), resources(4), has).prop_map(
        |(engine, slots, methods, labels, resources, has)| {
            let alone = has.iter().filter(|(_, alone, _)| *alone);
            let held = has.iter().map(|(seq, _, amounts)| (any_task(*seq), amounts.clone()));
            SchedulerEvent::EngineUp(EngineCapacity {
                engine: EngineId(engine),
                slots,
                methods,
                labels,
                resources,
                alone: alone.map(|(seq, _, _)| any_task(*seq)).collect(),
                assigned: has.iter().map(|(seq, _, _)| any_task(*seq)).collect(),
                held: held.collect(),
            })
        },
    )
}

fn place() -> impl Strategy<Value = SchedulerEvent> {
    let method = option::weighted(0.9, select(vec![method("a"), method("b"), method("c")]));
    let engines = option::weighted(0.4, btree_set(0..ENGINES, 0..4));
    let alone = proptest::bool::weighted(0.1);
    let needs = (labels(), resources(3)).prop_map(|(labels, amounts)| Needs { labels, amounts });
    let needs = option::weighted(0.4, needs);
    let flags = (any::<bool>(), alone, -1..2_i32);
    let all = (0..TASKS, method, engines, flags, needs);
    all.prop_map(|(seq, method, engines, (follows, alone, priority), needs)| {
        SchedulerEvent::Place(ReadyTask {
            task: any_task(seq),
            priority,
            needs,
            method,
            engines: engines.map(|ids| ids.into_iter().map(EngineId).collect()),
            follows,
            alone,
        })
    })
}

fn free() -> impl Strategy<Value = SchedulerEvent> {
    // Mostly short, so that windows open.
    let micros = select(vec![0_u64, 1, 1, 10, 10, 100, 900, 5_000, 900_000]);
    (0..TASKS, option::weighted(0.9, micros)).prop_map(|(seq, micros)| {
        SchedulerEvent::Free(any_task(seq), micros.map(Duration::from_micros))
    })
}

fn taken_back() -> impl Strategy<Value = SchedulerEvent> {
    (place(), any::<bool>()).prop_map(|(place, given)| {
        let SchedulerEvent::Place(ready) = place else { unreachable!("just made") };
        SchedulerEvent::TakenBack(ready.task, given.then_some(ready))
    })
}

fn place_ahead() -> impl Strategy<Value = SchedulerEvent> {
    (place(), 0..ENGINES).prop_map(|(place, engine)| {
        let SchedulerEvent::Place(ready) = place else { unreachable!("just made") };
        SchedulerEvent::PlaceAhead(ready, EngineId(engine))
    })
}

/// Each with how long after the one before it comes.
fn timed_events() -> impl Strategy<Value = Vec<(Duration, SchedulerEvent)>> {
    let pause = prop_oneof![6 => Just(0_u64), 2 => 0..400_u64, 1 => 900..3_000_u64,
        1 => 900_000..2_000_000_u64];
    (events(), vec(pause, 200)).prop_map(|(events, pauses)| {
        pauses.into_iter().map(Duration::from_micros).zip(events).collect()
    })
}

fn events() -> impl Strategy<Value = Vec<SchedulerEvent>> {
    let down = (0..ENGINES).prop_map(|engine| SchedulerEvent::EngineDown(EngineId(engine)));
    let event = prop_oneof![
        40 => place(), 40 => free(), 6 => taken_back(), 8 => place_ahead(), 3 => engine_up(),
        1 => down,
    ];
    (vec(engine_up(), 0..4), vec(event, 0..160)).prop_map(|(mut first, rest)| {
        first.extend(rest);
        first
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let hwm = prop_oneof![2 => Just(Hwm::Adaptive), 1 => (0..4_u32).prop_map(Hwm::Fixed)];
    (hwm, select(Scheme::ALL.to_vec()), any::<u64>()).prop_map(|(hwm, scheme, seed)| Settings {
        hwm,
        scheme,
        seed,
    })
}

fn handle(room: &mut Scheduler, event: SchedulerEvent) -> Vec<SchedulerEffect> {
    handle_at(room, Time::ZERO, event)
}

/// One event and the end of its burst.
fn handle_at(room: &mut Scheduler, now: Time, event: SchedulerEvent) -> Vec<SchedulerEffect> {
    let mut effects = Vec::new();
    room.handle(now, event, &mut effects);
    room.settle(now, &mut effects);
    effects
}

fn assert_same(room: &Scheduler, model: &Model) {
    assert_eq!(room.queued_len(), model.queued_len());
    let loads: Vec<_> = model.engine_ids().into_iter().map(|id| (id, model.tasks_on(id))).collect();
    for (id, tasks) in &loads {
        assert_eq!(room.load(*id), Some(tasks.len()), "load of {id}");
    }
    assert_eq!(room.assigned_len(), loads.iter().map(|(_, tasks)| tasks.len()).sum::<usize>());
}

/// Ends everything that runs until nothing runs any more; says which tasks were assigned.
fn drain(room: &mut Scheduler, running: Vec<TaskId>) -> BTreeSet<u64> {
    let mut running = BTreeSet::from_iter(running);
    let mut assigned = BTreeSet::new();
    while let Some(next) = running.pop_first() {
        room.check_invariants();
        for SchedulerEffect { task, verdict } in handle(room, SchedulerEvent::Free(next, None)) {
            if let SchedulerVerdict::TakeBack(_) = verdict {
                let kept = handle(room, SchedulerEvent::TakenBack(task, None));
                assert_eq!(kept, [], "{task} stays");
                continue;
            }
            assert!(matches!(verdict, SchedulerVerdict::Assign(_)));
            assert!(assigned.insert(task.seq), "{task} assigned twice");
            running.insert(task);
        }
    }
    assigned
}

fn running(model: &Model) -> Vec<TaskId> {
    model.engine_ids().into_iter().flat_map(|id| model.tasks_on(id)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_room_does_what_the_model_does(settings in settings(), events in timed_events()) {
        let mut room = Scheduler::with_settings(settings);
        let mut model = Model::new(settings);
        let mut now = Time::ZERO;
        for (pause, event) in events {
            now = now + pause;
            let effects = handle_at(&mut room, now, event.clone());
            let expected = model.handle(now, event.clone(), &effects);
            room.check_invariants();
            prop_assert_eq!(effects, expected, "effects of {:?}", event);
            assert_same(&room, &model);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_room_that_is_told_what_another_knew_takes_over(
        settings in settings(), events in events(), has_alone in any::<bool>(),
    ) {
        let mut old = Scheduler::with_settings(settings);
        let mut model = Model::new(settings);
        for mut event in events {
            // What stands in line behind a task that waits to run alone, a new room may start.
            if let SchedulerEvent::Place(ready) | SchedulerEvent::TakenBack(_, Some(ready)) =
                &mut event
            {
                ready.alone &= has_alone;
                ready.needs = ready.needs.take().filter(|_| !has_alone);
            }
            let effects = handle(&mut old, event.clone());
            prop_assert_eq!(model.handle(Time::ZERO, event, &effects), effects);
        }
        // Which engine drains for a task that waits to run alone, a new room finds out by itself;
        // and what stands behind a task that waits for amounts, it may start.
        let mut over = model.alone_queued();
        while let Some(task) = over.pop().or_else(|| model.held_back()) {
            let effects = handle(&mut old, SchedulerEvent::Free(task, None));
            let expected = model.handle(Time::ZERO, SchedulerEvent::Free(task, None), &effects);
            prop_assert_eq!(effects, expected);
        }
        let mut new = Scheduler::with_settings(settings);
        for event in model.replay() {
            let effects = handle(&mut new, event.clone());
            prop_assert!(effects.is_empty(), "{:?} again moved {:?}", event, effects);
            new.check_invariants();
        }
        assert_same(&new, &model);
        let (a, b) = (drain(&mut new, running(&model)), drain(&mut old, running(&model)));
        prop_assert_eq!(a, b);
        prop_assert_eq!(new.queued_len(), old.queued_len());
    }

    #[test]
    fn nothing_is_kept_of_what_is_over(settings in settings(), events in events()) {
        let mut room = Scheduler::with_settings(settings);
        for event in events {
            handle(&mut room, event);
        }
        for seq in 0..TASKS {
            handle(&mut room, SchedulerEvent::Free(any_task(seq), None));
            room.check_invariants();
        }
        for engine in 0..ENGINES {
            handle(&mut room, SchedulerEvent::EngineDown(EngineId(engine)));
        }
        prop_assert!(room.is_vacant(), "{:?}", room);
    }
}
