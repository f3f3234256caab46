//! Handshakes that are begun and never finished, and what they make of a hub's memory. The program
//! `half_open` uses it; it starts no hub.
//!
//! The handshakes are real: a connector of ours begins them, through a relay that swallows what
//! the hub says. So the hub sees peers that fall silent after their first packet. If the relay
//! lets the hub's `Retry` through, it sees peers that have proven their address first.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use phalanx_client::ConnectionFile;
use phalanx_protocol::client::ClientToHub;
use phalanx_transport::{Connector, Settings};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Addresses that the peers come from.
pub const SOCKETS: usize = 64;

/// Handshakes that begin together, and how often: more would overrun the sockets of the relay.
const BURST_LEN: usize = 32;
const BURST_EVERY: Duration = Duration::from_millis(2);

/// Longest datagram.
const DATAGRAM_LEN_MAX: usize = 65_535;

/// A server's first packets are padded to this; what is shorter is a refusal.
const ANSWER_LEN_MIN: usize = 1_200;

/// How the peers fall silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// After their first packet: their address may be anybody's.
    AtOnce,
    /// After they have proven their address.
    OnceProven,
}

/// What the hub said, in handshakes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// It began them: each is held until its deadline.
    pub held: usize,
    /// It wanted the address proven first, and kept nothing.
    pub retried: usize,
    /// It said no.
    pub refused: usize,
}

/// The memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub now: u64,
    /// The most that was resident.
    pub highest: u64,
}

/// Begins so many handshakes, in quick succession, with the hub of a connection file, none of which goes on, and
/// gives them up after `hold`.
pub async fn begin(
    file: &ConnectionFile,
    attempts: usize,
    silence: Silence,
    hold: Duration,
) -> Result<Answers> {
    let hub = *file.hub_addresses.first().context("the connection file names no address")?;
    let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    let mut through = file.clone();
    through.hub_addresses = vec![front.local_addr()?];
    let mut settings = Settings::default();
    settings.handshake_deadline = hold;
    let connector = Arc::new(Connector::new(&through, &settings)?);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut relay = relay(front, hub, silence, &seen).await?;
    let mut peers = JoinSet::new();
    for attempt in 1..=attempts {
        if attempt.is_multiple_of(BURST_LEN) {
            tokio::time::sleep(BURST_EVERY).await;
        }
        let connector = Arc::clone(&connector);
        peers.spawn(async move { connector.connect::<ClientToHub>("half open").await.is_ok() });
    }
    while let Some(connected) = peers.join_next().await {
        ensure!(!connected?, "a handshake was finished");
    }
    relay.abort_all();
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Answers {
        held: seen.held.len(),
        retried: seen.retried.len(),
        refused: seen.refused.difference(&seen.held).count(),
    })
}

/// The handshakes of which something was heard, by the peer's id for the connection.
#[derive(Debug, Default)]
struct Seen {
    held: HashSet<Vec<u8>>,
    retried: HashSet<Vec<u8>>,
    refused: HashSet<Vec<u8>>,
}

/// Passes on what peers say, and of what the hub says a `Retry` at the most.
async fn relay(
    front: Arc<UdpSocket>,
    hub: SocketAddr,
    silence: Silence,
    seen: &Arc<Mutex<Seen>>,
) -> Result<JoinSet<io::Result<()>>> {
    let mut tasks = JoinSet::new();
    let mut backs = Vec::new();
    // Told as soon as the first peer has spoken; all of them share one socket.
    let (tell_peer, peer) = tokio::sync::watch::channel(None);
    for _ in 0..SOCKETS {
        let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        back.connect(hub).await?;
        backs.push(Arc::clone(&back));
        let (front, seen, peer) = (Arc::clone(&front), Arc::clone(seen), peer.clone());
        tasks.spawn(async move {
            let mut buffer = vec![0; DATAGRAM_LEN_MAX];
            loop {
                let len = back.recv(&mut buffer).await?;
                let datagram = &buffer[..len];
                let to = *peer.borrow();
                if note(datagram, &seen) == Some(Packet::Retry)
                    && silence == Silence::OnceProven
                    && let Some(to) = to
                {
                    front.send_to(datagram, to).await?;
                }
            }
        });
    }
    tasks.spawn(async move {
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        loop {
            let (len, from) = front.recv_from(&mut buffer).await?;
            tell_peer.send_replace(Some(from));
            // A connection stays with one address: a proof holds for no other.
            let Some(ids) = Ids::of(&buffer[..len]) else { continue };
            let number = ids.source.iter().fold(0, |sum: usize, byte| sum + usize::from(*byte));
            backs[number % SOCKETS].send(&buffer[..len]).await?;
        }
    });
    Ok(tasks)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packet {
    Retry,
    Other,
}

fn note(datagram: &[u8], seen: &Mutex<Seen>) -> Option<Packet> {
    let ids = Ids::of(datagram)?;
    let is_retry = datagram[0] & 0x30 == 0x30;
    let peer = ids.destination.to_vec();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if is_retry {
        seen.retried.insert(peer);
        return Some(Packet::Retry);
    }
    if datagram.len() >= ANSWER_LEN_MIN {
        seen.held.insert(peer);
    } else {
        seen.refused.insert(peer);
    }
    Some(Packet::Other)
}

/// The connection ids of a packet with a long header (RFC 9000, section 17.2).
struct Ids<'a> {
    destination: &'a [u8],
    source: &'a [u8],
}

impl<'a> Ids<'a> {
    fn of(datagram: &'a [u8]) -> Option<Self> {
        datagram.first().filter(|first| **first & 0x80 != 0)?;
        let (destination, rest) = with_len(datagram.get(5..)?)?;
        let (source, _) = with_len(rest)?;
        Some(Self { destination, source })
    }
}

fn with_len(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

impl Memory {
    /// That of this process.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib =
                line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
            kib.map(|kib| kib << 10).with_context(|| format!("/proc/{pid}/status has no {name}"))
        };
        Ok(Self { now: field("VmRSS:")?, highest: field("VmHWM:")? })
    }

    /// Lets the highest of this process count anew from now on.
    pub fn forget_highest(pid: u32) -> Result<()> {
        Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_long_headers_only() {
        let packet = [0xc3, 0, 0, 0, 1, 2, 7, 8, 1, 9, 0];
        let ids = Ids::of(&packet).expect("a long header");
        assert_eq!((ids.destination, ids.source), (&[7, 8][..], &[9][..]));
        for len in 0..9 {
            assert!(Ids::of(&packet[..len + 1]).is_none() || len >= 9, "{len}");
        }
        assert!(Ids::of(&[0x43, 0, 0, 0, 1, 0, 0]).is_none());
    }

    #[test]
    fn the_memory_of_a_process_is_known_and_its_highest_is_no_less() {
        let memory = Memory::of(std::process::id()).expect("own process");
        assert!(memory.now > 0 && memory.highest >= memory.now);
    }
}
