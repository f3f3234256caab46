//! Chains: tasks each of which waits for the one before, so that engines are sent them ahead.

use std::time::Duration;

use fastrand::Rng;
use phalanx_core::scheduler::Hwm;
use phalanx_protocol::task::{Accept, Quorum};

use super::{Action, Aim, Behaviour, Plan, SPAN, Ties, Wish, moment};

impl Plan {
    /// In every fourth run there are chains of mostly short tasks, engines have room for some of them
    /// at once, and in every other chain something fails in the middle.
    pub(super) fn add_chains(&mut self, rng: &mut Rng) {
        if rng.u8(0..4) > 0 {
            return;
        }
        if rng.bool() {
            self.placement =
                self.placement.with_hwm(Hwm::Fixed(*rng.choice(&[0, 2, 5]).unwrap_or(&2)));
        }
        for _ in 0..rng.usize(1..5) {
            let (at, client) = (moment(rng, SPAN), rng.usize(0..self.clients));
            for link in 0..rng.usize(2..20) {
                let wish = self.link(rng, link > 0);
                self.actions.push((at, Action::Submit(client, wish)));
            }
            if rng.bool() {
                let fault = self.fault(rng);
                self.actions.push((at + Duration::from_millis(rng.u64(0..200)), fault));
            }
        }
    }

    /// A task that waits for the one before.
    fn link(&self, rng: &mut Rng, tied: bool) -> Wish {
        let quorum = if rng.u8(0..8) == 0 { Quorum::Any } else { Quorum::All };
        let accept = if rng.u8(0..8) == 0 { Accept::Either } else { Accept::Success };
        let ties = tied.then(|| Ties { back: vec![1], quorum, accept });
        let (after, follow) = match rng.u8(0..4) {
            0 => (None, ties),
            1 => (ties.clone(), ties),
            _ => (ties, None),
        };
        let runs = match rng.u8(0..8) {
            0 => Duration::from_millis(rng.u64(0..500)),
            _ => Duration::from_micros(rng.u64(0..500)),
        };
        let behaviour = match rng.u8(0..30) {
            0 => Behaviour::Crash,
            1 => Behaviour::Raise,
            2 => Behaviour::Flaky(rng.u8(1..3)),
            _ => Behaviour::Return(rng.u32(0..200)),
        };
        let retries = (rng.u8(0..4) == 0).then(|| (2, Duration::from_millis(rng.u64(0..50))));
        let (aim, timeout) = (Aim::Any, None);
        Wish { aim, behaviour, runs, after, follow, timeout, retries, ..self.wish(rng) }
    }
}
