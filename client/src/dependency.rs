//! What a task can be told to come after: results, ids, or a dependency spelled out.

use phalanx_transport::protocol::ids::TaskId;
use phalanx_transport::protocol::task::Dependency;

use crate::map::AsyncMapResult;
use crate::result::AsyncResult;

/// What [`LoadBalancedView::after`](crate::LoadBalancedView::after) and
/// [`follow`](crate::LoadBalancedView::follow) take. Unless it is a [`Dependency`], it means: all
/// of them, done.
pub trait IntoDependency {
    /// The dependency as it travels.
    fn into_dependency(self) -> Dependency;
}

impl IntoDependency for Dependency {
    fn into_dependency(self) -> Dependency {
        self
    }
}

impl IntoDependency for TaskId {
    fn into_dependency(self) -> Dependency {
        Dependency::all([self])
    }
}

impl IntoDependency for Vec<TaskId> {
    fn into_dependency(self) -> Dependency {
        Dependency::all(self)
    }
}

impl IntoDependency for &[TaskId] {
    fn into_dependency(self) -> Dependency {
        Dependency::all(self.iter().copied())
    }
}

impl<const N: usize> IntoDependency for [TaskId; N] {
    fn into_dependency(self) -> Dependency {
        Dependency::all(self)
    }
}

impl<R> IntoDependency for &AsyncResult<R> {
    fn into_dependency(self) -> Dependency {
        Dependency::all([self.id()])
    }
}

impl<R> IntoDependency for &AsyncMapResult<R> {
    fn into_dependency(self) -> Dependency {
        Dependency::all(self.ids())
    }
}

impl<R> IntoDependency for &[AsyncResult<R>] {
    fn into_dependency(self) -> Dependency {
        Dependency::all(self.iter().map(AsyncResult::id))
    }
}

impl<R> IntoDependency for &Vec<AsyncResult<R>> {
    fn into_dependency(self) -> Dependency {
        self.as_slice().into_dependency()
    }
}

impl<R, const N: usize> IntoDependency for &[AsyncResult<R>; N] {
    fn into_dependency(self) -> Dependency {
        self.as_slice().into_dependency()
    }
}
