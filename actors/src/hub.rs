//! The shell of the hub room: turns mail into events and effects into sends.
//!
//! Sessions post batches ([`crate::sessions`]), the rooms beside the hub post verdicts
//! ([`crate::supervise`]); one message is one turn, after which each session and each room has
//! been sent all that the turn brought about. It decides nothing about tasks: if it seems to have
//! to, the decision belongs into [`phalanx_core::hub`].

use std::collections::HashMap;
use std::rc::Rc;

use phalanx_core::hub::{
    ClientReply, ClientRequest, EngineOrder, Hub, HubEffect, HubEvent, HubSettings,
};
use phalanx_core::scheduler::Settings as Placement;
use phalanx_core::{Room, Time};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::SessionId;
use phalanx_protocol::role::Role;
use phalanx_transport::Incoming;
use tokio::sync::mpsc;

use crate::busy_poll::Turns;
use crate::hub_process::HubError;
use crate::peer::{RoomOrder, client_request, engine_news, host_news, scheduling_event};
use crate::rt::{Clock, Flow, Post, Shell, open};
use crate::sessions::{Batch, Outbound};
use crate::supervise::{PlantedPanic, RoomNotice, Rooms};
use crate::task_span::{attempt_span, task_span};

/// Where the dag and scheduler rooms run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scheduling {
    /// In the hub process.
    #[default]
    Local,
    /// In a process of their own, which connects with the role `scheduler`.
    Remote,
}

/// The way into the hub's mailbox.
pub(crate) type HubPost = Post<HubShell>;

/// What the hub's actor is told.
#[derive(Debug)]
pub(crate) enum HubMail {
    SessionOpened { session: SessionId, role: Role, outbound: Outbound },
    Batch { session: SessionId, batch: Batch },
    SessionClosed { session: SessionId },
    Rooms(RoomNotice),
    Plant(PlantedPanic),
    Stop { reason: String },
}

/// What is left when the hub has ended: why, and the sessions that are closing.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What somebody asked for, or what went wrong.
    pub(crate) why: Result<String, HubError>,
    pub(crate) closing: Vec<Outbound>,
}

/// The hub's actor.
pub(crate) struct HubShell {
    hub: Hub,
    sessions: HashMap<SessionId, Outbound, rustc_hash::FxBuildHasher>,
    rooms: RoomsSite,
    turns: Rc<Turns>,
    /// Emptied each turn; kept for its allocation.
    effects: Vec<HubEffect>,
    ended: mpsc::Sender<Ended>,
}

/// Where the rooms are.
enum RoomsSite {
    Local(Rooms),
    /// Behind the session that the hub knows.
    Remote,
}

/// Opens the hub's actor on this arbiter, which counts its turns, and tells when it has ended.
pub(crate) fn open_hub(
    clock: Clock,
    settings: HubSettings,
    scheduling: Scheduling,
    placement: Placement,
    turns: Rc<Turns>,
) -> (HubPost, mpsc::Receiver<Ended>) {
    // Two reasons to end at most: its own decision, and a panic on the way there.
    let (ended, receiver) = mpsc::channel(2);
    let on_death = {
        let ended = ended.clone();
        Box::new(move |message| {
            let why = Err(HubError::Panicked { message });
            // A full channel: it has ended before.
            let _ = ended.try_send(Ended { why, closing: Vec::new() });
        })
    };
    let post = open(clock, on_death, |post: HubPost| {
        let notify = Rc::new(move |notice| {
            // A hub that has ended needs no rooms.
            let _ = post.push(HubMail::Rooms(notice));
        });
        let rooms = match scheduling {
            Scheduling::Local => RoomsSite::Local(Rooms::open(clock, placement, notify)),
            Scheduling::Remote => RoomsSite::Remote,
        };
        let mut shell = HubShell {
            hub: Hub::new(HubSettings { zero_us: clock.zero_us(), ..settings }),
            sessions: HashMap::default(),
            rooms,
            turns,
            effects: Vec::new(),
            ended,
        };
        shell.offer_rooms(clock.now());
        shell
    });
    (post, receiver)
}

