//! Every number of the QUIC transport, with its reason, and the settings that a caller may change.
//!
//! Endpoints and sessions read them. quinn's defaults are unbounded in one place and slow or
//! fragile in five; nothing here is left to them that matters. Figures were measured with quinn
//! 0.11.12 on two cores, loopback.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use phalanx_protocol::handshake::{DIALECT, Dialect, VERSIONS, VersionRange};
use phalanx_protocol::limits::{
    CLOSE_DEADLINE, HANDSHAKE_DEADLINE, KEEP_ALIVE, LOST_AFTER, PAYLOAD_STREAMS_MAX,
    SEND_QUEUE_BYTES_MAX, SEND_QUEUE_FRAMES_MAX,
};
use quinn::congestion::CubicConfig;
use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::build::{Build, RELEASE};

/// Ordered streams of a session: control, tasks, events. The peer opens them, the hub none.
/// quinn allocates per allowed stream at every connection (10,000 cost 1.6 MiB and 1.5 ms each),
/// so exactly these are allowed.
pub const LANE_STREAMS: u32 = 3;

/// UDP payload on loopback. 2.5 GB/s against 1.37 at 1452. With segmentation offload quinn sends
/// ten datagrams a call, and ten times more than 65,507 bytes is dropped by the kernel without a
/// word, so 6,550 is the most.
pub const LOOPBACK_DATAGRAM_LEN: u16 = 6_500;

/// UDP payload that path discovery may reach off loopback: Ethernet less IPv6 and UDP headers.
pub const NETWORK_DATAGRAM_LEN_MAX: u16 = 1_452;

/// Datagrams that quinn sends in one call.
const SEGMENTS_PER_SEND: usize = 10;

/// Longest content of one UDP datagram.
const UDP_PAYLOAD_LEN_MAX: usize = 65_507;

/// Kernel buffers of a socket. The default of 212 KiB loses packets under bulk load, 4 MiB none
/// (it is also what Linux grants at most here). The kernel may grant less.
pub const SOCKET_BUFFER_LEN: usize = 4 << 20;

/// Unacknowledged bytes of one connection on loopback. quinn walks all unacknowledged writes of a
/// stream at each packet: 100-byte writes run at 0.85 M/s with 512 KiB and at 0.2 M/s with 10 MB.
/// Ours are coalesced to [`WRITE_LEN_MAX`], so 1 MiB is 16 writes, and 2 GB/s still fit at the
/// loopback's round trip of 0.2 ms.
pub const LOOPBACK_SEND_WINDOW: u64 = 1 << 20;

/// Unacknowledged bytes of one connection off loopback: 1 Gbit/s at a round trip of 64 ms.
pub const NETWORK_SEND_WINDOW: u64 = 8 << 20;

/// What control messages may use beyond the send window, so that a full window of tasks or
/// payloads cannot hold up an abort.
pub const CONTROL_HEADROOM: u64 = 256 << 10;

/// Bytes of one stream that a receiver buffers unread, on loopback: the most that a session holds
/// for a slow reader on one lane.
pub const LOOPBACK_STREAM_WINDOW: u32 = 2 << 20;

/// The same off loopback: 500 Mbit/s on one stream at a round trip of 64 ms.
pub const NETWORK_STREAM_WINDOW: u32 = 4 << 20;

/// Longest single write to a lane. 64 KiB reach 11.5 M small messages a second, 1.2 KiB 6.6 M;
/// longer ones gain nothing.
pub const WRITE_LEN_MAX: usize = 64 << 10;

/// Longest single read from a lane. One batch of messages comes from one read of each lane.
pub const READ_LEN_MAX: usize = 64 << 10;

/// First read buffer of a lane: an idle session keeps no more.
pub const READ_LEN_MIN: usize = 4 << 10;

/// First congestion window on loopback, where nothing on the path can be congested. The default
/// of 12,000 bytes is two datagrams of [`LOOPBACK_DATAGRAM_LEN`].
pub const LOOPBACK_INITIAL_WINDOW: u64 = 1 << 20;

