//! Calls, maps, views and questions, when all goes well.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::ids::EngineId;
use phalanx_transport::protocol::payload::Format;
use phalanx_transport::protocol::task::{Dependency, Target, TaskSpec};
use serde::{Deserialize, Serialize};

use super::{cluster, until};
use crate::{
    AsyncMapResult, AsyncResult, Method, OutputKind, Raw, RequestError, SubmitError, TaskError,
    WaitForEnginesError,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    label: String,
}

const ECHO: Method<Point, Point> = Method::new("echo");

#[tokio::test]
async fn a_call_returns_what_the_method_returns() {
    let (_hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let point = Point { x: -3, label: "north".into() };
    assert_eq!(view.call(ECHO, &point).unwrap().await.unwrap(), point);
    let by_name: AsyncResult<Vec<u8>> = view.call("any.name", &vec![1u8, 2]).unwrap();
    assert_eq!(by_name.get().await.unwrap(), [1, 2]);
    assert_eq!(by_name.get().await.unwrap(), [1, 2], "again");
    assert_eq!(by_name.try_get().unwrap().unwrap(), [1, 2]);
    let text: AsyncResult<String> = view.call("echo", "ada").unwrap();
    assert_eq!(text.await.unwrap(), "ada");
}

#[tokio::test]
async fn an_id_is_known_before_the_hub_has_heard_of_the_task() {
    let (_hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let first: AsyncResult<u8> = view.call("hold", &0u8).unwrap();
    let second: AsyncResult<u8> = view.call("hold", &0u8).unwrap();
    assert_eq!((first.id().client, first.id().seq), (client.id(), 0));
    assert_eq!(second.id().seq, 1);
    assert!(!first.ready() && first.metadata().is_none() && first.try_get().is_none());
    assert_eq!(client.open_tasks(), 2);
}

#[tokio::test]
async fn metadata_tells_where_and_how_a_task_ended() {
    let (_hub, client) = cluster().await;
    let result: AsyncResult<u8> = client.engine_view(EngineId(3)).call("echo", &1u8).unwrap();
    result.wait().await;
    let metadata = result.metadata().unwrap();
    assert_eq!(metadata.task, result.id());
    assert_eq!((metadata.outcome, metadata.engine), ("done", Some(EngineId(3))));
    assert_eq!((metadata.attempts, metadata.ran), (1, Duration::from_nanos(5)));
    assert!(metadata.started.is_some() && metadata.submitted <= metadata.received);
}

#[tokio::test]
async fn a_map_returns_its_results_in_order() {
    let (_hub, client) = cluster().await;
    let map: AsyncMapResult<u32> = client.load_balanced_view().map("echo", 0..3_000u32).unwrap();
    assert_eq!(map.len(), 3_000);
    assert_eq!(map.get().await.unwrap(), (0..3_000).collect::<Vec<_>>());
    assert!(map.ready() && map.done_len() == 3_000);
    assert_eq!(map.result(2_999).unwrap().await.unwrap(), 2_999);
    assert!(map.result(3_000).is_none());
    assert_eq!(map.metadata(7).unwrap().task, map.ids().nth(7).unwrap());
    let empty: AsyncMapResult<u32> = client.load_balanced_view().map("echo", 0..0u32).unwrap();
    assert!(empty.is_empty() && empty.await.unwrap().is_empty());
}

#[tokio::test]
async fn results_of_a_map_come_as_they_end() {
    let (hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let held: AsyncMapResult<u32> = view.map("hold", [10u32]).unwrap();
    let mut map: AsyncMapResult<u32> = view.map("hold", [0u32, 1, 2]).unwrap();
    until("recorded", || hub.recorded().len() == 4).await;
    map.result(1).unwrap().abort();
    let (index, outcome) = map.next_done().await.unwrap();
    assert!(matches!((index, outcome), (1, Err(TaskError::Aborted { .. }))));
    assert!(map.try_next_done().is_none());
    (0..3).for_each(|_| hub.finish("hold"));
    assert_eq!(map.next_done().await.unwrap().1.unwrap(), 0);
    assert_eq!(map.next_done().await.unwrap().1.unwrap(), 2);
    assert!(map.next_done().await.is_none());
    assert_eq!(held.await.unwrap(), [10]);
    assert!(matches!(map.get().await, Err(TaskError::Aborted { .. })));
    assert_eq!(map.outcomes().await.iter().filter(|outcome| outcome.is_ok()).count(), 2);
}

#[tokio::test]
async fn a_direct_call_has_one_result_per_engine_in_the_order_of_the_view() {
    let (hub, client) = cluster().await;
    let engines = [EngineId(7), EngineId(2), EngineId(5)];
    let view = client.direct_view(engines);
    let results: AsyncMapResult<u32> = view.call("echo", &9u32).unwrap();
    assert_eq!(results.get().await.unwrap(), [9, 9, 9]);
    let ran_on = |index| results.metadata(index).unwrap().engine.unwrap();
    assert_eq!([ran_on(0), ran_on(1), ran_on(2)], engines);
    assert_eq!(hub.recorded().len(), 1, "the arguments travel once");

    let turns: AsyncMapResult<u32> = view.map("echo", 0..5u32).unwrap();
    turns.wait().await;
    let ran_on = |index| turns.metadata(index).unwrap().engine.unwrap();
    assert_eq!((ran_on(0), ran_on(2), ran_on(3)), (engines[0], engines[2], engines[0]));
}

#[tokio::test]
async fn only_calls_of_a_coalescing_view_want_their_answers_together() {
    let (hub, client) = cluster().await;
    let view = client.direct_view([EngineId(1), EngineId(2)]);
    let together = view.clone().coalescing();
    for view in [&view, &together] {
        let called: AsyncMapResult<u8> = view.call("echo", &1u8).unwrap();
        let raw = view.submit_raw("echo", Format::Raw, Bytes::from_static(b"r")).unwrap();
        let map: AsyncMapResult<u8> = view.map("echo", [1u8]).unwrap();
        called.wait().await;
        raw.wait().await;
        map.wait().await;
    }
    let coalesced = |spec: &TaskSpec| spec.options.as_ref().is_some_and(|it| it.coalesce);
    let wanted: Vec<bool> = hub.recorded().iter().map(coalesced).collect();
    assert_eq!(wanted, [false, false, false, true, true, false]);
}

#[tokio::test]
async fn a_view_without_engines_is_refused() {
    let (_hub, client) = cluster().await;
    let view = client.view_all();
    let refused = view.call::<_, _, u8>("echo", &0u8).unwrap_err();
    assert_eq!(refused.to_string(), SubmitError::NoEngines.to_string());
    assert!(view.map::<_, _, u8>("echo", [0u8]).is_err());
    assert!(client.load_balanced_view().on([]).call::<_, _, u8>("echo", &0u8).is_err());
    assert!(client.load_balanced_view().call::<_, _, u8>("", &0u8).is_err());
}

#[tokio::test]
async fn what_a_balanced_task_waits_for_travels_with_it() {
    let (hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let first: AsyncResult<u8> = view.call("echo", &1u8).unwrap();
    let more: AsyncMapResult<u8> = view.map("echo", [1u8, 2]).unwrap();
    let dependent = view
        .after(&first)
        .follow(Dependency::any(more.ids()))
        .timeout(Duration::from_secs(2))
        .on([EngineId(1)]);
    dependent.call::<_, _, u8>("echo", &3u8).unwrap().await.unwrap();
    view.call::<_, _, u8>("echo", &4u8).unwrap().await.unwrap();
    let recorded = hub.recorded();
    let options = recorded[3].options.as_ref().unwrap();
    assert_eq!(options.after, Some(Dependency::all([first.id()])));
    assert_eq!(options.follow, Some(Dependency::any(more.ids())));
    assert_eq!(options.timeout_ms, Some(2_000));
    assert_eq!(recorded[3].target, Target::Subset(vec![EngineId(1)]));
    assert_eq!(recorded[4].options, None, "the view itself is as it was");
}

#[tokio::test]
async fn each_way_of_ending_is_an_error_that_names_its_task() {
    let (_hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let ways = [
        ("fail", "task c1/0 failed: [4:fail] Oops: it broke"),
        ("lose", "task c1/1 is lost with its engine 4: SIGKILL"),
        (
            "poison",
            "task c1/2 is poison: engines died under it (engine 4: SIGKILL; engine 4: SIGKILL)",
        ),
        ("impossible", "task c1/3 can never run: it depends on c1/7, which ended otherwise"),
        ("late", "task c1/4 has not run: its dependencies were not met in time"),
        ("reject", "task c1/5 was rejected: nobody offers reject"),
    ];
    for (method, text) in ways {
        let result: AsyncResult<u8> = view.call(method, &0u8).unwrap();
        let (id, error) = (result.id(), result.await.unwrap_err());
        assert_eq!((error.to_string().as_str(), error.task()), (text, id));
        assert_eq!(error.traceback(), if method == "fail" { "line 1" } else { "" });
    }
    let wrong: AsyncResult<String> = view.call("echo", &7u8).unwrap();
    assert!(matches!(wrong.await, Err(TaskError::Decode { .. })));
    let raw: AsyncResult<String> = view.call("raw", "bytes").unwrap();
    let text = raw.await.unwrap_err().to_string();
    assert!(text.ends_with("Raw, not MessagePack; take it raw"), "{text}");
}

#[tokio::test]
async fn raw_payloads_are_passed_on_as_they_are_and_may_be_large() {
    let (_hub, client) = cluster().await;
    let bytes = Bytes::from(vec![7; 3 << 20]);
    let format = Format::Pickle5;
    let view = client.load_balanced_view();
    let (large, small) = (
        view.submit_raw("echo", format, bytes.clone()).unwrap(),
        view.submit_raw("echo", format, Bytes::from_static(b"small")).unwrap(),
    );
    assert_eq!(small.await.unwrap().bytes, b"small"[..]);
    assert_eq!(large.await.unwrap(), Raw { format, bytes });
    let direct = client.direct_view([EngineId(0), EngineId(1)]);
    let both = direct.submit_raw("echo", format, Bytes::new()).unwrap();
    assert_eq!(both.await.unwrap().len(), 2);
    let one = client.engine_view(EngineId(0)).submit_raw("echo", format, Bytes::new());
    assert!(one.unwrap().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_over_leaves_the_task_to_go_on() {
    let (hub, client) = cluster().await;
    let result: AsyncResult<u8> = client.load_balanced_view().call("hold", &5u8).unwrap();
    let late = result.timeout(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(late.to_string(), "task c1/0 has not ended within 3s; it goes on");
    hub.finish("hold");
    assert_eq!(result.timeout(Duration::from_secs(3)).await.unwrap(), 5);
    let map: AsyncMapResult<u8> = client.load_balanced_view().map("hold", [1u8, 2]).unwrap();
    until("recorded", || hub.recorded().len() == 3).await;
    hub.finish("hold");
    let late = map.timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(late.task(), map.ids().nth(1).unwrap(), "the first that has not ended");
}

#[tokio::test]
async fn an_aborted_task_ends_as_aborted() {
    let (_hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let one: AsyncResult<u8> = view.call("hold", &0u8).unwrap();
    let map: AsyncMapResult<u8> = view.map("hold", [1u8, 2, 3]).unwrap();
    let by_id: AsyncResult<u8> = view.call("hold", &0u8).unwrap();
    one.abort();
    map.abort();
    client.abort([by_id.id()]);
    assert!(matches!(one.await, Err(TaskError::Aborted { .. })));
    assert!(matches!(by_id.await, Err(TaskError::Aborted { .. })));
    assert!(map.outcomes().await.iter().all(Result::is_err));
}

#[tokio::test]
async fn the_hub_answers_questions_and_refuses_some() {
    let (_hub, client) = cluster().await;
    client.ping().await.unwrap();
    assert_eq!(client.status().await.unwrap().epoch, client.epoch());
    let refused = client.shutdown().await.unwrap_err();
    let code = Some(ErrorCode::WrongRole);
    assert_eq!(refused, RequestError::Refused { code, detail: "only for admins".into() });
}

#[tokio::test(start_paused = true)]
async fn engines_are_waited_for_and_seen_to_leave() {
    let (hub, client) = cluster().await;
    let limit = Duration::from_secs(5);
    let too_few = client.wait_for_engines(1, limit).await;
    let expected = WaitForEnginesError::TooFew { there: 0, wanted: 1, after: limit };
    assert_eq!(too_few, Err(expected));
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.wait_for_engines(2, limit).await }
    });
    hub.engine_joined(4);
    hub.engine_joined(1);
    assert_eq!(waiting.await.unwrap().unwrap(), [EngineId(1), EngineId(4)]);
    assert_eq!(client.view_all().engines(), [EngineId(1), EngineId(4)]);
    hub.engine_left(4);
    until("gone", || client.engine_ids() == [EngineId(1)]).await;
    assert_eq!(client.engines().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_shared_by_many_tasks_on_several_threads() {
    let (_hub, client) = cluster().await;
    let callers: Vec<_> = (0..8u32)
        .map(|caller| {
            let view = client.load_balanced_view();
            tokio::spawn(async move {
                for call in 0..200u32 {
                    let result: AsyncResult<u32> = view.call("echo", &(caller * call)).unwrap();
                    assert_eq!(result.await.unwrap(), caller * call);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(client.open_tasks(), 0);
}

#[tokio::test]
async fn a_result_nobody_holds_is_not_kept() {
    let (hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let big = Arc::new(vec![0u8; 10_000]);
    drop(view.call::<_, _, Raw>("echo", &*big).unwrap());
    let last: AsyncResult<u8> = view.call("echo", &0u8).unwrap();
    last.await.unwrap();
    assert_eq!(client.open_tasks(), 0);
    until("confirmed", || hub.unconfirmed() == 0).await;
}

#[tokio::test]
async fn output_is_read_while_the_task_runs_and_with_its_metadata() {
    let (hub, client) = cluster().await;
    let view = client.load_balanced_view();
    let held: AsyncResult<u8> = view.call("hold", &1u8).unwrap();
    until("recorded", || hub.recorded().len() == 1).await;
    hub.write(OutputKind::STDOUT, "one ");
    client.ping().await.unwrap();
    let mut reader = held.follow_output().expect("nobody follows it");
    assert!(held.follow_output().is_none(), "one reader at a time");
    let piece = reader.next().await.expect("it runs");
    assert_eq!((piece.attempt, piece.offset, piece.kind), (1, 0, OutputKind::STDOUT));
    assert_eq!(piece.bytes, "one ");
    assert_eq!(reader.try_next(), None);
    drop(reader);
    hub.write(OutputKind::STDERR, "held for who comes late");
    client.ping().await.unwrap();
    let mut reader = held.follow_output().expect("nobody follows it any more");
    hub.write(OutputKind::STDOUT, "two");
    for expected in [(4, "held for who comes late"), (27, "two")] {
        let piece = reader.next().await.map(|piece| (piece.offset, piece.bytes));
        assert_eq!(piece, Some((expected.0, expected.1.into())));
    }
    hub.finish("hold");
    assert_eq!(reader.next().await, None, "it has ended");
    let metadata = held.metadata().unwrap();
    assert_eq!((metadata.stdout.as_str(), metadata.output_truncated), ("one two", 3));
    assert_eq!(metadata.stderr, "held for who comes late");
}
