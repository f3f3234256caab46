//! A hub as small as can be, at the other end of in-memory sessions: it keeps what the contract
//! says must be kept over a cut, and does at once, by itself, what tasks ask for by their method.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use phalanx_transport::memory::{Cable, FaultPlan, pair};
use phalanx_transport::protocol::client::{
    Accepted, ClientToHub, EngineLeft, Grant, HubToClient, Opened, Refused, StatusReply,
};
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::ids::{ClientId, EngineId, Epoch, TaskId};
use phalanx_transport::protocol::outcome::{
    Delivery, DependencyFailure, Loss, Outcome, Rejection, RemoteError, RunTimes,
};
use phalanx_transport::protocol::output::{Output, OutputChunk, OutputKind, TaskOutput};
use phalanx_transport::protocol::payload::{Body, Format, Payload};
use phalanx_transport::protocol::peer::EngineInfo;
use phalanx_transport::protocol::role::Role;
use phalanx_transport::protocol::task::{Target, TaskSpec};
use phalanx_transport::{CloseReason, HubSession, Incoming, SessionSender};

use crate::error::ConnectError;
use crate::link::{ClientSession, Source};

/// Tasks the hub lets a client have open.
const WINDOW: u64 = 1_000;

#[derive(Clone)]
pub(crate) struct TestHub {
    ledger: Arc<Mutex<Ledger>>,
}

struct Ledger {
    faults: FaultPlan,
    epoch: u64,
    knows_client: bool,
    next_seq: u64,
    bytes: u64,
    /// Recorded and not ended, with the engine of direct ones.
    open: Vec<(TaskSpec, u64)>,
    /// What was recorded, in order.
    recorded: Vec<TaskSpec>,
    /// Ended and not confirmed.
    outcomes: VecDeque<Delivery>,
    /// How many of those went over the present session, and the first one's number.
    sent: usize,
    first_number: u64,
    session: Option<SessionSender<HubToClient>>,
    cable: Option<Cable>,
    connects: u64,
    /// Whether nobody gets a session any more.
    closed: bool,
    engines: Vec<EngineInfo>,
    left: bool,
    /// What the first open task wrote.
    written: Vec<OutputChunk>,
}

impl TestHub {
    pub(crate) fn new(faults: FaultPlan) -> Self {
        let ledger = Ledger {
            faults,
            epoch: 1,
            knows_client: false,
            next_seq: 0,
            bytes: 0,
            open: Vec::new(),
            recorded: Vec::new(),
            outcomes: VecDeque::new(),
            sent: 0,
            first_number: 0,
            session: None,
            cable: None,
            connects: 0,
            closed: false,
            engines: Vec::new(),
            left: false,
            written: Vec::new(),
        };
        Self { ledger: Arc::new(Mutex::new(ledger)) }
    }

    pub(crate) fn source(&self) -> MemorySource {
        MemorySource { hub: self.clone() }
    }

    /// Cuts the present session.
    pub(crate) fn cut(&self) {
        if let Some(cable) = self.lock().cable.take() {
            cable.cut();
        }
    }

    /// Nobody gets a session any more.
    pub(crate) fn refuse_all(&self) {
        self.lock().closed = true;
    }

    /// Ends the present session in an orderly way.
    pub(crate) fn close(&self, code: ErrorCode) {
        if let Some(session) = self.lock().session.take() {
            session.close(code, "test");
        }
    }

    /// The ledger is gone and another begins.
    pub(crate) fn forget(&self) {
        let mut ledger = self.lock();
        ledger.epoch += 1;
        ledger.knows_client = false;
    }

    /// Ends the first open task with this method.
    pub(crate) fn finish(&self, method: &str) {
        let mut ledger = self.lock();
        let found = ledger.open.iter().position(|(spec, _)| spec.method.as_str() == method);
        if let Some(at) = found {
            let (spec, index) = ledger.open.remove(at);
            let payload = spec.payload.clone();
            ledger.end(&spec, index, Outcome::Done, payload);
            ledger.deliver();
        }
    }

    /// The first open task writes this; it keeps what it writes.
    pub(crate) fn write(&self, kind: OutputKind, text: &'static str) {
        let mut ledger = self.lock();
        let (spec, index) = ledger.open.first().expect("a task is held");
        let task = TaskId::new(spec.id.client, spec.id.seq + index);
        let chunk = OutputChunk { kind, bytes: Bytes::from_static(text.as_bytes()) };
        let offset = ledger.written.iter().map(|chunk| chunk.bytes.len() as u64).sum();
        ledger.written.push(chunk.clone());
        let output = Output { attempt: task.attempt(1), offset, chunks: vec![chunk] };
        ledger.say(HubToClient::Output(output));
    }

