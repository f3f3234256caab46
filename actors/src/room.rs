//! The shell of a scheduling room: runs it guarded, in batches, and passes on what it says.
//!
//! [`crate::dag`] and [`crate::scheduler`] say which rooms there are. The hub process and the
//! scheduling process run the same shells; only the sink differs. It decides nothing.

use std::cell::Cell;
use std::rc::Rc;

use phalanx_core::Time;
use phalanx_core::supervise::{FaultPoint, Guarded, Panicked, Recreate};
use phalanx_protocol::ids::{Generation, TaskId};
use phalanx_protocol::room::RoomName;

use crate::peer::RoomStatement;
use crate::rt::{Flow, Shell};

/// A room that the hub can have re-created.
pub(crate) trait SchedulingRoom:
    Recreate<Event: Send + 'static, Settings: Copy + 'static> + 'static
{
    /// Which one it is.
    const NAME: RoomName;

    /// The task that an event is about.
    fn task_of(event: &Self::Event) -> Option<TaskId>;

    /// What one life of it says.
    fn statement(generation: Generation, effect: Self::Effect) -> RoomStatement;
}

/// What a room is told.
#[derive(Debug)]
pub(crate) enum Order<E> {
    /// Begin a new life.
    Recreate(Generation),
    /// Something for one life.
    Event(Generation, E),
    /// Panic at some event; for tests.
    Plant(Plant),
}

/// Where a room's shell is to panic; for tests. See [`crate::supervise::PlantedPanic`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plant {
    InRoom(u64),
    InActor(u64),
    AtTask(TaskId),
}

/// What the shell was doing; outlives it, for whoever must explain its death.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The task whose event it was at.
    pub(crate) at_task: Cell<Option<TaskId>>,
}

/// Where a room's statements go, a turn's worth at a time.
pub(crate) type Sink = Box<dyn FnMut(Vec<RoomStatement>)>;

/// The shell of one scheduling room.
pub(crate) struct RoomShell<R: SchedulingRoom> {
    guarded: Guarded<R>,
    sink: Sink,
    trace: Rc<Trace>,
    /// Emptied each turn; kept for its allocation.
    effects: Vec<R::Effect>,
    statements: Vec<RoomStatement>,
    /// Events until the actor itself panics; for tests.
    actor_fault: Option<u64>,
    /// The task at whose events the room panics; for tests.
    poison: Option<TaskId>,
}

impl<R: SchedulingRoom> RoomShell<R> {
    /// A shell without a room in it yet.
    pub(crate) fn new(settings: R::Settings, sink: Sink, trace: Rc<Trace>) -> Self {
        Self {
            guarded: Guarded::vacant(settings),
            sink,
            trace,
            effects: Vec::new(),
            statements: Vec::new(),
            actor_fault: None,
            poison: None,
        }
    }

    fn on_order(&mut self, now: Time, order: Order<R::Event>) {
        match order {
            Order::Recreate(generation) => {
                self.settle(now);
                self.guarded.recreate(generation);
            }
            Order::Event(generation, event) => {
                let task = R::task_of(&event);
                self.trace.at_task.set(task);
                if task.is_some() && task == self.poison {
                    self.guarded.plant(FaultPoint { after_events: Some(0) });
                }
                let result = self.guarded.handle(now, generation, event, &mut self.effects);
                self.after(result, task);
                self.pass_actor_fault();
            }
            Order::Plant(Plant::InRoom(events)) => {
                self.guarded.plant(FaultPoint { after_events: Some(events) });
            }
            Order::Plant(Plant::InActor(events)) => self.actor_fault = Some(events),
            Order::Plant(Plant::AtTask(task)) => self.poison = Some(task),
        }
    }

    fn pass_actor_fault(&mut self) {
        match &mut self.actor_fault {
            None => {}
            Some(0) => panic!("planted beyond the guard"),
            Some(left) => *left -= 1,
        }
    }

    /// Collects what the room said, and that it is gone, if it is.
    fn after(&mut self, result: Result<(), Panicked>, culprit: Option<TaskId>) {
        let generation = self.guarded.generation();
        let said = self.effects.drain(..).map(|effect| R::statement(generation, effect));
        self.statements.extend(said);
        if let Err(Panicked { generation, message }) = result {
            let room = R::NAME;
            tracing::error!(%room, %generation, ?culprit, message, "a room panicked");
            self.statements.push(RoomStatement::Down { room, generation, culprit, message });
        }
    }

    fn settle(&mut self, now: Time) {
        self.trace.at_task.set(None);
        let result = self.guarded.settle(now, &mut self.effects);
        self.after(result, None);
    }

    fn finish_turn(&mut self, now: Time) -> Flow {
        self.settle(now);
        if !self.statements.is_empty() {
            (self.sink)(std::mem::take(&mut self.statements));
        }
        Flow::Continue
    }
}

impl<R: SchedulingRoom> Shell for RoomShell<R> {
    type Mail = Vec<Order<R::Event>>;

    fn on_mail(&mut self, now: Time, orders: Self::Mail) -> Flow {
        for order in orders {
            self.on_order(now, order);
        }
        self.finish_turn(now)
    }

    fn next_deadline(&self) -> Option<Time> {
        self.guarded.next_deadline()
    }

    fn on_deadline(&mut self, now: Time) -> Flow {
        let result = self.guarded.on_deadline(now, &mut self.effects);
        self.after(result, None);
        self.finish_turn(now)
    }
}
