//! The four steps together, over small crates written for the purpose.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;

fn write(root: &Path, path: &str, text: &[u8]) {
    let path = root.join("index").join(path);
    fs::create_dir_all(path.parent().expect("the path has a directory")).expect("mkdir");
    fs::write(path, text).expect("write");
}

/// A registry of four small crates.
pub(super) fn registry() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("tempdir");
    let at = root.path();
    write(at, "alpha-1.0.0/src/lib.rs", b"use std::fmt;\nuse beta_two::x;\nfn a() {\n}\n");
    write(at, "alpha-1.0.0/src/broken.rs", b"fn broken( {");
    write(at, "alpha-1.0.0/tests/data.rs", b"\xff\xfe");
    write(at, "beta-two-0.1.0/src/lib.rs", b"use std::io;\nuse local::y;\nfn b() { unsafe {} }\n");
    write(at, "beta-two-0.2.0/src/lib.rs", b"use std::io;\nfn b() {}\nfn c() {\n}\n");
    write(at, "empty-1.0.0/src/lib.rs", b"");
    root
}

fn census(root: &Path) -> Census {
    run_serial(&find_sources(root).expect("found"), |_| {}).expect("measured")
}

#[test]
fn crates_add_up_to_the_report() {
    let root = registry();
    let Census { crates, report } = census(root.path());
    let ids: Vec<_> = crates.iter().map(|measure| measure.id.to_string()).collect();
    assert_eq!(ids, ["alpha 1.0.0", "beta-two 0.1.0", "beta-two 0.2.0", "empty 1.0.0"]);

    let alpha = &crates[0];
    assert_eq!((alpha.files, alpha.files_unparsed, alpha.files_unreadable), (3, 1, 1));
    assert_eq!(alpha.lines, Lines { total: 5, code: 5, comment: 0, blank: 0 });
    assert_eq!((alpha.functions, alpha.bytes), (2, 56));

    let Totals { crates, files, functions, unsafety, .. } = report.totals;
    assert_eq!((crates, files, functions, unsafety.blocks), (4, 6, 5, 1));
    let longest: Vec<_> =
        report.longest.iter().map(|row| (row.id.name.as_str(), row.function.line)).collect();
    assert_eq!(longest, [("alpha", 3), ("beta-two", 3), ("beta-two", 3), ("beta-two", 2)]);
    let imported: Vec<_> =
        report.imported.iter().map(|row| (row.root.as_str(), row.imports, row.crates)).collect();
    assert_eq!(imported, [("std", 3, 3), ("beta_two", 1, 1)], "local modules are no crates");
}

#[test]
fn no_order_of_files_or_crates_changes_the_report() {
    let root = registry();
    let serial = census(root.path());
    let mut files = find_sources(root.path()).expect("found");
    files.reverse();
    let mut by_id: BTreeMap<CrateId, Vec<FileMeasure>> = BTreeMap::new();
    let measurer = Measurer::start().expect("started");
    for file in &files {
        by_id
            .entry(CrateId::from(file))
            .or_default()
            .push(measurer.measure(file).expect("measured"));
    }
    let mut crates: Vec<_> =
        by_id.into_iter().map(|(id, measures)| reduce_crate(id, measures)).collect();
    assert_eq!(crates, serial.crates);
    crates.reverse();
    assert_eq!(build_report(crates), serial.report);
}

#[test]
fn a_report_prints_within_100_columns() {
    let root = registry();
    let mut report = census(root.path()).report;
    report.longest[0].function.name = "n".repeat(300);
    report.longest[0].function.file = "f".repeat(300);
    let text = report.to_string();
    for title in ["All crates", "Largest crates", "Longest functions", "Most imported"] {
        assert!(text.contains(title), "{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_census_of_nothing_is_empty() {
    let census = run_serial(&[], |_| {}).expect("measured");
    assert_eq!((census.crates.len(), census.report.totals), (0, Totals::default()));
}

#[test]
fn progress_is_told_file_by_file() {
    let root = registry();
    let files = find_sources(root.path()).expect("found");
    let mut told = Vec::new();
    run_serial(&files, |measure| told.push(measure.file.clone())).expect("measured");
    assert_eq!(told, files.iter().map(|file| file.file.clone()).collect::<Vec<_>>());
}
