//! What an engine is made of, step by step. Errors wait until it is run, so that steps chain.

use std::future::Future;
use std::path::Path;
use std::thread;

use phalanx_protocol::engine::EngineToHub;
use phalanx_protocol::limits::SLOTS_PER_ENGINE_MAX;
use phalanx_protocol::method::Method;
use phalanx_protocol::needs::{Amount, Resource};
use phalanx_protocol::peer::Registration;
use phalanx_transport::Settings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::serve::{MakeExecutor, OnRegistered, Ready, serve};
use super::{EngineEnd, EngineError, EngineHandle};
use crate::executor::native::{HandlerError, HandlerNameError, Handlers, Native};
use crate::executor::{Executor, TaskContext};
use crate::link::{Connect, FileConnect};
use crate::rt;

/// Makes an engine; see [`super::Engine`].
///
/// A handler's arguments and result are serde types. Its error may be any
/// [`std::error::Error`], `anyhow::Error` or a text; the caller sees its type's name, what it
/// says, and its causes. A handler that panics fails its task; the engine goes on.
#[must_use = "an engine does nothing until it is run"]
pub struct EngineBuilder {
    handlers: Handlers,
    /// The first thing that went wrong.
    error: Option<HandlerNameError>,
    slots: u32,
    name: Option<String>,
    labels: Vec<String>,
    resources: Vec<Resource>,
    settings: Settings,
    executor: Option<MakeExecutor>,
    on_registered: Option<OnRegistered>,
    kept_by_host: bool,
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("name", &self.name)
            .field("slots", &self.slots)
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    pub(super) fn new() -> Self {
        Self {
            handlers: Handlers::new(),
            error: None,
            slots: 1,
            name: None,
            labels: Vec::new(),
            resources: Vec::new(),
            settings: Settings::default(),
            executor: None,
            on_registered: None,
            kept_by_host: false,
        }
    }

    /// Adds an asynchronous handler under a stable name. It runs on the engine's own thread: what
    /// computes for long belongs into [`EngineBuilder::blocking`]. Abort drops its future.
    pub fn handler<A, R, E, F, Fut>(self, name: &str, handler: F) -> Self
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
        E: HandlerError,
        F: Fn(A) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, E>> + 'static,
    {
        self.handler_with_context(name, move |_, args| handler(args))
    }

    /// As [`EngineBuilder::handler`], with the attempt it runs as its first argument.
    pub fn handler_with_context<A, R, E, F, Fut>(mut self, name: &str, handler: F) -> Self
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
        E: HandlerError,
        F: Fn(TaskContext, A) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, E>> + 'static,
    {
        let added = self.handlers.add(name, handler);
        self.note(added)
    }

    /// Adds a blocking handler under a stable name. It gets a thread of its own; there are as many
    /// as slots. Abort is seen only by [`EngineBuilder::blocking_with_context`] handlers that ask;
    /// otherwise the task ends as aborted when the handler returns.
    pub fn blocking<A, R, E, F>(self, name: &str, handler: F) -> Self
    where
        A: DeserializeOwned,
        R: Serialize,
        E: HandlerError,
        F: Fn(A) -> Result<R, E> + Send + Sync + 'static,
    {
        self.blocking_with_context(name, move |_, args| handler(args))
    }

    /// As [`EngineBuilder::blocking`], with the attempt it runs as its first argument.
    pub fn blocking_with_context<A, R, E, F>(mut self, name: &str, handler: F) -> Self
    where
        A: DeserializeOwned,
        R: Serialize,
        E: HandlerError,
        F: Fn(TaskContext, A) -> Result<R, E> + Send + Sync + 'static,
    {
        let added = self.handlers.add_blocking(name, handler);
        self.note(added)
    }

    /// Adds an asynchronous handler for a [`Method`], whose types it must have.
    pub fn on<A, R, E, F, Fut>(self, method: Method<A, R>, handler: F) -> Self
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
        E: HandlerError,
        F: Fn(A) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, E>> + 'static,
    {
        self.handler(method.name(), handler)
    }

    /// Adds a blocking handler for a [`Method`], whose types it must have.
    pub fn on_blocking<A, R, E, F>(self, method: Method<A, R>, handler: F) -> Self
    where
        A: DeserializeOwned,
        R: Serialize,
        E: HandlerError,
        F: Fn(A) -> Result<R, E> + Send + Sync + 'static,
    {
        self.blocking(method.name(), handler)
    }

