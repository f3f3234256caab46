//! How long a batch takes beside the least it could, in virtual time: the scheduler sends ahead, is
//! wrong about it, and takes back. Engines are queues that start what they have in order; every
//! word between scheduler and engine takes half a round trip.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::room::{EngineCapacity, ReadyTask, SchedulerVerdict};

use super::text::method;
use crate::scheduler::{Scheduler, SchedulerEvent};
use crate::{Room, Time};

/// What is under way, or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    Assigned(EngineId, u64),
    AskedBack(EngineId, u64),
    Ran(EngineId, u64),
    Ended(u64),
    Answered(u64, bool),
    Deadline,
}

/// A scheduler and two engines of one slot.
struct Cluster {
    room: Scheduler,
    now: Time,
    runs: Vec<Duration>,
    half_round_trip: Duration,
    news: BinaryHeap<Reverse<(Time, u64, News)>>,
    next_number: u64,
    queues: BTreeMap<EngineId, VecDeque<u64>>,
    running: BTreeMap<EngineId, u64>,
    given_back: u64,
    /// Whether engines keep whatever they are asked for.
    keeps_all: bool,
}

fn ready(seq: u64) -> ReadyTask {
    let (task, method) = (TaskId::new(ClientId(1), seq), Some(method("a")));
    ReadyTask { task, method, ..ReadyTask::default() }
}

impl Cluster {
    fn new(runs: Vec<Duration>) -> Self {
        let mut cluster = Self {
            room: Scheduler::default(),
            now: Time::ZERO,
            runs,
            half_round_trip: Duration::from_micros(100),
            news: BinaryHeap::new(),
            next_number: 0,
            queues: BTreeMap::new(),
            running: BTreeMap::new(),
            given_back: 0,
            keeps_all: false,
        };
        for engine in [EngineId(1), EngineId(2)] {
            cluster.queues.insert(engine, VecDeque::new());
            let (slots, methods) = (1, vec![method("a")]);
            let capacity = EngineCapacity { engine, slots, methods, ..EngineCapacity::default() };
            cluster.tell(SchedulerEvent::EngineUp(capacity));
        }
        cluster
    }

    fn after(&mut self, pause: Duration, news: News) {
        self.next_number += 1;
        self.news.push(Reverse((self.now + pause, self.next_number, news)));
    }

    fn tell(&mut self, event: SchedulerEvent) {
        let mut effects = Vec::new();
        self.room.handle(self.now, event, &mut effects);
        self.room.settle(self.now, &mut effects);
        self.pass_on(effects);
    }

    fn pass_on(&mut self, effects: Vec<crate::scheduler::SchedulerEffect>) {
        for effect in effects {
            let news = match effect.verdict {
                SchedulerVerdict::Assign(engine) => News::Assigned(engine, effect.task.seq),
                SchedulerVerdict::TakeBack(engine) => News::AskedBack(engine, effect.task.seq),
                SchedulerVerdict::Unplaceable => panic!("{effect:?}"),
            };
            self.after(self.half_round_trip, news);
        }
        if let Some(deadline) = self.room.next_deadline() {
            self.after(deadline.since(self.now), News::Deadline);
        }
    }

