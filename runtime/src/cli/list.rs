//! `phalanx list`.

use std::process::ExitCode;

use serde::Serialize;

use super::args::ListArgs;
use super::{CliError, Context, output};
use crate::cluster_dir::{ClusterDir, Liveness};
use crate::cluster_state::ClusterState;
use crate::config::Output;
use crate::host::process::{Phase, ProcessState};
use crate::{os, words};

/// One cluster, as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    cluster: String,
    /// `running`, `starting`, `stopping`, `failed`, `dead` (its host was killed), `unreadable`.
    state: String,
    engines_running: usize,
    engines: usize,
    hub_address: Option<String>,
    host_pid: Option<u32>,
    machine: Option<String>,
    started_at: Option<String>,
    problem: Option<String>,
}

/// Shows every cluster that has a directory.
pub(super) fn list(context: &Context, args: &ListArgs) -> Result<ExitCode, CliError> {
    let rows: Vec<Row> = context.home.clusters()?.iter().map(row).collect();
    let text = match context.settings.output(args.output.output) {
        Output::Json => output::json(&rows)?,
        Output::Quiet => rows.iter().map(|row| &*row.cluster).collect::<Vec<_>>().join("\n"),
        Output::Table => table(&rows),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn row(cluster: &ClusterDir) -> Row {
    let (liveness, state, problem) = match read(cluster) {
        Ok((liveness, state)) => (Some(liveness), state, None),
        Err(error) => (None, None, Some(words::chain(&error))),
    };
    let engines: Vec<_> = state.iter().flat_map(ClusterState::engines).collect();
    let is_up = matches!(liveness, Some(Liveness::Running { .. }));
    let running = engines.iter().filter(|engine| engine.state == ProcessState::Running).count();
    Row {
        cluster: cluster.name().to_string(),
        state: state_words(liveness, state.as_ref()),
        engines_running: if is_up { running } else { 0 },
        engines: engines.len(),
        hub_address: state.as_ref().and_then(|state| state.hub_address.clone()),
        host_pid: match liveness {
            Some(Liveness::Running { pid }) => Some(os::number_of_pid(pid)),
            _ => None,
        },
        machine: state.as_ref().map(|state| state.machine.clone()),
        started_at: state.as_ref().map(|state| state.started_at.clone()),
        problem: problem.or_else(|| state.and_then(|state| state.failure)),
    }
}

fn read(
    cluster: &ClusterDir,
) -> Result<(Liveness, Option<ClusterState>), crate::cluster_dir::DirError> {
    Ok((cluster.liveness()?, cluster.read_state()?))
}

/// The lock says whether the host lives; only then does the state file say how far it is.
pub(super) fn state_words(liveness: Option<Liveness>, state: Option<&ClusterState>) -> String {
    let phase = state.map(|state| state.phase);
    match (liveness, phase) {
        (None, _) => "unreadable",
        (Some(Liveness::Running { .. }), Some(Phase::Running)) => "running",
        (Some(Liveness::Running { .. }), Some(Phase::Stopping)) => "stopping",
        (Some(Liveness::Running { .. }), _) => "starting",
        (Some(_), Some(Phase::Failed)) => "failed",
        (Some(_), _) => "dead",
    }
    .to_owned()
}

fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        vec![
            row.cluster.clone(),
            row.state.clone(),
            format!("{}/{}", row.engines_running, row.engines),
            row.hub_address.clone().unwrap_or_default(),
            row.host_pid.map(|pid| pid.to_string()).unwrap_or_default(),
            row.started_at.as_deref().map(output::age).unwrap_or_default(),
            row.problem.clone().unwrap_or_default(),
        ]
    };
    let headings = ["CLUSTER", "STATE", "ENGINES", "HUB", "HOST PID", "AGE", "PROBLEM"];
    output::table(&headings, rows.iter().map(cells).collect())
}
