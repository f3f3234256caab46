//! Hub, rooms, engines and handlers together, when nothing is wrong and when sessions are cut.

mod support;

use std::time::{Duration, Instant};

use phalanx_actors::executor::null::Null;
use phalanx_actors::link::Connect as _;
use phalanx_actors::supervise::PlantedPanic;
use phalanx_actors::{Engine, HubError, rt};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::host::{Attach, EngineExited, HostToHub, HubToHost};
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::role::Role;
use phalanx_protocol::task::{MethodName, Target, TaskOptions};
use phalanx_transport::{CloseReason, Incoming, Settings};
use support::{Cluster, PATIENCE, cut, handlers, paused, soon, until};

#[test]
fn a_task_is_submitted_run_and_delivered() {
    paused(async {
        let cluster = Cluster::start();
        let _engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        let task = client.submit("double", &21_u64);
        assert_eq!(client.result::<u64>(task).await, 42);
    });
}

#[test]
fn a_thousand_tasks_over_two_engines_all_come_back() {
    paused(async {
        let cluster = Cluster::start();
        let _engines = [cluster.engine(handlers()), cluster.engine(handlers())];
        let mut client = cluster.client().await;
        let tasks: Vec<_> = (0..1_000_u64).map(|number| client.submit("double", &number)).collect();
        for (number, task) in (0..).zip(tasks) {
            assert_eq!(client.result::<u64>(task).await, 2 * number);
        }
    });
}

#[test]
fn dependents_run_after_what_they_depend_on() {
    paused(async {
        let cluster = Cluster::start();
        let _engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        let slow: Vec<_> = (0..3_u64).map(|n| client.submit("slow", &(10 * n + 10))).collect();
        let last = client.submit_after(slow.clone(), "double", &1_u64);
        assert_eq!(client.result::<u64>(last).await, 2);
        let last = client.outcome(last).await.times.started_us;
        for task in slow {
            let times = client.outcome(task).await.times;
            assert!(times.started_us <= last);
        }
    });
}

#[test]
fn handlers_fail_panic_and_are_aborted_without_harm_to_the_engine() {
    paused(async {
        let cluster = Cluster::start();
        let _engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        let failing = client.submit("fail", &());
        let panicking = client.submit("panic", &());
        let endless = client.submit("for ever", &());
        let wrong = client.submit("double", &"text");
        for (task, kind) in [(failing, "&str"), (panicking, "panic"), (wrong, "InvalidArguments")] {
            match client.outcome(task).await.outcome {
                Outcome::Failed(error) => assert_eq!(error.kind, kind),
                other => panic!("{other:?}"),
            }
        }
        client.abort(endless);
        assert_eq!(client.outcome(endless).await.outcome, Outcome::Aborted);
        let task = client.submit("double", &4_u64);
        assert_eq!(client.result::<u64>(task).await, 8);
    });
}

#[test]
fn direct_tasks_run_on_the_engine_they_name() {
    paused(async {
        let cluster = Cluster::start();
        let _engines = [cluster.engine(handlers()), cluster.engine(handlers())];
        let mut client = cluster.client().await;
        for engine in client.engines(2).await {
            let options = TaskOptions::default();
            let task = client.submit_to(Target::Engine(engine), "double", &5_u64, options);
            assert_eq!(client.outcome(task).await.engine, Some(engine));
        }
    });
}

#[test]
fn a_large_payload_takes_its_own_stream_both_ways() {
    paused(async {
        let cluster = Cluster::start();
        let engine = handlers().handler("reverse", |mut text: String| async move {
            text = text.chars().rev().collect();
            Ok::<_, String>(text)
        });
        let _engine = cluster.engine(engine);
        let mut client = cluster.client().await;
        let text = "abc".repeat(100_000);
        let task = client.submit("reverse", &text);
        let delivery = client.outcome(task).await;
        assert_eq!(delivery.outcome, Outcome::Done);
        assert!(delivery.payload.ticket().is_some());
    });
}

