//! The one task of a client: feeds the room what arrives, and gets a new session when one is lost.
//!
//! Spawned by `Client::connect` on the caller's runtime, or run by the blocking face on its own
//! thread. Callers do not go through it to submit.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use phalanx_transport::protocol::client::HubToClient;
use phalanx_transport::protocol::error::ErrorCode;
use phalanx_transport::protocol::limits::{CLOSE_DEADLINE, HANDSHAKE_DEADLINE};
use phalanx_transport::reconnect::Backoff;
use phalanx_transport::{CloseReason, Incoming, SessionReceiver};
use tokio::time::{Instant, Sleep};

use crate::core::Event;
use crate::error::ConnectError;
use crate::link::{ClientSession, Source};
use crate::outlook::Outlook;
use crate::shared::{Shared, Turn};

/// The receiving half that the driver owns; the sending half is with who shares the client.
type Receiver = SessionReceiver<HubToClient>;

/// Why a client ends whose hub will not come again.
const HOPELESS: &str = "the cluster has ended";

/// Why a client ends when its user wants it to.
const CLOSED: &str = "it was closed";

/// Runs a client from its first session to its end.
pub(crate) struct Driver<S> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) source: S,
    /// How long to go on without a hub.
    pub(crate) reconnect_for: Duration,
    /// Whether to go on at all.
    pub(crate) outlook: Outlook,
}

impl<S> Drop for Driver<S> {
    /// Whatever ends the driver, even before it ran, ends every wait.
    fn drop(&mut self) {
        let cause = "the runtime that ran the client has ended";
        self.shared.handle([Event::GaveUp(cause.into())]);
    }
}

/// How a session, or the search for one, came to its end.
enum Ended {
    /// The link is gone; there may be another.
    Cut(CloseReason),
    /// There will be no other link.
    Final(Arc<str>),
}

impl<S: Source> Driver<S> {
    /// A session that the hub has opened; one attempt.
    pub(crate) async fn open(&mut self) -> Result<Receiver, ConnectError> {
        let session = self.source.connect().await?;
        let opened = tokio::time::timeout(HANDSHAKE_DEADLINE, opened(&self.shared, session)).await;
        let opened = opened.unwrap_or(Err(ConnectError::Silent));
        if opened.is_err() {
            self.shared.on_session_down();
        }
        opened
    }

    /// Everything after the first session was opened.
    pub(crate) async fn run(mut self, mut receiver: Receiver) {
        let shared = Arc::clone(&self.shared);
        let cause = loop {
            let ended = run_session(&shared, &mut receiver).await;
            shared.on_session_down();
            let reason = match ended {
                Ended::Cut(reason) if may_retry(&reason) => reason,
                Ended::Cut(reason) => break reason.to_string().into(),
                Ended::Final(cause) => break cause,
            };
            tracing::debug!(%reason, "session with the hub lost");
            let outlook = self.outlook.clone();
            let reconnected = tokio::select! {
                biased;
                reconnected = self.reconnect(&reason) => reconnected,
                () = outlook.is_lost() => {
                    shared.on_session_down();
                    Err(HOPELESS.into())
                }
            };
            receiver = match reconnected {
                Ok(receiver) => receiver,
                Err(cause) => break cause,
            };
        };
        tracing::debug!(%cause, "client ends");
        shared.handle([Event::GaveUp(cause)]);
    }

    async fn reconnect(&mut self, reason: &CloseReason) -> Result<Receiver, Arc<str>> {
        let seed = RandomState::new().build_hasher().finish();
        let mut last = reason.to_string();
        for wait in Backoff::new(seed, self.reconnect_for) {
            if pause(&self.shared, wait).await.is_err() {
                return Err(CLOSED.into());
            }
            match self.open().await {
                Ok(receiver) => return Ok(receiver),
                // The room may have dropped its name for it: another attempt goes otherwise.
                Err(error @ ConnectError::Protocol(_)) => last = error.to_string(),
                Err(error) if !error.is_retryable() => return Err(error.to_string().into()),
                Err(error) => last = error.to_string(),
            }
        }
        let after = self.reconnect_for;
        Err(format!("no session with the hub for {after:?}; the last attempt: {last}").into())
    }
}

