//! Each message that changes state, lost (with its session), repeated and delayed.

use phalanx_transport::protocol::client::{EngineLeft, Grant, HubToClient, Ping};
use phalanx_transport::protocol::ids::{EngineId, RequestId};
use phalanx_transport::protocol::peer::EngineInfo;

use super::*;

impl Bench {
    /// Loses the session and gets another, in which the hub has all below `next_seq`.
    #[track_caller]
    fn reopen(&mut self, next_seq: u64, expected: &str) {
        self.check(Event::SessionDown, "");
        self.check(Event::SessionUp, "open as c1");
        let engines = "opened c1 h1, engines";
        let expected = match expected {
            "" => engines.to_owned(),
            more => format!("{engines}, {more}"),
        };
        self.check(opened(1, next_seq, ENDLESS), &expected);
    }
}

#[test]
fn a_lost_open_is_said_again() {
    let mut bench = Bench::unopened();
    bench.check(Event::SessionUp, "open");
    bench.check(Event::SessionDown, "");
    bench.check(Event::SessionUp, "open");
    bench.check(opened(1, 0, ENDLESS), "opened c1 h1, engines");
}

#[test]
fn a_lost_opened_makes_another_client_without_harm() {
    // The hub opened c1, but we never heard of it: we ask anew and become c2.
    let mut bench = Bench::unopened();
    bench.check(Event::SessionUp, "open");
    bench.check(Event::SessionDown, "");
    bench.check(Event::SessionUp, "open");
    bench.check(opened(2, 0, ENDLESS), "opened c2 h2, engines");
}

#[test]
fn a_repeated_opened_changes_nothing() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.check(opened(1, 0, ENDLESS), "");
    bench.check(accepted(1, ENDLESS), "");
    bench.check(opened(1, 0, ENDLESS), "");
}

#[test]
fn a_lost_submit_is_sent_again_and_a_recorded_one_is_not() {
    let mut bench = Bench::opened(ENDLESS);
    for expected in ["submit c1/0", "submit c1/1", "submit c1/2"] {
        bench.submit(2, expected);
    }
    bench.check(accepted(1, ENDLESS), "");
    bench.reopen(2, "submit c1/2");
    bench.reopen(3, "");
}

#[test]
fn submits_made_between_two_sessions_follow_the_lost_ones() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.check(Event::SessionDown, "");
    bench.submit(0, "");
    bench.check(Event::SessionUp, "open as c1");
    bench.submit(0, "");
    let all = "opened c1 h1, engines, submit c1/0, submit c1/1, submit c1/2";
    bench.check(opened(1, 0, ENDLESS), all);
}

#[test]
fn bytes_sent_again_are_not_counted_twice() {
    let grant = Grant { seq_end: u64::MAX, bytes_end: 10 };
    let mut bench = Bench::opened(grant);
    bench.submit(5, "submit c1/0");
    bench.submit(5, "submit c1/1");
    bench.check(Event::SessionDown, "");
    bench.check(Event::SessionUp, "open as c1");
    bench.check(opened(1, 1, grant), "opened c1 h1, engines, submit c1/1");
    bench.submit(1, "");
}

#[test]
fn a_lost_accepted_is_made_good_by_the_next_or_by_opened() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.submit(0, "submit c1/1");
    bench.check(accepted(2, ENDLESS), "");
    bench.reopen(2, "");
    bench.submit(0, "submit c1/2");
    bench.reopen(3, "");
}

#[test]
fn repeated_and_overtaken_accepted_change_nothing() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.submit(0, "submit c1/1");
    bench.check(accepted(2, ENDLESS), "");
    bench.check(accepted(2, ENDLESS), "");
    bench.check(accepted(1, Grant::default()), "");
    bench.submit(0, "submit c1/2");
}

#[test]
fn a_delivery_that_comes_before_accepted_ends_the_task_all_the_same() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.check(done(0, 0), "done c1/0");
    bench.check(accepted(1, ENDLESS), "");
    bench.pass_deadline("received 1");
}

#[test]
fn a_lost_delivery_comes_with_the_next_session() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.reopen(1, "");
    bench.check(done(0, 0), "done c1/0");
}

#[test]
fn a_repeated_delivery_ends_its_task_once() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.check(done(0, 0), "done c1/0");
    bench.check(done(0, 0), "");
    bench.pass_deadline("received 1");
}

