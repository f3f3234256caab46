//! The blocking client and the thread that runs its sessions.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use phalanx_transport::identity::ConnectionFile;
use phalanx_transport::protocol::explain::Explanation;
use phalanx_transport::protocol::ids::{ClientId, EngineId, Epoch, TaskId};
use phalanx_transport::protocol::peer::{ClusterStatus, EngineInfo};
use phalanx_transport::protocol::role::Role;

use super::park::{wait, wait_at_most};
use super::views::{DirectView, EngineView, LoadBalancedView};
use crate::core::{RequestError, SubmitError};
use crate::error::{ConnectError, WaitForEnginesError};
use crate::link::Source;
use crate::wheel::Wheel;

/// A connection to a cluster; as [`crate::Client`], but it blocks.
#[derive(Debug, Clone)]
pub struct Client {
    inner: crate::Client,
}

/// How to connect; as [`crate::ClientBuilder`].
#[derive(Debug, Clone, Default)]
pub struct ClientBuilder {
    inner: crate::ClientBuilder,
}

impl ClientBuilder {
    /// What the client calls itself, for people. Default: `rust/` and the process id.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { inner: self.inner.name(name) }
    }

    /// How long to try to get a session back before open tasks end as disconnected. Default: ten
    /// minutes.
    #[must_use]
    pub fn reconnect_for(self, reconnect_for: Duration) -> Self {
        Self { inner: self.inner.reconnect_for(reconnect_for) }
    }

    /// Goes on looking for a hub that was lost only as long as `may_come` says that there may be one
    /// again; as [`crate::ClientBuilder::as_long_as`].
    #[must_use]
    pub fn as_long_as(self, may_come: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { inner: self.inner.as_long_as(may_come) }
    }

    /// Connects; starts the client's thread, which ends with the client.
    ///
    /// # Errors
    /// [`ConnectError`] if there is no session within the handshake's deadline, the hub does not
    /// open it, or the system gives no thread.
    pub fn connect(self, connection: &ConnectionFile) -> Result<Client, ConnectError> {
        let connection = connection.clone();
        let builder = self.inner;
        run(async move { builder.connect_without_driver(&connection).await })
    }

    /// Gets the first session from `source`.
    #[cfg_attr(not(test), allow(dead_code, reason = "tests connect without a network"))]
    pub(crate) fn open(self, role: Role, source: impl Source) -> Result<Client, ConnectError> {
        run(self.inner.open(role, source))
    }
}

/// Connects on a new thread, which then runs the client's sessions to their end, whenever no caller
/// that waits does.
fn run<D: Future<Output = ()> + Send + 'static>(
    connect: impl Future<Output = Result<(crate::Client, D), ConnectError>> + Send + 'static,
) -> Result<Client, ConnectError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ConnectError::Runtime)?;
    let wheel = Arc::new(Wheel::new(runtime));
    let drive = move || {
        let connected = wheel.runtime().block_on(connect);
        let (client, driver) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                // Whoever asked waits for it.
                let _ = sender.send(Err(error));
                return;
            }
        };
        let driver = wheel.runtime().spawn(driver);
        client.handle().shared().turn_with(&wheel);
        let _ = sender.send(Ok(client));
        wheel.keep(driver);
    };
    let thread = std::thread::Builder::new().name("phalanx-client".into());
    thread.spawn(drive).map_err(ConnectError::Runtime)?;
    let connected = receiver.recv().unwrap_or(Err(ConnectError::Protocol("its thread panicked")));
    connected.map(|inner| Client { inner })
}

impl Client {
    /// Connects with a client's or an admin's connection file; a monitor's is good for looking.
    ///
    /// # Errors
    /// [`ConnectError`]; see [`ClientBuilder::connect`].
    pub fn connect(connection: &ConnectionFile) -> Result<Self, ConnectError> {
        Self::builder().connect(connection)
    }

    /// How to connect in another way than the default one.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The same client for asynchronous code, and for what a [`Waiter`](super::Waiter) waits for.
    pub const fn as_async(&self) -> &crate::Client {
        &self.inner
    }

    /// The client's name in the present epoch: the first part of its tasks' ids.
    pub fn id(&self) -> ClientId {
        self.inner.id()
    }

    /// The hub's ledger that knows this client.
    pub fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    /// The engines that take tasks, by id, as far as is known now.
    pub fn engine_ids(&self) -> Vec<EngineId> {
        self.inner.engine_ids()
    }

    /// What the engines that take tasks told of themselves, by id.
    pub fn engines(&self) -> Vec<EngineInfo> {
        self.inner.engines()
    }

