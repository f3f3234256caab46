//! What all handles of one client share: the room under a lock, and what its effects need.
//!
//! Callers submit straight from their own task or thread: under the lock the room names the task
//! and the session takes the frame, so there is no hop to a driver. The driver takes the same lock
//! for each batch that arrives. No lock is held while anybody is woken.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use phalanx_transport::protocol::client::ClientToHub;
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::ids::{ClientId, Epoch, RequestId, TaskId};
use phalanx_transport::protocol::role::Role;
use phalanx_transport::{SendError, SessionSender};
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::batch::{Batch, Ending, Place};
use crate::core::{Answer, ClientRoom, Effect, Event, NewTask, RequestError, SubmitError};
use crate::wheel::Wheel;

/// Room for effects that is kept from one burst to the next; after greater ones it is given back.
const EFFECTS_KEPT_MAX: usize = 4_096;

/// The room and what its effects go to.
pub(crate) struct Shared {
    started: Instant,
    inner: Mutex<Inner>,
    /// Counts what a waiter may care about: opened, closed, engines, room in the queue.
    changes: watch::Sender<u64>,
    /// Wakes the driver for what does not come by the session.
    pub(crate) driver: Notify,
    /// Who runs the sessions, if it is a blocking client.
    wheel: OnceLock<Weak<Wheel>>,
}

struct Inner {
    room: ClientRoom<Place>,
    sender: Option<SessionSender<ClientToHub>>,
    effects: Vec<Effect<Place>>,
    answers: FxHashMap<RequestId, oneshot::Sender<Result<Answer, RequestError>>>,
    woken: Vec<Waker>,
    identity: Option<(ClientId, Epoch)>,
    /// How the session is to be ended, if so.
    close: Option<(ErrorCode, &'static str)>,
    left: bool,
    abandoned: bool,
    changed: bool,
}

/// What the driver has to know after it did something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// When the room wants to be called.
    pub(crate) deadline: Option<Duration>,
    /// How the session is to be ended, if so.
    pub(crate) close: Option<(ErrorCode, &'static str)>,
    /// Whether the hub was told goodbye.
    pub(crate) left: bool,
    /// Whether nobody holds the client any more.
    pub(crate) abandoned: bool,
}

impl Shared {
    pub(crate) fn new(role: Role, name: String) -> Self {
        Self {
            started: Instant::now(),
            inner: Mutex::new(Inner {
                room: ClientRoom::new(role, name),
                sender: None,
                effects: Vec::new(),
                answers: FxHashMap::default(),
                woken: Vec::new(),
                identity: None,
                close: None,
                left: false,
                abandoned: false,
                changed: false,
            }),
            changes: watch::Sender::new(0),
            driver: Notify::new(),
            wheel: OnceLock::new(),
        }
    }

    /// Has callers that wait run the sessions.
    pub(crate) fn turn_with(&self, wheel: &Arc<Wheel>) {
        // Told once, before anybody waits.
        let _ = self.wheel.set(Arc::downgrade(wheel));
    }

    /// Who runs the sessions; `None` if it is some runtime of the caller's, or all is over.
    pub(crate) fn wheel(&self) -> Option<Arc<Wheel>> {
        self.wheel.get()?.upgrade()
    }

    /// Does what queues something to be sent, and sends it, if nobody else will.
    fn pass<T>(&self, queue: impl FnOnce() -> T) -> T {
        match self.wheel() {
            Some(wheel) => wheel.pass(queue),
            None => queue(),
        }
    }

    /// Time as the room counts it.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The moment that the room calls `time`.
    pub(crate) fn instant(&self, time: Duration) -> Instant {
        self.started + time
    }

