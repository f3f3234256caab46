//! A small hub, a small executor and the lanes between them and the room. They keep the rules of
//! the conversation; what the room does is checked at each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use phalanx_protocol::ids::{AttemptId, ClientId, EngineId, Epoch, TaskId, Ticket};
use phalanx_protocol::limits::INLINE_LEN_MAX;
use phalanx_protocol::outcome::{AttemptOutcome, Report, RunTimes};
use phalanx_protocol::payload::{Body, Format, Payload};
use phalanx_protocol::peer::{EngineProfile, Inventory, Registration};
use phalanx_protocol::task::{Assignment, MethodName};

use super::hub_side::{HubSide, Task};
use super::link::Link;
use crate::engine::{EngineEffect, EngineEvent, EngineRoom};
use crate::{Room, Time};

/// What may happen next. Numbers pick one of those there are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Submit {
        client: u32,
        direct: bool,
        by_ticket: bool,
        gated: bool,
    },
    DeliverTasks,
    DeliverControl,
    DeliverPayload(usize),
    DeliverToHub,
    /// Sends something that was sent in this session once more, last in its lane.
    Repeat(usize),
    Finish(usize, bool),
    Abort(usize),
    /// The hub could have another engine start one of its tasks.
    AskBack(usize),
    /// The executor answers whether it has begun what is wanted back.
    Withdraw,
    Confirm,
    Cut,
    Open,
    /// The lease ends: direct tasks end, the others get another attempt.
    LoseEngine,
    /// The ledger is gone: names begin anew.
    RestartHub,
    Sleep(u64),
}

/// The room and all around it.
#[derive(Debug)]
pub(super) struct World {
    room: EngineRoom,
    slots: usize,
    /// How many more the executor keeps.
    ahead: usize,
    now: Time,
    hub: HubSide,
    link: Link,
    /// In the order in which the executor runs them.
    executing: Vec<AttemptId>,
    /// Which of these the executor is asked to forget.
    withdrawing: VecDeque<AttemptId>,
    interrupted: Vec<AttemptId>,
    started: BTreeSet<(Epoch, AttemptId)>,
    last_direct: BTreeMap<(Epoch, ClientId), u64>,
    /// Every report said, by number.
    reports: BTreeMap<u64, Report>,
    said: BTreeSet<(Epoch, AttemptId)>,
    /// Given back in this session.
    given_back: BTreeSet<(Epoch, AttemptId)>,
}

impl World {
    pub(super) fn new(slots: u32, ahead: u32) -> Self {
        let profile = EngineProfile { slots, ..EngineProfile::default() };
        Self {
            room: EngineRoom::new(profile).starting_ahead(ahead),
            slots: slots as usize,
            ahead: ahead as usize,
            now: Time::ZERO,
            hub: HubSide::default(),
            link: Link::default(),
            executing: Vec::new(),
            withdrawing: VecDeque::new(),
            interrupted: Vec::new(),
            started: BTreeSet::new(),
            last_direct: BTreeMap::new(),
            reports: BTreeMap::new(),
            said: BTreeSet::new(),
            given_back: BTreeSet::new(),
        }
    }

    pub(super) fn play(&mut self, step: Step) {
        match step {
            Step::Submit { client, direct, by_ticket, gated } => {
                self.submit(client, direct, by_ticket, gated);
            }
            Step::DeliverTasks => {
                let event = self.link.tasks.pop_front();
                self.deliver(event);
            }
            Step::DeliverControl => {
                let event = self.link.control.pop_front();
                self.deliver(event);
            }
            Step::DeliverPayload(which) => {
                let event = pick(&self.link.payloads, which);
                let event = event.map(|which| self.link.payloads.swap_remove(which));
                self.deliver(event);
            }
            Step::DeliverToHub => self.deliver_to_hub(),
            Step::Repeat(which) => {
                if let Some(which) = pick(&self.link.sent, which) {
                    let event = self.link.sent[which].clone();
                    self.link.forward(event);
                }
            }
            Step::Finish(which, well) => {
                if let Some(which) = pick(&self.executing, which) {
                    self.finish_one(which, well);
                }
            }
            Step::Abort(which) => self.abort(which),
            Step::AskBack(which) => self.ask_back(which),
            Step::Withdraw => self.withdraw(),
            Step::Confirm if self.hub.is_registered => {
                self.link.send(EngineEvent::Confirmed(self.hub.recorded));
            }
            Step::Confirm => {}
            Step::Cut => self.cut(),
            Step::Open => self.open(),
            Step::LoseEngine => self.lose_engine(),
            Step::RestartHub => self.restart_hub(),
            Step::Sleep(ms) => self.sleep(ms),
        }
    }

