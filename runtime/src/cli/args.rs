//! The command line's grammar. What a setting means and defaults to is in `config.rs`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::exit;
use phalanx_client::protocol::needs::{Amount, Resource};

use crate::config::{ListenAddress, LogFormat, Output};
use crate::hwm::HighWaterMark;
use crate::placement::Scheme;

/// Phalanx: typed tasks on engines, from one machine to many
#[derive(Debug, Parser)]
#[command(name = "phalanx", version, after_help = exit::HELP, disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Clone, Args)]
pub(super) struct CommonArgs {
    /// Directory of the clusters [default: phalanx in the XDG state directory]
    #[arg(long, env = "PHALANX_HOME", global = true, value_name = "DIR")]
    pub(super) home: Option<PathBuf>,
    /// What is logged: a level, or filters such as phalanx_core=debug,info
    #[arg(long, env = "PHALANX_LOG", global = true, value_name = "FILTER")]
    pub(super) log: Option<String>,
    /// How log lines are written
    #[arg(long, env = "PHALANX_LOG_FORMAT", global = true, value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start a cluster and wait until it is ready
    Start(StartArgs),
    /// Stop a cluster and verify that nothing of it is left
    Stop(StopArgs),
    /// Remove what is left of clusters that do not run any more
    Clean,
    /// List the clusters
    List(ListArgs),
    /// Show a cluster's hub, engines, tasks and clients
    Status(StatusArgs),
    /// Look at tasks, of any client
    #[command(subcommand)]
    Task(TaskCommand),
    /// Show the log lines of a cluster's processes
    Logs(LogsArgs),
    /// Run the host of a cluster (phalanx start does this)
    Host(HostArgs),
    /// Run the hub of a cluster (the host does this)
    Hub(HubArgs),
    /// Run an engine for a hub (the host does this; by hand on another machine)
    Engine(EngineArgs),
    /// Run scheduler and DAG in a process of their own
    Scheduler(SchedulerArgs),
    /// Wait for the host's death and end what it leaves behind
    #[command(hide = true)]
    Keeper(KeeperArgs),
}

/// How the scheduler places.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct PlacementArgs {
    /// Which engine gets a task: leastload, lru, plainrandom, twobin, weighted or pure
    /// [default: leastload]
    #[arg(long, env = "PHALANX_SCHEME", value_name = "NAME")]
    pub(super) scheme: Option<Scheme>,
    /// Balanced tasks that an engine may have at once: adaptive (by measured run time), or so many
    /// per slot; 1 sends none ahead, 0 as many as it takes [default: adaptive]
    #[arg(long, env = "PHALANX_HWM", value_name = "N")]
    pub(super) hwm: Option<HighWaterMark>,
}

/// What a cluster is made of.
#[derive(Debug, Clone, Args)]
pub(super) struct ClusterArgs {
    /// Name of the cluster [default: default]
    #[arg(long, env = "PHALANX_CLUSTER", value_name = "NAME")]
    pub(super) cluster: Option<String>,
    /// Number of engines [default: one for each processor]
    #[arg(short = 'n', long, env = "PHALANX_ENGINES", value_name = "N")]
    pub(super) engines: Option<u32>,
    /// Where the hub listens: an address, its port optional [default: 127.0.0.1]
    #[arg(long, env = "PHALANX_LISTEN", value_name = "ADDR")]
    pub(super) listen: Option<ListenAddress>,
    /// Run scheduler and DAG in a process of their own
    #[arg(
        long,
        env = "PHALANX_SCHEDULER_PROCESS",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub(super) scheduler_process: bool,
    #[command(flatten)]
    pub(super) placement: PlacementArgs,
    /// Seconds from being told to stop until being killed [default: 3]
    #[arg(long, env = "PHALANX_STOP_GRACE_S", value_name = "SECONDS")]
    pub(super) stop_grace_s: Option<u64>,
    /// Python that the engines run in [default: the python beside this program, if it has the
    /// package phalanx; without one, engines are native]
    #[arg(long, env = "PHALANX_PYTHON", value_name = "PATH")]
    pub(super) python: Option<PathBuf>,
    /// Native engines (phalanx engine), whether there is a Python or not
    #[arg(long, conflicts_with = "program")]
    pub(super) native: bool,
    /// Program that the engines are, instead of Python or phalanx engine; it finds its connection
    /// file's path in PHALANX_CONNECTION
    #[arg(long, value_name = "PATH")]
    pub(super) program: Option<PathBuf>,
    /// Arguments of each engine: of the program, of python -m phalanx.engine, or of phalanx engine
    #[arg(last = true, value_name = "ARG")]
    pub(super) engine_args: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct StartArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    /// Stay in the foreground; Ctrl-C stops the cluster
    #[arg(long)]
    pub(super) foreground: bool,
}

#[derive(Debug, Args)]
pub(super) struct HostArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    /// Number of the inherited pipe on which the start is told
    #[arg(long, value_name = "N", hide = true)]
    pub(super) status_fd: Option<i32>,
    /// Stop when standard input ends
    #[arg(long)]
    pub(super) until_stdin_closes: bool,
}

