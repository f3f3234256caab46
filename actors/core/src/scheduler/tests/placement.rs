//! Schemes, labels, amounts, priorities and fair shares, event by event.

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::room::ReadyTask;

use super::text::{check, say, task};
use crate::scheduler::{Hwm, Scheduler, SchedulerEvent, Scheme, Settings};
use crate::{Room, Time};

/// A room that never sends ahead, with this scheme.
fn room(scheme: Scheme) -> Scheduler {
    Scheduler::with_settings(Settings::default().with_hwm(Hwm::Fixed(1)).with_scheme(scheme))
}

/// The same, with so many tasks per slot.
fn roomy(scheme: Scheme, per_slot: u32, seed: u64) -> Scheduler {
    let settings = Settings::default().with_hwm(Hwm::Fixed(per_slot));
    Scheduler::with_settings(settings.with_scheme(scheme).with_seed(seed))
}

fn why(room: &Scheduler, seq: u64) -> String {
    let why = room.why(TaskId::new(ClientId(0), seq));
    why.map_or_else(|| "-".into(), |reason| reason.to_string())
}

#[test]
fn lru_takes_engines_in_turn_whatever_they_have() {
    for scheme in [Scheme::Lru, Scheme::Pure] {
        check(
            &mut roomy(scheme, 3, 0),
            "up e1 1 has 101 102
             up e2 1
             place 1 -   => 1:e1
             place 2 -   => 2:e2
             place 3 -   => 3:e2
             free 1
             place 4 -   => 4:e1
             place 5 -   => 5:e2",
        );
    }
}

#[test]
fn a_queued_task_is_placed_anew_as_it_is_described_now_and_an_assigned_one_stays() {
    check(
        &mut room(Scheme::LeastLoad),
        "up e1 1 has 101
         up e2 1 has 102
         place 1 - on e1
         place 1 - on e2
         free 101
         free 102        => 1:e2
         place 1 - on e1
         up e1 1",
    );
}

#[test]
fn a_task_that_is_not_ready_goes_where_it_was_said_to_if_there_is_room_and_nowhere_else() {
    check(
        &mut roomy(Scheme::LeastLoad, 2, 0),
        "up e1 1 a has 101
         up e2 1 a #fast
         ahead 1 a at e1           => 1:e1
         ahead 2 a at e1
         ahead 3 a at e3
         ahead 4 b at e2
         ahead 5 a at e2 on e1
         ahead 6 a at e2 #slow
         ahead 7 a at e2 gpu=1
         ahead 8 a at e2 #fast     => 8:e2
         ahead 8 a at e1
         free 1
         place 2 a                 => 2:e1
         place 8 a
         free 8",
    );
}

#[test]
fn a_task_that_is_queued_or_must_run_alone_is_not_placed_ahead() {
    let mut room = room(Scheme::LeastLoad);
    check(
        &mut room,
        "up e1 1 has 101
         place 1 -
         ahead 1 - at e1
         free 101       => 1:e1
         free 1",
    );
    let alone = ReadyTask { task: task(2), alone: true, ..ReadyTask::default() };
    let mut effects = Vec::new();
    room.handle(Time::ZERO, SchedulerEvent::PlaceAhead(alone, EngineId(1)), &mut effects);
    assert_eq!(effects, []);
}

#[test]
fn a_task_that_must_run_alone_finds_the_idle_engine_under_every_scheme() {
    for scheme in Scheme::ALL {
        check(
            &mut roomy(scheme, 3, 1),
            "up e1 1 has 101
             up e2 1 has 102
             up e3 1
             alone 1 -   => 1:e3
             alone 2 -
             free 101    => 2:e1",
        );
    }
}

/// How many of 3,000 tasks, each over before the next comes, went to each of three engines that
/// have 0, 1 and 3 others.
fn counts(scheme: Scheme, seed: u64) -> [u32; 3] {
    let mut room = roomy(scheme, 100, seed);
    check(&mut room, "up e0 1\n up e1 1 has 9001\n up e2 1 has 9002 9003 9004");
    let mut counts = [0; 3];
    for seq in 0..3_000 {
        let said = say(&mut room, &format!("place {seq} -"));
        let engine = said.rsplit('e').next().and_then(|id| id.parse::<usize>().ok());
        counts[engine.expect("each is assigned")] += 1;
        assert_eq!(say(&mut room, &format!("free {seq}")), "");
    }
    counts
}

