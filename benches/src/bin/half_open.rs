//! What peers that begin a handshake and fall silent make of a hub's memory.
//!
//! ```text
//! make release && target/release/half_open
//! ```
//!
//! Fails if the hub grows by more than `SECURITY.md` says. See `benches/README.md`.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use phalanx::cluster_state::ClusterState;
use phalanx::host::process::Process;
use phalanx::{ConnectionFile, LocalCluster};
use phalanx_benches::half_open::{Answers, Memory, Silence, begin};
use phalanx_protocol::limits::HANDSHAKE_DEADLINE;

/// By how much the hub may grow, in bytes: the bound that `SECURITY.md` gives.
const GROWTH_MAX: u64 = 128 << 20;

/// A little less than the hub's deadline: all of them are pending at once.
const HOLD: Duration = Duration::from_secs(4);

/// Begins handshakes that never end, and tells the hub's memory.
#[derive(Debug, Parser)]
#[command(name = "half_open")]
struct Cli {
    /// Handshakes at once
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    attempts: usize,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let cluster = LocalCluster::builder().engines(0).start()?;
    measure(&cluster, cli.attempts)?;
    cluster.stop()?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn measure(cluster: &LocalCluster, attempts: usize) -> Result<()> {
    let hub = hub_pid(cluster)?;
    let file = ConnectionFile::load(&cluster.connection_file())?;
    let fresh = Memory::of(hub)?.now;
    let mut out = io::stdout().lock();
    writeln!(out, "{attempts} handshakes at once, memory of the hub in MiB")?;
    writeln!(out, "silent       held  retried  refused  before  highest  after")?;
    for (name, silence) in [("at once", Silence::AtOnce), ("once proven", Silence::OnceProven)] {
        Memory::forget_highest(hub)?;
        let before = Memory::of(hub)?;
        let answers = begin(&file, attempts, silence, HOLD).await?;
        // Those that are held are given up by then.
        tokio::time::sleep(HANDSHAKE_DEADLINE).await;
        let after = Memory::of(hub)?;
        let Answers { held, retried, refused } = answers;
        writeln!(
            out,
            "{name:<11} {held:>5}  {retried:>7}  {refused:>7}  {:>6.1}  {:>7.1}  {:>5.1}",
            mib(before.now),
            mib(after.highest),
            mib(after.now)
        )?;
        ensure!(held + retried + refused > 0, "the hub has heard nothing");
        let growth = after.highest.saturating_sub(fresh);
        ensure!(growth <= GROWTH_MAX, "the hub grew by {:.1} MiB", mib(growth));
    }
    Ok(())
}

fn hub_pid(cluster: &LocalCluster) -> Result<u32> {
    let state: Option<ClusterState> = cluster.dir().read_state()?;
    let state = state.context("the cluster has no state file")?;
    let hub = state.processes.iter().find(|status| status.process == Process::Hub);
    hub.and_then(|status| status.pid).context("the state file of the cluster names no hub process")
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
