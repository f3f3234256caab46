//! Where a hub can listen: loopback of both families, the machine's own addresses, everywhere.
//!
//! What this machine does not have is not left out: there a start must fail, and say so.

mod support;

use std::net::IpAddr;
use std::time::Duration;

use phalanx::{Client, ConnectionFile, Method};
use support::Place;
use support::sockets::{own_addresses, sockets};

const ECHO: Method<String, String> = Method::new("phalanx.echo");

const LIMIT: Duration = Duration::from_secs(30);

/// A cluster that listens there, and there only, runs a task and leaves nothing.
async fn serves_at(ip: IpAddr) {
    let place = Place::new();
    place.run(&format!("start -n 1 --listen {ip}"));
    let hub = place.pid("default", "hub");
    let bound: Vec<IpAddr> = sockets(hub).into_iter().map(|(_, ip)| ip).collect();
    assert!(bound.contains(&ip), "the hub listens at {bound:?}, not at {ip}");
    let elsewhere = bound.iter().find(|bound| **bound != ip && !bound.is_loopback());
    assert_eq!(elsewhere, None, "it was to listen at {ip} only");
    let file = place.cluster_dir("default").join("client.json");
    let client = Client::connect(&ConnectionFile::load(&file).unwrap()).await.unwrap();
    let said = client.load_balanced_view().call(ECHO, &ip.to_string()).unwrap();
    let said = tokio::time::timeout(LIMIT, said.get()).await.expect("in time").unwrap();
    assert_eq!(said, ip.to_string());
    client.close().await;
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

/// A start that cannot listen there says so and leaves nothing.
fn is_refused_at(ip: IpAddr) {
    let place = Place::new();
    let (code, said) = place.exit_code(&format!("start -n 1 --listen {ip}"));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&ip.to_string()), "{said}");
    assert_eq!(place.processes(), [0; 0]);
}

async fn serves_or_is_refused_at(ip: IpAddr) {
    if own_addresses().contains(&ip) {
        serves_at(ip).await;
    } else {
        is_refused_at(ip);
    }
}

#[tokio::test]
async fn a_hub_serves_on_loopback_of_both_families() {
    let own = own_addresses();
    assert!(own.contains(&IpAddr::from([127, 0, 0, 1])), "{own:?}");
    serves_or_is_refused_at("127.0.0.1".parse().unwrap()).await;
    serves_or_is_refused_at("::1".parse().unwrap()).await;
}

#[tokio::test]
async fn a_hub_serves_at_an_address_of_the_machine_of_each_family() {
    let reachable: Vec<IpAddr> =
        own_addresses().into_iter().filter(|ip| !ip.is_loopback()).collect();
    // Addresses for documentation: where the machine has none of its own, nobody has these.
    for (is_v4, nobodys) in [(true, "203.0.113.77"), (false, "2001:db8::77")] {
        let own = reachable.iter().find(|ip| ip.is_ipv4() == is_v4).copied();
        serves_or_is_refused_at(own.unwrap_or_else(|| nobodys.parse().unwrap())).await;
    }
}

#[tokio::test]
async fn a_hub_that_listens_everywhere_is_reached_from_the_machine() {
    serves_at("0.0.0.0".parse().unwrap()).await;
}

#[test]
fn a_hub_that_was_given_the_address_of_another_machine_says_so() {
    let own = own_addresses();
    let nobodys = ["203.0.113.77", "198.51.100.77"].map(|ip| ip.parse().unwrap());
    let foreign = nobodys.into_iter().find(|ip| !own.contains(ip));
    is_refused_at(foreign.expect("this machine has not all of them"));
}
