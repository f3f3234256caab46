//! What an end of a session was built from, and the words for two ends that do not fit.
//!
//! Made by the handshake at both ends from what the greetings say; shown to people by errors and
//! the audit. It decides nothing but whether two builds have a message version in common.

use std::fmt;

use phalanx_protocol::handshake::{Dialect, VersionRange};

/// What this build calls itself to others.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// A build, as far as messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Build {
    /// The release, for people.
    pub release: String,
    /// The message versions it speaks.
    pub versions: VersionRange,
    /// Its messages, to the byte.
    pub dialect: Dialect,
}

impl Build {
    pub(crate) const fn new(release: String, versions: VersionRange, dialect: Dialect) -> Self {
        Self { release, versions, dialect }
    }

    /// The message version that both speak, if their messages are the same.
    pub(crate) fn common(&self, other: &Self) -> Option<u16> {
        self.versions.common(other.versions).filter(|_| self.dialect == other.dialect)
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { release, versions, dialect } = self;
        let release = if release.is_empty() { "of an unknown release" } else { release };
        write!(f, "phalanx {release} (messages {versions}, dialect {dialect})")
    }
}

/// A hub and a peer whose messages are not the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the hub is {hub}, the peer {name:?} is {peer}: they do not understand each other; install the \
     same build of phalanx at both ends"
)]
#[non_exhaustive]
pub struct Mismatch {
    /// The hub's build.
    pub hub: Build,
    /// What the peer calls itself.
    pub name: String,
    /// The peer's build.
    pub peer: Build,
}
