//! What the scheduler room costs per task, alone: from Place to Free, effects taken.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use phalanx_core::scheduler::{Hwm, Scheduler, SchedulerEffect, SchedulerEvent, Scheme, Settings};
use phalanx_core::{Room, Time};
use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::room::{EngineCapacity, ReadyTask, SchedulerVerdict};
use phalanx_protocol::task::MethodName;

/// Shorter than the scheduler looks ahead: windows open.
const SHORT: Duration = Duration::from_micros(2);

/// Longer than it looks ahead: one task per slot.
const LONG: Duration = Duration::from_millis(10);

/// A room and the tasks that its engines have, in order of assignment.
struct Bench {
    room: Scheduler,
    running: VecDeque<TaskId>,
    effects: Vec<SchedulerEffect>,
    methods: Vec<MethodName>,
}

impl Bench {
    /// Engines with one slot that offer all of so many methods.
    fn new(engines: u32, methods: usize) -> Self {
        Self::with(Settings::default(), engines, methods)
    }

    /// The same, that place so.
    fn with(settings: Settings, engines: u32, methods: usize) -> Self {
        let names = (0..methods).map(|number| format!("bench.method.{number}"));
        let methods: Vec<_> =
            names.map(|name| MethodName::try_from(name.as_str()).expect("short enough")).collect();
        let mut bench = Self {
            room: Scheduler::with_settings(settings),
            running: VecDeque::new(),
            effects: Vec::new(),
            methods,
        };
        for engine in 0..engines {
            bench.handle(SchedulerEvent::EngineUp(EngineCapacity {
                engine: EngineId(engine),
                slots: 1,
                methods: bench.methods.clone(),
                ..EngineCapacity::default()
            }));
        }
        bench
    }

    fn handle(&mut self, event: SchedulerEvent) {
        self.room.handle(Time::ZERO, event, &mut self.effects);
        for effect in self.effects.drain(..) {
            assert!(matches!(effect.verdict, SchedulerVerdict::Assign(_)));
            self.running.push_back(effect.task);
        }
    }

    fn place(&mut self, seq: u64, engines: Option<Vec<EngineId>>) {
        let method = &self.methods[seq as usize % self.methods.len()];
        self.handle(SchedulerEvent::Place(ReadyTask {
            task: TaskId::new(ClientId(1), seq),
            method: Some(method.clone()),
            follows: engines.is_some(),
            engines,
            ..ReadyTask::default()
        }));
    }

    fn end_one(&mut self, ran: Duration) {
        let task = self.running.pop_front().expect("some task runs");
        self.handle(SchedulerEvent::Free(task, Some(ran)));
    }

    /// Ends all that runs until nothing is left.
    fn drain(&mut self, ran: Duration) {
        while !self.running.is_empty() {
            self.end_one(ran);
        }
        assert_eq!(self.room.queued_len(), 0);
    }
}

/// A client keeps 1,000 tasks in flight.
fn stream(criterion: &mut Criterion) {
    const TASKS: u64 = 100_000;
    const IN_FLIGHT: u64 = 1_000;
    let mut group = criterion.benchmark_group("scheduler/stream");
    group.sample_size(20).throughput(Throughput::Elements(TASKS));
    for (name, ran) in [("short", SHORT), ("long", LONG)] {
        for engines in [2, 8, 64] {
            group.bench_function(BenchmarkId::new(name, engines), |bencher| {
                bencher.iter(|| {
                    let mut bench = Bench::new(engines, 1);
                    for seq in 0..TASKS {
                        bench.place(seq, None);
                        if seq >= IN_FLIGHT {
                            bench.end_one(ran);
                        }
                    }
                    bench.drain(ran);
                    black_box(bench.room.queued_len())
                });
            });
        }
    }
}

/// A client keeps 100 tasks in flight on engines that always have room, so that the scheme chooses.
fn schemes(criterion: &mut Criterion) {
    const TASKS: u64 = 100_000;
    const IN_FLIGHT: u64 = 100;
    let mut group = criterion.benchmark_group("scheduler/schemes");
    group.sample_size(10).throughput(Throughput::Elements(TASKS));
    for scheme in Scheme::ALL {
        for engines in [8, 64, 1_000] {
            group.bench_function(BenchmarkId::new(scheme.as_str(), engines), |bencher| {
                bencher.iter(|| {
                    let settings = Settings::default().with_hwm(Hwm::Fixed(0)).with_scheme(scheme);
                    let mut bench = Bench::with(settings, engines, 1);
                    for seq in 0..TASKS {
                        bench.place(seq, None);
                        if seq >= IN_FLIGHT {
                            bench.end_one(SHORT);
                        }
                    }
                    bench.drain(SHORT);
                    black_box(bench.room.queued_len())
                });
            });
        }
    }
}

/// All tasks are there before the first ends: the queue is as long as it gets.
fn backlog(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler/backlog");
    for tasks in [10_000, 100_000, 1_000_000] {
        group.sample_size(10).throughput(Throughput::Elements(tasks));
        group.bench_function(BenchmarkId::from_parameter(tasks), |bencher| {
            bencher.iter(|| {
                let mut bench = Bench::new(8, 1);
                (0..tasks).for_each(|seq| bench.place(seq, None));
                bench.drain(LONG);
                black_box(bench.room.queued_len())
            });
        });
    }
}

/// Many classes: each task follows to one engine or a few, each engine has a queue of its own; or
/// there are many methods. All engines are busy.
fn classes(criterion: &mut Criterion) {
    const TASKS: u64 = 100_000;
    let mut group = criterion.benchmark_group("scheduler/classes");
    group.sample_size(10).throughput(Throughput::Elements(TASKS));
    for engines in [100, 1_000, 10_000_u32] {
        group.bench_function(BenchmarkId::new("one engine each", engines), |bencher| {
            bencher.iter(|| {
                let mut bench = Bench::new(engines, 1);
                for seq in 0..TASKS {
                    bench.place(seq, Some(vec![EngineId(seq as u32 % engines)]));
                }
                bench.drain(LONG);
            });
        });
    }
    group.bench_function("three of 64 engines each", |bencher| {
        bencher.iter(|| {
            let mut bench = Bench::new(64, 1);
            for seq in 0..TASKS {
                // Always three different ones, in thousands of combinations.
                let first = seq as u32 % 20;
                let engines = [first, 20 + (seq / 20) as u32 % 20, 40 + (seq / 400) as u32 % 24];
                bench.place(seq, Some(engines.map(EngineId).to_vec()));
            }
            bench.drain(LONG);
        });
    });
    group.bench_function("100 methods, 64 engines", |bencher| {
        bencher.iter(|| {
            let mut bench = Bench::new(64, 100);
            (0..TASKS).for_each(|seq| bench.place(seq, None));
            bench.drain(LONG);
        });
    });
    group.bench_function("100 of 1,000 engines", |bencher| {
        let engines: Vec<_> = (0..1_000).step_by(10).map(EngineId).collect();
        bencher.iter(|| {
            let mut bench = Bench::new(1_000, 1);
            (0..TASKS).for_each(|seq| bench.place(seq, Some(engines.clone())));
            bench.drain(LONG);
        });
    });
}

criterion_group!(benches, stream, schemes, backlog, classes);
criterion_main!(benches);
