//! Clients: their numbers, grants and deliveries. Only the hub writes here.

use std::collections::{BTreeMap, VecDeque};

use phalanx_protocol::client::Grant;
use phalanx_protocol::function::{FunctionLimits, FunctionTable};
use phalanx_protocol::ids::{ClientId, EngineId, SessionId, TaskId};
use phalanx_protocol::limits::{
    DELIVERIES_IN_FLIGHT_MAX, DELIVERY_BYTES_IN_FLIGHT_MAX, TOMBSTONES_MAX,
};
use rustc_hash::FxHashMap;

use super::arriving::Lacks;
use super::coalesced::Coalesced;
use super::confirmations::Owed;
use super::functions::HeldFunctions;
use super::watches::ClientWatches;
use crate::Time;

/// How far clients may run ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) tasks: u64,
    pub(crate) bytes: u64,
}

/// An outcome that was sent and is not confirmed.
#[derive(Debug)]
struct InFlight {
    task: TaskId,
    bytes: u64,
    /// Whether it watches the task, instead of being told as its owner.
    is_watched: bool,
}

/// A client, with or without a session.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) token: u64,
    pub(crate) session: Option<SessionId>,
    /// When it lost its session; it is forgotten some time after.
    pub(crate) gone_since: Option<Time>,
    /// It said goodbye, or stayed away too long: its outcomes are nobody's.
    pub(crate) departed: bool,
    /// Submits below this are recorded.
    pub(crate) next_seq: u64,
    /// Recorded submits whose payload or function is on its way.
    pub(crate) arriving: BTreeMap<u64, Lacks>,
    /// The functions that its session defined.
    pub(crate) functions: FunctionTable,
    /// The functions that its open tasks hold.
    pub(crate) held_functions: HeldFunctions,
    /// Payload bytes of all recorded submits.
    bytes_seen: u64,
    /// Tasks that have ended and whose outcome the client has.
    finished: u64,
    /// Payload bytes of tasks that have ended.
    bytes_released: u64,
    /// The grant it was sent last.
    pub(crate) granted: Grant,
    /// Up to where it was told that its submits are recorded.
    pub(crate) accepted: u64,
    /// Whether it is to be told again, whatever it was told before.
    pub(crate) accept_due: bool,
    /// What it is to be told of its submits.
    pub(crate) owed: Owed,
    /// Outcomes to send.
    outbox: VecDeque<TaskId>,
    /// Outcomes that it wants together.
    pub(crate) coalesced: Coalesced,
    /// Outcomes sent in this session and not confirmed.
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: u64,
    /// How many of these it watches: they do not count as delivered.
    watched_in_flight: usize,
    /// The tasks whose outcome it wants beside those of its own.
    pub(crate) watches: ClientWatches,
    /// Deliveries of this session below this are confirmed.
    confirmed: u64,
    /// Open tasks.
    pub(crate) open: u64,
    /// Direct tasks behind one whose payload is on its way, by engine, in the order sent.
    pub(crate) held: BTreeMap<EngineId, VecDeque<TaskId>>,
    /// Aborts that overtook their submit, oldest first.
    tombstones: VecDeque<u64>,
}

