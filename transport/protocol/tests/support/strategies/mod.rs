//! Arbitrary messages of every direction, for the property tests.

mod client;
mod engine;
mod scheduling;

use std::sync::Arc;

use bytes::Bytes;
use phalanx_protocol::client::Grant;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::function::{Define, Digest};
use phalanx_protocol::handshake::*;
use phalanx_protocol::host::*;
use phalanx_protocol::ids::*;
use phalanx_protocol::limits::TASK_PAYLOAD_LEN_MAX;
use phalanx_protocol::needs::{Amount, Needs, Resource};
use phalanx_protocol::outcome::*;
use phalanx_protocol::output::*;
use phalanx_protocol::payload::{Body, Format, Payload, Piece, SegmentRef, Shared};
use phalanx_protocol::peer::{EngineInfo, EngineState, Registration};
use phalanx_protocol::query::Again;
use phalanx_protocol::task::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

use super::samples::Samples;

/// A direction whose messages can be made up.
pub(crate) trait Strategies: Samples {
    /// One strategy for each message, in the order of their numbers.
    fn strategies() -> Vec<BoxedStrategy<Self>>;

    /// Any message.
    fn any_message() -> Union<BoxedStrategy<Self>> {
        Union::new(Self::strategies())
    }
}

fn message<T: Into<M> + 'static, M: Samples>(
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<M> {
    strategy.prop_map(Into::into).boxed()
}

fn text() -> impl Strategy<Value = String> {
    "[a-c ß☃\n]{0,6}"
}

fn some<T: Strategy>(items: T) -> impl Strategy<Value = Vec<T::Value>> {
    vec(items, 0..4)
}

/// Numbers of every length that MessagePack knows.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..128_u64, 128..65_536_u64, any::<u32>().prop_map(u64::from), any::<u64>()]
}

fn number32() -> impl Strategy<Value = u32> {
    prop_oneof![0..128_u32, 128..65_536_u32, any::<u32>()]
}

fn engine_id() -> impl Strategy<Value = EngineId> {
    number32().prop_map(EngineId)
}

fn request() -> impl Strategy<Value = RequestId> {
    number().prop_map(RequestId)
}

fn task_id() -> impl Strategy<Value = TaskId> {
    (number32(), number()).prop_map(TaskId::from)
}

fn attempt_id() -> impl Strategy<Value = AttemptId> {
    (task_id(), number32()).prop_map(AttemptId::from)
}

fn method() -> impl Strategy<Value = MethodName> {
    "[a-z.ß]{1,20}".prop_map(|name| MethodName::try_from(name.as_str()).expect("not empty"))
}

fn code() -> impl Strategy<Value = Option<ErrorCode>> {
    option::of(select(ErrorCode::ALL))
}

fn payload() -> impl Strategy<Value = Payload> {
    let body = prop_oneof![
        vec(any::<u8>(), 0..100).prop_map(|bytes| Body::Inline(Bytes::from(bytes).into())),
        (number(), 0..=TASK_PAYLOAD_LEN_MAX)
            .prop_map(|(ticket, len)| Body::Ticket { ticket: Ticket(ticket), len }),
        segment().prop_map(|segment| Body::Shared(Box::new(Shared::of(segment)))),
        shared().prop_map(|shared| Body::Shared(Box::new(shared))),
    ];
    let format = select(&[Format::Raw, Format::MessagePack, Format::Pickle5, Format::Bundle][..]);
    (format, body).prop_map(|(format, body)| Payload { format, body })
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 16]>().prop_map(Digest)
}

fn define() -> impl Strategy<Value = Define> {
    (number(), digest(), any::<bool>(), payload())
        .prop_map(|(number, digest, reset, payload)| Define { number, digest, reset, payload })
}

fn output_chunk() -> impl Strategy<Value = OutputChunk> {
    (any::<u8>(), vec(any::<u8>(), 0..40))
        .prop_map(|(kind, bytes)| OutputChunk { kind: OutputKind(kind), bytes: bytes.into() })
}

fn task_output() -> impl Strategy<Value = Option<Arc<TaskOutput>>> {
    let output = (some(output_chunk()), number())
        .prop_map(|(chunks, truncated)| Arc::new(TaskOutput { chunks, truncated }));
    option::of(output)
}

