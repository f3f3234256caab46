//! Engines and hosts: who registers as what, and what a death means for the tasks it hit.

use std::collections::BTreeSet;

use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::{AttemptId, EngineId, SessionId, TaskId};
use phalanx_protocol::limits::{CRASHES_PER_TASK_MAX, TEXT_LEN_MAX};
use phalanx_protocol::outcome::{Loss, Outcome};
use phalanx_protocol::peer::{EngineProfile, EngineState, Inventory};
use phalanx_protocol::room::EngineCapacity;

use super::kills::Death;
use super::ledger::{Task, TaskState};
use super::sessions::Peer;
use super::{ClientReply, EngineNews, EngineOrder, HostNews, Hub, HubEffect};
use crate::Time;
use crate::scheduler::SchedulerEvent;

impl Hub {
    pub(super) fn on_engine_news(
        &mut self,
        now: Time,
        session: SessionId,
        news: EngineNews,
        effects: &mut Vec<HubEffect>,
    ) {
        match (self.peer(session), news) {
            (Some(Peer::Nameless(_)), EngineNews::Register(profile, inventory)) => {
                self.on_register(now, session, *profile, &inventory, effects);
            }
            (Some(Peer::Engine(engine)), EngineNews::Started(attempt)) => {
                self.on_started(now, engine, attempt);
            }
            (Some(Peer::Engine(engine)), EngineNews::Output(output)) => {
                self.on_output(engine, output, effects);
            }
            // It has a lane of its own and may overtake the registration.
            (Some(Peer::Nameless(_)), EngineNews::Output(_)) => {}
            (Some(Peer::Engine(engine)), EngineNews::Report(report)) => {
                self.on_report(now, session, engine, report, effects);
            }
            (Some(Peer::Engine(engine)), EngineNews::GaveBack(attempt, given)) => {
                self.on_gave_back(now, engine, attempt, given, effects);
            }
            (Some(Peer::Engine(engine)), EngineNews::Leave(reason)) => {
                self.lose_engine(now, engine, &reason, effects);
            }
            (Some(Peer::Nameless(_)), _) => {
                let detail = "an engine registers before it reports";
                Self::refuse_session(session, ErrorCode::OutOfOrder, detail, effects);
            }
            // A repeated registration, or a session that was replaced.
            _ => {}
        }
    }

    fn on_register(
        &mut self,
        now: Time,
        session: SessionId,
        profile: EngineProfile,
        inventory: &Inventory,
        effects: &mut Vec<HubEffect>,
    ) {
        let admission = match self.registry.register(session, profile) {
            Ok(admission) => admission,
            Err((code, detail)) => return Self::refuse_session(session, code, detail, effects),
        };
        let id = admission.registration.engine;
        self.name_session(session, Peer::Engine(id));
        if let Some(replaced) = admission.replaced {
            let detail = "the engine has a newer session";
            self.retire_session(replaced, ErrorCode::Replaced, detail, effects);
        }
        if admission.displaced {
            self.tell_scheduler(SchedulerEvent::EngineDown(id), effects);
            let death = self.death_of(id, "replaced by a new process of the same name");
            self.redistribute(now, id, &death, effects);
        }
        self.greet_engine(now, session, id, &admission.registration, inventory, effects);
        self.ask_condemned(id, effects);
    }

