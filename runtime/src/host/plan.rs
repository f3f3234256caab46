//! What the host does next: start order, restarts, their limits, and the order of a stop.
//!
//! A pure state machine: events in, effects out, time as a value. The shell in `host/mod.rs` spawns,
//! signals and reaps as it is told here and decides nothing. Only `host` may call it.
//!
//! ```text
//! start:  keeper and hub ready -> scheduler ready -> every engine ready -> running
//! stop:   engines and scheduler (grace, then kill) -> hub (the same) -> keeper -> finished
//! death:  restart at once, then after growing pauses; past the limit give up on an engine,
//!         or stop the cluster if it was the hub or the scheduler
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use crate::host::cause::Cause;
use crate::host::plan_events::{Effect, Event, PlanLimits};
use crate::host::process::{Phase, Process, ProcessState, ProcessStatus};
use crate::limits;

#[path = "plan_engines.rs"]
mod engines;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Planned,
    Spawning,
    Starting { pid: u32, ready_by: Option<Duration> },
    Up { pid: u32 },
    Paused { until: Duration },
    Stopping { pid: u32, kill_at: Option<Duration> },
    Gone,
    GivenUp,
}

impl Life {
    fn pid(self) -> Option<u32> {
        match self {
            Self::Starting { pid, .. } | Self::Up { pid } | Self::Stopping { pid, .. } => Some(pid),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Slot {
    process: Process,
    life: Life,
    restarts: u64,
    recent: VecDeque<Duration>,
    last_exit: Option<String>,
    retired: bool,
    /// It was told to end, to be started again.
    comes_again: bool,
}

/// The state machine of one cluster's processes on one machine.
#[derive(Debug)]
pub struct Plan {
    limits: PlanLimits,
    phase: Phase,
    failed: bool,
    slots: Vec<Slot>,
}

impl Plan {
    /// A plan for these processes.
    pub fn new(processes: impl IntoIterator<Item = Process>, limits: PlanLimits) -> Self {
        let slots = processes.into_iter().map(Slot::new).collect();
        Self { limits, phase: Phase::Starting, failed: false, slots }
    }

    /// How far the cluster is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Each process as `status` shows it.
    pub fn statuses(&self) -> Vec<ProcessStatus> {
        self.slots.iter().map(Slot::status).collect()
    }

    /// The process with this id, while it lives.
    pub fn process_of(&self, pid: u32) -> Option<Process> {
        self.slots.iter().find(|slot| slot.life.pid() == Some(pid)).map(|slot| slot.process)
    }

    /// When [`Event::Due`] must be told next.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.slots.iter().filter_map(|slot| slot.deadline()).min()
    }

    /// Takes in what happened and says what is to be done.
    pub fn handle(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Begin => {}
            Event::Spawned { process, pid } => self.on_spawned(now, process, pid, effects),
            Event::SpawnFailed { process, reason } => {
                self.on_spawn_failed(now, process, &reason, effects);
            }
            Event::Ready { pid } => self.on_ready(pid),
            Event::Exited { pid, cause } => self.on_exited(now, pid, cause, effects),
            Event::Unusable { process, reason } => self.fail(now, process, reason, effects),
            Event::Retired(process) => self.on_retired(process),
            Event::EngineAdded(index) => self.on_engine_added(index),
            Event::EngineUnwanted(index) => self.on_engine_unwanted(now, index, effects),
            Event::RestartAsked(index) => self.on_restart_asked(now, index, effects),
            Event::KillAsked { engine, pid } => self.on_kill_asked(engine, pid, effects),
            Event::StopWanted if self.phase == Phase::Stopping => {}
            Event::StopWanted => self.on_stop_asked(now, effects),
            Event::StopAsked => self.on_stop_asked(now, effects),
            Event::Due => self.on_due(now, effects),
        }
        self.advance(now, effects);
    }

    fn on_spawned(&mut self, now: Duration, process: Process, pid: u32, effects: &mut Vec<Effect>) {
        let ready_by = self.ready_by(now, process);
        let is_stopping = self.phase == Phase::Stopping;
        let Some(slot) = self.slot_mut(process) else {
            return;
        };
        slot.life = Life::Starting { pid, ready_by };
        if is_stopping {
            self.stop_process(now, process, effects);
        }
    }

    fn on_retired(&mut self, process: Process) {
        let Some(slot) = self.slot_mut(process) else {
            return;
        };
        slot.retired = true;
        if matches!(slot.life, Life::Planned | Life::Paused { .. }) {
            slot.life = Life::Gone;
        }
    }

    /// A restarted engine is ready when the hub has it back, which may be long if the hub is ill:
    /// only the hub and the scheduler, and the engines of a start, have a deadline.
    fn ready_by(&self, now: Duration, process: Process) -> Option<Duration> {
        match process {
            Process::Keeper | Process::Hub | Process::Scheduler => {
                Some(now + self.limits.hub_ready_max)
            }
            Process::Engine(_) if self.phase == Phase::Starting => {
                Some(now + self.limits.engines_ready_max)
            }
            Process::Engine(_) => None,
        }
    }

    fn on_spawn_failed(
        &mut self,
        now: Duration,
        process: Process,
        reason: &str,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(slot) = self.slot_mut(process) {
            slot.life = Life::Gone;
            slot.last_exit = Some(reason.to_owned());
        }
        self.on_lost(now, process, reason, effects);
    }

    fn on_ready(&mut self, pid: u32) {
        for slot in &mut self.slots {
            if matches!(slot.life, Life::Starting { pid: starting, .. } if starting == pid) {
                slot.life = Life::Up { pid };
            }
        }
    }

    fn on_exited(&mut self, now: Duration, pid: u32, cause: Cause, effects: &mut Vec<Effect>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.life.pid() == Some(pid)) else {
            return;
        };
        let process = slot.process;
        let was_asked = slot.retired || matches!(slot.life, Life::Stopping { .. });
        let comes_again = std::mem::take(&mut slot.comes_again);
        slot.life = if comes_again { Life::Planned } else { Life::Gone };
        slot.last_exit = Some(cause.to_string());
        effects.push(Effect::Bury { process, pid, cause });
        if !was_asked {
            self.on_lost(now, process, &cause.to_string(), effects);
        }
    }

