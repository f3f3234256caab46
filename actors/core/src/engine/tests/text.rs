//! A tiny text form of the engine's events and effects, so that a table reads like a story.
//!
//! Tasks are letters: small ones of client 1, capital ones of client 2, in order from 1. `a` is
//! the first attempt, `a#2` the second.
//!
//! | event | meaning |
//! |---|---|
//! | `open`, `close` | the session |
//! | `registered`, `registered 2 drop a b` | taken in, by epoch 1 or 2 |
//! | `assign a`, `direct a`, `assign b ticket 7`, `assign b gates a` | the hub wants this run |
//! | `define 0 f`, `define 0 f reset ticket 7`, `assign a with f` | functions, by session number |
//! | `function 7` | the 3 bytes of one |
//! | `payload 7`, `cut payload 7` | 3 bytes, as said, or 1 |
//! | `confirmed 2`, `abort a b`, `end asked` | the other orders |
//! | `give back a` | the hub could have another engine start this |
//! | `withdrew a`, `begun a` | whether the executor had not begun what it was to forget |
//! | `wrote a text` | a running attempt wrote that |
//! | `ran a`, `failed a`, `stopped a` | the executor is through |
//! | `at 50` | it is 50 ms past the start; deadlines pass |
//!
//! | effect | meaning |
//! |---|---|
//! | `register again running a queued b unconfirmed c marks 1:3` | what there is of it |
//! | `start a`, `start a with f`, `interrupt a`, `started a`, `reconnect`, `end asked` | |
//! | `gave back a`, `kept a` | what became of it |
//! | `withdraw a` | the executor is to forget it |
//! | `output a from 3: text` | what it wrote after 3 bytes |
//! | `report 0 a done` | also `failed`, `aborted`; `, wrote text` if it did |

use std::time::Duration;

use bytes::Bytes;
use phalanx_protocol::function::{Define, Digest};
use phalanx_protocol::ids::{AttemptId, ClientId, EngineId, Epoch, Incarnation, TaskId, Ticket};
use phalanx_protocol::outcome::{AttemptOutcome, Report, RunTimes};
use phalanx_protocol::output::{OutputChunk, OutputKind};
use phalanx_protocol::payload::{Body, Format, Payload};
use phalanx_protocol::peer::{EngineProfile, Inventory, Registration};
use phalanx_protocol::task::{Assignment, MethodName};

use crate::engine::{EngineEffect, EngineEvent, EngineRoom};
use crate::{Room, Time};

const STDOUT: OutputKind = OutputKind::STDOUT;

/// A room and its clock.
pub(super) struct Play {
    pub(super) room: EngineRoom,
    now: Time,
}

/// Plays rows on an engine with so many slots that has registered; see [`Play::rows`].
pub(super) fn check(slots: u32, rows: &[(&str, &str)]) -> EngineRoom {
    let mut play = Play::new(slots);
    play.rows(&[("open", "register"), ("registered", "")]);
    play.rows(rows);
    play.room
}

impl Play {
    /// An engine that has never seen a hub.
    pub(super) fn new(slots: u32) -> Self {
        let profile = EngineProfile { slots, ..EngineProfile::default() };
        Self { room: EngineRoom::new(profile), now: Time::ZERO }
    }

    /// Plays each event and compares what it brings, joined by a comma.
    pub(super) fn rows(&mut self, rows: &[(&str, &str)]) {
        for (event, expected) in rows {
            let effects: Vec<_> = self.event(event).iter().map(show).collect();
            assert_eq!(effects.join(", "), *expected, "after {event:?} of {rows:#?}");
        }
    }

    /// An attempt is done with a result of so many bytes.
    pub(super) fn ran_long(&mut self, name: &str, len: usize) {
        let payload = Payload::inline(Format::Raw, Bytes::from(vec![0; len]));
        let EngineEvent::Ran { attempt, outcome, times, .. } = ran(name, AttemptOutcome::Done)
        else {
            panic!("an executor's word");
        };
        let mut effects = Vec::new();
        let event = EngineEvent::Ran { attempt, outcome, times, payload };
        self.room.handle(self.now, event, &mut effects);
        self.room.check_invariants();
        assert!(matches!(effects[..], [EngineEffect::Report(_)]), "{effects:?}");
    }

