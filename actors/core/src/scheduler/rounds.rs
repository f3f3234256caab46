//! Fair shares: in which round each queued task is served, so that clients take turns.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996) with a cost of one for each task: a task's
//! round is one after that of its client's task before it, and not before the round that is being
//! served. Within a priority tasks are served by round. So of clients that all have tasks waiting
//! none is more than one ahead of another, however many tasks each has; and one that comes new is
//! not owed for the time before. The queue owns it; it knows nothing of engines.

use phalanx_protocol::ids::ClientId;
use rustc_hash::FxHashMap;

/// The rounds of each priority that has tasks waiting.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    levels: FxHashMap<i32, Level>,
}

#[derive(Debug, Default)]
struct Level {
    /// The latest round of which a task was served.
    served: u64,
    lines: FxHashMap<ClientId, Line>,
}

/// The queued tasks of one client.
#[derive(Debug, Default)]
struct Line {
    last: u64,
    tasks: usize,
}

impl Rounds {
    /// A task is queued; says its round.
    pub(super) fn enter(&mut self, priority: i32, client: ClientId) -> u64 {
        let level = self.levels.entry(priority).or_default();
        let line = level.lines.entry(client).or_default();
        line.last = line.last.max(level.served) + 1;
        line.tasks += 1;
        line.last
    }

    /// A task is queued that had its turn before; says its round, which is before all others.
    pub(super) fn enter_again(&mut self, priority: i32, client: ClientId) -> u64 {
        let level = self.levels.entry(priority).or_default();
        level.lines.entry(client).or_default().tasks += 1;
        0
    }

    /// A queued task of this round was given to an engine.
    pub(super) fn serve(&mut self, priority: i32, client: ClientId, round: u64) {
        if let Some(level) = self.levels.get_mut(&priority) {
            level.served = level.served.max(round);
        }
        self.leave(priority, client, 1);
    }

    /// Tasks are not queued any more.
    pub(super) fn leave(&mut self, priority: i32, client: ClientId, tasks: usize) {
        let Some(level) = self.levels.get_mut(&priority) else { return };
        if let Some(line) = level.lines.get_mut(&client) {
            line.tasks -= tasks;
            // Its last round is served, or was never used: either way it begins anew.
            if line.tasks == 0 {
                level.lines.remove(&client);
            }
        }
        if level.lines.is_empty() {
            self.levels.remove(&priority);
        }
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_vacant(&self) -> bool {
        self.levels.is_empty()
    }

    /// Panics unless each line has as many tasks as these say.
    pub(super) fn check(&self, queued: &FxHashMap<(i32, ClientId), usize>) {
        let lines = self.levels.iter().flat_map(|(priority, level)| {
            level.lines.iter().map(|(client, line)| ((*priority, *client), line.tasks))
        });
        assert_eq!(&lines.collect::<FxHashMap<_, _>>(), queued, "tasks by line");
        assert!(
            self.levels.values().all(|level| !level.lines.is_empty()),
            "an empty level is kept"
        );
    }
}
