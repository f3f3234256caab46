//! The views, with results that block.

use std::time::Duration;

use bytes::Bytes;
use phalanx_transport::protocol::ids::EngineId;
use phalanx_transport::protocol::payload::Format;
use serde::Serialize;

use super::result::{AsyncMapResult, AsyncResult};
use crate::call::Callable;
use crate::dependency::IntoDependency;
use crate::error::CallError;
use crate::result::Raw;

/// Several engines, each called with the same arguments; as [`crate::DirectView`].
#[derive(Debug, Clone)]
pub struct DirectView {
    inner: crate::DirectView,
}

impl DirectView {
    pub(super) const fn new(inner: crate::DirectView) -> Self {
        Self { inner }
    }

    /// The engines of the view, in the order of its results.
    pub fn engines(&self) -> &[EngineId] {
        self.inner.engines()
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
        self.inner.call(method, args).map(AsyncMapResult::new)
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
        self.inner.map(method, items).map(AsyncMapResult::new)
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
        self.inner.submit_raw(method, format, arguments).map(AsyncMapResult::new)
    }
}

/// One engine; as [`crate::EngineView`].
#[derive(Debug, Clone)]
pub struct EngineView {
    inner: crate::EngineView,
}

impl EngineView {
    pub(super) const fn new(inner: crate::EngineView) -> Self {
        Self { inner }
    }

    /// The engine.
    pub const fn engine(&self) -> EngineId {
        self.inner.engine()
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
        self.inner.call(method, args).map(AsyncResult::new)
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
        self.inner.submit_raw(method, format, arguments).map(AsyncResult::new)
    }
}

/// Engines among which the scheduler chooses; as [`crate::LoadBalancedView`].
#[derive(Debug, Clone)]
pub struct LoadBalancedView {
    inner: crate::LoadBalancedView,
}

impl LoadBalancedView {
    pub(super) const fn new(inner: crate::LoadBalancedView) -> Self {
        Self { inner }
    }

    /// The same view, but only these engines may be chosen.
    #[must_use]
    pub fn on(&self, engines: impl IntoIterator<Item = EngineId>) -> Self {
        Self::new(self.inner.on(engines))
    }

    /// The same view, but its tasks start only when this is met: order only, on any engine.
    #[must_use]
    pub fn after(&self, dependency: impl IntoDependency) -> Self {
        Self::new(self.inner.after(dependency))
    }

    /// The same view, but its tasks start only when this is met, and where what they follow ran.
    #[must_use]
    pub fn follow(&self, dependency: impl IntoDependency) -> Self {
        Self::new(self.inner.follow(dependency))
    }

    /// The same view, but its tasks end as
    /// [`TaskError::DependencyTimeout`](crate::TaskError::DependencyTimeout) if what they wait for
    /// is not met within `limit`.
    #[must_use]
    pub fn timeout(&self, limit: Duration) -> Self {
        Self::new(self.inner.timeout(limit))
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
        self.inner.call(method, args).map(AsyncResult::new)
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
        self.inner.map(method, items).map(AsyncMapResult::new)
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
        self.inner.submit_raw(method, format, arguments).map(AsyncResult::new)
    }
}
