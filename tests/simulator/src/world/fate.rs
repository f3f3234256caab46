//! What a plan does to the cluster: wishes, aborts, cuts, kills, pauses, panics.

use std::time::Duration;

use phalanx_protocol::limits::LOST_AFTER;

use super::{Happening, World};
use crate::net::End;
use crate::plan::{Action, Peer};
use crate::rooms::RoomPair;

impl World<'_> {
    pub(super) fn act(&mut self, index: usize) {
        match self.plan.actions[index].1.clone() {
            Action::Submit(client, wish) => self.wish(client, wish),
            Action::Graph(client, wishes, edges) => self.submit_graph(client, &wishes, &edges),
            Action::Abort(client, back) => self.abort(client, back),
            Action::Cut(peer) => {
                if let Some(session) = self.session_of(peer) {
                    self.cut(session);
                }
            }
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
