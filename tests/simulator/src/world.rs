//! Time, and who is told what. One thread, one queue, no clock.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use phalanx_core::hub::{HostNews, HubEvent};
use phalanx_core::{Room, Time};
use phalanx_protocol::codec::Message;
use phalanx_protocol::ids::{AttemptId, SessionId};
use phalanx_protocol::limits::LOST_AFTER;
use phalanx_protocol::role::Role;

use crate::Run;
use crate::check::Check;
use crate::client::{ClientProcess, backoff};
use crate::engine::{EngineProcess, name};
use crate::hub::HubProcess;
use crate::net::{End, Item, Link, delay};
use crate::plan::{Action, Peer, Plan};
use crate::rooms::{RoomPair, RoomsProcess};
use crate::trace::Trace;

thread_local! {
    static SIMULATING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a run.
pub(crate) fn is_simulating() -> bool {
    SIMULATING.get()
}

/// Something that happens at some time.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    Act(usize),
    Connect(Peer),
    Opens(SessionId, End),
    Closes(SessionId, End),
    Arrives(SessionId, End, Item),
    Settle,
    RoomsHere,
    Writes { engine: usize, life: u64, attempt: AttemptId },
    RunEnds { engine: usize, life: u64, attempt: AttemptId },
    HostReports { engine: usize, pid: u32 },
    Restart { engine: usize },
    Thaw { engine: usize, life: u64 },
}

/// More steps than any plan needs: beyond it the cluster does not come to rest.
const STEPS_MAX: u64 = 300_000;

/// The cluster and its fate.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    pub(crate) hub: HubProcess,
    pub(crate) rooms: RoomsProcess,
    pub(crate) engines: Vec<EngineProcess>,
    pub(crate) clients: Vec<ClientProcess>,
    pub(crate) check: Check,
    pub(crate) trace: Trace,
    queue: BTreeMap<(Time, u64), Happening>,
    links: BTreeMap<SessionId, Link>,
    next_number: u64,
    next_session: u64,
    next_life: u64,
    rooms_life: u64,
    steps: u64,
}

impl<'a> World<'a> {
    pub(crate) fn new(plan: &'a Plan, tell: bool) -> Self {
        let engines = plan.slots.iter().enumerate();
        let engines: Vec<_> =
            engines.map(|(at, slots)| EngineProcess::new(at, at as u64 + 1, *slots)).collect();
        let next_life = engines.len() as u64 + 1;
        Self {
            plan,
            now: Time::ZERO,
            rng: Rng::with_seed(plan.seed ^ 0x5eed),
            hub: HubProcess::new(plan),
            rooms: RoomsProcess::default(),
            engines,
            clients: (0..plan.clients).map(ClientProcess::new).collect(),
            check: Check::new(plan),
            trace: Trace::new(tell),
            queue: BTreeMap::new(),
            links: BTreeMap::new(),
            next_number: 0,
            next_session: 0,
            next_life,
            rooms_life: 0,
            steps: 0,
        }
    }

    /// Plays the plan until everything has come to rest. Panics at the first violation.
    pub(crate) fn run(&mut self) {
        SIMULATING.set(true);
        self.begin();
        while let Some(happening) = self.next() {
            self.steps += 1;
            assert!(self.steps < STEPS_MAX, "I9: no rest: {}", self.unrest());
            self.happen(happening);
        }
        self.check_rest();
    }

    /// What there is to say about a run that is over.
    pub(crate) fn finish(mut self, violation: Option<String>) -> Run {
        SIMULATING.set(false);
        Run {
            hash: self.trace.hash(),
            steps: self.steps,
            tasks: self.check.tasks(),
            story: self.trace.take_story(),
            violation,
        }
    }

    fn begin(&mut self) {
        if self.plan.remote_rooms {
            self.connect_soon(Peer::Rooms);
        } else {
            self.tell_hub(HubEvent::RoomsOffered(None));
        }
        for engine in 0..self.engines.len() {
            self.connect_soon(Peer::Engine(engine));
        }
        for client in 0..self.clients.len() {
            self.connect_soon(Peer::Client(client));
        }
        for (index, (at, _)) in self.plan.actions.iter().enumerate() {
            self.at(*at, Happening::Act(index));
        }
    }

