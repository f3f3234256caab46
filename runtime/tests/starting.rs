//! Starts that are interrupted, stopped half-way or that meet what a crash has left; and what
//! happens when nothing helps any more.

mod support;

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

use support::{BACK_WITHIN, Place, signal, wait_until};

/// An engine that is not ready before somebody says so.
const LATE: &str = "while [ ! -e go ]; do sleep 0.02; done; \
                    echo ready >/proc/self/fd/$PHALANX_READY_FD; exec sleep 1000";

/// A start that waits for its engine.
fn start_that_waits(place: &Place) -> Child {
    let mut start = place.phalanx("start -n 1 --program /bin/sh");
    start.args(["--", "-c", LATE]).stderr(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let start = start.spawn().unwrap();
    wait_until(BACK_WITHIN, "the engine is starting", || {
        place.process("default", "engine-0").is_some_and(|engine| engine.state == "starting")
    });
    start
}

#[test]
fn a_start_that_is_interrupted_leaves_no_cluster_behind() {
    let place = Place::new();
    let mut start = start_that_waits(&place);
    signal(start.id(), "INT");
    start.wait().unwrap();
    std::fs::write(place.path().join("go"), "").unwrap();
    place.wait_until_gone();
}

#[test]
fn a_cluster_can_be_stopped_while_it_starts() {
    let place = Place::new();
    let start = start_that_waits(&place);
    place.run("stop");
    let output = start.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", support::text(&output));
    assert_eq!(place.processes(), [0; 0]);
    assert!(!place.cluster_dir("default").exists());
}

#[test]
fn of_two_starts_at_once_one_wins() {
    let place = Place::new();
    let starts: Vec<Child> = (0..4)
        .map(|_| {
            let mut start = place.phalanx("start -n 0");
            start.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<_> = starts.into_iter().map(|s| s.wait_with_output().unwrap()).collect();
    let won = outputs.iter().filter(|output| output.status.success()).count();
    let said: Vec<_> = outputs.iter().map(support::text).collect();
    assert_eq!(won, 1, "{said:#?}");
    let refused = said.iter().filter(|said| said.contains("already running")).count();
    assert_eq!(refused, 3, "{said:#?}");
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

#[test]
fn a_state_file_that_is_torn_stops_nobody() {
    let place = Place::new();
    place.run("start -n 0");
    place.kill("default", "host");
    place.wait_until_gone();
    std::fs::write(place.cluster_dir("default").join("state.json"), "{\"version\": 1, \"cl")
        .unwrap();
    assert_eq!(place.json("list --output json")[0]["state"], "unreadable");
    place.run("start -n 0");
    place.run("stop");
    place.run("start -n 0");
    std::fs::write(place.cluster_dir("default").join("state.json"), "").unwrap();
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
    assert!(!place.cluster_dir("default").exists());
}

#[test]
fn a_hub_that_dies_again_and_again_ends_the_cluster_loudly() {
    let place = Place::new();
    place.run("start -n 1");
    for _ in 0..5 {
        let old = place.kill("default", "hub");
        place.wait_for_restart("default", "hub", old);
    }
    place.kill("default", "hub");
    place.wait_until_gone();
    let list = place.json("list --output json");
    assert_eq!(list[0]["state"], "failed", "{list}");
    assert_eq!(
        list[0]["problem"],
        "hub died 6 times within 60 s, the last time: killed by SIGKILL"
    );
    let (code, said) = place.exit_code("status");
    assert_eq!(code, 3);
    assert!(said.contains("failed: hub died 6 times"), "{said}");
    place.run("stop");
    assert!(!place.cluster_dir("default").exists());
}

#[test]
fn a_cluster_that_is_not_there_has_no_status() {
    let place = Place::new();
    let (code, said) = place.exit_code("status");
    assert_eq!(code, 3);
    assert!(said.contains("cluster default is not running; start it with"), "{said}");
    place.run("start -n 0");
    place.kill("default", "host");
    place.wait_until_gone();
    assert_eq!(place.exit_code("status").0, 3);
}

#[test]
fn a_paused_hub_is_said_not_to_answer() {
    let place = Place::new();
    place.run("start -n 1");
    let hub = place.pid("default", "hub");
    signal(hub, "STOP");
    let output = place.run("status --output json");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the hub did not answer"), "{said}");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["hub"]["answered"], false);
    assert_eq!(status["engines"][0]["state"], "running");
    signal(hub, "CONT");
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

#[test]
fn settings_come_from_flag_environment_file_and_default_in_this_order() {
    let place = Place::new();
    let engines = |place: &Place| place.json("list --output json")[0]["engines"].clone();
    std::fs::create_dir(place.home()).unwrap();
    std::fs::write(place.home().join("config.toml"), "engines = 1\nlog_format = \"json\"\n")
        .unwrap();
    place.run("start");
    assert_eq!(engines(&place), 1);
    let log = std::fs::read_to_string(place.cluster_dir("default").join("logs/engine-0.log"));
    let log = log.unwrap();
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["span"]["run"], place.state("default").unwrap()["run"], "{line}");
    place.run("stop");
    let output = place.phalanx("start").env("PHALANX_ENGINES", "0").output().unwrap();
    assert!(output.status.success(), "{}", support::text(&output));
    assert_eq!(engines(&place), 0);
    place.run("stop");
    let output = place.phalanx("start -n 2").env("PHALANX_ENGINES", "0").output().unwrap();
    assert!(output.status.success(), "{}", support::text(&output));
    assert_eq!(engines(&place), 2);
    place.run("stop");
    std::fs::write(place.home().join("config.toml"), "engine = 1\n").unwrap();
    let (code, said) = place.exit_code("list");
    assert_eq!(code, 1);
    assert!(said.contains("config.toml") && said.contains("unknown field `engine`"), "{said}");
}

#[test]
fn help_tells_the_exit_codes() {
    let place = Place::new();
    let help = String::from_utf8(place.run("--help").stdout).unwrap();
    assert!(help.contains("3  the cluster is not running"), "{help}");
    assert_eq!(place.exit_code("start -n many").0, 2);
}
