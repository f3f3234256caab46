//! Tables over the client's room, in a small text form, and properties against a naive hub.

mod faults;
mod functions;
mod properties;
mod tables;
mod watches;

use std::time::Duration;

use bytes::Bytes;
use phalanx_transport::protocol::client::{Accepted, ClientToHub, Grant, HubToClient, Opened};
use phalanx_transport::protocol::ids::{ClientId, EngineId, Epoch, TaskId, Ticket};
use phalanx_transport::protocol::outcome::{Delivery, Outcome, RunTimes};
use phalanx_transport::protocol::output::{Output, OutputChunk, OutputKind};
use phalanx_transport::protocol::payload::{Body, Format, Payload};
use phalanx_transport::protocol::peer::EngineInfo;
use phalanx_transport::protocol::role::Role;
use phalanx_transport::protocol::task::{MethodName, Target};

use super::{Answer, ClientRoom, Effect, End, Event, NewTask, RequestError, SubmitError};

/// A grant that never ends.
const ENDLESS: Grant = Grant { seq_end: u64::MAX, bytes_end: u64::MAX };

/// A room whose keys are the tasks' numbers, and a clock.
struct Bench {
    room: ClientRoom<u64>,
    now: Duration,
}

impl Bench {
    /// A client that no hub knows.
    fn unopened() -> Self {
        Self { room: ClientRoom::new(Role::Client, "test".into()), now: Duration::ZERO }
    }

    /// Client `c1` in epoch `h1`, opened with this grant.
    fn opened(grant: Grant) -> Self {
        let mut bench = Self::unopened();
        bench.check(Event::SessionUp, "open");
        bench.check(opened(1, 0, grant), "opened c1 h1, engines");
        bench
    }

    fn run(&mut self, event: Event) -> String {
        let mut effects = Vec::new();
        self.room.handle(self.now, event, &mut effects);
        self.room.check_invariants();
        text(&effects)
    }

    /// Lets `event` happen and expects exactly these effects.
    #[track_caller]
    fn check(&mut self, event: Event, expected: &str) {
        let shown = format!("{event:?}");
        assert_eq!(self.run(event), expected, "{shown}");
    }

    fn submit_to(&mut self, target: Target, len: usize) -> Result<String, SubmitError> {
        let mut effects = Vec::new();
        self.room.submit([task(target, len)], |id| id.seq, &mut effects)?;
        self.room.check_invariants();
        Ok(text(&effects))
    }

    /// Submits a task of `len` bytes and expects exactly these effects.
    #[track_caller]
    fn submit(&mut self, len: usize, expected: &str) {
        assert_eq!(self.submit_to(Target::Any, len).as_deref(), Ok(expected));
    }

    /// Wants tasks to end, passes the deadline and expects exactly these effects.
    #[track_caller]
    fn abort(&mut self, seqs: &[u64], expected: &str) {
        self.room.abort(seqs.iter().map(|seq| id(*seq)));
        self.room.check_invariants();
        self.pass_deadline(expected);
    }

    /// Moves the clock to the next deadline, if there is one, and expects exactly these effects.
    #[track_caller]
    fn pass_deadline(&mut self, expected: &str) {
        let mut effects = Vec::new();
        if let Some(deadline) = self.room.next_deadline() {
            self.now = self.now.max(deadline);
            self.room.on_deadline(self.now, &mut effects);
        }
        self.room.check_invariants();
        assert_eq!(text(&effects), expected);
    }
}

fn id(seq: u64) -> TaskId {
    TaskId::new(ClientId(1), seq)
}

fn task(target: Target, len: usize) -> NewTask {
    NewTask {
        target,
        method: MethodName::try_from("test").unwrap(),
        format: Format::Raw,
        arguments: Bytes::from(vec![0; len]).into(),
        options: None,
        function: None,
    }
}

fn opened(client: u32, next_seq: u64, grant: Grant) -> Event {
    opened_with(client, next_seq, grant, &[])
}

fn opened_with(client: u32, next_seq: u64, grant: Grant, engines: &[u32]) -> Event {
    let engine = |id: &u32| EngineInfo { id: EngineId(*id), ..EngineInfo::default() };
    let opened = Opened {
        epoch: Epoch(client.into()),
        client: ClientId(client),
        token: 7,
        next_seq,
        grant,
        engines: engines.iter().map(engine).collect(),
    };
    Event::Message(opened.into())
}

fn accepted(next_seq: u64, grant: Grant) -> Event {
    Event::Message(Accepted { next_seq, grant }.into())
}

