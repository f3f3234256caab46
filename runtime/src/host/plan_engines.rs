//! Engines of a running cluster: more of them, fewer, and the same again.
//!
//! Part of the plan, by what somebody asked for at the control socket. Deaths that were asked for
//! do not count against an engine's restarts.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Life, Plan, Slot};
use crate::host::plan_events::Effect;
use crate::host::process::{Phase, Process};

impl Plan {
    /// The process id of an engine that is there, or comes; `None` if there is none of this index.
    pub fn engine(&self, index: u32) -> Option<Option<u32>> {
        let is_it = |slot: &&Slot| slot.process == Process::Engine(index) && !slot.retired;
        self.slots.iter().find(is_it).map(|slot| slot.life.pid())
    }

    /// How many engines there are or shall be.
    pub fn engine_count(&self) -> usize {
        let is_engine = |slot: &&Slot| matches!(slot.process, Process::Engine(_)) && !slot.retired;
        self.slots.iter().filter(is_engine).count()
    }

    /// The first index that no engine has had.
    pub fn next_engine(&self) -> u32 {
        let indices = self.slots.iter().filter_map(|slot| match slot.process {
            Process::Engine(index) => Some(index + 1),
            _ => None,
        });
        indices.max().unwrap_or(0)
    }

    pub(super) fn on_engine_added(&mut self, index: u32) {
        let is_known = self.slots.iter().any(|slot| slot.process == Process::Engine(index));
        if !is_known && matches!(self.phase, Phase::Starting | Phase::Running) {
            self.slots.push(Slot::new(Process::Engine(index)));
        }
    }

    pub(super) fn on_engine_unwanted(
        &mut self,
        now: Duration,
        index: u32,
        effects: &mut Vec<Effect>,
    ) {
        let process = Process::Engine(index);
        if let Some(slot) = self.slot_mut(process) {
            slot.retired = true;
            slot.comes_again = false;
            self.stop_process(now, process, effects);
        }
    }

    /// It cannot be asked: what it runs heeds nothing. While it is being stopped, or after, it is
    /// not to come again.
    pub(super) fn on_kill_asked(&mut self, index: u32, pid: u32, effects: &mut Vec<Effect>) {
        let process = Process::Engine(index);
        let is_on = matches!(self.phase, Phase::Starting | Phase::Running);
        let Some(slot) = self.slot_mut(process).filter(|slot| is_on && !slot.retired) else {
            return;
        };
        if matches!(slot.life, Life::Starting { pid: its, .. } | Life::Up { pid: its } if its == pid)
        {
            slot.life = Life::Stopping { pid, kill_at: None };
            slot.restarts += 1;
            slot.comes_again = true;
            effects.push(Effect::Kill { process, pid });
        }
    }

    pub(super) fn on_restart_asked(
        &mut self,
        now: Duration,
        index: u32,
        effects: &mut Vec<Effect>,
    ) {
        let process = Process::Engine(index);
        let is_running = self.phase == Phase::Running;
        let Some(slot) = self.slot_mut(process).filter(|slot| is_running && !slot.retired) else {
            return;
        };
        slot.recent = VecDeque::new();
        slot.restarts += 1;
        if slot.has_ended() || matches!(slot.life, Life::Paused { .. }) {
            slot.life = Life::Planned;
        } else {
            slot.comes_again = true;
            self.stop_process(now, process, effects);
        }
    }
}
