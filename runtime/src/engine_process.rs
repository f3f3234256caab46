//! Running an engine as a process of a cluster: `phalanx engine`, and programs that users write.
//!
//! ```no_run
//! fn main() -> Result<(), phalanx::EngineProcessError> {
//!     let engine = phalanx::Engine::builder()
//!         .blocking("text.length", |text: String| Ok::<_, std::io::Error>(text.len() as u64));
//!     phalanx::run_engine(engine)?;
//!     Ok(())
//! }
//! ```
//!
//! Started by `phalanx start --program` or `LocalCluster`, such a program finds everything in its
//! environment: where its connection file is, its name, and how to say that it is ready.

use std::path::{Path, PathBuf};

use phalanx_actors::engine::{EngineBuilder, EngineEnd, EngineError};
use phalanx_actors::link::FileConnect;
use phalanx_actors::rt;
use phalanx_transport::Settings;
use phalanx_transport::identity::ConnectionFileError;
use tokio::sync::mpsc;

use crate::host::{CONNECTION_ENV, ENGINE_NAME_ENV};
use crate::{ready, signals};

/// Why an engine process could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineProcessError {
    /// Nobody told the program where its hub is.
    #[error(
        "{CONNECTION_ENV} is not set: start this program with phalanx start --program, or set it \
         to the path of an engine.json"
    )]
    NoConnection,
    /// The connection file cannot be used.
    #[error(transparent)]
    ConnectionFile(#[from] ConnectionFileError),
    /// The engine could not start, or did not end in order.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Runs an engine on this thread for the cluster that started this program, until it is told to
/// stop. The cluster's name for it counts, so that it keeps its id when it is restarted.
///
/// # Errors
/// [`EngineProcessError`] if nobody told where the hub is, or the engine does not end in order.
///
/// # Panics
/// If this thread is inside an asynchronous runtime.
pub fn run_engine(engine: EngineBuilder) -> Result<EngineEnd, EngineProcessError> {
    let connection = std::env::var_os(CONNECTION_ENV).ok_or(EngineProcessError::NoConnection)?;
    let name = std::env::var(ENGINE_NAME_ENV).ok();
    run_engine_with(engine, &PathBuf::from(connection), name)
}

/// The same, for a program that knows its connection file and its name by other means.
///
/// # Errors
/// [`EngineProcessError`]; see [`run_engine`].
///
/// # Panics
/// If this thread is inside an asynchronous runtime.
pub fn run_engine_with(
    mut engine: EngineBuilder,
    connection: &Path,
    name: Option<String>,
) -> Result<EngineEnd, EngineProcessError> {
    let peer_name = name.clone().unwrap_or_else(|| "engine".to_owned());
    if let Some(name) = name {
        engine = engine.name(name);
    }
    if std::env::var_os(ENGINE_NAME_ENV).is_some() {
        engine = engine.kept_by_host();
    }
    let connect = FileConnect::new(connection, peer_name, Settings::default())?;
    let engine = engine.on_registered(|place| {
        tracing::info!(engine = %place.engine, "registered");
        if let Err(error) = ready::tell("") {
            tracing::error!(%error, "cannot tell the host that the engine is ready");
        }
    });
    let (stop, stopped) = mpsc::channel(1);
    let end = rt::block_on(async {
        signals::on_stop(move |signal| async move {
            // The engine has ended already: nothing is left to stop.
            let _ = stop.send(format!("{signal} was received")).await;
        });
        engine.serve(connect, stopped).await
    })?;
    Ok(end)
}
