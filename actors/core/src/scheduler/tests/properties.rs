//! Any events in any order: the room does exactly what the naive model does.

use std::collections::BTreeSet;
use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::room::{EngineCapacity, ReadyTask, SchedulerVerdict};
use phalanx_protocol::task::MethodName;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::model::Model;
use super::text::{method, task};
use crate::scheduler::{Hwm, Scheduler, SchedulerEffect, SchedulerEvent, Settings};
use crate::{Room, Time};

const TASKS: u64 = 60;
const ENGINES: u32 = 5;

fn methods() -> impl Strategy<Value = Vec<MethodName>> {
    // With repetitions: an engine may list a method twice.
    vec(select(vec![method("a"), method("b"), method("c")]), 0..5)
}

fn engine_up() -> impl Strategy<Value = SchedulerEvent> {
    let alone = proptest::bool::weighted(0.1);
    (0..ENGINES, 0..4_u32, methods(), vec((0..TASKS, alone), 0..4)).prop_map(
        |(engine, slots, methods, assigned)| {
            let alone = assigned.iter().filter(|(_, alone)| *alone);
            SchedulerEvent::EngineUp(EngineCapacity {
                engine: EngineId(engine),
                slots,
                methods,
                alone: alone.map(|(seq, _)| task(*seq)).collect(),
                assigned: assigned.into_iter().map(|(seq, _)| task(seq)).collect(),
            })
        },
    )
}

fn place() -> impl Strategy<Value = SchedulerEvent> {
    let method = option::weighted(0.9, select(vec![method("a"), method("b"), method("c")]));
    let engines = option::weighted(0.4, btree_set(0..ENGINES, 0..4));
    let alone = proptest::bool::weighted(0.1);
    let all = (0..TASKS, method, engines, any::<bool>(), alone);
    all.prop_map(|(seq, method, engines, follows, alone)| {
        SchedulerEvent::Place(ReadyTask {
            task: task(seq),
            method,
            engines: engines.map(|ids| ids.into_iter().map(EngineId).collect()),
            follows,
            alone,
        })
    })
}

fn free() -> impl Strategy<Value = SchedulerEvent> {
    // Mostly short, so that windows open.
    let micros = select(vec![0_u64, 1, 1, 10, 10, 100, 900, 5_000]);
    (0..TASKS, option::weighted(0.9, micros)).prop_map(|(seq, micros)| {
        SchedulerEvent::Free(task(seq), micros.map(Duration::from_micros))
    })
}

fn events() -> impl Strategy<Value = Vec<SchedulerEvent>> {
    let down = (0..ENGINES).prop_map(|engine| SchedulerEvent::EngineDown(EngineId(engine)));
    let event = prop_oneof![40 => place(), 40 => free(), 3 => engine_up(), 1 => down];
    (vec(engine_up(), 0..4), vec(event, 0..250)).prop_map(|(mut first, rest)| {
        first.extend(rest);
        first
    })
}

fn hwms() -> impl Strategy<Value = Hwm> {
    prop_oneof![2 => Just(Hwm::Adaptive), 1 => (0..4_u32).prop_map(Hwm::Fixed)]
}

fn room(hwm: Hwm) -> Scheduler {
    Scheduler::with_settings(Settings::default().with_hwm(hwm))
}

fn handle(room: &mut Scheduler, event: SchedulerEvent) -> Vec<SchedulerEffect> {
    let mut effects = Vec::new();
    room.handle(Time::ZERO, event, &mut effects);
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
        for SchedulerEffect { task, verdict } in handle(room, SchedulerEvent::Free(next, None)) {
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
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_room_does_what_the_model_does(hwm in hwms(), events in events()) {
        let mut room = room(hwm);
        let mut model = Model::new(hwm);
        for event in events {
            let expected = model.handle(event.clone());
            let effects = handle(&mut room, event.clone());
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
        hwm in hwms(), events in events(),
    ) {
        let mut old = room(hwm);
        let mut model = Model::new(hwm);
        for event in events {
            model.handle(event.clone());
            handle(&mut old, event);
        }
        // Which engine drains for a task that waits to run alone, a new room finds out by itself.
        for task in model.alone_queued() {
            model.handle(SchedulerEvent::Free(task, None));
            handle(&mut old, SchedulerEvent::Free(task, None));
        }
        let mut new = room(hwm);
        for event in model.replay() {
            let effects = handle(&mut new, event.clone());
            prop_assert!(effects.is_empty(), "{:?} again moved {:?}", event, effects);
            new.check_invariants();
        }
        assert_same(&new, &model);
        prop_assert_eq!(drain(&mut new, running(&model)), drain(&mut old, running(&model)));
        prop_assert_eq!(new.queued_len(), old.queued_len());
    }

    #[test]
    fn nothing_is_kept_of_what_is_over(hwm in hwms(), events in events()) {
        let mut room = room(hwm);
        for event in events {
            handle(&mut room, event);
        }
        for seq in 0..TASKS {
            handle(&mut room, SchedulerEvent::Free(task(seq), None));
            room.check_invariants();
        }
        for engine in 0..ENGINES {
            handle(&mut room, SchedulerEvent::EngineDown(EngineId(engine)));
        }
        prop_assert!(room.is_vacant(), "{:?}", room);
    }
}
