//! What a room tells of the tasks that it holds.

use std::time::Duration;

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::room::{Condition, Ending, Known, WaitingTask};
use phalanx_protocol::task::Quorum;

use crate::dag::{Dag, DagEvent, HeldTask, Unmet};
use crate::{Room, Time};

fn task(seq: u64) -> TaskId {
    TaskId::new(ClientId(1), seq)
}

fn condition(quorum: Quorum, tasks: [u64; 2]) -> Option<Condition> {
    let tasks = tasks.map(|seq| (task(seq), Known::Open)).to_vec();
    Some(Condition { tasks, quorum, ..Condition::default() })
}

fn play(dag: &mut Dag, event: DagEvent) {
    dag.handle(Time::ZERO, event, &mut Vec::new());
    dag.check_invariants();
}

/// A room with a task that comes after 2 and 1, follows any of 4 and 3, and waits 50 ms at most.
fn room() -> Dag {
    let mut dag = Dag::default();
    let waiting = WaitingTask {
        task: task(9),
        after: condition(Quorum::All, [2, 1]),
        follow: condition(Quorum::Any, [4, 3]),
        timeout_ms: Some(50),
    };
    play(&mut dag, DagEvent::Hold(waiting));
    dag
}

fn ran_on(dag: &mut Dag, seq: u64, engine: u32) {
    let ending = Ending { success: true, engine: Some(EngineId(engine)) };
    play(dag, DagEvent::Ended(task(seq), ending));
}

#[test]
fn a_held_task_is_told_with_all_that_it_waits_for_in_order() {
    let mut dag = room();
    let after = condition(Quorum::All, [9, 8]);
    play(&mut dag, DagEvent::Hold(WaitingTask { task: task(5), after, ..WaitingTask::default() }));
    let open = |tasks: [u64; 2]| {
        Some(Unmet { open: tasks.map(task).to_vec(), is_met: false, engines: Vec::new() })
    };
    let deadline = Some(Time::ZERO + Duration::from_millis(50));
    let all = [
        HeldTask { task: task(5), deadline: None, after: open([8, 9]), follow: None },
        HeldTask { task: task(9), deadline, after: open([1, 2]), follow: open([3, 4]) },
    ];
    assert_eq!(dag.snapshot(), all);
}

#[test]
fn what_has_ended_is_told_no_more_but_for_where_it_ran_if_that_matters() {
    let mut dag = room();
    ran_on(&mut dag, 2, 5);
    ran_on(&mut dag, 4, 7);
    ran_on(&mut dag, 3, 6);
    let [held] = &dag.snapshot()[..] else { panic!("one is held") };
    let after = Unmet { open: vec![task(1)], is_met: false, engines: Vec::new() };
    let follow = Unmet { open: vec![], is_met: true, engines: vec![EngineId(6), EngineId(7)] };
    assert_eq!((&held.after, &held.follow), (&Some(after), &Some(follow)));
    ran_on(&mut dag, 1, 5);
    assert_eq!(dag.snapshot(), []);
}
