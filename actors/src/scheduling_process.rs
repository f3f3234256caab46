//! The dag and scheduler rooms in a process of their own.
//!
//! It connects to the hub with the role `scheduler`, offers to run the rooms, and runs the very
//! shells that the hub process would run. Its rooms live as long as the session: a hub that is
//! connected to again fills fresh ones from its ledger. A panic of a room is told to the hub, which
//! decides what follows.

use std::path::Path;
use std::rc::Rc;
use std::thread::{self, JoinHandle};

use phalanx_core::Time;
pub use phalanx_core::scheduler::{Hwm, Scheme, SchemeError, Settings as Placement};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::limits::CLOSE_DEADLINE;
use phalanx_protocol::scheduling::{HubToScheduling, Offer, SchedulingToHub};
use phalanx_transport::identity::ConnectionFileError;
use phalanx_transport::{CloseReason, Incoming, SessionSender, Settings};
use tokio::sync::mpsc;

use crate::link::{Connect, FileConnect, Linked, keep_linked, shut_down};
use crate::peer::{room_order, room_statement};
use crate::rt::{self, Clock, Flow, Owner, Post, Shell, Task, panic_text};
use crate::sessions::send;
use crate::supervise::{PlantedPanic, RoomNotice, Rooms};

/// Why the scheduling process could not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulingError {
    /// The connection file cannot be used.
    #[error(transparent)]
    ConnectionFile(#[from] ConnectionFileError),
    /// The hub cannot be reached, or does not want it, and trying again is of no use.
    #[error("the scheduling process cannot serve its hub: {message}")]
    CutOff {
        /// Why, and what to do.
        message: String,
    },
    /// The system gives no thread.
    #[error("no thread for the scheduling rooms: {0}")]
    Thread(std::io::Error),
    /// A fault of our own.
    #[error("the scheduling process panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
}

/// The rooms on a thread of their own. Dropping the handle leaves them running.
#[derive(Debug)]
pub struct SchedulingHandle {
    stop: mpsc::Sender<SchedulingCommand>,
    thread: JoinHandle<Result<(), SchedulingError>>,
}

/// What the owner of scheduling rooms can ask of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchedulingCommand {
    /// End.
    Stop,
    /// Panic somewhere; for tests.
    Plant(PlantedPanic),
}

impl SchedulingHandle {
    /// Asks them to end. Returns at once.
    pub fn stop(&self) {
        // Full: something was asked before, most likely this. Closed: it has ended.
        let _ = self.stop.try_send(SchedulingCommand::Stop);
    }

    /// Whether they have ended; then [`SchedulingHandle::join`] returns at once.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until they have ended, and tells how.
    ///
    /// # Errors
    /// [`SchedulingError`] if they did not end because they were asked to.
    pub fn join(self) -> Result<(), SchedulingError> {
        self.thread.join().unwrap_or_else(|panic| {
            Err(SchedulingError::Panicked { message: panic_text(panic.as_ref()) })
        })
    }
}

/// Runs the rooms on this thread until the hub stops, or does not want them any more.
///
/// # Errors
/// [`SchedulingError`] if they cannot start, or end for another reason than the hub's stop.
///
/// # Panics
/// If this thread is inside an asynchronous runtime; use [`spawn`] there.
pub fn run(
    connection_file: &Path,
    settings: Settings,
    placement: Placement,
) -> Result<(), SchedulingError> {
    let connect = FileConnect::new(connection_file, "scheduler", settings)?;
    let (_commands, receiver) = mpsc::channel(1);
    rt::block_on(serve(connect, placement, receiver))
}

/// Runs the rooms on a thread of their own.
///
/// # Errors
/// [`SchedulingError`] if they cannot start. That the hub is not there is no reason: they wait.
pub fn spawn(
    connection_file: &Path,
    settings: Settings,
    placement: Placement,
) -> Result<SchedulingHandle, SchedulingError> {
    let connect = FileConnect::new(connection_file, "scheduler", settings)?;
    let (stop, receiver) = mpsc::channel(1);
    let thread = thread::Builder::new()
        .name("phalanx-scheduler".to_owned())
        .spawn(move || rt::block_on(serve(connect, placement, receiver)))
        .map_err(SchedulingError::Thread)?;
    Ok(SchedulingHandle { stop, thread })
}

