//! What peers tell of themselves, and what the hub tells of them.

use serde::{Deserialize, Serialize};

use crate::ids::{AttemptId, ClientId, EngineId, Epoch, Incarnation};
use crate::macros::map_encoded;
use crate::needs::{Needs, Resource};
use crate::task::MethodName;

map_encoded! {
    /// What an engine is. Told once, when it registers.
    pub struct EngineProfile {
        /// Its stable name in the cluster, e.g. `laptop/2`: a process that registers under the
        /// name of a lost one takes its id. Without a name it gets a new id.
        pub name: Option<String>,
        /// What it runs: `native`, `python`.
        pub kind: String,
        /// The machine, for people.
        pub host: String,
        /// Its process id on that machine.
        pub pid: u32,
        /// A random number that no other engine process has.
        pub instance: u64,
        /// How many tasks it runs at once.
        pub slots: u32,
        /// The methods it offers.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub methods: Vec<MethodName>,
        /// Words to choose it by.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub labels: Vec<String>,
        /// What it has for tasks that need some of it.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub resources: Vec<Resource>,
    }
}

impl EngineProfile {
    /// Whether a task of these needs can run on it while it has nothing to do.
    pub fn meets(&self, needs: &Needs) -> bool {
        let has = |(name, amount): &Resource| {
            self.resources.iter().any(|(other, total)| other == name && total >= amount)
        };
        needs.labels.iter().all(|label| self.labels.contains(label))
            && needs.amounts.iter().all(has)
    }
}

map_encoded! {
    /// What an engine has when it registers again: what it need not be sent, and what it must
    /// not be sent twice.
    pub struct Inventory {
        /// Who it was, if it was registered before.
        pub previous: Option<Registration>,
        /// Attempts it is running.
        pub running: Vec<AttemptId>,
        /// Attempts it has not started.
        pub queued: Vec<AttemptId>,
        /// Attempts that ended and whose reports the hub has not confirmed.
        pub unconfirmed: Vec<AttemptId>,
        /// For each client, the sequence number of its last direct task that arrived here.
        pub direct_marks: Vec<(ClientId, u64)>,
    }
}

/// An engine's place in a cluster, as the hub granted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Registration {
    /// Which ledger granted it.
    pub epoch: Epoch,
    /// Which engine.
    pub engine: EngineId,
    /// Which of its lives.
    pub incarnation: Incarnation,
}

/// Whether an engine takes tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineState {
    /// It has a session and takes tasks.
    #[default]
    Up,
    /// Its session is cut; it may come back until its lease ends.
    Silent,
    /// It died or stayed silent too long.
    Lost,
}

map_encoded! {
    /// An engine as clients see it.
    pub struct EngineInfo {
        /// Its id.
        pub id: EngineId,
        /// Its stable name, if it has one.
        pub name: Option<String>,
        /// What it runs.
        pub kind: String,
        /// The machine.
        pub host: String,
        /// Its process id there.
        pub pid: u32,
        /// How many tasks it runs at once.
        pub slots: u32,
        /// The methods it offers.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub methods: Vec<MethodName>,
        /// Words to choose it by.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub labels: Vec<String>,
        /// What it has for tasks that need some of it.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub resources: Vec<Resource>,
        /// Whether it takes tasks.
        pub state: EngineState,
    }
}

impl EngineInfo {
    /// At least as many bytes as it takes in a header.
    pub fn weight(&self) -> usize {
        let texts = [Some(&self.kind), Some(&self.host), self.name.as_ref()];
        let texts = texts.into_iter().flatten().chain(&self.labels).map(String::len);
        let methods = self.methods.iter().map(|method| method.as_str().len());
        let resources = self.resources.iter().map(|(name, _)| name.len() + 15).sum::<usize>();
        // Field names, numbers, and at most five bytes of mark for each text.
        170 + resources + texts.chain(methods).map(|len| len + 5).sum::<usize>()
    }
}

map_encoded! {
    /// An engine with its figures.
    pub struct EngineStatus {
        /// Who it is.
        pub info: EngineInfo,
        /// Attempts assigned and not ended.
        pub assigned: u64,
        /// How many of these are at direct tasks.
        pub direct: u64,
        /// Direct tasks that wait in the hub until it has room for them.
        pub held: u64,
        /// Attempts that it said it has been running for some time.
        pub running: u64,
        /// Attempts that it ended since it first registered.
        pub ended: u64,
        /// Times it was lost.
        pub losses: u32,
        /// Functions sent to it in its session.
        pub functions: u64,
    }
}

map_encoded! {
    /// A client with its figures.
    pub struct ClientStatus {
        /// Its id.
        pub id: ClientId,
        /// What it calls itself.
        pub name: String,
        /// Whether it has a session now.
        pub connected: bool,
        /// Tasks submitted.
        pub submitted: u64,
        /// Tasks not ended.
        pub open: u64,
        /// Outcomes it has not confirmed.
        pub undelivered: u64,
        /// Functions that it sent in its session.
        pub functions: u64,
    }
}

map_encoded! {
    /// Tasks by state.
    pub struct TaskCounts {
        /// Dependencies unmet, or payload still on its way.
        pub waiting: u64,
        /// Free to run, no engine yet.
        pub ready: u64,
        /// Sent to an engine.
        pub assigned: u64,
        /// Running for some time.
        pub running: u64,
        /// Ended well.
        pub done: u64,
        /// Ended otherwise.
        pub failed: u64,
    }
}

map_encoded! {
    /// A control room's health.
    pub struct RoomStatus {
        /// `dag` or `scheduler`.
        pub name: String,
        /// Whether it runs.
        pub up: bool,
        /// How many times it was re-created.
        pub restarts: u32,
    }
}

map_encoded! {
    /// The cluster as the hub sees it.
    pub struct ClusterStatus {
        /// Which ledger.
        pub epoch: Epoch,
        /// How long the hub has been up, in milliseconds.
        pub uptime_ms: u64,
        /// The engines it knows, by id; as many as fit into one message.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub engines: Vec<EngineStatus>,
        /// How many engines did not fit.
        pub engines_omitted: u64,
        /// The clients it knows, by id; as many as fit into one message.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub clients: Vec<ClientStatus>,
        /// How many clients did not fit.
        pub clients_omitted: u64,
        /// Tasks by state, since the ledger began.
        pub tasks: TaskCounts,
        /// The rooms that can be re-created.
        #[serde(deserialize_with = "crate::list::bounded")]
        pub rooms: Vec<RoomStatus>,
        /// Outcomes kept.
        pub results: u64,
        /// Bytes of results kept.
        pub result_bytes: u64,
        /// Reports of attempts that were no longer wanted.
        pub fenced_reports: u64,
    }
}