    /// How many tasks it runs at once. Default 1.
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }

    /// Its stable name in the cluster: an engine that registers under the name of a lost one takes
    /// its id. Default: none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds a word to choose it by.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// Says how much of a resource it has: tasks that need some of it run here only while so much
    /// is free.
    pub fn resource(mut self, name: impl Into<String>, amount: Amount) -> Self {
        self.resources.push((name.into(), amount));
        self
    }

    /// Times and limits of its sessions.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Runs what `make` makes, on the engine's thread, instead of handlers.
    pub fn executor<X: Executor>(mut self, make: impl FnOnce() -> X + Send + 'static) -> Self {
        self.executor = Some(Box::new(|| Box::new(make())));
        self
    }

    /// Calls this once, on the engine's thread, when the hub has registered the engine for the
    /// first time: from then on it takes tasks. It must return at once.
    pub fn on_registered(mut self, tell: impl FnOnce(Registration) + Send + 'static) -> Self {
        self.on_registered = Some(Box::new(tell));
        self
    }

    /// Says that a host process ends this engine when its cluster ends: it then waits for another
    /// hub also after one that was asked to stop, and keeps what it has. By default an engine ends
    /// with such a hub, and waits only after one that was lost.
    pub fn kept_by_host(mut self) -> Self {
        self.kept_by_host = true;
        self
    }

    /// Runs the engine on this thread until it has ended.
    ///
    /// # Errors
    /// [`EngineError`] if it cannot start, or does not end in order.
    ///
    /// # Panics
    /// If this thread is inside an asynchronous runtime; use [`EngineBuilder::spawn`] there.
    pub fn run(self, connection_file: &Path) -> Result<EngineEnd, EngineError> {
        let (connect, ready) = self.prepare(connection_file)?;
        let (_stop, stopped) = mpsc::channel(1);
        rt::block_on(serve(ready, connect, stopped))
    }

    /// Runs the engine on a thread of its own.
    ///
    /// # Errors
    /// [`EngineError`] if it cannot start. That its hub is not there is no reason: it waits.
    pub fn spawn(self, connection_file: &Path) -> Result<EngineHandle, EngineError> {
        let (connect, ready) = self.prepare(connection_file)?;
        let (stop, stopped) = mpsc::channel(1);
        let thread = thread::Builder::new()
            .name("phalanx-engine".to_owned())
            .spawn(move || rt::block_on(serve(ready, connect, stopped)))
            .map_err(EngineError::Thread)?;
        Ok(EngineHandle { stop, thread })
    }

    /// Runs the engine inside [`rt::block_on`], over whatever `connect` opens, until it has ended
    /// or something comes through `stop`. For tests and for other transports.
    ///
    /// # Errors
    /// As [`EngineBuilder::run`].
    pub async fn serve(
        self,
        connect: impl Connect<EngineToHub>,
        stop: mpsc::Receiver<String>,
    ) -> Result<EngineEnd, EngineError> {
        serve(self.ready()?, connect, stop).await
    }

    fn prepare(self, connection_file: &Path) -> Result<(FileConnect, Ready), EngineError> {
        let name = self.name.clone().unwrap_or_else(|| "engine".to_owned());
        let connect = FileConnect::new(connection_file, name, self.settings.clone())?;
        Ok((connect, self.ready()?))
    }

    fn ready(self) -> Result<Ready, EngineError> {
        if let Some(error) = self.error {
            return Err(error.into());
        }
        let slots = self.slots;
        if !(1..=SLOTS_PER_ENGINE_MAX).contains(&slots) {
            return Err(EngineError::Slots { slots });
        }
        let handlers = self.handlers;
        let executor = self
            .executor
            .unwrap_or_else(|| Box::new(move || Box::new(Native::new(handlers, slots))));
        Ok(Ready {
            name: self.name,
            slots,
            labels: self.labels,
            resources: self.resources,
            executor,
            on_registered: self.on_registered,
            kept_by_host: self.kept_by_host,
        })
    }

    fn note(mut self, added: Result<(), HandlerNameError>) -> Self {
        if let Err(error) = added {
            self.error.get_or_insert(error);
        }
        self
    }
}
