//! The delivery contract, held against a record of what happened. It knows what no process knows:
//! everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use phalanx_client::core::NewTask;
use phalanx_core::hub::{Hub, TIME_LIMIT};
use phalanx_core::registry::Engine;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{AttemptId, EngineId, SessionId, TaskId};
use phalanx_protocol::limits::CRASHES_PER_TASK_MAX;
use phalanx_protocol::outcome::{Delivery, Outcome};
use phalanx_protocol::output::{Output, OutputChunk, OutputKind};
use phalanx_protocol::payload::Payload;
use phalanx_protocol::room::Ending;
use phalanx_protocol::task::{Assignment, Dependency, Quorum, TaskOptions};

use crate::engine::{REFUSED, result, words};
use crate::plan::{Action, Behaviour, Plan, Wish};

/// How the reasons begin for which an engine is killed.
pub(crate) const KILLED: &str = "killed: task";

/// Most engines of a plan.
const ENGINES_MAX: usize = 4;

/// An engine, and which of its processes.
pub(crate) type Life = (usize, u64);

/// What is known of a task.
#[derive(Debug)]
struct Fact {
    client: usize,
    behaviour: Behaviour,
    direct: bool,
    options: Option<Box<TaskOptions>>,
    writes: u8,
    aborted: bool,
    /// Whether its engine may be killed for it.
    kills: bool,
    /// Whether its graph has a cycle, if it is part of one.
    cyclic: Option<bool>,
    /// The tasks of its graph, if it is part of one.
    graph: Arc<[TaskId]>,
    /// The tasks whose outcomes are wanted with its own.
    coalesced: Arc<[TaskId]>,
    /// Attempts that user code saw.
    starts: u32,
    /// Deaths that its code brought about.
    crashes: u32,
    /// The attempt that the hub sent last.
    sent: u32,
    /// The first outcome that the hub sent.
    delivered: Option<Outcome>,
    /// How often its client was told an outcome.
    received: u32,
}

impl Fact {
    /// All that its code writes if nothing ends it: each byte with where it goes.
    fn all_words(&self, task: TaskId) -> Vec<(OutputKind, u8)> {
        let words: Vec<_> = (0..self.writes).map(|index| words(task, index)).collect();
        flat(&words)
    }

    /// It was tried no more often than its owner wanted, who is told where.
    fn check_tries(&self, delivery: &Delivery) {
        let task = delivery.task;
        let retry = self.options.as_ref().and_then(|options| options.retry.as_ref());
        let retries = retry.map_or(0, |retry| retry.count as usize);
        let refused = if matches!(self.behaviour, Behaviour::Picky(_)) { ENGINES_MAX } else { 0 };
        assert!(delivery.tried.len() <= retries + refused, "{task}: {delivery:?}");
        assert!(delivery.tried.len() <= delivery.attempts as usize, "{task}: {delivery:?}");
        if let (Outcome::Done, Behaviour::Flaky(failing)) = (&delivery.outcome, self.behaviour) {
            assert!(delivery.attempts > failing.into(), "{task} is done too early");
        }
    }

    /// What is delivered of its output is how it began, and all of it if it came to its end.
    fn check_output(&self, delivery: &Delivery) {
        let task = delivery.task;
        let all = self.all_words(task);
        let kept = delivery.output.as_ref().map(|output| flat(&output.chunks)).unwrap_or_default();
        assert!(all.starts_with(&kept), "{task} did not write what it is said to");
        assert!(delivery.output.as_ref().is_none_or(|output| output.truncated == 0), "{task}");
        let ran_to_its_end = match &delivery.outcome {
            Outcome::Done => true,
            Outcome::Failed(error) => error.kind == "Raised",
            _ => false,
        };
        assert!(!ran_to_its_end || kept.len() == all.len(), "{task} wrote more than is delivered");
    }
}

fn flat(chunks: &[OutputChunk]) -> Vec<(OutputKind, u8)> {
    let bytes = chunks.iter().flat_map(|chunk| chunk.bytes.iter().map(|byte| (chunk.kind, *byte)));
    bytes.collect()
}

