//! TLS alerts in plain words, for both ends.

use std::fmt;

use quinn::{ConnectionError, TransportErrorCode};

/// Why TLS refused a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// No certificate was shown.
    NoCertificate,
    /// The certificate was signed by another authority.
    ForeignAuthority,
    /// The certificate is past its validity, or not valid yet.
    Expired,
    /// The certificate is not fit for this: damaged, of the wrong end, or without the hub's name.
    BadCertificate,
    /// The other end offers no protocol that this end speaks.
    NoProtocol,
    /// Something else went wrong in TLS.
    Other,
}

/// QUIC carries a TLS alert as 0x100 plus its number.
const CRYPTO_CODES: std::ops::Range<u64> = 0x100..0x200;

impl TlsFailure {
    /// Reads it from the end of a connection, by whichever end detected it.
    pub(crate) fn of(error: &ConnectionError) -> Option<Self> {
        let code: TransportErrorCode = match error {
            ConnectionError::TransportError(error) => error.code,
            ConnectionError::ConnectionClosed(close) => close.error_code,
            _ => return None,
        };
        let code = u64::from(code);
        CRYPTO_CODES.contains(&code).then(|| match code - CRYPTO_CODES.start {
            116 => Self::NoCertificate,
            48 => Self::ForeignAuthority,
            45 => Self::Expired,
            // bad, unsupported, revoked, unknown certificate; illegal parameter; decrypt error
            42 | 43 | 44 | 46 | 47 | 51 => Self::BadCertificate,
            120 => Self::NoProtocol,
            _ => Self::Other,
        })
    }

    /// In the hub's words, about a peer.
    pub(crate) const fn seen_by_hub(self) -> &'static str {
        match self {
            Self::NoCertificate => "the peer showed no certificate",
            Self::ForeignAuthority => {
                "one end's certificate was signed by another cluster's authority"
            }
            Self::Expired => "one end's certificate has expired or is not valid yet",
            Self::BadCertificate => "one end's certificate is not fit for its role",
            Self::NoProtocol => "the peer offered no phalanx protocol of this framing",
            Self::Other => "TLS failed",
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.seen_by_hub())
    }
}
