//! The whole cluster under many seeds: no violation of the delivery contract, whatever fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use phalanx_simulator::plan::Plan;
use phalanx_simulator::{run, run_seed, shrink};

/// How many seeds every test run plays; more by hand with the `simulate` command.
const SEEDS: u64 = 2_000;

/// Plays the seeds on every core; panics with the first failing one, cut down.
fn play(seeds: &[u64]) {
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(seed) = seeds.get(index) else { break };
                    if let Some(violation) = run_seed(*seed).violation {
                        *failed.lock().expect("nobody panics with it") = Some((*seed, violation));
                        break;
                    }
                }
            });
        }
    });
    if let Some((seed, violation)) = failed.into_inner().expect("nobody panics with it") {
        let plan = shrink::shrink(&Plan::from_seed(seed));
        let story = run(&plan, true).story.join("\n");
        panic!(
            "seed {seed}: {violation}\n{plan:#?}\n{story}\n\
             keep it: add \"{seed}\" to tests/simulator/tests/seeds.txt"
        );
    }
}

#[test]
fn no_seed_violates_the_contract() {
    play(&(0..SEEDS).collect::<Vec<_>>());
}

#[test]
fn seeds_that_once_found_a_fault_find_none() {
    let kept: Vec<u64> = include_str!("seeds.txt")
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    play(&kept);
}

#[test]
fn the_same_seed_twice_is_the_same_run() {
    for seed in 0..50 {
        let first = run_seed(seed);
        assert_eq!(first, run_seed(seed), "seed {seed}");
        assert!(first.tasks > 0 && first.steps > 0);
    }
    assert_ne!(run_seed(1).hash, run_seed(2).hash);
}

#[test]
fn tasks_are_taken_back_and_kept_in_many_runs() {
    let runs: Vec<_> = (0..300).map(run_seed).collect();
    let given_back = runs.iter().filter(|run| run.given_back > 0).count();
    let kept = runs.iter().filter(|run| run.kept > 0).count();
    assert!(given_back >= 20, "in {given_back} of 300 runs a task was given back");
    assert!(kept >= 5, "in {kept} of 300 runs a task was kept");
}

#[test]
fn tasks_are_sent_ahead_of_what_they_wait_for_in_many_runs() {
    let runs: Vec<_> = (0..300).map(run_seed).collect();
    let sent = runs.iter().filter(|run| run.sent_ahead > 0).count();
    let begun: u64 = runs.iter().map(|run| run.begun_ahead).sum();
    let sent_in_all: u64 = runs.iter().map(|run| run.sent_ahead).sum();
    assert!(sent >= 30, "in {sent} of 300 runs a task was sent ahead");
    assert!(begun >= 100, "{begun} of {sent_in_all} attempts sent ahead began");
    assert!(sent_in_all - begun >= 20, "{begun} of {sent_in_all} attempts sent ahead began");
}
