//! What is taken back from whom for whom, and when.

use std::time::Duration;

use phalanx_protocol::limits::TAKE_BACK_LOOKS_MAX;

use super::text::{check, say, say_at};
use crate::scheduler::{Hwm, OVERDUE_AFTER, PREFETCH_AHEAD, Scheduler, Settings};
use crate::{Room, Time};

/// A room that sends so many ahead per slot.
fn ahead(per_slot: u32) -> Scheduler {
    Scheduler::with_settings(Settings::default().with_hwm(Hwm::Fixed(per_slot)))
}

#[test]
fn an_engine_that_comes_and_has_nothing_to_do_gets_half_of_what_waits_elsewhere() {
    check(
        &mut ahead(0),
        "up e1 1 a
         place 1 a   => 1:e1
         place 2 a   => 2:e1
         place 3 a   => 3:e1
         place 4 a   => 4:e1
         place 5 a   => 5:e1
         place 6 a   => 6:e1
         at 10us
         up e2 1 a
         at 10us     => 6<e1 5<e1 4<e1
         back 6 a    => 6:e2
         back 5 a    => 5:e2
         kept 4
         free 6 50us
         free 5 50us
         at 20us
         at 1009us
         at 1010us   => 3<e1 2<e1",
    );
}

#[test]
fn nothing_is_taken_from_an_engine_that_ends_its_tasks_as_expected() {
    check(
        &mut ahead(3),
        "up e1 1 a
         place 1 a      => 1:e1
         place 2 a      => 2:e1
         place 3 a      => 3:e1
         free 1 10us
         free 2 10us
         free 3 10us
         place 4 a      => 4:e1
         place 5 a      => 5:e1
         place 6 a      => 6:e1
         up e2 1 a
         at 900us
         free 4 10us
         at 1899us
         at 1900us      => 6<e1",
    );
}

#[test]
fn an_engine_that_ended_a_task_lately_is_left_alone_until_it_has_not_for_a_while() {
    check(
        &mut ahead(3),
        "up e1 1 a
         place 1 a      => 1:e1
         place 2 a      => 2:e1
         place 3 a      => 3:e1
         free 1 10us
         free 2 10us
         free 3 10us
         place 4 a      => 4:e1
         place 5 a      => 5:e1
         place 6 a      => 6:e1
         up e2 1 a
         at 900us
         at 1500us
         free 4 10us
         at 1900us
         at 2899us
         at 2900us      => 6<e1",
    );
}

#[test]
fn a_task_that_starts_after_short_ones_and_does_not_end_lets_go_what_is_behind_it() {
    check(
        &mut Scheduler::default(),
        "up e1 1 a
         place 1 a      => 1:e1
         place 2 a
         place 3 a
         place 4 a
         place 5 a
         place 6 a
         place 7 a
         free 1 10us    => 2:e1 3:e1
         free 2 10us    => 4:e1
         free 3 10us    => 5:e1 6:e1 7:e1
         up e2 1 a
         place 8 a      => 8:e2
         free 8 10us
         at 0us
         at 999us
         at 1000us      => 7<e1 6<e1
         back 7 a       => 7:e2
         back 6 a       => 6:e2
         place 9 a
         free 7 10us    => 9:e2",
    );
    // Had it not been stuck, it would have been given another one behind the four that it has.
}

#[test]
fn a_task_that_came_back_goes_to_another_if_the_engine_it_was_for_is_full() {
    check(
        &mut ahead(2),
        "up e1 1 a
         place 1 a   => 1:e1
         place 2 a   => 2:e1
         up e2 1 a
         up e3 1 a
         at 0us      => 2<e1
         place 3 a   => 3:e2
         place 4 a   => 4:e3
         place 5 a   => 5:e2
         free 4
         back 2 a    => 2:e3",
    );
}

#[test]
fn a_task_that_came_back_goes_where_it_was_asked_back_for_though_another_has_less() {
    check(
        &mut ahead(2),
        "up e1 1 a
         place 1 a   => 1:e1
         place 2 a   => 2:e1
         up e2 1 a
         up e3 1 a
         at 0us      => 2<e1
         place 3 a   => 3:e2
         back 2 a    => 2:e2",
    );
}

#[test]
fn a_task_that_came_back_waits_if_nobody_has_room() {
    check(
        &mut ahead(2),
        "up e1 1 a
         place 1 a   => 1:e1
         place 2 a   => 2:e1
         up e2 1 a
         at 0us      => 2<e1
         place 3 a   => 3:e2
         place 4 a   => 4:e2
         place 5 a
         back 2 a    => 5:e1
         free 3      => 2:e2",
    );
}

#[test]
fn only_what_the_engine_may_have_is_taken_for_it() {
    check(
        &mut ahead(0),
        "up e1 1 a b #fast gpu=3
         place 1 a              => 1:e1
         place 2 b              => 2:e1
         place 3 a on e1        => 3:e1
         place 4 a on e1 e2     => 4:e1
         place 5 a #fast        => 5:e1
         place 6 a gpu=2        => 6:e1
         place 7 a gpu=1        => 7:e1
         up e2 1 a gpu=1
         at 0us                 => 7<e1 4<e1
         back 7 a gpu=1         => 7:e2
         kept 4",
    );
}

