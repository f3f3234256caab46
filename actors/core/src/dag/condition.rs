//! How far one held task's conditions are. Knows counts and engines, not who else waits.

use phalanx_protocol::ids::EngineId;
use phalanx_protocol::outcome::Impossible;
use phalanx_protocol::room::{Condition, Ending};
use phalanx_protocol::task::{Accept, Quorum};

/// Counts one condition's tasks as they end.
#[derive(Debug)]
pub(super) struct Gate {
    /// Tasks that have not ended.
    open: u32,
    quorum: Quorum,
    accept: Accept,
    met: bool,
}

impl Gate {
    /// Of a condition none of whose tasks has been heard of. One without tasks is met.
    pub(super) fn new(condition: &Condition) -> Self {
        Self {
            open: u32::try_from(condition.tasks.len()).expect("a header holds fewer than 2^32"),
            quorum: condition.quorum,
            accept: condition.accept,
            met: condition.tasks.is_empty(),
        }
    }

    /// Whether the condition is met.
    pub(super) const fn is_met(&self) -> bool {
        self.met
    }

    /// Tasks that have not ended.
    pub(super) const fn open(&self) -> u32 {
        self.open
    }

    /// Whether a task that is done is what it waits for.
    pub(super) fn accepts_success(&self) -> bool {
        self.accept.is_met_by(true)
    }

    /// One of the tasks ended: an error if the condition can never be met now.
    pub(super) fn hear(&mut self, success: bool) -> Result<(), Impossible> {
        self.open -= 1;
        if self.accept.is_met_by(success) {
            self.met |= self.quorum == Quorum::Any || self.open == 0;
            return Ok(());
        }
        match self.quorum {
            Quorum::Any if self.met || self.open > 0 => Ok(()),
            Quorum::Any | Quorum::All => Err(Impossible::Unmet),
        }
    }
}

/// A gate that also remembers where the tasks ran that met it.
#[derive(Debug)]
pub(super) struct Follow {
    gate: Gate,
    /// With all: at most one. With any: in order of ending, repeats included.
    pub(super) engines: Vec<EngineId>,
}

impl Follow {
    /// As [`Gate::new`].
    pub(super) fn new(condition: &Condition) -> Self {
        Self { gate: Gate::new(condition), engines: Vec::new() }
    }

    /// Its counts.
    pub(super) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Whether it would be met, and lead to this engine, if all that it waits for were done there.
    pub(super) fn would_be_met(&self, engine: EngineId) -> bool {
        (self.gate.is_met() || self.gate.accepts_success())
            && self.engines.iter().all(|followed| *followed == engine)
    }

    /// As [`Gate::hear`]. A task that never ran places nothing.
    pub(super) fn hear(&mut self, ending: Ending) -> Result<(), Impossible> {
        self.gate.hear(ending.success)?;
        if !self.gate.accept.is_met_by(ending.success) {
            return Ok(());
        }
        match (ending.engine, self.gate.quorum, self.engines.first()) {
            (None, ..) => Ok(()),
            (Some(engine), Quorum::All, Some(first)) if *first != engine => {
                Err(Impossible::FollowsApart)
            }
            (Some(_), Quorum::All, Some(_)) => Ok(()),
            (Some(engine), ..) => {
                self.engines.push(engine);
                Ok(())
            }
        }
    }

    /// Where the dependent may run; `None` = anywhere, for nothing it follows ever ran.
    pub(super) fn into_engines(self) -> Option<Vec<EngineId>> {
        let mut engines = self.engines;
        engines.sort_unstable();
        engines.dedup();
        (!engines.is_empty()).then_some(engines)
    }
}
