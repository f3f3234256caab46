//! Long payloads in shared memory over real QUIC sessions, both ends in this process: agreed on by
//! trying, handed over without a copy, refused when they are not what they say.

mod support;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use bytes::Bytes;
use phalanx_transport::protocol::client::HubToClient;
use phalanx_transport::protocol::engine::{EngineToHub, HubToEngine};
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::handshake::{
    DIALECT, Hello, MemoryOffer, PeerGreeting, Proof, VERSIONS, Welcome,
};
use phalanx_transport::protocol::ids::{AttemptId, SegmentId};
use phalanx_transport::protocol::limits::{INLINE_LEN_MAX, SEGMENT_LEN_MIN};
use phalanx_transport::protocol::outcome::Report;
use phalanx_transport::protocol::payload::{Body, Format, Payload, SegmentRef, Shared};
use phalanx_transport::protocol::pieces::Pieces;
use phalanx_transport::protocol::role::Role;
use phalanx_transport::protocol::task::Assignment;
use phalanx_transport::segments;
use phalanx_transport::{Arrival, CloseReason, Connector, HubSession, Incoming, Settings};
use rustix::fs::{MemfdFlags, SealFlags};
use support::raw::{RawPeer, frame};
use support::{Cluster, connect, delivery, pattern, receive, report, within};

const LEN: usize = 3 << 20;

/// The segments of a process are counted together, so the tests take turns.
static TURNS: LazyLock<tokio::sync::Mutex<()>> = LazyLock::new(|| tokio::sync::Mutex::new(()));

fn without_memory() -> Settings {
    let mut settings = Settings::default();
    settings.shared_memory = false;
    settings
}

fn in_segment(number: u64, len: usize) -> Bytes {
    let bytes = pattern(number, len);
    let (head, tail) = bytes.split_at(len / 2);
    segments::gather(&[head, tail]).contiguous()
}

fn placed_report(number: u64, bytes: Bytes) -> Report {
    Report { payload: Payload::inline(Format::Raw, bytes), ..report(number, 0) }
}

fn payload_of(item: Incoming<EngineToHub>) -> Payload {
    match item {
        Incoming::Message(EngineToHub::Report(report)) => report.payload,
        other => panic!("not a report: {other:?}"),
    }
}

#[tokio::test]
async fn ends_of_one_host_agree_unless_either_will_not() {
    let _turn = TURNS.lock().await;
    let mut cluster = Cluster::start();
    let (client, hub) = cluster.client().await;
    assert!(client.peer.shares_memory && hub.peer.shares_memory);

    let unwilling = Connector::new(&cluster.file(Role::Engine), &without_memory()).unwrap();
    let (peer, arrival) = tokio::join!(connect::<EngineToHub>(&unwilling), cluster.hub.accept());
    let Some(Arrival::Engine(hub)) = arrival else { panic!("no engine arrived") };
    assert!(!peer.peer.shares_memory && !hub.peer.shares_memory);

    let mut cluster = Cluster::with(without_memory());
    let willing = Connector::new(&cluster.file(Role::Engine), &Settings::default()).unwrap();
    let (peer, arrival) = tokio::join!(connect::<EngineToHub>(&willing), cluster.hub.accept());
    let Some(Arrival::Engine(hub)) = arrival else { panic!("no engine arrived") };
    assert!(!peer.peer.shares_memory && !hub.peer.shares_memory);
}

#[tokio::test]
async fn a_payload_in_a_segment_comes_with_its_message_and_goes_on_without_a_copy() {
    let _turn = TURNS.lock().await;
    let mut cluster = Cluster::start();
    let (engine, mut hub) = cluster.engine().await;
    let (mut client, at_hub) = cluster.client().await;
    let before = segments::stats();

    // Senders keep payloads until they are confirmed.
    let kept = in_segment(1, LEN);
    engine.sender.send(placed_report(1, kept.clone())).unwrap();
    let payload = payload_of(receive(&mut hub.receiver, 1).await.remove(0));
    assert_eq!(payload.bytes().unwrap(), pattern(1, LEN));

    let mut outcome = delivery(1, 0);
    outcome.payload = payload.clone();
    at_hub.sender.send(outcome).unwrap();
    match receive(&mut client.receiver, 1).await.remove(0) {
        Incoming::Message(HubToClient::Delivery(delivery)) => {
            assert_eq!(delivery.payload.bytes().unwrap(), pattern(1, LEN));
        }
        other => panic!("not a delivery: {other:?}"),
    }
    drop((kept, payload));
    let after = segments::stats();
    assert_eq!((after.written - before.written, after.mapped - before.mapped), (1, 2));
}

