//! The census of Rust source in one process, without a cluster: the time the parallel one is compared
//! with.
//!
//! ```text
//! cargo run --release -p phalanx-examples --example census_serial
//! ```
use std::time::Instant;

use anyhow::Result;
use phalanx_examples::source_census::{find_sources, registry_sources, run_serial};

fn main() -> Result<()> {
    let files = find_sources(&registry_sources()?)?;
    let start = Instant::now();
    let census = run_serial(&files, |_| {})?;
    let elapsed = start.elapsed();
    print!("{}", census.report);
    eprintln!("{} files one after the other in {elapsed:.1?}", files.len());
    Ok(())
}
