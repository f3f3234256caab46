//! Tables: what a lost session takes along, and what is said in the next one.

use super::text::{Play, check};

#[test]
fn an_engine_says_who_it_is_first() {
    let mut play = Play::new(1);
    play.rows(&[
        ("open", "register"),
        ("registered", ""),
        ("registered", ""),
        ("assign a", "start a"),
    ]);
    assert!(play.room.registration().is_some());
}

#[test]
fn an_assignment_before_the_answer_breaks_the_rules() {
    let mut play = Play::new(1);
    play.rows(&[
        ("open", "register"),
        ("assign a", "reconnect"),
        ("assign a", ""),
        ("registered", ""),
        ("confirmed 0", ""),
        ("close", ""),
        ("open", "register"),
        ("registered", ""),
        ("assign a", "start a"),
    ]);
}

#[test]
fn what_comes_without_a_session_is_ignored() {
    let mut play = Play::new(1);
    play.rows(&[
        ("assign a", ""),
        ("payload 7", ""),
        ("registered", ""),
        ("confirmed 9", ""),
        ("close", ""),
    ]);
    assert!(play.room.is_idle());
}

#[test]
fn work_goes_on_without_a_session_and_is_reported_in_the_next() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("assign b", ""),
            ("assign c", ""),
            ("close", ""),
            ("ran a", "start b"),
            ("open", "register again running b queued c unconfirmed a"),
            ("ran b", "start c"),
            ("registered", "report 0 a done, report 1 b done"),
            ("ran c", "report 2 c done"),
            ("confirmed 3", ""),
        ],
    );
}

#[test]
fn reports_are_kept_until_confirmed() {
    let room = check(
        3,
        &[
            ("assign a", "start a"),
            ("assign b", "start b"),
            ("assign c", "start c"),
            ("ran c", "report 0 c done"),
            ("ran a", "report 1 a done"),
            ("confirmed 1", ""),
            ("confirmed 1", ""),
            ("confirmed 0", ""),
            ("ran b", "report 2 b done"),
            ("close", ""),
            ("open", "register again unconfirmed a b"),
            ("registered", "report 1 a done, report 2 b done"),
            ("close", ""),
            ("open", "register again unconfirmed a b"),
            ("registered", "report 1 a done, report 2 b done"),
            ("registered", ""),
            ("confirmed 3", ""),
        ],
    );
    assert!(room.is_idle());
}

#[test]
fn confirming_what_was_never_said_breaks_the_rules() {
    check(
        1,
        &[("assign a", "start a"), ("ran a", "report 0 a done"), ("confirmed 2", "reconnect")],
    );
}

#[test]
fn a_repeated_opening_is_a_new_session() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("direct b ticket 7", ""),
            ("open", "register again running a"),
            ("registered", ""),
            ("close", ""),
            ("close", ""),
            ("open", "register again running a"),
        ],
    );
}

#[test]
fn what_waited_for_a_payload_is_as_if_it_had_never_come() {
    check(
        1,
        &[
            ("assign a ticket 7", ""),
            ("close", ""),
            ("payload 7", ""),
            ("open", "register again"),
            ("registered", ""),
            ("assign a ticket 1", ""),
            ("payload 1", "start a"),
        ],
    );
}

#[test]
fn payloads_end_with_their_session() {
    let room = check(
        1,
        &[
            ("payload 7", ""),
            ("abort a", ""),
            ("assign a ticket 8", "report 0 a aborted"),
            ("close", ""),
            ("open", "register again unconfirmed a"),
            ("registered", "report 0 a aborted"),
            ("assign b ticket 7", ""),
            ("payload 8", ""),
            ("payload 7", "start b"),
        ],
    );
    assert_eq!(room.loose_ends_len(), 1, "a payload that nobody named in this session");
}

#[test]
fn direct_order_survives_a_payload_lost_with_its_session() {
    check(
        2,
        &[
            ("direct a", "start a"),
            ("direct b", ""),
            ("direct c ticket 7", ""),
            ("direct d", ""),
            ("direct A ticket 8", ""),
            ("close", ""),
            ("open", "register again running a queued b marks 1:2"),
            ("registered", ""),
            ("direct c ticket 1", ""),
            ("direct d", ""),
            ("direct A", "start A"),
            ("ran a", "report 0 a done, start b"),
            ("ran b", "report 1 b done"),
            ("payload 1", "start c"),
            ("ran c", "report 2 c done, start d"),
            ("direct b", ""),
        ],
    );
}

#[test]
fn a_direct_task_aborted_behind_a_lost_one_keeps_its_report() {
    check(
        1,
        &[
            ("direct a ticket 7", ""),
            ("direct b", ""),
            ("abort b", "report 0 b aborted"),
            ("close", ""),
            ("open", "register again unconfirmed b"),
            ("registered", "report 0 b aborted"),
            ("direct a", "start a"),
            ("direct b", ""),
        ],
    );
    check(
        1,
        &[
            ("direct a ticket 7", ""),
            ("direct b ticket 8", ""),
            ("abort a", "report 0 a aborted"),
            ("close", ""),
            ("open", "register again unconfirmed a marks 1:1"),
            ("registered", "report 0 a aborted"),
            ("direct a", ""),
            ("direct b", "start b"),
        ],
    );
}

