//! The main job of `make demo`: a census of every Rust source file that cargo has unpacked here, as a
//! graph of tasks on a cluster of this machine, checked against the same census made serially.
//!
//! ```text
//! measure (7,000 files, balanced) ──after, follow──> reduce (200 crates) ──after──> report
//! ```
//!
//! ```text
//! cargo build --release && cargo run --release -p phalanx-examples --example source_census
//! ```
//!
//! This program is client and engine in one: the cluster starts it again as `source_census engine`.
//! It ends with an error if the two answers differ or anything of the cluster is left behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand};
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use phalanx::client::{Dependency, TaskId};
use phalanx::{
    AsyncMapResult, AsyncResult, Client, ConnectionFile, Engine, LoadBalancedView, LocalCluster,
    Method, run_engine,
};
use phalanx_examples::leftovers::Leftovers;
use phalanx_examples::source_census::tasks::{
    self, MeasureTask, Measured, ReduceTask, ReportTask, RunDir,
};
use phalanx_examples::source_census::{
    Census, CrateId, CrateMeasure, Measurer, Report, SourceFile, by_crate, find_sources,
    registry_sources, run_serial,
};

const MEASURE: Method<MeasureTask, Measured> = Method::new("census.measure");
const REDUCE: Method<ReduceTask, CrateMeasure> = Method::new("census.reduce");
const REPORT: Method<ReportTask, Report> = Method::new("census.report");

/// Measures all Rust source that cargo has unpacked, on a cluster and serially, and compares.
#[derive(Debug, Parser)]
struct Args {
    /// Take only the first files
    #[arg(long, value_name = "FILES")]
    limit: Option<usize>,
    /// How many engine processes to start
    #[arg(long, default_value_t = 4, value_name = "N")]
    engines: u32,
    /// Where crates are unpacked [default: registry/src in cargo's home directory]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Be an engine of the cluster that started this process
    #[command(hide = true)]
    Engine,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match args.role {
        Some(Role::Engine) => engine(),
        None => demo(&args),
    }
}

/// An engine: the three kinds of tasks by name, one at a time, because each is all CPU time.
fn engine() -> Result<ExitCode> {
    let measurer = Measurer::start()?;
    let engine = Engine::builder()
        .slots(1)
        .on_blocking(MEASURE, move |task| tasks::measure(&measurer, &task))
        .on_blocking(REDUCE, tasks::reduce)
        .on_blocking(REPORT, |task| tasks::report(&task));
    run_engine(engine)?;
    Ok(ExitCode::SUCCESS)
}

/// The client. Ctrl-C ends it in order: what it started ends with what it drops.
fn demo(args: &Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = compare(args) => result.map(|()| ExitCode::SUCCESS),
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    });
    runtime.shutdown_background();
    result
}

async fn compare(args: &Args) -> Result<()> {
    let files = input(args)?;
    let (parallel, parallel_time) = on_cluster(args.engines, &files).await?;
    let (serial, serial_time) = serially(files).await?;

    print!("{}", parallel.report);
    ensure!(parallel.crates == serial.crates, "the measures of crates differ from the serial ones");
    ensure!(parallel.report == serial.report, "the report differs from the serial one");
    eprintln!("The answer equals the serial one, and nothing is left of the cluster.");
    eprintln!(
        "{:.1?} on {} engines, {:.1?} serially: {:.2} times as fast",
        parallel_time,
        args.engines,
        serial_time,
        serial_time.as_secs_f64() / parallel_time.as_secs_f64(),
    );
    Ok(())
}

/// The files to measure, read once so that neither run pays for a cold disk.
fn input(args: &Args) -> Result<Vec<SourceFile>> {
    let root = match &args.root {
        Some(root) => root.clone(),
        None => registry_sources()?,
    };
    let mut files = find_sources(&root)?;
    files.truncate(args.limit.unwrap_or(usize::MAX));
    ensure!(!files.is_empty(), "there is nothing to measure with --limit 0");
    for file in &files {
        fs::read(&file.path).with_context(|| format!("cannot read {}", file.path.display()))?;
    }
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let crates = by_crate(&files).count();
    let (count, mb, root) = (files.len(), bytes / 1_000_000, root.display());
    eprintln!("Found {count} files ({mb} MB) of {crates} crates in {root}");
    Ok(files)
}

/// The census as a graph of tasks, on a cluster that is started for it and stopped after it.
async fn on_cluster(engines: u32, files: &[SourceFile]) -> Result<(Census, Duration)> {
    let builder = LocalCluster::builder().engines(engines).this_program(["engine"])?;
    let cluster = tokio::task::spawn_blocking(|| builder.start()).await??;
    eprintln!("Started a hub and {engines} engines in {:.0?}", cluster.start_took());
    let leftovers = Leftovers::of(&cluster)?;

    let run = RunDir::create(by_crate(files).count())?;
    let run_path = run.path().to_owned();
    let client = Client::connect(&ConnectionFile::load(&cluster.connection_file())?).await?;
    let began = Instant::now();
    let census = Graph::submit(&client.load_balanced_view(), &run, files)?.finish().await?;
    let took = began.elapsed();

    client.close().await;
    run.remove().context("cannot remove the directory of the run")?;
    tokio::task::spawn_blocking(|| cluster.stop()).await??;
    leftovers.check()?;
    ensure!(!run_path.exists(), "{} is left", run_path.display());
    Ok((census, took))
}

