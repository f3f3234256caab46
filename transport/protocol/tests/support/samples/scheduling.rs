//! Samples of the scheduling rooms' conversation.

use phalanx_protocol::ids::{EngineId, Generation};
use phalanx_protocol::needs::Amount;
use phalanx_protocol::outcome::{DependencyFailure, Impossible};
use phalanx_protocol::room::{
    Condition, DagVerdict, Ending, EngineCapacity, Known, ReadyTask, RoomName, SchedulerVerdict,
    WaitingTask,
};
use phalanx_protocol::scheduling::{
    Addressed, HubToScheduling, Offer, Recreate, RoomPanicked, SchedulingToHub,
};
use phalanx_protocol::task::{Accept, Quorum};

use super::{Samples, engines, method, needs, task};

const GENERATION: Generation = Generation(4);

fn to_room<T>(what: T) -> Addressed<T> {
    Addressed { generation: GENERATION, what }
}

fn ending() -> Ending {
    Ending { success: true, engine: Some(EngineId(3)) }
}

fn waiting() -> WaitingTask {
    WaitingTask {
        task: task(42),
        after: Some(Condition {
            tasks: vec![(task(1), Known::Open), (task(2), Known::Ended(ending()))],
            quorum: Quorum::Any,
            accept: Accept::Either,
        }),
        follow: Some(Condition {
            tasks: vec![(task(2), Known::Ended(ending()))],
            quorum: Quorum::All,
            accept: Accept::Success,
        }),
        timeout_ms: Some(59_999),
    }
}

impl Samples for HubToScheduling {
    fn samples() -> Vec<(&'static str, Self)> {
        let recreate = |room| Recreate { room, generation: GENERATION };
        let capacity = EngineCapacity {
            engine: EngineId(3),
            slots: 2,
            methods: vec![method("table.sum")],
            assigned: vec![task(40), task(41)],
            alone: vec![task(41)],
            labels: vec!["fast".into()],
            resources: vec![("gpu".into(), Amount::units(2))],
            held: vec![(task(40), vec![("gpu".into(), Amount(500))])],
        };
        let ready = ReadyTask {
            task: task(42),
            method: Some(method("table.sum")),
            engines: Some(engines(&[1, 3])),
            follows: true,
            alone: true,
            priority: 5,
            needs: Some(needs()),
        };
        vec![
            ("", recreate(RoomName::Dag).into()),
            ("scheduler", recreate(RoomName::Scheduler).into()),
            ("", Self::Hold(to_room(waiting()))),
            ("", Self::Ended(to_room((task(1), ending())))),
            ("", Self::Release(to_room(task(42)))),
            ("", Self::EngineUp(to_room(capacity))),
            ("", Self::EngineDown(to_room(EngineId(3)))),
            ("", Self::Place(to_room(ready.clone()))),
            ("", Self::Free(to_room((task(42), Some(1_500_000))))),
            ("never-ran", Self::Free(to_room((task(42), None)))),
            ("", Self::TakenBack(to_room((task(42), Some(ready.clone()))))),
            ("kept", Self::TakenBack(to_room((task(42), None)))),
            ("", Self::Assigned(to_room((task(1), EngineId(3))))),
            ("", Self::PlaceAhead(to_room((ready, EngineId(3))))),
        ]
    }
}

impl Samples for SchedulingToHub {
    fn samples() -> Vec<(&'static str, Self)> {
        let offer = Offer { host: "laptop".into(), pid: 4720 };
        let dag = |verdict| Self::Dag(to_room((task(42), verdict)));
        let scheduler = |verdict| Self::Scheduler(to_room((task(42), verdict)));
        let failure = DependencyFailure {
            reason: Impossible::FollowedEngineGone,
            culprit: Some(task(2)),
            engine: Some(EngineId(3)),
        };
        let panicked = RoomPanicked {
            room: Some((RoomName::Dag, GENERATION)),
            culprit: Some(task(42)),
            message: "index out of bounds".into(),
        };
        vec![
            ("", offer.into()),
            ("", dag(DagVerdict::Ready(Some(engines(&[1, 3]))))),
            ("follows-nothing", dag(DagVerdict::Ready(None))),
            ("impossible", dag(DagVerdict::Impossible(failure))),
            ("timed-out", dag(DagVerdict::TimedOut)),
            ("nearly", dag(DagVerdict::Nearly(task(1)))),
            ("", scheduler(SchedulerVerdict::Assign(EngineId(3)))),
            ("unplaceable", scheduler(SchedulerVerdict::Unplaceable)),
            ("take-back", scheduler(SchedulerVerdict::TakeBack(EngineId(3)))),
            ("", panicked.into()),
        ]
    }
}
