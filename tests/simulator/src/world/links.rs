//! Sessions between the hub and its peers: who connects, what arrives, and how each ends. The
//! order of what is on its way is [`crate::net`]'s; what is made of it, the processes'.

use std::time::Duration;

use phalanx_core::hub::HubEvent;
use phalanx_protocol::codec::Message;
use phalanx_protocol::ids::SessionId;
use phalanx_protocol::limits::LOST_AFTER;
use phalanx_protocol::role::Role;

use super::{Happening, World};
use crate::client::backoff;
use crate::net::{End, Item, Link, delay};
use crate::plan::Peer;

impl World<'_> {
    pub(super) fn session_of(&self, peer: Peer) -> Option<SessionId> {
        match peer {
            Peer::Client(client) => self.clients[client].session,
            Peer::Engine(engine) => self.engines[engine].session,
            Peer::Rooms => self.rooms.session,
        }
    }

    fn life_of(&self, peer: Peer) -> Option<u64> {
        match peer {
            Peer::Client(client) => (!self.clients[client].dead).then_some(0),
            Peer::Engine(engine) => {
                let engine = &self.engines[engine];
                (!engine.dead).then_some(engine.life)
            }
            Peer::Rooms => Some(self.rooms_life),
        }
    }

    pub(super) fn connect_soon(&mut self, peer: Peer) {
        let within = backoff(&mut self.rng);
        self.after(within, Happening::Connect(peer));
    }

    pub(super) fn connect(&mut self, peer: Peer) {
        let Some(life) = self.life_of(peer) else { return };
        if let Some(until) = self.apart.get(&peer).copied().filter(|until| *until > self.now) {
            let within = backoff(&mut self.rng);
            return self.at(until + within, Happening::Connect(peer));
        }
        if let Peer::Engine(engine) = peer
            && let Some(frozen) = self.frozen(engine)
        {
            frozen.push(Happening::Connect(peer));
            return;
        }
        // One at a time: it does not begin another while one is being opened.
        let is_opening = |link: &Link| link.peer == peer && link.life == life && !link.closing;
        if self.session_of(peer).is_some() || self.links.values().any(is_opening) {
            return;
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let heard = [End::Hub, End::Peer].map(|_| self.now + delay(self.plan, &mut self.rng));
        let one_in = self.plan.shared_memory_one_in;
        let shares_memory = one_in > 0 && session.0.is_multiple_of(one_in);
        self.links.insert(session, Link::new(peer, life, heard, shares_memory));
        self.at(heard[0], Happening::Opens(session, End::Hub));
        self.at(heard[1], Happening::Opens(session, End::Peer));
    }

    pub(super) fn opens(&mut self, session: SessionId, end: End) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&session) else { return };
        if link.dead_from[end.index()].is_some_and(|dead| dead <= now) {
            return;
        }
        let (peer, life) = (link.peer, link.life);
        if end == End::Peer && self.life_of(peer) != Some(life) {
            return;
        }
        if let (End::Peer, Peer::Engine(engine)) = (end, peer)
            && let Some(frozen) = self.frozen(engine)
        {
            frozen.push(Happening::Opens(session, end));
            return;
        }
        if let Some(link) = self.links.get_mut(&session) {
            link.open[end.index()] = true;
        }
        match (end, peer) {
            (End::Hub, peer) => {
                let role = match peer {
                    Peer::Client(_) => Role::Client,
                    Peer::Engine(_) => Role::Engine,
                    Peer::Rooms => Role::Scheduler,
                };
                let secret = self.rng.u64(..);
                self.tell_hub(HubEvent::SessionOpened { session, role, secret });
            }
            (End::Peer, Peer::Client(client)) => self.client_opened(client, session),
            (End::Peer, Peer::Engine(engine)) => self.engine_opened(engine, session),
            (End::Peer, Peer::Rooms) => self.rooms_opened(session),
        }
    }

    /// An end learns that a session is over.
    pub(super) fn closes(&mut self, session: SessionId, end: End) {
        let Some(link) = self.links.get_mut(&session) else { return };
        link.closing = true;
        let (peer, life) = (link.peer, link.life);
        if let (End::Peer, Peer::Engine(engine)) = (end, peer)
            && self.engines[engine].life == life
            && let Some(frozen) = self.frozen(engine)
        {
            frozen.push(Happening::Closes(session, end));
            return;
        }
        let Some(link) = self.links.get_mut(&session) else { return };
        let was_open = std::mem::replace(&mut link.open[end.index()], false);
        link.dead_from[end.index()].get_or_insert(self.now);
        if end == End::Hub {
            if was_open {
                self.tell_hub(HubEvent::SessionClosed { session });
            }
            return;
        }
        if self.life_of(peer) != Some(life) {
            return;
        }
        if was_open && self.session_of(peer) == Some(session) {
            match peer {
                Peer::Client(client) => self.client_closed(client),
                Peer::Engine(engine) => self.engine_closed(engine),
                Peer::Rooms => self.rooms.session = None,
            }
        }
        self.connect_soon(peer);
    }

    pub(crate) fn send<M: Message>(&mut self, session: SessionId, to: End, message: M) {
        let now = self.now;
        let name = message.info().name;
        let Some(link) = self.links.get_mut(&session) else { return };
        let items = link.send(now, to, message, self.plan, &mut self.rng);
        self.trace.tell(now, || format!("{session}: {name} to {to:?}, {} items", items.len()));
        for (at, item) in items {
            self.at(at, Happening::Arrives(session, to, item));
        }
    }

    pub(super) fn arrives(&mut self, session: SessionId, end: End, item: Item) {
        let now = self.now;
        let Some(link) = self.links.get(&session) else { return };
        if !link.hears(now, end) {
            return;
        }
        let peer = link.peer;
        match (end, peer) {
            (End::Hub, peer) => self.hub_receives(session, peer, item),
            (End::Peer, Peer::Client(client)) => self.client_receives(client, item),
            (End::Peer, Peer::Engine(engine)) => match self.frozen(engine) {
                Some(frozen) => frozen.push(Happening::Arrives(session, end, item)),
                None => self.engine_receives(engine, item),
            },
            (End::Peer, Peer::Rooms) => self.rooms_receive(session, item),
        }
    }

    /// The session is cut: what is on its way is lost from some moment on, and each end learns of
    /// it when it learns of it.
    pub(crate) fn cut(&mut self, session: SessionId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&session) else { return };
        for dead in &mut link.dead_from {
            let more = Duration::from_micros(self.rng.u64(0..5_000));
            dead.get_or_insert(now + more);
        }
        link.closing = true;
        for end in [End::Hub, End::Peer] {
            let slow = self.rng.u8(0..4) == 0;
            let within = if slow { LOST_AFTER.as_micros() as u64 } else { 300_000 };
            let learns = Duration::from_micros(5_000 + self.rng.u64(0..within));
            self.after(learns, Happening::Closes(session, end));
        }
    }

    /// The hub closes a session: what it has sent before still arrives.
    pub(crate) fn close_in_order(&mut self, session: SessionId) {
        let Some(link) = self.links.get_mut(&session) else { return };
        link.closing = true;
        let at = link.drained(End::Peer).max(self.now) + Duration::from_nanos(1);
        self.at(at, Happening::Closes(session, End::Peer));
        self.soon(Happening::Closes(session, End::Hub));
    }

    /// The peer's process is gone: the hub learns of it by its silence, or by an ICMP message.
    pub(crate) fn vanish(&mut self, session: SessionId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&session) else { return };
        link.closing = true;
        link.open[End::Peer.index()] = false;
        // What it had sent may be lost with it.
        let more = Duration::from_micros(self.rng.u64(0..5_000));
        link.dead_from[End::Hub.index()].get_or_insert(now + more);
        let quick = self.rng.bool();
        let within = if quick { 100_000 } else { LOST_AFTER.as_micros() as u64 };
        let learns = Duration::from_micros(5_000 + self.rng.u64(0..within));
        self.after(learns, Happening::Closes(session, End::Hub));
    }
}
