//! A peer's end: finds the hub by a connection file, proves who it is, and opens a session.
//!
//! Engines, hosts, scheduler processes and clients own one [`Connector`] for their life and ask
//! it for a new session whenever the last one ended.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::role::Role;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, TransportErrorCode};

use crate::build::Mismatch;
use crate::conversation::{Conversation, PeerSession};
use crate::endpoint::{self, EndpointError, local_address, outside_spans};
use crate::handshake::{self, HandshakeError};
use crate::identity::{ClusterId, ConnectionFile, IdentityError, client_config};
use crate::quic::wire;
use crate::session::Session;
use crate::settings::{End, Settings};
use crate::tls_failure::TlsFailure;

/// Why there is no session. Each text says what happened and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing came back.
    #[error(
        "no answer from UDP {address} within {} ms: the hub is not running there, or a firewall \
         blocks UDP port {}; check `phalanx status` and the firewall",
        after.as_millis(),
        address.port()
    )]
    NoAnswer {
        /// Where the hub should be.
        address: SocketAddr,
        /// How long we waited.
        after: Duration,
    },
    /// The hub answered, but did not finish the handshake in time.
    #[error("the hub at {address} did not finish the handshake within {} ms; it is overloaded or \
         stopped, try again", after.as_millis())]
    TimedOut {
        /// Where the hub is.
        address: SocketAddr,
        /// How long we waited.
        after: Duration,
    },
    /// The hub's certificate is not this cluster's.
    #[error(
        "the hub at {address} is not the hub of this cluster ({failure}); the connection file \
         is of another cluster or an older one: take the current file"
    )]
    ForeignHub {
        /// Where it is.
        address: SocketAddr,
        /// What TLS says.
        failure: TlsFailure,
    },
    /// The hub's certificate has expired.
    #[error(
        "the certificate of the hub at {address} has expired or is not valid yet; check both \
         clocks, or start the cluster anew"
    )]
    HubExpired {
        /// Where it is.
        address: SocketAddr,
    },
    /// The hub wants a certificate and got none.
    #[error(
        "the hub at {address} wants a certificate and got none; use the role's connection file"
    )]
    NoCertificate {
        /// Where it is.
        address: SocketAddr,
    },
    /// The hub does not accept our authority.
    #[error(
        "the hub at {address} does not know the authority of our {role} certificate; the \
         connection file is of another cluster or an older one: take the current file"
    )]
    ForeignCertificate {
        /// Where it is.
        address: SocketAddr,
        /// Our role.
        role: Role,
    },
    /// Our certificate has expired.
    #[error(
        "our {role} certificate has expired or is not valid yet, says the hub at {address}; \
         check both clocks, or take a new connection file"
    )]
    Expired {
        /// Where it is.
        address: SocketAddr,
        /// Our role.
        role: Role,
    },
    /// Our certificate is not fit.
    #[error(
        "the hub at {address} refuses our {role} certificate; take the connection file that \
         the cluster wrote for this role"
    )]
    BadCertificate {
        /// Where it is.
        address: SocketAddr,
        /// Our role.
        role: Role,
    },
    /// The hub speaks another framing.
    #[error(
        "the hub at {address} does not speak this release's protocol; use the same release at \
         both ends"
    )]
    NoProtocol {
        /// Where it is.
        address: SocketAddr,
    },
    /// The hub's messages are not ours: another version, or another build.
    #[error("the hub at {address} refused us: {mismatch}")]
    Version {
        /// Where it is.
        address: SocketAddr,
        /// The two builds.
        mismatch: Box<Mismatch>,
    },
    /// Too many peers at once.
    #[error("the hub at {address} takes no more connections at the moment; try again")]
    Busy {
        /// Where it is.
        address: SocketAddr,
    },
    /// The hub closed the connection with a reason.
    #[error("the hub at {address} refused us: {detail}")]
    Refused {
        /// Where it is.
        address: SocketAddr,
        /// Why, if it is a code that this release knows.
        code: Option<ErrorCode>,
        /// Why, in words.
        detail: String,
    },
    /// The hub broke the rules of the handshake.
    #[error("the hub at {address} does not keep to the handshake: {detail}")]
    Malformed {
        /// Where it is.
        address: SocketAddr,
        /// What it did.
        detail: String,
    },
    /// The network or the QUIC stack failed.
    #[error("cannot connect to the hub at {address}: {detail}")]
    Network {
        /// Where it is.
        address: SocketAddr,
        /// How, in its words.
        detail: String,
    },
    /// The connection file names no address.
    #[error("the connection file names no hub address; is the hub running?")]
    NoAddress,
    /// The credential is for another conversation.
    #[error("a credential of role {role} does not lead this conversation")]
    WrongConversation {
        /// Our role.
        role: Role,
    },
    /// No socket.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl ConnectError {
    /// Whether the same, tried again later, may go well: the hub may be starting, busy or out of
    /// reach. The others need somebody to do something first.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NoAnswer { .. }
            | Self::TimedOut { .. }
            | Self::Busy { .. }
            | Self::Network { .. } => true,
            Self::Refused { code: Some(code), .. } => code.is_retryable(),
            _ => false,
        }
    }
}

