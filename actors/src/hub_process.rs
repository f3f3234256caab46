//! A hub, whole: listens, runs the rooms, and ends in order. For the process `phalanx hub` and for
//! programs that embed one.
//!
//! Endpoint, sessions and rooms share one thread with one arbiter: on small machines a second one
//! costs more than it gives. Whatever happens in it, the process goes on: what became of the hub
//! is told by [`HubHandle::join`].

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use phalanx_core::hub::HubSettings;
use phalanx_core::scheduler::Settings as Placement;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{Epoch, SessionId};
use phalanx_protocol::limits::CLOSE_DEADLINE;
use phalanx_transport::identity::Credential;
use phalanx_transport::settings::ARRIVALS_MAX;
use phalanx_transport::{Arrival, Audit, EndpointError, HubEndpoint, LogAudit, Settings};
use tokio::sync::mpsc;

use crate::busy_poll::{BUSY_POLL_MAX, Turns};
use crate::hub::{Ended, HubMail, HubPost, Scheduling, open_hub};
use crate::rt::{self, Clock, Owner, Task, panic_text};
use crate::sessions::{Directory, SessionEntry, session_task};
use crate::supervise::PlantedPanic;

/// Commands of the owner that wait for the hub. More are dropped: the first stop is enough.
const COMMANDS_MAX: usize = 16;

/// Why a hub could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// It cannot listen.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The system does not say where it listens.
    #[error("cannot learn the address that the hub listens on: {0}")]
    Address(std::io::Error),
    /// The system gives no thread.
    #[error("no thread for the hub: {0}")]
    Thread(std::io::Error),
    /// The hub cannot go on.
    #[error("the hub gave up: {reason}")]
    GaveUp {
        /// Why, in words.
        reason: String,
    },
    /// A fault of our own in the hub room; what it knew is gone.
    #[error("the hub panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
}

/// A hub that ended because somebody asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubEnd {
    /// Why, in words.
    pub reason: String,
}

/// What a hub is started with.
#[derive(Clone)]
#[non_exhaustive]
pub struct HubOptions {
    /// Who it is: a credential with the role `hub`.
    pub credential: Credential,
    /// Where it listens; port 0 = the system chooses.
    pub listen: Vec<SocketAddr>,
    /// Limits of its ledger.
    pub hub: HubSettings,
    /// Where the dag and scheduler rooms run.
    pub scheduling: Scheduling,
    /// How the scheduler places, if it runs here.
    pub placement: Placement,
    /// Times and limits of sessions.
    pub transport: Settings,
    /// Hears of every peer that was admitted or refused.
    pub audit: Arc<dyn Audit>,
    /// How long its thread looks for more mail before it sleeps, while mail has been coming faster than
    /// that and nobody else needs the processor. Zero: never. Default: 500 us.
    pub busy_poll: Duration,
}

impl HubOptions {
    /// A hub on a loopback port that the system chooses, with the default limits. `epoch` names
    /// its ledger: another one than any earlier hub's of the cluster.
    pub fn new(credential: Credential, epoch: Epoch) -> Self {
        Self {
            credential,
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            hub: HubSettings::new(epoch),
            scheduling: Scheduling::Local,
            placement: Placement::default(),
            transport: Settings::default(),
            audit: Arc::new(LogAudit::default()),
            busy_poll: BUSY_POLL_MAX,
        }
    }
}

impl std::fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubOptions")
            .field("listen", &self.listen)
            .field("hub", &self.hub)
            .field("scheduling", &self.scheduling)
            .finish_non_exhaustive()
    }
}

/// What the owner of a hub can ask of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubCommand {
    /// End, for this reason.
    Stop(String),
    /// Let a room panic; for tests.
    Plant(PlantedPanic),
}

/// The way to a hub: see the [module](self).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Hub;