async fn opened(shared: &Shared, session: ClientSession) -> Result<Receiver, ConnectError> {
    shared.on_session_up(session.sender);
    let mut receiver = session.receiver;
    let mut batch = Vec::new();
    while !shared.look(|room| room.is_open()) {
        receiver.recv_batch(&mut batch).await?;
        shared.handle(batch.drain(..).map(event));
        if let Some((code, detail)) = shared.turn().close {
            shared.close_session(code, detail).await;
            return Err(ConnectError::Protocol(detail));
        }
    }
    Ok(receiver)
}

/// Whether a session that ended so may be followed by another. A hub that shuts down in an orderly
/// way takes its ledger with it: there is nothing to come back to.
fn may_retry(reason: &CloseReason) -> bool {
    let shut_down = matches!(reason, CloseReason::Peer { code: Some(ErrorCode::ShuttingDown), .. });
    reason.is_retryable() && !shut_down
}

async fn run_session(shared: &Shared, receiver: &mut Receiver) -> Ended {
    let mut batch = Vec::new();
    let mut timer = Timer::new();
    let mut patience = Patience::default();
    loop {
        let turn = shared.turn();
        if let Some((code, detail)) = turn.close {
            shared.close_session(code, detail).await;
            return Ended::Cut(CloseReason::Network { detail: detail.to_owned() });
        }
        if turn.left || patience.is_over(turn) {
            shared.close_session(ErrorCode::Closed, "the client leaves").await;
            return Ended::Final(CLOSED.into());
        }
        if turn.deadline.is_some_and(|deadline| deadline <= shared.now()) {
            shared.on_deadline();
            continue;
        }
        timer.arm(turn.deadline.map(|deadline| shared.instant(deadline)));
        timer.arm(patience.until);
        tokio::select! {
            biased;
            received = receiver.recv_batch(&mut batch) => {
                shared.handle(batch.drain(..).map(event));
                if let Err(reason) = received {
                    return Ended::Cut(reason);
                }
            }
            () = shared.driver.notified() => {}
            () = timer.fired() => {}
        }
    }
}

fn event(incoming: Incoming<HubToClient>) -> Event {
    match incoming {
        Incoming::Message(message) => Event::Message(message),
        Incoming::Payload { ticket, bytes } => Event::Payload { ticket, bytes },
    }
}

/// The client is not wanted any more.
struct Unwanted;

/// Waits between two attempts to connect.
async fn pause(shared: &Shared, wait: Duration) -> Result<(), Unwanted> {
    let mut patience = Patience::default();
    let until = Instant::now() + wait;
    loop {
        let turn = shared.turn();
        if turn.left || patience.is_over(turn) {
            return Err(Unwanted);
        }
        let next = patience.until.map_or(until, |patience| until.min(patience));
        tokio::select! {
            () = shared.driver.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
        if Instant::now() >= until {
            return Ok(());
        }
    }
}

/// How long a client that nobody holds any more waits for its submits to be recorded.
#[derive(Default)]
struct Patience {
    until: Option<Instant>,
}

impl Patience {
    fn is_over(&mut self, turn: Turn) -> bool {
        turn.abandoned && {
            let now = Instant::now();
            now >= *self.until.get_or_insert(now + CLOSE_DEADLINE)
        }
    }
}

/// One timer that is moved only to earlier times: firing early is harmless, and a room that
/// confirms late moves its deadline with every burst.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
}

impl Timer {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep_until(Instant::now())), armed: None }
    }

    fn arm(&mut self, wanted: Option<Instant>) {
        if let Some(wanted) = wanted
            && self.armed.is_none_or(|armed| wanted < armed)
        {
            self.sleep.as_mut().reset(wanted);
            self.armed = Some(wanted);
        }
    }

    async fn fired(&mut self) {
        if self.armed.is_none() {
            return std::future::pending().await;
        }
        self.sleep.as_mut().await;
        self.armed = None;
    }
}
