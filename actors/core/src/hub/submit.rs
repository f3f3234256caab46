//! What a new task is, whether it is taken, and where it goes first.

use std::sync::Arc;
use std::time::Duration;

use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{ClientId, EngineId, SessionId, TaskId};
use phalanx_protocol::limits::{
    DEPENDENCIES_PER_TASK_MAX, DIRECT_WINDOW_MAX, LABEL_LEN_MAX, RETRIES_MAX, RETRY_KINDS_MAX,
    TARGET_ENGINES_MAX, TEXT_LEN_MAX,
};
use phalanx_protocol::needs::Needs;
use phalanx_protocol::outcome::{Loss, Outcome, Rejection};
use phalanx_protocol::payload::{Body, Payload};
use phalanx_protocol::peer::EngineState;
use phalanx_protocol::task::{Dependency, Target, TaskOptions, TaskSpec};

use super::arriving::Lacks;
use super::functions::Needed;
use super::inputs::with_inputs;
use super::ledger::{Place, Placing, Tag, Task, TaskState, Waits};
use super::task_list::KeptDependency;
use super::tries::Tries;
use super::{Hub, HubEffect};
use crate::Time;
use crate::scheduler::Scheme;

/// A task that is not taken, and why.
pub(super) type Refusal = (ErrorCode, String);

impl Hub {
    pub(super) fn on_submit(
        &mut self,
        now: Time,
        session: SessionId,
        client: ClientId,
        mut spec: TaskSpec,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(known) = self.clients.get_mut(client) else {
            return;
        };
        if spec.id.client != client {
            let detail = format!("{} is not a task of {client}", spec.id);
            return Self::refuse_session(session, ErrorCode::OutOfOrder, detail, effects);
        }
        if spec.id.seq > known.next_seq {
            let detail = format!("{} came before {client}/{}", spec.id, known.next_seq);
            return Self::refuse_session(session, ErrorCode::OutOfOrder, detail, effects);
        }
        let repeated = spec.id.seq < known.next_seq;
        known.accept_due |= repeated;
        self.client_due(client);
        if repeated {
            return self.on_repeated_submit(now, session, spec, effects);
        }
        let (first, tasks, len) = (spec.id, spec.target.ids_len(), spec.payload.len());
        let Some(known) = self.clients.get_mut(client) else {
            return;
        };
        let granted = known.record(tasks, len.saturating_mul(tasks));
        if spec.options.as_ref().is_some_and(|options| options.coalesce) {
            known.coalesced.expect(first.seq, tasks);
        }
        let graph = self.enter_graph(&spec);
        let needed = if granted { self.check(&mut spec) } else { Err(over_grant(client)) };
        let needed = graph.and(needed);
        let payload = match needed {
            Ok(_) => self.kept(spec.payload),
            Err(_) => Payload::empty(),
        };
        let function = match &needed {
            Ok(Needed::Here(function)) => {
                self.hold_function(client, function, tasks);
                Some(Arc::clone(function))
            }
            _ => None,
        };
        let mut task = Task::new(now, spec.method, payload.clone(), function);
        set_options(&mut task, spec.options);
        match spec.target {
            Target::Engines(engines) if !engines.is_empty() => {
                for (seq, engine) in (first.seq..).zip(engines) {
                    task.place = Place::Direct(engine);
                    self.ledger.insert(TaskId::new(client, seq), task.clone());
                }
            }
            target => {
                task.place = place(target);
                self.ledger.insert(first, task);
            }
        }
        match needed {
            Ok(needed) => {
                self.pin_inputs(first);
                self.take_in(now, session, (first, tasks), &payload, &needed, effects);
            }
            Err(refusal) => {
                self.refuse_graph(now, first, &refusal, effects);
                self.reject(now, first, tasks, len, &refusal, effects);
            }
        }
    }

    fn kept(&mut self, mut payload: Payload) -> Payload {
        if let Body::Inline(bytes) = &mut payload.body {
            *bytes = std::mem::take(bytes).map(|bytes| self.keeper.keep(bytes));
        }
        payload
    }

