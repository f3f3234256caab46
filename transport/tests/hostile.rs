//! Peers with a valid certificate that break the rules: their session ends with a stable code,
//! nothing panics, nothing is allocated for a claim, and the others do not notice.

mod support;

use std::sync::Arc;
use std::time::Duration;

use phalanx_transport::identity::ClusterAuthority;
use phalanx_transport::protocol::client::{ClientToHub, HubToClient};
use phalanx_transport::protocol::engine::EngineToHub;
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::ids::Ticket;
use phalanx_transport::protocol::limits::{HEADER_LEN_MAX, INLINE_LEN_MAX, TASK_PAYLOAD_LEN_MAX};
use phalanx_transport::protocol::payload::Body;
use phalanx_transport::protocol::role::Role;
use phalanx_transport::{
    Arrival, CloseReason, Connector, HubEndpoint, HubSession, Incoming, LogAudit, RefusalKind,
    SessionReceiver, Settings,
};
use quinn::{ConnectionError, VarInt};
use support::raw::{RawPeer, frame, prefix};
use support::relay::Relay;
use support::{Cluster, connect, ping, receive, report, within};

const CONTROL: usize = 0;
const TASKS: usize = 1;

async fn raw_engine(cluster: &mut Cluster) -> (RawPeer, HubSession<EngineToHub>) {
    let credential = cluster.authority.issue(Role::Engine).unwrap();
    let (peer, arrival) = tokio::join!(
        within(RawPeer::greet(cluster.address, &credential)),
        within(cluster.hub.accept())
    );
    match arrival {
        Some(Arrival::Engine(session)) => (peer, session),
        other => panic!("no engine arrived, but {other:?}"),
    }
}

async fn raw_monitor(cluster: &mut Cluster) -> (RawPeer, HubSession<ClientToHub>) {
    let credential = cluster.authority.issue(Role::Monitor).unwrap();
    let (peer, arrival) = tokio::join!(
        within(RawPeer::greet(cluster.address, &credential)),
        within(cluster.hub.accept())
    );
    match arrival {
        Some(Arrival::Client(session)) => (peer, session),
        other => panic!("no monitor arrived, but {other:?}"),
    }
}

/// The session ends for this code, nothing more is delivered, and the peer is told the same.
async fn assert_punished<In: phalanx_transport::protocol::codec::Message + std::fmt::Debug>(
    receiver: &mut SessionReceiver<In>,
    peer: &RawPeer,
    expected: ErrorCode,
) {
    let mut batch = Vec::new();
    let reason = within(receiver.recv_batch(&mut batch)).await.unwrap_err();
    assert!(batch.is_empty(), "{batch:?}");
    let CloseReason::Violation { code, detail } = reason else {
        panic!("ended otherwise: {reason}");
    };
    assert_eq!(code, expected, "{detail}");
    let error = within(peer.connection.closed()).await;
    assert!(
        matches!(&error, ConnectionError::ApplicationClosed(close)
            if close.error_code.into_inner() == u64::from(expected.number())),
        "{error}"
    );
}

#[tokio::test]
async fn frames_that_break_the_rules_end_their_session_only() {
    let big_header = HEADER_LEN_MAX as u32 + 1;
    let big_tail = INLINE_LEN_MAX as u32 + 1;
    let cases: [(&str, Vec<u8>, ErrorCode); 8] = [
        ("garbage", vec![0xa5; 64], ErrorCode::Malformed),
        ("4 GiB", prefix(u32::MAX, 3, 0, 0), ErrorCode::TooLarge),
        ("4 GiB header", prefix(u32::MAX, 3, 0, u32::MAX), ErrorCode::TooLarge),
        ("long header", prefix(big_header, 3, 0, big_header), ErrorCode::TooLarge),
        ("long tail", prefix(big_tail, 3, 0, 0), ErrorCode::TooLarge),
        ("header over body", prefix(1, 3, 0, 2), ErrorCode::Malformed),
        ("reserved", prefix(2, 3, 1, 1), ErrorCode::Malformed),
        ("unknown", prefix(0, 999, 0, 0), ErrorCode::Malformed),
    ];
    let mut cluster = Cluster::start();
    let (client, mut bystander) = cluster.client().await;
    for (name, bytes, code) in cases {
        println!("{name}");
        let (mut peer, mut session) = raw_engine(&mut cluster).await;
        peer.write(TASKS, &bytes).await;
        assert_punished(&mut session.receiver, &peer, code).await;
    }
    client.sender.send(ping(1)).unwrap();
    assert_eq!(
        receive(&mut bystander.receiver, 1).await,
        [Incoming::Message(ClientToHub::Ping(ping(1)))]
    );
}

