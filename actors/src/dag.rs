//! The dag as a scheduling room: what its events are about. The logic is in [`phalanx_core::dag`].

use phalanx_core::dag::{Dag, DagEffect, DagEvent};
use phalanx_protocol::ids::{Generation, TaskId};
use phalanx_protocol::room::RoomName;

use crate::peer::RoomStatement;
use crate::room::SchedulingRoom;

impl SchedulingRoom for Dag {
    const NAME: RoomName = RoomName::Dag;

    fn task_of(event: &DagEvent) -> Option<TaskId> {
        match event {
            DagEvent::Hold(waiting) => Some(waiting.task),
            DagEvent::Assigned(task, _) | DagEvent::Ended(task, _) | DagEvent::Release(task) => {
                Some(*task)
            }
        }
    }

    fn statement(generation: Generation, effect: DagEffect) -> RoomStatement {
        RoomStatement::Dag(generation, effect)
    }
}
