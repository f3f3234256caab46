//! A peer's link to its hub: one session at a time, opened again with growing waits when it is
//! lost. Engines and the scheduling process keep one; what a lost session means is decided by the
//! room behind it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use phalanx_protocol::error::ErrorCode;
use phalanx_transport::identity::{ConnectionFile, ConnectionFileError};
use phalanx_transport::reconnect::{BACKOFF_MAX, Backoff};
use phalanx_transport::{
    CloseReason, ConnectError, Connector, Conversation, Incoming, PeerSession, Session,
    SessionReceiver, SessionSender, Settings,
};
use tokio::time::Instant;

use crate::rt::{Gone, Post, Shell};

/// Opens sessions with one hub.
pub trait Connect<C: Conversation>: 'static {
    /// Opens one session; how long it tries is its own matter.
    fn connect(&mut self) -> impl Future<Output = Result<PeerSession<C>, ConnectFailed>>;

    /// Waits until the hub was told of the sessions that ended, if that takes time of its own.
    fn told(&mut self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// There is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectFailed {
    /// Why, and what to do.
    pub message: String,
    /// Whether to try again later.
    pub is_retryable: bool,
}

impl From<ConnectError> for ConnectFailed {
    fn from(error: ConnectError) -> Self {
        Self { message: error.to_string(), is_retryable: error.is_retryable() }
    }
}

/// Connects over QUIC with what a connection file says. The file is read again when connecting
/// fails: a hub that was started anew may listen elsewhere.
#[derive(Debug)]
pub struct FileConnect {
    path: PathBuf,
    name: String,
    settings: Settings,
    file: ConnectionFile,
    connector: Option<Connector>,
}

impl FileConnect {
    /// Reads the file. `name` is what this peer calls itself, for people.
    ///
    /// # Errors
    /// [`ConnectionFileError`] if the file cannot be used.
    pub fn new(
        path: &Path,
        name: impl Into<String>,
        settings: Settings,
    ) -> Result<Self, ConnectionFileError> {
        let file = ConnectionFile::load(path)?;
        let path = path.to_owned();
        Ok(Self { path, name: name.into(), settings, file, connector: None })
    }

    async fn try_once<C: Conversation>(&mut self) -> Result<PeerSession<C>, ConnectError> {
        let connector = match &self.connector {
            Some(connector) => connector,
            None => self.connector.insert(Connector::new(&self.file, &self.settings)?),
        };
        connector.connect(&self.name).await
    }

    /// Reads the file again; true if it says something else now. One that cannot be read at the
    /// moment is being replaced, or gone with its cluster: the old word stands.
    fn reload(&mut self) -> bool {
        match ConnectionFile::load(&self.path) {
            Ok(file) if file != self.file => {
                self.file = file;
                self.connector = None;
                true
            }
            Ok(_) | Err(_) => false,
        }
    }
}

impl<C: Conversation> Connect<C> for FileConnect {
    async fn connect(&mut self) -> Result<PeerSession<C>, ConnectFailed> {
        match self.try_once().await {
            Ok(session) => Ok(session),
            Err(_) if self.reload() => Ok(self.try_once().await?),
            Err(error) => Err(error.into()),
        }
    }

    async fn told(&mut self) {
        if let Some(connector) = &self.connector {
            connector.told().await;
        }
    }
}

/// A shell that lives behind a link.
pub(crate) trait Linked<C: Conversation>: Shell {
    /// There is a session.
    fn opened(sender: SessionSender<C>) -> Self::Mail;
    /// The hub said this at once.
    fn batch(batch: Vec<Incoming<C::Answer>>) -> Self::Mail;
    /// The session is over, and why; there may be another.
    fn closed(reason: &CloseReason) -> Self::Mail;
    /// There will be no other session, and why.
    fn cut_off(message: String) -> Self::Mail;
}

/// Keeps the link until the shell has ended, or the hub has said that it is of no use; the hub has
/// been told of a session that ended with the shell when this returns.
pub(crate) async fn keep_linked<C: Conversation, S: Linked<C>>(
    post: Post<S>,
    mut connect: impl Connect<C>,
) {
    let mut backoff = new_backoff();
    loop {
        let message = match connect.connect().await {
            Ok(session) => {
                let opened = Instant::now();
                let Ok(reason) = run_session(&post, session).await else {
                    return connect.told().await;
                };
                // One that is thrown out at once shall not come back at once.
                if opened.elapsed() > BACKOFF_MAX {
                    backoff = new_backoff();
                }
                tracing::info!(%reason, "the session with the hub is over");
                is_final(&reason).then(|| reason.to_string())
            }
            Err(failed) => {
                tracing::debug!(%failed, "no session with the hub");
                (!failed.is_retryable).then_some(failed.message)
            }
        };
        if let Some(message) = message {
            // A shell that has ended does not care.
            let _ = post.deliver(S::cut_off(message)).await;
            return;
        }
        // The waits never end.
        tokio::time::sleep(backoff.next().unwrap_or(BACKOFF_MAX)).await;
    }
}

/// Passes on what the hub says until the session is over.
async fn run_session<C: Conversation, S: Linked<C>>(
    post: &Post<S>,
    session: PeerSession<C>,
) -> Result<CloseReason, Gone> {
    let Session { sender, mut receiver, .. } = session;
    post.deliver(S::opened(sender)).await?;
    let reason = pass_on(post, &mut receiver).await?;
    post.deliver(S::closed(&reason)).await?;
    Ok(reason)
}

async fn pass_on<C: Conversation, S: Linked<C>>(
    post: &Post<S>,
    receiver: &mut SessionReceiver<C::Answer>,
) -> Result<CloseReason, Gone> {
    let mut expected = 0;
    loop {
        let mut batch = Vec::with_capacity(expected);
        match receiver.recv_batch(&mut batch).await {
            Ok(()) => {
                expected = batch.len();
                post.deliver(S::batch(batch)).await?;
            }
            Err(reason) => return Ok(reason),
        }
    }
}

/// What a hub said that was asked to stop: it takes its ledger with it, and nobody is to wait for
/// another. A hub that is killed, or gives up, cannot say so: it may be back.
pub(crate) fn shut_down(reason: &CloseReason) -> Option<&str> {
    match reason {
        CloseReason::Peer { code: Some(ErrorCode::ShuttingDown), detail } => Some(detail),
        _ => None,
    }
}

/// Whether the hub said that coming back is of no use. Of all else a fresh session may be the
/// cure; the waits between them keep it harmless.
fn is_final(reason: &CloseReason) -> bool {
    let CloseReason::Peer { code: Some(code), .. } = reason else { return false };
    matches!(
        code,
        ErrorCode::WrongRole
            | ErrorCode::WrongCluster
            | ErrorCode::Version
            | ErrorCode::Replaced
            | ErrorCode::TooLarge
    )
}

fn new_backoff() -> Backoff {
    Backoff::new(fastrand::u64(..), Duration::MAX)
}
