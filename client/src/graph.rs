//! Graphs of tasks: built first, with edges in any direction, and submitted as one.
//!
//! Made by [`LoadBalancedView::graph`]. The hub takes the whole graph or, if it has a cycle, nothing.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use phalanx_transport::protocol::ids::TaskId;
use phalanx_transport::protocol::task::{Accept, Dependency, Quorum};
use serde::Serialize;

use crate::balanced::LoadBalancedView;
use crate::batch::{Batch, nth_task};
use crate::call::Callable;
use crate::client::Handle;
use crate::core::{NewTask, SubmitError, node};
use crate::error::CallError;
use crate::result::AsyncResult;

/// A task of a graph: which one, and what it returns.
pub struct Node<R> {
    index: u32,
    returns: PhantomData<fn() -> R>,
}

impl<R> Node<R> {
    /// Its place in the graph, in the order of the calls.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The same, whatever it returns: to name nodes of several types in one list.
    pub const fn any(self) -> Node<()> {
        Node { index: self.index, returns: PhantomData }
    }
}

impl<R> Clone for Node<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Node<R> {}

impl<R> fmt::Debug for Node<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.index)
    }
}

/// A graph that is being built. Dropping it submits nothing.
#[derive(Debug)]
pub struct GraphBuilder {
    view: LoadBalancedView,
    tasks: Vec<NewTask>,
}

impl LoadBalancedView {
    /// A graph whose tasks go where those of this view go, and wait for what they wait for.
    pub fn graph(&self) -> GraphBuilder {
        GraphBuilder { view: self.clone(), tasks: Vec::new() }
    }
}

impl GraphBuilder {
    /// Adds a call.
    ///
    /// # Errors
    /// [`CallError`] if the method's name or the arguments cannot travel.
    pub fn call<M, A, R>(&mut self, method: M, args: &A) -> Result<Node<R>, CallError>
    where
        M: Callable<A, R>,
        A: Serialize + ?Sized,
    {
        let index = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        self.tasks.push(self.view.new_task(method, args)?);
        Ok(Node { index, returns: PhantomData })
    }

    /// Has `after` start only when `before` is done, wherever both stand in the graph.
    ///
    /// # Errors
    /// [`SubmitError`] if `after` is not of this graph, or comes after tasks of the view in another
    /// way than by success of all of them.
    pub fn edge<B, A>(&mut self, before: Node<B>, after: Node<A>) -> Result<(), SubmitError> {
        let task = self.tasks.get_mut(after.index as usize);
        let task = task.ok_or(SubmitError::NoSuchNode(after.index.into()))?;
        let after_all = task.options.get_or_insert_default().after.get_or_insert_default();
        match after_all {
            Dependency { tasks, quorum: Quorum::All, accept: Accept::Success } => {
                tasks.push(node(before.index));
                Ok(())
            }
            _ => Err(SubmitError::MixedDependency(after.index)),
        }
    }

    /// How many tasks it has so far.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Submits all of it and returns at once. If the hub refuses it (it has a cycle, say) each task
    /// ends as rejected, with the reason.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was submitted then.
    pub fn submit(self) -> Result<Graph, SubmitError> {
        let len = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        let handle = self.view.handle();
        let (first, batch) = handle.shared().submit_graph(self.tasks)?;
        Ok(Graph { handle: Arc::clone(handle), batch, first, len })
    }
}

/// A graph that was submitted.
pub struct Graph {
    handle: Arc<Handle>,
    batch: Arc<Batch>,
    first: TaskId,
    len: u32,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Graph of {} tasks from {}", self.len, self.first)
    }
}

impl Graph {
    /// The result of one of its tasks.
    pub fn result<R>(&self, node: Node<R>) -> AsyncResult<R> {
        let (handle, batch) = (Arc::clone(&self.handle), Arc::clone(&self.batch));
        AsyncResult::new(handle, batch, self.first, node.index)
    }

    /// The names of its tasks, in the order of the calls.
    pub fn ids(&self) -> impl Iterator<Item = TaskId> + use<> {
        let first = self.first;
        (0..self.len).map(move |index| nth_task(first, index))
    }
}
