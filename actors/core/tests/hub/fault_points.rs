//! The dag room panics at each event of a story in turn (FAULTS 22): the hub has it made anew, and
//! what it holds then, and all that it says from then on, is what it would have been.
//!
//! The fault point is behind the update and before anything of it is told, so it stands for every
//! place inside: whatever half of the update was done is dropped with the room.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use phalanx_core::Room;
use phalanx_core::dag::{Dag, DagEvent, HeldTask};
use phalanx_core::hub::{ClientRequest, HubEffect, HubEvent};
use phalanx_core::supervise::{FaultPoint, Guarded, Panicked};
use phalanx_protocol::ids::{ClientId, EngineId, SessionId, TaskId};
use phalanx_protocol::outcome::{AttemptOutcome, Report};
use phalanx_protocol::room::RoomName;
use phalanx_protocol::task::{Accept, Dependency, Target, TaskOptions};

use crate::harness::{Bench, inline, outcomes, placed, report, spec, with_options};

/// What came of one step: what may run, what has ended, and what the dag holds after it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    placed: BTreeSet<TaskId>,
    ended: Vec<(TaskId, &'static str)>,
    held: Vec<HeldTask>,
}

/// A hub with a real dag beside it; its scheduler is played.
struct Story {
    bench: Bench,
    dag: Guarded<Dag>,
    client: SessionId,
    id: ClientId,
    engine: (SessionId, EngineId),
    reports: u64,
    /// What the dag was told, event by event.
    told: Vec<&'static str>,
    panics: u32,
    /// What has ended so far.
    ended: BTreeSet<TaskId>,
    steps: Vec<Step>,
}

impl Story {
    fn begin(fault: Option<u64>) -> Self {
        let mut bench = Bench::new();
        let mut dag = Guarded::vacant(());
        dag.recreate(bench.dag);
        dag.plant(FaultPoint { after_events: fault });
        let engine = bench.engine(1, 4);
        let (client, id) = bench.client();
        Self {
            bench,
            dag,
            client,
            id,
            engine,
            reports: 0,
            told: Vec::new(),
            panics: 0,
            ended: BTreeSet::new(),
            steps: Vec::new(),
        }
    }

    fn task(&self, seq: u64) -> TaskId {
        TaskId::new(self.id, seq)
    }

    /// Carries effects out until nothing more follows.
    fn step(&mut self, effects: Vec<HubEffect>) {
        let mut step = Step::default();
        self.carry_out(effects, &mut step);
        self.end_step(step);
    }

