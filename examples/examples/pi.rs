//! Pi by Monte Carlo: random points in a square, counted in the quarter circle, by all engines.
//!
//! Each task has its seed, so the answer is the same on any number of engines, and the same as that of
//! the loop that needs none.
//!
//! ```text
//! cargo run --release -p phalanx-examples --example pi
//! ```

use std::convert::Infallible;
use std::f64::consts::PI;
use std::time::Instant;

use anyhow::{Result, ensure};
use phalanx::{Client, ConnectionFile, Engine, LocalCluster, Method, run_engine};
use serde::{Deserialize, Serialize};

/// Counts the random points that fall into the quarter circle.
const HITS: Method<Throw, u64> = Method::new("pi.hits");

const ENGINES: u32 = 4;
const TASKS: u64 = 200;
const POINTS_PER_TASK: u64 = 100_000;

/// Points to throw at the square.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Throw {
    seed: u64,
    points: u64,
}

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("engine") {
        let engine = Engine::builder().on_blocking(HITS, |throw| Ok::<_, Infallible>(hits(throw)));
        run_engine(engine)?;
        return Ok(());
    }
    let cluster = LocalCluster::builder().engines(ENGINES).this_program(["engine"])?.start()?;
    client(&cluster)?;
    cluster.stop()?;
    Ok(())
}

fn hits(Throw { seed, points }: Throw) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..points).filter(|_| random.f64().powi(2) + random.f64().powi(2) < 1.0).count() as u64
}

fn throws() -> impl Iterator<Item = Throw> {
    (0..TASKS).map(|seed| Throw { seed, points: POINTS_PER_TASK })
}

#[tokio::main(flavor = "current_thread")]
async fn client(cluster: &LocalCluster) -> Result<()> {
    let client = Client::connect(&ConnectionFile::load(&cluster.connection_file())?).await?;
    let began = Instant::now();
    let in_circle: u64 = client.load_balanced_view().map(HITS, throws())?.await?.iter().sum();
    let parallel = began.elapsed();
    client.close().await;

    let began = Instant::now();
    let serial: u64 = throws().map(hits).sum();
    println!("{parallel:.1?} on {ENGINES} engines, {:.1?} in a loop", began.elapsed());
    ensure!(in_circle == serial, "{in_circle} points in the circle, {serial} by the loop");

    let points = (TASKS * POINTS_PER_TASK) as f64;
    let estimate = 4.0 * in_circle as f64 / points;
    // The deviation of the estimate is 4 * sqrt(p * (1 - p) / points), with p = pi / 4.
    let deviation = 4.0 * (PI / 4.0 * (1.0 - PI / 4.0) / points).sqrt();
    println!("pi is about {estimate:.5}, give or take {deviation:.5}");
    ensure!((estimate - PI).abs() < 4.0 * deviation, "{estimate} is not pi");
    Ok(())
}