#[tokio::test]
async fn pieces_in_segments_and_short_ones_between_come_as_they_lie() {
    let _turn = TURNS.lock().await;
    let mut cluster = Cluster::start();
    let (engine, mut hub) = cluster.engine().await;
    let before = segments::stats();
    let (first, second) = (in_segment(1, LEN), in_segment(2, 2 * LEN));
    let short = Bytes::from(pattern(3, INLINE_LEN_MAX - 1));
    let pieces = [short.clone(), first.clone(), second.clone(), Bytes::from_static(b"x"), first];
    let sent: Pieces = pieces.into_iter().collect();
    let payload = Payload::in_pieces(Format::Raw, sent.clone());
    let mut message = Report { payload, ..report(1, 0) };
    engine.sender.send(message.clone()).unwrap();
    let payload = payload_of(receive(&mut hub.receiver, 1).await.remove(0));
    assert!(payload.pieces() == Some(&sent), "the same bytes");
    let lens = |pieces: &Pieces| pieces.iter().map(Bytes::len).collect::<Vec<_>>();
    assert_eq!(payload.pieces().map(lens), Some(lens(&sent)));
    let after = segments::stats();
    assert_eq!((after.written - before.written, after.mapped - before.mapped), (2, 3));

    // More between than a frame takes: by stream.
    let sent: Pieces = [short.clone(), second, short].into_iter().collect();
    message.payload = Payload::in_pieces(Format::Raw, sent.clone());
    engine.sender.send(message).unwrap();
    let mut items = receive(&mut hub.receiver, 2).await;
    let Incoming::Payload { bytes, .. } = items.remove(1) else { panic!("no payload") };
    assert!(bytes == sent.contiguous());
    assert!(payload_of(items.remove(0)).ticket().is_some());
}

#[tokio::test]
async fn one_payload_for_many_engines_is_one_copy() {
    let _turn = TURNS.lock().await;
    const ENGINES: usize = 5;
    let mut cluster = Cluster::start();
    let mut sessions = Vec::new();
    for _ in 0..ENGINES {
        sessions.push(cluster.engine().await);
    }
    let before = segments::stats();
    let bytes = in_segment(2, LEN);
    for (_, hub) in &sessions {
        hub.sender.send(assignment(bytes.clone())).unwrap();
    }
    for (engine, _) in &mut sessions {
        match receive(&mut engine.receiver, 1).await.remove(0) {
            Incoming::Message(HubToEngine::Assign(assignment)) => {
                assert_eq!(assignment.payload.bytes().unwrap(), bytes);
            }
            other => panic!("not an assignment: {other:?}"),
        }
    }
    let after = segments::stats();
    assert_eq!(after.written - before.written, 1);
    assert_eq!(after.mapped - before.mapped, ENGINES as u64);
}

fn assignment(bytes: Bytes) -> Assignment {
    Assignment {
        attempt: AttemptId::default(),
        direct: true,
        method: "m".try_into().unwrap(),
        payload: Payload::inline(Format::Raw, bytes),
        gates: Vec::new(),
        function: None,
    }
}

/// What arrives when this is sent in a session with this hub: its message, then its stream.
async fn by_stream(cluster: &mut Cluster, settings: &Settings, bytes: Bytes) {
    let connector = Connector::new(&cluster.file(Role::Engine), settings).unwrap();
    let (engine, arrival) =
        tokio::join!(connect::<EngineToHub>(&connector), within(cluster.hub.accept()));
    let Some(Arrival::Engine(mut hub)) = arrival else { panic!("no engine arrived") };
    engine.sender.send(placed_report(1, bytes.clone())).unwrap();
    let mut items = receive(&mut hub.receiver, 2).await;
    assert!(matches!(&items[1], Incoming::Payload { bytes: came, .. } if *came == bytes));
    assert!(payload_of(items.remove(0)).ticket().is_some());
}

#[tokio::test]
async fn what_cannot_be_shared_takes_a_stream() {
    let _turn = TURNS.lock().await;
    let mut cluster = Cluster::start();
    let _sharing = cluster.engine().await;
    // In ordinary memory, whoever could map it.
    by_stream(&mut cluster, &Settings::default(), pattern(1, LEN).into()).await;
    // In a segment, for somebody who cannot.
    by_stream(&mut cluster, &without_memory(), in_segment(2, LEN)).await;
}

