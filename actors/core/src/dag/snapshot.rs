//! What the dag holds, in a form that does not tell how it came there: two rooms with equal
//! snapshots say the same to all that follows. For tests, which may be anywhere; costs O(edges).

use phalanx_protocol::ids::{EngineId, TaskId};

use super::condition::{Follow, Gate};
use super::held::Held;
use super::room::Dag;
use crate::Time;

/// A held task: until when, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTask {
    /// Which task.
    pub task: TaskId,
    /// When it times out.
    pub deadline: Option<Time>,
    /// What it comes after.
    pub after: Option<Unmet>,
    /// What it follows.
    pub follow: Option<Unmet>,
}

/// How far one condition of a held task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// Its tasks that have not ended, sorted.
    pub open: Vec<TaskId>,
    /// Whether it is met all the same.
    pub is_met: bool,
    /// Where those ran that met it, as far as it matters, sorted.
    pub engines: Vec<EngineId>,
}

impl Dag {
    /// The held tasks, by id.
    pub fn snapshot(&self) -> Vec<HeldTask> {
        let mut all: Vec<HeldTask> = self.held().map(|held| self.told(held)).collect();
        all.sort_unstable_by_key(|held| held.task);
        all
    }

    fn told(&self, held: &Held) -> HeldTask {
        let (follow_edges, after_edges) = held.edges_by_part();
        let awaited = |edges: &[super::held::Edge]| {
            let mut open: Vec<TaskId> =
                edges.iter().filter_map(|edge| self.awaited_task(edge.awaited?.index())).collect();
            open.sort_unstable();
            open
        };
        let unmet = |gate: &Gate, open, engines| Unmet { open, is_met: gate.is_met(), engines };
        let after = held.after.as_ref();
        let follow = held.follow.as_deref();
        HeldTask {
            task: held.task,
            deadline: held.deadline,
            after: after.map(|gate| unmet(gate, awaited(after_edges), Vec::new())),
            follow: follow.map(|it| unmet(it.gate(), awaited(follow_edges), it.engines_sorted())),
        }
    }
}

impl Follow {
    fn engines_sorted(&self) -> Vec<EngineId> {
        let mut engines = self.engines.clone();
        engines.sort_unstable();
        engines.dedup();
        engines
    }
}
