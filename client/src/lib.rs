//! The Rust client of Phalanx: submit tasks, await their results, look at the cluster.
//!
//! | module | what lives there |
//! |---|---|
//! | [`Client`] | connecting, engines, status, making views |
//! | [`LoadBalancedView`] | tasks that the scheduler places; dependencies |
//! | [`DirectView`], [`EngineView`] | tasks for engines named one by one |
//! | [`AsyncResult`], [`AsyncMapResult`] | what a call gives back at once |
//! | [`task_batch`] | the same without types, for faces in other languages |
//! | [`blocking`] | the same names, for threads |
//! | [`error`] | all that can go wrong, by operation |
//! | [`mod@core`] | the conversation with the hub as a pure state machine |
//!
//! ```no_run
//! use phalanx_client::{AsyncResult, Client, ConnectionFile, Method};
//!
//! /// Shared with the engines that offer it.
//! const LENGTH: Method<String, u64> = Method::new("text.length");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(&ConnectionFile::load("client.connection".as_ref())?).await?;
//! let view = client.load_balanced_view();
//!
//! // One task, anywhere; the types follow from the method.
//! let length = view.call(LENGTH, &"seventeen".to_owned())?.await?;
//!
//! // Many, as they come.
//! let words = ["a", "map", "of", "words"].map(String::from);
//! let mut lengths = view.map(LENGTH, words)?;
//! while let Some((index, length)) = lengths.next_done().await {
//!     println!("word {index} has {} letters", length?);
//! }
//!
//! // A task by its name alone, after others, and each engine by itself.
//! let report: AsyncResult<String> = view.after(&lengths).call("text.report", &length)?;
//! println!("{}", report.await?);
//! let hosts: Vec<String> = client.view_all().call("host.name", &())?.await?;
//! # let _ = hosts;
//! # Ok(())
//! # }
//! ```
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
mod graph;
mod link;
mod live;
mod map;
mod outlook;
mod queries;
mod result;
mod shared;
pub mod task_batch;
#[cfg(test)]
mod tests;
mod wheel;

pub use phalanx_transport::identity::ConnectionFile;
pub use phalanx_transport::protocol;
pub use phalanx_transport::protocol::explain::Explanation;
pub use phalanx_transport::protocol::function::{Digest, Function};
pub use phalanx_transport::protocol::ids::{ClientId, EngineId, Epoch, TaskId};
pub use phalanx_transport::protocol::method::Method;
pub use phalanx_transport::protocol::output::OutputKind;
pub use phalanx_transport::protocol::task::{Accept, Dependency, Quorum};
pub use phalanx_transport::segments;

pub use crate::balanced::LoadBalancedView;
pub use crate::call::Callable;
pub use crate::client::{Client, ClientBuilder};
pub use crate::dependency::IntoDependency;
pub use crate::direct::{DirectView, EngineView};
pub use crate::error::{
    CallError, ConnectError, DecodeError, RequestError, SubmitError, TaskError, WaitForEnginesError,
};
pub use crate::graph::{Graph, GraphBuilder, Node};
pub use crate::live::{LiveOutput, OutputReader};
pub use crate::map::AsyncMapResult;
pub use crate::queries::Repeat;
pub use crate::result::{AsyncResult, FromPayload, Metadata, Raw};
