//! The blocking face, from plain threads.

use std::time::Duration;

use phalanx_transport::memory::FaultPlan;
use phalanx_transport::protocol::ids::EngineId;
use phalanx_transport::protocol::role::Role;

use super::TestHub;
use crate::blocking::{AsyncMapResult, AsyncResult, Client};
use crate::{TaskError, WaitForEnginesError};

fn cluster() -> (TestHub, Client) {
    let hub = TestHub::new(FaultPlan::NONE);
    let client = Client::builder().name("test").open(Role::Client, hub.source()).unwrap();
    (hub, client)
}

#[test]
fn calls_block_until_the_result_is_there() {
    let (hub, client) = cluster();
    let view = client.load_balanced_view();
    let result: AsyncResult<String> = view.call("echo", "ada").unwrap();
    assert_eq!(result.get().unwrap(), "ada");
    assert_eq!(result.metadata().unwrap().task, result.id());
    let mut map: AsyncMapResult<u32> = view.after(&result).map("echo", 0..100u32).unwrap();
    assert_eq!(map.get().unwrap(), (0..100).collect::<Vec<_>>());
    assert_eq!(std::iter::from_fn(|| map.next_done()).count(), 100);
    let direct = client.direct_view([EngineId(1), EngineId(2)]);
    assert_eq!(direct.call::<_, _, u8>("echo", &4u8).unwrap().get().unwrap(), [4, 4]);
    assert_eq!(hub.recorded().len(), 102);
    client.ping().unwrap();
    assert_eq!(client.status().unwrap().epoch, client.epoch());
}

#[test]
fn waits_have_limits() {
    let (hub, client) = cluster();
    let held: AsyncResult<u8> = client.load_balanced_view().call("hold", &7u8).unwrap();
    let limit = Duration::from_millis(20);
    assert!(matches!(held.timeout(limit), Err(TaskError::NotYet { .. })));
    let too_few = client.wait_for_engines(1, limit);
    assert!(matches!(too_few, Err(WaitForEnginesError::TooFew { .. })));
    hub.engine_joined(3);
    let engines = client.wait_for_engines(1, Duration::from_secs(10));
    assert_eq!(engines.unwrap(), [EngineId(3)]);
    held.abort();
    assert!(matches!(held.timeout(Duration::from_secs(10)), Err(TaskError::Aborted { .. })));
}

#[test]
fn many_threads_share_a_client() {
    let (_hub, client) = cluster();
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let view = client.load_balanced_view();
            scope.spawn(move || {
                for call in 0..100u32 {
                    let result: AsyncResult<u32> = view.call("echo", &(thread + call)).unwrap();
                    assert_eq!(result.get().unwrap(), thread + call);
                }
            });
        }
    });
    assert_eq!(client.open_tasks(), 0);
}

#[test]
fn a_closed_client_has_told_the_hub_everything() {
    let (hub, client) = cluster();
    let held: AsyncResult<u8> = client.load_balanced_view().call("hold", &7u8).unwrap();
    client.close();
    assert!(hub.has_been_left() && hub.recorded().len() == 1);
    assert!(matches!(held.get(), Err(TaskError::Disconnected { .. })));
}
