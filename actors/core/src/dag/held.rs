//! One held task: its conditions, and its places in the lists of those it waits for.

use std::num::NonZeroU32;

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::outcome::{DependencyFailure, Impossible};
use phalanx_protocol::room::{Condition, DagVerdict, Ending, Known, WaitingTask};

use super::condition::{Follow, Gate};
use crate::Time;

/// An index below `u32::MAX`. Perhaps one takes no more memory than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At(
    /// One more than it.
    NonZeroU32,
);

impl At {
    pub(super) fn new(index: u32) -> Self {
        Self(NonZeroU32::MIN.checked_add(index).expect("fewer than 2^32 records fit memory"))
    }

    pub(super) const fn index(self) -> u32 {
        self.0.get() - 1
    }
}

/// Where an edge is kept: with the task that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EdgeAt {
    /// Index of the held task.
    pub(super) holder: u32,
    /// Index among its edges.
    pub(super) position: At,
}

/// One held task's waiting for one open task, linked with all others that wait for the same. Small:
/// a wide graph has many for each of its tasks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Edge {
    /// Index of the awaited task; `None` = it has ended.
    pub(super) awaited: Option<At>,
    /// The edge before it in the list of the awaited task.
    pub(super) prev: Option<EdgeAt>,
    /// The edge after it.
    pub(super) next: Option<EdgeAt>,
}

/// A task whose dependencies are not met, but may be. Boxed and counted to stay small: a wide
/// graph holds a million of these.
#[derive(Debug)]
pub(super) struct Held {
    /// Which task.
    pub(super) task: TaskId,
    /// When it times out.
    pub(super) deadline: Option<Time>,
    /// What it waits for: first those it follows, then those it comes after.
    pub(super) edges: Box<[Edge]>,
    /// How many of the edges belong to `follow`.
    follow_edges_len: u32,
    pub(super) after: Option<Gate>,
    pub(super) follow: Option<Box<Follow>>,
}

/// What is known about a task when it comes.
pub(super) enum Judged {
    /// It need not be held.
    Decided(DagVerdict),
    /// It waits for these, one for each of its edges.
    Open(Held, Vec<TaskId>),
}

impl Held {
    /// Judges a task by what has ended already.
    pub(super) fn judge(waiting: &WaitingTask, deadline: Option<Time>) -> Judged {
        let mut held = Self {
            task: waiting.task,
            deadline,
            edges: Box::default(),
            follow_edges_len: 0,
            after: waiting.after.as_ref().map(Gate::new),
            follow: waiting.follow.as_ref().map(|follow| Box::new(Follow::new(follow))),
        };
        let mut open = Vec::new();
        // Places before order, also when a task ends later: a task that is in both counts as
        // followed before it makes its dependent ready.
        if let Err(verdict) = held.sort_out(waiting.follow.as_ref(), Part::Follow, &mut open) {
            return Judged::Decided(verdict);
        }
        held.follow_edges_len = position(open.len());
        if let Err(verdict) = held.sort_out(waiting.after.as_ref(), Part::After, &mut open) {
            return Judged::Decided(verdict);
        }
        if held.is_ready() {
            return Judged::Decided(held.into_ready());
        }
        held.edges = vec![Edge::default(); open.len()].into_boxed_slice();
        Judged::Open(held, open)
    }

    /// The task behind the edge at `position` ended: the verdict, if that decides.
    pub(super) fn hear(&mut self, position: At, task: TaskId, ending: Ending) -> Heard {
        let part =
            if position.index() < self.follow_edges_len { Part::Follow } else { Part::After };
        match self.hear_part(part, task, ending) {
            Err(verdict) => Heard::Never(verdict),
            Ok(()) if self.is_ready() => Heard::Ready,
            Ok(()) => Heard::Open,
        }
    }

