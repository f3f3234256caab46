//! The executor that runs nothing: it answers at once with what it was given, so that measurements
//! show what everything else costs.

use phalanx_protocol::ids::AttemptId;
use phalanx_protocol::outcome::{AttemptOutcome, RunTimes};
use phalanx_protocol::task::MethodName;

use super::native::wall_clock_us;
use super::{Executor, Finished, Finisher, Start};

/// What an attempt is said to have run. Zero means that it never ran: the scheduler then learns
/// nothing of its length, and sends the next task only when this one is over.
const RAN_NS: u64 = 1;

/// Answers every attempt at once with its own payload.
#[derive(Debug, Clone)]
pub struct Null {
    methods: Vec<MethodName>,
}

impl Null {
    /// Pretends to offer these methods.
    pub fn new(methods: impl IntoIterator<Item = MethodName>) -> Self {
        Self { methods: methods.into_iter().collect() }
    }
}

impl Executor for Null {
    fn kind(&self) -> &str {
        "null"
    }

    fn methods(&self) -> Vec<MethodName> {
        self.methods.clone()
    }

    fn start(&mut self, start: Start, _finisher: &Finisher) -> Option<Finished> {
        Some(Finished {
            attempt: start.attempt,
            outcome: AttemptOutcome::Done,
            times: RunTimes { started_us: wall_clock_us(), ran_ns: RAN_NS },
            payload: start.payload,
        })
    }

    /// Nothing ever runs.
    fn interrupt(&mut self, _attempt: AttemptId, _finisher: &Finisher) {}

    fn on_finished(&mut self, _attempt: AttemptId) {}
}
