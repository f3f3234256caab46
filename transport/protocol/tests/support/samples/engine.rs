//! Samples of the engine's conversation.

use phalanx_protocol::engine::{
    AbortAttempts, Confirmed, EndEngine, EngineLeave, EngineToHub, GaveBack, GiveBack, HubToEngine,
    Register, Registered, Started,
};
use phalanx_protocol::ids::{ClientId, EngineId, Epoch, Incarnation};
use phalanx_protocol::needs::Amount;
use phalanx_protocol::outcome::{AttemptOutcome, Report, RunTimes};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::peer::{EngineProfile, Inventory, Registration};
use phalanx_protocol::task::Assignment;

use super::{
    Samples, attempt, by_pieces, by_segment, by_stream, define, digest, inline, method, output,
    remote_error, task, written,
};

fn registration() -> Registration {
    Registration { epoch: Epoch(5), engine: EngineId(3), incarnation: Incarnation(2) }
}

fn report(outcome: AttemptOutcome, payload: Payload) -> Report {
    Report {
        number: 1_000,
        attempt: attempt(42, 2),
        outcome,
        times: RunTimes { started_us: 1_795_316_400_000_000, ran_ns: 1_500_000 },
        payload,
        output: None,
    }
}

fn register() -> Register {
    Register {
        profile: EngineProfile {
            name: Some("laptop/2".into()),
            kind: "python".into(),
            host: "laptop".into(),
            pid: 4713,
            instance: 0x0123_4567_89ab_cdef,
            slots: 2,
            methods: vec![method("table.sum"), method("table.max")],
            labels: vec!["gpu".into(), "fast".into()],
            resources: vec![("gpu".into(), Amount(2_500))],
        },
        inventory: Inventory {
            previous: Some(registration()),
            running: vec![attempt(42, 2)],
            queued: vec![attempt(43, 1), attempt(44, 1)],
            unconfirmed: vec![attempt(41, 3)],
            direct_marks: vec![(ClientId(7), 43), (ClientId(8), 0)],
        },
    }
}

impl Samples for EngineToHub {
    fn samples() -> Vec<(&'static str, Self)> {
        let started = Started { attempt: attempt(42, 2), started_us: 1_795_316_400_000_000 };
        let failed = AttemptOutcome::Failed(Box::new(remote_error()));
        let done = AttemptOutcome::Done;
        let leave = EngineLeave { reason: "the notebook ended".into() };
        vec![
            ("", Box::new(register()).into()),
            ("", started.into()),
            ("", report(AttemptOutcome::Done, inline(Format::Pickle5, b"pickle")).into()),
            ("ticket", report(AttemptOutcome::Done, by_stream(Format::Raw, 12, 65_537)).into()),
            ("segment", report(AttemptOutcome::Done, by_segment(Format::Raw, 64, 1 << 20)).into()),
            ("pieces", report(AttemptOutcome::Done, by_pieces(Format::Pickle5, 2 << 20)).into()),
            ("failed", report(failed, Payload::empty()).into()),
            ("aborted", report(AttemptOutcome::Aborted, Payload::empty()).into()),
            (
                "output",
                Report { output: Some(output()), ..report(done, inline(Format::Raw, b"r")) }.into(),
            ),
            ("", leave.into()),
            ("", written().into()),
            ("", GaveBack { attempt: attempt(42, 2), given: true }.into()),
        ]
    }
}

impl Samples for HubToEngine {
    fn samples() -> Vec<(&'static str, Self)> {
        let registered = Registered { registration: registration(), drop: vec![attempt(43, 1)] };
        let assignment = Assignment {
            attempt: attempt(42, 2),
            direct: true,
            method: method("table.sum"),
            payload: inline(Format::MessagePack, &[0x93, 1, 2, 3]),
            gates: vec![task(40)],
            function: None,
        };
        let ticket = Assignment {
            direct: false,
            payload: by_stream(Format::MessagePack, 13, 65_537),
            gates: Vec::new(),
            ..assignment.clone()
        };
        let function = Assignment { function: Some(digest()), ..ticket.clone() };
        let segment = Assignment {
            payload: by_segment(Format::MessagePack, 0, 1 << 30),
            ..assignment.clone()
        };
        let pieces =
            Assignment { payload: by_pieces(Format::Bundle, 100 << 20), ..assignment.clone() };
        let abort = AbortAttempts { attempts: vec![attempt(42, 2), attempt(43, 1)] };
        let end = EndEngine { reason: "the cluster stops".into() };
        vec![
            ("", registered.into()),
            ("", assignment.into()),
            ("ticket", ticket.into()),
            ("function", function.into()),
            ("segment", segment.into()),
            ("pieces", pieces.into()),
            ("", Confirmed { up_to: 1_001 }.into()),
            ("", abort.into()),
            ("", end.into()),
            ("", define(inline(Format::Raw, b"def"), true).into()),
            ("ticket", define(by_stream(Format::Raw, 15, 65_537), false).into()),
            ("", GiveBack { attempt: attempt(42, 2) }.into()),
        ]
    }
}