    /// The index of the only task that it still waits for.
    pub(super) fn waits_only_for(&self) -> Option<u32> {
        // Two, if it comes after what it follows. With more no edge is looked at, so that the ends of
        // all that a task waits for cost no more than there are edges.
        if self.open_len() > 2 {
            return None;
        }
        let mut open = self.edges.iter().filter_map(|edge| edge.awaited.map(At::index));
        let first = open.next()?;
        open.all(|awaited| awaited == first).then_some(first)
    }

    /// Whether it would be ready if all that it waits for were done on this engine.
    pub(super) fn would_be_ready(&self, engine: EngineId) -> bool {
        self.after.as_ref().is_none_or(|gate| gate.is_met() || gate.accepts_success())
            && self.follow.as_ref().is_none_or(|follow| follow.would_be_met(engine))
    }

    /// How many of its edges are open.
    fn open_len(&self) -> u32 {
        let follow = self.follow.as_ref().map_or(0, |follow| follow.gate().open());
        follow + self.after.as_ref().map_or(0, Gate::open)
    }

    /// The verdict on a task whose conditions are met.
    pub(super) fn into_ready(self) -> DagVerdict {
        DagVerdict::Ready(self.follow.and_then(|follow| follow.into_engines()))
    }

    /// Whether nothing is unmet.
    fn is_ready(&self) -> bool {
        self.after.as_ref().is_none_or(Gate::is_met)
            && self.follow.as_ref().is_none_or(|follow| follow.gate().is_met())
    }

    /// Hears of the tasks that have ended and lists the others.
    fn sort_out(
        &mut self,
        condition: Option<&Condition>,
        part: Part,
        open: &mut Vec<TaskId>,
    ) -> Result<(), DagVerdict> {
        for (task, known) in condition.into_iter().flat_map(|condition| &condition.tasks) {
            match known {
                Known::Open | Known::Assigned(_) => open.push(*task),
                Known::Ended(ending) => self.hear_part(part, *task, *ending)?,
            }
        }
        Ok(())
    }

    fn hear_part(&mut self, part: Part, task: TaskId, ending: Ending) -> Result<(), DagVerdict> {
        let heard = match part {
            Part::After => self.after.as_mut().map(|gate| gate.hear(ending.success)),
            Part::Follow => self.follow.as_mut().map(|follow| follow.hear(ending)),
        };
        heard.unwrap_or(Ok(())).map_err(|reason| impossible(reason, task, ending))
    }

    /// Its edges to what it follows, and to what it comes after.
    pub(super) fn edges_by_part(&self) -> (&[Edge], &[Edge]) {
        self.edges.split_at(self.follow_edges_len as usize)
    }

    /// Panics if counts and edges contradict each other. For `Dag::check_invariants`.
    pub(super) fn check_invariants(&self) {
        assert!(!self.is_ready(), "{} is ready and still held", self.task);
        let open = |edges: &[Edge]| edges.iter().filter(|edge| edge.awaited.is_some()).count();
        let (follow, after) = self.edges_by_part();
        let follow_open = self.follow.as_ref().map_or(0, |follow| follow.gate().open());
        assert_eq!(open(follow), follow_open as usize, "{} follows", self.task);
        let after_open = self.after.as_ref().map_or(0, Gate::open);
        assert_eq!(open(after), after_open as usize, "{} comes after", self.task);
    }
}

/// What an ending means to a held task.
pub(super) enum Heard {
    /// It waits on.
    Open,
    /// All is met.
    Ready,
    /// Something can never be met.
    Never(DagVerdict),
}

/// One of a task's two conditions.
#[derive(Debug, Clone, Copy)]
enum Part {
    After,
    Follow,
}

/// As an edge's index.
pub(super) fn position(index: usize) -> u32 {
    u32::try_from(index).expect("a header holds fewer than 2^32 tasks")
}

fn impossible(reason: Impossible, culprit: TaskId, ending: Ending) -> DagVerdict {
    DagVerdict::Impossible(DependencyFailure {
        reason,
        culprit: Some(culprit),
        engine: ending.engine,
    })
}
