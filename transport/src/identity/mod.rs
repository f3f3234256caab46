//! Who may connect: the cluster's certificate authority, one credential per role, and the files
//! that carry them.
//!
//! Processes that make or join a cluster use this module; nothing here opens a socket. It does
//! not decide what a role may say (each message lists its senders) and it never reads a file
//! that the caller did not name.

mod authority;
mod connection_file;
mod credential;
pub mod private_file;
mod tls;

pub use authority::{AUTHORITY_VALIDITY, CREDENTIAL_VALIDITY, ClusterAuthority, Validity};
pub use connection_file::{ConnectionFile, ConnectionFileError};
pub use credential::{
    CertificateRefused, ClusterId, Credential, IdentityError, ParseClusterIdError, PeerIdentity,
    PrivateKey,
};
pub(crate) use tls::{client_config, identity_of_chain, role_of_alpn, server_config};

/// The name that the hub's certificate carries and that every peer verifies: no other role's
/// certificate has it, so none can pose as the hub.
pub const HUB_SERVER_NAME: &str = "hub.phalanx";
