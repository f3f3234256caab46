//! The view that leaves it to the scheduler where a task runs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use phalanx_transport::protocol::ids::EngineId;
use phalanx_transport::protocol::needs::Needs;
use phalanx_transport::protocol::payload::Format;
use phalanx_transport::protocol::task::{MethodName, Target, TaskOptions};
use serde::Serialize;

use crate::call::{Callable, engine_list, raw_task, submit_all, submit_one, task};
use crate::client::Handle;
use crate::core::NewTask;
use crate::dependency::IntoDependency;
use crate::error::CallError;
use crate::map::AsyncMapResult;
use crate::result::{AsyncResult, Raw};

/// Engines among which the scheduler chooses, and what the tasks of this view wait for.
///
/// A task runs at least once within its crash budget: if its engine dies it is tried elsewhere.
/// [`on`](Self::on), [`after`](Self::after), [`follow`](Self::follow),
/// [`timeout`](Self::timeout), [`needs`](Self::needs), [`priority`](Self::priority),
/// [`retries`](Self::retries) and the like return a changed view and leave this one as it is; cheap
/// to clone.
#[derive(Debug, Clone)]
pub struct LoadBalancedView {
    handle: Arc<Handle>,
    engines: Option<Arc<[EngineId]>>,
    options: TaskOptions,
}

impl LoadBalancedView {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle, engines: None, options: TaskOptions::default() }
    }

    /// The same view, but only these engines may be chosen.
    #[must_use]
    pub fn on(&self, engines: impl IntoIterator<Item = EngineId>) -> Self {
        Self { engines: Some(engine_list(engines)), ..self.clone() }
    }

    /// The same view, but its tasks start only when this is met: order only, on any engine.
    /// Replaces an earlier `after`.
    #[must_use]
    pub fn after(&self, dependency: impl IntoDependency) -> Self {
        let mut view = self.clone();
        view.options.after = Some(dependency.into_dependency());
        view
    }

    /// The same view, but its tasks start only when this is met, and where what they follow ran.
    /// Replaces an earlier `follow`.
    #[must_use]
    pub fn follow(&self, dependency: impl IntoDependency) -> Self {
        let mut view = self.clone();
        view.options.follow = Some(dependency.into_dependency());
        view
    }

    /// The same view, but its tasks end as
    /// [`TaskError::DependencyTimeout`](crate::TaskError::DependencyTimeout) if what they wait for
    /// is not met within `limit`. Without it they wait for ever.
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        let mut view = self.clone();
        view.options.timeout_ms = Some(millis(limit));
        view
    }

    /// The same view, but a task whose code raises is tried again, this often at most: where it has
    /// not been tried, as long as there is such an engine, and then anywhere else than last. When it
    /// has failed for the last time it ends with that error. None by default.
    #[must_use]
    pub fn retries(&self, count: u32) -> Self {
        let mut view = self.clone();
        view.options.retry.get_or_insert_default().count = count;
        view
    }

    /// The same view, but only errors of these kinds are tried again: names of types, in full or
    /// without their path; of Python errors also those of their bases.
    #[must_use]
    pub fn retry_on<K: Into<String>>(&self, kinds: impl IntoIterator<Item = K>) -> Self {
        let mut view = self.clone();
        let kinds = kinds.into_iter().map(Into::into).collect();
        view.options.retry.get_or_insert_default().kinds = kinds;
        view
    }

    /// The same view, but with a pause before the first retry, which doubles for each one after it.
    #[must_use]
    pub fn retry_backoff(&self, first: Duration) -> Self {
        let mut view = self.clone();
        view.options.retry.get_or_insert_default().backoff_ms = millis(first);
        view
    }

    /// The same view, but an attempt that runs for longer than `limit` is aborted, and fails as
    /// `TimeLimitExceeded`. Limits under 50 ms count as that. Code that does not heed an abort goes
    /// on until it does.
    #[must_use]
    pub fn run_limit(&self, limit: Duration) -> Self {
        let mut view = self.clone();
        view.options.run_limit_ms = Some(millis(limit));
        view
    }

    /// The same view, but its tasks run only on engines that have this, and have so much of it to
    /// themselves meanwhile. Replaces earlier needs. Where no engine can ever have it, they wait.
    #[must_use]
    pub fn needs(&self, needs: Needs) -> Self {
        let mut view = self.clone();
        view.options.needs = (!needs.is_empty()).then_some(needs);
        view
    }

    /// The same view, but of the tasks that wait for an engine those with a higher priority go
    /// first. Default: 0.
    #[must_use]
    pub fn priority(&self, priority: i32) -> Self {
        let mut view = self.clone();
        view.options.priority = priority;
        view
    }

    /// Calls the method on one of the engines.
    ///
    /// # Errors
    /// [`CallError`] if nothing was submitted.
    pub fn call<M, A, R>(&self, method: M, args: &A) -> Result<AsyncResult<R>, CallError>
    where
        M: Callable<A, R>,
        A: Serialize + ?Sized,
    {
        submit_one(&self.handle, self.new_task(method, args)?)
    }

    /// The task of a call, not submitted.
    pub(crate) fn new_task<M, A, R>(&self, method: M, args: &A) -> Result<NewTask, CallError>
    where
        M: Callable<A, R>,
        A: Serialize + ?Sized,
    {
        task(self.target(), method.method_name()?, args, self.options())
    }

    pub(crate) const fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// Calls the method once per item, each wherever there is room.
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
        let method = method.method_name()?;
        let tasks = items
            .into_iter()
            .map(|item| task(self.target(), method.clone(), &item, self.options()));
        submit_all(&self.handle, tasks)
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
        let method = MethodName::try_from(method)?;
        let task = raw_task(self.target(), method, (format, arguments), self.options());
        submit_one(&self.handle, task)
    }

    fn target(&self) -> Target {
        match &self.engines {
            None => Target::Any,
            Some(engines) => Target::Subset(engines.to_vec()),
        }
    }

    fn options(&self) -> Option<Box<TaskOptions>> {
        (self.options != TaskOptions::default()).then(|| Box::new(self.options.clone()))
    }
}

/// Half a billion years are for ever.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
