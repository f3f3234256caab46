//! What the main loop does of what is asked at the control socket: all of it, or nothing. And of
//! what the hub asks of an engine.
//!
//! Part of the shell. What becomes of an engine is the plan's; here names become indices, and
//! signals go where they are wanted.

use rustix::process::Signal;

use super::{Inbox, Shell, signal_process};
use crate::host::control::{Control, ControlAnswer, ControlWish};
use crate::host::plan_events::Event;
use crate::host::process::Phase;
use crate::limits;

impl Shell<'_> {
    /// Without the socket a cluster does all but change its engines.
    pub(super) fn start_control(&self) -> Option<Control> {
        let inbox = self.sender.clone();
        let ask = move |asked| inbox.try_send(Inbox::Control(asked)).is_ok();
        let control = Control::start(self.lock.dir().path(), ask);
        control.inspect_err(|error| tracing::warn!(%error, "no control socket")).ok()
    }

    /// Does what somebody asked for, or nothing of it.
    pub(super) fn on_wish(&mut self, wish: &ControlWish) -> ControlAnswer {
        let engines = match wish {
            ControlWish::Add { count } => self.new_engines(*count),
            ControlWish::Stop { engines }
            | ControlWish::Restart { engines }
            | ControlWish::Signal { engines, .. } => self.known_engines(engines),
        };
        let indices = match engines {
            Ok(indices) => indices,
            Err(reason) => return ControlAnswer::Error(reason),
        };
        if let ControlWish::Signal { signal, .. } = wish {
            let Some(signal) = Signal::from_named_raw(*signal) else {
                return ControlAnswer::Error(format!("{signal} is not a signal"));
            };
            let pids = indices.iter().filter_map(|index| self.plan.engine(*index).flatten());
            pids.for_each(|pid| signal_process(pid, signal));
        } else {
            for index in &indices {
                self.feed(match wish {
                    ControlWish::Add { .. } => Event::EngineAdded(*index),
                    ControlWish::Restart { .. } => Event::RestartAsked(*index),
                    _ => Event::EngineUnwanted(*index),
                });
            }
        }
        ControlAnswer::Engines(indices.iter().map(|i| self.commands.engine_name(*i)).collect())
    }

    /// The hub tells every host; only one of them has the engine.
    pub(super) fn on_kill_wish(&mut self, name: &str, pid: u32, reason: &str) {
        let engine = self.commands.engine_index(name);
        if let Some(engine) = engine.filter(|index| self.plan.engine(*index) == Some(Some(pid))) {
            tracing::warn!(name, pid, reason, "the hub says that the engine is to be killed");
            self.feed(Event::KillAsked { engine, pid });
        }
    }

    fn new_engines(&self, count: u32) -> Result<Vec<u32>, String> {
        if self.plan.phase() != Phase::Running {
            return Err("the cluster is not running: it starts, or ends".to_owned());
        }
        let have = self.plan.engine_count();
        if have + count as usize > limits::ENGINES_MAX as usize {
            let max = limits::ENGINES_MAX;
            return Err(format!("{have} engines and {count} more are over the limit of {max}"));
        }
        let first = self.plan.next_engine();
        Ok((first..first.saturating_add(count)).collect())
    }

    fn known_engines(&self, names: &[String]) -> Result<Vec<u32>, String> {
        let index = |name: &String| {
            let index = self.commands.engine_index(name);
            let index = index.filter(|index| self.plan.engine(*index).is_some());
            index.ok_or_else(|| format!("there is no engine {name} on this host"))
        };
        names.iter().map(index).collect()
    }
}