/// On a real clock, since it is about a thread that is busy.
#[test]
fn an_engine_hears_of_an_abort_between_tasks_that_are_over_at_once() {
    rt::block_on(async {
        let cluster = Cluster::start();
        let _engine = cluster.engine(handlers().slots(1).handler("spin", |(): ()| async {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(2) {
                std::hint::spin_loop();
            }
            Ok::<_, String>(())
        }));
        let mut client = cluster.client().await;
        let engine = client.engines(1).await[0];
        let mut spin =
            || client.submit_to(Target::Engine(engine), "spin", &(), TaskOptions::default());
        let tasks: Vec<_> = (0..200).map(|_| spin()).collect();
        client.outcome(tasks[0]).await;
        client.abort(tasks[199]);
        assert_eq!(client.outcome(tasks[199]).await.outcome, Outcome::Aborted);
        assert_eq!(client.outcome(tasks[198]).await.outcome, Outcome::Done);
    });
}

#[test]
fn an_engine_whose_session_is_cut_comes_back_with_its_tasks() {
    paused(async {
        let cluster = Cluster::start();
        let engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        client.engines(1).await;
        let tasks: Vec<_> = (0..40).map(|_| client.submit("slow", &50_u64)).collect();
        for round in 0..5 {
            client.outcome(tasks[6 * round]).await;
            cut(&engine.cables);
        }
        for task in tasks {
            assert_eq!(client.result::<u64>(task).await, 50);
            assert_eq!(client.outcome(task).await.attempts, 1, "{task} was not run again");
        }
        assert!(engine.cables.borrow().len() >= 3);
    });
}

#[test]
fn a_client_whose_session_is_cut_is_told_what_it_missed() {
    paused(async {
        let cluster = Cluster::start();
        let _engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        client.engines(1).await;
        let tasks: Vec<_> = (0..20).map(|_| client.submit("slow", &50_u64)).collect();
        client.outcome(tasks[0]).await;
        cut(&client.way.cables);
        client.closed().await;
        assert_eq!(client.resume().await, 20, "every submit was recorded");
        for task in tasks {
            assert_eq!(client.result::<u64>(task).await, 50);
        }
    });
}

#[test]
fn a_client_that_does_not_read_is_closed_and_others_go_on() {
    paused(async {
        let cluster = Cluster::start();
        let _engine = cluster.engine(handlers().handler("kilobytes", |count: u64| async move {
            Ok::<_, String>("x".repeat(1_000 * count as usize))
        }));
        let mut settings = Settings::default();
        settings.queue_frames_max = 64;
        let mut deaf = cluster.client_with(settings).await;
        let mut other = cluster.client().await;
        // More than the lane and the queue hold together.
        for _ in 0..40 {
            for _ in 0..10 {
                deaf.submit("kilobytes", &60_u64);
            }
            // Its own queue is as short.
            until(|| deaf.session.sender.queued().0 == 0).await;
        }
        let end = soon(deaf.session.sender.closed()).await;
        assert!(
            matches!(&end, CloseReason::Peer { code: Some(ErrorCode::Overloaded), .. }),
            "{end:?}"
        );
        let task = other.submit("double", &1_u64);
        assert_eq!(other.result::<u64>(task).await, 2);
    });
}

