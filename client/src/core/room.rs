//! Who the client is, which of its tasks are open, which questions it asked, which engines there
//! are: one way in for what happens ([`ClientRoom::handle`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use phalanx_transport::protocol::client::{
    Abort, Accepted, ClientToHub, HubToClient, Leave, Open, Opened, Received, Resume,
};
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::function::FunctionLimits;
use phalanx_transport::protocol::ids::{EngineId, RequestId, TaskId};
use phalanx_transport::protocol::limits::{ABORTS_PER_MESSAGE_MAX, WATCHES_PER_MESSAGE_MAX};
use phalanx_transport::protocol::outcome::Delivery;
use phalanx_transport::protocol::peer::EngineInfo;
use phalanx_transport::protocol::query::Watch;
use phalanx_transport::protocol::role::Role;
use rustc_hash::FxHashMap;

use super::deliveries::{Deliveries, Violation};
use super::questions::{Question, Questions};
use super::submits::Submits;
use super::watches::Watches;
use super::{Answer, BURST_KEPT_MAX, Effect, End, Event, RequestError};

/// How far the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// There is none.
    Down,
    /// We said who we are.
    Opening,
    /// The hub said who we are.
    Open,
    /// The hub broke the protocol; what it still says does not count.
    Broken,
}

/// After how long the engine of an aborted task is to be killed, if at all.
pub(super) type KillAfter = Option<Duration>;

/// How far the goodbye is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Nobody asked for it.
    No,
    /// To be said once everything is recorded.
    Wanted(Leave),
    /// Said.
    Said,
}

/// The client's state machine. `K` is what a caller wants back with the outcome of a task.
///
/// `now` is the time since any fixed moment; only differences count. Memory: one entry for each
/// open task and each unrecorded submit, nothing for a task that ended.
#[derive(Debug)]
pub struct ClientRoom<K> {
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) session: Session,
    pub(super) identity: Option<Resume>,
    /// Why nothing can be submitted any more.
    pub(super) closed: Option<Arc<str>>,
    pub(super) leaving: Leaving,
    pub(super) submits: Submits,
    pub(super) deliveries: Deliveries,
    pub(super) open: FxHashMap<u64, K>,
    /// Open tasks that somebody wants to end: told again to each session.
    pub(super) aborting: BTreeMap<u64, KillAfter>,
    /// Aborts that the hub has to be told of: due at once, many in one message.
    pub(super) aborts_due: Vec<(TaskId, KillAfter)>,
    pub(super) questions: Questions,
    pub(super) watches: Watches<K>,
    pub(super) engines: BTreeMap<EngineId, EngineInfo>,
}

impl<K> ClientRoom<K> {
    /// A client of this role that no hub knows yet. `name` is for people.
    pub fn new(role: Role, name: String) -> Self {
        Self {
            role,
            name,
            session: Session::Down,
            identity: None,
            closed: None,
            leaving: Leaving::No,
            submits: Submits::default(),
            deliveries: Deliveries::default(),
            open: FxHashMap::default(),
            aborting: BTreeMap::new(),
            aborts_due: Vec::new(),
            questions: Questions::default(),
            watches: Watches::default(),
            engines: BTreeMap::new(),
        }
    }

    /// The same, with sessions that may define so many functions; the hub must agree.
    #[must_use]
    pub fn with_function_limits(mut self, limits: FunctionLimits) -> Self {
        self.submits.limit_functions(limits);
        self
    }

    /// The engines that take tasks, as far as is known; between sessions those of the last one.
    pub const fn engines(&self) -> &BTreeMap<EngineId, EngineInfo> {
        &self.engines
    }

    /// What the caller gave for this task, if it is open and of this client.
    pub fn key(&self, task: TaskId) -> Option<&K> {
        self.open.get(&task.seq).filter(|_| task.client == self.submits.client())
    }

    /// What callers gave for this task who wait for it by its name.
    pub fn watchers(&self, task: TaskId) -> &[K] {
        self.watches.of(task)
    }

    /// How many tasks have not ended.
    pub fn open_tasks(&self) -> usize {
        self.open.len()
    }

    /// Whether the hub has opened the present session.
    pub fn is_open(&self) -> bool {
        self.session == Session::Open
    }

    /// Why nothing can be submitted any more, if so.
    pub fn closed(&self) -> Option<&Arc<str>> {
        self.closed.as_ref()
    }

    /// Whether the queue before the grant is below half of its limits; if not,
    /// [`Effect::RoomInQueue`] will say when it is.
    pub fn has_room(&mut self) -> bool {
        self.submits.has_room()
    }

