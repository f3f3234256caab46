//! Who is given what, event by event.

use phalanx_protocol::limits::BALANCED_WINDOW_MAX;

use super::text::{check, say};
use crate::Room;
use crate::scheduler::{Hwm, Scheduler, Settings};

/// A room that never sends ahead.
fn room() -> Scheduler {
    fixed(1)
}

fn fixed(per_slot: u32) -> Scheduler {
    Scheduler::with_settings(Settings::default().with_hwm(Hwm::Fixed(per_slot)))
}

#[test]
fn a_task_goes_to_the_engine_with_the_fewest_tasks_per_slot() {
    check(
        &mut room(),
        "up e1 1
         up e2 4
         place 1 -   => 1:e1
         place 2 -   => 2:e2
         place 3 -   => 3:e2
         place 4 -   => 4:e2
         place 5 -   => 5:e2
         place 6 -
         free 1      => 6:e1",
    );
}

#[test]
fn among_equals_the_engine_idle_for_longest_is_next_then_the_lowest() {
    check(
        &mut room(),
        "up e2 1
         up e1 1
         up e3 1
         place 1 -   => 1:e1
         free 1
         place 2 -   => 2:e2
         free 2
         place 3 -   => 3:e3
         free 3
         place 4 -   => 4:e1
         free 4
         place 5 -   => 5:e2",
    );
}

#[test]
fn tasks_wait_in_the_order_they_came() {
    check(
        &mut room(),
        "place 1 a
         place 2 b
         place 3 a
         up e1 2 a b  => 1:e1 2:e1
         free 2       => 3:e1
         free 1
         free 3",
    );
}

#[test]
fn an_engine_is_given_only_what_it_offers_and_is_named_by() {
    check(
        &mut room(),
        "up e1 1 a
         up e2 1 b
         place 1 b         => 1:e2
         place 2 b
         place 3 a on e2
         place 4 a on e1   => 4:e1
         place 5 a
         place 6 - on e1
         free 4            => 5:e1
         free 5            => 6:e1
         free 6
         free 1            => 2:e2
         free 2",
    );
}

#[test]
fn a_task_that_names_engines_waits_for_one_of_them() {
    check(
        &mut room(),
        "up e1 1 a
         place 1 a on e2 e3
         place 2 a on
         up e3 1 a         => 1:e3
         place 3 a on e3
         down e3
         up e3 1
         up e3 1 a         => 3:e3
         free 2",
    );
}

#[test]
fn a_task_that_follows_does_not_wait_for_engines_that_are_gone() {
    check(
        &mut room(),
        "up e1 1
         up e2 1
         place 1 - with e3      => 1:!
         place 2 - with         => 2:!
         place 3 - with e1      => 3:e1
         place 4 - with e2      => 4:e2
         place 5 - with e2 e3
         place 6 - with e1 e2
         place 7 - with e2
         place 8 - with e2 e3
         place 9 - on e2
         place 10 -
         down e2                => 5:! 7:! 8:!
         free 3                 => 6:e1
         free 6                 => 10:e1
         up e2 1                => 9:e2",
    );
}

#[test]
fn repetitions_and_what_is_unknown_change_nothing() {
    check(
        &mut room(),
        "free 1
         down e1
         up e1 1
         place 1 -   => 1:e1
         place 1 -
         place 2 -
         place 2 -
         free 3
         free 1      => 2:e1
         free 1
         free 2
         free 2
         place 1 -   => 1:e1",
    );
}

#[test]
fn a_queue_goes_on_behind_a_task_that_was_freed_in_its_midst() {
    check(
        &mut room(),
        "up e1 1 a
         place 1 a   => 1:e1
         place 2 a
         place 3 a
         place 4 a
         place 5 a
         place 6 a
         place 7 a
         place 8 a
         free 3
         free 1      => 2:e1
         free 2      => 4:e1
         free 4      => 5:e1",
    );
}

