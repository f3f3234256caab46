//! Measures one file.
//!
//! May call it: whoever wants measures; a call costs about as much as the file is long, all of it CPU
//! time, so an async program calls it where blocking is allowed. It deliberately returns an error only
//! when the operating system does: any bytes have a measure.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use proc_macro2::TokenStream;
use serde::{Deserialize, Serialize};

use super::functions::{self, Counts};
use super::nesting::{self, Extent};
use super::scan::{self, Lexeme};
use super::{CensusError, NESTING_MAX, PARSER_STACK_LEN, REPORT_ROWS, SourceFile};

/// The longest file that is looked into, in bytes. The longest that cargo unpacks here has 1.4 MB.
pub const FILE_LEN_MAX: u64 = 16 * 1024 * 1024;

/// How far a file could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// It parses as Rust.
    Parsed,
    /// It does not parse (or nests too deeply to try): measured by its lexemes alone.
    Lexed,
    /// It is not UTF-8, or longer than [`FILE_LEN_MAX`]: only its length is known.
    Unreadable,
}

/// Lines by kind; the kinds add up to the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// All lines.
    pub total: u64,
    /// Lines with code on them.
    pub code: u64,
    /// Lines with only comment on them, documentation included.
    pub comment: u64,
    /// Lines with nothing on them.
    pub blank: u64,
}

/// What is marked `unsafe`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsafeCount {
    /// `unsafe { .. }`
    pub blocks: u64,
    /// `unsafe fn`, with or without a body.
    pub functions: u64,
    /// `unsafe impl`
    pub impls: u64,
}

/// Where a function is and how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSize {
    /// Its name.
    pub name: String,
    /// The file it is in.
    pub file: String,
    /// The line its signature begins on.
    pub line: u64,
    /// The lines from there to its closing brace.
    pub lines: u64,
}

/// The measure of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeasure {
    /// The name of the crate it is part of.
    pub crate_name: String,
    /// The version of that crate.
    pub version: String,
    /// Its path inside the crate.
    pub file: String,
    /// How far it could be read; decides what the counts below rest on.
    pub reading: Reading,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its lines by kind.
    pub lines: Lines,
    /// Its tokens, with documentation as the attributes that it stands for.
    pub tokens: u64,
    /// Functions and methods with a body.
    pub functions: u64,
    /// Its longest functions, longest first, at most [`REPORT_ROWS`]. Empty if it did not parse.
    pub longest: Vec<FunctionSize>,
    /// What is marked `unsafe`.
    pub unsafety: UnsafeCount,
    /// How often each root is imported by `use`, other than `crate`, `self` and `super`.
    pub imports: BTreeMap<String, u64>,
}

/// Measures one file, on a thread of its own with the stack that a parse may need.
pub fn measure_file(source: &SourceFile) -> Result<FileMeasure, CensusError> {
    on_parser_thread(|| measure_here(source))?
}

/// Measures files one after the other, on one thread with the stack that a parse may need; `on_measured`
/// is told after each.
pub fn measure_files(
    sources: &[SourceFile],
    mut on_measured: impl FnMut(&FileMeasure) + Send,
) -> Result<Vec<FileMeasure>, CensusError> {
    on_parser_thread(|| {
        let mut measures = Vec::with_capacity(sources.len());
        for source in sources {
            let measure = measure_here(source)?;
            on_measured(&measure);
            measures.push(measure);
        }
        Ok(measures)
    })?
}

fn on_parser_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, CensusError> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("census-parser".to_owned())
            .stack_size(PARSER_STACK_LEN)
            .spawn_scoped(scope, work)
            .map_err(CensusError::ParserThread)?
            .join()
            .map_err(|_panic| CensusError::ParserLost)
    })
}

fn measure_here(source: &SourceFile) -> Result<FileMeasure, CensusError> {
    let read = |source_error| CensusError::Read {
        path: source.path.clone(),
        source: source_error,
    };
    let bytes_len = fs::metadata(&source.path).map_err(read)?.len();
    let mut measure = unreadable(source, bytes_len);
    if bytes_len > FILE_LEN_MAX {
        return Ok(measure);
    }
    let bytes = fs::read(&source.path).map_err(read)?;
    measure.bytes = bytes.len() as u64;
    if let Ok(text) = String::from_utf8(bytes) {
        measure_text(&text, &mut measure);
    }
    Ok(measure)
}

fn unreadable(source: &SourceFile, bytes: u64) -> FileMeasure {
    FileMeasure {
        crate_name: source.crate_name.clone(),
        version: source.version.clone(),
        file: source.file.clone(),
        reading: Reading::Unreadable,
        bytes,
        lines: Lines::default(),
        tokens: 0,
        functions: 0,
        longest: Vec::new(),
        unsafety: UnsafeCount::default(),
        imports: BTreeMap::new(),
    }
}

fn measure_text(text: &str, measure: &mut FileMeasure) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lexed = Lexed::default();
    measure.lines = scan::scan(text, |lexeme| lexed.on_lexeme(lexeme));
    let (extent, counts) = parse(text, &measure.file);
    measure.tokens = extent.map_or(lexed.tokens, |extent| extent.tokens);
    let counts = match counts {
        Some(counts) => {
            measure.reading = Reading::Parsed;
            counts
        }
        None => {
            measure.reading = Reading::Lexed;
            lexed.counts
        }
    };
    measure.functions = counts.functions;
    measure.unsafety = counts.unsafety;
    measure.imports = counts.imports;
    measure.longest = longest(counts.sizes);
}

