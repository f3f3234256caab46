//! Confirmations: when clients are told how far their submits are recorded, and engines how far
//! their reports are.
//!
//! Nobody waits for one: a client keeps what it submitted until then, an engine what it reported.
//! So a confirmation rides with the next message to the same peer, and goes alone only when it has
//! been owed for [`super::HubSettings::confirm_after`], or when a client may not go on without it.
//! A datagram more per task would wake a peer that is about to sleep.

use phalanx_protocol::client::Accepted;
use phalanx_protocol::ids::{ClientId, EngineId};

use super::{ClientReply, EngineOrder, Hub, HubEffect};
use crate::Time;

/// Who may have to be told, and by when.
#[derive(Debug, Default)]
pub(super) struct Confirmations {
    clients: Vec<ClientId>,
    engines: Vec<EngineId>,
    /// When the first of those that are owed one is to be told.
    deadline: Option<Time>,
}

/// What is owed to one peer.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// It is among those to be looked at when the burst ends.
    listed: bool,
    /// It was sent something in this burst.
    told: bool,
    /// Since when there is something that it does not know.
    since: Option<Time>,
}

impl Owed {
    /// Something was sent to the peer: what it is owed can go with it.
    pub(crate) const fn note_told(&mut self) {
        self.told = true;
    }
}

impl Confirmations {
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Whoever is owed one is looked at when this burst ends.
    pub(super) const fn on_deadline(&mut self) {
        self.deadline = None;
    }

    fn postpone(&mut self, until: Time) {
        self.deadline = Some(self.deadline.map_or(until, |deadline| deadline.min(until)));
    }
}

impl Hub {
    /// At the end of the burst this client may have to be told how far it is.
    pub(super) fn client_due(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id)
            && !std::mem::replace(&mut client.owed.listed, true)
        {
            self.confirmations.clients.push(id);
        }
    }

    /// At the end of the burst this engine may have to be told how far its reports are recorded.
    pub(super) fn engine_due(&mut self, id: EngineId) {
        if let Some(engine) = self.registry.get_mut(id)
            && !std::mem::replace(&mut engine.owed.listed, true)
        {
            self.confirmations.engines.push(id);
        }
    }

    /// The burst is over: confirms what can go with something else, or has waited long enough.
    pub(super) fn confirm(&mut self, now: Time, effects: &mut Vec<HubEffect>) {
        self.confirmations.deadline = None;
        for client in std::mem::take(&mut self.confirmations.clients) {
            self.confirm_submits(now, client, effects);
        }
        for engine in std::mem::take(&mut self.confirmations.engines) {
            self.confirm_reports(now, engine, effects);
        }
    }

    /// Tells a client how far its submits are recorded and how far it may go on, if it does not
    /// know.
    fn confirm_submits(&mut self, now: Time, id: ClientId, effects: &mut Vec<HubEffect>) {
        let window = self.settings.window();
        let full = self.store_full;
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.owed.listed = false;
        let told = std::mem::take(&mut client.owed.told);
        let Some(session) = client.session else {
            client.owed.since = None;
            return;
        };
        let accepted = client.accepted_end();
        let mut grant = client.granted;
        let raised = client.grant(window);
        // A grant is worth a message of its own once an eighth of the window has become free.
        let worth = !full
            && (raised.seq_end - grant.seq_end >= (window.tasks / 8).max(1)
                || raised.bytes_end - grant.bytes_end >= (window.bytes / 8).max(1));
        let news = accepted != client.accepted;
        if !(news || worth || client.accept_due) {
            client.owed.since = None;
            return;
        }
        let due = *client.owed.since.get_or_insert(now) + self.settings.confirm_after;
        if !(told || worth || client.accept_due) && now < due {
            self.client_due(id);
            self.confirmations.postpone(due);
            return;
        }
        if !full {
            grant = raised;
        }
        client.owed.since = None;
        client.accepted = accepted;
        client.granted = grant;
        client.accept_due = false;
        let accepted = Accepted { next_seq: accepted, grant };
        effects.push(HubEffect::ToClient(session, ClientReply::Accepted(accepted)));
    }

    /// Tells an engine how far its reports are recorded, if it does not know.
    fn confirm_reports(&mut self, now: Time, id: EngineId, effects: &mut Vec<HubEffect>) {
        let Some(engine) = self.registry.get_mut(id) else {
            return;
        };
        engine.owed.listed = false;
        let told = std::mem::take(&mut engine.owed.told);
        let confirmable = engine.confirmable();
        let Some(session) = engine.session().filter(|_| confirmable > engine.confirmed) else {
            engine.owed.since = None;
            return;
        };
        let due = *engine.owed.since.get_or_insert(now) + self.settings.confirm_after;
        if !told && now < due {
            self.engine_due(id);
            self.confirmations.postpone(due);
            return;
        }
        engine.owed.since = None;
        engine.confirmed = confirmable;
        effects.push(HubEffect::ToEngine(session, EngineOrder::Confirmed(confirmable)));
    }
}