    /// Takes one event and appends what is to be done about it, in order.
    pub fn handle(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect<K>>) {
        match event {
            _ if self.closed.is_some() => {}
            Event::SessionUp => self.on_session_up(effects),
            Event::Message(message) => self.on_message(now, message, effects),
            Event::Payload { ticket, bytes } => {
                // It has a stream of its own and may even overtake the opening.
                if matches!(self.session, Session::Opening | Session::Open) {
                    let arrived = self.deliveries.on_payload(now, ticket, bytes);
                    self.on_arrived(arrived, effects);
                }
            }
            Event::SessionDown => self.on_session_down(effects),
            Event::GaveUp(cause) => self.on_gave_up(&cause, effects),
        }
    }

    /// When it wants [`ClientRoom::on_deadline`] called at the latest; zero: at once, after the
    /// present burst of wishes.
    pub const fn next_deadline(&self) -> Option<Duration> {
        if self.aborts_due.is_empty() { self.deliveries.deadline() } else { Some(Duration::ZERO) }
    }

    /// Time has come to, or past, [`ClientRoom::next_deadline`].
    pub fn on_deadline(&mut self, now: Duration, effects: &mut Vec<Effect<K>>) {
        let due = std::mem::take(&mut self.aborts_due);
        self.send_aborts(&due, effects);
        if self.deliveries.deadline().is_some_and(|deadline| deadline <= now) {
            self.confirm(effects);
        }
    }

    /// Panics if a fact contradicts another. For tests and the simulator: costs O(state).
    pub fn check_invariants(&self) {
        self.submits.check_invariants();
        self.deliveries.check_invariants();
        let next_seq = self.submits.next_seq();
        assert!(self.open.keys().all(|seq| *seq < next_seq), "open but not named");
        assert!(self.aborting.keys().all(|seq| self.open.contains_key(seq)));
        assert!(self.session == Session::Open || self.aborts_due.is_empty());
        self.questions.check_invariants();
        self.watches.check_invariants();
        assert!(self.closed.is_none() || self.watches.is_empty());
        assert!(self.session == Session::Open || self.questions.is_empty());
        assert!(self.closed.is_none() || self.open.is_empty());
    }

    fn on_session_up(&mut self, effects: &mut Vec<Effect<K>>) {
        self.on_session_down(effects);
        self.session = Session::Opening;
        let open = Open { resume: self.identity, name: self.name.clone() };
        effects.push(Effect::Send(open.into()));
    }

    fn on_session_down(&mut self, effects: &mut Vec<Effect<K>>) {
        self.session = Session::Down;
        self.submits.on_cut();
        self.deliveries = Deliveries::default();
        self.aborts_due.clear();
        let unanswered = self.questions.cut();
        effects.extend(
            unanswered.map(|request| Effect::Answered(request, Err(RequestError::Disconnected))),
        );
    }

    fn on_gave_up(&mut self, cause: &Arc<str>, effects: &mut Vec<Effect<K>>) {
        self.on_session_down(effects);
        self.closed = Some(Arc::clone(cause));
        self.end_all(effects, || End::Disconnected(Arc::clone(cause)));
        self.end_watches(effects, || End::Disconnected(Arc::clone(cause)));
        self.submits.restart(self.submits.client(), self.submits.next_seq());
        self.engines.clear();
        effects.push(Effect::EnginesChanged);
        if self.submits.became_roomy() {
            effects.push(Effect::RoomInQueue);
        }
    }

    fn on_message(&mut self, now: Duration, message: HubToClient, effects: &mut Vec<Effect<K>>) {
        match (self.session, message) {
            (Session::Down | Session::Broken, _) => {}
            (Session::Opening, HubToClient::Opened(opened)) => self.on_opened(opened, effects),
            // It has a lane of its own: it may come before the opening, and after the outcome.
            (Session::Opening, HubToClient::Output(_)) => {}
            (Session::Opening, _) => self.violated(
                (ErrorCode::OutOfOrder, "something came before the session was opened"),
                effects,
            ),
            // Said again by a link that repeats.
            (Session::Open, HubToClient::Opened(_)) => {}
            (Session::Open, HubToClient::Delivery(delivery)) => {
                let arrived = self.deliveries.on_delivery(now, delivery);
                self.on_arrived(arrived, effects);
            }
            (Session::Open, HubToClient::Output(output)) => {
                let task = output.attempt.task;
                if self.key(task).is_some() || !self.watchers(task).is_empty() {
                    effects.push(Effect::Output(output));
                }
            }
            (Session::Open, HubToClient::Accepted(accepted)) => {
                self.on_accepted(accepted, effects);
            }
            (Session::Open, message) => self.on_news(message, effects),
        }
    }

