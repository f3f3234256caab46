//! Panics of the dag and scheduler rooms and of their actors: the rooms are re-created from the
//! hub's ledger and nothing is lost; an event that is poison is put away; too many panics stop the
//! hub, and only the hub. Here and in a process of their own.

mod support;

use std::time::Duration;

use phalanx_actors::scheduling_process::{Placement, SchedulingCommand};
use phalanx_actors::supervise::PlantedPanic;
use phalanx_actors::{HubError, Scheduling};
use phalanx_core::scheduler::Hwm;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::TaskId;
use phalanx_protocol::limits::ROOM_RESTARTS_MAX;
use phalanx_protocol::outcome::Outcome;
use phalanx_protocol::room::RoomName;
use phalanx_protocol::task::{Accept, Dependency, Target, TaskOptions};
use support::{Client, Cluster, cut, handlers, paused, soon};

/// How many times the rooms were re-created.
async fn restarts(client: &mut Client) -> u32 {
    client.status().await.rooms.iter().map(|room| room.restarts).sum()
}

/// Tasks whose events are all that dag and scheduler ever hear: holds, endings and a release;
/// engines that come and go, placements and ends of both kinds.
async fn work_of_every_kind(cluster: &Cluster, client: &mut Client) {
    let first = cluster.engine(handlers());
    client.engines(1).await;
    let roots: Vec<_> = (0..4_u64).map(|number| client.submit("slow", &number)).collect();
    let follow = Some(Dependency::all([roots[0]]));
    let options = TaskOptions { follow, ..TaskOptions::default() };
    let following = client.submit_to(Target::Any, "double", &7_u64, options);
    let chained = client.submit_after(roots.clone(), "double", &8_u64);
    let last = client.submit_after([chained, following], "double", &9_u64);
    let endless = client.submit("for ever", &());
    let released = client.submit_after([endless], "double", &10_u64);
    client.abort(released);
    assert_eq!(client.outcome(released).await.outcome, Outcome::Aborted);
    for (number, root) in (0..).zip(roots) {
        assert_eq!(client.result::<u64>(root).await, number);
    }
    assert_eq!(client.result::<u64>(last).await, 18);
    assert_eq!(client.result::<u64>(following).await, 14);
    client.abort(endless);
    assert_eq!(client.outcome(endless).await.outcome, Outcome::Aborted);
    first.stop.send("enough".into()).await.unwrap();
    client.engines(0).await;
    let waiting = client.submit("double", &11_u64);
    let second = cluster.engine(handlers());
    assert_eq!(client.result::<u64>(waiting).await, 22);
    second.stop.send("enough".into()).await.unwrap();
    client.engines(0).await;
}

/// Every event that a room hears in all that work.
fn events() -> impl Iterator<Item = (RoomName, u64)> {
    let dag = (0..9).map(|event| (RoomName::Dag, event));
    let scheduler = (0..18).map(|event| (RoomName::Scheduler, event));
    dag.chain(scheduler)
}

#[test]
fn nothing_is_lost_whenever_a_room_panics_or_its_actor_dies() {
    for plant in [PlantedPanic::InRoom, PlantedPanic::InActor] {
        for (room, event) in events() {
            paused(async {
                let cluster = Cluster::start();
                cluster.plant(plant(room, event)).await;
                let mut client = cluster.client().await;
                work_of_every_kind(&cluster, &mut client).await;
                assert_eq!(restarts(&mut client).await, 1, "{:?}", plant(room, event));
                cluster.stop().await.unwrap();
            });
        }
    }
}

#[test]
fn nothing_is_lost_whenever_a_room_panics_in_a_process_of_its_own() {
    for (room, event) in events() {
        let planted = match event % 2 {
            0 => PlantedPanic::InRoom(room, event),
            _ => PlantedPanic::InActor(room, event),
        };
        paused(async {
            let cluster = Cluster::start_with(Scheduling::Remote);
            let rooms = cluster.scheduling();
            rooms.commands.send(SchedulingCommand::Plant(planted)).await.unwrap();
            let mut client = cluster.client().await;
            work_of_every_kind(&cluster, &mut client).await;
            assert_eq!(restarts(&mut client).await, 1, "{planted:?}");
            rooms.commands.send(SchedulingCommand::Stop).await.unwrap();
            soon(rooms.rooms).await.unwrap().unwrap();
        });
    }
}

/// FAULTS 21: our own supervision, since actix does not restart an actor that panicked.
#[test]
fn a_scheduler_that_panics_with_many_tasks_in_it_is_back_within_a_second() {
    const TASKS: u64 = 500;
    for plant in [PlantedPanic::InRoom, PlantedPanic::InActor] {
        paused(async {
            let cluster = Cluster::start();
            let _engine = cluster.engine(handlers().slots(1));
            let mut client = cluster.client().await;
            client.engines(1).await;
            let long = client.submit("slow", &2_000_u64);
            let queued: Vec<_> = (0..TASKS).map(|n| client.submit("double", &n)).collect();
            while client.status().await.tasks.ready < TASKS {}
            cluster.plant(plant(RoomName::Scheduler, 0)).await;
            let began = tokio::time::Instant::now();
            let last = client.submit("double", &TASKS);
            while restarts(&mut client).await == 0 {}
            assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
            let rooms = client.status().await.rooms;
            let is_up = |room: &phalanx_protocol::peer::RoomStatus| room.up;
            assert!(rooms.iter().all(is_up), "{rooms:?}");
            assert_eq!(client.result::<u64>(long).await, 2_000);
            for (number, task) in (0..).zip(queued.into_iter().chain([last])) {
                assert_eq!(client.result::<u64>(task).await, 2 * number);
            }
            assert_eq!(restarts(&mut client).await, 1, "counted once");
            cluster.stop().await.unwrap();
        });
    }
}

