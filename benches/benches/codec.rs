//! What one message costs on the wire's ends: encoded into a reused buffer, and decoded from one
//! that holds many. Decoding does not copy payload bytes out of the receive buffer.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use phalanx_protocol::client::ClientToHub;
use phalanx_protocol::codec::{Message, decode_frame, encode_frame};
use phalanx_protocol::engine::{EngineToHub, HubToEngine};
use phalanx_protocol::ids::{ClientId, TaskId};
use phalanx_protocol::outcome::{AttemptOutcome, Report, RunTimes};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::task::{Assignment, Dependency, MethodName, Target, TaskOptions, TaskSpec};

/// Messages per measured round, as a busy session batches them.
const BATCH: usize = 256;

const TASK: TaskId = TaskId::new(ClientId(7), 123_456);

fn method() -> MethodName {
    MethodName::try_from("bench.method").expect("short enough")
}

fn payload(len: usize) -> Payload {
    Payload::inline(Format::MessagePack, Bytes::from(vec![7; len]))
}

fn submit(payload_len: usize, options: Option<Box<TaskOptions>>) -> ClientToHub {
    ClientToHub::Submit(TaskSpec {
        id: TASK,
        target: Target::Any,
        method: method(),
        payload: payload(payload_len),
        options,
        function: None,
    })
}

fn assign(payload_len: usize) -> HubToEngine {
    HubToEngine::Assign(Assignment {
        attempt: TASK.attempt(1),
        direct: false,
        method: method(),
        payload: payload(payload_len),
        gates: Vec::new(),
        function: None,
    })
}

fn report(payload_len: usize) -> EngineToHub {
    EngineToHub::Report(Report {
        number: 123_456,
        attempt: TASK.attempt(1),
        outcome: AttemptOutcome::Done,
        times: RunTimes { started_us: 1_795_000_000_000_000, ran_ns: 2_345 },
        payload: payload(payload_len),
        output: None,
    })
}

fn bench_message<M: Message>(criterion: &mut Criterion, name: &str, message: &M) {
    let mut group = criterion.benchmark_group(format!("codec/{name}"));
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut buffer = BytesMut::new();
    for _ in 0..BATCH {
        encode_frame(message, &mut buffer).expect("within the limits");
    }
    let frames = buffer.clone().freeze();
    let frame_len = frames.len() / BATCH;
    group.bench_function(BenchmarkId::new("encode", frame_len), |bencher| {
        bencher.iter(|| {
            buffer.clear();
            for _ in 0..BATCH {
                encode_frame(black_box(message), &mut buffer).expect("within the limits");
            }
        });
    });
    group.bench_function(BenchmarkId::new("decode", frame_len), |bencher| {
        bencher.iter_batched_ref(
            || BytesMut::from(&frames[..]),
            |received| {
                let mut len = 0;
                while let Some(message) = decode_frame::<M>(received).expect("well formed") {
                    black_box(message);
                    len += 1;
                }
                assert_eq!(len, BATCH);
            },
            BatchSize::SmallInput,
        );
    });
}

fn messages(criterion: &mut Criterion) {
    for len in [32, 1_024] {
        bench_message(criterion, &format!("Submit {len} B"), &submit(len, None));
        bench_message(criterion, &format!("Assign {len} B"), &assign(len));
        bench_message(criterion, &format!("Report {len} B"), &report(len));
    }
    let after = (0..10).map(|seq| TaskId::new(ClientId(7), seq));
    let options = TaskOptions { after: Some(Dependency::all(after)), ..TaskOptions::default() };
    bench_message(criterion, "Submit after 10", &submit(32, Some(Box::new(options))));
}

criterion_group!(benches, messages);
criterion_main!(benches);