#[test]
fn a_task_freed_while_it_waits_is_never_assigned() {
    check(
        &mut room(),
        "up e1 1
         place 1 -   => 1:e1
         place 2 -
         place 3 -
         place 4 -
         free 2
         free 3
         place 3 -
         free 1      => 4:e1
         free 4      => 3:e1",
    );
}

#[test]
fn what_an_engine_has_already_is_its_load() {
    check(
        &mut room(),
        "place 1 a
         place 2 a
         up e1 2 a has 1 7      => 
         place 3 a
         free 7                 => 2:e1
         up e2 1 a has 3
         free 1
         place 4 a              => 4:e1
         place 5 a
         free 3                 => 5:e2",
    );
}

#[test]
fn an_engine_that_comes_up_again_keeps_what_it_was_assigned() {
    let mut room = room();
    check(
        &mut room,
        "up e1 2
         up e2 1
         place 1 -       => 1:e1
         place 2 -       => 2:e2
         place 3 -       => 3:e1
         place 4 -
         place 5 - with e1
         up e1 1 a has 2 => 4:e2
         place 1 -
         free 1
         free 3
         free 2          => 5:e1
         place 1 -",
    );
    assert_eq!((room.queued_len(), room.assigned_len()), (1, 2));
}

#[test]
fn an_engine_without_slots_is_given_nothing() {
    for hwm in [Hwm::Adaptive, Hwm::Fixed(0), Hwm::Fixed(2)] {
        let mut room = Scheduler::with_settings(Settings::default().with_hwm(hwm));
        check(&mut room, "up e1 0\n place 1 -\n up e1 1 => 1:e1");
    }
}

#[test]
fn a_fixed_mark_counts_tasks_per_slot() {
    check(
        &mut fixed(2),
        "up e1 1
         up e2 2
         place 1 - => 1:e1
         place 2 - => 2:e2
         place 3 - => 3:e2
         place 4 - => 4:e1
         place 5 - => 5:e2
         place 6 - => 6:e2
         place 7 -
         free 1 100000us => 7:e1",
    );
}

#[test]
fn without_a_mark_an_engine_takes_as_much_as_one_may_have() {
    let mut room = fixed(0);
    check(&mut room, "up e1 1");
    for seq in 0..BALANCED_WINDOW_MAX {
        assert_eq!(say(&mut room, &format!("place {seq} -")), format!("{seq}:e1"));
    }
    check(&mut room, "place 99999 -\n free 5 => 99999:e1");
}

#[test]
fn what_was_freed_while_it_waited_takes_no_room() {
    let mut room = room();
    check(&mut room, "up e1 1\n place 0 - => 0:e1");
    for seq in 1..2_000 {
        assert_eq!(say(&mut room, &format!("place {seq} -")), "");
    }
    // Not the first, so that it cannot simply be taken off.
    for seq in 2..1_990 {
        assert_eq!(say(&mut room, &format!("free {seq}")), "");
        if seq % 100 == 0 {
            room.check_invariants();
        }
    }
    check(&mut room, "free 0 => 1:e1\n free 1 => 1990:e1");
    assert_eq!(room.queued_len(), 9);
}

#[test]
fn an_engine_does_not_pile_up_what_it_could_have_served() {
    let mut room = room();
    check(
        &mut room,
        "up e1 1
         up e2 1
         place 0 a
         place 1 -           => 1:e1
         place 2 -           => 2:e2
         place 3 - on e1",
    );
    for seq in 100..400 {
        // Each of its own needs, over before e1 has a look at it.
        check(&mut room, &format!("place {seq} - on e1 e{seq}\n free {seq}"));
    }
    check(
        &mut room,
        "place 4 - on e1 e2
         place 5 - on e1 e9
         free 2              => 4:e2
         free 1              => 3:e1
         free 3              => 5:e1",
    );
}