/// The record.
#[derive(Debug)]
pub(crate) struct Check {
    facts: BTreeMap<TaskId, Fact>,
    order: Vec<TaskId>,
    cursed: Option<usize>,
    /// Whether any task may be tried again.
    tries_again: bool,
    /// Why the hub had engines killed, each reason once.
    kills: BTreeSet<String>,
    /// Attempts that user code saw.
    started: BTreeSet<AttemptId>,
    /// What an attempt was to wait for when it was sent last.
    gates: BTreeMap<AttemptId, Vec<TaskId>>,
    /// Tasks that were done, and where.
    done: BTreeSet<(TaskId, Life)>,
    /// Attempts that an engine has given back and was not sent again.
    away: BTreeSet<AttemptId>,
    pub(crate) given_back: u64,
    pub(crate) kept: u64,
    pub(crate) sent_ahead: u64,
    pub(crate) begun_ahead: u64,
}

impl Check {
    pub(crate) fn new(plan: &Plan) -> Self {
        let tries_again = plan.actions.iter().any(|(_, action)| match action {
            Action::Submit(_, wish) => {
                wish.retries.is_some() || matches!(wish.behaviour, Behaviour::Picky(_))
            }
            _ => false,
        });
        let (facts, order) = (BTreeMap::new(), Vec::new());
        let (started, away) = (BTreeSet::new(), BTreeSet::new());
        let cursed = plan.cursed;
        Self {
            facts,
            order,
            cursed,
            tries_again,
            kills: BTreeSet::new(),
            started,
            gates: BTreeMap::new(),
            done: BTreeSet::new(),
            away,
            given_back: 0,
            kept: 0,
            sent_ahead: 0,
            begun_ahead: 0,
        }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.order.len()
    }

    /// The tasks whose clients have not been told an outcome.
    pub(crate) fn open(&self) -> impl Iterator<Item = TaskId> {
        self.facts.iter().filter(|(_, fact)| fact.received == 0).map(|(id, _)| *id)
    }

    /// The task named so many before now; `None` if there were fewer.
    pub(crate) fn task_back(&self, back: usize) -> Option<TaskId> {
        self.order.len().checked_sub(back.max(1)).map(|index| self.order[index])
    }

    /// Whether a room panics when it hears of this task.
    pub(crate) fn is_cursed(&self, task: TaskId) -> bool {
        self.cursed.is_some_and(|index| self.order.get(index) == Some(&task))
    }

    pub(crate) fn on_named(&mut self, client: usize, id: TaskId, task: &NewTask, wish: &Wish) {
        let fact = Fact {
            client,
            behaviour: wish.behaviour,
            direct: task.target.is_direct(),
            options: task.options.clone(),
            writes: wish.writes,
            aborted: false,
            kills: false,
            cyclic: None,
            graph: Arc::default(),
            coalesced: Arc::default(),
            starts: 0,
            crashes: 0,
            sent: 0,
            delivered: None,
            received: 0,
        };
        assert!(self.facts.insert(id, fact).is_none(), "{id} is named twice");
        self.order.push(id);
    }

    /// These are a graph of so many edges; by the naive rule.
    pub(crate) fn on_graph(&mut self, ids: &[TaskId], edges: &[(u32, u32)]) {
        let cyclic = has_cycle(ids.len() as u32, edges);
        let graph: Arc<[TaskId]> = ids.into();
        for id in ids {
            let fact = self.fact(*id);
            fact.cyclic = Some(cyclic);
            fact.graph = Arc::clone(&graph);
        }
    }

    /// The outcomes of these are wanted together.
    pub(crate) fn on_coalesced(&mut self, ids: &[TaskId]) {
        let together: Arc<[TaskId]> = ids.into();
        for id in ids {
            self.fact(*id).coalesced = Arc::clone(&together);
        }
    }

    fn fact(&mut self, id: TaskId) -> &mut Fact {
        self.facts.get_mut(&id).expect("rooms speak of tasks that clients named")
    }

    pub(crate) fn on_abort(&mut self, id: TaskId, kills: bool) {
        let fact = self.fact(id);
        fact.aborted = true;
        fact.kills |= kills;
    }

    /// The hub has an engine killed: because somebody wished it, for a task that has not ended.
    pub(crate) fn on_kill(&mut self, reason: &str) {
        let meant = |(id, fact): (&TaskId, &Fact)| {
            fact.kills && reason.starts_with(&format!("{KILLED} {id} "))
        };
        assert!(self.facts.iter().any(meant), "nobody wished it: {reason}");
        self.kills.insert(reason.to_owned());
    }