/// A hub on a thread of its own. Dropping the handle leaves it running.
#[derive(Debug)]
pub struct HubHandle {
    addresses: Vec<SocketAddr>,
    directory: Directory,
    commands: mpsc::Sender<HubCommand>,
    thread: JoinHandle<Result<HubEnd, HubError>>,
}

impl HubHandle {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The sessions that are open now. Does not disturb the hub.
    pub fn sessions(&self) -> Vec<SessionEntry> {
        self.directory.list()
    }

    /// Asks the hub to end: peers are told, what is queued for them is sent. Returns at once.
    pub fn stop(&self, reason: impl Into<String>) {
        self.command(HubCommand::Stop(reason.into()));
    }

    /// Asks something of the hub. Returns at once.
    pub fn command(&self, command: HubCommand) {
        // Full: it is being asked a lot, and the first stop is enough. Closed: it has ended.
        let _ = self.commands.try_send(command);
    }

    /// Whether the hub has ended; then [`HubHandle::join`] returns at once.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the hub has ended, and tells how.
    ///
    /// # Errors
    /// [`HubError`] if it did not end because somebody asked for it.
    pub fn join(self) -> Result<HubEnd, HubError> {
        joined(self.thread)
    }
}

fn joined(thread: JoinHandle<Result<HubEnd, HubError>>) -> Result<HubEnd, HubError> {
    thread
        .join()
        .unwrap_or_else(|panic| Err(HubError::Panicked { message: panic_text(panic.as_ref()) }))
}

impl Hub {
    /// Starts a hub on a thread of its own; it listens when this returns.
    ///
    /// # Errors
    /// [`HubError`] if it cannot listen.
    pub fn start(options: HubOptions) -> Result<HubHandle, HubError> {
        let directory = Directory::default();
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (ready, listening) = std_mpsc::channel();
        let thread = {
            let directory = directory.clone();
            let on_listening = move |addresses: &[SocketAddr]| {
                // The starter waits for it.
                let _ = ready.send(addresses.to_vec());
            };
            thread::Builder::new()
                .name("phalanx-hub".to_owned())
                .spawn(move || rt::block_on(listen(options, directory, receiver, on_listening)))
                .map_err(HubError::Thread)?
        };
        match listening.recv() {
            Ok(addresses) => Ok(HubHandle { addresses, directory, commands, thread }),
            // It ended before it listened.
            Err(_) => match joined(thread) {
                Err(error) => Err(error),
                Ok(HubEnd { reason }) => Err(HubError::GaveUp { reason }),
            },
        }
    }

    /// Runs a hub on this thread until it has ended. `on_listening` is told where it listens.
    ///
    /// # Errors
    /// [`HubError`] if it cannot listen, or does not end because somebody asked for it.
    ///
    /// # Panics
    /// If this thread is inside an asynchronous runtime; use [`Hub::start`] there.
    pub fn run(
        options: HubOptions,
        commands: mpsc::Receiver<HubCommand>,
        on_listening: impl FnOnce(&[SocketAddr]),
    ) -> Result<HubEnd, HubError> {
        rt::block_on(listen(options, Directory::default(), commands, on_listening))
    }

    /// Runs a hub inside [`rt::block_on`] for whatever peers arrive, until it has ended. For tests
    /// and for other transports.
    ///
    /// # Errors
    /// [`HubError`] if it does not end because somebody asked for it.
    pub async fn serve(
        settings: HubSettings,
        scheduling: Scheduling,
        placement: Placement,
        arrivals: mpsc::Receiver<Arrival>,
        commands: mpsc::Receiver<HubCommand>,
    ) -> Result<HubEnd, HubError> {
        let directory = Directory::default();
        let turns = Rc::default();
        let (post, ended) = open_hub(Clock::start(), settings, scheduling, placement, turns);
        serve(post, ended, directory, arrivals, commands).await
    }
}

