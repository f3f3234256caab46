//! Status views from made-up states: with the hub's answer, without it, and when both differ.

use phalanx_client::protocol::peer::{ClientStatus, EngineInfo, TaskCounts};

use super::*;
use crate::cluster_state::STATE_VERSION;
use crate::host::process::Phase;

fn process(process: Process, state: ProcessState, pid: u32) -> ProcessStatus {
    ProcessStatus { process, state, pid: Some(pid), restarts: 0, last_exit: None }
}

fn state() -> ClusterState {
    ClusterState {
        version: STATE_VERSION,
        cluster: "lab".into(),
        run: "r1".into(),
        machine: "laptop".into(),
        host_pid: 10,
        started_at: "2026-01-01T00:00:00Z".into(),
        stop_grace_ms: 3000,
        phase: Phase::Running,
        hub_address: Some("127.0.0.1:7000".into()),
        failure: None,
        processes: vec![
            process(Process::Hub, ProcessState::Running, 11),
            process(Process::Engine(0), ProcessState::Running, 20),
            process(Process::Engine(1), ProcessState::Restarting, 21),
        ],
    }
}

fn engine(id: u32, name: &str, host: &str) -> EngineStatus {
    let info = EngineInfo {
        id: phalanx_client::EngineId(id),
        name: Some(name.into()),
        host: host.into(),
        pid: 900 + id,
        ..EngineInfo::default()
    };
    let figures = EngineStatus::default();
    EngineStatus { info, assigned: 5, direct: 1, running: 2, ended: 40, ..figures }
}

fn answer() -> ClusterStatus {
    ClusterStatus {
        engines: vec![
            engine(3, "laptop/1", "laptop"),
            engine(7, "server/0", "server"),
            engine(9, "laptop/0", "laptop"),
        ],
        clients: vec![ClientStatus { name: "notebook".into(), ..ClientStatus::default() }],
        tasks: TaskCounts { done: 40, running: 2, ..TaskCounts::default() },
        ..ClusterStatus::default()
    }
}

#[test]
fn engines_of_host_and_hub_meet_by_their_names() {
    let view = StatusView::new("running".into(), &state(), Ok(answer()));
    let rows: Vec<_> = view
        .engines
        .iter()
        .map(|e| (e.id.as_deref(), e.name.as_deref(), &*e.state, e.pid, e.queued))
        .collect();
    assert_eq!(
        rows,
        [
            (Some("e9"), Some("laptop/0"), "up", Some(20), Some(3)),
            (Some("e3"), Some("laptop/1"), "restarting", Some(21), Some(3)),
            (Some("e7"), Some("server/0"), "up", Some(907), Some(3)),
        ]
    );
    assert_eq!(view.quiet(), "e9\ne3\ne7");
}

#[test]
fn a_silent_hub_leaves_what_the_host_knows_and_says_so() {
    let view = StatusView::new("running".into(), &state(), Err("no answer".into()));
    let json = serde_json::to_value(&view).unwrap();
    assert_eq!(json["hub"]["answered"], false);
    assert_eq!(json["hub"]["problem"], "no answer");
    assert_eq!(json["tasks"], serde_json::Value::Null);
    assert_eq!(json["engines"][0]["state"], "running");
    assert_eq!(view.quiet(), "laptop/0\nlaptop/1");
}

#[test]
fn the_table_is_plain_text() {
    let text = StatusView::new("running".into(), &state(), Ok(answer())).table();
    for words in ["CLUSTER lab", "127.0.0.1:7000", "e7", "server/0", "FINISHED", "notebook"] {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
    assert!(text.is_ascii(), "{text}");
}
