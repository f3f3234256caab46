//! Catches panics of handlers together with where they happened.
//!
//! The place of a panic is known only to the process's panic hook. So the first handler that runs
//! puts a hook before the one that is there: on a thread that is inside [`catch`] it writes the
//! place down; every other panic goes to the hook that was there before, unchanged.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::rt::panic_text;

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Panic {
    /// What it said.
    pub(super) message: String,
    /// Where it happened, and the stack if `RUST_BACKTRACE` asks for it.
    pub(super) traceback: String,
}

thread_local! {
    /// `Some` inside [`catch`]; then the place of the last panic.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work` and catches its panic. What the closure touched must not be used after a panic.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    install_hook();
    let outer = PLACE.replace(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    let place = PLACE.replace(outer).unwrap_or_default();
    result.map_err(|panic| Panic { message: panic_text(panic.as_ref()), traceback: place })
}

fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let inside = PLACE.with_borrow_mut(|place| match place {
                Some(place) => {
                    *place = describe(info);
                    true
                }
                None => false,
            });
            if !inside {
                before(info);
            }
        }));
    });
}

fn describe(info: &panic::PanicHookInfo<'_>) -> String {
    let mut text = match info.location() {
        Some(location) => format!("panicked at {location}\n"),
        None => String::new(),
    };
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&backtrace.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_its_text_and_place() {
        let panic = catch(|| -> u8 { panic!("no {}", 42) }).unwrap_err();
        assert_eq!(panic.message, "no 42");
        assert!(panic.traceback.contains("panics.rs"), "{}", panic.traceback);
        assert_eq!(catch(|| 7), Ok(7));
    }
}