    /// The hub sends an attempt: its dependencies are met, or will be when its gates are, all of
    /// which the same engine has (I5).
    pub(crate) fn on_assigned(&mut self, assignment: &Assignment, hub: &Hub, to: SessionId) {
        let id = assignment.attempt.task;
        let fact = self.fact(id);
        assert!(assignment.attempt.number >= fact.sent, "{id} goes back to an earlier attempt");
        fact.sent = assignment.attempt.number;
        // What an engine gave back is sent again only if the hub has not heard of it.
        self.away.remove(&assignment.attempt);
        let fact = self.fact(id);
        assert!(fact.delivered.is_none(), "I2: {id} is sent after it ended");
        let Some(options) = fact.options.clone() else { return };
        let engine = hub.registry().iter().find(|(_, engine)| engine.session() == Some(to));
        if let Some((engine, known)) = engine {
            self.check_needs(id, engine, known);
            let is_there = |gate: &TaskId| known.assigned().any(|task| task == *gate);
            let elsewhere = assignment.gates.iter().find(|gate| !is_there(gate));
            assert_eq!(elsewhere, None, "I5: {id} waits on {engine} for what is not there");
        }
        let engine = engine.map(|(id, _)| id);
        let met = |dependency: &Dependency| is_met(dependency, hub, (&assignment.gates, engine));
        self.sent_ahead += u64::from(!assignment.gates.is_empty());
        self.gates.insert(assignment.attempt, assignment.gates.clone());
        let inputs = Dependency::all(options.inputs.iter().copied());
        assert!(is_met(&inputs, hub, (&[], None)).is_some(), "I5: {id} is sent before {inputs:?}");
        if let Some(after) = &options.after {
            assert!(met(after).is_some(), "I5: {id} is sent before {after:?}");
        }
        if let Some(follow) = &options.follow {
            let where_to = met(follow);
            let Some(where_to) = where_to else { panic!("I5: {id} is sent before {follow:?}") };
            assert!(
                where_to.is_empty() || engine.is_some_and(|engine| where_to.contains(&engine)),
                "I5: {id} follows to {engine:?}, not to one of {where_to:?}"
            );
        }
    }

    /// A task goes only where its labels are, and where with it no more is taken of a resource than
    /// there is (I13).
    fn check_needs(&self, id: TaskId, on: EngineId, engine: &Engine) {
        let profile = engine.profile();
        let needs = |task: &TaskId| self.facts[task].options.as_ref()?.needs.as_ref();
        let Some(own) = needs(&id) else { return };
        for label in &own.labels {
            assert!(profile.labels.contains(label), "I13: {id} needs {label}, not on {on}");
        }
        // An assignment that was under way when the engine was lost counts for its next life, and the
        // scheduler has forgotten it with the earlier one. And one that was under way when its task
        // was offered anew, as only a task is that is tried again, holds against the later one.
        let exact = engine.losses() == 0 && !self.tries_again;
        let amounts = if exact { own.amounts.as_slice() } else { &[] };
        for (name, _) in amounts {
            let all = engine.assigned().filter_map(|task| needs(&task).cloned());
            let taken = all.flat_map(|needs| needs.amounts).filter(|(other, _)| other == name);
            let taken: u64 = taken.map(|(_, amount)| amount.0).sum();
            let total = profile.resources.iter().find(|(other, _)| other == name);
            let total = total.map_or(0, |(_, amount)| amount.0);
            assert!(taken <= total, "I13: with {id} {taken} of {name} on {on}, which has {total}");
        }
    }

    /// An engine gives an attempt back that it was asked for, or keeps it. Given back is only what
    /// may run elsewhere, and never started (I2).
    pub(crate) fn on_gave_back(&mut self, attempt: AttemptId, given: bool) {
        if !given {
            self.kept += 1;
            return;
        }
        self.given_back += 1;
        assert!(!self.fact(attempt.task).direct, "direct {attempt} moves");
        assert!(!self.started.contains(&attempt), "{attempt} has started, and is given back");
        assert!(self.away.insert(attempt), "{attempt} is given back twice");
    }

    /// User code begins (I3, I4), after all that the attempt was to wait for is done on this engine
    /// (I5).
    pub(crate) fn on_started(&mut self, attempt: AttemptId, on: Life) {
        let gates = self.gates.get(&attempt);
        self.begun_ahead += u64::from(gates.is_some_and(|gates| !gates.is_empty()));
        for gate in gates.into_iter().flatten() {
            assert!(self.done.contains(&(*gate, on)), "I5: {attempt} starts before {gate} is done");
        }
        assert!(self.started.insert(attempt), "{attempt} starts twice");
        assert!(!self.away.contains(&attempt), "{attempt} was given back, and starts");
        let fact = self.fact(attempt.task);
        fact.starts += 1;
        assert!(!fact.direct || fact.starts == 1, "I3: direct {} runs twice", attempt.task);
    }

