//! The method that is measured: it does nothing, and gives back what it got.

use std::convert::Infallible;

use clap::ValueEnum;
use phalanx::{Engine, EngineProcessError, Method, run_engine};
use phalanx_actors::executor::null::Null;
use phalanx_protocol::task::MethodName;
use serde::Serialize;
use serde_bytes::ByteBuf;

/// Gives back its arguments.
pub const ECHO: Method<ByteBuf, ByteBuf> = Method::new("bench.echo");

/// Length of the arguments as they travel, in bytes.
pub const ARGS_LEN: usize = 32;

/// What MessagePack puts before so few bytes.
const HEADER_LEN: usize = 2;

/// How an engine answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutorKind {
    /// At once, without looking at the arguments: everything but the execution is measured.
    Null,
    /// By an asynchronous Rust handler, which gets its arguments decoded.
    Native,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The same frames through a relay that keeps nothing: what the machine is worth.
    Bare,
    /// A cluster, with engines that answer at once.
    Null,
    /// A cluster, with engines that run a Rust handler.
    Native,
}

impl Subject {
    /// How the engines of its cluster answer; `None`: it has no cluster.
    pub const fn executor(self) -> Option<ExecutorKind> {
        match self {
            Self::Bare => None,
            Self::Null => Some(ExecutorKind::Null),
            Self::Native => Some(ExecutorKind::Native),
        }
    }

    /// As on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Null => "null",
            Self::Native => "native",
        }
    }
}

impl ExecutorKind {
    /// As on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Native => "native",
        }
    }
}

/// Arguments of [`ARGS_LEN`] bytes.
pub fn arguments() -> ByteBuf {
    ByteBuf::from(vec![0x5a; ARGS_LEN - HEADER_LEN])
}

/// This process becomes an engine of the cluster that started it.
pub fn run(executor: ExecutorKind) -> Result<(), EngineProcessError> {
    let engine = Engine::builder();
    let engine = match executor {
        // The name is a constant, and short.
        ExecutorKind::Null => engine.executor(|| Null::new(MethodName::try_from(ECHO.name()))),
        ExecutorKind::Native => engine.on(ECHO, async |args| Ok::<_, Infallible>(args)),
    };
    run_engine(engine)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_as_long_as_promised() {
        let encoded = phalanx_protocol::value::to_bytes(&arguments()).expect("bytes encode");
        assert_eq!(encoded.len(), ARGS_LEN);
        assert!(MethodName::try_from(ECHO.name()).is_ok());
    }
}
