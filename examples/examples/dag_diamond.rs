//! A graph of tasks: order, place, failure, time.
//!
//! ```text
//!          top                    broken                 slow
//!         /   \                  /      \                  |
//!      left   right         repair      never            late
//!         \   /            (on failure) (on success)   (timeout)
//!         bottom
//! ```
//!
//! ```text
//! cargo run -p phalanx-examples --example dag_diamond
//! ```

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use phalanx::client::{Accept, Dependency, TaskError};
use phalanx::{
    AsyncResult, Client, ConnectionFile, Engine, LoadBalancedView, LocalCluster, Method, run_engine,
};
use serde::{Deserialize, Serialize};

/// Says where and when it ran.
const STEP: Method<String, Step> = Method::new("diamond.step");
/// Always fails.
const BREAK: Method<(), ()> = Method::new("diamond.break");
/// Takes longer than anybody wants to wait.
const SLOW: Method<(), ()> = Method::new("diamond.slow");

const ENGINES: u32 = 3;
const SLOW_FOR: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_millis(200);

/// What a step says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Step {
    name: String,
    process: u32,
    began: SystemTime,
    ended: SystemTime,
}

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("engine") {
        return engine();
    }
    let cluster = LocalCluster::builder().engines(ENGINES).this_program(["engine"])?.start()?;
    client(&cluster)?;
    cluster.stop()?;
    Ok(())
}

fn engine() -> Result<()> {
    let engine = Engine::builder()
        .on(STEP, step)
        .on(BREAK, async |()| Err("broken on purpose"))
        .on(SLOW, async |()| {
            tokio::time::sleep(SLOW_FOR).await;
            Ok::<_, Infallible>(())
        });
    run_engine(engine)?;
    Ok(())
}

async fn step(name: String) -> Result<Step, Infallible> {
    let began = SystemTime::now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(Step { name, process: std::process::id(), began, ended: SystemTime::now() })
}

#[tokio::main(flavor = "current_thread")]
async fn client(cluster: &LocalCluster) -> Result<()> {
    let client = Client::connect(&ConnectionFile::load(&cluster.connection_file())?).await?;
    let view = client.load_balanced_view();
    diamond(&view).await?;
    failure(&view).await?;
    time(&view).await?;
    client.close().await;
    Ok(())
}

/// All four tasks are submitted at once; the graph sees to the order.
async fn diamond(view: &LoadBalancedView) -> Result<()> {
    let call = |view: &LoadBalancedView, name: &str| view.call(STEP, &name.to_owned());
    let top = call(view, "top")?;
    let left = call(&view.after(&top), "left")?;
    // `follow` is order and place: where top ran.
    let right = call(&view.follow(&top), "right")?;
    let sides = [left.id(), right.id()];
    let bottom = call(&view.after(sides).follow(Dependency::any(sides)), "bottom")?;

    let (top, left, right, bottom) = (top.await?, left.await?, right.await?, bottom.await?);
    for Step { name, process, .. } in [&top, &left, &right, &bottom] {
        println!("{name} ran in process {process}");
    }
    for side in [&left, &right] {
        ensure!(side.began >= top.ended, "{} comes after top", side.name);
        ensure!(bottom.began >= side.ended, "bottom comes after {}", side.name);
    }
    ensure!(right.process == top.process, "right follows top");
    ensure!(
        [left.process, right.process].contains(&bottom.process),
        "bottom follows one of the sides"
    );
    Ok(())
}

/// A failure is something to come after, too.
async fn failure(view: &LoadBalancedView) -> Result<()> {
    let broken = view.call(BREAK, &())?;
    let on_failure = Dependency::all([broken.id()]).accepting(Accept::Failure);
    let repair = view.after(on_failure).call(STEP, &"repair".to_owned())?;
    let never: AsyncResult<Step> = view.after(&broken).call(STEP, &"never".to_owned())?;
    let nor: AsyncResult<Step> = view.after(&never).call(STEP, &"nor this".to_owned())?;

    let error = broken.await.err().context("broken fails")?;
    println!("As it should: {error}");
    ensure!(matches!(&error, TaskError::Remote { error, .. } if error.message.contains("purpose")));
    println!("{} ran because of it", repair.await?.name);
    for impossible in [never, nor] {
        let error = impossible.await.err().context("what comes after its success never runs")?;
        println!("As it should: {error}");
        ensure!(matches!(error, TaskError::DependencyFailed { .. }), "not {error}");
    }
    Ok(())
}

/// Nobody waits for ever.
async fn time(view: &LoadBalancedView) -> Result<()> {
    let slow = view.call(SLOW, &())?;
    let late: AsyncResult<Step> =
        view.after(&slow).timeout(PATIENCE).call(STEP, &"late".to_owned())?;

    let error = late.await.err().context("late does not run")?;
    println!("As it should: {error}");
    ensure!(matches!(error, TaskError::DependencyTimeout { .. }), "not {error}");

    slow.abort();
    let error = slow.await.err().context("slow does not end by itself")?;
    println!("As it should: {error}");
    ensure!(matches!(error, TaskError::Aborted { .. }), "not {error}");
    Ok(())
}
