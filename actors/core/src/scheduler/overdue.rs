//! Taking back what waits for too long, though nobody idles: a queue that never empties must not keep
//! a task waiting behind one that takes an hour.
//!
//! Where no task has ended for [`OVERDUE_AFTER`], what waits is asked back and queued before all
//! others of its priority, as it had its turn. Nothing more is sent there until a task has ended.
//! Looking is done as seldom while tasks wait anywhere, and takes back so many tasks of an engine
//! at most ([`TAKE_BACK_TASKS_MAX`]): up to that many wait for at most twice that time and a round
//! trip. What the engine keeps, because it has begun it or another waits there for it, is asked
//! for again the next time.
//!
//! An operator who fixed the high water mark chose what waits where; so this is part of the adaptive
//! one alone.

use phalanx_protocol::ids::{EngineId, TaskId};
use phalanx_protocol::limits::{TAKE_BACK_LOOKS_MAX, TAKE_BACK_TASKS_MAX};
use phalanx_protocol::room::SchedulerVerdict;

use super::fleet::{Engine, Fleet};
use super::settings::{Hwm, OVERDUE_AFTER};
use super::take_back::{AskedFor, around};
use super::{Scheduler, SchedulerEffect};
use crate::Time;

impl Scheduler {
    /// When to look where tasks wait for too long, after an event.
    pub(super) fn plan_overdue(&mut self, now: Time) {
        if self.fleet.may_be_overdue() {
            self.overdue_at.get_or_insert(now + OVERDUE_AFTER);
        } else {
            self.overdue_at = None;
        }
    }

    /// Asks back what waits for too long, if it is time to look.
    pub(super) fn look_overdue(&mut self, now: Time, effects: &mut Vec<SchedulerEffect>) {
        if self.overdue_at.is_none_or(|at| at > now) {
            return;
        }
        for (engine, task) in self.fleet.ask_back_overdue(now) {
            effects.push(SchedulerEffect { task, verdict: SchedulerVerdict::TakeBack(engine) });
        }
        self.overdue_at = None;
        self.plan_overdue(now);
    }
}

impl Engine {
    /// Whether no task has ended on it for longer than any may wait behind.
    fn is_overdue(&self, now: Time) -> bool {
        self.ahead.moved_at() + OVERDUE_AFTER <= now
    }
}

impl Fleet {
    fn may_be_overdue(&self) -> bool {
        self.settings.hwm == Hwm::Adaptive && !self.laden.is_empty()
    }

    /// Chooses what is asked back for whichever engine has room first, and notes it.
    fn ask_back_overdue(&mut self, now: Time) -> Vec<(EngineId, TaskId)> {
        let mut looks = TAKE_BACK_LOOKS_MAX;
        let mut all = Vec::new();
        let laden: Vec<_> = around(&self.laden, self.overdue_from).take(looks + 1).collect();
        self.overdue_from = EngineId::default();
        for id in laden {
            if looks == 0 {
                self.overdue_from = id;
                break;
            }
            looks -= 1;
            if !self.engines[&id].is_overdue(now) {
                continue;
            }
            // The newest first: an engine keeps what others wait for there.
            let tasks = self.waiting_on(id, TAKE_BACK_TASKS_MAX, &mut looks, |_| true);
            if !tasks.is_empty() {
                self.note_asked(now, id, AskedFor::Anyone, &tasks);
                all.extend(tasks.into_iter().map(|(_, task)| (id, task)));
            }
        }
        all
    }
}
