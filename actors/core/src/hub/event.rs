//! What can happen to the hub, and what it wants done. Nothing else lives here.

use std::time::Duration;

use bytes::Bytes;
use phalanx_protocol::client::{Accepted, Opened, Resume, Scope};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::explain::Explanation;
use phalanx_protocol::function::Define;
use phalanx_protocol::ids::{
    AttemptId, EngineId, Generation, RequestId, SessionId, TaskId, Ticket,
};
use phalanx_protocol::outcome::{Delivery, Report};
use phalanx_protocol::output::Output;
use phalanx_protocol::peer::{ClusterStatus, EngineInfo, EngineProfile, Inventory, Registration};
use phalanx_protocol::query::{Cursor, Purged, Select, TaskRecord};
use phalanx_protocol::role::Role;
use phalanx_protocol::room::{DagVerdict, RoomName, SchedulerVerdict};
use phalanx_protocol::task::{Assignment, TaskSpec};

use crate::dag::DagEvent;
use crate::scheduler::SchedulerEvent;

/// What can happen to the hub. A session's events come between its `SessionOpened` and its
/// `SessionClosed`; the shell has checked that its role may say them.
#[derive(Debug, Clone, PartialEq)]
pub enum HubEvent {
    /// A peer passed the handshake.
    SessionOpened {
        /// The session.
        session: SessionId,
        /// Who it is, by its certificate.
        role: Role,
        /// A random number that nobody can guess: the token, if it turns out to be a new client.
        secret: u64,
    },
    /// The session is over; payloads that were on their way with it will not come.
    SessionClosed {
        /// The session.
        session: SessionId,
    },
    /// A payload that a message of this session named by its ticket, before or after it.
    PayloadArrived {
        /// The session.
        session: SessionId,
        /// Which payload.
        ticket: Ticket,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Something a client, monitor or admin said.
    FromClient(SessionId, ClientRequest),
    /// Something an engine said.
    FromEngine(SessionId, EngineNews),
    /// Something a host process said.
    FromHost(SessionId, HostNews),
    /// Rooms can run: in this process (`None`), or behind this session. Sent once at the start by
    /// a hub that runs them itself.
    RoomsOffered(Option<SessionId>),
    /// What the dag decided about a task.
    FromDag(Generation, TaskId, DagVerdict),
    /// What the scheduler decided about a task.
    FromScheduler(Generation, TaskId, SchedulerVerdict),
    /// A room panicked and is gone.
    RoomDown {
        /// Which room.
        room: RoomName,
        /// Which of its lives.
        generation: Generation,
        /// The task whose event it was, if it was about one.
        culprit: Option<TaskId>,
        /// What the panic said.
        message: String,
    },
}

/// Something a client, monitor or admin said.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientRequest {
    /// Opens, anew or again.
    Open {
        /// Who it was.
        resume: Option<Resume>,
        /// What it calls itself.
        name: String,
    },
    /// Gives a function that later submits of this session name.
    Define(Define),
    /// Submits a task.
    Submit(TaskSpec),
    /// Has all deliveries of this session below this number.
    Received(u64),
    /// Wants tasks to end; and the engine of one killed that has not ended so much later.
    Abort(Vec<TaskId>, Option<Duration>),
    /// Wants the outcomes of tasks, whoever submitted them.
    Watch(Vec<TaskId>),
    /// Wants to know what is on record.
    Records(RequestId, Select),
    /// Wants tasks to be forgotten.
    Purge(RequestId, Purged),
    /// Wants to know how the cluster is.
    Status(RequestId),
    /// Wants to know why a task is where it is.
    Explain(RequestId, TaskId),
    /// Wants engines, or everything, to end.
    Shutdown(RequestId, Scope),
    /// Wants a sign of life.
    Ping(RequestId),
    /// Will not come back.
    Leave {
        /// Whether its open tasks are to be aborted.
        abort_open: bool,
    },
}

/// Something an engine said.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineNews {
    /// Who it is and what it has.
    Register(Box<EngineProfile>, Box<Inventory>),
    /// An attempt has been running for some time.
    Started(AttemptId),
    /// A running attempt writes something; may come before anything else.
    Output(Output),
    /// An attempt ended.
    Report(Report),
    /// Whether it gives back an attempt that it was asked for.
    GaveBack(AttemptId, bool),
    /// It ends by its own decision, or because it was asked to.
    Leave(String),
}

/// Something a host process said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostNews {
    /// It is there.
    Attach {
        /// Its machine, for people.
        host: String,
    },
    /// A process that was an engine is gone.
    EngineExited {
        /// The engine's stable name.
        name: String,
        /// The process id it had.
        pid: u32,
        /// Why, in words.
        cause: String,
    },
}

/// What the hub wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum HubEffect {
    /// Tell a client something.
    ToClient(SessionId, ClientReply),
    /// Tell an engine something.
    ToEngine(SessionId, EngineOrder),
    /// Tell a host process something.
    ToHost(SessionId, HostOrder),
    /// Begin a new life of a room, where [`HubEvent::RoomsOffered`] said that rooms can run.
    Recreate(RoomName, Generation),
    /// Tell the dag something.
    ToDag(Generation, DagEvent),
    /// Tell the scheduler something.
    ToScheduler(Generation, SchedulerEvent),
    /// End a session.
    Close(SessionId, ErrorCode, String),
    /// The hub cannot go on, or was told to end: stop the process, loudly or not.
    Stop {
        /// Whether this is what somebody asked for.
        asked: bool,
        /// Why, in words.
        reason: String,
    },
}

/// What the hub tells a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientReply {
    /// Who it is.
    Opened(Box<Opened>),
    /// Its submits are recorded.
    Accepted(Accepted),
    /// An outcome.
    Delivery(Box<Delivery>),
    /// What a running task writes; may be dropped.
    Output(Box<Output>),
    /// An engine takes tasks.
    EngineJoined(Box<EngineInfo>),
    /// An engine is gone.
    EngineLeft(EngineId, String),
    /// How the cluster is.
    Status(RequestId, Box<ClusterStatus>),
    /// What is on record, and where the next page begins.
    Records(RequestId, Vec<TaskRecord>, Option<Cursor>),
    /// Why a task is where it is.
    Explanation(Box<Explanation>),
    /// Done, or alive.
    Pong(RequestId),
    /// No.
    Refused(RequestId, ErrorCode, String),
}

/// What the hub tells an engine.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineOrder {
    /// Its place, and the attempts of its inventory that are no longer wanted.
    Registered(Registration, Vec<AttemptId>),
    /// A function that later assignments of this session name.
    Define(Box<Define>),
    /// One attempt to run.
    Assign(Box<Assignment>),
    /// All its reports below this number are recorded.
    Confirmed(u64),
    /// These are no longer wanted.
    Abort(Vec<AttemptId>),
    /// Another engine could start this now: give it back, unless it has started.
    GiveBack(AttemptId),
    /// End.
    End(String),
}

/// What the hub tells a host process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostOrder {
    /// End everything.
    StopCluster(String),
    /// Do not restart this engine.
    Retire(String),
    /// Kill the process of an engine that has this name and process id, and start it again.
    Kill {
        /// The engine's stable name.
        name: String,
        /// The process id.
        pid: u32,
        /// Why, in words.
        reason: String,
    },
}
