//! What the example programs share.
//!
//! Lives here: [`source_census`], the work of the program that `make demo` runs (it knows nothing of
//! Phalanx: it measures Rust source, file by file, and can do so alone), and [`leftovers`], which checks
//! that nothing outlives a cluster.
//! May call it: the programs in `examples/`, and anybody who wants the measures.
//! It deliberately does not start clusters or submit tasks; the programs in `examples/` do that, so
//! that each of them can be read, and copied, from top to bottom.

#![warn(missing_docs)]

pub mod leftovers;
pub mod source_census;
