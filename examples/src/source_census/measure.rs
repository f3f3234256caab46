//! Measures one file.
//!
//! May call it: whoever wants measures; a call costs about as much as the file is long, all of it CPU
//! time, so an async program calls it where blocking is allowed. It deliberately returns an error only
//! when the operating system does: any bytes have a measure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
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
    /// Its longest functions, longest first, at most [`REPORT_ROWS`] and one of a name. Empty if it did not
    /// parse.
    pub longest: Vec<FunctionSize>,
    /// What is marked `unsafe`.
    pub unsafety: UnsafeCount,
    /// How often each root is imported by `use`, other than `crate`, `self` and `super`.
    pub imports: BTreeMap<String, u64>,
}

/// Measures single files, on a thread that has the stack a parse may need. Can be shared; callers wait
/// for each other. The thread ends with it.
///
/// One for a process is enough: a thread for each file would pay for its stack's memory each time, which
/// costs more than many a file.
#[derive(Debug)]
pub struct Measurer {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    source: SourceFile,
    answer: mpsc::SyncSender<Result<FileMeasure, CensusError>>,
}

impl Measurer {
    /// Starts the thread.
    pub fn start() -> Result<Self, CensusError> {
        let (requests, inbox) = mpsc::channel::<Request>();
        parser_thread()
            .spawn(move || {
                for Request { source, answer } in inbox {
                    // Whoever asked may be gone.
                    let _ = answer.send(measure_here(&source));
                }
            })
            .map_err(CensusError::ParserThread)?;
        Ok(Self { requests })
    }

    /// Measures a file.
    pub fn measure(&self, source: &SourceFile) -> Result<FileMeasure, CensusError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let request = Request { source: source.clone(), answer };
        self.requests.send(request).map_err(|_| CensusError::ParserLost)?;
        answered.recv().map_err(|_| CensusError::ParserLost)?
    }
}

/// Measures files one after the other, on one thread with the stack that a parse may need; `on_measured`
/// is told after each.
pub fn measure_files(
    sources: &[SourceFile],
    mut on_measured: impl FnMut(&FileMeasure) + Send,
) -> Result<Vec<FileMeasure>, CensusError> {
    let work = || {
        let mut measures = Vec::with_capacity(sources.len());
        for source in sources {
            let measure = measure_here(source)?;
            on_measured(&measure);
            measures.push(measure);
        }
        Ok(measures)
    };
    thread::scope(|scope| {
        let thread =
            parser_thread().spawn_scoped(scope, work).map_err(CensusError::ParserThread)?;
        thread.join().map_err(|_| CensusError::ParserLost)?
    })
}

fn parser_thread() -> thread::Builder {
    thread::Builder::new().name("census-parser".to_owned()).stack_size(PARSER_STACK_LEN)
}

fn measure_here(source: &SourceFile) -> Result<FileMeasure, CensusError> {
    let read = |source_error| CensusError::Read { path: source.path.clone(), source: source_error };
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

/// The longest of `sizes`, in an order that does not depend on theirs. Of functions with one name, as
/// generated code has them, only the longest stays.
pub(super) fn longest(mut sizes: Vec<FunctionSize>) -> Vec<FunctionSize> {
    sizes.sort_by(|a, b| {
        let place = |size: &FunctionSize| (size.file.clone(), size.line, size.name.clone());
        b.lines.cmp(&a.lines).then_with(|| place(a).cmp(&place(b)))
    });
    let mut names = BTreeSet::new();
    sizes.retain(|size| names.len() < REPORT_ROWS && names.insert(size.name.clone()));
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
        let counts =
            syn::parse2::<syn::File>(stream).ok().map(|tree| functions::count(&tree, file));
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