impl Client {
    fn new(name: String, token: u64, session: SessionId, functions: FunctionLimits) -> Self {
        Self {
            name,
            token,
            session: Some(session),
            gone_since: None,
            departed: false,
            next_seq: 0,
            arriving: BTreeMap::new(),
            functions: FunctionTable::new(functions),
            held_functions: HeldFunctions::default(),
            bytes_seen: 0,
            finished: 0,
            bytes_released: 0,
            granted: Grant::default(),
            accepted: 0,
            accept_due: false,
            owed: Owed::default(),
            outbox: VecDeque::new(),
            coalesced: Coalesced::default(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            watched_in_flight: 0,
            watches: ClientWatches::default(),
            confirmed: 0,
            open: 0,
            held: BTreeMap::new(),
            tombstones: VecDeque::new(),
        }
    }

    /// Continues on another session: what was in flight is sent again, renumbered from 0.
    pub(crate) fn resume(&mut self, session: SessionId) {
        self.session = Some(session);
        self.gone_since = None;
        self.in_flight_bytes = 0;
        self.watched_in_flight = 0;
        self.confirmed = 0;
        while let Some(sent) = self.in_flight.pop_back() {
            // What it watches it asks for again.
            if !sent.is_watched {
                self.outbox.push_front(sent.task);
            }
        }
    }

    /// Below this, everything it submitted is recorded with its payload.
    pub(crate) fn accepted_end(&self) -> u64 {
        self.arriving.first_key_value().map_or(self.next_seq, |(seq, _)| *seq)
    }

    /// How far it may submit by what has ended; never less than before.
    pub(crate) fn grant(&self, window: Window) -> Grant {
        Grant {
            seq_end: self.finished.saturating_add(window.tasks),
            bytes_end: self.bytes_released.saturating_add(window.bytes),
        }
    }

    /// Takes `tasks` tasks of `bytes` payload bytes in all as recorded; answers whether they were
    /// within what the client was granted.
    pub(crate) fn record(&mut self, tasks: u64, bytes: u64) -> bool {
        self.next_seq += tasks;
        self.bytes_seen = self.bytes_seen.saturating_add(bytes);
        self.open += tasks;
        self.next_seq <= self.granted.seq_end && self.bytes_seen <= self.granted.bytes_end
    }

    /// One of its tasks, which had this many payload bytes, has ended.
    pub(crate) fn release(&mut self, bytes: u64) {
        self.open -= 1;
        self.release_bytes(bytes);
    }

    /// Payload bytes that were counted as seen are not kept.
    pub(crate) fn release_bytes(&mut self, bytes: u64) {
        self.bytes_released = self.bytes_released.saturating_add(bytes);
    }

    /// An outcome waits to be sent.
    pub(crate) fn post(&mut self, task: TaskId) {
        self.coalesced.post(task, &mut self.outbox);
    }

    /// The next outcome to send, if the client may be sent one more.
    pub(crate) fn next_to_send(&self) -> Option<TaskId> {
        if self.may_be_sent() { self.outbox.front().copied() } else { None }
    }

    /// The next outcome that it watches, if it may be sent one more.
    pub(crate) fn next_watched_to_send(&self) -> Option<TaskId> {
        self.watches.first_due().filter(|_| self.may_be_sent())
    }

    fn may_be_sent(&self) -> bool {
        self.session.is_some()
            && self.in_flight.len() < DELIVERIES_IN_FLIGHT_MAX
            && self.in_flight_bytes < DELIVERY_BYTES_IN_FLIGHT_MAX
    }

    /// Moves the next outcome to those in flight; answers its number.
    pub(crate) fn send_next(&mut self, bytes: u64) -> u64 {
        let number = self.confirmed + self.in_flight.len() as u64;
        if let Some(task) = self.outbox.pop_front() {
            self.in_flight.push_back(InFlight { task, bytes, is_watched: false });
            self.in_flight_bytes += bytes;
        }
        number
    }

    /// The first outcome that it watches is sent; answers its number.
    pub(crate) fn send_watched(&mut self, task: TaskId, bytes: u64) -> u64 {
        let number = self.sent();
        self.watches.note_sent();
        self.in_flight.push_back(InFlight { task, bytes, is_watched: true });
        self.in_flight_bytes += bytes;
        self.watched_in_flight += 1;
        number
    }

    /// The client has all deliveries below `up_to`: answers one of its own, until there are none.
    pub(crate) fn confirm_next(&mut self, up_to: u64) -> Option<TaskId> {
        while self.confirmed < up_to {
            let InFlight { task, bytes, is_watched } = self.in_flight.pop_front()?;
            self.in_flight_bytes -= bytes;
            self.confirmed += 1;
            if !is_watched {
                self.finished += 1;
                return Some(task);
            }
            self.watched_in_flight -= 1;
        }
        None
    }

    /// Deliveries below this have been sent in this session.
    pub(crate) fn sent(&self) -> u64 {
        self.confirmed + self.in_flight.len() as u64
    }

    /// Nobody will fetch its outcomes: answers them.
    pub(crate) fn depart(&mut self) -> Vec<TaskId> {
        self.departed = true;
        self.gone_since = None;
        self.in_flight_bytes = 0;
        self.watched_in_flight = 0;
        let sent = self.in_flight.drain(..).filter(|sent| !sent.is_watched);
        let unsent = self.outbox.drain(..).chain(self.coalesced.dissolve());
        let tasks: Vec<TaskId> = sent.map(|sent| sent.task).chain(unsent).collect();
        self.finished += tasks.len() as u64;
        tasks
    }

    /// An ended task's outcome is nobody's.
    pub(crate) fn discard(&mut self) {
        self.finished += 1;
    }

    /// How many outcomes it has not confirmed.
    pub(crate) fn undelivered(&self) -> u64 {
        let sent = self.in_flight.len() - self.watched_in_flight;
        (self.outbox.len() + sent) as u64 + self.coalesced.kept_back()
    }

    /// Remembers an abort that overtook its submit.
    pub(crate) fn bury(&mut self, seq: u64) {
        if self.tombstones.contains(&seq) {
            return;
        }
        if self.tombstones.len() == TOMBSTONES_MAX {
            self.tombstones.pop_front();
        }
        self.tombstones.push_back(seq);
    }

    /// Whether an abort had overtaken this submit.
    pub(crate) fn exhume(&mut self, seq: u64) -> bool {
        let found = self.tombstones.iter().position(|buried| *buried == seq);
        found.is_some_and(|index| self.tombstones.remove(index).is_some())
    }

    fn check_invariants(&self, id: ClientId) {
        let bytes: u64 = self.in_flight.iter().map(|sent| sent.bytes).sum();
        assert_eq!(bytes, self.in_flight_bytes, "{id} bytes in flight");
        let watched = self.in_flight.iter().filter(|sent| sent.is_watched).count();
        assert_eq!(watched, self.watched_in_flight, "{id} watched and in flight");
        self.watches.check_invariants();
        self.coalesced.check_invariants();
        assert_eq!(
            self.open + self.undelivered() + self.finished,
            self.next_seq,
            "{id} tasks are open, undelivered or finished"
        );
        assert!(self.bytes_released <= self.bytes_seen, "{id} bytes");
        assert!(self.accepted <= self.next_seq, "{id} accepted");
        let last = self.arriving.last_key_value();
        assert!(last.is_none_or(|(last, _)| *last < self.next_seq), "{id} arriving");
        let complete = |lacks: &Lacks| !lacks.payload && !lacks.function;
        assert!(!self.arriving.values().any(complete), "{id} waits for nothing");
        self.functions.check_invariants();
        assert!(self.held.values().all(|queue| !queue.is_empty()), "{id} held");
        assert!(!self.departed || self.undelivered() == 0, "{id} departed");
        assert!(!(self.session.is_some() && self.gone_since.is_some()), "{id} is here and gone");
    }
}

/// Every client of this ledger.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    clients: FxHashMap<ClientId, Client>,
    /// For clients of which nothing else is left: how many tasks they submitted.
    forgotten: FxHashMap<ClientId, u64>,
    next_client: u32,
    connected: usize,
}

