//! Phalanx: typed tasks on engines, on one machine or many.
//!
//! This is the crate that Rust programs add: the client, engines with typed handlers, a cluster on
//! this machine, and the command `phalanx`.
//!
//! ```no_run
//! use phalanx::{Client, ConnectionFile, LocalCluster, Method};
//!
//! const LENGTH: Method<String, u64> = Method::new("text.length");
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // Each engine is a process of `text-engine`, a program that calls `phalanx::run_engine`.
//! let cluster = LocalCluster::builder().engines(4).program("/opt/text-engine").start()?;
//! let client = Client::connect(&ConnectionFile::load(&cluster.connection_file())?).await?;
//! let length = client.load_balanced_view().call(LENGTH, &"hello".to_owned())?.get().await?;
//! assert_eq!(length, 5);
//! cluster.stop()?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`local`] | [`LocalCluster`]: a cluster that a program owns |
//! | [`engine_process`] | [`run_engine`]: a program becomes an engine |
//! | [`hub_process`], [`scheduler_process`] | the processes `phalanx hub` and `phalanx scheduler` |
//! | [`host`] | the host process: starts, supervises and ends hub and engines |
//! | [`cluster_dir`], [`cluster_state`] | where clusters keep their files, and what the host writes |
//! | [`stop`] | stopping from outside: told, awaited, verified |
//! | [`config`], [`hwm`] | settings: flag, environment, file, default |
//! | [`cli`] | the command line |
//! | [`limits`] | every limit of these processes, with its reason |
//! | [`logging`], [`ready`] | log lines, and the word to the host that a process is ready |
//!
//! Inside: `launch` (start a host and wait for it), `python` (which Python runs engines), `signals`, `os` (the only unsafe code).
//!
//! Invariants: no secret in arguments, environment, state or logs; nothing is read from the current
//! directory; a process id is never trusted without the lock or the run's mark; every wait ends.
#![warn(missing_docs)]

pub mod cli;
pub mod cluster_dir;
mod cluster_name;
pub mod cluster_state;
pub mod config;
pub mod engine_process;
pub mod host;
pub mod hub_process;
pub mod hwm;
mod launch;
pub mod limits;
pub mod local;
pub mod logging;
mod os;
pub mod placement;
mod python;
pub mod ready;
pub mod scheduler_process;
mod signals;
pub mod stop;
mod words;

pub use phalanx_actors::engine::{Engine, EngineBuilder, EngineEnd, EngineError, EngineHandle};
pub use phalanx_actors::executor;
pub use phalanx_actors::{
    CancelToken, Hub, HubEnd, HubError, HubHandle, HubOptions, NotHere, OutputSink, OutputStream,
    TaskContext,
};
pub use phalanx_client::{
    self as client, AsyncMapResult, AsyncResult, Client, ConnectionFile, DirectView, EngineView,
    LoadBalancedView, Method, protocol,
};
pub use phalanx_transport::identity;

pub use crate::engine_process::{
    EngineProcess, EngineProcessError, EngineStop, run_engine, run_engine_with,
};
pub use crate::local::{LocalCluster, LocalClusterBuilder};
