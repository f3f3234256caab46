//! A map over many items, balanced over the engines: results in order, results as they come, and what
//! becomes of an item whose handler fails.
//!
//! ```text
//! cargo run -p phalanx-examples --example map
//! ```

use std::collections::BTreeSet;
use std::num::ParseIntError;

use anyhow::{Result, bail, ensure};
use phalanx::client::TaskError;
use phalanx::{Client, ConnectionFile, Engine, LocalCluster, Method, run_engine};

/// How many steps of "halve it, or triple it and add one" lead from a number to 1.
const COLLATZ: Method<u64, u32> = Method::new("map.collatz");
/// Reads a number; not every text is one.
const PARSE: Method<String, u64> = Method::new("map.parse");

const ENGINES: u32 = 3;
const NUMBERS: u64 = 1_000;

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
        .on_blocking(COLLATZ, |number| Ok::<_, ParseIntError>(collatz(number)))
        .on_blocking(PARSE, |text| text.trim().parse::<u64>());
    run_engine(engine)?;
    Ok(())
}

fn collatz(mut number: u64) -> u32 {
    let mut steps = 0;
    while number > 1 {
        number = if number.is_multiple_of(2) { number / 2 } else { 3 * number + 1 };
        steps += 1;
    }
    steps
}

#[tokio::main(flavor = "current_thread")]
async fn client(cluster: &LocalCluster) -> Result<()> {
    let client = Client::connect(&ConnectionFile::load(&cluster.connection_file())?).await?;
    let view = client.load_balanced_view();

    // All results, in the order of the items.
    let steps = view.map(COLLATZ, 1..=NUMBERS)?.await?;
    let expected: Vec<u32> = (1..=NUMBERS).map(collatz).collect();
    ensure!(steps == expected, "the results are in the order of the items");
    let longest = (1..=NUMBERS).zip(&steps).max_by_key(|(_, steps)| **steps);
    println!("Longest way to 1 below {NUMBERS}: {longest:?}");

    // One by one, as they come, each with its place.
    let mut running = view.map(COLLATZ, 1..=NUMBERS)?;
    let mut places = BTreeSet::new();
    let mut engines = BTreeSet::new();
    while let Some((place, steps)) = running.next_done().await {
        ensure!(steps? == expected[place], "a result comes with its place");
        ensure!(places.insert(place), "a result comes once");
        engines.extend(running.metadata(place).and_then(|metadata| metadata.engine));
    }
    ensure!(places.len() == NUMBERS as usize, "every result comes");
    println!("{} results from {} engines", places.len(), engines.len());

    // One item fails; the others do not.
    let texts = ["1", "two", " 3 "].map(str::to_owned);
    let outcomes = view.map(PARSE, texts)?.outcomes().await;
    let [Ok(1), Err(TaskError::Remote { error, .. }), Ok(3)] = outcomes.as_slice() else {
        bail!("one item fails and the others do not: {outcomes:?}");
    };
    println!("As it should, an item failed: {error}");
    ensure!(error.message.contains("invalid digit"), "the message is the handler's: {error}");
    ensure!(error.method == PARSE.name(), "the error names the method: {error}");

    client.close().await;
    Ok(())
}
