//! Live output: passed on to whom it concerns, and never kept.

use phalanx_protocol::ids::EngineId;
use phalanx_protocol::limits::OUTPUT_MESSAGE_LEN_MAX;
use phalanx_protocol::output::Output;

use super::{ClientReply, Hub, HubEffect};

impl Hub {
    /// A running attempt writes something. It is told to the task's client and to those that watch
    /// it, as far as they are there, if the attempt is the current one; else it is dropped.
    pub(super) fn on_output(&self, engine: EngineId, output: Output, effects: &mut Vec<HubEffect>) {
        if !self.is_current(engine, output.attempt) || output.len() > OUTPUT_MESSAGE_LEN_MAX as u64
        {
            return;
        }
        let task = output.attempt.task;
        let output = Box::new(output);
        let watchers = self.watches.of(task).iter().filter(|watcher| **watcher != task.client);
        for client in std::iter::once(&task.client).chain(watchers) {
            let client = self.clients.get(*client);
            if let Some(session) = client.and_then(|client| client.session) {
                effects.push(HubEffect::ToClient(session, ClientReply::Output(output.clone())));
            }
        }
    }
}