    /// Lets everything come to its end, and checks that it does.
    pub(super) fn finish(&mut self) {
        for _ in 0..20 {
            self.open();
            while !(self.link.to_hub.is_empty()
                && self.link.control.is_empty()
                && self.link.tasks.is_empty()
                && self.link.payloads.is_empty()
                && self.withdrawing.is_empty()
                && self.executing.is_empty())
            {
                self.play(Step::DeliverToHub);
                self.play(Step::DeliverControl);
                self.play(Step::DeliverTasks);
                self.play(Step::DeliverPayload(0));
                self.play(Step::Withdraw);
                self.play(Step::Finish(0, true));
            }
            self.play(Step::Confirm);
        }
        assert!(self.hub.ledger.iter().all(|task| task.ended), "without outcome: {self:#?}");
        assert!(self.room.is_idle(), "something is left: {self:#?}");
        self.cut();
        assert_eq!(self.room.loose_ends_len(), 0);
    }

    fn submit(&mut self, client: u32, direct: bool, by_ticket: bool, gated: bool) {
        let seq = self.hub.next_seq[client as usize];
        self.hub.next_seq[client as usize] += 1;
        let last = self.hub.ledger.iter().rev().take(2).filter(|task| !task.ended);
        let gates = if gated && !direct { last.map(|task| task.id).collect() } else { Vec::new() };
        let id = TaskId::new(ClientId(client), seq);
        let (aborted, ended, done) = (false, false, false);
        let task = Task { id, number: 1, direct, by_ticket, gates, aborted, ended, done };
        self.hub.ledger.push(task);
        if self.hub.is_registered {
            self.assign(self.hub.ledger.len() - 1);
        }
    }

    fn assign(&mut self, which: usize) {
        let task = &self.hub.ledger[which];
        let mut payload = Payload::empty();
        if task.by_ticket {
            let ticket = Ticket(self.hub.next_ticket);
            self.hub.next_ticket += 1;
            payload.body = Body::Ticket { ticket, len: 3 };
            self.link.send(EngineEvent::PayloadArrived(ticket, Bytes::from_static(b"abc")));
        }
        self.link.send(EngineEvent::Assigned(Assignment {
            attempt: task.id.attempt(task.number),
            direct: task.direct,
            method: MethodName::try_from("f").unwrap(),
            payload,
            gates: self.hub.open_gates(task),
            function: None,
        }));
    }

    fn abort(&mut self, which: usize) {
        let Some(which) = pick(&self.hub.ledger, which) else { return };
        let task = &mut self.hub.ledger[which];
        if !task.ended {
            task.aborted = true;
            if self.hub.is_registered {
                let attempts = vec![task.id.attempt(task.number)];
                self.link.send(EngineEvent::AbortRequested(attempts));
            }
        }
    }

    fn ask_back(&mut self, which: usize) {
        let Some(which) = pick(&self.hub.ledger, which).filter(|_| self.hub.is_registered) else {
            return;
        };
        let task = &self.hub.ledger[which];
        let attempt = task.id.attempt(task.number);
        self.link.send(EngineEvent::AskedBack(attempt));
    }

    /// The executor forgets what it has not begun.
    fn withdraw(&mut self) {
        let Some(attempt) = self.withdrawing.pop_front() else { return };
        let place = self.executing.iter().position(|executing| *executing == attempt);
        let kept = place.filter(|place| *place >= self.slots);
        if let Some(kept) = kept {
            self.executing.remove(kept);
            self.interrupted.retain(|interrupted| *interrupted != attempt);
            // It never began: in another session it may come here again.
            self.started.retain(|(_, started)| *started != attempt);
        }
        self.deliver(Some(EngineEvent::Withdrew(attempt, kept.is_some())));
    }

    /// The next attempt comes here again: there is no other engine.
    fn take_back(&mut self, attempt: AttemptId) {
        let is_current = |task: &Task| !task.ended && task.id.attempt(task.number) == attempt;
        let Some(which) = self.hub.ledger.iter().position(is_current) else { return };
        let task = &mut self.hub.ledger[which];
        assert!(!task.direct, "{attempt} never moves");
        task.number += 1;
        if task.aborted {
            self.hub.end(which, false);
        } else {
            self.assign(which);
        }
    }