#[test]
fn tasks_that_end_in_another_order_than_given_leave_what_can_be_taken_back() {
    check(
        &mut ahead(0),
        "up e1 1 a
         place 1 a   => 1:e1
         place 2 a   => 2:e1
         place 3 a   => 3:e1
         place 4 a   => 4:e1
         place 5 a   => 5:e1
         place 6 a   => 6:e1
         place 7 a   => 7:e1
         place 8 a   => 8:e1
         free 3
         free 1
         free 2
         up e2 1 a
         at 0us      => 8<e1 7<e1",
    );
}

#[test]
fn what_must_run_alone_and_what_an_engine_came_with_stays() {
    check(
        &mut ahead(0),
        "up e1 1 a has 1 2 3
         up e2 1 a
         alone 4 a   => 4:e2
         up e3 1 a
         at 5000us",
    );
}

#[test]
fn as_many_tasks_as_there_are_slots_count_as_started() {
    check(
        &mut ahead(0),
        "up e1 3 a
         place 1 a   => 1:e1
         place 2 a   => 2:e1
         place 3 a   => 3:e1
         place 4 a   => 4:e1
         up e2 2 a
         at 0us      => 4<e1",
    );
}

#[test]
fn several_idle_engines_share_what_waits_on_those_that_have_most() {
    check(
        &mut ahead(0),
        "up e1 1 a
         up e2 1 b
         place 1 a   => 1:e1
         place 2 a   => 2:e1
         place 3 a   => 3:e1
         place 4 a   => 4:e1
         place 5 a   => 5:e1
         place 6 b   => 6:e2
         place 7 b   => 7:e2
         place 8 b   => 8:e2
         place 9 b   => 9:e2
         up e3 1 a b
         up e4 1 a b
         at 0us      => 5<e1 4<e1 9<e2 8<e2",
    );
}

#[test]
fn the_end_of_a_task_or_of_an_engine_answers_for_what_was_asked_back() {
    let table = "up e1 1 a
         place 1 a   => 1:e1
         place 2 a   => 2:e1
         place 3 a   => 3:e1
         up e2 1 a
         at 0us      => 3<e1";
    // It ended where it was: another one is asked for.
    let mut room = ahead(0);
    check(&mut room, table);
    check(&mut room, "free 3\nat 1000us => 2<e1");
    // The engine is gone and comes again: what it has is no longer known to be ahead.
    let mut room = ahead(0);
    check(&mut room, table);
    check(&mut room, "down e1\nup e1 1 a has 1 2 3\nat 5000us\nback 3 a => 3:e2");
    // The engine that it was for is gone: it goes where there is room, and so it does if that is
    // back before the answer.
    let mut room = ahead(0);
    check(&mut room, table);
    check(&mut room, "down e2\nback 3 a => 3:e1\nat 5000us");
    let mut room = ahead(0);
    check(&mut room, table);
    check(&mut room, "down e2\nup e2 1 a\nback 3 a => 3:e2\nat 5000us");
    // An answer that nobody waits for, or that comes twice, leaves what was given here where it is.
    let mut room = ahead(0);
    check(&mut room, table);
    check(&mut room, "kept 3\nkept 3\nkept 9\nback 9 a => 9:e2\nfree 9\nback 3 a => 3:e1");
    let mut room = ahead(0);
    check(&mut room, table);
    check(&mut room, "back 3 a => 3:e2\nback 3 a => 3:e2\nat 5000us");
}

#[test]
fn engines_with_tasks_beyond_those_looked_at_have_their_turn_the_next_time() {
    let mut room = ahead(0);
    let last = TAKE_BACK_LOOKS_MAX / 2;
    let mut seq = 0;
    for engine in 0..=last {
        say(&mut room, &format!("up e{engine} 1 a"));
        // The last one has the most.
        for _ in 0..if engine == last { 5 } else { 2 } {
            say(&mut room, &format!("place {seq} a on e{engine} e9999"));
            seq += 1;
        }
    }
    say(&mut room, "up e9999 1 a");
    assert_eq!(say(&mut room, "at 0us"), "1<e0");
    say(&mut room, "kept 1");
    let newest = format!("{}<e{last} {}<e{last}", seq - 1, seq - 2);
    assert_eq!(say(&mut room, "at 1000us"), newest);
    room.check_invariants();
}

