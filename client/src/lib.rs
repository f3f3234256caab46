//! The Rust client of Phalanx: submit tasks, await their results, look at the cluster.
//!
//! | module | what lives there |
//! |---|---|
//! | [`Client`] | connecting, engines, status, making views |
//! | [`LoadBalancedView`] | tasks that the scheduler places; dependencies |
//! | [`DirectView`], [`EngineView`] | tasks for engines named one by one |
//! | [`AsyncResult`], [`AsyncMapResult`] | what a call gives back at once |
//! | [`blocking`] | the same names, for threads |
//! | [`error`] | all that can go wrong, by operation |
//! | [`mod@core`] | the conversation with the hub as a pure state machine |
//!
//! A client has one task, its driver, on the runtime that connected it; the crate spawns nothing
//! else and blocks nothing.
#![warn(missing_docs)]

mod balanced;
mod batch;
pub mod blocking;
mod call;
mod client;
pub mod core;
mod dependency;
mod direct;
mod driver;
pub mod error;
mod link;
mod map;
mod result;
mod shared;
#[cfg(test)]
mod tests;

pub use phalanx_transport::identity::ConnectionFile;
pub use phalanx_transport::protocol;
pub use phalanx_transport::protocol::ids::{ClientId, EngineId, Epoch, TaskId};
pub use phalanx_transport::protocol::method::Method;
pub use phalanx_transport::protocol::task::{Accept, Dependency, Quorum};

pub use crate::balanced::LoadBalancedView;
pub use crate::call::Callable;
pub use crate::client::{Client, ClientBuilder};
pub use crate::dependency::IntoDependency;
pub use crate::direct::{DirectView, EngineView};
pub use crate::error::{
    CallError, ConnectError, DecodeError, RequestError, SubmitError, TaskError, WaitForEnginesError,
};
pub use crate::map::AsyncMapResult;
pub use crate::result::{AsyncResult, FromPayload, Metadata, Raw};
