//! Tables: queue, slots, direct order, payloads, gates, repetition and aborts in one session.

use super::text::{Play, check};

#[test]
fn assignments_start_in_order_as_slots_are_free() {
    check(
        2,
        &[
            ("assign a", "start a"),
            ("assign B", "start B"),
            ("assign c", ""),
            ("assign D", ""),
            ("ran B", "report 0 B done, start c"),
            ("failed a", "report 1 a failed, start D"),
        ],
    );
}

#[test]
fn an_executor_that_keeps_attempts_is_given_more_than_its_slots() {
    let mut play = Play::new(1);
    play.room = play.room.starting_ahead(2);
    play.rows(&[
        ("open", "register"),
        ("registered", ""),
        ("assign a", "start a"),
        ("assign b", "start b"),
        ("assign c", "start c"),
        ("assign d", ""),
        ("abort b", "interrupt b"),
        ("stopped b", "report 0 b aborted, start d"),
        // What is kept does not run yet, and the hub is told so.
        ("at 50", "started a"),
        ("at 200", ""),
        ("ran a", "report 1 a done"),
        ("at 249", ""),
        ("at 250", "started c"),
        ("ran c", "report 2 c done"),
        ("ran d", "report 3 d done"),
    ]);
}

#[test]
fn direct_tasks_of_a_client_run_one_at_a_time_and_others_pass_them() {
    check(
        3,
        &[
            ("direct a", "start a"),
            ("direct b", ""),
            ("direct A", "start A"),
            ("assign c", "start c"),
            ("direct B", ""),
            ("assign d", ""),
            ("ran c", "report 0 c done, start d"),
            ("ran A", "report 1 A done, start B"),
            ("ran a", "report 2 a done, start b"),
        ],
    );
}

#[test]
fn an_attempt_waits_for_its_payload_and_others_pass_it() {
    check(
        1,
        &[
            ("assign a ticket 7", ""),
            ("assign b", "start b"),
            ("payload 7", ""),
            ("assign c", ""),
            ("ran b", "report 0 b done, start a"),
        ],
    );
}

#[test]
fn a_payload_may_come_before_its_assignment() {
    check(1, &[("payload 7", ""), ("assign a ticket 7", "start a")]);
    check(1, &[("payload 7", ""), ("payload 7", ""), ("assign a ticket 7", "start a")]);
}

#[test]
fn direct_order_holds_even_if_an_earlier_payload_is_late() {
    check(
        2,
        &[
            ("direct a ticket 7", ""),
            ("direct b", ""),
            ("direct A", "start A"),
            ("payload 7", "start a"),
            ("ran a", "report 0 a done, start b"),
        ],
    );
}

#[test]
fn a_payload_of_another_length_than_said_breaks_the_rules() {
    check(1, &[("assign a ticket 7", ""), ("cut payload 7", "reconnect")]);
    check(1, &[("cut payload 7", ""), ("assign a ticket 7", "reconnect")]);
}

#[test]
fn a_ticket_stands_for_one_payload() {
    check(1, &[("assign a ticket 7", ""), ("assign b ticket 7", "reconnect")]);
}

#[test]
fn a_repeated_assignment_is_ignored_in_every_state() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("assign a", ""),
            ("assign b", ""),
            ("assign b", ""),
            ("ran a", "report 0 a done, start b"),
            ("assign a", ""),
            ("confirmed 1", ""),
            ("assign a", ""),
            ("ran b", "report 1 b done"),
            ("confirmed 2", ""),
            ("assign b", ""),
        ],
    );
}

#[test]
fn a_repeated_direct_assignment_is_ignored_in_every_state() {
    check(
        1,
        &[
            ("direct a", "start a"),
            ("direct b ticket 7", ""),
            ("direct a", ""),
            ("direct b ticket 7", ""),
            ("ran a", "report 0 a done"),
            ("direct a", ""),
            ("payload 7", "start b"),
            ("ran b", "report 1 b done"),
            ("confirmed 2", ""),
            ("direct b ticket 7", ""),
            ("direct a#2", ""),
        ],
    );
}

#[test]
fn a_repeated_payload_starts_nothing() {
    let room = check(
        1,
        &[
            ("assign a ticket 7", ""),
            ("payload 7", "start a"),
            ("payload 7", ""),
            ("ran a", "report 0 a done"),
            ("confirmed 1", ""),
        ],
    );
    assert!(room.is_idle());
}

