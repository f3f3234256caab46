//! At least one sample of every message of every direction: every field set, and each told apart.

mod client;
mod engine;
mod scheduling;

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use phalanx_protocol::codec::Message;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::function::{Define, Digest};
use phalanx_protocol::handshake::{
    Dialect, Hello, HubGreeting, MemoryAnswer, MemoryOffer, PeerGreeting, Proof, Refusal,
    VersionRange, Welcome,
};
use phalanx_protocol::host::{
    Attach, EngineExited, HostToHub, HubToHost, KillEngine, RetireEngine, StopCluster,
};
use phalanx_protocol::ids::{AttemptId, ClientId, EngineId, SegmentId, TaskId, Ticket};
use phalanx_protocol::needs::{Amount, Needs};
use phalanx_protocol::outcome::RemoteError;
use phalanx_protocol::output::{Output, OutputChunk, OutputKind, TaskOutput};
use phalanx_protocol::payload::{Body, Format, Payload, Piece, SegmentRef, Shared};
use phalanx_protocol::task::MethodName;

/// A direction with samples of its messages.
pub(crate) trait Samples: Message + Clone + PartialEq + Debug {
    /// Messages, each with the name of what it shows; empty for a message's first sample.
    fn samples() -> Vec<(&'static str, Self)>;

    /// The first sample of the message called `name`.
    fn sample(name: &str) -> Self {
        Self::samples()
            .into_iter()
            .find(|(case, message)| case.is_empty() && message.info().name == name)
            .map(|(_, message)| message)
            .unwrap_or_else(|| panic!("{} has no sample of {name}", Self::CONVERSATION))
    }
}

/// `Direction Message` or `Direction Message/case`: what golden lines and failures call a sample.
pub(crate) fn label<M: Samples>(case: &str, message: &M) -> String {
    let slash = if case.is_empty() { "" } else { "/" };
    format!("{} {}{slash}{case}", M::CONVERSATION, message.info().name)
}

pub(crate) fn task(seq: u64) -> TaskId {
    TaskId::new(ClientId(7), seq)
}

pub(crate) fn attempt(seq: u64, number: u32) -> AttemptId {
    task(seq).attempt(number)
}

pub(crate) fn engines(numbers: &[u32]) -> Vec<EngineId> {
    numbers.iter().copied().map(EngineId).collect()
}

pub(crate) fn method(name: &str) -> MethodName {
    MethodName::try_from(name).expect("a short name")
}

pub(crate) fn needs() -> Needs {
    let amounts = vec![("gpu".into(), Amount(500)), ("ram".into(), Amount::units(64_000_000_000))];
    Needs { labels: vec!["zone=a".into()], amounts }
}

pub(crate) fn inline(format: Format, bytes: &'static [u8]) -> Payload {
    Payload::inline(format, Bytes::from_static(bytes))
}

pub(crate) fn by_stream(format: Format, ticket: u64, len: u64) -> Payload {
    Payload { format, body: Body::Ticket { ticket: Ticket(ticket), len } }
}

pub(crate) fn by_segment(format: Format, offset: u64, len: u64) -> Payload {
    Payload { format, body: Body::Shared(Box::new(Shared::of(segment(offset, len)))) }
}

/// In two segments, with bytes in the tail before each and at the end.
pub(crate) fn by_pieces(format: Format, len: u64) -> Payload {
    let segments = [Piece::Segment(segment(64, 1 << 20)), Piece::Segment(segment(0, len))];
    let pieces = vec![Piece::Tail(3), segments[0], Piece::Tail(2), segments[1], Piece::Tail(1)];
    let tail = Bytes::from_static(b"abcdef");
    Payload { format, body: Body::Shared(Box::new(Shared { pieces, tail })) }
}

fn segment(offset: u64, len: u64) -> SegmentRef {
    let id = SegmentId(0x0123_4567_89ab_cdef);
    SegmentRef { descriptor: 21, id, turn: 3, offset, len }
}

fn memory_offer(process: u32) -> MemoryOffer {
    MemoryOffer { process, descriptor: 9, id: SegmentId(0xfedc_ba98_7654_3210) }
}

pub(crate) fn remote_error() -> RemoteError {
    RemoteError {
        kind: "ValueError".into(),
        message: "no such column: größe".into(),
        traceback: "line 1\nline 2".into(),
        engine: Some(EngineId(3)),
        method: "table.sum".into(),
        bases: vec!["Exception".into()],
        refused: true,
    }
}

pub(crate) fn digest() -> Digest {
    Digest(*b"0123456789abcdef")
}

pub(crate) fn define(payload: Payload, reset: bool) -> Define {
    Define { number: 3, digest: digest(), reset, payload }
}

fn chunk(kind: OutputKind, text: &'static str) -> OutputChunk {
    OutputChunk { kind, bytes: Bytes::from_static(text.as_bytes()) }
}

pub(crate) fn output() -> Arc<TaskOutput> {
    let chunks =
        vec![chunk(OutputKind::STDOUT, "größe 3\n"), chunk(OutputKind::STDERR, "warning\n")];
    Arc::new(TaskOutput { chunks, truncated: 300 })
}

pub(crate) fn written() -> Output {
    let chunks = vec![chunk(OutputKind::STDERR, "warning\n")];
    Output { attempt: attempt(42, 2), offset: 9, chunks }
}

impl Samples for PeerGreeting {
    fn samples() -> Vec<(&'static str, Self)> {
        let hello = Hello {
            versions: VersionRange { min: 1, max: 1 },
            release: "0.1.0".into(),
            name: "laptop/2".into(),
            memory: None,
            dialect: Dialect(0x0123_4567_89ab_cdef),
        };
        let sharing = Hello { memory: Some(memory_offer(4713)), ..hello.clone() };
        let proof = Proof { secret: Some(0x0f1e_2d3c_4b5a_6978) };
        vec![("", hello.into()), ("memory", sharing.into()), ("", proof.into())]
    }
}

impl Samples for HubGreeting {
    fn samples() -> Vec<(&'static str, Self)> {
        let dialect = Dialect(0xfedc_ba98_7654_3210);
        let welcome = Welcome { version: 1, release: "0.1.0".into(), memory: None, dialect };
        let answer = MemoryAnswer { secret: 0x1122_3344_5566_7788, offer: memory_offer(4711) };
        let sharing = Welcome { memory: Some(answer), ..welcome.clone() };
        let refusal = Refusal {
            code: Some(ErrorCode::Version),
            versions: VersionRange { min: 2, max: 3 },
            detail: "you speak 1-1, this hub speaks 2-3".into(),
            release: "0.2.0".into(),
            dialect,
        };
        vec![("", welcome.into()), ("memory", sharing.into()), ("", refusal.into())]
    }
}

impl Samples for HostToHub {
    fn samples() -> Vec<(&'static str, Self)> {
        let attach = Attach { host: "laptop".into(), pid: 4711 };
        let exited = EngineExited {
            name: "laptop/2".into(),
            pid: 4713,
            cause: "killed by signal 9 (SIGKILL)".into(),
        };
        vec![("", attach.into()), ("", exited.into())]
    }
}

impl Samples for HubToHost {
    fn samples() -> Vec<(&'static str, Self)> {
        let stop = StopCluster { reason: "asked for by c7".into() };
        let retire = RetireEngine { name: "laptop/2".into() };
        let kill = KillEngine {
            name: "laptop/2".into(),
            pid: 4713,
            reason: "task c7/42 did not end".into(),
        };
        vec![("", stop.into()), ("", retire.into()), ("", kill.into())]
    }
}
