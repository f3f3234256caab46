//! The host's own session with the hub: it reports engines' deaths and hears what the hub wants.
//!
//! One task on the host's thread. Deaths are kept and told again to each new session, since a
//! session that is cut loses its tail and hearing of a death twice is harmless. The hub's answers
//! go to the main loop's inbox.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use phalanx_transport::identity::ConnectionFile;
use phalanx_transport::protocol::host::{Attach, EngineExited, HostToHub, HubToHost, KillEngine};
use phalanx_transport::protocol::limits::HUB_LOST_MAX;
use phalanx_transport::reconnect::Backoff;
use phalanx_transport::{Connector, Incoming, PeerSession, Settings};
use tokio::sync::watch;
use tracing::Instrument;

use crate::{limits, words};

/// What the hub wants of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HubWish {
    /// The cluster shall end.
    Stop {
        /// Why, in words.
        reason: String,
    },
    /// An engine shall not be started again.
    Retire {
        /// The engine's stable name.
        name: String,
    },
    /// An engine's process shall be killed, and started again.
    Kill {
        /// The engine's stable name.
        name: String,
        /// The process that is meant.
        pid: u32,
        /// Why, in words.
        reason: String,
    },
}

/// What the session is to know: how often the hub became ready, and the latest deaths.
#[derive(Debug, Default)]
struct News {
    hub_lives: u64,
    deaths_told: u64,
    /// The deaths numbered up to `deaths_told`, as many as are kept.
    deaths: VecDeque<EngineExited>,
}

/// The main loop's end of the session.
#[derive(Debug)]
pub(super) struct HubLink {
    news: watch::Sender<News>,
}

impl HubLink {
    /// Starts the session's task on the current runtime; it connects when the hub is ready.
    pub(super) fn start(
        connection: PathBuf,
        machine: String,
        wishes: impl Fn(HubWish) -> bool + Send + Sync + 'static,
    ) -> Self {
        let (news, heard) = watch::channel(News::default());
        let task = Task { connection, machine, wishes, news: heard };
        tokio::spawn(task.run().in_current_span());
        Self { news }
    }

    /// A hub is ready: a session with an earlier one is over, whatever the network says.
    pub(super) fn on_hub_ready(&self) {
        self.news.send_modify(|news| news.hub_lives += 1);
    }

    /// An engine has died. Takes no time; the task tells the hub.
    pub(super) fn on_engine_exited(&self, death: EngineExited) {
        self.news.send_modify(|news| {
            news.deaths_told += 1;
            news.deaths.push_back(death);
            if news.deaths.len() > limits::DEATHS_KEPT_MAX {
                news.deaths.pop_front();
            }
        });
    }
}

struct Task<W> {
    connection: PathBuf,
    machine: String,
    wishes: W,
    news: watch::Receiver<News>,
}

impl<W: Fn(HubWish) -> bool + Send + Sync> Task<W> {
    /// Runs until the main loop is gone.
    async fn run(mut self) {
        let mut hub_life = 0;
        while self.wait_for_hub(&mut hub_life).await {
            let session = tokio::select! {
                session = connect(&self.connection, &self.machine) => session,
                more = another_hub(&mut self.news, hub_life) => {
                    if more { continue } else { return }
                }
            };
            let Some(session) = session else { continue };
            if !self.converse(session, hub_life).await {
                return;
            }
        }
    }

    /// Waits until there has been a hub at all; says whether the main loop is still there.
    async fn wait_for_hub(&mut self, hub_life: &mut u64) -> bool {
        match self.news.wait_for(|news| news.hub_lives > 0).await {
            Ok(news) => {
                *hub_life = news.hub_lives;
                true
            }
            Err(_) => false,
        }
    }

    /// Reports and listens until the session ends; says whether the main loop is still there.
    async fn converse(&mut self, mut session: PeerSession<HostToHub>, hub_life: u64) -> bool {
        let attach = Attach { host: self.machine.clone(), pid: std::process::id() };
        if session.sender.send(attach).is_err() {
            return true;
        }
        tracing::info!("attached to the hub");
        let mut told = 0;
        let mut batch = Vec::new();
        loop {
            if !self.tell_deaths(&session, &mut told) {
                return true;
            }
            tokio::select! {
                received = session.receiver.recv_batch(&mut batch) => {
                    let wishes_on = batch.drain(..).all(|incoming| self.on_incoming(incoming));
                    if !wishes_on {
                        return false;
                    }
                    if let Err(reason) = received {
                        tracing::info!(%reason, "session with the hub ended");
                        return true;
                    }
                }
                changed = self.news.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                    if self.news.borrow().hub_lives != hub_life {
                        return true;
                    }
                }
            }
        }
    }

    /// Tells what this session has not been told; says whether the session takes it.
    fn tell_deaths(&mut self, session: &PeerSession<HostToHub>, told: &mut u64) -> bool {
        let news = self.news.borrow_and_update();
        let first = news.deaths_told - news.deaths.len() as u64;
        let skipped = usize::try_from(told.saturating_sub(first)).unwrap_or(usize::MAX);
        let is_taken = news
            .deaths
            .iter()
            .skip(skipped)
            .all(|death| session.sender.send(death.clone()).is_ok());
        *told = news.deaths_told;
        is_taken
    }

    fn on_incoming(&self, incoming: Incoming<HubToHost>) -> bool {
        match incoming {
            Incoming::Message(HubToHost::StopCluster(stop)) => {
                (self.wishes)(HubWish::Stop { reason: stop.reason })
            }
            Incoming::Message(HubToHost::RetireEngine(retire)) => {
                (self.wishes)(HubWish::Retire { name: retire.name })
            }
            Incoming::Message(HubToHost::KillEngine(KillEngine { name, pid, reason })) => {
                (self.wishes)(HubWish::Kill { name, pid, reason })
            }
            // Nothing that a hub tells its hosts carries a payload.
            Incoming::Payload { .. } => true,
        }
    }
}

/// Waits until another hub than this one is ready; says whether the main loop is still there.
async fn another_hub(news: &mut watch::Receiver<News>, hub_life: u64) -> bool {
    news.wait_for(|news| news.hub_lives != hub_life).await.is_ok()
}

/// Tries until there is a session, or for so long that it is better to begin anew.
async fn connect(connection: &Path, machine: &str) -> Option<PeerSession<HostToHub>> {
    let seed = u64::from(std::process::id());
    let mut backoff = Backoff::new(seed, HUB_LOST_MAX);
    loop {
        match try_connect(connection, machine).await {
            Ok(session) => return Some(session),
            Err(error) => tracing::warn!(error, "no session with the hub yet"),
        }
        tokio::time::sleep(backoff.next()?).await;
    }
}

async fn try_connect(connection: &Path, machine: &str) -> Result<PeerSession<HostToHub>, String> {
    let file = ConnectionFile::load(connection).map_err(|error| words::chain(&error))?;
    let connector =
        Connector::new(&file, &Settings::default()).map_err(|error| words::chain(&error))?;
    connector.connect::<HostToHub>(machine).await.map_err(|error| words::chain(&error))
}

#[cfg(test)]
#[path = "hub_link_tests.rs"]
mod tests;