#[test]
fn what_an_engine_could_have_served_is_dropped_also_if_its_number_is_in_use_again() {
    let mut room = room();
    check(&mut room, "up e1 1\n place 0 - => 0:e1");
    for seq in 1..=20 {
        check(&mut room, &format!("place {seq} - on e1 e{seq}"));
    }
    for seq in 100..130 {
        check(&mut room, &format!("place {seq} - on e1 e{seq}\n free {seq}"));
    }
    check(&mut room, "place 200 - on e1 e200");
    for seq in 1..=20 {
        check(&mut room, &format!("free {seq}"));
    }
    check(&mut room, "free 0 => 200:e1");
}

#[test]
fn engines_named_out_of_order_or_twice_are_the_same_engines() {
    check(
        &mut room(),
        "up e1 1
         up e2 1
         place 1 - on e2 e1 e2 => 1:e1
         place 2 -             => 2:e2
         place 3 - on e2 e1
         place 4 - on e1 e2 e1
         free 2                => 3:e2
         free 1                => 4:e1",
    );
}

#[test]
fn a_task_that_must_run_alone_has_an_engine_to_itself() {
    check(
        &mut fixed(2),
        "up e1 2
         place 1 -   => 1:e1
         alone 2 -
         place 3 -   => 3:e1
         free 3
         place 4 -
         free 1      => 2:e1
         place 5 -
         free 2      => 4:e1 5:e1",
    );
}

#[test]
fn a_task_that_must_run_alone_goes_to_an_idle_engine_at_once() {
    check(
        &mut fixed(2),
        "up e1 1
         up e2 1
         place 1 -   => 1:e1
         alone 2 -   => 2:e2
         place 3 -   => 3:e1
         place 4 -
         free 2      => 4:e2",
    );
}

#[test]
fn an_engine_drains_no_longer_for_a_task_that_is_gone() {
    check(
        &mut fixed(3),
        "up e1 1
         place 1 -   => 1:e1
         place 2 -   => 2:e1
         alone 3 -
         free 1
         place 4 -
         free 3      => 4:e1
         place 5 -   => 5:e1",
    );
}

#[test]
fn an_engine_drains_no_longer_for_a_task_that_left_though_another_comes_back_to_run_alone() {
    check(
        &mut fixed(3),
        "up e1 1
         place 1 -      => 1:e1
         place 2 -      => 2:e1
         alone 3 -
         free 1
         up e2 1 has 4
         place 5 -
         back 4 - alone => 3:e2 5:e1
         free 2
         free 5         => 4:e1",
    );
}

#[test]
fn an_engine_that_comes_back_with_what_another_drained_for_lets_that_go_on_and_strands_its_own() {
    check(
        &mut fixed(3),
        "up e1 1 a
         up e2 1 b has 7 8 9
         place 1 a           => 1:e1
         place 2 a           => 2:e1
         place 3 b with e2
         alone 4 a
         free 1
         place 5 a
         up e2 1 c has 4     => 3:! 5:e1",
    );
}

#[test]
fn a_kind_of_engine_that_is_new_finds_what_must_run_alone() {
    check(
        &mut room(),
        "alone 1 a
         alone 2 a
         up e1 4 a   => 1:e1
         free 1      => 2:e1",
    );
}

#[test]
fn a_new_room_keeps_an_engine_closed_that_runs_a_task_alone() {
    check(
        &mut fixed(2),
        "up e1 2 has 1 2!
         place 3 -
         free 1
         place 4 -
         free 2      => 3:e1 4:e1",
    );
}

#[test]
fn a_task_that_follows_to_an_engine_without_its_method_is_not_kept_waiting() {
    check(
        &mut room(),
        "up e1 1 a
         up e2 1 b
         place 1 a          => 1:e1
         place 2 b with e1  => 2:!
         place 3 c with e1  => 3:!
         place 4 a with e1 e2
         place 5 a on e2
         up e1 1 c          => 4:!
         down e1
         up e2 1 a          => 5:e2",
    );
}
