//! The whole census in one process, one step after the other: what the parallel one is compared with.
//!
//! May call it: whoever wants the answer without a cluster. It deliberately uses the same four steps as
//! the tasks do, and nothing else.

use super::{
    CensusError, CrateId, CrateMeasure, FileMeasure, Report, SourceFile, build_report,
    measure_files, reduce_crate,
};

/// The answer of a census.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// The measure of each crate, in the order in which they were found.
    pub crates: Vec<CrateMeasure>,
    /// The report over them.
    pub report: Report,
}

/// Measures `files` one after the other, adds up each crate and makes the report; `on_measured` is told
/// after each file.
pub fn run_serial(
    files: &[SourceFile],
    on_measured: impl FnMut(&FileMeasure) + Send,
) -> Result<Census, CensusError> {
    let mut measures = measure_files(files, on_measured)?.into_iter();
    let crates: Vec<_> = by_crate(files)
        .map(|(id, of_crate)| reduce_crate(id, measures.by_ref().take(of_crate.len()).collect()))
        .collect();
    let report = build_report(crates.clone());
    Ok(Census { crates, report })
}

/// Splits `files`, ordered as they were found, into the files of each crate.
pub fn by_crate(files: &[SourceFile]) -> impl Iterator<Item = (CrateId, &[SourceFile])> {
    files
        .chunk_by(|a, b| a.crate_name == b.crate_name && a.version == b.version)
        .map(|of_crate| (CrateId::from(&of_crate[0]), of_crate))
}
