//! UDP sockets and QUIC endpoints, made with our settings.
//!
//! The hub's and the peers' ends use it; nothing else opens a socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, ServerConfig};
use ring::hmac;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::{Dispatch, dispatcher};

use crate::identity::{IdentityError, PrivateKey};
use crate::settings::{LOOPBACK_DATAGRAM_LEN, SOCKET_BUFFER_LEN, is_loopback};
use crate::socket::QuinnRuntime;

/// Why an endpoint cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The system gives no such socket.
    #[error("cannot open UDP {address}: {source}")]
    Socket {
        /// The address asked for.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The credential cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A hub's endpoint. The key is the hub's own: with it a hub that was killed and started anew
/// tells the peers of its former life at once that their sessions are gone.
pub(crate) fn open_hub(
    address: SocketAddr,
    server: ServerConfig,
    key: &PrivateKey,
) -> Result<Endpoint, EndpointError> {
    let config = EndpointConfig::new(Arc::new(reset_key(key)));
    open(address, config, Some(server))
}

/// A peer's endpoint.
pub(crate) fn open_peer(address: SocketAddr) -> Result<Endpoint, EndpointError> {
    open(address, EndpointConfig::default(), None)
}

fn open(
    address: SocketAddr,
    mut config: EndpointConfig,
    server: Option<ServerConfig>,
) -> Result<Endpoint, EndpointError> {
    // Every endpoint may have peers on loopback. Fails only below 1,200 bytes; then the default
    // stands, which is smaller and works too.
    let _ = config.max_udp_payload_size(LOOPBACK_DATAGRAM_LEN);
    config.cid_generator(|| Box::new(RandomIds));
    let open = |socket| Endpoint::new(config, server, socket, Arc::new(QuinnRuntime));
    socket(address)
        .and_then(|socket| outside_spans(|| open(socket)))
        .map_err(|source| EndpointError::Socket { address, source })
}

/// Has quinn start a task as if no span were open. It has each task enter, at every poll, the span
/// that is open where it is started; a process's own span is open on its thread anyway.
pub(crate) fn outside_spans<T>(start: impl FnOnce() -> T) -> T {
    dispatcher::with_default(&Dispatch::none(), start)
}

/// Derives the key of stateless resets, so that it is the same in the hub's next life. Its
/// outputs, which travel, say nothing about the key it comes from.
fn reset_key(key: &PrivateKey) -> hmac::Key {
    let root = hmac::Key::new(hmac::HMAC_SHA256, key.expose_pem().as_bytes());
    let derived = hmac::sign(&root, b"phalanx stateless reset 1");
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

/// Random connection ids. quinn's own are keyed at random for each process and would not know
/// those of a hub's former life as ids at all.
struct RandomIds;

/// Long enough that no two of a hub's connections ever meet.
const CONNECTION_ID_LEN: usize = 8;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CONNECTION_ID_LEN];
        if getrandom::fill(&mut id).is_err() {
            // Not secret, only not to be guessed from outside; and the system has no better.
            fastrand::fill(&mut id);
        }
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Where a peer binds to reach this hub: on loopback if the hub is there, so that nothing of ours
/// can be reached from outside.
pub(crate) fn local_address(hub: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match (hub.ip(), is_loopback(hub.ip())) {
        (IpAddr::V4(_), true) => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V4(_), false) => Ipv4Addr::UNSPECIFIED.into(),
        (IpAddr::V6(_), true) => Ipv6Addr::LOCALHOST.into(),
        (IpAddr::V6(_), false) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}

fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // What is asked for and nothing else: IPv4 needs its own address.
        socket.set_only_v6(true)?;
    }
    // The kernel grants what its own limit allows; less is slower, not wrong.
    socket.set_recv_buffer_size(SOCKET_BUFFER_LEN)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_LEN)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
