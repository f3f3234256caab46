//! Graphs: tasks that a client submits as one, so that they may name each other in any order.
//!
//! A graph is a run of submits with consecutive numbers, each of which says where the run begins and
//! how long it is. Each is recorded, accepted and sent again like any other; but none goes anywhere
//! until all are here with their payloads. Then the graph is looked at as a whole: it goes, or it is
//! refused, all of it. Only a graph whose client is gone stays incomplete, and ends with it.
//!
//! Called by `submit` and `arriving` for members as they come, and by `attempts` as they end.

use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{ClientId, TaskId};
use phalanx_protocol::limits::GRAPH_TASKS_MAX;
use phalanx_protocol::task::{GraphPart, TaskSpec};

use super::ledger::{Task, TaskState};
use super::submit::{Refusal, rejected};
use super::{Hub, HubEffect};
use crate::Time;
use crate::dag::find_cycle;

/// Members of a cycle that an error names.
const NAMED_MAX: usize = 20;

/// A graph that is not whole.
#[derive(Debug)]
pub(super) struct Graph {
    len: u64,
    /// Members of which all is here, or that have ended.
    whole: u64,
    /// Why none of it goes.
    refusal: Option<Refusal>,
}

impl Hub {
    /// Notes that a submit is part of a graph, or should be; says if so which one.
    pub(super) fn enter_graph(&mut self, spec: &TaskSpec) -> Result<Option<TaskId>, Refusal> {
        let part = spec.options.as_ref().and_then(|options| options.graph.as_ref());
        let open = self.graph_of(spec.id);
        let (part, first) = match (part, open) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(invalid(format!("{} is within a graph", spec.id))),
            (Some(part), _) => (part, TaskId::new(spec.id.client, part.first)),
        };
        if open.is_none() {
            if first != spec.id {
                return Err(invalid(format!("{} came before its graph", spec.id)));
            }
            self.begin_graph(first, part)?;
        }
        let graph = self.graphs.get(&first).filter(|graph| graph.len == u64::from(part.len));
        let graph = graph.filter(|_| open.is_none_or(|open| open == first));
        let Some(graph) = graph else {
            return Err(invalid(format!("{} is of another graph than those before", spec.id)));
        };
        if let Some(refusal) = &graph.refusal {
            return Err(refusal.clone());
        }
        if spec.target.is_direct() {
            return Err(invalid(format!("{} is direct; a graph is of balanced tasks", spec.id)));
        }
        Ok(Some(first))
    }

    fn begin_graph(&mut self, first: TaskId, part: &GraphPart) -> Result<(), Refusal> {
        let most = self.settings.client_tasks.min(GRAPH_TASKS_MAX as u64);
        let len = u64::from(part.len);
        if len == 0 || first.seq.checked_add(len).is_none() {
            return Err(invalid(format!("a graph of {len} tasks")));
        }
        let refusal = (len > most)
            .then(|| (ErrorCode::TooLarge, format!("a graph of {len} tasks; at most {most}")));
        self.graphs.insert(first, Graph { len, whole: 0, refusal });
        Ok(())
    }

    /// The first task of the incomplete graph to which this one belongs.
    pub(super) fn graph_of(&self, id: TaskId) -> Option<TaskId> {
        let (first, graph) = self.graphs.range(..=id).next_back()?;
        (first.client == id.client && id.seq < first.seq + graph.len).then_some(*first)
    }

    /// Whether a task may depend on another that is yet to come, as its graph has it.
    pub(super) fn is_in_same_graph(&self, id: TaskId, other: TaskId) -> bool {
        let graph = self.graph_of(id);
        graph.is_some() && graph == self.graph_of(other)
    }

    /// All of a member is here: it waits for the others. False if it is in no graph.
    pub(super) fn gather(&mut self, now: Time, id: TaskId, effects: &mut Vec<HubEffect>) -> bool {
        let Some(first) = self.graph_of(id) else { return false };
        self.ledger.set_state(id, TaskState::Gathering);
        self.count_whole(now, first, effects);
        true
    }

    /// A task ended that something was still to come of.
    pub(super) fn on_member_ended(
        &mut self,
        now: Time,
        id: TaskId,
        state: TaskState,
        effects: &mut Vec<HubEffect>,
    ) {
        if state == TaskState::Arriving
            && let Some(first) = self.graph_of(id)
        {
            self.count_whole(now, first, effects);
        }
    }

    fn count_whole(&mut self, now: Time, first: TaskId, effects: &mut Vec<HubEffect>) {
        let Some(graph) = self.graphs.get_mut(&first) else { return };
        graph.whole += 1;
        if graph.whole < graph.len {
            return;
        }
        let len = graph.len;
        let known = graph.refusal.clone();
        let refusal = known.or_else(|| self.cycle_of(first, len));
        self.graphs.remove(&first);
        let members = (first.seq..first.seq + len).map(|seq| TaskId::new(first.client, seq));
        for id in members.filter(|id| self.is_in(*id, TaskState::Gathering)).collect::<Vec<_>>() {
            match &refusal {
                Some(refusal) => self.end_without_result(now, id, rejected(refusal), effects),
                None => self.route(now, id, effects),
            }
        }
    }

    /// A member cannot be taken, so none of them is.
    pub(super) fn refuse_graph(
        &mut self,
        now: Time,
        id: TaskId,
        refusal: &Refusal,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(first) = self.graph_of(id) else { return };
        let Some(graph) = self.graphs.get_mut(&first) else { return };
        if graph.refusal.is_some() {
            return;
        }
        let (code, why) = refusal;
        let refusal = (*code, format!("the graph of {first} is refused because of {id}: {why}"));
        graph.refusal = Some(refusal.clone());
        for id in self.open_members(first) {
            self.end_without_result(now, id, rejected(&refusal), effects);
        }
    }

    /// A client will not come back: what it has not submitted whole ends.
    pub(super) fn abandon_graphs(
        &mut self,
        now: Time,
        client: ClientId,
        effects: &mut Vec<HubEffect>,
    ) {
        let all = TaskId::new(client, 0)..=TaskId::new(client, u64::MAX);
        let graphs: Vec<TaskId> = self.graphs.range(all).map(|(first, _)| *first).collect();
        for first in graphs {
            for id in self.open_members(first) {
                self.abort(now, id, effects);
            }
            self.graphs.remove(&first);
        }
    }

    /// The members that have come and have not ended. None of an incomplete graph has gone anywhere.
    fn open_members(&self, first: TaskId) -> Vec<TaskId> {
        let end = self.clients.submitted(first.client).unwrap_or(0);
        let end = end.min(first.seq + self.graphs.get(&first).map_or(0, |graph| graph.len));
        let members = (first.seq..end).map(|seq| TaskId::new(first.client, seq));
        members.filter(|id| self.ledger.get(*id).is_some()).collect()
    }

    /// How many members of the incomplete graph of this task are here, and how many it has.
    pub(super) fn graph_progress(&self, id: TaskId) -> Option<(u64, u64)> {
        let graph = self.graphs.get(&self.graph_of(id)?)?;
        Some((graph.whole, graph.len))
    }

    fn cycle_of(&self, first: TaskId, len: u64) -> Option<Refusal> {
        let index = |id: &TaskId| {
            let index = id.seq.checked_sub(first.seq).filter(|index| *index < len);
            index.filter(|_| id.client == first.client).map(|index| index as u32)
        };
        let mut edges = Vec::new();
        for place in 0..len {
            let task = self.ledger.get(TaskId::new(first.client, first.seq + place));
            let tasks = task.into_iter().flat_map(Task::awaited);
            edges.extend(tasks.filter_map(|task| Some((index(&task)?, place as u32))));
        }
        let cycle = find_cycle(usize::try_from(len).ok()?, &edges)?;
        let name = |node: &u32| TaskId::new(first.client, first.seq + u64::from(*node)).to_string();
        let more = if cycle.len() > NAMED_MAX { " -> …" } else { "" };
        let path: Vec<String> = cycle.iter().take(NAMED_MAX).map(name).collect();
        let text = format!(
            "the graph has a cycle of {}: {}{more} -> {}",
            cycle.len(),
            path.join(" -> "),
            path[0]
        );
        Some(invalid(text))
    }

    pub(super) fn check_graphs(&self) {
        for (id, task) in self.ledger.iter() {
            assert!(
                task.state() != TaskState::Gathering || self.graph_of(id).is_some(),
                "{id} waits for a graph"
            );
        }
        for (first, graph) in &self.graphs {
            assert!(graph.whole < graph.len, "the graph of {first} is whole and waits");
        }
    }
}

fn invalid(detail: String) -> Refusal {
    (ErrorCode::InvalidGraph, detail)
}
