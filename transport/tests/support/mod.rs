//! What the transport's tests share: a cluster on loopback, and messages to send.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod raw;
pub(crate) mod relay;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phalanx_transport::identity::{ClusterAuthority, ConnectionFile, Credential};
use phalanx_transport::protocol::client::{ClientToHub, Ping};
use phalanx_transport::protocol::engine::EngineToHub;
use phalanx_transport::protocol::ids::{AttemptId, RequestId, TaskId};
use phalanx_transport::protocol::outcome::{AttemptOutcome, Delivery, Outcome, Report, RunTimes};
use phalanx_transport::protocol::payload::{Format, Payload};
use phalanx_transport::protocol::role::Role;
use phalanx_transport::{
    Arrival, Audit, Connector, Conversation, HubEndpoint, HubSession, Incoming, PeerInfo,
    PeerSession, RefusedPeer, SessionReceiver, Settings,
};
use tokio::sync::mpsc;

/// Nothing in these tests may take longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Fails the test instead of hanging.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("nothing happened within {DEADLINE:?}"),
    }
}

/// Keeps what the hub's audit hears.
pub(crate) struct Recorder {
    refused: mpsc::UnboundedSender<RefusedPeer>,
    pub(crate) admitted: Mutex<Vec<PeerInfo>>,
}

impl Audit for Recorder {
    fn admitted(&self, peer: &PeerInfo) {
        self.admitted.lock().unwrap().push(peer.clone());
    }

    fn refused(&self, peer: &RefusedPeer) {
        self.refused.send(peer.clone()).unwrap();
    }
}

/// A hub on loopback with its authority.
pub(crate) struct Cluster {
    pub(crate) authority: ClusterAuthority,
    pub(crate) hub: HubEndpoint,
    pub(crate) address: SocketAddr,
    pub(crate) refused: mpsc::UnboundedReceiver<RefusedPeer>,
    pub(crate) audit: Arc<Recorder>,
    pub(crate) settings: Settings,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let authority = ClusterAuthority::create().unwrap();
        let credential = authority.issue(Role::Hub).unwrap();
        Self::with_hub(authority, &credential, settings)
    }

    pub(crate) fn with_hub(
        authority: ClusterAuthority,
        credential: &Credential,
        settings: Settings,
    ) -> Self {
        let (sender, refused) = mpsc::unbounded_channel();
        let audit = Arc::new(Recorder { refused: sender, admitted: Mutex::default() });
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let hub =
            HubEndpoint::bind(credential, address, &settings, Arc::clone(&audit) as _).unwrap();
        let address = hub.local_address().unwrap();
        Self { authority, hub, address, refused, audit, settings }
    }

    pub(crate) fn file(&self, role: Role) -> ConnectionFile {
        self.file_of(self.authority.issue(role).unwrap())
    }

    pub(crate) fn file_of(&self, credential: Credential) -> ConnectionFile {
        ConnectionFile::new("test", vec![self.address], credential)
    }

    pub(crate) fn connector(&self, role: Role) -> Connector {
        Connector::new(&self.file(role), &self.settings).unwrap()
    }

    pub(crate) async fn client(&mut self) -> (PeerSession<ClientToHub>, HubSession<ClientToHub>) {
        let connector = self.connector(Role::Client);
        let (peer, arrival) =
            tokio::join!(within(connector.connect("a client")), within(self.hub.accept()));
        match arrival {
            Some(Arrival::Client(session)) => (peer.unwrap(), session),
            other => panic!("no client arrived, but {other:?}"),
        }
    }

    pub(crate) async fn engine(&mut self) -> (PeerSession<EngineToHub>, HubSession<EngineToHub>) {
        let connector = self.connector(Role::Engine);
        let (peer, arrival) =
            tokio::join!(within(connector.connect("an engine")), within(self.hub.accept()));
        match arrival {
            Some(Arrival::Engine(session)) => (peer.unwrap(), session),
            other => panic!("no engine arrived, but {other:?}"),
        }
    }

    /// The next refusal that the hub's audit heard of; nothing must have arrived at the hub.
    pub(crate) async fn refusal(&mut self) -> RefusedPeer {
        tokio::select! {
            refused = within(self.refused.recv()) => refused.unwrap(),
            arrival = self.hub.accept() => panic!("{arrival:?} was let in"),
        }
    }
}

/// A session of the given conversation, failing loudly.
pub(crate) async fn connect<C: Conversation>(connector: &Connector) -> PeerSession<C> {
    within(connector.connect::<C>("a peer")).await.unwrap()
}

/// A control message.
pub(crate) fn ping(number: u64) -> Ping {
    Ping { request: RequestId(number) }
}

/// A tasks message with a payload of `len` bytes.
pub(crate) fn report(number: u64, len: usize) -> Report {
    Report {
        number,
        attempt: AttemptId::default(),
        outcome: AttemptOutcome::Done,
        times: RunTimes::default(),
        payload: Payload::inline(Format::Raw, pattern(number, len).into()),
        output: None,
    }
}

/// A tasks message of the hub with a payload of `len` bytes.
pub(crate) fn delivery(number: u64, len: usize) -> Delivery {
    Delivery {
        number,
        task: TaskId::default(),
        outcome: Outcome::Done,
        engine: None,
        attempts: 1,
        times: RunTimes::default(),
        payload: Payload::inline(Format::Raw, pattern(number, len).into()),
        output: None,
        tried: Vec::new(),
    }
}

/// Bytes that tell payloads apart.
pub(crate) fn pattern(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|index| (index.wrapping_mul(31) ^ number) as u8).collect()
}

/// Receives until `count` items are there.
pub(crate) async fn receive<In: phalanx_transport::protocol::codec::Message>(
    receiver: &mut SessionReceiver<In>,
    count: usize,
) -> Vec<Incoming<In>> {
    let mut items = Vec::new();
    while items.len() < count {
        within(receiver.recv_batch(&mut items)).await.unwrap();
    }
    items
}