    fn start_next(&mut self, engine: EngineId) {
        if self.running.contains_key(&engine) {
            return;
        }
        if let Some(seq) = self.queues.get_mut(&engine).and_then(VecDeque::pop_front) {
            self.running.insert(engine, seq);
            self.after(self.runs[seq as usize], News::Ran(engine, seq));
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Assigned(engine, seq) => {
                self.queues.entry(engine).or_default().push_back(seq);
                self.start_next(engine);
            }
            News::AskedBack(engine, seq) => {
                let queue = self.queues.entry(engine).or_default();
                let before = queue.len();
                queue.retain(|other| *other != seq || self.keeps_all);
                let given = queue.len() < before;
                self.given_back += u64::from(given);
                self.after(self.half_round_trip, News::Answered(seq, given));
            }
            News::Ran(engine, seq) => {
                self.running.remove(&engine);
                self.start_next(engine);
                self.after(self.half_round_trip, News::Ended(seq));
            }
            News::Ended(seq) => {
                let ran = Some(self.runs[seq as usize]);
                self.tell(SchedulerEvent::Free(ready(seq).task, ran));
            }
            News::Answered(seq, given) => {
                let ready = ready(seq);
                self.tell(SchedulerEvent::TakenBack(ready.task, given.then_some(ready)));
            }
            News::Deadline => {
                let mut effects = Vec::new();
                if self.room.next_deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.room.on_deadline(self.now, &mut effects);
                    self.pass_on(effects);
                }
            }
        }
    }

    /// Runs all tasks; says how long that took beside their sum spread evenly.
    fn makespan_over_ideal(&mut self) -> f64 {
        for seq in 0..self.runs.len() as u64 {
            self.tell(SchedulerEvent::Place(ready(seq)));
        }
        let mut last = Time::ZERO;
        while let Some(Reverse((at, _, news))) = self.news.pop() {
            self.now = at;
            if let News::Ended(_) = news {
                last = at;
            }
            self.hear(news);
        }
        assert_eq!((self.room.queued_len(), self.room.assigned_len()), (0, 0), "all has ended");
        let sum: Duration = self.runs.iter().sum();
        last.since(Time::ZERO).as_secs_f64() / (sum.as_secs_f64() / 2.0)
    }
}

/// Run times with a long tail, as in a batch of experiments: of most tasks a few milliseconds, of
/// some a hundred times that.
fn long_tailed(seed: u64, tasks: usize, shortest: Duration) -> Vec<Duration> {
    // 1 / u^0.9 for even u: a Pareto distribution, cut off at 80 times the shortest.
    let mut word = seed;
    let mut even = || {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((word >> 33) as f64 + 1.0) / 2_f64.powi(31)
    };
    (0..tasks).map(|_| shortest.mul_f64(even().powf(-0.9).min(80.0))).collect()
}

/// What it takes if whoever has nothing to do has the next task at once (list scheduling).
fn without_round_trips(runs: &[Duration]) -> f64 {
    let mut ends = [Duration::ZERO; 2];
    for run in runs {
        *ends.iter_mut().min().expect("there are two") += *run;
    }
    let sum: Duration = runs.iter().sum();
    ends.iter().max().expect("there are two").as_secs_f64() / (sum.as_secs_f64() / 2.0)
}

#[test]
fn tasks_of_very_different_length_end_as_soon_as_if_there_were_no_round_trips() {
    for half_round_trip in [100, 300].map(Duration::from_micros) {
        let (mut with, mut without) = (0.0, 0.0);
        for seed in 0..100 {
            let runs = long_tailed(seed, 200, Duration::from_millis(5));
            without += without_round_trips(&runs) / 100.0;
            with += Cluster { half_round_trip, ..Cluster::new(runs) }.makespan_over_ideal() / 100.0;
        }
        assert!(with <= without + 0.002, "{with} and {without}, {half_round_trip:?}");
        assert!(with <= 1.02, "{with}");
    }
}

/// What it takes when tasks are taken back; more if they are not.
fn better_with_taking_back(runs: &[Duration]) -> f64 {
    let mut cluster = Cluster::new(runs.to_vec());
    let with = cluster.makespan_over_ideal();
    assert!(cluster.given_back > 0, "some were sent ahead to the wrong engine");
    let mut cluster = Cluster { keeps_all: true, ..Cluster::new(runs.to_vec()) };
    let without = cluster.makespan_over_ideal();
    assert_eq!(cluster.given_back, 0);
    assert!(with < without, "{with} with and {without} without");
    with
}

#[test]
fn long_tasks_behind_very_many_short_ones_end_close_to_the_ideal() {
    let short = vec![Duration::from_micros(10); 2_000];
    let long = long_tailed(7, 200, Duration::from_millis(5));
    let ratio = better_with_taking_back(&[short, long].concat());
    assert!(ratio <= 1.02, "{ratio}");
}

#[test]
fn one_long_task_among_very_many_short_ones_holds_nobody_up() {
    // It ends a little later than the other engine is through with all that is queued.
    let mut runs = vec![Duration::from_micros(20); 20_000];
    runs[10_000] = Duration::from_millis(205);
    let ratio = better_with_taking_back(&runs);
    assert!(ratio <= 1.02, "{ratio}");
}