#[test]
fn a_host_that_reports_a_death_ends_what_was_bound_to_the_engine() {
    paused(async {
        let cluster = Cluster::start();
        let dead = cluster.engine(handlers().name("here/1"));
        let mut client = cluster.client().await;
        let engine = client.engines(1).await[0];
        let options = TaskOptions::default();
        let bound = client.submit_to(Target::Engine(engine), "for ever", &(), options);
        let free = client.submit("slow", &5_000_u64);
        while client.status().await.engines[0].assigned < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The host's word comes before anybody notices the silence.
        let mut host = cluster.way::<HostToHub>(Role::Host).connect().await.unwrap();
        host.sender.send(Attach { host: "here".into(), pid: 1 }).unwrap();
        dead.engine.abort();
        let (name, cause) = ("here/1".into(), "killed by signal 9".into());
        host.sender.send(EngineExited { name, pid: std::process::id(), cause }).unwrap();
        match client.outcome(bound).await.outcome {
            Outcome::EngineLost(loss) => assert!(loss.cause.contains("signal 9"), "{loss}"),
            other => panic!("{other:?}"),
        }
        let _other = cluster.engine(handlers());
        assert_eq!(client.result::<u64>(free).await, 5_000);
        assert_eq!(client.outcome(free).await.attempts, 2);
        client.shutdown_cluster();
        let mut orders = Vec::new();
        soon(host.receiver.recv_batch(&mut orders)).await.unwrap();
        assert!(matches!(orders[..], [Incoming::Message(HubToHost::StopCluster(_))]));
    });
}

#[test]
fn the_null_executor_gives_back_what_it_was_given() {
    paused(async {
        let cluster = Cluster::start();
        let method: MethodName = "echo".try_into().unwrap();
        let engine = Engine::builder().slots(16).executor(|| Null::new([method]));
        let _engine = cluster.engine(engine);
        let mut client = cluster.client().await;
        let tasks: Vec<_> = (0..5_000_u64).map(|number| client.submit("echo", &number)).collect();
        for (number, task) in (0..).zip(tasks) {
            // Without a run time the scheduler would take the tasks for ones of unknown length.
            assert!(client.outcome(task).await.times.ran_ns > 0);
            assert_eq!(client.result::<u64>(task).await, number);
        }
    });
}

#[test]
fn a_hub_that_is_stopped_tells_its_peers_and_why() {
    paused(async {
        let cluster = Cluster::start();
        let mut client = cluster.client().await;
        let end = cluster.stop().await.unwrap();
        assert_eq!(end.reason, "the test is over");
        let reason = client.closed().await;
        assert!(
            matches!(&reason, CloseReason::Peer { code: Some(ErrorCode::ShuttingDown), .. }),
            "{reason:?}"
        );
    });
}

#[test]
fn an_engine_that_is_stopped_says_goodbye() {
    paused(async {
        let cluster = Cluster::start();
        let engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        client.engines(1).await;
        engine.stop.send("enough".into()).await.unwrap();
        assert_eq!(soon(engine.engine).await.unwrap().unwrap().reason, "enough");
        client.engines(0).await;
    });
}

#[test]
fn an_engine_that_its_host_keeps_outlives_a_hub_that_is_stopped() {
    paused(async {
        let cluster = Cluster::start();
        let engine = cluster.engine(handlers().kept_by_host());
        let mut client = cluster.client().await;
        client.engines(1).await;
        cluster.stop().await.unwrap();
        assert!(!engine.engine.is_finished());
        let last = phalanx_protocol::limits::HUB_LOST_MAX + PATIENCE;
        let end = tokio::time::timeout(last, engine.engine).await.unwrap().unwrap().unwrap();
        assert!(end.reason.contains("no hub"), "{end:?}");
    });
}

#[test]
fn an_engine_that_loses_its_hub_waits_for_another() {
    paused(async {
        let cluster = Cluster::start();
        let engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        client.engines(1).await;
        cluster.plant(PlantedPanic::InHub).await;
        assert!(matches!(cluster.ended().await, Err(HubError::Panicked { .. })));
        let waited = tokio::time::timeout(PATIENCE, engine.engine).await;
        assert!(waited.is_err(), "it has ended with a hub that was lost: {waited:?}");
    });
}

#[test]
fn a_cluster_that_is_shut_down_ends_its_engines_and_its_hub() {
    paused(async {
        let cluster = Cluster::start();
        let engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        client.engines(1).await;
        client.shutdown_cluster();
        soon(engine.engine).await.unwrap().unwrap();
        cluster.ended().await.unwrap();
    });
}
