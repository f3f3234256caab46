//! Long payloads between real processes of one host: in shared memory, copied once for any number
//! of engines, gone with their users; by stream where somebody will not.

mod support;

use std::sync::LazyLock;
use std::time::Duration;

use phalanx::client::segments::{self, SegmentStats};
use phalanx::{Client, ConnectionFile, Method};
use support::{Place, wait_until};

const ECHO: Method<String, String> = Method::new("phalanx.echo");

const LIMIT: Duration = Duration::from_secs(60);

/// The client is in this process, whose segments are counted together: tests take turns.
static TURNS: LazyLock<tokio::sync::Mutex<()>> = LazyLock::new(|| tokio::sync::Mutex::new(()));

async fn connect(place: &Place) -> Client {
    let path = place.cluster_dir("default").join("client.json");
    Client::connect(&ConnectionFile::load(&path).unwrap()).await.unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("not within 60 s")
}

fn text(len: usize) -> String {
    let line = "0123456789abcdefghijklmnopqrstuvwxyz, and so on\n";
    let mut text = line.repeat(len.div_ceil(line.len()));
    text.truncate(len);
    text
}

/// What was written and mapped by this process since.
fn since(before: SegmentStats) -> (u64, u64) {
    let now = segments::stats();
    (now.written - before.written, now.mapped - before.mapped)
}

/// Segments that another process has a descriptor of, without the one that shows its memory.
fn held_by(pid: u32) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("/memfd:phalanx-"))
        .count()
        .saturating_sub(1)
}

#[tokio::test]
async fn a_hundred_megabytes_there_and_back_are_one_copy_each_way() {
    let _turn = TURNS.lock().await;
    let place = Place::new();
    place.run("start -n 2");
    let client = connect(&place).await;
    let sent = text(100_000_000);
    let before = segments::stats();
    let result = client.load_balanced_view().call(ECHO, &sent).unwrap();
    assert!(within(result.get()).await.unwrap() == sent);
    assert_eq!(since(before), (1, 1), "one written for the arguments, one mapped with the result");
    // Nobody keeps what nobody needs: not the hub, which passed both on, nor the engine.
    drop(result);
    for process in ["hub", "engine-0", "engine-1"] {
        let pid = place.pid("default", process);
        wait_until(LIMIT, &format!("{process} lets go of segments"), || {
            held_by(pid) <= usize::from(process != "hub")
        });
    }
    drop(client);
    place.run("stop");
}

#[tokio::test]
async fn one_call_of_many_engines_is_one_copy() {
    let _turn = TURNS.lock().await;
    let place = Place::new();
    place.run("start -n 3");
    let client = connect(&place).await;
    let sent = text(8_000_000);
    let before = segments::stats();
    let results = client.view_all().call(ECHO, &sent).unwrap();
    for echoed in within(results.get()).await.unwrap() {
        assert!(echoed == sent);
    }
    assert_eq!(since(before), (1, 3), "one written for three engines, and their results");
    place.run("stop");
}

#[tokio::test]
async fn a_result_outlives_the_engine_and_the_cluster_that_made_it() {
    let _turn = TURNS.lock().await;
    let place = Place::new();
    place.run("start -n 1");
    let client = connect(&place).await;
    let sent = text(4_000_000);
    let before = segments::stats();
    let result = client.load_balanced_view().call(ECHO, &sent).unwrap();
    within(result.wait()).await;
    for process in ["engine-0", "hub"] {
        place.kill("default", process);
    }
    place.run("stop");
    assert_eq!(since(before).1, 1);
    assert!(within(result.get()).await.unwrap() == sent);
}

#[tokio::test]
async fn a_cluster_that_is_told_not_to_shares_no_memory() {
    let _turn = TURNS.lock().await;
    let place = Place::new();
    let started = place.phalanx("start -n 1").env(segments::SHARED_MEMORY_ENV, "off").output();
    assert!(started.unwrap().status.success());
    let client = connect(&place).await;
    let sent = text(4_000_000);
    let before = segments::stats();
    let result = client.load_balanced_view().call(ECHO, &sent).unwrap();
    assert!(within(result.get()).await.unwrap() == sent);
    assert_eq!(since(before), (0, 0));
    place.run("stop");
}
