//! Phalanx.
//!
//! | module | what lives there |
//! |---|---|
//! | [`config`] | settings: flag, environment, file, default |
//! | [`cluster_dir`], [`cluster_state`] | where clusters keep their files, and what the state file says |
//! | [`host`] | the host process: starts, supervises and ends hub and engines |
//! | `limits` | every limit of these processes, with its reason |
#![warn(missing_docs)]

pub mod cluster_dir;
pub mod cluster_state;
pub mod config;
pub mod host;
pub mod limits;
mod os;
mod words;