    /// An attempt begins with the results that it takes, as the tasks returned them.
    pub(crate) fn on_inputs(&mut self, attempt: AttemptId, inputs: &[Payload]) {
        let task = attempt.task;
        let wanted = self.fact(task).options.as_ref().map(|options| options.inputs.clone());
        let wanted = wanted.unwrap_or_default();
        assert_eq!(wanted.len(), inputs.len(), "{task} takes {wanted:?}");
        for (input, payload) in wanted.into_iter().zip(inputs) {
            let expected = match self.fact(input).behaviour {
                Behaviour::Return(len) => result(input, len),
                Behaviour::Flaky(_) | Behaviour::Picky(_) => result(input, 0),
                other => panic!("{task} takes the result of {input}, which was to {other:?}"),
            };
            assert_eq!(payload.bytes(), Some(expected), "{task} takes the result of {input}");
        }
    }

    /// User code ends well.
    pub(crate) fn on_done(&mut self, task: TaskId, on: Life) {
        self.done.insert((task, on));
    }

    pub(crate) fn on_crash(&mut self, attempt: AttemptId) {
        // An engine that had just died when it was to be killed counts as killed.
        let most = CRASHES_PER_TASK_MAX + 1 + self.kills.len() as u32;
        let fact = self.fact(attempt.task);
        fact.crashes += 1;
        assert!(fact.crashes <= most, "I4: {} has killed {} engines", attempt.task, fact.crashes);
    }

    /// A client is told what a task writes: what it writes at that place, whatever was lost.
    pub(crate) fn on_output(&mut self, output: &Output) {
        let task = output.attempt.task;
        let all = self.fact(task).all_words(task);
        let told = flat(&output.chunks);
        let from = output.offset as usize;
        assert_eq!(all.get(from..from + told.len()), Some(&told[..]), "{task}'s live output");
    }

    /// The hub sends an outcome: always the same (I1), and of the last attempt (I2), and not before
    /// those that are wanted with it.
    pub(crate) fn on_delivery(&mut self, delivery: &Delivery, hub: &Hub) {
        let fact = self.fact(delivery.task);
        let task = delivery.task;
        assert_eq!(delivery.attempts, fact.sent.max(delivery.attempts), "I2: {task}");
        match &fact.delivered {
            Some(earlier) => assert_eq!(*earlier, delivery.outcome, "I1: {task} ends twice"),
            None => fact.delivered = Some(delivery.outcome.clone()),
        }
        let is_open = |other: &&TaskId| hub.results().ending(**other).is_none();
        let open = fact.coalesced.iter().find(is_open);
        assert_eq!(open, None, "{task} is told of before one that is wanted with it");
        let after = fact.options.as_ref().and_then(|options| options.after.as_ref());
        if let (Outcome::Done, Some(after)) = (&delivery.outcome, after) {
            // What was sent ahead is recorded after what it waited for.
            assert!(
                is_met(after, hub, (&[], None)).is_some(),
                "I5: {task} is done before {after:?}"
            );
        }
    }

