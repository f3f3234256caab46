//! An engine's process: the engine room, and user code that behaves as its arguments say.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use phalanx_actors::peer::{EngineStatement, engine_event, engine_statement};
use phalanx_core::engine::{EngineEvent, EngineRoom};
use phalanx_core::{Room, Time};
use phalanx_protocol::bundle;
use phalanx_protocol::engine::{EngineToHub, GaveBack};
use phalanx_protocol::function::{Digest, Function};
use phalanx_protocol::ids::{AttemptId, EngineId, SessionId, TaskId};
use phalanx_protocol::outcome::{AttemptOutcome, RemoteError, RunTimes};
use phalanx_protocol::output::{OutputChunk, OutputKind};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::peer::EngineProfile;
use phalanx_protocol::task::MethodName;

use crate::clock::Clock;
use crate::net::{End, Item, decode};
use crate::plan::{Behaviour, Plan, Wish};
use crate::world::{Happening, World};

/// An engine's process, in one of its lives.
#[derive(Debug)]
pub(crate) struct EngineProcess {
    pub(crate) life: u64,
    pub(crate) room: EngineRoom,
    pub(crate) session: Option<SessionId>,
    /// While it stands still: what will be done when it goes on.
    pub(crate) frozen: Option<Vec<Happening>>,
    pub(crate) dead: bool,
    running: BTreeMap<AttemptId, Running>,
    slots: usize,
    /// What its executor keeps until a slot is free, in order.
    kept: VecDeque<Kept>,
    clock: Clock,
    /// Which engine the hub says it is.
    pub(crate) id: Option<EngineId>,
}

#[derive(Debug)]
struct Kept {
    attempt: AttemptId,
    payload: Payload,
    function: Option<Function>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    behaviour: Behaviour,
    began: Time,
    interrupted: bool,
    writes: u8,
    written: u8,
}

/// The method that every engine offers.
pub(crate) fn method() -> MethodName {
    MethodName::try_from("work").expect("a short name")
}

/// The stable name of an engine.
pub(crate) fn name(engine: usize) -> String {
    format!("machine/{engine}")
}

impl EngineProcess {
    pub(crate) fn new(engine: usize, life: u64, plan: &Plan) -> Self {
        let (slots, functions) = (plan.slots[engine], plan.functions);
        let (labels, resources) = plan.equipment[engine].clone();
        let profile = EngineProfile {
            name: Some(name(engine)),
            kind: "native".into(),
            host: "machine".into(),
            pid: life as u32,
            instance: life,
            slots,
            methods: vec![method()],
            labels,
            resources,
        };
        Self {
            life,
            room: EngineRoom::new(profile)
                .starting_ahead(plan.ahead)
                .with_inline_len_max(plan.inline_len_max as u64)
                .with_function_limits(functions),
            session: None,
            frozen: None,
            dead: false,
            running: BTreeMap::new(),
            slots: slots as usize,
            kept: VecDeque::new(),
            clock: plan.clocks[engine],
            id: None,
        }
    }

    /// Its executor forgets what it has not begun.
    fn forget(&mut self, attempt: AttemptId) -> bool {
        let at = self.kept.iter().position(|kept| kept.attempt == attempt);
        at.and_then(|at| self.kept.remove(at)).is_some()
    }

    /// When its room wants to be woken.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.room.next_deadline().map(|deadline| self.clock.when(deadline))
    }
}

/// A task's arguments: how its code behaves, for how long, and a filler to see that bytes arrive.
pub(crate) fn arguments(wish: &Wish) -> Bytes {
    let (kind, len) = match wish.behaviour {
        Behaviour::Return(len) => (0, len),
        Behaviour::Raise => (1, 0),
        Behaviour::Crash => (2, 0),
        Behaviour::Flaky(attempts) => (3, attempts.into()),
        Behaviour::Picky(places) => (4, places.into()),
    };
    let mut bytes = BytesMut::new();
    bytes.put_u8(kind);
    bytes.put_u32(len);
    bytes.put_u64(wish.runs.as_nanos() as u64);
    bytes.put_u8(wish.writes);
    bytes.put_u8(wish.function.unwrap_or(NO_FUNCTION));
    bytes.put_u32(wish.filler);
    bytes.put_bytes(0xa5, wish.filler as usize);
    bytes.freeze()
}

/// Stands in a task's arguments for none.
const NO_FUNCTION: u8 = u8::MAX;

/// The function of this number: short, or so long that it takes a stream of its own.
pub(crate) fn function(number: u8) -> Function {
    let len = 20 + usize::from(number) * 30;
    Function { digest: Digest([number; 16]), bytes: Bytes::from(vec![number; len.min(200)]) }
}