fn output() -> impl Strategy<Value = Output> {
    (attempt_id(), number(), some(output_chunk())).prop_map(|(attempt, offset, chunks)| Output {
        attempt,
        offset,
        chunks,
    })
}

fn segment() -> impl Strategy<Value = SegmentRef> {
    let numbers = (number32(), number(), number(), number(), 0..=TASK_PAYLOAD_LEN_MAX / 8);
    numbers.prop_map(|(descriptor, id, turn, offset, len)| SegmentRef {
        descriptor,
        id: SegmentId(id),
        turn,
        offset,
        len,
    })
}

fn shared() -> impl Strategy<Value = Shared> {
    let piece = prop_oneof![(0u64..20).prop_map(Piece::Tail), segment().prop_map(Piece::Segment)];
    vec(piece, 1..6).prop_map(|pieces| {
        let in_tail = |piece: &Piece| if let Piece::Tail(len) = piece { *len } else { 0 };
        let tail = vec![7; pieces.iter().map(in_tail).sum::<u64>() as usize].into();
        Shared { pieces, tail }
    })
}

fn quorum() -> impl Strategy<Value = Quorum> {
    select(&[Quorum::All, Quorum::Any][..])
}

fn accept() -> impl Strategy<Value = Accept> {
    select(&[Accept::Success, Accept::Failure, Accept::Either][..])
}

fn dependency() -> impl Strategy<Value = Dependency> {
    (some(task_id()), quorum(), accept()).prop_map(|(tasks, quorum, accept)| Dependency {
        tasks,
        quorum,
        accept,
    })
}

fn options() -> impl Strategy<Value = TaskOptions> {
    let part = || option::of(dependency());
    let retry = (number32(), some(text()), number()).prop_map(|(count, kinds, backoff_ms)| Retry {
        count,
        kinds,
        backoff_ms,
    });
    let again = (task_id(), option::of(number())).prop_map(|(task, number)| Again { task, number });
    let tags = (option::of(text()), option::of(again));
    let times = (option::of(number()), option::of(retry), option::of(number()));
    let place = (any::<i32>(), option::of(needs()));
    let graph = option::of((number(), number32()));
    let more = (some(task_id()), (graph, any::<bool>(), any::<bool>()), tags, place);
    (part(), part(), times, more).prop_map(
        |(
            after,
            follow,
            times,
            (inputs, (graph, stays, coalesce), (label, again), (priority, needs)),
        )| {
            let (timeout_ms, retry, run_limit_ms) = times;
            TaskOptions {
                after,
                follow,
                timeout_ms,
                retry,
                run_limit_ms,
                label,
                again,
                priority,
                needs,
                inputs,
                graph: graph.map(|(first, len)| GraphPart { first, len }),
                stays,
                coalesce,
            }
        },
    )
}

fn resource() -> impl Strategy<Value = Resource> {
    (text(), number().prop_map(Amount))
}

fn needs() -> impl Strategy<Value = Needs> {
    (some(text()), some(resource())).prop_map(|(labels, amounts)| Needs { labels, amounts })
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        Just(Target::Any),
        some(engine_id()).prop_map(Target::Subset),
        engine_id().prop_map(Target::Engine),
        some(engine_id()).prop_map(Target::Engines),
    ]
}

fn spec() -> impl Strategy<Value = TaskSpec> {
    let options = option::of(options().prop_map(Box::new));
    let function = option::of(digest());
    (task_id(), target(), method(), payload(), options, function).prop_map(
        |(id, target, method, payload, options, function)| TaskSpec {
            id,
            target,
            method,
            payload,
            options,
            function,
        },
    )
}

fn remote_error() -> impl Strategy<Value = Box<RemoteError>> {
    let more = (text(), some(text()), any::<bool>());
    (text(), text(), text(), option::of(engine_id()), more).prop_map(
        |(kind, message, traceback, engine, (method, bases, refused))| {
            Box::new(RemoteError { kind, message, traceback, engine, method, bases, refused })
        },
    )
}

fn loss() -> impl Strategy<Value = Loss> {
    (engine_id(), text()).prop_map(|(engine, cause)| Loss { engine, cause })
}