    fn on_news(&mut self, message: HubToClient, effects: &mut Vec<Effect<K>>) {
        match message {
            HubToClient::EngineJoined(info) => {
                self.engines.insert(info.id, info);
                effects.push(Effect::EnginesChanged);
            }
            HubToClient::EngineLeft(left) => {
                self.engines.remove(&left.engine);
                effects.push(Effect::EnginesChanged);
            }
            HubToClient::Status(reply) => {
                let status = Ok(Answer::Status(Box::new(reply.status)));
                self.on_answer(reply.request, Some(Question::Status), status, effects);
            }
            HubToClient::Records(reply) => {
                let records = Ok(Answer::Records(reply.records, reply.next));
                self.on_answer(reply.request, Some(Question::Records), records, effects);
            }
            HubToClient::Explanation(explanation) => {
                let request = explanation.request;
                let answer = Ok(Answer::Explanation(Box::new(explanation)));
                self.on_answer(request, Some(Question::Explain), answer, effects);
            }
            HubToClient::Pong(pong) => {
                self.on_answer(pong.request, Some(Question::Alive), Ok(Answer::Done), effects);
            }
            HubToClient::Refused(refused) => {
                let error =
                    Err(RequestError::Refused { code: refused.code, detail: refused.detail });
                self.on_answer(refused.request, None, error, effects);
            }
            // What opens a session and moves tasks is handled before it comes here.
            HubToClient::Opened(_)
            | HubToClient::Accepted(_)
            | HubToClient::Delivery(_)
            | HubToClient::Output(_) => {}
        }
    }

    fn on_opened(&mut self, opened: Opened, effects: &mut Vec<Effect<K>>) {
        let same = self
            .identity
            .is_some_and(|old| (old.client, old.epoch) == (opened.client, opened.epoch));
        let next_seq = opened.next_seq;
        if !same {
            self.end_all(effects, || End::Forgotten(opened.epoch));
            self.submits.restart(opened.client, next_seq);
        }
        if self.identity.is_some_and(|old| old.epoch != opened.epoch) {
            self.end_watches(effects, || End::Forgotten(opened.epoch));
        }
        if self.submits.on_reopened(next_seq, opened.grant).is_err() {
            // Somebody else submits under our name: take a new one.
            self.identity = None;
            let detail = "the hub has tasks of this client that it never named";
            return self.violated((ErrorCode::OutOfOrder, detail), effects);
        }
        self.identity =
            Some(Resume { epoch: opened.epoch, client: opened.client, token: opened.token });
        self.session = Session::Open;
        self.engines = opened.engines.into_iter().map(|info| (info.id, info)).collect();
        effects.push(Effect::Opened { client: opened.client, epoch: opened.epoch });
        effects.push(Effect::EnginesChanged);
        let recorded = self.submits.recorded_below();
        self.send_aborts_of(0..recorded, effects);
        let watched: Vec<TaskId> = self.watches.tasks().collect();
        self.send_watches(&watched, effects);
        self.pump(effects);
        self.leave_if_recorded(effects);
    }

    fn on_accepted(&mut self, accepted: Accepted, effects: &mut Vec<Effect<K>>) {
        let before = self.submits.recorded_below();
        if self.submits.on_accepted(accepted.next_seq, accepted.grant).is_err() {
            return self.violated((ErrorCode::OutOfOrder, "accepted what was never sent"), effects);
        }
        // The hub may have forgotten an abort that overtook its task.
        self.send_aborts_of(before..self.submits.recorded_below(), effects);
        self.pump(effects);
        self.leave_if_recorded(effects);
    }

    fn on_arrived(
        &mut self,
        arrived: Result<Option<Delivery>, Violation>,
        effects: &mut Vec<Effect<K>>,
    ) {
        match arrived {
            Ok(None) => {}
            Ok(Some(delivery)) => self.on_outcome(delivery, effects),
            Err(violation) => return self.violated(violation, effects),
        }
        if let Some(up_to) = self.deliveries.confirm_if_many() {
            effects.push(Effect::Send(Received { up_to }.into()));
        }
    }

    fn on_outcome(&mut self, delivery: Delivery, effects: &mut Vec<Effect<K>>) {
        let task = delivery.task;
        for key in self.watches.take(task) {
            let end = End::Delivered(Box::new(delivery.clone()));
            effects.push(Effect::Ended { key, task, end });
        }
        let ours = task.client == self.submits.client();
        // One that is not open was delivered over an earlier session.
        let Some(key) = ours.then(|| self.open.remove(&task.seq)).flatten() else {
            return;
        };
        if !self.aborting.is_empty() {
            self.aborting.remove(&task.seq);
        }
        if self.open.is_empty() {
            self.open.shrink_to(BURST_KEPT_MAX);
        }
        effects.push(Effect::Ended { key, task, end: End::Delivered(Box::new(delivery)) });
    }

