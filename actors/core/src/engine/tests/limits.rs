//! What happens at each limit of the engine room.

use bytes::Bytes;
use phalanx_protocol::ids::{ClientId, EngineId, Epoch, Incarnation, TaskId, Ticket};
use phalanx_protocol::limits::{
    ATTEMPTS_PER_ENGINE_MAX, DIRECT_MARKS_MAX, EARLY_PAYLOADS_MAX, SETTLED_ATTEMPTS_MAX,
    TOMBSTONES_MAX, UNCONFIRMED_BYTES_MAX,
};
use phalanx_protocol::outcome::{AttemptOutcome, RunTimes};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::peer::{EngineProfile, Registration};
use phalanx_protocol::task::{Assignment, MethodName};

use crate::engine::{EngineEffect, EngineEvent, EngineRoom};
use crate::{Room, Time};

fn registered() -> EngineRoom {
    let mut room = EngineRoom::new(EngineProfile::default());
    play(&mut room, EngineEvent::SessionOpened);
    answer(&mut room);
    room
}

fn answer(room: &mut EngineRoom) {
    let registration =
        Registration { epoch: Epoch(1), engine: EngineId(1), incarnation: Incarnation(1) };
    play(room, EngineEvent::Registered { registration, drop: Vec::new() });
}

fn play(room: &mut EngineRoom, event: EngineEvent) -> Vec<EngineEffect> {
    let mut effects = Vec::new();
    room.handle(Time::ZERO, event, &mut effects);
    effects
}

fn task(seq: u64) -> TaskId {
    TaskId::new(ClientId(1), seq)
}

fn assigned(task: TaskId, direct: bool) -> EngineEvent {
    EngineEvent::Assigned(Assignment {
        attempt: task.attempt(1),
        direct,
        method: MethodName::try_from("f").unwrap(),
        payload: Payload::empty(),
        gates: Vec::new(),
        function: None,
    })
}

fn ran(task: TaskId, payload: Payload) -> EngineEvent {
    let times = RunTimes::default();
    EngineEvent::Ran { attempt: task.attempt(1), outcome: AttemptOutcome::Done, times, payload }
}

fn is_start(effect: &EngineEffect) -> bool {
    matches!(effect, EngineEffect::Start { .. })
}

#[test]
fn an_engine_without_slots_has_one() {
    let mut room = registered();
    assert!(play(&mut room, assigned(task(0), false)).iter().any(is_start));
}

#[test]
fn an_assignment_too_many_breaks_the_rules() {
    let mut room = registered();
    for seq in 0..ATTEMPTS_PER_ENGINE_MAX as u64 {
        assert!(!play(&mut room, assigned(task(seq), false)).contains(&EngineEffect::Reconnect));
    }
    assert_eq!(play(&mut room, assigned(task(5), false)), [], "known");
    let later = assigned(task(ATTEMPTS_PER_ENGINE_MAX as u64), false);
    assert_eq!(play(&mut room, later), [EngineEffect::Reconnect]);
    room.check_invariants();
}

#[test]
fn an_assignment_while_too_much_is_unconfirmed_breaks_the_rules() {
    let mut room = registered();
    for seq in 0..ATTEMPTS_PER_ENGINE_MAX as u64 {
        play(&mut room, assigned(task(seq), false));
        play(&mut room, ran(task(seq), Payload::empty()));
    }
    let later = assigned(task(ATTEMPTS_PER_ENGINE_MAX as u64), false);
    assert_eq!(play(&mut room, later), [EngineEffect::Reconnect]);
}

#[test]
fn nothing_starts_while_too_many_bytes_are_unconfirmed() {
    let mut room = registered();
    let half = Payload::inline(Format::Raw, zeros(UNCONFIRMED_BYTES_MAX / 2));
    for seq in 0..3 {
        play(&mut room, assigned(task(seq), false));
    }
    assert!(play(&mut room, ran(task(0), half.clone())).iter().any(is_start));
    assert!(!play(&mut room, ran(task(1), half)).iter().any(is_start));
    assert!(play(&mut room, EngineEvent::Confirmed(1)).iter().any(is_start));
    room.check_invariants();
}

/// Untouched zero pages: they take no memory.
fn zeros(len: u64) -> Bytes {
    Bytes::from(vec![0; usize::try_from(len).unwrap()])
}

#[test]
fn payloads_too_many_break_the_rules() {
    let mut room = registered();
    for ticket in 0..EARLY_PAYLOADS_MAX as u64 {
        assert_eq!(play(&mut room, EngineEvent::PayloadArrived(Ticket(ticket), Bytes::new())), []);
    }
    let more = EngineEvent::PayloadArrived(Ticket(EARLY_PAYLOADS_MAX as u64), Bytes::new());
    assert_eq!(play(&mut room, more), [EngineEffect::Reconnect]);
    play(&mut room, EngineEvent::SessionClosed);
    assert_eq!(room.loose_ends_len(), 0);
}

#[test]
fn the_oldest_tombstone_is_forgotten_first() {
    let mut room = registered();
    let aborts = (0..=TOMBSTONES_MAX as u64).map(|seq| task(seq).attempt(1)).collect();
    assert_eq!(play(&mut room, EngineEvent::AbortRequested(aborts)), []);
    room.check_invariants();
    assert!(play(&mut room, assigned(task(0), false)).iter().any(is_start));
    for seq in 1..=TOMBSTONES_MAX as u64 {
        let effects = play(&mut room, assigned(task(seq), false));
        assert!(matches!(effects.as_slice(), [EngineEffect::Report(_)]), "{seq}: {effects:?}");
    }
}

#[test]
fn attempts_confirmed_long_ago_are_forgotten() {
    let mut room = registered();
    for seq in 0..=SETTLED_ATTEMPTS_MAX as u64 {
        play(&mut room, assigned(task(seq), false));
        play(&mut room, ran(task(seq), Payload::empty()));
        play(&mut room, EngineEvent::Confirmed(seq + 1));
    }
    assert_eq!(play(&mut room, assigned(task(1), false)), []);
    assert!(play(&mut room, assigned(task(0), false)).iter().any(is_start));
}

#[test]
fn the_client_longest_silent_is_forgotten_first() {
    let mut room = registered();
    let first_of = |client| TaskId::new(ClientId(client), 0);
    for client in 0..DIRECT_MARKS_MAX as u32 {
        play(&mut room, assigned(first_of(client), true));
        play(&mut room, ran(first_of(client), Payload::empty()));
    }
    play(&mut room, assigned(TaskId::new(ClientId(0), 1), true));
    play(&mut room, assigned(first_of(DIRECT_MARKS_MAX as u32), true));
    room.check_invariants();
    play(&mut room, EngineEvent::SessionClosed);
    let effects = play(&mut room, EngineEvent::SessionOpened);
    let [EngineEffect::Register(_, inventory)] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let marks = &inventory.direct_marks;
    assert_eq!(marks.len(), DIRECT_MARKS_MAX);
    assert_eq!(marks[..2], [(ClientId(0), 1), (ClientId(2), 0)]);
}
