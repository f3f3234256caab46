//! Time, and who is told what. One thread, one queue, no clock. Sessions are in `links`, what the
//! plan does to the cluster is in `fate`.

mod fate;
mod links;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use phalanx_core::Time;
use phalanx_core::hub::{HostNews, HubEvent};
use phalanx_protocol::ids::{AttemptId, RequestId, SessionId};

use crate::Run;
use crate::check::Check;
use crate::client::ClientProcess;
use crate::engine::{EngineProcess, name};
use crate::hub::HubProcess;
use crate::net::{End, Item, Link};
use crate::plan::{Peer, Plan};
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
    HostKills { engine: usize, pid: u32 },
    Restart { engine: usize },
    Thaw { engine: usize, life: u64 },
}

/// More steps than any plan needs: beyond it the cluster does not come to rest.
const STEPS_MAX: u64 = 300_000;

/// Tasks that are spoken of when there is no rest.
const TOLD_MAX: usize = 5;

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
    /// Until when peers cannot reach the hub.
    apart: BTreeMap<Peer, Time>,
    next_number: u64,
    next_session: u64,
    next_life: u64,
    rooms_life: u64,
    steps: u64,
}

impl<'a> World<'a> {
    pub(crate) fn new(plan: &'a Plan, tell: bool) -> Self {
        let engines: Vec<_> = (0..plan.slots.len())
            .map(|engine| EngineProcess::new(engine, engine as u64 + 1, plan))
            .collect();
        let next_life = engines.len() as u64 + 1;
        Self {
            plan,
            now: Time::ZERO,
            rng: Rng::with_seed(plan.seed ^ 0x5eed),
            hub: HubProcess::new(plan),
            rooms: RoomsProcess::new(plan),
            engines,
            clients: (0..plan.clients).map(|client| ClientProcess::new(client, plan)).collect(),
            check: Check::new(plan),
            trace: Trace::new(tell),
            queue: BTreeMap::new(),
            links: BTreeMap::new(),
            apart: BTreeMap::new(),
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
            given_back: self.check.given_back,
            kept: self.check.kept,
            sent_ahead: self.check.sent_ahead,
            begun_ahead: self.check.begun_ahead,
            story: self.trace.take_story(),
            violation,
        }
    }

    fn begin(&mut self) {
        if self.plan.has_host {
            self.attach_host();
        }
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
        let rooms = self.hub.beside.as_ref().unwrap_or(&self.rooms.rooms);
        let explain = |task| {
            let hub = self.hub.hub.explain(self.now, RequestId(0), task);
            let scheduler = rooms.scheduler.room().and_then(|room| room.why(task));
            format!("{hub} (the scheduler: {scheduler:?})")
        };
        let told: Vec<String> = self.check.open().take(TOLD_MAX).map(explain).collect();
        format!(
            "at {:?} the hub has {open} open tasks, clients (open, wishes) {clients:?}: {}",
            self.now,
            told.join("; ")
        )
    }

    fn next_deadline(&self) -> Option<(Time, Which)> {
        let beside = self.hub.beside.as_ref().and_then(RoomPair::next_deadline);
        let rooms = self.rooms.rooms.next_deadline().filter(|_| self.rooms.session.is_some());
        let engines = self.engines.iter().enumerate().filter_map(|(index, engine)| {
            let awake = !engine.dead && engine.frozen.is_none();
            Some((engine.next_deadline().filter(|_| awake)?, Which::Engine(index)))
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
                self.tell_hub(HubEvent::FromHost(fate::HOST, news));
            }
            Happening::HostKills { engine, pid } => {
                if self.engines[engine].life as u32 == pid {
                    self.kill_engine(engine, true);
                }
            }
            Happening::Restart { engine } => {
                let life = self.next_life;
                self.next_life += 1;
                let id = self.engines[engine].id;
                self.engines[engine] = EngineProcess::new(engine, life, self.plan);
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
