//! Graphs of several shapes and any size, run through hub, dag and scheduler: what that takes of time,
//! events and memory. For the bench that prints it and for the test that bounds it. All tasks are
//! there before the first one runs; payloads are empty.

use std::time::Instant;

use crate::counting;
use crate::rooms::Rooms;

/// Tasks, and which of those before it each comes after.
pub struct Graph {
    /// How many.
    pub tasks: u64,
    after: Box<dyn FnMut(u64) -> Vec<u64>>,
    is_held: bool,
}

/// What was measured of one graph.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// How many tasks.
    pub tasks: u64,
    /// How many edges.
    pub edges: u64,
    /// Bytes allocated while all of them wait; 0 if the allocator does not count.
    pub waiting_bytes: u64,
    /// Time to submit all.
    pub submit_ns: u64,
    /// Time to run all.
    pub run_ns: u64,
    /// Events that rooms were told.
    pub events: u64,
}

impl Graph {
    /// Tasks that wait for nothing but an engine.
    pub fn independent(tasks: u64) -> Self {
        Self { tasks, after: Box::new(|_| Vec::new()), is_held: false }
    }

    /// Tasks that all wait for one other.
    pub fn waiting_for_one(tasks: u64) -> Self {
        Self { is_held: true, ..Self::independent(tasks) }
    }

    /// Each task comes after the one before it.
    pub fn chain(tasks: u64) -> Self {
        let after = |seq: u64| seq.checked_sub(1).into_iter().collect();
        Self { tasks, after: Box::new(after), is_held: true }
    }

    /// Ten groups, in each of which one task comes after all others; the last one after those of the
    /// other groups too. One task may name 20,000.
    pub fn fan_in(tasks: u64) -> Self {
        let width = (tasks / 10).max(1);
        let after = move |seq: u64| match seq {
            last if last == tasks - 1 => {
                (1..10).map(|group| group * width - 1).chain(seq + 1 - width..seq).collect()
            }
            seq if seq % width == width - 1 => (seq + 1 - width..seq).collect(),
            _ => Vec::new(),
        };
        Self { tasks, after: Box::new(after), is_held: true }
    }

    /// Layers of a hundredth of the tasks; each task comes after ten of the layer before, by chance, so
    /// that there are about `edges` in all.
    pub fn layers(edges: u64) -> Self {
        let (tasks, width) = (edges / 10, (edges / 1_000).max(10));
        let mut random = fastrand::Rng::with_seed(7);
        let after = move |seq: u64| {
            let Some(layer) = (seq / width).checked_sub(1) else { return Vec::new() };
            let mut after: Vec<_> = (0..10).map(|_| layer * width + random.u64(..width)).collect();
            after.sort_unstable();
            after.dedup();
            after
        };
        Self { tasks, after: Box::new(after), is_held: true }
    }

    /// Submits all of it to rooms with so many engines, then runs it. Unless its tasks are
    /// independent, a first task, on which all others wait that have nothing else to wait for, holds
    /// it until all is there.
    pub fn measure(mut self, engines: u64) -> Measured {
        let mut rooms = Rooms::new(engines, 4 * self.tasks + 10);
        if self.is_held {
            rooms.submit(&[]);
        }
        let first = u64::from(self.is_held);
        let mut edges = 0;
        // Made before, so that neither its time nor its memory is counted.
        let graph: Vec<Vec<u64>> = (0..self.tasks)
            .map(|seq| {
                let mut after: Vec<_> =
                    (self.after)(seq).into_iter().map(|seq| seq + first).collect();
                after.extend((self.is_held && after.is_empty()).then_some(0));
                edges += after.len() as u64;
                after
            })
            .collect();
        let (handled, before) = (rooms.handled, counting::allocated_bytes());
        let began = Instant::now();
        for after in &graph {
            rooms.submit(after);
        }
        let submit_ns = began.elapsed().as_nanos() as u64;
        let waiting_bytes = counting::allocated_bytes().saturating_sub(before) as u64;
        let began = Instant::now();
        rooms.drain();
        let run_ns = began.elapsed().as_nanos() as u64;
        rooms.check_rest();
        let events = rooms.handled - handled;
        Measured { tasks: self.tasks, edges, waiting_bytes, submit_ns, run_ns, events }
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}
