//! What the way into the hub's actor and out again costs, without a network: a session in memory,
//! its task, the mailbox, the rooms. And what it costs to guard a room against panics.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use phalanx_actors::engine::Engine;
use phalanx_actors::executor::null::Null;
use phalanx_actors::link::{Connect, ConnectFailed};
use phalanx_actors::scheduling_process::Placement;
use phalanx_actors::{Hub, HubCommand, Scheduling, rt};
use phalanx_core::hub::HubSettings;
use phalanx_core::scheduler::{Scheduler, SchedulerEffect, SchedulerEvent};
use phalanx_core::supervise::Guarded;
use phalanx_core::{Room, Time};
use phalanx_protocol::client::{ClientToHub, HubToClient, Open, Opened, Ping, Received};
use phalanx_protocol::engine::EngineToHub;
use phalanx_protocol::ids::{ClientId, EngineId, Epoch, Generation, RequestId, TaskId};
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::role::Role;
use phalanx_protocol::room::{EngineCapacity, ReadyTask};
use phalanx_protocol::task::{MethodName, Target, TaskSpec};
use phalanx_transport::memory::{FaultPlan, pair};
use phalanx_transport::{Arrival, Incoming, PeerSession};
use tokio::sync::mpsc;

/// Tasks or pings that a client has under way in the benches of bursts.
const IN_FLIGHT: u64 = 1_000;

/// Deliveries after which the client confirms them.
const CONFIRM_EVERY: u64 = 256;

fn method() -> MethodName {
    MethodName::try_from("bench.echo").expect("short enough")
}

/// How an engine reaches the hub in this process.
struct InMemory(mpsc::Sender<Arrival>);

impl Connect<EngineToHub> for InMemory {
    async fn connect(&mut self) -> Result<PeerSession<EngineToHub>, ConnectFailed> {
        let pair = pair::<EngineToHub>(Role::Engine, FaultPlan::NONE);
        match self.0.send(Arrival::Engine(pair.hub)).await {
            Ok(()) => Ok(pair.peer),
            Err(_) => Err(ConnectFailed { message: "no hub".to_owned(), is_retryable: false }),
        }
    }
}

/// A client that speaks the protocol by hand, so that only the hub is measured.
struct Client {
    session: PeerSession<ClientToHub>,
    batch: Vec<Incoming<HubToClient>>,
    opened: Opened,
    method: MethodName,
    payload: Payload,
    submitted: u64,
    delivered: u64,
    confirmed: u64,
}

impl Client {
    async fn open(mut session: PeerSession<ClientToHub>) -> Self {
        let open = Open { name: "bench".to_owned(), ..Open::default() };
        session.sender.send(open).expect("an open session");
        let mut batch = Vec::new();
        let opened = loop {
            session.receiver.recv_batch(&mut batch).await.expect("an open session");
            let opened = batch.drain(..).find_map(|item| match item {
                Incoming::Message(HubToClient::Opened(opened)) => Some(opened),
                _ => None,
            });
            if let Some(opened) = opened {
                break opened;
            }
        };
        let payload = Payload::inline(Format::Raw, Bytes::from_static(&[7; 32]));
        let method = method();
        let (submitted, delivered, confirmed) = (0, 0, 0);
        Self { session, batch, opened, method, payload, submitted, delivered, confirmed }
    }

    /// Sends so many pings and waits for all answers.
    async fn ping(&mut self, count: u64) {
        for number in 0..count {
            self.session.sender.send(Ping { request: RequestId(number) }).expect("an open session");
        }
        let mut answered = 0;
        while answered < count {
            self.session.receiver.recv_batch(&mut self.batch).await.expect("an open session");
            let is_pong =
                |item: &Incoming<_>| matches!(item, Incoming::Message(HubToClient::Pong(_)));
            answered += self.batch.drain(..).filter(is_pong).count() as u64;
        }
    }

    /// Runs so many tasks, `in_flight` at a time.
    async fn run(&mut self, tasks: u64, in_flight: u64) {
        let end = self.submitted + tasks;
        while self.delivered < end {
            let granted = self.opened.grant.seq_end;
            while self.submitted < end.min(granted).min(self.delivered + in_flight) {
                self.submit();
            }
            self.session.receiver.recv_batch(&mut self.batch).await.expect("an open session");
            let mut batch = std::mem::take(&mut self.batch);
            batch.drain(..).for_each(|item| self.take(item));
            self.batch = batch;
            if self.delivered - self.confirmed >= CONFIRM_EVERY {
                self.confirmed = self.delivered;
                let received = Received { up_to: self.delivered };
                self.session.sender.send(received).expect("an open session");
            }
        }
    }

    fn submit(&mut self) {
        let task = TaskSpec {
            id: TaskId::new(self.opened.client, self.submitted),
            target: Target::Any,
            method: self.method.clone(),
            payload: self.payload.clone(),
            options: None,
            function: None,
        };
        self.session.sender.send(task).expect("an open session");
        self.submitted += 1;
    }

