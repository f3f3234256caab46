//! Tables: functions that are defined once for each session.

use super::text::check;

#[test]
fn a_function_defined_once_goes_with_every_attempt_that_names_it() {
    check(
        2,
        &[
            ("define 0 f", ""),
            ("assign a with f", "start a with f"),
            ("assign b with f", "start b with f"),
            ("assign c", ""),
            ("ran a", "report 0 a done, start c"),
        ],
    );
}

#[test]
fn an_attempt_waits_for_its_function_and_others_pass_it() {
    check(
        1,
        &[
            ("define 0 f ticket 7", ""),
            ("assign a with f", ""),
            ("assign b with f", ""),
            ("assign c", "start c"),
            ("function 7", ""),
            ("ran c", "report 0 c done, start a with f"),
            ("ran a", "report 1 a done, start b with f"),
        ],
    );
    check(
        1,
        &[("function 7", ""), ("define 0 f ticket 7", ""), ("assign a with f", "start a with f")],
    );
}

#[test]
fn direct_order_holds_even_if_an_earlier_function_is_late() {
    check(
        2,
        &[
            ("define 0 f ticket 7", ""),
            ("direct a", "start a"),
            ("ran a", "report 0 a done"),
            ("assign b with f", ""),
            ("direct c", "start c"),
            ("function 7", "start b with f"),
        ],
    );
}

#[test]
fn a_repeated_definition_changes_nothing_whenever_it_comes() {
    check(
        1,
        &[
            ("define 0 f reset", ""),
            ("define 0 f reset", ""),
            ("define 1 g", ""),
            ("define 0 f reset", ""),
            ("define 2 h ticket 7", ""),
            ("function 7", ""),
            ("define 2 h ticket 7", ""),
            ("assign a with g", "start a with g"),
            ("ran a", "report 0 a done"),
            ("assign b with h", "start b with h"),
        ],
    );
}

#[test]
fn a_definition_left_out_or_a_function_not_defined_breaks_the_rules() {
    check(1, &[("define 1 f", "reconnect")]);
    check(1, &[("assign a with f", "reconnect")]);
    check(1, &[("define 0 f", ""), ("define 1 g reset", ""), ("assign a with f", "reconnect")]);
    check(1, &[("define 0 f ticket 7", ""), ("cut payload 7", "reconnect")]);
}

#[test]
fn a_reset_does_not_hurt_attempts_that_came_before() {
    check(
        1,
        &[
            ("define 0 f", ""),
            ("define 1 g ticket 7", ""),
            ("assign a", "start a"),
            ("assign b with f", ""),
            ("assign c with g", ""),
            ("define 2 h reset", ""),
            ("assign d with h", ""),
            ("ran a", "report 0 a done, start b with f"),
            ("ran b", "report 1 b done, start d with h"),
            ("function 7", ""),
            ("ran d", "report 2 d done, start c with g"),
        ],
    );
}

#[test]
fn a_new_session_has_no_functions_but_attempts_keep_theirs() {
    check(
        1,
        &[
            ("define 0 f", ""),
            ("define 1 g ticket 7", ""),
            ("assign a", "start a"),
            ("assign b with f", ""),
            ("assign c with g", ""),
            ("close", ""),
            ("function 7", ""),
            ("open", "register again running a queued b"),
            ("registered", ""),
            ("define 0 g", ""),
            ("assign c with g", ""),
            ("ran a", "report 0 a done, start b with f"),
            ("ran b", "report 1 b done, start c with g"),
            ("ran c", "report 2 c done"),
            ("assign d with f", "reconnect"),
        ],
    );
}
