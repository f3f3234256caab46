//! The command line and environment of each process of a cluster.
//!
//! Called by the shell. No secret passes here: a child is told where its connection file is.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cluster_dir::ClusterDir;
use crate::cluster_state::machine_name;
use crate::config::{ListenAddress, LogFormat};
use crate::host::process::Process;
use crate::host::spawn::{
    CONNECTION_ENV, ENGINE_INDEX_ENV, ENGINE_NAME_ENV, Input, Launch, RUN_ENV, Tie,
};
use crate::host::{HostOptions, Program};
use crate::placement::{self, Placement};

/// What a process logs, as a filter.
pub const LOG_ENV: &str = "PHALANX_LOG";
/// How it writes it: `text` or `json`.
pub const LOG_FORMAT_ENV: &str = "PHALANX_LOG_FORMAT";

/// What all processes of a run have in common.
#[derive(Debug)]
pub(super) struct Commands {
    phalanx: PathBuf,
    dir: ClusterDir,
    run: String,
    machine: String,
    program: Option<Program>,
    scheduler_process: bool,
    placement: Placement,
    log_env: Vec<(&'static str, OsString)>,
}

impl Commands {
    pub(super) fn new(
        phalanx: PathBuf,
        dir: ClusterDir,
        run: String,
        options: &HostOptions,
    ) -> Self {
        let log_format = options.log_format.map(LogFormat::as_str).map(OsString::from);
        let log_env =
            [(LOG_ENV, options.log.clone().map(Into::into)), (LOG_FORMAT_ENV, log_format)];
        Self {
            phalanx,
            dir,
            run,
            machine: machine_name(),
            program: options.program.clone(),
            scheduler_process: options.scheduler_process,
            placement: options.placement,
            log_env: log_env.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        }
    }

    /// The stable name of an engine of this machine.
    pub(super) fn engine_name(&self, index: u32) -> String {
        format!("{}/{index}", self.machine)
    }

    /// The index of the engine of this machine that has a name.
    pub(super) fn engine_index(&self, name: &str) -> Option<u32> {
        name.strip_prefix(&self.machine)?.strip_prefix('/')?.parse().ok()
    }

    /// How to start a process; the hub listens where it is told.
    pub(super) fn launch(&self, process: Process, listen: ListenAddress) -> Launch {
        match process {
            Process::Keeper => self.keeper(),
            Process::Hub => {
                let mut args = vec!["hub".into(), "--listen".into(), listen.to_string().into()];
                if self.scheduler_process {
                    args.push("--scheduler-process".into());
                }
                args.extend(placement::args(self.placement));
                self.phalanx(process, args, "hub")
            }
            Process::Scheduler => {
                let mut args = vec!["scheduler".into()];
                args.extend(placement::args(self.placement));
                self.phalanx(process, args, "scheduler")
            }
            Process::Engine(index) => self.engine(index),
        }
    }

    /// The keeper carries no mark of the run: it sweeps by that mark.
    fn keeper(&self) -> Launch {
        Launch {
            program: self.phalanx.clone(),
            args: vec!["keeper".into(), "--run-id".into(), self.run.clone().into()],
            env: self.log_env.clone(),
            log: self.dir.log_file("keeper"),
            tie: Tie::OutlivesHost,
            stdin: Input::EndsWithHost,
        }
    }

    fn engine(&self, index: u32) -> Launch {
        let process = Process::Engine(index);
        let mut launch = match &self.program {
            None => self.phalanx(process, vec!["engine".into()], "engine"),
            Some(program) => Launch {
                program: program.path.clone(),
                args: program.args.clone(),
                ..self.phalanx(process, Vec::new(), "engine")
            },
        };
        launch.env.push((ENGINE_NAME_ENV, self.engine_name(index).into()));
        launch.env.push((ENGINE_INDEX_ENV, index.to_string().into()));
        launch
    }

    fn phalanx(&self, process: Process, args: Vec<OsString>, role: &str) -> Launch {
        let own_env = [
            (RUN_ENV, self.run.clone().into()),
            (CONNECTION_ENV, self.dir.connection_file(role).into()),
        ];
        Launch {
            program: self.phalanx.clone(),
            args,
            env: self.log_env.iter().cloned().chain(own_env).collect(),
            log: self.dir.log_file(&process.to_string()),
            tie: Tie::DiesWithHost,
            stdin: Input::Nothing,
        }
    }
}
