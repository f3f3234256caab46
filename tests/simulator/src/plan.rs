//! What a seed stands for: who is there, what they do when, and what goes wrong when.

mod chains;
mod faults;

use std::time::Duration;

use fastrand::Rng;
use phalanx_core::Time;
use phalanx_core::scheduler::{Hwm, Scheme, Settings};
use phalanx_protocol::function::FunctionLimits;
use phalanx_protocol::needs::{Amount, Needs, Resource};
use phalanx_protocol::room::RoomName;
use phalanx_protocol::task::{Accept, Quorum};

use crate::clock::Clock;

/// How user code behaves. It travels as a task's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Returns so many bytes.
    Return(u32),
    /// Raises.
    Raise,
    /// Raises in this many first attempts, then returns nothing.
    Flaky(u8),
    /// Is refused by engines whose place in the plan is a multiple of this, else returns nothing.
    Picky(u8),
    /// Kills its engine.
    Crash,
}

/// Which engines a task is for, by their place in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// Any engine.
    Any,
    /// One of these.
    Subset(Vec<usize>),
    /// This one.
    Engine(usize),
    /// Each of these.
    Engines(Vec<usize>),
}

/// A dependency on tasks named before, counted back from the newest of all clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ties {
    /// How many tasks back each one is.
    pub back: Vec<usize>,
    /// How many must be met.
    pub quorum: Quorum,
    /// What meets them.
    pub accept: Accept,
}

impl Ties {
    /// Whether all must have succeeded.
    fn is_all_success(&self) -> bool {
        self.quorum == Quorum::All && self.accept == Accept::Success
    }
}

/// A task that a client submits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The engines it is for.
    pub aim: Aim,
    /// How its code behaves.
    pub behaviour: Behaviour,
    /// How long it runs.
    pub runs: Duration,
    /// Length of its arguments beyond the behaviour.
    pub filler: u32,
    /// How often it writes while it runs.
    pub writes: u8,
    /// Which function goes with it.
    pub function: Option<u8>,
    /// Order.
    pub after: Option<Ties>,
    /// Place.
    pub follow: Option<Ties>,
    /// How long its dependencies may stay unmet.
    pub timeout: Option<Duration>,
    /// How often it is tried again, and after which first pause.
    pub retries: Option<(u32, Duration)>,
    /// How long an attempt may run.
    pub run_limit: Option<Duration>,
    /// Which of those that wait go first.
    pub priority: i32,
    /// What its engine must have.
    pub needs: Option<Needs>,
    /// Tasks whose results it takes, each by how many tasks back it is.
    pub takes: Vec<usize>,
    /// Whether the outcomes of several engines are wanted together.
    pub coalesce: bool,
}

/// A process with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// A client.
    Client(usize),
    /// An engine.
    Engine(usize),
    /// The process that runs the scheduling rooms.
    Rooms,
}

/// Who hears nothing in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deaf {
    /// Both ends.
    Both,
    /// The hub.
    Hub,
    /// The peer.
    Peer,
}

/// Something that happens to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a plan has few actions, most of them submits")]
pub enum Action {
    /// A client submits a task.
    Submit(usize, Wish),
    /// A client submits tasks as one graph, with these edges between them (before, after), which may
    /// make cycles.
    Graph(usize, Vec<Wish>, Vec<(u32, u32)>),
    /// A client aborts the task so many back.
    Abort(usize, usize),
    /// The same, and its engine is to be killed if it has not ended so long after.
    AbortOrKill(usize, usize, Duration),
    /// A session is cut.
    Cut(Peer),
    /// For so long a peer and the hub do not reach each other, and no new session comes about. Ends
    /// that are deaf hear nothing from then on; what is said to the other is heard until it gives
    /// the session up.
    Partition(Peer, Duration, Deaf),
    /// An engine's process dies, and is restarted some time after. Its host sees it, or is too
    /// late.
    KillEngine {
        /// Which one.
        engine: usize,
        /// Whether the host reports it.
        reported: bool,
    },
    /// An engine's process stands still for so long.
    PauseEngine(usize, Duration),
    /// A client's process dies for good.
    KillClient(usize),
    /// The process that runs the rooms dies, and is restarted.
    KillRooms,
    /// A room panics at its next event.
    PanicRoom(RoomName),
}

