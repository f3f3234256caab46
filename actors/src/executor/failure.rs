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

/// What a handler answers that will not run this task on this engine: a balanced task is tried
/// elsewhere, and fails with this if every engine says so; a direct one fails at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotHere {
    reason: String,
}

impl NotHere {
    /// Not here, for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The error's type.
    pub(crate) kind: &'static str,
    /// What it says.
    pub(crate) message: String,
    /// How it came about; may be empty.
    pub(crate) traceback: String,
    /// Whether it is a [`NotHere`].
    pub(crate) refused: bool,
}

impl Failure {
    /// A failure that says all in one sentence.
    pub(crate) const fn new(kind: &'static str, message: String) -> Self {
        Self { kind, message, traceback: String::new(), refused: false }
    }

    /// A handler's error, which was an `E` before it was boxed.
    pub(super) fn of_error<E>(error: &(dyn Error + 'static)) -> Self {
        let mut traceback = String::new();
        let mut refused = error.is::<NotHere>();
        let causes = std::iter::successors(error.source(), |cause| (*cause).source());
        for cause in causes.take(CAUSES_MAX) {
            refused |= cause.is::<NotHere>();
            // Writing to a string cannot fail.
            let _ = writeln!(traceback, "caused by: {cause}");
        }
        let kind = if refused { "NotHere" } else { std::any::type_name::<E>() };
        Self { kind, message: error.to_string(), traceback, refused }
    }

    /// What it is to the hub: `method` on `engine` failed so.
    pub(crate) fn outcome(self, engine: EngineId, method: &MethodName) -> AttemptOutcome {
        super::failed(RemoteError {
            kind: self.kind.to_owned(),
            message: self.message,
            traceback: self.traceback,
            engine: Some(engine),
            method: method.as_str().to_owned(),
            bases: Vec::new(),
            refused: self.refused,
        })
    }
}

impl From<Panic> for Failure {
    fn from(panic: Panic) -> Self {
        let Panic { message, traceback } = panic;
        Self { kind: "panic", message, traceback, refused: false }
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
    fn not_here_is_a_refusal_also_as_the_cause_of_another_error() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot render")]
        struct Outer(#[source] NotHere);

        let error = NotHere::new("no gpu");
        assert!(Failure::of_error::<NotHere>(&error).refused);
        let failure = Failure::of_error::<Outer>(&Outer(error));
        assert_eq!((failure.refused, failure.kind), (true, "NotHere"));
        assert!(!Failure::of_error::<std::io::Error>(&std::io::Error::other("x")).refused);
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
