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

/// One slot, and an executor that keeps two more.
fn keeping() -> Play {
    let mut play = Play::new(1);
    play.room = play.room.starting_ahead(2);
    play.rows(&[
        ("open", "register"),
        ("registered", ""),
        ("assign a", "start a"),
        ("assign b", "start b"),
        ("assign c", "start c"),
    ]);
    play
}

#[test]
fn the_executor_is_asked_for_what_it_keeps_and_what_it_has_begun_stays() {
    keeping().rows(&[
        ("give back a", "kept a"),
        ("give back c", "withdraw c"),
        ("withdrew c", "gave back c"),
        ("assign c", ""),
        ("assign d", "start d"),
        ("give back b", "withdraw b"),
        ("begun b", "kept b"),
        ("ran a", "report 0 a done"),
        ("ran b", "report 1 b done"),
    ]);
}

#[test]
fn the_executor_is_not_asked_for_what_is_to_be_aborted_direct_or_waited_for_here() {
    let mut play = keeping();
    play.rows(&[
        ("abort b", "interrupt b"),
        ("give back b", "kept b"),
        ("assign d gates c", ""),
        ("give back c", "kept c"),
        ("stopped b", "report 0 b aborted"),
        ("direct e", "start e"),
        ("give back e", "kept e"),
    ]);
}

#[test]
fn an_abort_while_the_executor_is_asked_is_heard_by_whoever_has_the_attempt() {
    let rows = [("give back c", "withdraw c"), ("abort c", "interrupt c")];
    let mut play = keeping();
    play.rows(&rows);
    play.rows(&[("withdrew c", "gave back c"), ("assign d", "start d")]);
    let mut play = keeping();
    play.rows(&rows);
    play.rows(&[("begun c", "kept c"), ("stopped c", "report 0 c aborted")]);
}

#[test]
fn what_was_withdrawn_between_sessions_is_told_by_the_inventory() {
    let mut play = keeping();
    play.rows(&[
        ("give back c", "withdraw c"),
        ("close", ""),
        ("withdrew c", ""),
        ("open", "register again running a b"),
        ("registered", ""),
        ("assign c", "start c"),
    ]);
}

#[test]
fn what_was_withdrawn_after_the_inventory_is_given_back_once_the_hub_has_answered() {
    let rows = [
        ("give back b", "withdraw b"),
        ("give back c", "withdraw c"),
        ("close", ""),
        ("open", "register again running a b c"),
        ("withdrew b", ""),
        ("withdrew c", ""),
    ];
    let mut play = keeping();
    play.rows(&rows);
    play.rows(&[
        ("registered drop b", "gave back c"),
        ("assign c", ""),
        ("ran a", "report 0 a done"),
    ]);
    let mut play = keeping();
    play.rows(&rows);
    play.rows(&[("close", ""), ("open", "register again running a"), ("registered", "")]);
}
