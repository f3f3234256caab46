//! The process `phalanx scheduler`: the dag and scheduler rooms, offered to a hub.
//!
//! The rooms are in `phalanx_actors::scheduling_process`. This process tells its host that it is
//! ready when it has its first session: from then on tasks can be placed.

use std::path::Path;

use phalanx_actors::link::{Connect, ConnectFailed, FileConnect};
use phalanx_actors::rt;
use phalanx_actors::scheduling_process::{Placement, SchedulingCommand, SchedulingError, serve};
use phalanx_client::protocol::scheduling::SchedulingToHub;
use phalanx_transport::{PeerSession, Settings};
use tokio::sync::mpsc;

use crate::{ready, signals};

/// Runs the rooms on this thread, placing as is said, until they, or their hub, are told to stop.
///
/// # Errors
/// [`SchedulingError`] if they cannot start, or did not end because somebody asked for it.
///
/// # Panics
/// If this thread is inside an asynchronous runtime.
pub fn run(connection: &Path, placement: Placement) -> Result<(), SchedulingError> {
    let file = FileConnect::new(connection, "scheduler", Settings::default())?;
    let connect = TellReady { file, is_told: false };
    let (sender, commands) = mpsc::channel(1);
    rt::block_on(async {
        signals::on_stop(move |_| async move {
            // They have ended already: nothing is left to stop.
            let _ = sender.send(SchedulingCommand::Stop).await;
        });
        serve(connect, placement.with_seed(seed()), commands).await
    })
}

/// What lots are drawn from. Without randomness of the system they are the same each time, and fall
/// no less evenly.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}

/// Connects as its file says, and tells the host of the first success.
struct TellReady {
    file: FileConnect,
    is_told: bool,
}

impl Connect<SchedulingToHub> for TellReady {
    async fn connect(&mut self) -> Result<PeerSession<SchedulingToHub>, ConnectFailed> {
        let session = self.file.connect().await?;
        if !std::mem::replace(&mut self.is_told, true)
            && let Err(error) = ready::tell("")
        {
            tracing::error!(%error, "cannot tell the host that the scheduler is ready");
        }
        Ok(session)
    }
}
