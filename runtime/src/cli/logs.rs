//! `phalanx logs`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::args::LogsArgs;
use super::{CliError, Context, output};
use crate::cluster_dir::{ClusterDir, Liveness};
use crate::host::logs::tail;

/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// Most bytes of one log that are shown before following it.
const SHOWN_LEN_MAX: u64 = 1024 * 1024;

/// Shows the last lines of one process or of all, and with `--follow` what comes after.
pub(super) fn logs(context: &Context, args: LogsArgs) -> Result<ExitCode, CliError> {
    let cluster = context.chosen(args.which.cluster)?;
    if cluster.liveness()? == Liveness::Absent {
        return Err(CliError::NotRunning { cluster: cluster.name().to_string() });
    }
    let processes = chosen(&cluster, args.process)?;
    let is_named = processes.len() > 1;
    let mut logs: Vec<Log> = processes
        .into_iter()
        .map(|process| Log {
            path: cluster.log_file(&process),
            prefix: if is_named { format!("{process}: ") } else { String::new() },
            shown_len: 0,
            rest: Vec::new(),
        })
        .collect();
    for log in &mut logs {
        log.show_tail(args.lines)?;
    }
    // A host that has ended writes no more lines; what it wrote last may say why it did.
    let mut is_running = args.follow;
    while is_running {
        std::thread::sleep(FOLLOW_EVERY);
        is_running = matches!(cluster.liveness()?, Liveness::Running { .. });
        for log in &mut logs {
            log.show_new()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(cluster: &ClusterDir, process: Option<String>) -> Result<Vec<String>, CliError> {
    let known = known(cluster);
    match process {
        None => Ok(known),
        Some(process) if known.contains(&process) => Ok(vec![process]),
        Some(process) => {
            let cluster = cluster.name().to_string();
            Err(CliError::NoLog { cluster, process, known: known.join(", ") })
        }
    }
}

fn known(cluster: &ClusterDir) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(cluster.log_dir()) else { return Vec::new() };
    let mut known: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".log")?.to_owned()))
        .collect();
    known.sort_by_key(|name| (name.starts_with("engine-"), name.len(), name.clone()));
    known
}

/// One log file and how much of it has been shown.
struct Log {
    path: PathBuf,
    prefix: String,
    shown_len: u64,
    /// The beginning of a line whose end is not written yet; it may end within a character.
    rest: Vec<u8>,
}

impl Log {
    fn show_tail(&mut self, lines: usize) -> Result<(), CliError> {
        self.shown_len = std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        tail(&self.path, lines, SHOWN_LEN_MAX).lines().try_for_each(|line| self.show(line))
    }

    /// Shows the whole lines that were written since the last look.
    fn show_new(&mut self) -> Result<(), CliError> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(()) };
        let len = file.metadata().map_or(0, |metadata| metadata.len());
        if len < self.shown_len {
            // The host has cut it: what is there now is new.
            self.shown_len = 0;
            self.rest.clear();
        }
        let reading = || CliError::io(format!("read {}", self.path.display()));
        file.seek(SeekFrom::Start(self.shown_len)).map_err(reading())?;
        let mut bytes = Vec::new();
        let read = file.take(SHOWN_LEN_MAX).read_to_end(&mut bytes).map_err(reading())?;
        self.shown_len += read as u64;
        self.rest.append(&mut bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.show(&String::from_utf8_lossy(&line[..end]))?;
        }
        Ok(())
    }

    fn show(&self, line: &str) -> Result<(), CliError> {
        output::print(&format!("{}{line}", self.prefix))
    }
}
