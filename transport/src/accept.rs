//! The hub's end: listens, authenticates, and hands over sessions.
//!
//! The hub process owns one [`HubEndpoint`] per address. What it hands over is authenticated and
//! past its handshake; what is not never reaches the hub, only its audit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::role::Role;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connecting, Connection, ConnectionError, Endpoint, Incoming, ServerConfig,
    ValidationTokenConfig,
};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::admission::{Admission, Attempt, Gate};
use crate::audit::{Audit, RefusalKind, RefusedPeer};
use crate::conversation::Arrival;
use crate::endpoint::{self, EndpointError, outside_spans};
use crate::handshake::{self, HandshakeError};
use crate::identity::{ClusterId, Credential, server_config};
use crate::quic::{Lanes, code_number, wire};
use crate::session::{PeerInfo, Session};
use crate::settings::{
    ARRIVALS_MAX, End, HANDSHAKES_PENDING_MAX, INCOMING_BUFFER_LEN_MAX, INCOMING_BUFFERS_LEN_MAX,
    Settings,
};
use crate::tls_failure::TlsFailure;

/// The hub's listening end. Dropping it stops listening and ends its sessions at once.
#[derive(Debug)]
pub struct HubEndpoint {
    endpoint: Endpoint,
    arrivals: mpsc::Receiver<Arrival>,
    acceptor: JoinHandle<()>,
}

impl HubEndpoint {
    /// Listens on `address` with the hub's credential; handshakes run on the current executor.
    ///
    /// # Errors
    /// [`EndpointError`]: the address cannot be had, or the credential is not a hub's.
    pub fn bind(
        credential: &Credential,
        address: SocketAddr,
        settings: &Settings,
        audit: Arc<dyn Audit>,
    ) -> Result<Self, EndpointError> {
        let server = server(server_config(credential)?);
        let endpoint = endpoint::open_hub(address, server.clone(), &credential.key)?;
        let (sender, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let acceptor = Acceptor {
            endpoint: endpoint.clone(),
            server,
            settings: settings.clone(),
            gate: Gate::new(settings),
            handshaker: Handshaker {
                cluster: credential.cluster.clone(),
                settings: settings.clone(),
                arrivals: sender,
                audit,
            },
        };
        Ok(Self { endpoint, arrivals, acceptor: tokio::spawn(acceptor.run()) })
    }

    /// Where it listens: the port that the system chose, if the address left it open.
    ///
    /// # Errors
    /// The system's answer, if it gives none.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next authenticated peer; `None` after [`HubEndpoint::close`].
    pub async fn accept(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }

    /// Ends every session with this code and text and waits until the peers were told, within the
    /// close deadline. Sessions that have something to flush are closed one by one before.
    pub async fn close(self, code: ErrorCode, detail: &str) {
        self.endpoint.close(code_number(code), detail.as_bytes());
        let deadline = phalanx_protocol::limits::CLOSE_DEADLINE;
        // Late peers find out by their idle timeout.
        let _ = tokio::time::timeout(deadline, self.endpoint.wait_idle()).await;
    }
}

impl Drop for HubEndpoint {
    fn drop(&mut self) {
        self.acceptor.abort();
        // Not an orderly end: after [`HubEndpoint::close`] this says nothing.
        self.endpoint.close(code_number(ErrorCode::Internal), b"hub endpoint dropped");
    }
}

/// The configuration of connections that nobody has looked at yet; each gets its own by address.
fn server(crypto: QuicServerConfig) -> ServerConfig {
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    let mut tokens = ValidationTokenConfig::default();
    // Peers that come back prove their address when the hub is busy, like all others.
    tokens.sent(0);
    server
        .max_incoming(HANDSHAKES_PENDING_MAX)
        .incoming_buffer_size(INCOMING_BUFFER_LEN_MAX)
        .incoming_buffer_size_total(INCOMING_BUFFERS_LEN_MAX)
        .validation_token_config(tokens)
        // A laptop changes its network, a NAT its port: the session goes on.
        .migration(true);
    server
}

/// How a handshake ended, for the gate.
enum HandshakeEnd {
    Done,
    /// The peer proved its address and did not show who it is.
    Failed(SocketAddr),
}

struct Acceptor {
    endpoint: Endpoint,
    server: ServerConfig,
    settings: Settings,
    gate: Gate,
    handshaker: Handshaker,
}

impl Acceptor {
    async fn run(mut self) {
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.on_incoming(incoming, &mut handshakes),
                    None => return,
                },
                Some(end) = handshakes.join_next() => {
                    if let Ok(HandshakeEnd::Failed(address)) = end {
                        self.gate.on_failure(Instant::now(), address.ip());
                    }
                }
            }
        }
    }

    fn on_incoming(&self, incoming: Incoming, handshakes: &mut JoinSet<HandshakeEnd>) {
        let address = incoming.remote_address();
        let attempt = Attempt {
            address: address.ip(),
            is_address_proven: incoming.remote_address_validated(),
            handshakes_pending: handshakes.len(),
            connections: self.endpoint.open_connections(),
        };
        match self.gate.weigh(Instant::now(), attempt) {
            Admission::Accept => {}
            Admission::Retry => {
                // Refused only for an address that is proven already, which is not retried.
                let _ = incoming.retry();
                return;
            }
            Admission::Refuse => {
                incoming.refuse();
                self.handshaker.refused(
                    address,
                    RefusalKind::Overloaded,
                    "too many handshakes or connections at once",
                );
                return;
            }
            Admission::Ignore => {
                incoming.ignore();
                self.handshaker.refused(
                    address,
                    RefusalKind::Overloaded,
                    "too many failed handshakes of this address within a second",
                );
                return;
            }
        }
        let mut server = self.server.clone();
        server.transport_config(self.settings.transport(End::Hub, address.ip()));
        match outside_spans(|| incoming.accept_with(Arc::new(server))) {
            Ok(connecting) => {
                handshakes.spawn(self.handshaker.clone().run(connecting, address));
            }
            Err(error) => {
                let (kind, reason) = refusal(&HandshakeError::Connection(error));
                self.handshaker.refused(address, kind, &reason);
            }
        }
    }
}

