//! How far ahead the scheduler sends, and when it does not.

use phalanx_protocol::limits::PREFETCH_PER_SLOT_MAX;

use super::text::{check, say};
use crate::Room;
use crate::scheduler::Scheduler;

/// A room with one engine that offers `short`, `long` and `mixed`.
fn room(slots: u32) -> Scheduler {
    let mut room = Scheduler::default();
    check(&mut room, &format!("up e1 {slots} short long mixed"));
    room
}

/// Queues this many tasks, numbered from `from`.
fn queue(room: &mut Scheduler, method: &str, tasks: std::ops::Range<u64>) -> Vec<u64> {
    tasks.flat_map(|seq| assigned(&say(room, &format!("place {seq} {method}")))).collect()
}

fn assigned(effects: &str) -> Vec<u64> {
    let words = effects.split_whitespace();
    words.map(|word| word.strip_suffix(":e1").expect("on e1").parse().expect("a number")).collect()
}

/// Ends the oldest running task after `ran` this many times; answers how many run in the end.
fn run(room: &mut Scheduler, running: &mut Vec<u64>, ran_us: u64, ends: usize) -> usize {
    for _ in 0..ends {
        let seq = running.remove(0);
        let effects = say(room, &format!("free {seq} {ran_us}us"));
        running.extend(assigned(&effects));
    }
    room.check_invariants();
    running.len()
}

#[test]
fn tasks_of_which_nothing_is_known_are_not_sent_ahead() {
    for slots in [1, 2, 5] {
        let mut room = room(slots);
        assert_eq!(queue(&mut room, "short", 0..20).len(), slots as usize);
    }
}

#[test]
fn behind_tasks_longer_than_the_look_ahead_one_waits_and_behind_very_long_ones_none() {
    for slots in [1, 2, 5] {
        for (ran_us, more) in [(1_000, 1), (20_000, 1), (100_000, 1), (100_001, 0)] {
            let mut room = room(slots);
            let mut running = queue(&mut room, "long", 0..50);
            let has = run(&mut room, &mut running, ran_us, 40);
            assert_eq!(has, slots as usize + more, "{slots} slots, {ran_us} us");
        }
    }
}

#[test]
fn the_window_doubles_at_most_once_per_window_of_short_tasks() {
    let mut room = room(1);
    let mut running = queue(&mut room, "short", 0..2_000);
    let mut windows = vec![running.len()];
    for _ in 0..5 {
        let window = running.len();
        windows.push(run(&mut room, &mut running, 10, window));
    }
    assert_eq!(windows, [1, 2, 4, 8, 16, 32]);
}

#[test]
fn the_window_opens_only_after_short_tasks_in_a_row() {
    let mut room = room(3);
    let mut running = queue(&mut room, "mixed", 0..100);
    for (ran_us, window) in [(1, 3), (1, 3), (1_000_000, 3), (1_000, 3)] {
        assert_eq!(run(&mut room, &mut running, ran_us, 1), window, "{ran_us} us");
    }
    let mut room = self::room(3);
    let mut running = queue(&mut room, "mixed", 0..100);
    for (ran_us, window) in [(1_000, 3), (1, 3), (1, 4), (1, 4)] {
        assert_eq!(run(&mut room, &mut running, ran_us, 1), window, "{ran_us} us");
    }
}

#[test]
fn the_window_ends_where_its_tasks_cover_the_look_ahead() {
    for (ran_us, window) in [(900, 2), (500, 2), (400, 3), (100, 10), (10, 100)] {
        let mut room = room(1);
        let mut running = queue(&mut room, "short", 0..1_000);
        assert_eq!(run(&mut room, &mut running, ran_us, 800), window, "{ran_us} us");
    }
}

#[test]
fn the_window_has_a_ceiling_per_slot() {
    let mut room = room(2);
    let mut running = queue(&mut room, "short", 0..8_000);
    let window = run(&mut room, &mut running, 0, 5_000);
    assert_eq!(window, 2 * (1 + PREFETCH_PER_SLOT_MAX as usize));
}

#[test]
fn short_tasks_do_not_let_long_ones_of_another_method_be_hoarded() {
    let mut room = room(1);
    let mut running = queue(&mut room, "short", 0..200);
    run(&mut room, &mut running, 10, 200);
    assert!(running.is_empty());
    assert_eq!(queue(&mut room, "long", 200..220), [200]);
    // Nor are short ones put behind the long one.
    assert_eq!(queue(&mut room, "short", 220..240), []);
}

#[test]
fn a_long_task_among_short_ones_shuts_the_window_at_once() {
    let mut room = room(1);
    let mut running = queue(&mut room, "mixed", 0..2_000);
    assert_eq!(run(&mut room, &mut running, 10, 500), 100);
    assert_eq!(run(&mut room, &mut running, 200_000, 1), 99);
    assert_eq!(run(&mut room, &mut running, 200_000, 98), 1);
    assert_eq!(run(&mut room, &mut running, 200_000, 10), 1);
}

#[test]
fn what_an_engine_had_before_fills_its_slots() {
    let mut room = Scheduler::default();
    check(
        &mut room,
        "up e1 2 a has 1 2
         place 3 a
         place 4 a
         free 1 1us   => 3:e1
         free 3 1us   => 4:e1",
    );
}

#[test]
fn what_an_engine_keeps_when_it_comes_again_with_other_methods_is_learned_from() {
    check(
        &mut Scheduler::default(),
        "up e1 1 b a
         place 1 b     => 1:e1
         up e1 1 b
         free 1 10us
         place 2 b     => 2:e1
         place 3 b     => 3:e1",
    );
}

#[test]
fn what_an_engine_keeps_when_it_comes_again_is_learned_from() {
    check(
        &mut Scheduler::default(),
        "up e1 1 a
         place 1 a     => 1:e1
         place 2 a
         place 3 a
         up e1 1 a
         free 1 10us   => 2:e1 3:e1",
    );
}
