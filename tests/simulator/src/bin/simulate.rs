//! Runs seeds of the simulator by hand: `simulate 0..20000`, or `simulate 17` for one seed's story.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use phalanx_simulator::plan::Plan;
use phalanx_simulator::{run, run_seed, shrink};

fn main() -> ExitCode {
    let Some(wish) = std::env::args().nth(1) else {
        eprintln!("usage: simulate SEED | FROM..TO");
        return ExitCode::from(2);
    };
    let range = match wish.split_once("..") {
        Some((from, to)) => from.parse().ok().zip(to.parse().ok()),
        None => {
            let Ok(seed) = wish.parse() else {
                eprintln!("{wish:?} is not a seed");
                return ExitCode::from(2);
            };
            return story(seed);
        }
    };
    let Some((from, to)) = range else {
        eprintln!("{wish:?} is not a range of seeds such as 0..2000");
        return ExitCode::from(2);
    };
    seeds(from, to)
}

/// Tells what happens under one seed; if it fails, cut down to what the failure needs.
fn story(seed: u64) -> ExitCode {
    let plan = Plan::from_seed(seed);
    let failed = run(&plan, false).violation.is_some();
    let plan = if failed { shrink::shrink(&plan) } else { plan };
    let run = run(&plan, true);
    println!("{plan:#?}");
    for line in &run.story {
        println!("{line}");
    }
    println!("seed {seed}: {} tasks, {} steps, hash {:016x}", run.tasks, run.steps, run.hash);
    match run.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("VIOLATION: {violation}");
            ExitCode::FAILURE
        }
    }
}

/// Runs many seeds on every core, and names those that fail.
fn seeds(from: u64, to: u64) -> ExitCode {
    let began = Instant::now();
    let (next, steps, failures) = (AtomicU64::new(from), AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    let run = run_seed(seed);
                    steps.fetch_add(run.steps, Ordering::Relaxed);
                    if let Some(violation) = run.violation {
                        failures.fetch_add(1, Ordering::Relaxed);
                        println!("seed {seed}: {violation}");
                    }
                }
            });
        }
    });
    let failures = failures.into_inner();
    println!(
        "{} seeds, {} steps, {failures} violations, {:.1} s",
        to.saturating_sub(from),
        steps.into_inner(),
        began.elapsed().as_secs_f64()
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
