//! The cluster's certificate authority: made once per cluster, signs one credential per role.
//!
//! The process that makes a cluster uses it. It keeps the signing key to itself: the key leaves
//! it only for its own 0600 file.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use phalanx_protocol::role::Role;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use serde::{Deserialize, Serialize};

use super::HUB_SERVER_NAME;
use super::connection_file::ConnectionFileError;
use super::credential::{ClusterId, Credential, IdentityError, PrivateKey};
use super::private_file;

/// How long a cluster's authority is valid. A cluster that lives longer is made anew.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How long a credential is valid. Longer than any batch allocation, short enough that a lost
/// file does not open the cluster for ever.
pub const CREDENTIAL_VALIDITY: Duration = Duration::from_secs(365 * 86_400);

/// How far a peer's clock may be behind the clock of the machine that made the certificate.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(3_600);

/// From when to when a certificate is valid, wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// Valid from now (and an hour back, for clocks that lag) for `duration`.
    pub fn lasting(duration: Duration) -> Self {
        let now = SystemTime::now();
        Self { not_before: now - CLOCK_SKEW_MAX, not_after: now + duration }
    }
}

/// A cluster's certificate authority.
pub struct ClusterAuthority {
    cluster: ClusterId,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for ClusterAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterAuthority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// How the authority lies in its file.
#[derive(Serialize, Deserialize)]
struct AuthorityOnDisk {
    format: u32,
    cluster_id: String,
    certificate: String,
    key: String,
}

impl ClusterAuthority {
    /// Makes the authority of a new cluster, with a random cluster id.
    ///
    /// # Errors
    /// [`IdentityError`] if the system gives no randomness or no key can be made.
    pub fn create() -> Result<Self, IdentityError> {
        Self::create_with(ClusterId::random()?, Validity::lasting(AUTHORITY_VALIDITY))
    }

    /// Makes an authority for this cluster id and validity.
    ///
    /// # Errors
    /// [`IdentityError`] if no key can be made.
    pub fn create_with(cluster: ClusterId, validity: Validity) -> Result<Self, IdentityError> {
        let key = KeyPair::generate()?;
        let params = authority_params(&cluster, validity);
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { cluster, certificate_pem, issuer: Issuer::new(params, key) })
    }

    /// Which cluster this is the authority of.
    pub const fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// The authority's certificate: public, the root that peers trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Signs a credential of `role` that is valid for [`CREDENTIAL_VALIDITY`].
    ///
    /// # Errors
    /// [`IdentityError`] if no key can be made.
    pub fn issue(&self, role: Role) -> Result<Credential, IdentityError> {
        self.issue_with(role, Validity::lasting(CREDENTIAL_VALIDITY))
    }

    /// Signs a credential of `role` with this validity.
    ///
    /// # Errors
    /// [`IdentityError`] if no key can be made.
    pub fn issue_with(&self, role: Role, validity: Validity) -> Result<Credential, IdentityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.not_before = validity.not_before.into();
        params.not_after = validity.not_after.into();
        params.distinguished_name = common_name(&format!("phalanx {role}"));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names.push(SanType::URI(self.cluster.role_uri(role).try_into()?));
        // The hub only serves, the others only connect: neither can take the other's place.
        params.extended_key_usages = vec![match role {
            Role::Hub => ExtendedKeyUsagePurpose::ServerAuth,
            _ => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        if role == Role::Hub {
            params.subject_alt_names.push(SanType::DnsName(HUB_SERVER_NAME.try_into()?));
        }
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Credential {
            cluster: self.cluster.clone(),
            role,
            authority_pem: self.certificate_pem.clone(),
            certificate_pem: certificate.pem(),
            key: PrivateKey::from_pem(key.serialize_pem()),
        })
    }

    /// Writes the authority with its signing key to `path`: mode 0600, atomically.
    ///
    /// # Errors
    /// [`ConnectionFileError`], which names the path and what to do.
    pub fn save(&self, path: &Path) -> Result<(), ConnectionFileError> {
        let on_disk = AuthorityOnDisk {
            format: 1,
            cluster_id: self.cluster.as_str().to_owned(),
            certificate: self.certificate_pem.clone(),
            key: self.issuer.key().serialize_pem(),
        };
        let json = serde_json::to_vec_pretty(&on_disk)
            .map_err(|source| ConnectionFileError::content(path, source))?;
        Ok(private_file::write(path, &json)?)
    }

    /// Reads an authority that [`ClusterAuthority::save`] wrote.
    ///
    /// # Errors
    /// [`ConnectionFileError`] if the file can be read by others or holds no authority.
    pub fn load(path: &Path) -> Result<Self, ConnectionFileError> {
        let json = private_file::read(path)?;
        let on_disk: AuthorityOnDisk = ConnectionFileError::parse(path, &json)?;
        ConnectionFileError::check_format(path, on_disk.format)?;
        let cluster: ClusterId = on_disk
            .cluster_id
            .parse()
            .map_err(|source| ConnectionFileError::content(path, source))?;
        let key = KeyPair::from_pem(&on_disk.key)
            .map_err(|source| ConnectionFileError::content(path, source))?;
        // The issuer's name and key id follow from the cluster id and the key; validity is in
        // the certificate, which is kept as it is.
        let params = authority_params(&cluster, Validity::lasting(AUTHORITY_VALIDITY));
        Ok(Self { cluster, certificate_pem: on_disk.certificate, issuer: Issuer::new(params, key) })
    }
}

fn authority_params(cluster: &ClusterId, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
    params.distinguished_name = common_name(&format!("phalanx cluster {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}
