//! Phalanx.
//!
//! | module | what lives there |
//! |---|---|
//! | [`config`] | settings: flag, environment, file, default |
//! | [`cluster_dir`], [`cluster_state`] | where clusters keep their files, and what the state file says |
//! | [`host`] | the host process: starts, supervises and ends hub and engines |
//! | `limits` | every limit of these processes, with its reason |
#![warn(missing_docs)]

pub mod cli;
pub mod cluster_dir;
mod cluster_name;
pub mod cluster_state;
pub mod config;
pub mod engine_process;
pub mod host;
pub mod hub_process;
mod launch;
pub mod limits;
pub mod local;
pub mod logging;
mod os;
pub mod ready;
pub mod scheduler_process;
mod signals;
pub mod stop;
mod words;

pub use phalanx_actors::engine::{Engine, EngineBuilder, EngineEnd, EngineError, EngineHandle};
pub use phalanx_actors::{CancelToken, Hub, HubEnd, HubError, HubHandle, HubOptions, TaskContext};
pub use phalanx_client::{
    self as client, Accept, AsyncMapResult, AsyncResult, Client, ConnectionFile, Dependency,
    DirectView, EngineId, EngineView, Epoch, LoadBalancedView, Method, Quorum, TaskError, TaskId,
};
pub use phalanx_transport::identity;
pub use phalanx_transport::protocol::role::Role;

pub use engine_process::{EngineProcessError, run_engine, run_engine_with};
pub use local::{LocalCluster, LocalClusterBuilder};