/// All that a run depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Draws delays and everything else that the plan does not say.
    pub seed: u64,
    /// Slots of each engine.
    pub slots: Vec<u32>,
    /// How many attempts more than it has slots an engine's executor keeps.
    pub ahead: u32,
    /// Labels and resources of each engine.
    pub equipment: Vec<(Vec<String>, Vec<Resource>)>,
    /// How the scheduler places.
    pub placement: Settings,
    /// How many clients there are.
    pub clients: usize,
    /// Whether the rooms have a process of their own.
    pub remote_rooms: bool,
    /// Payloads over this length take a stream of their own.
    pub inline_len_max: usize,
    /// One session in so many shares memory: long payloads come with their messages; 0 = none.
    pub shared_memory_one_in: u64,
    /// Longest delay of a message.
    pub delay_max: Duration,
    /// How many functions a session may define.
    pub functions: FunctionLimits,
    /// One in so many messages is repeated; 0 = none.
    pub repeat_one_in: u64,
    /// Tasks a client may have open or unfetched.
    pub client_tasks: u64,
    /// A room panics whenever it hears of the task with this place among all; `None` = no task.
    pub cursed: Option<usize>,
    /// Whether a host process has a session with the hub: it kills engines that the hub names.
    pub has_host: bool,
    /// The clock of each engine and then of each client.
    pub clocks: Vec<Clock>,
    /// What happens, by time.
    pub actions: Vec<(Time, Action)>,
}

/// How long the plan's actions last; after it everything is healed and comes to rest.
const SPAN: Duration = Duration::from_secs(40);

