//! What the engines of a cluster are told when it is started: their arguments, and how many tasks
//! each may have.

mod support;

use std::time::Duration;

use phalanx::client::blocking::Client;
use phalanx::{ConnectionFile, LocalCluster, Method};
use support::{Place, wait_until};

const SLEEP: Method<u64, u64> = Method::new("phalanx.sleep_ms");

const LIMIT: Duration = Duration::from_secs(30);

/// With a fixed mark, that many tasks of a full queue are at the one engine, and no more.
fn tasks_at_the_engine(start: &str) -> u64 {
    let place = Place::new();
    place.run(start);
    let file = place.cluster_dir("default").join("client.json");
    let client = Client::connect(&ConnectionFile::load(&file).unwrap()).unwrap();
    let view = client.load_balanced_view();
    let results: Vec<_> = (0..20).map(|_| view.call(SLEEP, &600_000).unwrap()).collect();
    let mut there = 0;
    wait_until(LIMIT, "the hub has placed what it can", || {
        let status = place.json("status --output json");
        let engine = &status["engines"][0];
        there = engine["queued"].as_u64().unwrap() + engine["running"].as_u64().unwrap();
        let tasks = &status["tasks"];
        tasks["ready"].as_u64().unwrap() + there == results.len() as u64 && engine["running"] == 1
    });
    drop(results);
    place.run("stop");
    there
}

#[test]
fn an_engine_is_sent_as_many_tasks_as_the_high_water_mark_allows() {
    assert_eq!(tasks_at_the_engine("start -n 1 --hwm 1"), 1);
    assert_eq!(tasks_at_the_engine("start -n 1 --hwm 5 --scheduler-process"), 5);
}

#[test]
fn a_mark_that_is_none_is_refused_with_what_could_be_written() {
    let (code, said) = Place::new().exit_code("start -n 1 --hwm lots");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("write adaptive"), "{said}");
}

/// The slots of each engine that a client sees.
fn slots(cluster: &LocalCluster) -> Vec<u32> {
    let file = ConnectionFile::load(&cluster.connection_file()).unwrap();
    let client = Client::connect(&file).unwrap();
    client.engines().iter().map(|engine| engine.slots).collect()
}

#[test]
fn arguments_reach_the_engines_whether_a_program_was_named_before_after_or_not() {
    let place = Place::new();
    let phalanx = env!("CARGO_BIN_EXE_phalanx");
    let builder = || LocalCluster::builder().engines(1).home(place.home()).phalanx(phalanx);
    let builders = [
        builder().program(phalanx).program_args(["engine", "--slots", "3"]),
        builder().program_args(["engine", "--slots", "3"]).program(phalanx),
        builder().program_args(["--slots", "3"]),
    ];
    for builder in builders {
        let cluster = builder.start().unwrap();
        assert_eq!(slots(&cluster), [3]);
        cluster.stop().unwrap();
    }
}
