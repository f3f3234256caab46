//! The rooms beside the hub: what they decide, and how they are re-created when they are lost.
//!
//! Each life of a room has a generation; what an earlier one said is dropped. A room that panicked
//! begins a new life at once, filled from the ledger. A task at whose event a room panicked twice
//! ends as failed before the next life begins; too many restarts in a while stop the hub.

use std::collections::VecDeque;

use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{Generation, SessionId, TaskId};
use phalanx_protocol::limits::{PANICS_PER_TASK_MAX, ROOM_RESTART_WINDOW, ROOM_RESTARTS_MAX};
use phalanx_protocol::outcome::{DependencyFailure, Impossible, Outcome, RemoteError};
use phalanx_protocol::room::{
    Condition, DagVerdict, Known, ReadyTask, RoomName, SchedulerVerdict, WaitingTask,
};

use super::ledger::TaskState;
use super::sessions::Peer;
use super::submit::rejected;
use super::task_list::KeptDependency;
use super::{Hub, HubEffect};
use crate::Time;
use crate::dag::DagEvent;
use crate::scheduler::SchedulerEvent;

/// Where rooms can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Site {
    /// Nowhere at the moment: what is for them is in the ledger, and waits.
    #[default]
    Nowhere,
    /// In the hub process.
    Here,
    /// In the process behind this session.
    Behind(SessionId),
}

/// One room beside the hub.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) generation: Generation,
    pub(super) up: bool,
    pub(super) restarts: u32,
    recent: VecDeque<Time>,
}

/// The rooms beside the hub.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    site: Site,
    pub(super) dag: Beside,
    pub(super) scheduler: Beside,
}

impl Rooms {
    pub(super) const fn get(&self, room: RoomName) -> &Beside {
        match room {
            RoomName::Dag => &self.dag,
            RoomName::Scheduler => &self.scheduler,
        }
    }

    const fn get_mut(&mut self, room: RoomName) -> &mut Beside {
        match room {
            RoomName::Dag => &mut self.dag,
            RoomName::Scheduler => &mut self.scheduler,
        }
    }
}

impl Hub {
    /// The session of the process that runs the rooms; `None` if they run here, or nowhere.
    pub fn rooms_session(&self) -> Option<SessionId> {
        match self.rooms.site {
            Site::Behind(session) => Some(session),
            Site::Here | Site::Nowhere => None,
        }
    }

    pub(super) fn tell_dag(&self, event: DagEvent, effects: &mut Vec<HubEffect>) {
        if self.rooms.dag.up {
            effects.push(HubEffect::ToDag(self.rooms.dag.generation, event));
        }
    }

    pub(super) fn tell_scheduler(&self, event: SchedulerEvent, effects: &mut Vec<HubEffect>) {
        if self.rooms.scheduler.up {
            effects.push(HubEffect::ToScheduler(self.rooms.scheduler.generation, event));
        }
    }

    /// Gives a task to the dag.
    pub(super) fn hold(&mut self, now: Time, id: TaskId, effects: &mut Vec<HubEffect>) {
        self.ledger.set_state(id, TaskState::Waiting);
        self.tell_dag_to_hold(now, id, effects);
    }

    fn tell_dag_to_hold(&mut self, now: Time, id: TaskId, effects: &mut Vec<HubEffect>) {
        let Some(task) = self.ledger.get(id) else { return };
        let deadline = task.waits.as_ref().and_then(|waits| waits.deadline);
        let after = task.after.as_ref().map(Condition::from);
        let follow = task.follow().map(Condition::from);
        let waiting = WaitingTask {
            task: id,
            after: after.map(|after| self.with_known(after)),
            follow: follow.map(|follow| self.with_known(follow)),
            timeout_ms: deadline.map(|end| millis_up(end.since(now))),
        };
        self.tell_dag(DagEvent::Hold(waiting), effects);
    }

    /// The same, with what is known of its tasks. A task that fell off the record since it was
    /// submitted counts as one that ended otherwise.
    fn with_known(&mut self, mut condition: Condition) -> Condition {
        for (id, known) in &mut condition.tasks {
            *known = match self.ledger.get_mut(*id) {
                Some(task) => {
                    task.watched = true;
                    task.state().engine().map_or(Known::Open, Known::Assigned)
                }
                None => Known::Ended(self.results.ending(*id).unwrap_or_default()),
            };
        }
        condition
    }

    /// Gives a task to the scheduler.
    pub(super) fn place(&mut self, now: Time, id: TaskId, effects: &mut Vec<HubEffect>) {
        if let Some(ready) = self.ready(now, id, effects) {
            self.tell_scheduler(SchedulerEvent::Place(ready), effects);
        }
    }

