//! Functions that clients define once for each session: where they are, who waits for them, and
//! how long they are held.
//!
//! A session's table is what its client may name; a task holds its function itself, so a table
//! that is reset, or ends with its session, never hurts a task. Nobody here looks into a function.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::function::{Define, DefineError, Digest, Function, Held};
use phalanx_protocol::ids::{ClientId, SessionId, TaskId, Ticket};

use super::ledger::TaskState;
use super::sessions::Peer;
use super::submit::Refusal;
use super::{Arriving, Hub, HubEffect};
use crate::Time;

/// A function whose bytes are on their way.
#[derive(Debug)]
pub(super) struct ArrivingFunction {
    digest: Digest,
    /// So many tasks from each of these on wait for it.
    waiting: Vec<(TaskId, u64)>,
}

/// What a task needs of the functions.
#[derive(Debug, Clone)]
pub(super) enum Needed {
    /// None.
    Nothing,
    /// This one.
    Here(Arc<Function>),
    /// The one that comes by this stream.
    Arriving(Ticket),
}

/// The functions that a client's open tasks hold: each once, however many tasks hold it.
#[derive(Debug, Default)]
pub(crate) struct HeldFunctions {
    by_digest: BTreeMap<Digest, (Arc<Function>, u64)>,
    bytes: u64,
}

impl HeldFunctions {
    /// So many tasks more hold this one.
    pub(crate) fn hold(&mut self, function: &Arc<Function>, tasks: u64) {
        let (_, holders) = self.by_digest.entry(function.digest).or_insert_with(|| {
            self.bytes += function.bytes.len() as u64;
            (Arc::clone(function), 0)
        });
        *holders += tasks;
    }

    /// A task that held this one has ended.
    pub(crate) fn release(&mut self, digest: Digest) {
        if let Some((function, holders)) = self.by_digest.get_mut(&digest) {
            *holders -= 1;
            if *holders == 0 {
                self.bytes -= function.bytes.len() as u64;
                self.by_digest.remove(&digest);
            }
        }
    }

    /// The function of this name that some task holds.
    fn get(&self, digest: Digest) -> Option<&Arc<Function>> {
        self.by_digest.get(&digest).map(|(function, _)| function)
    }

    /// The function, as tasks hold it already if they do.
    fn shared(&self, digest: Digest, bytes: &Bytes) -> Arc<Function> {
        let held = self.get(digest).cloned();
        held.unwrap_or_else(|| Arc::new(Function { digest, bytes: bytes.clone() }))
    }

    /// Panics if a fact contradicts another.
    pub(crate) fn check_invariants(&self, holders: u64) {
        let lens = self.by_digest.values().map(|(function, _)| function.bytes.len() as u64);
        assert_eq!(lens.sum::<u64>(), self.bytes, "bytes of held functions");
        let counted: u64 = self.by_digest.values().map(|(_, holders)| holders).sum();
        assert_eq!(counted, holders, "tasks that hold functions");
        assert!(self.by_digest.values().all(|(_, holders)| *holders > 0), "held by nobody");
    }
}

impl Hub {
    pub(super) fn on_define(
        &mut self,
        now: Time,
        session: SessionId,
        client: ClientId,
        define: Define,
        effects: &mut Vec<HubEffect>,
    ) {
        let digest = define.digest;
        let Some(known) = self.clients.get_mut(client) else {
            return;
        };
        let ticket = match known.functions.take(define) {
            Ok(None) => return,
            Ok(Some(ticket)) => ticket,
            Err(error) => {
                let code = match error {
                    DefineError::OutOfOrder => ErrorCode::OutOfOrder,
                    DefineError::NotHere => ErrorCode::Malformed,
                    DefineError::TooMany => ErrorCode::TooLarge,
                };
                return Self::refuse_session(session, code, error.to_string(), effects);
            }
        };
        let function = ArrivingFunction { digest, waiting: Vec::new() };
        match self.arriving.remove(&(session, ticket)) {
            Some(Arriving::Early(bytes)) => {
                self.on_function_payload(now, session, ticket, function, &bytes, effects);
            }
            _ => {
                let arriving = Arriving::Function(Box::new(function));
                self.arriving.insert((session, ticket), arriving);
            }
        }
    }

    /// Tasks that are about to be recorded hold this function.
    pub(super) fn hold_function(&mut self, client: ClientId, function: &Arc<Function>, tasks: u64) {
        if let Some(known) = self.clients.get_mut(client) {
            known.held_functions.hold(function, tasks);
        }
    }

    /// What a submit needs of the functions of its session.
    pub(super) fn needed(
        &self,
        client: ClientId,
        function: Option<Digest>,
    ) -> Result<Needed, Refusal> {
        let Some(digest) = function else {
            return Ok(Needed::Nothing);
        };
        let Some(known) = self.clients.get(client) else {
            return Ok(Needed::Nothing);
        };
        let limit = self.settings.function_bytes_held;
        match known.functions.get(digest) {
            None => {
                let detail = format!("function {digest} was not defined in this session");
                Err((ErrorCode::UnknownFunction, detail))
            }
            Some(_) if known.held_functions.bytes > limit => {
                let detail = format!(
                    "open tasks of {client} hold functions of more than {limit} bytes; wait for some to end"
                );
                Err((ErrorCode::TooLarge, detail))
            }
            Some(Held::Here(bytes)) => Ok(Needed::Here(known.held_functions.shared(digest, bytes))),
            Some(Held::Arriving(ticket)) => Ok(Needed::Arriving(*ticket)),
        }
    }

    /// So many tasks from this one on wait for the function that comes by this stream.
    pub(super) fn await_function(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        first: TaskId,
        tasks: u64,
    ) {
        if let Some(Arriving::Function(function)) = self.arriving.get_mut(&(session, ticket)) {
            function.waiting.push((first, tasks));
        }
    }

    /// The bytes of a function are here: those who wait for it have it.
    pub(super) fn on_function_payload(
        &mut self,
        now: Time,
        session: SessionId,
        ticket: Ticket,
        arriving: ArrivingFunction,
        bytes: &Bytes,
        effects: &mut Vec<HubEffect>,
    ) {
        let ArrivingFunction { digest, waiting } = arriving;
        let Some(Peer::Client(client)) = self.peer(session) else {
            return;
        };
        let Some(known) = self.clients.get_mut(client) else {
            return;
        };
        known.functions.fill(digest, ticket, bytes);
        let function = known.held_functions.shared(digest, bytes);
        for (first, tasks) in waiting {
            self.on_submit_function(now, first, tasks, &function, effects);
        }
    }

    /// A recorded submit has its function.
    pub(super) fn on_submit_function(
        &mut self,
        now: Time,
        first: TaskId,
        tasks: u64,
        function: &Arc<Function>,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(client) = self.clients.get_mut(first.client) else {
            return;
        };
        let Some(lacks) = client.arriving.get_mut(&first.seq) else {
            return;
        };
        if !std::mem::replace(&mut lacks.function, false) {
            return;
        }
        for seq in first.seq..first.seq + tasks {
            let task = self.ledger.get_mut(TaskId::new(first.client, seq));
            if let Some(task) = task.filter(|task| task.state() == TaskState::Arriving) {
                task.function = Some(Arc::clone(function));
                client.held_functions.hold(function, 1);
            }
        }
        self.go_if_complete(now, first, tasks, effects);
    }
}
