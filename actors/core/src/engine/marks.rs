//! For each client, its last direct task that arrived here: what makes direct tasks at most once.

use std::collections::BTreeMap;

use phalanx_protocol::ids::{ClientId, TaskId};
use phalanx_protocol::limits::DIRECT_MARKS_MAX;

/// The marks. The client longest silent is forgotten when there are too many.
#[derive(Debug, Default)]
pub(super) struct DirectMarks {
    by_client: BTreeMap<ClientId, Mark>,
    touches: u64,
}

#[derive(Debug)]
struct Mark {
    seq: u64,
    touched: u64,
}

impl DirectMarks {
    /// Whether this direct task, or a later one, has arrived.
    pub(super) fn covers(&self, task: TaskId) -> bool {
        self.by_client.get(&task.client).is_some_and(|mark| task.seq <= mark.seq)
    }

    /// Notes an arrival; says what the mark was before.
    pub(super) fn advance(&mut self, task: TaskId) -> Option<u64> {
        let before = self.by_client.get(&task.client).map(|mark| mark.seq);
        self.set(task.client, task.seq);
        before
    }

    /// Takes arrivals back: of `client` only those up to `before` count.
    pub(super) fn restore(&mut self, client: ClientId, before: Option<u64>) {
        match before {
            Some(seq) => self.set(client, seq),
            None => {
                self.by_client.remove(&client);
            }
        }
    }

    /// All of them, by client.
    pub(super) fn list(&self) -> Vec<(ClientId, u64)> {
        self.by_client.iter().map(|(client, mark)| (*client, mark.seq)).collect()
    }

    /// Forgets all: another ledger names its clients anew.
    pub(super) fn clear(&mut self) {
        self.by_client.clear();
    }

    fn set(&mut self, client: ClientId, seq: u64) {
        self.touches += 1;
        self.by_client.insert(client, Mark { seq, touched: self.touches });
        if self.by_client.len() > DIRECT_MARKS_MAX {
            // A walk over all of them, but only when a client beyond the limit comes.
            let silent = self.by_client.iter().min_by_key(|(_, mark)| mark.touched);
            if let Some((&client, _)) = silent {
                self.by_client.remove(&client);
            }
        }
    }

    /// Panics if a fact contradicts another.
    pub(super) fn check_invariants(&self) {
        assert!(self.by_client.len() <= DIRECT_MARKS_MAX);
    }
}
