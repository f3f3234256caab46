//! Sessions: whose each is, and what ends with it.

use bytes::Bytes;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::function::FunctionTable;
use phalanx_protocol::ids::{ClientId, EngineId, SessionId, Ticket};
use phalanx_protocol::limits::OPEN_DEADLINE;
use phalanx_protocol::role::Role;

use super::{Arriving, Hub, HubEffect};
use crate::Time;

/// A session, and whose it is.
#[derive(Debug)]
pub(super) struct Session {
    role: Role,
    pub(super) secret: u64,
    pub(super) peer: Peer,
}

/// Whose a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// It has not said so until this time.
    Nameless(Time),
    Client(ClientId),
    Engine(EngineId),
    Host,
    Rooms,
    /// Of a peer that has a newer session, or was given up: what it still says does not count.
    Past,
}

impl Hub {
    pub(super) fn on_session_opened(
        &mut self,
        now: Time,
        session: SessionId,
        role: Role,
        secret: u64,
    ) {
        let end = now + OPEN_DEADLINE;
        let peer = Peer::Nameless(end);
        if self.sessions.insert(session, Session { role, secret, peer }).is_none() {
            self.nameless.insert((end, session));
        }
    }

    pub(super) fn on_session_closed(&mut self, now: Time, session: SessionId) {
        let Some(closed) = self.sessions.remove(&session) else {
            return;
        };
        let tickets = (session, Ticket(0))..=(session, Ticket(u64::MAX));
        let arriving: Vec<_> = self.arriving.range(tickets).map(|(key, _)| *key).collect();
        for key in arriving {
            self.arriving.remove(&key);
        }
        match closed.peer {
            Peer::Nameless(end) => {
                self.nameless.remove(&(end, session));
            }
            Peer::Client(id) => self.note_client_gone(now, id, session),
            Peer::Engine(id) => {
                if self.registry.get(id).is_some_and(|e| e.session() == Some(session)) {
                    self.registry.silence(now, id);
                }
            }
            Peer::Host | Peer::Past => {}
            Peer::Rooms => self.on_rooms_gone(session),
        }
    }

    fn note_client_gone(&mut self, now: Time, id: ClientId, session: SessionId) {
        let ttl = self.settings.client_gone_ttl;
        if let Some(client) = self.clients.get_mut(id)
            && client.session == Some(session)
        {
            client.session = None;
            client.functions = FunctionTable::new(self.settings.functions);
            if !client.departed {
                client.gone_since = Some(now);
                self.gone.insert((now + ttl, id));
            }
            self.clients.note_connected(false);
            self.drop_watches(id);
            self.clients.forget_if_over(id);
        }
    }

    /// Whose session it is, once it has said so.
    pub(super) fn peer(&self, session: SessionId) -> Option<Peer> {
        self.sessions.get(&session).map(|session| session.peer)
    }

    /// Notes whose session it is; false if there is no such session, or it had said so before.
    pub(super) fn name_session(&mut self, session: SessionId, peer: Peer) -> bool {
        let Some(known) = self.sessions.get_mut(&session) else {
            return false;
        };
        let Peer::Nameless(end) = known.peer else {
            return false;
        };
        known.peer = peer;
        self.nameless.remove(&(end, session));
        true
    }

    pub(super) fn end_overdue_sessions(&mut self, now: Time, effects: &mut Vec<HubEffect>) {
        while let Some((end, session)) = self.nameless.first().copied()
            && end <= now
        {
            self.nameless.pop_first();
            self.sessions.remove(&session);
            let detail = format!("said nothing for {} s", OPEN_DEADLINE.as_secs());
            effects.push(HubEffect::Close(session, ErrorCode::TimedOut, detail));
        }
    }

    /// Closes a session whose peer broke the rules. Its `SessionClosed` does the rest.
    pub(super) fn refuse_session(
        session: SessionId,
        code: ErrorCode,
        detail: impl Into<String>,
        effects: &mut Vec<HubEffect>,
    ) {
        effects.push(HubEffect::Close(session, code, detail.into()));
    }

    /// Closes a session whose peer is known by another one now, or no longer.
    pub(super) fn retire_session(
        &mut self,
        session: SessionId,
        code: ErrorCode,
        detail: impl Into<String>,
        effects: &mut Vec<HubEffect>,
    ) {
        if let Some(known) = self.sessions.get_mut(&session) {
            known.peer = Peer::Past;
        }
        Self::refuse_session(session, code, detail, effects);
    }

    pub(super) fn on_payload(
        &mut self,
        now: Time,
        session: SessionId,
        ticket: Ticket,
        bytes: Bytes,
        effects: &mut Vec<HubEffect>,
    ) {
        if !self.sessions.contains_key(&session) {
            return;
        }
        match self.arriving.remove(&(session, ticket)) {
            Some(Arriving::Submit(first, tasks)) => {
                self.on_submit_payload(now, first, tasks, &bytes.into(), effects);
            }
            Some(Arriving::Function(function)) => {
                self.on_function_payload(now, session, ticket, *function, &bytes, effects);
            }
            Some(Arriving::Report(report)) => {
                self.on_report_payload(now, session, *report, bytes, effects);
            }
            None | Some(Arriving::Early(_)) => {
                self.arriving.insert((session, ticket), Arriving::Early(bytes));
            }
        }
    }

    pub(super) fn check_sessions(&self) {
        for (id, session) in &self.sessions {
            let nameless = match session.peer {
                Peer::Nameless(end) => self.nameless.contains(&(end, *id)),
                Peer::Client(client) => {
                    assert!(
                        !matches!(session.role, Role::Engine | Role::Host | Role::Scheduler),
                        "{id} is client {client}"
                    );
                    false
                }
                _ => false,
            };
            assert_eq!(nameless, matches!(session.peer, Peer::Nameless(_)), "{id} is nameless");
        }
        for (session, ticket) in self.arriving.keys() {
            assert!(self.sessions.contains_key(session), "{ticket} of a closed session");
        }
    }
}