    fn take_in(
        &mut self,
        now: Time,
        session: SessionId,
        (first, tasks): (TaskId, u64),
        payload: &Payload,
        needed: &Needed,
        effects: &mut Vec<HubEffect>,
    ) {
        let lacks = Lacks {
            payload: payload.ticket().is_some(),
            function: matches!(needed, Needed::Arriving(_)),
        };
        if !lacks.payload && !lacks.function {
            return self.route_all(now, first, tasks, effects);
        }
        self.expect(first, tasks, lacks);
        if let Needed::Arriving(ticket) = needed {
            self.await_function(session, *ticket, first, tasks);
        }
        self.await_submit_payload(now, session, first, tasks, payload, effects);
    }

    fn route_all(&mut self, now: Time, first: TaskId, tasks: u64, effects: &mut Vec<HubEffect>) {
        for seq in first.seq..first.seq + tasks {
            self.route(now, TaskId::new(first.client, seq), effects);
        }
    }

    /// A task whose payload is here goes where it goes first.
    pub(super) fn route(&mut self, now: Time, id: TaskId, effects: &mut Vec<HubEffect>) {
        let Some(task) = self.ledger.get(id) else {
            return;
        };
        let Some(client) = self.clients.get_mut(id.client) else {
            return;
        };
        if client.exhume(id.seq) {
            return self.end_without_result(now, id, Outcome::Aborted, effects);
        }
        if task.state() == TaskState::Arriving && self.gather(now, id, effects) {
            return;
        }
        let Some(task) = self.ledger.get(id) else {
            return;
        };
        match task.place {
            Place::Direct(engine) => self.route_direct(now, id, engine, effects),
            Place::Balanced(_) if task.depends() => self.hold(now, id, effects),
            Place::Balanced(_) => self.place(now, id, effects),
        }
    }

    /// Direct tasks of a client to an engine go in the order sent: not past one whose payload is
    /// on its way.
    fn route_direct(
        &mut self,
        now: Time,
        id: TaskId,
        engine: EngineId,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(client) = self.clients.get_mut(id.client) else {
            return;
        };
        match client.held.get_mut(&engine) {
            Some(queue) => {
                queue.push_back(id);
                self.ledger.set_state(id, TaskState::Held);
            }
            None => self.assign(now, id, engine, effects),
        }
    }

    /// The tasks at the front of a held queue that may go now.
    fn drain_held(&mut self, client: ClientId, engine: EngineId) -> Vec<TaskId> {
        let Some(client) = self.clients.get_mut(client) else {
            return Vec::new();
        };
        let Some(queue) = client.held.get_mut(&engine) else {
            return Vec::new();
        };
        let mut free = Vec::new();
        while let Some(id) = queue.front().copied() {
            match self.ledger.get(id).map(Task::state) {
                Some(TaskState::Arriving) => break,
                Some(TaskState::Held) => free.push(id),
                // It ended meanwhile.
                _ => {}
            }
            queue.pop_front();
        }
        if queue.is_empty() {
            client.held.remove(&engine);
        }
        free
    }

    /// A direct task that others wait behind has its payload, or ended: those that may go, go.
    pub(super) fn release_held(
        &mut self,
        now: Time,
        client: ClientId,
        engine: EngineId,
        effects: &mut Vec<HubEffect>,
    ) {
        for id in self.drain_held(client, engine) {
            self.assign(now, id, engine, effects);
        }
    }

    /// Whether the task can be taken at all, and what it needs of the functions. One that runs
    /// another again gets from its record what it lacks.
    fn check(&self, spec: &mut TaskSpec) -> Result<Needed, Refusal> {
        let needed = self.recall(spec)?;
        match &spec.target {
            Target::Any => {}
            Target::Engine(engine) => self.check_engines(std::slice::from_ref(engine))?,
            Target::Engines(engines) | Target::Subset(engines) => self.check_engines(engines)?,
        }
        if !self.registry.may_offer(&spec.method) {
            let offered: Vec<_> = self.registry.methods().iter().map(|m| m.as_str()).collect();
            let mut offered = offered.join(", ");
            offered.truncate(offered.floor_char_boundary(TEXT_LEN_MAX));
            let detail =
                format!("no engine offers {:?}; offered are: {offered}", spec.method.as_str());
            return Err((ErrorCode::NoSuchMethod, detail));
        }
        self.check_scheme(spec)?;
        if let Some(options) = &spec.options {
            self.check_options(spec, options)?;
        }
        Ok(needed)
    }

