//! The host's main loop: carries out what the plan says and tells it what happened.
//!
//! One thread, one loop. Helper tasks only wait for pipes and sockets and send what they saw to the
//! inbox. It holds no `if` about when to restart or stop: that is the plan's.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::Instant;

use phalanx_transport::protocol::host::EngineExited;
use phalanx_transport::protocol::role::Role;
use rustix::process::{Signal, WaitOptions};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::cluster_dir::HostLock;
use crate::cluster_state::{ClusterState, STATE_VERSION, machine_name};
use crate::config::ListenAddress;
use crate::host::cause::{Cause, OomWatch};
use crate::host::commands::Commands;
use crate::host::control::Asked;
use crate::host::credentials::Credentials;
use crate::host::hub_link::{HubLink, HubWish};
use crate::host::plan::Plan;
use crate::host::plan_events::{Effect, Event, PlanLimits};
use crate::host::process::{Phase, Process};
use crate::host::report::{Reporter, StartReport};
use crate::host::spawn::{self, Spawned};
use crate::host::{HostEnd, HostError, HostOptions, Owner, logs, sweep};
use crate::{limits, os};

#[path = "shell_control.rs"]
mod control;

/// What helper tasks tell the main loop.
#[derive(Debug)]
enum Inbox {
    /// A child said that it is ready, in these words.
    Ready { pid: u32, line: String },
    /// Whoever owns the cluster is gone.
    OwnerGone,
    /// The hub wants something of its host.
    Hub(HubWish),
    /// Somebody wants something of the host, at its control socket.
    Control(Asked),
}

/// The main loop's state.
pub(super) struct Shell<'a> {
    options: HostOptions,
    lock: HostLock,
    reporter: &'a mut Reporter,
    plan: Plan,
    commands: Commands,
    credentials: Credentials,
    began: Instant,
    state: ClusterState,
    listen: ListenAddress,
    oom: OomWatch,
    /// The session with the hub, once the main loop runs.
    hub_link: Option<HubLink>,
    /// The keeper's standard input: it ends when this process does.
    leases: BTreeMap<Process, OwnedFd>,
    sender: mpsc::Sender<Inbox>,
    inbox: mpsc::Receiver<Inbox>,
    failure: Option<HostEnd>,
    has_finished: bool,
}

impl<'a> Shell<'a> {
    pub(super) fn new(
        options: HostOptions,
        lock: HostLock,
        reporter: &'a mut Reporter,
    ) -> Result<Self, HostError> {
        let system = |what| move |source| HostError::System { what, source };
        let run = run_id().map_err(system("draw a run id"))?;
        let phalanx = std::env::current_exe().map_err(system("find its own program"))?;
        let commands = Commands::new(phalanx, lock.dir().clone(), run.clone(), &options);
        let scheduler = options.scheduler_process.then_some(Process::Scheduler);
        let processes = [Process::Keeper, Process::Hub]
            .into_iter()
            .chain(scheduler)
            .chain((0..options.engines).map(Process::Engine));
        let limits = PlanLimits { stop_grace: options.stop_grace, ..PlanLimits::default() };
        let plan = Plan::new(processes, limits);
        let state = ClusterState {
            version: STATE_VERSION,
            cluster: options.cluster.to_string(),
            run,
            machine: machine_name(),
            host_pid: std::process::id(),
            started_at: jiff::Timestamp::now().to_string(),
            stop_grace_ms: options.stop_grace.as_millis().try_into().unwrap_or(u64::MAX),
            phase: plan.phase(),
            hub_address: None,
            failure: None,
            processes: plan.statuses(),
        };
        let (sender, inbox) = mpsc::channel(limits::HOST_INBOX_LEN_MAX);
        lock.dir().create_logs()?;
        lock.write_state(&state)?;
        let credentials = Credentials::create(lock.dir(), options.listen.0)?;
        Ok(Self {
            listen: options.listen,
            options,
            lock,
            reporter,
            plan,
            commands,
            credentials,
            began: Instant::now(),
            state,
            oom: OomWatch::default(),
            hub_link: None,
            leases: BTreeMap::new(),
            sender,
            inbox,
            failure: None,
            has_finished: false,
        })
    }

