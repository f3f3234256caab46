//! `phalanx task list` and `phalanx task show`: what the hub has on record of tasks.
//!
//! Asks as a monitor: facts of tasks, never what they were given or returned.

use std::process::ExitCode;
use std::time::Duration;

use phalanx_client::protocol::query::{Cursor, TaskRecord, is_open};
use phalanx_client::protocol::role::Role;
use phalanx_client::{Client, ConnectionFile, TaskId};
use serde::Serialize;

use super::args::{TaskCommand, TaskListArgs, TaskShowArgs};
use super::{CliError, Context, output};
use crate::cluster_dir::{ClusterDir, Liveness};
use crate::config::Output;
use crate::words;

/// How long the hub may take to answer a question. It takes milliseconds; a paused one never does.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// One task, as it is shown.
#[derive(Debug, Serialize)]
struct Row {
    task: String,
    /// `waiting`, `ready`, `assigned`, `running`, or how it ended.
    status: String,
    engine: Option<u32>,
    method: String,
    label: Option<String>,
    direct: bool,
    attempts: u32,
    submitted_at: Option<String>,
    started_at: Option<String>,
    ended_at: Option<String>,
    ran_s: Option<f64>,
    /// The task that it runs again.
    again: Option<String>,
    /// Whether what it was given is kept, so that it can be run again.
    repeatable: bool,
    /// Whether what it returned is kept.
    result_kept: bool,
    result_bytes: u64,
}

/// Runs the command.
pub(super) fn task(context: &Context, command: TaskCommand) -> Result<ExitCode, CliError> {
    match command {
        TaskCommand::List(args) => list(context, args),
        TaskCommand::Show(args) => show(context, args),
        TaskCommand::Explain(args) => explain(context, args),
    }
}

fn list(context: &Context, args: TaskListArgs) -> Result<ExitCode, CliError> {
    let cluster = running(context, args.which.cluster)?;
    let mut records = ask(&cluster, None)?;
    records.sort_by_key(|record| (record.submitted_us, record.task));
    records.retain(|record| {
        (!args.open || is_open(&record.status))
            && args.label.as_ref().is_none_or(|label| record.label.as_ref() == Some(label))
    });
    let skipped = records.len().saturating_sub(args.limit);
    let rows: Vec<Row> = records[skipped..].iter().map(row).collect();
    let text = match context.settings.output(args.output.output) {
        Output::Json => output::json(&rows)?,
        Output::Quiet => rows.iter().map(|row| &*row.task).collect::<Vec<_>>().join("\n"),
        Output::Table => table(&rows),
    };
    output::print(&text)?;
    if skipped > 0 {
        eprintln!("phalanx: the latest {} of {}; --limit shows more", rows.len(), records.len());
    }
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, args: TaskShowArgs) -> Result<ExitCode, CliError> {
    let cluster = running(context, args.which.cluster)?;
    let found = ask(&cluster, Some(args.task))?;
    let Some(record) = found.first() else {
        return Err(CliError::NoTask { task: args.task });
    };
    let row = row(record);
    let text = match context.settings.output(args.output.output) {
        Output::Json => output::json(&row)?,
        Output::Quiet => row.status.clone(),
        Output::Table => lines(&row),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn explain(context: &Context, args: TaskShowArgs) -> Result<ExitCode, CliError> {
    let cluster = running(context, args.which.cluster)?;
    let told = answer(&cluster, async |client| client.explain(args.task).await)?;
    if told.state == "unknown" {
        return Err(CliError::NoTask { task: args.task });
    }
    let text = match context.settings.output(args.output.output) {
        Output::Json => output::json(&told)?,
        Output::Quiet => told.state.clone(),
        Output::Table => {
            let head = format!("task {} is {}", told.task, told.state);
            std::iter::once(head).chain(told.reasons).collect::<Vec<_>>().join("\n  ")
        }
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn running(context: &Context, cluster: Option<String>) -> Result<ClusterDir, CliError> {
    let cluster = context.chosen(cluster)?;
    match cluster.liveness()? {
        Liveness::Running { .. } => Ok(cluster),
        _ => Err(CliError::NotRunning { cluster: cluster.name().to_string() }),
    }
}

/// The record of one task, or of all.
fn ask(cluster: &ClusterDir, task: Option<TaskId>) -> Result<Vec<TaskRecord>, CliError> {
    answer(cluster, async |client| match task {
        Some(task) => client.records_of(&[task]).await,
        None => all(&client).await,
    })
}

/// What the hub answers to a question of a monitor.
fn answer<T>(
    cluster: &ClusterDir,
    question: impl AsyncFnOnce(Client) -> Result<T, phalanx_client::RequestError>,
) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::io("make a runtime"))?;
    let path = cluster.connection_file(Role::Monitor.as_str());
    let asked = async {
        let file = ConnectionFile::load(&path).map_err(|error| words::chain(&error))?;
        let client = Client::builder().name("phalanx task").connect(&file).await;
        let client = client.map_err(|error| words::chain(&error))?;
        let found = question(client.clone()).await;
        client.close().await;
        found.map_err(|error| words::chain(&error))
    };
    let answer = runtime.block_on(async {
        let late = || Err(format!("it took longer than {} s", ANSWER_MAX.as_secs()));
        tokio::time::timeout(ANSWER_MAX, asked).await.unwrap_or_else(|_| late())
    });
    answer.map_err(|problem| CliError::NoAnswer { problem })
}

/// Every record; of a task that ended meanwhile the later one.
async fn all(client: &Client) -> Result<Vec<TaskRecord>, phalanx_client::RequestError> {
    let mut found = std::collections::BTreeMap::new();
    let mut from = Some(Cursor::default());
    while let Some(cursor) = from {
        let (page, next) = client.records(cursor).await?;
        found.extend(page.into_iter().map(|record| (record.task, record)));
        from = next;
    }
    Ok(found.into_values().collect())
}

fn row(record: &TaskRecord) -> Row {
    let at = |us: u64| (us > 0).then(|| instant(us)).flatten();
    let ran = record.times.started_us > 0 && !is_open(&record.status);
    Row {
        task: record.task.to_string(),
        status: record.status.clone(),
        engine: record.engine.map(|engine| engine.0),
        method: record.method.clone(),
        label: record.label.clone(),
        direct: record.direct,
        attempts: record.attempts,
        submitted_at: at(record.submitted_us),
        started_at: at(record.times.started_us),
        ended_at: at(record.ended_us),
        ran_s: ran.then(|| Duration::from_nanos(record.times.ran_ns).as_secs_f64()),
        again: record.again.map(|task| task.to_string()),
        repeatable: record.repeatable,
        result_kept: record.whole,
        result_bytes: record.result_bytes,
    }
}

fn instant(us: u64) -> Option<String> {
    let us = i64::try_from(us).ok()?;
    jiff::Timestamp::from_microsecond(us).ok().map(|instant| instant.to_string())
}

fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        vec![
            row.task.clone(),
            row.status.clone(),
            row.engine.map(|engine| engine.to_string()).unwrap_or_default(),
            row.method.clone(),
            row.label.clone().unwrap_or_default(),
            row.submitted_at.as_deref().map(output::age).unwrap_or_default(),
            row.ran_s.map(|seconds| format!("{seconds:.3}s")).unwrap_or_default(),
        ]
    };
    let headings = ["TASK", "STATUS", "ENGINE", "METHOD", "LABEL", "AGE", "RAN"];
    output::table(&headings, rows.iter().map(cells).collect())
}