    fn take(&mut self, item: Incoming<HubToClient>) {
        match item {
            Incoming::Message(HubToClient::Delivery(delivery)) => {
                assert!(matches!(delivery.outcome, Outcome::Done), "{delivery:?}");
                self.delivered += 1;
            }
            Incoming::Message(HubToClient::Accepted(accepted)) => {
                self.opened.grant = accepted.grant;
            }
            _ => {}
        }
    }
}

/// Runs `work` against a hub, and an engine that answers at once, all on this thread.
fn with_hub(work: impl AsyncFnOnce(&mut Client) -> Duration) -> Duration {
    rt::block_on(async {
        let (arrivals, arriving) = mpsc::channel(16);
        let (commands, commanded) = mpsc::channel(1);
        let (settings, placement) = (HubSettings::new(Epoch(1)), Placement::default());
        let hub = Hub::serve(settings, Scheduling::Local, placement, arriving, commanded);
        let (stop, stopped) = mpsc::channel(1);
        let engine = Engine::builder().executor(|| Null::new([method()]));
        let engine = engine.serve(InMemory(arrivals.clone()), stopped);
        let client = async {
            let pair = pair::<ClientToHub>(Role::Client, FaultPlan::NONE);
            arrivals.send(Arrival::Client(pair.hub)).await.expect("a hub");
            let mut client = Client::open(pair.peer).await;
            // The engine is there, and the scheduler knows how short the tasks are.
            client.run(2 * IN_FLIGHT, IN_FLIGHT).await;
            let took = work(&mut client).await;
            stop.send("the bench is over".to_owned()).await.expect("an engine");
            let end = HubCommand::Stop("the bench is over".to_owned());
            commands.send(end).await.expect("a hub");
            took
        };
        let (hub, engine, took) = tokio::join!(hub, engine, client);
        hub.expect("a hub that ends in order");
        engine.expect("an engine that ends in order");
        took
    })
}

async fn timed(work: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    work.await;
    start.elapsed()
}

/// Session, hub's actor, session: nothing is decided on the way.
fn hub(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hop/hub");
    group.throughput(Throughput::Elements(1));
    group.bench_function("ping, one at a time", |bencher| {
        bencher.iter_custom(|iterations| {
            with_hub(async |client: &mut Client| {
                timed(async {
                    for _ in 0..iterations {
                        client.ping(1).await;
                    }
                })
                .await
            })
        });
    });
    group.throughput(Throughput::Elements(IN_FLIGHT));
    group.bench_function("pings, 1,000 at once", |bencher| {
        bencher.iter_custom(|iterations| {
            with_hub(async |client: &mut Client| {
                timed(async {
                    for _ in 0..iterations {
                        client.ping(IN_FLIGHT).await;
                    }
                })
                .await
            })
        });
    });
    group.finish();
}

/// Client, hub, scheduler, engine, hub, client: all that a task costs apart from the network.
fn task(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hop/task");
    group.throughput(Throughput::Elements(1));
    for (name, in_flight) in [("one at a time", 1), ("1,000 in flight", IN_FLIGHT)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                with_hub(async |client: &mut Client| timed(client.run(iterations, in_flight)).await)
            });
        });
    }
    group.finish();
}

const ENGINE: EngineId = EngineId(1);

/// The two events of a task in the scheduler.
fn place_and_free(seq: u64) -> [SchedulerEvent; 2] {
    let task = TaskId::new(ClientId(1), seq);
    let ready = ReadyTask { task, ..ReadyTask::default() };
    [SchedulerEvent::Place(ready), SchedulerEvent::Free(task, Some(Duration::from_micros(2)))]
}

fn engine_up() -> SchedulerEvent {
    let capacity = EngineCapacity { engine: ENGINE, slots: 1, ..EngineCapacity::default() };
    SchedulerEvent::EngineUp(capacity)
}

/// The same two events for a room as it is, and for one whose panics are caught.
fn guard(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hop/guard");
    group.throughput(Throughput::Elements(2));
    let mut effects: Vec<SchedulerEffect> = Vec::new();

    let mut bare = Scheduler::default();
    bare.handle(Time::ZERO, engine_up(), &mut effects);
    let mut seq = 0;
    group.bench_function("bare room", |bencher| {
        bencher.iter(|| {
            seq += 1;
            for event in place_and_free(seq) {
                bare.handle(Time::ZERO, event, &mut effects);
            }
            black_box(effects.drain(..).count())
        });
    });

    let life = Generation(1);
    let mut guarded = Guarded::<Scheduler>::default();
    guarded.recreate(life);
    guarded.handle(Time::ZERO, life, engine_up(), &mut effects).expect("no panic");
    let mut seq = 0;
    group.bench_function("guarded room", |bencher| {
        bencher.iter(|| {
            seq += 1;
            for event in place_and_free(seq) {
                guarded.handle(Time::ZERO, life, event, &mut effects).expect("no panic");
            }
            black_box(effects.drain(..).count())
        });
    });
    group.finish();
}

criterion_group!(benches, hub, task, guard);
criterion_main!(benches);