/// Handshakes under way that have not shown a certificate. Beyond it further ones are refused
/// until one ends.
pub const HANDSHAKES_PENDING_MAX: usize = 1_000;

/// Handshakes under way above which a new peer must prove its address first (a stateless retry:
/// one more round trip, no memory here).
pub const RETRY_ABOVE: usize = 64;

/// Failed handshakes of one proven address within a second. Beyond it the address is not answered
/// until the second is over.
pub const FAILURES_PER_ADDRESS_MAX: u32 = 20;

/// Refused peers that are written to the log one by one within a [`REFUSALS_LOGGED_WINDOW`]: enough
/// to see who it is that fails. Beyond it they are counted, and the count is written when the window
/// is over, so that nobody outside can fill the log.
pub const REFUSALS_LOGGED_MAX: u32 = 20;

/// The time over which refused peers are counted for the log.
pub const REFUSALS_LOGGED_WINDOW: Duration = Duration::from_secs(10);

/// Addresses with failed handshakes that are remembered. Beyond it the table starts anew.
pub const FAILING_ADDRESSES_MAX: usize = 4_096;

/// Connections of one hub. Above the engines and clients that a cluster may have; beyond it new
/// ones are refused.
pub const CONNECTIONS_MAX: usize = 12_288;

/// Bytes that quinn keeps for a connection attempt that we have not looked at yet. We look at
/// once and use no early data, so little can come.
pub const INCOMING_BUFFER_LEN_MAX: u64 = 64 << 10;

/// The same for all such attempts together.
pub const INCOMING_BUFFERS_LEN_MAX: u64 = 8 << 20;

/// Authenticated sessions that wait for the hub to take them. Beyond it their handshakes wait,
/// under their deadline.
pub const ARRIVALS_MAX: usize = 64;

/// Longest greeting (hello, welcome, refusal): three texts of at most 4 KiB.
pub const GREETING_LEN_MAX: usize = 16 << 10;

/// Payloads that a peer announced and has not sent whole. A sender's queue holds half as many
/// (its byte limit over the shortest payload with a stream); a peer that announces more breaks
/// the rules.
pub const ANNOUNCED_PAYLOADS_MAX: usize = 131_072;

/// Frames that the control lane may queue when the other lanes' queue is full.
pub const CONTROL_QUEUE_FRAMES_MAX: usize = 4_096;

const _: () = {
    use phalanx_protocol::limits::{CLIENT_SESSIONS_MAX, ENGINES_MAX, INLINE_LEN_MAX};
    assert!(LOOPBACK_DATAGRAM_LEN as usize * SEGMENTS_PER_SEND <= UDP_PAYLOAD_LEN_MAX);
    assert!(PAYLOAD_STREAMS_MAX + LANE_STREAMS <= 256);
    assert!(ENGINES_MAX + CLIENT_SESSIONS_MAX < CONNECTIONS_MAX);
    assert!(2 * SEND_QUEUE_BYTES_MAX / INLINE_LEN_MAX as u64 <= ANNOUNCED_PAYLOADS_MAX as u64);
    assert!(RETRY_ABOVE < HANDSHAKES_PENDING_MAX);
    // All streams full and unread still leave the connection's window open to control.
    assert!(receive_window(NETWORK_STREAM_WINDOW) < u32::MAX);
};

/// Bytes that a receiver buffers for one connection: all its streams at their windows. quinn has
/// no bound here by default; a smaller one would let unread bulk shut out control.
const fn receive_window(stream_window: u32) -> u32 {
    (LANE_STREAMS + PAYLOAD_STREAMS_MAX) * stream_window
}

