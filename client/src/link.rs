//! Where a client's sessions come from.
//!
//! The driver uses the transport's sessions as they are; tests put in-memory ones in their place.

use phalanx_transport::protocol::client::ClientToHub;
use phalanx_transport::{Connector, PeerSession};

use crate::error::ConnectError;

/// A client's end of a session.
pub(crate) type ClientSession = PeerSession<ClientToHub>;

/// Where sessions come from.
pub(crate) trait Source: Send + 'static {
    /// One attempt to get a session; has a deadline of its own.
    fn connect(&mut self) -> impl Future<Output = Result<ClientSession, ConnectError>> + Send;
}

/// Sessions over the network.
pub(crate) struct Network {
    pub(crate) connector: Connector,
    /// What the client calls itself, for people.
    pub(crate) name: String,
}

impl Source for Network {
    async fn connect(&mut self) -> Result<ClientSession, ConnectError> {
        Ok(self.connector.connect(&self.name).await?)
    }
}