#[test]
fn idle_engines_beyond_those_looked_at_have_their_turn_the_next_time() {
    let mut room = ahead(0);
    check(&mut room, "up e0 1 a\nplace 1 a => 1:e0\nplace 2 a => 2:e0");
    // Each costs a look, and one more at the task that it cannot have.
    let last = TAKE_BACK_LOOKS_MAX / 2 + 1;
    for engine in 1..last {
        say(&mut room, &format!("up e{engine} 1 b"));
    }
    say(&mut room, &format!("up e{last} 1 a"));
    assert_eq!(say(&mut room, "at 0us"), "");
    assert_eq!(say(&mut room, "at 1000us"), "2<e0");
    room.check_invariants();
}

/// An engine that ended a task of 10 ms, and so has one that runs and one that waits; others queue.
const ONE_WAITS: &str = "up e1 1 a
    place 1 a      => 1:e1
    place 2 a
    place 3 a
    place 4 a
    place 5 a
    free 1 10000us => 2:e1 3:e1";

#[test]
fn what_waits_for_very_long_is_taken_back_though_nobody_idles_and_has_its_turn_first() {
    let mut room = Scheduler::default();
    check(&mut room, ONE_WAITS);
    assert_eq!(room.next_deadline(), Some(Time::ZERO + OVERDUE_AFTER));
    check(&mut room, "up e2 1 a => 4:e2\nat 999999us\nat 1000000us => 3<e1\nback 3 a");
    // Not even the task that its client has had in the queue for longer goes before it.
    check(&mut room, "free 4 1000000us => 3:e2\nfree 2 1000000us => 5:e1");
    assert_eq!(room.next_deadline(), None, "nothing waits behind another");
}

#[test]
fn what_waits_where_tasks_end_stays_and_what_its_engine_keeps_is_asked_for_again() {
    let mut room = Scheduler::default();
    check(&mut room, ONE_WAITS);
    check(&mut room, "at 600000us\nfree 2 1000us => 4:e1\nat 1599999us");
    check(&mut room, "at 2599998us\nat 2599999us => 4<e1\nkept 4");
    check(&mut room, "at 3599998us\nat 3599999us => 4<e1\nat 9000000us");
}

#[test]
fn what_was_taken_back_goes_before_its_like_and_after_what_is_more_urgent() {
    let mut room = Scheduler::default();
    check(&mut room, ONE_WAITS);
    check(&mut room, "place c2.1 a\nplace 6 a p1\nat 1000000us => 3<e1\nback 3 a");
    check(&mut room, "free 2 1000000us => 6:e1\nfree 6 1000000us => 3:e1");
}

#[test]
fn engines_beyond_those_looked_at_for_long_waits_have_their_turn_the_next_time() {
    let mut room = Scheduler::default();
    let last = TAKE_BACK_LOOKS_MAX as u64;
    for engine in 0..=last {
        let (a, b, c) = (3 * engine, 3 * engine + 1, 3 * engine + 2);
        say(&mut room, &format!("up e{engine} 1 a"));
        for task in [a, b, c] {
            say(&mut room, &format!("place {task} a on e{engine} e9999"));
        }
        assert_eq!(
            say(&mut room, &format!("free {a} 10000us")),
            format!("{b}:e{engine} {c}:e{engine}")
        );
    }
    let mut now = Time::ZERO + Duration::from_millis(900);
    for engine in 0..last {
        say_at(&mut room, &mut now, &format!("place {} a on e{engine} e9999", 10_000 + engine));
        say_at(&mut room, &mut now, &format!("free {} 10000us", 3 * engine + 1));
    }
    assert_eq!(say_at(&mut room, &mut now, "at 1000000us"), "");
    let asked = say_at(&mut room, &mut now, "at 2000000us");
    let first = format!("{}<e{last} ", 3 * last + 2);
    assert!(asked.starts_with(&first), "{first}comes first of: {}", &asked[..40]);
    room.check_invariants();
}

#[test]
fn a_high_water_mark_that_was_set_keeps_what_it_sent_ahead() {
    check(
        &mut ahead(2),
        "up e1 1 a
         place 1 a   => 1:e1
         place 2 a   => 2:e1
         place 3 a
         at 9000000us",
    );
}

#[test]
fn the_room_wants_to_be_woken_only_while_something_could_be_taken_back() {
    let mut room = ahead(3);
    check(&mut room, "up e1 1 a\nplace 1 a => 1:e1\nplace 2 a => 2:e1\nplace 3 a => 3:e1");
    assert_eq!(room.next_deadline(), None, "no engine is idle");
    check(&mut room, "up e2 1 b");
    assert_eq!(room.next_deadline(), Some(Time::ZERO));
    check(&mut room, "at 0us");
    assert_eq!(room.next_deadline(), Some(Time::ZERO + PREFETCH_AHEAD), "then e1 is stuck");
    check(&mut room, "at 1000us");
    assert_eq!(room.next_deadline(), None, "nobody may have what is there");
    check(&mut room, "place 4 b => 4:e2\nplace 5 b => 5:e2");
    assert_eq!(room.next_deadline(), None, "no engine is idle");
    let mut effects = Vec::new();
    room.on_deadline(Time::ZERO + Duration::from_secs(1), &mut effects);
    assert!(effects.is_empty());
}
