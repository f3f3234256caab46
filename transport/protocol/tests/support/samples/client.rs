//! Samples of the client's conversation.

use phalanx_protocol::client::{
    Abort, Accepted, ClientToHub, EngineLeft, Grant, HubToClient, Leave, Open, Opened, Ping,
    Received, Refused, Resume, Scope, Shutdown, StatusReply, StatusRequest,
};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::explain::{ExplainRequest, Explanation};
use phalanx_protocol::ids::{ClientId, EngineId, Epoch, RequestId};
use phalanx_protocol::needs::Amount;
use phalanx_protocol::outcome::{
    Delivery, DependencyFailure, Impossible, Loss, Outcome, Rejection, RunTimes,
};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::peer::{
    ClientStatus, ClusterStatus, EngineInfo, EngineState, EngineStatus, RoomStatus, TaskCounts,
};
use phalanx_protocol::query::{
    Again, Cursor, Purge, Purged, RecordsReply, RecordsRequest, Select, TaskRecord, Watch,
};
use phalanx_protocol::task::{
    Accept, Dependency, GraphPart, Quorum, Retry, Target, TaskOptions, TaskSpec,
};

use super::{
    Samples, by_pieces, by_segment, by_stream, define, digest, engines, inline, method, needs,
    output, remote_error, task, written,
};

fn spec(seq: u64, target: Target) -> TaskSpec {
    TaskSpec {
        id: task(seq),
        target,
        method: method("table.sum"),
        payload: inline(Format::MessagePack, &[0x93, 1, 2, 3]),
        options: None,
        function: None,
    }
}

fn options() -> TaskOptions {
    TaskOptions {
        after: Some(Dependency {
            tasks: vec![task(1), task(300)],
            quorum: Quorum::Any,
            accept: Accept::Failure,
        }),
        follow: Some(Dependency::all([task(2)]).accepting(Accept::Either)),
        timeout_ms: Some(60_000),
        retry: Some(Retry { count: 3, kinds: vec!["OSError".into()], backoff_ms: 250 }),
        run_limit_ms: Some(5_000),
        label: None,
        again: None,
        priority: -7,
        needs: Some(needs()),
        inputs: vec![task(3), task(4)],
        graph: Some(GraphPart { first: 40, len: 3 }),
        stays: true,
        coalesce: false,
    }
}

fn submits() -> Vec<(&'static str, ClientToHub)> {
    let with_options = TaskSpec { options: Some(Box::new(options())), ..spec(42, Target::Any) };
    let again = TaskOptions {
        label: Some("first try".into()),
        again: Some(Again { task: task(41), number: Some(40) }),
        ..TaskOptions::default()
    };
    let again = TaskSpec { options: Some(Box::new(again)), ..spec(47, Target::Any) };
    let together = TaskOptions { coalesce: true, ..TaskOptions::default() };
    let together = TaskSpec {
        options: Some(Box::new(together)),
        ..spec(48, Target::Engines(engines(&[1, 2])))
    };
    let ticket = TaskSpec {
        payload: by_stream(Format::Pickle5, 9, 1 << 20),
        ..spec(43, Target::Engine(EngineId(3)))
    };
    let segment = TaskSpec {
        payload: by_segment(Format::Pickle5, 0, 100 << 20),
        ..spec(46, Target::Engines(engines(&[1, 2])))
    };
    let empty =
        TaskSpec { payload: Payload::empty(), ..spec(44, Target::Subset(engines(&[0, 200]))) };
    vec![
        ("", with_options.into()),
        ("again", again.into()),
        ("engine-ticket", ticket.into()),
        ("engines-segment", segment.into()),
        ("subset-empty", empty.into()),
        ("coalesce", together.into()),
        ("engines", spec(45, Target::Engines(engines(&[1, 2, 3]))).into()),
        ("function", TaskSpec { function: Some(digest()), ..spec(46, Target::Any) }.into()),
    ]
}

