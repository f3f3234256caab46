//! `phalanx status`: asks the host's state file and the hub, and shows both.

use std::process::ExitCode;
use std::time::Duration;

use phalanx_client::protocol::peer::ClusterStatus;
use phalanx_client::protocol::role::Role;
use phalanx_client::{Client, ConnectionFile};

use super::args::StatusArgs;
use super::list::state_words;
use super::status_view::StatusView;
use super::{CliError, Context, output};
use crate::cluster_dir::{ClusterDir, Liveness};
use crate::cluster_state::ClusterState;
use crate::config::Output;
use crate::words;

/// How long the hub may take to answer. It takes milliseconds; a paused one never does.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Shows a running cluster. A hub that does not answer is said so, and is no failure.
pub(super) fn status(context: &Context, args: StatusArgs) -> Result<ExitCode, CliError> {
    let cluster = context.chosen(args.which.cluster)?;
    let not_running = || CliError::NotRunning { cluster: cluster.name().to_string() };
    let liveness = cluster.liveness()?;
    let Some(state) = cluster.read_state::<ClusterState>()? else { return Err(not_running()) };
    let state_words = state_words(Some(liveness), Some(&state));
    let is_running = matches!(liveness, Liveness::Running { .. });
    if !is_running && state.failure.is_none() {
        return Err(not_running());
    }
    let asked = if is_running { ask(&cluster)? } else { Err("it is not running".to_owned()) };
    if let (true, Err(problem)) = (is_running, &asked) {
        eprintln!("phalanx: the hub did not answer, so this is what its host knows: {problem}");
    }
    let view = StatusView::new(state_words, &state, asked);
    let text = match context.settings.output(args.output.output) {
        Output::Json => output::json(&view)?,
        Output::Quiet => view.quiet(),
        Output::Table => view.table(),
    };
    output::print(&text)?;
    Ok(if is_running { ExitCode::SUCCESS } else { ExitCode::from(super::exit::NOT_RUNNING) })
}

/// Asks the hub as a monitor; the inner error says in words why it did not answer.
fn ask(cluster: &ClusterDir) -> Result<Result<ClusterStatus, String>, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::io("make a runtime"))?;
    let path = cluster.connection_file(Role::Monitor.as_str());
    let answer = runtime.block_on(async {
        let file = ConnectionFile::load(&path).map_err(|error| words::chain(&error))?;
        match tokio::time::timeout(ANSWER_MAX, ask_hub(&file)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("it took longer than {} s", ANSWER_MAX.as_secs())),
        }
    });
    Ok(answer)
}

async fn ask_hub(file: &ConnectionFile) -> Result<ClusterStatus, String> {
    let client = Client::builder()
        .name("phalanx status")
        .connect(file)
        .await
        .map_err(|error| words::chain(&error))?;
    let status = client.status().await.map_err(|error| words::chain(&error))?;
    client.close().await;
    Ok(status)
}
