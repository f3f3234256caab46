//! Tables: each rule of the dag, told as a story.

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::room::{Condition, DagVerdict, Ending, Known, WaitingTask};

use super::text::{assert_empty, check};
use crate::dag::{Dag, DagEffect, DagEvent};
use crate::{Room, Time};

#[test]
fn a_task_without_unmet_conditions_is_ready_at_once() {
    check(&[("c after", "c ready")]);
    check(&[("c follow", "c ready")]);
    check(&[("c after any", "c ready")]);
    check(&[("c timeout 0", "c ready")]);
    check(&[("c after a+1 b+2", "c ready")]);
    check(&[("c after any a b-1 d+", "c ready")]);
}

#[test]
fn all_waits_for_the_last() {
    check(&[("c after a b", ""), ("b+1", ""), ("a+2", "c ready")]);
    check(&[("c after a+ b", ""), ("b+", "c ready")]);
}

#[test]
fn all_fails_with_the_first_that_ended_unaccepted() {
    check(&[("c after a b", ""), ("b-1", "c unmet b 1"), ("a-", "")]);
    check(&[("c after a b-2 d-3", "c unmet b 2")]);
    check(&[("c after failure a b", ""), ("a-", ""), ("b+7", "c unmet b 7")]);
}

#[test]
fn any_is_met_by_the_first_accepted() {
    check(&[("c after any a b", ""), ("b-", ""), ("a+", "c ready")]);
    check(&[("c after any failure a b", ""), ("b-", "c ready"), ("a+", "")]);
}

#[test]
fn any_fails_with_the_last_when_all_ended_unaccepted() {
    check(&[("c after any a b", ""), ("b-", ""), ("a-4", "c unmet a 4")]);
    check(&[("c after any a-1 b-2", "c unmet b 2")]);
    check(&[("c after any a b-2", ""), ("a-1", "c unmet a 1")]);
}

#[test]
fn either_accepts_every_ending() {
    check(&[("c after either a b", ""), ("a-", ""), ("b+", "c ready")]);
    check(&[("c after any either a b", ""), ("b-", "c ready")]);
}

#[test]
fn one_that_waits_only_for_a_task_that_an_engine_has_is_told_of_and_stays_held() {
    check(&[("c after a", ""), ("a@1", "c nearly a"), ("a@2", "c nearly a"), ("a+2", "c ready")]);
    check(&[("c after a@1", "c nearly a"), ("a-1", "c unmet a 1")]);
    check(&[
        ("c after a b", ""),
        ("a@1", ""),
        ("b@2", ""),
        ("b+2", "c nearly a"),
        ("release c", ""),
        ("a+1", ""),
    ]);
    check(&[("c after either a@1", "c nearly a"), ("a-1", "c ready")]);
    check(&[("c after failure a@1", ""), ("a-1", "c ready")]);
    check(&[("c after any a@1 b", ""), ("b-1", "c nearly a"), ("a+1", "c ready")]);
}

#[test]
fn of_those_that_wait_for_a_task_only_the_first_is_told_of() {
    check(&[
        ("c after a b", ""),
        ("d after a", ""),
        ("a@1", ""),
        ("e after a@1", ""),
        ("b+1", "c nearly a"),
        ("a@2", "c nearly a"),
        ("a+2", "c ready, d ready, e ready"),
    ]);
}

#[test]
fn a_follower_is_told_of_only_if_it_would_follow_to_the_engine_that_has_what_is_left() {
    check(&[("c follow a@1", "c nearly a"), ("a+1", "c ready on 1")]);
    check(&[("c follow a b", ""), ("a@1", ""), ("b+1", "c nearly a"), ("a+1", "c ready on 1")]);
    check(&[("c follow a b", ""), ("a@1", ""), ("b+2", ""), ("a+1", "c apart a 1")]);
    check(&[("c after a@1 follow b+2", ""), ("a+1", "c ready on 2")]);
    check(&[("c after a@1 follow a@1", "c nearly a"), ("a+1", "c ready on 1")]);
    check(&[("c after a follow a b@1", ""), ("a+1", "c nearly b"), ("b+1", "c ready on 1")]);
}