    /// Waits until at least `count` engines take tasks; their ids.
    ///
    /// # Errors
    /// [`WaitForEnginesError`] if they did not come within `limit`.
    pub fn wait_for_engines(
        &self,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<EngineId>, WaitForEnginesError> {
        let engines = wait_at_most(self.inner.handle(), self.inner.engines_at_least(count), limit);
        engines.unwrap_or_else(|| Err(self.inner.too_few_engines(count, limit)))
    }

    /// The cluster as the hub sees it.
    ///
    /// # Errors
    /// [`RequestError`] if there is no session, or it is cut before the answer comes.
    pub fn status(&self) -> Result<ClusterStatus, RequestError> {
        wait(self.inner.handle(), self.inner.status())
    }

    /// As [`crate::Client::explain`].
    ///
    /// # Errors
    /// [`RequestError`] if there is no session, or it is cut before the answer comes.
    pub fn explain(&self, task: TaskId) -> Result<Explanation, RequestError> {
        wait(self.inner.handle(), self.inner.explain(task))
    }

    /// Asks the hub for a sign of life, past all that is queued.
    ///
    /// # Errors
    /// [`RequestError`] if there is no session, or it is cut before the answer comes.
    pub fn ping(&self) -> Result<(), RequestError> {
        wait(self.inner.handle(), self.inner.ping())
    }

    /// Asks the hub to end the whole cluster; returns when it has agreed, before it is done.
    ///
    /// # Errors
    /// [`RequestError`] if the hub refuses, or there is no session.
    pub fn shutdown(&self) -> Result<(), RequestError> {
        wait(self.inner.handle(), self.inner.shutdown())
    }

    /// Asks the hub to end these engines; they are not restarted.
    ///
    /// # Errors
    /// [`RequestError`] if the hub refuses, or there is no session.
    pub fn shutdown_engines(
        &self,
        engines: impl IntoIterator<Item = EngineId>,
    ) -> Result<(), RequestError> {
        wait(self.inner.handle(), self.inner.shutdown_engines(engines))
    }

    /// A view of these engines, each addressed by itself.
    pub fn direct_view(&self, engines: impl IntoIterator<Item = EngineId>) -> DirectView {
        DirectView::new(self.inner.direct_view(engines))
    }

    /// A view of all engines that take tasks now, each addressed by itself.
    pub fn view_all(&self) -> DirectView {
        DirectView::new(self.inner.view_all())
    }

    /// A view of one engine.
    pub fn engine_view(&self, engine: EngineId) -> EngineView {
        EngineView::new(self.inner.engine_view(engine))
    }

    /// A view that leaves it to the scheduler where tasks run.
    pub fn load_balanced_view(&self) -> LoadBalancedView {
        LoadBalancedView::new(self.inner.load_balanced_view())
    }

    /// Wants tasks to end, also another client's; returns at once.
    pub fn abort(&self, tasks: impl IntoIterator<Item = TaskId>) {
        self.inner.abort(tasks);
    }

    /// As [`Client::abort`]; and if one of them has not ended `kill_after` after the hub has heard
    /// it, its engine's process is killed, and started again by its host. For code that heeds no
    /// abort. What else that engine had moves if balanced and ends as
    /// [`TaskError::EngineLost`](crate::TaskError::EngineLost) if direct. Less than 100 ms counts
    /// as that.
    pub fn abort_or_kill(&self, tasks: impl IntoIterator<Item = TaskId>, kill_after: Duration) {
        self.inner.abort_or_kill(tasks, kill_after);
    }

    /// Wants all of this client's tasks to end that have not; returns at once.
    pub fn abort_all(&self) {
        self.inner.abort_all();
    }

    /// The same, and the engine of a task that has not ended `kill_after` later is killed, as by
    /// [`Client::abort_or_kill`].
    pub fn abort_all_or_kill(&self, kill_after: Duration) {
        self.inner.abort_all_or_kill(kill_after);
    }

    /// How many of this client's tasks have not ended.
    pub fn open_tasks(&self) -> usize {
        self.inner.open_tasks()
    }

    /// Waits until the queue before the hub's grant is below half of its limits.
    ///
    /// # Errors
    /// [`SubmitError::Closed`] if the client is.
    pub fn wait_for_room(&self) -> Result<(), SubmitError> {
        wait(self.inner.handle(), self.inner.wait_for_room())
    }

    /// Waits until the hub has recorded everything submitted, and leaves.
    pub fn close(&self) {
        wait(self.inner.handle(), self.inner.close());
    }
}
