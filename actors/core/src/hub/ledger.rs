//! The ledger: every task that has not ended, in which state, counted by state.
//!
//! Only the hub writes it. Ended tasks live in [`crate::results`].

use std::sync::Arc;

use phalanx_protocol::function::Function;
use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::needs::{Needs, Resource};
use phalanx_protocol::payload::Payload;
use phalanx_protocol::task::MethodName;

use super::task_list::{KeptDependency, TaskList};
use super::tries::Tries;
use crate::Time;
use crate::task_map::TaskMap;

/// Where a task may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this engine, at most once.
    Direct(EngineId),
    /// On one of these, ascending; `None` = any.
    Balanced(Option<Box<[EngineId]>>),
}

/// What few tasks have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tag {
    /// What its client calls it.
    pub(crate) label: Option<String>,
    /// The task that it runs again. Its client did not send its arguments, and is not granted them.
    pub(crate) again: Option<TaskId>,
}

/// What few tasks have that wait, or waited, for others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Waits {
    pub(crate) follow: Option<KeptDependency>,
    pub(crate) deadline: Option<Time>,
    /// The engines that the dag found to follow to; `None` until it did, or if there is no follow.
    pub(crate) followed: Option<Vec<EngineId>>,
    /// The tasks whose results are among its arguments, in their order.
    pub(crate) inputs: TaskList,
    /// Whether these are kept for it.
    pub(crate) has_pinned: bool,
}

/// How it is to be placed, if it says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Placing {
    pub(crate) priority: i32,
    pub(crate) needs: Option<Needs>,
}

/// What a task that has not ended is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TaskState {
    /// Its payload, or its function, is on its way.
    Arriving,
    /// Its graph is not whole.
    Gathering,
    /// Direct, and behind an arriving task of the same client and engine.
    Held,
    /// Its dependencies are with the dag.
    Waiting,
    /// Its last attempt failed; it is tried again later.
    Pausing,
    /// It is with the scheduler.
    Ready,
    /// Its last attempt was sent, or is to be sent, to this engine.
    Assigned(EngineId),
    /// This engine said that it has been running for some time.
    Running(EngineId),
}

impl TaskState {
    /// The engine that has its last attempt.
    pub(crate) const fn engine(self) -> Option<EngineId> {
        match self {
            Self::Assigned(engine) | Self::Running(engine) => Some(engine),
            Self::Arriving
            | Self::Gathering
            | Self::Held
            | Self::Waiting
            | Self::Pausing
            | Self::Ready => None,
        }
    }
}

/// A task that has not ended. There may be a million of them: what few have is in boxes.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) method: MethodName,
    pub(crate) payload: Payload,
    /// The function that goes with it, once it is here.
    pub(crate) function: Option<Arc<Function>>,
    pub(crate) place: Place,
    /// What it comes after, until the dag says that all is met.
    pub(crate) after: Option<KeptDependency>,
    pub(crate) waits: Option<Box<Waits>>,
    /// How often it may run and how long; where it failed. `None` for most.
    pub(crate) tries: Option<Box<Tries>>,
    pub(crate) tag: Option<Box<Tag>>,
    /// When it was recorded.
    pub(crate) submitted: Time,
    pub(crate) placing: Option<Box<Placing>>,
    state: TaskState,
    /// When it came into its state, among all tasks: the order of rebuilds and resends.
    order: u64,
    pub(crate) attempts: u32,
    /// Whether an engine died while it had this one: from then on it runs alone, so that the next
    /// death is put down to who brings it about.
    pub(crate) suspect: bool,
    /// Whether the dag was told that it is open, and so must be told how it ends.
    pub(crate) watched: bool,
    /// Whether it was aborted while an engine had it.
    pub(crate) abort_requested: bool,
    /// Whether its client does without what it returns.
    pub(crate) stays: bool,
    /// When its last attempt was heard to run.
    pub(crate) running_since: Option<Time>,
}