fn dependency_failure() -> impl Strategy<Value = DependencyFailure> {
    let reason =
        select(&[Impossible::Unmet, Impossible::FollowsApart, Impossible::FollowedEngineGone][..]);
    (reason, option::of(task_id()), option::of(engine_id()))
        .prop_map(|(reason, culprit, engine)| DependencyFailure { reason, culprit, engine })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let rejection =
        (code(), text()).prop_map(|(code, detail)| Box::new(Rejection { code, detail }));
    prop_oneof![
        Just(Outcome::Done),
        remote_error().prop_map(Outcome::Failed),
        Just(Outcome::Aborted),
        loss().prop_map(|loss| Outcome::EngineLost(Box::new(loss))),
        some(loss()).prop_map(Outcome::Poison),
        dependency_failure().prop_map(|failure| Outcome::DependencyFailed(Box::new(failure))),
        Just(Outcome::DependencyTimeout),
        rejection.prop_map(Outcome::Rejected),
    ]
}

fn run_times() -> impl Strategy<Value = RunTimes> {
    (number(), number()).prop_map(|(started_us, ran_ns)| RunTimes { started_us, ran_ns })
}

fn grant() -> impl Strategy<Value = Grant> {
    (number(), number()).prop_map(|(seq_end, bytes_end)| Grant { seq_end, bytes_end })
}

fn registration() -> impl Strategy<Value = Registration> {
    (number(), engine_id(), number32()).prop_map(|(epoch, engine, incarnation)| Registration {
        epoch: Epoch(epoch),
        engine,
        incarnation: Incarnation(incarnation),
    })
}

fn engine_info() -> impl Strategy<Value = EngineInfo> {
    let state = select(&[EngineState::Up, EngineState::Silent, EngineState::Lost][..]);
    let words = (option::of(text()), text(), text());
    let lists = (some(method()), some(text()), some(resource()));
    (engine_id(), words, number32(), number32(), lists, state).prop_map(
        |(id, (name, kind, host), pid, slots, (methods, labels, resources), state)| EngineInfo {
            id,
            name,
            kind,
            host,
            pid,
            slots,
            methods,
            labels,
            resources,
            state,
        },
    )
}

impl Strategies for HostToHub {
    fn strategies() -> Vec<BoxedStrategy<Self>> {
        let exited = (text(), number32(), text()).prop_map(|(name, pid, cause)| EngineExited {
            name,
            pid,
            cause,
        });
        vec![
            message((text(), number32()).prop_map(|(host, pid)| Attach { host, pid })),
            message(exited),
        ]
    }
}

impl Strategies for HubToHost {
    fn strategies() -> Vec<BoxedStrategy<Self>> {
        vec![
            message(text().prop_map(|reason| StopCluster { reason })),
            message(text().prop_map(|name| RetireEngine { name })),
            message((text(), number32(), text()).prop_map(|(name, pid, reason)| KillEngine {
                name,
                pid,
                reason,
            })),
        ]
    }
}

fn versions() -> impl Strategy<Value = VersionRange> {
    (any::<u16>(), any::<u16>()).prop_map(|(min, max)| VersionRange { min, max })
}

fn dialect() -> impl Strategy<Value = Dialect> {
    number().prop_map(Dialect)
}

fn memory_offer() -> impl Strategy<Value = MemoryOffer> {
    (number32(), number32(), number()).prop_map(|(process, descriptor, id)| MemoryOffer {
        process,
        descriptor,
        id: SegmentId(id),
    })
}

impl Strategies for PeerGreeting {
    fn strategies() -> Vec<BoxedStrategy<Self>> {
        let memory = option::of(memory_offer());
        let hello = (versions(), text(), text(), memory, dialect()).prop_map(
            |(versions, release, name, memory, dialect)| Hello {
                versions,
                release,
                name,
                memory,
                dialect,
            },
        );
        vec![message(hello), message(option::of(number()).prop_map(|secret| Proof { secret }))]
    }
}

impl Strategies for HubGreeting {
    fn strategies() -> Vec<BoxedStrategy<Self>> {
        let answer =
            (number(), memory_offer()).prop_map(|(secret, offer)| MemoryAnswer { secret, offer });
        let welcome = (any::<u16>(), text(), option::of(answer), dialect()).prop_map(
            |(version, release, memory, dialect)| Welcome { version, release, memory, dialect },
        );
        let refusal = (code(), versions(), text(), text(), dialect()).prop_map(
            |(code, versions, detail, release, dialect)| Refusal {
                code,
                versions,
                detail,
                release,
                dialect,
            },
        );
        vec![message(welcome), message(refusal)]
    }
}