    /// Tells a registered engine what is no longer wanted of what it has, and sends what it lacks.
    fn greet_engine(
        &mut self,
        now: Time,
        session: SessionId,
        id: EngineId,
        registration: &phalanx_protocol::peer::Registration,
        inventory: &Inventory,
        effects: &mut Vec<HubEffect>,
    ) {
        let held = [&inventory.running, &inventory.queued, &inventory.unconfirmed];
        let held: BTreeSet<AttemptId> = held.into_iter().flatten().copied().collect();
        let assigned = self.assigned_in_order(id);
        let wanted: BTreeSet<AttemptId> =
            assigned.iter().filter_map(|task| self.current_attempt(*task)).collect();
        let drop = held.difference(&wanted).copied().collect();
        let order = EngineOrder::Registered(*registration, drop);
        effects.push(HubEffect::ToEngine(session, order));

        let mut abort = Vec::new();
        for task in assigned {
            let Some(attempt) = self.current_attempt(task) else {
                continue;
            };
            let (aborted, over_limit) = self.ledger.get(task).map_or((false, false), |task| {
                let over_limit = task.tries.as_ref().is_some_and(|tries| tries.is_over_limit());
                (task.abort_requested, over_limit)
            });
            if inventory.running.contains(&attempt) {
                self.on_started(now, id, attempt);
            }
            match (held.contains(&attempt), aborted) {
                (true, false) if over_limit => abort.push(attempt),
                (true, false) => {}
                (true, true) => abort.push(attempt),
                (false, false) if self.is_out_of_place(task, id) => {
                    self.call_off(now, task, effects);
                }
                (false, false) => self.send_attempt(task, id, effects),
                // It never arrived, and nobody wants it any more.
                (false, true) => self.end_without_result(now, task, Outcome::Aborted, effects),
            }
        }
        if !abort.is_empty() {
            effects.push(HubEffect::ToEngine(session, EngineOrder::Abort(abort)));
        }
        if let Some(engine) = self.registry.get_mut(id) {
            engine.confirmed = 0;
            engine.reports_end = 0;
        }
        let capacity = self.capacity(id);
        self.tell_scheduler(SchedulerEvent::EngineUp(capacity), effects);
        self.offer_to_narrowed(now, effects);
        if let Some(info) = self.registry.get(id).map(|engine| engine.info(id)) {
            let joined = || ClientReply::EngineJoined(Box::new(info.clone()));
            self.tell_clients(joined, effects);
        }
    }

    fn current_attempt(&self, task: TaskId) -> Option<AttemptId> {
        self.ledger.get(task).map(|known| task.attempt(known.attempts))
    }

    /// What an engine has, in the order it was assigned.
    fn assigned_in_order(&self, id: EngineId) -> Vec<TaskId> {
        let Some(engine) = self.registry.get(id) else {
            return Vec::new();
        };
        let mut tasks: Vec<_> = engine
            .assigned
            .iter()
            .map(|task| (self.ledger.get(*task).map_or(0, Task::order), *task))
            .collect();
        tasks.sort_unstable();
        tasks.into_iter().map(|(_, task)| task).collect()
    }

    /// An engine as the scheduler needs it.
    pub(super) fn capacity(&self, id: EngineId) -> EngineCapacity {
        let mut assigned = self.assigned_in_order(id);
        assigned.retain(|task| self.ledger.get(*task).is_some_and(|task| !task.is_direct()));
        let is_suspect = |task: &TaskId| self.ledger.get(*task).is_some_and(|task| task.suspect);
        let alone = assigned.iter().copied().filter(is_suspect).collect();
        let amounts = |task: &TaskId| {
            let amounts = self.ledger.get(*task).map_or(&[][..], Task::amounts);
            (!amounts.is_empty()).then(|| (*task, amounts.to_vec()))
        };
        let held = assigned.iter().filter_map(amounts).collect();
        let profile = self.registry.get(id).map(|engine| engine.profile());
        EngineCapacity {
            engine: id,
            slots: profile.map_or(0, |profile| profile.slots),
            methods: profile.map_or_else(Vec::new, |profile| profile.methods.clone()),
            assigned,
            alone,
            labels: profile.map_or_else(Vec::new, |profile| profile.labels.clone()),
            resources: profile.map_or_else(Vec::new, |profile| profile.resources.clone()),
            held,
        }
    }

    pub(super) fn on_host_news(
        &mut self,
        now: Time,
        session: SessionId,
        news: HostNews,
        effects: &mut Vec<HubEffect>,
    ) {
        match news {
            HostNews::Attach { .. } => {
                self.name_session(session, Peer::Host);
            }
            HostNews::EngineExited { name, pid, mut cause } => {
                cause.truncate(cause.floor_char_boundary(TEXT_LEN_MAX));
                if let Some(engine) = self.registry.find_process(&name, pid) {
                    self.lose_engine(now, engine, &cause, effects);
                }
            }
        }
    }

