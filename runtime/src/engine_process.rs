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
use phalanx_transport::protocol::peer::Registration;
use tokio::sync::mpsc;

use crate::host::{CONNECTION_ENV, ENGINE_NAME_ENV};
use crate::signals::Stops;
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
    EngineProcess::from_env()?.run(engine)
}

/// The same, for a program that knows its connection file and its name by other means.
///
/// # Errors
/// [`EngineProcessError`]; see [`run_engine`].
///
/// # Panics
/// If this thread is inside an asynchronous runtime.
pub fn run_engine_with(
    engine: EngineBuilder,
    connection: &Path,
    name: Option<String>,
) -> Result<EngineEnd, EngineProcessError> {
    EngineProcess::new(connection, name).run(engine)
}

/// What an engine has to know of the process it runs in. For programs that do more in it than to
/// run the engine; others call [`run_engine`].
#[derive(Debug)]
pub struct EngineProcess {
    connection: PathBuf,
    name: Option<String>,
    stops: Stops,
    stop: mpsc::Sender<String>,
    stopped: mpsc::Receiver<String>,
}

/// Asks an engine to end, from any thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EngineStop(mpsc::Sender<String>);

impl EngineStop {
    /// Asks the engine to end, as if its hub had. Returns at once.
    pub fn stop(&self, reason: impl Into<String>) {
        // Full: it was asked before. Closed: it has ended.
        let _ = self.0.try_send(reason.into());
    }
}

impl EngineProcess {
    /// What the host that started this program told it by its environment.
    ///
    /// # Errors
    /// [`EngineProcessError::NoConnection`] if it was not started by a host.
    pub fn from_env() -> Result<Self, EngineProcessError> {
        let connection = std::env::var_os(CONNECTION_ENV);
        let connection = connection.ok_or(EngineProcessError::NoConnection)?;
        let name = std::env::var(ENGINE_NAME_ENV).ok();
        Ok(Self::new(PathBuf::from(connection), name))
    }

    /// An engine of this name at the hub that the connection file is for.
    pub fn new(connection: impl Into<PathBuf>, name: Option<String>) -> Self {
        // Two wishes to end at most: a signal's and the program's. One is enough.
        let (stop, stopped) = mpsc::channel(1);
        let stops = Stops::TerminateAndInterrupt;
        Self { connection: connection.into(), name, stops, stop, stopped }
    }

    /// Where the connection file is.
    pub fn connection(&self) -> &Path {
        &self.connection
    }

    /// Leaves SIGINT to the program: only SIGTERM ends the engine.
    #[must_use]
    pub fn without_interrupt(mut self) -> Self {
        self.stops = Stops::Terminate;
        self
    }

    /// How to end the engine from another thread.
    pub fn stop_handle(&self) -> EngineStop {
        EngineStop(self.stop.clone())
    }

    /// Runs the engine on this thread until it is told to stop.
    ///
    /// # Errors
    /// [`EngineProcessError`] if it cannot start, or does not end in order.
    ///
    /// # Panics
    /// If this thread is inside an asynchronous runtime.
    pub fn run(self, engine: EngineBuilder) -> Result<EngineEnd, EngineProcessError> {
        self.run_telling(engine, |_| {})
    }

    /// The same; `registered` is called once, on this thread, when the engine takes tasks.
    ///
    /// # Errors
    /// As [`EngineProcess::run`].
    ///
    /// # Panics
    /// As [`EngineProcess::run`].
    pub fn run_telling(
        self,
        mut engine: EngineBuilder,
        registered: impl FnOnce(Registration) + Send + 'static,
    ) -> Result<EngineEnd, EngineProcessError> {
        let Self { connection, name, stops, stop, stopped } = self;
        let peer_name = name.clone().unwrap_or_else(|| "engine".to_owned());
        if let Some(name) = name {
            engine = engine.name(name);
        }
        if std::env::var_os(ENGINE_NAME_ENV).is_some() {
            engine = engine.kept_by_host();
        }
        let connect = FileConnect::new(&connection, peer_name, Settings::default())?;
        let engine = engine.on_registered(|place| {
            tracing::info!(engine = %place.engine, "registered");
            registered(place);
            if let Err(error) = ready::tell("") {
                tracing::error!(%error, "cannot tell the host that the engine is ready");
            }
        });
        let end = rt::block_on(async {
            signals::on_stop_by(stops, move |signal| async move {
                // The engine has ended already: nothing is left to stop.
                let _ = stop.send(format!("{signal} was received")).await;
            });
            engine.serve(connect, stopped).await
        })?;
        Ok(end)
    }
}
