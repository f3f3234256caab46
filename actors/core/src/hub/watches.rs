//! Watches: clients that want the outcome of a task beside its owner, whoever submitted it.
//!
//! What a watched task writes goes to its watchers while it runs, as to its owner. Its outcome
//! goes to a watcher as a delivery of its own session, in the same window as its own tasks' and
//! after these. It does not count as delivered to the owner. A watch ends with its session; what
//! was on its way then is asked for again.

use std::collections::{BTreeSet, VecDeque};

use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{ClientId, SessionId, TaskId};
use phalanx_protocol::limits::WATCHES_PER_CLIENT_MAX;
use phalanx_protocol::outcome::{Delivery, Outcome, Rejection, RunTimes};
use phalanx_protocol::payload::Payload;
use rustc_hash::FxHashMap;

use super::{ClientReply, Hub, HubEffect};
use crate::results::Ended;

/// Who waits for which open task. What each client waits for in all is with the client.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_task: FxHashMap<TaskId, Vec<ClientId>>,
}

impl Watches {
    /// Nobody waits for anything: the usual case.
    pub(super) fn is_empty(&self) -> bool {
        self.by_task.is_empty()
    }

    /// Who waits for an open task.
    pub(super) fn of(&self, task: TaskId) -> &[ClientId] {
        if self.is_empty() {
            return &[];
        }
        self.by_task.get(&task).map_or(&[], Vec::as_slice)
    }
}

/// What one client watches: each task until its outcome is sent.
#[derive(Debug, Default)]
pub(crate) struct ClientWatches {
    wanted: BTreeSet<TaskId>,
    /// Of these, those that can be sent, in the order in which they ended.
    due: VecDeque<TaskId>,
}

impl ClientWatches {
    fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Adds a task; says whether that is news.
    fn add(&mut self, task: TaskId, is_open: bool) -> bool {
        let is_new = self.wanted.insert(task);
        if is_new && !is_open {
            self.due.push_back(task);
        }
        is_new
    }

    fn note_ended(&mut self, task: TaskId) {
        self.due.push_back(task);
    }

    fn waits_for(&self, task: TaskId) -> bool {
        self.wanted.contains(&task)
    }

    /// The next that can be sent.
    pub(crate) fn first_due(&self) -> Option<TaskId> {
        self.due.front().copied()
    }

    /// The first that can be sent is sent.
    pub(crate) fn note_sent(&mut self) {
        if let Some(task) = self.due.pop_front() {
            self.wanted.remove(&task);
        }
    }

    /// Forgets all; answers what they were.
    fn clear(&mut self) -> BTreeSet<TaskId> {
        self.due.clear();
        std::mem::take(&mut self.wanted)
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.due.iter().all(|task| self.wanted.contains(task)), "due and not wanted");
        assert!(self.len() <= WATCHES_PER_CLIENT_MAX, "watches over bound");
    }
}

impl Hub {
    pub(super) fn on_watch(
        &mut self,
        session: SessionId,
        id: ClientId,
        tasks: Vec<TaskId>,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        for task in tasks {
            if client.watches.len() >= WATCHES_PER_CLIENT_MAX {
                let detail = format!("waits for more than {WATCHES_PER_CLIENT_MAX} outcomes");
                return Self::refuse_session(session, ErrorCode::TooLarge, detail, effects);
            }
            let is_open = self.ledger.get(task).is_some();
            if client.watches.add(task, is_open) && is_open {
                self.watches.by_task.entry(task).or_default().push(id);
            }
        }
        self.deliver(id, effects);
    }

    /// A task has ended that somebody may watch.
    pub(super) fn tell_watchers(&mut self, task: TaskId, effects: &mut Vec<HubEffect>) {
        for id in self.watches.by_task.remove(&task).unwrap_or_default() {
            if let Some(client) = self.clients.get_mut(id) {
                client.watches.note_ended(task);
                self.deliver(id, effects);
            }
        }
    }

    /// The session of a client is over: it wants nothing any more.
    pub(super) fn drop_watches(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        for task in client.watches.clear() {
            if let Some(watchers) = self.watches.by_task.get_mut(&task) {
                watchers.retain(|watcher| *watcher != id);
                if watchers.is_empty() {
                    self.watches.by_task.remove(&task);
                }
            }
        }
    }

    /// The next outcome that a client watches and may be sent, as it is sent.
    pub(super) fn next_watched(&mut self, id: ClientId) -> Option<ClientReply> {
        let client = self.clients.get_mut(id)?;
        let task = client.next_watched_to_send()?;
        let ended = self.results.on_record(task);
        let number = client.send_watched(task, ended.map_or(0, Ended::carried_bytes));
        let delivery = match ended {
            Some(ended) => ended.delivery(number, task),
            None => not_on_record(number, task),
        };
        Some(ClientReply::Delivery(Box::new(delivery)))
    }

    pub(super) fn check_watches(&self) {
        for (task, watchers) in &self.watches.by_task {
            assert!(self.ledger.get(*task).is_some(), "{task} is watched and has ended");
            assert!(!watchers.is_empty(), "{task} is watched by nobody");
            for id in watchers {
                let client = self.clients.get(*id);
                assert!(client.is_some_and(|client| client.watches.waits_for(*task)), "{task}");
            }
        }
    }
}

fn not_on_record(number: u64, task: TaskId) -> Delivery {
    let detail = format!("task {task} is not on record; the hub keeps outcomes only so long");
    let rejection = Rejection { code: Some(ErrorCode::Purged), detail };
    Delivery {
        number,
        task,
        outcome: Outcome::Rejected(Box::new(rejection)),
        engine: None,
        attempts: 0,
        times: RunTimes::default(),
        payload: Payload::empty(),
        output: None,
        tried: Vec::new(),
    }
}
