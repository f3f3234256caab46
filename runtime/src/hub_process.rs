//! The process `phalanx hub`: reads its credential, listens, tells its host where, and ends on a
//! signal.
//!
//! The hub itself is in `phalanx_actors::hub_process`; programs that embed one use that directly.

use std::net::SocketAddr;
use std::path::PathBuf;

use phalanx_actors::scheduling_process::Placement;
use phalanx_actors::{Hub, HubCommand, HubEnd, HubError, HubOptions, Scheduling};
use phalanx_client::ConnectionFile;
use phalanx_client::protocol::ids::Epoch;
use phalanx_transport::identity::ConnectionFileError;
use tokio::sync::mpsc;

use crate::{ready, signals};

/// What the process is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HubProcessOptions {
    /// The hub's connection file.
    pub connection: PathBuf,
    /// Where it listens; by default what the connection file says.
    pub listen: Option<SocketAddr>,
    /// Where the dag and scheduler rooms run.
    pub scheduling: Scheduling,
    /// How the scheduler places; its seed is drawn.
    pub placement: Placement,
}

impl HubProcessOptions {
    /// A hub with this connection file, its rooms in its own process.
    pub fn new(connection: PathBuf) -> Self {
        let (scheduling, placement) = (Scheduling::Local, Placement::default());
        Self { connection, listen: None, scheduling, placement }
    }
}

/// Why the process could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubProcessError {
    /// The connection file cannot be used.
    #[error(transparent)]
    ConnectionFile(#[from] ConnectionFileError),
    /// No ledger can be named.
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
    /// The hub could not listen, or gave up.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Runs a hub on this thread until it is told to stop.
///
/// # Errors
/// [`HubProcessError`] if it cannot start, or cannot go on.
///
/// # Panics
/// If this thread is inside an asynchronous runtime.
pub fn run(options: &HubProcessOptions) -> Result<HubEnd, HubProcessError> {
    let file = ConnectionFile::load(&options.connection)?;
    // Each hub has a ledger of its own, and no two hubs of a cluster the same name for it.
    let epoch = Epoch(getrandom::u64().map_err(HubProcessError::Randomness)?);
    let mut hub = HubOptions::new(file.credential, epoch);
    hub.listen = options.listen.map_or(file.hub_addresses, |address| vec![address]);
    hub.scheduling = options.scheduling;
    hub.placement = options.placement.with_seed(epoch.0);
    hub.hub.scheme = options.placement.scheme;
    let (sender, commands) = mpsc::channel(1);
    Ok(Hub::run(hub, commands, |addresses| on_listening(addresses, sender))?)
}

fn on_listening(addresses: &[SocketAddr], commands: mpsc::Sender<HubCommand>) {
    tracing::info!(?addresses, "hub listens");
    let address = addresses.first().map(SocketAddr::to_string).unwrap_or_default();
    if let Err(error) = ready::tell(&address) {
        tracing::error!(%error, "cannot tell the host that the hub is ready");
    }
    signals::on_stop(move |signal| async move {
        // The hub has ended already: nothing is left to stop.
        let _ = commands.send(HubCommand::Stop(format!("{signal} was received"))).await;
    });
}
