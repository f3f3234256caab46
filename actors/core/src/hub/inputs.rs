//! Results as arguments: tasks whose results another task takes, which never pass through a client.
//!
//! An input is a dependency, met by success alone; when all are done the hub puts their results
//! beside the arguments of each attempt, as one payload ([`phalanx_protocol::bundle`]), without
//! looking into any. A result that somebody will take is kept, delivered or not, until he has ended.

use phalanx_protocol::bundle;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::TaskId;
use phalanx_protocol::limits::{INPUTS_PER_TASK_MAX, TASK_PAYLOAD_LEN_MAX};
use phalanx_protocol::payload::Payload;
use phalanx_protocol::task::{Accept, Dependency, Quorum};

use super::Hub;
use super::ledger::Task;
use super::submit::Refusal;
use super::task_list::TaskList;

impl Hub {
    /// Whether the results can be had.
    pub(super) fn check_inputs(
        &self,
        id: TaskId,
        inputs: &[TaskId],
        after: Option<&Dependency>,
    ) -> Result<(), Refusal> {
        if inputs.is_empty() {
            return Ok(());
        }
        if inputs.len() > INPUTS_PER_TASK_MAX {
            let detail = format!("more than {INPUTS_PER_TASK_MAX} results as arguments");
            return Err((ErrorCode::TooLarge, detail));
        }
        if after.is_some_and(|after| !is_of_their_kind(after)) {
            let detail = "results as arguments go with an after that waits for the success of all: \
                          put another kind of condition on a task between";
            return Err((ErrorCode::InvalidTask, detail.into()));
        }
        self.check_dependency(id, &Dependency::all(inputs.iter().copied()))?;
        let is_gone = |task: &&TaskId| {
            let ending = self.results.ending(**task);
            ending.is_some_and(|ending| ending.success) && self.results.get(**task).is_none()
        };
        match inputs.iter().find(is_gone) {
            None => Ok(()),
            Some(gone) => {
                let detail = format!("the result of task {gone} is no longer kept");
                Err((ErrorCode::Purged, detail))
            }
        }
    }

    /// A task was recorded: what it takes is kept for it.
    pub(super) fn pin_inputs(&mut self, id: TaskId) {
        let waits = self.ledger.get_mut(id).and_then(|task| task.waits.as_mut());
        let Some(waits) = waits.filter(|waits| !waits.inputs.is_empty()) else { return };
        waits.has_pinned = true;
        for input in waits.inputs.iter() {
            self.results.pin(input);
        }
    }

    /// A task ended: it takes nothing any more.
    pub(super) fn unpin_inputs(&mut self, task: &Task) {
        let Some(waits) = task.waits.as_ref().filter(|waits| waits.has_pinned) else { return };
        for input in waits.inputs.iter() {
            self.results.unpin(input);
        }
    }

    /// What an attempt is sent: the arguments, and the results among them.
    pub(super) fn arguments(&self, task: &Task) -> Payload {
        let Some(inputs) = inputs_of(task) else { return task.payload.clone() };
        let empty = Payload::empty();
        let result = |input| self.results.get(input).map_or(&empty, |ended| &ended.payload);
        bundle::join(std::iter::once(&task.payload).chain(inputs.iter().map(result)))
    }

    /// Whether the arguments of a task whose results are all here can be sent to an engine.
    pub(super) fn check_arguments(&self, task: &Task) -> Result<(), Refusal> {
        let Some(inputs) = inputs_of(task) else { return Ok(()) };
        let result_len = |input| self.results.get(input).map_or(0, |ended| ended.payload.len());
        let lens = std::iter::once(task.payload.len()).chain(inputs.iter().map(result_len));
        let len = bundle::joined_len(lens);
        if len <= TASK_PAYLOAD_LEN_MAX {
            return Ok(());
        }
        let detail = format!(
            "the arguments are {len} bytes with the {} results among them, over the limit of \
             {TASK_PAYLOAD_LEN_MAX}: take fewer or shorter ones",
            inputs.len()
        );
        Err((ErrorCode::TooLarge, detail))
    }

    pub(super) fn check_pins(&self) {
        let mut pins = 0;
        for (id, task) in self.ledger.iter() {
            let Some(waits) = task.waits.as_ref().filter(|waits| waits.has_pinned) else {
                continue;
            };
            pins += waits.inputs.len();
            for input in waits.inputs.iter() {
                assert!(self.results.is_pinned(input), "{id} takes the result of {input}");
                let ending = self.results.ending(input);
                assert!(
                    !ending.is_some_and(|ending| ending.success)
                        || self.results.get(input).is_some(),
                    "{id} takes the result of {input}, which is not kept"
                );
            }
        }
        assert_eq!(pins, self.results.pins_len(), "results that are kept for somebody");
    }
}

/// The tasks whose results a task takes, if it takes any.
fn inputs_of(task: &Task) -> Option<&TaskList> {
    task.waits.as_ref().map(|waits| &waits.inputs).filter(|inputs| !inputs.is_empty())
}

/// Whether a dependency is one that inputs are.
fn is_of_their_kind(after: &Dependency) -> bool {
    after.tasks.is_empty() || after.quorum == Quorum::All && after.accept == Accept::Success
}

/// What a task comes after that has these inputs too. One of another kind beside them was refused.
pub(super) fn with_inputs(after: Option<Dependency>, inputs: &[TaskId]) -> Option<Dependency> {
    if inputs.is_empty() {
        return after;
    }
    let mut after = after.filter(|after| !after.tasks.is_empty()).unwrap_or_default();
    after.tasks.extend(inputs);
    Some(after)
}
