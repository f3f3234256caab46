//! What typed handlers promise, tried on the executor alone.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use phalanx_protocol::ids::{ClientId, TaskId};
use phalanx_protocol::outcome::RemoteError;
use serde::Deserialize;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::rt::block_on;

/// No wait of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
#[error("the measure is too small")]
struct TooSmall(#[source] std::num::TryFromIntError);

#[derive(Deserialize, Serialize)]
struct Pair {
    left: i64,
    right: i64,
}

/// An executor with its answers.
struct Bench {
    native: Native,
    finisher: Finisher,
    finished: UnboundedReceiver<Finished>,
    next: u64,
}

impl Bench {
    fn new(handlers: Handlers) -> Self {
        let (finisher, finished) = Finisher::new();
        Self { native: Native::new(handlers, 2), finisher, finished, next: 0 }
    }

    fn start(&mut self, method: &str, payload: Payload) -> (AttemptId, Option<Finished>) {
        let attempt = TaskId::new(ClientId(1), self.next).attempt(1);
        self.next += 1;
        let method = method.try_into().unwrap();
        let start = Start { attempt, engine: EngineId(3), method, payload, function: None };
        (attempt, self.native.start(start, &self.finisher))
    }

    async fn next(&mut self) -> Finished {
        let finished = tokio::time::timeout(PATIENCE, self.finished.recv()).await.unwrap();
        let finished = finished.unwrap();
        self.native.on_finished(finished.attempt);
        finished
    }

    /// Runs one attempt to its end.
    async fn run<A: Serialize>(&mut self, method: &str, args: &A) -> Finished {
        match self.start(method, packed(args)) {
            (_, Some(finished)) => finished,
            (attempt, None) => {
                let finished = self.next().await;
                assert_eq!(finished.attempt, attempt);
                finished
            }
        }
    }
}

fn packed<A: Serialize>(args: &A) -> Payload {
    Payload::inline(Format::MessagePack, value::to_bytes(args).unwrap())
}

fn returned<R: DeserializeOwned>(finished: &Finished) -> R {
    assert_eq!(finished.outcome, AttemptOutcome::Done);
    assert_eq!(finished.payload.format, Format::MessagePack);
    value::from_bytes(&finished.payload.bytes().unwrap()).unwrap()
}

fn error(finished: Finished) -> RemoteError {
    match finished.outcome {
        AttemptOutcome::Failed(error) => *error,
        other => panic!("{other:?} is no failure"),
    }
}

/// Tells by its end that a future was dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn with<Fut: Future<Output = ()>>(
    add: impl FnOnce(&mut Handlers),
    test: impl FnOnce(Bench) -> Fut,
) {
    let mut handlers = Handlers::new();
    add(&mut handlers);
    block_on(async { test(Bench::new(handlers)).await });
}

#[test]
fn an_asynchronous_handler_that_never_waits_is_over_at_once() {
    let add = |handlers: &mut Handlers| {
        handlers
            .add("sum", |_, pair: Pair| async move { Ok::<_, String>(pair.left + pair.right) })
            .unwrap();
    };
    with(add, |mut bench| async move {
        let (_, finished) = bench.start("sum", packed(&Pair { left: 2, right: 40 }));
        let finished = finished.unwrap();
        assert_eq!(returned::<i64>(&finished), 42);
        assert!(finished.times.started_us > 0);
    });
}

#[test]
fn an_asynchronous_handler_that_waits_answers_later() {
    let add = |handlers: &mut Handlers| {
        let handler = |_, text: String| async move {
            tokio::task::yield_now().await;
            Ok::<_, String>(text.len() as u64)
        };
        handlers.add("len", handler).unwrap();
    };
    with(add, |mut bench| async move {
        let (_, finished) = bench.start("len", packed(&"four"));
        assert_eq!(finished, None);
        assert_eq!(returned::<u64>(&bench.next().await), 4);
    });
}

#[test]
fn blocking_handlers_run_beside_each_other() {
    let add = |handlers: &mut Handlers| {
        let meeting = Arc::new(std::sync::Barrier::new(2));
        let handler = move |_, (): ()| {
            meeting.wait();
            let thread = std::thread::current();
            Ok::<_, String>(thread.name().unwrap_or_default().to_owned())
        };
        handlers.add_blocking("meet", handler).unwrap();
    };
    with(add, |mut bench| async move {
        for _ in 0..2 {
            assert_eq!(bench.start("meet", packed(&())).1, None);
        }
        let mut threads: Vec<String> = vec![];
        for _ in 0..2 {
            threads.push(returned(&bench.next().await));
        }
        threads.sort();
        assert_eq!(threads, ["phalanx-slot-0", "phalanx-slot-1"]);
    });
}

#[test]
fn an_error_is_a_failure_with_its_type_and_causes() {
    let add = |handlers: &mut Handlers| {
        let measure = |number: i64| u8::try_from(number).map_err(TooSmall);
        handlers.add("async", move |_, number: i64| async move { measure(number) }).unwrap();
        handlers.add_blocking("blocking", move |_, number: i64| measure(number)).unwrap();
    };
    with(add, |mut bench| async move {
        for method in ["async", "blocking"] {
            let error = error(bench.run(method, &-1_i64).await);
            assert!(error.kind.ends_with("TooSmall"), "{}", error.kind);
            assert_eq!(error.message, "the measure is too small");
            assert!(error.traceback.starts_with("caused by: out of range"));
            assert_eq!((error.engine, error.method.as_str()), (Some(EngineId(3)), method));
            assert_eq!(returned::<u8>(&bench.run(method, &7_i64).await), 7);
        }
    });
}

