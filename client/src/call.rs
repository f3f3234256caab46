//! What the views have in common: naming a method, encoding arguments, handing tasks in.

use std::sync::Arc;

use bytes::Bytes;
use phalanx_transport::protocol::ids::EngineId;
use phalanx_transport::protocol::method::Method;
use phalanx_transport::protocol::payload::Format;
use phalanx_transport::protocol::task::{MethodName, MethodNameError, Target, TaskOptions};
use phalanx_transport::protocol::value;
use phalanx_transport::segments;
use serde::Serialize;

use crate::client::Handle;
use crate::core::NewTask;
use crate::error::CallError;
use crate::map::AsyncMapResult;
use crate::result::AsyncResult;

/// What can be called with `Args` and returns `Ret`: a [`Method`], which fixes both, or a name,
/// which leaves them to the caller.
pub trait Callable<Args: ?Sized, Ret>: Sized {
    /// The name as it travels.
    ///
    /// # Errors
    /// [`MethodNameError`] if it is empty or too long.
    fn method_name(self) -> Result<MethodName, MethodNameError>;
}

impl<Args, Ret> Callable<Args, Ret> for Method<Args, Ret> {
    fn method_name(self) -> Result<MethodName, MethodNameError> {
        MethodName::try_from(self.name())
    }
}

impl<Args: ?Sized, Ret> Callable<Args, Ret> for &str {
    fn method_name(self) -> Result<MethodName, MethodNameError> {
        MethodName::try_from(self)
    }
}

impl<Args: ?Sized, Ret> Callable<Args, Ret> for &MethodName {
    fn method_name(self) -> Result<MethodName, MethodNameError> {
        Ok(self.clone())
    }
}

/// A task of MessagePack arguments.
pub(crate) fn task<A: Serialize + ?Sized>(
    target: Target,
    method: MethodName,
    args: &A,
    options: Option<Box<TaskOptions>>,
) -> Result<NewTask, CallError> {
    Ok(NewTask {
        target,
        method,
        format: Format::MessagePack,
        arguments: segments::place(value::to_bytes(args)?).into(),
        options,
        function: None,
    })
}

/// A task of arguments that are bytes already.
pub(crate) fn raw_task(
    target: Target,
    method: MethodName,
    (format, arguments): (Format, Bytes),
    options: Option<Box<TaskOptions>>,
) -> NewTask {
    let arguments = segments::place(arguments).into();
    NewTask { target, method, format, arguments, options, function: None }
}

/// Submits one task with one id.
pub(crate) fn submit_one<R>(
    handle: &Arc<Handle>,
    task: NewTask,
) -> Result<AsyncResult<R>, CallError> {
    let (first, batch) = handle.shared().submit([task])?;
    Ok(AsyncResult::new(Arc::clone(handle), batch, first, 0))
}

/// Submits one task with `len` ids.
pub(crate) fn submit_group<R>(
    handle: &Arc<Handle>,
    task: NewTask,
    len: usize,
) -> Result<AsyncMapResult<R>, CallError> {
    let (first, batch) = handle.shared().submit([task])?;
    Ok(AsyncMapResult::new(Arc::clone(handle), batch, first, len as u32))
}

/// Submits tasks with one id each: all, or none if one of them cannot be made.
pub(crate) fn submit_all<R>(
    handle: &Arc<Handle>,
    tasks: impl Iterator<Item = Result<NewTask, CallError>>,
) -> Result<AsyncMapResult<R>, CallError> {
    let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
    let len = tasks.len();
    let (first, batch) = handle.shared().submit(tasks)?;
    Ok(AsyncMapResult::new(Arc::clone(handle), batch, first, len as u32))
}

/// The engines of a view, in the order given.
pub(crate) fn engine_list(engines: impl IntoIterator<Item = EngineId>) -> Arc<[EngineId]> {
    engines.into_iter().collect()
}
