//! The queue: assigned attempts that have not started, and which of them may.
//!
//! An attempt may start when its payload and its function are here, its gates are open, no other
//! attempt at its task runs, and, if it is direct, all earlier ones of its client have ended. Of
//! those that may, the first assigned is next.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use phalanx_protocol::function::Function;
use phalanx_protocol::ids::{AttemptId, ClientId, TaskId, Ticket};
use phalanx_protocol::payload::{Body, Payload};
use phalanx_protocol::task::Assignment;
use rustc_hash::{FxHashMap, FxHashSet};

use super::room::RuleBroken;

/// Queued attempts: at most one for each task. How many is bounded by the room.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By order of assignment. Boxed: a tree moves its neighbours with each entry.
    entries: BTreeMap<u64, Box<Queued>>,
    next_order: u64,
    by_task: FxHashMap<TaskId, u64>,
    by_ticket: FxHashMap<Ticket, u64>,
    /// Those that wait for the function that comes by this stream.
    by_function: BTreeMap<Ticket, BTreeSet<u64>>,
    /// Direct tasks of each client that wait or run.
    lanes: FxHashMap<ClientId, Lane>,
    /// Tasks of which an attempt was handed out and has not ended.
    started: FxHashSet<TaskId>,
    /// Those that wait for each of these tasks, which are their gates.
    by_gate: FxHashMap<TaskId, BTreeSet<u64>>,
    /// Those that may start.
    startable: BTreeSet<u64>,
}

/// An attempt that has not started.
#[derive(Debug)]
pub(super) struct Queued {
    /// What is to be done. Its gates are those that are not open yet.
    pub(super) assignment: Assignment,
    /// The function that goes with it.
    pub(super) function: Option<Needed>,
    /// If it is direct: its client's mark before it came.
    pub(super) mark_before: Option<u64>,
}

/// The function that an attempt needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needed {
    /// It is here.
    Here(Function),
    /// It comes by this stream.
    Arriving(Ticket),
}

impl Needed {
    const fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Here(_) => None,
            Self::Arriving(ticket) => Some(*ticket),
        }
    }
}

impl Queued {
    fn function_ticket(&self) -> Option<Ticket> {
        self.function.as_ref().and_then(Needed::ticket)
    }
}

/// One client's direct tasks.
#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeSet<u64>,
    running: bool,
}

impl Queue {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The attempt at this task that waits.
    pub(super) fn attempt(&self, task: TaskId) -> Option<AttemptId> {
        self.by_task.get(&task).map(|order| self.entries[order].assignment.attempt)
    }

    /// Whether this attempt waits, and could be run elsewhere as well: it is no direct one, and
    /// none that others here wait for.
    pub(super) fn can_spare(&self, attempt: AttemptId) -> bool {
        let queued = self.by_task.get(&attempt.task).and_then(|order| self.entries.get(order));
        let is_spare = queued.is_some_and(|queued| {
            queued.assignment.attempt == attempt && !queued.assignment.direct
        });
        is_spare && !self.waits_for(attempt.task)
    }

    /// Whether others here wait for this task.
    pub(super) fn waits_for(&self, task: TaskId) -> bool {
        self.by_gate.contains_key(&task)
    }

    /// Whether an attempt at this task waits or was handed out and has not ended.
    pub(super) fn is_here(&self, task: TaskId) -> bool {
        self.by_task.contains_key(&task) || self.started.contains(&task)
    }

    /// Whether an attempt at this task is here that came before the other: only that can hold up the
    /// other, so that gates never close a circle.
    pub(super) fn is_before(&self, task: TaskId, other: TaskId) -> bool {
        let order = self.by_task.get(&other).copied().unwrap_or(self.next_order);
        let waits = self.by_task.get(&task).is_some_and(|task| *task < order);
        task != other && (waits || self.started.contains(&task))
    }

    /// The attempts that wait for this task, in order.
    pub(super) fn behind(&self, task: TaskId) -> Vec<AttemptId> {
        let behind = self.by_gate.get(&task).into_iter().flatten();
        behind.map(|order| self.entries[order].assignment.attempt).collect()
    }

