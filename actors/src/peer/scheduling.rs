//! The scheduling conversation, at the hub and at the process that runs the rooms. Nothing but
//! translation.

use std::time::Duration;

use phalanx_core::dag::{DagEffect, DagEvent};
use phalanx_core::hub::HubEvent;
use phalanx_core::scheduler::{SchedulerEffect, SchedulerEvent};
use phalanx_protocol::ids::{Generation, SessionId, TaskId};
use phalanx_protocol::room::RoomName;
use phalanx_protocol::scheduling::{
    Addressed, HubToScheduling, Recreate, RoomPanicked, SchedulingToHub,
};

/// What the hub wants of a room, wherever it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomOrder {
    /// Begin a new life.
    Recreate(RoomName, Generation),
    /// For this life of the dag.
    Dag(Generation, DagEvent),
    /// For this life of the scheduler.
    Scheduler(Generation, SchedulerEvent),
}

/// What a room tells the hub, wherever it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomStatement {
    /// From this life of the dag.
    Dag(Generation, DagEffect),
    /// From this life of the scheduler.
    Scheduler(Generation, SchedulerEffect),
    /// A room is gone.
    Down {
        /// Which room.
        room: RoomName,
        /// Which of its lives.
        generation: Generation,
        /// The task whose event it was, if it was about one.
        culprit: Option<TaskId>,
        /// What the panic said.
        message: String,
    },
}

impl From<RoomStatement> for HubEvent {
    fn from(statement: RoomStatement) -> Self {
        match statement {
            RoomStatement::Dag(generation, DagEffect { task, verdict }) => {
                Self::FromDag(generation, task, verdict)
            }
            RoomStatement::Scheduler(generation, SchedulerEffect { task, verdict }) => {
                Self::FromScheduler(generation, task, verdict)
            }
            RoomStatement::Down { room, generation, culprit, message } => {
                Self::RoomDown { room, generation, culprit, message }
            }
        }
    }
}

/// What the hub wants of a room, as it travels.
pub fn room_message(order: RoomOrder) -> HubToScheduling {
    match order {
        RoomOrder::Recreate(room, generation) => {
            HubToScheduling::Recreate(Recreate { room, generation })
        }
        RoomOrder::Dag(generation, event) => match event {
            DagEvent::Hold(task) => HubToScheduling::Hold(Addressed { generation, what: task }),
            DagEvent::Ended(task, ending) => {
                HubToScheduling::Ended(Addressed { generation, what: (task, ending) })
            }
            DagEvent::Release(task) => {
                HubToScheduling::Release(Addressed { generation, what: task })
            }
            DagEvent::Assigned(task, engine) => {
                HubToScheduling::Assigned(Addressed { generation, what: (task, engine) })
            }
        },
        RoomOrder::Scheduler(generation, event) => match event {
            SchedulerEvent::EngineUp(capacity) => {
                HubToScheduling::EngineUp(Addressed { generation, what: capacity })
            }
            SchedulerEvent::EngineDown(engine) => {
                HubToScheduling::EngineDown(Addressed { generation, what: engine })
            }
            SchedulerEvent::Place(task) => {
                HubToScheduling::Place(Addressed { generation, what: task })
            }
            SchedulerEvent::Free(task, ran) => {
                // 584 years fit.
                let ran_ns = ran.map(|ran| u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX));
                HubToScheduling::Free(Addressed { generation, what: (task, ran_ns) })
            }
            SchedulerEvent::TakenBack(task, ready) => {
                HubToScheduling::TakenBack(Addressed { generation, what: (task, ready) })
            }
            SchedulerEvent::PlaceAhead(task, engine) => {
                HubToScheduling::PlaceAhead(Addressed { generation, what: (task, engine) })
            }
        },
    }
}

/// What the hub's message wants of a room.
pub fn room_order(message: HubToScheduling) -> RoomOrder {
    let dag = RoomOrder::Dag;
    let scheduler = RoomOrder::Scheduler;
    match message {
        HubToScheduling::Recreate(Recreate { room, generation }) => {
            RoomOrder::Recreate(room, generation)
        }
        HubToScheduling::Hold(Addressed { generation, what }) => {
            dag(generation, DagEvent::Hold(what))
        }
        HubToScheduling::Ended(Addressed { generation, what: (task, ending) }) => {
            dag(generation, DagEvent::Ended(task, ending))
        }
        HubToScheduling::Release(Addressed { generation, what }) => {
            dag(generation, DagEvent::Release(what))
        }
        HubToScheduling::Assigned(Addressed { generation, what: (task, engine) }) => {
            dag(generation, DagEvent::Assigned(task, engine))
        }
        HubToScheduling::EngineUp(Addressed { generation, what }) => {
            scheduler(generation, SchedulerEvent::EngineUp(what))
        }
        HubToScheduling::EngineDown(Addressed { generation, what }) => {
            scheduler(generation, SchedulerEvent::EngineDown(what))
        }
        HubToScheduling::Place(Addressed { generation, what }) => {
            scheduler(generation, SchedulerEvent::Place(what))
        }
        HubToScheduling::Free(Addressed { generation, what: (task, ran_ns) }) => {
            scheduler(generation, SchedulerEvent::Free(task, ran_ns.map(Duration::from_nanos)))
        }
        HubToScheduling::TakenBack(Addressed { generation, what: (task, ready) }) => {
            scheduler(generation, SchedulerEvent::TakenBack(task, ready))
        }
        HubToScheduling::PlaceAhead(Addressed { generation, what: (task, engine) }) => {
            scheduler(generation, SchedulerEvent::PlaceAhead(task, engine))
        }
    }
}

