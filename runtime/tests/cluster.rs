//! A cluster with engines that run tasks: seen by a client while its processes are killed.

mod support;

use std::time::{Duration, Instant};

use phalanx::client::error::TaskError;
use phalanx::client::{AsyncResult, EngineId};
use phalanx::{Client, ConnectionFile, LocalCluster, Method};
use support::{Place, signal, wait_until};

const ECHO: Method<String, String> = Method::new("phalanx.echo");
const SLEEP: Method<u64, u64> = Method::new("phalanx.sleep_ms");

const LIMIT: Duration = Duration::from_secs(30);

async fn connect(place: &Place, role: &str) -> Client {
    let path = place.cluster_dir("default").join(format!("{role}.json"));
    Client::connect(&ConnectionFile::load(&path).unwrap()).await.unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("not within 30 s")
}

/// The engine's id and its process's name in the host's words.
fn engine_process(place: &Place, id: EngineId) -> String {
    let status = place.json("status --output json");
    let engines = status["engines"].as_array().unwrap().clone();
    let engine = engines.iter().find(|engine| engine["id"] == id.to_string());
    let name = engine.unwrap_or_else(|| panic!("no {id}: {status}"))["name"].clone();
    let (_, index) = name.as_str().unwrap().rsplit_once('/').unwrap();
    format!("engine-{index}")
}

