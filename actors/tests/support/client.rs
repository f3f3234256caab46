//! A client that speaks the protocol by hand.

use std::collections::{HashMap, VecDeque};

use phalanx_actors::link::Connect;
use phalanx_protocol::client::{
    Abort, ClientToHub, HubToClient, Open, Opened, Received, Resume, Scope, Shutdown, StatusRequest,
};
use phalanx_protocol::function::Digest;
use phalanx_protocol::ids::{EngineId, RequestId, TaskId};
use phalanx_protocol::outcome::{Delivery, Outcome};
use phalanx_protocol::output::Output;
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::peer::ClusterStatus;
use phalanx_protocol::task::{Dependency, Target, TaskOptions, TaskSpec};
use phalanx_protocol::value;
use phalanx_transport::{CloseReason, Incoming, PeerSession};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Way, soon};

pub(crate) fn packed<A: Serialize>(args: &A) -> Payload {
    Payload::inline(Format::MessagePack, value::to_bytes(args).unwrap())
}

pub(crate) struct Client<W = Way<ClientToHub>> {
    pub(crate) way: W,
    pub(crate) session: PeerSession<ClientToHub>,
    pub(crate) opened: Opened,
    next_seq: u64,
    batch: Vec<Incoming<HubToClient>>,
    deliveries: HashMap<TaskId, Delivery>,
    outputs: VecDeque<Output>,
    engines: Vec<EngineId>,
    status: Option<ClusterStatus>,
}

impl<W: Connect<ClientToHub>> Client<W> {
    pub(crate) async fn open(mut way: W) -> Self {
        let (session, opened, batch) = open(&mut way, None).await;
        let engines = opened.engines.iter().map(|info| info.id).collect();
        let (deliveries, outputs) = (HashMap::new(), VecDeque::new());
        Self {
            way,
            session,
            opened,
            next_seq: 0,
            batch,
            deliveries,
            outputs,
            engines,
            status: None,
        }
    }

    /// Opens again, as the same client.
    pub(crate) async fn resume(&mut self) -> u64 {
        let resume = Resume {
            epoch: self.opened.epoch,
            client: self.opened.client,
            token: self.opened.token,
        };
        let (session, opened, batch) = open(&mut self.way, Some(resume)).await;
        assert_eq!(opened.client, self.opened.client);
        (self.session, self.opened, self.batch) = (session, opened, batch);
        self.opened.next_seq
    }

    pub(crate) fn say(&self, message: impl Into<ClientToHub>) {
        self.session.sender.send(message).unwrap();
    }

    pub(crate) fn submit<A: Serialize>(&mut self, method: &str, args: &A) -> TaskId {
        self.submit_to(Target::Any, method, args, TaskOptions::default())
    }

    pub(crate) fn submit_after<A: Serialize>(
        &mut self,
        after: impl IntoIterator<Item = TaskId>,
        method: &str,
        args: &A,
    ) -> TaskId {
        let after = Some(Dependency::all(after));
        let options = TaskOptions { after, ..TaskOptions::default() };
        self.submit_to(Target::Any, method, args, options)
    }

    pub(crate) fn submit_to<A: Serialize>(
        &mut self,
        target: Target,
        method: &str,
        args: &A,
        options: TaskOptions,
    ) -> TaskId {
        let id = TaskId::new(self.opened.client, self.next_seq);
        self.next_seq += 1;
        self.say(TaskSpec {
            id,
            target,
            method: method.try_into().unwrap(),
            payload: packed(args),
            options: (options != TaskOptions::default()).then(|| Box::new(options)),
            function: None,
        });
        id
    }

    /// A task of no arguments that names a function.
    pub(crate) fn submit_with(&mut self, function: Option<Digest>, method: &str) -> TaskId {
        let id = TaskId::new(self.opened.client, self.next_seq);
        self.next_seq += 1;
        self.say(TaskSpec {
            id,
            target: Target::Any,
            method: method.try_into().unwrap(),
            payload: Payload::empty(),
            options: None,
            function,
        });
        id
    }

    pub(crate) fn abort(&self, task: TaskId) {
        self.say(Abort { tasks: vec![task], kill_after_ms: None });
    }

    pub(crate) fn shutdown_cluster(&self) {
        self.say(Shutdown { request: RequestId(1), scope: Scope::Cluster });
    }

    /// Takes in the next batch.
    pub(crate) async fn hear(&mut self) -> Result<(), CloseReason> {
        if self.batch.is_empty() {
            soon(self.session.receiver.recv_batch(&mut self.batch)).await?;
        }
        for item in std::mem::take(&mut self.batch) {
            let Incoming::Message(message) = item else { continue };
            match message {
                HubToClient::Delivery(delivery) => {
                    self.say_received(delivery.number + 1);
                    let before = self.deliveries.insert(delivery.task, delivery.clone());
                    if let Some(before) = before {
                        assert_eq!(before.outcome, delivery.outcome, "one outcome per task");
                    }
                }
                HubToClient::Output(output) => self.outputs.push_back(output),
                HubToClient::EngineJoined(info) => self.engines.push(info.id),
                HubToClient::Status(reply) => self.status = Some(reply.status),
                HubToClient::EngineLeft(left) => self.engines.retain(|id| *id != left.engine),
                _ => {}
            }
        }
        Ok(())
    }

    fn say_received(&self, up_to: u64) {
        // The session may be cut under us: then it is delivered again.
        let _ = self.session.sender.send(Received { up_to });
    }

    pub(crate) async fn outcome(&mut self, task: TaskId) -> Delivery {
        loop {
            if let Some(delivery) = self.deliveries.get(&task) {
                return delivery.clone();
            }
            self.hear().await.expect("the session lives");
        }
    }

    /// The next piece of live output.
    pub(crate) async fn output(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            self.hear().await.expect("the session lives");
        }
    }

    pub(crate) async fn result<R: DeserializeOwned>(&mut self, task: TaskId) -> R {
        let delivery = self.outcome(task).await;
        assert_eq!(delivery.outcome, Outcome::Done, "{task}");
        value::from_bytes(&delivery.payload.bytes().unwrap()).unwrap()
    }

    /// Waits for so many engines.
    pub(crate) async fn engines(&mut self, count: usize) -> Vec<EngineId> {
        while self.engines.len() != count {
            self.hear().await.expect("the session lives");
        }
        self.engines.clone()
    }

    /// How the cluster is.
    pub(crate) async fn status(&mut self) -> ClusterStatus {
        self.say(StatusRequest { request: RequestId(2) });
        loop {
            if let Some(status) = self.status.take() {
                return status;
            }
            self.hear().await.expect("the session lives");
        }
    }

    /// Waits for the end of the session.
    pub(crate) async fn closed(&mut self) -> CloseReason {
        loop {
            if let Err(reason) = self.hear().await {
                return reason;
            }
        }
    }
}

async fn open(
    way: &mut impl Connect<ClientToHub>,
    resume: Option<Resume>,
) -> (PeerSession<ClientToHub>, Opened, Vec<Incoming<HubToClient>>) {
    let mut session = way.connect().await.unwrap();
    session.sender.send(Open { resume, name: "test".into() }).unwrap();
    let mut batch = Vec::new();
    soon(session.receiver.recv_batch(&mut batch)).await.unwrap();
    let Incoming::Message(HubToClient::Opened(opened)) = batch.remove(0) else {
        panic!("a client is answered with its opening");
    };
    (session, opened, batch)
}
