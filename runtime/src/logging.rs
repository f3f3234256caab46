//! Log lines of every process: to standard error, which the host points at the process's log file.
//!
//! Called once, first thing, by each process command. Every line names the process and the run;
//! lines about a task carry its id (`c7/42`) in a span, the same id in every process.

use tracing::span::EnteredSpan;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// The filter is not one.
#[derive(Debug, thiserror::Error)]
#[error("{filter:?} is not a log filter; write info, or phalanx_core=debug,info")]
pub struct LogFilterError {
    filter: String,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Starts logging. Lines of this thread carry the process's name and the run's id for as long as
/// the returned span is held.
pub fn start(
    filter: &str,
    format: LogFormat,
    process: &str,
    run: Option<&str>,
) -> Result<EnteredSpan, LogFilterError> {
    start_into(std::io::stderr, filter, format, process, run)
}

/// The same, written somewhere else.
pub fn start_into(
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
    filter: &str,
    format: LogFormat,
    process: &str,
    run: Option<&str>,
) -> Result<EnteredSpan, LogFilterError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| LogFilterError { filter: filter.to_owned(), source })?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer);
    // A second call in one process keeps the first subscriber: a host in the foreground, a test.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    let span = match run {
        Some(run) => tracing::error_span!("phalanx", process, run),
        None => tracing::error_span!("phalanx", process),
    };
    Ok(span.entered())
}
