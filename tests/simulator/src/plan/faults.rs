//! What goes wrong when: faults, kills, partitions, clocks. Each kind is drawn apart, so that a new
//! one leaves the seeds kept from before it as they were.

use std::time::Duration;

use fastrand::Rng;
use phalanx_protocol::room::RoomName;

use super::{Action, Deaf, Peer, Plan, SPAN, moment};
use crate::clock::Clock;

impl Plan {
    pub(super) fn add_faults(&mut self, rng: &mut Rng) {
        // A third of the runs are calm, so that what is lost in quiet shows too.
        let faults = if rng.u8(0..3) == 0 { 0 } else { rng.usize(1..12) };
        for _ in 0..faults {
            let at = moment(rng, SPAN);
            let action = self.fault(rng);
            self.actions.push((at, action));
        }
    }

    pub(super) fn fault(&self, rng: &mut Rng) -> Action {
        let engine = rng.usize(0..self.slots.len());
        match rng.u8(0..12) {
            0..=2 => Action::Cut(Peer::Engine(engine)),
            3 | 4 => Action::Cut(Peer::Client(rng.usize(0..self.clients))),
            5 | 6 => Action::KillEngine { engine, reported: rng.bool() },
            7 | 8 => Action::PauseEngine(engine, Duration::from_millis(rng.u64(10..40_000))),
            9 if self.clients > 1 => Action::KillClient(rng.usize(1..self.clients)),
            10 if self.remote_rooms => {
                if rng.bool() {
                    Action::KillRooms
                } else {
                    Action::Cut(Peer::Rooms)
                }
            }
            _ => Action::PanicRoom(if rng.bool() { RoomName::Dag } else { RoomName::Scheduler }),
        }
    }

    /// In every third run some aborts kill, and there are more of them, some soon after each other.
    pub(super) fn add_kills(&mut self, rng: &mut Rng) {
        if rng.u8(0..3) > 0 {
            return;
        }
        let after = |rng: &mut Rng| Duration::from_millis(rng.u64(0..4_000));
        for (_, action) in &mut self.actions {
            if let Action::Abort(client, back) = *action
                && rng.bool()
            {
                *action = Action::AbortOrKill(client, back, after(rng));
            }
        }
        for _ in 0..rng.usize(1..8) {
            let (at, client) = (moment(rng, SPAN), rng.usize(0..self.clients));
            let kill = Action::AbortOrKill(client, rng.usize(0..6), after(rng));
            self.actions.push((at, kill));
        }
    }

    /// In every third run there are partitions, some of many peers at once or one after the other.
    pub(super) fn add_partitions(&mut self, rng: &mut Rng) {
        if rng.u8(0..3) > 0 {
            return;
        }
        for _ in 0..rng.usize(1..8) {
            let engine = rng.usize(0..self.slots.len());
            let peer = match rng.u8(0..6) {
                0 => Peer::Client(rng.usize(0..self.clients)),
                1 if self.remote_rooms => Peer::Rooms,
                _ => Peer::Engine(engine),
            };
            let deaf = [Deaf::Both, Deaf::Hub, Deaf::Peer][rng.usize(0..3)];
            let lasts = Duration::from_millis(rng.u64(1_000..60_000));
            self.actions.push((moment(rng, SPAN), Action::Partition(peer, lasts, deaf)));
        }
    }

    /// In every fourth run no two clocks agree.
    pub(super) fn set_clocks(&mut self, rng: &mut Rng) {
        if rng.u8(0..4) == 0 {
            self.clocks.fill_with(|| Clock::any(rng));
        }
    }
}
