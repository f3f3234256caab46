//! The command `phalanx`: what people type, and the processes the host starts by it.
//!
//! Data goes to standard output, everything else to standard error. Exit codes are stable and
//! printed by `--help`. The commands decide nothing themselves: they parse, call and show.

mod args;
mod list;
mod logs;
mod output;
mod processes;
mod start;
mod status;
mod status_view;
mod stop;
mod task;

use std::process::ExitCode;

use clap::Parser;
use phalanx_actors::scheduling_process::SchedulingError;
use phalanx_client::protocol::task::MethodNameError;

use crate::cluster_dir::{ClusterDir, DirError, Home};
use crate::config::{ConfigError, Settings};
use crate::engine_process::EngineProcessError;
use crate::host::HostError;
use crate::hub_process::HubProcessError;
use crate::launch::StartError;
use crate::logging::LogFilterError;
use crate::python::PythonError;
use crate::stop::StopError;
use crate::words;

use args::{Cli, Command};

/// Runs the command line of this process and says how it is to exit.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("phalanx: {}", words::chain(&error));
            error.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let context = Context::new(cli.common)?;
    match cli.command {
        Command::Start(args) => start::start(&context, args),
        Command::Host(args) => start::host(&context, args),
        Command::Hub(args) => processes::hub(&context, args),
        Command::Engine(args) => processes::engine(&context, args),
        Command::Scheduler(args) => processes::scheduler(&context, &args),
        Command::Keeper(args) => processes::keeper(&args),
        Command::Stop(args) => stop::stop(&context, &args),
        Command::Clean => stop::clean(&context),
        Command::List(args) => list::list(&context, &args),
        Command::Status(args) => status::status(&context, args),
        Command::Task(command) => task::task(&context, command),
        Command::Logs(args) => logs::logs(&context, args),
    }
}

/// What every command needs: where clusters live and what the settings say.
struct Context {
    home: Home,
    settings: Settings,
    common: args::CommonArgs,
}

impl Context {
    fn new(common: args::CommonArgs) -> Result<Self, CliError> {
        let home = Home::resolve(common.home.clone())?;
        let settings = Settings::read(&home)?;
        Ok(Self { home, settings, common })
    }

    /// The cluster that was named, or else the one that was started last.
    fn chosen(&self, cluster: Option<String>) -> Result<ClusterDir, CliError> {
        match self.settings.cluster_named(cluster)? {
            Some(name) => Ok(self.home.cluster(&name)),
            None => Ok(self.home.newest()?),
        }
    }

    /// Starts logging for a process command.
    fn log(
        &self,
        process: &str,
        run: Option<&str>,
    ) -> Result<tracing::span::EnteredSpan, CliError> {
        let filter = self.settings.log(self.common.log.clone());
        let format = self.settings.log_format(self.common.log_format);
        Ok(crate::logging::start(&filter, format, process, run)?)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Dir(#[from] DirError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Log(#[from] LogFilterError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Python(#[from] PythonError),
    #[error(transparent)]
    Stop(#[from] StopError),
    #[error(transparent)]
    Hub(#[from] HubProcessError),
    #[error(transparent)]
    Engine(#[from] EngineProcessError),
    #[error(transparent)]
    Scheduler(#[from] SchedulingError),
    #[error(transparent)]
    Method(#[from] MethodNameError),
    #[error("cluster {cluster} is not running; start it with: phalanx start --cluster {cluster}")]
    NotRunning { cluster: String },
    #[error("the hub has no record of task {task}; phalanx task list shows those that it has")]
    NoTask { task: phalanx_client::TaskId },
    #[error("the hub did not answer: {problem}")]
    NoAnswer { problem: String },
    #[error("cluster {cluster} has no log of {process:?}; it has: {known}")]
    NoLog { cluster: String, process: String, known: String },
    #[error("{} is not a program that can be started", path.display())]
    NoProgram { path: std::path::PathBuf },
    #[error("cannot {what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

impl CliError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NotRunning { .. } => exit::NOT_RUNNING,
            Self::Dir(DirError::Locked { .. })
            | Self::Start(StartError::Dir(DirError::Locked { .. }))
            | Self::Host(HostError::Dir(DirError::Locked { .. })) => exit::ALREADY_RUNNING,
            Self::Start(StartError::TimedOut { .. })
            | Self::Stop(StopError::TimedOut { .. } | StopError::Leftovers { .. }) => {
                exit::TIMED_OUT
            }
            _ => exit::FAILED,
        })
    }
}

/// The exit codes, as `--help` prints them.
mod exit {
    pub(super) const FAILED: u8 = 1;
    pub(super) const NOT_RUNNING: u8 = 3;
    pub(super) const ALREADY_RUNNING: u8 = 4;
    pub(super) const TIMED_OUT: u8 = 5;

    pub(super) const HELP: &str = "Exit codes:
  0  done
  1  failed; standard error says what and why
  2  the command line is wrong
  3  the cluster is not running
  4  the cluster is running already
  5  something did not end or answer in time";
}