    /// Names the run: every process of it carries the id in its environment and its log lines.
    pub(super) fn run_id(&self) -> &str {
        &self.state.run
    }

    /// Runs until every process has ended, and leaves nothing of the run alive.
    pub(super) async fn run(mut self) -> Result<(HostEnd, HostLock), HostError> {
        let mut signals = HostSignals::new()?;
        if self.options.owner == Owner::StandardInput {
            watch_owner(self.sender.clone())
                .map_err(|source| HostError::System { what: "watch its owner", source })?;
        }
        self.hub_link = Some(self.start_hub_link());
        let _control = self.start_control();
        let mut log_check = tokio::time::interval(limits::LOG_CHECK_EVERY);
        log_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tracing::info!(pid = self.state.host_pid, "host starts");
        self.feed(Event::Begin);
        while !self.has_finished {
            let due = self.plan.next_deadline().map(|due| self.began + due);
            tokio::select! {
                biased;
                _ = signals.child.recv() => self.reap(),
                _ = signals.terminate.recv() => self.feed(Event::StopAsked),
                _ = signals.interrupt.recv() => self.feed(Event::StopAsked),
                _ = signals.hangup.recv() => self.feed(Event::StopAsked),
                Some(message) = self.inbox.recv() => self.on_inbox(message),
                () = sleep_until(due) => self.feed(Event::Due),
                _ = log_check.tick() => self.look_after_children(),
            }
        }
        self.finish()
    }

    fn start_hub_link(&self) -> HubLink {
        let connection = self.lock.dir().connection_file(Role::Host.as_str());
        let inbox = self.sender.clone();
        HubLink::start(connection, self.state.machine.clone(), move |wish| {
            match inbox.try_send(Inbox::Hub(wish)) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(message)) => {
                    tracing::warn!(?message, "the hub asks more than the host can take; dropped");
                    true
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        })
    }

