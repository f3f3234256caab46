//! Cuts, forgetful hubs, hubs that do not come back, and the client's own end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use phalanx_transport::memory::{self, FaultPlan};
use phalanx_transport::protocol::client::ClientToHub;
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::role::Role;

use super::{TestHub, cluster, connect, until};
use crate::error::ConnectError;
use crate::link::{ClientSession, Source};
use crate::{AsyncMapResult, AsyncResult, Client, RequestError, SubmitError, TaskError};

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_done_twice_over_links_that_fail() {
    for seed in 0..20 {
        let faults = FaultPlan {
            seed: seed * 1_000,
            delay_max: Duration::from_millis(20),
            drop: 0.01,
            cut: 0.01,
            duplicate: 0.1,
            notice_max: Duration::from_millis(50),
        };
        let hub = TestHub::new(faults);
        let client = loop {
            // The first session may be cut before it is opened: that is the caller's to retry.
            let opened = Client::builder().open(Role::Client, hub.source()).await;
            if let Ok((client, driver)) = opened {
                tokio::spawn(driver);
                break client;
            }
        };
        let view = client.load_balanced_view();
        let map: AsyncMapResult<u32> = view.map("echo", 0..500u32).unwrap();
        let held: AsyncMapResult<u32> = view.map("hold", 0..20u32).unwrap();
        let large: AsyncResult<Vec<u32>> = view.call("echo", &vec![1u32; 50_000]).unwrap();
        held.abort();
        let limit = Duration::from_secs(600);
        let results = map.timeout(limit).await;
        assert_eq!(results.unwrap(), (0..500).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(large.timeout(limit).await.unwrap().len(), 50_000, "seed {seed}");
        for outcome in tokio::time::timeout(limit, held.outcomes()).await.unwrap() {
            assert!(matches!(outcome, Err(TaskError::Aborted { .. })), "seed {seed}");
        }
        assert_eq!(hub.recorded().len(), 521, "seed {seed}");
        assert_eq!(client.open_tasks(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_session_is_replaced_and_open_tasks_go_on() {
    let (hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let held: AsyncResult<u8> = view.call("hold", &1u8).unwrap();
    until("recorded", || hub.recorded().len() == 1).await;
    hub.cut();
    let during: AsyncResult<u8> = view.call("echo", &2u8).unwrap();
    assert_eq!(during.await.unwrap(), 2);
    assert_eq!(hub.connects(), 2);
    hub.finish("hold");
    assert_eq!(held.await.unwrap(), 1);
    client.ping().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_question_fails_when_the_session_is_cut() {
    let (hub, client) = cluster().await;
    hub.cut();
    assert_eq!(client.ping().await, Err(RequestError::Disconnected));
    until("back", || hub.connects() == 2).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while client.ping().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_lost_its_ledger_ends_open_tasks_with_its_new_name() {
    let (hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let held: AsyncResult<u8> = view.call("hold", &1u8).unwrap();
    until("recorded", || hub.recorded().len() == 1).await;
    hub.forget();
    hub.cut();
    let error = held.await.unwrap_err();
    assert!(matches!(error, TaskError::HubForgot { epoch, .. } if epoch.0 == 2), "{error}");
    let anew: AsyncResult<u8> = view.call("echo", &3u8).unwrap();
    assert_eq!(anew.id().to_string(), "c2/0");
    assert_eq!(anew.await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_does_not_come_back_ends_every_wait() {
    let (hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let held: AsyncResult<u8> = view.call("hold", &1u8).unwrap();
    let engines = tokio::spawn({
        let client = client.clone();
        async move { client.wait_for_engines(1, Duration::from_secs(3_600)).await }
    });
    until("recorded", || hub.recorded().len() == 1).await;
    hub.refuse_all();
    hub.cut();
    let started = tokio::time::Instant::now();
    let error = held.await.unwrap_err();
    assert!(matches!(error, TaskError::Disconnected { .. }), "{error}");
    assert!(error.to_string().contains("no session with the hub for 60s"), "{error}");
    assert!(started.elapsed() <= Duration::from_secs(70));
    assert!(engines.await.unwrap().is_err());
    let refused = view.call::<_, _, u8>("echo", &1u8).unwrap_err();
    assert!(refused.to_string().starts_with("the client is closed: no session"), "{refused}");
    assert!(matches!(client.wait_for_room().await, Err(SubmitError::Closed(_))));
    client.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_of_which_it_is_known_that_it_will_not_come_again_is_not_waited_for() {
    let hub = TestHub::new(FaultPlan::NONE);
    let may_come = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&may_come);
    let builder = Client::builder().as_long_as(move || asked.load(Ordering::Relaxed));
    let (client, driver) = builder.open(Role::Client, hub.source()).await.unwrap();
    tokio::spawn(driver);
    let held: AsyncResult<u8> = client.load_balanced_view().call("hold", &1u8).unwrap();
    until("recorded", || hub.recorded().len() == 1).await;

    hub.cut();
    until("back", || hub.connects() == 2).await;
    assert!(!held.ready(), "as long as there is hope it is looked for, and found");

    hub.refuse_all();
    hub.cut();
    let started = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!held.ready());
    may_come.store(false, Ordering::Relaxed);
    let error = held.await.unwrap_err();
    assert!(error.to_string().contains("the cluster has ended"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(32), "{:?}", started.elapsed());
    let refused = client.load_balanced_view().call::<_, _, u8>("echo", &1u8).unwrap_err();
    assert!(refused.to_string().starts_with("the client is closed: the cluster"), "{refused}");
}

#[tokio::test]
async fn a_hub_that_shuts_down_ends_every_wait_at_once() {
    let (hub, client) = cluster().await;
    let held: AsyncResult<u8> = client.load_balanced_view().call("hold", &1u8).unwrap();
    until("recorded", || hub.recorded().len() == 1).await;
    hub.close(ErrorCode::ShuttingDown);
    let error = held.await.unwrap_err();
    assert!(matches!(error, TaskError::Disconnected { .. }), "{error}");
    assert!(error.to_string().contains("shutting down"), "{error}");
}

#[tokio::test]
async fn a_client_that_is_dropped_leaves_once_its_tasks_are_recorded() {
    let (hub, client) = cluster().await;
    let view = client.load_balanced_view();
    for item in 0..100u32 {
        drop(view.call::<_, _, u32>("hold", &item).unwrap());
    }
    drop(client);
    drop(view);
    until("left", || hub.has_been_left()).await;
    assert_eq!(hub.recorded().len(), 100);
}

#[tokio::test]
async fn a_result_keeps_its_client_alive() {
    let (hub, client) = cluster().await;
    let held: AsyncResult<u8> = client.load_balanced_view().call("hold", &1u8).unwrap();
    drop(client);
    until("recorded", || hub.recorded().len() == 1).await;
    hub.finish("hold");
    assert_eq!(held.await.unwrap(), 1);
    until("left", || hub.has_been_left()).await;
}

#[tokio::test]
async fn a_closed_client_has_told_the_hub_everything() {
    let (hub, client) = cluster().await;
    let held: AsyncResult<u8> = client.load_balanced_view().call("hold", &1u8).unwrap();
    client.close().await;
    assert!(hub.has_been_left());
    assert_eq!(hub.recorded().len(), 1);
    assert!(matches!(held.await, Err(TaskError::Disconnected { .. })));
    assert_eq!(client.ping().await, Err(RequestError::Disconnected));
}

#[test]
fn a_runtime_that_ends_ends_every_wait() {
    let hub = TestHub::new(FaultPlan::NONE);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (client, held) = first.block_on(async {
        let client = connect(&hub).await;
        let held: AsyncResult<u8> = client.load_balanced_view().call("hold", &1u8).unwrap();
        (client, held)
    });
    drop(first);
    let error = runtime().block_on(held).unwrap_err();
    assert!(error.to_string().contains("the runtime that ran the client has ended"), "{error}");
    drop(client);
}

/// A hub that accepts sessions and says nothing.
struct Mute(Vec<phalanx_transport::HubSession<ClientToHub>>);

impl Source for Mute {
    async fn connect(&mut self) -> Result<ClientSession, ConnectError> {
        let pair = memory::pair::<ClientToHub>(Role::Client, FaultPlan::NONE);
        self.0.push(pair.hub);
        Ok(pair.peer)
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_says_nothing_is_not_waited_for_without_end() {
    let opened = Client::builder().open(Role::Client, Mute(Vec::new())).await;
    let error = opened.err().unwrap();
    assert!(matches!(error, ConnectError::Silent) && error.is_retryable(), "{error}");
}
