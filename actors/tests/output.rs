//! What handlers write reaches the client, live and with the outcome.

mod support;

use std::io::Write as _;

use phalanx_actors::Engine;
use phalanx_protocol::output::{Output, OutputKind};
use phalanx_protocol::task::{Target, TaskOptions};
use support::{Cluster, cut, paused};

type Never = std::convert::Infallible;

#[test]
fn what_a_handler_writes_is_seen_while_it_runs_and_with_its_result() {
    paused(async {
        let cluster = Cluster::start();
        let (go, gate) = tokio::sync::watch::channel(false);
        let engine =
            Engine::builder().handler_with_context("talk", move |context, name: String| {
                let mut gate = gate.clone();
                async move {
                    context.print(format_args!("hello {name}"));
                    gate.wait_for(|open| *open).await.unwrap();
                    write!(context.output.stderr(), "good").unwrap();
                    // From any thread.
                    let output = context.output.clone();
                    let thread =
                        std::thread::spawn(move || output.write_text(OutputKind::STDERR, "bye"));
                    thread.join().unwrap();
                    Ok::<_, Never>(())
                }
            });
        let _engine = cluster.engine(engine);
        let mut client = cluster.client().await;
        let task = client.submit("talk", &"ada");
        let Output { attempt, offset, chunks } = client.output().await;
        assert_eq!((attempt, offset), (task.attempt(1), 0));
        assert_eq!(
            (chunks[0].kind, &chunks[0].bytes[..]),
            (OutputKind::STDOUT, &b"hello ada\n"[..])
        );
        go.send(true).unwrap();
        let output = client.outcome(task).await.output.expect("it wrote something");
        assert_eq!(output.text(OutputKind::STDOUT), "hello ada\n");
        assert_eq!((output.text(OutputKind::STDERR).as_str(), output.truncated), ("goodbye", 0));
    });
}

#[test]
fn a_flood_of_output_is_cut_and_counted_and_harms_nobody() {
    paused(async {
        let cluster = Cluster::start();
        let engine = Engine::builder().handler_with_context("flood", |context, lines: u64| {
            for line in 0..lines {
                context.print(format_args!("{line:099}"));
            }
            async { Err::<(), _>("too much said") }
        });
        let _engine = cluster.engine(engine);
        let mut client = cluster.client().await;
        let task = client.submit("flood", &10_000_u64);
        let delivery = client.outcome(task).await;
        assert_eq!(delivery.outcome.name(), "failed");
        let output = delivery.output.expect("it wrote something");
        assert_eq!(output.len() + output.truncated, 1_000_000);
        let text = output.text(OutputKind::STDOUT);
        assert!(text.starts_with(&format!("{:099}\n{:099}\n", 0, 1)) && text.len() > 200_000);
    });
}

#[test]
fn output_survives_a_cut_session() {
    paused(async {
        let cluster = Cluster::start();
        let (go, gate) = tokio::sync::watch::channel(false);
        let builder = Engine::builder().handler_with_context("talk", move |context, (): ()| {
            let mut gate = gate.clone();
            async move {
                context.print("before");
                gate.wait_for(|open| *open).await.unwrap();
                context.print("after");
                Ok::<_, Never>(())
            }
        });
        let engine = cluster.engine(builder);
        let mut client = cluster.client().await;
        let engines = client.engines(1).await;
        let target = Target::Engine(engines[0]);
        let task = client.submit_to(target, "talk", &(), TaskOptions::default());
        assert_eq!(client.output().await.len(), 7);
        cut(&engine.cables);
        go.send(true).unwrap();
        let output = client.outcome(task).await.output.expect("it wrote something");
        assert_eq!(output.text(OutputKind::STDOUT), "before\nafter\n");
    });
}
