//! How errors and panics of handlers become text that travels.

use std::error::Error;
use std::fmt::Write as _;

use phalanx_protocol::ids::EngineId;
use phalanx_protocol::limits::ERROR_TEXT_LEN_MAX;
use phalanx_protocol::outcome::{AttemptOutcome, RemoteError};
use phalanx_protocol::task::MethodName;

use super::panics::Panic;

/// Stands at the end of a text that was cut.
const CUT_MARK: &str = "\n[cut]";

/// Most causes of an error that are written out; a longer chain is most likely a circle.
const CAUSES_MAX: usize = 64;

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The error's type.
    pub(crate) kind: &'static str,
    /// What it says.
    pub(crate) message: String,
    /// How it came about; may be empty.
    pub(crate) traceback: String,
}

impl Failure {
    /// A failure that says all in one sentence.
    pub(crate) const fn new(kind: &'static str, message: String) -> Self {
        Self { kind, message, traceback: String::new() }
    }

    /// A handler's error, which was an `E` before it was boxed.
    pub(super) fn of_error<E>(error: &(dyn Error + 'static)) -> Self {
        let mut traceback = String::new();
        let causes = std::iter::successors(error.source(), |cause| (*cause).source());
        for cause in causes.take(CAUSES_MAX) {
            // Writing to a string cannot fail.
            let _ = writeln!(traceback, "caused by: {cause}");
        }
        Self { kind: std::any::type_name::<E>(), message: error.to_string(), traceback }
    }

    /// What it is to the hub: `method` on `engine` failed so.
    pub(crate) fn outcome(self, engine: EngineId, method: &MethodName) -> AttemptOutcome {
        super::failed(RemoteError {
            kind: self.kind.to_owned(),
            message: self.message,
            traceback: self.traceback,
            engine: Some(engine),
            method: method.as_str().to_owned(),
        })
    }
}

impl From<Panic> for Failure {
    fn from(panic: Panic) -> Self {
        Self { kind: "panic", message: panic.message, traceback: panic.traceback }
    }
}

pub(super) fn cut(mut text: String) -> String {
    if text.len() > ERROR_TEXT_LEN_MAX {
        text.truncate(text.floor_char_boundary(ERROR_TEXT_LEN_MAX - CUT_MARK.len()));
        text.push_str(CUT_MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_over_the_limit_is_cut_between_characters_and_marked() {
        let cut = cut("ä".repeat(ERROR_TEXT_LEN_MAX));
        assert!(cut.len() <= ERROR_TEXT_LEN_MAX);
        assert!(cut.ends_with(CUT_MARK));
    }

    #[test]
    fn an_error_travels_with_its_type_and_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot measure the file")]
        struct Outer(#[source] std::io::Error);

        let error = Outer(std::io::Error::other("disk on fire"));
        let failure = Failure::of_error::<Outer>(&error);
        assert!(failure.kind.ends_with("Outer"));
        assert_eq!(failure.message, "cannot measure the file");
        assert_eq!(failure.traceback, "caused by: disk on fire\n");
    }
}
