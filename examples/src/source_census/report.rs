//! Makes the report of all crates, and prints it.
//!
//! May call it: whoever has the measures of all crates. It deliberately gives the same report for any
//! order of them, so that two ways to make it can be compared by `==`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::reduce::{add_lines, add_unsafe};
use super::table::{Align, Table, thousands};
use super::{CrateId, CrateMeasure, FunctionSize, Lines, UnsafeCount};

/// Rows of each list of the report.
pub const REPORT_ROWS: usize = 10;

/// Roots that can be imported without being a dependency.
const BUILT_IN_CRATES: [&str; 5] = ["alloc", "core", "proc_macro", "std", "test"];

/// The report over all crates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// All crates together.
    pub totals: Totals,
    /// The crates with the most lines of code.
    pub largest: Vec<CrateRow>,
    /// The longest functions, one of a name and crate.
    pub longest: Vec<FunctionRow>,
    /// The crates that are imported most often.
    pub imported: Vec<ImportRow>,
}

/// All crates together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Crates, each version for itself.
    pub crates: u64,
    /// Source files.
    pub files: u64,
    /// Those of them that did not parse.
    pub files_unparsed: u64,
    /// Those of them that are no text.
    pub files_unreadable: u64,
    /// Bytes of source.
    pub bytes: u64,
    /// Lines of source.
    pub lines: Lines,
    /// Tokens.
    pub tokens: u64,
    /// Functions and methods with a body.
    pub functions: u64,
    /// What is marked `unsafe`.
    pub unsafety: UnsafeCount,
}

/// One of the largest crates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrateRow {
    /// Which crate.
    pub id: CrateId,
    /// Its source files.
    pub files: u64,
    /// Its lines.
    pub lines: Lines,
    /// Its tokens.
    pub tokens: u64,
    /// Its functions.
    pub functions: u64,
    /// What it marks `unsafe`.
    pub unsafety: UnsafeCount,
}

/// One of the longest functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRow {
    /// The crate it is in.
    pub id: CrateId,
    /// The function.
    pub function: FunctionSize,
}

/// One of the crates that are imported most often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRow {
    /// The crate as `use` names it.
    pub root: String,
    /// How often it is imported.
    pub imports: u64,
    /// By how many crates, each version for itself.
    pub crates: u64,
}

/// Makes the report of `crates`, which may come in any order.
pub fn build_report(mut crates: Vec<CrateMeasure>) -> Report {
    crates.sort_by(|a, b| a.id.cmp(&b.id));
    Report {
        totals: totals(&crates),
        largest: largest(&crates),
        longest: longest(&crates),
        imported: imported(&crates),
    }
}

fn totals(crates: &[CrateMeasure]) -> Totals {
    let mut totals = Totals { crates: crates.len() as u64, ..Totals::default() };
    for measure in crates {
        totals.files += measure.files;
        totals.files_unparsed += measure.files_unparsed;
        totals.files_unreadable += measure.files_unreadable;
        totals.bytes += measure.bytes;
        totals.tokens += measure.tokens;
        totals.functions += measure.functions;
        add_lines(&mut totals.lines, measure.lines);
        add_unsafe(&mut totals.unsafety, measure.unsafety);
    }
    totals
}

// The lists sort stably, so ties stay in the order of crate ids.

fn largest(crates: &[CrateMeasure]) -> Vec<CrateRow> {
    let mut by_size: Vec<_> = crates.iter().collect();
    by_size.sort_by_key(|measure| Reverse(measure.lines.code));
    let row = |measure: &CrateMeasure| CrateRow {
        id: measure.id.clone(),
        files: measure.files,
        lines: measure.lines,
        tokens: measure.tokens,
        functions: measure.functions,
        unsafety: measure.unsafety,
    };
    by_size.into_iter().take(REPORT_ROWS).map(row).collect()
}

fn longest(crates: &[CrateMeasure]) -> Vec<FunctionRow> {
    let mut functions: Vec<_> = crates
        .iter()
        .flat_map(|measure| measure.longest.iter().map(|function| (&measure.id, function)))
        .collect();
    functions.sort_by_key(|(_, function)| Reverse(function.lines));
    let row = |(id, function): (&CrateId, &FunctionSize)| FunctionRow {
        id: id.clone(),
        function: function.clone(),
    };
    functions.into_iter().take(REPORT_ROWS).map(row).collect()
}

