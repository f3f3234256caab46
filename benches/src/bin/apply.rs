//! What a task that does nothing costs: throughput, latency and processor time, through a real
//! cluster of processes with mutual TLS, ledger, dependencies and limits.
//!
//! ```text
//! make release && target/release/apply
//! ```
//!
//! The client is in this process; the engines are this program too. See `benches/README.md`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use phalanx::{Client, ConnectionFile, LocalCluster};
use phalanx_benches::apply::bare::{self, BarePath};
use phalanx_benches::apply::load::{self, Caller, Style};
use phalanx_benches::apply::method::{self, ARGS_LEN, ExecutorKind, Subject};
use phalanx_benches::apply::processes::{CpuPerTask, Processes};
use phalanx_benches::apply::report::{Latency, Report, Throughput};
use phalanx_benches::cpu;

/// No engine takes longer to come.
const ENGINES_WITHIN: Duration = Duration::from_secs(30);

/// Measures tasks that do nothing, from end to end.
#[derive(Debug, Parser)]
#[command(name = "apply", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Is an engine: what the measured cluster starts
    #[command(hide = true)]
    Engine {
        /// How it answers
        executor: ExecutorKind,
    },
    /// Is the relay of the bare path
    #[command(hide = true)]
    Relay {
        /// Where the connection files go
        directory: PathBuf,
        /// How many engines will come
        engines: usize,
    },
    /// Is an engine of the bare path
    #[command(hide = true)]
    BareEngine {
        /// Where the connection files are
        directory: PathBuf,
    },
}

#[derive(Debug, Clone, Args)]
struct MeasureArgs {
    /// Numbers of engines, each measured with a cluster of its own
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_name = "N")]
    engines: Vec<u32>,
    /// How the engines answer; bare: no cluster, but the same frames through a relay
    #[arg(long, value_enum, value_delimiter = ',', default_value = "bare,null,native")]
    executor: Vec<Subject>,
    /// Tasks in one run of the throughput; 0 = do not measure it
    #[arg(long, default_value_t = 400_000, value_name = "N")]
    tasks: u64,
    /// How many of them are in flight
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    in_flight: usize,
    /// Runs of the throughput; their median is reported
    #[arg(long, default_value_t = 3, value_name = "N")]
    runs: usize,
    /// How the client keeps them in flight
    #[arg(long, value_enum, default_value = "callers")]
    client: Style,
    /// Tasks measured one at a time; 0 = none
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    single_tasks: u64,
    /// Tasks before those, not measured
    #[arg(long, default_value_t = 500, value_name = "N")]
    single_warm_up: u64,
    /// Keep client, hub and engines on one processor
    #[arg(long)]
    pin: bool,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Columns, for people
    Table,
    /// One JSON document
    Json,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        None => {}
        Some(Command::Engine { executor }) => return Ok(method::run(executor)?),
        Some(Command::Relay { directory, engines }) => return bare::relay(&directory, engines),
        Some(Command::BareEngine { directory }) => return bare::engine(&directory),
    }
    let args = cli.measure;
    ensure!(args.in_flight > 0, "--in-flight 0: at least one task must be in flight");
    ensure!(args.runs > 0, "--runs 0: at least one run is needed");
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    // Before anything is started, so that all of it stays there.
    let pinned_to_cpu = args.pin.then(cpu::pin_to_one_cpu).transpose()?;
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let mut report = Report {
        release: env!("CARGO_PKG_VERSION"),
        profile,
        cpus,
        pinned_to_cpu,
        args_bytes: ARGS_LEN,
        client: args.client,
        throughput: Vec::new(),
        latency: Vec::new(),
    };
    for &executor in &args.executor {
        for &engines in &args.engines {
            match executor.executor() {
                Some(kind) => measure(&args, (executor, kind), engines, &mut report)?,
                None => measure_bare(&args, engines, &mut report)?,
            }
        }
    }
    let text = match args.output {
        Output::Table => report.table(),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

/// Measures one cluster and stops it.
fn measure(
    args: &MeasureArgs,
    (subject, executor): (Subject, ExecutorKind),
    engines: u32,
    report: &mut Report,
) -> Result<()> {
    let cluster = LocalCluster::builder()
        .engines(engines)
        .this_program(["engine", executor.as_str()])?
        .start()
        .context("no cluster to measure; is the phalanx program built in the same profile?")?;
    let bench = Bench { processes: Processes::of(&cluster)?, args, subject, engines };
    let connection = ConnectionFile::load(&cluster.connection_file())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::connect(&connection).await?;
        client.wait_for_engines(engines as usize, ENGINES_WITHIN).await?;
        let mut caller = Caller::View(client.load_balanced_view(), args.client);
        bench.run(&mut caller, report).await?;
        if let Some(latency) = report.latency.last_mut().filter(|_| args.single_tasks > 0) {
            let pings = load::pings(&client, args.single_tasks).await?;
            latency.ping_p50_us = Some(us(&pings, 0.5));
        }
        client.close().await;
        Ok::<_, anyhow::Error>(())
    })?;
    drop(runtime);
    cluster.stop()?;
    Ok(())
}

