//! How long the tasks that an engine has are expected to take, learned from those that ended.
//! Owned by the scheduler's engines; it decides nothing.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::methods::MethodId;
use super::settings::{AHEAD_NANOS, AVERAGE_SHIFT, COST_NANOS_MIN, FOLLOWED_NANOS_MAX};

/// What the tasks of one engine cost it.
///
/// An engine is full when its tasks cost [`AHEAD_NANOS`] per slot. A task costs that much if nothing
/// is known about it, or if it is too long for another to wait behind it: it fills its slot alone.
/// Otherwise it costs the time it is expected to take, and at the most one nanosecond less than
/// fills a slot, so that when all slots are taken there is room for one more. Costs are learned per
/// method, so that short tasks that ran before do not let long ones of another method be sent ahead.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    paces: FxHashMap<MethodId, Pace>,
    /// Tasks of which the method is not known: the engine had them when the scheduler met it.
    strangers: u32,
    nanos: u64,
}

/// What is known of one method on one engine.
#[derive(Debug)]
struct Pace {
    /// Its tasks that the engine has now.
    tasks: u32,
    average_nanos: Option<u64>,
    /// What each of its tasks counts as: the average, except that it comes down slowly.
    cost_nanos: u64,
    /// Tasks that must end before the cost may halve again.
    ends_to_halving: u64,
}

impl Pace {
    fn new(slots: u32) -> Self {
        let cost_nanos = AHEAD_NANOS;
        Self {
            tasks: 0,
            average_nanos: None,
            cost_nanos,
            ends_to_halving: tasks_per_window(slots, cost_nanos),
        }
    }

    /// One of its tasks ended after this long.
    ///
    /// The cost goes up with the average at once, and comes down by at most half per window's
    /// worth of tasks (slow start): a few short tasks that happen to come first do not make the
    /// engine hoard, and yet the widest window is reached after ten windows.
    fn learn(&mut self, ran_nanos: u64, slots: u32) {
        let average = self.average_nanos.map_or(ran_nanos, |average| {
            average - (average >> AVERAGE_SHIFT) + (ran_nanos >> AVERAGE_SHIFT)
        });
        self.average_nanos = Some(average);
        let goal = cost_of(average);
        self.ends_to_halving -= 1;
        if goal < self.cost_nanos {
            if self.ends_to_halving > 0 {
                return;
            }
            self.cost_nanos = goal.max(self.cost_nanos / 2);
        } else {
            self.cost_nanos = goal;
        }
        self.ends_to_halving = tasks_per_window(slots, self.cost_nanos);
    }
}

/// What tasks that are expected to take so long cost.
const fn cost_of(average_nanos: u64) -> u64 {
    match average_nanos {
        0..COST_NANOS_MIN => COST_NANOS_MIN,
        COST_NANOS_MIN..AHEAD_NANOS => average_nanos,
        AHEAD_NANOS..=FOLLOWED_NANOS_MAX => AHEAD_NANOS - 1,
        _ => AHEAD_NANOS,
    }
}

/// How many tasks of this cost an engine has when it is full.
const fn tasks_per_window(slots: u32, cost_nanos: u64) -> u64 {
    let tasks = (slots as u64 * AHEAD_NANOS).div_ceil(cost_nanos);
    if tasks == 0 { 1 } else { tasks }
}

impl Backlog {
    /// What all tasks cost together.
    pub(super) const fn nanos(&self) -> u64 {
        self.nanos
    }

    /// The engine was given a task.
    pub(super) fn add(&mut self, method: Option<MethodId>, slots: u32) {
        let Some(method) = method else {
            self.strangers += 1;
            self.nanos += AHEAD_NANOS;
            return;
        };
        let pace = self.paces.entry(method).or_insert_with(|| Pace::new(slots));
        pace.tasks += 1;
        self.nanos += pace.cost_nanos;
    }

    /// The engine has a task no longer; it ran so long, if that is known.
    pub(super) fn remove(&mut self, method: Option<MethodId>, slots: u32, ran: Option<Duration>) {
        let Some(method) = method else {
            self.strangers -= 1;
            self.nanos -= AHEAD_NANOS;
            return;
        };
        let pace = self.paces.get_mut(&method).expect("made when the task was added");
        self.nanos -= u64::from(pace.tasks) * pace.cost_nanos;
        pace.tasks -= 1;
        if let Some(ran) = ran {
            pace.learn(u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX), slots);
        }
        self.nanos += u64::from(pace.tasks) * pace.cost_nanos;
    }

    /// A task of this method runs for longer than all was expected to take: it is taken to be long,
    /// like one of which nothing is known.
    pub(super) fn shut(&mut self, method: MethodId, slots: u32) {
        let Some(pace) = self.paces.get_mut(&method) else { return };
        self.nanos += u64::from(pace.tasks) * (AHEAD_NANOS - pace.cost_nanos);
        pace.cost_nanos = AHEAD_NANOS;
        pace.ends_to_halving = tasks_per_window(slots, AHEAD_NANOS);
    }

    /// The same, of all methods of which it has tasks.
    pub(super) fn shut_all(&mut self, slots: u32) {
        let busy = self.paces.iter().filter(|(_, pace)| pace.tasks > 0).map(|(method, _)| *method);
        busy.collect::<Vec<_>>().into_iter().for_each(|method| self.shut(method, slots));
    }

    /// Panics unless these are the tasks that were added and not removed.
    pub(super) fn check(&self, tasks: impl Iterator<Item = Option<MethodId>>) {
        let mut strangers = 0;
        let mut counts: FxHashMap<MethodId, u32> = FxHashMap::default();
        for method in tasks {
            match method {
                None => strangers += 1,
                Some(method) => *counts.entry(method).or_default() += 1,
            }
        }
        assert_eq!(strangers, self.strangers);
        let mut nanos = u64::from(strangers) * AHEAD_NANOS;
        for (method, pace) in &self.paces {
            assert_eq!(counts.remove(method).unwrap_or_default(), pace.tasks);
            assert!((COST_NANOS_MIN..=AHEAD_NANOS).contains(&pace.cost_nanos));
            nanos += u64::from(pace.tasks) * pace.cost_nanos;
        }
        assert!(counts.is_empty(), "a task has no pace");
        assert_eq!(nanos, self.nanos);
    }
}
