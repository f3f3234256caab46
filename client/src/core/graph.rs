//! Graphs: tasks that are named together, so that they can name each other before they have names.

use phalanx_transport::protocol::ids::{ClientId, TaskId};
use phalanx_transport::protocol::limits::GRAPH_TASKS_MAX;
use phalanx_transport::protocol::task::GraphPart;

use super::room::ClientRoom;
use super::{Effect, NewTask, SubmitError};

/// Stands for the client in the names of tasks that have none yet. No hub ever gives it.
const NODES: ClientId = ClientId(u32::MAX);

/// What a task of a graph is called by the others until it has a name: its place in the graph.
pub const fn node(index: u32) -> TaskId {
    TaskId::new(NODES, index as u64)
}

impl<K> ClientRoom<K> {
    /// Submits a graph: names all tasks, or none, and has the hub take all of them or none. Where
    /// their options name tasks (`after`, `follow`, `inputs`), [`node`] names one of the graph.
    ///
    /// # Errors
    /// [`SubmitError`]; no task was named then. A cycle is found by the hub.
    pub fn submit_graph(
        &mut self,
        mut tasks: Vec<NewTask>,
        key: impl FnMut(TaskId) -> K,
        effects: &mut Vec<Effect<K>>,
    ) -> Result<(), SubmitError> {
        let len = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        if len as usize > GRAPH_TASKS_MAX {
            return Err(SubmitError::GraphTooLarge(tasks.len()));
        }
        let first = TaskId::new(self.submits.client(), self.submits.next_seq());
        for task in &mut tasks {
            name_nodes(task, first, len)?;
        }
        self.submit(tasks, key, effects)
    }
}

/// Says of which graph a task is part, and gives those that it names their names.
fn name_nodes(task: &mut NewTask, first: TaskId, len: u32) -> Result<(), SubmitError> {
    if task.target.is_direct() {
        return Err(SubmitError::DirectWithOptions);
    }
    let options = task.options.get_or_insert_default();
    options.graph = Some(GraphPart { first: first.seq, len });
    let dependencies = [&mut options.after, &mut options.follow].into_iter().flatten();
    let named = dependencies.flat_map(|dependency| &mut dependency.tasks);
    for id in named.chain(&mut options.inputs).filter(|id| id.client == NODES) {
        if id.seq >= u64::from(len) {
            return Err(SubmitError::NoSuchNode(id.seq));
        }
        *id = TaskId::new(first.client, first.seq + id.seq);
    }
    Ok(())
}
