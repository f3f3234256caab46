//! UDP sockets and QUIC endpoints, made with our settings.
//!
//! The hub's and the peers' ends use it; nothing else opens a socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::{Endpoint, ServerConfig, TokioRuntime};
use socket2::{Domain, Protocol, Socket, Type};

use crate::identity::IdentityError;
use crate::settings::{SOCKET_BUFFER_LEN, endpoint_config, is_loopback};

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

/// The endpoint of a hub, or of a peer if there is no server configuration.
pub(crate) fn open(
    address: SocketAddr,
    server: Option<ServerConfig>,
) -> Result<Endpoint, EndpointError> {
    socket(address)
        .and_then(|socket| Endpoint::new(endpoint_config(), server, socket, Arc::new(TokioRuntime)))
        .map_err(|source| EndpointError::Socket { address, source })
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
