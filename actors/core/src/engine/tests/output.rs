//! Tables: what attempts write, told live and with their reports.

use super::text::check;

#[test]
fn the_first_words_are_told_at_once_and_more_after_a_while() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("wrote a one", "output a from 0: one"),
            ("wrote a two", ""),
            ("wrote a three", ""),
            ("at 49", ""),
            ("at 50", "started a, output a from 3: two three"),
            ("at 200", ""),
            ("wrote a four", "output a from 11: four"),
            ("ran a", "report 0 a done, wrote onetwothreefour"),
        ],
    );
}

#[test]
fn what_was_not_told_when_an_attempt_ends_is_in_its_report_only() {
    check(
        2,
        &[
            ("assign a", "start a"),
            ("assign b", "start b"),
            ("wrote a one", "output a from 0: one"),
            ("wrote a two", ""),
            ("wrote b other", "output b from 0: other"),
            ("failed a", "report 0 a failed, wrote onetwo"),
            ("wrote a late", ""),
            ("at 100", "started b"),
            ("stopped b", "report 1 b aborted, wrote other"),
        ],
    );
}

#[test]
fn output_is_told_in_the_next_session_if_there_is_none_now() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("close", ""),
            ("wrote a one", ""),
            ("open", "register again running a"),
            ("wrote a two", ""),
            ("registered", "output a from 0: one two"),
            ("ran a", "report 0 a done, wrote onetwo"),
        ],
    );
}

#[test]
fn a_report_repeated_after_a_cut_has_its_output_again() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("wrote a one", "output a from 0: one"),
            ("ran a", "report 0 a done, wrote one"),
            ("close", ""),
            ("open", "register again unconfirmed a"),
            ("registered", "report 0 a done, wrote one"),
        ],
    );
}

#[test]
fn nobody_hears_of_an_attempt_that_is_not_wanted() {
    check(
        1,
        &[
            ("assign a", "start a"),
            ("wrote a one", "output a from 0: one"),
            ("wrote a two", ""),
            ("close", ""),
            ("open", "register again running a"),
            ("registered drop a", "interrupt a"),
            ("wrote a three", ""),
            ("at 100", ""),
            ("stopped a", ""),
        ],
    );
}
