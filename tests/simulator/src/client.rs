//! A client's process: the client room, and somebody who submits and aborts.

use std::time::Duration;

use phalanx_client::core::{ClientRoom, Effect, End as TaskEnd, Event, NewTask, SubmitError, node};
use phalanx_core::Time;
use phalanx_protocol::ids::{EngineId, SessionId, TaskId};
use phalanx_protocol::payload::Format;
use phalanx_protocol::role::Role;
use phalanx_protocol::task::{Dependency, Retry, Target, TaskOptions};

use crate::clock::Clock;
use crate::engine::{arguments, function, method};
use crate::net::{End, Item, decode};
use crate::plan::{Aim, Plan, Ties, Wish};
use crate::world::World;

/// A client's process.
#[derive(Debug)]
pub(crate) struct ClientProcess {
    pub(crate) room: ClientRoom<TaskId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) dead: bool,
    clock: Clock,
    /// What it wants submitted as soon as it has a name and room.
    wishes: Vec<Wish>,
}

impl ClientProcess {
    pub(crate) fn new(client: usize, plan: &Plan) -> Self {
        Self {
            room: ClientRoom::new(Role::Client, format!("client {client}"))
                .with_function_limits(plan.functions),
            clock: plan.clocks[plan.slots.len() + client],
            session: None,
            dead: false,
            wishes: Vec::new(),
        }
    }

    /// Whether it has nothing more to do.
    pub(crate) fn is_done(&self) -> bool {
        self.dead || (self.wishes.is_empty() && self.room.open_tasks() == 0)
    }

    /// How many tasks it waits for, or has yet to submit.
    pub(crate) fn unfinished(&self) -> (usize, usize) {
        (self.room.open_tasks(), self.wishes.len())
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let since_start = self.room.next_deadline().filter(|_| !self.dead)?;
        Some(self.clock.when(Time::ZERO + since_start))
    }
}