impl HubShell {
    fn offer_rooms(&mut self, now: Time) {
        if let RoomsSite::Local(_) = self.rooms {
            self.on_event(now, HubEvent::RoomsOffered(None));
            // Nothing can end the hub before anything was said to it.
            let _ = self.finish_turn(now);
        }
    }

    fn on_event(&mut self, now: Time, event: HubEvent) {
        if let HubEvent::FromClient(session, ClientRequest::Submit(spec)) = &event {
            let _span = task_span(spec.id).entered();
            tracing::debug!(%session, method = %spec.method, "submitted");
        }
        self.hub.handle(now, event, &mut self.effects);
    }

    fn on_session_opened(&mut self, now: Time, session: SessionId, role: Role, outbound: Outbound) {
        match (&outbound, &self.rooms) {
            (Outbound::Scheduling(_), RoomsSite::Local(_)) => {
                outbound.close(ErrorCode::WrongRole, "this hub runs its rooms itself");
            }
            _ => {
                self.sessions.insert(session, outbound);
                let secret = random_secret();
                self.on_event(now, HubEvent::SessionOpened { session, role, secret });
            }
        }
    }

    fn on_batch(&mut self, now: Time, session: SessionId, batch: Batch) {
        match batch {
            Batch::Client(incoming) => self.on_incoming(now, session, incoming, |message| {
                Some(HubEvent::FromClient(session, client_request(message)))
            }),
            Batch::Engine(incoming) => self.on_incoming(now, session, incoming, |message| {
                Some(HubEvent::FromEngine(session, engine_news(message)))
            }),
            Batch::Host(incoming) => self.on_incoming(now, session, incoming, |message| {
                Some(HubEvent::FromHost(session, host_news(message)))
            }),
            Batch::Scheduling(incoming) => self
                .on_incoming(now, session, incoming, |message| scheduling_event(session, message)),
        }
    }

    fn on_incoming<In>(
        &mut self,
        now: Time,
        session: SessionId,
        incoming: Vec<Incoming<In>>,
        event: impl Fn(In) -> Option<HubEvent>,
    ) {
        for item in incoming {
            let event = match item {
                Incoming::Message(message) => event(message),
                Incoming::Payload { ticket, bytes } => {
                    Some(HubEvent::PayloadArrived { session, ticket, bytes })
                }
            };
            match event {
                Some(event) => self.on_event(now, event),
                None => self.close(session, ErrorCode::Malformed, "a message lacks its subject"),
            }
        }
    }

    fn close(&self, session: SessionId, code: ErrorCode, detail: &str) {
        if let Some(outbound) = self.sessions.get(&session) {
            outbound.close(code, detail);
        }
    }

    fn on_notice(&mut self, now: Time, notice: RoomNotice) {
        let RoomsSite::Local(rooms) = &mut self.rooms else { return };
        for statement in rooms.accept(notice) {
            self.on_event(now, statement.into());
        }
    }

    /// Ends the burst and does what it brought about.
    fn finish_turn(&mut self, now: Time) -> Flow {
        self.hub.settle(now, &mut self.effects);
        let mut effects = std::mem::take(&mut self.effects);
        let mut end = None;
        for effect in effects.drain(..) {
            if let Some(why) = self.perform(effect) {
                end.get_or_insert(why);
            }
        }
        self.effects = effects;
        if let RoomsSite::Local(rooms) = &mut self.rooms {
            rooms.flush();
        }
        match end {
            None => Flow::Continue,
            Some(why) => self.end(why),
        }
    }