    /// A task is ready from now on: as the scheduler is to be told of it. `None` if there is no
    /// engine left for it, or no engine can be sent its arguments, and it has ended; or if it was sent
    /// ahead and is not ready yet.
    pub(super) fn ready(
        &mut self,
        now: Time,
        id: TaskId,
        effects: &mut Vec<HubEffect>,
    ) -> Option<ReadyTask> {
        if self.waits_on(id, effects) {
            return None;
        }
        self.ledger.set_state(id, TaskState::Ready);
        self.as_ready(now, id, effects)
    }

    /// A task as the scheduler is to be told of it, once it is ready.
    pub(super) fn as_ready(
        &mut self,
        now: Time,
        id: TaskId,
        effects: &mut Vec<HubEffect>,
    ) -> Option<ReadyTask> {
        let task = self.ledger.get(id)?;
        if let Err(refusal) = self.check_arguments(task) {
            self.end_without_result(now, id, rejected(&refusal), effects);
            return None;
        }
        let (mut follows, mut engines) = (task.followed().is_some(), task.allowed());
        let (method, alone) = (Some(task.method.clone()), task.suspect);
        let (priority, needs) = (task.priority(), task.needs().cloned());
        if let Some(left) = self.candidates(id) {
            self.narrow(id, &left);
            (follows, engines) = (true, Some(left));
        }
        if follows && engines.as_ref().is_some_and(Vec::is_empty) {
            self.end_unplaceable(now, id, effects);
            return None;
        }
        Some(ReadyTask { task: id, method, engines, follows, alone, priority, needs })
    }

    fn end_unplaceable(&mut self, now: Time, id: TaskId, effects: &mut Vec<HubEffect>) {
        if self.is_choosy(id) {
            return self.end_with_last_error(now, id, effects);
        }
        let task = self.ledger.get(id);
        let failure = DependencyFailure {
            reason: Impossible::FollowedEngineGone,
            culprit: task.and_then(|task| task.follow()?.tasks.iter().next()),
            engine: task.and_then(|task| task.followed()?.first().copied()),
        };
        let outcome = Outcome::DependencyFailed(Box::new(failure));
        self.end_without_result(now, id, outcome, effects);
    }

    pub(super) fn is_in(&self, id: TaskId, state: TaskState) -> bool {
        self.ledger.get(id).is_some_and(|task| task.state() == state)
    }

    pub(super) fn on_dag_verdict(
        &mut self,
        now: Time,
        generation: Generation,
        id: TaskId,
        verdict: DagVerdict,
        effects: &mut Vec<HubEffect>,
    ) {
        let is_waiting = self.is_in(id, TaskState::Waiting);
        if generation != self.rooms.dag.generation || !is_waiting && !self.ahead.contains(&id) {
            return;
        }
        match verdict {
            DagVerdict::Nearly(waits_for) => self.on_nearly_ready(now, id, waits_for, effects),
            DagVerdict::Ready(followed) => {
                if let Some(task) = self.ledger.get_mut(id) {
                    task.note_met(followed);
                }
                let was_ahead = self.ahead.remove(&id);
                if !was_ahead {
                    self.place(now, id, effects);
                } else if self.follows_elsewhere(id) {
                    self.call_off(now, id, effects);
                }
            }
            DagVerdict::Impossible(failure) => {
                let outcome = Outcome::DependencyFailed(Box::new(failure));
                self.end_without_result(now, id, outcome, effects);
            }
            DagVerdict::TimedOut => {
                self.end_without_result(now, id, Outcome::DependencyTimeout, effects);
            }
        }
    }

    pub(super) fn on_scheduler_verdict(
        &mut self,
        now: Time,
        generation: Generation,
        id: TaskId,
        verdict: SchedulerVerdict,
        effects: &mut Vec<HubEffect>,
    ) {
        if generation != self.rooms.scheduler.generation {
            return;
        }
        let is_ready = self.is_in(id, TaskState::Ready);
        match verdict {
            SchedulerVerdict::TakeBack(engine) => self.on_take_back(id, engine, effects),
            SchedulerVerdict::Assign(engine) if self.is_in(id, TaskState::Waiting) => {
                self.begin_ahead(id, engine, effects);
            }
            _ if !is_ready => {}
            SchedulerVerdict::Assign(engine) if self.is_present(engine) => {
                self.begin_attempt(id, engine, effects);
            }
            // The engine died meanwhile; the scheduler knows by now, and chooses again.
            SchedulerVerdict::Assign(_) => self.place(now, id, effects),
            SchedulerVerdict::Unplaceable if self.has_others(id) => self.place(now, id, effects),
            SchedulerVerdict::Unplaceable => self.end_unplaceable(now, id, effects),
        }
    }

