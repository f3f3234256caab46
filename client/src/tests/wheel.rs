//! Who runs the sessions of a blocking client: seen by the thread that brings the news.

use std::sync::{Arc, Condvar, Mutex};
use std::task::{Wake, Waker};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use phalanx_transport::memory::FaultPlan;
use phalanx_transport::protocol::role::Role;

use super::TestHub;
use super::task_batch::task;
use crate::blocking::{AsyncResult, Client};
use crate::protocol::task::Target;
use crate::task_batch::{TaskBatch, Until};

const LIMIT: Duration = Duration::from_secs(10);

fn client() -> Client {
    let hub = TestHub::new(FaultPlan::NONE);
    Client::builder().name("test").open(Role::Client, hub.source()).unwrap()
}

/// Which thread told of an ending.
#[derive(Default)]
struct Teller {
    thread: Mutex<Option<ThreadId>>,
    told: Condvar,
}

impl Wake for Teller {
    fn wake(self: Arc<Self>) {
        *self.thread.lock().unwrap() = Some(std::thread::current().id());
        self.told.notify_all();
    }
}

impl Teller {
    fn of(batch: &TaskBatch) -> Option<Arc<Self>> {
        let teller = Arc::new(Self::default());
        let is_over = batch.wake_when(Until::Filled(0), &Waker::from(Arc::clone(&teller)));
        (!is_over).then_some(teller)
    }

    fn thread(&self) -> ThreadId {
        let thread = self.thread.lock().unwrap();
        let (thread, waited) =
            self.told.wait_timeout_while(thread, LIMIT, |thread| thread.is_none()).unwrap();
        assert!(!waited.timed_out(), "nobody told of the ending");
        thread.unwrap()
    }
}

#[test]
fn a_caller_that_waits_again_and_again_runs_the_sessions_itself() {
    let client = client();
    let deadline = Instant::now() + LIMIT;
    // The first waits take over from the client's thread.
    loop {
        let batch = client.as_async().submit([task("echo", Target::Any)]).unwrap();
        let teller = Teller::of(&batch);
        let wait = batch.wait(Until::Filled(0));
        batch.waiter().wait_at_most(wait, LIMIT).expect("the task ends");
        let by = teller.map(|teller| teller.thread());
        if by == Some(std::thread::current().id()) {
            break;
        }
        assert!(Instant::now() < deadline, "no news came by the caller's own thread");
    }
}

#[test]
fn while_nobody_waits_the_clients_thread_runs_the_sessions() {
    let client = client();
    let earlier: AsyncResult<u8> = client.load_balanced_view().call("echo", &7u8).unwrap();
    assert_eq!(earlier.get().unwrap(), 7);
    for _ in 0..20 {
        let batch = client.as_async().submit([task("echo", Target::Any)]).unwrap();
        let Some(teller) = Teller::of(&batch) else { continue };
        teller.thread();
    }
}

#[test]
fn a_wait_that_ends_without_result_leaves_the_sessions_running() {
    let client = client();
    let held: AsyncResult<u8> = client.load_balanced_view().call("hold", &7u8).unwrap();
    assert!(held.timeout(Duration::from_millis(5)).is_err());
    let batch = client.as_async().submit([task("echo", Target::Any)]).unwrap();
    if let Some(teller) = Teller::of(&batch) {
        teller.thread();
    }
    assert!(batch.meets(Until::Filled(0)));
}

#[test]
fn callers_that_wait_at_once_all_come_to_their_end() {
    let client = client();
    let held: AsyncResult<u8> = client.load_balanced_view().call("hold", &7u8).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| held.timeout(LIMIT).is_err());
        for _ in 0..200 {
            let result: AsyncResult<u8> = client.load_balanced_view().call("echo", &9u8).unwrap();
            assert_eq!(result.timeout(LIMIT).unwrap(), 9);
        }
        held.abort();
        assert!(waiting.join().unwrap());
    });
}
