//! The client: connecting, looking at the cluster, making views.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use phalanx_transport::identity::ConnectionFile;
use phalanx_transport::protocol::client::Scope;
use phalanx_transport::protocol::explain::Explanation;
use phalanx_transport::protocol::ids::{ClientId, EngineId, Epoch, TaskId};
use phalanx_transport::protocol::limits::HUB_LOST_MAX;
use phalanx_transport::protocol::peer::{ClusterStatus, EngineInfo};
use phalanx_transport::protocol::role::Role;
use phalanx_transport::{Connector, Settings};
use tokio::sync::watch;

use crate::balanced::LoadBalancedView;
use crate::blocking::Waiter;
use crate::call::engine_list;
use crate::core::{Answer, RequestError, SubmitError};
use crate::direct::{DirectView, EngineView};
use crate::driver::Driver;
use crate::error::{ConnectError, WaitForEnginesError};
use crate::link::{Network, Source};
use crate::outlook::Outlook;
use crate::shared::Shared;

/// What keeps a client alive: when the last one is dropped, the driver says goodbye and ends.
pub(crate) struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Client");
        if let Some((client, epoch)) = self.shared.identity() {
            text.field("id", &client).field("epoch", &epoch);
        }
        text.finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

/// A connection to a cluster, from which views are made.
///
/// Cheap to clone; usable from any thread. Lives as long as a clone, a view or a result of it
/// does: then it waits up to a second for submits to be recorded, and leaves. Tasks that are open
/// then go on without it. A session that is lost is replaced by another, and nothing submitted is
/// lost or done twice by that.
#[derive(Debug, Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    name: String,
    reconnect_for: Duration,
    outlook: Outlook,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            name: format!("rust/{}", std::process::id()),
            reconnect_for: HUB_LOST_MAX,
            outlook: Outlook::default(),
        }
    }
}

impl ClientBuilder {
    /// What the client calls itself, for people. Default: `rust/` and the process id.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// How long to try to get a session back before open tasks end as disconnected. Default: ten
    /// minutes.
    #[must_use]
    pub fn reconnect_for(self, reconnect_for: Duration) -> Self {
        Self { reconnect_for, ..self }
    }

    /// Goes on looking for a hub that was lost only as long as `may_come` says that there may be one
    /// again. It is asked a few times a second then, on the thread that runs the client. Default: always.
    #[must_use]
    pub fn as_long_as(self, may_come: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { outlook: Outlook::new(may_come), ..self }
    }

    /// Connects; the client's driver runs on the current runtime.
    ///
    /// # Errors
    /// [`ConnectError`] if there is no session within the handshake's deadline, or the hub does
    /// not open it. There is no second attempt.
    ///
    /// # Panics
    /// Outside a tokio runtime that has time and I/O.
    pub async fn connect(self, connection: &ConnectionFile) -> Result<Client, ConnectError> {
        let (client, driver) = self.connect_without_driver(connection).await?;
        tokio::spawn(driver);
        Ok(client)
    }

    /// The same, but the caller runs the driver.
    pub(crate) async fn connect_without_driver(
        self,
        connection: &ConnectionFile,
    ) -> Result<(Client, impl Future<Output = ()> + Send + 'static + use<>), ConnectError> {
        let source = Network {
            connector: Connector::new(connection, &Settings::default())?,
            name: self.name.clone(),
        };
        self.open(connection.role(), source).await
    }

    /// Gets the first session from `source`; whoever runs the driver runs the client.
    pub(crate) async fn open<S: Source>(
        self,
        role: Role,
        source: S,
    ) -> Result<(Client, impl Future<Output = ()> + Send + 'static + use<S>), ConnectError> {
        let shared = Arc::new(Shared::new(role, self.name));
        let mut driver = Driver {
            shared: Arc::clone(&shared),
            source,
            reconnect_for: self.reconnect_for,
            outlook: self.outlook,
        };
        let receiver = driver.open().await?;
        let handle = Arc::new(Handle { shared });
        Ok((Client { handle }, driver.run(receiver)))
    }
}

impl Client {
    /// Connects with a client's or an admin's connection file; a monitor's is good for looking.
    ///
    /// # Errors
    /// [`ConnectError`]; see [`ClientBuilder::connect`].
    ///
    /// # Panics
    /// Outside a tokio runtime that has time and I/O.
    pub async fn connect(connection: &ConnectionFile) -> Result<Self, ConnectError> {
        Self::builder().connect(connection).await
    }

    /// How to connect in another way than the default one.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The client's name in the present epoch: the first part of its tasks' ids.
    pub fn id(&self) -> ClientId {
        self.identity().0
    }

    /// The hub's ledger that knows this client.
    pub fn epoch(&self) -> Epoch {
        self.identity().1
    }