/// Measures the bare path with so many engines.
fn measure_bare(args: &MeasureArgs, engines: u32, report: &mut Report) -> Result<()> {
    let path = BarePath::start(engines)?;
    let bench = Bench { processes: path.processes(), args, subject: Subject::Bare, engines };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_connector, client) = path.connect().await?;
        bench.run(&mut Caller::Bare(client), report).await
    })
}

struct Bench<'a> {
    processes: Processes,
    args: &'a MeasureArgs,
    subject: Subject,
    engines: u32,
}

impl Bench<'_> {
    async fn run(&self, caller: &mut Caller, report: &mut Report) -> Result<()> {
        if self.args.tasks > 0 {
            report.throughput.push(self.throughput(caller).await?);
        }
        if self.args.single_tasks > 0 {
            report.latency.push(self.latency(caller).await?);
        }
        Ok(())
    }

    async fn throughput(&self, caller: &mut Caller) -> Result<Throughput> {
        let &MeasureArgs { tasks, in_flight, runs, .. } = self.args;
        // The scheduler learns how short the tasks are, and tables get their size.
        caller.many(tasks.min(20 * in_flight as u64), in_flight).await?;
        let mut measured: Vec<(f64, CpuPerTask)> = Vec::with_capacity(runs);
        for _ in 0..runs {
            let before = self.processes.cpu_times()?;
            let took = caller.many(tasks, in_flight).await?;
            let cpu = self.processes.cpu_times()?.per_task_since(&before, tasks);
            measured.push((tasks as f64 / took.as_secs_f64(), cpu));
        }
        measured.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (tasks_per_s, cpu_per_task) = measured[runs / 2];
        Ok(Throughput {
            executor: self.subject,
            engines: self.engines,
            tasks,
            in_flight,
            runs,
            tasks_per_s,
            tasks_per_s_min: measured[0].0,
            tasks_per_s_max: measured[runs - 1].0,
            cpu_per_task,
        })
    }

    async fn latency(&self, caller: &mut Caller) -> Result<Latency> {
        let tasks = self.args.single_tasks;
        caller.one_at_a_time(self.args.single_warm_up).await?;
        let before = self.processes.cpu_times()?;
        let took = caller.one_at_a_time(tasks).await?;
        let cpu_per_task = self.processes.cpu_times()?.per_task_since(&before, tasks);
        Ok(Latency {
            executor: self.subject,
            engines: self.engines,
            tasks,
            p50_us: us(&took, 0.5),
            p99_us: us(&took, 0.99),
            ping_p50_us: None,
            cpu_per_task,
        })
    }
}

fn us(sorted: &[Duration], share: f64) -> f64 {
    load::quantile(sorted, share).as_secs_f64() * 1e6
}
