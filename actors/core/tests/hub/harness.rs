//! A hub with its peers played by the test.

use std::time::Duration;

use bytes::Bytes;
use phalanx_core::hub::{
    ClientReply, ClientRequest, EngineNews, EngineOrder, Hub, HubEffect, HubEvent, HubSettings,
};
use phalanx_core::scheduler::SchedulerEvent;
use phalanx_core::{Room, Time};
use phalanx_protocol::client::{Opened, Resume};
use phalanx_protocol::ids::{
    AttemptId, ClientId, EngineId, Epoch, Generation, SessionId, TaskId, Ticket,
};
use phalanx_protocol::outcome::{AttemptOutcome, Delivery, Outcome, Report, RunTimes};
use phalanx_protocol::payload::{Body, Format, Payload};
use phalanx_protocol::peer::{EngineProfile, Inventory, Registration};
use phalanx_protocol::role::Role;
use phalanx_protocol::room::{RoomName, SchedulerVerdict};
use phalanx_protocol::task::{Assignment, MethodName, Target, TaskOptions, TaskSpec};

pub(crate) const SECRET: u64 = 77;

pub(crate) struct Bench {
    pub(crate) hub: Hub,
    pub(crate) now: Time,
    next_session: u64,
    pub(crate) dag: Generation,
    pub(crate) scheduler: Generation,
}

pub(crate) fn method() -> MethodName {
    MethodName::try_from("work").expect("a short name")
}

pub(crate) fn inline(text: &str) -> Payload {
    Payload::inline(Format::Raw, Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) fn by_ticket(ticket: u64, len: u64) -> Payload {
    Payload { format: Format::Raw, body: Body::Ticket { ticket: Ticket(ticket), len } }
}

pub(crate) fn spec(id: TaskId, target: Target) -> TaskSpec {
    TaskSpec {
        id,
        target,
        method: method(),
        payload: inline("args"),
        options: None,
        function: None,
    }
}

pub(crate) fn with_options(spec: TaskSpec, options: TaskOptions) -> TaskSpec {
    TaskSpec { options: Some(Box::new(options)), ..spec }
}

pub(crate) fn profile(name: &str, instance: u64, slots: u32) -> EngineProfile {
    EngineProfile {
        name: Some(name.into()),
        kind: "native".into(),
        host: "here".into(),
        pid: instance as u32,
        instance,
        slots,
        methods: vec![method()],
        labels: Vec::new(),
        resources: Vec::new(),
    }
}

pub(crate) fn report(number: u64, attempt: AttemptId, payload: Payload) -> Report {
    let times = RunTimes { started_us: 1, ran_ns: 1_000 };
    Report { number, attempt, outcome: AttemptOutcome::Done, times, payload, output: None }
}

impl Bench {
    /// A hub whose rooms run beside it.
    pub(crate) fn new() -> Self {
        Self::with(HubSettings::new(Epoch(5)))
    }

    /// A hub that confirms at the end of each burst, so that tests see at once what it would say.
    pub(crate) fn with(settings: HubSettings) -> Self {
        Self::as_is(HubSettings { confirm_after: Duration::ZERO, ..settings })
    }

    /// A hub with exactly these settings.
    pub(crate) fn as_is(settings: HubSettings) -> Self {
        let mut bench = Self {
            hub: Hub::new(settings),
            now: Time::ZERO,
            next_session: 0,
            dag: Generation(0),
            scheduler: Generation(0),
        };
        bench.event(HubEvent::RoomsOffered(None));
        bench
    }

    /// One event, the end of its burst, and what came of both.
    pub(crate) fn event(&mut self, event: HubEvent) -> Vec<HubEffect> {
        let mut effects = Vec::new();
        self.hub.handle(self.now, event, &mut effects);
        self.hub.settle(self.now, &mut effects);
        self.hub.check_invariants();
        self.note_generations(&effects);
        effects
    }

    fn note_generations(&mut self, effects: &[HubEffect]) {
        for effect in effects {
            match effect {
                HubEffect::Recreate(RoomName::Dag, generation) => self.dag = *generation,
                HubEffect::Recreate(RoomName::Scheduler, generation) => {
                    self.scheduler = *generation;
                }
                _ => {}
            }
        }
    }

    pub(crate) fn pass(&mut self, duration: Duration) -> Vec<HubEffect> {
        self.now = self.now + duration;
        let mut effects = Vec::new();
        while self.hub.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.hub.on_deadline(self.now, &mut effects);
        }
        self.hub.settle(self.now, &mut effects);
        self.hub.check_invariants();
        self.note_generations(&effects);
        effects
    }

    pub(crate) fn session(&mut self, role: Role) -> SessionId {
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let opened = HubEvent::SessionOpened { session, role, secret: SECRET };
        assert_eq!(self.event(opened), []);
        session
    }

    pub(crate) fn open(&mut self, resume: Option<Resume>) -> (SessionId, Opened, Vec<HubEffect>) {
        let session = self.session(Role::Client);
        let mut effects = self.request(session, ClientRequest::Open { resume, name: "t".into() });
        let first = effects.remove(0);
        let HubEffect::ToClient(_, ClientReply::Opened(opened)) = first else {
            panic!("opened, not {first:?}");
        };
        (session, *opened, effects)
    }

    pub(crate) fn client(&mut self) -> (SessionId, ClientId) {
        let (session, opened, rest) = self.open(None);
        assert_eq!(rest, []);
        (session, opened.client)
    }

    pub(crate) fn resume(&self, client: ClientId) -> Resume {
        Resume { epoch: Epoch(5), client, token: SECRET }
    }

    pub(crate) fn request(&mut self, session: SessionId, request: ClientRequest) -> Vec<HubEffect> {
        self.event(HubEvent::FromClient(session, request))
    }

    pub(crate) fn submit(&mut self, session: SessionId, spec: TaskSpec) -> Vec<HubEffect> {
        self.request(session, ClientRequest::Submit(spec))
    }

    pub(crate) fn register(
        &mut self,
        profile: EngineProfile,
        inventory: Inventory,
    ) -> (SessionId, Registration, Vec<AttemptId>, Vec<HubEffect>) {
        let session = self.session(Role::Engine);
        let news = EngineNews::Register(Box::new(profile), Box::new(inventory));
        let mut effects = self.event(HubEvent::FromEngine(session, news));
        let place = effects
            .iter()
            .position(|effect| matches!(effect, HubEffect::ToEngine(to, EngineOrder::Registered(..)) if *to == session))
            .expect("the engine is registered");
        let HubEffect::ToEngine(_, EngineOrder::Registered(registration, drop)) =
            effects.remove(place)
        else {
            unreachable!("just found");
        };
        (session, registration, drop, effects)
    }

    pub(crate) fn engine(&mut self, instance: u64, slots: u32) -> (SessionId, EngineId) {
        let profile = profile(&format!("here/{instance}"), instance, slots);
        let (session, registration, drop, _) = self.register(profile, Inventory::default());
        assert_eq!(drop, []);
        (session, registration.engine)
    }

    pub(crate) fn close(&mut self, session: SessionId) -> Vec<HubEffect> {
        self.event(HubEvent::SessionClosed { session })
    }

    /// The scheduler's choice.
    pub(crate) fn assign(&mut self, task: TaskId, engine: EngineId) -> Vec<HubEffect> {
        let verdict = SchedulerVerdict::Assign(engine);
        self.event(HubEvent::FromScheduler(self.scheduler, task, verdict))
    }

    pub(crate) fn report(&mut self, session: SessionId, report: Report) -> Vec<HubEffect> {
        self.event(HubEvent::FromEngine(session, EngineNews::Report(report)))
    }
}

