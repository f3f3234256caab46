//! Arbitrary messages of the scheduling rooms' conversation.

use phalanx_protocol::ids::Generation;
use phalanx_protocol::room::*;
use phalanx_protocol::scheduling::*;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn to_room<W: Strategy>(what: W) -> impl Strategy<Value = Addressed<W::Value>> {
    (number32().prop_map(Generation), what)
        .prop_map(|(generation, what)| Addressed { generation, what })
}

fn room() -> impl Strategy<Value = RoomName> {
    select(&RoomName::ALL[..])
}

fn ending() -> impl Strategy<Value = Ending> {
    (any::<bool>(), option::of(engine_id()))
        .prop_map(|(success, engine)| Ending { success, engine })
}

fn condition() -> impl Strategy<Value = Condition> {
    let known = prop_oneof![
        Just(Known::Open),
        ending().prop_map(Known::Ended),
        engine_id().prop_map(Known::Assigned),
    ];
    (some((task_id(), known)), quorum(), accept()).prop_map(|(tasks, quorum, accept)| Condition {
        tasks,
        quorum,
        accept,
    })
}

fn waiting() -> impl Strategy<Value = WaitingTask> {
    let part = || option::of(condition());
    (task_id(), part(), part(), option::of(number())).prop_map(
        |(task, after, follow, timeout_ms)| WaitingTask { task, after, follow, timeout_ms },
    )
}

fn capacity() -> impl Strategy<Value = EngineCapacity> {
    let tasks = (some(task_id()), some(task_id()), some((task_id(), some(resource()))));
    let has = (some(method()), some(text()), some(resource()));
    (engine_id(), number32(), has, tasks).prop_map(
        |(engine, slots, (methods, labels, resources), (assigned, alone, held))| EngineCapacity {
            engine,
            slots,
            methods,
            assigned,
            alone,
            labels,
            resources,
            held,
        },
    )
}

fn ready() -> impl Strategy<Value = ReadyTask> {
    let engines = option::of(some(engine_id()));
    let flags = (any::<(bool, bool)>(), any::<i32>(), option::of(needs()));
    (task_id(), option::of(method()), engines, flags).prop_map(
        |(task, method, engines, ((follows, alone), priority, needs))| ReadyTask {
            task,
            method,
            engines,
            follows,
            alone,
            priority,
            needs,
        },
    )
}

impl Strategies for HubToScheduling {
    fn strategies() -> Vec<BoxedStrategy<Self>> {
        let recreate = (room(), number32().prop_map(Generation))
            .prop_map(|(room, generation)| Recreate { room, generation });
        vec![
            message(recreate),
            message(to_room(waiting())),
            message(to_room((task_id(), ending()))),
            message(to_room(task_id())),
            message(to_room(capacity())),
            message(to_room(engine_id())),
            message(to_room(ready())),
            message(to_room((task_id(), option::of(number())))),
            message(to_room((task_id(), option::of(ready())))),
            message(to_room((task_id(), engine_id()))),
            message(to_room((ready(), engine_id()))),
        ]
    }
}

fn dag_verdict() -> impl Strategy<Value = DagVerdict> {
    prop_oneof![
        option::of(some(engine_id())).prop_map(DagVerdict::Ready),
        dependency_failure().prop_map(DagVerdict::Impossible),
        Just(DagVerdict::TimedOut),
        task_id().prop_map(DagVerdict::Nearly),
    ]
}

fn scheduler_verdict() -> impl Strategy<Value = SchedulerVerdict> {
    prop_oneof![
        engine_id().prop_map(SchedulerVerdict::Assign),
        Just(SchedulerVerdict::Unplaceable),
        engine_id().prop_map(SchedulerVerdict::TakeBack),
    ]
}

impl Strategies for SchedulingToHub {
    fn strategies() -> Vec<BoxedStrategy<Self>> {
        let room = option::of((room(), number32().prop_map(Generation)));
        let panicked = (room, option::of(task_id()), text())
            .prop_map(|(room, culprit, message)| RoomPanicked { room, culprit, message });
        vec![
            message((text(), number32()).prop_map(|(host, pid)| Offer { host, pid })),
            message(to_room((task_id(), dag_verdict()))),
            message(to_room((task_id(), scheduler_verdict()))),
            message(panicked),
        ]
    }
}