    /// A process is gone that nobody told to go.
    fn on_lost(
        &mut self,
        now: Duration,
        process: Process,
        reason: &str,
        effects: &mut Vec<Effect>,
    ) {
        match self.phase {
            Phase::Starting => self.fail(now, process, reason.to_owned(), effects),
            Phase::Running => self.restart_or_give_up(now, process, reason, effects),
            Phase::Stopping | Phase::Stopped | Phase::Failed => {}
        }
    }

    fn restart_or_give_up(
        &mut self,
        now: Duration,
        process: Process,
        reason: &str,
        effects: &mut Vec<Effect>,
    ) {
        let limits = self.limits;
        let Some(slot) = self.slot_mut(process) else {
            return;
        };
        slot.recent.retain(|at| *at + limits.restart_window > now);
        if slot.recent.len() < limits.restarts_max {
            let pause = restart_pause(slot.recent.len());
            slot.recent.push_back(now);
            slot.restarts += 1;
            slot.life = Life::Paused { until: now + pause };
            return;
        }
        slot.life = Life::GivenUp;
        let reason = format!(
            "died {} times within {} s, the last time: {reason}",
            slot.recent.len() + 1,
            limits.restart_window.as_secs()
        );
        match process {
            Process::Engine(_) | Process::Keeper => {
                effects.push(Effect::GaveUp { process, reason });
            }
            Process::Hub | Process::Scheduler => self.fail(now, process, reason, effects),
        }
    }

    fn fail(&mut self, now: Duration, process: Process, reason: String, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Starting && self.phase != Phase::Running {
            return;
        }
        self.failed = true;
        effects.push(Effect::Fail { process, reason });
        self.begin_stop(now, effects);
    }

