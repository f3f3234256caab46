//! [`Dag`]: who waits for whom. Verdicts on a single task are made in `held`; here are the lists
//! that bring each ending to those who wait for it.

use std::collections::BTreeSet;
use std::time::Duration;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::room::{Condition, DagVerdict, Ending, Known, WaitingTask};

use super::held::{At, Edge, EdgeAt, Heard, Held, Judged, position};
use super::{DagEffect, DagEvent};
use crate::slab::Slab;
use crate::supervise::Recreate;
use crate::task_map::TaskIndex;
use crate::{Room, Time};

/// The dag room. See the [module](super).
///
/// Costs O(1) per edge from hold to verdict, whatever the order of endings; a held task with one
/// edge takes less than 200 bytes, and 20 for each further one. How many tasks are held is bounded
/// by the hub's admission.
#[derive(Debug, Default)]
pub struct Dag {
    held: Slab<Held>,
    held_by_task: TaskIndex,
    awaited: Slab<Awaited>,
    awaited_by_task: TaskIndex,
    deadlines: BTreeSet<(Time, TaskId)>,
}

/// An open task that held ones wait for, and the list of their edges in the order of holding.
#[derive(Debug)]
struct Awaited {
    task: TaskId,
    /// The engine that has it, if one is known to.
    engine: Option<EngineId>,
    first: EdgeAt,
    last: EdgeAt,
}

impl Dag {
    /// How many tasks are held.
    pub const fn held_len(&self) -> usize {
        self.held.len()
    }

    /// The held tasks, in no order.
    pub(super) fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().map(|(_, held)| held)
    }

    /// The task at this index of those that held ones wait for.
    pub(super) fn awaited_task(&self, index: u32) -> Option<TaskId> {
        self.awaited.get(index).map(|awaited| awaited.task)
    }

    /// How many records each table has.
    #[cfg(test)]
    pub(super) fn tables_len(&self) -> [usize; 5] {
        [
            self.held.len(),
            self.held_by_task.len(),
            self.awaited.len(),
            self.awaited_by_task.len(),
            self.deadlines.len(),
        ]
    }

    fn hold(&mut self, now: Time, waiting: &WaitingTask, effects: &mut Vec<DagEffect>) {
        let task = waiting.task;
        if self.held_by_task.get(task).is_some() {
            return;
        }
        let deadline = waiting.timeout_ms.map(|ms| now + Duration::from_millis(ms));
        let (held, open) = match Held::judge(waiting, deadline) {
            Judged::Decided(verdict) => return effects.push(DagEffect { task, verdict }),
            Judged::Open(held, open) => (held, open),
        };
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, task));
        }
        let holder = self.held.insert(held);
        self.held_by_task.insert(task, holder);
        for (index, awaited) in open.into_iter().enumerate() {
            self.link(awaited, EdgeAt { holder, position: At::new(position(index)) });
        }
        for (task, engine) in assigned(waiting) {
            self.note_assigned(task, engine);
        }
        self.tell_nearly(holder, effects);
    }

    /// Says which of those that it waits for has it.
    fn note_assigned(&mut self, task: TaskId, engine: EngineId) -> Option<u32> {
        let index = self.awaited_by_task.get(task)?;
        self.awaited[index].engine = Some(engine);
        Some(index)
    }

    /// An engine has a task: the first of those that wait for it may have nothing else to wait for.
    fn assigned(&mut self, task: TaskId, engine: EngineId, effects: &mut Vec<DagEffect>) {
        if let Some(awaited) = self.note_assigned(task, engine) {
            self.tell_nearly(self.awaited[awaited].first.holder, effects);
        }
    }

    /// If a task waits only for one that an engine has, and is the first who does, says so.
    fn tell_nearly(&self, holder: u32, effects: &mut Vec<DagEffect>) {
        let held = &self.held[holder];
        let awaited = held.waits_only_for().map(|awaited| &self.awaited[awaited]);
        if let Some(Awaited { task, engine: Some(engine), first, .. }) = awaited
            && first.holder == holder
            && held.would_be_ready(*engine)
        {
            effects.push(DagEffect { task: held.task, verdict: DagVerdict::Nearly(*task) });
        }
    }

    fn ended(&mut self, task: TaskId, ending: Ending, effects: &mut Vec<DagEffect>) {
        let Some(awaited) = self.awaited_by_task.get(task) else {
            return;
        };
        // The list shrinks from its front, and at once by all edges of a holder that is decided;
        // with its last edge it goes.
        while let Some(at) = self.awaited.get(awaited).map(|awaited| awaited.first) {
            self.unlink(at);
            match self.held[at.holder].hear(at.position, task, ending) {
                // It may both follow and come after this one, and hears of it twice.
                Heard::Open if self.held[at.holder].waits_only_for() != Some(awaited) => {
                    self.tell_nearly(at.holder, effects);
                }
                Heard::Open => {}
                Heard::Ready => {
                    let held = self.forget(at.holder);
                    effects.push(DagEffect { task: held.task, verdict: held.into_ready() });
                }
                Heard::Never(verdict) => {
                    let held = self.forget(at.holder);
                    effects.push(DagEffect { task: held.task, verdict });
                }
            }
        }
    }

    fn release(&mut self, task: TaskId) {
        if let Some(holder) = self.held_by_task.get(task) {
            self.forget(holder);
        }
    }

    /// Takes a held task out of every table.
    fn forget(&mut self, holder: u32) -> Held {
        for index in 0..self.held[holder].edges.len() {
            self.unlink(EdgeAt { holder, position: At::new(position(index)) });
        }
        let held = self.held.remove(holder);
        self.held_by_task.remove(held.task);
        if let Some(deadline) = held.deadline {
            self.deadlines.remove(&(deadline, held.task));
        }
        held
    }

    fn edge_mut(&mut self, at: EdgeAt) -> &mut Edge {
        &mut self.held[at.holder].edges[at.position.index() as usize]
    }

    /// Appends an edge to the list of the task it waits for.
    fn link(&mut self, task: TaskId, at: EdgeAt) {
        let known = self.awaited_by_task.get(task);
        let awaited = known.unwrap_or_else(|| {
            let awaited = self.awaited.insert(Awaited { task, engine: None, first: at, last: at });
            self.awaited_by_task.insert(task, awaited);
            awaited
        });
        let edge = self.edge_mut(at);
        edge.awaited = Some(At::new(awaited));
        if known.is_some() {
            let last = std::mem::replace(&mut self.awaited[awaited].last, at);
            self.edge_mut(at).prev = Some(last);
            self.edge_mut(last).next = Some(at);
        }
    }

    /// Takes an edge out of its list, if it still is in one.
    fn unlink(&mut self, at: EdgeAt) {
        let edge = std::mem::take(self.edge_mut(at));
        let Some(awaited) = edge.awaited.map(At::index) else { return };
        if let Some(prev) = edge.prev {
            self.edge_mut(prev).next = edge.next;
        }
        if let Some(next) = edge.next {
            self.edge_mut(next).prev = edge.prev;
        }
        match (edge.prev, edge.next) {
            (None, None) => {
                let awaited = self.awaited.remove(awaited);
                self.awaited_by_task.remove(awaited.task);
            }
            (None, Some(next)) => self.awaited[awaited].first = next,
            (Some(prev), None) => self.awaited[awaited].last = prev,
            (Some(_), Some(_)) => {}
        }
    }

    /// Panics unless the list of `awaited` is sound; says how long it is.
    fn check_list(&self, index: u32, awaited: &Awaited) -> usize {
        assert_eq!(self.awaited_by_task.get(awaited.task), Some(index), "{}", awaited.task);
        let mut prev = None;
        let mut at = Some(awaited.first);
        let mut len = 0;
        while let Some(here) = at {
            let edge = &self.held[here.holder].edges[here.position.index() as usize];
            assert_eq!(
                edge.awaited,
                Some(At::new(index)),
                "an edge in the list of {}",
                awaited.task
            );
            assert_eq!(edge.prev, prev, "the list of {}", awaited.task);
            prev = at;
            at = edge.next;
            len += 1;
        }
        assert_eq!(prev, Some(awaited.last), "the end of the list of {}", awaited.task);
        len
    }
}

