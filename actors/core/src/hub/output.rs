//! Live output: passed on to whom it concerns, and never kept.

use phalanx_protocol::ids::EngineId;
use phalanx_protocol::limits::OUTPUT_MESSAGE_LEN_MAX;
use phalanx_protocol::output::Output;

use super::{ClientReply, Hub, HubEffect};

impl Hub {
    /// A running attempt writes something. It is told to the task's client if the attempt is the
    /// current one and the client is there; else it is dropped.
    pub(super) fn on_output(&self, engine: EngineId, output: Output, effects: &mut Vec<HubEffect>) {
        if !self.is_current(engine, output.attempt) || output.len() > OUTPUT_MESSAGE_LEN_MAX as u64
        {
            return;
        }
        let client = self.clients.get(output.attempt.task.client);
        if let Some(session) = client.and_then(|client| client.session) {
            effects.push(HubEffect::ToClient(session, ClientReply::Output(Box::new(output))));
        }
    }
}