impl Task {
    /// One for any engine that waits for nothing.
    pub(crate) const fn new(
        submitted: Time,
        method: MethodName,
        payload: Payload,
        function: Option<Arc<Function>>,
    ) -> Self {
        Self {
            method,
            payload,
            function,
            place: Place::Balanced(None),
            after: None,
            waits: None,
            tries: None,
            tag: None,
            submitted,
            placing: None,
            state: TaskState::Arriving,
            order: 0,
            attempts: 0,
            suspect: false,
            watched: false,
            abort_requested: false,
            stays: false,
            running_since: None,
        }
    }

    /// The bytes of arguments that count against its client's grant.
    pub(crate) fn granted_bytes(&self) -> u64 {
        let is_again = self.tag.as_ref().is_some_and(|tag| tag.again.is_some());
        if is_again { 0 } else { self.payload.len() }
    }

    pub(crate) const fn state(&self) -> TaskState {
        self.state
    }

    pub(crate) const fn order(&self) -> u64 {
        self.order
    }

    pub(crate) const fn is_direct(&self) -> bool {
        matches!(self.place, Place::Direct(_))
    }

    /// The engines it may run on, ascending: its targets, its follow, or what both allow.
    pub(crate) fn allowed(&self) -> Option<Vec<EngineId>> {
        let targets = match &self.place {
            Place::Direct(engine) => return Some(vec![*engine]),
            Place::Balanced(targets) => targets.as_deref(),
        };
        match (targets, self.followed()) {
            (None, None) => None,
            (Some(engines), None) | (None, Some(engines)) => Some(engines.to_vec()),
            (Some(targets), Some(followed)) => {
                Some(followed.iter().copied().filter(|engine| targets.contains(engine)).collect())
            }
        }
    }

    /// Of tasks that wait those with a higher one go first.
    pub(crate) fn priority(&self) -> i32 {
        self.placing.as_ref().map_or(0, |placing| placing.priority)
    }

    /// What its engine must have.
    pub(crate) fn needs(&self) -> Option<&Needs> {
        self.placing.as_ref()?.needs.as_ref()
    }

    /// So much of its engine's resources is its own.
    pub(crate) fn amounts(&self) -> &[Resource] {
        self.needs().map_or(&[], |needs| &needs.amounts)
    }

    /// What it follows.
    pub(crate) fn follow(&self) -> Option<&KeptDependency> {
        self.waits.as_ref()?.follow.as_ref()
    }

    /// The tasks it waits, or waited, for, some of them twice.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = TaskId> + '_ {
        let parts = [self.after.as_ref(), self.follow()];
        parts.into_iter().flatten().flat_map(|part| part.tasks.iter())
    }

    /// The dag says that all is met that it waited for, and where it may follow to.
    pub(crate) fn note_met(&mut self, followed: Option<Vec<EngineId>>) {
        self.after = None;
        if let Some(waits) = &mut self.waits {
            waits.followed = followed;
        }
    }

    /// Whether it is for the dag to say when it may go on.
    pub(crate) fn depends(&self) -> bool {
        self.after.is_some() || self.follow().is_some()
    }

    /// The engines it follows to, once they are known.
    pub(crate) fn followed(&self) -> Option<&[EngineId]> {
        self.waits.as_ref().and_then(|waits| waits.followed.as_deref())
    }
}

/// How many tasks are in which group of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) waiting: u64,
    pub(crate) ready: u64,
    pub(crate) assigned: u64,
    pub(crate) running: u64,
}

impl Counts {
    const fn slot(&mut self, state: TaskState) -> &mut u64 {
        match state {
            TaskState::Arriving
            | TaskState::Gathering
            | TaskState::Held
            | TaskState::Waiting
            | TaskState::Pausing => &mut self.waiting,
            TaskState::Ready => &mut self.ready,
            TaskState::Assigned(_) => &mut self.assigned,
            TaskState::Running(_) => &mut self.running,
        }
    }
}