#[test]
fn where_a_task_is_is_forgotten_with_the_last_that_waits_for_it() {
    check(&[("c after a@1", "c nearly a"), ("release c", ""), ("d after a", ""), ("still 1", "")]);
    check(&[("a@1", ""), ("c after a", ""), ("still 1", "")]);
}

#[test]
fn followers_go_where_all_of_them_ran() {
    check(&[("c follow a b", ""), ("b+3", ""), ("a+3", "c ready on 3")]);
    check(&[("c follow a+3 b+3", "c ready on 3")]);
    check(&[("c follow failure a", ""), ("a-3", "c ready on 3")]);
}

#[test]
fn following_tasks_that_ran_apart_is_impossible_as_soon_as_two_differ() {
    check(&[("d follow a b c", ""), ("a+1", ""), ("c+2", "d apart c 2")]);
    check(&[("d follow a+1 b c+2", "d apart c 2")]);
    check(&[("d follow either a b", ""), ("a-1", ""), ("b+2", "d apart b 2")]);
}

#[test]
fn followed_tasks_that_never_ran_place_nothing() {
    check(&[("c follow failure a b", ""), ("a-", ""), ("b-2", "c ready on 2")]);
    check(&[("c follow failure a b", ""), ("a-", ""), ("b-", "c ready")]);
    check(&[("c follow any failure a-", "c ready")]);
}

#[test]
fn following_any_offers_the_engines_of_those_met_by_then() {
    check(&[("d follow any a b c", ""), ("b+5", "d ready on 5")]);
    check(&[("d follow any a+9 b-3 c+2", "d ready on 2 9")]);
    check(&[
        ("e follow any a b c after d", ""),
        ("c+7", ""),
        ("a-1", ""),
        ("b+2", ""),
        ("d+9", "e ready on 2 7"),
    ]);
    check(&[("e follow any a b after d", ""), ("a+4", ""), ("b+4", ""), ("d+", "e ready on 4")]);
}

#[test]
fn a_task_may_be_followed_and_come_before() {
    check(&[("c after a follow a", ""), ("a+1", "c ready on 1")]);
    check(&[("c after a follow a", ""), ("a-1", "c unmet a 1")]);
    // Its engine counts although the other condition was the last to be met.
    check(&[("c after a follow any a b", ""), ("b+2", ""), ("a+1", "c ready on 1 2")]);
    check(&[("c after failure a follow a", ""), ("a-1", "c unmet a 1")]);
}

#[test]
fn both_conditions_must_be_met() {
    check(&[("c after a follow b", ""), ("a+1", ""), ("b+2", "c ready on 2")]);
    check(&[("c after a follow b", ""), ("b+2", ""), ("a+1", "c ready on 2")]);
    check(&[("c after a follow b", ""), ("b+2", ""), ("a-1", "c unmet a 1")]);
}

#[test]
fn an_ending_reaches_all_waiting_in_the_order_held() {
    check(&[
        ("d after a", ""),
        ("c after any a b", ""),
        ("e after a b", ""),
        ("b after failure a", ""),
        ("a+", "d ready, c ready, b unmet a"),
        ("b-", "e unmet b"),
    ]);
}

#[test]
fn a_verdict_ends_nothing_by_itself() {
    check(&[("b after a", ""), ("c after b", ""), ("a-", "b unmet a"), ("b-", "c unmet b")]);
}

#[test]
fn a_held_task_is_not_held_again() {
    check(&[("c after a", ""), ("c after b", ""), ("b+", ""), ("a+", "c ready")]);
}

#[test]
fn a_decided_task_may_be_held_again() {
    check(&[("c after a", ""), ("a+", "c ready"), ("c after a", ""), ("a+", "c ready")]);
}

#[test]
fn a_repeated_or_unknown_ending_changes_nothing() {
    check(&[
        ("c after a b", ""),
        ("a+", ""),
        ("a+", ""),
        ("a-", ""),
        ("z+", ""),
        ("b+", "c ready"),
    ]);
}

#[test]
fn a_released_task_is_forgotten() {
    check(&[("c after a timeout 5", ""), ("d after a", ""), ("release c", ""), ("a+", "d ready")]);
    check(&[("c after a", ""), ("release c", ""), ("release c", ""), ("release d", "")]);
    check(&[
        ("c after a b", ""),
        ("d after a b", ""),
        ("e after a b", ""),
        ("release d", ""),
        ("a+", ""),
        ("b+", "c ready, e ready"),
    ]);
}