    pub(crate) fn at(&mut self, time: Time, happening: Happening) {
        self.queue.insert((time.max(self.now), self.next_number), happening);
        self.next_number += 1;
    }

    pub(crate) fn after(&mut self, duration: Duration, happening: Happening) {
        self.at(self.now + duration, happening);
    }

    pub(crate) fn soon(&mut self, happening: Happening) {
        let within = Duration::from_nanos(self.rng.u64(0..20_000));
        self.after(within, happening);
    }

    fn connect_soon(&mut self, peer: Peer) {
        let within = backoff(&mut self.rng);
        self.after(within, Happening::Connect(peer));
    }

    /// The next thing to happen: a deadline of a room, or the head of the queue.
    fn next(&mut self) -> Option<Happening> {
        loop {
            if self.is_at_rest() {
                return None;
            }
            let head = self.queue.first_key_value().map(|((time, _), _)| *time);
            let Some((deadline, room)) = self.next_deadline() else {
                return self.pop();
            };
            if head.is_some_and(|head| head <= deadline) {
                return self.pop();
            }
            self.now = self.now.max(deadline);
            self.steps += 1;
            assert!(self.steps < STEPS_MAX, "I9: no rest: {}", self.unrest());
            self.trace.step(self.now, &[room.tag()], || format!("deadline of {room:?}"));
            self.wake(room);
        }
    }

    fn pop(&mut self) -> Option<Happening> {
        let Some(((time, _), happening)) = self.queue.pop_first() else {
            panic!("I9: nothing more will happen: {}", self.unrest());
        };
        self.now = time;
        Some(happening)
    }

    /// Whether every action has been played and every task of a living client has ended.
    fn is_at_rest(&self) -> bool {
        let acting = self
            .queue
            .values()
            .any(|happening| !matches!(happening, Happening::Connect(_) | Happening::Opens(..)));
        !acting
            && self.hub.hub.open_len() == 0
            && self.clients.iter().all(ClientProcess::is_done)
            && self.hub.orders.is_empty()
            && self.hub.verdicts.is_empty()
    }

    fn unrest(&self) -> String {
        let clients: Vec<_> = self.clients.iter().map(ClientProcess::unfinished).collect();
        let open = self.hub.hub.open_len();
        format!(
            "at {:?} the hub has {open} open tasks, clients (open, wishes) {clients:?}",
            self.now
        )
    }

    fn next_deadline(&self) -> Option<(Time, Which)> {
        let beside = self.hub.beside.as_ref().and_then(RoomPair::next_deadline);
        let rooms = self.rooms.rooms.next_deadline().filter(|_| self.rooms.session.is_some());
        let engines = self.engines.iter().enumerate().filter_map(|(index, engine)| {
            let awake = !engine.dead && engine.frozen.is_none();
            Some((engine.room.next_deadline().filter(|_| awake)?, Which::Engine(index)))
        });
        let clients = self.clients.iter().enumerate();
        let clients =
            clients.filter_map(|(at, client)| Some((client.deadline()?, Which::Client(at))));
        [
            self.hub_deadline().map(|time| (time, Which::Hub)),
            beside.map(|time| (time, Which::RoomsHere)),
            rooms.map(|time| (time, Which::Rooms)),
        ]
        .into_iter()
        .flatten()
        .chain(engines)
        .chain(clients)
        .min_by_key(|(time, _)| *time)
    }

    fn wake(&mut self, room: Which) {
        match room {
            Which::Hub => self.wake_hub(),
            Which::RoomsHere => self.wake_rooms_here(),
            Which::Rooms => self.wake_rooms(),
            Which::Engine(engine) => self.wake_engine(engine),
            Which::Client(client) => self.wake_client(client),
        }
    }

