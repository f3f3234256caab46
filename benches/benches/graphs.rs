//! What hub, dag and scheduler cost together at scale, in virtual time: graphs of several shapes in
//! three sizes each, all of whose tasks are there before the first one runs. Time per task, edge and
//! event, and memory per waiting task, payloads aside. Prints a table; there is nothing to repeat.
//!
//! Time is that of one thread, the allocator's counting included. It is to be linear: the figures of
//! the sizes are to be the same but for what the caches of the machine do.

use phalanx_benches::counting::Counting;
use phalanx_benches::graphs::{Graph, Measured};

#[global_allocator]
static COUNTING: Counting = Counting;

fn print(name: &str, measured: &Measured) {
    let Measured { tasks, edges, waiting_bytes, submit_ns, run_ns, events } = measured;
    let all_ns = submit_ns + run_ns;
    // Without edges there is nothing to say of one.
    let edge_ns = all_ns.checked_div(*edges).map_or_else(String::new, |ns| ns.to_string());
    println!(
        "{name:24}{tasks:>10}{edges:>10}{:>12}{edge_ns:>10}{:>10}{:>12}",
        all_ns / tasks,
        all_ns / events,
        waiting_bytes / tasks,
    );
}

fn main() {
    println!(
        "{:24}{:>10}{:>10}{:>12}{:>10}{:>10}{:>12}",
        "", "tasks", "edges", "ns/task", "ns/edge", "ns/event", "bytes/task"
    );
    let sizes = [10_000, 100_000, 1_000_000];
    for tasks in sizes {
        print("queued, no dependency", &Graph::independent(tasks).measure(8));
    }
    for tasks in sizes {
        print("the same, 10,000 engines", &Graph::independent(tasks).measure(10_000));
    }
    for tasks in sizes {
        print("waiting for one", &Graph::waiting_for_one(tasks).measure(8));
    }
    for tasks in [1_000, 10_000, 100_000] {
        print("chain", &Graph::chain(tasks).measure(8));
    }
    for tasks in [1_000, 10_000, 100_000] {
        print("fan in", &Graph::fan_in(tasks).measure(8));
    }
    for edges in sizes {
        print("random layers", &Graph::layers(edges).measure(8));
    }
    for edges in sizes {
        print("the same, 10,000 engines", &Graph::layers(edges).measure(10_000));
    }
}
