//! Work and memory of hub, dag and scheduler grow with the tasks that wait, and no faster. Counted, not
//! timed. One test in a binary of its own: its allocator counts what all threads allocate.

use phalanx_benches::counting::Counting;
use phalanx_benches::graphs::{Graph, Measured};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Each is just past a power of two, where a table that doubles has just done so: the worst case.
const SIZES: [u64; 3] = [8_300, 33_200, 132_800];

/// What a task may take that waits for no more than one other, payload aside.
const TASK_BYTES_MAX: u64 = 400;

/// What it may take for each that it waits for besides.
const EDGE_BYTES_MAX: u64 = 24;

/// What is used per task and edge is no more in a large graph than in a small one, but for a few in a
/// hundred.
fn assert_linear(what: &str, used: [f64; 3]) {
    let is_linear = used.iter().all(|value| *value <= used[0] * 1.03);
    assert!(is_linear, "{what} per task and edge, for {SIZES:?} tasks: {used:.2?}");
}

fn check(name: &str, graph: impl Fn(u64) -> Graph) {
    let measured = SIZES.map(|size| graph(size).measure(8));
    let used = |it: &Measured, what: u64| what as f64 / (it.tasks + it.edges) as f64;
    assert_linear(&format!("{name}: events"), measured.map(|it| used(&it, it.events)));
    assert_linear(&format!("{name}: bytes"), measured.map(|it| used(&it, it.waiting_bytes)));
    for Measured { tasks, edges, waiting_bytes, .. } in measured {
        let bytes_max = TASK_BYTES_MAX * tasks + EDGE_BYTES_MAX * edges.saturating_sub(tasks);
        let told = format!("{name}: {tasks} tasks, {edges} edges, {waiting_bytes} bytes");
        assert!((1..=bytes_max).contains(&waiting_bytes), "{told}");
    }
}

#[test]
fn work_and_memory_are_linear_in_tasks_and_edges() {
    check("no dependency", Graph::independent);
    check("waiting for one", Graph::waiting_for_one);
    check("chain", Graph::chain);
    check("random layers", |tasks| Graph::layers(tasks * 10));
}
