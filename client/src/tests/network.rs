//! The same client over the network: QUIC on loopback, real certificates.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use phalanx_transport::identity::{ClusterAuthority, ConnectionFile};
use phalanx_transport::memory::FaultPlan;
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::payload::Format;
use phalanx_transport::protocol::role::Role;
use phalanx_transport::{Arrival, HubEndpoint, LogAudit, Settings};

use super::TestHub;
use crate::{AsyncMapResult, AsyncResult, CallError, Client, SubmitError, TaskError};

/// A hub on loopback and the authority that its peers are known by.
struct Cluster {
    hub: TestHub,
    authority: ClusterAuthority,
    address: SocketAddr,
    endpoint: HubEndpoint,
}

impl Cluster {
    fn start() -> Self {
        let authority = ClusterAuthority::create().unwrap();
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        let endpoint = Self::listen(&authority, any_port);
        let address = endpoint.local_address().unwrap();
        Self { hub: TestHub::new(FaultPlan::NONE), authority, address, endpoint }
    }

    fn listen(authority: &ClusterAuthority, address: SocketAddr) -> HubEndpoint {
        let credential = authority.issue(Role::Hub).unwrap();
        HubEndpoint::bind(&credential, address, &Settings::default(), Arc::new(LogAudit::default()))
            .unwrap()
    }

    fn file(&self, role: Role) -> ConnectionFile {
        let credential = self.authority.issue(role).unwrap();
        ConnectionFile::new("test", vec![self.address], credential)
    }

    /// Lets clients in for as long as the future is polled.
    async fn serve(&mut self) {
        while let Some(arrival) = self.endpoint.accept().await {
            match arrival {
                Arrival::Client(session) => drop(tokio::spawn(self.hub.clone().serve(session))),
                other => panic!("not expected: {other:?}"),
            }
        }
    }

    /// Serves while `work` is done, for at most twenty seconds.
    async fn while_serving<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = tokio::time::timeout(Duration::from_secs(20), work) => done.unwrap(),
            () = self.serve() => panic!("the endpoint was closed"),
        }
    }
}

#[tokio::test]
async fn tasks_and_large_payloads_travel_over_quic() {
    let mut cluster = Cluster::start();
    let file = cluster.file(Role::Client);
    let hub = cluster.hub.clone();
    let work = async {
        let client = Client::connect(&file).await.unwrap();
        let view = client.load_balanced_view();
        let map: AsyncMapResult<u32> = view.map("echo", 0..5_000u32).unwrap();
        assert_eq!(map.await.unwrap(), (0..5_000).collect::<Vec<_>>());
        let bytes = Bytes::from(vec![3; 5 << 20]);
        let large = view.submit_raw("echo", Format::Raw, bytes.clone()).unwrap();
        assert_eq!(large.await.unwrap().bytes, bytes);
        client.ping().await.unwrap();
        client.close().await;
        assert!(hub.has_been_left());
    };
    cluster.while_serving(work).await;
}

#[tokio::test]
async fn a_blocking_client_works_over_quic() {
    let mut cluster = Cluster::start();
    let file = cluster.file(Role::Client);
    let work = tokio::task::spawn_blocking(move || {
        let client = crate::blocking::Client::connect(&file).unwrap();
        let view = client.load_balanced_view();
        let result = view.call::<_, _, String>("echo", "ada").unwrap();
        assert_eq!(result.get().unwrap(), "ada");
        client.close();
    });
    cluster.while_serving(work).await.unwrap();
}

#[tokio::test]
async fn a_monitor_may_look_and_is_told_that_it_may_not_submit() {
    let mut cluster = Cluster::start();
    let file = cluster.file(Role::Monitor);
    let work = async {
        let client = Client::connect(&file).await.unwrap();
        client.status().await.unwrap();
        let refused = client.load_balanced_view().call::<_, _, u8>("echo", &0u8).unwrap_err();
        let expected = SubmitError::WrongRole(Role::Monitor);
        assert!(matches!(refused, CallError::Submit(error) if error == expected));
    };
    cluster.while_serving(work).await;
}

#[tokio::test]
async fn a_foreign_certificate_is_refused_and_not_tried_again() {
    let mut cluster = Cluster::start();
    let stranger = ClusterAuthority::create().unwrap().issue(Role::Client).unwrap();
    let file = ConnectionFile::new("test", vec![cluster.address], stranger);
    let error = cluster.while_serving(Client::connect(&file)).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_hub_process_that_ends_in_good_order_ends_every_wait() {
    let mut cluster = Cluster::start();
    let file = cluster.file(Role::Client);
    let (client, held) = cluster
        .while_serving(async {
            let client = Client::connect(&file).await.unwrap();
            let held: AsyncResult<u8> = client.load_balanced_view().call("hold", &1u8).unwrap();
            client.ping().await.unwrap();
            (client, held)
        })
        .await;
    cluster.endpoint.close(ErrorCode::ShuttingDown, "stopped by a user").await;
    let error = tokio::time::timeout(Duration::from_secs(10), held).await.unwrap().unwrap_err();
    assert!(matches!(error, TaskError::Disconnected { .. }), "{error}");
    assert!(client.ping().await.is_err());
}

#[tokio::test]
async fn a_session_that_the_hub_drops_is_replaced() {
    let mut cluster = Cluster::start();
    let file = cluster.file(Role::Client);
    let hub = cluster.hub.clone();
    let work = async {
        let client = Client::connect(&file).await.unwrap();
        let view = client.load_balanced_view();
        let held: AsyncResult<u8> = view.call("hold", &1u8).unwrap();
        client.ping().await.unwrap();
        hub.close(ErrorCode::Overloaded);
        let echoed: AsyncResult<u8> = view.call("echo", &2u8).unwrap();
        assert_eq!(echoed.await.unwrap(), 2);
        hub.finish("hold");
        assert_eq!(held.await.unwrap(), 1);
    };
    cluster.while_serving(work).await;
}