    /// An engine is dead, or has been silent for too long.
    pub(super) fn lose_engine(
        &mut self,
        now: Time,
        id: EngineId,
        cause: &str,
        effects: &mut Vec<HubEffect>,
    ) {
        let Some(session) = self.registry.lose(id) else {
            return;
        };
        let death = self.death_of(id, cause);
        let cause = &death.cause;
        if let Some(session) = session {
            let detail = format!("the engine counts as lost: {cause}");
            self.retire_session(session, ErrorCode::Closed, detail, effects);
        }
        self.tell_scheduler(SchedulerEvent::EngineDown(id), effects);
        // Before what became of its tasks: who hears of that knows that the engine is gone.
        self.tell_clients(|| ClientReply::EngineLeft(id, cause.to_owned()), effects);
        self.redistribute(now, id, &death, effects);
    }

    /// What an engine had when it died: direct tasks end, balanced ones move, unless they are what
    /// engines die of. A death that somebody asked for is put down to none of them.
    fn redistribute(
        &mut self,
        now: Time,
        id: EngineId,
        Death { cause, is_asked }: &Death,
        effects: &mut Vec<HubEffect>,
    ) {
        // First what was held back, so that ending the others does not send it.
        self.end_held(now, id, cause, effects);
        let assigned = self.assigned_in_order(id);
        let slots = self.registry.get(id).map_or(0, |engine| engine.profile().slots) as usize;
        for (index, task) in assigned.into_iter().enumerate() {
            let Some(known) = self.ledger.get_mut(task) else {
                continue;
            };
            // What may have run: what said so, what was alone, and the oldest, as many as there are
            // slots. The last is a guess, as reports may have died with the engine: therefore all
            // that was there runs alone from now on.
            let said_so = matches!(known.state(), TaskState::Running(_));
            let blamed = !is_asked && (index < slots || said_so || known.suspect);
            known.suspect |= !is_asked;
            let loss = Loss { engine: id, cause: cause.to_owned() };
            let losses = known.tries.as_ref().map_or(0, |tries| tries.losses.len());
            let losses = losses + usize::from(blamed);
            if blamed {
                known.tries.get_or_insert_default().losses.push(loss.clone());
            }
            if known.abort_requested {
                self.end_without_result(now, task, Outcome::Aborted, effects);
            } else if known.is_direct() {
                let lost = Outcome::EngineLost(Box::new(loss));
                self.end_without_result(now, task, lost, effects);
            } else if losses >= CRASHES_PER_TASK_MAX as usize {
                let tries = known.tries.as_mut();
                let losses = tries.map_or_else(Vec::new, |it| std::mem::take(&mut it.losses));
                self.end_without_result(now, task, Outcome::Poison(losses), effects);
            } else {
                let state = known.state();
                self.stop_clocks(task);
                self.unassign(task, id, state, false);
                self.place(now, task, effects);
            }
        }
    }

    /// Direct tasks that were held back for an engine that is lost now.
    fn end_held(&mut self, now: Time, engine: EngineId, cause: &str, effects: &mut Vec<HubEffect>) {
        let backlog = self.registry.get_mut(engine).map(|engine| engine.backlog.drain(..));
        let mut held: Vec<TaskId> = backlog.into_iter().flatten().collect();
        for client in self.clients.ids() {
            let queue = self.clients.get_mut(client).and_then(|client| client.held.remove(&engine));
            held.extend(queue.into_iter().flatten());
        }
        for task in held {
            let loss = Loss { engine, cause: cause.to_owned() };
            let lost = Outcome::EngineLost(Box::new(loss));
            self.end_without_result(now, task, lost, effects);
        }
    }

    /// Whether an engine may be assigned tasks: one that is silent gets them when it is back.
    pub(super) fn is_present(&self, engine: EngineId) -> bool {
        self.registry.get(engine).is_some_and(|engine| engine.state() != EngineState::Lost)
    }

    /// The engines that may be assigned tasks, by id.
    pub(super) fn engines_present(&self) -> Vec<EngineId> {
        self.registry
            .iter()
            .filter(|(_, engine)| engine.state() != EngineState::Lost)
            .map(|(id, _)| id)
            .collect()
    }
}
