//! The first words of every session, on its control stream, before anything else.
//!
//! ```text
//! peer                                     hub
//!   | -- Hello (versions, dialect) ------>  |
//!   | <------- Welcome (version, dialect) - |   or
//!   | <------- Refusal (code, build) ------ |   and the session closes
//!   | -- Proof (secret?) ---------------->  |   if the Welcome offers shared memory
//! ```
//!
//! Two ends that run on one host as one user find that out here, by trying: each names a segment
//! of its own memory with a secret in it, which the other can only read if that is so.
//!
//! Who the peer is was settled before, by its certificate. The framing is fixed by ALPN.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ErrorCode;
use crate::ids::SegmentId;
use crate::macros::{map_encoded, messages};

/// The oldest and the newest message version this build speaks.
pub const VERSIONS: VersionRange = VersionRange { min: 1, max: 1 };

/// Message versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VersionRange {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

impl VersionRange {
    /// The newest version in both ranges.
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

/// The dialect of this build.
pub const DIALECT: Dialect = Dialect::of(include_bytes!("../tests/golden/frames.txt"));

/// Which messages a build speaks, to the byte: a hash of the golden frames of all of them.
///
/// Two builds of one version range may still differ in the shape of a message, which neither would
/// notice before the first such message comes and is malformed. So before 1.0, where messages
/// still change between builds, only equal dialects make a session. A test holds the golden frames to
/// what is sent, so nobody has to remember to count a version up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dialect(pub u64);

impl Dialect {
    /// FNV-1a, 64 bits: no secret is kept by it, and it is computed at compile time.
    const fn of(frames: &[u8]) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut at = 0;
        while at < frames.len() {
            hash = (hash ^ frames[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        Self(hash)
    }
}

/// Sixteen hex digits; builds that were made before there were dialects have none.
impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("unknown"),
            hash => write!(f, "{hash:016x}"),
        }
    }
}

messages! {
    /// What a peer says first.
    pub enum PeerGreeting {
        /// Its versions.
        1 => Hello(Hello), named, Control, [Host, Scheduler, Engine, Client, Monitor, Admin];
        /// Answers a [`Welcome`] that offers shared memory.
        2 => Proof(Proof), named, Control, [Host, Scheduler, Engine, Client, Monitor, Admin];
    }
}

messages! {
    /// What the hub says first.
    pub enum HubGreeting {
        /// The session may go on.
        1 => Welcome(Welcome), named, Control, [Hub];
        /// It may not.
        2 => Refusal(Refusal), named, Control, [Hub];
    }
}

map_encoded! {
    /// What a peer speaks.
    pub struct Hello {
        /// Message versions.
        pub versions: VersionRange,
        /// The release, for people.
        pub release: String,
        /// What it calls itself, for people.
        pub name: String,
        /// Where its memory can be found, if it would share some.
        pub memory: Option<MemoryOffer>,
        /// Its messages, to the byte.
        pub dialect: Dialect,
    }
}

/// Where a process shows that its memory can be shared: a segment with a secret in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryOffer {
    /// Its process id.
    pub process: u32,
    /// Its descriptor of the segment.
    pub descriptor: u32,
    /// The segment's name.
    pub id: SegmentId,
}

/// The hub has found a peer's memory, and offers its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryAnswer {
    /// The secret that the hub read in the peer's segment.
    pub secret: u64,
    /// Where the hub's own memory can be found.
    pub offer: MemoryOffer,
}

map_encoded! {
    /// Whether a peer has found the hub's memory. Only then do payloads of this session travel in
    /// segments, both ways.
    pub struct Proof {
        /// The secret that it read in the hub's segment; none if it could not, or will not share.
        pub secret: Option<u64>,
    }
}

map_encoded! {
    /// What both ends speak from now on.
    pub struct Welcome {
        /// The message version.
        pub version: u16,
        /// The hub's release, for people.
        pub release: String,
        /// The peer's memory was found; a [`Proof`] is to follow.
        pub memory: Option<MemoryAnswer>,
        /// The hub's messages, to the byte.
        pub dialect: Dialect,
    }
}

map_encoded! {
    /// Why the session ends here.
    pub struct Refusal {
        /// As a number. A number of a newer hub reads as none.
        #[serde(deserialize_with = "crate::error::known")]
        pub code: Option<ErrorCode>,
        /// What the hub speaks.
        pub versions: VersionRange,
        /// In words.
        pub detail: String,
        /// The hub's release, for people.
        pub release: String,
        /// The hub's messages, to the byte.
        pub dialect: Dialect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_chosen() {
        let range = |min, max| VersionRange { min, max };
        assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
        assert_eq!(range(4, 6).common(range(2, 5)), Some(5));
        assert_eq!(range(1, 1).common(range(2, 5)), None);
    }

    #[test]
    fn a_dialect_changes_with_any_byte_of_any_message() {
        // Of the published vectors of FNV-1a.
        assert_eq!(Dialect::of(b"foobar"), Dialect(0x8594_4171_f739_67e8));
        assert_ne!(Dialect::of(b"Hello 01"), Dialect::of(b"Hello 02"));
        assert_ne!(DIALECT, Dialect::default());
        assert_eq!(Dialect(0xab).to_string(), "00000000000000ab");
        assert_eq!(Dialect::default().to_string(), "unknown");
    }
}