#[test]
fn a_lost_received_makes_the_hub_deliver_again_and_is_said_again() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.check(done(0, 0), "done c1/0");
    bench.pass_deadline("received 1");
    bench.reopen(1, "");
    bench.check(done(0, 0), "");
    bench.pass_deadline("received 1");
}

#[test]
fn an_outcome_whose_payload_is_lost_is_delivered_again() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.check(by_ticket(0, 0, 3, 5), "");
    bench.reopen(1, "");
    assert_eq!(bench.run(payload(3, 5)), "", "a ticket is good in its own session");
    bench.reopen(1, "");
    bench.check(by_ticket(0, 0, 0, 5), "");
    bench.check(payload(0, 5), "done c1/0");
    bench.pass_deadline("received 1");
}

#[test]
fn a_repeated_payload_is_dropped() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.check(by_ticket(0, 0, 3, 5), "");
    bench.check(payload(3, 5), "done c1/0");
    bench.check(payload(3, 5), "");
    bench.pass_deadline("received 1");
}

#[test]
fn a_lost_abort_is_said_again_to_each_session_until_the_task_ends() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.submit(0, "submit c1/1");
    bench.check(accepted(2, ENDLESS), "");
    bench.abort(&[0], "abort c1/0");
    bench.reopen(2, "abort c1/0");
    bench.check(done(0, 0), "done c1/0");
    bench.reopen(2, "");
}

#[test]
fn an_abort_that_kills_is_said_again_to_each_session_with_the_soonest_time() {
    let mut bench = Bench::opened(ENDLESS);
    for expected in ["submit c1/0", "submit c1/1", "submit c1/2"] {
        bench.submit(0, expected);
    }
    bench.check(accepted(3, ENDLESS), "");
    bench.abort(&[0, 1], "abort c1/0 c1/1");
    let seconds = Duration::from_secs;
    bench.room.abort_or_kill([id(1)], seconds(9));
    bench.pass_deadline("abort c1/1 kill after 9000 ms");
    bench.room.abort_or_kill([id(1), id(2)], seconds(2));
    bench.room.abort_or_kill([id(1), id(2)], seconds(3));
    bench.room.abort([id(1), id(2)]);
    bench.pass_deadline("abort c1/1 c1/2 kill after 2000 ms");
    bench.reopen(3, "abort c1/0, abort c1/1 c1/2 kill after 2000 ms");
    bench.check(done(0, 1), "done c1/1");
    bench.reopen(3, "abort c1/0, abort c1/2 kill after 2000 ms");
}

#[test]
fn an_abort_wished_for_between_two_sessions_is_said_in_the_next() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.submit(0, "submit c1/1");
    bench.check(Event::SessionDown, "");
    bench.abort(&[0, 1], "");
    bench.check(Event::SessionUp, "open as c1");
    let expected = "opened c1 h1, engines, abort c1/0, abort c1/1, submit c1/1";
    bench.check(opened(1, 1, ENDLESS), expected);
    bench.check(accepted(2, ENDLESS), "abort c1/1");
}

#[test]
fn questions_fail_when_the_session_is_cut_and_when_there_is_none() {
    let mut bench = Bench::opened(ENDLESS);
    let mut effects = Vec::new();
    bench.room.status(&mut effects).unwrap();
    bench.room.ping(&mut effects).unwrap();
    bench.check(Event::SessionDown, "r0 Disconnected, r1 Disconnected");
    assert_eq!(bench.room.ping(&mut effects), Err(RequestError::Disconnected));
    bench.check(Event::SessionUp, "open as c1");
    assert_eq!(bench.room.ping(&mut effects), Err(RequestError::Disconnected));
    bench.check(opened(1, 0, ENDLESS), "opened c1 h1, engines");
    // A number is not used again: a late answer cannot be taken for another's.
    assert_eq!(bench.room.ping(&mut effects), Ok(RequestId(2)));
    let late = HubToClient::Pong(Ping { request: RequestId(1) });
    bench.check(Event::Message(late), "");
}