    fn happen(&mut self, happening: Happening) {
        self.note(&happening);
        match happening {
            Happening::Act(index) => self.act(index),
            Happening::Connect(peer) => self.connect(peer),
            Happening::Opens(session, end) => self.opens(session, end),
            Happening::Closes(session, end) => self.closes(session, end),
            Happening::Arrives(session, end, item) => self.arrives(session, end, item),
            Happening::Settle => self.settle_hub(),
            Happening::RoomsHere => self.run_rooms_here(),
            Happening::Writes { engine, life, attempt } => {
                // Code of a process that stands still writes nothing.
                let runs = self.engines[engine].life == life && !self.engines[engine].dead;
                if runs && self.frozen(engine).is_none() {
                    self.writes(engine, attempt);
                }
            }
            Happening::RunEnds { engine, life, attempt } => {
                if let Some(frozen) = self.frozen(engine) {
                    frozen.push(Happening::RunEnds { engine, life, attempt });
                } else if self.engines[engine].life == life && !self.engines[engine].dead {
                    self.run_ends(engine, attempt);
                }
            }
            Happening::HostReports { engine, pid } => {
                let cause = "killed".to_owned();
                let news = HostNews::EngineExited { name: name(engine), pid, cause };
                // The host's session is not played: what it says is said at once.
                self.tell_hub(HubEvent::FromHost(SessionId(u64::MAX), news));
            }
            Happening::Restart { engine } => {
                let (life, slots) = (self.next_life, self.plan.slots[engine]);
                self.next_life += 1;
                let id = self.engines[engine].id;
                self.engines[engine] = EngineProcess::new(engine, life, slots);
                self.engines[engine].id = id;
                self.connect_soon(Peer::Engine(engine));
            }
            Happening::Thaw { engine, life } => self.thaw(engine, life),
        }
    }

    fn note(&mut self, happening: &Happening) {
        let arrived: &Bytes = match happening {
            Happening::Arrives(_, _, Item::Frame(bytes) | Item::Payload(_, bytes)) => bytes,
            _ => &Bytes::new(),
        };
        let number = self.next_number.to_le_bytes();
        self.trace.step(self.now, arrived, || match happening {
            Happening::Arrives(session, end, Item::Frame(frame)) => {
                format!("{session}: frame of {} bytes arrives at {end:?}", frame.len())
            }
            other => format!("{other:?}"),
        });
        self.trace.step(self.now, &number, String::new);
    }

    fn act(&mut self, index: usize) {
        match self.plan.actions[index].1.clone() {
            Action::Submit(client, wish) => self.wish(client, wish),
            Action::Abort(client, back) => self.abort(client, back),
            Action::Cut(peer) => {
                if let Some(session) = self.session_of(peer) {
                    self.cut(session);
                }
            }
            Action::KillEngine { engine, reported } => self.kill_engine(engine, reported),
            Action::PauseEngine(engine, duration) => self.pause(engine, duration),
            Action::KillClient(client) => self.kill_client(client),
            Action::KillRooms => self.kill_rooms(),
            Action::PanicRoom(room) => {
                if let Some(mut beside) = self.hub.beside.take() {
                    let statements = beside.panic(self.now, room);
                    self.hub.beside = Some(beside);
                    for statement in statements {
                        self.hub.verdicts.push_back(statement.into());
                        self.soon(Happening::RoomsHere);
                    }
                } else if let Some(session) = self.rooms.session {
                    let statements = self.rooms.rooms.panic(self.now, room);
                    self.rooms_say(session, statements);
                }
            }
        }
    }

    fn session_of(&self, peer: Peer) -> Option<SessionId> {
        match peer {
            Peer::Client(client) => self.clients[client].session,
            Peer::Engine(engine) => self.engines[engine].session,
            Peer::Rooms => self.rooms.session,
        }
    }

    fn life_of(&self, peer: Peer) -> Option<u64> {
        match peer {
            Peer::Client(client) => (!self.clients[client].dead).then_some(0),
            Peer::Engine(engine) => {
                let engine = &self.engines[engine];
                (!engine.dead).then_some(engine.life)
            }
            Peer::Rooms => Some(self.rooms_life),
        }
    }

    fn frozen(&mut self, engine: usize) -> Option<&mut Vec<Happening>> {
        self.engines[engine].frozen.as_mut()
    }