#[derive(Clone)]
struct Handshaker {
    cluster: ClusterId,
    settings: Settings,
    arrivals: mpsc::Sender<Arrival>,
    audit: Arc<dyn Audit>,
}

impl Handshaker {
    fn refused(&self, address: SocketAddr, kind: RefusalKind, reason: &str) {
        self.audit.refused(&RefusedPeer { address, kind, reason: reason.to_owned() });
    }

    async fn run(self, connecting: Connecting, address: SocketAddr) -> HandshakeEnd {
        let deadline = self.settings.handshake_deadline;
        let handshake = tokio::time::timeout(deadline, self.shake_hands(connecting));
        match handshake.await {
            Ok(Ok(())) => HandshakeEnd::Done,
            Ok(Err(error)) => {
                let (kind, reason) = refusal(&error);
                self.refused(address, kind, &reason);
                match kind {
                    // An outdated peer is known; one that went away may just have been stopped.
                    RefusalKind::Gone | RefusalKind::Version => HandshakeEnd::Done,
                    _ => HandshakeEnd::Failed(address),
                }
            }
            Err(_) => {
                let reason = format!("no session within {} ms", deadline.as_millis());
                self.refused(address, RefusalKind::TimedOut, &reason);
                // It may never have been there: the address is not proven.
                HandshakeEnd::Done
            }
        }
    }

    async fn shake_hands(&self, connecting: Connecting) -> Result<(), HandshakeError> {
        let connection = CloseOnDrop(Some(connecting.await?));
        let Some(held) = connection.0.as_ref() else {
            return Ok(());
        };
        let (lanes, peer) = match self.greet(held).await {
            Ok(greeted) => greeted,
            Err(error) => {
                handshake::close(held, &error);
                return Err(error);
            }
        };
        // The session's place first, the session second: nothing is started that waits unseen.
        let Ok(place) = self.arrivals.reserve().await else {
            held.close(code_number(ErrorCode::ShuttingDown), b"hub is closing");
            return Ok(());
        };
        self.audit.admitted(&peer);
        place.send(arrival(held, lanes, peer, &self.settings));
        connection.keep();
        Ok(())
    }

    async fn greet(&self, connection: &Connection) -> Result<(Lanes, PeerInfo), HandshakeError> {
        let identity = handshake::identify(connection, &self.cluster)?;
        handshake::check_conversation(connection, &identity)?;
        handshake::welcome(connection, identity, &self.settings).await
    }
}

/// Ends a connection whose handshake was cut short by its deadline.
struct CloseOnDrop(Option<Connection>);

impl CloseOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.close(code_number(ErrorCode::TimedOut), b"the handshake took too long");
        }
    }
}

fn arrival(connection: &Connection, lanes: Lanes, peer: PeerInfo, settings: &Settings) -> Arrival {
    let wire = wire(connection, lanes);
    match peer.role {
        Role::Engine => Arrival::Engine(Session::start(wire, peer, settings)),
        Role::Host => Arrival::Host(Session::start(wire, peer, settings)),
        Role::Scheduler => Arrival::Scheduler(Session::start(wire, peer, settings)),
        // The hub's own role was refused before; each message still checks who may send it.
        Role::Client | Role::Monitor | Role::Admin | Role::Hub => {
            Arrival::Client(Session::start(wire, peer, settings))
        }
    }
}

fn refusal(error: &HandshakeError) -> (RefusalKind, String) {
    let kind = match error {
        HandshakeError::Connection(reason) => match TlsFailure::of(reason) {
            Some(failure) => {
                return (RefusalKind::Tls(failure), failure.seen_by_hub().to_owned());
            }
            None => match reason {
                ConnectionError::TransportError(_) => RefusalKind::Malformed,
                _ => RefusalKind::Gone,
            },
        },
        HandshakeError::Certificate(_) | HandshakeError::Role { .. } => RefusalKind::WrongRole,
        HandshakeError::Cluster { .. } => RefusalKind::WrongCluster,
        HandshakeError::Version(_) => RefusalKind::Version,
        HandshakeError::Malformed { .. } | HandshakeError::Refused(_) => RefusalKind::Malformed,
    };
    (kind, error.to_string())
}
