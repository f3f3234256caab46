//! Adds the measures of a crate's files up.
//!
//! May call it: whoever has all measures of a crate. It deliberately gives the same answer for any order
//! of them, because tasks end in any order.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::measure::longest;
use super::{FileMeasure, FunctionSize, Lines, Reading, SourceFile, UnsafeCount};

/// Which crate, in which version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CrateId {
    /// The crate's name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl fmt::Display for CrateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl From<&SourceFile> for CrateId {
    fn from(source: &SourceFile) -> Self {
        Self { name: source.crate_name.clone(), version: source.version.clone() }
    }
}

/// The measure of one crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateMeasure {
    /// Which crate.
    pub id: CrateId,
    /// Its source files.
    pub files: u64,
    /// Those of them that did not parse.
    pub files_unparsed: u64,
    /// Those of them that are no text.
    pub files_unreadable: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// Their lines.
    pub lines: Lines,
    /// Their tokens.
    pub tokens: u64,
    /// Their functions and methods with a body.
    pub functions: u64,
    /// The longest functions, longest first, at most [`REPORT_ROWS`](super::REPORT_ROWS) and one of a name.
    pub longest: Vec<FunctionSize>,
    /// What is marked `unsafe`.
    pub unsafety: UnsafeCount,
    /// How often each root is imported.
    pub imports: BTreeMap<String, u64>,
}

/// Adds up the measures of the files of the crate `id`, which may come in any order.
pub fn reduce_crate(id: CrateId, measures: Vec<FileMeasure>) -> CrateMeasure {
    let mut total = CrateMeasure {
        id,
        files: 0,
        files_unparsed: 0,
        files_unreadable: 0,
        bytes: 0,
        lines: Lines::default(),
        tokens: 0,
        functions: 0,
        longest: Vec::new(),
        unsafety: UnsafeCount::default(),
        imports: BTreeMap::new(),
    };
    for measure in measures {
        add(&mut total, measure);
    }
    total.longest = longest(total.longest);
    total
}

fn add(total: &mut CrateMeasure, measure: FileMeasure) {
    total.files += 1;
    match measure.reading {
        Reading::Parsed => {}
        Reading::Lexed => total.files_unparsed += 1,
        Reading::Unreadable => total.files_unreadable += 1,
    }
    total.bytes += measure.bytes;
    total.tokens += measure.tokens;
    total.functions += measure.functions;
    total.longest.extend(measure.longest);
    add_lines(&mut total.lines, measure.lines);
    add_unsafe(&mut total.unsafety, measure.unsafety);
    for (root, count) in measure.imports {
        *total.imports.entry(root).or_default() += count;
    }
}

pub(super) fn add_lines(total: &mut Lines, lines: Lines) {
    total.total += lines.total;
    total.code += lines.code;
    total.comment += lines.comment;
    total.blank += lines.blank;
}

pub(super) fn add_unsafe(total: &mut UnsafeCount, unsafety: UnsafeCount) {
    total.blocks += unsafety.blocks;
    total.functions += unsafety.functions;
    total.impls += unsafety.impls;
}