    pub(crate) fn engine_joined(&self, engine: u32) {
        let info = EngineInfo { id: EngineId(engine), ..EngineInfo::default() };
        let mut ledger = self.lock();
        ledger.engines.push(info.clone());
        ledger.say(HubToClient::EngineJoined(info));
    }

    pub(crate) fn engine_left(&self, engine: u32) {
        let mut ledger = self.lock();
        ledger.engines.retain(|info| info.id.0 != engine);
        ledger.say(EngineLeft { engine: EngineId(engine), cause: "test".into() });
    }

    /// What was recorded, in order.
    pub(crate) fn recorded(&self) -> Vec<TaskSpec> {
        self.lock().recorded.clone()
    }

    pub(crate) fn has_been_left(&self) -> bool {
        self.lock().left
    }

    /// Outcomes that the client has not confirmed.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.lock().outcomes.len()
    }

    pub(crate) fn connects(&self) -> u64 {
        self.lock().connects
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub(crate) async fn serve(self, mut session: HubSession<ClientToHub>) {
        let mut batch = Vec::new();
        let mut late = VecDeque::new();
        while session.receiver.recv_batch(&mut batch).await.is_ok() {
            let mut ledger = self.lock();
            for incoming in batch.drain(..) {
                ledger.on_incoming(incoming, &mut late, &session.sender);
            }
            ledger.accept();
            ledger.deliver();
        }
    }
}

impl Ledger {
    fn on_incoming(
        &mut self,
        incoming: Incoming<ClientToHub>,
        late: &mut VecDeque<TaskSpec>,
        sender: &SessionSender<HubToClient>,
    ) {
        match incoming {
            Incoming::Message(ClientToHub::Open(open)) => {
                let client = ClientId(self.epoch as u32);
                if !(self.knows_client && open.resume.is_some_and(|old| old.client == client)) {
                    self.knows_client = true;
                    self.next_seq = 0;
                    self.bytes = 0;
                    self.open.clear();
                    self.outcomes.clear();
                }
                self.sent = 0;
                self.first_number = 0;
                self.session = Some(sender.clone());
                let (next_seq, grant, engines) =
                    (self.next_seq, self.grant(), self.engines.clone());
                let epoch = Epoch(self.epoch);
                self.say(Opened { epoch, client, token: 1, next_seq, grant, engines });
            }
            Incoming::Message(ClientToHub::Submit(spec)) => {
                if spec.payload.ticket().is_some() || !late.is_empty() {
                    late.push_back(spec);
                } else {
                    self.record(&spec);
                }
            }
            Incoming::Payload { ticket, bytes } => {
                for spec in late.iter_mut() {
                    if spec.payload.ticket() == Some(ticket) {
                        spec.payload.body = Body::Inline(bytes.clone().into());
                    }
                }
                while late.front().is_some_and(|spec| spec.payload.ticket().is_none()) {
                    let spec = late.pop_front().unwrap();
                    self.record(&spec);
                }
            }
            Incoming::Message(ClientToHub::Received(received)) => {
                while self.first_number < received.up_to {
                    assert!(self.sent > 0, "confirmed what was not delivered");
                    self.outcomes.pop_front();
                    self.sent -= 1;
                    self.first_number += 1;
                }
            }
            Incoming::Message(ClientToHub::Abort(abort)) => self.abort(&abort.tasks),
            Incoming::Message(ClientToHub::Leave(_)) => self.left = true,
            Incoming::Message(message) => self.answer(message),
        }
    }

    fn answer(&mut self, message: ClientToHub) {
        match message {
            ClientToHub::Ping(ping) => self.say(HubToClient::Pong(ping)),
            ClientToHub::StatusRequest(status) => self.say(StatusReply {
                request: status.request,
                status: phalanx_transport::protocol::peer::ClusterStatus {
                    epoch: Epoch(self.epoch),
                    ..Default::default()
                },
            }),
            ClientToHub::Shutdown(shutdown) => self.say(Refused {
                request: shutdown.request,
                code: Some(ErrorCode::WrongRole),
                detail: "only for admins".into(),
            }),
            other => panic!("handled before: {other:?}"),
        }
    }

    fn grant(&self) -> Grant {
        Grant {
            seq_end: self.next_seq - self.open.len() as u64 + WINDOW,
            bytes_end: self.bytes + (1 << 30),
        }
    }