#[test]
fn a_task_whose_event_is_poison_fails_after_two_panics_and_others_go_on() {
    for room in RoomName::ALL {
        paused(async {
            let cluster = Cluster::start();
            let _engine = cluster.engine(handlers());
            let mut client = cluster.client().await;
            client.engines(1).await;
            let root = client.submit("slow", &5_u64);
            let poison = TaskId::new(root.client, root.seq + 1);
            cluster.plant(PlantedPanic::AtTask(room, poison)).await;
            assert_eq!(client.submit_after([root], "double", &1_u64), poison);
            let after = Dependency::all([poison]).accepting(Accept::Failure);
            let options = TaskOptions { after: Some(after), ..TaskOptions::default() };
            let heir = client.submit_to(Target::Any, "double", &2_u64, options);
            match client.outcome(poison).await.outcome {
                Outcome::Failed(error) => assert_eq!(error.kind, "internal"),
                other => panic!("{other:?}"),
            }
            assert_eq!(client.result::<u64>(root).await, 5);
            assert_eq!(client.result::<u64>(heir).await, 4);
        });
    }
}

#[test]
fn too_many_panics_stop_the_hub_and_not_the_process() {
    paused(async {
        let cluster = Cluster::start();
        let _engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        client.engines(1).await;
        for _ in 0..=ROOM_RESTARTS_MAX {
            cluster.plant(PlantedPanic::InRoom(RoomName::Scheduler, 0)).await;
            client.submit("double", &1_u64);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        match cluster.ended().await {
            Err(HubError::GaveUp { reason }) => assert!(reason.contains("scheduler"), "{reason}"),
            other => panic!("{other:?}"),
        }
        let reason = client.closed().await;
        assert!(reason.to_string().contains("the hub gave up"), "{reason}");
    });
}

#[test]
fn a_panic_of_the_hub_itself_ends_it_and_its_owner_is_told() {
    paused(async {
        let cluster = Cluster::start();
        let mut client = cluster.client().await;
        cluster.plant(PlantedPanic::InHub).await;
        client.closed().await;
        match cluster.ended().await {
            Err(HubError::Panicked { message }) => assert_eq!(message, "planted in the hub"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn tasks_wait_for_a_scheduling_process_and_outlive_its_sessions() {
    paused(async {
        let cluster = Cluster::start_with(Scheduling::Remote);
        let _engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        client.engines(1).await;
        let root = client.submit("slow", &50_u64);
        let rooms = cluster.scheduling();
        let leaf = client.submit_after([root], "double", &4_u64);
        client.outcome(root).await;
        for number in 0..5_u64 {
            let slow = client.submit("slow", &20_u64);
            let after = client.submit_after([slow], "double", &number);
            cut(&rooms.cables);
            assert_eq!(client.result::<u64>(after).await, 2 * number);
        }
        assert_eq!(client.result::<u64>(leaf).await, 8);
        assert!(rooms.cables.borrow().len() >= 2);
    });
}

#[test]
fn a_newer_scheduling_process_takes_over_and_the_older_one_ends() {
    paused(async {
        let cluster = Cluster::start_with(Scheduling::Remote);
        let _engine = cluster.engine(handlers());
        let mut client = cluster.client().await;
        let older = cluster.scheduling();
        let task = client.submit("double", &1_u64);
        client.outcome(task).await;
        let _newer = cluster.scheduling();
        let error = soon(older.rooms).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        let task = client.submit("double", &2_u64);
        assert_eq!(client.result::<u64>(task).await, 4);
    });
}

#[test]
fn a_hub_that_runs_its_rooms_itself_sends_a_scheduling_process_away() {
    paused(async {
        let cluster = Cluster::start();
        let rooms = cluster.scheduling();
        let error = soon(rooms.rooms).await.unwrap().unwrap_err();
        let code = ErrorCode::WrongRole.to_string();
        assert!(error.to_string().contains(&code), "{error}");
    });
}

#[test]
fn a_room_that_is_re_created_places_as_it_was_configured_to() {
    paused(async {
        let placement = Placement::default().with_hwm(Hwm::Fixed(3));
        let cluster = Cluster::start_placing(Scheduling::Local, placement);
        let _engine = cluster.engine(handlers().slots(1));
        let mut client = cluster.client().await;
        client.engines(1).await;
        let scheduler = RoomName::Scheduler;
        for panic in [PlantedPanic::InRoom(scheduler, 0), PlantedPanic::InActor(scheduler, 0)] {
            let before = restarts(&mut client).await;
            cluster.plant(panic).await;
            let tasks: Vec<_> = (0..10).map(|_| client.submit("for ever", &())).collect();
            while restarts(&mut client).await == before {}
            while client.status().await.engines[0].assigned < 3 {}
            let engines = client.status().await.engines;
            assert_eq!(engines[0].assigned, 3, "{engines:?}");
            for task in tasks {
                client.abort(task);
                assert_eq!(client.outcome(task).await.outcome, Outcome::Aborted);
            }
        }
    });
}