impl Plan {
    /// What this seed stands for.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let engines = rng.usize(1..=4);
        let clients = rng.usize(1..=3);
        let slots = (0..engines).map(|_| if rng.bool() { 1 } else { rng.u32(1..=3) }).collect();
        let remote_rooms = rng.u8(0..4) == 0;
        let mut plan = Self {
            seed,
            equipment: vec![Default::default(); engines],
            placement: Settings::default(),
            slots,
            ahead: Rng::with_seed(seed ^ 0xa4ead).u32(0..8).saturating_sub(3),
            clients,
            remote_rooms,
            inline_len_max: *rng.choice([16, 64, 4096].iter()).unwrap_or(&64),
            // Drawn apart, so that the seeds kept from before it stand for what they did.
            shared_memory_one_in: Rng::with_seed(!seed).u64(0..4),
            delay_max: Duration::from_micros(rng.u64(50..20_000)),
            functions: FunctionLimits { count: 3, bytes: 200 },
            repeat_one_in: *rng.choice([0, 5, 50].iter()).unwrap_or(&0),
            client_tasks: *rng.choice([4, 20, 1_000].iter()).unwrap_or(&1_000),
            cursed: (rng.u8(0..10) == 0).then(|| rng.usize(0..20)),
            has_host: Rng::with_seed(seed ^ 0x4057).u8(0..4) > 0,
            clocks: vec![Clock::EXACT; engines + clients],
            actions: Vec::new(),
        };
        plan.add_tasks(&mut rng);
        plan.add_faults(&mut rng);
        plan.add_output(&mut Rng::with_seed(seed ^ 0x0117));
        plan.add_functions(&mut Rng::with_seed(seed ^ 0xf0c));
        plan.add_tries(&mut Rng::with_seed(seed ^ 0x7e7e));
        plan.add_placement(&mut Rng::with_seed(seed ^ 0x91ace));
        plan.add_takers(&mut Rng::with_seed(seed ^ 0x7a6e));
        plan.add_graphs(&mut Rng::with_seed(seed ^ 0x96a4));
        plan.add_rushes(&mut Rng::with_seed(seed ^ 0x2a5e));
        plan.add_kills(&mut Rng::with_seed(seed ^ 0x6111));
        plan.add_partitions(&mut Rng::with_seed(seed ^ 0x9a47));
        plan.add_chains(&mut Rng::with_seed(seed ^ 0xc4a1));
        plan.add_coalescing(&mut Rng::with_seed(seed ^ 0xc0a1));
        plan.set_clocks(&mut Rng::with_seed(seed ^ 0xc10c));
        plan.actions.sort_by_key(|(at, _)| *at);
        plan
    }

    fn add_tasks(&mut self, rng: &mut Rng) {
        // Some runs are one burst, some are spread.
        let span = if rng.bool() { SPAN } else { Duration::from_millis(50) };
        for _ in 0..rng.usize(5..60) {
            let at = moment(rng, span);
            let client = rng.usize(0..self.clients);
            let action = if rng.u8(0..12) == 0 {
                Action::Abort(client, rng.usize(0..10))
            } else {
                Action::Submit(client, self.wish(rng))
            };
            self.actions.push((at, action));
        }
    }

    /// In every other run some tasks write. Drawn apart, so that all else of a seed stays as it was.
    fn add_output(&mut self, rng: &mut Rng) {
        if rng.bool() {
            return;
        }
        for (_, action) in &mut self.actions {
            if let Action::Submit(_, wish) = action {
                wish.writes = if rng.bool() { rng.u8(1..6) } else { 0 };
            }
        }
    }

    /// In every other run tasks have functions: few, or more than a session may define.
    fn add_functions(&mut self, rng: &mut Rng) {
        if rng.bool() {
            return;
        }
        let functions = rng.u8(1..8);
        for (_, action) in &mut self.actions {
            if let Action::Submit(_, wish) = action {
                wish.function = (rng.u8(0..4) > 0).then(|| rng.u8(0..functions));
            }
        }
    }

    /// In every other run balanced tasks are tried again, refused and limited.
    fn add_tries(&mut self, rng: &mut Rng) {
        if rng.bool() {
            return;
        }
        for (_, action) in &mut self.actions {
            let Action::Submit(_, wish) = action else { continue };
            if rng.u8(0..6) == 0 {
                wish.run_limit = Some(Duration::from_millis(rng.u64(1..5_000)));
            }
            if !matches!(wish.aim, Aim::Any | Aim::Subset(_)) {
                continue;
            }
            match rng.u8(0..6) {
                0 | 1 => wish.behaviour = Behaviour::Flaky(rng.u8(1..5)),
                2 => wish.behaviour = Behaviour::Picky(rng.u8(1..4)),
                _ => {}
            }
            if rng.u8(0..3) > 0 {
                wish.retries = Some((rng.u32(1..6), Duration::from_millis(rng.u64(0..500))));
            }
        }
    }

    /// In three of four runs the scheduler places by any scheme, tasks have priorities and needs,
    /// and engines something to meet them: the first engine everything, so that each can run.
    fn add_placement(&mut self, rng: &mut Rng) {
        if rng.u8(0..4) == 0 {
            return;
        }
        let schemes = &Scheme::ALL[..Scheme::ALL.len() - 1];
        let scheme = schemes[rng.usize(0..schemes.len())];
        let hwm = if rng.bool() { Hwm::Adaptive } else { Hwm::Fixed(rng.u32(0..3)) };
        self.placement = Settings::default().with_scheme(scheme).with_hwm(hwm).with_seed(self.seed);
        for (engine, (labels, resources)) in self.equipment.iter_mut().enumerate() {
            if engine == 0 || rng.bool() {
                labels.push("fast".into());
            }
            if engine == 0 || rng.bool() {
                resources.push(("gpu".into(), Amount::units(if engine == 0 { 2 } else { 1 })));
            }
        }
        for (_, action) in &mut self.actions {
            if let Action::Submit(_, wish) = action
                && matches!(wish.aim, Aim::Any | Aim::Subset(_))
            {
                wish.priority = rng.i32(-1..=1);
                let free = wish.follow.is_none() && matches!(wish.aim, Aim::Any);
                wish.needs = if free { needs(rng) } else { None };
            }
        }
    }

    /// In every other run some balanced tasks take the results of others.
    fn add_takers(&mut self, rng: &mut Rng) {
        if rng.bool() {
            return;
        }
        for (_, action) in &mut self.actions {
            if let Action::Submit(_, wish) = action
                && matches!(wish.aim, Aim::Any | Aim::Subset(_))
                && wish.after.as_ref().is_none_or(Ties::is_all_success)
                && rng.u8(0..3) == 0
            {
                wish.takes = (0..rng.usize(1..4)).map(|_| rng.usize(1..8)).collect();
            }
        }
    }

    /// The outcomes of every other task for several engines go together.
    fn add_coalescing(&mut self, rng: &mut Rng) {
        for (_, action) in &mut self.actions {
            if let Action::Submit(_, wish) = action
                && matches!(wish.aim, Aim::Engines(_))
            {
                wish.coalesce = rng.bool();
            }
        }
    }

    /// In every third run there are graphs; one in four of them has edges in any direction, and so
    /// perhaps a cycle.
    fn add_graphs(&mut self, rng: &mut Rng) {
        if rng.u8(0..3) > 0 {
            return;
        }
        for _ in 0..rng.usize(1..4) {
            let len = rng.u32(1..8);
            let any_way = rng.u8(0..4) == 0;
            let mut edges = Vec::new();
            for _ in 0..rng.usize(0..12) {
                let (one, other) = (rng.u32(0..len), rng.u32(0..len));
                if any_way || one < other {
                    edges.push((one, other));
                }
            }
            let wishes = (0..len).map(|_| Wish { aim: Aim::Any, ..self.wish(rng) }).collect();
            let at = moment(rng, SPAN);
            let client = rng.usize(0..self.clients);
            self.actions.push((at, Action::Graph(client, wishes, edges)));
        }
    }

    /// In every third run there are rushes of very short tasks, so that engines are sent many ahead,
    /// and long ones among and behind them, so that this turns out to be too many.
    fn add_rushes(&mut self, rng: &mut Rng) {
        if rng.u8(0..3) > 0 {
            return;
        }
        for _ in 0..rng.usize(1..4) {
            let (at, client) = (moment(rng, SPAN), rng.usize(0..self.clients));
            for _ in 0..rng.usize(10..80) {
                let runs = match rng.u8(0..8) {
                    0 => Duration::from_millis(rng.u64(0..2_000)),
                    1 => Duration::from_micros(rng.u64(0..20_000)),
                    _ => Duration::from_micros(rng.u64(0..20)),
                };
                let behaviour = match rng.u8(0..40) {
                    0 => Behaviour::Crash,
                    _ => Behaviour::Return(rng.u32(0..100)),
                };
                let aim = if rng.u8(0..8) == 0 { self.wish(rng).aim } else { Aim::Any };
                let (after, follow, timeout) = (None, None, None);
                let wish = Wish { aim, behaviour, runs, after, follow, timeout, ..self.wish(rng) };
                self.actions.push((at, Action::Submit(client, wish)));
            }
            // Something fails in the middle of it.
            if rng.bool() {
                let fault = self.fault(rng);
                self.actions.push((at + Duration::from_millis(rng.u64(0..500)), fault));
            }
        }
    }

    fn wish(&self, rng: &mut Rng) -> Wish {
        let engines = self.slots.len();
        let some = |rng: &mut Rng| {
            let mut chosen: Vec<usize> = (0..engines).filter(|_| rng.bool()).collect();
            if chosen.is_empty() {
                chosen.push(rng.usize(0..engines));
            }
            chosen
        };
        let aim = match rng.u8(0..10) {
            0..=4 => Aim::Any,
            5 => Aim::Subset(some(rng)),
            6..=8 => Aim::Engine(rng.usize(0..engines)),
            _ => Aim::Engines(some(rng)),
        };
        let balanced = matches!(aim, Aim::Any | Aim::Subset(_));
        let tied = balanced && rng.u8(0..3) > 0;
        let after = (tied && rng.bool()).then(|| ties(rng));
        let follow = (tied && rng.u8(0..3) == 0).then(|| ties(rng));
        let timeout =
            (tied && rng.u8(0..4) == 0).then(|| Duration::from_millis(rng.u64(0..30_000)));
        let behaviour = match rng.u8(0..20) {
            0 => Behaviour::Crash,
            1 | 2 => Behaviour::Raise,
            _ => Behaviour::Return(rng.u32(0..200)),
        };
        let runs = match rng.u8(0..4) {
            0 => Duration::from_micros(rng.u64(0..100)),
            1 | 2 => Duration::from_micros(rng.u64(0..5_000)),
            _ => Duration::from_millis(rng.u64(0..10_000)),
        };
        Wish {
            aim,
            behaviour,
            runs,
            filler: rng.u32(0..150),
            writes: 0,
            function: None,
            after,
            follow,
            timeout,
            retries: None,
            run_limit: None,
            priority: 0,
            needs: None,
            takes: Vec::new(),
            coalesce: false,
        }
    }
}

fn needs(rng: &mut Rng) -> Option<Needs> {
    let labels = if rng.bool() { vec!["fast".to_owned()] } else { Vec::new() };
    let amounts = match rng.u64(0..4) {
        0 | 1 => Vec::new(),
        gpus => vec![("gpu".to_owned(), Amount::units(gpus - 1))],
    };
    let needs = Needs { labels, amounts };
    (!needs.is_empty()).then_some(needs)
}

fn moment(rng: &mut Rng, span: Duration) -> Time {
    Time::from_nanos(rng.u64(0..span.as_nanos() as u64))
}

fn ties(rng: &mut Rng) -> Ties {
    Ties {
        back: (0..rng.usize(1..4)).map(|_| rng.usize(1..8)).collect(),
        quorum: if rng.u8(0..3) == 0 { Quorum::Any } else { Quorum::All },
        accept: match rng.u8(0..4) {
            0 => Accept::Failure,
            1 => Accept::Either,
            _ => Accept::Success,
        },
    }
}
