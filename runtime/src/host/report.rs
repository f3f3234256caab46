//! What a host tells whoever started it: each step, then ready or failed.
//!
//! One JSON object a line on an inherited pipe (`--status-fd`), so that `phalanx start` and
//! `LocalCluster` wait for an event and not for a time; text on standard error in the foreground.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::process::Process;

/// One report of a starting host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StartReport {
    /// A process is being started.
    Starting(Process),
    /// Every process is ready.
    Ready {
        /// Where the hub listens.
        hub_address: String,
        /// How many engines there are.
        engines: u32,
        /// How long the start took.
        took_ms: u64,
    },
    /// The start failed and has been undone.
    Failed {
        /// Which step: a process, or `host`.
        step: String,
        /// Why, in words.
        reason: String,
        /// The log that may say more.
        log: Option<PathBuf>,
    },
}

impl std::fmt::Display for StartReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starting(process) => write!(f, "starting {process}"),
            Self::Ready { hub_address, engines, took_ms } => write!(
                f,
                "ready in {}.{:02} s: hub at {hub_address}, {}",
                took_ms / 1000,
                took_ms % 1000 / 10,
                engine_words(*engines)
            ),
            Self::Failed { step, reason, .. } => write!(f, "{step} failed: {reason}"),
        }
    }
}

/// "1 engine", "4 engines".
pub(crate) fn engine_words(engines: u32) -> String {
    if engines == 1 { "1 engine".to_owned() } else { format!("{engines} engines") }
}

/// Where reports go.
#[derive(Debug)]
pub(crate) enum Reporter {
    /// To the process that started this one, until the start is decided.
    Pipe(Option<File>),
    /// To the terminal.
    Terminal,
}

impl Reporter {
    pub(crate) fn to_pipe(pipe: OwnedFd) -> Self {
        Self::Pipe(Some(pipe.into()))
    }

    /// Tells the starter; says whether it is still there.
    pub(crate) fn report(&mut self, report: &StartReport) -> bool {
        match self {
            Self::Terminal => {
                eprintln!("{report}");
                true
            }
            Self::Pipe(pipe) => {
                let Some(file) = pipe else { return true };
                let mut line = serde_json::to_vec(report).unwrap_or_default();
                line.push(b'\n');
                let is_last = !matches!(report, StartReport::Starting(_));
                let is_there = file.write_all(&line).is_ok();
                if is_last {
                    *pipe = None;
                }
                is_there
            }
        }
    }
}