    fn on_stop_asked(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Starting | Phase::Running => self.begin_stop(now, effects),
            Phase::Stopping => self.kill_all(effects),
            Phase::Stopped | Phase::Failed => {}
        }
    }

    fn begin_stop(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.phase = Phase::Stopping;
        self.stop_rank(now, 0, effects);
    }

    /// Tells the processes of a rank to stop; says whether all of them have ended.
    fn stop_rank(&mut self, now: Duration, rank: u8, effects: &mut Vec<Effect>) -> bool {
        let processes: Vec<Process> = self
            .slots
            .iter()
            .filter(|slot| !slot.has_ended() && stop_rank_of(slot.process) == rank)
            .map(|slot| slot.process)
            .collect();
        for process in &processes {
            self.stop_process(now, *process, effects);
        }
        let in_rank = |slot: &&Slot| stop_rank_of(slot.process) == rank;
        self.slots.iter().filter(in_rank).all(Slot::has_ended)
    }

    fn stop_process(&mut self, now: Duration, process: Process, effects: &mut Vec<Effect>) {
        let kill_at = now + self.limits.stop_grace;
        let Some(slot) = self.slot_mut(process) else {
            return;
        };
        match slot.life {
            Life::Starting { pid, .. } | Life::Up { pid } => {
                slot.life = Life::Stopping { pid, kill_at: Some(kill_at) };
                effects.push(Effect::Terminate { process, pid });
            }
            Life::Planned | Life::Paused { .. } => slot.life = Life::Gone,
            // A process being spawned is told when it has an id; the others have ended or were told.
            Life::Spawning | Life::Stopping { .. } | Life::Gone | Life::GivenUp => {}
        }
    }

    fn kill_all(&mut self, effects: &mut Vec<Effect>) {
        for slot in &mut self.slots {
            if let Some(pid) = slot.life.pid() {
                slot.life = Life::Stopping { pid, kill_at: None };
                effects.push(Effect::Kill { process: slot.process, pid });
            }
        }
    }

    fn on_due(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let mut late = None;
        for slot in &mut self.slots {
            let process = slot.process;
            match slot.life {
                Life::Starting { pid, ready_by: Some(by) } if by <= now => {
                    slot.life = Life::Starting { pid, ready_by: None };
                    effects.push(Effect::Kill { process, pid });
                    late = late.or(Some(process));
                }
                Life::Stopping { pid, kill_at: Some(at) } if at <= now => {
                    slot.life = Life::Stopping { pid, kill_at: None };
                    effects.push(Effect::Kill { process, pid });
                }
                _ => {}
            }
        }
        // While the cluster runs, the kill above ends as a death and a restart like any other.
        if let (Some(process), Phase::Starting) = (late, self.phase) {
            self.fail(now, process, "was not ready in time".to_owned(), effects);
        }
    }

    /// The next step that has become possible: of the start, of a restart, or of the stop.
    fn advance(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Starting => self.advance_start(effects),
            Phase::Running => self.advance_restarts(now, effects),
            Phase::Stopping => self.advance_stop(now, effects),
            Phase::Stopped | Phase::Failed => {}
        }
    }

    fn advance_start(&mut self, effects: &mut Vec<Effect>) {
        let is_up = |slot: &Slot| matches!(slot.life, Life::Up { .. }) || slot.retired;
        let waiting = self.slots.iter().filter(|slot| !is_up(slot));
        let Some(rank) = waiting.map(|slot| start_rank_of(slot.process)).min() else {
            self.phase = Phase::Running;
            effects.push(Effect::Started);
            return;
        };
        for slot in &mut self.slots {
            if slot.life == Life::Planned && start_rank_of(slot.process) == rank {
                slot.spawn(effects);
            }
        }
    }

    fn advance_restarts(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        for slot in &mut self.slots {
            let is_due = match slot.life {
                Life::Planned => true,
                Life::Paused { until } => until <= now,
                _ => false,
            };
            if is_due {
                slot.spawn(effects);
            }
        }
    }

    fn advance_stop(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        for rank in 0..STOP_RANKS {
            if !self.stop_rank(now, rank, effects) {
                return;
            }
        }
        self.phase = if self.failed { Phase::Failed } else { Phase::Stopped };
        effects.push(Effect::Finish);
    }

    fn slot_mut(&mut self, process: Process) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.process == process)
    }
}

/// Processes of a rank start together, when those of the ranks before are ready.
fn start_rank_of(process: Process) -> u8 {
    match process {
        Process::Keeper | Process::Hub => 0,
        Process::Scheduler => 1,
        Process::Engine(_) => 2,
    }
}

const STOP_RANKS: u8 = 3;

/// Processes of a rank stop together, when those of the ranks before have ended.
fn stop_rank_of(process: Process) -> u8 {
    match process {
        Process::Engine(_) | Process::Scheduler => 0,
        Process::Hub => 1,
        Process::Keeper => STOP_RANKS - 1,
    }
}

impl Slot {
    fn new(process: Process) -> Self {
        Self {
            process,
            life: Life::Planned,
            restarts: 0,
            recent: VecDeque::new(),
            last_exit: None,
            retired: false,
            comes_again: false,
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.life, Life::Gone | Life::GivenUp)
    }

    fn spawn(&mut self, effects: &mut Vec<Effect>) {
        self.life = Life::Spawning;
        effects.push(Effect::Spawn(self.process));
    }

    fn deadline(&self) -> Option<Duration> {
        match self.life {
            Life::Starting { ready_by, .. } => ready_by,
            Life::Paused { until } => Some(until),
            Life::Stopping { kill_at, .. } => kill_at,
            _ => None,
        }
    }

    fn status(&self) -> ProcessStatus {
        let state = match self.life {
            Life::Planned => ProcessState::Planned,
            Life::Spawning | Life::Starting { .. } => ProcessState::Starting,
            Life::Up { .. } => ProcessState::Running,
            Life::Paused { .. } => ProcessState::Restarting,
            Life::Stopping { .. } => ProcessState::Stopping,
            Life::Gone => ProcessState::Stopped,
            Life::GivenUp => ProcessState::Failed,
        };
        ProcessStatus {
            process: self.process,
            state,
            pid: self.life.pid(),
            restarts: self.restarts,
            last_exit: self.last_exit.clone(),
        }
    }
}

/// The pause before a restart, after so many others in the window.
fn restart_pause(recent: usize) -> Duration {
    let Some(doublings) = recent.checked_sub(1) else {
        return Duration::ZERO;
    };
    let factor = 1_u32.checked_shl(doublings.try_into().unwrap_or(u32::MAX)).unwrap_or(u32::MAX);
    limits::RESTART_PAUSE.saturating_mul(factor).min(limits::RESTART_PAUSE_MAX)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