    /// `Some` if the hub ends.
    fn perform(&mut self, effect: HubEffect) -> Option<Result<String, HubError>> {
        trace(&effect);
        match effect {
            HubEffect::ToClient(session, reply) => {
                self.sessions.get(&session)?.tell_client(reply);
            }
            HubEffect::ToEngine(session, order) => {
                self.sessions.get(&session)?.tell_engine(order);
            }
            HubEffect::ToHost(session, order) => self.sessions.get(&session)?.tell_host(order),
            HubEffect::Recreate(room, generation) => {
                self.tell_rooms(RoomOrder::Recreate(room, generation));
            }
            HubEffect::ToDag(generation, event) => {
                self.tell_rooms(RoomOrder::Dag(generation, event));
            }
            HubEffect::ToScheduler(generation, event) => {
                self.tell_rooms(RoomOrder::Scheduler(generation, event));
            }
            HubEffect::Close(session, code, detail) => self.close(session, code, &detail),
            HubEffect::Stop { asked: true, reason } => return Some(Ok(reason)),
            HubEffect::Stop { asked: false, reason } => {
                return Some(Err(HubError::GaveUp { reason }));
            }
        }
        None
    }

    fn tell_rooms(&mut self, order: RoomOrder) {
        match &mut self.rooms {
            RoomsSite::Local(rooms) => rooms.order(order),
            RoomsSite::Remote => {
                let session = self.hub.rooms_session();
                if let Some(outbound) = session.and_then(|session| self.sessions.get(&session)) {
                    outbound.tell_rooms(order);
                }
            }
        }
    }

    fn end(&mut self, why: Result<String, HubError>) -> Flow {
        let (code, detail) = match &why {
            Ok(reason) => (ErrorCode::ShuttingDown, reason.clone()),
            Err(error) => (ErrorCode::Internal, error.to_string()),
        };
        let closing: Vec<Outbound> = self.sessions.drain().map(|(_, outbound)| outbound).collect();
        for outbound in &closing {
            outbound.close(code, &detail);
        }
        // A full channel: it has ended before.
        let _ = self.ended.try_send(Ended { why, closing });
        Flow::End
    }
}

impl Shell for HubShell {
    type Mail = HubMail;

    fn on_mail(&mut self, now: Time, mail: HubMail) -> Flow {
        self.turns.note();
        match mail {
            HubMail::Batch { session, batch } => self.on_batch(now, session, batch),
            HubMail::Rooms(notice) => self.on_notice(now, notice),
            HubMail::SessionOpened { session, role, outbound } => {
                self.on_session_opened(now, session, role, outbound);
            }
            HubMail::SessionClosed { session } => {
                self.sessions.remove(&session);
                self.on_event(now, HubEvent::SessionClosed { session });
            }
            HubMail::Plant(PlantedPanic::InHub) => panic!("planted in the hub"),
            HubMail::Plant(planted) => {
                if let RoomsSite::Local(rooms) = &mut self.rooms {
                    rooms.plant(planted);
                }
            }
            HubMail::Stop { reason } => return self.end(Ok(reason)),
        }
        self.finish_turn(now)
    }

    fn next_deadline(&self) -> Option<Time> {
        self.hub.next_deadline()
    }

    fn on_deadline(&mut self, now: Time) -> Flow {
        self.hub.on_deadline(now, &mut self.effects);
        self.finish_turn(now)
    }
}

/// A task's way through the hub, for whoever follows its id through all processes.
fn trace(effect: &HubEffect) {
    match effect {
        HubEffect::ToEngine(session, EngineOrder::Assign(assignment)) => {
            let _span = attempt_span(assignment.attempt).entered();
            tracing::debug!(%session, "assigned");
        }
        HubEffect::ToClient(session, ClientReply::Delivery(delivery)) => {
            let outcome = delivery.outcome.name();
            let _span = task_span(delivery.task).entered();
            tracing::debug!(%session, outcome, "delivered");
        }
        _ => {}
    }
}

/// A number that nobody can guess.
fn random_secret() -> u64 {
    let mut bytes = [0; 8];
    // Without a source of randomness nothing here is safe: the panic stops the hub, loudly.
    getrandom::fill(&mut bytes).expect("the system has a source of randomness");
    u64::from_le_bytes(bytes)
}
