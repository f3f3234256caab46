//! The client's conversation with the hub. Monitors and admins use it too.
//!
//! ```text
//! client                                   hub
//!   | -- Open (resume?) ------------------> |   first message; tasks lane
//!   | <------------------ Opened ---------- |   client id, token, next seq, grant, engines
//!   | -- Define* ------------------------>  |   before the first submit that names the function
//!   | -- Submit* ------------------------>  |   seq = 0, 1, 2 …, within the grant
//!   | <------------------ Accepted* ------- |   all below next_seq are recorded; new grant
//!   | <------------------ Delivery* ------- |   numbered per session
//!   | -- Received* ---------------------->  |   all deliveries below up_to arrived
//!   | -- Abort, StatusRequest, Shutdown ->  |   any time; so are the questions of [`crate::query`]
//!   | <--- EngineJoined, EngineLeft ------- |   any time
//!   | <------------------ Output* --------- |   while a task runs; events lane, may be dropped
//! ```
//!
//! Losing a session loses the tail of both directions. The client opens again with its token, and
//! resends every submit from `Opened::next_seq`; the hub resends every delivery not confirmed.

use serde::{Deserialize, Serialize};

use crate::error::ErrorCode;
use crate::explain::{ExplainRequest, Explanation};
use crate::function::Define;
use crate::ids::{ClientId, EngineId, Epoch, RequestId, TaskId};
use crate::macros::{map_encoded, messages};
use crate::outcome::Delivery;
use crate::output::Output;
use crate::peer::{ClusterStatus, EngineInfo};
use crate::query::{Purge, RecordsReply, RecordsRequest, Watch};
use crate::task::TaskSpec;

messages! {
    /// What clients, monitors and admins say to the hub.
    pub enum ClientToHub {
        /// Names the client, anew or again.
        1 => Open(Open), named, Tasks, [Client, Monitor, Admin];
        /// Submits one task, or one per engine listed.
        2 => Submit(TaskSpec), hot, Tasks, [Client, Admin], payload payload;
        /// Confirms deliveries.
        3 => Received(Received), hot, Tasks, [Client, Admin];
        /// Asks for tasks to end, wherever they are.
        4 => Abort(Abort), named, Control, [Client, Admin];
        /// Asks for the cluster's status.
        5 => StatusRequest(StatusRequest), named, Control, [Client, Monitor, Admin];
        /// Asks for engines, or the whole cluster, to end.
        6 => Shutdown(Shutdown), named, Control, [Client, Admin];
        /// Asks for a sign of life.
        7 => Ping(Ping), named, Control, [Client, Monitor, Admin];
        /// Will not come back: its open tasks may end, its outcomes may be dropped.
        8 => Leave(Leave), named, Tasks, [Client, Monitor, Admin];
        /// Gives the hub a function that submits of this session name.
        9 => Define(Define), hot, Tasks, [Client, Admin], payload payload;
        /// Asks what is on record.
        10 => RecordsRequest(RecordsRequest), named, Control, [Client, Monitor, Admin];
        /// Asks for the outcomes of tasks, also another client's.
        11 => Watch(Watch), named, Control, [Client, Admin];
        /// Asks for tasks to be forgotten.
        12 => Purge(Purge), named, Control, [Client, Admin];
        /// Asks why a task is where it is.
        13 => ExplainRequest(ExplainRequest), named, Control, [Client, Monitor, Admin];
    }
}

messages! {
    /// What the hub says to clients.
    pub enum HubToClient {
        /// Answers [`Open`].
        1 => Opened(Opened), named, Tasks, [Hub];
        /// Confirms submits.
        2 => Accepted(Accepted), hot, Tasks, [Hub];
        /// An outcome.
        3 => Delivery(Delivery), hot, Tasks, [Hub], payload payload;
        /// An engine takes tasks now.
        4 => EngineJoined(EngineInfo), named, Tasks, [Hub];
        /// An engine is gone.
        5 => EngineLeft(EngineLeft), named, Tasks, [Hub];
        /// Answers [`StatusRequest`].
        6 => Status(StatusReply), named, Control, [Hub];
        /// Says no to a request.
        7 => Refused(Refused), named, Control, [Hub];
        /// Answers [`Ping`], [`Shutdown`] and [`Purge`].
        8 => Pong(Ping), named, Control, [Hub];
        /// What a running task writes.
        9 => Output(Output), hot, Events, [Hub];
        /// Answers [`RecordsRequest`].
        10 => Records(RecordsReply), named, Control, [Hub];
        /// Answers [`ExplainRequest`].
        11 => Explanation(Explanation), named, Control, [Hub];
    }
}

