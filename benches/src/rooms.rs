//! Hub, dag and scheduler as one process runs them, without any transport: events in, effects taken,
//! a client that submits and confirms, engines that end what they are sent. For measurements of what
//! the rooms cost together.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use phalanx_core::dag::Dag;
use phalanx_core::hub::{
    ClientReply, ClientRequest, EngineNews, EngineOrder, Hub, HubEffect, HubEvent, HubSettings,
};
use phalanx_core::scheduler::{Scheduler, SchedulerEffect};
use phalanx_core::{Room, Time};
use phalanx_protocol::ids::{AttemptId, ClientId, Epoch, Generation, SessionId, TaskId};
use phalanx_protocol::outcome::{AttemptOutcome, Report, RunTimes};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::peer::{EngineProfile, Inventory};
use phalanx_protocol::role::Role;
use phalanx_protocol::task::{Dependency, MethodName, Target, TaskOptions, TaskSpec};

/// How many events come in one burst, as they do under load.
const BURST: usize = 100;

const CLIENT: SessionId = SessionId(0);

/// See the [module](self).
#[derive(Debug)]
pub struct Rooms {
    hub: Hub,
    dag: Dag,
    scheduler: Scheduler,
    scheduler_generation: Generation,
    now: Time,
    client: ClientId,
    method: MethodName,
    /// What the hub is to be told next.
    events: VecDeque<HubEvent>,
    effects: Vec<HubEffect>,
    /// What engines have, in the order sent.
    running: VecDeque<(SessionId, AttemptId)>,
    /// The number of each engine's next report.
    reports: Vec<u64>,
    received: u64,
    since_settled: usize,
    next_seq: u64,
    /// Outcomes that the client was told.
    pub delivered: u64,
    /// Events that rooms were told, all together.
    pub handled: u64,
}

impl Rooms {
    /// So many engines with one slot, and one client, which may have so many tasks open.
    pub fn new(engines: u64, tasks: u64) -> Self {
        let mut settings = HubSettings::new(Epoch(1));
        settings.client_tasks = tasks;
        let mut rooms = Self {
            hub: Hub::new(settings),
            dag: Dag::default(),
            scheduler: Scheduler::default(),
            scheduler_generation: Generation::default(),
            now: Time::ZERO,
            client: ClientId(0),
            method: MethodName::try_from("bench.method").expect("short enough"),
            events: VecDeque::new(),
            effects: Vec::new(),
            running: VecDeque::new(),
            reports: vec![0; engines as usize + 1],
            received: 0,
            since_settled: 0,
            next_seq: 0,
            delivered: 0,
            handled: 0,
        };
        rooms.tell(HubEvent::RoomsOffered(None));
        let opened = |session, role| HubEvent::SessionOpened { session, role, secret: 7 };
        rooms.tell(opened(CLIENT, Role::Client));
        let open = ClientRequest::Open { resume: None, name: "bench".into() };
        rooms.tell(HubEvent::FromClient(CLIENT, open));
        for engine in 1..=engines {
            let session = SessionId(engine);
            rooms.tell(opened(session, Role::Engine));
            let methods = vec![rooms.method.clone()];
            let profile =
                EngineProfile { instance: engine, slots: 1, methods, ..EngineProfile::default() };
            let register = EngineNews::Register(Box::new(profile), Box::<Inventory>::default());
            rooms.tell(HubEvent::FromEngine(session, register));
        }
        rooms
    }

    /// The task of this number.
    pub const fn task(&self, seq: u64) -> TaskId {
        TaskId::new(self.client, seq)
    }

    /// Submits the next task, after these, with an empty payload.
    pub fn submit(&mut self, after: &[u64]) {
        let after = after.iter().map(|seq| self.task(*seq));
        let after = (after.len() > 0).then(|| Dependency::all(after));
        let options = after
            .map(|after| Box::new(TaskOptions { after: Some(after), ..TaskOptions::default() }));
        let spec = TaskSpec {
            id: self.task(self.next_seq),
            target: Target::Any,
            method: self.method.clone(),
            payload: Payload::empty(),
            options,
            function: None,
        };
        self.next_seq += 1;
        self.tell(HubEvent::FromClient(CLIENT, ClientRequest::Submit(spec)));
    }