#[test]
fn unmet_conditions_time_out_earliest_deadline_first() {
    check(&[
        ("c after a timeout 50", ""),
        ("d after a timeout 20", ""),
        ("e after a timeout 50", ""),
        ("f after a", ""),
        ("at 19", ""),
        ("at 20", "d late"),
        ("at 60", "c late, e late"),
        ("a+", "f ready"),
    ]);
}

#[test]
fn a_decided_task_never_times_out() {
    check(&[
        ("c after a timeout 50", ""),
        ("a+", "c ready"),
        ("d after b timeout 60", ""),
        ("at 70", "d late"),
    ]);
    check(&[("c after a timeout 50", ""), ("a-", "c unmet a")]);
}

#[test]
fn a_task_that_waits_for_itself_waits() {
    check(&[("c after c", ""), ("a+", ""), ("still 1", "")]);
    check(&[("c after c", ""), ("c-", "c unmet c")]);
}

#[test]
fn a_task_listed_twice_counts_twice() {
    check(&[("c after a a b", ""), ("a+", ""), ("b+", "c ready")]);
    check(&[("c after any a a b", ""), ("a-", ""), ("b-", "c unmet b")]);
}

const WIDE: u64 = 100_000;

fn task(seq: u64) -> TaskId {
    TaskId::new(ClientId(1), seq)
}

fn hold(task: TaskId, after: impl IntoIterator<Item = TaskId>) -> DagEvent {
    let tasks = after.into_iter().map(|task| (task, Known::Open)).collect();
    DagEvent::Hold(WaitingTask {
        task,
        after: Some(Condition { tasks, ..Condition::default() }),
        ..WaitingTask::default()
    })
}

fn done(task: TaskId) -> DagEvent {
    DagEvent::Ended(task, Ending { success: true, engine: Some(EngineId(1)) })
}

fn play(dag: &mut Dag, event: DagEvent) -> Vec<DagEffect> {
    let mut effects = Vec::new();
    dag.handle(Time::ZERO, event, &mut effects);
    effects
}

fn ready(task: TaskId) -> DagEffect {
    DagEffect { task, verdict: DagVerdict::Ready(None) }
}

#[test]
fn a_long_chain_unrolls_link_by_link() {
    let mut dag = Dag::default();
    for seq in 1..=WIDE {
        assert!(play(&mut dag, hold(task(seq), [task(seq - 1)])).is_empty());
    }
    assert_eq!(dag.held_len() as u64, WIDE);
    dag.check_invariants();
    for seq in 0..WIDE {
        assert_eq!(play(&mut dag, done(task(seq))), [ready(task(seq + 1))]);
    }
    assert_empty(&dag);
}

#[test]
fn one_task_may_wait_for_many_and_many_for_one() {
    let mut dag = Dag::default();
    assert!(play(&mut dag, hold(task(0), (1..=WIDE).map(task))).is_empty());
    for seq in 1..=WIDE {
        assert!(play(&mut dag, hold(task(WIDE + seq), [task(0)])).is_empty());
    }
    dag.check_invariants();
    for seq in (2..=WIDE).rev() {
        assert!(play(&mut dag, done(task(seq))).is_empty());
    }
    assert_eq!(play(&mut dag, done(task(1))), [ready(task(0))]);
    let effects = play(&mut dag, done(task(0)));
    assert_eq!(effects, (1..=WIDE).map(|seq| ready(task(WIDE + seq))).collect::<Vec<_>>());
    assert_empty(&dag);
}

#[test]
fn many_waiting_for_one_open_task_can_be_released_in_any_order() {
    let mut dag = Dag::default();
    for seq in 1..=WIDE {
        play(&mut dag, hold(task(seq), [task(0)]));
    }
    for seq in (1..=WIDE).step_by(2).chain((2..=WIDE).step_by(2)) {
        play(&mut dag, DagEvent::Release(task(seq)));
    }
    assert_empty(&dag);
}

#[test]
fn edges_are_small() {
    // A task may have thousands of them.
    assert_eq!(size_of::<crate::dag::held::Edge>(), 20);
}