map_encoded! {
    /// Opens a client's session.
    pub struct Open {
        /// Who the client was, if it comes back.
        pub resume: Option<Resume>,
        /// What it calls itself, for people.
        pub name: String,
    }
}

/// Proof that a session continues an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Which ledger knew it.
    pub epoch: Epoch,
    /// Who it was.
    pub client: ClientId,
    /// The secret it was given.
    pub token: u64,
}

map_encoded! {
    /// Who the client is from now on.
    pub struct Opened {
        /// Which ledger.
        pub epoch: Epoch,
        /// Its id. Another one than it asked to resume: that one's tasks are not on record.
        pub client: ClientId,
        /// The secret to resume with.
        pub token: u64,
        /// Submits below this are recorded.
        pub next_seq: u64,
        /// How far it may submit.
        pub grant: Grant,
        /// The engines that take tasks now, by id.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub engines: Vec<EngineInfo>,
    }
}

/// How far a client may submit: cumulative ends, which only grow. Repeating one does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grant {
    /// Tasks with a sequence number below this.
    pub seq_end: u64,
    /// Payload bytes over all tasks ever submitted.
    pub bytes_end: u64,
}

/// Confirms submits, cumulatively. Travels array-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accepted {
    /// Every submit below this is recorded, its payload with it.
    pub next_seq: u64,
    /// How far the client may submit now.
    pub grant: Grant,
}

/// Confirms deliveries, cumulatively. Travels array-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Received {
    /// Every delivery of this session with a number below this has arrived, its payload with it.
    pub up_to: u64,
}

map_encoded! {
    /// Asks for tasks to end.
    pub struct Abort {
        /// Which ones. Ended ones are left as they are; those not yet submitted end on arrival.
        pub tasks: Vec<TaskId>,
        /// After how long the engine of one that has not ended by then is killed; `None`: never.
        pub kill_after_ms: Option<u64>,
    }
}

map_encoded! {
    /// Asks for the cluster's status.
    pub struct StatusRequest {
        /// Comes back with the answer.
        pub request: RequestId,
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::Engines(Vec::new())
    }
}

/// What is to be shut down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// These engines; they are not restarted.
    Engines(Vec<EngineId>),
    /// Everything.
    Cluster,
}

map_encoded! {
    /// Asks for engines, or the whole cluster, to end.
    pub struct Shutdown {
        /// Comes back with the answer.
        pub request: RequestId,
        /// What is to end.
        pub scope: Scope,
    }
}

map_encoded! {
    /// A sign of life.
    pub struct Ping {
        /// Comes back with the answer.
        pub request: RequestId,
    }
}

map_encoded! {
    /// A goodbye.
    pub struct Leave {
        /// Whether its open tasks are to be aborted.
        pub abort_open: bool,
    }
}

map_encoded! {
    /// An engine is gone.
    pub struct EngineLeft {
        /// Which one.
        pub engine: EngineId,
        /// Why, in words.
        pub cause: String,
    }
}

map_encoded! {
    /// The cluster's status.
    pub struct StatusReply {
        /// To which request.
        pub request: RequestId,
        /// The status.
        pub status: ClusterStatus,
    }
}

map_encoded! {
    /// A request that was not granted.
    pub struct Refused {
        /// Which request.
        pub request: RequestId,
        /// Why, as a number. A number of a newer hub reads as none.
        #[serde(deserialize_with = "crate::error::known")]
        pub code: Option<ErrorCode>,
        /// Why, in words.
        pub detail: String,
    }
}
