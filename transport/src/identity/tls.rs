//! TLS configurations: TLS 1.3 only, both ends show a certificate of the cluster's authority.
//!
//! The endpoint uses them. There is no switch that turns verification off.

use std::any::Any;
use std::sync::Arc;

use phalanx_protocol::role::Role;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::credential::{CertificateRefused, Credential, IdentityError, PeerIdentity};

/// ALPN names the conversation and the framing: `phalanx-<role>/1`. The framing's number changes
/// only if frames do; versions of messages are agreed in the handshake.
const ALPN_PREFIX: &str = "phalanx-";
const ALPN_SUFFIX: &str = "/1";

/// The protocol that a peer of this role offers.
pub(crate) fn alpn(role: Role) -> Vec<u8> {
    format!("{ALPN_PREFIX}{role}{ALPN_SUFFIX}").into_bytes()
}

/// The role that a protocol is for.
pub(crate) fn role_of_alpn(protocol: &[u8]) -> Option<Role> {
    std::str::from_utf8(protocol)
        .ok()?
        .strip_prefix(ALPN_PREFIX)?
        .strip_suffix(ALPN_SUFFIX)?
        .parse()
        .ok()
}

/// *ring* with AES-128 first: 11.7 GB/s a core for 16 kB records against 2.4 for ChaCha20, and a
/// tenth faster in bulk than AES-256 here (`TLS13_AES_128_GCM_SHA256` must be listed anyway: QUIC
/// Initial packets use it).
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..ring::default_provider()
    })
}

fn roots(credential: &Credential) -> Result<RootCertStore, IdentityError> {
    let mut roots = RootCertStore::empty();
    roots.add(credential.authority_der()?)?;
    Ok(roots)
}

/// The hub's end.
pub(crate) fn server_config(credential: &Credential) -> Result<QuicServerConfig, IdentityError> {
    if credential.role != Role::Hub {
        return Err(IdentityError::WrongEnd { role: credential.role, end: "hub" });
    }
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots(credential)?),
        Arc::clone(&provider),
    )
    .build()?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![credential.certificate_der()?], credential.key_der()?)?;
    config.alpn_protocols =
        Role::ALL.into_iter().filter(|role| *role != Role::Hub).map(alpn).collect();
    // Every connection verifies the certificate anew: a resumed one would let an expired or
    // revoked credential in, and early data could be replayed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(QuicServerConfig::try_from(Arc::new(config))?)
}

/// A peer's end.
pub(crate) fn client_config(credential: &Credential) -> Result<QuicClientConfig, IdentityError> {
    if credential.role == Role::Hub {
        return Err(IdentityError::WrongEnd { role: credential.role, end: "peer" });
    }
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(credential)?)
        .with_client_auth_cert(vec![credential.certificate_der()?], credential.key_der()?)?;
    config.alpn_protocols = vec![alpn(credential.role)];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_early_data = false;
    Ok(QuicClientConfig::try_from(Arc::new(config))?)
}

/// Reads who the peer is from the chain that TLS verified.
pub(crate) fn identity_of_chain(
    chain: Option<Box<dyn Any>>,
) -> Result<PeerIdentity, CertificateRefused> {
    let chain = chain
        .and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or(CertificateRefused::NoRole)?;
    let leaf = chain.first().ok_or(CertificateRefused::NoRole)?;
    PeerIdentity::of_certificate(leaf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_names_its_role() {
        for role in Role::ALL {
            assert_eq!(role_of_alpn(&alpn(role)), Some(role));
        }
        for other in [&b"h3"[..], b"phalanx-root/1", b"phalanx-engine/2", b"\xff"] {
            assert_eq!(role_of_alpn(other), None);
        }
    }
}
