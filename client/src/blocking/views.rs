//! The views, with results that block. What each call means is said where the awaited views are.

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

/// One engine; as [`crate::EngineView`].
#[derive(Debug, Clone)]
pub struct EngineView {
    inner: crate::EngineView,
}

/// Engines among which the scheduler chooses; as [`crate::LoadBalancedView`].
#[derive(Debug, Clone)]
pub struct LoadBalancedView {
    inner: crate::LoadBalancedView,
}

/// What every view has; a call has a result of the kind `$result`.
macro_rules! calls {
    ($view:ident, $result:ident) => {
        impl $view {
            pub(super) const fn new(inner: crate::$view) -> Self {
                Self { inner }
            }

            #[doc = concat!("As [`crate::", stringify!($view), "::call`].")]
            ///
            /// # Errors
            /// [`CallError`] if nothing was submitted.
            pub fn call<M, A, R>(&self, method: M, args: &A) -> Result<$result<R>, CallError>
            where
                M: Callable<A, R>,
                A: Serialize + ?Sized,
            {
                self.inner.call(method, args).map($result::new)
            }

            #[doc = concat!("As [`crate::", stringify!($view), "::submit_raw`].")]
            ///
            /// # Errors
            /// [`CallError`] if nothing was submitted.
            pub fn submit_raw(
                &self,
                method: &str,
                format: Format,
                arguments: Bytes,
            ) -> Result<$result<Raw>, CallError> {
                self.inner.submit_raw(method, format, arguments).map($result::new)
            }
        }
    };
}

/// What the views of several engines have beside.
macro_rules! maps {
    ($view:ident) => {
        impl $view {
            #[doc = concat!("As [`crate::", stringify!($view), "::map`].")]
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
        }
    };
}

calls!(DirectView, AsyncMapResult);
maps!(DirectView);
calls!(EngineView, AsyncResult);
calls!(LoadBalancedView, AsyncResult);
maps!(LoadBalancedView);

impl DirectView {
    /// The same view, but what the engines answer to one call comes together.
    #[must_use]
    pub fn coalescing(self) -> Self {
        Self::new(self.inner.coalescing())
    }

    /// The engines of the view, in the order of its results.
    pub fn engines(&self) -> &[EngineId] {
        self.inner.engines()
    }
}

impl EngineView {
    /// The engine.
    pub const fn engine(&self) -> EngineId {
        self.inner.engine()
    }
}

impl LoadBalancedView {
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

    /// As [`crate::LoadBalancedView::retries`].
    #[must_use]
    pub fn retries(&self, count: u32) -> Self {
        Self::new(self.inner.retries(count))
    }

    /// As [`crate::LoadBalancedView::retry_on`].
    #[must_use]
    pub fn retry_on<K: Into<String>>(&self, kinds: impl IntoIterator<Item = K>) -> Self {
        Self::new(self.inner.retry_on(kinds))
    }

    /// As [`crate::LoadBalancedView::retry_backoff`].
    #[must_use]
    pub fn retry_backoff(&self, first: Duration) -> Self {
        Self::new(self.inner.retry_backoff(first))
    }

    /// As [`crate::LoadBalancedView::run_limit`].
    #[must_use]
    pub fn run_limit(&self, limit: Duration) -> Self {
        Self::new(self.inner.run_limit(limit))
    }
}
