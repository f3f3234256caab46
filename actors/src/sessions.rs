//! The hub's sessions: one task each that reads batches and posts them to the hub's actor, and the
//! sending halves by which the hub answers.
//!
//! A session has at most one batch at the hub: its task reads on when the turn that took the batch
//! is over. So a peer that floods the hub fills its own transport windows and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use dashmap::DashMap;
use phalanx_core::hub::{ClientReply, EngineOrder, HostOrder};
use phalanx_protocol::client::{ClientToHub, HubToClient};
use phalanx_protocol::codec::Message;
use phalanx_protocol::engine::{EngineToHub, HubToEngine};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::host::{HostToHub, HubToHost};
use phalanx_protocol::ids::SessionId;
use phalanx_protocol::limits::OUTPUT_BACKLOG_BYTES_MAX;
use phalanx_protocol::role::Role;
use phalanx_protocol::scheduling::{HubToScheduling, SchedulingToHub};
use phalanx_transport::{
    Arrival, CloseReason, Incoming, SendError, Session, SessionReceiver, SessionSender,
};

use crate::hub::{HubMail, HubPost};
use crate::peer::{RoomOrder, client_message, engine_message, host_message, room_message};

/// What came from a session at once.
#[derive(Debug)]
pub(crate) enum Batch {
    Client(Vec<Incoming<ClientToHub>>),
    Engine(Vec<Incoming<EngineToHub>>),
    Host(Vec<Incoming<HostToHub>>),
    Scheduling(Vec<Incoming<SchedulingToHub>>),
}

/// The sending half of a session.
#[derive(Debug, Clone)]
pub(crate) enum Outbound {
    Client(SessionSender<HubToClient>),
    Engine(SessionSender<HubToEngine>),
    Host(SessionSender<HubToHost>),
    Scheduling(SessionSender<HubToScheduling>),
}

impl Outbound {
    pub(crate) fn tell_client(&self, reply: ClientReply) {
        if let Self::Client(sender) = self {
            match reply {
                ClientReply::Output(_) => send_if_idle(sender, client_message(reply)),
                reply => send(sender, client_message(reply)),
            }
        }
    }

    pub(crate) fn tell_engine(&self, order: EngineOrder) {
        if let Self::Engine(sender) = self {
            send(sender, engine_message(order));
        }
    }

    pub(crate) fn tell_host(&self, order: HostOrder) {
        if let Self::Host(sender) = self {
            send(sender, host_message(order));
        }
    }

    pub(crate) fn tell_rooms(&self, order: RoomOrder) {
        if let Self::Scheduling(sender) = self {
            send(sender, room_message(order));
        }
    }

    pub(crate) fn close(&self, code: ErrorCode, detail: &str) {
        match self {
            Self::Client(sender) => sender.close(code, detail),
            Self::Engine(sender) => sender.close(code, detail),
            Self::Host(sender) => sender.close(code, detail),
            Self::Scheduling(sender) => sender.close(code, detail),
        }
    }

    /// Waits until all that was queued is sent, or given up, and the session is over.
    pub(crate) async fn closed(&self) -> CloseReason {
        match self {
            Self::Client(sender) => sender.closed().await,
            Self::Engine(sender) => sender.closed().await,
            Self::Host(sender) => sender.closed().await,
            Self::Scheduling(sender) => sender.closed().await,
        }
    }
}

/// Queues a message; a session that cannot take it is closed, so that its peer comes back and is
/// told anew what it has missed.
pub(crate) fn send<Out: Message>(sender: &SessionSender<Out>, message: Out) {
    match sender.send(message) {
        // The end of a closed session is told by its receiving half.
        Ok(()) | Err(SendError::Closed(_)) => {}
        Err(SendError::Overloaded(_)) => {
            sender.close(ErrorCode::Overloaded, "the session does not read what is sent to it");
        }
        Err(error) => {
            tracing::error!(%error, "a message of our own cannot be sent");
            sender.close(ErrorCode::Internal, &error.to_string());
        }
    }
}

