//! Figures for people.

use phalanx_protocol::peer::{ClientStatus, ClusterStatus, EngineStatus, RoomStatus, TaskCounts};
use phalanx_protocol::room::RoomName;

use super::Hub;
use crate::Time;

impl Hub {
    /// The cluster as the hub sees it. Costs O(engines + clients), not O(tasks).
    pub fn status(&self, now: Time) -> ClusterStatus {
        let uptime = now.since(self.started.unwrap_or(now));
        ClusterStatus {
            epoch: self.settings.epoch,
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            engines: self.engine_figures(),
            clients: self.client_figures(),
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
        self.registry
            .iter()
            .map(|(id, engine)| EngineStatus {
                info: engine.info(id),
                assigned: engine.assigned.len() as u64,
                running: engine.running,
                ended: engine.ended,
                losses: engine.losses(),
            })
            .collect()
    }

    fn client_figures(&self) -> Vec<ClientStatus> {
        self.clients
            .ids()
            .into_iter()
            .filter_map(|id| self.clients.get(id).map(|client| (id, client)))
            .map(|(id, client)| ClientStatus {
                id,
                name: client.name.clone(),
                connected: client.session.is_some(),
                submitted: client.next_seq,
                open: client.open,
                undelivered: client.undelivered(),
            })
            .collect()
    }

    fn room_figures(&self, room: RoomName) -> RoomStatus {
        let beside = self.rooms.get(room);
        RoomStatus { name: room.as_str().into(), up: beside.up, restarts: beside.restarts }
    }
}
