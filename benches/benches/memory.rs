//! How much memory the scheduler and the dag rooms take per task that they hold, payloads aside
//! (those are not theirs). Exact: every allocation is counted. Prints a table; there is nothing
//! to repeat.

use phalanx_benches::counting::{self, Counting};
use phalanx_core::dag::{Dag, DagEvent};
use phalanx_core::scheduler::{Scheduler, SchedulerEvent};
use phalanx_core::{Room, Time};
use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::room::{Condition, EngineCapacity, Known, ReadyTask, WaitingTask};
use phalanx_protocol::task::MethodName;

#[global_allocator]
static COUNTING: Counting = Counting;

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];

/// Bytes per task of what `make` makes of so many tasks.
fn bytes_per_task<T>(tasks: u64, make: impl FnOnce(u64) -> T) -> u64 {
    let before = counting::allocated_bytes();
    let made = make(tasks);
    let bytes = counting::allocated_bytes() - before;
    drop(made);
    bytes as u64 / tasks
}

const fn task(seq: u64) -> TaskId {
    TaskId::new(ClientId(1), seq)
}

/// Eight busy engines, and tasks for any of them or for some.
fn queued(tasks: u64, engines: impl Fn(u64) -> Option<Vec<EngineId>>) -> Scheduler {
    let method = MethodName::try_from("bench.method").expect("short enough");
    let mut room = Scheduler::default();
    let mut effects = Vec::new();
    for engine in 0..8 {
        let capacity = EngineCapacity {
            engine: EngineId(engine),
            slots: 1,
            methods: vec![method.clone()],
            assigned: vec![TaskId::new(ClientId(0), engine.into())],
            ..EngineCapacity::default()
        };
        room.handle(Time::ZERO, SchedulerEvent::EngineUp(capacity), &mut effects);
    }
    for seq in 0..tasks {
        let ready = ReadyTask {
            task: task(seq),
            method: Some(method.clone()),
            engines: engines(seq),
            ..ReadyTask::default()
        };
        room.handle(Time::ZERO, SchedulerEvent::Place(ready), &mut effects);
    }
    assert!(effects.is_empty());
    room
}

/// Tasks that each come after so many before them.
fn held(tasks: u64, edges: u64) -> Dag {
    let mut room = Dag::default();
    let mut effects = Vec::new();
    for seq in edges..tasks + edges {
        let after = (1..=edges).map(|back| (task(seq - back), Known::Open)).collect();
        let waiting = WaitingTask {
            task: task(seq),
            after: Some(Condition { tasks: after, ..Condition::default() }),
            ..WaitingTask::default()
        };
        room.handle(Time::ZERO, DagEvent::Hold(waiting), &mut effects);
    }
    assert!(effects.is_empty());
    room
}

fn main() {
    let subset = |seq: u64| Some(vec![EngineId(seq as u32 % 4), EngineId(4 + seq as u32 % 4)]);
    println!("bytes per task held, for {SIZES:?} tasks");
    let print = |what: &str, bytes: [u64; 3]| println!("{what:40}{bytes:>6?}");
    print("scheduler, any engine", SIZES.map(|n| bytes_per_task(n, |n| queued(n, |_| None))));
    print(
        "scheduler, two of eight engines",
        SIZES.map(|n| bytes_per_task(n, |n| queued(n, subset))),
    );
    print("dag, after one", SIZES.map(|n| bytes_per_task(n, |n| held(n, 1))));
    print("dag, after ten", SIZES.map(|n| bytes_per_task(n, |n| held(n, 10))));
}