impl Clients {
    /// Takes a new client in.
    pub(crate) fn admit(
        &mut self,
        name: String,
        token: u64,
        session: SessionId,
        functions: FunctionLimits,
    ) -> ClientId {
        let id = ClientId(self.next_client);
        self.next_client += 1;
        self.clients.insert(id, Client::new(name, token, session, functions));
        id
    }

    pub(crate) fn get(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(&id)
    }

    /// How many tasks a client, known or forgotten, has submitted.
    pub(crate) fn submitted(&self, id: ClientId) -> Option<u64> {
        self.get(id).map(|client| client.next_seq).or_else(|| self.forgotten.get(&id).copied())
    }

    /// Forgets a departed client once none of its tasks is open.
    pub(crate) fn forget_if_over(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get(&id)
            && client.departed
            && client.open == 0
            && client.session.is_none()
        {
            self.forgotten.insert(id, client.next_seq);
            self.clients.remove(&id);
        }
    }

    /// A session more or less is a client's.
    pub(crate) fn note_connected(&mut self, connected: bool) {
        if connected {
            self.connected += 1;
        } else {
            self.connected -= 1;
        }
    }

    /// How many clients have a session.
    pub(crate) const fn connected(&self) -> usize {
        self.connected
    }

    /// Every client, by id.
    pub(crate) fn ids(&self) -> Vec<ClientId> {
        let mut ids: Vec<_> = self.clients.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn check_invariants(&self) {
        for (id, client) in &self.clients {
            client.check_invariants(*id);
        }
        let connected = self.clients.values().filter(|client| client.session.is_some()).count();
        assert_eq!(connected, self.connected, "connected clients");
    }
}
