//! Sessions over real QUIC on loopback: what is sent arrives, in order, and ends are told.

mod support;

use phalanx_transport::protocol::client::{ClientToHub, HubToClient};
use phalanx_transport::protocol::engine::{Confirmed, EngineToHub, HubToEngine};
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::limits::INLINE_LEN_MAX;
use phalanx_transport::protocol::payload::Body;
use phalanx_transport::protocol::role::Role;
use phalanx_transport::{Arrival, CloseReason, Connector, Incoming, SendError, Settings};
use support::{Cluster, pattern, ping, receive, report, within};

#[tokio::test]
async fn a_client_and_the_hub_talk_both_ways() {
    let mut cluster = Cluster::start();
    let (mut client, mut hub) = cluster.client().await;
    assert_eq!(hub.peer.role, Role::Client);
    assert_eq!(hub.peer.name, "a client");
    assert_eq!(client.peer.role, Role::Hub);

    client.sender.send(ping(1)).unwrap();
    assert_eq!(
        receive(&mut hub.receiver, 1).await,
        [Incoming::Message(ClientToHub::Ping(ping(1)))]
    );
    hub.sender.send(HubToClient::Pong(ping(1))).unwrap();
    assert_eq!(
        receive(&mut client.receiver, 1).await,
        [Incoming::Message(HubToClient::Pong(ping(1)))]
    );
    assert_eq!(cluster.audit.admitted.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn thirty_thousand_messages_arrive_in_order() {
    const COUNT: u64 = 30_000;
    let mut cluster = Cluster::start();
    let (mut engine, mut hub) = cluster.engine().await;
    for number in 0..COUNT {
        engine.sender.send(report(number, 8)).unwrap();
        if number % 3 == 0 {
            hub.sender.send(Confirmed { up_to: number }).unwrap();
        }
    }
    for (number, item) in (0..).zip(receive(&mut hub.receiver, COUNT as usize).await) {
        assert_eq!(item, Incoming::Message(EngineToHub::Report(report(number, 8))));
    }
    let confirmed = COUNT.div_ceil(3);
    for (index, item) in (0..).zip(receive(&mut engine.receiver, confirmed as usize).await) {
        let up_to = 3 * index;
        assert_eq!(item, Incoming::Message(HubToEngine::Confirmed(Confirmed { up_to })));
    }
}

#[tokio::test]
async fn a_long_payload_comes_after_its_message_and_holds_up_none() {
    const LEN: usize = 10 << 20;
    let mut cluster = Cluster::start();
    let (engine, mut hub) = cluster.engine().await;
    engine.sender.send(report(0, LEN)).unwrap();
    for number in 1..=100 {
        engine.sender.send(report(number, INLINE_LEN_MAX)).unwrap();
    }
    engine.sender.send(report(101, INLINE_LEN_MAX + 1)).unwrap();

    let mut numbers = Vec::new();
    let mut payloads = Vec::new();
    let mut tickets = Vec::new();
    for item in receive(&mut hub.receiver, 104).await {
        match item {
            Incoming::Message(EngineToHub::Report(report)) => {
                numbers.push(report.number);
                if let Body::Ticket { ticket, len } = report.payload.body {
                    tickets.push((ticket, report.number, len));
                }
            }
            Incoming::Payload { ticket, bytes } => {
                let known = tickets.iter().find(|known| known.0 == ticket);
                let (_, number, len) = known.expect("the message comes first");
                assert_eq!(bytes.len() as u64, *len);
                assert_eq!(bytes, pattern(*number, *len as usize));
                payloads.push(*number);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(numbers, Vec::from_iter(0..=101));
    payloads.sort_unstable();
    assert_eq!(payloads, [0, 101]);
}

#[tokio::test]
async fn many_long_payloads_are_all_delivered() {
    const COUNT: u64 = 100;
    const LEN: usize = 200_000;
    let mut cluster = Cluster::start();
    let (engine, mut hub) = cluster.engine().await;
    for number in 0..COUNT {
        engine.sender.send(report(number, LEN)).unwrap();
    }
    let items = receive(&mut hub.receiver, 2 * COUNT as usize).await;
    let payloads = items
        .iter()
        .filter(|item| matches!(item, Incoming::Payload { bytes, .. } if bytes.len() == LEN));
    assert_eq!(payloads.count(), COUNT as usize);
    // Acknowledged by the other end's transport, so nothing waits here any more.
    while engine.sender.queued() != (0, 0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn closing_flushes_what_is_queued_and_tells_why() {
    let mut cluster = Cluster::start();
    let (mut engine, mut hub) = cluster.engine().await;
    for number in 0..1_000 {
        hub.sender.send(Confirmed { up_to: number }).unwrap();
    }
    hub.sender.close(ErrorCode::ShuttingDown, "maintenance");
    assert!(matches!(hub.sender.send(Confirmed { up_to: 0 }), Err(SendError::Closed(_))));
    assert_eq!(receive(&mut engine.receiver, 1_000).await.len(), 1_000);
    let by_hub =
        CloseReason::Peer { code: Some(ErrorCode::ShuttingDown), detail: "maintenance".to_owned() };
    let mut none = Vec::new();
    assert_eq!(within(engine.receiver.recv_batch(&mut none)).await, Err(by_hub.clone()));
    assert!(by_hub.is_retryable());
    assert_eq!(within(engine.sender.closed()).await, by_hub);
    let by_us = CloseReason::Us { code: ErrorCode::ShuttingDown, detail: "maintenance".to_owned() };
    assert_eq!(within(hub.sender.closed()).await, by_us);
    assert_eq!(within(hub.receiver.recv_batch(&mut Vec::new())).await, Err(by_us));
}

#[tokio::test]
async fn closing_flushes_long_payloads_too() {
    let mut cluster = Cluster::start();
    let (engine, mut hub) = cluster.engine().await;
    engine.sender.send(report(0, 5 << 20)).unwrap();
    engine.sender.close(ErrorCode::Closed, "done");
    let items = receive(&mut hub.receiver, 2).await;
    assert!(matches!(&items[1], Incoming::Payload { bytes, .. } if bytes.len() == 5 << 20));
    within(engine.sender.closed()).await;
}

#[test]
fn a_process_that_ends_tells_the_hub_first() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let hub_runtime = runtime();
    let mut cluster = hub_runtime.block_on(async { Cluster::start() });
    let connector_file = cluster.file(Role::Client);
    let settings = cluster.settings.clone();
    let client = std::thread::spawn(move || {
        // The runtime is dropped with the thread: what was not sent by then never is.
        runtime().block_on(async {
            let connector = Connector::new(&connector_file, &settings).unwrap();
            let session = support::connect::<ClientToHub>(&connector).await;
            session.sender.send(ping(1)).unwrap();
            session.sender.close(ErrorCode::Closed, "the notebook ends");
            within(session.sender.closed()).await;
            within(connector.told()).await;
        });
    });
    hub_runtime.block_on(async {
        let Some(Arrival::Client(mut session)) = within(cluster.hub.accept()).await else {
            panic!("no client arrived");
        };
        receive(&mut session.receiver, 1).await;
        let reason = within(session.sender.closed()).await;
        assert!(matches!(reason, CloseReason::Peer { code: Some(ErrorCode::Closed), .. }));
    });
    client.join().unwrap();
}

#[tokio::test]
async fn dropping_either_half_closes_the_session() {
    let mut cluster = Cluster::start();
    let (client, hub) = cluster.client().await;
    drop(client.receiver);
    assert!(matches!(
        within(hub.sender.closed()).await,
        CloseReason::Peer { code: Some(ErrorCode::Closed), .. }
    ));
    let (client, hub) = cluster.client().await;
    drop(hub.sender);
    assert!(matches!(
        within(client.sender.closed()).await,
        CloseReason::Peer { code: Some(ErrorCode::Closed), .. }
    ));
}

#[tokio::test]
async fn the_hub_endpoint_ends_every_session_with_a_reason() {
    let mut cluster = Cluster::start();
    let (client, _hub) = cluster.client().await;
    within(cluster.hub.close(ErrorCode::ShuttingDown, "cluster stops")).await;
    assert_eq!(
        within(client.sender.closed()).await,
        CloseReason::Peer {
            code: Some(ErrorCode::ShuttingDown),
            detail: "cluster stops".to_owned(),
        }
    );
}

#[tokio::test]
async fn a_full_queue_answers_overloaded_and_control_still_passes() {
    let mut settings = Settings::default();
    settings.queue_frames_max = 1_000;
    let mut cluster = Cluster::with(settings);
    // The client does not read: what fills up is the stream's window, then the queue.
    let (mut client, hub) = cluster.client().await;
    let mut sent = 0;
    let refused = loop {
        match hub.sender.send(support::delivery(sent, 16_384)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };
    assert!(matches!(refused, SendError::Overloaded(_)));
    assert_eq!(refused.into_message(), HubToClient::Delivery(support::delivery(sent, 16_384)));
    let (frames, bytes) = hub.sender.queued();
    assert!(frames <= 1_000, "{frames} frames");
    assert!(bytes <= 1_000 * 17_000, "{bytes} bytes");

    // The pong was sent last, behind a thousand deliveries; it overtakes those not on the wire.
    hub.sender.send(HubToClient::Pong(ping(9))).unwrap();
    let items = receive(&mut client.receiver, sent as usize + 1).await;
    let pong = Incoming::Message(HubToClient::Pong(ping(9)));
    let before = items.iter().take_while(|item| **item != pong).count();
    assert!(before < 500, "{before} of {sent} deliveries came first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_work_on_a_multi_thread_runtime() {
    let mut cluster = Cluster::start();
    let (engine, mut hub) = cluster.engine().await;
    let sender = engine.sender.clone();
    let sending = tokio::spawn(async move {
        for number in 0..10_000 {
            sender.send(report(number, 100)).unwrap();
            if number % 100 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    assert_eq!(receive(&mut hub.receiver, 10_000).await.len(), 10_000);
    sending.await.unwrap();
}
