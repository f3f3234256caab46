//! The hub process: the hub room, its sessions, and the rooms beside it if they run here.

use std::collections::VecDeque;

use phalanx_actors::peer::{
    RoomOrder, client_message, client_request, engine_message, engine_news, room_message,
    scheduling_event,
};
use phalanx_core::hub::{ClientReply, EngineOrder, Hub, HubEffect, HubEvent, HubSettings};
use phalanx_core::{Room, Time};
use phalanx_protocol::ids::{Epoch, SessionId};

use crate::check::KILLED;
use crate::net::{End, Item, decode};
use crate::plan::{Peer, Plan};
use crate::rooms::RoomPair;
use crate::world::{Happening, World};

/// The hub process.
#[derive(Debug)]
pub(crate) struct HubProcess {
    pub(crate) hub: Hub,
    /// The rooms, if they run here.
    pub(crate) beside: Option<RoomPair>,
    /// What the hub has said to the rooms here and they have not taken yet, and back.
    pub(crate) orders: VecDeque<RoomOrder>,
    pub(crate) verdicts: VecDeque<HubEvent>,
    pub(crate) unsettled: bool,
    rooms_session: Option<SessionId>,
}

impl HubProcess {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut settings = HubSettings::new(Epoch(plan.seed));
        settings.client_tasks = plan.client_tasks;
        settings.functions = plan.functions;
        settings.scheme = plan.placement.scheme;
        Self {
            hub: Hub::new(settings),
            beside: (!plan.remote_rooms).then(|| RoomPair::new(plan)),
            orders: VecDeque::new(),
            verdicts: VecDeque::new(),
            unsettled: false,
            rooms_session: None,
        }
    }
}

impl World<'_> {
    /// What the hub's end of a session receives.
    pub(crate) fn hub_receives(&mut self, session: SessionId, peer: Peer, item: Item) {
        let event = match item {
            Item::Payload(ticket, bytes) => HubEvent::PayloadArrived { session, ticket, bytes },
            Item::Frame(frame) => match peer {
                Peer::Client(_) => HubEvent::FromClient(session, client_request(decode(&frame))),
                Peer::Engine(_) => HubEvent::FromEngine(session, engine_news(decode(&frame))),
                Peer::Rooms => {
                    let event = scheduling_event(session, decode(&frame));
                    event.expect("rooms say which room panicked")
                }
            },
        };
        self.tell_hub(event);
    }

    /// One event for the hub; the end of the burst comes now or a little later.
    pub(crate) fn tell_hub(&mut self, event: HubEvent) {
        if let HubEvent::RoomsOffered(Some(session)) = event {
            self.hub.rooms_session = Some(session);
        }
        let mut effects = Vec::new();
        self.hub.hub.handle(self.now, event, &mut effects);
        if self.rng.bool() {
            self.hub.hub.settle(self.now, &mut effects);
        } else if !std::mem::replace(&mut self.hub.unsettled, true) {
            self.soon(Happening::Settle);
        }
        self.hub.hub.check_invariants();
        self.apply_hub(effects);
    }

    pub(crate) fn settle_hub(&mut self) {
        self.hub.unsettled = false;
        let mut effects = Vec::new();
        self.hub.hub.settle(self.now, &mut effects);
        self.hub.hub.check_invariants();
        self.apply_hub(effects);
    }

    pub(crate) fn wake_hub(&mut self) {
        let mut effects = Vec::new();
        self.hub.hub.on_deadline(self.now, &mut effects);
        self.hub.hub.settle(self.now, &mut effects);
        self.hub.hub.check_invariants();
        self.apply_hub(effects);
    }

    fn apply_hub(&mut self, effects: Vec<HubEffect>) {
        for effect in effects {
            match effect {
                HubEffect::ToClient(session, reply) => {
                    if let ClientReply::Delivery(delivery) = &reply {
                        self.check.on_delivery(delivery, &self.hub.hub);
                    }
                    if let ClientReply::Accepted(accepted) = &reply {
                        let now = self.now;
                        let next_seq = accepted.next_seq;
                        self.trace
                            .tell(now, || format!("hub accepts below {next_seq} of {session}"));
                    }
                    self.send(session, End::Peer, client_message(reply));
                }
                HubEffect::ToEngine(session, order) => {
                    if let EngineOrder::Assign(assignment) = &order {
                        self.check.on_assigned(assignment, &self.hub.hub, session);
                    }
                    if let EngineOrder::End(reason) = &order
                        && reason.starts_with(KILLED)
                    {
                        self.check.on_kill(reason);
                    }
                    self.send(session, End::Peer, engine_message(order));
                }
                HubEffect::ToHost(_, order) => self.host_receives(order),
                HubEffect::Recreate(room, generation) => {
                    self.order_room(RoomOrder::Recreate(room, generation));
                }
                HubEffect::ToDag(generation, event) => {
                    self.order_room(RoomOrder::Dag(generation, event));
                }
                HubEffect::ToScheduler(generation, event) => {
                    self.order_room(RoomOrder::Scheduler(generation, event));
                }
                HubEffect::Close(session, code, detail) => {
                    let now = self.now;
                    self.trace.tell(now, || format!("hub closes {session}: {code}: {detail}"));
                    self.close_in_order(session);
                }
                HubEffect::Stop { reason, .. } => panic!("the hub stops: {reason}"),
            }
        }
    }

    fn order_room(&mut self, order: RoomOrder) {
        if self.hub.beside.is_some() {
            self.hub.orders.push_back(order);
            self.soon(Happening::RoomsHere);
        } else if let Some(session) = self.hub.rooms_session {
            self.send(session, End::Peer, room_message(order));
        }
    }

    /// The rooms beside the hub take one thing said to them, or the hub takes one of theirs.
    pub(crate) fn run_rooms_here(&mut self) {
        if let Some(event) = self.hub.verdicts.pop_front() {
            self.tell_hub(event);
        } else if let Some(order) = self.hub.orders.pop_front()
            && let Some(mut rooms) = self.hub.beside.take()
        {
            let statements = rooms.take(self.now, order, &self.check);
            self.hub.beside = Some(rooms);
            for statement in statements {
                self.hub.verdicts.push_back(statement.into());
                self.soon(Happening::RoomsHere);
            }
        }
    }

    pub(crate) fn wake_rooms_here(&mut self) {
        if let Some(rooms) = &mut self.hub.beside {
            for statement in rooms.wake(self.now) {
                self.hub.verdicts.push_back(statement.into());
                self.soon(Happening::RoomsHere);
            }
        }
    }

    pub(crate) fn hub_deadline(&self) -> Option<Time> {
        self.hub.hub.next_deadline()
    }
}
