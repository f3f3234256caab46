//! Submits that are recorded and lack something: a payload or a function that is on its way. They
//! go on when all of it is here, whichever comes first; after a cut their client sends both again.

use phalanx_protocol::ids::{SessionId, TaskId};
use phalanx_protocol::payload::{Body, Payload};
use phalanx_protocol::pieces::Pieces;
use phalanx_protocol::task::TaskSpec;

use super::functions::Needed;
use super::ledger::{Place, TaskState};
use super::submit::{Refusal, rejected};
use super::{Arriving, Hub, HubEffect};
use crate::Time;

/// What a recorded submit still lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lacks {
    pub(crate) payload: bool,
    pub(crate) function: bool,
}

impl Hub {
    /// Notes that something is on its way; direct tasks take their place in the order now.
    pub(super) fn expect(&mut self, first: TaskId, tasks: u64, lacks: Lacks) {
        let Some(client) = self.clients.get_mut(first.client) else {
            return;
        };
        client.arriving.insert(first.seq, lacks);
        for seq in first.seq..first.seq + tasks {
            let id = TaskId::new(first.client, seq);
            if let Some(Place::Direct(engine)) = self.ledger.get(id).map(|task| &task.place) {
                client.held.entry(*engine).or_default().push_back(id);
            }
        }
    }

    /// The client sent it again, after a cut: only a payload or function that did not come is news.
    pub(super) fn on_repeated_submit(
        &mut self,
        now: Time,
        session: SessionId,
        spec: TaskSpec,
        effects: &mut Vec<HubEffect>,
    ) {
        let client = self.clients.get(spec.id.client);
        let Some(lacks) = client.and_then(|client| client.arriving.get(&spec.id.seq)).copied()
        else {
            return;
        };
        let tasks = spec.target.ids_len();
        if lacks.function {
            match self.needed(spec.id.client, spec.function) {
                Ok(Needed::Here(function)) => {
                    self.on_submit_function(now, spec.id, tasks, &function, effects);
                }
                Ok(Needed::Arriving(ticket)) => {
                    self.await_function(session, ticket, spec.id, tasks);
                }
                // It was to have one.
                Ok(Needed::Nothing) => {}
                Err(refusal) => return self.give_up(now, spec.id, tasks, &refusal, effects),
            }
        }
        match spec.payload.body {
            Body::Inline(bytes) => self.on_submit_payload(now, spec.id, tasks, &bytes, effects),
            Body::Ticket { .. } => {
                self.await_submit_payload(now, session, spec.id, tasks, &spec.payload, effects);
            }
            // The session has put the bytes in its place.
            Body::Shared(_) => {}
        }
    }

    /// What a recorded submit lacks will not come: its client cannot say it again.
    fn give_up(
        &mut self,
        now: Time,
        first: TaskId,
        tasks: u64,
        refusal: &Refusal,
        effects: &mut Vec<HubEffect>,
    ) {
        if let Some(client) = self.clients.get_mut(first.client) {
            client.arriving.remove(&first.seq);
        }
        self.client_due(first.client);
        for seq in first.seq..first.seq + tasks {
            let id = TaskId::new(first.client, seq);
            if self.ledger.get(id).is_some_and(|task| task.state() == TaskState::Arriving) {
                self.end_without_result(now, id, rejected(refusal), effects);
            }
        }
    }

    pub(super) fn await_submit_payload(
        &mut self,
        now: Time,
        session: SessionId,
        first: TaskId,
        tasks: u64,
        payload: &Payload,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(ticket) = payload.ticket() else {
            return;
        };
        match self.arriving.remove(&(session, ticket)) {
            Some(Arriving::Early(bytes)) => {
                self.on_submit_payload(now, first, tasks, &bytes.into(), effects);
            }
            _ => {
                self.arriving.insert((session, ticket), Arriving::Submit(first, tasks));
            }
        }
    }

    pub(super) fn on_submit_payload(
        &mut self,
        now: Time,
        first: TaskId,
        tasks: u64,
        bytes: &Pieces,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(client) = self.clients.get_mut(first.client) else {
            return;
        };
        let Some(lacks) = client.arriving.get_mut(&first.seq) else {
            return;
        };
        if !std::mem::replace(&mut lacks.payload, false) {
            return;
        }
        for seq in first.seq..first.seq + tasks {
            let task = self.ledger.get_mut(TaskId::new(first.client, seq));
            if let Some(task) = task.filter(|task| task.state() == TaskState::Arriving) {
                task.payload.body = Body::Inline(bytes.clone());
            }
        }
        self.go_if_complete(now, first, tasks, effects);
    }

    /// A recorded submit of which all has come goes where it goes first.
    pub(super) fn go_if_complete(
        &mut self,
        now: Time,
        first: TaskId,
        tasks: u64,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(client) = self.clients.get_mut(first.client) else {
            return;
        };
        if client.arriving.get(&first.seq).is_none_or(|lacks| lacks.payload || lacks.function) {
            return;
        }
        client.arriving.remove(&first.seq);
        self.client_due(first.client);
        for seq in first.seq..first.seq + tasks {
            let id = TaskId::new(first.client, seq);
            let Some(task) = self.ledger.get(id) else {
                continue;
            };
            if task.state() != TaskState::Arriving {
                continue;
            }
            match task.place {
                Place::Direct(engine) => {
                    self.ledger.set_state(id, TaskState::Held);
                    self.release_held(now, id.client, engine, effects);
                }
                Place::Balanced(_) => self.route(now, id, effects),
            }
        }
    }
}
