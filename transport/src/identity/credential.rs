//! Credentials: a certificate with its role, its key, and the authority that both ends trust.
//!
//! Key material never prints: not in `Debug`, not in an error.

use std::fmt;
use std::str::FromStr;

use phalanx_protocol::role::Role;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What stands before the cluster id in a certificate's role URI.
const ROLE_URI_SCHEME: &str = "phalanx://";

/// A cluster's random name in its certificates: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterId(Box<str>);

impl ClusterId {
    const DIGITS: usize = 32;

    /// A new random id.
    ///
    /// # Errors
    /// [`IdentityError::Randomness`] if the system gives none.
    pub fn random() -> Result<Self, IdentityError> {
        let mut bytes = [0; Self::DIGITS / 2];
        getrandom::fill(&mut bytes).map_err(|_| IdentityError::Randomness)?;
        Ok(Self(hex(&bytes).into()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URI that stands in the certificate of a role of this cluster.
    pub fn role_uri(&self, role: Role) -> String {
        format!("{ROLE_URI_SCHEME}{self}/{role}")
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is no cluster id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cluster id has 32 hexadecimal digits")]
pub struct ParseClusterIdError;

impl FromStr for ClusterId {
    type Err = ParseClusterIdError;

    fn from_str(text: &str) -> Result<Self, ParseClusterIdError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == Self::DIGITS && text.bytes().all(is_digit) {
            Ok(Self(text.into()))
        } else {
            Err(ParseClusterIdError)
        }
    }
}

/// A private key in PEM. Prints as `PrivateKey(..)`.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Box<str>);

impl PrivateKey {
    /// Takes a key in PEM; it is looked at when it is used.
    pub fn from_pem(pem: String) -> Self {
        Self(pem.into())
    }

    /// The key itself, to be written to a private file and nowhere else.
    pub fn expose_pem(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// What a process needs to be somebody in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Which cluster.
    pub cluster: ClusterId,
    /// What it may be there. The certificate says the same, and the certificate counts.
    pub role: Role,
    /// The authority's certificate.
    pub authority_pem: String,
    /// Its own certificate.
    pub certificate_pem: String,
    /// The certificate's key.
    pub key: PrivateKey,
}

impl Credential {
    pub(super) fn authority_der(&self) -> Result<CertificateDer<'static>, IdentityError> {
        CertificateDer::from_pem_slice(self.authority_pem.as_bytes())
            .map_err(|_| IdentityError::Pem { what: "authority" })
    }

    pub(super) fn certificate_der(&self) -> Result<CertificateDer<'static>, IdentityError> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .map_err(|_| IdentityError::Pem { what: "certificate" })
    }

    pub(super) fn key_der(&self) -> Result<PrivateKeyDer<'static>, IdentityError> {
        PrivateKeyDer::from_pem_slice(self.key.expose_pem().as_bytes())
            .map_err(|_| IdentityError::Pem { what: "key" })
    }

    /// Reads the certificate itself, to see that it is of this cluster and role.
    ///
    /// # Errors
    /// [`IdentityError`] if it is not, or cannot be read.
    pub fn check(&self) -> Result<PeerIdentity, IdentityError> {
        let identity = PeerIdentity::of_certificate(&self.certificate_der()?)?;
        if identity.cluster != self.cluster || identity.role != self.role {
            return Err(CertificateRefused::OtherThanStated.into());
        }
        self.authority_der()?;
        self.key_der()?;
        Ok(identity)
    }
}

/// Who a peer is, read from its certificate after the authority's signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The cluster that its certificate names.
    pub cluster: ClusterId,
    /// The role that its certificate names.
    pub role: Role,
    /// The certificate's serial number in hexadecimal: tells credentials of a role apart.
    pub serial: String,
}

impl PeerIdentity {
    /// Reads cluster and role from a leaf certificate. Does not verify it: TLS did.
    ///
    /// # Errors
    /// [`CertificateRefused`] if it does not name exactly one role of one cluster.
    pub fn of_certificate(der: &[u8]) -> Result<Self, CertificateRefused> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateRefused::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateRefused::Malformed);
        }
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| CertificateRefused::Malformed)?
            .ok_or(CertificateRefused::NoRole)?;
        let mut roles = names.value.general_names.iter().filter_map(role_uri);
        let (Some((cluster, role)), None) = (roles.next(), roles.next()) else {
            return Err(CertificateRefused::NoRole);
        };
        Ok(Self {
            cluster: cluster.parse().map_err(|_| CertificateRefused::NoRole)?,
            role: role.parse().map_err(|_| CertificateRefused::NoRole)?,
            serial: hex(certificate.raw_serial()),
        })
    }
}

/// Splits `phalanx://<cluster>/<role>`.
fn role_uri<'a>(name: &GeneralName<'a>) -> Option<(&'a str, &'a str)> {
    match name {
        GeneralName::URI(uri) => uri.strip_prefix(ROLE_URI_SCHEME)?.split_once('/'),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// What is wrong with a certificate that the authority did sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateRefused {
    /// It is no certificate.
    #[error("the certificate cannot be read")]
    Malformed,
    /// It names no role, or more than one.
    #[error("the certificate does not name one phalanx role")]
    NoRole,
    /// It is of another cluster or role than the file around it states.
    #[error("the certificate is of another cluster or role than the file states")]
    OtherThanStated,
}

/// Why an identity cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// No key or certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// A PEM text holds nothing of the kind. The text is not shown: it may be a key.
    #[error("the {what} in the credential is not valid PEM; make the credential anew")]
    Pem {
        /// `authority`, `certificate` or `key`.
        what: &'static str,
    },
    /// The certificate does not say what it must.
    #[error("{0}; make the credential anew")]
    Certificate(#[from] CertificateRefused),
    /// TLS cannot work with the credential.
    #[error("TLS refuses the credential: {0}")]
    Tls(#[from] rustls::Error),
    /// TLS cannot work with the authority.
    #[error("TLS refuses the cluster's authority: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// QUIC cannot work with the TLS configuration.
    #[error("QUIC refuses the TLS configuration: {0}")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The hub was given another role's credential, or a peer the hub's.
    #[error("a credential of role {role} cannot be used as a {end}")]
    WrongEnd {
        /// The credential's role.
        role: Role,
        /// `hub` or `peer`.
        end: &'static str,
    },
}
