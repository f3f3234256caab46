//! What is under way between the hub and the engine of the random world. It loses nothing by itself.

use std::collections::VecDeque;

use crate::engine::{EngineEffect, EngineEvent};

/// What is under way in a session.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) is_up: bool,
    /// The engine has the answer to its registration.
    pub(super) is_answered: bool,
    pub(super) tasks: VecDeque<EngineEvent>,
    pub(super) control: VecDeque<EngineEvent>,
    pub(super) payloads: Vec<EngineEvent>,
    pub(super) to_hub: VecDeque<EngineEffect>,
    pub(super) sent: Vec<EngineEvent>,
}

impl Link {
    pub(super) fn send(&mut self, event: EngineEvent) {
        self.sent.push(event.clone());
        self.forward(event);
    }

    pub(super) fn forward(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::AbortRequested(_) => self.control.push_back(event),
            EngineEvent::PayloadArrived(..) => self.payloads.push(event),
            _ => self.tasks.push_back(event),
        }
    }
}