    /// Whether an attempt waits for this payload.
    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.by_ticket.contains_key(&ticket)
    }

    /// Every waiting attempt, in the order assigned.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.entries.values().map(Box::as_ref)
    }

    /// Appends an attempt at a task of which none waits.
    pub(super) fn push(
        &mut self,
        assignment: Assignment,
        function: Option<Needed>,
        mark_before: Option<u64>,
    ) {
        let order = self.next_order;
        self.next_order += 1;
        self.by_task.insert(assignment.attempt.task, order);
        if assignment.direct {
            let client = assignment.attempt.task.client;
            self.lanes.entry(client).or_default().waiting.insert(order);
        }
        self.put(order, Box::new(Queued { assignment, function, mark_before }));
    }

    /// Puts a later attempt at the same task in the place of the one that waits; hands back that.
    pub(super) fn replace(
        &mut self,
        assignment: Assignment,
        function: Option<Needed>,
    ) -> Option<Queued> {
        let order = *self.by_task.get(&assignment.attempt.task)?;
        let old = self.take(order)?;
        let mark_before = old.mark_before;
        let direct = old.assignment.direct;
        let assignment = Assignment { direct, ..assignment };
        self.put(order, Box::new(Queued { assignment, function, mark_before }));
        Some(*old)
    }

    /// The bytes that an attempt waits for are here. They are as many as was said.
    pub(super) fn feed(&mut self, ticket: Ticket, bytes: Bytes) -> Result<(), RuleBroken> {
        let Some(order) = self.by_ticket.get(&ticket).copied() else {
            return Ok(());
        };
        let Some(queued) = self.entries.get_mut(&order) else {
            return Ok(());
        };
        queued.assignment.payload = filled(&queued.assignment.payload, bytes)?;
        self.by_ticket.remove(&ticket);
        self.refresh(order);
        Ok(())
    }

    /// The function that comes by this stream is here.
    pub(super) fn feed_function(&mut self, ticket: Ticket, function: &Function) {
        for order in self.by_function.remove(&ticket).unwrap_or_default() {
            if let Some(queued) = self.entries.get_mut(&order) {
                queued.function = Some(Needed::Here(function.clone()));
            }
            self.refresh(order);
        }
    }

    /// Hands out the next attempt that may start, with its function, if there is one.
    pub(super) fn start_next(&mut self) -> Option<(Assignment, Option<Function>)> {
        let order = *self.startable.first()?;
        let Queued { assignment, function, .. } = *self.take(order)?;
        let function = match function {
            Some(Needed::Here(function)) => Some(function),
            // One that is on its way is not startable.
            Some(Needed::Arriving(_)) | None => None,
        };
        let task = assignment.attempt.task;
        self.by_task.remove(&task);
        self.started.insert(task);
        if assignment.direct {
            let lane = self.lanes.entry(task.client).or_default();
            lane.waiting.remove(&order);
            lane.running = true;
        }
        Some((assignment, function))
    }

    /// An attempt that was handed out has ended; those that wait for its task wait on.
    pub(super) fn ended(&mut self, task: TaskId, direct: bool) {
        self.started.remove(&task);
        if direct && let Some(lane) = self.lanes.get_mut(&task.client) {
            lane.running = false;
            self.lane_moved(task.client);
        }
        if let Some(&next_attempt) = self.by_task.get(&task) {
            self.refresh(next_attempt);
        }
    }

    /// Takes this attempt out, if it waits; those that wait for its task wait on.
    pub(super) fn remove(&mut self, attempt: AttemptId) -> Option<Queued> {
        let order = *self.by_task.get(&attempt.task)?;
        self.entries.get(&order).filter(|queued| queued.assignment.attempt == attempt)?;
        let queued = self.take(order)?;
        self.by_task.remove(&attempt.task);
        if queued.assignment.direct {
            let client = attempt.task.client;
            if let Some(lane) = self.lanes.get_mut(&client) {
                lane.waiting.remove(&order);
            }
            self.lane_moved(client);
        }
        Some(*queued)
    }

    /// Takes out all whose payload or function will not come, and with them all that must not
    /// overtake one of those: later direct tasks of the same client, and what is gated by them. In
    /// order.
    pub(super) fn lose_unfed(&mut self) -> Vec<Queued> {
        if self.by_ticket.is_empty() && self.by_function.is_empty() {
            return Vec::new();
        }
        let mut lost = Vec::new();
        let mut lost_tasks = FxHashSet::default();
        let mut lost_lanes = FxHashSet::default();
        for queued in self.entries.values() {
            let Assignment { attempt, direct, payload, gates, .. } = &queued.assignment;
            let unfed = payload.ticket().is_some()
                || queued.function_ticket().is_some()
                || gates.iter().any(|gate| lost_tasks.contains(gate))
                || *direct && lost_lanes.contains(&attempt.task.client);
            if unfed {
                lost.push(*attempt);
                lost_tasks.insert(attempt.task);
                if *direct {
                    lost_lanes.insert(attempt.task.client);
                }
            }
        }
        lost.into_iter().filter_map(|attempt| self.remove(attempt)).collect()
    }

    /// Enters what does not depend on the place of others.
    fn put(&mut self, order: u64, queued: Box<Queued>) {
        let Assignment { payload, gates, .. } = &queued.assignment;
        for gate in gates {
            self.by_gate.entry(*gate).or_default().insert(order);
        }
        if let Some(ticket) = payload.ticket() {
            self.by_ticket.insert(ticket, order);
        }
        if let Some(ticket) = queued.function_ticket() {
            self.by_function.entry(ticket).or_default().insert(order);
        }
        self.entries.insert(order, queued);
        self.refresh(order);
    }

    /// Undoes [`Queue::put`].
    fn take(&mut self, order: u64) -> Option<Box<Queued>> {
        let queued = self.entries.remove(&order)?;
        self.startable.remove(&order);
        for gate in &queued.assignment.gates {
            remove_from(&mut self.by_gate, *gate, order);
        }
        if let Some(ticket) = queued.assignment.payload.ticket() {
            self.by_ticket.remove(&ticket);
        }
        if let Some(ticket) = queued.function_ticket()
            && let Some(waiting) = self.by_function.get_mut(&ticket)
        {
            waiting.remove(&order);
            if waiting.is_empty() {
                self.by_function.remove(&ticket);
            }
        }
        Some(queued)
    }

    /// The head of a lane may have changed.
    fn lane_moved(&mut self, client: ClientId) {
        let Some(lane) = self.lanes.get(&client) else {
            return;
        };
        match lane.waiting.first() {
            Some(&head) => self.refresh(head),
            None if !lane.running => {
                self.lanes.remove(&client);
            }
            None => {}
        }
    }

    /// This task is done.
    pub(super) fn open_gates(&mut self, task: TaskId) {
        for order in self.by_gate.remove(&task).unwrap_or_default() {
            if let Some(queued) = self.entries.get_mut(&order) {
                queued.assignment.gates.retain(|gate| *gate != task);
            }
            self.refresh(order);
        }
    }

    fn refresh(&mut self, order: u64) {
        if self.may_start(order) {
            self.startable.insert(order);
        } else {
            self.startable.remove(&order);
        }
    }

    fn may_start(&self, order: u64) -> bool {
        let Some(queued) = self.entries.get(&order) else {
            return false;
        };
        let Assignment { attempt, direct, payload, gates, .. } = &queued.assignment;
        let is_turn = || {
            let lane = self.lanes.get(&attempt.task.client);
            lane.is_some_and(|lane| !lane.running && lane.waiting.first() == Some(&order))
        };
        payload.ticket().is_none()
            && queued.function_ticket().is_none()
            && gates.is_empty()
            && !self.started.contains(&attempt.task)
            && (!direct || is_turn())
    }

    /// Panics if a fact contradicts another.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.by_task.len(), self.entries.len());
        let (mut tickets, mut functions, mut directs, mut gated) = (0, 0, 0, 0);
        for (order, queued) in &self.entries {
            let Assignment { attempt, direct, payload, gates, .. } = &queued.assignment;
            assert_eq!(self.by_task.get(&attempt.task), Some(order), "{attempt}");
            assert_eq!(self.startable.contains(order), self.may_start(*order), "{attempt}");
            if let Some(ticket) = payload.ticket() {
                assert_eq!(self.by_ticket.get(&ticket), Some(order), "{attempt}");
                tickets += 1;
            }
            if let Some(ticket) = queued.function_ticket() {
                assert!(self.by_function[&ticket].contains(order), "{attempt}");
                functions += 1;
            }
            if *direct {
                assert!(self.lanes[&attempt.task.client].waiting.contains(order), "{attempt}");
                directs += 1;
            }
            for gate in gates {
                assert!(self.by_gate[gate].contains(order), "{attempt}");
            }
            gated += gates.len();
        }
        assert_eq!(self.by_ticket.len(), tickets);
        assert_eq!(self.by_gate.values().map(BTreeSet::len).sum::<usize>(), gated);
        assert_eq!(self.by_function.values().map(BTreeSet::len).sum::<usize>(), functions);
        assert!(self.startable.iter().all(|order| self.entries.contains_key(order)));
        assert_eq!(self.lanes.values().map(|lane| lane.waiting.len()).sum::<usize>(), directs);
        assert!(self.lanes.values().all(|lane| lane.running || !lane.waiting.is_empty()));
    }

    /// The tasks that were handed out and have not ended.
    pub(super) const fn started(&self) -> &FxHashSet<TaskId> {
        &self.started
    }
}

/// One waits no longer for the task that is its gate.
fn remove_from(by_gate: &mut FxHashMap<TaskId, BTreeSet<u64>>, gate: TaskId, order: u64) {
    if let Some(behind) = by_gate.get_mut(&gate) {
        behind.remove(&order);
        if behind.is_empty() {
            by_gate.remove(&gate);
        }
    }
}

/// The payload with its bytes, if they are as many as it said.
pub(super) fn filled(payload: &Payload, bytes: Bytes) -> Result<Payload, RuleBroken> {
    match &payload.body {
        Body::Ticket { len, .. } if *len == bytes.len() as u64 => {
            Ok(Payload::inline(payload.format, bytes))
        }
        Body::Ticket { .. } | Body::Inline(_) | Body::Shared(_) => Err(RuleBroken),
    }
}