    /// Plays one event.
    pub(super) fn event(&mut self, text: &str) -> Vec<EngineEffect> {
        let mut effects = Vec::new();
        match text.strip_prefix("at ") {
            Some(ms) => {
                self.now = Time::ZERO + Duration::from_millis(ms.parse().unwrap());
                self.room.on_deadline(self.now, &mut effects);
                assert!(self.room.next_deadline().is_none_or(|deadline| deadline > self.now));
            }
            None => self.room.handle(self.now, event(text), &mut effects),
        }
        self.room.check_invariants();
        effects
    }
}

/// Reads an event.
fn event(text: &str) -> EngineEvent {
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["open"] => EngineEvent::SessionOpened,
        ["close"] => EngineEvent::SessionClosed,
        ["registered", rest @ ..] => {
            let dropped = rest.iter().skip_while(|word| **word != "drop").skip(1);
            let epoch = if rest.first() == Some(&"2") { 2 } else { 1 };
            EngineEvent::Registered {
                registration: Registration {
                    epoch: Epoch(epoch),
                    engine: EngineId(1),
                    incarnation: Incarnation(1),
                },
                drop: dropped.map(|word| attempt(word)).collect(),
            }
        }
        ["assign", rest @ ..] => EngineEvent::Assigned(assignment(false, rest)),
        ["direct", rest @ ..] => EngineEvent::Assigned(assignment(true, rest)),
        ["define", number, name, rest @ ..] => EngineEvent::Defined(define(number, name, rest)),
        ["function", ticket] => {
            EngineEvent::PayloadArrived(Ticket(ticket.parse().unwrap()), Bytes::from_static(b"def"))
        }
        ["payload", ticket] => {
            EngineEvent::PayloadArrived(Ticket(ticket.parse().unwrap()), Bytes::from_static(b"abc"))
        }
        ["cut", "payload", ticket] => {
            EngineEvent::PayloadArrived(Ticket(ticket.parse().unwrap()), Bytes::from_static(b"a"))
        }
        ["confirmed", up_to] => EngineEvent::Confirmed(up_to.parse().unwrap()),
        ["abort", attempts @ ..] => {
            EngineEvent::AbortRequested(attempts.iter().map(|word| attempt(word)).collect())
        }
        ["give", "back", name] => EngineEvent::AskedBack(attempt(name)),
        ["withdrew", name] => EngineEvent::Withdrew(attempt(name), true),
        ["begun", name] => EngineEvent::Withdrew(attempt(name), false),
        ["end", reason] => EngineEvent::EndRequested((*reason).to_owned()),
        ["wrote", name, text] => EngineEvent::Wrote {
            attempt: attempt(name),
            chunks: vec![OutputChunk {
                kind: STDOUT,
                bytes: Bytes::copy_from_slice(text.as_bytes()),
            }],
            lost: 0,
        },
        ["ran", name] => ran(name, AttemptOutcome::Done),
        ["failed", name] => ran(name, AttemptOutcome::Failed(Box::default())),
        ["stopped", name] => ran(name, AttemptOutcome::Aborted),
        _ => panic!("{text:?} is not an event"),
    }
}

/// An executor's word.
pub(super) fn ran(name: &str, outcome: AttemptOutcome) -> EngineEvent {
    EngineEvent::Ran {
        attempt: attempt(name),
        outcome,
        times: RunTimes { started_us: 1, ran_ns: 2 },
        payload: Payload::inline(Format::Raw, Bytes::from_static(b"result")),
    }
}

fn digest(name: &str) -> Digest {
    Digest([name.as_bytes()[0]; 16])
}

