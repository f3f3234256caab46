//! Real processes through the command line: started, killed in every order, stopped, and gone.
//!
//! Engines are shell scripts here, so that what a task may leave behind (children, sessions of
//! their own) is real. The hub, the host and the keeper are the real ones.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use support::{GONE_WITHIN, Place, signal, wait_for_line, wait_until};

/// An engine that is ready at once and has started a child and a grandchild in another session.
const ENGINE: &str = "start --program /bin/sh -n";
const READY: &str = "echo ready >/proc/self/fd/$PHALANX_READY_FD";

fn start(place: &Place, engines: u32, script: &str) -> std::process::Output {
    let mut command = place.phalanx(&format!("{ENGINE} {engines}"));
    let output = command.args(["--", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", support::text(&output));
    output
}

fn script_with_children() -> String {
    format!("sleep 1000 & setsid sleep 1000 & {READY}; wait")
}

#[test]
fn a_cluster_starts_is_listed_and_stops_with_nothing_left() {
    let place = Place::new();
    let output = start(&place, 2, &script_with_children());
    let client = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!(Path::new(&client), place.cluster_dir("default").join("client.json"));
    let list = place.json("list --output json");
    assert_eq!(list[0]["cluster"], "default");
    assert_eq!(list[0]["state"], "running");
    assert_eq!(list[0]["engines_running"], 2);
    assert_eq!(place.run("list --output quiet").stdout, b"default\n");
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
    assert!(!place.cluster_dir("default").exists());
    assert_eq!(place.json("list --output json").as_array().unwrap().len(), 0);
}

#[test]
fn stopping_is_idempotent_and_all_means_all() {
    let place = Place::new();
    place.run("stop");
    place.run("stop --all");
    place.run("start -n 0 --cluster one");
    place.run("start -n 0 --cluster two");
    place.run("stop --all");
    place.run("stop --all");
    let (code, said) = place.exit_code("stop --cluster one");
    assert_eq!(code, 0);
    assert!(said.contains("cluster one is not running"), "{said}");
    assert_eq!(place.processes(), [0; 0]);
}

#[test]
fn a_second_start_of_the_same_name_is_refused_and_leaves_the_first_alone() {
    let place = Place::new();
    place.run("start -n 0");
    let host = place.pid("default", "host");
    let (code, said) = place.exit_code("start -n 0");
    assert_eq!(code, 4, "{said}");
    assert!(said.contains(&format!("already running (host process {host})")), "{said}");
    assert_eq!(place.pid("default", "host"), host);
    place.run("stop");
}

#[test]
fn the_cluster_started_last_is_meant_when_none_is_named() {
    let place = Place::new();
    place.run("start -n 0 --cluster older");
    place.run("start -n 0 --cluster newer");
    place.run("stop");
    assert_eq!(place.run("list --output quiet").stdout, b"older\n");
    place.run("stop");
    assert_eq!(place.run("list --output quiet").stdout, b"");
}

#[test]
fn a_killed_engine_comes_back_and_takes_its_children_with_it() {
    let place = Place::new();
    start(&place, 1, &script_with_children());
    let old = place.kill("default", "engine-0");
    let engine = place.wait_for_restart("default", "engine-0", old);
    assert_eq!(engine.restarts, 1);
    assert_eq!(engine.last_exit, "killed by SIGKILL");
    // Its group went with it; what has left the group is ended with the cluster at the latest.
    let group = format!("kill -0 -{old}");
    let is_there = || {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", &group]).stderr(Stdio::null()).status().unwrap().success()
    };
    wait_until(GONE_WITHIN, "the dead engine's group is gone", || !is_there());
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

#[test]
fn an_engine_that_dies_again_and_again_is_given_up_loudly() {
    let place = Place::new();
    start(&place, 1, &format!("{READY}; [ -e dying ] && exit 7; exec sleep 1000"));
    std::fs::write(place.path().join("dying"), "").unwrap();
    place.kill("default", "engine-0");
    wait_until(support::BACK_WITHIN, "the engine is given up", || {
        place.process("default", "engine-0").is_some_and(|engine| engine.state == "failed")
    });
    let engine = place.process("default", "engine-0").unwrap();
    assert_eq!((engine.restarts, &*engine.last_exit), (5, "exited with code 7"));
    let log = place.run("logs host").stdout;
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("given up") && log.contains("died 6 times within 60 s"), "{log}");
    place.run("stop");
}

#[test]
fn a_killed_hub_comes_back_at_the_same_address_and_engines_stay() {
    let place = Place::new();
    start(&place, 2, &script_with_children());
    let address = place.state("default").unwrap()["hub_address"].clone();
    let engine = place.pid("default", "engine-1");
    let key = std::fs::read(place.cluster_dir("default").join("client.json")).unwrap();
    let old = place.kill("default", "hub");
    place.wait_for_restart("default", "hub", old);
    assert_eq!(place.state("default").unwrap()["hub_address"], address);
    assert_eq!(place.pid("default", "engine-1"), engine);
    assert_eq!(std::fs::read(place.cluster_dir("default").join("client.json")).unwrap(), key);
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

#[test]
fn a_killed_host_leaves_nothing_and_its_cluster_can_be_started_again() {
    let place = Place::new();
    start(&place, 2, &script_with_children());
    place.kill("default", "host");
    place.wait_until_gone();
    assert_eq!(place.json("list --output json")[0]["state"], "dead");
    start(&place, 1, &script_with_children());
    place.kill("default", "host");
    place.wait_until_gone();
    let (code, said) = place.exit_code("stop");
    assert_eq!(code, 0, "{said}");
    assert!(!place.cluster_dir("default").exists());
}

#[test]
fn kills_in_any_order_leave_nothing() {
    for order in [
        ["engine-0", "hub", "host"],
        ["hub", "engine-0", "host"],
        ["keeper", "hub", "host"],
        ["host", "keeper", "hub"],
    ] {
        let place = Place::new();
        start(&place, 2, &script_with_children());
        let pids = order.map(|name| place.pid("default", name));
        for (index, pid) in pids.into_iter().enumerate() {
            signal(pid, "KILL");
            // A dead keeper is replaced: what it is there for must not happen meanwhile.
            if order[index] == "keeper" && index == 0 {
                place.wait_for_restart("default", "keeper", pid);
            }
        }
        if order == ["host", "keeper", "hub"] {
            // Host and keeper at once: the next command that looks finds the rest.
            place.run("stop");
        }
        place.wait_until_gone();
    }
}

#[test]
fn an_engine_that_ignores_the_stop_is_killed_after_its_grace() {
    let place = Place::new();
    let mut command = place.phalanx("start -n 1 --stop-grace-s 1 --program /bin/sh");
    let script = format!("trap '' TERM; {READY}; while :; do sleep 1000; done");
    assert!(command.args(["--", "-c", &script]).output().unwrap().status.success());
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

#[test]
fn a_host_that_does_not_answer_is_killed_and_nothing_is_left() {
    let place = Place::new();
    let mut command = place.phalanx("start -n 1 --stop-grace-s 0 --program /bin/sh");
    assert!(command.args(["--", "-c", &script_with_children()]).output().unwrap().status.success());
    signal(place.pid("default", "host"), "STOP");
    let (code, said) = place.exit_code("stop");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("did not answer and was killed"), "{said}");
    place.wait_until_gone();
    assert!(!place.cluster_dir("default").exists());
}

#[test]
fn a_start_that_fails_says_which_step_shows_the_log_and_leaves_no_process() {
    let place = Place::new();
    let mut command = place.phalanx(&format!("{ENGINE} 2"));
    let script = "echo cannot find libfoo >&2; exit 3";
    let output = command.args(["--", "-c", script]).output().unwrap();
    let said = support::text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("engine-0 failed: exited with code 3"), "{said}");
    assert!(said.contains("cannot find libfoo"), "{said}");
    assert_eq!(place.processes(), [0; 0]);
    let dir = place.cluster_dir("default");
    let keys = ["hub.json", "client.json", "admin.json"].map(|name| dir.join(name).exists());
    assert_eq!(keys, [false; 3], "keys of a failed start are left");
    assert_eq!(place.json("list --output json")[0]["state"], "failed");
    place.run("start -n 0");
    place.run("stop");
}

#[test]
fn a_program_that_is_missing_is_named() {
    let place = Place::new();
    let (code, said) = place.exit_code("start -n 1 --program /no/such/engine");
    assert_eq!(code, 1);
    assert!(said.contains("/no/such/engine is not a program"), "{said}");
    assert_eq!(place.processes(), [0; 0]);
}

#[test]
fn ctrl_c_in_the_foreground_stops_the_cluster() {
    let place = Place::new();
    let mut command = place.phalanx("start --foreground -n 1 --program /bin/sh");
    command.args(["--", "-c", &script_with_children()]).stderr(Stdio::piped()).process_group(0);
    let mut host = command.spawn().unwrap();
    wait_for_line(&mut host, "ready in");
    signal(host.id(), "INT");
    assert!(host.wait().unwrap().success());
    assert_eq!(place.processes(), [0; 0]);
    assert!(!place.cluster_dir("default").exists());
}

#[test]
fn a_cluster_ends_with_its_owner() {
    let place = Place::new();
    let mut command = place.phalanx("host --until-stdin-closes -n 1 --program /bin/sh");
    command.args(["--", "-c", &script_with_children()]).stderr(Stdio::piped());
    let mut host = command.stdin(Stdio::piped()).spawn().unwrap();
    wait_for_line(&mut host, "ready in");
    drop(host.stdin.take());
    assert!(host.wait().unwrap().success());
    assert_eq!(place.processes(), [0; 0]);
}

#[test]
fn an_engine_started_by_hand_ends_with_its_cluster() {
    let place = Place::new();
    place.run("start -n 0");
    let file = place.cluster_dir("default").join("engine.json");
    let mut engine = place.phalanx("engine --connection");
    engine.arg(&file).env("PHALANX_LOG", "info").stderr(Stdio::piped());
    let mut engine = engine.spawn().unwrap();
    wait_for_line(&mut engine, "registered");
    place.run("stop");
    wait_until(GONE_WITHIN, "the engine has ended", || engine.try_wait().unwrap().is_some());
    assert!(engine.wait().unwrap().success());
}

#[test]
fn files_are_private_whatever_the_umask() {
    let place = Place::new();
    let phalanx = env!("CARGO_BIN_EXE_phalanx");
    let mut command = place.phalanx("");
    let start = format!("umask 000; exec {phalanx} start -n 0");
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", &start]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    assert!(shell.output().unwrap().status.success());
    command.current_dir("/");
    check_modes(&place.home());
    std::fs::set_permissions(place.cluster_dir("default"), PermissionsExt::from_mode(0o755))
        .unwrap();
    let (code, said) = place.exit_code("stop --cluster default");
    assert_eq!(code, 1);
    assert!(said.contains("chmod 700"), "{said}");
    std::fs::set_permissions(place.cluster_dir("default"), PermissionsExt::from_mode(0o700))
        .unwrap();
    place.run("stop");
}

fn check_modes(path: &Path) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(metadata.mode() & 0o7777, expected, "{}", path.display());
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            check_modes(&entry.unwrap().path());
        }
    }
}