/// What a room tells the hub, as it travels.
pub fn room_statement(statement: RoomStatement) -> SchedulingToHub {
    match statement {
        RoomStatement::Dag(generation, DagEffect { task, verdict }) => {
            SchedulingToHub::Dag(Addressed { generation, what: (task, verdict) })
        }
        RoomStatement::Scheduler(generation, SchedulerEffect { task, verdict }) => {
            SchedulingToHub::Scheduler(Addressed { generation, what: (task, verdict) })
        }
        RoomStatement::Down { room, generation, culprit, message } => {
            let room = Some((room, generation));
            SchedulingToHub::RoomPanicked(RoomPanicked { room, culprit, message })
        }
    }
}

/// What a scheduling process's message is to the hub; `None` for the report of a panic that names
/// no room, which is malformed.
pub fn scheduling_event(session: SessionId, message: SchedulingToHub) -> Option<HubEvent> {
    Some(match message {
        // Which machine and process it is, is for logs; the shell writes it there.
        SchedulingToHub::Offer(_) => HubEvent::RoomsOffered(Some(session)),
        SchedulingToHub::Dag(Addressed { generation, what: (task, verdict) }) => {
            HubEvent::FromDag(generation, task, verdict)
        }
        SchedulingToHub::Scheduler(Addressed { generation, what: (task, verdict) }) => {
            HubEvent::FromScheduler(generation, task, verdict)
        }
        SchedulingToHub::RoomPanicked(RoomPanicked { room, culprit, message }) => {
            let (room, generation) = room?;
            HubEvent::RoomDown { room, generation, culprit, message }
        }
    })
}

#[cfg(test)]
mod tests {
    use phalanx_protocol::ids::{ClientId, EngineId};
    use phalanx_protocol::room::{
        DagVerdict, Ending, EngineCapacity, ReadyTask, SchedulerVerdict, WaitingTask,
    };
    use phalanx_protocol::scheduling::Offer;

    use super::*;

    const TASK: TaskId = TaskId::new(ClientId(7), 42);
    const LIFE: Generation = Generation(3);

    #[test]
    fn what_the_hub_wants_of_a_room_survives_the_wire() {
        let ending = Ending { success: true, engine: Some(EngineId(1)) };
        let orders = [
            RoomOrder::Recreate(RoomName::Dag, LIFE),
            RoomOrder::Dag(
                LIFE,
                DagEvent::Hold(WaitingTask { task: TASK, ..WaitingTask::default() }),
            ),
            RoomOrder::Dag(LIFE, DagEvent::Ended(TASK, ending)),
            RoomOrder::Dag(LIFE, DagEvent::Release(TASK)),
            RoomOrder::Dag(LIFE, DagEvent::Assigned(TASK, EngineId(3))),
            RoomOrder::Scheduler(LIFE, SchedulerEvent::EngineUp(EngineCapacity::default())),
            RoomOrder::Scheduler(LIFE, SchedulerEvent::EngineDown(EngineId(1))),
            RoomOrder::Scheduler(
                LIFE,
                SchedulerEvent::Place(ReadyTask { task: TASK, ..ReadyTask::default() }),
            ),
            RoomOrder::Scheduler(
                LIFE,
                SchedulerEvent::PlaceAhead(
                    ReadyTask { task: TASK, ..ReadyTask::default() },
                    EngineId(3),
                ),
            ),
            RoomOrder::Scheduler(LIFE, SchedulerEvent::Free(TASK, None)),
            RoomOrder::Scheduler(
                LIFE,
                SchedulerEvent::Free(TASK, Some(Duration::from_nanos(1_500))),
            ),
            RoomOrder::Scheduler(LIFE, SchedulerEvent::TakenBack(TASK, None)),
            RoomOrder::Scheduler(
                LIFE,
                SchedulerEvent::TakenBack(
                    TASK,
                    Some(ReadyTask { task: TASK, ..ReadyTask::default() }),
                ),
            ),
        ];
        for order in orders {
            assert_eq!(room_order(room_message(order.clone())), order);
        }
    }

    #[test]
    fn what_a_room_says_is_the_same_event_from_here_and_over_the_wire() {
        let statements = [
            RoomStatement::Dag(LIFE, DagEffect { task: TASK, verdict: DagVerdict::TimedOut }),
            RoomStatement::Dag(LIFE, DagEffect { task: TASK, verdict: DagVerdict::Nearly(TASK) }),
            RoomStatement::Scheduler(
                LIFE,
                SchedulerEffect { task: TASK, verdict: SchedulerVerdict::Assign(EngineId(1)) },
            ),
            RoomStatement::Scheduler(
                LIFE,
                SchedulerEffect { task: TASK, verdict: SchedulerVerdict::TakeBack(EngineId(1)) },
            ),
            RoomStatement::Down {
                room: RoomName::Scheduler,
                generation: LIFE,
                culprit: Some(TASK),
                message: "planted".into(),
            },
        ];
        for statement in statements {
            let over_the_wire = scheduling_event(SessionId(1), room_statement(statement.clone()));
            assert_eq!(over_the_wire, Some(statement.into()));
        }
    }

    #[test]
    fn an_offer_names_its_session_and_a_panic_without_a_room_is_malformed() {
        let offer = SchedulingToHub::Offer(Offer { host: "h".into(), pid: 1 });
        assert_eq!(
            scheduling_event(SessionId(9), offer),
            Some(HubEvent::RoomsOffered(Some(SessionId(9))))
        );
        let nameless = SchedulingToHub::RoomPanicked(RoomPanicked::default());
        assert_eq!(scheduling_event(SessionId(9), nameless), None);
    }
}
