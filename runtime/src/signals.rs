//! The signals that ask a process to stop in order: SIGTERM from its host, SIGINT from a terminal.
//!
//! Used by the process commands and by engine programs, inside their runtime.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

/// Which signals ask a process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stops {
    /// Both.
    TerminateAndInterrupt,
    /// Only SIGTERM: the program has its own use for SIGINT.
    Terminate,
}

/// Calls `stop` with the signal's name when the first one comes. A second one is not waited for:
/// the host kills a process that does not stop within its grace.
pub(crate) fn on_stop<Fut>(stop: impl FnOnce(&'static str) -> Fut + Send + 'static)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    on_stop_by(Stops::TerminateAndInterrupt, stop);
}

/// The same for these signals.
pub(crate) fn on_stop_by<Fut>(stops: Stops, stop: impl FnOnce(&'static str) -> Fut + Send + 'static)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let interrupt = match stops {
        Stops::TerminateAndInterrupt => Some(signal(SignalKind::interrupt())),
        Stops::Terminate => None,
    };
    let kinds = (signal(SignalKind::terminate()), interrupt.transpose());
    let (Ok(mut terminate), Ok(mut interrupt)) = kinds else {
        tracing::warn!("no signal handlers: SIGTERM ends this process at once");
        return;
    };
    tokio::spawn(async move {
        let interrupted = async {
            match &mut interrupt {
                Some(interrupt) => interrupt.recv().await,
                None => std::future::pending().await,
            }
        };
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupted => "SIGINT",
        };
        tracing::info!(signal = name, "told to stop");
        stop(name).await;
    });
}