#[test]
fn nothing_is_read_from_the_current_directory() {
    let place = Place::new();
    for name in ["config.toml", "phalanx.toml", ".phalanx", "client.json", "hub.json", "state.json"]
    {
        std::fs::write(place.path().join(name), "engines = 'hostile'\n{]").unwrap();
    }
    std::fs::create_dir_all(place.path().join("clusters/default")).unwrap();
    for program in ["sh", "phalanx", "hub", "setsid"] {
        let path = place.path().join(program);
        std::fs::write(&path, "#!/bin/sh\ntouch hostile-ran\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut command = place.phalanx("start -n 1 --program sh");
    command.env("PATH", format!(".::{}", std::env::var("PATH").unwrap()));
    let script = format!("{READY}; exec /bin/sleep 1000");
    assert!(command.args(["--", "-c", &script]).output().unwrap().status.success());
    assert_eq!(place.json("list --output json")[0]["engines"], 1);
    place.run("stop");
    assert!(!place.path().join("hostile-ran").exists());
    let (code, said) = place.exit_code("list --home home");
    assert_eq!(code, 1);
    assert!(said.contains("not an absolute path"), "{said}");
}

#[test]
fn logs_are_shown_by_process_and_followed() {
    let place = Place::new();
    start(&place, 1, &format!("echo engine speaks; {READY}; exec sleep 1000"));
    let shown = place.run("logs engine-0").stdout;
    assert_eq!(String::from_utf8_lossy(&shown), "engine speaks\n");
    let shown = place.run("logs").stdout;
    assert!(String::from_utf8_lossy(&shown).contains("engine-0: engine speaks\n"));
    let (code, said) = place.exit_code("logs engine-9");
    assert_eq!(code, 1);
    assert!(said.contains("it has: ") && said.contains("engine-0"), "{said}");
    let mut follow =
        place.phalanx("logs --follow engine-0").stdout(Stdio::piped()).spawn().unwrap();
    place.run("stop");
    assert!(follow.wait().unwrap().success());
    let (code, _) = place.exit_code("logs");
    assert_eq!(code, 3);
}
