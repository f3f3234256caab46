//! The hub room: the life of each task, and who waits for it.
//!
//! It owns the ledger, the clients, the [`crate::registry`] and the [`crate::results`], and is the
//! only writer of each. Dag and scheduler are rooms beside it: it tells them what they need, and
//! when one is lost it re-creates it from the ledger (`rooms`).
//!
//! | file | what it decides |
//! |---|---|
//! | `sessions` | whose a session is, and what ends with it |
//! | `requests` | what clients ask and are told |
//! | `queries` | reading records, forgetting them, running a task again |
//! | `records` | what is kept of ended tasks for whoever asks |
//! | `watches` | who wants another's outcome |
//! | `submit` | what a new task is, whether it is taken, where it goes first |
//! | `graphs` | when tasks that are submitted as one go, or are refused |
//! | `inputs` | whose results a task takes as arguments |
//! | `explain` | why a task is where it is |
//! | `arriving` | when a submit that lacks something goes on |
//! | `attempts` | assigning, fencing, ending, aborting |
//! | `ahead` | what is sent to an engine before what it waits for is done there |
//! | `give_back` | what engines are asked to give back, and what they say to that |
//! | `tries` | what is tried again, where and when; how long an attempt may run |
//! | `functions` | where the functions are that tasks name, and who waits for them |
//! | `output` | whom live output concerns |
//! | `confirmations` | when peers are told how far what they sent is recorded |
//! | `engines` | who registers as what, and what a death means |
//! | `rooms` | verdicts, panics, rebuilding |
//! | `status` | figures for people |
//! | `task_list` | how the ledger keeps what a task waits for |

mod ahead;
mod arriving;
mod attempts;
mod clients;
mod coalesced;
pub(crate) mod confirmations;
mod engines;
mod event;
mod explain;
mod functions;
mod give_back;
mod graphs;
mod inputs;
mod keeper;
mod kills;
mod ledger;
mod output;
mod queries;
mod records;
mod requests;
mod rooms;
mod sessions;
mod status;
mod submit;
mod task_list;
mod tries;
mod watches;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use phalanx_protocol::function::FunctionLimits;
use phalanx_protocol::ids::{ClientId, Epoch, SessionId, TaskId, Ticket};
use phalanx_protocol::limits;
use phalanx_protocol::outcome::Report;
use rustc_hash::FxHashMap;

pub use self::event::{
    ClientReply, ClientRequest, EngineNews, EngineOrder, HostNews, HostOrder, HubEffect, HubEvent,
};
pub use self::tries::TIME_LIMIT;

use self::clients::{Clients, Window};
use self::confirmations::Confirmations;
use self::functions::ArrivingFunction;
use self::graphs::Graph;
use self::keeper::Keeper;
use self::ledger::Ledger;
pub use self::records::RecordBounds;
use self::records::Records;
use self::rooms::Rooms;
use self::sessions::Session;
use self::tries::Clocks;
use self::watches::Watches;
use crate::registry::Registry;
use crate::results::{Bounds, Results};
use crate::scheduler::Scheme;
use crate::{Room, Time};

/// What a hub may be told at its start. The defaults are the limits of
/// [`phalanx_protocol::limits`]; tests and the simulator use smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubSettings {
    /// Names this ledger: another one than any earlier hub's of the cluster.
    pub epoch: Epoch,
    /// Silence after which an engine is lost.
    pub lost_after: Duration,
    /// How long a client without a session is kept.
    pub client_gone_ttl: Duration,
    /// Tasks a client may have open or unfetched.
    pub client_tasks: u64,
    /// Payload bytes of open tasks a client may have.
    pub client_bytes: u64,
    /// How long a confirmation may wait for another message to go with.
    pub confirm_after: Duration,
    /// How much is kept of ended tasks.
    pub results: Bounds,
    /// How much is kept of ended tasks for whoever asks.
    pub records: RecordBounds,
    /// What [`Time::ZERO`] is to people: microseconds since 1970-01-01 UTC. Decides nothing.
    pub zero_us: u64,
    /// How many functions a session may define; its peers must agree.
    pub functions: FunctionLimits,
    /// Bytes of functions that the open tasks of a client may hold.
    pub function_bytes_held: u64,
    /// How the scheduler places: under `pure` only independent tasks for any engine are taken.
    pub scheme: Scheme,
}

