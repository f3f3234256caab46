//! Error codes with stable numbers: in refusals, in closed sessions, in rejected tasks.

use serde::{Deserialize, Deserializer, Serialize};

macro_rules! error_codes {
    ($($(#[$meta:meta])* $number:literal => $name:ident, $retryable:literal, $text:literal;)+) => {
        /// Why a peer refused something. The number is stable; it is also the QUIC application
        /// close code when a session is closed for this reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u16", into = "u16")]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum ErrorCode { $($(#[$meta])* $name = $number),+ }

        impl ErrorCode {
            /// Every code, by ascending number.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code with this number, if there is one.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }

            /// Its stable number.
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// Its name in documents.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// Whether the same thing, tried again later, may go well.
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$name => $retryable),+ }
            }
        }

        impl std::fmt::Display for ErrorCode {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$name => $text),+ })
            }
        }
    };
}

error_codes! {
    /// An orderly end; not an error.
    0 => Closed, false, "closed";
    /// The peer is shutting down.
    1 => ShuttingDown, true, "shutting down";
    /// A frame or message broke the rules of the protocol.
    2 => Malformed, false, "malformed message";
    /// The certificate's role may not do this.
    3 => WrongRole, false, "not allowed for this role";
    /// No protocol version that both ends speak.
    4 => Version, false, "no common protocol version";
    /// The handshake or another step took longer than its deadline.
    5 => TimedOut, true, "timed out";
    /// A named limit was reached.
    6 => TooLarge, false, "over a limit";
    /// The peer takes no more at the moment.
    7 => Overloaded, true, "overloaded";
    /// The message does not fit what was said before it in this session.
    8 => OutOfOrder, false, "out of order";
    /// A newer session of the same peer took this one's place.
    9 => Replaced, false, "replaced by a newer session";
    /// A fault of our own.
    10 => Internal, true, "internal error";
    /// The certificate names another cluster.
    11 => WrongCluster, false, "wrong cluster";
    /// A task was submitted beyond the client's grant.
    20 => OverGrant, true, "submitted beyond the grant";
    /// A target names an engine that the cluster never had.
    21 => NoSuchEngine, false, "no such engine";
    /// No engine ever offered this method.
    22 => NoSuchMethod, false, "no such method";
    /// A dependency names a task that was never submitted, or the task itself.
    23 => InvalidDependency, false, "invalid dependency";
    /// A dependency or question names a task whose record was dropped.
    24 => Purged, false, "no longer on record";
    /// The target or the options of a task contradict each other.
    25 => InvalidTask, false, "invalid task";
    /// The cluster has no host process that could do it.
    26 => NoHost, true, "no host process";
    /// A task names a function that its session has not defined.
    27 => UnknownFunction, false, "unknown function";
    /// A graph of tasks has a cycle, lacks a task, or contradicts itself.
    28 => InvalidGraph, false, "invalid graph";
}

/// A number that is no error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not an error code")]
pub struct UnknownErrorCode(u16);

impl TryFrom<u16> for ErrorCode {
    type Error = UnknownErrorCode;

    fn try_from(number: u16) -> Result<Self, UnknownErrorCode> {
        Self::from_number(number).ok_or(UnknownErrorCode(number))
    }
}

impl From<ErrorCode> for u16 {
    fn from(code: ErrorCode) -> Self {
        code.number()
    }
}

/// Reads a code that a newer peer may have added: a number that is no code of ours reads as none,
/// so that the words beside it still arrive.
pub(crate) fn known<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ErrorCode>, D::Error> {
    let number = Option::<u16>::deserialize(deserializer)?;
    Ok(number.and_then(ErrorCode::from_number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ascending_and_parse_back() {
        assert!(ErrorCode::ALL.is_sorted());
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
        }
        assert_eq!(ErrorCode::from_number(u16::MAX), None);
    }
}