    /// Submits `tasks`, all or none, and returns the first id and the batch they report to.
    pub(crate) fn submit<T>(&self, tasks: T) -> Result<(TaskId, Arc<Batch>), SubmitError>
    where
        T: AsRef<[NewTask]> + IntoIterator<Item = NewTask>,
    {
        let ids = tasks.as_ref().iter().map(|task| task.target.ids_len());
        let batch = Arc::new(Batch::new(ids.sum::<u64>() as usize));
        let mut first = None;
        let submit = |inner: &mut Inner| {
            let key = |id: TaskId| {
                let first = *first.get_or_insert(id);
                Place { batch: Arc::clone(&batch), index: (id.seq - first.seq) as u32 }
            };
            inner.room.submit(tasks, key, &mut inner.effects)
        };
        self.pass(|| self.with(submit))?;
        // Every spec has at least one id, but there may be no spec: then nobody asks for the id.
        Ok((first.unwrap_or_default(), batch))
    }

    /// Wants the outcomes of tasks, whoever submitted them: they report to the batch, in this order.
    pub(crate) fn watch(&self, tasks: &[TaskId]) -> Result<Arc<Batch>, RequestError> {
        let batch = Arc::new(Batch::new(tasks.len()));
        self.with(|inner| {
            let key = |index| Place { batch: Arc::clone(&batch), index: index as u32 };
            inner.room.watch(tasks, key, &mut inner.effects)
        })?;
        Ok(batch)
    }

    /// Submits a graph, all or none, and returns the first id and the batch it reports to.
    pub(crate) fn submit_graph(
        &self,
        tasks: Vec<NewTask>,
    ) -> Result<(TaskId, Arc<Batch>), SubmitError> {
        let batch = Arc::new(Batch::new(tasks.len()));
        let mut first = None;
        let submit = |inner: &mut Inner| {
            let key = |id: TaskId| {
                let first = *first.get_or_insert(id);
                Place { batch: Arc::clone(&batch), index: (id.seq - first.seq) as u32 }
            };
            inner.room.submit_graph(tasks, key, &mut inner.effects)
        };
        self.pass(|| self.with(submit))?;
        Ok((first.unwrap_or_default(), batch))
    }

    /// Tells the room something that the driver is to act on.
    fn tell(&self, tell: impl FnOnce(&mut ClientRoom<Place>)) {
        self.pass(|| {
            self.with(|inner| tell(&mut inner.room));
            self.driver.notify_one();
        });
    }

    /// Wants tasks to end.
    pub(crate) fn abort(&self, tasks: impl IntoIterator<Item = TaskId>) {
        self.tell(|room| room.abort(tasks));
    }

    /// The same, and the engine of one that has not ended so much later is killed.
    pub(crate) fn abort_or_kill(
        &self,
        tasks: impl IntoIterator<Item = TaskId>,
        kill_after: Duration,
    ) {
        self.tell(|room| room.abort_or_kill(tasks, kill_after));
    }

    /// Wants all own tasks to end that have not.
    pub(crate) fn abort_all(&self) {
        self.tell(|room| room.abort_all());
    }

    /// The same, and the engine of one that has not ended so much later is killed.
    pub(crate) fn abort_all_or_kill(&self, kill_after: Duration) {
        self.tell(|room| room.abort_all_or_kill(kill_after));
    }

    /// Asks the hub something; the answer, or why there is none, comes by the receiver.
    pub(crate) fn ask(
        &self,
        ask: impl FnOnce(
            &mut ClientRoom<Place>,
            &mut Vec<Effect<Place>>,
        ) -> Result<RequestId, RequestError>,
    ) -> Result<oneshot::Receiver<Result<Answer, RequestError>>, RequestError> {
        let (sender, receiver) = oneshot::channel();
        self.with(|inner| {
            let request = ask(&mut inner.room, &mut inner.effects)?;
            inner.answers.insert(request, sender);
            Ok(receiver)
        })
    }

    /// Looks at the room.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut ClientRoom<Place>) -> T) -> T {
        self.with(|inner| look(&mut inner.room))
    }

    /// Who the client is.
    pub(crate) fn identity(&self) -> Option<(ClientId, Epoch)> {
        self.with(|inner| inner.identity)
    }

    /// Lets events happen, in order.
    pub(crate) fn handle(&self, events: impl IntoIterator<Item = Event>) {
        let now = self.now();
        self.with(|inner| {
            for event in events {
                inner.room.handle(now, event, &mut inner.effects);
            }
        });
    }

