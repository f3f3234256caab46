//! The credentials of a run: an authority that lives in the host's memory only, and one connection
//! file for each role.
//!
//! Called by the shell: the hub's file before the hub starts, the others when its address is known.
//! A hub that is restarted keeps its file and its address, so nobody's connection file grows old.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use phalanx_transport::identity::{
    ClusterAuthority, ConnectionFile, ConnectionFileError, IdentityError,
};
use phalanx_transport::protocol::role::Role;

use crate::cluster_dir::ClusterDir;

/// Who gets a connection file when the hub's address is known.
const PEERS: [Role; 6] =
    [Role::Host, Role::Scheduler, Role::Engine, Role::Client, Role::Monitor, Role::Admin];

/// Why credentials could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// No key or certificate could be made.
    #[error("cannot make credentials")]
    Identity(#[from] IdentityError),
    /// A connection file could not be written.
    #[error(transparent)]
    File(#[from] ConnectionFileError),
}

/// The authority of a run. Its signing key is never written.
#[derive(Debug)]
pub(super) struct Credentials {
    authority: ClusterAuthority,
    dir: ClusterDir,
}

impl Credentials {
    /// Makes the authority, and the hub's file.
    pub(super) fn create(dir: &ClusterDir, listen: SocketAddr) -> Result<Self, CredentialError> {
        let credentials = Self { authority: ClusterAuthority::create()?, dir: dir.clone() };
        credentials.write(Role::Hub, vec![listen])?;
        Ok(credentials)
    }

    /// Writes everybody else's file, for a hub that listens at `bound`.
    pub(super) fn publish(&self, bound: SocketAddr) -> Result<(), CredentialError> {
        let addresses = reachable(bound);
        PEERS.iter().try_for_each(|role| self.write(*role, addresses.clone()))
    }

    fn write(&self, role: Role, addresses: Vec<SocketAddr>) -> Result<(), CredentialError> {
        let credential = self.authority.issue(role)?;
        let file = ConnectionFile::new(self.dir.name().as_str(), addresses, credential);
        Ok(file.save(&self.dir.connection_file(role.as_str()))?)
    }
}

/// Where a hub that listens at `bound` can be reached: there, or if it listens everywhere, at the
/// address this machine shows to others, and on loopback.
fn reachable(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let loopback: IpAddr = match bound.ip() {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let outward = outward_address(bound.ip()).filter(|ip| *ip != loopback);
    outward.into_iter().chain([loopback]).map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

/// The address from which this machine would send to another one. Nothing is sent: connecting a
/// datagram socket only chooses the route. The targets are addresses kept for documentation.
fn outward_address(everywhere: IpAddr) -> Option<IpAddr> {
    let elsewhere: IpAddr = match everywhere {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(everywhere, 0)).ok()?;
    socket.connect(SocketAddr::new(elsewhere, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::cluster_dir::Home;

    #[test]
    fn every_role_gets_a_private_file_of_its_own_and_the_authority_none() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::resolve(Some(dir.path().join("home"))).unwrap();
        let cluster = home.cluster(&"one".parse().unwrap());
        cluster.create(&home).unwrap();
        let bound = SocketAddr::from(([127, 0, 0, 1], 7000));
        let credentials = Credentials::create(&cluster, SocketAddr::from(([127, 0, 0, 1], 0)));
        credentials.unwrap().publish(bound).unwrap();
        for role in Role::ALL {
            let path = cluster.connection_file(role.as_str());
            let file = ConnectionFile::load(&path).unwrap();
            assert_eq!(file.role(), role);
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{role}");
            if role != Role::Hub {
                assert_eq!(file.hub_addresses, [bound]);
            }
        }
        let files = std::fs::read_dir(cluster.path()).unwrap().flatten();
        let json = files.filter(|entry| entry.path().extension().is_some_and(|e| e == "json"));
        assert_eq!(json.count(), Role::ALL.len());
    }

    #[test]
    fn a_hub_that_listens_everywhere_is_reached_on_loopback_at_last() {
        let addresses = reachable(SocketAddr::from(([0, 0, 0, 0], 7000)));
        assert_eq!(addresses.last(), Some(&SocketAddr::from(([127, 0, 0, 1], 7000))));
        assert!(addresses.iter().all(|address| !address.ip().is_unspecified()));
    }
}