/// What a caller may change; tests do, processes rarely need to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Silence after which the other end is lost. Default [`LOST_AFTER`], 15 s.
    pub lost_after: Duration,
    /// How often an idle session says that it is alive. Default [`KEEP_ALIVE`], 3 s.
    pub keep_alive: Duration,
    /// How long a handshake may take. Default [`HANDSHAKE_DEADLINE`], 5 s.
    pub handshake_deadline: Duration,
    /// How long a closing session may flush. Default [`CLOSE_DEADLINE`], 1 s.
    pub close_deadline: Duration,
    /// Frames that wait to be sent. Default [`SEND_QUEUE_FRAMES_MAX`].
    pub queue_frames_max: usize,
    /// Bytes that wait to be sent. Default [`SEND_QUEUE_BYTES_MAX`].
    pub queue_bytes_max: u64,
    /// Default [`HANDSHAKES_PENDING_MAX`].
    pub handshakes_pending_max: usize,
    /// Default [`RETRY_ABOVE`].
    pub retry_above: usize,
    /// Default [`FAILURES_PER_ADDRESS_MAX`].
    pub failures_per_address_max: u32,
    /// Whether long payloads may be handed over in shared memory. Default: unless the environment
    /// says otherwise ([`crate::segments::SHARED_MEMORY_ENV`]).
    pub shared_memory: bool,
    /// Default: the versions of this build.
    pub versions: VersionRange,
    /// Default: the messages of this build.
    pub dialect: Dialect,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lost_after: LOST_AFTER,
            keep_alive: KEEP_ALIVE,
            handshake_deadline: HANDSHAKE_DEADLINE,
            close_deadline: CLOSE_DEADLINE,
            queue_frames_max: SEND_QUEUE_FRAMES_MAX,
            queue_bytes_max: SEND_QUEUE_BYTES_MAX,
            handshakes_pending_max: HANDSHAKES_PENDING_MAX,
            retry_above: RETRY_ABOVE,
            failures_per_address_max: FAILURES_PER_ADDRESS_MAX,
            shared_memory: crate::segments::is_wanted(),
            versions: VERSIONS,
            dialect: DIALECT,
        }
    }
}

/// Which end of a connection a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Hub,
    Peer,
}

impl Settings {
    /// What this end was built from.
    pub(crate) fn build(&self) -> Build {
        Build::new(RELEASE.to_owned(), self.versions, self.dialect)
    }

    /// The send window towards this address.
    pub(crate) fn send_window(address: IpAddr) -> u64 {
        if is_loopback(address) { LOOPBACK_SEND_WINDOW } else { NETWORK_SEND_WINDOW }
    }

    /// The configuration of one connection with this address.
    pub(crate) fn transport(&self, end: End, address: IpAddr) -> Arc<TransportConfig> {
        let mut config = TransportConfig::default();
        let lanes = match end {
            End::Hub => LANE_STREAMS,
            End::Peer => 0,
        };
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(lanes))
            .max_concurrent_uni_streams(VarInt::from_u32(PAYLOAD_STREAMS_MAX))
            .keep_alive_interval(Some(self.keep_alive))
            // Past 2^62 ms there is no timeout; nobody asks for that.
            .max_idle_timeout(IdleTimeout::try_from(self.lost_after).ok())
            .send_window(Self::send_window(address))
            .datagram_receive_buffer_size(None)
            .enable_segmentation_offload(true);
        let stream_window = if is_loopback(address) {
            let mut cubic = CubicConfig::default();
            cubic.initial_window(LOOPBACK_INITIAL_WINDOW);
            let mut discovery = MtuDiscoveryConfig::default();
            discovery.upper_bound(LOOPBACK_DATAGRAM_LEN);
            config
                .congestion_controller_factory(Arc::new(cubic))
                .initial_mtu(LOOPBACK_DATAGRAM_LEN)
                .mtu_discovery_config(Some(discovery));
            LOOPBACK_STREAM_WINDOW
        } else {
            let mut discovery = MtuDiscoveryConfig::default();
            discovery.upper_bound(NETWORK_DATAGRAM_LEN_MAX);
            config.mtu_discovery_config(Some(discovery));
            NETWORK_STREAM_WINDOW
        };
        config
            .stream_receive_window(VarInt::from_u32(stream_window))
            .receive_window(VarInt::from_u32(receive_window(stream_window)));
        Arc::new(config)
    }
}

/// Loopback, also as an IPv4 address inside IPv6.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
