//! Tasks without types: submitted, watched and taken as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use phalanx_transport::memory::FaultPlan;
use phalanx_transport::protocol::ids::EngineId;
use phalanx_transport::protocol::outcome::Outcome;
use phalanx_transport::protocol::payload::Format;
use phalanx_transport::protocol::role::Role;
use phalanx_transport::protocol::task::{MethodName, Target};

use super::TestHub;
use crate::blocking::Client;
use crate::core::{End, NewTask, SubmitError};
use crate::task_batch::Until;

const LIMIT: Duration = Duration::from_secs(10);

fn cluster() -> (TestHub, Client) {
    let hub = TestHub::new(FaultPlan::NONE);
    let client = Client::builder().name("test").open(Role::Client, hub.source()).unwrap();
    (hub, client)
}

pub(super) fn task(method: &str, target: Target) -> NewTask {
    NewTask {
        target,
        method: MethodName::try_from(method).unwrap(),
        format: Format::MessagePack,
        arguments: Bytes::from_static(b"\x07").into(),
        options: None,
        function: None,
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn endings_come_as_they_are() {
    let (_hub, client) = cluster();
    let both = Target::Engines(vec![EngineId(1), EngineId(2)]);
    let batch = client.as_async().submit(vec![task("echo", Target::Any), task("echo", both)]);
    let batch = batch.unwrap();
    assert_eq!((batch.len(), batch.id(2).seq), (3, 2));
    batch.waiter().wait_at_most(batch.wait(Until::Count(3)), LIMIT).unwrap();
    assert_eq!((0..3).filter_map(|nth| batch.nth_ended(nth)).count(), 3);
    let ended = batch.ended(2).unwrap();
    let End::Delivered(delivery) = ended.end else { panic!("{ended:?}") };
    assert_eq!((delivery.outcome, delivery.engine), (Outcome::Done, Some(EngineId(2))));
    assert_eq!(delivery.payload.bytes().unwrap()[..], [7]);
    assert!(ended.received >= batch.submitted());
    assert!(batch.ended(3).is_none());
}

#[test]
fn a_wait_goes_on_where_it_ended_and_a_waker_is_woken_once() {
    let (_hub, client) = cluster();
    let batch = client.as_async().submit([task("hold", Target::Any)]).unwrap();
    let count = Arc::new(Count::default());
    assert!(!batch.wake_when(Until::Filled(0), &Waker::from(count.clone())));
    let mut wait = Box::pin(batch.wait(Until::Filled(0)));
    assert!(batch.waiter().wait_at_most(&mut wait, Duration::from_millis(5)).is_none());
    assert!(batch.ended(0).is_none());
    batch.abort();
    batch.waiter().wait_at_most(&mut wait, LIMIT).unwrap();
    drop(wait);
    assert!(batch.wake_when(Until::Count(1), Waker::noop()), "it is met already");
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[test]
fn engines_of_a_kind_are_waited_for_and_a_closed_client_says_so() {
    let (hub, client) = cluster();
    let inner = client.as_async();
    let before = inner.changes();
    let mut wait = Box::pin(inner.wait_for_engines_like(1, |engine| engine.id.0 > 3));
    hub.engine_joined(3);
    assert!(inner.waiter().wait_at_most(&mut wait, Duration::from_millis(20)).is_none());
    hub.engine_joined(4);
    assert_eq!(inner.waiter().wait_at_most(&mut wait, LIMIT).unwrap().unwrap(), [EngineId(4)]);
    assert!(inner.changes() > before);
    assert!(inner.closed().is_none());
    drop(wait);
    client.close();
    assert!(inner.closed().is_some());
    let refused = inner.submit([task("echo", Target::Any)]);
    assert!(matches!(refused, Err(SubmitError::Closed(_))));
}