/// All tasks of the census, submitted at once.
struct Graph {
    measured: AsyncMapResult<Measured>,
    reduced: Vec<AsyncResult<CrateMeasure>>,
    report: AsyncResult<Report>,
}

impl Graph {
    fn submit(view: &LoadBalancedView, run: &RunDir, files: &[SourceFile]) -> Result<Self> {
        let crates: Vec<(CrateId, &[SourceFile])> = by_crate(files).collect();
        let tasks = crates.iter().enumerate().flat_map(|(at, (_, files))| {
            let measures = run.of_crate(at, files.len());
            files.iter().enumerate().map(move |(index, source)| MeasureTask {
                source: source.clone(),
                measure_path: measures.path(index as u64),
            })
        });
        let measured = view.map(MEASURE, tasks)?;

        let ids: Vec<TaskId> = measured.ids().collect();
        let mut ids = ids.as_slice();
        let of_crates = run.of_crates(crates.len());
        let mut reduced = Vec::with_capacity(crates.len());
        for (at, (id, files)) in crates.into_iter().enumerate() {
            let (of_crate, rest) = ids.split_at(files.len());
            ids = rest;
            let task = ReduceTask {
                id,
                measures: run.of_crate(at, files.len()),
                measure_path: of_crates.path(at as u64),
            };
            // After all files of the crate, on an engine that has measured one of them.
            let view = view.after(of_crate).follow(Dependency::any(of_crate.iter().copied()));
            reduced.push(view.call(REDUCE, &task)?);
        }
        let report = view.after(&reduced).call(REPORT, &ReportTask { measures: of_crates })?;
        Ok(Self { measured, reduced, report })
    }

    /// Waits for all of it, in the order in which it ends, and shows how far it is.
    async fn finish(mut self) -> Result<Census> {
        let bars = MultiProgress::new();
        let files_bar = bars.add(bar("files", self.measured.len()));
        let crates_bar = bars.add(bar("crates", self.reduced.len()));
        let mut crates_open: Vec<_> = self.reduced.iter().collect();
        let mut lines = 0;
        while let Some((index, measured)) = self.measured.next_done().await {
            lines += measured.with_context(|| format!("file {index} was not measured"))?.lines;
            files_bar.inc(1);
            files_bar.set_message(format!("{} lines", HumanCount(lines)));
            crates_open.retain(|reduced| !reduced.ready());
            crates_bar.set_position((self.reduced.len() - crates_open.len()) as u64);
        }
        let mut crates = Vec::with_capacity(self.reduced.len());
        for reduced in &self.reduced {
            crates.push(reduced.get().await.context("a crate was not added up")?);
            crates_bar.set_position(crates_bar.position().max(crates.len() as u64));
        }
        let report = self.report.await.context("there is no report")?;
        finish(&[&files_bar, &crates_bar]);
        eprintln!("{}", shares(&self.measured));
        Ok(Census { crates, report })
    }
}

/// Which engine has measured how many files.
fn shares(measured: &AsyncMapResult<Measured>) -> String {
    let mut shares: BTreeMap<_, usize> = BTreeMap::new();
    for metadata in (0..measured.len()).filter_map(|index| measured.metadata(index)) {
        *shares.entry(metadata.engine).or_default() += 1;
    }
    let shares: Vec<_> = shares
        .into_iter()
        .filter_map(|(engine, files)| Some(format!("{} by {}", files, engine?)))
        .collect();
    format!("Files measured: {}", shares.join(", "))
}

/// The census in this process, one file after the other.
async fn serially(files: Vec<SourceFile>) -> Result<(Census, Duration)> {
    tokio::task::spawn_blocking(move || {
        let bar = bar("serially", files.len());
        let began = Instant::now();
        let census = run_serial(&files, |_| bar.inc(1))?;
        let took = began.elapsed();
        finish(&[&bar]);
        Ok((census, took))
    })
    .await?
}

/// A progress bar on standard error; it is not drawn where that is no terminal.
fn bar(name: &'static str, len: usize) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix:>9} {wide_bar:.green/8} {pos:>5}/{len:<5} {elapsed:>4} {msg:>15}",
    );
    let bar = ProgressBar::new(len as u64).with_prefix(name);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Leaves full bars behind, and what follows on a line of its own.
fn finish(bars: &[&ProgressBar]) {
    bars.iter().for_each(|bar| bar.finish());
    if bars.iter().any(|bar| !bar.is_hidden()) {
        eprintln!();
    }
}
