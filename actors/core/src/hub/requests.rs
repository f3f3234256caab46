//! What clients ask and are told: opening, deliveries, confirmations, departures, shutting down.

use phalanx_protocol::client::{Opened, Resume, Scope};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::function::FunctionTable;
use phalanx_protocol::ids::{ClientId, EngineId, RequestId, SessionId};
use phalanx_protocol::limits::{CLIENT_SESSIONS_MAX, ENGINES_IN_MESSAGE_BYTES_MAX, TEXT_LEN_MAX};
use phalanx_protocol::peer::EngineState;

use super::ledger::TaskState;
use super::sessions::Peer;
use super::{ClientReply, ClientRequest, EngineOrder, HostOrder, Hub, HubEffect};
use crate::Time;

impl Hub {
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
            ClientRequest::Define(define) => {
                self.on_define(now, session, client, define, effects);
            }
            ClientRequest::Watch(tasks) => self.on_watch(session, client, tasks, effects),
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
            ClientRequest::Abort(tasks, kill_after) => {
                for task in tasks {
                    self.abort(now, task, effects);
                    if let Some(kill_after) = kill_after {
                        self.kill_later(now, task, kill_after);
                    }
                }
            }
            ClientRequest::Status(request) => {
                effects.push(reply(ClientReply::Status(request, Box::new(self.status(now)))));
            }
            ClientRequest::Records(request, select) => {
                self.on_records_request(session, request, select, effects);
            }
            ClientRequest::Purge(request, what) => {
                self.on_purge(session, request, &what, effects);
            }
            ClientRequest::Explain(request, task) => {
                let explanation = self.explain(now, request, task);
                effects.push(reply(ClientReply::Explanation(Box::new(explanation))));
            }
            ClientRequest::Ping(request) => effects.push(reply(ClientReply::Pong(request))),
            ClientRequest::Shutdown(request, scope) => {
                self.on_shutdown(session, request, scope, effects);
            }
            ClientRequest::Open { .. }
            | ClientRequest::Submit(_)
            | ClientRequest::Define(_)
            | ClientRequest::Received(_)
            | ClientRequest::Watch(_)
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
                self.clients.admit(name, secret, session, self.settings.functions)
            }
        };
        self.clients.note_connected(true);
        self.name_session(session, Peer::Client(id));
        self.welcome_client(id, session, effects);
    }

    fn resume_client(&mut self, id: ClientId, session: SessionId, effects: &mut Vec<HubEffect>) {
        self.drop_watches(id);
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if let Some(since) = client.gone_since {
            self.gone.remove(&(since + self.settings.client_gone_ttl, id));
        }
        let replaced = client.session;
        client.resume(session);
        client.functions = FunctionTable::new(self.settings.functions);
        if let Some(replaced) = replaced {
            self.clients.note_connected(false);
            let detail = "the client has a newer session";
            self.retire_session(replaced, ErrorCode::Replaced, detail, effects);
        }
    }

    fn welcome_client(&mut self, id: ClientId, session: SessionId, effects: &mut Vec<HubEffect>) {
        // As many engines as surely fit into one message; the others join one by one.
        let mut room = ENGINES_IN_MESSAGE_BYTES_MAX;
        let up = self.registry.iter().filter(|(_, engine)| engine.state() == EngineState::Up);
        let (engines, others): (Vec<_>, Vec<_>) =
            up.map(|(id, engine)| engine.info(id)).partition(|info| {
                let fits = info.weight() <= room;
                room = room.saturating_sub(info.weight());
                fits
            });
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
        effects.extend(
            others.into_iter().map(|info| {
                HubEffect::ToClient(session, ClientReply::EngineJoined(Box::new(info)))
            }),
        );
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
        let mut any = false;
        while let Some(task) = client.next_to_send() {
            any = true;
            // An outcome in an outbox is not delivered, so the store still has it.
            let ended = self.results.get(task).expect("undelivered outcomes are kept");
            let number = client.send_next(ended.bytes_to_owner());
            let delivery = ended.delivery_to_owner(number, task);
            effects.push(HubEffect::ToClient(session, ClientReply::Delivery(Box::new(delivery))));
        }
        while let Some(watched) = self.next_watched(id) {
            any = true;
            effects.push(HubEffect::ToClient(session, watched));
        }
        if any && let Some(client) = self.clients.get_mut(id) {
            client.owed.note_told();
            self.client_due(id);
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
        self.abandon_graphs(now, id, effects);
        if self.clients.get(id).is_some_and(|client| !client.arriving.is_empty()) {
            for task in self.ledger.of_client(id) {
                if self.ledger.get(task).is_some_and(|t| t.state() == TaskState::Arriving) {
                    self.abort(now, task, effects);
                }
            }
        }
        self.drop_watches(id);
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

    pub(super) fn host_sessions(&self) -> Vec<SessionId> {
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
}