impl World<'_> {
    pub(crate) fn client_opened(&mut self, client: usize, session: SessionId) {
        self.clients[client].session = Some(session);
        self.tell_client(client, Event::SessionUp);
    }

    pub(crate) fn client_closed(&mut self, client: usize) {
        self.clients[client].session = None;
        self.tell_client(client, Event::SessionDown);
    }

    pub(crate) fn client_receives(&mut self, client: usize, item: Item) {
        let event = match item {
            Item::Payload(ticket, bytes) => Event::Payload { ticket, bytes },
            Item::Frame(frame) => Event::Message(decode(&frame)),
        };
        self.tell_client(client, event);
    }

    fn tell_client(&mut self, client: usize, event: Event) {
        let mut effects = Vec::new();
        let now = self.clients[client].clock.shows(self.now).since(Time::ZERO);
        let room = &mut self.clients[client].room;
        room.handle(now, event, &mut effects);
        room.check_invariants();
        self.apply_client(client, effects);
        self.submit_wishes(client);
    }

    pub(crate) fn wake_client(&mut self, client: usize) {
        let mut effects = Vec::new();
        let now = self.clients[client].clock.shows(self.now).since(Time::ZERO);
        let room = &mut self.clients[client].room;
        room.on_deadline(now, &mut effects);
        room.check_invariants();
        self.apply_client(client, effects);
    }

    fn apply_client(&mut self, client: usize, effects: Vec<Effect<TaskId>>) {
        for effect in effects {
            match effect {
                Effect::Send(message) => {
                    if let Some(session) = self.clients[client].session {
                        self.send(session, End::Hub, message);
                    }
                }
                Effect::Ended { key, task, end } => {
                    assert_eq!(key, task, "a task comes back with its own key");
                    let TaskEnd::Delivered(delivery) = end else {
                        panic!("client {client} gives up {task}: {end:?}");
                    };
                    let outcome = delivery.outcome.name();
                    self.trace.tell(self.now, || format!("client {client} has {task}: {outcome}"));
                    self.check.on_received(&delivery);
                }
                Effect::Output(output) => self.check.on_output(&output),
                Effect::CloseSession(code, why) => panic!("client {client} says {code}: {why}"),
                Effect::Opened { .. }
                | Effect::Answered(..)
                | Effect::EnginesChanged
                | Effect::RoomInQueue
                | Effect::Left => {}
            }
        }
    }

    /// Submits a graph, if the client has a name by now; its wishes come first.
    pub(crate) fn submit_graph(&mut self, client: usize, wishes: &[Wish], edges: &[(u32, u32)]) {
        if self.clients[client].dead || !self.clients[client].wishes.is_empty() {
            return;
        }
        let mut tasks: Vec<NewTask> = wishes.iter().map(|wish| self.new_task(wish)).collect();
        for (before, after) in edges {
            let options = tasks[*after as usize].options.get_or_insert_default();
            let ties = options.after.get_or_insert_default();
            ties.tasks.push(node(*before));
        }
        let (mut ids, mut effects) = (Vec::new(), Vec::new());
        let name = |id: TaskId| {
            ids.push(id);
            id
        };
        match self.clients[client].room.submit_graph(tasks.clone(), name, &mut effects) {
            Ok(()) => {}
            Err(SubmitError::NotOpened) => return,
            Err(error) => panic!("client {client} cannot submit a graph: {error}"),
        }
        self.clients[client].room.check_invariants();
        for ((id, task), wish) in ids.iter().zip(&mut tasks).zip(wishes) {
            name_nodes(task, ids[0]);
            self.trace.tell(self.now, || format!("client {client} draws {id}: {wish:?}"));
            self.check.on_named(client, *id, task, wish);
        }
        self.check.on_graph(&ids, edges);
        self.apply_client(client, effects);
    }

    pub(crate) fn wish(&mut self, client: usize, wish: Wish) {
        if !self.clients[client].dead {
            self.clients[client].wishes.push(wish);
            self.submit_wishes(client);
        }
    }

    fn submit_wishes(&mut self, client: usize) {
        while let Some(wish) = self.clients[client].wishes.first().cloned() {
            let task = self.new_task(&wish);
            let mut ids = Vec::new();
            let mut effects = Vec::new();
            let name = |id: TaskId| {
                ids.push(id);
                id
            };
            let room = &mut self.clients[client].room;
            match room.submit([task.clone()], name, &mut effects) {
                Ok(()) => {}
                Err(SubmitError::NotOpened) => return,
                Err(error) => panic!("client {client} cannot submit: {error}"),
            }
            room.check_invariants();
            self.clients[client].wishes.remove(0);
            for id in &ids {
                self.trace.tell(self.now, || format!("client {client} submits {id}: {wish:?}"));
                self.check.on_named(client, *id, &task, &wish);
            }
            if wish.coalesce {
                self.check.on_coalesced(&ids);
            }
            self.apply_client(client, effects);
        }
    }

    fn new_task(&self, wish: &Wish) -> NewTask {
        let engine = |place: &usize| self.engines[*place].id.unwrap_or(EngineId(*place as u32));
        let target = match &wish.aim {
            Aim::Any => Target::Any,
            Aim::Subset(places) => Target::Subset(places.iter().map(engine).collect()),
            Aim::Engine(place) => Target::Engine(engine(place)),
            Aim::Engines(places) => Target::Engines(places.iter().map(engine).collect()),
        };
        let options = TaskOptions {
            after: self.dependency(wish.after.as_ref()),
            follow: self.dependency(wish.follow.as_ref()),
            timeout_ms: wish.timeout.map(|timeout| timeout.as_millis() as u64),
            retry: wish.retries.map(|(count, backoff)| Retry {
                count,
                kinds: vec!["Raised".into()],
                backoff_ms: backoff.as_millis() as u64,
            }),
            run_limit_ms: wish.run_limit.map(|limit| limit.as_millis() as u64),
            priority: wish.priority,
            needs: wish.needs.clone(),
            inputs: wish.takes.iter().filter_map(|back| self.check.task_back(*back)).collect(),
            coalesce: wish.coalesce,
            ..TaskOptions::default()
        };
        NewTask {
            target,
            method: method(),
            format: Format::Raw,
            arguments: arguments(wish).into(),
            options: (options != TaskOptions::default()).then(|| Box::new(options)),
            function: wish.function.map(function),
        }
    }

    fn dependency(&self, ties: Option<&Ties>) -> Option<Dependency> {
        let ties = ties?;
        let tasks: Vec<_> =
            ties.back.iter().filter_map(|back| self.check.task_back(*back)).collect();
        let some = (!tasks.is_empty()).then_some(tasks)?;
        Some(Dependency { tasks: some, quorum: ties.quorum, accept: ties.accept })
    }

    pub(crate) fn abort(&mut self, client: usize, back: usize, kill_after: Option<Duration>) {
        if let Some(task) = self.check.task_back(back)
            && !self.clients[client].dead
        {
            let kill = kill_after.map(|after| format!(", kills after {after:?}"));
            let kill = kill.unwrap_or_default();
            self.trace.tell(self.now, || format!("client {client} aborts {task}{kill}"));
            match kill_after {
                None => self.clients[client].room.abort([task]),
                Some(after) => self.clients[client].room.abort_or_kill([task], after),
            }
            self.check.on_abort(task, kill_after.is_some());
        }
    }

    /// The process is gone and will not come back.
    pub(crate) fn kill_client(&mut self, client: usize) {
        let process = &mut self.clients[client];
        if std::mem::replace(&mut process.dead, true) {
            return;
        }
        self.trace.tell(self.now, || format!("client {client} dies"));
        if let Some(session) = process.session.take() {
            self.vanish(session);
        }
    }
}

/// Gives the nodes that a task names their names, for the record: the client's room does it for the
/// task itself.
fn name_nodes(task: &mut NewTask, first: TaskId) {
    let named = task.options.iter_mut().flat_map(|options| options.after.iter_mut());
    for id in named.flat_map(|after| &mut after.tasks) {
        if id.client == node(0).client {
            *id = TaskId::new(first.client, first.seq + id.seq);
        }
    }
}

/// How long a peer waits before it connects again.
pub(crate) fn backoff(rng: &mut fastrand::Rng) -> Duration {
    Duration::from_millis(rng.u64(0..500))
}
