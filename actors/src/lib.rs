//! Who does it in Phalanx: thin actix rooms round the core, executors, supervision.
#![warn(missing_docs)]

pub mod peer;
