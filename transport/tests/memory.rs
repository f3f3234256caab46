//! The in-memory twin: the same sessions, on a paused clock, with faults from a seed.

mod support;

use std::time::Duration;

use phalanx_transport::memory::{FaultPlan, Pair, pair};
use phalanx_transport::protocol::client::{ClientToHub, HubToClient};
use phalanx_transport::protocol::engine::EngineToHub;
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::role::Role;
use phalanx_transport::{CloseReason, Incoming};
use support::{pattern, ping, receive, report, within};
use tokio::time::Instant;

fn engine_pair(faults: FaultPlan) -> Pair<EngineToHub> {
    pair(Role::Engine, faults)
}

fn number(item: &Incoming<EngineToHub>) -> u64 {
    match item {
        Incoming::Message(EngineToHub::Report(report)) => report.number,
        other => panic!("unexpected {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn without_faults_it_is_a_session_like_any_other() {
    let mut pair = pair::<ClientToHub>(Role::Client, FaultPlan::NONE);
    pair.peer.sender.send(ping(1)).unwrap();
    assert_eq!(
        receive(&mut pair.hub.receiver, 1).await,
        [Incoming::Message(ClientToHub::Ping(ping(1)))]
    );
    pair.hub.sender.send(HubToClient::Pong(ping(1))).unwrap();
    pair.hub.sender.close(ErrorCode::ShuttingDown, "bye");
    assert_eq!(
        receive(&mut pair.peer.receiver, 1).await,
        [Incoming::Message(HubToClient::Pong(ping(1)))]
    );
    assert_eq!(
        within(pair.peer.receiver.recv_batch(&mut Vec::new())).await,
        Err(CloseReason::Peer { code: Some(ErrorCode::ShuttingDown), detail: "bye".to_owned() })
    );
}

#[tokio::test(start_paused = true)]
async fn long_payloads_follow_their_messages() {
    let faults = FaultPlan { seed: 4, delay_max: Duration::from_millis(50), ..FaultPlan::NONE };
    let mut pair = engine_pair(faults);
    for number in 0..20 {
        pair.peer.sender.send(report(number, 100_000)).unwrap();
    }
    let items = receive(&mut pair.hub.receiver, 40).await;
    let mut announced = Vec::new();
    for item in &items {
        match item {
            Incoming::Message(EngineToHub::Report(report)) => {
                announced.push((report.payload.ticket().unwrap(), report.number));
            }
            Incoming::Payload { ticket, bytes } => {
                let (_, number) = announced.iter().find(|known| known.0 == *ticket).unwrap();
                assert_eq!(*bytes, pattern(*number, 100_000));
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn delayed_frames_keep_their_order_and_take_their_time() {
    let faults = FaultPlan { seed: 1, delay_max: Duration::from_secs(3), ..FaultPlan::NONE };
    let mut pair = engine_pair(faults);
    let start = Instant::now();
    for number in 0..50 {
        pair.peer.sender.send(report(number, 10)).unwrap();
    }
    let items = receive(&mut pair.hub.receiver, 50).await;
    assert_eq!(items.iter().map(number).collect::<Vec<_>>(), Vec::from_iter(0..50));
    assert!(start.elapsed() > Duration::from_secs(1));
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn duplicated_frames_arrive_twice_in_a_row() {
    let faults = FaultPlan { seed: 2, duplicate: 0.5, ..FaultPlan::NONE };
    let mut pair = engine_pair(faults);
    for number in 0..100 {
        pair.peer.sender.send(report(number, 10)).unwrap();
    }
    pair.peer.sender.close(ErrorCode::Closed, "");
    let mut items = Vec::new();
    while pair.hub.receiver.recv_batch(&mut items).await.is_ok() {}
    let mut numbers: Vec<_> = items.iter().map(number).collect();
    assert!((120..180).contains(&numbers.len()), "{}", numbers.len());
    assert!(numbers.is_sorted());
    numbers.dedup();
    assert_eq!(numbers, Vec::from_iter(0..100));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_frame_takes_all_that_follows_and_both_ends_learn() {
    let faults = FaultPlan {
        seed: 3,
        delay_max: Duration::from_millis(10),
        drop: 0.05,
        notice_max: Duration::from_secs(15),
        ..FaultPlan::NONE
    };
    let mut pair = engine_pair(faults);
    let mut sent = 0;
    let reason = loop {
        if pair.peer.sender.send(report(sent, 10)).is_err() {
            break within(pair.peer.sender.closed()).await;
        }
        sent += 1;
        tokio::time::advance(Duration::from_millis(20)).await;
    };
    assert!(matches!(reason, CloseReason::Network { .. }) && reason.is_retryable());
    assert!(pair.cable.is_cut());
    let mut items = Vec::new();
    let seen = loop {
        if let Err(reason) = pair.hub.receiver.recv_batch(&mut items).await {
            break reason;
        }
    };
    assert!(matches!(seen, CloseReason::Network { .. }));
    let numbers: Vec<_> = items.iter().map(number).collect();
    assert_eq!(numbers, Vec::from_iter(0..numbers.len() as u64));
    assert!((numbers.len() as u64) < sent, "{} of {sent}", numbers.len());
}

#[tokio::test(start_paused = true)]
async fn a_cut_loses_what_is_under_way() {
    let faults = FaultPlan { delay_max: Duration::from_secs(5), ..FaultPlan::NONE };
    let mut pair = engine_pair(faults);
    pair.peer.sender.send(report(0, 10)).unwrap();
    while pair.peer.sender.queued() != (0, 0) {
        tokio::task::yield_now().await;
    }
    pair.cable.cut();
    let mut items = Vec::new();
    assert!(pair.hub.receiver.recv_batch(&mut items).await.is_err());
    assert_eq!(items, []);
    assert!(matches!(within(pair.peer.sender.closed()).await, CloseReason::Network { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_brings_the_same_faults() {
    async fn run(seed: u64) -> (Vec<u64>, Duration) {
        let start = Instant::now();
        let mut pair = engine_pair(FaultPlan {
            seed,
            delay_max: Duration::from_millis(100),
            drop: 0.001,
            cut: 0.01,
            duplicate: 0.1,
            notice_max: Duration::from_secs(1),
        });
        for number in 0..300 {
            pair.peer.sender.send(report(number, 10)).unwrap();
        }
        let mut items = Vec::new();
        while pair.hub.receiver.recv_batch(&mut items).await.is_ok() {}
        (items.iter().map(number).collect(), start.elapsed())
    }
    for seed in 1..20 {
        assert_eq!(run(seed).await, run(seed).await);
    }
    assert_ne!(run(1).await, run(2).await);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_role_may_not_send_ends_the_session() {
    let mut pair = pair::<ClientToHub>(Role::Engine, FaultPlan::NONE);
    pair.peer.sender.send(ping(1)).unwrap();
    let mut items = Vec::new();
    let reason = within(pair.hub.receiver.recv_batch(&mut items)).await;
    assert!(matches!(reason, Err(CloseReason::Violation { code: ErrorCode::WrongRole, .. })));
    assert_eq!(items, []);
    assert!(matches!(
        within(pair.peer.sender.closed()).await,
        CloseReason::Peer { code: Some(ErrorCode::WrongRole), .. }
    ));
}