#[test]
fn what_a_lost_attempt_gates_is_sent_again_with_it() {
    check(
        1,
        &[
            ("assign a ticket 7", ""),
            ("assign b gates a", ""),
            ("close", ""),
            ("open", "register again"),
            ("registered", ""),
            ("assign a", "start a"),
            ("assign b gates a", ""),
            ("ran a", "report 0 a done, start b"),
        ],
    );
}

#[test]
fn what_the_hub_no_longer_wants_is_not_run_and_not_reported() {
    let room = check(
        2,
        &[
            ("assign a", "start a"),
            ("assign b", "start b"),
            ("assign c", ""),
            ("direct d", ""),
            ("assign e", ""),
            ("ran a", "report 0 a done, start c"),
            ("close", ""),
            ("open", "register again running b c queued d e unconfirmed a marks 1:4"),
            ("ran b", "start d"),
            ("registered drop a b c d e", "interrupt c, interrupt d"),
            ("abort c", ""),
            ("assign f", ""),
            ("direct d", ""),
            ("ran c", "start f"),
            ("stopped d", ""),
            ("ran f", "report 2 f done"),
            ("confirmed 3", ""),
        ],
    );
    assert!(room.is_idle());
}

#[test]
fn a_dropped_run_is_not_listed_again() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("close", ""),
            ("open", "register again running a"),
            ("registered drop a", "interrupt a"),
            ("close", ""),
            ("open", "register again"),
        ],
    );
}

#[test]
fn a_later_attempt_may_come_while_the_dropped_one_still_runs() {
    check(
        2,
        &[
            ("assign a", "start a"),
            ("close", ""),
            ("open", "register again running a"),
            ("registered drop a", "interrupt a"),
            ("assign a#2", ""),
            ("abort a", ""),
            ("ran a", "start a#2"),
            ("ran a#2", "report 0 a#2 done"),
        ],
    );
}

#[test]
fn another_ledger_names_other_tasks_by_the_same_names() {
    check(
        1,
        &[
            ("direct a", "start a"),
            ("assign B", ""),
            ("abort C", ""),
            ("ran a", "report 0 a done, start B"),
            ("confirmed 1", ""),
            ("close", ""),
            ("open", "register again running B marks 1:1"),
            ("abort D", ""),
            ("registered 2 drop B", "interrupt B"),
            ("direct a", ""),
            ("assign B", ""),
            ("assign C", ""),
            ("assign D", "report 1 D aborted"),
            ("stopped B", "start a"),
            ("ran a", "report 2 a done, start B"),
            ("ran B", "report 3 B done, start C"),
        ],
    );
}

#[test]
fn aborts_are_remembered_across_sessions_of_one_ledger() {
    check(
        1,
        &[
            ("abort a", ""),
            ("close", ""),
            ("open", "register again"),
            ("registered", ""),
            ("assign a", "report 0 a aborted"),
        ],
    );
}

#[test]
fn control_may_overtake_the_answer_to_the_registration() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("assign b", ""),
            ("close", ""),
            ("open", "register again running a queued b"),
            ("abort a b c", "interrupt a"),
            ("payload 7", ""),
            ("registered", "report 0 b aborted"),
            ("assign c", "report 1 c aborted"),
            ("stopped a", "report 2 a aborted"),
            ("assign d ticket 7", "start d"),
        ],
    );
}

#[test]
fn the_inventory_tells_what_runs() {
    check(
        2,
        &[
            ("assign a", "start a"),
            ("close", ""),
            ("at 60", ""),
            ("open", "register again running a"),
            ("assign c", "reconnect"),
            ("close", ""),
            ("open", "register again running a"),
            ("registered", ""),
            ("assign b", "start b"),
            ("at 110", "started b"),
        ],
    );
}

#[test]
fn what_began_after_the_inventory_is_told_in_the_session() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("assign b", ""),
            ("close", ""),
            ("open", "register again running a queued b"),
            ("ran a", "start b"),
            ("at 80", ""),
            ("registered", "report 0 a done, started b"),
            ("at 200", ""),
        ],
    );
}

#[test]
fn an_engine_without_a_hub_ends_after_ten_minutes() {
    let mut play = Play::new(1);
    play.rows(&[
        ("at 5000", ""),
        ("at 604999", ""),
        ("at 605000", "end no hub for 600 s"),
        ("open", ""),
        ("at 9999999", ""),
    ]);
    check(
        1,
        &[
            ("at 1000", ""),
            ("assign a", "start a"),
            ("at 2000", "started a"),
            ("at 1000000", ""),
            ("close", ""),
            ("at 1500000", ""),
            ("open", "register again running a"),
            ("close", ""),
            ("open", "register again running a"),
            ("at 1600000", "interrupt a, end no hub for 600 s"),
            ("ran a", ""),
            ("end asked", ""),
        ],
    );
}

#[test]
fn an_engine_asked_to_end_interrupts_what_runs_and_says_goodbye_once() {
    check(
        2,
        &[
            ("assign a", "start a"),
            ("assign b", "start b"),
            ("assign c", ""),
            ("abort b", "interrupt b"),
            ("end asked", "interrupt a, end asked"),
            ("end asked", ""),
            ("ran a", ""),
            ("assign d", ""),
            ("close", ""),
        ],
    );
    Play::new(1).rows(&[("end asked", "end asked")]);
}