#[test]
fn lots_fall_as_the_scheme_says_and_again_with_the_same_seed() {
    let near = |counts: [u32; 3], expected: [u32; 3]| {
        let close = |(count, expected): (&u32, &u32)| count.abs_diff(*expected) < 120;
        assert!(counts.iter().zip(&expected).all(close), "{counts:?} is not near {expected:?}");
    };
    // One of three.
    near(counts(Scheme::PlainRandom, 7), [1_000, 1_000, 1_000]);
    // The lesser of two: e0 unless both are others, e2 only if it is drawn twice.
    near(counts(Scheme::TwoBin, 7), [1_667, 1_000, 333]);
    // Weights 1, 1/2 and 1/4, that is 4, 2 and 1 of 7; of two the lesser.
    near(counts(Scheme::Weighted, 7), [2_449, 490, 61]);
    for scheme in [Scheme::PlainRandom, Scheme::TwoBin, Scheme::Weighted] {
        assert_eq!(counts(scheme, 7), counts(scheme, 7));
        assert_ne!(counts(scheme, 7), counts(scheme, 8));
    }
}

#[test]
fn random_schemes_draw_among_named_engines_only() {
    for scheme in [Scheme::PlainRandom, Scheme::TwoBin, Scheme::Weighted] {
        let mut room = roomy(scheme, 100, 3);
        check(&mut room, "up e1 1 a\n up e2 1 a\n up e3 1 a\n up e4 1 b");
        for seq in 0..50 {
            let said = say(&mut room, &format!("place {seq} a on e2 e4"));
            assert_eq!(said, format!("{seq}:e2"));
        }
    }
}

#[test]
fn a_task_goes_only_where_its_labels_are() {
    let mut room = room(Scheme::LeastLoad);
    check(
        &mut room,
        "up e1 1 #fast
         up e2 1 #fast #near
         place 1 - #near        => 1:e2
         place 2 - #near #fast
         place 3 - #fast        => 3:e1
         place 4 - #far
         free 3
         place 5 - on e1 #near
         free 1                 => 2:e2
         up e3 1 #far           => 4:e3",
    );
    assert_eq!(why(&room, 5), "no engine has label \"near\"");
}

#[test]
fn amounts_are_a_tasks_own_while_it_runs() {
    check(
        &mut roomy(Scheme::LeastLoad, 10, 0),
        "up e1 1 gpu=2
         up e2 1
         place 1 - gpu=1        => 1:e1
         place 2 - gpu=0.5      => 2:e1
         place 3 - gpu=1
         place 4 -              => 4:e2
         free 2                 => 3:e1
         up e3 1 gpu=1 has 9/gpu=1
         place 5 - gpu=1
         free 9                 => 5:e3",
    );
}

#[test]
fn a_large_need_is_not_overtaken_for_ever_by_small_ones() {
    check(
        &mut roomy(Scheme::LeastLoad, 10, 0),
        "up e1 1 gpu=2 ram=4
         place 1 - gpu=1        => 1:e1
         place 2 - gpu=2
         place 3 - gpu=1
         place 4 - ram=1        => 4:e1
         place 5 -              => 5:e1
         free 1                 => 2:e1
         place 6 - gpu=1
         free 2                 => 3:e1 6:e1",
    );
}

#[test]
fn what_stood_behind_a_large_need_goes_on_when_that_is_gone_or_placed_elsewhere() {
    check(
        &mut roomy(Scheme::LeastLoad, 10, 0),
        "up e1 1 gpu=2
         up e2 1 gpu=2
         place 1 - gpu=1        => 1:e1
         place 2 - gpu=2        => 2:e2
         place 3 - gpu=2
         place 4 - gpu=1
         free 3                 => 4:e1
         free 4
         place 5 - gpu=2
         place 6 - gpu=1
         free 2                 => 5:e2 6:e1",
    );
}

#[test]
fn a_task_with_amounts_is_tried_where_they_are_free() {
    check(
        &mut roomy(Scheme::LeastLoad, 10, 0),
        "up e1 1 gpu=1
         up e2 1 gpu=1 has 91 92
         place 1 - gpu=1        => 1:e1
         place 2 - gpu=1        => 2:e2
         place 3 - gpu=1
         alone 4 - gpu=1
         place 5 -              => 5:e1
         free 2                 => 3:e2",
    );
}

