//! A whole cluster in virtual time: clients, hub, dag, scheduler, engines, and the links between.
//!
//! The rooms are the very ones that the processes run, and what travels between them is encoded
//! and decoded by the very codec; only time, the network, user code and death are played, all
//! drawn from one seed. After every step the rooms' invariants are checked, and the delivery
//! contract (I1 to I6 and I9 of the fault matrix) against a record of what happened.
//!
//! | module | what it plays |
//! |---|---|
//! | [`plan`] | what a seed stands for: who is there, what they do, what goes wrong |
//! | `world` | time, and who is told what |
//! | `net` | sessions: order, delay, loss, repetition |
//! | [`clock`] | processes whose clocks differ |
//! | `hub`, `rooms`, `engine`, `client` | the processes round the rooms |
//! | `check` | the contract |
//! | [`shrink`] | a failing plan cut down to what it needs to fail |
#![warn(missing_docs)]

mod check;
mod client;
pub mod clock;
mod engine;
mod hub;
mod net;
pub mod plan;
mod rooms;
pub mod shrink;
mod trace;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::plan::Plan;
use crate::world::World;

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// A number that two runs of one plan share, and that hardly any two plans share.
    pub hash: u64,
    /// How many steps it took.
    pub steps: u64,
    /// How many tasks there were.
    pub tasks: usize,
    /// How many attempts engines gave back that they were asked for, and how many they kept.
    pub given_back: u64,
    /// See `given_back`.
    pub kept: u64,
    /// How many attempts engines were sent ahead of what these wait for.
    pub sent_ahead: u64,
    /// How many of these they began.
    pub begun_ahead: u64,
    /// What happened, line by line, if it was asked for.
    pub story: Vec<String>,
    /// What went against the contract, if anything did.
    pub violation: Option<String>,
}

/// Runs what a seed stands for.
pub fn run_seed(seed: u64) -> Run {
    run(&Plan::from_seed(seed), false)
}

/// Runs a plan; with its story if `tell`.
pub fn run(plan: &Plan, tell: bool) -> Run {
    quiet_panics();
    let mut world = World::new(plan, tell);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = result.err().map(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without text".to_owned())
    });
    world.finish(violation)
}

/// Panics are findings here, some of them planted: they are caught and reported, not printed.
fn quiet_panics() {
    use std::sync::Once;
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !world::is_simulating() {
                print(info);
            }
        }));
    });
}
