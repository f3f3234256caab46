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
pub mod host;
mod launch;
pub mod limits;
pub mod local;
pub mod logging;
mod os;
pub mod ready;
pub mod stop;
mod words;

pub use local::{LocalCluster, LocalClusterBuilder};
