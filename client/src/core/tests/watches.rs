//! Wanting outcomes by name, and questions about records.

use phalanx_transport::protocol::ids::RequestId;
use phalanx_transport::protocol::limits::WATCHES_PER_CLIENT_MAX;
use phalanx_transport::protocol::query::{Purged, RecordsReply, Select};

use super::*;

/// A task of another client.
fn other(seq: u64) -> TaskId {
    TaskId::new(ClientId(9), seq)
}

fn other_done(number: u64, seq: u64) -> Event {
    match done(number, seq) {
        Event::Message(HubToClient::Delivery(delivery)) => {
            Event::Message(Delivery { task: other(seq), ..delivery }.into())
        }
        event => event,
    }
}

impl Bench {
    #[track_caller]
    fn watch(&mut self, tasks: &[TaskId], expected: &str) {
        let mut effects = Vec::new();
        let key = |index: usize| tasks[index].seq;
        self.room.watch(tasks, key, &mut effects).expect("it is wanted");
        self.room.check_invariants();
        assert_eq!(text(&effects), expected);
    }
}

#[test]
fn an_outcome_of_another_client_comes_to_all_who_want_it() {
    let mut bench = Bench::opened(ENDLESS);
    bench.watch(&[other(3), other(4)], "watch c9/3 c9/4");
    bench.watch(&[other(3)], "");
    bench.check(other_done(0, 3), "done c9/3, done c9/3");
    bench.check(other_done(1, 3), "");
    bench.check(other_done(2, 4), "done c9/4");
    bench.watch(&[other(4)], "watch c9/4");
}

#[test]
fn an_own_open_task_that_is_wanted_by_name_comes_once_for_all() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.watch(&[id(0)], "");
    bench.check(done(0, 0), "done c1/0, done c1/0");
    bench.watch(&[id(0)], "watch c1/0");
    bench.check(done(1, 0), "done c1/0");
}

#[test]
fn each_session_is_told_what_is_wanted_still() {
    let mut bench = Bench::opened(ENDLESS);
    bench.watch(&[other(1), other(2)], "watch c9/1 c9/2");
    bench.check(other_done(0, 1), "done c9/1");
    bench.check(Event::SessionDown, "");
    bench.watch(&[other(3)], "");
    bench.check(Event::SessionUp, "open as c1");
    bench.check(opened(1, 0, ENDLESS), "opened c1 h1, engines, watch c9/2 c9/3");
}

#[test]
fn what_another_ledger_knew_and_what_nobody_will_say_ends() {
    let mut bench = Bench::opened(ENDLESS);
    bench.watch(&[other(1)], "watch c9/1");
    bench.check(Event::SessionUp, "open as c1");
    bench.check(opened(2, 0, ENDLESS), "forgotten c9/1, opened c2 h2, engines");
    bench.watch(&[other(1)], "watch c9/1");
    bench.check(Event::GaveUp("test".into()), "disconnected c9/1, engines");
    let mut effects = Vec::new();
    let closed = bench.room.watch(&[other(1)], |_| 0, &mut effects);
    assert_eq!(closed, Err(RequestError::Disconnected));
}

#[test]
fn a_client_that_wants_too_much_is_told_so_before_its_hub_is() {
    let mut bench = Bench::opened(ENDLESS);
    let most: Vec<TaskId> = (0..=WATCHES_PER_CLIENT_MAX as u64).map(other).collect();
    let mut effects = Vec::new();
    let refused = bench.room.watch(&most, |index| index as u64, &mut effects);
    assert_eq!((refused, effects.len()), (Err(RequestError::TooManyWatched), 0));
    assert_eq!(bench.room.watch(&most[1..], |index| index as u64, &mut effects), Ok(()));
    assert!(effects.len() > 1, "in several messages");
}

#[test]
fn a_monitor_asks_for_records_and_not_for_results() {
    let mut room = ClientRoom::<u64>::new(Role::Monitor, "test".into());
    let mut effects = Vec::new();
    let refused = room.watch(&[other(1)], |_| 0, &mut effects);
    assert_eq!(refused, Err(RequestError::WrongRole(Role::Monitor)));
}

#[test]
fn records_and_purges_are_answered_once_each() {
    let mut bench = Bench::opened(ENDLESS);
    let mut effects = Vec::new();
    assert_eq!(bench.room.records(Select::default(), &mut effects), Ok(RequestId(0)));
    assert_eq!(bench.room.purge(Purged::All, &mut effects), Ok(RequestId(1)));
    assert_eq!(text(&effects), "records r0, purge r1");
    let reply = RecordsReply { request: RequestId(0), ..RecordsReply::default() };
    bench.check(Event::Message(reply.clone().into()), "r0 records");
    bench.check(Event::Message(reply.into()), "");
    let wrong = RecordsReply { request: RequestId(1), ..RecordsReply::default() };
    bench.check(Event::Message(wrong.into()), "r1 Disconnected, close Malformed");
}
