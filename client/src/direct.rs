//! Views that name their engines: tasks run there and nowhere else, in the order sent, at most
//! once.

use std::sync::Arc;

use bytes::Bytes;
use phalanx_transport::protocol::ids::EngineId;
use phalanx_transport::protocol::payload::Format;
use phalanx_transport::protocol::task::{MethodName, Target, TaskOptions};
use serde::Serialize;

use crate::call::{Callable, raw_task, submit_all, submit_group, submit_one, task};
use crate::client::Handle;
use crate::core::SubmitError;
use crate::error::CallError;
use crate::map::AsyncMapResult;
use crate::result::{AsyncResult, Raw};

/// Several engines, each called with the same arguments, or in turn with the items of a map.
///
/// Fixed when it is made: engines that come later are not in it. A task for an engine that died
/// ends as [`TaskError::EngineLost`](crate::TaskError::EngineLost). Cheap to clone.
#[derive(Debug, Clone)]
pub struct DirectView {
    handle: Arc<Handle>,
    engines: Arc<[EngineId]>,
    coalesces: bool,
}

impl DirectView {
    pub(crate) const fn new(handle: Arc<Handle>, engines: Arc<[EngineId]>) -> Self {
        Self { handle, engines, coalesces: false }
    }

    /// The same engines, but what they answer to one call comes together, when the last of them has
    /// ended it: one wakeup instead of one for each. Items of a map still come one by one.
    #[must_use]
    pub fn coalescing(self) -> Self {
        Self { coalesces: true, ..self }
    }

    /// The engines of the view, in the order of its results.
    pub fn engines(&self) -> &[EngineId] {
        &self.engines
    }

    /// Calls the method on each engine. The arguments travel to the hub once.
    ///
    /// # Errors
    /// [`CallError`] if nothing was submitted.
    pub fn call<M, A, R>(&self, method: M, args: &A) -> Result<AsyncMapResult<R>, CallError>
    where
        M: Callable<A, R>,
        A: Serialize + ?Sized,
    {
        let task = task(self.target(), method.method_name()?, args, self.options())?;
        submit_group(&self.handle, task, self.engines.len())
    }

    /// Calls the method once per item, the engines taking turns.
    ///
    /// # Errors
    /// [`CallError`] if nothing was submitted: all items are, or none.
    pub fn map<M, A, R>(
        &self,
        method: M,
        items: impl IntoIterator<Item = A>,
    ) -> Result<AsyncMapResult<R>, CallError>
    where
        M: Callable<A, R>,
        A: Serialize,
    {
        if self.engines.is_empty() {
            return Err(SubmitError::NoEngines.into());
        }
        let method = method.method_name()?;
        let turns = self.engines.iter().cycle();
        let tasks = items
            .into_iter()
            .zip(turns)
            .map(|(item, engine)| task(Target::Engine(*engine), method.clone(), &item, None));
        submit_all(&self.handle, tasks)
    }

    /// Calls the method on each engine with arguments that are bytes already.
    ///
    /// # Errors
    /// [`CallError`] if nothing was submitted.
    pub fn submit_raw(
        &self,
        method: &str,
        format: Format,
        arguments: Bytes,
    ) -> Result<AsyncMapResult<Raw>, CallError> {
        let method = MethodName::try_from(method)?;
        let task = raw_task(self.target(), method, (format, arguments), self.options());
        submit_group(&self.handle, task, self.engines.len())
    }

    fn target(&self) -> Target {
        Target::Engines(self.engines.to_vec())
    }

    fn options(&self) -> Option<Box<TaskOptions>> {
        let coalesce = self.coalesces;
        coalesce.then(|| Box::new(TaskOptions { coalesce, ..TaskOptions::default() }))
    }
}

/// One engine: as [`DirectView`], but a call has one result.
#[derive(Debug, Clone)]
pub struct EngineView {
    handle: Arc<Handle>,
    engine: EngineId,
}

impl EngineView {
    pub(crate) const fn new(handle: Arc<Handle>, engine: EngineId) -> Self {
        Self { handle, engine }
    }

    /// The engine.
    pub const fn engine(&self) -> EngineId {
        self.engine
    }

    /// Calls the method.
    ///
    /// # Errors
    /// [`CallError`] if nothing was submitted.
    pub fn call<M, A, R>(&self, method: M, args: &A) -> Result<AsyncResult<R>, CallError>
    where
        M: Callable<A, R>,
        A: Serialize + ?Sized,
    {
        let target = Target::Engine(self.engine);
        submit_one(&self.handle, task(target, method.method_name()?, args, None)?)
    }

    /// Calls the method with arguments that are bytes already.
    ///
    /// # Errors
    /// [`CallError`] if nothing was submitted.
    pub fn submit_raw(
        &self,
        method: &str,
        format: Format,
        arguments: Bytes,
    ) -> Result<AsyncResult<Raw>, CallError> {
        let (target, method) = (Target::Engine(self.engine), MethodName::try_from(method)?);
        submit_one(&self.handle, raw_task(target, method, (format, arguments), None))
    }
}