fn lines(row: &Row) -> String {
    let kept = |is_kept: bool| if is_kept { "kept" } else { "not kept" }.to_owned();
    let place = if row.direct { "that engine only" } else { "balanced" };
    let rows = [
        ("task", row.task.clone()),
        ("status", row.status.clone()),
        ("method", row.method.clone()),
        ("label", row.label.clone().unwrap_or_default()),
        ("engine", row.engine.map(|engine| engine.to_string()).unwrap_or_default()),
        ("place", place.to_owned()),
        ("attempts", row.attempts.to_string()),
        ("submitted", row.submitted_at.clone().unwrap_or_default()),
        ("started", row.started_at.clone().unwrap_or_default()),
        ("ended", row.ended_at.clone().unwrap_or_default()),
        ("ran", row.ran_s.map(|seconds| format!("{seconds:.6}s")).unwrap_or_default()),
        ("runs again", row.again.clone().unwrap_or_default()),
        ("arguments", kept(row.repeatable)),
        ("result", format!("{}, {} bytes", kept(row.result_kept), row.result_bytes)),
    ];
    output::table(&["", ""], rows.map(|(name, value)| vec![name.to_owned(), value]).to_vec())
        .trim_start()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use phalanx_client::protocol::ids::EngineId;
    use phalanx_client::protocol::outcome::RunTimes;

    use super::*;

    fn record(status: &str) -> TaskRecord {
        TaskRecord {
            task: "c1/2".parse().unwrap(),
            status: status.into(),
            method: "python.apply".into(),
            label: Some("first".into()),
            engine: Some(EngineId(3)),
            submitted_us: 1_795_316_400_000_000,
            times: RunTimes { started_us: 1_795_316_400_000_000, ran_ns: 1_500_000 },
            ..TaskRecord::default()
        }
    }

    #[test]
    fn a_row_has_the_facts_as_people_read_them() {
        let text = table(&[row(&record("done"))]);
        let cells: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells[..5], ["c1/2", "done", "3", "python.apply", "first"]);
        assert_eq!(cells[6], "0.002s");
        let open = row(&record("running"));
        assert_eq!((open.ran_s, open.ended_at), (None, None));
        assert_eq!(open.submitted_at.as_deref(), Some("2026-11-22T03:00:00Z"));
    }

    #[test]
    fn a_task_is_shown_line_by_line() {
        let text = lines(&row(&record("done")));
        assert!(text.starts_with("task "), "{text}");
        assert!(text.lines().any(|line| line.starts_with("runs again") && line.ends_with('-')));
        assert!(text.contains("arguments   not kept"), "{text}");
    }
}
