//! Connection files: everything one role needs to find its hub and to be believed, in one JSON
//! file of mode 0600.
//!
//! Processes write and read them at paths they were given. The file holds a private key: it is
//! the right to act in its role.

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use phalanx_protocol::handshake::{VERSIONS, VersionRange};
use phalanx_protocol::role::Role;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::HUB_SERVER_NAME;
use super::credential::{ClusterId, Credential, IdentityError, PrivateKey};
use super::private_file::{self, PrivateFileError};

/// The layout of the file. A reader refuses others.
const FORMAT: u32 = 1;

/// Most addresses of one hub. A longer list is refused.
const HUB_ADDRESSES_MAX: usize = 16;

/// Where the hub is and who we are to it. `Debug` shows no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionFile {
    /// The cluster's name, for people.
    pub cluster_name: String,
    /// Where the hub listens; tried in this order.
    pub hub_addresses: Vec<SocketAddr>,
    /// The name that the hub's certificate must carry.
    pub server_name: String,
    /// The message versions that the cluster spoke when the file was written.
    pub versions: VersionRange,
    /// Who we are.
    pub credential: Credential,
}

/// How it lies on disk.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    format: u32,
    cluster: ClusterOnDisk,
    role: String,
    hub: HubOnDisk,
    versions: VersionRange,
    authority: String,
    certificate: String,
    key: String,
}

#[derive(Serialize, Deserialize)]
struct ClusterOnDisk {
    id: String,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct HubOnDisk {
    addresses: Vec<SocketAddr>,
    server_name: String,
}

impl ConnectionFile {
    /// The file of one credential, for a hub at these addresses.
    pub fn new(
        cluster_name: impl Into<String>,
        hub_addresses: Vec<SocketAddr>,
        credential: Credential,
    ) -> Self {
        Self {
            cluster_name: cluster_name.into(),
            hub_addresses,
            server_name: HUB_SERVER_NAME.to_owned(),
            versions: VERSIONS,
            credential,
        }
    }

    /// The role it gives.
    pub const fn role(&self) -> Role {
        self.credential.role
    }

    /// Writes it to `path`: mode 0600 from the first byte, whole or not at all, in a directory
    /// of mode 0700 that is made if missing.
    ///
    /// # Errors
    /// [`ConnectionFileError`]; a file that was there is then as it was.
    pub fn save(&self, path: &Path) -> Result<(), ConnectionFileError> {
        let on_disk = OnDisk {
            format: FORMAT,
            cluster: ClusterOnDisk {
                id: self.credential.cluster.as_str().to_owned(),
                name: self.cluster_name.clone(),
            },
            role: self.role().as_str().to_owned(),
            hub: HubOnDisk {
                addresses: self.hub_addresses.clone(),
                server_name: self.server_name.clone(),
            },
            versions: self.versions,
            authority: self.credential.authority_pem.clone(),
            certificate: self.credential.certificate_pem.clone(),
            key: self.credential.key.expose_pem().to_owned(),
        };
        let mut json = serde_json::to_vec_pretty(&on_disk)
            .map_err(|source| ConnectionFileError::content(path, source))?;
        json.push(b'\n');
        Ok(private_file::write(path, &json)?)
    }

    /// Reads it from `path`.
    ///
    /// # Errors
    /// [`ConnectionFileError`]: others can read the file, it belongs to somebody else, it is a
    /// link, or it does not hold a credential. The text says what to do.
    pub fn load(path: &Path) -> Result<Self, ConnectionFileError> {
        let json = private_file::read(path)?;
        let on_disk: OnDisk = ConnectionFileError::parse(path, &json)?;
        ConnectionFileError::check_format(path, on_disk.format)?;
        if on_disk.hub.addresses.len() > HUB_ADDRESSES_MAX {
            return Err(ConnectionFileError::TooManyAddresses {
                path: path.into(),
                count: on_disk.hub.addresses.len(),
            });
        }
        let content = |source: Box<dyn Error + Send + Sync>| ConnectionFileError::Content {
            path: path.into(),
            source,
        };
        let cluster: ClusterId = on_disk.cluster.id.parse().map_err(|e| content(Box::new(e)))?;
        let role: Role = on_disk.role.parse().map_err(|e| content(Box::new(e)))?;
        let credential = Credential {
            cluster,
            role,
            authority_pem: on_disk.authority,
            certificate_pem: on_disk.certificate,
            key: PrivateKey::from_pem(on_disk.key),
        };
        credential
            .check()
            .map_err(|source: IdentityError| ConnectionFileError::content(path, source))?;
        Ok(Self {
            cluster_name: on_disk.cluster.name,
            hub_addresses: on_disk.hub.addresses,
            server_name: on_disk.hub.server_name,
            versions: on_disk.versions,
            credential,
        })
    }
}

/// Why a connection file (or an authority's file) was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionFileError {
    /// The file itself: missing, loose, foreign.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// What is in it.
    #[error("{path} is damaged: {source}; let the cluster write it anew")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Another release wrote it.
    #[error(
        "{path} has format {format}, this release reads format {FORMAT}; use the release that wrote it"
    )]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// More hub addresses than there can be.
    #[error("{path} lists {count} hub addresses, more than {HUB_ADDRESSES_MAX}")]
    TooManyAddresses {
        /// Which file.
        path: PathBuf,
        /// How many it lists.
        count: usize,
    },
}

/// JSON that is not what it should be. Says where, never what: it may be a key.
#[derive(Debug, thiserror::Error)]
#[error("not the expected JSON at line {line}, column {column}")]
struct JsonError {
    line: usize,
    column: usize,
}

impl ConnectionFileError {
    pub(super) fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T, Self> {
        serde_json::from_slice(json).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Self::content(path, JsonError { line, column })
        })
    }

    pub(super) fn content(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Content { path: path.into(), source: source.into() }
    }

    pub(super) fn check_format(path: &Path, format: u32) -> Result<(), Self> {
        if format == FORMAT { Ok(()) } else { Err(Self::Format { path: path.into(), format }) }
    }
}