/// Queues news that may be dropped, unless much is queued already: what cannot be dropped shall
/// not wait behind it, and a peer that does not read is no reason to hold it.
pub(crate) fn send_if_idle<Out: Message>(sender: &SessionSender<Out>, message: Out) {
    let (_, bytes) = sender.queued();
    if bytes <= OUTPUT_BACKLOG_BYTES_MAX {
        send(sender, message);
    }
}

/// A session as other threads see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionEntry {
    /// Its number in this hub.
    pub session: SessionId,
    /// The peer's role.
    pub role: Role,
    /// What the peer calls itself.
    pub name: String,
    /// Where it is; `None` in memory.
    pub address: Option<SocketAddr>,
}

/// The sessions that are open: written by the hub's thread, read by any other without asking it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directory(Arc<DashMap<SessionId, SessionEntry>>);

impl Directory {
    /// What is open now, by number.
    pub(crate) fn list(&self) -> Vec<SessionEntry> {
        let mut entries: Vec<_> = self.0.iter().map(|entry| entry.value().clone()).collect();
        entries.sort_unstable_by_key(|entry| entry.session);
        entries
    }
}

/// Runs a session until it is over.
pub(crate) async fn session_task(
    post: HubPost,
    session: SessionId,
    arrival: Arrival,
    directory: Directory,
) {
    match arrival {
        Arrival::Client(accepted) => {
            run(post, session, accepted, directory, Outbound::Client, Batch::Client).await;
        }
        Arrival::Engine(accepted) => {
            run(post, session, accepted, directory, Outbound::Engine, Batch::Engine).await;
        }
        Arrival::Host(accepted) => {
            run(post, session, accepted, directory, Outbound::Host, Batch::Host).await;
        }
        Arrival::Scheduler(accepted) => {
            run(post, session, accepted, directory, Outbound::Scheduling, Batch::Scheduling).await;
        }
        // A conversation that this hub does not lead; dropping it closes the session.
        other => tracing::error!(?other, "an arrival of an unknown kind"),
    }
}

async fn run<Out: Message, In: Message>(
    post: HubPost,
    session: SessionId,
    accepted: Session<Out, In>,
    directory: Directory,
    outbound: fn(SessionSender<Out>) -> Outbound,
    batch: fn(Vec<Incoming<In>>) -> Batch,
) {
    let Session { sender, receiver, peer } = accepted;
    let role = peer.role;
    let entry = SessionEntry { session, role, name: peer.name, address: peer.address };
    tracing::debug!(%session, %role, name = entry.name, address = ?entry.address, "session opened");
    directory.0.insert(session, entry);
    let presence = Presence { post, session, directory };
    let opened = HubMail::SessionOpened { session, role, outbound: outbound(sender) };
    if presence.post.deliver(opened).await.is_ok() {
        let reason = pass_on(&presence.post, session, receiver, batch).await;
        tracing::debug!(%session, %role, reason, "session closed");
    }
}

/// A session that the hub knows of. However its task ends, by a panic too, the hub is told.
struct Presence {
    post: HubPost,
    session: SessionId,
    directory: Directory,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.directory.0.remove(&self.session);
        // A hub that has ended has forgotten it already.
        let _ = self.post.push(HubMail::SessionClosed { session: self.session });
    }
}

/// Posts what arrives until nothing more will; says why.
async fn pass_on<In: Message>(
    post: &HubPost,
    session: SessionId,
    mut receiver: SessionReceiver<In>,
    batch: fn(Vec<Incoming<In>>) -> Batch,
) -> String {
    // A busy session's batches are alike: mostly it need not grow.
    let mut expected = 0;
    loop {
        let mut incoming = Vec::with_capacity(expected);
        if let Err(reason) = receiver.recv_batch(&mut incoming).await {
            return reason.to_string();
        }
        expected = incoming.len();
        let mail = HubMail::Batch { session, batch: batch(incoming) };
        if post.deliver(mail).await.is_err() {
            return "the hub has ended".to_owned();
        }
    }
}
