//! The in-memory twin: two ends of a session joined by a cable instead of a network.
//!
//! Tests of rooms, actors and clients use it. Frames are really encoded, split, checked and
//! decoded by the same code as over QUIC; only the wire differs. It keeps to the current
//! executor's clock, also a paused one, and its faults come from a seed.
//!
//! A real session loses a message only by losing everything after it, so a dropped frame cuts the
//! cable.

mod cable;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use phalanx_protocol::codec::{Message, decode_frame};
use phalanx_protocol::handshake::VERSIONS;
use phalanx_protocol::payload::Payload;
use phalanx_protocol::role::Role;

use bytes::BytesMut;

pub use self::cable::Cable;
use self::cable::{Plug, Shared};
use crate::build::RELEASE;
use crate::conversation::{Conversation, HubSession, PeerSession};
use crate::segments::PeerMemory;
use crate::session::{PeerInfo, Session};
use crate::settings::Settings;

/// What goes wrong on a cable, drawn from a seed. The default is that nothing does.
///
/// Probabilities are per frame or payload, from 0.0 to 1.0.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    /// Where the draws begin. The same seed and the same sends give the same faults.
    pub seed: u64,
    /// Longest delay of a frame. Each lane keeps its order; lanes overtake each other.
    pub delay_max: Duration,
    /// How often a frame is lost, and with it everything behind it: the cable is cut.
    pub drop: f64,
    /// How often the cable is cut after a frame was taken: all that is under way is lost.
    pub cut: f64,
    /// How often a frame arrives twice. Frames with a payload stream of their own never do.
    pub duplicate: f64,
    /// Longest time until an end notices that the cable was cut; what it sends until then is
    /// lost.
    pub notice_max: Duration,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        seed: 0,
        delay_max: Duration::ZERO,
        drop: 0.0,
        cut: 0.0,
        duplicate: 0.0,
        notice_max: Duration::ZERO,
    };
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::NONE
    }
}

/// Both ends of a session in memory.
pub struct Pair<C: Conversation> {
    /// The peer's end.
    pub peer: PeerSession<C>,
    /// The hub's end.
    pub hub: HubSession<C>,
    /// What joins them.
    pub cable: Cable,
}

/// A session between a peer of this role and the hub. Its pumps run on the current executor.
///
/// The role is not checked against the conversation: a test may let a monitor say what it must
/// not, and see it refused.
pub fn pair<C: Conversation>(role: Role, faults: FaultPlan) -> Pair<C> {
    pair_with(role, faults, &Settings::default())
}

/// [`pair`] with other settings than the defaults.
pub fn pair_with<C: Conversation>(role: Role, faults: FaultPlan, settings: &Settings) -> Pair<C> {
    let shared =
        Arc::new(Shared::new(faults, [has_payload_stream::<C>, has_payload_stream::<C::Answer>]));
    let [peer_plug, hub_plug] = Plug::both(&shared);
    let info = |role, name: &str| PeerInfo {
        role,
        serial: String::new(),
        address: None,
        name: name.to_owned(),
        release: RELEASE.to_owned(),
        version: VERSIONS.max,
        shares_memory: settings.shared_memory,
    };
    // Both ends are in this process: its memory is the other end's.
    let memory = || settings.shared_memory.then(PeerMemory::of_this_process).flatten();
    let (peer_wire, hub_wire) = (wire::wire(peer_plug, memory()), wire::wire(hub_plug, memory()));
    Pair {
        peer: Session::start(peer_wire, info(Role::Hub, "hub"), settings),
        hub: Session::start(hub_wire, info(role, role.as_str()), settings),
        cable: Cable::new(shared),
    }
}

/// Whether the payload of this frame, which is whole, rides a stream of its own.
fn has_payload_stream<M: Message>(frame: &[u8]) -> bool {
    let decoded = decode_frame::<M>(&mut BytesMut::from(frame));
    matches!(decoded, Ok(Some(message)) if message.payload().and_then(Payload::ticket).is_some())
}