#[tokio::test]
async fn short_payloads_and_those_of_nobody_are_not_placed() {
    let _turn = TURNS.lock().await;
    let short = Bytes::from(vec![1; SEGMENT_LEN_MIN - 1]);
    let mut cluster = Cluster::start();
    let _sharing = cluster.engine().await;
    let before = segments::stats().written;
    assert_eq!(segments::place(short.clone()), short);
    assert_eq!(segments::stats().written, before);
    let placed = segments::place(pattern(1, LEN).into());
    assert_eq!(segments::place(placed.clone()).as_ptr(), placed.as_ptr(), "placed already");
    assert_eq!(segments::stats().written, before + 1);
}

/// Memory as a peer makes it that has read PROTOCOL.md and nothing else.
struct Memory {
    file: File,
    id: u64,
}

impl Memory {
    fn new(id: u64, content: &[u8]) -> Self {
        let name = format!("phalanx-{id:016x}");
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(rustix::fs::memfd_create(&*name, flags).unwrap());
        let pages = content.len().next_multiple_of(4_096) as u64;
        file.set_len(pages + 8).unwrap();
        file.write_all_at(content, 0).unwrap();
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        Self { file, id }
    }

    fn descriptor(&self) -> u32 {
        self.file.as_raw_fd().unsigned_abs()
    }

    fn reference(&self, len: u64) -> SegmentRef {
        let (descriptor, id) = (self.descriptor(), SegmentId(self.id));
        SegmentRef { descriptor, id, turn: 0, offset: 0, len }
    }
}

const SECRET: u64 = 0x5ec2_e700;

/// A peer that offers memory, past its hello. The hub has not heard its proof.
async fn offering(cluster: &Cluster) -> (RawPeer, Welcome, Memory) {
    let beacon = Memory::new(0xbeac_0001, &SECRET.to_le_bytes());
    let offer = MemoryOffer {
        process: std::process::id(),
        descriptor: beacon.descriptor(),
        id: SegmentId(beacon.id),
    };
    let hello = Hello {
        versions: VERSIONS,
        release: "raw".to_owned(),
        name: "raw".to_owned(),
        memory: Some(offer),
        dialect: DIALECT,
    };
    let credential = cluster.authority.issue(Role::Engine).unwrap();
    let hello = frame(&PeerGreeting::from(hello));
    let (peer, welcome) = within(RawPeer::greet_with(cluster.address, &credential, &hello)).await;
    (peer, welcome, beacon)
}

/// The hub's secret, read as PROTOCOL.md says.
fn secret_of(offer: &MemoryOffer) -> u64 {
    let path = format!("/proc/{}/fd/{}", offer.process, offer.descriptor);
    let mut secret = [0; 8];
    File::open(path).unwrap().read_exact_at(&mut secret, 0).unwrap();
    u64::from_le_bytes(secret)
}

async fn sharing(cluster: &mut Cluster) -> (RawPeer, HubSession<EngineToHub>) {
    let (mut peer, welcome, _beacon) = offering(cluster).await;
    let answer = welcome.memory.expect("the hub has found it");
    assert_eq!(answer.secret, SECRET);
    let proof = Proof { secret: Some(secret_of(&answer.offer)) };
    peer.write(0, &frame(&PeerGreeting::from(proof))).await;
    match within(cluster.hub.accept()).await {
        Some(Arrival::Engine(session)) => (peer, session),
        other => panic!("no engine arrived, but {other:?}"),
    }
}

fn naming(segment: SegmentRef) -> Vec<u8> {
    let mut report = report(1, 0);
    report.payload.body = Body::Shared(Box::new(Shared::of(segment)));
    frame(&EngineToHub::from(report))
}

#[tokio::test]
async fn a_peer_that_keeps_to_the_document_is_understood() {
    let _turn = TURNS.lock().await;
    let mut cluster = Cluster::start();
    let (mut peer, mut session) = sharing(&mut cluster).await;
    assert!(session.peer.shares_memory);
    let memory = Memory::new(0xfeed, &pattern(7, LEN));
    peer.write(1, &naming(memory.reference(LEN as u64))).await;
    let payload = payload_of(receive(&mut session.receiver, 1).await.remove(0));
    assert_eq!(payload.bytes().unwrap(), pattern(7, LEN));
}