    /// Tells the plan what happened and carries out what it says.
    fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        let now = self.began.elapsed();
        self.plan.handle(now, event, &mut effects);
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            if let Some(event) = self.carry_out(effect) {
                let mut more = Vec::new();
                self.plan.handle(self.began.elapsed(), event, &mut more);
                effects.extend(more);
            }
        }
        self.publish();
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Spawn(process) => return Some(self.spawn(process)),
            Effect::Terminate { process, pid } => {
                tracing::info!(%process, pid, "told to stop");
                if process == Process::Hub {
                    // A hub that ends must not be asked for another session meanwhile.
                    self.hub_link = None;
                }
                signal_process(pid, Signal::TERM);
            }
            Effect::Kill { process, pid } => {
                tracing::warn!(%process, pid, "killed: it did not do what it was asked in time");
                signal_group(pid, Signal::KILL);
            }
            Effect::Bury { process, pid, cause } => self.bury(process, pid, cause),
            Effect::Started => return self.on_started(),
            Effect::GaveUp { process, reason } => {
                tracing::error!(%process, reason, "given up: it is not started again");
            }
            Effect::Fail { process, reason } => self.on_failed(process, reason),
            Effect::Finish => self.has_finished = true,
        }
        None
    }

    fn spawn(&mut self, process: Process) -> Event {
        if self.plan.phase() == Phase::Starting {
            self.reporter.report(&StartReport::Starting(process));
        }
        match spawn::spawn(&self.commands.launch(process, self.listen)) {
            Ok(Spawned { pid, ready, lease }) => {
                tracing::info!(%process, pid, "started");
                self.leases.remove(&process);
                self.leases.extend(lease.map(|lease| (process, lease)));
                self.oom.watch(pid);
                tokio::spawn(watch_ready(pid, ready, self.sender.clone()));
                Event::Spawned { process, pid }
            }
            Err(error) => {
                let reason = error.to_string();
                tracing::error!(%process, reason, "cannot be started");
                Event::SpawnFailed { process, reason }
            }
        }
    }

    /// What is left of a dead process's group goes with it: nobody is there to use it.
    fn bury(&mut self, process: Process, pid: u32, cause: Cause) {
        signal_group(pid, Signal::KILL);
        self.leases.remove(&process);
        if let (Process::Engine(index), Some(link)) = (process, &self.hub_link) {
            let name = self.commands.engine_name(index);
            link.on_engine_exited(EngineExited { name, pid, cause: cause.to_string() });
        }
        if self.plan.phase() == Phase::Running {
            tracing::warn!(%process, pid, %cause, "ended");
        } else {
            tracing::info!(%process, pid, %cause, "ended");
        }
    }

    fn on_started(&mut self) -> Option<Event> {
        let took_ms = self.began.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let hub_address = self.state.hub_address.clone().unwrap_or_default();
        tracing::info!(took_ms, hub_address, "cluster is ready");
        // The state file must say "running" before whoever waits is told so.
        self.publish();
        let engines = self.options.engines;
        let is_there = self.reporter.report(&StartReport::Ready { hub_address, engines, took_ms });
        // Whoever started this cluster left before it could know of it: nobody would stop it.
        (!is_there).then_some(Event::StopAsked)
    }

    fn on_failed(&mut self, process: Process, reason: String) {
        tracing::error!(%process, reason, "cluster failed");
        let step = process.to_string();
        self.state.failure = Some(format!("{step} {reason}"));
        let log = Some(self.lock.dir().log_file(&step));
        self.reporter.report(&StartReport::Failed {
            step: step.clone(),
            reason: reason.clone(),
            log,
        });
        self.failure = Some(HostEnd::Failed { step, reason });
    }

    fn on_inbox(&mut self, message: Inbox) {
        match message {
            Inbox::Ready { pid, line } => {
                self.oom.watch(pid);
                let event = match self.plan.process_of(pid) {
                    Some(Process::Hub) => self.on_hub_ready(pid, &line),
                    _ => Event::Ready { pid },
                };
                self.feed(event);
            }
            Inbox::OwnerGone => {
                tracing::info!("the owner of the cluster is gone");
                self.feed(Event::StopWanted);
            }
            Inbox::Hub(HubWish::Stop { reason }) => {
                tracing::info!(reason, "the hub says that the cluster shall end");
                self.feed(Event::StopWanted);
            }
            Inbox::Hub(HubWish::Retire { name }) => match self.commands.engine_index(&name) {
                Some(index) => self.feed(Event::Retired(Process::Engine(index))),
                None => tracing::warn!(name, "no engine of this host has this name"),
            },
            Inbox::Hub(HubWish::Kill { name, pid, reason }) => {
                self.on_kill_wish(&name, pid, &reason);
            }
            Inbox::Control((wish, answer)) => {
                tracing::info!(?wish, "asked at the control socket");
                // Whoever asked may have left.
                let _ = answer.send(self.on_wish(&wish));
            }
        }
    }

    /// The hub tells where it listens. It will listen there again when it is restarted, and until
    /// then nobody could have reached it.
    fn on_hub_ready(&mut self, pid: u32, line: &str) -> Event {
        let process = Process::Hub;
        let address = line.split_whitespace().nth(1).and_then(|address| address.parse().ok());
        let Some(address) = address else {
            let reason = "it did not tell its address".to_owned();
            return Event::Unusable { process, reason };
        };
        if self.state.hub_address.is_none() {
            if let Err(error) = self.credentials.publish(address) {
                return Event::Unusable { process, reason: crate::words::chain(&error) };
            }
            self.listen = ListenAddress(address);
            self.state.hub_address = Some(address.to_string());
        }
        if let Some(link) = &self.hub_link {
            link.on_hub_ready();
        }
        Event::Ready { pid }
    }

    /// Collects every dead child: those of the plan, and orphans that came to this process.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = os::number_of_pid(pid);
            let cause = Cause::from_status(status, self.oom.explains(pid));
            self.feed(Event::Exited { pid, cause });
        }
    }

    fn look_after_children(&mut self) {
        logs::bound_all(&self.lock.dir().log_dir());
        for status in self.plan.statuses() {
            if let Some(pid) = status.pid {
                self.oom.watch(pid);
            }
        }
    }

    /// Writes the state file if it would say something new.
    fn publish(&mut self) {
        let mut state = self.state.clone();
        state.phase = self.plan.phase();
        state.processes = self.plan.statuses();
        if state != self.state || state.failure.is_some() {
            if let Err(error) = self.lock.write_state(&state) {
                tracing::warn!(error = crate::words::chain(&error), "cannot write the state file");
            }
            self.state = state;
        }
    }

    fn finish(self) -> Result<(HostEnd, HostLock), HostError> {
        let cluster = self.options.cluster.clone();
        let orphans = sweep::sweep(&self.state.run, reap_all)
            .map_err(|source| HostError::Leftovers { cluster, source })?;
        reap_all();
        tracing::info!(orphans, "host ends: nothing of the run is left");
        Ok((self.failure.unwrap_or(HostEnd::Stopped), self.lock))
    }
}