    fn deliver_to_hub(&mut self) {
        match self.link.to_hub.pop_front() {
            None | Some(EngineEffect::Started(_)) => {}
            Some(EngineEffect::Register(_, inventory)) => self.register(&inventory),
            Some(EngineEffect::GaveBack { attempt, given: true }) => self.take_back(attempt),
            Some(EngineEffect::GaveBack { given: false, .. }) => {}
            Some(EngineEffect::Report(report)) => {
                assert!(self.hub.is_registered, "a report before the registration");
                self.hub.recorded = self.hub.recorded.max(report.number + 1);
                let AttemptId { task: id, number } = report.attempt;
                let current = |task: &Task| task.id == id && task.number == number;
                if let Some(which) = self.hub.ledger.iter().position(current) {
                    self.hub.end(which, report.outcome == AttemptOutcome::Done);
                }
            }
            Some(effect) => panic!("{effect:?} is not for the hub"),
        }
    }

    fn register(&mut self, inventory: &Inventory) {
        let Inventory { previous, running, queued, unconfirmed, direct_marks } = inventory;
        self.hub.is_registered = true;
        self.hub.recorded = 0;
        let held = || running.iter().chain(queued).chain(unconfirmed);
        assert_eq!(held().collect::<BTreeSet<_>>().len(), held().count(), "listed twice");
        let stranger = previous.is_none_or(|previous| previous.epoch != self.hub.epoch);
        let wanted = |attempt: &AttemptId| {
            let task = self.hub.ledger.iter().find(|task| task.id == attempt.task);
            task.is_some_and(|task| !stranger && !task.ended && task.number == attempt.number)
        };
        let registration = Registration {
            epoch: self.hub.epoch,
            engine: EngineId(1),
            incarnation: self.hub.incarnation,
        };
        let drop = held().filter(|attempt| !wanted(attempt)).copied().collect();
        self.link.send(EngineEvent::Registered { registration, drop });
        for which in 0..self.hub.ledger.len() {
            let task = &mut self.hub.ledger[which];
            let attempt = task.id.attempt(task.number);
            let has = !stranger && held().any(|held| *held == attempt);
            match (task.ended, has, task.aborted) {
                (true, ..) | (false, true, false) => {}
                (false, true, true) => {
                    self.link.send(EngineEvent::AbortRequested(vec![attempt]));
                }
                (false, false, true) => self.hub.end(which, false),
                (false, false, false) => {
                    let mark = direct_marks.iter().find(|(client, _)| *client == task.id.client);
                    let seen = mark.is_some_and(|(_, seq)| task.id.seq <= *seq);
                    assert!(stranger || !task.direct || !seen, "{} would be ignored", task.id);
                    self.assign(which);
                }
            }
        }
    }

    fn open(&mut self) {
        if !self.link.is_up {
            self.link.is_up = true;
            self.deliver(Some(EngineEvent::SessionOpened));
        }
    }

    fn cut(&mut self) {
        if self.link.is_up {
            self.link = Link::default();
            self.hub.is_registered = false;
            self.given_back.clear();
            self.deliver(Some(EngineEvent::SessionClosed));
        }
    }

    fn lose_engine(&mut self) {
        self.cut();
        self.hub.incarnation.0 += 1;
        for which in 0..self.hub.ledger.len() {
            let task = &mut self.hub.ledger[which];
            task.number += 1;
            if !task.ended && (task.direct || task.aborted) {
                self.hub.end(which, false);
            }
        }
    }

    fn restart_hub(&mut self) {
        self.cut();
        let epoch = Epoch(self.hub.epoch.0 + 1);
        self.hub = HubSide { epoch, ..HubSide::default() };
    }

    fn sleep(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        let mut effects = Vec::new();
        self.room.on_deadline(self.now, &mut effects);
        let late = self.room.next_deadline().is_some_and(|deadline| deadline <= self.now);
        assert!(!late, "it would be woken for ever");
        self.carry_out(effects);
    }

    fn finish_one(&mut self, which: usize, well: bool) {
        let attempt = self.executing.remove(which);
        self.interrupted.retain(|interrupted| *interrupted != attempt);
        let outcome = if well { AttemptOutcome::Done } else { AttemptOutcome::Aborted };
        let times = RunTimes { started_us: 1, ran_ns: 1 };
        let len = if well && attempt.task.seq.is_multiple_of(3) { INLINE_LEN_MAX + 1 } else { 0 };
        let payload = Payload::inline(Format::Raw, Bytes::from(vec![0; len]));
        self.deliver(Some(EngineEvent::Ran { attempt, outcome, times, payload }));
    }