#[tokio::test]
async fn what_came_before_a_broken_frame_is_delivered() {
    let mut cluster = Cluster::start();
    let (mut peer, mut session) = raw_engine(&mut cluster).await;
    let mut bytes = frame(&EngineToHub::from(report(1, 10)));
    bytes.extend([0xff; 32]);
    peer.write(TASKS, &bytes).await;
    assert_eq!(
        receive(&mut session.receiver, 1).await,
        [Incoming::Message(EngineToHub::from(report(1, 10)))]
    );
    assert_punished(&mut session.receiver, &peer, ErrorCode::Malformed).await;
}

#[tokio::test]
async fn a_message_on_the_wrong_lane_or_of_the_wrong_role() {
    let mut cluster = Cluster::start();
    let (mut peer, mut session) = raw_engine(&mut cluster).await;
    peer.write(CONTROL, &frame(&EngineToHub::from(report(1, 10)))).await;
    assert_punished(&mut session.receiver, &peer, ErrorCode::Malformed).await;

    // Number 6 is a shutdown: only its twelve bytes of prefix are needed to refuse it.
    let (mut peer, mut session) = raw_monitor(&mut cluster).await;
    peer.write(CONTROL, &prefix(100, 6, 0, 100)).await;
    assert_punished(&mut session.receiver, &peer, ErrorCode::WrongRole).await;
}

#[tokio::test]
async fn streams_that_break_off_within_a_frame() {
    let mut cluster = Cluster::start();
    let bytes = frame(&EngineToHub::from(report(1, 100)));
    let half = &bytes[..bytes.len() / 2];

    let (mut peer, mut session) = raw_engine(&mut cluster).await;
    peer.write(TASKS, half).await;
    peer.send[TASKS].finish().unwrap();
    assert_punished(&mut session.receiver, &peer, ErrorCode::Malformed).await;

    let (mut peer, mut session) = raw_engine(&mut cluster).await;
    peer.write(TASKS, half).await;
    peer.send[TASKS].reset(VarInt::from_u32(0)).unwrap();
    assert_punished(&mut session.receiver, &peer, ErrorCode::Malformed).await;

    let (mut peer, mut session) = raw_engine(&mut cluster).await;
    peer.write(TASKS, half).await;
    peer.connection.close(VarInt::from_u32(0), b"gone");
    let mut batch = Vec::new();
    let reason = within(session.receiver.recv_batch(&mut batch)).await;
    assert_eq!(
        reason,
        Err(CloseReason::Peer { code: Some(ErrorCode::Closed), detail: "gone".to_owned() })
    );
}

fn announcement(ticket: u64, len: u64) -> Vec<u8> {
    let mut report = report(1, 0);
    report.payload.body = Body::Ticket { ticket: Ticket(ticket), len };
    frame(&EngineToHub::from(report))
}

fn payload_prefix(ticket: u64, len: u64) -> Vec<u8> {
    [ticket.to_le_bytes(), len.to_le_bytes()].concat()
}

async fn send_payload(peer: &RawPeer, bytes: &[u8]) {
    let mut stream = peer.connection.open_uni().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.finish().unwrap();
}

#[tokio::test]
async fn payloads_that_are_not_what_was_announced() {
    let gibibyte = TASK_PAYLOAD_LEN_MAX;
    let cases: [(&str, Vec<u8>, Vec<u8>, ErrorCode); 5] = [
        ("over the limit", announcement(1, gibibyte + 1), Vec::new(), ErrorCode::TooLarge),
        (
            "shorter",
            announcement(1, gibibyte),
            [payload_prefix(1, gibibyte), vec![0; 10]].concat(),
            ErrorCode::Malformed,
        ),
        (
            "longer",
            announcement(1, 10),
            [payload_prefix(1, 10), vec![0; 11]].concat(),
            ErrorCode::Malformed,
        ),
        (
            "another length",
            announcement(1, 10),
            [payload_prefix(1, 11), vec![0; 11]].concat(),
            ErrorCode::Malformed,
        ),
        ("no prefix", announcement(1, 10), vec![0; 3], ErrorCode::Malformed),
    ];
    let mut cluster = Cluster::start();
    for (name, message, stream, code) in cases {
        println!("{name}");
        let (mut peer, mut session) = raw_engine(&mut cluster).await;
        send_payload(&peer, &stream).await;
        peer.write(TASKS, &message).await;
        let mut batch = Vec::new();
        let reason = within(async {
            loop {
                if let Err(reason) = session.receiver.recv_batch(&mut batch).await {
                    break reason;
                }
            }
        })
        .await;
        assert!(
            matches!(&reason, CloseReason::Violation { code: seen, .. } if *seen == code),
            "{name}: {reason}"
        );
        let is_payload = |item: &Incoming<_>| matches!(item, Incoming::Payload { .. });
        assert!(!batch.iter().any(is_payload), "{name}");
    }
}