/// The longest of `sizes`, in an order that does not depend on theirs.
pub(super) fn longest(mut sizes: Vec<FunctionSize>) -> Vec<FunctionSize> {
    sizes.sort_by(|a, b| {
        let place = |size: &FunctionSize| (size.file.clone(), size.line, size.name.clone());
        b.lines.cmp(&a.lines).then_with(|| place(a).cmp(&place(b)))
    });
    sizes.truncate(REPORT_ROWS);
    sizes
}

/// The extent if the text can be split into tokens, the counts if these parse.
///
/// The parsers are not ours: one that panics on strange source has not parsed it.
fn parse(text: &str, file: &str) -> (Option<Extent>, Option<Counts>) {
    let extent_and_counts = catch_unwind(AssertUnwindSafe(|| {
        // Spans index a map of all source this thread has parsed: without this it grows for ever.
        proc_macro2::extra::invalidate_current_thread_spans();
        let Ok(stream) = text[scan::shebang_len(text)..].parse::<TokenStream>() else {
            return (None, None);
        };
        let extent = nesting::extent(stream.clone());
        if extent.nesting > NESTING_MAX {
            return (Some(extent), None);
        }
        let counts = syn::parse2::<syn::File>(stream)
            .ok()
            .map(|tree| functions::count(&tree, file));
        (Some(extent), counts)
    }));
    extent_and_counts.unwrap_or_default()
}

/// The counts of a file that does not parse, guessed from pairs of lexemes.
#[derive(Default)]
struct Lexed {
    tokens: u64,
    counts: Counts,
    previous: Option<String>,
}

impl Lexed {
    fn on_lexeme(&mut self, lexeme: Lexeme<'_>) {
        // A lifetime is two tokens, the quote and the name.
        self.tokens += if lexeme == Lexeme::Lifetime { 2 } else { 1 };
        match (self.previous.take().as_deref(), lexeme) {
            (Some("fn"), Lexeme::Word(_)) => self.counts.functions += 1,
            (Some("unsafe"), Lexeme::Word("fn" | "extern")) => self.counts.unsafety.functions += 1,
            (Some("unsafe"), Lexeme::Word("impl")) => self.counts.unsafety.impls += 1,
            (Some("unsafe"), Lexeme::Mark(b'{')) => self.counts.unsafety.blocks += 1,
            (Some("use"), Lexeme::Word(root)) if !matches!(root, "crate" | "self" | "super") => {
                *self.counts.imports.entry(root.to_owned()).or_default() += 1;
            }
            _ => {}
        }
        if let Lexeme::Word(word @ ("fn" | "unsafe" | "use")) = lexeme {
            self.previous = Some(word.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        measure_file(&source).expect("measured")
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
        assert_eq!(
            measure.lines,
            Lines {
                total: 25,
                code: 17,
                comment: 2,
                blank: 6
            }
        );
        assert_eq!(measure.functions, 3);
        assert_eq!(
            measure.unsafety,
            UnsafeCount {
                blocks: 1,
                functions: 2,
                impls: 1
            }
        );
        let imports: Vec<_> = measure
            .imports
            .iter()
            .map(|(root, n)| (root.as_str(), *n))
            .collect();
        assert_eq!(
            imports,
            [
                ("bytes", 1),
                ("core", 1),
                ("serde", 1),
                ("std", 1),
                ("try", 1)
            ]
        );
        let longest: Vec<_> = measure
            .longest
            .iter()
            .map(|f| (f.name.as_str(), f.line, f.lines))
            .collect();
        assert_eq!(
            longest,
            [("first", 8, 5), ("with_body", 18, 3), ("inner", 9, 1)]
        );
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
            assert_eq!(
                (measure.reading, measure.tokens),
                (Reading::Parsed, 0),
                "{text:?}"
            );
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
            assert_eq!(
                (measure.bytes, measure.lines),
                (bytes.len() as u64, Lines::default())
            );
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
        let error = measure_file(&source).expect_err("no such file");
        assert_eq!(error.to_string(), "cannot read /nonexistent/lib.rs");
    }

    #[test]
    fn huge_lines_are_measured() {
        let table = format!(
            "const T: &[u32] = &[{}];",
            "1 << 3, 0xffff_ffff, ".repeat(2_000)
        );
        let measured = measure(&table);
        assert_eq!(
            (measured.reading, measured.lines.total),
            (Reading::Parsed, 1)
        );
        let text = format!("const T: &str = \"{}\";", "x".repeat(4_000_000));
        assert_eq!(measure(&text).tokens, 8);
    }

    /// Shapes that overflow a usual stack when parsed, visited or dropped, if deep enough.
    fn hostile(shape: usize, levels: usize) -> Option<String> {
        let expression = |open: &str, close: &str| {
            format!(
                "fn f() {{ let x = {}x{}; }}",
                open.repeat(levels),
                close.repeat(levels)
            )
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
        for text in (0..).map_while(|shape| hostile(shape, 100_000)) {
            let measured = measure(&text);
            assert_eq!(measured.reading, Reading::Lexed, "{text:.60}");
            assert!(measured.tokens >= 100_000);
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
}