#[tokio::test]
async fn a_wrong_proof_ends_the_handshake_and_none_ends_the_sharing() {
    let _turn = TURNS.lock().await;
    let mut cluster = Cluster::start();
    let (mut peer, welcome, _beacon) = offering(&cluster).await;
    let wrong = secret_of(&welcome.memory.unwrap().offer) ^ 1;
    peer.write(0, &frame(&PeerGreeting::from(Proof { secret: Some(wrong) }))).await;
    let refused = cluster.refusal().await;
    assert!(refused.reason.contains("proof of shared memory is wrong"), "{refused:?}");

    let (mut peer, _, _beacon) = offering(&cluster).await;
    peer.write(0, &frame(&PeerGreeting::from(Proof { secret: None }))).await;
    let Some(Arrival::Engine(session)) = within(cluster.hub.accept()).await else {
        panic!("no engine arrived");
    };
    assert!(!session.peer.shares_memory);
}

#[tokio::test]
async fn an_offer_of_nothing_is_not_answered() {
    let _turn = TURNS.lock().await;
    let mut cluster = Cluster::start();
    let credential = cluster.authority.issue(Role::Engine).unwrap();
    let secret = Memory::new(0xbad, &SECRET.to_le_bytes());
    let offer = |process, descriptor, id| MemoryOffer { process, descriptor, id: SegmentId(id) };
    let own = std::process::id();
    for memory in [
        offer(own, secret.descriptor(), secret.id ^ 1),
        offer(own, u32::MAX, secret.id),
        offer(own, 0, secret.id),
        offer(1, secret.descriptor(), secret.id),
        offer(u32::MAX, secret.descriptor(), secret.id),
        offer(0, 0, 0),
    ] {
        let memory = Some(memory);
        let hello = Hello { versions: VERSIONS, memory, dialect: DIALECT, ..Hello::default() };
        let hello = frame(&PeerGreeting::from(hello));
        let (_peer, welcome) =
            within(RawPeer::greet_with(cluster.address, &credential, &hello)).await;
        assert_eq!(welcome.memory, None, "{memory:?}");
        let arrival = within(cluster.hub.accept()).await;
        assert!(matches!(arrival, Some(Arrival::Engine(hub)) if !hub.peer.shares_memory));
    }
}

#[tokio::test]
async fn references_to_what_is_not_there_end_the_session_with_a_code() {
    let _turn = TURNS.lock().await;
    let memory = Memory::new(0xf00d, &pattern(7, LEN));
    let good = memory.reference(LEN as u64);
    let lies = [
        SegmentRef { len: good.len + 1, ..good },
        SegmentRef { offset: u64::MAX, ..good },
        SegmentRef { offset: 1, ..good },
    ];
    let late = [
        SegmentRef { turn: 1, ..good },
        SegmentRef { id: SegmentId(0), ..good },
        SegmentRef { descriptor: u32::MAX, ..good },
    ];
    let mut cluster = Cluster::start();
    for segment in lies {
        let reason = reason_for(&mut cluster, segment).await;
        let CloseReason::Violation { code, .. } = reason else { panic!("{segment:?}: {reason}") };
        assert_eq!(code, ErrorCode::Malformed, "{segment:?}");
    }
    for segment in late {
        let reason = reason_for(&mut cluster, segment).await;
        assert!(reason.is_retryable(), "{segment:?}: {reason}");
    }
}

/// Why a session ends in which a payload is said to be there.
async fn reason_for(cluster: &mut Cluster, segment: SegmentRef) -> CloseReason {
    let (mut peer, mut session) = sharing(cluster).await;
    peer.write(1, &naming(segment)).await;
    let mut batch = Vec::new();
    let reason = within(session.receiver.recv_batch(&mut batch)).await.unwrap_err();
    assert_eq!(batch, []);
    within(peer.connection.closed()).await;
    reason
}

#[tokio::test]
async fn without_agreement_a_segment_is_malformed() {
    let _turn = TURNS.lock().await;
    let mut cluster = Cluster::start();
    let credential = cluster.authority.issue(Role::Engine).unwrap();
    let (mut peer, arrival) = tokio::join!(
        within(RawPeer::greet(cluster.address, &credential)),
        within(cluster.hub.accept())
    );
    let Some(Arrival::Engine(mut session)) = arrival else { panic!("no engine arrived") };
    let memory = Memory::new(0xf00e, &pattern(7, LEN));
    peer.write(1, &naming(memory.reference(LEN as u64))).await;
    let mut batch = Vec::new();
    let reason = within(session.receiver.recv_batch(&mut batch)).await.unwrap_err();
    assert!(
        matches!(&reason, CloseReason::Violation { code: ErrorCode::Malformed, .. }),
        "{reason}"
    );
}
