//! Random orders of events: a small hub and a small executor that keep the rules drive the room,
//! while sessions are cut, messages come late or again, and the hub loses the engine or itself.

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{Step, World};

fn step() -> impl Strategy<Value = Step> {
    let pick = || any::<u8>().prop_map(usize::from);
    prop_oneof![
        8 => (0..2u32, any::<bool>(), prop::bool::weighted(0.3), any::<bool>())
            .prop_map(|(client, direct, by_ticket, gated)| {
                Step::Submit { client, direct, by_ticket, gated }
            }),
        16 => Just(Step::DeliverTasks),
        4 => Just(Step::DeliverControl),
        5 => pick().prop_map(Step::DeliverPayload),
        10 => Just(Step::DeliverToHub),
        3 => pick().prop_map(Step::Repeat),
        8 => (pick(), any::<bool>()).prop_map(|(which, well)| Step::Finish(which, well)),
        3 => pick().prop_map(Step::Abort),
        3 => pick().prop_map(Step::AskBack),
        3 => Just(Step::Withdraw),
        3 => Just(Step::Confirm),
        2 => Just(Step::Cut),
        4 => Just(Step::Open),
        1 => Just(Step::LoseEngine),
        1 => Just(Step::RestartHub),
        2 => (0..80u64).prop_map(Step::Sleep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_tasks_run_once_in_order_and_are_reported(
        slots in 1..4u32,
        ahead in 0..4u32,
        steps in vec(step(), 0..150),
    ) {
        let mut world = World::new(slots, ahead);
        world.play(Step::Open);
        world.play(Step::DeliverToHub);
        world.play(Step::DeliverTasks);
        for step in steps {
            world.play(step);
        }
        world.finish();
    }
}
