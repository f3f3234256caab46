//! The span of a task: every line that is logged in it, also by the user's code, carries the task's
//! id in the field `task`, the same in every process.
//!
//! For the hub's and the engine's shells and for executors. It exists at the level debug only:
//! below it nothing is formatted or stored. It says nothing itself.

use phalanx_protocol::ids::{AttemptId, TaskId};
use tracing::Span;

/// Where the hub handles a task.
pub(crate) fn task_span(task: TaskId) -> Span {
    tracing::debug_span!("task", %task)
}

/// Where an engine handles, or runs, an attempt at a task.
pub(crate) fn attempt_span(AttemptId { task, number }: AttemptId) -> Span {
    tracing::debug_span!("task", %task, attempt = number)
}
