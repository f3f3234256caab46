//! The bare path: client, relay and engines, each in a process of its own, exchange the frames of a
//! task over the sessions of a cluster, and the relay keeps nothing of them: no ledger, no
//! dependencies, no scheduler, no limits. Beside it one sees what those cost, on any machine.
//!
//! The program `apply` starts the processes, which are itself. Nothing here is part of a cluster.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use phalanx_protocol::client::{ClientToHub, HubToClient};
use phalanx_protocol::engine::{EngineToHub, HubToEngine};
use phalanx_protocol::ids::{AttemptId, ClientId, EngineId, TaskId};
use phalanx_protocol::outcome::{AttemptOutcome, Delivery, Outcome, Report, RunTimes};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::role::Role;
use phalanx_protocol::task::{Assignment, MethodName, Target, TaskSpec};
use phalanx_transport::identity::{ClusterAuthority, ConnectionFile};
use phalanx_transport::{
    Arrival, Connector, HubEndpoint, HubSession, Incoming, PeerSession, SessionSender, Settings,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::method::{ARGS_LEN, ECHO};
use super::processes::Processes;
use crate::refusals::Refusals;

/// The peers of a relay come within this, or it ends.
const PEERS_WITHIN: Duration = Duration::from_secs(30);

const CLIENT_FILE: &str = "client.json";
const ENGINE_FILE: &str = "engine.json";

/// A relay and its engines; they end with it.
#[derive(Debug)]
pub struct BarePath {
    relay: Child,
    engines: Vec<Child>,
    directory: TempDir,
}

impl BarePath {
    /// Starts them.
    pub fn start(engines: u32) -> Result<Self> {
        let directory = TempDir::new()?;
        let program = std::env::current_exe()?;
        let mut relay = Command::new(&program)
            .arg("relay")
            .arg(files(&directory))
            .arg(engines.to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = relay.stdout.take().context("the relay has no output")?;
        let mut path = Self { relay, engines: Vec::new(), directory };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the relay did not start");
        for _ in 0..engines {
            let mut engine = Command::new(&program);
            engine.arg("bare-engine").arg(files(&path.directory));
            path.engines.push(engine.spawn()?);
        }
        Ok(path)
    }

    /// Which processes they are.
    pub fn processes(&self) -> Processes {
        let engines = self.engines.iter().map(Child::id).collect();
        Processes::new(None, vec![self.relay.id()], engines)
    }

    /// Comes as the client. The connector lives as long as the session.
    pub async fn connect(&self) -> Result<(Connector, BareClient)> {
        let connector = connector(&files(&self.directory), CLIENT_FILE)?;
        let session = connector.connect("bare client").await?;
        let method = MethodName::try_from(ECHO.name())?;
        Ok((connector, BareClient { session, method, next_seq: 0 }))
    }
}

/// Where the connection files are: in a directory that is made for its owner alone.
fn files(directory: &TempDir) -> PathBuf {
    directory.path().join("files")
}

impl Drop for BarePath {
    fn drop(&mut self) {
        for child in self.engines.iter_mut().chain([&mut self.relay]) {
            // One that has ended already is as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The client's end of a bare path.
#[derive(Debug)]
pub struct BareClient {
    session: PeerSession<ClientToHub>,
    method: MethodName,
    next_seq: u64,
}

impl BareClient {
    /// Sends `tasks` tasks with `in_flight` at a time, and waits until all have come back.
    pub async fn many(&mut self, tasks: u64, in_flight: u64) -> Result<()> {
        let (mut sent, mut ended, mut batch) = (0, 0, Vec::new());
        while ended < tasks {
            while sent < tasks && sent - ended < in_flight {
                self.submit()?;
                sent += 1;
            }
            self.session.receiver.recv_batch(&mut batch).await?;
            for item in batch.drain(..) {
                let Incoming::Message(HubToClient::Delivery(delivery)) = item else {
                    bail!("a client hears only of outcomes, not {item:?}");
                };
                ensure!(delivery.payload.len() == ARGS_LEN as u64, "{delivery:?}");
                ended += 1;
            }
        }
        Ok(())
    }

    fn submit(&mut self) -> Result<()> {
        let id = TaskId::new(ClientId(0), self.next_seq);
        self.next_seq += 1;
        let payload = Payload::inline(Format::Raw, bytes::Bytes::from_static(&[0x5a; ARGS_LEN]));
        let (method, target) = (self.method.clone(), Target::Any);
        let spec = TaskSpec { id, target, method, payload, options: None, function: None };
        Ok(self.session.sender.send(spec)?)
    }
}

/// This process becomes a relay for one client and so many engines, until the client is gone.
pub fn relay(directory: &Path, engines: usize) -> Result<()> {
    runtime()?.block_on(async {
        let mut hub = listen(directory)?;
        println!("ready");
        let peers = tokio::time::timeout(PEERS_WITHIN, admit(&mut hub, engines));
        let (client, engines) = peers.await.context("not all peers came")??;
        pass_on(client, engines).await
    })
}

/// This process becomes an engine of the relay, until that is gone.
pub fn engine(directory: &Path) -> Result<()> {
    runtime()?.block_on(async {
        let connector = connector(directory, ENGINE_FILE)?;
        let mut session: PeerSession<EngineToHub> = connector.connect("bare engine").await?;
        let (mut batch, mut number) = (Vec::new(), 0);
        while session.receiver.recv_batch(&mut batch).await.is_ok() {
            for item in batch.drain(..) {
                let Incoming::Message(HubToEngine::Assign(assignment)) = item else {
                    bail!("an engine hears only of tasks, not {item:?}");
                };
                let Assignment { attempt, payload, .. } = assignment;
                let (outcome, times) = (AttemptOutcome::Done, RunTimes::default());
                let report = Report { number, attempt, outcome, times, payload, output: None };
                session.sender.send(report)?;
                number += 1;
            }
        }
        Ok(())
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn connector(directory: &Path, file: &str) -> Result<Connector> {
    let file = ConnectionFile::load(&directory.join(file))?;
    Ok(Connector::new(&file, &Settings::default())?)
}

fn listen(directory: &Path) -> Result<HubEndpoint> {
    let authority = ClusterAuthority::create()?;
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let credential = authority.issue(Role::Hub)?;
    let hub = HubEndpoint::bind(&credential, address, &Settings::default(), Arc::new(Refusals))?;
    for (role, file) in [(Role::Client, CLIENT_FILE), (Role::Engine, ENGINE_FILE)] {
        let credential = authority.issue(role)?;
        let file_of_role = ConnectionFile::new("bare", vec![hub.local_address()?], credential);
        file_of_role.save(&directory.join(file))?;
    }
    Ok(hub)
}

type Peers = (HubSession<ClientToHub>, Vec<HubSession<EngineToHub>>);

async fn admit(hub: &mut HubEndpoint, engines: usize) -> Result<Peers> {
    let (mut client, mut arrived) = (None, Vec::new());
    while client.is_none() || arrived.len() < engines {
        match hub.accept().await {
            Some(Arrival::Client(session)) => client = Some(session),
            Some(Arrival::Engine(session)) => arrived.push(session),
            other => bail!("a relay serves a client and engines, not {other:?}"),
        }
    }
    Ok((client.context("no client came")?, arrived))
}

/// Sends what the client submits to the engines in turn, and back what they report.
async fn pass_on(
    mut client: HubSession<ClientToHub>,
    engines: Vec<HubSession<EngineToHub>>,
) -> Result<()> {
    let mut senders = Vec::new();
    let mut back = JoinSet::new();
    for (index, engine) in engines.into_iter().enumerate() {
        let (sender, session) = (client.sender.clone(), EngineId(index as u32));
        senders.push(engine.sender.clone());
        back.spawn(pass_back(engine, session, sender));
    }
    let (mut batch, mut turn) = (Vec::new(), 0);
    while client.receiver.recv_batch(&mut batch).await.is_ok() {
        for item in batch.drain(..) {
            let Incoming::Message(ClientToHub::Submit(spec)) = item else {
                bail!("a relay is told only of tasks, not {item:?}");
            };
            let TaskSpec { id, method, payload, function, .. } = spec;
            let (attempt, gates) = (id.attempt(1), Vec::new());
            let direct = false;
            let task = Assignment { attempt, direct, method, payload, gates, function };
            senders[turn % senders.len()].send(task)?;
            turn += 1;
        }
    }
    Ok(())
}

async fn pass_back(
    mut engine: HubSession<EngineToHub>,
    id: EngineId,
    client: SessionSender<HubToClient>,
) -> Result<()> {
    let mut batch = Vec::new();
    while engine.receiver.recv_batch(&mut batch).await.is_ok() {
        for item in batch.drain(..) {
            let Incoming::Message(EngineToHub::Report(report)) = item else {
                bail!("an engine reports, and says nothing else: {item:?}");
            };
            let Report { number, attempt: AttemptId { task, .. }, times, payload, .. } = report;
            let delivery = Delivery {
                number,
                task,
                outcome: Outcome::Done,
                engine: Some(id),
                attempts: 1,
                times,
                payload,
                output: None,
                tried: Vec::new(),
            };
            client.send(delivery)?;
        }
    }
    Ok(())
}