    fn on_answer(
        &mut self,
        request: RequestId,
        question: Option<Question>,
        answer: Result<Answer, RequestError>,
        effects: &mut Vec<Effect<K>>,
    ) {
        match self.questions.on_answer(request, question) {
            Ok(true) => effects.push(Effect::Answered(request, answer)),
            // Answered before.
            Ok(false) => {}
            Err(violation) => self.violated(violation, effects),
        }
    }

    fn violated(&mut self, (code, detail): Violation, effects: &mut Vec<Effect<K>>) {
        self.on_session_down(effects);
        self.session = Session::Broken;
        effects.push(Effect::CloseSession(code, detail));
    }

    fn end_all(&mut self, effects: &mut Vec<Effect<K>>, end: impl Fn() -> End) {
        let client = self.submits.client();
        self.aborting.clear();
        let mut open: Vec<_> = self.open.drain().collect();
        open.sort_unstable_by_key(|(seq, _)| *seq);
        effects.extend(open.into_iter().map(|(seq, key)| Effect::Ended {
            key,
            task: TaskId::new(client, seq),
            end: end(),
        }));
    }

    /// Sends what grant and limits let through.
    pub(super) fn pump(&mut self, effects: &mut Vec<Effect<K>>) {
        if self.session != Session::Open {
            return;
        }
        while let Some((spec, define)) = self.submits.next_to_send() {
            let spec = spec.clone();
            if let Some(up_to) = self.deliveries.confirm() {
                effects.push(Effect::Send(Received { up_to }.into()));
            }
            if !self.aborting.is_empty() {
                let ids = spec.id.seq..spec.id.seq + spec.target.ids_len();
                self.send_aborts_of(ids, effects);
            }
            effects.extend(define.map(|define| Effect::Send(define.into())));
            effects.push(Effect::Send(spec.into()));
        }
        if self.submits.became_roomy() {
            effects.push(Effect::RoomInQueue);
        }
    }

    fn confirm(&mut self, effects: &mut Vec<Effect<K>>) {
        if let Some(up_to) = self.deliveries.confirm() {
            effects.push(Effect::Send(Received { up_to }.into()));
        }
    }

    fn send_aborts_of(&mut self, seqs: std::ops::Range<u64>, effects: &mut Vec<Effect<K>>) {
        if self.aborting.is_empty() {
            return;
        }
        let client = self.submits.client();
        let name = |(seq, kill_after): (&u64, &KillAfter)| (TaskId::new(client, *seq), *kill_after);
        let tasks: Vec<_> = self.aborting.range(seqs).map(name).collect();
        self.send_aborts(&tasks, effects);
    }

    fn send_aborts(&self, tasks: &[(TaskId, KillAfter)], effects: &mut Vec<Effect<K>>) {
        if self.session != Session::Open {
            return;
        }
        let alike = tasks.chunk_by(|(_, one), (_, other)| one == other);
        effects.extend(alike.flat_map(|tasks| tasks.chunks(ABORTS_PER_MESSAGE_MAX)).map(|tasks| {
            let kill_after = tasks.first().and_then(|(_, kill_after)| *kill_after);
            // 584 million years fit.
            let ms = |kill_after: Duration| kill_after.as_millis().try_into().unwrap_or(u64::MAX);
            let tasks = tasks.iter().map(|(task, _)| *task).collect();
            Effect::Send(Abort { tasks, kill_after_ms: kill_after.map(ms) }.into())
        }));
    }

    /// Says which outcomes are wanted. Those of own open tasks come by themselves; and the wish
    /// could overtake a submit, so that the hub would not know the task.
    pub(super) fn send_watches(&self, tasks: &[TaskId], effects: &mut Vec<Effect<K>>) {
        if self.session != Session::Open {
            return;
        }
        let wanted = tasks.iter().copied().filter(|task| self.key(*task).is_none());
        let wanted: Vec<TaskId> = wanted.collect();
        effects.extend(wanted.chunks(WATCHES_PER_MESSAGE_MAX).map(|tasks| {
            let tasks = tasks.to_vec();
            Effect::Send(Watch { tasks }.into())
        }));
    }

    fn end_watches(&mut self, effects: &mut Vec<Effect<K>>, end: impl Fn() -> End) {
        let ended = self.watches.take_all();
        effects.extend(ended.map(|(task, key)| Effect::Ended { key, task, end: end() }));
    }

    pub(super) fn leave_if_recorded(&mut self, effects: &mut Vec<Effect<K>>) {
        if let (Session::Open, Leaving::Wanted(leave)) = (self.session, &self.leaving)
            && (leave.abort_open || self.submits.all_recorded())
        {
            effects.push(Effect::Send(ClientToHub::Leave(leave.clone())));
            effects.push(Effect::Left);
            self.leaving = Leaving::Said;
        }
    }
}
