//! The scheduler as a scheduling room: what its events are about. The logic is in
//! [`phalanx_core::scheduler`].

use phalanx_core::scheduler::{Scheduler, SchedulerEffect, SchedulerEvent};
use phalanx_protocol::ids::{Generation, TaskId};
use phalanx_protocol::room::RoomName;

use crate::peer::RoomStatement;
use crate::room::SchedulingRoom;

impl SchedulingRoom for Scheduler {
    const NAME: RoomName = RoomName::Scheduler;

    fn task_of(event: &SchedulerEvent) -> Option<TaskId> {
        match event {
            SchedulerEvent::EngineUp(_) | SchedulerEvent::EngineDown(_) => None,
            SchedulerEvent::Place(ready) | SchedulerEvent::PlaceAhead(ready, _) => Some(ready.task),
            SchedulerEvent::Free(task, _) | SchedulerEvent::TakenBack(task, _) => Some(*task),
        }
    }

    fn statement(generation: Generation, effect: SchedulerEffect) -> RoomStatement {
        RoomStatement::Scheduler(generation, effect)
    }
}
