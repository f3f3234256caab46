//! Random submits, aborts, cuts, repeats and restarts against a hub as naive as can be: every task
//! is recorded once and in order, ends once, and nothing is confirmed that has not arrived.

use std::collections::{BTreeMap, VecDeque};

use phalanx_transport::protocol::client::{Grant, HubToClient};
use phalanx_transport::protocol::task::TaskSpec;
use proptest::prelude::*;

use super::*;

/// Window of the naive hub's grant, in tasks and bytes.
const WINDOW: u64 = 8;
const BYTES_WINDOW: u64 = 120;

#[derive(Debug, Clone)]
enum Step {
    Submit { len: usize, engines: usize },
    Abort(u64),
    ToHub,
    ToClient,
    RepeatToClient,
    PayloadToClient,
    Finish(usize),
    Deadline,
    Cut,
    Reconnect,
    HubRestarts,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..40, 0usize..4).prop_map(|(len, engines)| Step::Submit { len, engines }),
        1 => (0u64..60).prop_map(Step::Abort),
        12 => Just(Step::ToHub),
        12 => Just(Step::ToClient),
        2 => Just(Step::RepeatToClient),
        4 => Just(Step::PayloadToClient),
        8 => (0usize..8).prop_map(Step::Finish),
        2 => Just(Step::Deadline),
        1 => Just(Step::Cut),
        2 => Just(Step::Reconnect),
        1 => Just(Step::HubRestarts),
    ]
}

/// A hub without engines: tasks end when the test says so.
#[derive(Default)]
struct NaiveHub {
    epoch: u32,
    knows_client: bool,
    next_seq: u64,
    bytes: u64,
    running: Vec<u64>,
    /// Ended and not confirmed, with the length of the result.
    unconfirmed: VecDeque<(u64, u64)>,
    /// How many of those went over this session, and the number of the first of them.
    sent: usize,
    first_number: u64,
    next_ticket: u64,
    seq_granted: u64,
    bytes_granted: u64,
    /// Whether the client was opened in this session.
    is_open: bool,
}

impl NaiveHub {
    fn grant(&mut self) -> Grant {
        let seq_end = self.next_seq - self.running.len() as u64 + WINDOW;
        self.seq_granted = self.seq_granted.max(seq_end);
        self.bytes_granted = self.bytes + BYTES_WINDOW;
        Grant { seq_end: self.seq_granted, bytes_end: self.bytes_granted }
    }

    fn hear(&mut self, message: ClientToHub, link: &mut Wires) {
        match message {
            ClientToHub::Open(open) => {
                let same = open.resume.is_some_and(|resume| resume.client.0 == self.epoch);
                if !(same && self.knows_client) {
                    *self = Self { epoch: self.epoch, knows_client: true, ..Self::default() };
                }
                self.on_cut();
                self.is_open = true;
                let grant = self.grant();
                link.to_client.push_back(opened(self.epoch, self.next_seq, grant));
                self.deliver(link);
            }
            ClientToHub::Submit(spec) => self.record(&spec, link),
            ClientToHub::Received(received) => {
                while self.first_number < received.up_to {
                    assert!(self.sent > 0, "confirmed what was not delivered");
                    self.unconfirmed.pop_front();
                    self.sent -= 1;
                    self.first_number += 1;
                }
            }
            ClientToHub::Abort(abort) => {
                for task in abort.tasks {
                    if let Some(at) = self.running.iter().position(|seq| *seq == task.seq) {
                        self.finish(at, link);
                    }
                }
            }
            other => panic!("not asked for: {other:?}"),
        }
    }

    fn on_cut(&mut self) {
        self.sent = 0;
        self.first_number = 0;
        self.next_ticket = 0;
        self.is_open = false;
    }

    fn record(&mut self, spec: &TaskSpec, link: &mut Wires) {
        let (seq, ids) = (spec.id.seq, spec.target.ids_len());
        assert_eq!(spec.id.client.0, self.epoch, "under its present name");
        assert!(seq <= self.next_seq, "a gap in the numbers");
        if seq == self.next_seq {
            self.running.extend(seq..seq + ids);
            self.next_seq += ids;
            self.bytes += spec.payload.len() * ids;
            assert!(self.bytes <= self.bytes_granted, "bytes beyond the grant");
            assert!(self.next_seq <= self.seq_granted, "tasks beyond the grant");
            let (next_seq, grant) = (self.next_seq, self.grant());
            link.to_client.push_back(accepted(next_seq, grant));
        }
    }

    fn finish(&mut self, at: usize, link: &mut Wires) {
        if self.running.is_empty() {
            return;
        }
        let seq = self.running.remove(at % self.running.len());
        self.unconfirmed.push_back((seq, seq % 3));
        if self.is_open {
            self.deliver(link);
            let (next_seq, grant) = (self.next_seq, self.grant());
            link.to_client.push_back(accepted(next_seq, grant));
        }
    }

    fn deliver(&mut self, link: &mut Wires) {
        while let Some((seq, len)) = self.unconfirmed.get(self.sent).copied() {
            let number = self.first_number + self.sent as u64;
            let task = TaskId::new(ClientId(self.epoch), seq);
            let event = if len == 0 {
                done(number, seq)
            } else {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                link.payloads.push_back(payload(ticket, len as usize));
                by_ticket(number, seq, ticket, len)
            };
            link.to_client.push_back(of_task(event, task));
            self.sent += 1;
        }
    }
}

