//! Sessions, and the requests of clients that are not about one task.

use bytes::Bytes;
use phalanx_protocol::client::{Accepted, Opened, Resume, Scope};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{ClientId, EngineId, RequestId, SessionId, Ticket};
use phalanx_protocol::limits::{CLIENT_SESSIONS_MAX, OPEN_DEADLINE, TEXT_LEN_MAX};
use phalanx_protocol::outcome::Delivery;
use phalanx_protocol::peer::EngineState;
use phalanx_protocol::role::Role;

use super::ledger::TaskState;
use super::{Arriving, ClientReply, ClientRequest, EngineOrder, HostOrder, Hub, HubEffect};
use crate::Time;

/// A session, and whose it is.
#[derive(Debug)]
pub(super) struct Session {
    role: Role,
    secret: u64,
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
            if !client.departed {
                client.gone_since = Some(now);
                self.gone.insert((now + ttl, id));
            }
            self.clients.note_connected(false);
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
                self.on_submit_payload(now, first, tasks, &bytes, effects);
            }
            Some(Arriving::Report(report)) => {
                self.on_report_payload(now, session, *report, bytes, effects);
            }
            None | Some(Arriving::Early(_)) => {
                self.arriving.insert((session, ticket), Arriving::Early(bytes));
            }
        }
    }

    pub(super) fn on_client_request(
        &mut self,
        now: Time,
        session: SessionId,
        request: ClientRequest,
        effects: &mut Vec<HubEffect>,
    ) {
        let client = match self.peer(session) {
            Some(Peer::Client(client)) => client,
            Some(Peer::Nameless(_)) => {
                match request {
                    ClientRequest::Open { resume, name } => {
                        self.on_open(session, resume, name, effects);
                    }
                    // Requests on the control lane may overtake Open; they need no name.
                    request => self.on_request(now, session, request, effects),
                }
                return;
            }
            _ => return,
        };
        match request {
            // Repeated: the answer is on its way.
            ClientRequest::Open { .. } => {}
            ClientRequest::Submit(spec) => self.on_submit(now, session, client, spec, effects),
            ClientRequest::Received(up_to) => self.on_received(session, client, up_to, effects),
            ClientRequest::Leave { abort_open } => {
                self.on_client_leave(now, client, abort_open, effects);
            }
            request => self.on_request(now, session, request, effects),
        }
    }

    fn on_request(
        &mut self,
        now: Time,
        session: SessionId,
        request: ClientRequest,
        effects: &mut Vec<HubEffect>,
    ) {
        let reply = |reply| HubEffect::ToClient(session, reply);
        match request {
            ClientRequest::Abort(tasks) => {
                for task in tasks {
                    self.abort(now, task, effects);
                }
            }
            ClientRequest::Status(request) => {
                effects.push(reply(ClientReply::Status(request, Box::new(self.status(now)))));
            }
            ClientRequest::Ping(request) => effects.push(reply(ClientReply::Pong(request))),
            ClientRequest::Shutdown(request, scope) => {
                self.on_shutdown(session, request, scope, effects);
            }
            ClientRequest::Open { .. }
            | ClientRequest::Submit(_)
            | ClientRequest::Received(_)
            | ClientRequest::Leave { .. } => Self::refuse_session(
                session,
                ErrorCode::OutOfOrder,
                "a client opens its session before it submits",
                effects,
            ),
        }
    }

    fn on_open(
        &mut self,
        session: SessionId,
        resume: Option<Resume>,
        mut name: String,
        effects: &mut Vec<HubEffect>,
    ) {
        if self.clients.connected() >= CLIENT_SESSIONS_MAX {
            let detail = format!("the hub has {CLIENT_SESSIONS_MAX} clients");
            return Self::refuse_session(session, ErrorCode::Overloaded, detail, effects);
        }
        name.truncate(name.floor_char_boundary(TEXT_LEN_MAX));
        let resumed = resume
            .filter(|resume| resume.epoch == self.settings.epoch)
            .filter(|resume| {
                self.clients
                    .get(resume.client)
                    .is_some_and(|client| client.token == resume.token && !client.departed)
            })
            .map(|resume| resume.client);
        let id = match resumed {
            Some(id) => {
                self.resume_client(id, session, effects);
                id
            }
            None => {
                let secret = self.sessions.get(&session).map_or(0, |session| session.secret);
                self.clients.admit(name, secret, session)
            }
        };
        self.clients.note_connected(true);
        self.name_session(session, Peer::Client(id));
        self.welcome_client(id, session, effects);
    }

    fn resume_client(&mut self, id: ClientId, session: SessionId, effects: &mut Vec<HubEffect>) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if let Some(since) = client.gone_since {
            self.gone.remove(&(since + self.settings.client_gone_ttl, id));
        }
        let replaced = client.session;
        client.resume(session);
        if let Some(replaced) = replaced {
            self.clients.note_connected(false);
            let detail = "the client has a newer session";
            self.retire_session(replaced, ErrorCode::Replaced, detail, effects);
        }
    }

    fn welcome_client(&mut self, id: ClientId, session: SessionId, effects: &mut Vec<HubEffect>) {
        let engines = self
            .registry
            .iter()
            .filter(|(_, engine)| engine.state() == EngineState::Up)
            .map(|(id, engine)| engine.info(id))
            .collect();
        let window = self.settings.window();
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.granted = client.grant(window);
        client.accepted = client.accepted_end();
        let opened = Opened {
            epoch: self.settings.epoch,
            client: id,
            token: client.token,
            next_seq: client.accepted,
            grant: client.granted,
            engines,
        };
        effects.push(HubEffect::ToClient(session, ClientReply::Opened(Box::new(opened))));
        self.deliver(id, effects);
    }

    fn on_received(
        &mut self,
        session: SessionId,
        id: ClientId,
        up_to: u64,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if up_to > client.sent() {
            let detail = "confirmed deliveries that were not sent";
            return Self::refuse_session(session, ErrorCode::OutOfOrder, detail, effects);
        }
        while let Some(task) = client.confirm_next(up_to) {
            self.results.mark_delivered(task);
        }
        self.client_due(id);
        self.deliver(id, effects);
    }

    /// Sends a client the outcomes that wait for it, as many as may be in flight.
    pub(super) fn deliver(&mut self, id: ClientId, effects: &mut Vec<HubEffect>) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let Some(session) = client.session else {
            return;
        };
        while let Some(task) = client.next_to_send() {
            // An outcome in an outbox is not delivered, so the store still has it.
            let ended = self.results.get(task).expect("undelivered outcomes are kept");
            let delivery = Delivery {
                number: client.send_next(ended.payload.len()),
                task,
                outcome: ended.outcome.clone(),
                engine: ended.engine,
                attempts: ended.attempts,
                times: ended.times,
                payload: ended.payload.clone(),
            };
            effects.push(HubEffect::ToClient(session, ClientReply::Delivery(Box::new(delivery))));
        }
    }

    /// Tells a client how far its submits are recorded and how far it may go on, if it does not
    /// know.
    pub(super) fn confirm_submits(&mut self, id: ClientId, effects: &mut Vec<HubEffect>) {
        let window = self.settings.window();
        let full = self.store_full;
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let Some(session) = client.session else {
            return;
        };
        let accepted = client.accepted_end();
        let mut grant = client.granted;
        let raised = client.grant(window);
        // A grant is worth a message of its own once an eighth of the window has become free.
        let worth = raised.seq_end - grant.seq_end >= (window.tasks / 8).max(1)
            || raised.bytes_end - grant.bytes_end >= (window.bytes / 8).max(1);
        let news = accepted != client.accepted || client.accept_due;
        if !full && (news || worth) {
            grant = raised;
        }
        if news || grant != client.granted {
            client.accepted = accepted;
            client.granted = grant;
            client.accept_due = false;
            let accepted = Accepted { next_seq: accepted, grant };
            effects.push(HubEffect::ToClient(session, ClientReply::Accepted(accepted)));
        }
    }

    /// At the end of the burst this client may have to be told how far it is.
    pub(super) fn client_due(&mut self, id: ClientId) {
        if self.clients_due.last() != Some(&id) {
            self.clients_due.push(id);
        }
    }

    fn on_client_leave(
        &mut self,
        now: Time,
        id: ClientId,
        abort_open: bool,
        effects: &mut Vec<HubEffect>,
    ) {
        if abort_open {
            for task in self.ledger.of_client(id) {
                self.abort(now, task, effects);
            }
        }
        self.depart_client(now, id, effects);
    }

    pub(super) fn forget_gone_clients(&mut self, now: Time, effects: &mut Vec<HubEffect>) {
        while let Some((end, id)) = self.gone.first().copied()
            && end <= now
        {
            self.gone.pop_first();
            self.depart_client(now, id, effects);
        }
    }

    /// Its outcomes are nobody's from now on; its tasks go on, but for those whose payload will
    /// not come.
    fn depart_client(&mut self, now: Time, id: ClientId, effects: &mut Vec<HubEffect>) {
        if self.clients.get(id).is_some_and(|client| !client.arriving.is_empty()) {
            for task in self.ledger.of_client(id) {
                if self.ledger.get(task).is_some_and(|t| t.state() == TaskState::Arriving) {
                    self.abort(now, task, effects);
                }
            }
        }
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        for task in client.depart() {
            self.results.mark_delivered(task);
        }
        self.clients.forget_if_over(id);
    }

    fn on_shutdown(
        &mut self,
        session: SessionId,
        request: RequestId,
        scope: Scope,
        effects: &mut Vec<HubEffect>,
    ) {
        let refused = match scope {
            Scope::Cluster => {
                self.stop_cluster(effects);
                None
            }
            Scope::Engines(engines) => self.retire_engines(&engines, effects),
        };
        let reply = match refused {
            None => ClientReply::Pong(request),
            Some((code, detail)) => ClientReply::Refused(request, code, detail),
        };
        effects.push(HubEffect::ToClient(session, reply));
    }

    fn stop_cluster(&mut self, effects: &mut Vec<HubEffect>) {
        let reason = "a client asked the cluster to stop";
        let hosts = self.host_sessions();
        if hosts.is_empty() {
            for (_, engine) in self.registry.iter() {
                if let Some(session) = engine.session() {
                    effects.push(HubEffect::ToEngine(session, EngineOrder::End(reason.into())));
                }
            }
            effects.push(HubEffect::Stop { asked: true, reason: reason.into() });
        }
        for host in hosts {
            effects.push(HubEffect::ToHost(host, HostOrder::StopCluster(reason.into())));
        }
    }

    fn retire_engines(
        &mut self,
        engines: &[EngineId],
        effects: &mut Vec<HubEffect>,
    ) -> Option<(ErrorCode, String)> {
        if let Some(unknown) = engines.iter().find(|id| self.registry.get(**id).is_none()) {
            return Some((ErrorCode::NoSuchEngine, format!("there is no engine {}", unknown.0)));
        }
        let hosts = self.host_sessions();
        for engine in engines.iter().filter_map(|id| self.registry.get(*id)) {
            if let Some(name) = &engine.profile().name {
                for host in &hosts {
                    effects.push(HubEffect::ToHost(*host, HostOrder::Retire(name.clone())));
                }
            }
            if let Some(session) = engine.session() {
                let reason = "a client asked the engine to end";
                effects.push(HubEffect::ToEngine(session, EngineOrder::End(reason.into())));
            }
        }
        None
    }

    fn host_sessions(&self) -> Vec<SessionId> {
        self.sessions
            .iter()
            .filter(|(_, session)| session.peer == Peer::Host)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Tells every connected client the same.
    pub(super) fn tell_clients(
        &self,
        mut reply: impl FnMut() -> ClientReply,
        effects: &mut Vec<HubEffect>,
    ) {
        for (session, known) in &self.sessions {
            if matches!(known.peer, Peer::Client(_)) {
                effects.push(HubEffect::ToClient(*session, reply()));
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
