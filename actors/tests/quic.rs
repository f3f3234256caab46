//! Hub, engine and scheduling process on threads of their own, joined by QUIC on loopback, as a
//! program embeds them.

mod support;

use std::path::{Path, PathBuf};
use std::time::Instant;

use phalanx_actors::engine::{Engine, EngineError, EngineHandle};
use phalanx_actors::link::FileConnect;
use phalanx_actors::scheduling_process::{Placement, SchedulingError};
use phalanx_actors::supervise::PlantedPanic;
use phalanx_actors::{
    Hub, HubCommand, HubError, HubHandle, HubOptions, Scheduling, rt, scheduling_process,
};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::handshake::{DIALECT, Dialect};
use phalanx_protocol::ids::Epoch;
use phalanx_protocol::role::Role;
use phalanx_transport::Settings;
use phalanx_transport::identity::{ClusterAuthority, ConnectionFile};
use support::{Client, PATIENCE, handlers, soon};
use tempfile::TempDir;

/// A cluster's authority and the folder with its connection files.
struct Folder {
    authority: ClusterAuthority,
    dir: TempDir,
}

impl Folder {
    fn new() -> Self {
        let authority = ClusterAuthority::create().unwrap();
        Self { authority, dir: tempfile::tempdir().unwrap() }
    }

    fn options(&self, epoch: u64) -> HubOptions {
        HubOptions::new(self.authority.issue(Role::Hub).unwrap(), Epoch(epoch))
    }

    /// Writes the connection file of a role for this hub.
    fn file(&self, role: Role, hub: &HubHandle) -> PathBuf {
        let path = self.dir.path().join("cluster").join(format!("{role}.json"));
        let credential = self.authority.issue(role).unwrap();
        ConnectionFile::new("test", hub.addresses().to_vec(), credential).save(&path).unwrap();
        path
    }
}

/// Runs a client against the cluster of this connection file.
fn with_client<F: AsyncFnOnce(Client<FileConnect>)>(file: &Path, test: F) {
    let connect = FileConnect::new(file, "test client", Settings::default()).unwrap();
    rt::block_on(async {
        let client = Client::open(connect).await;
        let sender = client.session.sender.clone();
        test(client).await;
        sender.close(ErrorCode::Closed, "the test is over");
        soon(sender.closed()).await;
    });
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it comes in time");
        std::thread::yield_now();
    }
}

fn stop(engine: EngineHandle) {
    engine.stop("the test is over");
    assert_eq!(engine.join().unwrap().reason, "the test is over");
}

#[test]
fn an_embedded_hub_and_an_embedded_engine_serve_a_client() {
    let folder = Folder::new();
    let hub = Hub::start(folder.options(1)).unwrap();
    let engine = handlers()
        .name("here/1")
        .blocking("thread", |(): ()| {
            let thread = std::thread::current();
            Ok::<_, String>(thread.name().unwrap_or_default().to_owned())
        })
        .spawn(&folder.file(Role::Engine, &hub))
        .unwrap();
    with_client(&folder.file(Role::Client, &hub), async |mut client: Client<FileConnect>| {
        let tasks: Vec<_> = (0..200_u64).map(|number| client.submit("double", &number)).collect();
        for (number, task) in (0..).zip(tasks) {
            assert_eq!(client.result::<u64>(task).await, 2 * number);
        }
        let thread = client.submit("thread", &());
        assert!(client.result::<String>(thread).await.starts_with("phalanx-slot-"));
        let sessions = hub.sessions();
        let roles: Vec<_> = sessions.iter().map(|entry| entry.role).collect();
        assert!(roles.contains(&Role::Engine) && roles.contains(&Role::Client));
        assert!(sessions.iter().all(|entry| entry.address.is_some()));
    });
    wait_until(|| hub.sessions().len() == 1);
    stop(engine);
    wait_until(|| hub.sessions().is_empty());
    hub.stop("the test is over");
    assert_eq!(hub.join().unwrap().reason, "the test is over");
}

#[test]
fn an_engine_follows_a_hub_that_was_lost_to_another_port() {
    let folder = Folder::new();
    let first = Hub::start(folder.options(1)).unwrap();
    let engine = handlers().spawn(&folder.file(Role::Engine, &first)).unwrap();
    wait_until(|| first.sessions().len() == 1);
    let second = Hub::start(folder.options(2)).unwrap();
    folder.file(Role::Engine, &second);
    first.command(HubCommand::Plant(PlantedPanic::InHub));
    assert!(matches!(first.join(), Err(HubError::Panicked { .. })));
    with_client(&folder.file(Role::Client, &second), async |mut client: Client<FileConnect>| {
        let task = client.submit("double", &4_u64);
        assert_eq!(client.result::<u64>(task).await, 8);
    });
    stop(engine);
}