/// Every task that has not ended.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    open: TaskMap<Task>,
    counts: Counts,
    next_order: u64,
}

impl Ledger {
    /// Records a task, in state [`TaskState::Arriving`].
    pub(crate) fn insert(&mut self, id: TaskId, task: Task) {
        *self.counts.slot(task.state) += 1;
        let earlier = self.open.insert(id, task);
        debug_assert!(earlier.is_none(), "{id} recorded twice");
    }

    /// Forgets a task that ended.
    pub(crate) fn remove(&mut self, id: TaskId) -> Option<Task> {
        let task = self.open.remove(&id)?;
        *self.counts.slot(task.state) -= 1;
        Some(task)
    }

    pub(crate) fn get(&self, id: TaskId) -> Option<&Task> {
        self.open.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        self.open.get_mut(&id)
    }

    /// Moves a task to a state, and behind all that came into theirs before.
    pub(crate) fn set_state(&mut self, id: TaskId, state: TaskState) {
        if let Some(task) = self.open.get_mut(&id) {
            *self.counts.slot(task.state) -= 1;
            *self.counts.slot(state) += 1;
            task.state = state;
            task.order = self.next_order;
            self.next_order += 1;
        }
    }

    /// Marks an assigned task as running; its place in the engine's order stays.
    pub(crate) fn mark_running(&mut self, now: Time, id: TaskId) {
        if let Some(task) = self.open.get_mut(&id)
            && let TaskState::Assigned(engine) = task.state
        {
            self.counts.assigned -= 1;
            self.counts.running += 1;
            task.state = TaskState::Running(engine);
            task.running_since = Some(now);
        }
    }

    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// The tasks for which `wanted` holds, in the order they came into their state.
    pub(crate) fn in_order(&self, wanted: impl Fn(&Task) -> bool) -> Vec<TaskId> {
        let mut found: Vec<(u64, TaskId)> = self
            .open
            .iter()
            .filter(|(_, task)| wanted(task))
            .map(|(id, task)| (task.order, *id))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// The first open tasks beyond this one, by id; at most so many. Looks at all of them.
    pub(crate) fn next_ids(&self, after: Option<TaskId>, count: usize) -> Vec<TaskId> {
        let beyond = |id: &TaskId| after.is_none_or(|after| *id > after);
        let mut found: Vec<TaskId> = self.open.keys().copied().filter(beyond).collect();
        if found.len() > count {
            found.select_nth_unstable(count);
            found.truncate(count);
        }
        found.sort_unstable();
        found
    }

    /// The open tasks of one client, in the order they came into their state.
    pub(crate) fn of_client(&self, client: ClientId) -> Vec<TaskId> {
        let mut found: Vec<(u64, TaskId)> = self
            .open
            .iter()
            .filter(|(id, _)| id.client == client)
            .map(|(id, task)| (task.order, *id))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }

    pub(crate) fn check_invariants(&self) {
        let mut counts = Counts::default();
        for (id, task) in self.open.iter() {
            *counts.slot(task.state) += 1;
            assert!(task.order < self.next_order || task.state == TaskState::Arriving, "{id}");
            let is_held = task.state == TaskState::Waiting;
            assert!(!is_held || task.depends(), "{id} waits for nothing");
            let may_wait = task.after.is_some() || task.waits.is_some();
            assert!(!task.is_direct() || !may_wait, "{id} is direct and waits");
            assert!(task.state.engine().is_none() || task.attempts > 0, "{id} has no attempt");
            assert!(
                task.payload.ticket().is_none() || task.state == TaskState::Arriving,
                "{id} goes on without its payload"
            );
        }
        assert_eq!(counts, self.counts, "tasks by state");
    }

    /// Every open task, in no order: for checks only.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        self.open.iter().map(|(id, task)| (*id, task))
    }
}