#[test]
fn news_of_engines_may_be_repeated_and_the_next_session_tells_all_anew() {
    let mut bench = Bench::opened(ENDLESS);
    let joined = EngineInfo { id: EngineId(2), ..EngineInfo::default() };
    for _ in 0..2 {
        bench.check(Event::Message(joined.clone().into()), "engines");
        assert_eq!(bench.room.engines().len(), 1);
    }
    let left = EngineLeft { engine: EngineId(2), cause: String::new() };
    for _ in 0..2 {
        bench.check(Event::Message(left.clone().into()), "engines");
        assert!(bench.room.engines().is_empty());
    }
    bench.check(Event::SessionDown, "");
    bench.check(Event::SessionUp, "open as c1");
    bench.check(opened_with(1, 0, ENDLESS, &[5]), "opened c1 h1, engines");
    assert_eq!(bench.room.engines().len(), 1);
}

#[test]
fn a_lost_leave_is_not_missed_because_the_session_ends_with_it() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    let mut effects = Vec::new();
    bench.room.leave(false, &mut effects);
    bench.reopen(0, "submit c1/0");
    bench.check(accepted(1, ENDLESS), "leave, left");
}

#[test]
fn a_hub_that_forgot_the_client_ends_its_open_tasks_with_an_error() {
    let mut bench = Bench::opened(Grant { seq_end: 2, bytes_end: u64::MAX });
    bench.submit(0, "submit c1/0");
    bench.submit(0, "submit c1/1");
    bench.submit(0, "");
    bench.check(done(0, 0), "done c1/0");
    bench.abort(&[1], "abort c1/1");
    bench.check(Event::SessionDown, "");
    bench.check(Event::SessionUp, "open as c1");
    let expected = "forgotten c1/1, forgotten c1/2, opened c9 h9, engines";
    bench.check(opened(9, 0, ENDLESS), expected);
    bench.submit(0, "submit c9/0");
}

#[test]
fn a_name_that_somebody_else_uses_too_is_given_up() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.check(Event::SessionDown, "");
    bench.check(Event::SessionUp, "open as c1");
    bench.check(opened(1, 5, ENDLESS), "close OutOfOrder");
    bench.check(Event::SessionDown, "");
    bench.check(Event::SessionUp, "open");
    let expected = "forgotten c1/0, opened c2 h2, engines";
    bench.check(opened(2, 0, ENDLESS), expected);
}

#[test]
fn a_client_that_gives_up_ends_every_wait() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    bench.room.ping(&mut Vec::new()).unwrap();
    let expected = "r0 Disconnected, disconnected c1/0, engines";
    bench.check(Event::GaveUp("no hub".into()), expected);
    let closed = Err(SubmitError::Closed("no hub".into()));
    assert_eq!(bench.submit_to(Target::Any, 0), closed);
}

#[test]
fn output_is_told_of_open_tasks_only_whenever_it_comes() {
    let mut bench = Bench::opened(ENDLESS);
    bench.submit(0, "submit c1/0");
    // Lost ones leave a gap, repeated ones say the same again.
    bench.check(wrote(id(0), 7), "output c1/0#1 from 7");
    bench.check(wrote(id(0), 7), "output c1/0#1 from 7");
    bench.check(wrote(TaskId::new(ClientId(9), 0), 0), "");
    bench.check(wrote(id(1), 0), "");
    bench.check(done(0, 0), "done c1/0");
    // It has a lane of its own, and may come after the outcome and before an opening.
    bench.check(wrote(id(0), 9), "");
    bench.submit(0, "received 1, submit c1/1");
    bench.check(Event::SessionDown, "");
    bench.check(wrote(id(1), 0), "");
    bench.check(Event::SessionUp, "open as c1");
    bench.check(wrote(id(1), 0), "");
    bench.check(opened(1, 2, ENDLESS), "opened c1 h1, engines");
    bench.check(wrote(id(1), 0), "output c1/1#1 from 0");
}

#[test]
fn output_of_another_clients_task_is_told_while_its_outcome_is_wanted() {
    let mut bench = Bench::opened(ENDLESS);
    let theirs = TaskId::new(ClientId(9), 3);
    bench.check(wrote(theirs, 0), "");
    bench.room.watch(&[theirs], |_| 0, &mut Vec::new()).expect("it is wanted");
    bench.check(wrote(theirs, 5), "output c9/3#1 from 5");
    bench.check(Event::SessionDown, "");
    bench.check(wrote(theirs, 6), "");
}