/// Opens sessions with one hub in one role. Keeps its UDP socket between them.
pub struct Connector {
    crypto: Arc<QuicClientConfig>,
    addresses: Vec<SocketAddr>,
    endpoints: Vec<Endpoint>,
    server_name: String,
    cluster: ClusterId,
    role: Role,
    settings: Settings,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("role", &self.role)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Prepares to connect with this credential; sockets are driven by the current executor.
    ///
    /// # Errors
    /// [`ConnectError`] if there is no address, no socket, or the credential cannot be used.
    pub fn new(file: &ConnectionFile, settings: &Settings) -> Result<Self, ConnectError> {
        let crypto = client_config(&file.credential).map_err(EndpointError::from)?;
        let canonical =
            |address: &SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let addresses: Vec<_> = file.hub_addresses.iter().map(canonical).collect();
        if addresses.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        let endpoints = addresses
            .iter()
            .map(|address| endpoint::open_peer(local_address(*address)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            crypto: Arc::new(crypto),
            addresses,
            endpoints,
            server_name: file.server_name.clone(),
            cluster: file.credential.cluster.clone(),
            role: file.role(),
            settings: settings.clone(),
        })
    }

    /// Opens a session: tries the hub's addresses in their order, each for its share of the
    /// handshake deadline. `name` is what we call ourselves, for people.
    ///
    /// # Errors
    /// [`ConnectError`] of the last address that was tried.
    pub async fn connect<C: Conversation>(
        &self,
        name: &str,
    ) -> Result<PeerSession<C>, ConnectError> {
        if !C::ROLES.contains(self.role) {
            return Err(ConnectError::WrongConversation { role: self.role });
        }
        let share = self.settings.handshake_deadline / self.addresses.len() as u32;
        let mut last = ConnectError::NoAddress;
        for (address, endpoint) in self.addresses.iter().zip(&self.endpoints) {
            match self.connect_to(endpoint, *address, name, share).await {
                Ok(session) => return Ok(session),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Waits until the hub was told of every session that ended, within the close deadline. A
    /// process that ends right after a session calls it; otherwise the hub would find out only by
    /// its idle timeout. With sessions that are still
    /// open it waits for the whole deadline.
    pub async fn told(&self) {
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.open_connections() > 0) {
            // Late is as good as lost: the process ends anyway.
            let _ = tokio::time::timeout(self.settings.close_deadline, endpoint.wait_idle()).await;
        }
    }

    async fn connect_to<C: Conversation>(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
        name: &str,
        share: Duration,
    ) -> Result<PeerSession<C>, ConnectError> {
        let deadline = tokio::time::Instant::now() + share;
        let mut config = ClientConfig::new(Arc::clone(&self.crypto) as _);
        config.transport_config(self.settings.transport(End::Peer, address.ip()));
        let connect = || endpoint.connect_with(config, address, &self.server_name);
        let connecting = outside_spans(connect)
            .map_err(|error| ConnectError::Network { address, detail: error.to_string() })?;
        let connection = match tokio::time::timeout_at(deadline, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(self.failed(address, error, share)),
            Err(_) => {
                return Err(ConnectError::NoAnswer { address, after: share });
            }
        };
        let shaken = tokio::time::timeout_at(deadline, self.greet(&connection, name)).await;
        let error = match shaken {
            Ok(Ok((lanes, peer))) => {
                return Ok(Session::start(wire(&connection, lanes), peer, &self.settings));
            }
            Ok(Err(error)) => error,
            Err(_) => {
                connection.close(crate::quic::code_number(ErrorCode::TimedOut), b"no welcome");
                return Err(ConnectError::TimedOut { address, after: share });
            }
        };
        handshake::close(&connection, &error);
        Err(self.not_welcome(address, error, share))
    }

    async fn greet(
        &self,
        connection: &Connection,
        name: &str,
    ) -> Result<(crate::quic::Lanes, crate::session::PeerInfo), HandshakeError> {
        let hub = handshake::identify(connection, &self.cluster)?;
        handshake::greet(connection, hub, name, &self.settings).await
    }

    fn not_welcome(
        &self,
        address: SocketAddr,
        error: HandshakeError,
        share: Duration,
    ) -> ConnectError {
        match error {
            HandshakeError::Connection(error) => self.failed(address, error, share),
            HandshakeError::Certificate(_)
            | HandshakeError::Cluster { .. }
            | HandshakeError::Role { .. } => {
                ConnectError::ForeignHub { address, failure: TlsFailure::BadCertificate }
            }
            HandshakeError::Version(mismatch) => ConnectError::Version { address, mismatch },
            HandshakeError::Refused(refusal) => {
                ConnectError::Refused { address, code: refusal.code, detail: refusal.detail }
            }
            HandshakeError::Malformed { .. } => {
                ConnectError::Malformed { address, detail: error.to_string() }
            }
        }
    }

    /// What the end of the connection says.
    fn failed(&self, address: SocketAddr, error: ConnectionError, after: Duration) -> ConnectError {
        let role = self.role;
        let is_by_hub = matches!(error, ConnectionError::ConnectionClosed(_));
        if let Some(failure) = TlsFailure::of(&error) {
            return match failure {
                TlsFailure::NoProtocol => ConnectError::NoProtocol { address },
                TlsFailure::Expired if is_by_hub => ConnectError::Expired { address, role },
                TlsFailure::Expired => ConnectError::HubExpired { address },
                TlsFailure::NoCertificate => ConnectError::NoCertificate { address },
                TlsFailure::ForeignAuthority if is_by_hub => {
                    ConnectError::ForeignCertificate { address, role }
                }
                TlsFailure::BadCertificate if is_by_hub => {
                    ConnectError::BadCertificate { address, role }
                }
                failure if is_by_hub => {
                    ConnectError::Refused { address, code: None, detail: failure.to_string() }
                }
                failure => ConnectError::ForeignHub { address, failure },
            };
        }
        match error {
            ConnectionError::TimedOut => ConnectError::NoAnswer { address, after },
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
            {
                ConnectError::Busy { address }
            }
            ConnectionError::ApplicationClosed(close) => ConnectError::Refused {
                address,
                code: u16::try_from(close.error_code.into_inner())
                    .ok()
                    .and_then(ErrorCode::from_number),
                detail: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            other => ConnectError::Network { address, detail: other.to_string() },
        }
    }
}

impl From<IdentityError> for ConnectError {
    fn from(error: IdentityError) -> Self {
        Self::Endpoint(error.into())
    }
}
