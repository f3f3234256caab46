//! What hub, dag and scheduler cost together at scale, in virtual time: graphs of several shapes in
//! three sizes each, all of whose tasks are there before the first one runs. Time per task and per
//! edge, and memory per waiting task, payloads aside. Prints a table; there is nothing to repeat.
//!
//! Time is that of one thread, the allocator's counting included. It is to be linear: the figures of
//! the sizes are to be the same but for what the caches of the machine do.

use std::time::Instant;

use phalanx_benches::counting::{self, Counting};
use phalanx_benches::rooms::Rooms;

#[global_allocator]
static COUNTING: Counting = Counting;

/// What was measured of one graph.
struct Row {
    tasks: u64,
    edges: u64,
    waiting_bytes: u64,
    submit_ns: u64,
    run_ns: u64,
    events: u64,
}

/// The tasks that each comes after, by its number.
type After = Box<dyn FnMut(u64) -> Vec<u64>>;

/// Submits all of a graph, then runs it. A first task, on which all others wait that have nothing
/// else to wait for, holds it until all is there.
fn measure(engines: u64, tasks: u64, held: bool, mut after: After) -> Row {
    let mut rooms = Rooms::new(engines, 4 * tasks + 10);
    if held {
        rooms.submit(&[]);
    }
    let first = u64::from(held);
    let mut edges = 0;
    // Made before, so that neither its time nor its memory is counted.
    let graph: Vec<Vec<u64>> = (0..tasks)
        .map(|seq| {
            let mut after: Vec<_> = after(seq).into_iter().map(|seq| seq + first).collect();
            after.extend((held && after.is_empty()).then_some(0));
            edges += after.len() as u64;
            after
        })
        .collect();
    let (before, began) = (counting::allocated_bytes(), Instant::now());
    for after in &graph {
        rooms.submit(after);
    }
    let submit_ns = began.elapsed().as_nanos() as u64;
    let waiting_bytes = counting::allocated_bytes().saturating_sub(before) as u64;
    let (events, began) = (rooms.handled, Instant::now());
    rooms.drain();
    let run_ns = began.elapsed().as_nanos() as u64;
    rooms.check_rest();
    Row { tasks, edges, waiting_bytes, submit_ns, run_ns, events: events.max(rooms.handled) }
}

fn print(name: &str, row: &Row) {
    let Row { tasks, edges, waiting_bytes, submit_ns, run_ns, events } = row;
    let all_ns = submit_ns + run_ns;
    println!(
        "{name:24}{tasks:>10}{edges:>10}{:>12}{:>10}{:>10}{:>12}",
        all_ns / tasks,
        all_ns / (*edges).max(1),
        all_ns / events,
        waiting_bytes / tasks,
    );
}

/// Layers of a thousandth of the tasks; each task comes after ten of the layer before, by chance, so
/// that there are `edges` in all.
fn layers(edges: u64) -> (u64, After) {
    let (tasks, width) = (edges / 10, (edges / 1_000).max(10));
    let mut random = fastrand::Rng::with_seed(7);
    let after = move |seq: u64| {
        let Some(layer) = (seq / width).checked_sub(1) else { return Vec::new() };
        let mut after: Vec<_> = (0..10).map(|_| layer * width + random.u64(..width)).collect();
        after.sort_unstable();
        after.dedup();
        after
    };
    (tasks, Box::new(after))
}

fn main() {
    println!(
        "{:24}{:>10}{:>10}{:>12}{:>10}{:>10}{:>12}",
        "", "tasks", "edges", "ns/task", "ns/edge", "ns/event", "bytes/task"
    );
    let sizes = [10_000, 100_000, 1_000_000];
    for tasks in sizes {
        print("queued, no dependency", &measure(8, tasks, false, Box::new(|_| Vec::new())));
    }
    for tasks in sizes {
        let engines = 10_000;
        print(
            "the same, 10,000 engines",
            &measure(engines, tasks, false, Box::new(|_| Vec::new())),
        );
    }
    for tasks in sizes {
        print("waiting for one", &measure(8, tasks, true, Box::new(|_| Vec::new())));
    }
    for tasks in [1_000, 10_000, 100_000] {
        let chain = |seq: u64| seq.checked_sub(1).into_iter().collect();
        print("chain", &measure(8, tasks, true, Box::new(chain)));
    }
    for tasks in [1_000, 10_000, 100_000] {
        // One task may name 20,000.
        let width = (tasks / 10).max(1);
        let fan_in = move |seq: u64| match seq {
            last if last == tasks - 1 => {
                (1..10).map(|group| group * width - 1).chain(seq + 1 - width..seq).collect()
            }
            seq if seq % width == width - 1 => (seq + 1 - width..seq).collect(),
            _ => Vec::new(),
        };
        print("fan in", &measure(8, tasks, true, Box::new(fan_in)));
    }
    for edges in sizes {
        let (tasks, after) = layers(edges);
        print("random layers", &measure(8, tasks, true, after));
    }
    for edges in sizes {
        let (tasks, after) = layers(edges);
        print("the same, 10,000 engines", &measure(10_000, tasks, true, after));
    }
}
