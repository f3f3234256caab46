//! What a task waits for, where it depends on others or on amounts that just suffice.

use phalanx_protocol::room::WaitReason;

use super::text::{check, task};
use crate::scheduler::{Hwm, Scheduler, Settings};

fn room() -> Scheduler {
    Scheduler::with_settings(Settings::default().with_hwm(Hwm::Fixed(1)))
}

#[test]
fn only_tasks_that_one_of_its_engines_could_have_are_before_it() {
    let mut room = room();
    check(
        &mut room,
        "up e1 1 a
         up e2 1 a b
         place 1 a        => 1:e1
         place 2 a        => 2:e2
         place 3 b
         place 4 a on e2
         place 5 a
         place 6 a on e1",
    );
    assert_eq!(room.why(task(6)), Some(WaitReason::Busy { ahead: 1 }));
}

#[test]
fn an_amount_that_just_suffices_is_not_what_is_missing() {
    let mut room = room();
    check(&mut room, "up e1 1 a #fast\nup e2 1 a gpu=2\nplace 1 a #fast gpu=2");
    assert_eq!(room.why(task(1)), Some(WaitReason::NoEngineFits));
}