impl Samples for ClientToHub {
    fn samples() -> Vec<(&'static str, Self)> {
        let request = RequestId(11);
        let resume = Resume { epoch: Epoch(5), client: ClientId(7), token: 0xfeed_beef_cafe_f00d };
        let open = |resume| Open { resume, name: "notebook".into() };
        let shutdown = |scope| Shutdown { request, scope };
        let records = |select| RecordsRequest { request, select };
        let purge = |what| Purge { request, what };
        let mut samples = vec![
            ("", open(Some(resume)).into()),
            ("anew", open(None).into()),
            ("", Received { up_to: 70_000 }.into()),
            ("", Abort { tasks: vec![task(42), task(43)], kill_after_ms: None }.into()),
            ("killing", Abort { tasks: vec![task(42)], kill_after_ms: Some(2_000) }.into()),
            ("", StatusRequest { request }.into()),
            ("", shutdown(Scope::Engines(engines(&[3]))).into()),
            ("cluster", shutdown(Scope::Cluster).into()),
            ("", Ping { request }.into()),
            ("", Leave { abort_open: true }.into()),
            ("", records(Select::Tasks(vec![task(42)])).into()),
            ("page", records(Select::From(page())).into()),
            ("", Watch { tasks: vec![task(42), task(43)] }.into()),
            ("", purge(Purged::Tasks(vec![task(42)])).into()),
            ("engines", purge(Purged::Engines(engines(&[3]))).into()),
            ("all", purge(Purged::All).into()),
            ("", define(inline(Format::Raw, b"def"), false).into()),
            ("ticket-reset", define(by_stream(Format::Raw, 14, 65_537), true).into()),
            ("", ExplainRequest { request, task: task(42) }.into()),
        ];
        samples.splice(2..2, submits());
        samples
    }
}

fn page() -> Cursor {
    Cursor { open_after: Some(task(40)), ended_from: Some(7) }
}

fn record() -> TaskRecord {
    TaskRecord {
        task: task(42),
        number: Some(41),
        status: "done".into(),
        method: "table.sum".into(),
        label: Some("first try".into()),
        direct: true,
        engine: Some(EngineId(3)),
        attempts: 2,
        submitted_us: 1_795_316_399_000_000,
        times: RunTimes { started_us: 1_795_316_400_000_000, ran_ns: 1_500_000 },
        ended_us: 1_795_316_400_002_000,
        again: Some(task(41)),
        repeatable: true,
        whole: true,
        result_bytes: 70,
    }
}

fn engine_info() -> EngineInfo {
    EngineInfo {
        id: EngineId(3),
        name: Some("laptop/2".into()),
        kind: "native".into(),
        host: "laptop".into(),
        pid: 4713,
        slots: 2,
        methods: vec![method("table.sum"), method("table.max")],
        labels: vec!["gpu".into()],
        resources: vec![("gpu".into(), Amount::units(2))],
        state: EngineState::Silent,
    }
}

fn status() -> ClusterStatus {
    ClusterStatus {
        epoch: Epoch(5),
        uptime_ms: 86_400_000,
        engines: vec![EngineStatus {
            info: engine_info(),
            assigned: 21,
            direct: 20,
            held: 12,
            running: 2,
            ended: 1_000,
            losses: 1,
            functions: 6,
        }],
        clients: vec![ClientStatus {
            id: ClientId(7),
            name: "notebook".into(),
            connected: true,
            submitted: 46,
            open: 4,
            undelivered: 3,
            functions: 4,
        }],
        tasks: TaskCounts { waiting: 1, ready: 2, assigned: 3, running: 4, done: 5, failed: 6 },
        rooms: vec![RoomStatus { name: "dag".into(), up: true, restarts: 1 }],
        engines_omitted: 1,
        clients_omitted: 2,
        results: 11,
        result_bytes: 4_096,
        fenced_reports: 2,
    }
}

