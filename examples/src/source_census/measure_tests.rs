//! Strange files, and what is measured in them.

use std::fs;

use super::measure::*;
use super::{NESTING_MAX, SourceFile, nesting};

fn measure_bytes(bytes: &[u8]) -> FileMeasure {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("lib.rs");
    fs::write(&path, bytes).expect("write");
    let source = SourceFile {
        crate_name: "fixture".to_owned(),
        version: "1.0.0".to_owned(),
        path,
        file: "src/lib.rs".to_owned(),
        bytes: bytes.len() as u64,
    };
    Measurer::start().expect("started").measure(&source).expect("measured")
}

fn measure(text: &str) -> FileMeasure {
    measure_bytes(text.as_bytes())
}

const FIXTURE: &str = r##"//! A fixture.

use std::{fmt, io};
use {serde::Serialize, core::mem as memory, crate::own}; use ::bytes::*;

/// Documented.
#[inline]
pub const unsafe fn first(x: u8) -> u8 {
    fn inner() {}

    unsafe { *&x }
}

unsafe impl Send for X {}

trait T {
    unsafe fn without_body();
    fn with_body(&self) {
        let _ = r#"fn not() { unsafe {} }"#;
    }
}

mod m { use self::a; use super::b; use r#try::c; }
macro_rules! hidden { () => { fn f() { unsafe {} } } }
extern "C" { fn foreign(); }
"##;

#[test]
fn a_file_that_parses_is_measured_whole() {
    let measure = measure(FIXTURE);
    assert_eq!(measure.reading, Reading::Parsed);
    assert_eq!(measure.lines, Lines { total: 25, code: 17, comment: 2, blank: 6 });
    assert_eq!(measure.functions, 3);
    assert_eq!(measure.unsafety, UnsafeCount { blocks: 1, functions: 2, impls: 1 });
    let imports: Vec<_> = measure.imports.iter().map(|(root, n)| (root.as_str(), *n)).collect();
    assert_eq!(imports, [("bytes", 1), ("core", 1), ("serde", 1), ("std", 1), ("try", 1)]);
    let longest: Vec<_> =
        measure.longest.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
    assert_eq!(longest, [("first", 8, 5), ("with_body", 18, 3), ("inner", 9, 1)]);
}

#[test]
fn line_ends_byte_order_marks_and_shebangs_change_nothing_else() {
    let plain = measure(FIXTURE);
    let check = |text: &str, line_shift: u64| {
        let other = measure(text);
        assert_eq!(other.reading, Reading::Parsed);
        assert_eq!(other.lines.code, plain.lines.code);
        assert_eq!(other.tokens, plain.tokens);
        assert_eq!(other.longest[0].line, plain.longest[0].line + line_shift);
        assert_eq!(other.longest[0].lines, plain.longest[0].lines);
    };
    check(&FIXTURE.replace('\n', "\r\n"), 0);
    check(&format!("\u{feff}{FIXTURE}"), 0);
    check(&format!("#!/usr/bin/env run\n{FIXTURE}"), 1);
    check(&format!("\u{feff}#!/usr/bin/env run\r\n{FIXTURE}"), 1);
}

#[test]
fn empty_files_are_files() {
    for text in ["", "\u{feff}", "\n", "// only a comment", "#!/bin/sh"] {
        let measure = measure(text);
        assert_eq!((measure.reading, measure.tokens), (Reading::Parsed, 0), "{text:?}");
        assert_eq!(measure.lines.code, 0, "{text:?}");
    }
}

#[test]
fn what_does_not_parse_is_measured_by_its_lexemes() {
    let check = |text: &str, functions: u64, unsafe_blocks: u64| {
        let measure = measure(text);
        assert_eq!(measure.reading, Reading::Lexed, "{text:?}");
        assert_eq!(measure.functions, functions, "{text:?}");
        assert_eq!(measure.unsafety.blocks, unsafe_blocks, "{text:?}");
        assert!(measure.longest.is_empty(), "{text:?}");
    };
    // Cannot be split into tokens.
    check("fn open() { { unsafe {} }", 1, 1);
    check("} fn a() {} fn b() {}", 2, 0);
    check("fn a() { \"never closed }", 1, 0);
    check("fn a() {} /* never closed", 1, 0);
    check("fn a() {} r#\"never closed", 1, 0);
    check("fn a() {} 'x", 1, 0);
    // Can, but these are no items.
    check("{{ name }} fn a() {}", 1, 0);
    check("let x = 1; unsafe { }", 0, 1);
    check("use std::fmt; use use serde::de; ???", 0, 0);
}

#[test]
fn imports_are_counted_also_without_a_parse() {
    let measure = measure("use std::fmt; use serde::de; use crate::x; }");
    let roots: Vec<_> = measure.imports.keys().map(String::as_str).collect();
    assert_eq!(roots, ["serde", "std"]);
}

#[test]
fn what_is_not_text_is_counted_by_length() {
    for bytes in [&b"fn a() {}\xff"[..], b"\xff\xfef\0n\0", b"\xc3"] {
        let measure = measure_bytes(bytes);
        assert_eq!(measure.reading, Reading::Unreadable);
        assert_eq!((measure.bytes, measure.lines), (bytes.len() as u64, Lines::default()));
    }
    // NUL is text, though no Rust.
    assert_eq!(measure("fn a() {}\0").reading, Reading::Lexed);
}

#[test]
fn a_file_that_is_gone_is_an_error_that_names_it() {
    let source = SourceFile {
        crate_name: "fixture".to_owned(),
        version: "1.0.0".to_owned(),
        path: "/nonexistent/lib.rs".into(),
        file: "lib.rs".to_owned(),
        bytes: 0,
    };
    let error = Measurer::start().expect("started").measure(&source).expect_err("no such file");
    assert_eq!(error.to_string(), "cannot read /nonexistent/lib.rs");
}

#[test]
fn huge_lines_are_measured() {
    let table = format!("const T: &[u32] = &[{}];", "1 << 3, 0xffff_ffff, ".repeat(2_000));
    let measured = measure(&table);
    assert_eq!((measured.reading, measured.lines.total), (Reading::Parsed, 1));
    let text = format!("const T: &str = \"{}\";", "x".repeat(4_000_000));
    assert_eq!(measure(&text).tokens, 8);
}

/// Shapes that overflow a usual stack when parsed, visited or dropped, if deep enough.
fn hostile(shape: usize, levels: usize) -> Option<String> {
    let expression = |open: &str, close: &str| {
        format!("fn f() {{ let x = {}x{}; }}", open.repeat(levels), close.repeat(levels))
    };
    let nested = |open: &str, middle: &str, close: &str| {
        open.repeat(levels) + middle + &close.repeat(levels)
    };
    Some(match shape {
        0 => expression("(", ")"),
        1 => expression("[", "]"),
        2 => expression("{", "}"),
        3 => expression("!", ""),
        4 => expression("&", ""),
        5 => expression("", "?"),
        6 => expression("", " + x"),
        7 => expression("", ".f()"),
        8 => expression("", " as u8"),
        9 => expression("|a, b| ", ""),
        10 => expression("if a {} else ", "").replace("else x", "else {}"),
        11 => expression("f(", ")"),
        12 => expression("return match x { y => ", "}"),
        13 => format!("type T = {};", nested("A<B, ", "T", ">")),
        14 => format!("type T = {};", nested("fn(", "T", ")")),
        15 => nested("mod m {", "", "}"),
        16 => format!("use {};", nested("a::{", "x", "}")),
        17 => format!("fn f({}: T) {{}}", nested("Some(", "x", ")")),
        18 => format!("m! {{ {} }}", nested("(", "", ")")),
        _ => return None,
    })
}

fn nesting_of(text: &str) -> usize {
    nesting::extent(text.parse().expect("lexes")).nesting
}

#[test]
fn hostile_nesting_is_lexed_and_never_overflows_the_stack() {
    for text in (0..).map_while(|shape| hostile(shape, 20_000)) {
        let measured = measure(&text);
        assert_eq!(measured.reading, Reading::Lexed, "{text:.60}");
        assert!(measured.tokens >= 20_000);
    }
}

#[test]
fn nesting_at_the_limit_fits_the_stack() {
    for shape in (0..).take_while(|&shape| hostile(shape, 0).is_some()) {
        let at = |levels: usize| hostile(shape, levels).expect("the shape exists");
        // Nesting grows evenly with the levels: two points tell where the limit is.
        let per_level = nesting_of(&at(11)) - nesting_of(&at(10));
        let levels = 10 + (NESTING_MAX - nesting_of(&at(10))) / per_level;
        let (below, above) = (at(levels), at(levels + 1));
        assert!(nesting_of(&below) <= NESTING_MAX && nesting_of(&above) > NESTING_MAX);
        assert_eq!(measure(&below).reading, Reading::Parsed, "{below:.60}");
        assert_eq!(measure(&above).reading, Reading::Lexed, "{above:.60}");
    }
}
