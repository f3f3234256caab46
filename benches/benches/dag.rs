//! What the dag room costs per dependency and per task, alone: from Hold to Ready.

use std::collections::VecDeque;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use phalanx_core::dag::{Dag, DagEffect, DagEvent};
use phalanx_core::{Room, Time};
use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::room::{Condition, DagVerdict, Ending, Known, WaitingTask};
use phalanx_protocol::task::{Accept, Quorum};

/// A graph: the events that hold its tasks, those of its tasks that depend on nothing, and which
/// tasks are depended on.
#[derive(Clone)]
struct Graph {
    holds: Vec<WaitingTask>,
    roots: Vec<TaskId>,
    /// By sequence number.
    is_awaited: Vec<bool>,
    edges: u64,
}

const fn task(seq: u64) -> TaskId {
    TaskId::new(ClientId(1), seq)
}

impl Graph {
    /// So many tasks, of which `predecessors` says what each comes after.
    fn new(tasks: u64, mut predecessors: impl FnMut(u64) -> Vec<u64>) -> Self {
        let mut graph = Self {
            holds: Vec::new(),
            roots: Vec::new(),
            is_awaited: vec![false; tasks as usize],
            edges: 0,
        };
        for seq in 0..tasks {
            let after = predecessors(seq);
            if after.is_empty() {
                graph.roots.push(task(seq));
                continue;
            }
            graph.edges += after.len() as u64;
            after.iter().for_each(|&seq| graph.is_awaited[seq as usize] = true);
            graph.holds.push(WaitingTask {
                task: task(seq),
                after: Some(Condition {
                    tasks: after.into_iter().map(|seq| (task(seq), Known::Open)).collect(),
                    quorum: Quorum::All,
                    accept: Accept::Success,
                }),
                follow: None,
                timeout_ms: None,
            });
        }
        graph
    }

    /// Each task comes after the one before it.
    fn chain(tasks: u64) -> Self {
        Self::new(tasks, |seq| seq.checked_sub(1).into_iter().collect())
    }

    /// The last task of each 10,000 comes after all others of them.
    fn fan_in(tasks: u64) -> Self {
        const WIDTH: u64 = 10_000;
        Self::new(tasks, |seq| match seq % WIDTH {
            last if last == WIDTH - 1 => (seq + 1 - WIDTH..seq).collect(),
            _ => Vec::new(),
        })
    }

    /// Layers of 1,000; each task comes after ten of the layer before, by chance.
    fn layers(tasks: u64) -> Self {
        const WIDTH: u64 = 1_000;
        let mut random = fastrand::Rng::with_seed(7);
        Self::new(tasks, |seq| {
            let Some(layer) = (seq / WIDTH).checked_sub(1) else { return Vec::new() };
            let mut after: Vec<_> = (0..10).map(|_| layer * WIDTH + random.u64(..WIDTH)).collect();
            after.sort_unstable();
            after.dedup();
            after
        })
    }

    fn hold(self) -> Dag {
        let mut dag = Dag::default();
        let mut effects = Vec::new();
        for waiting in self.holds {
            dag.handle(Time::ZERO, DagEvent::Hold(waiting), &mut effects);
        }
        assert!(effects.is_empty());
        dag
    }
}

/// Holds all of a graph, then ends each task as soon as it is ready; answers how many were.
fn run(graph: Graph) -> usize {
    let held = graph.holds.len();
    let mut ready = VecDeque::from(graph.roots.clone());
    let is_awaited = graph.is_awaited.clone();
    let mut dag = graph.hold();
    let mut effects: Vec<DagEffect> = Vec::new();
    let mut ran = 0;
    let ending = Ending { success: true, engine: Some(EngineId(1)) };
    while let Some(task) = ready.pop_front() {
        if !is_awaited[task.seq as usize] {
            continue;
        }
        dag.handle(Time::ZERO, DagEvent::Ended(task, ending), &mut effects);
        for DagEffect { task, verdict } in effects.drain(..) {
            assert!(matches!(verdict, DagVerdict::Ready(_)));
            ran += 1;
            ready.push_back(task);
        }
    }
    assert_eq!(ran, held);
    ran
}

/// A name, and what makes a graph of so many tasks.
type Shape = (&'static str, fn(u64) -> Graph);

fn shapes(criterion: &mut Criterion) {
    let shapes: [Shape; 3] =
        [("chain", Graph::chain), ("fan in", Graph::fan_in), ("layers", Graph::layers)];
    for (name, make) in shapes {
        let mut group = criterion.benchmark_group(format!("dag/{name}, per dependency"));
        for tasks in [10_000, 100_000] {
            let graph = make(tasks);
            group.sample_size(10).throughput(Throughput::Elements(graph.edges));
            group.bench_function(BenchmarkId::from_parameter(tasks), |bencher| {
                bencher.iter_batched(|| graph.clone(), run, BatchSize::PerIteration);
            });
        }
    }
}

criterion_group!(benches, shapes);
criterion_main!(benches);
