//! A room that may panic: what is left of it, and which of its lives a message is for.
//!
//! The shells and the simulator run dag and scheduler through [`Guarded`]. It only catches; what
//! follows from a panic is decided by the hub, which re-creates the room from its ledger.

use std::panic::{AssertUnwindSafe, catch_unwind};

use phalanx_protocol::ids::Generation;

use crate::{Room, Time};

/// A room panicked. What it had decided on that event is dropped with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    /// Which of its lives ended.
    pub generation: Generation,
    /// What the panic said.
    pub message: String,
}

/// A room that can begin again, with nothing in it but its settings.
pub trait Recreate: Room {
    /// What it is told once, and stays in each of its lives.
    type Settings: std::fmt::Debug;

    /// An empty room.
    fn fresh(settings: &Self::Settings) -> Self;
}

/// A room in one of its lives, or what is left of it.
#[derive(Debug)]
pub struct Guarded<R: Recreate> {
    settings: R::Settings,
    generation: Generation,
    room: Option<R>,
    faults: FaultPoint,
}

/// Where tests make a room panic: on the event before which the countdown has reached zero.
/// In production it never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultPoint {
    /// Events to go; `None` = no panic.
    pub after_events: Option<u64>,
}

impl FaultPoint {
    fn pass(&mut self) {
        match &mut self.after_events {
            None => {}
            Some(0) => {
                self.after_events = None;
                panic!("planted by a fault point");
            }
            Some(left) => *left -= 1,
        }
    }
}

impl<R: Recreate> Guarded<R> {
    /// No room yet: everything said to it is dropped until [`Guarded::recreate`]. Each of its lives
    /// has these settings.
    pub const fn vacant(settings: R::Settings) -> Self {
        let faults = FaultPoint { after_events: None };
        Self { settings, generation: Generation(0), room: None, faults }
    }

    /// Begins a new life with an empty room.
    pub fn recreate(&mut self, generation: Generation) {
        self.generation = generation;
        self.room = Some(R::fresh(&self.settings));
    }

    /// Plants a panic; for tests.
    pub const fn plant(&mut self, fault: FaultPoint) {
        self.faults = fault;
    }

    /// Which life it is, or was last.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The room, if it lives.
    pub const fn room(&self) -> Option<&R> {
        self.room.as_ref()
    }

    /// Passes on an event that is meant for this life; others are dropped.
    ///
    /// # Errors
    /// [`Panicked`] if the room did; it is gone then, and `effects` is as it was before.
    pub fn handle(
        &mut self,
        now: Time,
        generation: Generation,
        event: R::Event,
        effects: &mut Vec<R::Effect>,
    ) -> Result<(), Panicked> {
        if generation != self.generation {
            return Ok(());
        }
        self.guard(effects, |room, faults, effects| {
            room.handle(now, event, effects);
            faults.pass();
        })
    }

    /// When the room wants to be woken.
    pub fn next_deadline(&self) -> Option<Time> {
        self.room.as_ref().and_then(Room::next_deadline)
    }

    /// Wakes the room.
    ///
    /// # Errors
    /// As [`Guarded::handle`].
    pub fn on_deadline(&mut self, now: Time, effects: &mut Vec<R::Effect>) -> Result<(), Panicked> {
        self.guard(effects, |room, faults, effects| {
            room.on_deadline(now, effects);
            faults.pass();
        })
    }

    /// Ends a burst: see [`Room::settle`]. No event for a [`FaultPoint`].
    ///
    /// # Errors
    /// As [`Guarded::handle`].
    pub fn settle(&mut self, now: Time, effects: &mut Vec<R::Effect>) -> Result<(), Panicked> {
        self.guard(effects, |room, _, effects| room.settle(now, effects))
    }

    fn guard(
        &mut self,
        effects: &mut Vec<R::Effect>,
        work: impl FnOnce(&mut R, &mut FaultPoint, &mut Vec<R::Effect>),
    ) -> Result<(), Panicked> {
        let Some(room) = &mut self.room else {
            return Ok(());
        };
        let faults = &mut self.faults;
        let before = effects.len();
        // A room that panicked is dropped, so nobody sees what it was in the middle of.
        catch_unwind(AssertUnwindSafe(|| {
            work(room, faults, effects);
        }))
        .map_err(|panic| {
            effects.truncate(before);
            self.room = None;
            let message = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "panic without text".to_owned());
            Panicked { generation: self.generation, message }
        })
    }
}

impl<R: Recreate<Settings: Default>> Default for Guarded<R> {
    fn default() -> Self {
        Self::vacant(R::Settings::default())
    }
}

#[cfg(test)]
mod tests {
    use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
    use phalanx_protocol::room::{EngineCapacity, ReadyTask};

    use super::*;
    use crate::scheduler::{Hwm, Scheduler, SchedulerEvent, Settings};

    fn tell(room: &mut Guarded<Scheduler>, event: SchedulerEvent) -> Result<usize, Panicked> {
        let mut effects = Vec::new();
        room.handle(Time::ZERO, room.generation(), event, &mut effects)?;
        Ok(effects.len())
    }

    /// How many of five tasks an engine with one slot is given.
    fn assigned(room: &mut Guarded<Scheduler>) -> usize {
        let engine = EngineCapacity { engine: EngineId(1), slots: 1, ..EngineCapacity::default() };
        assert_eq!(tell(room, SchedulerEvent::EngineUp(engine)), Ok(0));
        (0..5)
            .map(|seq| {
                let task = TaskId::new(ClientId(1), seq);
                let ready = ReadyTask { task, ..ReadyTask::default() };
                tell(room, SchedulerEvent::Place(ready)).expect("no panic is planted")
            })
            .sum()
    }

    #[test]
    fn a_room_that_is_re_created_has_its_settings() {
        let mut room = Guarded::vacant(Settings::default().with_hwm(Hwm::Fixed(3)));
        room.recreate(Generation(1));
        assert_eq!(assigned(&mut room), 3);
        room.plant(FaultPoint { after_events: Some(0) });
        assert!(tell(&mut room, SchedulerEvent::EngineDown(EngineId(1))).is_err());
        assert!(room.room().is_none());
        room.recreate(Generation(2));
        assert_eq!(assigned(&mut room), 3);
    }
}
