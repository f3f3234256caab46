//! What the measurements share. Those of single parts are in `benches/`; run them with
//! `cargo bench -p phalanx-benches --bench NAME`. Those of whole clusters are programs in
//! `src/bin/`. `README.md` says how to run each.

pub mod apply;
pub mod counting;
pub mod cpu;
pub mod graphs;
pub mod half_open;
pub mod refusals;
pub mod rooms;