/// The same delivery, but of this client's task.
fn of_task(event: Event, task: TaskId) -> Event {
    match event {
        Event::Message(HubToClient::Delivery(delivery)) => {
            Event::Message(Delivery { task, ..delivery }.into())
        }
        other => other,
    }
}

/// What is under way.
#[derive(Default)]
struct Wires {
    up: bool,
    to_hub: VecDeque<ClientToHub>,
    to_client: VecDeque<Event>,
    payloads: VecDeque<Event>,
    last: Option<Event>,
}

struct World {
    room: ClientRoom<usize>,
    now: Duration,
    hub: NaiveHub,
    wires: Wires,
    /// Every task ever submitted: how often it ended.
    ends: Vec<u32>,
    opened_once: bool,
    /// Open tasks by their ids, as the world sees them.
    named: BTreeMap<TaskId, usize>,
}

impl World {
    fn new() -> Self {
        Self {
            room: ClientRoom::new(Role::Client, "test".into()),
            now: Duration::ZERO,
            hub: NaiveHub { epoch: 1, ..NaiveHub::default() },
            wires: Wires::default(),
            ends: Vec::new(),
            opened_once: false,
            named: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Submit { len, engines } => self.submit(*len, *engines),
            Step::Abort(seq) => self.room.abort([TaskId::new(ClientId(self.hub.epoch), *seq)]),
            Step::ToHub => {
                if let Some(message) = self.wires.to_hub.pop_front() {
                    self.hub.hear(message, &mut self.wires);
                }
            }
            Step::ToClient => {
                if let Some(event) = self.wires.to_client.pop_front() {
                    self.wires.last = Some(event.clone());
                    self.happen(event);
                }
            }
            Step::RepeatToClient => {
                if let Some(event) = self.wires.last.clone() {
                    self.happen(event);
                }
            }
            Step::PayloadToClient => {
                if let Some(event) = self.wires.payloads.pop_front() {
                    self.happen(event);
                }
            }
            Step::Finish(at) => self.hub.finish(*at, &mut self.wires),
            Step::Deadline => self.pass_deadline(),
            Step::Cut => self.cut(),
            Step::Reconnect => {
                if !self.wires.up {
                    self.wires.up = true;
                    self.happen(Event::SessionUp);
                }
            }
            Step::HubRestarts => {
                self.cut();
                self.hub = NaiveHub { epoch: self.hub.epoch + 1, ..NaiveHub::default() };
            }
        }
        self.room.check_invariants();
    }

    fn submit(&mut self, len: usize, engines: usize) {
        let target = match engines {
            0 => Target::Any,
            len => Target::Engines((0..len as u32).map(EngineId).collect()),
        };
        let (ends, named) = (&mut self.ends, &mut self.named);
        let key = |id| {
            let key = ends.len();
            ends.push(0);
            assert_eq!(named.insert(id, key), None, "an id is given once");
            key
        };
        let mut effects = Vec::new();
        let submitted = self.room.submit([task(target, len)], key, &mut effects);
        assert_eq!(submitted.is_ok(), self.opened_once);
        self.apply(effects);
    }

    fn happen(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.now += Duration::from_millis(1);
        self.room.handle(self.now, event, &mut effects);
        self.apply(effects);
    }

    fn pass_deadline(&mut self) {
        if let Some(deadline) = self.room.next_deadline() {
            self.now = self.now.max(deadline);
            let mut effects = Vec::new();
            self.room.on_deadline(self.now, &mut effects);
            self.apply(effects);
        }
    }

    fn apply(&mut self, effects: Vec<Effect<usize>>) {
        for effect in effects {
            match effect {
                Effect::Send(message) => {
                    assert!(self.wires.up, "sent without a session: {message:?}");
                    self.wires.to_hub.push_back(message);
                }
                Effect::Ended { key, task, .. } => {
                    assert_eq!(self.named.get(&task), Some(&key));
                    self.ends[key] += 1;
                    assert_eq!(self.ends[key], 1, "{task} ended twice");
                }
                Effect::Opened { .. } => self.opened_once = true,
                Effect::EnginesChanged | Effect::RoomInQueue => {}
                other => panic!("not expected: {other:?}"),
            }
        }
    }

    fn cut(&mut self) {
        if self.wires.up {
            self.wires = Wires::default();
            self.hub.on_cut();
            self.happen(Event::SessionDown);
        }
    }

    /// All links are mended, all tasks end.
    fn heal(&mut self) {
        self.take(&Step::Reconnect);
        for _ in 0..100_000 {
            let quiet = self.wires.to_hub.is_empty()
                && self.wires.to_client.is_empty()
                && self.wires.payloads.is_empty()
                && self.hub.running.is_empty()
                && self.room.next_deadline().is_none();
            if quiet {
                return;
            }
            for step in [Step::ToHub, Step::ToClient, Step::PayloadToClient, Step::Finish(0)] {
                self.take(&step);
            }
            self.take(&Step::Deadline);
        }
        panic!("no rest after all links were mended");
    }
}

proptest! {
    #[test]
    fn every_task_ends_once_whatever_happens_to_the_links(
        steps in prop::collection::vec(step(), 1..400)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.heal();
        prop_assert_eq!(world.room.open_tasks(), 0);
        prop_assert!(world.ends.iter().all(|ends| *ends == 1), "{:?}", world.ends);
        prop_assert_eq!(world.hub.unconfirmed.len(), 0);
    }
}