impl HubSettings {
    /// The defaults, for this ledger.
    pub const fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            lost_after: limits::LOST_AFTER,
            client_gone_ttl: limits::CLIENT_GONE_TTL,
            client_tasks: limits::OPEN_TASKS_PER_CLIENT_MAX,
            client_bytes: limits::OPEN_BYTES_PER_CLIENT_MAX,
            confirm_after: limits::CONFIRM_AFTER,
            results: Bounds {
                delivered: limits::DELIVERED_RESULTS_MAX,
                delivered_bytes: limits::DELIVERED_BYTES_MAX,
                endings: limits::ENDINGS_MAX,
                undelivered: limits::UNDELIVERED_RESULTS_MAX,
                bytes: limits::RESULT_BYTES_MAX,
            },
            records: RecordBounds {
                count: limits::RECORDS_MAX,
                argument_bytes: limits::RECORD_ARGUMENT_BYTES_MAX,
            },
            zero_us: 0,
            functions: FunctionLimits {
                count: limits::FUNCTIONS_PER_SESSION_MAX,
                bytes: limits::FUNCTION_BYTES_PER_SESSION_MAX,
            },
            function_bytes_held: limits::FUNCTION_BYTES_HELD_MAX,
            scheme: Scheme::LeastLoad,
        }
    }

    const fn window(&self) -> Window {
        Window { tasks: self.client_tasks, bytes: self.client_bytes }
    }
}

/// A payload stream that has come, or that something waits for.
#[derive(Debug)]
enum Arriving {
    /// The bytes came first.
    Early(Bytes),
    /// So many tasks from this one on wait for it.
    Submit(TaskId, u64),
    /// A report waits for it.
    Report(Box<Report>),
    /// It is a function, for which tasks may wait.
    Function(Box<ArrivingFunction>),
}

/// The hub.
#[derive(Debug)]
pub struct Hub {
    settings: HubSettings,
    started: Option<Time>,
    sessions: BTreeMap<SessionId, Session>,
    /// Sessions that have not said who they are, by when they must have.
    nameless: BTreeSet<(Time, SessionId)>,
    arriving: BTreeMap<(SessionId, Ticket), Arriving>,
    ledger: Ledger,
    clients: Clients,
    /// Clients without a session, by when they are forgotten.
    gone: BTreeSet<(Time, ClientId)>,
    registry: Registry,
    results: Results,
    records: Records,
    watches: Watches,
    rooms: Rooms,
    /// Panics of rooms at the event of this task.
    panics: FxHashMap<TaskId, u32>,
    clocks: Clocks,
    /// Graphs that are not whole, by their first task.
    graphs: BTreeMap<TaskId, Graph>,
    /// Tasks that failed somewhere, and that the scheduler has with fewer engines than they could
    /// have had.
    narrowed: BTreeSet<TaskId>,
    /// Tasks that engines have, and that the dag has not said are ready.
    ahead: BTreeSet<TaskId>,
    done: u64,
    failed: u64,
    fenced_reports: u64,
    /// Whether the result store was full at the end of the last burst: nobody's grant is raised.
    store_full: bool,
    confirmations: Confirmations,
    keeper: Keeper,
}

impl Hub {
    /// A hub with an empty ledger.
    pub fn new(settings: HubSettings) -> Self {
        Self {
            settings,
            started: None,
            sessions: BTreeMap::new(),
            nameless: BTreeSet::new(),
            arriving: BTreeMap::new(),
            ledger: Ledger::default(),
            clients: Clients::default(),
            gone: BTreeSet::new(),
            registry: Registry::new(settings.epoch, settings.lost_after)
                .with_function_limits(settings.functions),
            results: Results::new(settings.results),
            records: Records::new(settings.records),
            watches: Watches::default(),
            rooms: Rooms::default(),
            panics: FxHashMap::default(),
            clocks: Clocks::default(),
            graphs: BTreeMap::new(),
            narrowed: BTreeSet::new(),
            ahead: BTreeSet::new(),
            done: 0,
            failed: 0,
            fenced_reports: 0,
            store_full: false,
            confirmations: Confirmations::default(),
            keeper: Keeper::default(),
        }
    }

    /// How many tasks have not ended.
    pub fn open_len(&self) -> usize {
        self.ledger.len()
    }

    /// The engines, by id.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The ended tasks.
    pub const fn results(&self) -> &Results {
        &self.results
    }

    /// How many reports came of attempts that were no longer wanted.
    pub const fn fenced_reports(&self) -> u64 {
        self.fenced_reports
    }
}