/// Runs the rooms inside [`rt::block_on`], over whatever `connect` opens. For tests and for other
/// transports.
///
/// # Errors
/// [`SchedulingError`] if they did not end because they, or their hub, were asked to.
pub async fn serve(
    connect: impl Connect<SchedulingToHub>,
    placement: Placement,
    mut commands: mpsc::Receiver<SchedulingCommand>,
) -> Result<(), SchedulingError> {
    let clock = Clock::start();
    // Two reasons to end at most: its own decision, and a panic on the way there.
    let (ended, mut end) = mpsc::channel(2);
    let on_death = {
        let ended = ended.clone();
        Box::new(move |message| {
            // Full: it has ended before.
            let _ = ended.try_send(Err(SchedulingError::Panicked { message }));
        })
    };
    let post =
        rt::open(clock, on_death, |post| SchedulingShell::new(clock, placement, post, ended));
    let mut owner = Owner::new(post.clone());
    let link = Task::spawn(keep_linked(post.clone(), connect));
    owner.serve(async move {
        while let Some(command) = commands.recv().await {
            if post.deliver(SchedulingMail::Command(command)).await.is_err() {
                return;
            }
        }
    });
    // The shell holds a sender until it has told its end.
    let result = end.recv().await;
    drop(owner);
    if let Some(Ok(())) = result {
        // The goodbye has its own deadlines; this one is for when they are missed.
        link.finish(3 * CLOSE_DEADLINE).await;
    }
    result.unwrap_or_else(|| {
        Err(SchedulingError::Panicked { message: "it ended without a word".to_owned() })
    })
}

#[derive(Debug)]
enum SchedulingMail {
    Opened(SessionSender<SchedulingToHub>),
    Batch(Vec<Incoming<HubToScheduling>>),
    /// The session is over; whether the hub was asked to stop.
    Closed {
        shut_down: bool,
    },
    CutOff(String),
    Rooms(RoomNotice),
    Command(SchedulingCommand),
}

/// Passes on between the hub's session and the rooms' actors.
struct SchedulingShell {
    rooms: Rooms,
    session: Option<SessionSender<SchedulingToHub>>,
    ended: mpsc::Sender<Result<(), SchedulingError>>,
}

impl SchedulingShell {
    fn new(
        clock: Clock,
        placement: Placement,
        post: Post<Self>,
        ended: mpsc::Sender<Result<(), SchedulingError>>,
    ) -> Self {
        let notify = Rc::new(move |notice| {
            // A process that ends needs no rooms.
            let _ = post.push(SchedulingMail::Rooms(notice));
        });
        Self { rooms: Rooms::open(clock, placement, notify), session: None, ended }
    }

    fn say(&self, message: SchedulingToHub) {
        if let Some(session) = &self.session {
            send(session, message);
        }
    }

    fn end(&mut self, result: Result<(), SchedulingError>) -> Flow {
        if let Some(session) = self.session.take() {
            session.close(ErrorCode::Closed, "the scheduling process ends");
        }
        // Full: it has ended before.
        let _ = self.ended.try_send(result);
        Flow::End
    }
}

impl Shell for SchedulingShell {
    type Mail = SchedulingMail;

    fn on_mail(&mut self, _now: Time, mail: SchedulingMail) -> Flow {
        match mail {
            SchedulingMail::Batch(batch) => {
                for item in batch {
                    // No message of the hub to rooms carries a payload.
                    if let Incoming::Message(message) = item {
                        self.rooms.order(room_order(message));
                    }
                }
            }
            SchedulingMail::Rooms(notice) => {
                for statement in self.rooms.accept(notice) {
                    self.say(room_statement(statement));
                }
            }
            SchedulingMail::Opened(session) => {
                self.session = Some(session);
                let host = rt::host_name();
                self.say(SchedulingToHub::Offer(Offer { host, pid: std::process::id() }));
            }
            SchedulingMail::Closed { shut_down: true } => {
                self.session = None;
                return self.end(Ok(()));
            }
            SchedulingMail::Closed { shut_down: false } => {
                self.session = None;
                // What the hub knew of these rooms is gone; so are they.
                self.rooms.reset();
            }
            SchedulingMail::CutOff(message) => {
                return self.end(Err(SchedulingError::CutOff { message }));
            }
            SchedulingMail::Command(SchedulingCommand::Stop) => return self.end(Ok(())),
            SchedulingMail::Command(SchedulingCommand::Plant(planted)) => {
                self.rooms.plant(planted);
            }
        }
        self.rooms.flush();
        Flow::Continue
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }

    fn on_deadline(&mut self, _now: Time) -> Flow {
        Flow::Continue
    }
}

impl Linked<SchedulingToHub> for SchedulingShell {
    fn opened(sender: SessionSender<SchedulingToHub>) -> SchedulingMail {
        SchedulingMail::Opened(sender)
    }

    fn batch(batch: Vec<Incoming<HubToScheduling>>) -> SchedulingMail {
        SchedulingMail::Batch(batch)
    }

    fn closed(reason: &CloseReason) -> SchedulingMail {
        SchedulingMail::Closed { shut_down: shut_down(reason).is_some() }
    }

    fn cut_off(message: String) -> SchedulingMail {
        SchedulingMail::CutOff(message)
    }
}