/// What a task's arguments say: how it behaves, for how long, how often it writes, and with which
/// function.
fn behaviour(payload: &Payload) -> (Behaviour, Duration, u8, Option<Function>) {
    use bytes::Buf;
    let mut bytes = payload.bytes().expect("started with its payload");
    let (kind, len) = (bytes.get_u8(), bytes.get_u32());
    let runs = Duration::from_nanos(bytes.get_u64());
    let writes = bytes.get_u8();
    let number = bytes.get_u8();
    let named = (number != NO_FUNCTION).then(|| function(number));
    let filler = bytes.get_u32() as usize;
    assert!(bytes.len() == filler && bytes.iter().all(|byte| *byte == 0xa5), "arguments arrive");
    let behaviour = match kind {
        0 => Behaviour::Return(len),
        1 => Behaviour::Raise,
        2 => Behaviour::Crash,
        3 => Behaviour::Flaky(len as u8),
        _ => Behaviour::Picky(len as u8),
    };
    (behaviour, runs, writes, named)
}

/// The arguments of a task, and the results that stand among them.
fn unbundled(payload: &Payload) -> (Payload, Vec<Payload>) {
    if payload.format != Format::Bundle {
        return (payload.clone(), Vec::new());
    }
    let pieces = payload.pieces().expect("started with its payload");
    let mut inputs = bundle::split(pieces).expect("a bundle is read as it was written");
    (inputs.remove(0), inputs)
}

/// What a task writes for the `index`th time.
pub(crate) fn words(task: TaskId, index: u8) -> OutputChunk {
    let kind = if index.is_multiple_of(3) { OutputKind::STDERR } else { OutputKind::STDOUT };
    OutputChunk { kind, bytes: Bytes::from(format!("{task} {index}\n")) }
}

/// What a task returns: bytes that name it.
pub(crate) fn result(task: TaskId, len: u32) -> Bytes {
    Bytes::from(vec![task.seq as u8 ^ task.client.0 as u8; len as usize])
}

/// The kind of error by which an engine says that it will not run a task.
pub(crate) const REFUSED: &str = "Refused";

fn failed(kind: &str) -> (AttemptOutcome, Payload) {
    let refused = kind == REFUSED;
    let error = RemoteError { kind: kind.into(), refused, ..RemoteError::default() };
    (AttemptOutcome::Failed(Box::new(error)), Payload::empty())
}

