//! A census of Rust source: measure every file, add up every crate, write one report.
//!
//! ```text
//! find_sources ──> Measurer (each file) ──> reduce_crate (each crate) ──> build_report
//! ```
//!
//! Lives here: the four steps as plain functions over plain serializable values, so that they can run
//! in one process ([`run_serial`]) or as the tasks of a graph, with the same answer.
//! May call it: the census programs in `examples/`.
//! It deliberately does not print, does not know Phalanx, and trusts no file: one that does not parse
//! is still measured by its lexemes, one that is not text is counted, and none can overflow the stack.

mod error;
mod find;
mod functions;
mod measure;
#[cfg(test)]
mod measure_tests;
mod nesting;
mod reduce;
mod report;
mod scan;
mod serial;
mod table;
pub mod tasks;
#[cfg(test)]
mod tests;

pub use error::CensusError;
pub use find::{SourceFile, find_sources, registry_sources};
pub use measure::{
    FILE_LEN_MAX, FileMeasure, FunctionSize, Lines, Measurer, Reading, UnsafeCount, measure_files,
};
pub use nesting::{NESTING_MAX, PARSER_STACK_LEN};
pub use reduce::{CrateId, CrateMeasure, reduce_crate};
pub use report::{CrateRow, FunctionRow, ImportRow, REPORT_ROWS, Report, Totals, build_report};
pub use serial::{Census, by_crate, run_serial};