    /// The engines that take tasks, by id, as far as is known now.
    pub fn engine_ids(&self) -> Vec<EngineId> {
        self.shared().look(|room| room.engines().keys().copied().collect())
    }

    /// What the engines that take tasks told of themselves, by id.
    pub fn engines(&self) -> Vec<EngineInfo> {
        self.shared().look(|room| room.engines().values().cloned().collect())
    }

    /// Waits until at least `count` engines take tasks; their ids.
    ///
    /// # Errors
    /// [`WaitForEnginesError`] if they did not come within `limit`.
    ///
    /// # Panics
    /// Outside a tokio runtime that has time.
    pub async fn wait_for_engines(
        &self,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<EngineId>, WaitForEnginesError> {
        match tokio::time::timeout(limit, self.engines_at_least(count)).await {
            Ok(engines) => engines,
            Err(_) => Err(self.too_few_engines(count, limit)),
        }
    }

    /// The cluster as the hub sees it.
    ///
    /// # Errors
    /// [`RequestError`] if there is no session, or it is cut before the answer comes.
    pub async fn status(&self) -> Result<ClusterStatus, RequestError> {
        let answer = self.shared().ask(|room, effects| room.status(effects))?;
        match answer.await {
            Ok(Ok(Answer::Status(status))) => Ok(*status),
            Ok(Err(error)) => Err(error),
            // The room checks that answers fit; without a room there is no answer.
            Ok(Ok(_)) | Err(_) => Err(RequestError::Disconnected),
        }
    }

    /// Why a task is where it is: what it waits for, which engines are busy with what, how it ended.
    ///
    /// # Errors
    /// [`RequestError`] if there is no session, or it is cut before the answer comes.
    pub async fn explain(&self, task: TaskId) -> Result<Explanation, RequestError> {
        let answer = self.shared().ask(|room, effects| room.explain(task, effects))?;
        match answer.await {
            Ok(Ok(Answer::Explanation(explanation))) => Ok(*explanation),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Err(RequestError::Disconnected),
        }
    }

    /// Asks the hub for a sign of life, past all that is queued.
    ///
    /// # Errors
    /// [`RequestError`] if there is no session, or it is cut before the answer comes.
    pub async fn ping(&self) -> Result<(), RequestError> {
        let answer = self.shared().ask(|room, effects| room.ping(effects))?;
        answer.await.unwrap_or(Err(RequestError::Disconnected)).map(drop)
    }

    /// Asks the hub to end the whole cluster; returns when it has agreed, before it is done.
    ///
    /// # Errors
    /// [`RequestError`] if the hub refuses, or there is no session.
    pub async fn shutdown(&self) -> Result<(), RequestError> {
        self.shut_down(Scope::Cluster).await
    }

    /// Asks the hub to end these engines; they are not restarted.
    ///
    /// # Errors
    /// [`RequestError`] if the hub refuses, or there is no session.
    pub async fn shutdown_engines(
        &self,
        engines: impl IntoIterator<Item = EngineId>,
    ) -> Result<(), RequestError> {
        self.shut_down(Scope::Engines(engines.into_iter().collect())).await
    }

    /// A view of these engines, each addressed by itself.
    pub fn direct_view(&self, engines: impl IntoIterator<Item = EngineId>) -> DirectView {
        DirectView::new(Arc::clone(&self.handle), engine_list(engines))
    }

    /// A view of all engines that take tasks now, each addressed by itself.
    pub fn view_all(&self) -> DirectView {
        self.direct_view(self.engine_ids())
    }

    /// A view of one engine.
    pub fn engine_view(&self, engine: EngineId) -> EngineView {
        EngineView::new(Arc::clone(&self.handle), engine)
    }

    /// A view that leaves it to the scheduler where tasks run.
    pub fn load_balanced_view(&self) -> LoadBalancedView {
        LoadBalancedView::new(Arc::clone(&self.handle))
    }

    /// Wants tasks to end, also another client's; returns at once.
    pub fn abort(&self, tasks: impl IntoIterator<Item = TaskId>) {
        self.shared().abort(tasks);
    }

    /// As [`Client::abort`]; and if one of them has not ended `kill_after` after the hub has heard
    /// it, its engine's process is killed, and started again by its host. For code that heeds no
    /// abort. What else that engine had moves if balanced and ends as
    /// [`TaskError::EngineLost`](crate::TaskError::EngineLost) if direct. Less than 100 ms counts
    /// as that.
    pub fn abort_or_kill(&self, tasks: impl IntoIterator<Item = TaskId>, kill_after: Duration) {
        self.shared().abort_or_kill(tasks, kill_after);
    }

    /// Wants all of this client's tasks to end that have not; returns at once.
    pub fn abort_all(&self) {
        self.shared().abort_all();
    }

    /// The same, and the engine of a task that has not ended `kill_after` later is killed, as by
    /// [`Client::abort_or_kill`].
    pub fn abort_all_or_kill(&self, kill_after: Duration) {
        self.shared().abort_all_or_kill(kill_after);
    }

    /// This client's tasks that have not ended, in the order of their submits.
    pub fn open_ids(&self) -> Vec<TaskId> {
        self.shared().look(|room| room.open_ids())
    }

    /// How many of this client's tasks have not ended.
    pub fn open_tasks(&self) -> usize {
        self.shared().look(|room| room.open_tasks())
    }

    /// Waits until the queue of tasks that the hub has not granted yet is below half of its
    /// limits ([`CLIENT_QUEUE_TASKS_MAX`], [`CLIENT_QUEUE_BYTES_MAX`]). For those who submit
    /// without end: a call at the limit is refused.
    ///
    /// [`CLIENT_QUEUE_TASKS_MAX`]: phalanx_transport::protocol::limits::CLIENT_QUEUE_TASKS_MAX
    /// [`CLIENT_QUEUE_BYTES_MAX`]: phalanx_transport::protocol::limits::CLIENT_QUEUE_BYTES_MAX
    ///
    /// # Errors
    /// [`SubmitError::Closed`] if the client is.
    pub async fn wait_for_room(&self) -> Result<(), SubmitError> {
        self.when(|room| {
            if let Some(cause) = room.closed() {
                return Some(Err(SubmitError::Closed(Arc::clone(cause))));
            }
            room.has_room().then_some(Ok(()))
        })
        .await
    }

    /// Waits until the hub has recorded everything submitted, and leaves. Open tasks go on; their
    /// results here end as disconnected.
    pub async fn close(&self) {
        self.shared().leave(false);
        self.when(|room| room.closed().map(drop)).await;
    }

    /// Waits, however long, until at least `count` engines take tasks that `is_wanted` picks;
    /// their ids.
    ///
    /// # Errors
    /// [`WaitForEnginesError::Closed`] if the client is.
    pub async fn wait_for_engines_like(
        &self,
        count: usize,
        is_wanted: impl Fn(&EngineInfo) -> bool,
    ) -> Result<Vec<EngineId>, WaitForEnginesError> {
        let mut changes = self.shared().changes();
        loop {
            // Asked without the room's lock: the caller's code may use this client.
            if let Some(cause) = self.closed() {
                return Err(WaitForEnginesError::Closed(cause));
            }
            let wanted = self.engines().into_iter().filter(|engine| is_wanted(engine));
            let wanted: Vec<EngineId> = wanted.map(|engine| engine.id).collect();
            if wanted.len() >= count {
                return Ok(wanted);
            }
            changed(&mut changes).await;
        }
    }

    /// Why nothing can be submitted any more, if so: the client was closed, or gave up on its hub.
    pub fn closed(&self) -> Option<Arc<str>> {
        self.shared().look(|room| room.closed().cloned())
    }

    /// Grows with everything that a caller may want to look at again: engines, the session, room in
    /// the queue.
    pub fn changes(&self) -> u64 {
        *self.shared().changes().borrow()
    }

    pub(crate) async fn engines_at_least(
        &self,
        count: usize,
    ) -> Result<Vec<EngineId>, WaitForEnginesError> {
        self.when(|room| {
            if let Some(cause) = room.closed() {
                return Some(Err(WaitForEnginesError::Closed(Arc::clone(cause))));
            }
            let engines = room.engines();
            (engines.len() >= count).then(|| Ok(engines.keys().copied().collect()))
        })
        .await
    }

    /// Blocks threads that wait for something of this client; see [`blocking`](crate::blocking).
    pub fn waiter(&self) -> Waiter {
        Waiter::of(&self.handle)
    }

    pub(crate) const fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    pub(crate) fn too_few_engines(&self, wanted: usize, after: Duration) -> WaitForEnginesError {
        WaitForEnginesError::TooFew {
            there: self.shared().look(|room| room.engines().len()),
            wanted,
            after,
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        self.handle.shared()
    }

    fn identity(&self) -> (ClientId, Epoch) {
        // A client is only made once the hub has opened it.
        self.shared().identity().unwrap_or_default()
    }

    async fn shut_down(&self, scope: Scope) -> Result<(), RequestError> {
        let answer = self.shared().ask(|room, effects| room.shutdown(scope, effects))?;
        answer.await.unwrap_or(Err(RequestError::Disconnected)).map(drop)
    }

    /// Waits until `look` has something to say.
    async fn when<T>(
        &self,
        mut look: impl FnMut(&mut crate::core::ClientRoom<crate::batch::Place>) -> Option<T>,
    ) -> T {
        let mut changes = self.shared().changes();
        loop {
            if let Some(found) = self.shared().look(&mut look) {
                return found;
            }
            changed(&mut changes).await;
        }
    }
}

/// Waits for the next change.
async fn changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        // Never: the sender lives in what the client shares.
        std::future::pending::<()>().await;
    }
}
