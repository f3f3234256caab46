//! What a running cluster shows to others: where it listens, and that it tells no key.

mod support;

use support::Place;
use support::sockets::sockets;

#[test]
fn nothing_listens_off_loopback() {
    let place = Place::new();
    place.run("start -n 2");
    let mut hub_listens = false;
    for pid in place.processes() {
        for (protocol, ip) in sockets(pid) {
            let words = support::command_line(pid);
            assert!(ip.is_loopback(), "{words} has a {protocol} socket at {ip}");
            assert!(protocol.starts_with("udp"), "{words} has a {protocol} socket");
            hub_listens |= pid == place.pid("default", "hub");
        }
    }
    assert!(hub_listens, "the hub's socket was not found");
    place.run("stop");
}

/// The base64 lines of every private key of a cluster.
fn key_lines(place: &Place) -> Vec<String> {
    let mut lines = Vec::new();
    for role in ["hub", "host", "scheduler", "engine", "client", "monitor", "admin"] {
        let path = place.cluster_dir("default").join(format!("{role}.json"));
        let file: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let key = file["key"].as_str().unwrap();
        lines.extend(key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    }
    assert!(lines.len() >= 7, "no keys were found");
    lines
}

#[test]
fn no_key_is_told_by_arguments_environment_state_or_logs() {
    let place = Place::new();
    let mut start = place.phalanx("start -n 2 --log trace");
    let output = start.env("PHALANX_LOG", "trace").output().unwrap();
    assert!(output.status.success(), "{}", support::text(&output));
    let mut told = output.stdout;
    told.extend(output.stderr);
    for pid in place.processes() {
        told.extend(std::fs::read(format!("/proc/{pid}/cmdline")).unwrap());
        told.extend(std::fs::read(format!("/proc/{pid}/environ")).unwrap());
    }
    for name in ["state.json", "logs/host.log", "logs/hub.log", "logs/engine-0.log"] {
        told.extend(std::fs::read(place.cluster_dir("default").join(name)).unwrap());
    }
    for line in ["list --output json", "status --output json", "logs"] {
        told.extend(place.run(line).stdout);
    }
    let told = String::from_utf8_lossy(&told);
    for line in key_lines(&place) {
        assert!(!told.contains(&line), "a key is told");
    }
    assert!(!told.contains("PRIVATE KEY"));
    place.run("stop");
}
