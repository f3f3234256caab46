//! What happens in Phalanx: the control rooms as pure state machines.
//!
//! A room has one way in, [`Room::handle`]. It never fails, blocks, awaits, or reads a clock; it
//! answers with effects, which are data. The actors run rooms on real time and real sessions, the
//! simulator runs the very same rooms in virtual time.
//!
//! | module | its fact |
//! |---|---|
//! | [`hub`] | the life of each task, and who waits for it; owns the two below |
//! | [`registry`] | which engines there are, and who is alive |
//! | [`results`] | the outcomes and bytes kept for clients |
//! | [`dag`] | unmet dependencies |
//! | [`scheduler`] | the ready queue and the load of engines |
//! | [`engine`] | the slots, queue and unconfirmed reports of one engine |
//! | [`supervise`] | a room that may panic, and its generations |
#![warn(missing_docs)]

pub mod dag;
mod endings;
pub mod engine;
pub mod hub;
pub mod registry;
pub mod results;
pub mod scheduler;
mod slab;
pub mod supervise;
mod task_map;
mod time;

pub use crate::time::Time;

/// A state machine.
pub trait Room {
    /// What can happen to it.
    type Event;
    /// What it wants done.
    type Effect;

    /// Takes one event and appends what is to be done about it, in order.
    fn handle(&mut self, now: Time, event: Self::Event, effects: &mut Vec<Self::Effect>);

    /// When it wants [`Room::on_deadline`] called at the latest; `None` = not before another
    /// event.
    fn next_deadline(&self) -> Option<Time>;

    /// Time has come to, or past, [`Room::next_deadline`].
    fn on_deadline(&mut self, now: Time, effects: &mut Vec<Self::Effect>);

    /// Called after a burst of events, and after [`Room::on_deadline`]: says what one message may
    /// say for the whole burst, such as cumulative confirmations. Calling it after every event is
    /// right too, only dearer.
    fn settle(&mut self, _now: Time, _effects: &mut Vec<Self::Effect>) {}

    /// Panics if a fact contradicts another. For tests and the simulator: may cost O(state).
    fn check_invariants(&self);
}
