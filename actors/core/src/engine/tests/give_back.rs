//! Tables: attempts that the hub asks for because another engine could start them.

use super::text::{Play, check};

#[test]
fn what_waits_is_given_back_and_what_runs_or_has_ended_is_kept() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("assign b", ""),
            ("assign c", ""),
            ("give back c", "gave back c"),
            ("give back a", "kept a"),
            ("give back d", "kept d"),
            ("ran a", "report 0 a done, start b"),
            ("give back a", "kept a"),
            ("give back b", "kept b"),
            ("ran b", "report 1 b done"),
        ],
    );
}

#[test]
fn asked_twice_it_is_given_back_once_and_does_not_start_if_its_assignment_is_repeated() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("assign b", ""),
            ("give back b", "gave back b"),
            ("give back b", "kept b"),
            ("assign b", ""),
            ("ran a", "report 0 a done"),
        ],
    );
}

#[test]
fn the_next_attempt_at_what_was_given_back_may_come_here_again() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("assign b", ""),
            ("give back b", "gave back b"),
            ("assign b#2", ""),
            ("give back b", "kept b"),
            ("abort b", ""),
            ("ran a", "report 0 a done, start b#2"),
        ],
    );
}

#[test]
fn an_abort_that_comes_after_it_was_given_back_leaves_nothing() {
    let mut play = Play::new(1);
    play.rows(&[
        ("open", "register"),
        ("registered", ""),
        ("assign a", "start a"),
        ("assign b", ""),
        ("give back b", "gave back b"),
        ("abort b", ""),
        ("close", ""),
        ("open", "register again running a"),
        // The hub has not heard that it was given back, and now it has.
        ("registered", ""),
        ("assign b", ""),
        ("ran a", "report 0 a done, start b"),
    ]);
}

#[test]
fn an_answer_that_was_lost_with_its_session_is_given_by_the_inventory() {
    let mut play = Play::new(1);
    play.rows(&[
        ("open", "register"),
        ("registered", ""),
        ("assign a", "start a"),
        ("assign b", ""),
        ("assign c", ""),
        ("give back b", "gave back b"),
        ("close", ""),
        ("open", "register again running a queued c"),
        ("registered", ""),
        ("assign b", ""),
        ("ran a", "report 0 a done, start c"),
        ("ran c", "report 1 c done, start b"),
    ]);
}

#[test]
fn a_payload_on_its_way_is_refused_when_its_attempt_is_given_back() {
    let room = check(
        1,
        &[
            ("assign a ticket 7", ""),
            ("give back a", "gave back a"),
            ("payload 7", ""),
            ("assign b", "start b"),
        ],
    );
    assert_eq!(room.loose_ends_len(), 0);
}

#[test]
fn direct_tasks_and_what_others_wait_for_here_stay() {
    check(
        1,
        &[
            ("direct a", "start a"),
            ("direct b", ""),
            ("assign c", ""),
            ("assign d gates c", ""),
            ("give back b", "kept b"),
            ("give back c", "kept c"),
            ("give back d", "gave back d"),
            ("give back c", "gave back c"),
            ("ran a", "report 0 a done, start b"),
        ],
    );
}

#[test]
fn a_hub_that_asks_before_it_has_registered_the_engine_breaks_the_rules() {
    let mut play = Play::new(1);
    play.rows(&[("open", "register"), ("give back a", "reconnect")]);
    let mut play = Play::new(1);
    play.rows(&[("give back a", "")]);
}