    /// Engines end the oldest task that one of them has; says whether there was one.
    pub fn end_one(&mut self) -> bool {
        let Some((session, attempt)) = self.running.pop_front() else { return false };
        let number = &mut self.reports[session.0 as usize];
        let report = Report {
            number: *number,
            attempt,
            outcome: AttemptOutcome::Done,
            times: RunTimes { started_us: 1, ran_ns: 2_000 },
            payload: Payload::inline(Format::Raw, Bytes::new()),
            output: None,
        };
        *number += 1;
        self.now = self.now + Duration::from_micros(2);
        self.tell(HubEvent::FromEngine(session, EngineNews::Report(report)));
        true
    }

    /// Ends everything that can run, until nothing runs.
    pub fn drain(&mut self) {
        while self.end_one() {}
        self.settle();
    }

    /// Panics unless every task has ended and its outcome was told.
    pub fn check_rest(&self) {
        assert_eq!(self.hub.open_len(), 0);
        assert_eq!(self.delivered, self.next_seq);
        assert_eq!((self.dag.held_len(), self.scheduler.queued_len()), (0, 0));
    }

    fn tell(&mut self, event: HubEvent) {
        self.events.push_back(event);
        self.go_on();
        self.since_settled += 1;
        if self.since_settled >= BURST {
            self.settle();
        }
    }

    fn go_on(&mut self) {
        while let Some(event) = self.events.pop_front() {
            self.handled += 1;
            self.hub.handle(self.now, event, &mut self.effects);
            self.take_effects();
        }
    }

    /// The end of a burst; the client has all that it was sent.
    fn settle(&mut self) {
        self.since_settled = 0;
        let mut said = Vec::new();
        self.scheduler.settle(self.now, &mut said);
        self.hear_scheduler(said);
        self.go_on();
        self.hub.settle(self.now, &mut self.effects);
        self.take_effects();
        if self.received < self.delivered {
            self.received = self.delivered;
            let received = ClientRequest::Received(self.received);
            self.tell(HubEvent::FromClient(CLIENT, received));
        }
    }

    fn take_effects(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                HubEffect::ToDag(generation, event) => self.tell_dag(generation, event),
                HubEffect::ToScheduler(generation, event) => {
                    self.tell_scheduler(generation, event);
                }
                HubEffect::ToEngine(session, EngineOrder::Assign(assignment)) => {
                    self.running.push_back((session, assignment.attempt));
                }
                HubEffect::ToEngine(session, EngineOrder::GiveBack(attempt)) => {
                    let kept = EngineNews::GaveBack(attempt, false);
                    self.events.push_back(HubEvent::FromEngine(session, kept));
                }
                HubEffect::ToClient(_, ClientReply::Opened(opened)) => self.client = opened.client,
                HubEffect::ToClient(_, ClientReply::Delivery(_)) => self.delivered += 1,
                HubEffect::Close(session, code, detail) => {
                    panic!("the hub closes {session}: {code}: {detail}");
                }
                HubEffect::Stop { reason, .. } => panic!("the hub stops: {reason}"),
                HubEffect::ToEngine(..)
                | HubEffect::ToClient(..)
                | HubEffect::ToHost(..)
                | HubEffect::Recreate(..) => {}
            }
        }
    }

    fn tell_dag(&mut self, generation: Generation, event: phalanx_core::dag::DagEvent) {
        let mut said = Vec::new();
        self.handled += 1;
        self.dag.handle(self.now, event, &mut said);
        let said = said.into_iter();
        let said = said.map(|it| HubEvent::FromDag(generation, it.task, it.verdict));
        self.events.extend(said);
    }

    fn tell_scheduler(
        &mut self,
        generation: Generation,
        event: phalanx_core::scheduler::SchedulerEvent,
    ) {
        let mut said = Vec::new();
        self.handled += 1;
        self.scheduler.handle(self.now, event, &mut said);
        self.scheduler_generation = generation;
        self.hear_scheduler(said);
    }

    fn hear_scheduler(&mut self, said: Vec<SchedulerEffect>) {
        let generation = self.scheduler_generation;
        let said = said.into_iter();
        let said = said.map(|it| HubEvent::FromScheduler(generation, it.task, it.verdict));
        self.events.extend(said);
    }
}