/// Who a process is and where its hub is.
#[derive(Debug, Clone, Args)]
pub(super) struct ConnectionArgs {
    /// Its connection file: hub.json, engine.json and so on of the cluster's directory
    #[arg(long, env = "PHALANX_CONNECTION", value_name = "FILE")]
    pub(super) connection: PathBuf,
    /// Names the run in log lines; the host sets it
    #[arg(long, env = "PHALANX_RUN", hide = true)]
    pub(super) run_id: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct HubArgs {
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
    /// Where it listens [default: what its connection file says]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<ListenAddress>,
    /// Leave scheduler and DAG to a process of their own
    #[arg(long)]
    pub(super) scheduler_process: bool,
    #[command(flatten)]
    pub(super) placement: PlacementArgs,
}

#[derive(Debug, Args)]
pub(super) struct EngineArgs {
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
    /// Its stable name in the cluster; restarted under it, it keeps its id
    #[arg(long, env = "PHALANX_ENGINE_NAME", value_name = "NAME")]
    pub(super) name: Option<String>,
    /// How many tasks it runs at once
    #[arg(long, env = "PHALANX_ENGINE_SLOTS", default_value_t = 1, value_name = "N")]
    pub(super) slots: u32,
    /// A word to choose it by; may be repeated
    #[arg(long = "label", value_name = "WORD")]
    pub(super) labels: Vec<String>,
    /// What it has for tasks that need some of it, e.g. gpu=2; may be repeated
    #[arg(long = "resource", value_name = "NAME=AMOUNT", value_parser = resource)]
    pub(super) resources: Vec<Resource>,
    /// Answer calls of this method with their own payload and run nothing, for measurements; may
    /// be repeated
    #[arg(long = "null", value_name = "METHOD")]
    pub(super) null: Vec<String>,
}

fn resource(text: &str) -> Result<Resource, String> {
    let (name, amount) = text.split_once('=').ok_or("write NAME=AMOUNT, e.g. gpu=2")?;
    let amount = amount.parse::<Amount>().map_err(|error| error.to_string())?;
    Ok((name.to_owned(), amount))
}

#[derive(Debug, Args)]
pub(super) struct SchedulerArgs {
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
    #[command(flatten)]
    pub(super) placement: PlacementArgs,
}

#[derive(Debug, Args)]
pub(super) struct KeeperArgs {
    /// The run whose processes end with the host
    #[arg(long)]
    pub(super) run_id: String,
}

/// Which cluster.
#[derive(Debug, Clone, Args)]
pub(super) struct WhichArgs {
    /// Name of the cluster [default: the one started last]
    #[arg(long, env = "PHALANX_CLUSTER", value_name = "NAME")]
    pub(super) cluster: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct StopArgs {
    #[command(flatten)]
    pub(super) which: WhichArgs,
    /// Stop every cluster
    #[arg(long, conflicts_with = "cluster")]
    pub(super) all: bool,
}

/// How to show it.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct OutputArgs {
    /// How to show it [default: table]
    #[arg(long, short, env = "PHALANX_OUTPUT", value_name = "FORM")]
    pub(super) output: Option<Output>,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) which: WhichArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// What to do about tasks.
#[derive(Debug, Subcommand)]
pub(super) enum TaskCommand {
    /// List the tasks that the hub has on record: open ones, and the latest that ended
    List(TaskListArgs),
    /// Show what the hub has on record of one task
    Show(TaskShowArgs),
    /// Say why a task is where it is: what it waits for, what engines are busy with, how it ended
    Explain(TaskShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct TaskListArgs {
    #[command(flatten)]
    pub(super) which: WhichArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Only those that have not ended
    #[arg(long)]
    pub(super) open: bool,
    /// Only those with this label
    #[arg(long, value_name = "TEXT")]
    pub(super) label: Option<String>,
    /// How many of the latest at most
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(super) limit: usize,
}

#[derive(Debug, Args)]
pub(super) struct TaskShowArgs {
    #[command(flatten)]
    pub(super) which: WhichArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Its id, such as c7/42
    pub(super) task: phalanx_client::TaskId,
}

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    pub(super) which: WhichArgs,
    /// Go on showing lines as they are written
    #[arg(long, short)]
    pub(super) follow: bool,
    /// How many of the last lines of each process to begin with
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(super) lines: usize,
    /// host, hub, scheduler, engine-0 and so on [default: all of them]
    pub(super) process: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_commands_parse() {
        for line in [
            "phalanx start -n 4 --cluster lab --listen 10.0.0.5:7000 --foreground",
            "phalanx start -n 2 --scheme lru --hwm 0",
            "phalanx engine --connection engine.json --resource gpu=2 --resource ram=0.5",
            "phalanx start -n 2 --program ./engine -- --slots 2",
            "phalanx start -n 2 --python /opt/python3 -- --label gpu",
            "phalanx start -n 2 --native --hwm 4 -- --slots 2",
            "phalanx stop --all",
            "phalanx clean",
            "phalanx list --output json",
            "phalanx status --output quiet",
            "phalanx logs --follow hub",
            "phalanx task list --open --label first --limit 5",
            "phalanx task show c7/42 --output json",
            "phalanx host -n 1 --until-stdin-closes",
            "phalanx hub --connection hub.json --listen 127.0.0.1:7000",
            "phalanx engine --connection engine.json --slots 2 --label gpu",
            "phalanx engine --connection engine.json --null bench.noop",
            "phalanx scheduler --connection scheduler.json --hwm adaptive",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "phalanx",
            "phalanx start -n x",
            "phalanx start --hwm many",
            "phalanx start --native --program ./engine",
            "phalanx stop --all --cluster a",
            "phalanx start --scheme first",
            "phalanx engine --connection engine.json --resource gpu",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