    /// A session began; what the room says goes there.
    pub(crate) fn on_session_up(&self, sender: SessionSender<ClientToHub>) {
        let now = self.now();
        self.with(|inner| {
            inner.close = None;
            inner.sender = Some(sender);
            inner.room.handle(now, Event::SessionUp, &mut inner.effects);
        });
    }

    /// The session is over.
    pub(crate) fn on_session_down(&self) {
        let now = self.now();
        self.with(|inner| {
            inner.sender = None;
            inner.room.handle(now, Event::SessionDown, &mut inner.effects);
        });
    }

    /// Ends the session once what is queued is sent; waits until it is over.
    pub(crate) async fn close_session(&self, code: ErrorCode, detail: &str) {
        let sender = self.with(|inner| inner.sender.take());
        if let Some(sender) = sender {
            sender.close(code, detail);
            sender.closed().await;
        }
    }

    /// What the driver has to know after it did something.
    pub(crate) fn turn(&self) -> Turn {
        self.with(|inner| Turn {
            deadline: inner.room.next_deadline(),
            close: inner.close,
            left: inner.left,
            abandoned: inner.abandoned,
        })
    }

    /// A deadline may have come.
    pub(crate) fn on_deadline(&self) {
        let now = self.now();
        self.with(|inner| inner.room.on_deadline(now, &mut inner.effects));
    }

    /// Takes no more tasks and says goodbye when it can.
    pub(crate) fn leave(&self, abort_open: bool) {
        self.with(|inner| inner.room.leave(abort_open, &mut inner.effects));
        self.driver.notify_one();
    }

    /// Nobody holds the client any more: as [`Shared::leave`], but the driver does not wait long.
    pub(crate) fn abandon(&self) {
        self.with(|inner| {
            inner.abandoned = true;
            if inner.room.closed().is_none() {
                inner.room.leave(false, &mut inner.effects);
            }
        });
        self.driver.notify_one();
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Does something under the lock, then does what the room wants done about it.
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut inner);
        if inner.effects.is_empty() {
            return result;
        }
        inner.apply();
        let changed = std::mem::take(&mut inner.changed);
        let woken = std::mem::take(&mut inner.woken);
        let driver_wanted = inner.close.is_some() || inner.left;
        drop(inner);
        if changed {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        if driver_wanted {
            self.driver.notify_one();
        }
        for waker in woken {
            waker.wake();
        }
        result
    }
}

impl Inner {
    fn apply(&mut self) {
        let mut received = None;
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(message) => self.send(message),
                Effect::Ended { key, task: _, end } => {
                    let received = *received.get_or_insert_with(SystemTime::now);
                    key.fill(Ending { end, received }, &mut self.woken);
                }
                Effect::Output(output) => {
                    let task = output.attempt.task;
                    for place in self.room.key(task).into_iter().chain(self.room.watchers(task)) {
                        place.wrote(output.clone(), &mut self.woken);
                    }
                }
                Effect::Answered(request, answer) => {
                    if let Some(sender) = self.answers.remove(&request) {
                        // Whoever asked may have stopped waiting.
                        let _ = sender.send(answer);
                    }
                }
                Effect::CloseSession(code, reason) => self.close = Some((code, reason)),
                Effect::Opened { client, epoch } => {
                    self.identity = Some((client, epoch));
                    self.changed = true;
                }
                Effect::EnginesChanged | Effect::RoomInQueue => self.changed = true,
                Effect::Left => {
                    self.left = true;
                    self.changed = true;
                }
            }
        }
        if effects.capacity() <= EFFECTS_KEPT_MAX {
            self.effects = effects;
        }
    }

    fn send(&mut self, message: ClientToHub) {
        let Some(sender) = &self.sender else {
            return;
        };
        // What was not taken goes over the next session: the room keeps it until it is recorded.
        let (code, detail) = match sender.send(message) {
            // The receiver is about to say so, and why.
            Ok(()) | Err(SendError::Closed(_)) => return,
            Err(SendError::Overloaded(_)) => (ErrorCode::Overloaded, "the send queue is full"),
            Err(_) => (ErrorCode::Internal, "a message cannot be encoded"),
        };
        self.close.get_or_insert((code, detail));
    }
}
