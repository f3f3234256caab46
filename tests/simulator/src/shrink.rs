//! A failing plan cut down to what it needs to fail, by leaving out ever smaller pieces (ddmin:
//! Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).

use crate::plan::Plan;
use crate::run;

/// Leaves out actions and oddities as long as the plan still fails, with whatever violation.
pub fn shrink(plan: &Plan) -> Plan {
    let mut smallest = calm(plan.clone());
    let mut piece = smallest.actions.len().div_ceil(2);
    while piece > 0 {
        let mut from = 0;
        while from < smallest.actions.len() {
            let mut without = smallest.clone();
            let to = (from + piece).min(without.actions.len());
            without.actions.drain(from..to);
            if fails(&without) {
                smallest = without;
            } else {
                from += piece;
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    smallest
}

/// Switches off what the failure does not need.
fn calm(mut plan: Plan) -> Plan {
    let tries: [fn(&mut Plan); 5] = [
        |plan| plan.repeat_one_in = 0,
        |plan| plan.cursed = None,
        |plan| plan.client_tasks = 1_000,
        |plan| plan.inline_len_max = 4_096,
        |plan| plan.shared_memory_one_in = 0,
    ];
    for change in tries {
        let mut calmer = plan.clone();
        change(&mut calmer);
        if fails(&calmer) {
            plan = calmer;
        }
    }
    plan
}

fn fails(plan: &Plan) -> bool {
    run(plan, false).violation.is_some()
}