/// The tasks that it waits for and that engines have.
fn assigned(waiting: &WaitingTask) -> impl Iterator<Item = (TaskId, EngineId)> {
    let conditions = [&waiting.after, &waiting.follow].into_iter().flatten();
    conditions.flat_map(|condition: &Condition| &condition.tasks).filter_map(|(task, known)| {
        match known {
            Known::Assigned(engine) => Some((*task, *engine)),
            Known::Open | Known::Ended(_) => None,
        }
    })
}

impl Recreate for Dag {
    type Settings = ();

    fn fresh((): &()) -> Self {
        Self::default()
    }
}

impl Room for Dag {
    type Event = DagEvent;
    type Effect = DagEffect;

    fn handle(&mut self, now: Time, event: DagEvent, effects: &mut Vec<DagEffect>) {
        match event {
            DagEvent::Hold(waiting) => self.hold(now, &waiting, effects),
            DagEvent::Assigned(task, engine) => self.assigned(task, engine, effects),
            DagEvent::Ended(task, ending) => self.ended(task, ending, effects),
            DagEvent::Release(task) => self.release(task),
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Times out what is due, earliest deadline first.
    fn on_deadline(&mut self, now: Time, effects: &mut Vec<DagEffect>) {
        while let Some(&(deadline, task)) = self.deadlines.first() {
            if deadline > now {
                return;
            }
            self.release(task);
            effects.push(DagEffect { task, verdict: DagVerdict::TimedOut });
        }
    }

    fn check_invariants(&self) {
        assert_eq!(self.held.len(), self.held_by_task.len());
        assert_eq!(self.awaited.len(), self.awaited_by_task.len());
        let mut edges_len = 0;
        let mut deadlines_len = 0;
        for (index, held) in self.held.iter() {
            assert_eq!(self.held_by_task.get(held.task), Some(index), "{}", held.task);
            held.check_invariants();
            edges_len += held.edges.iter().filter(|edge| edge.awaited.is_some()).count();
            if let Some(deadline) = held.deadline {
                assert!(self.deadlines.contains(&(deadline, held.task)), "{}", held.task);
                deadlines_len += 1;
            }
        }
        assert_eq!(self.deadlines.len(), deadlines_len, "deadlines of tasks not held");
        let listed_len: usize =
            self.awaited.iter().map(|(index, awaited)| self.check_list(index, awaited)).sum();
        assert_eq!(listed_len, edges_len, "edges that no list leads to");
    }
}
