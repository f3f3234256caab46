//! What a running cluster shows to others: where it listens, and that it tells no key.

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use support::Place;

/// The local addresses of every UDP and TCP socket of a process.
fn sockets(pid: u32) -> Vec<(String, IpAddr)> {
    let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let inodes: BTreeSet<String> = fds
        .flatten()
        .filter_map(|fd| {
            let target = std::fs::read_link(fd.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let mut found = Vec::new();
    for protocol in ["udp", "udp6", "tcp", "tcp6"] {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{protocol}")).unwrap();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if inodes.contains(fields[9]) {
                found.push((protocol.to_owned(), address(fields[1])));
            }
        }
    }
    found
}

/// Reads `0100007F:1F90`: words in the byte order of the machine.
fn address(text: &str) -> IpAddr {
    let digits = text.split(':').next().unwrap();
    let words: Vec<u32> = (0..digits.len() / 8)
        .map(|word| u32::from_str_radix(&digits[word * 8..word * 8 + 8], 16).unwrap())
        .collect();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    match <[u8; 16]>::try_from(&bytes[..]) {
        Ok(bytes) => Ipv6Addr::from(bytes).into(),
        Err(_) => Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[..]).unwrap()).into(),
    }
}

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