    fn connect(&mut self, peer: Peer) {
        let Some(life) = self.life_of(peer) else { return };
        if let Peer::Engine(engine) = peer
            && let Some(frozen) = self.frozen(engine)
        {
            frozen.push(Happening::Connect(peer));
            return;
        }
        if self.session_of(peer).is_some() {
            return;
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let heard = [End::Hub, End::Peer].map(|_| self.now + delay(self.plan, &mut self.rng));
        self.links.insert(session, Link::new(peer, life, heard));
        self.at(heard[0], Happening::Opens(session, End::Hub));
        self.at(heard[1], Happening::Opens(session, End::Peer));
    }

    fn opens(&mut self, session: SessionId, end: End) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&session) else { return };
        if link.dead_from[end.index()].is_some_and(|dead| dead <= now) {
            return;
        }
        let (peer, life) = (link.peer, link.life);
        if end == End::Peer && self.life_of(peer) != Some(life) {
            return;
        }
        if let (End::Peer, Peer::Engine(engine)) = (end, peer)
            && let Some(frozen) = self.frozen(engine)
        {
            frozen.push(Happening::Opens(session, end));
            return;
        }
        if let Some(link) = self.links.get_mut(&session) {
            link.open[end.index()] = true;
        }
        match (end, peer) {
            (End::Hub, peer) => {
                let role = match peer {
                    Peer::Client(_) => Role::Client,
                    Peer::Engine(_) => Role::Engine,
                    Peer::Rooms => Role::Scheduler,
                };
                let secret = self.rng.u64(..);
                self.tell_hub(HubEvent::SessionOpened { session, role, secret });
            }
            (End::Peer, Peer::Client(client)) => self.client_opened(client, session),
            (End::Peer, Peer::Engine(engine)) => self.engine_opened(engine, session),
            (End::Peer, Peer::Rooms) => self.rooms_opened(session),
        }
    }

    /// An end learns that a session is over.
    fn closes(&mut self, session: SessionId, end: End) {
        let Some(link) = self.links.get_mut(&session) else { return };
        link.closing = true;
        let (peer, life) = (link.peer, link.life);
        if let (End::Peer, Peer::Engine(engine)) = (end, peer)
            && self.engines[engine].life == life
            && let Some(frozen) = self.frozen(engine)
        {
            frozen.push(Happening::Closes(session, end));
            return;
        }
        let Some(link) = self.links.get_mut(&session) else { return };
        let was_open = std::mem::replace(&mut link.open[end.index()], false);
        link.dead_from[end.index()].get_or_insert(self.now);
        if end == End::Hub {
            if was_open {
                self.tell_hub(HubEvent::SessionClosed { session });
            }
            return;
        }
        if self.life_of(peer) != Some(life) {
            return;
        }
        if was_open && self.session_of(peer) == Some(session) {
            match peer {
                Peer::Client(client) => self.client_closed(client),
                Peer::Engine(engine) => self.engine_closed(engine),
                Peer::Rooms => self.rooms.session = None,
            }
        }
        self.connect_soon(peer);
    }

    pub(crate) fn send<M: Message>(&mut self, session: SessionId, to: End, message: M) {
        let now = self.now;
        let name = message.info().name;
        let Some(link) = self.links.get_mut(&session) else { return };
        let items = link.send(now, to, message, self.plan, &mut self.rng);
        self.trace.tell(now, || format!("{session}: {name} to {to:?}, {} items", items.len()));
        for (at, item) in items {
            self.at(at, Happening::Arrives(session, to, item));
        }
    }

    fn arrives(&mut self, session: SessionId, end: End, item: Item) {
        let now = self.now;
        let Some(link) = self.links.get(&session) else { return };
        if !link.hears(now, end) {
            return;
        }
        let peer = link.peer;
        match (end, peer) {
            (End::Hub, peer) => self.hub_receives(session, peer, item),
            (End::Peer, Peer::Client(client)) => self.client_receives(client, item),
            (End::Peer, Peer::Engine(engine)) => match self.frozen(engine) {
                Some(frozen) => frozen.push(Happening::Arrives(session, end, item)),
                None => self.engine_receives(engine, item),
            },
            (End::Peer, Peer::Rooms) => self.rooms_receive(session, item),
        }
    }

    /// The session is cut: what is on its way is lost from some moment on, and each end learns of
    /// it when it learns of it.
    pub(crate) fn cut(&mut self, session: SessionId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&session) else { return };
        for dead in &mut link.dead_from {
            let more = Duration::from_micros(self.rng.u64(0..5_000));
            dead.get_or_insert(now + more);
        }
        link.closing = true;
        for end in [End::Hub, End::Peer] {
            let slow = self.rng.u8(0..4) == 0;
            let within = if slow { LOST_AFTER.as_micros() as u64 } else { 300_000 };
            let learns = Duration::from_micros(5_000 + self.rng.u64(0..within));
            self.after(learns, Happening::Closes(session, end));
        }
    }

    /// The hub closes a session: what it has sent before still arrives.
    pub(crate) fn close_in_order(&mut self, session: SessionId) {
        let Some(link) = self.links.get_mut(&session) else { return };
        link.closing = true;
        let at = link.drained(End::Peer).max(self.now) + Duration::from_nanos(1);
        self.at(at, Happening::Closes(session, End::Peer));
        self.soon(Happening::Closes(session, End::Hub));
    }

    /// The peer's process is gone: the hub learns of it by its silence, or by an ICMP message.
    pub(crate) fn vanish(&mut self, session: SessionId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&session) else { return };
        link.closing = true;
        link.open[End::Peer.index()] = false;
        // What it had sent may be lost with it.
        let more = Duration::from_micros(self.rng.u64(0..5_000));
        link.dead_from[End::Hub.index()].get_or_insert(now + more);
        let quick = self.rng.bool();
        let within = if quick { 100_000 } else { LOST_AFTER.as_micros() as u64 };
        let learns = Duration::from_micros(5_000 + self.rng.u64(0..within));
        self.after(learns, Happening::Closes(session, End::Hub));
    }

    fn pause(&mut self, engine: usize, duration: Duration) {
        let process = &mut self.engines[engine];
        if process.dead || process.frozen.is_some() {
            return;
        }
        process.frozen = Some(Vec::new());
        let life = process.life;
        if duration > LOST_AFTER
            && let Some(session) = process.session
        {
            // The hub hears nothing for so long: for it the session is over.
            self.after(LOST_AFTER, Happening::Closes(session, End::Hub));
            self.after(duration, Happening::Closes(session, End::Peer));
        }
        self.after(duration, Happening::Thaw { engine, life });
    }

    fn thaw(&mut self, engine: usize, life: u64) {
        if self.engines[engine].life != life {
            return;
        }
        for happening in self.engines[engine].frozen.take().into_iter().flatten() {
            self.soon_in_order(happening);
        }
    }

    /// At this very moment, behind what is to happen at it already.
    fn soon_in_order(&mut self, happening: Happening) {
        self.at(self.now, happening);
    }

    fn kill_rooms(&mut self) {
        self.rooms_life += 1;
        self.rooms.rooms = RoomPair::default();
        if let Some(session) = self.rooms.session.take() {
            self.vanish(session);
        }
        let restart = Duration::from_micros(self.rng.u64(1_000..2_000_000));
        self.after(restart, Happening::Connect(Peer::Rooms));
    }

    /// Nothing is left over anywhere (I6), and every task has ended (I1, I9).
    fn check_rest(&self) {
        match &self.hub.beside {
            Some(rooms) => rooms.check_rest(),
            // Without a session they have not heard of the last endings.
            None if self.rooms.session.is_some() => self.rooms.rooms.check_rest(),
            None => {}
        }
        self.check.check_rest(|client| !self.clients[client].dead);
    }
}

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Hub,
    RoomsHere,
    Rooms,
    Engine(usize),
    Client(usize),
}

impl Which {
    const fn tag(self) -> u8 {
        match self {
            Self::Hub => 0,
            Self::RoomsHere => 1,
            Self::Rooms => 2,
            Self::Engine(index) => 3 + index as u8,
            Self::Client(index) => 64 + index as u8,
        }
    }
}
