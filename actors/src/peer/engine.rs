//! The engine conversation, at the hub and at the engine. Nothing but translation.

use phalanx_core::engine::{EngineEffect, EngineEvent};
use phalanx_core::hub::{EngineNews, EngineOrder};
use phalanx_protocol::engine::{
    AbortAttempts, Confirmed, EndEngine, EngineLeave, EngineToHub, GaveBack, GiveBack, HubToEngine,
    Register, Registered, Started,
};
use phalanx_protocol::function::Function;
use phalanx_protocol::ids::AttemptId;
use phalanx_protocol::payload::Payload;
use phalanx_protocol::task::MethodName;

/// What an engine's message tells the hub.
pub fn engine_news(message: EngineToHub) -> EngineNews {
    match message {
        EngineToHub::Register(register) => {
            let Register { profile, inventory } = *register;
            EngineNews::Register(Box::new(profile), Box::new(inventory))
        }
        // When it started is told again, by the report; until then only that it did matters.
        EngineToHub::Started(Started { attempt, .. }) => EngineNews::Started(attempt),
        EngineToHub::Output(output) => EngineNews::Output(output),
        EngineToHub::Report(report) => EngineNews::Report(report),
        EngineToHub::GaveBack(GaveBack { attempt, given }) => EngineNews::GaveBack(attempt, given),
        EngineToHub::Leave(EngineLeave { reason }) => EngineNews::Leave(reason),
    }
}

/// What the hub tells an engine, as it travels.
pub fn engine_message(order: EngineOrder) -> HubToEngine {
    match order {
        EngineOrder::Registered(registration, drop) => {
            HubToEngine::Registered(Registered { registration, drop })
        }
        EngineOrder::Define(define) => HubToEngine::Define(*define),
        EngineOrder::Assign(assignment) => HubToEngine::Assign(*assignment),
        EngineOrder::Confirmed(up_to) => HubToEngine::Confirmed(Confirmed { up_to }),
        EngineOrder::Abort(attempts) => HubToEngine::AbortAttempts(AbortAttempts { attempts }),
        EngineOrder::GiveBack(attempt) => HubToEngine::GiveBack(GiveBack { attempt }),
        EngineOrder::End(reason) => HubToEngine::EndEngine(EndEngine { reason }),
    }
}

/// What the hub's message is to an engine.
pub fn engine_event(message: HubToEngine) -> EngineEvent {
    match message {
        HubToEngine::Registered(Registered { registration, drop }) => {
            EngineEvent::Registered { registration, drop }
        }
        HubToEngine::Define(define) => EngineEvent::Defined(define),
        HubToEngine::Assign(assignment) => EngineEvent::Assigned(assignment),
        HubToEngine::Confirmed(Confirmed { up_to }) => EngineEvent::Confirmed(up_to),
        HubToEngine::AbortAttempts(AbortAttempts { attempts }) => {
            EngineEvent::AbortRequested(attempts)
        }
        HubToEngine::GiveBack(GiveBack { attempt }) => EngineEvent::AskedBack(attempt),
        HubToEngine::EndEngine(EndEngine { reason }) => EngineEvent::EndRequested(reason),
    }
}

/// What an engine wants done, sorted by who does it.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineStatement {
    /// The session: this is to be said to the hub.
    Say(EngineToHub),
    /// The executor: run this.
    Start {
        /// Which attempt.
        attempt: AttemptId,
        /// What to call.
        method: MethodName,
        /// With what; inline.
        payload: Payload,
        /// The function that goes with it.
        function: Option<Function>,
    },
    /// The executor: interrupt this if it still runs.
    Interrupt(AttemptId),
    /// The executor: forget this if you keep it, and say whether you did.
    Withdraw(AttemptId),
    /// The session: close it and connect anew.
    Reconnect,
    /// Everything: say this goodbye, then end.
    End(EngineToHub),
}

/// Who is to do what an engine wants done. `started_us` is the wall clock at which an attempt of
/// which it says so has started.
pub fn engine_statement(
    effect: EngineEffect,
    started_us: impl FnOnce(AttemptId) -> u64,
) -> EngineStatement {
    match effect {
        EngineEffect::Register(profile, inventory) => {
            let register = Register { profile: *profile, inventory: *inventory };
            EngineStatement::Say(EngineToHub::Register(Box::new(register)))
        }
        EngineEffect::Started(attempt) => {
            let started = Started { attempt, started_us: started_us(attempt) };
            EngineStatement::Say(EngineToHub::Started(started))
        }
        EngineEffect::Output(output) => EngineStatement::Say(EngineToHub::Output(output)),
        EngineEffect::Report(report) => EngineStatement::Say(EngineToHub::Report(report)),
        EngineEffect::GaveBack { attempt, given } => {
            EngineStatement::Say(EngineToHub::GaveBack(GaveBack { attempt, given }))
        }
        EngineEffect::Start { attempt, method, payload, function } => {
            EngineStatement::Start { attempt, method, payload, function }
        }
        EngineEffect::Interrupt(attempt) => EngineStatement::Interrupt(attempt),
        EngineEffect::Withdraw(attempt) => EngineStatement::Withdraw(attempt),
        EngineEffect::Reconnect => EngineStatement::Reconnect,
        EngineEffect::End(reason) => {
            EngineStatement::End(EngineToHub::Leave(EngineLeave { reason }))
        }
    }
}

