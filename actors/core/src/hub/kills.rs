//! Engines that are killed because somebody asked for it: an abort that says after how long the
//! engine of a task that does not end is to go (`kill_after`).
//!
//! The hub keeps the deadline, since it alone knows when the task has ended. When it has come it
//! asks engine and hosts to end the process, and remembers why; the death itself comes by the ways
//! on which any death comes (`engines`), and is put down to no task. An engine that is asked and
//! comes back all the same, because its session was cut, is asked again.
//!
//! Called by `requests` with the wish, by `tries` when a deadline has come, and by `engines`.

use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::limits::KILL_AFTER_MIN;

use super::explain::seconds;
use super::{EngineOrder, HostOrder, Hub, HubEffect};
use crate::Time;

/// Why an engine is lost.
#[derive(Debug)]
pub(super) struct Death {
    /// In words.
    pub(super) cause: String,
    /// Whether somebody asked for it, so that it is nobody's doing who was there.
    pub(super) is_asked: bool,
}

impl Hub {
    /// A task was aborted: if an engine has it, and has it still so much later, the engine is
    /// killed. Of several wishes the soonest counts.
    pub(super) fn kill_later(&mut self, now: Time, id: TaskId, kill_after: Duration) {
        let Some(task) = self.ledger.get_mut(id) else { return };
        if task.state().engine().is_none() {
            return;
        }
        let kill_after = kill_after.max(KILL_AFTER_MIN);
        let kill_at = now + kill_after;
        let tries = task.tries.get_or_insert_default();
        if let Some((earlier, _)) = tries.kill_at {
            if earlier <= kill_at {
                return;
            }
            self.clocks.kills.remove(&(earlier, id));
        }
        tries.kill_at = Some((kill_at, kill_after));
        self.clocks.kills.insert((kill_at, id));
    }

    /// The task has not ended in time.
    pub(super) fn on_kill_due(&mut self, id: TaskId, effects: &mut Vec<HubEffect>) {
        let Some(task) = self.ledger.get_mut(id) else { return };
        let after = task.tries.as_mut().and_then(|tries| tries.kill_at.take());
        let (Some((_, after)), Some(engine)) = (after, task.state().engine()) else { return };
        let reason =
            format!("killed: task {id} did not end within {} of its abort", seconds(after));
        if let Some(engine) = self.registry.get_mut(engine) {
            engine.condemned.get_or_insert((reason, false));
        }
        self.ask_condemned(engine, effects);
    }

    /// Asks an engine that is to be killed, and its host, to see to it.
    pub(super) fn ask_condemned(&mut self, id: EngineId, effects: &mut Vec<HubEffect>) {
        let Some(engine) = self.registry.get(id) else { return };
        let Some((reason, _)) = engine.condemned.clone() else { return };
        let profile = engine.profile();
        let mut is_asked = engine.session().is_some();
        if let Some(name) = &profile.name {
            let kill =
                HostOrder::Kill { name: name.clone(), pid: profile.pid, reason: reason.clone() };
            let hosts = self.host_sessions();
            is_asked |= !hosts.is_empty();
            let hosts = hosts.into_iter();
            effects.extend(hosts.map(|host| HubEffect::ToHost(host, kill.clone())));
        }
        // A host may be gone, or this engine nobody's.
        if let Some(session) = engine.session() {
            effects.push(HubEffect::ToEngine(session, EngineOrder::End(reason)));
        }
        // One that nobody could be asked to end does not die of it.
        if let Some((_, asked)) =
            self.registry.get_mut(id).and_then(|engine| engine.condemned.as_mut())
        {
            *asked |= is_asked;
        }
    }

    /// What an engine that is lost dies of.
    pub(super) fn death_of(&mut self, id: EngineId, cause: &str) -> Death {
        let condemned = self.registry.get_mut(id).and_then(|engine| engine.condemned.take());
        match condemned {
            Some((reason, true)) => Death { cause: reason, is_asked: true },
            Some((_, false)) | None => Death { cause: cause.to_owned(), is_asked: false },
        }
    }
}