/// A `use` may also begin with a module or a type in scope; those that name a crate of the census, or one
/// that comes with Rust, count.
fn imported(crates: &[CrateMeasure]) -> Vec<ImportRow> {
    let mut known: BTreeSet<String> = BUILT_IN_CRATES.map(str::to_owned).into();
    known.extend(crates.iter().map(|measure| measure.id.name.replace('-', "_")));
    let mut rows: BTreeMap<&str, ImportRow> = BTreeMap::new();
    for measure in crates {
        for (root, count) in measure.imports.iter().filter(|(root, _)| known.contains(*root)) {
            let row = rows.entry(root).or_insert_with(|| ImportRow {
                root: root.clone(),
                imports: 0,
                crates: 0,
            });
            row.imports += count;
            row.crates += 1;
        }
    }
    let mut rows: Vec<_> = rows.into_values().collect();
    rows.sort_by_key(|row| Reverse(row.imports));
    rows.truncate(REPORT_ROWS);
    rows
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n", totals_table(&self.totals), largest_table(&self.largest))?;
        write!(f, "{}\n{}", longest_table(&self.longest), imported_table(&self.imported))
    }
}

fn totals_table(totals: &Totals) -> Table {
    let mut table =
        Table::new("All crates", [("", Align::Left), ("", Align::Right), ("", Align::Left)]);
    let mut row = |name: &str, count: u64, remark: String| {
        table.push([name.to_owned(), thousands(count), remark]);
    };
    row("crates", totals.crates, String::new());
    let (unparsed, unreadable) = (totals.files_unparsed, totals.files_unreadable);
    row("files", totals.files, format!("{unparsed} do not parse, {unreadable} are not text"));
    row("bytes", totals.bytes, String::new());
    let Lines { total, code, comment, blank } = totals.lines;
    let [code, comment, blank] = [code, comment, blank].map(thousands);
    row("lines", total, format!("{code} code, {comment} comment, {blank} blank"));
    row("tokens", totals.tokens, String::new());
    row("functions", totals.functions, String::new());
    let UnsafeCount { blocks, functions, impls } = totals.unsafety;
    let [all, blocks, functions, impls] = [blocks + functions + impls, blocks, functions, impls]
        .map(|count| (count, thousands(count)));
    let remark = format!("{} blocks, {} functions, {} impls", blocks.1, functions.1, impls.1);
    row("unsafe", all.0, remark);
    table
}

fn largest_table(rows: &[CrateRow]) -> Table {
    let mut table = Table::new(
        "Largest crates, by lines of code",
        [
            ("crate", Align::Left),
            ("files", Align::Right),
            ("code", Align::Right),
            ("comment", Align::Right),
            ("tokens", Align::Right),
            ("functions", Align::Right),
            ("unsafe", Align::Right),
        ],
    );
    for row in rows {
        let UnsafeCount { blocks, functions, impls } = row.unsafety;
        table.push([
            row.id.to_string(),
            thousands(row.files),
            thousands(row.lines.code),
            thousands(row.lines.comment),
            thousands(row.tokens),
            thousands(row.functions),
            thousands(blocks + functions + impls),
        ]);
    }
    table
}

fn longest_table(rows: &[FunctionRow]) -> Table {
    let mut table = Table::new(
        "Longest functions",
        [
            ("function", Align::Left),
            ("lines", Align::Right),
            ("crate", Align::Left),
            ("place", Align::Left),
        ],
    );
    for FunctionRow { id, function } in rows {
        table.push([
            function.name.clone(),
            thousands(function.lines),
            id.to_string(),
            format!("{}:{}", function.file, function.line),
        ]);
    }
    table
}

fn imported_table(rows: &[ImportRow]) -> Table {
    let mut table = Table::new(
        "Most imported",
        [("crate", Align::Left), ("imports", Align::Right), ("by crates", Align::Right)],
    );
    for row in rows {
        table.push([row.root.clone(), thousands(row.imports), thousands(row.crates)]);
    }
    table
}
