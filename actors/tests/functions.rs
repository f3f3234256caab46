//! Functions reach the executor with each task that names them, and travel once.

mod support;

use bytes::Bytes;
use phalanx_actors::Engine;
use phalanx_actors::executor::{Executor, Finished, Finisher, Start};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::function::{Define, Digest};
use phalanx_protocol::ids::AttemptId;
use phalanx_protocol::limits::INLINE_LEN_MAX;
use phalanx_protocol::outcome::{AttemptOutcome, Outcome, RunTimes};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::task::MethodName;
use support::{Cluster, cut, paused};

const LONG: Digest = Digest([1; 16]);
const SHORT: Digest = Digest([2; 16]);

/// Returns the function that a task came with.
struct Mirror;

impl Executor for Mirror {
    fn kind(&self) -> &str {
        "mirror"
    }

    fn methods(&self) -> Vec<MethodName> {
        vec!["mirror".try_into().unwrap()]
    }

    fn start(&mut self, start: Start, _finisher: &Finisher) -> Option<Finished> {
        let bytes = start.function.map(|function| function.bytes);
        Some(Finished {
            attempt: start.attempt,
            outcome: AttemptOutcome::Done,
            times: RunTimes { started_us: 1, ran_ns: 1 },
            payload: Payload::inline(Format::Raw, bytes.unwrap_or_default()),
        })
    }

    fn interrupt(&mut self, _attempt: AttemptId, _finisher: &Finisher) {}

    fn on_finished(&mut self, _attempt: AttemptId) {}
}

fn define(number: u64, digest: Digest, bytes: &Bytes) -> Define {
    let payload = Payload::inline(Format::Raw, bytes.clone());
    Define { number, digest, reset: false, payload }
}

#[test]
fn functions_long_and_short_travel_once_and_are_there_when_their_tasks_start() {
    paused(async {
        let cluster = Cluster::start();
        let _engine = cluster.engine(Engine::builder().slots(2).executor(|| Mirror));
        let mut client = cluster.client().await;
        client.engines(1).await;
        // It takes a stream of its own, and its tasks are there before it.
        let long = Bytes::from(vec![7; 3 * INLINE_LEN_MAX]);
        let short = Bytes::from_static(b"def");
        client.say(define(0, LONG, &long));
        client.say(define(1, SHORT, &short));
        let tasks: Vec<_> = [Some(LONG), Some(SHORT), None, Some(LONG)]
            .into_iter()
            .map(|function| client.submit_with(function, "mirror"))
            .collect();
        let expected = [long.clone(), short, Bytes::new(), long];
        for (task, bytes) in tasks.into_iter().zip(expected) {
            let delivery = client.outcome(task).await;
            assert_eq!(delivery.outcome, Outcome::Done);
            assert_eq!(delivery.payload.len(), bytes.len() as u64);
        }
        let unknown = client.submit_with(Some(Digest([9; 16])), "mirror");
        match client.outcome(unknown).await.outcome {
            Outcome::Rejected(no) => assert_eq!(no.code, Some(ErrorCode::UnknownFunction)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn an_engine_that_comes_back_is_given_the_function_again() {
    paused(async {
        let cluster = Cluster::start();
        let engine = cluster.engine(Engine::builder().executor(|| Mirror));
        let mut client = cluster.client().await;
        client.engines(1).await;
        client.say(define(0, SHORT, &Bytes::from_static(b"def")));
        let first = client.submit_with(Some(SHORT), "mirror");
        assert_eq!(client.outcome(first).await.payload.len(), 3);
        cut(&engine.cables);
        let second = client.submit_with(Some(SHORT), "mirror");
        assert_eq!(client.outcome(second).await.payload.len(), 3);
    });
}
