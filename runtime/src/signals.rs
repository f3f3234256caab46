//! The signals that ask a process to stop in order: SIGTERM from its host, SIGINT from a terminal.
//!
//! Used by the process commands and by engine programs, inside their runtime.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

/// Calls `stop` with the signal's name when the first one comes. A second one is not waited for:
/// the host kills a process that does not stop within its grace.
pub(crate) fn on_stop<Fut>(stop: impl FnOnce(&'static str) -> Fut + Send + 'static)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let kinds = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = kinds else {
        tracing::warn!("no signal handlers: SIGTERM ends this process at once");
        return;
    };
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "told to stop");
        stop(name).await;
    });
}
