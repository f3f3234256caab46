//! What a plan does to the cluster: wishes, aborts, cuts, kills, pauses, panics.

use std::time::Duration;

use phalanx_core::Room;
use phalanx_core::hub::{HostNews, HostOrder, HubEvent};
use phalanx_protocol::ids::SessionId;
use phalanx_protocol::limits::LOST_AFTER;
use phalanx_protocol::role::Role;

use super::{Happening, World};
use crate::engine;
use crate::net::End;
use crate::plan::{Action, Deaf, Peer};
use crate::rooms::RoomPair;

/// The host's session.
pub(super) const HOST: SessionId = SessionId(u64::MAX);

impl World<'_> {
    pub(super) fn act(&mut self, index: usize) {
        match self.plan.actions[index].1.clone() {
            Action::Submit(client, wish) => self.wish(client, wish),
            Action::Graph(client, wishes, edges) => self.submit_graph(client, &wishes, &edges),
            Action::Abort(client, back) => self.abort(client, back, None),
            Action::AbortOrKill(client, back, kill_after) => {
                self.abort(client, back, Some(kill_after));
            }
            Action::Cut(peer) => {
                if let Some(session) = self.session_of(peer) {
                    self.cut(session);
                }
            }
            Action::Partition(peer, lasts, deaf) => self.part(peer, lasts, deaf),
            Action::KillEngine { engine, reported } => self.kill_engine(engine, reported),
            Action::PauseEngine(engine, duration) => self.pause(engine, duration),
            Action::KillClient(client) => self.kill_client(client),
            Action::KillRooms => self.kill_rooms(),
            Action::PanicRoom(room) => {
                if let Some(mut beside) = self.hub.beside.take() {
                    let statements = beside.panic(self.now, room);
                    self.hub.beside = Some(beside);
                    for statement in statements {
                        self.hub.verdicts.push_back(statement.into());
                        self.soon(Happening::RoomsHere);
                    }
                } else if let Some(session) = self.rooms.session {
                    let statements = self.rooms.rooms.panic(self.now, room);
                    self.rooms_say(session, statements);
                }
            }
        }
    }

    /// No session lives through it: each end gives it up when it has heard nothing for a while.
    fn part(&mut self, peer: Peer, lasts: Duration, deaf: Deaf) {
        let until = self.now + lasts;
        let apart = self.apart.entry(peer).or_insert(until);
        *apart = until.max(*apart);
        let Some(session) = self.session_of(peer) else { return };
        let now = self.now;
        for (end, is_deaf) in [(End::Hub, deaf != Deaf::Peer), (End::Peer, deaf != Deaf::Hub)] {
            let Some(link) = self.links.get_mut(&session) else { return };
            if is_deaf {
                link.dead_from[end.index()].get_or_insert(now);
            }
            let gives_up = Duration::from_micros(self.rng.u64(0..LOST_AFTER.as_micros() as u64));
            self.after(gives_up, Happening::Closes(session, end));
        }
    }

    pub(super) fn frozen(&mut self, engine: usize) -> Option<&mut Vec<Happening>> {
        self.engines[engine].frozen.as_mut()
    }

    fn pause(&mut self, engine: usize, duration: Duration) {
        let process = &mut self.engines[engine];
        if process.dead || process.frozen.is_some() {
            return;
        }
        process.frozen = Some(Vec::new());
        let life = process.life;
        if duration > LOST_AFTER
            && let Some(session) = process.session
        {
            // The hub hears nothing for so long: for it the session is over.
            self.after(LOST_AFTER, Happening::Closes(session, End::Hub));
            self.after(duration, Happening::Closes(session, End::Peer));
        }
        self.after(duration, Happening::Thaw { engine, life });
    }

    pub(super) fn thaw(&mut self, engine: usize, life: u64) {
        if self.engines[engine].life != life {
            return;
        }
        for happening in self.engines[engine].frozen.take().into_iter().flatten() {
            self.soon_in_order(happening);
        }
    }

    /// At this very moment, behind what is to happen at it already.
    fn soon_in_order(&mut self, happening: Happening) {
        self.at(self.now, happening);
    }

    /// A host process attaches, and stays. Its session is not played: what is said over it is said
    /// at once, and what it does takes time.
    pub(super) fn attach_host(&mut self) {
        let opened = HubEvent::SessionOpened { session: HOST, role: Role::Host, secret: 0 };
        let attach = HostNews::Attach { host: "machine".into() };
        let mut effects = Vec::new();
        for event in [opened, HubEvent::FromHost(HOST, attach)] {
            self.hub.hub.handle(self.now, event, &mut effects);
        }
        assert!(effects.is_empty(), "a host is told nothing: {effects:?}");
    }

    /// The hub says something to its host.
    pub(crate) fn host_receives(&mut self, order: HostOrder) {
        let HostOrder::Kill { name, pid, reason } = order else { return };
        self.check.on_kill(&reason);
        let engine = (0..self.engines.len()).find(|engine| engine::name(*engine) == name);
        let engine = engine.expect("the hub names engines as they do themselves");
        let within = Duration::from_micros(self.rng.u64(100..100_000));
        self.after(within, Happening::HostKills { engine, pid });
    }

    fn kill_rooms(&mut self) {
        self.rooms_life += 1;
        self.rooms.rooms = RoomPair::new(self.plan);
        if let Some(session) = self.rooms.session.take() {
            self.vanish(session);
        }
        let restart = Duration::from_micros(self.rng.u64(1_000..2_000_000));
        self.after(restart, Happening::Connect(Peer::Rooms));
    }
}
