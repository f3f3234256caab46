//! The hub of the random world: its ledger, and what became of each task.

use phalanx_protocol::ids::{Epoch, Incarnation, TaskId};

/// A task in the ledger.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) number: u32,
    pub(super) direct: bool,
    pub(super) by_ticket: bool,
    pub(super) gates: Vec<TaskId>,
    pub(super) aborted: bool,
    pub(super) ended: bool,
    pub(super) done: bool,
}

/// A hub, as far as an engine can tell.
#[derive(Debug, Default)]
pub(super) struct HubSide {
    pub(super) epoch: Epoch,
    pub(super) incarnation: Incarnation,
    pub(super) ledger: Vec<Task>,
    pub(super) next_seq: [u64; 2],
    pub(super) next_ticket: u64,
    /// In this session.
    pub(super) is_registered: bool,
    pub(super) recorded: u64,
}

impl HubSide {
    /// A task has ended; what waited for one that is not done never runs.
    pub(super) fn end(&mut self, which: usize, is_done: bool) {
        self.ledger[which].done = is_done;
        let mut ended = vec![which];
        while let Some(which) = ended.pop() {
            let task = &mut self.ledger[which];
            task.ended = true;
            let (id, is_done) = (task.id, task.done);
            let waits = |task: &Task| !is_done && !task.ended && task.gates.contains(&id);
            ended.extend((0..self.ledger.len()).filter(|which| waits(&self.ledger[*which])));
        }
    }

    /// What a task waits for that has not ended.
    pub(super) fn open_gates(&self, task: &Task) -> Vec<TaskId> {
        let is_open =
            |gate: &&TaskId| self.ledger.iter().any(|task| task.id == **gate && !task.ended);
        task.gates.iter().filter(is_open).copied().collect()
    }
}