    fn check_engines(&self, engines: &[EngineId]) -> Result<(), Refusal> {
        if engines.is_empty() || engines.len() > TARGET_ENGINES_MAX {
            let detail = format!("a target names 1 to {TARGET_ENGINES_MAX} engines");
            return Err((ErrorCode::InvalidTask, detail));
        }
        match engines.iter().find(|engine| self.registry.get(**engine).is_none()) {
            None => Ok(()),
            Some(unknown) => {
                Err((ErrorCode::NoSuchEngine, format!("there is no engine {}", unknown.0)))
            }
        }
    }

    fn check_options(&self, spec: &TaskSpec, options: &TaskOptions) -> Result<(), Refusal> {
        if options.label.as_ref().is_some_and(|label| label.len() > LABEL_LEN_MAX) {
            let detail = format!("a label has at most {LABEL_LEN_MAX} bytes");
            return Err((ErrorCode::TooLarge, detail));
        }
        if spec.target.is_direct() && options.is_for_balanced() {
            let detail =
                "after, follow, timeout, retries, priority and needs are for balanced tasks";
            return Err((ErrorCode::InvalidTask, detail.into()));
        }
        if options.coalesce && !spec.target.is_direct() {
            return Err((ErrorCode::InvalidTask, "coalesce is for direct tasks".into()));
        }
        if let Some(retry) = &options.retry
            && (retry.count > RETRIES_MAX || retry.kinds.len() > RETRY_KINDS_MAX)
        {
            let detail = format!("at most {RETRIES_MAX} retries, after {RETRY_KINDS_MAX} kinds");
            return Err((ErrorCode::InvalidTask, detail));
        }
        if let Some(Err(error)) = options.needs.as_ref().map(Needs::check) {
            return Err((ErrorCode::InvalidTask, error.to_string()));
        }
        [&options.after, &options.follow]
            .into_iter()
            .flatten()
            .try_for_each(|dependency| self.check_dependency(spec.id, dependency))?;
        self.check_inputs(spec.id, &options.inputs, options.after.as_ref())
    }

    /// Under `pure` every engine is as good as any other, and no task waits for another.
    fn check_scheme(&self, spec: &TaskSpec) -> Result<(), Refusal> {
        let options = spec.options.as_deref();
        let plain = options.is_none_or(|options| !options.is_for_balanced());
        let pure = self.settings.scheme == Scheme::Pure;
        if pure && !spec.target.is_direct() && (spec.target != Target::Any || !plain) {
            let detail = "the cluster's scheme is pure: a balanced task can have no targets, \
                          dependencies, needs or other options";
            return Err((ErrorCode::InvalidTask, detail.into()));
        }
        Ok(())
    }

    pub(super) fn check_dependency(
        &self,
        id: TaskId,
        dependency: &Dependency,
    ) -> Result<(), Refusal> {
        if dependency.tasks.len() > DEPENDENCIES_PER_TASK_MAX {
            let detail = format!("more than {DEPENDENCIES_PER_TASK_MAX} dependencies");
            return Err((ErrorCode::TooLarge, detail));
        }
        for task in &dependency.tasks {
            if *task == id {
                return Err((ErrorCode::InvalidDependency, format!("task {id} depends on itself")));
            }
            let is_known = self.ledger.get(*task).is_some() || self.results.ending(*task).is_some();
            if is_known || self.is_in_same_graph(id, *task) {
                continue;
            }
            return Err(match self.clients.submitted(task.client) {
                Some(end) if task.seq < end => {
                    (ErrorCode::Purged, format!("task {task} is no longer on record"))
                }
                _ => (
                    ErrorCode::InvalidDependency,
                    format!("task {task} was not submitted before task {id}"),
                ),
            });
        }
        Ok(())
    }

