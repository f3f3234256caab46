//! Arbitrary messages of the client's conversation.

use phalanx_protocol::client::*;
use phalanx_protocol::explain::{ExplainRequest, Explanation};
use phalanx_protocol::ids::{ClientId, Epoch};
use phalanx_protocol::outcome::Delivery;
use phalanx_protocol::peer::{ClientStatus, ClusterStatus, EngineStatus, RoomStatus, TaskCounts};
use phalanx_protocol::query::*;
use proptest::option;
use proptest::prelude::*;

use super::*;

impl Strategies for ClientToHub {
    fn strategies() -> Vec<BoxedStrategy<Self>> {
        let resume = (number(), number32(), number()).prop_map(|(epoch, client, token)| Resume {
            epoch: Epoch(epoch),
            client: ClientId(client),
            token,
        });
        let scope = prop_oneof![some(engine_id()).prop_map(Scope::Engines), Just(Scope::Cluster)];
        vec![
            message((option::of(resume), text()).prop_map(|(resume, name)| Open { resume, name })),
            message(spec()),
            message(number().prop_map(|up_to| Received { up_to })),
            message(
                (some(task_id()), option::of(number()))
                    .prop_map(|(tasks, kill_after_ms)| Abort { tasks, kill_after_ms }),
            ),
            message(request().prop_map(|request| StatusRequest { request })),
            message((request(), scope).prop_map(|(request, scope)| Shutdown { request, scope })),
            message(request().prop_map(|request| Ping { request })),
            message(any::<bool>().prop_map(|abort_open| Leave { abort_open })),
            message(define()),
            message(
                (request(), select())
                    .prop_map(|(request, select)| RecordsRequest { request, select }),
            ),
            message(some(task_id()).prop_map(|tasks| Watch { tasks })),
            message((request(), purged()).prop_map(|(request, what)| Purge { request, what })),
            message(
                (request(), task_id()).prop_map(|(request, task)| ExplainRequest { request, task }),
            ),
        ]
    }
}

fn cursor() -> impl Strategy<Value = Cursor> {
    (option::of(task_id()), option::of(number()))
        .prop_map(|(open_after, ended_from)| Cursor { open_after, ended_from })
}

fn select() -> impl Strategy<Value = Select> {
    prop_oneof![some(task_id()).prop_map(Select::Tasks), cursor().prop_map(Select::From)]
}

fn purged() -> impl Strategy<Value = Purged> {
    prop_oneof![
        some(task_id()).prop_map(Purged::Tasks),
        some(engine_id()).prop_map(Purged::Engines),
        Just(Purged::All),
    ]
}

fn record() -> impl Strategy<Value = TaskRecord> {
    let names = (task_id(), option::of(number()), text(), text(), option::of(text()));
    let runs = (any::<bool>(), option::of(engine_id()), number32(), run_times());
    let rest = (number(), number(), option::of(task_id()), any::<bool>(), any::<bool>(), number());
    (names, runs, rest).prop_map(|(names, runs, rest)| TaskRecord {
        task: names.0,
        number: names.1,
        status: names.2,
        method: names.3,
        label: names.4,
        direct: runs.0,
        engine: runs.1,
        attempts: runs.2,
        times: runs.3,
        submitted_us: rest.0,
        ended_us: rest.1,
        again: rest.2,
        repeatable: rest.3,
        whole: rest.4,
        result_bytes: rest.5,
    })
}

fn opened() -> impl Strategy<Value = Opened> {
    let engines = some(engine_info());
    (number(), number32(), number(), number(), grant(), engines).prop_map(
        |(epoch, client, token, next_seq, grant, engines)| Opened {
            epoch: Epoch(epoch),
            client: ClientId(client),
            token,
            next_seq,
            grant,
            engines,
        },
    )
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let engines = (option::of(engine_id()), some(engine_id()));
    let carried = (payload(), task_output());
    (number(), task_id(), outcome(), engines, number32(), run_times(), carried).prop_map(
        |(number, task, outcome, (engine, tried), attempts, times, (payload, output))| Delivery {
            number,
            task,
            outcome,
            engine,
            attempts,
            times,
            payload,
            output,
            tried,
        },
    )
}

impl Strategies for HubToClient {
    fn strategies() -> Vec<BoxedStrategy<Self>> {
        let accepted =
            (number(), grant()).prop_map(|(next_seq, grant)| Accepted { next_seq, grant });
        let left = (engine_id(), text()).prop_map(|(engine, cause)| EngineLeft { engine, cause });
        let status = (request(), cluster_status())
            .prop_map(|(request, status)| StatusReply { request, status });
        let refused = (request(), code(), text()).prop_map(|(request, code, detail)| Refused {
            request,
            code,
            detail,
        });
        vec![
            message(opened()),
            message(accepted),
            message(delivery()),
            message(engine_info()),
            message(left),
            message(status),
            message(refused),
            message(request().prop_map(|request| Ping { request })),
            message(output()),
            message(
                (request(), some(record()), option::of(cursor()))
                    .prop_map(|(request, records, next)| RecordsReply { request, records, next }),
            ),
            message(explanation()),
        ]
    }
}

fn explanation() -> impl Strategy<Value = Explanation> {
    let words = (text(), some(text()), some(task_id()));
    (request(), task_id(), words, option::of(engine_id()), option::of(number())).prop_map(
        |(request, task, (state, reasons, waits_for), engine, position)| Explanation {
            request,
            task,
            state,
            reasons,
            waits_for,
            engine,
            position,
        },
    )
}

fn engine_status() -> impl Strategy<Value = EngineStatus> {
    let figures = (number(), number(), number(), number(), number(), number32(), number());
    (engine_info(), figures).prop_map(
        |(info, (assigned, direct, held, running, ended, losses, functions))| EngineStatus {
            info,
            assigned,
            direct,
            held,
            running,
            ended,
            losses,
            functions,
        },
    )
}

fn client_status() -> impl Strategy<Value = ClientStatus> {
    (number32(), text(), any::<bool>(), number(), number(), number(), number()).prop_map(
        |(id, name, connected, submitted, open, undelivered, functions)| ClientStatus {
            id: ClientId(id),
            name,
            connected,
            submitted,
            open,
            undelivered,
            functions,
        },
    )
}

fn cluster_status() -> impl Strategy<Value = ClusterStatus> {
    let room = (text(), any::<bool>(), number32()).prop_map(|(name, up, restarts)| RoomStatus {
        name,
        up,
        restarts,
    });
    let tasks = (number(), number(), number(), number(), number(), number()).prop_map(
        |(waiting, ready, assigned, running, done, failed)| TaskCounts {
            waiting,
            ready,
            assigned,
            running,
            done,
            failed,
        },
    );
    let lists = (some(engine_status()), some(client_status()), some(room));
    let results = (number(), number(), number(), number(), number());
    (number(), number(), lists, tasks, results).prop_map(
        |(epoch, uptime_ms, (engines, clients, rooms), tasks, results)| ClusterStatus {
            epoch: Epoch(epoch),
            uptime_ms,
            engines,
            clients,
            tasks,
            rooms,
            results: results.0,
            result_bytes: results.1,
            fenced_reports: results.2,
            engines_omitted: results.3,
            clients_omitted: results.4,
        },
    )
}