#[test]
fn higher_priority_goes_first_and_never_interrupts() {
    check(
        &mut room(Scheme::LeastLoad),
        "up e1 1
         place 1 -              => 1:e1
         place 2 -
         place 3 - p5
         place 4 - p-5
         place 5 - p5
         free 1                 => 3:e1
         free 3                 => 5:e1
         free 5                 => 2:e1
         free 2                 => 4:e1",
    );
}

#[test]
fn clients_take_turns_however_many_tasks_each_has() {
    check(
        &mut room(Scheme::LeastLoad),
        "up e1 1
         place c1.0 -           => c1.0:e1
         place c1.1 -
         place c1.2 -
         place c1.3 a
         place c1.4 -
         place c2.1 -
         place c2.2 -
         free c1.0              => c1.1:e1
         free c1.1              => c2.1:e1
         free c2.1              => c1.2:e1
         free c1.2              => c2.2:e1
         free c2.2              => c1.4:e1",
    );
}

#[test]
fn one_that_comes_new_is_not_owed_for_the_time_before() {
    let mut room = room(Scheme::LeastLoad);
    check(&mut room, "up e1 1\n place c1.0 - => c1.0:e1");
    for seq in 1..=20 {
        check(&mut room, &format!("place c1.{seq} -"));
    }
    for seq in 0..10 {
        check(&mut room, &format!("free c1.{seq} => c1.{}:e1", seq + 1));
    }
    check(
        &mut room,
        "place c2.0 -
         place c2.1 -
         place c2.2 -
         free c1.10             => c1.11:e1
         free c1.11             => c2.0:e1
         free c2.0              => c1.12:e1
         free c1.12             => c2.1:e1",
    );
}

/// Of clients that all have tasks waiting none is served more than one ahead of another.
#[test]
fn no_client_starves_beside_a_hundred_thousand_tasks() {
    const MANY: u64 = 100_000;
    let mut room = room(Scheme::LeastLoad);
    check(&mut room, "up e1 1\n place c1.0 - => c1.0:e1");
    for seq in 1..=MANY {
        assert_eq!(say(&mut room, &format!("place c1.{seq} -")), "");
    }
    for client in [2, 3] {
        for seq in 0..50 {
            assert_eq!(say(&mut room, &format!("place c{client}.{seq} -")), "");
        }
    }
    let mut running = "c1.0".to_owned();
    let mut served = [0_i64; 4];
    for _ in 0..150 {
        let said = say(&mut room, &format!("free {running}"));
        running = said.strip_suffix(":e1").expect("the next is assigned").to_owned();
        let client: usize = running[1..2].parse().expect("a client");
        served[client] += 1;
        let (least, most) = (served[1..].iter().min(), served[1..].iter().max());
        assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{served:?}");
    }
    assert_eq!(served[1..], [50, 50, 50]);
}

#[test]
fn what_a_task_waits_for_is_said() {
    let mut room = room(Scheme::LeastLoad);
    check(&mut room, "place 0 a");
    assert_eq!(why(&room, 0), "there is no engine");
    check(
        &mut room,
        "up e1 1 a #fast gpu=2 => 0:e1
         up e2 0 b #near ram=4
         place 1 c
         place 2 a on e7 e8
         place 3 a #far
         place 4 - gpu=3
         place 5 - tpu=1
         place 6 - #fast ram=1
         place 7 a
         place 8 a p1
         place 9 b",
    );
    for (seq, reason) in [
        (0, "-"),
        (1, "no engine offers \"c\""),
        (2, "none of its engines is there: e7 e8"),
        (3, "no engine has label \"far\""),
        (4, "it needs 3 of resource \"gpu\", and no engine has more than 2"),
        (5, "no engine has resource \"tpu\", of which it needs 1"),
        (6, "no engine has all that it needs"),
        (7, "its engines are busy; 1 tasks go first"),
        (8, "its engines are busy; it is the next"),
        (9, "its engines are busy; it is the next"),
        (10, "-"),
    ] {
        assert_eq!(why(&room, seq), reason, "task {seq}");
    }
    room.check_invariants();
}
