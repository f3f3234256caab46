//! Events and effects of the scheduler as text, for tables.
//!
//! ```text
//! up e1 2 a b has 7 8   engine 1 with 2 slots offers a and b and has tasks 7 and 8
//! up e1 2 has 7 8!      ... and may have no other beside 8
//! down e1
//! place 5 a             task 5 needs method a; `-` = none
//! place 5 a on e1 e2    ... and one of these engines
//! place 5 a with e1 e2  ... and cannot wait for them to come back
//! free 5                task 5 ended
//! free 5 100us          ... after running so long
//! => 5:e1 6:e2 7:!      5 and 6 are assigned, 7 is unplaceable
//! ```

use std::time::Duration;

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::room::{EngineCapacity, ReadyTask, SchedulerVerdict};
use phalanx_protocol::task::MethodName;

use crate::scheduler::{Scheduler, SchedulerEffect, SchedulerEvent};
use crate::{Room, Time};

/// The `seq`th task of client 0.
pub(super) fn task(seq: u64) -> TaskId {
    TaskId::new(ClientId(0), seq)
}

/// A method by name.
pub(super) fn method(name: &str) -> MethodName {
    MethodName::try_from(name).expect("test names are short")
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is not a number"))
}

fn engine(word: &str) -> EngineId {
    EngineId(number(word.strip_prefix('e').unwrap_or_else(|| panic!("{word:?}: no engine"))))
}

/// Reads one event.
fn event(line: &str) -> SchedulerEvent {
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        ["up", id, slots, ref rest @ ..] => {
            let (methods, has) = match rest.iter().position(|&word| word == "has") {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, &[][..]),
            };
            SchedulerEvent::EngineUp(EngineCapacity {
                engine: engine(id),
                slots: number(slots),
                methods: methods.iter().map(|name| method(name)).collect(),
                assigned: has.iter().map(|seq| task(number(seq.trim_end_matches('!')))).collect(),
                alone: has
                    .iter()
                    .filter_map(|seq| seq.strip_suffix('!'))
                    .map(|seq| task(number(seq)))
                    .collect(),
            })
        }
        ["down", id] => SchedulerEvent::EngineDown(engine(id)),
        [verb @ ("place" | "alone"), seq, name, ref rest @ ..] => {
            SchedulerEvent::Place(ReadyTask {
                alone: verb == "alone",
                task: task(number(seq)),
                method: (name != "-").then(|| method(name)),
                engines: (!rest.is_empty())
                    .then(|| rest[1..].iter().map(|id| engine(id)).collect()),
                follows: rest.first() == Some(&"with"),
            })
        }
        ["free", seq] => SchedulerEvent::Free(task(number(seq)), None),
        ["free", seq, ran] => {
            let micros = ran.strip_suffix("us").unwrap_or_else(|| panic!("{ran:?}: no us"));
            let ran = Duration::from_micros(number(micros));
            SchedulerEvent::Free(task(number(seq)), Some(ran))
        }
        _ => panic!("{line:?} is no event"),
    }
}

/// Writes effects.
fn effects_text(effects: &[SchedulerEffect]) -> String {
    let word = |effect: &SchedulerEffect| match effect.verdict {
        SchedulerVerdict::Assign(engine) => format!("{}:{engine}", effect.task.seq),
        SchedulerVerdict::Unplaceable => format!("{}:!", effect.task.seq),
    };
    effects.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Says one event and answers all effects, as text. Does not check the whole room: that costs as
/// much as all its tasks.
pub(super) fn say(room: &mut Scheduler, line: &str) -> String {
    let mut effects = Vec::new();
    room.handle(Time::ZERO, event(line), &mut effects);
    effects_text(&effects)
}

/// Plays a table: each line an event, and after `=>` all of its effects.
pub(super) fn check(room: &mut Scheduler, table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, expected) = line.split_once("=>").unwrap_or((line, ""));
        assert_eq!(say(room, event), expected.trim(), "effects of: {line}");
        room.check_invariants();
    }
}
