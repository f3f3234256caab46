//! What `phalanx status` shows, put together from what the host knows and what the hub says.
//!
//! Pure: no file and no network. Processes are the host's to tell, tasks and clients the hub's; an
//! engine is known to both, by its stable name.

use phalanx_client::protocol::peer::{ClusterStatus, EngineState, EngineStatus};
use serde::Serialize;

use super::output;
use crate::cluster_state::ClusterState;
use crate::host::process::{Process, ProcessState, ProcessStatus};

/// A cluster as it is shown. The JSON form is this, field by field.
#[derive(Debug, Serialize)]
pub(super) struct StatusView {
    pub(super) cluster: String,
    pub(super) state: String,
    pub(super) run: String,
    pub(super) machine: String,
    pub(super) started_at: String,
    pub(super) host_pid: u32,
    pub(super) hub: HubView,
    pub(super) scheduler: Option<ProcessView>,
    pub(super) engines: Vec<EngineView>,
    /// `None` if the hub did not answer.
    pub(super) tasks: Option<TaskView>,
    /// `None` if the hub did not answer.
    pub(super) clients: Option<Vec<ClientView>>,
    /// `None` if the hub did not answer.
    pub(super) rooms: Option<Vec<RoomView>>,
    pub(super) failure: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct HubView {
    pub(super) address: Option<String>,
    pub(super) process: Option<ProcessView>,
    pub(super) answered: bool,
    /// Why it did not answer.
    pub(super) problem: Option<String>,
    pub(super) uptime_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct ProcessView {
    pub(super) state: ProcessState,
    pub(super) pid: Option<u32>,
    pub(super) restarts: u64,
    pub(super) last_exit: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct EngineView {
    /// The hub's id, once it has registered.
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    /// `up`, `silent`, `lost` as the hub sees it; otherwise how its process is.
    pub(super) state: String,
    pub(super) kind: Option<String>,
    pub(super) host: String,
    pub(super) pid: Option<u32>,
    pub(super) slots: Option<u32>,
    pub(super) queued: Option<u64>,
    pub(super) running: Option<u64>,
    pub(super) finished: Option<u64>,
    pub(super) restarts: Option<u64>,
    pub(super) last_exit: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct TaskView {
    pub(super) waiting: u64,
    pub(super) ready: u64,
    pub(super) assigned: u64,
    pub(super) running: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ClientView {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) connected: bool,
    pub(super) submitted: u64,
    pub(super) open: u64,
    pub(super) undelivered: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct RoomView {
    pub(super) name: String,
    pub(super) up: bool,
    pub(super) restarts: u32,
}

impl StatusView {
    /// Puts both sides together. Without the hub's, `asked` says why.
    pub(super) fn new(
        state_words: String,
        state: &ClusterState,
        asked: Result<ClusterStatus, String>,
    ) -> Self {
        let process = |wanted| state.processes.iter().find(|status| status.process == wanted);
        let hub = HubView {
            address: state.hub_address.clone(),
            process: process(Process::Hub).map(ProcessView::from),
            answered: asked.is_ok(),
            problem: asked.as_ref().err().cloned(),
            uptime_ms: asked.as_ref().ok().map(|status| status.uptime_ms),
        };
        let status = asked.ok();
        Self {
            cluster: state.cluster.clone(),
            state: state_words,
            run: state.run.clone(),
            machine: state.machine.clone(),
            started_at: state.started_at.clone(),
            host_pid: state.host_pid,
            hub,
            scheduler: process(Process::Scheduler).map(ProcessView::from),
            engines: engines(state, status.as_ref()),
            tasks: status.as_ref().map(tasks),
            clients: status.as_ref().map(clients),
            rooms: status.as_ref().map(rooms),
            failure: state.failure.clone(),
        }
    }

    /// One name or id a line: engines, by id where there is one.
    pub(super) fn quiet(&self) -> String {
        let word = |engine: &EngineView| engine.id.clone().or_else(|| engine.name.clone());
        self.engines.iter().filter_map(word).collect::<Vec<_>>().join("\n")
    }

    /// Paragraphs of columns for people.
    pub(super) fn table(&self) -> String {
        let mut parts = vec![self.processes_table(), self.engines_table()];
        if let Some(tasks) = &self.tasks {
            parts.push(tasks_table(tasks));
        }
        if let Some(clients) = self.clients.as_deref().filter(|clients| !clients.is_empty()) {
            parts.push(clients_table(clients));
        }
        if let Some(failure) = &self.failure {
            parts.push(format!("failed: {failure}"));
        }
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }

    fn processes_table(&self) -> String {
        let row = |name: &str, process: &ProcessView, address: Option<&String>| {
            vec![
                name.to_owned(),
                state_word(process.state).to_owned(),
                process.pid.map(|pid| pid.to_string()).unwrap_or_default(),
                process.restarts.to_string(),
                address.cloned().unwrap_or_default(),
                process.last_exit.clone().unwrap_or_default(),
            ]
        };
        let age = output::age(&self.started_at);
        let host = vec![
            "host".to_owned(),
            self.state.clone(),
            self.host_pid.to_string(),
            "0".to_owned(),
            format!("{}, up {age}", self.machine),
            String::new(),
        ];
        let hub = self.hub.process.as_ref();
        let hub = hub.map(|process| row("hub", process, self.hub.address.as_ref()));
        let scheduler = self.scheduler.as_ref().map(|process| row("scheduler", process, None));
        let rows = [Some(host), hub, scheduler].into_iter().flatten().collect();
        let heading = format!("CLUSTER {}", self.cluster);
        output::table(&[&heading, "STATE", "PID", "RESTARTS", "AT", "LAST EXIT"], rows)
    }

    fn engines_table(&self) -> String {
        if self.engines.is_empty() {
            return String::new();
        }
        let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        let row = |engine: &EngineView| {
            vec![
                engine.id.clone().unwrap_or_default(),
                engine.name.clone().unwrap_or_default(),
                engine.state.clone(),
                engine.host.clone(),
                engine.pid.map(|pid| pid.to_string()).unwrap_or_default(),
                number(engine.queued),
                number(engine.running),
                number(engine.finished),
                number(engine.restarts),
                engine.last_exit.clone().unwrap_or_default(),
            ]
        };
        let headings = [
            "ENGINE",
            "NAME",
            "STATE",
            "HOST",
            "PID",
            "QUEUED",
            "RUNNING",
            "FINISHED",
            "RESTARTS",
            "LAST EXIT",
        ];
        output::table(&headings, self.engines.iter().map(row).collect())
    }
}

impl From<&ProcessStatus> for ProcessView {
    fn from(status: &ProcessStatus) -> Self {
        Self {
            state: status.state,
            pid: status.pid,
            restarts: status.restarts,
            last_exit: status.last_exit.clone(),
        }
    }
}

/// Every engine that the hub or the host knows: the host's by index, then those of other machines.
fn engines(state: &ClusterState, status: Option<&ClusterStatus>) -> Vec<EngineView> {
    let mut known: Vec<&EngineStatus> =
        status.map(|status| status.engines.iter().collect()).unwrap_or_default();
    let mut views: Vec<EngineView> = state
        .engines()
        .map(|process| {
            let name = match process.process {
                Process::Engine(index) => format!("{}/{index}", state.machine),
                other => other.to_string(),
            };
            let place = known.iter().position(|one| one.info.name.as_deref() == Some(&name));
            let hub_view = place.map(|place| known.remove(place));
            engine_view(state, Some(name), Some(process), hub_view)
        })
        .collect();
    views.extend(
        known.iter().map(|engine| engine_view(state, engine.info.name.clone(), None, Some(engine))),
    );
    views
}

fn engine_view(
    state: &ClusterState,
    name: Option<String>,
    process: Option<&ProcessStatus>,
    engine: Option<&EngineStatus>,
) -> EngineView {
    let info = engine.map(|engine| &engine.info);
    EngineView {
        id: info.map(|info| info.id.to_string()),
        name,
        state: engine_state(process, info.map(|info| info.state)).to_owned(),
        kind: info.map(|info| info.kind.clone()),
        host: info.map_or_else(|| state.machine.clone(), |info| info.host.clone()),
        pid: process.map_or_else(|| info.map(|info| info.pid), |process| process.pid),
        slots: info.map(|info| info.slots),
        queued: engine.map(|engine| engine.assigned.saturating_sub(engine.running)),
        running: engine.map(|engine| engine.running),
        finished: engine.map(|engine| engine.ended),
        restarts: process.map(|process| process.restarts),
        last_exit: process.and_then(|process| process.last_exit.clone()),
    }
}

/// A process that does not live cannot be up, whatever the hub has not noticed yet.
fn engine_state(process: Option<&ProcessStatus>, seen: Option<EngineState>) -> &'static str {
    match (process.map(|process| process.state), seen) {
        (None | Some(ProcessState::Running), Some(seen)) => match seen {
            EngineState::Up => "up",
            EngineState::Silent => "silent",
            EngineState::Lost => "lost",
        },
        (Some(state), _) => state_word(state),
        (None, None) => "unknown",
    }
}

fn state_word(state: ProcessState) -> &'static str {
    match state {
        ProcessState::Planned => "planned",
        ProcessState::Starting => "starting",
        ProcessState::Running => "running",
        ProcessState::Restarting => "restarting",
        ProcessState::Stopping => "stopping",
        ProcessState::Stopped => "stopped",
        ProcessState::Failed => "failed",
    }
}

fn tasks(status: &ClusterStatus) -> TaskView {
    let counts = &status.tasks;
    TaskView {
        waiting: counts.waiting,
        ready: counts.ready,
        assigned: counts.assigned,
        running: counts.running,
        done: counts.done,
        failed: counts.failed,
    }
}

fn clients(status: &ClusterStatus) -> Vec<ClientView> {
    let view = |client: &phalanx_client::protocol::peer::ClientStatus| ClientView {
        id: client.id.to_string(),
        name: client.name.clone(),
        connected: client.connected,
        submitted: client.submitted,
        open: client.open,
        undelivered: client.undelivered,
    };
    status.clients.iter().map(view).collect()
}

fn rooms(status: &ClusterStatus) -> Vec<RoomView> {
    let view = |room: &phalanx_client::protocol::peer::RoomStatus| RoomView {
        name: room.name.clone(),
        up: room.up,
        restarts: room.restarts,
    };
    status.rooms.iter().map(view).collect()
}

fn tasks_table(tasks: &TaskView) -> String {
    let counts =
        [tasks.waiting, tasks.ready, tasks.assigned, tasks.running, tasks.done, tasks.failed];
    let row =
        std::iter::once("tasks".to_owned()).chain(counts.iter().map(u64::to_string)).collect();
    let headings = ["TASKS", "WAITING", "READY", "ASSIGNED", "RUNNING", "DONE", "FAILED"];
    output::table(&headings, vec![row])
}

fn clients_table(clients: &[ClientView]) -> String {
    let row = |client: &ClientView| {
        vec![
            client.id.clone(),
            client.name.clone(),
            if client.connected { "connected" } else { "away" }.to_owned(),
            client.submitted.to_string(),
            client.open.to_string(),
            client.undelivered.to_string(),
        ]
    };
    let headings = ["CLIENT", "NAME", "STATE", "SUBMITTED", "OPEN", "UNDELIVERED"];
    output::table(&headings, clients.iter().map(row).collect())
}

#[cfg(test)]
#[path = "status_view_tests.rs"]
mod tests;
