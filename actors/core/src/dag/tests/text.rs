//! A tiny text form of the dag's events and effects, so that a table reads like a story.
//!
//! | event | meaning |
//! |---|---|
//! | `c after a b` | hold c until a and b are done |
//! | `c after any failure a b` | until one of them ended otherwise; also `either` |
//! | `c after a follow b timeout 50` | both conditions, and 50 ms |
//! | `c after a+1 b-` | a is known to be done on e1, b to have failed without running |
//! | `c after a@1` | a is known to be on e1 |
//! | `a@1` | e1 has a |
//! | `a+1`, `a+`, `a-1`, `a-` | a ended: done or not, on e1 or nowhere |
//! | `release c` | forget c |
//! | `at 50` | it is 50 ms past the start; deadlines pass |
//!
//! | effect | meaning |
//! |---|---|
//! | `c ready`, `c ready on 1 2` | its engines |
//! | `c unmet a`, `c apart a 1` | never, because of a (which ran on e1) |
//! | `c late` | timed out |
//! | `c nearly a` | waits only for a, which an engine has |

use std::time::Duration;

use phalanx_protocol::ids::{ClientId, EngineId, TaskId};
use phalanx_protocol::outcome::Impossible;
use phalanx_protocol::room::{Condition, DagVerdict, Ending, Known, WaitingTask};
use phalanx_protocol::task::{Accept, Quorum};

use crate::dag::{Dag, DagEffect, DagEvent};
use crate::{Room, Time};

/// Plays each event and compares what it brings, joined by a comma. Nothing may be held at the
/// end unless the last row is `still N`.
pub(super) fn check(rows: &[(&str, &str)]) {
    let mut dag = Dag::default();
    let mut now = Time::ZERO;
    let mut still = 0;
    for (event, expected) in rows {
        let mut effects = Vec::new();
        match event.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["at", ms] => {
                now = Time::ZERO + Duration::from_millis(ms.parse().unwrap());
                assert!(dag.next_deadline().is_some(), "{event}: nothing is timed");
                dag.on_deadline(now, &mut effects);
                assert!(dag.next_deadline().is_none_or(|deadline| deadline > now));
            }
            ["still", len] => still = len.parse().unwrap(),
            ["release", task] => {
                dag.handle(now, DagEvent::Release(id(task)), &mut effects);
            }
            [ended] => {
                let (task, known) = named(ended);
                let event = match known {
                    Known::Open => panic!("{event}: how did it end?"),
                    Known::Assigned(engine) => DagEvent::Assigned(task, engine),
                    Known::Ended(ending) => DagEvent::Ended(task, ending),
                };
                dag.handle(now, event, &mut effects);
            }
            [task, rest @ ..] => {
                dag.handle(now, DagEvent::Hold(waiting(task, rest)), &mut effects);
            }
            [] => panic!("an empty row"),
        }
        dag.check_invariants();
        let said: Vec<_> = effects.iter().map(show).collect();
        assert_eq!(said.join(", "), *expected, "after {event:?} of {rows:#?}");
    }
    assert_eq!(dag.held_len(), still, "held at the end of {rows:#?}");
    if still == 0 {
        assert_empty(&dag);
    }
}

/// Nothing is left in any table.
pub(super) fn assert_empty(dag: &Dag) {
    assert_eq!(dag.tables_len(), [0; 5], "left over: {dag:?}");
    assert_eq!(dag.next_deadline(), None);
}

/// Tasks are called a to z.
fn id(name: &str) -> TaskId {
    let letter = name.as_bytes()[0];
    assert!(name.len() == 1 && letter.is_ascii_lowercase(), "{name:?} is not a task");
    TaskId::new(ClientId(1), u64::from(letter - b'a'))
}

fn named(text: &str) -> (TaskId, Known) {
    if let Some((task, engine)) = text.split_once('@') {
        return (id(task), Known::Assigned(EngineId(engine.parse().unwrap())));
    }
    let Some((task, engine)) = text.split_once(['+', '-']) else {
        return (id(text), Known::Open);
    };
    let engine = (!engine.is_empty()).then(|| EngineId(engine.parse().unwrap()));
    (id(task), Known::Ended(Ending { success: text.contains('+'), engine }))
}

fn waiting(task: &str, words: &[&str]) -> WaitingTask {
    let mut waiting = WaitingTask { task: id(task), ..WaitingTask::default() };
    let mut words = words.iter();
    let mut condition: Option<&mut Condition> = None;
    while let Some(word) = words.next() {
        match (*word, &mut condition) {
            ("after", _) => condition = Some(waiting.after.insert(Condition::default())),
            ("follow", _) => condition = Some(waiting.follow.insert(Condition::default())),
            ("timeout", _) => waiting.timeout_ms = words.next().map(|ms| ms.parse().unwrap()),
            ("any", Some(condition)) => condition.quorum = Quorum::Any,
            ("failure", Some(condition)) => condition.accept = Accept::Failure,
            ("either", Some(condition)) => condition.accept = Accept::Either,
            (name, Some(condition)) => condition.tasks.push(named(name)),
            (name, None) => panic!("{name}: after or follow?"),
        }
    }
    waiting
}

fn show(effect: &DagEffect) -> String {
    let name = |task: TaskId| char::from(b'a' + u8::try_from(task.seq).unwrap());
    let task = name(effect.task);
    match &effect.verdict {
        DagVerdict::Ready(None) => format!("{task} ready"),
        DagVerdict::Ready(Some(engines)) => {
            let engines: Vec<_> = engines.iter().map(|engine| engine.0.to_string()).collect();
            format!("{task} ready on {}", engines.join(" "))
        }
        DagVerdict::Impossible(failure) => {
            let reason = match failure.reason {
                Impossible::Unmet => "unmet",
                Impossible::FollowsApart => "apart",
                Impossible::FollowedEngineGone => "gone",
            };
            let culprit = name(failure.culprit.unwrap());
            let engine = failure.engine.map(|engine| format!(" {}", engine.0)).unwrap_or_default();
            format!("{task} {reason} {culprit}{engine}")
        }
        DagVerdict::TimedOut => format!("{task} late"),
        DagVerdict::Nearly(other) => format!("{task} nearly {}", name(*other)),
    }
}