impl World<'_> {
    pub(crate) fn engine_opened(&mut self, engine: usize, session: SessionId) {
        self.engines[engine].session = Some(session);
        self.tell_engine(engine, EngineEvent::SessionOpened);
    }

    pub(crate) fn engine_closed(&mut self, engine: usize) {
        self.engines[engine].session = None;
        self.tell_engine(engine, EngineEvent::SessionClosed);
    }

    pub(crate) fn engine_receives(&mut self, engine: usize, item: Item) {
        let event = match item {
            Item::Payload(ticket, bytes) => EngineEvent::PayloadArrived(ticket, bytes),
            Item::Frame(frame) => engine_event(decode(&frame)),
        };
        if let EngineEvent::Registered { registration, .. } = &event {
            self.engines[engine].id = Some(registration.engine);
        }
        self.tell_engine(engine, event);
    }

    pub(crate) fn tell_engine(&mut self, engine: usize, event: EngineEvent) {
        let mut effects = Vec::new();
        let process = &mut self.engines[engine];
        let now = process.clock.shows(self.now);
        process.room.handle(now, event, &mut effects);
        process.room.settle(now, &mut effects);
        process.room.check_invariants();
        self.apply_engine(engine, effects);
    }

    pub(crate) fn wake_engine(&mut self, engine: usize) {
        let mut effects = Vec::new();
        let process = &mut self.engines[engine];
        let now = process.clock.shows(self.now);
        process.room.on_deadline(now, &mut effects);
        process.room.settle(now, &mut effects);
        process.room.check_invariants();
        self.apply_engine(engine, effects);
    }

    fn apply_engine(&mut self, engine: usize, effects: Vec<phalanx_core::engine::EngineEffect>) {
        for effect in effects {
            match engine_statement(effect, |_| 0) {
                EngineStatement::Say(message) => self.engine_says(engine, message),
                EngineStatement::Start { attempt, payload, function, .. } => {
                    self.engines[engine].kept.push_back(Kept { attempt, payload, function });
                    self.start_kept(engine);
                }
                EngineStatement::Interrupt(attempt) => self.interrupt(engine, attempt),
                EngineStatement::Withdraw(attempt) => {
                    let withdrew = self.engines[engine].forget(attempt);
                    self.tell_engine(engine, EngineEvent::Withdrew(attempt, withdrew));
                }
                EngineStatement::Reconnect => {
                    if let Some(session) = self.engines[engine].session {
                        self.cut(session);
                    }
                }
                EngineStatement::End(message) => {
                    self.engine_says(engine, message);
                    self.kill_engine(engine, true);
                }
            }
        }
    }

    fn engine_says(&mut self, engine: usize, message: EngineToHub) {
        if let EngineToHub::GaveBack(GaveBack { attempt, given }) = message {
            self.check.on_gave_back(attempt, given);
        }
        if let Some(session) = self.engines[engine].session {
            self.send(session, End::Hub, message);
        }
    }

    fn start_kept(&mut self, engine: usize) {
        while self.engines[engine].running.len() < self.engines[engine].slots
            && let Some(kept) = self.engines[engine].kept.pop_front()
        {
            self.start(engine, kept);
        }
    }

    fn start(&mut self, engine: usize, Kept { attempt, payload, function }: Kept) {
        let (payload, inputs) = unbundled(&payload);
        self.check.on_inputs(attempt, &inputs);
        let (behaviour, runs, writes, named) = behaviour(&payload);
        assert_eq!(function, named, "I12: {attempt} starts with its function");
        let process = &mut self.engines[engine];
        let running =
            Running { behaviour, began: self.now, interrupted: false, writes, written: 0 };
        let earlier = process.running.insert(attempt, running);
        assert!(earlier.is_none(), "{attempt} is started twice");
        let life = process.life;
        self.check.on_started(attempt, (engine, life));
        self.trace.tell(self.now, || format!("engine {engine} starts {attempt}: {behaviour:?}"));
        for _ in 0..writes {
            let at = Duration::from_nanos(self.rng.u64(0..=runs.as_nanos() as u64));
            self.after(at, Happening::Writes { engine, life, attempt });
        }
        self.after(runs, Happening::RunEnds { engine, life, attempt });
    }

    /// User code writes its next words, if it still runs.
    pub(crate) fn writes(&mut self, engine: usize, attempt: AttemptId) {
        let Some(running) = self.engines[engine].running.get_mut(&attempt) else { return };
        let index = running.written;
        if index < running.writes {
            running.written += 1;
            let chunks = vec![words(attempt.task, index)];
            self.tell_engine(engine, EngineEvent::Wrote { attempt, chunks, lost: 0 });
        }
    }

    /// User code heeds an interruption, or does not notice it; one that has not begun never will.
    fn interrupt(&mut self, engine: usize, attempt: AttemptId) {
        if self.engines[engine].forget(attempt) {
            let (outcome, times) = (AttemptOutcome::Aborted, RunTimes::default());
            let payload = Payload::empty();
            return self.tell_engine(engine, EngineEvent::Ran { attempt, outcome, times, payload });
        }
        let heeds = self.rng.bool();
        let process = &mut self.engines[engine];
        if heeds && let Some(running) = process.running.get_mut(&attempt) {
            running.interrupted = true;
            let life = process.life;
            self.after(Duration::from_micros(100), Happening::RunEnds { engine, life, attempt });
        }
    }

    pub(crate) fn run_ends(&mut self, engine: usize, attempt: AttemptId) {
        if self.engines[engine].running.get(&attempt).is_some_and(|running| !running.interrupted) {
            for _ in 0..u8::MAX {
                self.writes(engine, attempt);
            }
        }
        // An interrupted one ends early; its own end finds it gone.
        let Some(running) = self.engines[engine].running.remove(&attempt) else { return };
        let ran_ns = self.now.since(running.began).as_nanos() as u64;
        let times = RunTimes { started_us: running.began.as_nanos() / 1_000, ran_ns };
        let (outcome, payload) = match running.behaviour {
            _ if running.interrupted => (AttemptOutcome::Aborted, Payload::empty()),
            Behaviour::Return(len) => {
                let bytes = result(attempt.task, len);
                (AttemptOutcome::Done, Payload::inline(Format::Raw, bytes))
            }
            Behaviour::Raise => failed("Raised"),
            Behaviour::Flaky(attempts) if attempt.number <= attempts.into() => failed("Raised"),
            Behaviour::Picky(places) if engine.is_multiple_of(places.into()) => failed(REFUSED),
            Behaviour::Flaky(_) | Behaviour::Picky(_) => {
                (AttemptOutcome::Done, Payload::inline(Format::Raw, result(attempt.task, 0)))
            }
            Behaviour::Crash => {
                self.check.on_crash(attempt);
                let reported = self.rng.u8(0..4) > 0;
                return self.kill_engine(engine, reported);
            }
        };
        if outcome == AttemptOutcome::Done {
            self.check.on_done(attempt.task, (engine, self.engines[engine].life));
        }
        self.start_kept(engine);
        self.tell_engine(engine, EngineEvent::Ran { attempt, outcome, times, payload });
    }

    /// The process is gone; its host starts another under the same name some time after.
    pub(crate) fn kill_engine(&mut self, engine: usize, reported: bool) {
        let process = &mut self.engines[engine];
        if std::mem::replace(&mut process.dead, true) {
            return;
        }
        process.running.clear();
        process.kept.clear();
        process.frozen = None;
        let (pid, session) = (process.life as u32, process.session.take());
        self.trace.tell(self.now, || format!("engine {engine} dies, reported: {reported}"));
        if let Some(session) = session {
            self.vanish(session);
        }
        if reported {
            let within = Duration::from_micros(self.rng.u64(1_000..1_000_000));
            self.after(within, Happening::HostReports { engine, pid });
        }
        let restart = Duration::from_micros(self.rng.u64(1_000..3_000_000));
        self.after(restart, Happening::Restart { engine });
    }
}
