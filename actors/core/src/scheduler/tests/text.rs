//! Events and effects of the scheduler as text, for tables.
//!
//! ```text
//! up e1 2 a b has 7 8   engine 1 with 2 slots offers a and b and has tasks 7 and 8
//! up e1 2 has 7 8!      ... and may have no other beside 8
//! up e1 2 a #fast gpu=2 has 7/gpu=1   ... carries a label, has 2 of a resource, 7 has one of them
//! down e1
//! place 5 a             task 5 needs method a; `-` = none
//! place 5 a on e1 e2    ... and one of these engines
//! place 5 a with e1 e2  ... and cannot wait for them to come back
//! place 5 a #fast gpu=1 p3   ... needs a label and some of a resource, and has priority 3
//! alone 5 a             ... and must run alone; `back 5 a alone` likewise
//! place c2.5 a          the 5th task of client 2
//! ahead 5 a at e1       give task 5 to this engine if it has room; further words as for `place`
//! free 5                task 5 ended
//! free 5 100us          ... after running so long
//! back 5 a              task 5, which needs a, was given back; further words as for `place`
//! kept 5                task 5 was asked back, and stays
//! at 1500us             it is so long past the start, and the end of a burst
//! => 5:e1 6:e2 7:! 8<e1 5 and 6 are assigned, 7 is unplaceable, 8 is asked back from e1
//! ```

use std::time::Duration;

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::needs::{Needs, Resource};
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

/// A task: `5`, or `c2.5`.
fn task_named(word: &str) -> TaskId {
    match word.strip_prefix('c').and_then(|rest| rest.split_once('.')) {
        Some((client, seq)) => TaskId::new(ClientId(number(client)), number(seq)),
        None => task(number(word)),
    }
}

fn resource(word: &str) -> Option<Resource> {
    let (name, amount) = word.split_once('=')?;
    Some((name.into(), amount.parse().unwrap_or_else(|error| panic!("{word}: {error}"))))
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is not a number"))
}

fn engine(word: &str) -> EngineId {
    EngineId(number(word.strip_prefix('e').unwrap_or_else(|| panic!("{word:?}: no engine"))))
}

fn micros(word: &str) -> Duration {
    let micros = word.strip_suffix("us").unwrap_or_else(|| panic!("{word:?}: no us"));
    Duration::from_micros(number(micros))
}

/// The words that are no label and no resource.
fn plain<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    words.iter().copied().filter(|word| !word.starts_with('#') && !word.contains('='))
}

fn labels(words: &[&str]) -> Vec<String> {
    words.iter().filter_map(|word| word.strip_prefix('#')).map(str::to_owned).collect()
}

/// A task that an engine has, without what is said of it.
fn bare(word: &str) -> &str {
    word.split_once('/').map_or(word, |(task, _)| task).trim_end_matches('!')
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
                methods: plain(methods).map(method).collect(),
                labels: labels(methods),
                resources: methods.iter().filter_map(|word| resource(word)).collect(),
                assigned: has.iter().map(|word| task_named(bare(word))).collect(),
                alone: has
                    .iter()
                    .filter_map(|word| word.strip_suffix('!'))
                    .map(task_named)
                    .collect(),
                held: has
                    .iter()
                    .filter_map(|word| {
                        let (seq, amount) = word.split_once('/')?;
                        Some((task_named(seq), resource(amount).into_iter().collect()))
                    })
                    .collect(),
            })
        }
        ["down", id] => SchedulerEvent::EngineDown(engine(id)),
        ["kept", seq] => SchedulerEvent::TakenBack(task_named(seq), None),
        [verb @ ("place" | "alone" | "back" | "ahead"), seq, name, ref rest @ ..] => {
            let at = rest.iter().position(|word| *word == "at").map(|at| engine(rest[at + 1]));
            let rest = if at.is_some() { &rest[2..] } else { rest };
            let named = rest.iter().any(|word| ["on", "with"].contains(word));
            let amounts: Vec<_> = rest.iter().filter_map(|word| resource(word)).collect();
            let needs = Needs { labels: labels(rest), amounts };
            let ready = ReadyTask {
                alone: verb == "alone" || rest.contains(&"alone"),
                task: task_named(seq),
                method: (name != "-").then(|| method(name)),
                engines: named.then(|| {
                    plain(rest).filter(|word| word.starts_with('e')).map(engine).collect()
                }),
                follows: rest.first() == Some(&"with"),
                priority: rest
                    .iter()
                    .find_map(|word| Some(number(word.strip_prefix('p')?)))
                    .unwrap_or(0),
                needs: (!needs.is_empty()).then_some(needs),
            };
            match verb {
                "ahead" => SchedulerEvent::PlaceAhead(ready, at.expect("ahead 5 a at e1")),
                "back" => SchedulerEvent::TakenBack(ready.task, Some(ready)),
                _ => SchedulerEvent::Place(ready),
            }
        }
        ["free", seq] => SchedulerEvent::Free(task_named(seq), None),
        ["free", seq, ran] => SchedulerEvent::Free(task_named(seq), Some(micros(ran))),
        _ => panic!("{line:?} is no event"),
    }
}

fn name(task: TaskId) -> String {
    match task {
        TaskId { client: ClientId(0), seq } => seq.to_string(),
        TaskId { client: ClientId(client), seq } => format!("c{client}.{seq}"),
    }
}

/// Writes effects.
fn effects_text(effects: &[SchedulerEffect]) -> String {
    let word = |effect: &SchedulerEffect| match effect.verdict {
        SchedulerVerdict::Assign(engine) => format!("{}:{engine}", name(effect.task)),
        SchedulerVerdict::Unplaceable => format!("{}:!", name(effect.task)),
        SchedulerVerdict::TakeBack(engine) => format!("{}<{engine}", name(effect.task)),
    };
    effects.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Says one event and answers all effects, as text. Does not check the whole room: that costs as
/// much as all its tasks.
pub(super) fn say(room: &mut Scheduler, line: &str) -> String {
    say_at(room, &mut Time::default(), line)
}

/// The same at this time, which some lines move.
pub(super) fn say_at(room: &mut Scheduler, now: &mut Time, line: &str) -> String {
    let mut effects = Vec::new();
    match line.trim().strip_prefix("at ") {
        Some(past) => {
            *now = Time::ZERO + micros(past);
            room.settle(*now, &mut effects);
        }
        None => room.handle(*now, event(line), &mut effects),
    }
    effects_text(&effects)
}

/// Plays a table: each line an event, and after `=>` all of its effects.
pub(super) fn check(room: &mut Scheduler, table: &str) {
    let mut now = Time::ZERO;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, expected) = line.split_once("=>").unwrap_or((line, ""));
        assert_eq!(say_at(room, &mut now, event), expected.trim(), "effects of: {line}");
        room.check_invariants();
    }
}