/// The signals a host lives by.
struct HostSignals {
    child: Signals,
    terminate: Signals,
    interrupt: Signals,
    hangup: Signals,
}

impl HostSignals {
    fn new() -> Result<Self, HostError> {
        let listen = |kind| {
            signal(kind).map_err(|source| HostError::System { what: "listen to signals", source })
        };
        Ok(Self {
            child: listen(SignalKind::child())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits until a child says that it is ready. One that ends without a word is seen by its death.
async fn watch_ready(pid: u32, ready: OwnedFd, inbox: mpsc::Sender<Inbox>) {
    let Ok(pipe) = pipe::Receiver::from_owned_fd(ready) else {
        return;
    };
    let mut lines = BufReader::new(pipe.take(limits::READY_LINE_LEN_MAX as u64));
    let mut line = String::new();
    if matches!(lines.read_line(&mut line).await, Ok(1..)) {
        // The receiver only goes with the main loop.
        let _ = inbox.send(Inbox::Ready { pid, line }).await;
    }
}

/// Waits until the other end of standard input is closed, on a thread that dies with the process.
fn watch_owner(inbox: mpsc::Sender<Inbox>) -> std::io::Result<()> {
    let wait = move || {
        let mut ignored = [0; 64];
        let mut owner = std::io::stdin().lock();
        while matches!(owner.read(&mut ignored), Ok(1..)) {}
        let _ = inbox.blocking_send(Inbox::OwnerGone);
    };
    std::thread::Builder::new().name("owner".into()).spawn(wait).map(drop)
}

fn signal_process(pid: u32, signal: Signal) {
    if let Some(pid) = os::pid_of(pid) {
        let_go(rustix::process::kill_process(pid, signal));
    }
}

fn signal_group(pid: u32, signal: Signal) {
    if let Some(pid) = os::pid_of(pid) {
        let_go(rustix::process::kill_process_group(pid, signal));
    }
}

/// A process that has just ended needs no signal. Its id cannot have passed on: only this thread
/// collects children, and a group's id stays taken while the group has a member.
fn let_go(result: rustix::io::Result<()>) {
    match result {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(errno) => tracing::warn!(error = %std::io::Error::from(errno), "cannot signal"),
    }
}

fn reap_all() {
    while let Ok(Some((_, _))) = rustix::process::wait(WaitOptions::NOHANG) {}
}

/// Names a run: every process of it carries the id in its environment and its log lines.
fn run_id() -> std::io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
