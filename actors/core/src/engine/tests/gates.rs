//! Tables: attempts that were sent ahead of what they wait for.

use phalanx_protocol::limits::INLINE_LEN_MAX;

use super::text::{Play, check};

#[test]
fn an_attempt_starts_when_all_its_gates_are_done_here() {
    check(
        3,
        &[
            ("assign a", "start a"),
            ("assign b ticket 7", ""),
            ("assign c gates a b", ""),
            ("ran a", "report 0 a done"),
            ("payload 7", "start b"),
            ("ran b", "report 1 b done, start c"),
        ],
    );
}

#[test]
fn a_chain_runs_from_link_to_link_without_the_hub() {
    check(
        2,
        &[
            ("assign a", "start a"),
            ("assign b gates a", ""),
            ("assign c gates b", ""),
            ("assign D", "start D"),
            ("ran a", "report 0 a done, start b"),
            ("ran b", "report 1 b done, start c"),
        ],
    );
}

#[test]
fn a_gate_that_was_done_before_is_open_while_the_hub_may_not_know() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("ran a", "report 0 a done"),
            ("assign b gates a", "start b"),
            ("confirmed 1", ""),
            // By now the hub knows how a ended, and would not have asked.
            ("assign c gates a", "gave back c"),
        ],
    );
}

#[test]
fn what_waits_for_a_task_that_fails_or_is_aborted_is_given_back_with_all_behind_it() {
    for (end, reported) in [("failed a", "failed"), ("stopped a", "aborted")] {
        check(
            2,
            &[
                ("assign a", "start a"),
                ("assign b gates a", ""),
                ("assign c gates b", ""),
                ("assign d gates a b", ""),
                (end, &format!("report 0 a {reported}, gave back b, gave back d, gave back c")),
                ("assign b#2", "start b#2"),
                // Again, by an order that was repeated on its way.
                ("assign c gates b", ""),
            ],
        );
    }
}

#[test]
fn what_waits_for_a_task_that_was_aborted_before_it_ran_is_given_back() {
    check(
        1,
        &[
            ("assign x", "start x"),
            ("assign a", ""),
            ("assign b gates a", ""),
            ("abort a", "report 0 a aborted, gave back b"),
            ("ran x", "report 1 x done"),
        ],
    );
}

#[test]
fn an_attempt_whose_gate_is_not_here_is_given_back_and_its_payload_refused() {
    let room = check(
        1,
        &[
            ("assign b gates z", "gave back b"),
            ("assign c gates c", "gave back c"),
            ("assign d gates z ticket 7", "gave back d"),
            ("payload 7", ""),
            ("assign e", "start e"),
        ],
    );
    assert_eq!(room.loose_ends_len(), 0);
}

#[test]
fn what_was_given_back_does_not_come_back_by_a_gate_that_comes_later() {
    check(
        1,
        &[
            ("assign x", "start x"),
            ("assign a", ""),
            ("give back a", "gave back a"),
            ("assign b gates a", "gave back b"),
            ("assign a#2", ""),
            ("ran x", "report 0 x done, start a#2"),
        ],
    );
}

#[test]
fn a_gate_stays_closed_while_a_later_attempt_at_its_task_is_here() {
    check(
        2,
        &[
            ("assign a", "start a"),
            ("assign a#2", ""),
            ("assign b gates a", ""),
            ("assign c", "start c"),
            ("ran a", "report 0 a done, start a#2"),
            ("ran c", "report 1 c done"),
            ("ran a#2", "report 2 a#2 done, start b"),
        ],
    );
}

#[test]
fn a_long_result_opens_its_gate_when_the_hub_has_recorded_it() {
    // By default, and where sessions send shorter ones on streams of their own too.
    for inline_len_max in [INLINE_LEN_MAX, "result".len()] {
        let mut play = Play::new(1);
        play.room = play.room.with_inline_len_max(inline_len_max as u64);
        play.rows(&[
            ("open", "register"),
            ("registered", ""),
            ("assign a", "start a"),
            ("assign b gates a", ""),
        ]);
        play.ran_long("a", inline_len_max + 1);
        play.rows(&[
            // It comes while the report is on its way.
            ("assign c gates a", ""),
            ("confirmed 1", "start b"),
            ("ran b", "report 1 b done, start c"),
        ]);
    }
}

#[test]
fn what_waits_for_a_task_that_the_hub_no_longer_wants_is_given_back_in_the_next_session() {
    let mut play = Play::new(1);
    play.rows(&[
        ("open", "register"),
        ("registered", ""),
        ("assign x", "start x"),
        ("assign a", ""),
        ("assign b gates a", ""),
        ("close", ""),
        ("open", "register again running x queued a b"),
        ("registered drop a", "gave back b"),
        ("assign c", ""),
        ("ran x", "report 0 x done, start c"),
    ]);
}

#[test]
fn a_task_that_fails_without_a_session_leaves_what_waits_for_it_to_the_hub() {
    let mut play = Play::new(1);
    play.rows(&[
        ("open", "register"),
        ("registered", ""),
        ("assign a", "start a"),
        ("assign b gates a", ""),
        ("assign c gates b", ""),
        ("close", ""),
        ("failed a", ""),
        ("open", "register again unconfirmed a"),
        ("registered", "report 0 a failed"),
    ]);
    let mut play = Play::new(1);
    play.rows(&[
        ("open", "register"),
        ("registered", ""),
        ("assign a", "start a"),
        ("assign b gates a", ""),
        ("close", ""),
        ("open", "register again running a queued b"),
        // The inventory on its way says that it is here.
        ("failed a", ""),
        ("registered", "gave back b, report 0 a failed"),
    ]);
}