    fn record(&mut self, spec: &TaskSpec) {
        assert!(spec.id.seq <= self.next_seq, "a gap before {}", spec.id);
        if spec.id.seq < self.next_seq {
            return;
        }
        self.next_seq += spec.target.ids_len();
        self.bytes += spec.payload.len() * spec.target.ids_len();
        self.recorded.push(spec.clone());
        for index in 0..spec.target.ids_len() {
            self.run(spec, index);
        }
    }

    fn run(&mut self, spec: &TaskSpec, index: u64) {
        let loss = Loss { engine: EngineId(4), cause: "SIGKILL".into() };
        let outcome = match spec.method.as_str() {
            "hold" => return self.open.push((spec.clone(), index)),
            "fail" => Outcome::Failed(Box::new(RemoteError {
                kind: "Oops".into(),
                message: "it broke".into(),
                traceback: "line 1".into(),
                engine: Some(EngineId(4)),
                method: "fail".into(),
                ..RemoteError::default()
            })),
            "lose" => Outcome::EngineLost(Box::new(loss)),
            "poison" => Outcome::Poison(vec![loss.clone(), loss]),
            "impossible" => Outcome::DependencyFailed(Box::new(DependencyFailure {
                culprit: Some(TaskId::new(ClientId(1), 7)),
                ..DependencyFailure::default()
            })),
            "late" => Outcome::DependencyTimeout,
            "reject" => Outcome::Rejected(Box::new(Rejection {
                code: Some(ErrorCode::NoSuchMethod),
                detail: "nobody offers reject".into(),
            })),
            _ => Outcome::Done,
        };
        let payload = match spec.method.as_str() {
            "raw" => Payload::inline(Format::Raw, spec.payload.bytes().unwrap()),
            _ if outcome.is_done() => spec.payload.clone(),
            _ => Payload::empty(),
        };
        self.end(spec, index, outcome, payload);
    }

    fn end(&mut self, spec: &TaskSpec, index: u64, outcome: Outcome, payload: Payload) {
        let engine = match &spec.target {
            Target::Engine(engine) => Some(*engine),
            Target::Engines(engines) => engines.get(index as usize).copied(),
            _ => Some(EngineId(0)),
        };
        self.outcomes.push_back(Delivery {
            number: 0,
            task: TaskId::new(spec.id.client, spec.id.seq + index),
            outcome,
            engine,
            attempts: 1,
            times: RunTimes { started_us: 1_000_000, ran_ns: 5 },
            payload,
            output: (!self.written.is_empty()).then(|| {
                let chunks = std::mem::take(&mut self.written);
                Arc::new(TaskOutput { chunks, truncated: 3 })
            }),
            tried: Vec::new(),
        });
    }

    fn abort(&mut self, tasks: &[TaskId]) {
        for task in tasks {
            let is_it = |(spec, index): &(TaskSpec, u64)| spec.id.seq + index == task.seq;
            if let Some(at) = self.open.iter().position(is_it) {
                let (spec, index) = self.open.remove(at);
                self.end(&spec, index, Outcome::Aborted, Payload::empty());
            }
        }
    }

    fn accept(&mut self) {
        let (next_seq, grant) = (self.next_seq, self.grant());
        self.say(Accepted { next_seq, grant });
    }

    fn deliver(&mut self) {
        while let Some(delivery) = self.outcomes.get(self.sent) {
            let number = self.first_number + self.sent as u64;
            let delivery = Delivery { number, ..delivery.clone() };
            if self.session.is_none() {
                return;
            }
            self.say(HubToClient::Delivery(delivery));
            self.sent += 1;
        }
    }

    fn say(&mut self, message: impl Into<HubToClient>) {
        if let Some(session) = &self.session {
            // A session that was cut is noticed by its receiver.
            let _ = session.send(message);
        }
    }
}

/// Sessions with a [`TestHub`].
pub(crate) struct MemorySource {
    hub: TestHub,
}

impl Source for MemorySource {
    async fn connect(&mut self) -> Result<ClientSession, ConnectError> {
        let mut ledger = self.hub.lock();
        ledger.connects += 1;
        if ledger.closed {
            return Err(ConnectError::Closed(CloseReason::Lost));
        }
        let seed = ledger.faults.seed + ledger.connects;
        // The first sessions suffer, so that a test comes to its end.
        let faults = match ledger.connects {
            0..40 => FaultPlan { seed, ..ledger.faults.clone() },
            _ => FaultPlan { delay_max: Duration::from_millis(1), ..FaultPlan::NONE },
        };
        let pair = pair::<ClientToHub>(Role::Client, faults);
        ledger.session = None;
        ledger.cable = Some(pair.cable);
        tokio::spawn(self.hub.clone().serve(pair.hub));
        Ok(pair.peer)
    }
}