/// The assignments among the effects.
pub(crate) fn assignments(effects: &[HubEffect]) -> Vec<&Assignment> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            HubEffect::ToEngine(_, EngineOrder::Assign(assignment)) => Some(&**assignment),
            _ => None,
        })
        .collect()
}

/// The deliveries among the effects.
pub(crate) fn deliveries(effects: &[HubEffect]) -> Vec<&Delivery> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            HubEffect::ToClient(_, ClientReply::Delivery(delivery)) => Some(&**delivery),
            _ => None,
        })
        .collect()
}

/// The outcomes among the effects.
pub(crate) fn outcomes(effects: &[HubEffect]) -> Vec<(TaskId, Outcome)> {
    deliveries(effects).into_iter().map(|d| (d.task, d.outcome.clone())).collect()
}

/// The tasks that the scheduler is told to place.
pub(crate) fn placed(effects: &[HubEffect]) -> Vec<TaskId> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            HubEffect::ToScheduler(_, SchedulerEvent::Place(ready)) => Some(ready.task),
            _ => None,
        })
        .collect()
}

/// What a client was told of its submits.
pub(crate) fn accepted(effects: &[HubEffect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        HubEffect::ToClient(_, ClientReply::Accepted(accepted)) => Some(accepted.next_seq),
        _ => None,
    })
}

/// Up to where an engine's reports were confirmed.
pub(crate) fn confirmed(effects: &[HubEffect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        HubEffect::ToEngine(_, EngineOrder::Confirmed(up_to)) => Some(*up_to),
        _ => None,
    })
}

/// The sessions that were closed.
pub(crate) fn closed(effects: &[HubEffect]) -> Vec<SessionId> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            HubEffect::Close(session, ..) => Some(*session),
            _ => None,
        })
        .collect()
}
