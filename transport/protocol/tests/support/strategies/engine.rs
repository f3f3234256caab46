//! Arbitrary messages of the engine's conversation.

use phalanx_protocol::engine::*;
use phalanx_protocol::ids::ClientId;
use phalanx_protocol::outcome::{AttemptOutcome, Report};
use phalanx_protocol::peer::{EngineProfile, Inventory};
use phalanx_protocol::task::Assignment;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn register() -> impl Strategy<Value = Register> {
    let words = (option::of(text()), text(), text());
    let lists = (some(method()), some(text()), some(resource()));
    let profile =
        (words, number32(), number(), number32(), lists).prop_map(
            |((name, kind, host), pid, instance, slots, (methods, labels, resources))| {
                EngineProfile { name, kind, host, pid, instance, slots, methods, labels, resources }
            },
        );
    let attempts = || some(attempt_id());
    let marks = some((number32().prop_map(ClientId), number()));
    let inventory = (option::of(registration()), attempts(), attempts(), attempts(), marks)
        .prop_map(|(previous, running, queued, unconfirmed, direct_marks)| Inventory {
            previous,
            running,
            queued,
            unconfirmed,
            direct_marks,
        });
    (profile, inventory).prop_map(|(profile, inventory)| Register { profile, inventory })
}

fn report() -> impl Strategy<Value = Report> {
    let outcome = prop_oneof![
        Just(AttemptOutcome::Done),
        remote_error().prop_map(AttemptOutcome::Failed),
        Just(AttemptOutcome::Aborted),
    ];
    (number(), attempt_id(), outcome, run_times(), payload(), task_output()).prop_map(
        |(number, attempt, outcome, times, payload, output)| Report {
            number,
            attempt,
            outcome,
            times,
            payload,
            output,
        },
    )
}

impl Strategies for EngineToHub {
    fn strategies() -> Vec<BoxedStrategy<Self>> {
        let gave_back =
            (attempt_id(), any::<bool>()).prop_map(|(attempt, given)| GaveBack { attempt, given });
        let started = (attempt_id(), number())
            .prop_map(|(attempt, started_us)| Started { attempt, started_us });
        vec![
            message(register().prop_map(Box::new)),
            message(started),
            message(report()),
            message(text().prop_map(|reason| EngineLeave { reason })),
            message(output()),
            message(gave_back),
        ]
    }
}

impl Strategies for HubToEngine {
    fn strategies() -> Vec<BoxedStrategy<Self>> {
        let registered = (registration(), some(attempt_id()))
            .prop_map(|(registration, drop)| Registered { registration, drop });
        let gates = some(task_id());
        let function = option::of(digest());
        let assignment = (attempt_id(), any::<bool>(), method(), payload(), gates, function)
            .prop_map(|(attempt, direct, method, payload, gates, function)| Assignment {
                attempt,
                direct,
                method,
                payload,
                gates,
                function,
            });
        vec![
            message(registered),
            message(assignment),
            message(number().prop_map(|up_to| Confirmed { up_to })),
            message(some(attempt_id()).prop_map(|attempts| AbortAttempts { attempts })),
            message(text().prop_map(|reason| EndEngine { reason })),
            message(define()),
            message(attempt_id().prop_map(|attempt| GiveBack { attempt })),
        ]
    }
}