    /// A client has an outcome: once (I1), and a true one.
    pub(crate) fn on_received(&mut self, delivery: &Delivery) {
        let task = delivery.task;
        // Without one that is aborted before its graph is whole there may be no cycle.
        let graph = Arc::clone(&self.fact(task).graph);
        let is_graph_torn = graph.iter().any(|id| self.fact(*id).aborted);
        let fact = self.fact(task);
        fact.received += 1;
        assert_eq!(fact.received, 1, "I1: {task} ends twice for its client");
        match (&delivery.outcome, fact.behaviour) {
            (Outcome::Done, Behaviour::Return(len)) => {
                assert_eq!(delivery.payload.bytes(), Some(result(task, len)), "{task}'s result");
            }
            (Outcome::Done, Behaviour::Flaky(_) | Behaviour::Picky(_)) => {}
            (Outcome::Done, other) => panic!("{task} is done, and was to {other:?}"),
            (Outcome::Failed(error), Behaviour::Raise | Behaviour::Flaky(_))
                if error.kind == "Raised" =>
            {
                assert!(error.engine.is_some(), "{task} failed somewhere");
            }
            (Outcome::Failed(error), Behaviour::Picky(_)) if error.kind == REFUSED => {
                assert!(error.engine.is_some() && !fact.direct, "{task} was refused somewhere");
            }
            (Outcome::Failed(error), _) if error.kind == TIME_LIMIT => {
                let limit = fact.options.as_ref().and_then(|options| options.run_limit_ms);
                assert!(limit.is_some(), "{task} has no limit");
            }
            (Outcome::Failed(error), _) => {
                assert_eq!(error.kind, "internal", "{task} fails: {error}");
            }
            (Outcome::Aborted, _) => assert!(fact.aborted, "{task} was not aborted"),
            (Outcome::EngineLost(_), _) => assert!(fact.direct, "{task} is balanced and lost"),
            (Outcome::Poison(losses), _) => {
                assert!(!fact.direct, "{task} is direct and poison");
                assert_eq!(losses.len(), CRASHES_PER_TASK_MAX as usize, "{task}'s crash budget");
                let asked = losses.iter().find(|loss| loss.cause.starts_with(KILLED));
                assert_eq!(asked, None, "{task} is blamed for a death that was asked for");
            }
            (Outcome::DependencyFailed(_) | Outcome::DependencyTimeout, _) => {
                assert!(fact.options.is_some(), "{task} depends on nothing");
            }
            (Outcome::Rejected(rejection), _) => {
                let is_invalid = rejection.code == Some(ErrorCode::InvalidGraph);
                assert!(!is_invalid || fact.cyclic == Some(true), "{task}: {}", rejection.detail);
            }
        }
        if fact.cyclic == Some(true) && !is_graph_torn {
            let how = &delivery.outcome;
            let is_refused = matches!(how, Outcome::Rejected(_));
            assert!(is_refused && fact.starts == 0, "{task} is in a graph with a cycle: {how:?}");
        }
        fact.check_output(delivery);
        fact.check_tries(delivery);
        if let Outcome::DependencyTimeout = delivery.outcome {
            let timeout = fact.options.as_ref().and_then(|options| options.timeout_ms);
            assert!(timeout.is_some(), "{task} has no timeout");
            assert_eq!(fact.starts, 0, "{task} timed out after it started");
        }
    }

    /// Everything has come to rest: each task of a living client has ended (I1, I9).
    pub(crate) fn check_rest(&self, lives: impl Fn(usize) -> bool) {
        for (id, fact) in &self.facts {
            assert!(fact.received == 1 || !lives(fact.client), "I1: {id} never ended");
        }
    }
}

/// Takes away nodes that nobody is before, as long as there are some.
fn has_cycle(len: u32, edges: &[(u32, u32)]) -> bool {
    let mut left: Vec<u32> = (0..len).collect();
    loop {
        let is_blocked =
            |node: &u32| edges.iter().any(|(before, after)| after == node && left.contains(before));
        let blocked: Vec<u32> = left.iter().copied().filter(is_blocked).collect();
        if blocked.len() == left.len() {
            return !left.is_empty();
        }
        left = blocked;
    }
}

/// Whether a dependency is met by what the ledger knows, and where the tasks ran that meet it. The
/// naive rule, on purpose: what the dag does must come to the same.
/// The gates count as if they were done on this engine.
fn is_met(
    dependency: &Dependency,
    hub: &Hub,
    (gates, engine): (&[TaskId], Option<EngineId>),
) -> Option<Vec<EngineId>> {
    let by_gate = Ending { success: true, engine };
    let ending = |task: &TaskId| {
        hub.results().ending(*task).or_else(|| gates.contains(task).then_some(by_gate))
    };
    let endings: Vec<Option<Ending>> = dependency.tasks.iter().map(ending).collect();
    let met: Vec<Ending> = endings
        .iter()
        .flatten()
        .filter(|ending| dependency.accept.is_met_by(ending.success))
        .copied()
        .collect();
    let enough = match dependency.quorum {
        Quorum::All => met.len() == dependency.tasks.len(),
        Quorum::Any => !met.is_empty(),
    };
    // With any, one that met it without having run anywhere may have been the first.
    let anywhere = dependency.quorum == Quorum::Any && met.iter().any(|met| met.engine.is_none());
    let engines = met.into_iter().filter(|_| !anywhere).filter_map(|ending| ending.engine);
    enough.then(|| engines.collect())
}