#[test]
fn the_payload_of_an_ignored_assignment_is_dropped() {
    let room = check(
        1,
        &[
            ("assign a", "start a"),
            ("assign a ticket 7", ""),
            ("payload 7", ""),
            ("payload 8", ""),
            ("assign a ticket 8", ""),
        ],
    );
    assert_eq!(room.loose_ends_len(), 0);
}

#[test]
fn a_later_attempt_takes_the_place_of_a_queued_one() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("assign b", ""),
            ("assign c", ""),
            ("assign b#2", ""),
            ("assign b", ""),
            ("ran a", "report 0 a done, start b#2"),
            ("ran b#2", "report 1 b#2 done, start c"),
        ],
    );
}

#[test]
fn a_later_attempt_brings_its_own_payload() {
    let room = check(
        1,
        &[
            ("assign a ticket 7", ""),
            ("assign a#2 ticket 8", ""),
            ("payload 7", ""),
            ("payload 8", "start a#2"),
        ],
    );
    assert_eq!(room.loose_ends_len(), 0);
    check(1, &[("assign a ticket 7", ""), ("assign a#2", "start a#2"), ("payload 7", "")]);
}

#[test]
fn an_earlier_attempt_is_not_run_once_a_later_one_is_known() {
    check(1, &[("assign a#2", "start a#2"), ("assign a", ""), ("abort a", "")]);
}

#[test]
fn abort_of_a_queued_attempt_is_reported_at_once() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("assign b", ""),
            ("abort b", "report 0 b aborted"),
            ("abort b", ""),
            ("assign b", ""),
            ("ran a", "report 1 a done"),
            ("confirmed 2", ""),
            ("abort b", ""),
            ("assign b", ""),
        ],
    );
}

#[test]
fn abort_of_a_direct_task_lets_the_next_one_start() {
    let room = check(
        2,
        &[
            ("direct a ticket 7", ""),
            ("direct b", ""),
            ("direct c", ""),
            ("abort c", "report 0 c aborted"),
            ("abort a", "report 1 a aborted, start b"),
            ("payload 7", ""),
            ("ran b", "report 2 b done"),
            ("direct c", ""),
        ],
    );
    assert_eq!(room.loose_ends_len(), 0);
}

#[test]
fn abort_of_a_running_attempt_interrupts_it_once_and_its_end_decides() {
    check(
        2,
        &[
            ("assign a", "start a"),
            ("assign b", "start b"),
            ("abort a b", "interrupt a, interrupt b"),
            ("abort a", ""),
            ("stopped a", "report 0 a aborted"),
            ("ran b", "report 1 b done"),
        ],
    );
}

#[test]
fn abort_that_overtakes_its_assignment_is_remembered() {
    let room = check(
        1,
        &[
            ("abort a B", ""),
            ("abort a", ""),
            ("assign a", "report 0 a aborted"),
            ("assign a", ""),
            ("direct B ticket 7", "report 1 B aborted"),
            ("payload 7", ""),
            ("direct B", ""),
            ("assign c", "start c"),
        ],
    );
    assert_eq!(room.loose_ends_len(), 0);
}

#[test]
fn abort_that_overtakes_a_later_attempt_ends_the_queued_one_too() {
    check(
        1,
        &[
            ("assign z", "start z"),
            ("assign a", ""),
            ("abort a#2", ""),
            ("assign a#2", "report 0 a#2 aborted"),
            ("ran z", "report 1 z done"),
        ],
    );
}

#[test]
fn abort_of_an_ended_attempt_is_ignored() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("ran a", "report 0 a done"),
            ("abort a", ""),
            ("confirmed 1", ""),
            ("abort a", ""),
            ("assign a#2", "start a#2"),
        ],
    );
}

#[test]
fn an_unknown_end_of_a_run_is_ignored() {
    check(
        1,
        &[
            ("ran a", ""),
            ("assign a", "start a"),
            ("ran a#2", ""),
            ("ran a", "report 0 a done"),
            ("ran a", ""),
        ],
    );
}

#[test]
fn a_run_that_takes_longer_is_told_once() {
    check(
        2,
        &[
            ("assign a", "start a"),
            ("at 20", ""),
            ("assign b", "start b"),
            ("at 49", ""),
            ("at 50", "started a"),
            ("ran b", "report 0 b done"),
            ("at 90", ""),
        ],
    );
}
