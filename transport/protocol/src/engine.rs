//! The engine's conversation with the hub.
//!
//! ```text
//! engine                                   hub
//!   | -- Register (profile, inventory) ---> |   first message; tasks lane
//!   | <------------------ Registered ------ |   engine id, incarnation, attempts to drop
//!   | <------------------ Define* --------- |   before the first assign that names the function
//!   | <------------------ Assign* --------- |
//!   | -- Started? ----------------------->  |   only if it still runs after STARTED_AFTER
//!   | -- Output* ------------------------>  |   events lane: may be dropped
//!   | -- Report* ------------------------>  |   kept until confirmed
//!   | <------------------ Confirmed* ------ |   all reports below up_to are recorded
//!   | <------------------ AbortAttempts --- |   control lane: may come before its Assign
//!   | <------------------ GiveBack* ------- |   another engine could start it now
//!   | -- GaveBack* ---------------------->  |   one for each: given back, or kept; unasked, if a gate shuts
//!   | <------------------ EndEngine ------- |
//! ```
//!
//! Losing a session loses the tail of both directions. The engine registers again with its
//! inventory and resends unconfirmed reports; the hub resends the assignments that the inventory
//! lacks, and names the attempts that are no longer wanted.

use serde::{Deserialize, Serialize};

use crate::function::Define;
use crate::ids::AttemptId;
use crate::macros::{map_encoded, messages};
use crate::outcome::Report;
use crate::output::Output;
use crate::peer::{EngineProfile, Inventory, Registration};
use crate::task::Assignment;

messages! {
    /// What engines say to the hub.
    pub enum EngineToHub {
        /// Who the engine is and what it has.
        1 => Register(Box<Register>), named, Tasks, [Engine];
        /// An attempt has been running for some time.
        2 => Started(Started), hot, Tasks, [Engine];
        /// An attempt ended.
        3 => Report(Report), hot, Tasks, [Engine], payload payload;
        /// The engine ends, by its own decision.
        4 => Leave(EngineLeave), named, Tasks, [Engine];
        /// What a running attempt writes.
        5 => Output(Output), hot, Events, [Engine];
        /// Answers [`GiveBack`]; or, unasked, gives an attempt back one of whose gates will not open.
        6 => GaveBack(GaveBack), hot, Tasks, [Engine];
    }
}

messages! {
    /// What the hub says to engines.
    pub enum HubToEngine {
        /// Answers [`Register`].
        1 => Registered(Registered), named, Tasks, [Hub];
        /// One attempt to run.
        2 => Assign(Assignment), hot, Tasks, [Hub], payload payload;
        /// Confirms reports.
        3 => Confirmed(Confirmed), hot, Tasks, [Hub];
        /// Asks for attempts to end, queued or running.
        4 => AbortAttempts(AbortAttempts), named, Control, [Hub];
        /// Asks the engine to end.
        5 => EndEngine(EndEngine), named, Control, [Hub];
        /// Gives the engine a function that assignments of this session name.
        6 => Define(Define), hot, Tasks, [Hub], payload payload;
        /// Asks for an attempt that has not started, because another engine could start it now.
        7 => GiveBack(GiveBack), hot, Tasks, [Hub];
    }
}

map_encoded! {
    /// Who an engine is and what it has.
    pub struct Register {
        /// What it is.
        pub profile: EngineProfile,
        /// What it has.
        pub inventory: Inventory,
    }
}

map_encoded! {
    /// An engine's place in the cluster.
    pub struct Registered {
        /// Its place. Another incarnation than before: it was lost meanwhile.
        pub registration: Registration,
        /// Attempts of its inventory that are no longer wanted: queued ones are dropped, running
        /// ones interrupted, and none of them is reported.
        pub drop: Vec<AttemptId>,
    }
}

/// An attempt has been running for some time. Travels array-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Started {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Since when, wall clock, microseconds since 1970-01-01 UTC.
    pub started_us: u64,
}

/// Asks an engine to give an attempt back unless it has started. Travels array-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GiveBack {
    /// Which attempt. It was assigned before, in this session or an earlier one.
    pub attempt: AttemptId,
}

/// What became of an attempt that was asked back, or that waits for what will not be done here.
/// Travels array-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GaveBack {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Whether it is given back: the engine has not started it, and has it no longer. If not, it has
    /// started, or the engine does not have it.
    pub given: bool,
}

/// Confirms reports, cumulatively. Travels array-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Confirmed {
    /// Every report with a number below this is recorded, its payload with it.
    pub up_to: u64,
}

map_encoded! {
    /// Asks for attempts to end.
    pub struct AbortAttempts {
        /// Which ones. One that has not arrived yet is not started when it does.
        pub attempts: Vec<AttemptId>,
    }
}

map_encoded! {
    /// Asks the engine to end.
    pub struct EndEngine {
        /// Why, in words.
        pub reason: String,
    }
}

map_encoded! {
    /// The engine ends.
    pub struct EngineLeave {
        /// Why, in words.
        pub reason: String,
    }
}