    fn carry_out(&mut self, effects: Vec<HubEffect>, step: &mut Step) {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            let this = std::slice::from_ref(&effect);
            step.placed.extend(placed(this));
            let ended = outcomes(this).into_iter().map(|(task, outcome)| (task, outcome.name()));
            step.ended.extend(ended);
            match effect {
                HubEffect::Recreate(RoomName::Dag, generation) => self.dag.recreate(generation),
                HubEffect::ToDag(generation, event) => {
                    let (kind, task) = match &event {
                        DagEvent::Hold(waiting) => ("hold", waiting.task),
                        DagEvent::Assigned(task, _) => ("assigned", *task),
                        DagEvent::Ended(task, _) => ("ended", *task),
                        DagEvent::Release(task) => ("release", *task),
                    };
                    if generation == self.dag.generation() {
                        self.told.push(kind);
                    }
                    let mut said = Vec::new();
                    let told = self.dag.handle(self.bench.now, generation, event, &mut said);
                    queue.extend(self.heard(told, said, Some(task)));
                }
                _ => {}
            }
        }
    }

    fn end_step(&mut self, mut step: Step) {
        step.ended.sort_unstable();
        self.ended.extend(step.ended.iter().map(|(task, _)| *task));
        let room = self.dag.room().expect("a room that panicked is made anew");
        room.check_invariants();
        step.held = room.snapshot();
        self.steps.push(step);
    }

    /// The hub hears what the dag said, or that it is gone.
    fn heard(
        &mut self,
        told: Result<(), Panicked>,
        said: Vec<phalanx_core::dag::DagEffect>,
        culprit: Option<TaskId>,
    ) -> Vec<HubEffect> {
        let generation = self.dag.generation();
        let mut effects = Vec::new();
        for effect in said {
            let verdict = HubEvent::FromDag(generation, effect.task, effect.verdict);
            effects.extend(self.bench.event(verdict));
        }
        if let Err(Panicked { generation, message }) = told {
            self.panics += 1;
            let room = RoomName::Dag;
            let down = HubEvent::RoomDown { room, generation, culprit, message };
            effects.extend(self.bench.event(down));
        }
        effects
    }

    fn submit(&mut self, seq: u64, options: Option<TaskOptions>) {
        let task = spec(self.task(seq), Target::Any);
        let task = match options {
            Some(options) => with_options(task, options),
            None => task,
        };
        let effects = self.bench.submit(self.client, task);
        self.step(effects);
    }

    fn run(&mut self, seq: u64, outcome: AttemptOutcome) {
        let task = self.task(seq);
        let effects = self.bench.assign(task, self.engine.1);
        self.step(effects);
        let report = Report { outcome, ..report(self.reports, task.attempt(1), inline("r")) };
        self.reports += 1;
        let effects = self.bench.report(self.engine.0, report);
        self.step(effects);
    }

    fn abort(&mut self, seq: u64) {
        let abort = ClientRequest::Abort(vec![self.task(seq)], None);
        let effects = self.bench.request(self.client, abort);
        self.step(effects);
    }

    /// Time passes, for the dag too.
    fn pass(&mut self, duration: Duration) {
        let effects = self.bench.pass(duration);
        let mut step = Step::default();
        self.carry_out(effects, &mut step);
        while self.dag.next_deadline().is_some_and(|deadline| deadline <= self.bench.now) {
            self.told.push("deadline");
            let mut said = Vec::new();
            let told = self.dag.on_deadline(self.bench.now, &mut said);
            let effects = self.heard(told, said, None);
            self.carry_out(effects, &mut step);
        }
        self.end_step(step);
    }

    /// Every kind of condition, met, missed, overdue and given up.
    fn tell(fault: Option<u64>) -> Self {
        let mut story = Self::begin(fault);
        let on = |story: &Self, seqs: &[u64]| Dependency::all(seqs.iter().map(|s| story.task(*s)));
        let any = |story: &Self, seqs: &[u64]| Dependency::any(seqs.iter().map(|s| story.task(*s)));
        let after =
            |after: Dependency| TaskOptions { after: Some(after), ..TaskOptions::default() };
        let within = |ms, options| TaskOptions { timeout_ms: Some(ms), ..options };
        story.submit(0, None);
        story.submit(1, None);
        story.submit(2, Some(after(on(&story, &[0, 1]))));
        let follow = Some(on(&story, &[0]));
        story.submit(3, Some(TaskOptions { follow, ..after(any(&story, &[1, 2])) }));
        story.submit(4, Some(after(any(&story, &[0, 1]).accepting(Accept::Failure))));
        story.submit(5, Some(within(900, after(on(&story, &[2]).accepting(Accept::Either)))));
        story.submit(6, Some(within(500, after(on(&story, &[1])))));
        story.submit(7, Some(after(on(&story, &[6]).accepting(Accept::Failure))));
        story.submit(8, Some(after(on(&story, &[1, 3]))));
        story.submit(9, Some(after(on(&story, &[7, 2]))));
        let follow = Some(any(&story, &[1, 9]));
        story.submit(
            10,
            Some(TaskOptions { follow, ..after(on(&story, &[4]).accepting(Accept::Failure)) }),
        );
        story.pass(Duration::from_millis(500));
        story.abort(8);
        story.run(0, AttemptOutcome::Done);
        story.run(7, AttemptOutcome::Done);
        story.run(1, AttemptOutcome::Done);
        story.run(2, AttemptOutcome::Failed(Box::default()));
        story.run(3, AttemptOutcome::Done);
        story.run(5, AttemptOutcome::Done);
        story.run(10, AttemptOutcome::Done);
        story
    }
}

#[test]
fn the_graph_is_the_same_after_a_panic_of_the_dag_at_any_event() {
    let calm = Story::tell(None);
    let kinds: BTreeSet<&str> = calm.told.iter().copied().collect();
    assert_eq!(
        kinds,
        BTreeSet::from(["assigned", "deadline", "ended", "hold", "release"]),
        "each handler"
    );
    assert_eq!(calm.ended.len(), 11, "{:?}", calm.ended);
    assert!(calm.steps.last().is_some_and(|last| last.held.is_empty()));

    for fault in 0..calm.told.len() {
        let story = Story::tell(Some(fault as u64));
        let at = calm.told[fault];
        assert_eq!(story.panics, 1, "at event {fault}, {at}");
        assert_eq!(story.steps.len(), calm.steps.len(), "at event {fault}, {at}");
        for (number, (step, expected)) in story.steps.iter().zip(&calm.steps).enumerate() {
            assert_eq!(step, expected, "step {number}, after a panic at event {fault}, {at}");
        }
    }
}

#[test]
fn no_task_may_run_before_its_dependencies_whenever_the_dag_panics() {
    // I5 by the naive rule: who comes after whom, read off the story.
    let calm = Story::tell(None);
    for fault in 0..calm.told.len() {
        let story = Story::tell(Some(fault as u64));
        let mut ended = BTreeSet::new();
        for step in &story.steps {
            ended.extend(step.ended.iter().map(|(task, _)| task.seq));
            for task in &step.placed {
                let needs: &[u64] = match task.seq {
                    2 => &[0, 1],
                    3 => &[0],
                    5 => &[2],
                    7 => &[6],
                    10 => &[1, 4],
                    _ => &[],
                };
                assert!(needs.iter().all(|seq| ended.contains(seq)), "{task}, fault {fault}");
            }
        }
    }
}
