//! A whole cluster on one arbiter: the real hub, rooms, engines and handlers, over sessions in
//! memory. Clients speak the protocol themselves.

#![allow(dead_code, reason = "each test file uses its part")]

mod client;

use std::cell::RefCell;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use phalanx_actors::engine::{Engine, EngineBuilder, EngineEnd, EngineError};
use phalanx_actors::link::{Connect, ConnectFailed};
use phalanx_actors::scheduling_process::{self, Placement, SchedulingCommand, SchedulingError};
use phalanx_actors::supervise::PlantedPanic;
use phalanx_actors::{Hub, HubCommand, HubEnd, HubError, Scheduling, rt};
use phalanx_core::hub::HubSettings;
use phalanx_protocol::engine::EngineToHub;
use phalanx_protocol::host::HostToHub;
use phalanx_protocol::ids::Epoch;
use phalanx_protocol::role::Role;
use phalanx_protocol::scheduling::SchedulingToHub;
use phalanx_transport::memory::{Cable, FaultPlan, pair_with};
use phalanx_transport::{Arrival, Conversation, HubSession, PeerSession, Settings};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) use client::Client;

/// No wait of a test takes longer. Under a paused clock it passes at once when nothing moves.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on a clock that stands still while anything moves.
pub(crate) fn paused<F: Future<Output = ()>>(test: F) {
    rt::block_on(async {
        tokio::time::pause();
        test.await;
    });
}

/// Waits for something that must come.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes in time")
}

/// Waits until a condition holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// A hub and the way to it.
pub(crate) struct Cluster {
    arrivals: mpsc::Sender<Arrival>,
    commands: mpsc::Sender<HubCommand>,
    hub: JoinHandle<Result<HubEnd, HubError>>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_with(Scheduling::Local)
    }

    pub(crate) fn start_with(scheduling: Scheduling) -> Self {
        Self::start_placing(scheduling, Placement::default())
    }

    pub(crate) fn start_placing(scheduling: Scheduling, placement: Placement) -> Self {
        let (arrivals, arriving) = mpsc::channel(16);
        let (commands, commanded) = mpsc::channel(16);
        let hub_settings = HubSettings::new(Epoch(1));
        let hub = Hub::serve(hub_settings, scheduling, placement, arriving, commanded);
        let hub = tokio::task::spawn_local(hub);
        Self { arrivals, commands, hub }
    }

    /// The way to the hub for one peer.
    pub(crate) fn way<C: Memory>(&self, role: Role) -> Way<C> {
        Way {
            arrivals: self.arrivals.clone(),
            role,
            settings: Settings::default(),
            cables: Rc::default(),
            conversation: PhantomData,
        }
    }

    /// A client that has opened, on a session of its own settings.
    pub(crate) async fn client_with(&self, settings: Settings) -> Client {
        Client::open(Way { settings, ..self.way(Role::Client) }).await
    }

    /// A client that has opened.
    pub(crate) async fn client(&self) -> Client {
        Client::open(self.way(Role::Client)).await
    }

    /// Starts an engine; it registers by itself.
    pub(crate) fn engine(&self, builder: EngineBuilder) -> RunningEngine {
        let way = self.way(Role::Engine);
        let cables = Rc::clone(&way.cables);
        let (stop, stopped) = mpsc::channel(1);
        let engine = tokio::task::spawn_local(builder.serve(way, stopped));
        RunningEngine { stop, engine, cables }
    }

    /// Starts a scheduling process; it offers by itself.
    pub(crate) fn scheduling(&self) -> RunningRooms {
        let way = self.way(Role::Scheduler);
        let cables = Rc::clone(&way.cables);
        let (commands, commanded) = mpsc::channel(16);
        let rooms = tokio::task::spawn_local(scheduling_process::serve(
            way,
            Placement::default(),
            commanded,
        ));
        RunningRooms { commands, rooms, cables }
    }

    pub(crate) async fn plant(&self, planted: PlantedPanic) {
        self.commands.send(HubCommand::Plant(planted)).await.unwrap();
    }

    pub(crate) async fn stop(self) -> Result<HubEnd, HubError> {
        self.commands.send(HubCommand::Stop("the test is over".into())).await.unwrap();
        self.ended().await
    }

    pub(crate) async fn ended(self) -> Result<HubEnd, HubError> {
        soon(self.hub).await.unwrap()
    }
}

/// An engine that runs.
pub(crate) struct RunningEngine {
    pub(crate) stop: mpsc::Sender<String>,
    pub(crate) engine: JoinHandle<Result<EngineEnd, EngineError>>,
    pub(crate) cables: Cables,
}

/// Scheduling rooms that run.
pub(crate) struct RunningRooms {
    pub(crate) commands: mpsc::Sender<SchedulingCommand>,
    pub(crate) rooms: JoinHandle<Result<(), SchedulingError>>,
    pub(crate) cables: Cables,
}

/// The cables of one peer's sessions, oldest first.
pub(crate) type Cables = Rc<RefCell<Vec<Cable>>>;

/// Cuts a peer's newest session.
pub(crate) fn cut(cables: &Cables) {
    cables.borrow().last().expect("it has connected").cut();
}

/// A conversation whose hub's end can arrive in memory.
pub(crate) trait Memory: Conversation {
    fn arrival(session: HubSession<Self>) -> Arrival;
}

impl Memory for phalanx_protocol::client::ClientToHub {
    fn arrival(session: HubSession<Self>) -> Arrival {
        Arrival::Client(session)
    }
}

impl Memory for EngineToHub {
    fn arrival(session: HubSession<Self>) -> Arrival {
        Arrival::Engine(session)
    }
}

impl Memory for HostToHub {
    fn arrival(session: HubSession<Self>) -> Arrival {
        Arrival::Host(session)
    }
}

impl Memory for SchedulingToHub {
    fn arrival(session: HubSession<Self>) -> Arrival {
        Arrival::Scheduler(session)
    }
}

/// Connects in memory.
pub(crate) struct Way<C> {
    arrivals: mpsc::Sender<Arrival>,
    role: Role,
    settings: Settings,
    pub(crate) cables: Cables,
    conversation: PhantomData<fn() -> C>,
}

impl<C: Memory> Connect<C> for Way<C> {
    async fn connect(&mut self) -> Result<PeerSession<C>, ConnectFailed> {
        let pair = pair_with::<C>(self.role, FaultPlan::NONE, &self.settings);
        if self.arrivals.send(C::arrival(pair.hub)).await.is_err() {
            return Err(ConnectFailed { message: "no hub".into(), is_retryable: true });
        }
        self.cables.borrow_mut().push(pair.cable);
        Ok(pair.peer)
    }
}

/// An engine with the handlers that these tests call.
pub(crate) fn handlers() -> EngineBuilder {
    Engine::builder()
        .handler("double", |number: u64| async move { Ok::<_, String>(2 * number) })
        .handler("slow", |millis: u64| async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok::<_, String>(millis)
        })
        .handler("for ever", |(): ()| std::future::pending::<Result<(), String>>())
        .handler("fail", |(): ()| async { Err::<(), _>("as asked") })
        .handler("panic", |(): ()| async {
            if true {
                panic!("as asked");
            }
            Ok::<_, String>(())
        })
        .slots(4)
}
