//! Runs the dag and scheduler rooms in actors of their own, and replaces an actor that died.
//!
//! A panic inside a room is caught by its guard and told as [`RoomStatement::Down`]. A panic
//! outside it kills the actor; then a fresh actor takes its place, and the same statement is made.
//! Either way the hub decides what follows: it re-creates the room from its ledger, or gives up.
//! The hub process and the scheduling process use it alike.

use std::rc::Rc;

use phalanx_core::dag::Dag;
use phalanx_core::scheduler::{Scheduler, Settings as Placement};
use phalanx_protocol::ids::{Generation, TaskId};
use phalanx_protocol::room::RoomName;

use crate::peer::{RoomOrder, RoomStatement};
use crate::room::{Order, Plant, RoomShell, SchedulingRoom, Trace};
use crate::rt::{Clock, Post, open};

/// What comes from the rooms' actors, for whoever owns the [`Rooms`].
#[derive(Debug)]
pub(crate) struct RoomNotice {
    /// Which set of actors it is from: see [`Rooms::accept`].
    life: u64,
    what: Notice,
}

#[derive(Debug)]
enum Notice {
    Said(Vec<RoomStatement>),
    Died { room: RoomName, message: String },
}

/// How notices reach the owner's mailbox.
pub(crate) type Notify = Rc<dyn Fn(RoomNotice)>;

/// Where a test wants a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlantedPanic {
    /// In this room, at the event that comes after so many others.
    InRoom(RoomName, u64),
    /// In this room's actor, outside the room's guard, after so many events.
    InActor(RoomName, u64),
    /// In this room, at every event that is about this task.
    AtTask(RoomName, TaskId),
    /// In the hub itself, at once.
    InHub,
}

/// Both rooms' actors.
pub(crate) struct Rooms {
    dag: Supervised<Dag>,
    scheduler: Supervised<Scheduler>,
    clock: Clock,
    notify: Notify,
    life: u64,
}

impl Rooms {
    /// Opens both actors, without rooms in them.
    pub(crate) fn open(clock: Clock, placement: Placement, notify: Notify) -> Self {
        Self {
            dag: Supervised::open(clock, (), 0, &notify),
            scheduler: Supervised::open(clock, placement, 0, &notify),
            clock,
            notify,
            life: 0,
        }
    }

    /// Drops both actors for fresh ones: what the old ones still say is not accepted.
    pub(crate) fn reset(&mut self) {
        self.life += 1;
        self.dag = Supervised::open(self.clock, (), self.life, &self.notify);
        let placement = self.scheduler.settings;
        self.scheduler = Supervised::open(self.clock, placement, self.life, &self.notify);
    }

    /// Notes what a room is to do; [`Rooms::flush`] sends it.
    pub(crate) fn order(&mut self, order: RoomOrder) {
        match order {
            RoomOrder::Recreate(RoomName::Dag, generation) => self.dag.recreate(generation),
            RoomOrder::Recreate(RoomName::Scheduler, generation) => {
                self.scheduler.recreate(generation);
            }
            RoomOrder::Dag(generation, event) => {
                self.dag.orders.push(Order::Event(generation, event));
            }
            RoomOrder::Scheduler(generation, event) => {
                self.scheduler.orders.push(Order::Event(generation, event));
            }
        }
    }

    /// Plants a panic; for tests.
    pub(crate) fn plant(&mut self, planted: PlantedPanic) {
        let (room, plant) = match planted {
            PlantedPanic::InRoom(room, events) => (room, Plant::InRoom(events)),
            PlantedPanic::InActor(room, events) => (room, Plant::InActor(events)),
            PlantedPanic::AtTask(room, task) => (room, Plant::AtTask(task)),
            PlantedPanic::InHub => return,
        };
        match room {
            RoomName::Dag => self.dag.orders.push(Order::Plant(plant)),
            RoomName::Scheduler => self.scheduler.orders.push(Order::Plant(plant)),
        }
    }

    /// Sends what was noted: one message for each room.
    pub(crate) fn flush(&mut self) {
        self.dag.flush();
        self.scheduler.flush();
    }

    /// What a notice says. A dead actor has been replaced when this returns.
    pub(crate) fn accept(&mut self, notice: RoomNotice) -> Vec<RoomStatement> {
        let RoomNotice { life, what } = notice;
        if life != self.life {
            return Vec::new();
        }
        match what {
            Notice::Said(statements) => statements,
            Notice::Died { room, message } => {
                tracing::error!(%room, message, "a room's actor died");
                vec![match room {
                    RoomName::Dag => self.dag.reopen(self.clock, life, &self.notify, message),
                    RoomName::Scheduler => {
                        self.scheduler.reopen(self.clock, life, &self.notify, message)
                    }
                }]
            }
        }
    }
}

/// One room's actor and what is noted for it.
struct Supervised<R: SchedulingRoom> {
    settings: R::Settings,
    post: Post<RoomShell<R>>,
    trace: Rc<Trace>,
    orders: Vec<Order<R::Event>>,
    /// The life that the hub ordered last, whether or not the actor came to know.
    ordered: Generation,
}

impl<R: SchedulingRoom> Supervised<R> {
    fn open(clock: Clock, settings: R::Settings, life: u64, notify: &Notify) -> Self {
        let trace = Rc::new(Trace::default());
        let on_death = {
            let notify = Rc::clone(notify);
            Box::new(move |message| {
                let what = Notice::Died { room: R::NAME, message };
                notify(RoomNotice { life, what });
            })
        };
        let sink = {
            let notify = Rc::clone(notify);
            Box::new(move |said| notify(RoomNotice { life, what: Notice::Said(said) }))
        };
        let shell = RoomShell::new(settings, sink, Rc::clone(&trace));
        let post = open(clock, on_death, |_| shell);
        Self { settings, post, trace, orders: Vec::new(), ordered: Generation::default() }
    }

    fn recreate(&mut self, generation: Generation) {
        self.ordered = generation;
        self.orders.push(Order::Recreate(generation));
    }

    fn flush(&mut self) {
        if !self.orders.is_empty() {
            let orders = std::mem::take(&mut self.orders);
            // A dead actor has announced it; the hub will fill its successor from the ledger.
            let _ = self.post.push(orders);
        }
    }

    /// A fresh actor in the place of one that died, and what its death means to the hub.
    fn reopen(
        &mut self,
        clock: Clock,
        life: u64,
        notify: &Notify,
        message: String,
    ) -> RoomStatement {
        let down = RoomStatement::Down {
            room: R::NAME,
            generation: self.ordered,
            culprit: self.trace.at_task.get(),
            message,
        };
        *self = Self { ordered: self.ordered, ..Self::open(clock, self.settings, life, notify) };
        down
    }
}
