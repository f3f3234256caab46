//! The dag and scheduler rooms, beside the hub or in a process of their own.

use phalanx_actors::peer::{RoomOrder, RoomStatement, room_order, room_statement};
use phalanx_core::dag::{Dag, DagEvent};
use phalanx_core::scheduler::{Scheduler, SchedulerEvent};
use phalanx_core::supervise::{FaultPoint, Guarded, Panicked};
use phalanx_core::{Room, Time};
use phalanx_protocol::ids::{SessionId, TaskId};
use phalanx_protocol::room::RoomName;
use phalanx_protocol::scheduling::Offer;

use crate::check::Check;
use crate::net::{End, Item, decode};
use crate::plan::Plan;
use crate::world::World;

/// Both rooms.
#[derive(Debug)]
pub(crate) struct RoomPair {
    pub(crate) dag: Guarded<Dag>,
    pub(crate) scheduler: Guarded<Scheduler>,
}

const NOW: FaultPoint = FaultPoint { after_events: Some(0) };

fn about(order: &RoomOrder) -> Option<TaskId> {
    match order {
        RoomOrder::Recreate(..) => None,
        RoomOrder::Dag(_, event) => match event {
            DagEvent::Hold(waiting) => Some(waiting.task),
            DagEvent::Assigned(task, _) | DagEvent::Ended(task, _) | DagEvent::Release(task) => {
                Some(*task)
            }
        },
        RoomOrder::Scheduler(_, event) => match event {
            SchedulerEvent::Place(ready) | SchedulerEvent::PlaceAhead(ready, _) => Some(ready.task),
            SchedulerEvent::Free(task, _) | SchedulerEvent::TakenBack(task, _) => Some(*task),
            SchedulerEvent::EngineUp(_) | SchedulerEvent::EngineDown(_) => None,
        },
    }
}

impl RoomPair {
    pub(crate) const fn new(plan: &Plan) -> Self {
        Self { dag: Guarded::vacant(()), scheduler: Guarded::vacant(plan.placement) }
    }

    /// One order of the hub's.
    pub(crate) fn take(
        &mut self,
        now: Time,
        order: RoomOrder,
        check: &Check,
    ) -> Vec<RoomStatement> {
        let culprit = about(&order);
        let cursed = culprit.is_some_and(|task| check.is_cursed(task));
        match order {
            RoomOrder::Recreate(RoomName::Dag, generation) => self.dag.recreate(generation),
            RoomOrder::Recreate(RoomName::Scheduler, generation) => {
                self.scheduler.recreate(generation);
            }
            RoomOrder::Dag(generation, event) => {
                if cursed {
                    self.dag.plant(NOW);
                }
                let mut effects = Vec::new();
                let result = self.dag.handle(now, generation, event, &mut effects);
                self.dag.plant(FaultPoint::default());
                return self.dag_said(result, effects, culprit);
            }
            RoomOrder::Scheduler(generation, event) => {
                if cursed {
                    self.scheduler.plant(NOW);
                }
                let mut effects = Vec::new();
                let result = self.scheduler.handle(now, generation, event, &mut effects);
                self.scheduler.plant(FaultPoint::default());
                let result = result.and_then(|()| self.scheduler.settle(now, &mut effects));
                return self.scheduler_said(result, effects, culprit);
            }
        }
        Vec::new()
    }

    /// The rooms' deadlines have come.
    pub(crate) fn wake(&mut self, now: Time) -> Vec<RoomStatement> {
        let mut effects = Vec::new();
        let result = self.dag.on_deadline(now, &mut effects);
        let mut said = self.dag_said(result, effects, None);
        let mut effects = Vec::new();
        let result = self.scheduler.on_deadline(now, &mut effects);
        said.extend(self.scheduler_said(result, effects, None));
        said
    }