fn delivery(outcome: Outcome) -> Delivery {
    Delivery {
        number: 70_001,
        task: task(42),
        outcome,
        engine: Some(EngineId(3)),
        attempts: 2,
        times: RunTimes { started_us: 1_795_316_400_000_000, ran_ns: 1_500_000 },
        payload: Payload::empty(),
        output: None,
        tried: Vec::new(),
    }
}

fn outcomes() -> Vec<(&'static str, Outcome)> {
    let loss = |engine, cause: &str| Loss { engine: EngineId(engine), cause: cause.into() };
    let failure = DependencyFailure {
        reason: Impossible::FollowsApart,
        culprit: Some(task(41)),
        engine: Some(EngineId(2)),
    };
    let rejection =
        Rejection { code: Some(ErrorCode::OverGrant), detail: "c7/42 is beyond the grant".into() };
    vec![
        ("failed", Outcome::Failed(Box::new(remote_error()))),
        ("aborted", Outcome::Aborted),
        ("engine-lost", Outcome::EngineLost(Box::new(loss(3, "SIGSEGV")))),
        ("poison", Outcome::Poison(vec![loss(1, "SIGSEGV"), loss(2, "exit code 1")])),
        ("dependency-failed", Outcome::DependencyFailed(Box::new(failure))),
        ("dependency-timeout", Outcome::DependencyTimeout),
        ("rejected", Outcome::Rejected(Box::new(rejection))),
    ]
}

fn deliveries() -> Vec<(&'static str, HubToClient)> {
    let done =
        Delivery { payload: inline(Format::MessagePack, &[0x06]), ..delivery(Outcome::Done) };
    let ticket = Delivery {
        engine: None,
        payload: by_stream(Format::Raw, 10, 1 << 30),
        ..delivery(Outcome::Done)
    };
    let segment =
        Delivery { payload: by_segment(Format::Raw, 4_096, 1 << 20), ..delivery(Outcome::Done) };
    let pieces =
        Delivery { payload: by_pieces(Format::Pickle5, 1 << 20), ..delivery(Outcome::Done) };
    let wrote =
        Delivery { output: Some(output()), tried: engines(&[1, 300]), ..delivery(Outcome::Done) };
    let mut samples = vec![
        ("", done.into()),
        ("ticket", ticket.into()),
        ("segment", segment.into()),
        ("pieces", pieces.into()),
        ("output", wrote.into()),
    ];
    samples.extend(outcomes().into_iter().map(|(case, outcome)| (case, delivery(outcome).into())));
    samples
}

impl Samples for HubToClient {
    fn samples() -> Vec<(&'static str, Self)> {
        let request = RequestId(11);
        let grant = Grant { seq_end: 1_000_046, bytes_end: 2 << 30 };
        let opened = Opened {
            epoch: Epoch(5),
            client: ClientId(7),
            token: 0xfeed_beef_cafe_f00d,
            next_seq: 46,
            grant,
            engines: vec![engine_info()],
        };
        let left = EngineLeft { engine: EngineId(3), cause: "killed by signal 9 (SIGKILL)".into() };
        let refused = Refused {
            request,
            code: Some(ErrorCode::NoHost),
            detail: "no host process is attached".into(),
        };
        let mut samples = vec![("", opened.into())];
        samples.push(("", Accepted { next_seq: 46, grant }.into()));
        samples.extend(deliveries());
        samples.extend([
            ("", engine_info().into()),
            ("", left.into()),
            ("", StatusReply { request, status: status() }.into()),
            ("", refused.into()),
            ("", Ping { request }.into()),
            ("", written().into()),
            ("", RecordsReply { request, records: vec![record()], next: Some(page()) }.into()),
            ("", explanation(request).into()),
        ]);
        samples
    }
}

fn explanation(request: RequestId) -> Explanation {
    Explanation {
        request,
        task: task(42),
        state: "waiting".into(),
        reasons: vec!["it comes after c7/40 (runs on engine 3)".into()],
        waits_for: vec![task(40)],
        engine: Some(EngineId(3)),
        position: Some(5),
    }
}