fn define(number: &str, name: &str, words: &[&str]) -> Define {
    let mut payload = Payload::inline(Format::Raw, Bytes::from_static(b"def"));
    let (reset, rest) = match words {
        ["reset", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if let ["ticket", ticket] = rest {
        payload.body = Body::Ticket { ticket: Ticket(ticket.parse().unwrap()), len: 3 };
    }
    Define { number: number.parse().unwrap(), digest: digest(name), reset, payload }
}

/// An assignment with inline or ticket payload.
pub(super) fn assignment(direct: bool, words: &[&str]) -> Assignment {
    let (name, rest) = words.split_first().unwrap();
    let mut payload = Payload::inline(Format::Raw, Bytes::from_static(b"abc"));
    let (mut gates, mut function) = (Vec::new(), None);
    match rest {
        [] => {}
        ["ticket", ticket] => {
            payload.body = Body::Ticket { ticket: Ticket(ticket.parse().unwrap()), len: 3 };
        }
        ["with", name] => function = Some(digest(name)),
        ["gates", names @ .., "ticket", ticket] => {
            payload.body = Body::Ticket { ticket: Ticket(ticket.parse().unwrap()), len: 3 };
            gates = names.iter().map(|name| attempt(name).task).collect();
        }
        ["gates", names @ ..] => gates = names.iter().map(|name| attempt(name).task).collect(),
        _ => panic!("{words:?} is not an assignment"),
    }
    let method = MethodName::try_from("f").unwrap();
    Assignment { attempt: attempt(name), direct, method, payload, gates, function }
}

/// Reads an attempt.
pub(super) fn attempt(name: &str) -> AttemptId {
    let (task, number) = name.split_once('#').unwrap_or((name, "1"));
    let letter = task.as_bytes()[0];
    assert!(task.len() == 1 && letter.is_ascii_alphabetic(), "{name:?} is not an attempt");
    let (client, first) = if letter.is_ascii_lowercase() { (1, b'a') } else { (2, b'A') };
    let task = TaskId::new(ClientId(client), u64::from(letter - first) + 1);
    task.attempt(number.parse().unwrap())
}

/// Writes an attempt.
fn name(attempt: AttemptId) -> String {
    let first = if attempt.task.client == ClientId(1) { b'a' } else { b'A' };
    let task = char::from(first + u8::try_from(attempt.task.seq).unwrap() - 1);
    if attempt.number == 1 { task.to_string() } else { format!("{task}#{}", attempt.number) }
}

/// Writes an effect. What an attempt is started with must be what it was assigned with.
pub(super) fn show(effect: &EngineEffect) -> String {
    match effect {
        EngineEffect::Register(_, inventory) => show_inventory(inventory),
        EngineEffect::Start { attempt, method, payload, function } => {
            assert_eq!(method.as_str(), "f");
            assert_eq!(payload.bytes().unwrap(), "abc");
            let with = function.as_ref().map(|function| {
                assert_eq!(function.bytes, "def");
                format!(" with {}", char::from(function.digest.0[0]))
            });
            format!("start {}{}", name(*attempt), with.unwrap_or_default())
        }
        EngineEffect::Interrupt(attempt) => format!("interrupt {}", name(*attempt)),
        EngineEffect::Withdraw(attempt) => format!("withdraw {}", name(*attempt)),
        EngineEffect::Started(attempt) => format!("started {}", name(*attempt)),
        EngineEffect::Output(output) => {
            let texts = output.chunks.iter().map(|chunk| String::from_utf8_lossy(&chunk.bytes));
            let text = texts.collect::<Vec<_>>().join(" ");
            format!("output {} from {}: {text}", name(output.attempt), output.offset)
        }
        EngineEffect::Report(report) => show_report(report),
        EngineEffect::GaveBack { attempt, given } => {
            format!("{} {}", if *given { "gave back" } else { "kept" }, name(*attempt))
        }
        EngineEffect::Reconnect => "reconnect".to_owned(),
        EngineEffect::End(reason) => format!("end {reason}"),
    }
}

/// What never started has no times and no result; all else has what the executor said.
fn show_report(report: &Report) -> String {
    let Report { number, attempt, outcome, times, payload, output } = report;
    let outcome = match outcome {
        AttemptOutcome::Done => "done",
        AttemptOutcome::Failed(_) => "failed",
        AttemptOutcome::Aborted => "aborted",
    };
    let result = if *times == RunTimes::default() { "" } else { "result" };
    assert_eq!(payload.bytes().unwrap(), result);
    let output = output.as_ref().map(|output| format!(", wrote {}", output.text(STDOUT)));
    format!("report {number} {} {outcome}{}", name(*attempt), output.unwrap_or_default())
}

fn show_inventory(inventory: &Inventory) -> String {
    let mut text = "register".to_owned();
    if inventory.previous.is_some() {
        text += " again";
    }
    let lists = [
        ("running", &inventory.running),
        ("queued", &inventory.queued),
        ("unconfirmed", &inventory.unconfirmed),
    ];
    for (title, attempts) in lists {
        if !attempts.is_empty() {
            let names: Vec<_> = attempts.iter().map(|attempt| name(*attempt)).collect();
            text += &format!(" {title} {}", names.join(" "));
        }
    }
    if !inventory.direct_marks.is_empty() {
        text += " marks";
        for (client, seq) in &inventory.direct_marks {
            text += &format!(" {}:{seq}", client.0);
        }
    }
    text
}