impl Room for Hub {
    type Event = HubEvent;
    type Effect = HubEffect;

    fn handle(&mut self, now: Time, event: HubEvent, effects: &mut Vec<HubEffect>) {
        self.started.get_or_insert(now);
        match event {
            HubEvent::SessionOpened { session, role, secret } => {
                self.on_session_opened(now, session, role, secret);
            }
            HubEvent::SessionClosed { session } => self.on_session_closed(now, session),
            HubEvent::PayloadArrived { session, ticket, bytes } => {
                self.on_payload(now, session, ticket, bytes, effects);
            }
            HubEvent::FromClient(session, request) => {
                self.on_client_request(now, session, request, effects);
            }
            HubEvent::FromEngine(session, news) => {
                self.on_engine_news(now, session, news, effects);
            }
            HubEvent::FromHost(session, news) => self.on_host_news(now, session, news, effects),
            HubEvent::RoomsOffered(session) => self.on_rooms_offered(now, session, effects),
            HubEvent::FromDag(generation, task, verdict) => {
                self.on_dag_verdict(now, generation, task, verdict, effects);
            }
            HubEvent::FromScheduler(generation, task, verdict) => {
                self.on_scheduler_verdict(now, generation, task, verdict, effects);
            }
            HubEvent::RoomDown { room, generation, culprit, message } => {
                self.on_room_down(now, room, generation, culprit, &message, effects);
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        [
            self.registry.next_deadline(),
            self.nameless.first().map(|(end, _)| *end),
            self.gone.first().map(|(end, _)| *end),
            self.confirmations.deadline(),
            self.clocks.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn on_deadline(&mut self, now: Time, effects: &mut Vec<HubEffect>) {
        for engine in self.registry.overdue(now) {
            let cause = format!("silent for {} s", self.settings.lost_after.as_secs());
            self.lose_engine(now, engine, &cause, effects);
        }
        self.end_overdue_sessions(now, effects);
        self.forget_gone_clients(now, effects);
        self.on_clocks(now, effects);
        // Settling is what confirms.
        self.confirmations.on_deadline();
    }

    fn settle(&mut self, now: Time, effects: &mut Vec<HubEffect>) {
        let was_full = std::mem::replace(&mut self.store_full, self.results.is_full());
        if was_full && !self.store_full {
            for client in self.clients.ids() {
                self.client_due(client);
            }
        }
        self.confirm(now, effects);
    }

    fn check_invariants(&self) {
        self.ledger.check_invariants();
        self.clients.check_invariants();
        self.registry.check_invariants();
        self.results.check_invariants();
        self.records.check_invariants();
        self.check_watches();
        self.check_tasks();
        self.check_ahead();
        self.check_clocks();
        self.check_graphs();
        self.check_pins();
        self.check_sessions();
    }
}

impl Hub {
    /// Tasks against engines, clients and results.
    fn check_tasks(&self) {
        let mut held = 0;
        let mut with_function: BTreeMap<ClientId, u64> = BTreeMap::new();
        for (id, task) in self.ledger.iter() {
            *with_function.entry(id.client).or_default() += u64::from(task.function.is_some());
            assert!(self.results.ending(id).is_none(), "{id} is open and has ended");
            assert!(
                self.clients.submitted(id.client).is_some_and(|end| id.seq < end),
                "{id} is open and was never submitted"
            );
            if let Some(engine) = task.state().engine() {
                let engine = self.registry.get(engine).expect("tasks are on engines that exist");
                assert!(engine.assigned.contains(&id), "{id} is not on its engine");
            }
            held += usize::from(task.state() == ledger::TaskState::Held);
        }
        for (id, engine) in self.registry.iter() {
            for task in &engine.assigned {
                let state = self.ledger.get(*task).map(ledger::Task::state);
                assert_eq!(state.and_then(ledger::TaskState::engine), Some(id), "{task} on {id}");
            }
        }
        for id in self.clients.ids() {
            let holders = with_function.get(&id).copied().unwrap_or(0);
            if let Some(client) = self.clients.get(id) {
                client.held_functions.check_invariants(holders);
            }
        }
        let queued: usize = self
            .clients
            .ids()
            .into_iter()
            .filter_map(|id| self.clients.get(id))
            .flat_map(|client| client.held.values())
            .map(VecDeque::len)
            .sum();
        let backlog: usize = self.registry.iter().map(|(_, engine)| engine.backlog.len()).sum();
        assert!(queued + backlog >= held, "held tasks are in a queue");
    }
}
