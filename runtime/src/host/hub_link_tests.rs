//! The host's session with a real endpoint on loopback: deaths told, told again, wishes heard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use phalanx_transport::identity::ClusterAuthority;
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::host::{KillEngine, RetireEngine, StopCluster};
use phalanx_transport::protocol::role::Role;
use phalanx_transport::{Arrival, HubEndpoint, HubSession, LogAudit};
use tokio::sync::mpsc;

use super::*;

/// A hub's end and a host's link to it.
struct Pair {
    hub: HubEndpoint,
    link: HubLink,
    wishes: mpsc::UnboundedReceiver<HubWish>,
    _dir: tempfile::TempDir,
}

impl Pair {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = ClusterAuthority::create().unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let credential = authority.issue(Role::Hub).unwrap();
        let settings = Settings::default();
        let hub =
            HubEndpoint::bind(&credential, loopback, &settings, Arc::new(LogAudit::default()))
                .unwrap();
        let addresses = vec![hub.local_address().unwrap()];
        let path = dir.path().join("keys/host.json");
        let credential = authority.issue(Role::Host).unwrap();
        ConnectionFile::new("test", addresses, credential).save(&path).unwrap();
        let (sender, wishes) = mpsc::unbounded_channel();
        let link = HubLink::start(path, "laptop".into(), move |wish| sender.send(wish).is_ok());
        link.on_hub_ready();
        Self { hub, link, wishes, _dir: dir }
    }

    async fn session(&mut self) -> HubSession<HostToHub> {
        match within(self.hub.accept()).await {
            Some(Arrival::Host(session)) => session,
            other => panic!("not a host: {other:?}"),
        }
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, future).await.expect("nothing came within 10 s")
}

async fn receive(session: &mut HubSession<HostToHub>, count: usize) -> Vec<HostToHub> {
    let mut batch = Vec::new();
    while batch.len() < count {
        within(session.receiver.recv_batch(&mut batch)).await.unwrap();
    }
    batch
        .into_iter()
        .map(|incoming| match incoming {
            Incoming::Message(message) => message,
            Incoming::Payload { .. } => panic!("a host sends no payload"),
        })
        .collect()
}

fn death(pid: u32) -> EngineExited {
    EngineExited { name: "laptop/0".into(), pid, cause: "killed by SIGKILL".into() }
}

#[tokio::test]
async fn a_host_attaches_and_tells_each_death_once_in_a_session() {
    let mut pair = Pair::start();
    let mut session = pair.session().await;
    let attach = Attach { host: "laptop".into(), pid: std::process::id() };
    assert_eq!(receive(&mut session, 1).await, [HostToHub::Attach(attach)]);
    pair.link.on_engine_exited(death(1));
    assert_eq!(receive(&mut session, 1).await, [HostToHub::EngineExited(death(1))]);
    pair.link.on_engine_exited(death(2));
    assert_eq!(receive(&mut session, 1).await, [HostToHub::EngineExited(death(2))]);
}

#[tokio::test]
async fn a_cut_session_is_followed_by_another_that_hears_of_every_death() {
    let mut pair = Pair::start();
    let mut session = pair.session().await;
    pair.link.on_engine_exited(death(1));
    assert_eq!(receive(&mut session, 2).await[1], HostToHub::EngineExited(death(1)));
    session.sender.close(ErrorCode::ShuttingDown, "hub restarts");
    drop(session);
    pair.link.on_engine_exited(death(2));
    let mut session = pair.session().await;
    let told = receive(&mut session, 3).await;
    let deaths = [death(1), death(2)].map(HostToHub::EngineExited);
    assert!(matches!(told[0], HostToHub::Attach(_)));
    assert_eq!(told[1..], deaths);
}

#[tokio::test]
async fn a_new_hub_gets_a_new_session_without_waiting_for_the_old_one_to_end() {
    let mut pair = Pair::start();
    let first = pair.session().await;
    pair.link.on_hub_ready();
    let _second = pair.session().await;
    within(first.sender.closed()).await;
}

#[tokio::test]
async fn what_the_hub_wants_is_heard() {
    let mut pair = Pair::start();
    let session = pair.session().await;
    session.sender.send(RetireEngine { name: "laptop/1".into() }).unwrap();
    let (name, reason) = ("laptop/2".to_owned(), "aborted".to_owned());
    let kill = KillEngine { name: name.clone(), pid: 3, reason: reason.clone() };
    session.sender.send(kill).unwrap();
    session.sender.send(StopCluster { reason: "asked by c1".into() }).unwrap();
    let heard = [
        within(pair.wishes.recv()).await,
        within(pair.wishes.recv()).await,
        within(pair.wishes.recv()).await,
    ];
    let wished = [
        HubWish::Retire { name: "laptop/1".into() },
        HubWish::Kill { name, pid: 3, reason },
        HubWish::Stop { reason: "asked by c1".into() },
    ];
    assert_eq!(heard, wished.map(Some));
}

#[tokio::test]
async fn only_the_latest_deaths_are_kept() {
    let mut pair = Pair::start();
    let first = pair.session().await;
    let count = u32::try_from(limits::DEATHS_KEPT_MAX).unwrap() + 5;
    (0..count).for_each(|pid| pair.link.on_engine_exited(death(pid)));
    drop(first);
    let mut session = pair.session().await;
    let told = receive(&mut session, limits::DEATHS_KEPT_MAX + 1).await;
    assert_eq!(told[1], HostToHub::EngineExited(death(5)));
    assert_eq!(told.last(), Some(&HostToHub::EngineExited(death(count - 1))));
}