#[test]
fn an_engine_and_rooms_end_with_a_hub_that_is_stopped() {
    let folder = Folder::new();
    let mut options = folder.options(1);
    options.scheduling = Scheduling::Remote;
    let hub = Hub::start(options).unwrap();
    let engine = handlers().spawn(&folder.file(Role::Engine, &hub)).unwrap();
    let file = folder.file(Role::Scheduler, &hub);
    let rooms =
        scheduling_process::spawn(&file, Settings::default(), Placement::default()).unwrap();
    wait_until(|| hub.sessions().len() == 2);
    hub.stop("the day is over");
    assert_eq!(engine.join().unwrap().reason, "the hub has stopped: the day is over");
    rooms.join().unwrap();
    hub.join().unwrap();
}

#[test]
fn an_engine_of_another_cluster_is_told_so_and_ends() {
    let folder = Folder::new();
    let hub = Hub::start(folder.options(1)).unwrap();
    let other = Folder::new();
    let engine = handlers().spawn(&other.file(Role::Engine, &hub)).unwrap();
    match engine.join() {
        Err(EngineError::CutOff { message }) => assert!(message.contains("cluster"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_engine_and_rooms_of_another_build_are_told_so_and_end() {
    let folder = Folder::new();
    let mut options = folder.options(1);
    options.transport.dialect = Dialect(7);
    let hub = Hub::start(options).unwrap();
    let engine = handlers().name("here/1").spawn(&folder.file(Role::Engine, &hub)).unwrap();
    let file = folder.file(Role::Scheduler, &hub);
    let rooms =
        scheduling_process::spawn(&file, Settings::default(), Placement::default()).unwrap();
    let Err(EngineError::CutOff { message }) = engine.join() else { panic!("it serves") };
    let Err(SchedulingError::CutOff { message: rooms }) = rooms.join() else {
        panic!("they serve")
    };
    for message in [message, rooms] {
        assert!(message.contains("install the same build"), "{message}");
        assert!(message.contains(&DIALECT.to_string()), "{message}");
    }
}

#[test]
fn scheduling_in_a_process_of_its_own_is_reached_over_quic() {
    let folder = Folder::new();
    let mut options = folder.options(1);
    options.scheduling = Scheduling::Remote;
    let hub = Hub::start(options).unwrap();
    let engine = handlers().spawn(&folder.file(Role::Engine, &hub)).unwrap();
    let file = folder.file(Role::Scheduler, &hub);
    let rooms =
        scheduling_process::spawn(&file, Settings::default(), Placement::default()).unwrap();
    with_client(&folder.file(Role::Client, &hub), async |mut client: Client<FileConnect>| {
        let root = client.submit("double", &1_u64);
        let leaf = client.submit_after([root], "double", &2_u64);
        assert_eq!(client.result::<u64>(leaf).await, 4);
    });
    rooms.stop();
    rooms.join().unwrap();
    stop(engine);
}

#[test]
fn an_engine_without_its_connection_file_is_not_started() {
    let engine = handlers().spawn(Path::new("/nowhere/engine.json"));
    assert!(matches!(engine, Err(EngineError::ConnectionFile(_))));
}

#[test]
fn a_hub_that_cannot_listen_says_so() {
    let folder = Folder::new();
    let hub = Hub::start(folder.options(1)).unwrap();
    let mut options = folder.options(2);
    options.listen = hub.addresses().to_vec();
    assert!(matches!(Hub::start(options), Err(HubError::Endpoint(_))));
}

#[test]
fn an_engine_without_slots_or_with_too_many_is_not_started() {
    let folder = Folder::new();
    let hub = Hub::start(folder.options(1)).unwrap();
    let file = folder.file(Role::Engine, &hub);
    for slots in [0, 1_000_000] {
        let error = Engine::builder().slots(slots).spawn(&file).unwrap_err();
        assert!(matches!(error, EngineError::Slots { .. }));
    }
}

#[test]
fn a_program_can_wait_for_its_engine_to_be_registered() {
    let folder = Folder::new();
    let hub = Hub::start(folder.options(1)).unwrap();
    let (told, registered) = tokio::sync::oneshot::channel();
    let engine = handlers()
        .on_registered(move |place| told.send(place).expect("the test waits"))
        .spawn(&folder.file(Role::Engine, &hub))
        .unwrap();
    rt::block_on(async {
        let place = soon(registered).await.unwrap();
        assert_eq!(place.epoch, Epoch(1));
    });
    stop(engine);
}
