//! How Phalanx messages travel.
#![warn(missing_docs)]

pub use phalanx_protocol as protocol;

pub mod identity;
