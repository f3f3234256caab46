//! What sessions cost over QUIC on loopback with mutual TLS: a round trip, and small frames one
//! way. Both ends in this process: on one thread (the work alone) and on two (with wake-ups).

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use phalanx_benches::refusals::Refusals;
use phalanx_protocol::client::{ClientToHub, HubToClient, Ping};
use phalanx_protocol::engine::EngineToHub;
use phalanx_protocol::ids::{AttemptId, RequestId};
use phalanx_protocol::outcome::{AttemptOutcome, Report, RunTimes};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::role::Role;
use phalanx_transport::identity::{ClusterAuthority, ConnectionFile};
use phalanx_transport::{
    Arrival, Connector, HubEndpoint, HubSession, Incoming, PeerSession, Settings,
};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Frames that the sender queues before it looks how many have left.
const BURST: u64 = 256;

/// Frames that may wait in the send queue: enough to fill every packet.
const QUEUED_MAX: usize = 4_096;

fn runtime() -> Runtime {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// A hub that listens, and the connection file of a peer of this role. Within a runtime.
fn listen(role: Role) -> (HubEndpoint, ConnectionFile) {
    let authority = ClusterAuthority::create().expect("an authority");
    let credential = authority.issue(Role::Hub).expect("a credential");
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let hub = HubEndpoint::bind(&credential, address, &Settings::default(), Arc::new(Refusals))
        .expect("a port on loopback");
    let address = hub.local_address().expect("an address");
    let credential = authority.issue(role).expect("a credential");
    (hub, ConnectionFile::new("bench", vec![address], credential))
}

fn connector(file: &ConnectionFile) -> Connector {
    Connector::new(file, &Settings::default()).expect("a socket")
}

/// Answers every ping until the client is gone.
async fn answer(mut hub: HubEndpoint) {
    let Some(Arrival::Client(mut session)) = hub.accept().await else { return };
    let mut batch = Vec::new();
    while session.receiver.recv_batch(&mut batch).await.is_ok() {
        for item in batch.drain(..) {
            if let Incoming::Message(ClientToHub::Ping(ping)) = item {
                // A client that has gone meanwhile needs no answer.
                let _ = session.sender.send(HubToClient::Pong(ping));
            }
        }
    }
}

async fn ping(client: &mut PeerSession<ClientToHub>, count: u64) -> Duration {
    let mut batch = Vec::new();
    let start = Instant::now();
    for number in 0..count {
        let request = RequestId(number);
        client.sender.send(Ping { request }).expect("an open session");
        while batch.is_empty() {
            client.receiver.recv_batch(&mut batch).await.expect("an open session");
        }
        let answer = batch.drain(..).next();
        assert_eq!(answer, Some(Incoming::Message(HubToClient::Pong(Ping { request }))));
    }
    start.elapsed()
}

fn round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("quic/ping");
    {
        let runtime = runtime();
        let (mut client, _connector, _hub) = runtime.block_on(async {
            let (hub, file) = listen(Role::Client);
            let hub = tokio::spawn(answer(hub));
            let connector = connector(&file);
            (connector.connect("bench").await.expect("a session"), connector, hub)
        });
        group.bench_function("both ends on one thread", |bencher| {
            bencher.iter_custom(|iterations| runtime.block_on(ping(&mut client, iterations)));
        });
    }
    let (sender, file) = oneshot::channel();
    let hub = thread::spawn(move || {
        runtime().block_on(async {
            let (hub, file) = listen(Role::Client);
            if sender.send(file).is_ok() {
                answer(hub).await;
            }
        });
    });
    let client_runtime = runtime();
    let (mut client, connector) = client_runtime.block_on(async {
        let connector = connector(&file.await.expect("a hub that listens"));
        (connector.connect("bench").await.expect("a session"), connector)
    });
    group.bench_function("a thread for each end", |bencher| {
        bencher.iter_custom(|iterations| client_runtime.block_on(ping(&mut client, iterations)));
    });
    // The hub's thread ends with the session.
    client.sender.close(phalanx_protocol::error::ErrorCode::Closed, "the bench is over");
    client_runtime.block_on(client.sender.closed());
    drop((client, connector));
    drop(client_runtime);
    hub.join().expect("a hub that ends in order");
    group.finish();
}

/// The engine's end and the hub's end of one session.
type Ends = (PeerSession<EngineToHub>, HubSession<EngineToHub>);

async fn engine_session() -> (Ends, (Connector, HubEndpoint)) {
    let (mut hub, file) = listen(Role::Engine);
    let connector = connector(&file);
    let (peer, arrival) = tokio::join!(connector.connect("bench"), hub.accept());
    match arrival {
        Some(Arrival::Engine(session)) => ((peer.expect("a session"), session), (connector, hub)),
        other => panic!("no engine arrived, but {other:?}"),
    }
}

/// Sends so many frames one way; done when the last has arrived and is decoded.
async fn send_frames((peer, hub): &mut Ends, count: u64, payload: &Bytes) -> Duration {
    let start = Instant::now();
    let send = async {
        for number in 0..count {
            let report = Report {
                number,
                attempt: AttemptId::default(),
                outcome: AttemptOutcome::Done,
                times: RunTimes::default(),
                payload: Payload::inline(Format::Raw, payload.clone()),
                output: None,
            };
            peer.sender.send(report).expect("room in the queue");
            if number % BURST == BURST - 1 {
                tokio::task::yield_now().await;
                while peer.sender.queued().0 > QUEUED_MAX {
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    let receive = async {
        let mut batch = Vec::new();
        let mut arrived = 0;
        while arrived < count {
            hub.receiver.recv_batch(&mut batch).await.expect("an open session");
            arrived += batch.drain(..).count() as u64;
        }
    };
    tokio::join!(send, receive);
    start.elapsed()
}

fn one_way(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("quic/one way, one thread");
    group.sample_size(20);
    for len in [0_usize, 32, 100, 1_000] {
        let runtime = runtime();
        let (mut ends, _endpoints) = runtime.block_on(engine_session());
        let payload = Bytes::from(vec![7; len]);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("payload bytes", len), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(send_frames(&mut ends, iterations, &payload))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, round_trip, one_way);
criterion_main!(benches);