    pub(super) fn on_rooms_offered(
        &mut self,
        now: Time,
        session: Option<SessionId>,
        effects: &mut Vec<HubEffect>,
    ) {
        if let Some(session) = session
            && !self.name_session(session, Peer::Rooms)
        {
            return;
        }
        let site = session.map_or(Site::Here, Site::Behind);
        if let Site::Behind(earlier) = std::mem::replace(&mut self.rooms.site, site) {
            let detail = "another process runs the rooms now";
            self.retire_session(earlier, ErrorCode::Replaced, detail, effects);
        }
        for room in RoomName::ALL {
            self.recreate(now, room, effects);
        }
    }

    /// The process that ran the rooms is gone: what is for them waits until another one offers.
    pub(super) fn on_rooms_gone(&mut self, session: SessionId) {
        if self.rooms.site == Site::Behind(session) {
            self.rooms.site = Site::Nowhere;
            for room in RoomName::ALL {
                let beside = self.rooms.get_mut(room);
                beside.up = false;
                beside.restarts += 1;
            }
        }
    }

    pub(super) fn on_room_down(
        &mut self,
        now: Time,
        room: RoomName,
        generation: Generation,
        culprit: Option<TaskId>,
        message: &str,
        effects: &mut Vec<HubEffect>,
    ) {
        let beside = self.rooms.get_mut(room);
        if generation != beside.generation || !beside.up {
            return;
        }
        beside.up = false;
        beside.restarts += 1;
        beside.recent.push_back(now);
        while beside.recent.front().is_some_and(|start| now.since(*start) > ROOM_RESTART_WINDOW) {
            beside.recent.pop_front();
        }
        if beside.recent.len() > ROOM_RESTARTS_MAX {
            let reason = format!(
                "the {room} room panicked {} times within {} s, last: {message}",
                beside.recent.len(),
                ROOM_RESTART_WINDOW.as_secs()
            );
            effects.push(HubEffect::Stop { asked: false, reason });
            return;
        }
        if let Some(culprit) = culprit {
            self.count_panic(now, room, culprit, message, effects);
        }
        self.recreate(now, room, effects);
    }

    fn count_panic(
        &mut self,
        now: Time,
        room: RoomName,
        culprit: TaskId,
        message: &str,
        effects: &mut Vec<HubEffect>,
    ) {
        if self.ledger.get(culprit).is_none() {
            return;
        }
        let panics = self.panics.entry(culprit).or_default();
        *panics += 1;
        if *panics >= PANICS_PER_TASK_MAX {
            let error = RemoteError {
                kind: "internal".into(),
                message: format!("the {room} room panicked at this task's events: {message}"),
                ..RemoteError::default()
            };
            self.end_without_result(now, culprit, Outcome::Failed(Box::new(error)), effects);
        }
    }

    /// Begins a new life of a room and fills it from the ledger.
    fn recreate(&mut self, now: Time, room: RoomName, effects: &mut Vec<HubEffect>) {
        let beside = self.rooms.get_mut(room);
        beside.generation.0 += 1;
        beside.up = true;
        effects.push(HubEffect::Recreate(room, beside.generation));
        match room {
            RoomName::Dag => {
                let mut held = self.ledger.in_order(|task| task.state() == TaskState::Waiting);
                held.extend(&self.ahead);
                for id in held {
                    self.tell_dag_to_hold(now, id, effects);
                }
            }
            RoomName::Scheduler => {
                for engine in self.engines_present() {
                    let capacity = self.capacity(engine);
                    self.tell_scheduler(SchedulerEvent::EngineUp(capacity), effects);
                }
                for id in self.ledger.in_order(|task| task.state() == TaskState::Ready) {
                    self.place(now, id, effects);
                }
            }
        }
    }
}

/// Its tasks once each, and nothing known of them.
impl From<&KeptDependency> for Condition {
    fn from(kept: &KeptDependency) -> Self {
        let mut tasks: Vec<_> = kept.tasks.iter().map(|task| (task, Known::Open)).collect();
        tasks.sort_unstable_by_key(|(task, _)| *task);
        tasks.dedup_by_key(|(task, _)| *task);
        Self { tasks, quorum: kept.quorum, accept: kept.accept }
    }
}

/// Rounded up, so that a deadline is not missed early.
fn millis_up(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