#[tokio::test]
async fn tasks_run_on_engines_of_the_command_line() {
    let place = Place::new();
    place.run("start -n 2");
    let client = connect(&place, "client").await;
    assert_eq!(client.engine_ids().len(), 2, "start returned before all were registered");
    let texts: Vec<String> = (0..50).map(|n| format!("text {n}")).collect();
    let view = client.load_balanced_view();
    let results: Vec<_> = texts.iter().map(|text| view.call(ECHO, text).unwrap()).collect();
    for (result, text) in results.iter().zip(&texts) {
        assert_eq!(&within(result.get()).await.unwrap(), text);
    }
    let status = place.json("status --output json");
    assert_eq!(status["tasks"]["done"], 50, "{status}");
    let finished = status["engines"].as_array().unwrap().iter();
    assert_eq!(finished.map(|engine| engine["finished"].as_u64().unwrap()).sum::<u64>(), 50);
    let quiet = String::from_utf8(place.run("status --output quiet").stdout).unwrap();
    assert_eq!(quiet.lines().count(), 2);
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

#[tokio::test]
async fn a_killed_engine_is_told_with_its_cause_and_comes_back_under_its_id() {
    let place = Place::new();
    place.run("start -n 2");
    let client = connect(&place, "client").await;
    let engines = client.engine_ids();
    let victim = engines[0];
    let process = engine_process(&place, victim);
    let lost = client.engine_view(victim).call(SLEEP, &600_000).unwrap();
    let kept = client.engine_view(engines[1]).call(SLEEP, &1).unwrap();
    assert_eq!(within(kept.get()).await.unwrap(), 1);
    let killed = Instant::now();
    let old = place.kill("default", &process);
    match within(lost.get()).await {
        Err(TaskError::EngineLost { loss, .. }) => {
            assert_eq!((loss.engine, &*loss.cause), (victim, "killed by SIGKILL"));
        }
        other => panic!("a direct task must end with its engine: {other:?}"),
    }
    // The host tells it; without the host it would take until the lease ends.
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    place.wait_for_restart("default", &process, old);
    assert_eq!(within(client.wait_for_engines(2, LIMIT)).await.unwrap(), engines);
    let again = client.engine_view(victim).call(SLEEP, &2).unwrap();
    assert_eq!(within(again.get()).await.unwrap(), 2);
    place.run("stop");
}

#[tokio::test]
async fn an_engine_whose_task_heeds_no_abort_is_killed_and_comes_back_under_its_id() {
    let place = Place::new();
    place.run("start -n 1");
    let client = connect(&place, "client").await;
    let engine = client.engine_ids()[0];
    let view = client.engine_view(engine);
    let stuck = view.call(SLEEP, &600_000).unwrap();
    let behind = view.call(SLEEP, &1).unwrap();
    let moves = client.load_balanced_view().call(SLEEP, &2).unwrap();
    within(async { while client.explain(stuck.id()).await.unwrap().state != "running" {} }).await;
    // Nothing in the process does anything any more: only its host can end it.
    let old = place.pid("default", "engine-0");
    signal(old, "STOP");
    stuck.abort_or_kill(Duration::from_millis(500));
    match within(stuck.get()).await {
        Err(TaskError::Aborted { task }) => assert_eq!(task, stuck.id()),
        other => panic!("it was aborted: {other:?}"),
    }
    match within(behind.get()).await {
        Err(TaskError::EngineLost { loss, .. }) => {
            let cause =
                format!("killed: task {} did not end within 500 ms of its abort", stuck.id());
            assert_eq!(loss.cause, cause);
        }
        other => panic!("a direct task ends with its engine: {other:?}"),
    }
    assert_eq!(within(moves.get()).await.unwrap(), 2, "a balanced one runs elsewhere, or later");
    let process = place.wait_for_restart("default", "engine-0", old);
    assert_eq!((process.restarts, &*process.last_exit), (1, "killed by SIGKILL"));
    assert_eq!(within(client.wait_for_engines(1, LIMIT)).await.unwrap(), [engine]);
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

#[tokio::test]
async fn one_id_leads_through_the_logs_of_all_processes() {
    let place = Place::new();
    place.run("start -n 1 --log debug");
    let client = connect(&place, "client").await;
    let result = client.load_balanced_view().call(ECHO, &"text".to_owned()).unwrap();
    within(result.get()).await.unwrap();
    let task = result.id().to_string();
    let run = place.state("default").unwrap()["run"].as_str().unwrap().to_owned();
    for process in ["hub", "engine-0"] {
        let log = String::from_utf8(place.run(&format!("logs {process}")).stdout).unwrap();
        let told = log.lines().any(|line| line.contains(&task) && line.contains(&run));
        assert!(told, "no line of {process} with {task} and {run}:\n{log}");
    }
    place.run("stop");
}

/// Submits many short tasks at once.
fn many(client: &Client, count: u64) -> Vec<AsyncResult<u64>> {
    let view = client.load_balanced_view();
    (0..count).map(|_| view.call(SLEEP, &5).unwrap()).collect()
}

async fn all_done(results: Vec<AsyncResult<u64>>) {
    for result in results {
        assert_eq!(within(result.get()).await.unwrap(), 5);
    }
}

#[tokio::test]
async fn balanced_tasks_survive_the_deaths_of_their_engines() {
    let place = Place::new();
    place.run("start -n 4");
    let client = connect(&place, "client").await;
    let results = many(&client, 2000);
    for process in ["engine-0", "engine-1", "engine-2"] {
        let old = place.kill("default", process);
        place.wait_for_restart("default", process, old);
    }
    all_done(results).await;
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

#[tokio::test]
async fn tasks_survive_the_death_of_the_scheduler_process() {
    let place = Place::new();
    place.run("start -n 2 --scheduler-process");
    let client = connect(&place, "client").await;
    let results = many(&client, 1000);
    let old = place.kill("default", "scheduler");
    let more = many(&client, 100);
    place.wait_for_restart("default", "scheduler", old);
    all_done(results).await;
    all_done(more).await;
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

#[tokio::test]
async fn engines_outlive_their_hub_and_register_with_the_next() {
    let place = Place::new();
    place.run("start -n 2");
    let engines = ["engine-0", "engine-1"].map(|name| place.pid("default", name));
    let old = place.kill("default", "hub");
    place.wait_for_restart("default", "hub", old);
    wait_until(LIMIT, "both engines are registered with the new hub", || {
        let status = place.json("status --output json");
        let engines = status["engines"].as_array().unwrap().clone();
        engines.iter().filter(|engine| engine["state"] == "up" && !engine["id"].is_null()).count()
            == 2
    });
    assert_eq!(["engine-0", "engine-1"].map(|name| place.pid("default", name)), engines);
    let client = connect(&place, "client").await;
    all_done(many(&client, 20)).await;
    place.run("stop");
    assert_eq!(place.processes(), [0; 0]);
}

#[tokio::test]
async fn an_engine_that_a_client_ends_is_not_started_again() {
    let place = Place::new();
    place.run("start -n 2");
    let client = connect(&place, "admin").await;
    let engine = client.engine_ids()[0];
    let process = engine_process(&place, engine);
    within(client.shutdown_engines([engine])).await.unwrap();
    wait_until(LIMIT, "the engine has ended", || {
        place.process("default", &process).is_some_and(|process| process.state == "stopped")
    });
    assert_eq!(place.process("default", &process).unwrap().restarts, 0);
    all_done(many(&client, 20)).await;
    place.run("stop");
}

#[tokio::test]
async fn a_client_may_end_the_whole_cluster() {
    let place = Place::new();
    place.run("start -n 2");
    let client = connect(&place, "admin").await;
    within(client.shutdown()).await.unwrap();
    place.wait_until_gone();
    assert!(!place.cluster_dir("default").exists());
}

#[tokio::test]
async fn a_local_cluster_lives_as_long_as_its_value() {
    let place = Place::new();
    let build = || LocalCluster::builder().engines(2).home(place.home());
    let cluster = build().start().unwrap();
    let run = run_of(&cluster);
    let file = ConnectionFile::load(&cluster.connection_file()).unwrap();
    let client = Client::connect(&file).await.unwrap();
    all_done(many(&client, 20)).await;
    cluster.stop().unwrap();
    assert_eq!(phalanx::host::sweep::processes_of(&run), [0; 0]);
    let cluster = build().start().unwrap();
    let (run, dir) = (run_of(&cluster), cluster.dir().path().to_owned());
    drop(cluster);
    assert_eq!(phalanx::host::sweep::processes_of(&run), [0; 0]);
    assert!(!dir.exists());
}

fn run_of(cluster: &LocalCluster) -> String {
    let state = cluster.dir().read_state::<phalanx::cluster_state::ClusterState>().unwrap();
    state.expect("a running cluster has a state file").run
}

#[test]
fn an_engine_that_runs_out_of_memory_says_so() {
    let Some(group) = MemoryGroup::new(64 << 20) else {
        eprintln!("not tested: no memory group can be made here");
        return;
    };
    let place = Place::new();
    let script = format!(
        "echo $$ > {}/cgroup.procs; echo ready >/proc/self/fd/$PHALANX_READY_FD; \
         [ -e eaten ] && exec sleep 1000; while [ ! -e eat ]; do sleep 0.05; done; \
         mv eat eaten; exec tail /dev/zero",
        group.0.display()
    );
    let mut start = place.phalanx("start -n 1 --program /bin/sh");
    assert!(start.args(["--", "-c", &script]).output().unwrap().status.success());
    let old = place.pid("default", "engine-0");
    std::fs::write(place.path().join("eat"), "").unwrap();
    let engine = place.wait_for_restart("default", "engine-0", old);
    assert_eq!(engine.last_exit, "killed by the kernel because memory ran out");
    signal(engine.pid.unwrap(), "KILL");
    let engine = place.wait_for_restart("default", "engine-0", engine.pid.unwrap());
    assert_eq!(engine.last_exit, "killed by SIGKILL");
    place.run("stop");
}

/// A memory group of its own, under whichever kind of groups this machine has.
struct MemoryGroup(std::path::PathBuf);

impl MemoryGroup {
    fn new(limit: u64) -> Option<Self> {
        let name = format!("phalanx-test-{}", std::process::id());
        for (root, file) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let path = std::path::Path::new(root).join(&name);
            if std::fs::create_dir(&path).is_ok() {
                let group = Self(path);
                if std::fs::write(group.0.join(file), limit.to_string()).is_ok() {
                    return Some(group);
                }
            }
        }
        None
    }
}

/// The kernel refuses it while a process is inside; the test's processes are gone by then.
impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