    /// Makes a room panic at once.
    pub(crate) fn panic(&mut self, now: Time, room: RoomName) -> Vec<RoomStatement> {
        match room {
            RoomName::Dag => {
                self.dag.plant(NOW);
                let result = self.dag.on_deadline(now, &mut Vec::new());
                self.dag.plant(FaultPoint::default());
                self.dag_said(result, Vec::new(), None)
            }
            RoomName::Scheduler => {
                self.scheduler.plant(NOW);
                let result = self.scheduler.on_deadline(now, &mut Vec::new());
                self.scheduler.plant(FaultPoint::default());
                self.scheduler_said(result, Vec::new(), None)
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        [self.dag.next_deadline(), self.scheduler.next_deadline()].into_iter().flatten().min()
    }

    fn dag_said(
        &self,
        result: Result<(), Panicked>,
        effects: Vec<phalanx_core::dag::DagEffect>,
        culprit: Option<TaskId>,
    ) -> Vec<RoomStatement> {
        if let Some(room) = self.dag.room() {
            room.check_invariants();
        }
        let generation = self.dag.generation();
        let said = effects.into_iter().map(|effect| RoomStatement::Dag(generation, effect));
        said.chain(down(RoomName::Dag, result, culprit)).collect()
    }

    fn scheduler_said(
        &self,
        result: Result<(), Panicked>,
        effects: Vec<phalanx_core::scheduler::SchedulerEffect>,
        culprit: Option<TaskId>,
    ) -> Vec<RoomStatement> {
        if let Some(room) = self.scheduler.room() {
            room.check_invariants();
        }
        let generation = self.scheduler.generation();
        let said = effects.into_iter().map(|effect| RoomStatement::Scheduler(generation, effect));
        said.chain(down(RoomName::Scheduler, result, culprit)).collect()
    }

    /// Panics unless the rooms hold nothing: every task has ended.
    pub(crate) fn check_rest(&self) {
        let dag = self.dag.room().expect("a room that is down is re-created");
        assert_eq!(dag.held_len(), 0, "I6: the dag holds tasks at rest");
        let scheduler = self.scheduler.room().expect("a room that is down is re-created");
        assert_eq!(scheduler.queued_len(), 0, "I6: the scheduler's queue at rest");
        assert_eq!(scheduler.assigned_len(), 0, "I6: the scheduler's loads at rest");
    }
}

fn down(
    room: RoomName,
    result: Result<(), Panicked>,
    culprit: Option<TaskId>,
) -> Option<RoomStatement> {
    let Panicked { generation, message } = result.err()?;
    assert_eq!(message, "planted by a fault point", "{room} panicked by itself");
    Some(RoomStatement::Down { room, generation, culprit, message })
}

/// The process that runs the rooms when they have one of their own.
#[derive(Debug)]
pub(crate) struct RoomsProcess {
    pub(crate) rooms: RoomPair,
    pub(crate) session: Option<SessionId>,
}

impl RoomsProcess {
    pub(crate) const fn new(plan: &Plan) -> Self {
        Self { rooms: RoomPair::new(plan), session: None }
    }
}

impl World<'_> {
    pub(crate) fn rooms_opened(&mut self, session: SessionId) {
        self.rooms.session = Some(session);
        let offer = phalanx_protocol::scheduling::SchedulingToHub::Offer(Offer::default());
        self.send(session, End::Hub, offer);
    }

    pub(crate) fn rooms_receive(&mut self, session: SessionId, item: Item) {
        let Item::Frame(frame) = item else { return };
        let statements = self.rooms.rooms.take(self.now, room_order(decode(&frame)), &self.check);
        self.rooms_say(session, statements);
    }

    pub(crate) fn wake_rooms(&mut self) {
        let statements = self.rooms.rooms.wake(self.now);
        if let Some(session) = self.rooms.session {
            self.rooms_say(session, statements);
        }
    }

    pub(crate) fn rooms_say(&mut self, session: SessionId, statements: Vec<RoomStatement>) {
        for statement in statements {
            self.send(session, End::Hub, room_statement(statement));
        }
    }
}
