//! The whole client against a small hub, over in-memory sessions.

mod blocking;
mod calls;
mod faults;
mod hub;
mod network;
mod task_batch;
mod wheel;

use std::time::Duration;

use phalanx_transport::memory::FaultPlan;
use phalanx_transport::protocol::role::Role;

use crate::Client;

pub(crate) use self::hub::TestHub;

/// A client of `hub`, driven on the current runtime.
async fn connect(hub: &TestHub) -> Client {
    let builder = Client::builder().name("test").reconnect_for(Duration::from_secs(60));
    let (client, driver) = builder.open(Role::Client, hub.source()).await.unwrap();
    tokio::spawn(driver);
    client
}

/// A hub and a client, and nothing goes wrong.
async fn cluster() -> (TestHub, Client) {
    let hub = TestHub::new(FaultPlan::NONE);
    let client = connect(&hub).await;
    (hub, client)
}

/// Lets other tasks run until `is_met`, for at most ten seconds.
async fn until(what: &str, mut is_met: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !is_met() {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