fn delivery(number: u64, seq: u64, payload: Payload) -> Event {
    let delivery = Delivery {
        number,
        task: id(seq),
        outcome: Outcome::Done,
        engine: None,
        attempts: 1,
        times: RunTimes::default(),
        payload,
        output: None,
        tried: Vec::new(),
    };
    Event::Message(HubToClient::Delivery(delivery))
}

fn done(number: u64, seq: u64) -> Event {
    delivery(number, seq, Payload::empty())
}

fn by_ticket(number: u64, seq: u64, ticket: u64, len: u64) -> Event {
    let body = Body::Ticket { ticket: Ticket(ticket), len };
    let format = Format::Raw;
    delivery(number, seq, Payload { format, body })
}

fn wrote(task: TaskId, offset: u64) -> Event {
    let bytes = Bytes::from_static(b"text");
    let chunks = vec![OutputChunk { kind: OutputKind::STDOUT, bytes }];
    let output = Output { attempt: task.attempt(1), offset, chunks };
    Event::Message(HubToClient::Output(output))
}

fn payload(ticket: u64, len: usize) -> Event {
    Event::Payload { ticket: Ticket(ticket), bytes: Bytes::from(vec![1; len]) }
}

fn text(effects: &[Effect<u64>]) -> String {
    let texts: Vec<_> = effects.iter().map(effect_text).collect();
    texts.join(", ")
}

fn effect_text(effect: &Effect<u64>) -> String {
    match effect {
        Effect::Send(message) => message_text(message),
        Effect::CloseSession(code, _) => format!("close {}", code.name()),
        Effect::Opened { client, epoch } => format!("opened {client} {epoch}"),
        Effect::Ended { key, task, end } => {
            assert_eq!(*key, task.seq, "a key comes back with its own task");
            format!("{} {task}", end_text(end))
        }
        Effect::Output(output) => format!("output {} from {}", output.attempt, output.offset),
        Effect::Answered(request, answer) => match answer {
            Ok(Answer::Done) => format!("{request} done"),
            Ok(Answer::Records(..)) => format!("{request} records"),
            Ok(Answer::Status(_)) => format!("{request} status"),
            Ok(Answer::Explanation(_)) => format!("{request} explanation"),
            Err(RequestError::Refused { .. }) => format!("{request} refused"),
            Err(error) => format!("{request} {error:?}"),
        },
        Effect::EnginesChanged => "engines".into(),
        Effect::RoomInQueue => "room".into(),
        Effect::Left => "left".into(),
    }
}

fn end_text(end: &End) -> &'static str {
    match end {
        End::Delivered(delivery) => {
            assert!(delivery.payload.bytes().is_some(), "the payload is there");
            delivery.outcome.name()
        }
        End::Forgotten(_) => "forgotten",
        End::Disconnected(_) => "disconnected",
    }
}

fn message_text(message: &ClientToHub) -> String {
    match message {
        ClientToHub::Open(open) => match open.resume {
            None => "open".into(),
            Some(resume) => format!("open as {}", resume.client),
        },
        ClientToHub::Submit(spec) => format!("submit {}", spec.id),
        ClientToHub::Define(define) => {
            let reset = if define.reset { " reset" } else { "" };
            format!("define {} f{}{reset}", define.number, define.digest.0[0])
        }
        ClientToHub::Received(received) => format!("received {}", received.up_to),
        ClientToHub::Abort(abort) => {
            let ids: Vec<_> = abort.tasks.iter().map(TaskId::to_string).collect();
            let kill = abort.kill_after_ms.map(|ms| format!(" kill after {ms} ms"));
            format!("abort {}{}", ids.join(" "), kill.unwrap_or_default())
        }
        ClientToHub::Watch(watch) => {
            let ids: Vec<_> = watch.tasks.iter().map(TaskId::to_string).collect();
            format!("watch {}", ids.join(" "))
        }
        ClientToHub::RecordsRequest(records) => format!("records {}", records.request),
        ClientToHub::Purge(purge) => format!("purge {}", purge.request),
        ClientToHub::StatusRequest(status) => format!("status {}", status.request),
        ClientToHub::ExplainRequest(explain) => format!("explain {}", explain.request),
        ClientToHub::Shutdown(shutdown) => format!("shutdown {}", shutdown.request),
        ClientToHub::Ping(ping) => format!("ping {}", ping.request),
        ClientToHub::Leave(leave) if leave.abort_open => "leave and abort".into(),
        ClientToHub::Leave(_) => "leave".into(),
    }
}