#[tokio::test]
async fn a_payload_that_overtakes_its_message_waits_for_it() {
    let mut cluster = Cluster::start();
    let (mut peer, mut session) = raw_engine(&mut cluster).await;
    send_payload(&peer, &[payload_prefix(1, 4), vec![1, 2, 3, 4]].concat()).await;
    peer.write(TASKS, &frame(&EngineToHub::from(report(7, 4)))).await;
    assert_eq!(
        receive(&mut session.receiver, 1).await,
        [Incoming::Message(EngineToHub::from(report(7, 4)))]
    );
    peer.write(TASKS, &announcement(1, 4)).await;
    let items = receive(&mut session.receiver, 2).await;
    assert!(matches!(&items[0], Incoming::Message(_)));
    assert_eq!(items[1], Incoming::Payload { ticket: Ticket(1), bytes: vec![1, 2, 3, 4].into() });
}

#[tokio::test]
async fn garbage_in_place_of_a_greeting_reaches_nobody() {
    let mut cluster = Cluster::start();
    let credential = cluster.authority.issue(Role::Engine).unwrap();
    for garbage in [vec![0x5a; 5_000], prefix(1 << 20, 1, 0, 1 << 20), prefix(0, 2, 0, 0)] {
        let connected = support::raw::connect(
            cluster.address,
            &credential.authority_pem,
            Some(&credential),
            b"phalanx-engine/1",
        );
        let (_endpoint, connection) = within(connected).await.unwrap();
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        let _ = send.write_all(&garbage).await;
        let error = within(connection.closed()).await;
        assert!(
            matches!(&error, ConnectionError::ApplicationClosed(close)
                if close.error_code.into_inner() == u64::from(ErrorCode::Malformed.number())),
            "{error}"
        );
        assert_eq!(cluster.refusal().await.kind, RefusalKind::Malformed);
    }
}

fn impatient() -> Settings {
    let mut settings = Settings::default();
    settings.lost_after = Duration::from_millis(600);
    settings.keep_alive = Duration::from_millis(150);
    settings
}

#[tokio::test]
async fn silence_is_noticed_by_both_ends_and_an_idle_session_is_not_silent() {
    let mut cluster = Cluster::with(impatient());
    let relay = Relay::start(cluster.address).await;
    let mut file = cluster.file(Role::Client);
    file.hub_addresses = vec![relay.address];
    let connector = Connector::new(&file, &cluster.settings).unwrap();
    let client = connect::<ClientToHub>(&connector).await;
    let Some(Arrival::Client(mut hub)) = within(cluster.hub.accept()).await else {
        panic!("no client arrived");
    };
    // Twice the idle time without a word: the keep-alives hold it.
    let idle = tokio::time::timeout(Duration::from_millis(1_200), client.sender.closed()).await;
    assert!(idle.is_err(), "lost while the link was up");
    client.sender.send(ping(1)).unwrap();
    receive(&mut hub.receiver, 1).await;

    relay.block();
    hub.sender.send(HubToClient::Pong(ping(1))).unwrap();
    let (by_client, by_hub) =
        within(async { tokio::join!(client.sender.closed(), hub.sender.closed()) }).await;
    assert_eq!(by_client, CloseReason::Lost);
    assert_eq!(by_hub, CloseReason::Lost);
    assert!(by_client.is_retryable());
    assert_eq!(within(hub.receiver.recv_batch(&mut Vec::new())).await, Err(CloseReason::Lost));
}

#[tokio::test]
async fn a_hub_that_was_killed_and_started_anew_says_so_at_once() {
    let mut settings = Settings::default();
    settings.keep_alive = Duration::from_millis(100);
    let authority = ClusterAuthority::create().unwrap();
    let credential = authority.issue(Role::Hub).unwrap();
    let mut killed = Cluster::with_hub(authority, &credential, settings.clone());
    let authority = ClusterAuthority::create().unwrap();
    let anew = Cluster::with_hub(authority, &credential, settings.clone());

    let relay = Relay::start(killed.address).await;
    let mut file = killed.file(Role::Client);
    file.hub_addresses = vec![relay.address];
    let connector = Connector::new(&file, &settings).unwrap();
    let client = connect::<ClientToHub>(&connector).await;
    let _hub = within(killed.hub.accept()).await;

    relay.redirect(anew.address).await;
    let reason = within(client.sender.closed()).await;
    assert_eq!(reason, CloseReason::Forgotten);
    assert!(reason.is_retryable());
}

#[tokio::test]
async fn a_hub_that_stops_frees_its_port() {
    let mut cluster = Cluster::start();
    let (client, hub) = cluster.client().await;
    let address = cluster.address;
    within(cluster.hub.close(ErrorCode::ShuttingDown, "restart")).await;
    assert!(within(client.sender.closed()).await.is_retryable());
    // The socket goes with the last session that was made from it.
    drop(hub);
    let credential = cluster.authority.issue(Role::Hub).unwrap();
    let bind = || {
        HubEndpoint::bind(&credential, address, &cluster.settings, Arc::new(LogAudit::default()))
    };
    within(async {
        while bind().is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