#[cfg(test)]
mod tests {
    use phalanx_protocol::function::{Define, Digest};
    use phalanx_protocol::ids::{ClientId, EngineId, Epoch, Incarnation, TaskId};
    use phalanx_protocol::outcome::{AttemptOutcome, Report, RunTimes};
    use phalanx_protocol::output::Output;
    use phalanx_protocol::peer::{EngineProfile, Inventory, Registration};
    use phalanx_protocol::task::Assignment;

    use super::*;

    const ATTEMPT: AttemptId = TaskId::new(ClientId(7), 42).attempt(1);

    fn profile() -> EngineProfile {
        EngineProfile { pid: 5, ..EngineProfile::default() }
    }

    fn inventory() -> Inventory {
        Inventory { running: vec![ATTEMPT], ..Inventory::default() }
    }

    fn report() -> Report {
        Report {
            number: 3,
            attempt: ATTEMPT,
            outcome: AttemptOutcome::Done,
            times: RunTimes::default(),
            payload: Payload::empty(),
            output: None,
        }
    }

    fn output() -> Output {
        Output { attempt: ATTEMPT, offset: 4, chunks: Vec::new() }
    }

    fn assignment() -> Assignment {
        Assignment {
            attempt: ATTEMPT,
            direct: true,
            method: "m".try_into().unwrap(),
            payload: Payload::empty(),
            gates: Vec::new(),
            function: None,
        }
    }

    fn define() -> Define {
        let payload = Payload::empty();
        Define { number: 3, digest: Digest([7; 16]), reset: true, payload }
    }

    fn registration() -> Registration {
        Registration { epoch: Epoch(1), engine: EngineId(2), incarnation: Incarnation(3) }
    }

    /// What the engine wants said arrives at the hub as the news it is about.
    #[test]
    fn an_engines_statements_reach_the_hub_as_news() {
        let table = [
            (
                EngineEffect::Register(Box::new(profile()), Box::new(inventory())),
                EngineNews::Register(Box::new(profile()), Box::new(inventory())),
            ),
            (EngineEffect::Started(ATTEMPT), EngineNews::Started(ATTEMPT)),
            (EngineEffect::Output(output()), EngineNews::Output(output())),
            (EngineEffect::Report(report()), EngineNews::Report(report())),
            (
                EngineEffect::GaveBack { attempt: ATTEMPT, given: true },
                EngineNews::GaveBack(ATTEMPT, true),
            ),
            (
                EngineEffect::GaveBack { attempt: ATTEMPT, given: false },
                EngineNews::GaveBack(ATTEMPT, false),
            ),
        ];
        for (effect, news) in table {
            let EngineStatement::Say(message) = engine_statement(effect, |_| 17) else {
                panic!("{news:?} is for the hub");
            };
            if let EngineToHub::Started(started) = &message {
                assert_eq!(started.started_us, 17);
            }
            assert_eq!(engine_news(message), news);
        }
        let end = engine_statement(EngineEffect::End("asked".into()), |_| 0);
        let EngineStatement::End(message) = end else { panic!("{end:?} ends the engine") };
        assert_eq!(engine_news(message), EngineNews::Leave("asked".into()));
    }

    #[test]
    fn the_hubs_orders_reach_the_engine_as_events() {
        let table = [
            (
                EngineOrder::Registered(registration(), vec![ATTEMPT]),
                EngineEvent::Registered { registration: registration(), drop: vec![ATTEMPT] },
            ),
            (EngineOrder::Define(Box::new(define())), EngineEvent::Defined(define())),
            (EngineOrder::Assign(Box::new(assignment())), EngineEvent::Assigned(assignment())),
            (EngineOrder::Confirmed(4), EngineEvent::Confirmed(4)),
            (EngineOrder::Abort(vec![ATTEMPT]), EngineEvent::AbortRequested(vec![ATTEMPT])),
            (EngineOrder::GiveBack(ATTEMPT), EngineEvent::AskedBack(ATTEMPT)),
            (EngineOrder::End("stop".into()), EngineEvent::EndRequested("stop".into())),
        ];
        for (order, event) in table {
            assert_eq!(engine_event(engine_message(order)), event);
        }
    }

    #[test]
    fn what_is_not_for_the_hub_goes_to_the_executor_or_the_session() {
        let method: MethodName = "m".try_into().unwrap();
        let function = Function { digest: Digest([7; 16]), bytes: b"def"[..].into() };
        let start = EngineEffect::Start {
            attempt: ATTEMPT,
            method: method.clone(),
            payload: Payload::empty(),
            function: Some(function.clone()),
        };
        let (payload, function) = (Payload::empty(), Some(function));
        let expected = EngineStatement::Start { attempt: ATTEMPT, method, payload, function };
        assert_eq!(engine_statement(start, |_| 0), expected);
        assert_eq!(
            engine_statement(EngineEffect::Interrupt(ATTEMPT), |_| 0),
            EngineStatement::Interrupt(ATTEMPT)
        );
        assert_eq!(
            engine_statement(EngineEffect::Withdraw(ATTEMPT), |_| 0),
            EngineStatement::Withdraw(ATTEMPT)
        );
        assert_eq!(engine_statement(EngineEffect::Reconnect, |_| 0), EngineStatement::Reconnect);
    }
}
