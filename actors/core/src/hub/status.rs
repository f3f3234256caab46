//! Figures for people.

use phalanx_protocol::limits::{CLIENTS_IN_STATUS_BYTES_MAX, ENGINES_IN_MESSAGE_BYTES_MAX};
use phalanx_protocol::peer::{ClientStatus, ClusterStatus, EngineStatus, RoomStatus, TaskCounts};
use phalanx_protocol::room::RoomName;

use super::Hub;
use crate::Time;

impl Hub {
    /// The cluster as the hub sees it. Costs O(engines + clients), not O(tasks).
    pub fn status(&self, now: Time) -> ClusterStatus {
        let uptime = now.since(self.started.unwrap_or(now));
        let (engines, clients) = (self.engine_figures(), self.client_figures());
        ClusterStatus {
            epoch: self.settings.epoch,
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            engines_omitted: (self.registry.iter().count() - engines.len()) as u64,
            engines,
            clients_omitted: (self.clients.ids().len() - clients.len()) as u64,
            clients,
            tasks: self.task_counts(),
            rooms: RoomName::ALL.into_iter().map(|room| self.room_figures(room)).collect(),
            results: self.results.len() as u64,
            result_bytes: self.results.bytes(),
            fenced_reports: self.fenced_reports,
        }
    }

    fn task_counts(&self) -> TaskCounts {
        let open = self.ledger.counts();
        TaskCounts {
            waiting: open.waiting,
            ready: open.ready,
            assigned: open.assigned,
            running: open.running,
            done: self.done,
            failed: self.failed,
        }
    }

    fn engine_figures(&self) -> Vec<EngineStatus> {
        let engines = self.registry.iter().map(|(id, engine)| EngineStatus {
            info: engine.info(id),
            assigned: engine.assigned.len() as u64,
            direct: engine.direct as u64,
            held: engine.backlog.len() as u64,
            running: engine.running,
            ended: engine.ended,
            losses: engine.losses(),
            functions: engine.functions.sent(),
        });
        // Beside what it is, an engine has seven figures.
        let weight = |engine: &EngineStatus| engine.info.weight() + 140;
        fitting(engines, weight, ENGINES_IN_MESSAGE_BYTES_MAX)
    }

    fn client_figures(&self) -> Vec<ClientStatus> {
        let ids = self.clients.ids().into_iter();
        let clients = ids.filter_map(|id| self.clients.get(id).map(|client| (id, client)));
        let clients = clients.map(|(id, client)| ClientStatus {
            id,
            name: client.name.clone(),
            connected: client.session.is_some(),
            submitted: client.next_seq,
            open: client.open,
            undelivered: client.undelivered(),
            functions: client.functions.received(),
        });
        fitting(clients, |client| client.name.len() + 130, CLIENTS_IN_STATUS_BYTES_MAX)
    }

    fn room_figures(&self, room: RoomName) -> RoomStatus {
        let beside = self.rooms.get(room);
        RoomStatus { name: room.as_str().into(), up: beside.up, restarts: beside.restarts }
    }
}

/// The first of them, as many as weigh no more than this together.
fn fitting<T>(
    items: impl Iterator<Item = T>,
    weight: impl Fn(&T) -> usize,
    mut room: usize,
) -> Vec<T> {
    items
        .take_while(|item| match room.checked_sub(weight(item)) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        })
        .collect()
}