    fn reject(
        &mut self,
        now: Time,
        first: TaskId,
        tasks: u64,
        len: u64,
        refusal: &Refusal,
        effects: &mut Vec<HubEffect>,
    ) {
        for seq in first.seq..first.seq + tasks {
            let id = TaskId::new(first.client, seq);
            // Its payload was not kept, so ending it releases no bytes.
            if let Some(client) = self.clients.get_mut(id.client) {
                client.release_bytes(len);
            }
            self.end_without_result(now, id, rejected(refusal), effects);
        }
    }

    /// Sends a direct task to its engine, or ends it if that engine is lost. An engine that has
    /// much already gets it later.
    fn assign(&mut self, now: Time, id: TaskId, engine: EngineId, effects: &mut Vec<HubEffect>) {
        match self.registry.get_mut(engine) {
            Some(known) if known.state() != EngineState::Lost => {
                if known.backlog.is_empty() && known.direct < DIRECT_WINDOW_MAX {
                    self.begin_attempt(id, engine, effects);
                } else {
                    known.backlog.push_back(id);
                    self.ledger.set_state(id, TaskState::Held);
                }
            }
            _ => {
                let loss = Loss { engine, cause: "lost before the task was sent".into() };
                let lost = Outcome::EngineLost(Box::new(loss));
                self.end_without_result(now, id, lost, effects);
            }
        }
    }

    /// An engine has ended a direct task: it may get what was held back.
    pub(super) fn drain_backlog(&mut self, id: EngineId, effects: &mut Vec<HubEffect>) {
        while let Some(engine) = self.registry.get_mut(id)
            && engine.direct < DIRECT_WINDOW_MAX
            && let Some(task) = engine.backlog.pop_front()
        {
            // It may have been aborted meanwhile.
            if self.ledger.get(task).is_some_and(|task| task.state() == TaskState::Held) {
                self.begin_attempt(task, id, effects);
            }
        }
    }
}

pub(super) fn rejected((code, detail): &Refusal) -> Outcome {
    Outcome::Rejected(Box::new(Rejection { code: Some(*code), detail: detail.clone() }))
}

fn over_grant(client: ClientId) -> Refusal {
    (ErrorCode::OverGrant, format!("{client} submitted beyond its grant"))
}

/// The place of a target that stands for one task.
fn place(target: Target) -> Place {
    match target {
        Target::Any => Place::Balanced(None),
        Target::Engine(engine) => Place::Direct(engine),
        Target::Subset(mut engines) | Target::Engines(mut engines) => {
            engines.sort_unstable();
            engines.dedup();
            Place::Balanced(Some(engines.into()))
        }
    }
}

/// What few tasks have, taken out of their options.
fn tag(options: &mut TaskOptions) -> Option<Box<Tag>> {
    let label = options.label.take().filter(|label| label.len() <= LABEL_LEN_MAX);
    let again = options.again.take().map(|again| again.task);
    (label.is_some() || again.is_some()).then(|| Box::new(Tag { label, again }))
}

fn placing(options: &TaskOptions) -> Option<Box<Placing>> {
    let priority = options.priority;
    let needs = options.needs.clone().filter(|needs| !needs.is_empty());
    (priority != 0 || needs.is_some()).then(|| Box::new(Placing { priority, needs }))
}

/// What the client of a new task says of it beyond what and where.
fn set_options(task: &mut Task, options: Option<Box<TaskOptions>>) {
    let Some(mut options) = options else { return };
    task.tries = Tries::of(&options);
    task.tag = tag(&mut options);
    task.placing = placing(&options);
    task.stays = options.stays;
    let TaskOptions { after, follow, timeout_ms, inputs, .. } = *options;
    task.after = with_inputs(after, &inputs).and_then(KeptDependency::of);
    let follow = follow.and_then(KeptDependency::of);
    let timeout_ms = timeout_ms.filter(|_| task.after.is_some() || follow.is_some());
    if follow.is_some() || timeout_ms.is_some() || !inputs.is_empty() {
        let deadline = timeout_ms.map(|ms| task.submitted + Duration::from_millis(ms));
        let inputs = inputs.into_iter().collect();
        task.waits = Some(Box::new(Waits { follow, deadline, inputs, ..Waits::default() }));
    }
}
