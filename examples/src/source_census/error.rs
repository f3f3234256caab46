//! How a census fails: the operating system, never the source it reads.
//!
//! May call it: the other files of the census. It deliberately has no variant for bad source: that is
//! a measure, not an error.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the census cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CensusError {
    /// There is no home directory to look for cargo's in.
    #[error("neither CARGO_HOME nor HOME is set; set CARGO_HOME to cargo's home directory")]
    NoCargoHome,
    /// The registry holds no unpacked source.
    #[error("no Rust source below {root}; run `cargo fetch` in a project with dependencies first")]
    NoSources {
        /// Where it looked.
        root: PathBuf,
    },
    /// A directory could not be listed.
    #[error("cannot list {path}")]
    List {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A directory is nested deeper than any unpacked crate is.
    #[error("directory {path} is nested too deeply to be part of a crate; remove it")]
    TooDeep {
        /// The directory.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A measure could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The thread that parses could not be started.
    #[error("cannot start the parser's thread; free some memory or threads and try again")]
    ParserThread(#[source] io::Error),
    /// The thread that parses ended without an answer.
    #[error("the parser's thread ended without an answer")]
    ParserLost,
}