#[test]
fn a_panic_is_a_failure_with_its_place_and_the_next_attempt_runs() {
    let add = |handlers: &mut Handlers| {
        let odd = |number: u64| -> Result<u64, String> {
            assert!(number % 2 == 1, "{number} is even");
            Ok(number)
        };
        handlers.add("first poll", move |_, number| async move { odd(number) }).unwrap();
        let later = move |_, number| async move {
            tokio::task::yield_now().await;
            odd(number)
        };
        handlers.add("later poll", later).unwrap();
        handlers.add_blocking("blocking", move |_, number| odd(number)).unwrap();
    };
    with(add, |mut bench| async move {
        for method in ["first poll", "later poll", "blocking"] {
            let error = error(bench.run(method, &2_u64).await);
            assert_eq!((error.kind.as_str(), error.message.as_str()), ("panic", "2 is even"));
            assert!(error.traceback.contains("tests.rs"), "{}", error.traceback);
            assert_eq!(returned::<u64>(&bench.run(method, &3_u64).await), 3);
        }
    });
}

#[test]
fn an_unknown_method_is_a_failure_that_lists_what_there_is() {
    let add = |handlers: &mut Handlers| {
        handlers.add("a.one", |_, (): ()| async { Ok::<_, String>(()) }).unwrap();
        handlers.add_blocking("b.two", |_, (): ()| Ok::<_, String>(())).unwrap();
    };
    with(add, |mut bench| async move {
        let error = error(bench.run("c.three", &()).await);
        assert_eq!(error.kind, "UnknownMethod");
        assert!(error.message.contains("c.three") && error.message.contains("a.one, b.two"));
    });
}

#[test]
fn arguments_of_another_type_or_format_are_a_failure() {
    let add = |handlers: &mut Handlers| {
        handlers.add("async", |_, (): ()| async { Ok::<_, String>(()) }).unwrap();
        handlers.add_blocking("blocking", |_, (): ()| Ok::<_, String>(())).unwrap();
    };
    with(add, |mut bench| async move {
        for method in ["async", "blocking"] {
            let wrong_type = error(bench.run(method, &"text").await);
            assert_eq!(wrong_type.kind, "InvalidArguments");
            let wrong_format = match bench.start(method, Payload::empty()) {
                (_, Some(finished)) => finished,
                (_, None) => bench.next().await,
            };
            assert_eq!(error(wrong_format).kind, "InvalidArguments");
        }
    });
}

#[test]
fn an_interrupted_future_is_dropped_and_aborted() {
    let dropped = Arc::new(AtomicBool::new(false));
    let add = |handlers: &mut Handlers| {
        let dropped = Arc::clone(&dropped);
        let handler = move |_, (): ()| {
            let guard = Dropped(Arc::clone(&dropped));
            async move {
                std::future::pending::<()>().await;
                drop(guard);
                Ok::<_, String>(())
            }
        };
        handlers.add("wait", handler).unwrap();
    };
    with(add, |mut bench| async move {
        let (attempt, _) = bench.start("wait", packed(&()));
        bench.native.interrupt(attempt, &bench.finisher);
        // Twice is as good as once.
        bench.native.interrupt(attempt, &bench.finisher);
        let finished = bench.next().await;
        assert_eq!((finished.attempt, finished.outcome), (attempt, AttemptOutcome::Aborted));
        assert!(bench.finished.try_recv().is_err());
    });
    assert!(dropped.load(Ordering::Acquire));
}

#[test]
fn a_blocking_handler_sees_that_it_is_interrupted() {
    let add = |handlers: &mut Handlers| {
        let handler = |context: TaskContext, (): ()| Ok::<_, String>(context.cancel.wait(PATIENCE));
        handlers.add_blocking("wait", handler).unwrap();
    };
    with(add, |mut bench| async move {
        let (attempt, _) = bench.start("wait", packed(&()));
        bench.native.interrupt(attempt, &bench.finisher);
        assert_eq!(bench.next().await.outcome, AttemptOutcome::Aborted);
    });
}

#[test]
fn names_are_checked_when_handlers_are_added() {
    let nothing = |_, (): ()| Ok::<_, String>(());
    let mut handlers = Handlers::new();
    handlers.add_blocking("a", nothing).unwrap();
    let twice = handlers.add_blocking("a", nothing).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "handler \"a\" is registered twice; give one of them another name"
    );
    assert!(matches!(handlers.add_blocking("", nothing), Err(HandlerNameError::Name { .. })));
    for index in 1..METHODS_PER_ENGINE_MAX {
        handlers.add_blocking(&format!("m{index}"), nothing).unwrap();
    }
    assert_eq!(handlers.add_blocking("last", nothing), Err(HandlerNameError::TooMany));
}