    fn deliver(&mut self, event: Option<EngineEvent>) {
        let Some(event) = event else { return };
        self.link.is_answered |= matches!(event, EngineEvent::Registered { .. });
        let mut effects = Vec::new();
        self.room.handle(self.now, event, &mut effects);
        self.room.check_invariants();
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<EngineEffect>) {
        for effect in effects {
            match effect {
                EngineEffect::Start { attempt, payload, .. } => {
                    assert!(payload.bytes().is_some(), "{attempt} has no payload");
                    self.start(attempt);
                }
                EngineEffect::Interrupt(attempt) => {
                    assert!(self.executing.contains(&attempt), "{attempt} does not run");
                    assert!(!self.interrupted.contains(&attempt), "{attempt} twice");
                    self.interrupted.push(attempt);
                }
                EngineEffect::Withdraw(attempt) => self.withdrawing.push_back(attempt),
                EngineEffect::Started(attempt) => {
                    assert!(self.link.is_answered && self.executing.contains(&attempt));
                    self.link.to_hub.push_back(effect);
                }
                EngineEffect::Output(ref output) => {
                    assert!(self.link.is_answered && self.executing.contains(&output.attempt));
                }
                EngineEffect::Report(ref report) => {
                    assert!(self.link.is_answered, "{report:?} before the answer");
                    self.check_report(report);
                    self.link.to_hub.push_back(effect);
                }
                EngineEffect::GaveBack { attempt, given } => {
                    assert!(self.link.is_answered, "{attempt} before the answer");
                    if given {
                        // What a hub that is gone has left behind may run under the same name.
                        let name = (self.epoch(), attempt);
                        let runs =
                            self.executing.contains(&attempt) && self.started.contains(&name);
                        assert!(!runs, "{attempt} runs");
                        assert!(self.given_back.insert(name), "{attempt} is given back twice");
                    }
                    self.link.to_hub.push_back(effect);
                }
                EngineEffect::Register(..) => self.link.to_hub.push_back(effect),
                EngineEffect::Reconnect => panic!("the hub kept the rules"),
                EngineEffect::End(reason) => panic!("nobody asked for that: {reason}"),
            }
        }
    }

    /// The life of the hub in which the room was answered last.
    fn epoch(&self) -> Epoch {
        self.room.registration().unwrap().epoch
    }

    fn start(&mut self, attempt: AttemptId) {
        let epoch = self.epoch();
        let AttemptId { task: id, .. } = attempt;
        assert!(self.executing.iter().all(|running| running.task != id), "{id} runs already");
        assert!(self.started.insert((epoch, attempt)), "{attempt} started twice");
        assert!(!self.said.contains(&(epoch, attempt)), "{attempt} started after its end");
        let is_given_back = self.given_back.contains(&(epoch, attempt));
        assert!(!is_given_back, "{attempt} started after it was given back");
        let task = self.hub.ledger.iter().find(|task| task.id == id);
        // Of what a hub left behind that is gone, nothing more is known.
        if let Some(task) = task.filter(|_| epoch == self.hub.epoch) {
            for gate in &task.gates {
                let is_done = |report: &Report| {
                    let comes_first = report.payload.len() <= INLINE_LEN_MAX as u64;
                    let is_done = report.outcome == AttemptOutcome::Done;
                    report.attempt.task == *gate && is_done && comes_first
                };
                let is_recorded = self.hub.ledger.iter().any(|task| task.id == *gate && task.done);
                // Without a session it is said later.
                let done = self.reports.values().chain(self.room.reports.iter()).any(is_done);
                assert!(is_recorded || done, "{attempt} started before {gate} was done");
            }
            if task.direct {
                let last = self.last_direct.insert((epoch, id.client), id.seq);
                assert!(last.is_none_or(|last| last < id.seq), "{id} after {last:?}");
                let other = |running: &&AttemptId| {
                    self.started.contains(&(epoch, **running))
                        && self.hub.ledger.iter().any(|task| task.id == running.task && task.direct)
                        && running.task.client == id.client
                };
                assert_eq!(self.executing.iter().find(other), None, "beside {id}");
            }
        }
        self.executing.push(attempt);
        assert!(self.executing.len() <= self.slots + self.ahead);
    }

    /// New numbers ascend, old ones repeat what was said.
    fn check_report(&mut self, report: &Report) {
        if let Some(said) = self.reports.get(&report.number) {
            assert_eq!(said, report, "another word on the same");
            return;
        }
        let last = self.reports.last_key_value().map(|(number, _)| *number);
        assert!(last.is_none_or(|last| last < report.number), "{report:?} after {last:?}");
        let epoch = self.epoch();
        assert!(self.said.insert((epoch, report.attempt)), "{report:?} is the second one");
        self.reports.insert(report.number, report.clone());
    }
}

/// One of those there are.
fn pick<T>(of: &[T], which: usize) -> Option<usize> {
    (!of.is_empty()).then(|| which % of.len())
}