async fn listen(
    options: HubOptions,
    directory: Directory,
    commands: mpsc::Receiver<HubCommand>,
    on_listening: impl FnOnce(&[SocketAddr]),
) -> Result<HubEnd, HubError> {
    let HubOptions { credential, listen, hub, scheduling, placement, transport, audit, busy_poll } =
        options;
    let (sender, arrivals) = mpsc::channel(ARRIVALS_MAX);
    let mut addresses = Vec::new();
    let mut endpoints = Vec::new();
    for address in listen {
        let endpoint = HubEndpoint::bind(&credential, address, &transport, Arc::clone(&audit))?;
        addresses.push(endpoint.local_address().map_err(HubError::Address)?);
        endpoints.push(endpoint);
    }
    on_listening(&addresses);
    let acceptors: Vec<_> = endpoints
        .into_iter()
        .map(|endpoint| tokio::spawn(pass_arrivals(endpoint, sender.clone())))
        .collect();
    let turns = Rc::<Turns>::default();
    let polled = Rc::clone(&turns);
    let polling = Task::spawn(async move { polled.busy_poll(busy_poll).await });
    let (post, ended) = open_hub(Clock::start(), hub, scheduling, placement, turns);
    let result = serve(post, ended, directory, arrivals, commands).await;
    drop(polling);
    // Nobody takes arrivals any more: each acceptor gives its endpoint back.
    drop(sender);
    let (code, detail) = match &result {
        Ok(_) => (ErrorCode::ShuttingDown, "the hub has ended"),
        Err(_) => (ErrorCode::Internal, "the hub could not go on"),
    };
    for acceptor in acceptors {
        match acceptor.await {
            Ok(Some(endpoint)) => endpoint.close(code, detail).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "an endpoint did not end in order"),
        }
    }
    result
}

/// Hands over what arrives until nobody takes it any more; gives back what still listens.
async fn pass_arrivals(
    mut endpoint: HubEndpoint,
    sender: mpsc::Sender<Arrival>,
) -> Option<HubEndpoint> {
    loop {
        tokio::select! {
            arrival = endpoint.accept() => match arrival {
                Some(arrival) => if sender.send(arrival).await.is_err() { return Some(endpoint) },
                None => return None,
            },
            () = sender.closed() => return Some(endpoint),
        }
    }
}

async fn serve(
    post: HubPost,
    mut ended: mpsc::Receiver<Ended>,
    directory: Directory,
    arrivals: mpsc::Receiver<Arrival>,
    commands: mpsc::Receiver<HubCommand>,
) -> Result<HubEnd, HubError> {
    let mut owner = Owner::new(post.clone());
    owner.serve(open_sessions(post.clone(), directory, arrivals));
    owner.serve(pass_commands(post, commands));
    let end = ended.recv().await;
    drop(owner);
    let Some(Ended { why, closing }) = end else {
        return Err(HubError::Panicked { message: "it ended without a word".to_owned() });
    };
    let flushed = async {
        for session in &closing {
            session.closed().await;
        }
    };
    // Each has its own deadline; this one is for those that miss it.
    let _ = tokio::time::timeout(2 * CLOSE_DEADLINE, flushed).await;
    why.map(|reason| HubEnd { reason })
}

/// Runs a session with each peer that arrives.
async fn open_sessions(post: HubPost, directory: Directory, mut arrivals: mpsc::Receiver<Arrival>) {
    let mut next = 0;
    while let Some(arrival) = arrivals.recv().await {
        let session = SessionId(next);
        next += 1;
        drop(rt::spawn(session_task(post.clone(), session, arrival, directory.clone())));
    }
}

async fn pass_commands(post: HubPost, mut commands: mpsc::Receiver<HubCommand>) {
    while let Some(command) = commands.recv().await {
        let mail = match command {
            HubCommand::Stop(reason) => HubMail::Stop { reason },
            HubCommand::Plant(planted) => HubMail::Plant(planted),
        };
        if post.deliver(mail).await.is_err() {
            return;
        }
    }
}
