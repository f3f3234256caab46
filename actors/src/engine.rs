//! Engines: typed handlers by stable names, run for a hub.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use phalanx_actors::engine::{Engine, EngineError};
//!
//! fn main() -> Result<(), EngineError> {
//!     Engine::builder()
//!         .handler("hello.greet", |name: String| async move {
//!             Ok::<_, std::io::Error>(format!("hello {name}"))
//!         })
//!         .blocking("file.lines", |path: String| {
//!             std::fs::read_to_string(path).map(|text| text.lines().count() as u64)
//!         })
//!         .slots(4)
//!         .run(Path::new("engine.json"))?;
//!     Ok(())
//! }
//! ```
//!
//! A program that embeds an engine uses [`EngineBuilder::spawn`]: the engine gets a thread of its
//! own, and whatever becomes of it is told by [`EngineHandle::join`]; it never ends the process.

mod builder;
mod serve;
mod shell;

use std::thread::JoinHandle;

use phalanx_transport::identity::ConnectionFileError;
use tokio::sync::mpsc;

pub use builder::EngineBuilder;

use crate::executor::native::HandlerNameError;
use crate::rt::panic_text;

/// The way to an engine: see the [module](self).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Engine;

impl Engine {
    /// An engine that offers nothing yet.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::new()
    }
}

/// An engine that ended in order: the hub or its owner asked for it, or it had no hub for too
/// long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineEnd {
    /// Why, in words.
    pub reason: String,
}

/// Why an engine could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A handler cannot be registered.
    #[error(transparent)]
    Handler(#[from] HandlerNameError),
    /// It was given too many slots.
    #[error("an engine has 1 to {max} slots, not {slots}", max = phalanx_protocol::limits::SLOTS_PER_ENGINE_MAX)]
    Slots {
        /// How many.
        slots: u32,
    },
    /// The connection file cannot be used.
    #[error(transparent)]
    ConnectionFile(#[from] ConnectionFileError),
    /// The hub cannot be reached, or does not take it, and trying again is of no use.
    #[error("the engine cannot reach its hub: {message}")]
    CutOff {
        /// Why, and what to do.
        message: String,
    },
    /// The system gives no thread.
    #[error("no thread for the engine: {0}")]
    Thread(std::io::Error),
    /// A fault of our own.
    #[error("the engine panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
}

/// An engine on a thread of its own. Dropping the handle leaves it running.
#[derive(Debug)]
pub struct EngineHandle {
    stop: mpsc::Sender<String>,
    thread: JoinHandle<Result<EngineEnd, EngineError>>,
}

impl EngineHandle {
    /// Asks the engine to end, as if the hub had. Returns at once.
    pub fn stop(&self, reason: impl Into<String>) {
        // Full: it was asked before. Closed: it has ended.
        let _ = self.stop.try_send(reason.into());
    }

    /// Whether the engine has ended; then [`EngineHandle::join`] returns at once.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the engine has ended, and tells how.
    ///
    /// # Errors
    /// [`EngineError`] if it did not end in order.
    pub fn join(self) -> Result<EngineEnd, EngineError> {
        self.thread.join().unwrap_or_else(|panic| {
            Err(EngineError::Panicked { message: panic_text(panic.as_ref()) })
        })
    }
}
