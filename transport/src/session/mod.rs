//! Sessions: an authenticated conversation with one peer, over any wire.
//!
//! ```text
//! send ──> queue (a buffer per lane) ──> pump (one task) ──> wire ──> receiver ──> recv_batch
//! ```
//!
//! Hub, engines, hosts and clients use [`SessionSender`] and [`SessionReceiver`]. A session does
//! not know what its messages mean, and it does not reconnect: it ends once, with a
//! [`CloseReason`], and its owner opens another.
//!
//! * `send` encodes into its lane's buffer and never waits. All that was queued in one turn of
//!   the executor leaves in one write. Nothing is allocated per message and no timer is started.
//! * `recv_batch` reads from the wire itself: there is no queue between that could grow. A
//!   receiver that does not read stops its sender by flow control.
//! * Control overtakes: its lane is written first, has the higher stream priority, a send window
//!   of its own, and stands first in each received batch.

mod payloads;
mod pump;
mod queue;
mod receiver;
mod sender;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use phalanx_protocol::codec::Message;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::role::Role;
use tokio::sync::watch;

pub use self::receiver::{Incoming, SessionReceiver};
pub use self::sender::{SendError, SessionSender};
use crate::segments::PeerMemory;
use crate::settings::Settings;
use crate::wire::{WireCloser, WireReader, WireWriter};

/// Who is at the other end of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its role, from its certificate.
    pub role: Role,
    /// The serial number of its certificate; empty in memory.
    pub serial: String,
    /// Where it was when the session began; `None` in memory.
    pub address: Option<SocketAddr>,
    /// What it calls itself. It may call itself anything.
    pub name: String,
    /// Its release, for people.
    pub release: String,
    /// The message version of this session.
    pub version: u16,
    /// Whether long payloads are handed over in shared memory.
    pub shares_memory: bool,
}

/// Why a session ended, sorted by who did it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other end closed it.
    #[error("closed by the other end: {} ({detail})", CodeText(*code))]
    Peer {
        /// Why, if it is a code that this release knows.
        code: Option<ErrorCode>,
        /// Why, in words.
        detail: String,
    },
    /// The other end broke a rule, and we closed the session for it.
    #[error("the other end broke a rule: {code} ({detail})")]
    Violation {
        /// Which kind of rule.
        code: ErrorCode,
        /// What it did.
        detail: String,
    },
    /// This end closed it.
    #[error("closed by this end: {code} ({detail})")]
    Us {
        /// Why.
        code: ErrorCode,
        /// Why, in words.
        detail: String,
    },
    /// Nothing was heard from the other end for `lost_after`.
    #[error("nothing was heard from the other end until the session's idle time was over")]
    Lost,
    /// The other end answers, but has forgotten the session: it was started anew.
    #[error("the other end was started anew and no longer knows this session")]
    Forgotten,
    /// The transport failed.
    #[error("the transport failed: {detail}")]
    Network {
        /// How, in the transport's words.
        detail: String,
    },
}

impl CloseReason {
    /// Whether connecting again may go well.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Peer { code, .. } => match code {
                Some(code) => code.is_retryable(),
                None => false,
            },
            Self::Lost | Self::Forgotten | Self::Network { .. } => true,
            Self::Violation { .. } | Self::Us { .. } => false,
        }
    }
}

struct CodeText(Option<ErrorCode>);

impl fmt::Display for CodeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => code.fmt(f),
            None => f.write_str("a code of another release"),
        }
    }
}

/// Both halves of a session, and who is at the other end.
pub struct Session<Out: Message, In: Message> {
    /// Sends; may be cloned and shared between threads.
    pub sender: SessionSender<Out>,
    /// Receives; one owner.
    pub receiver: SessionReceiver<In>,
    /// Who is at the other end.
    pub peer: PeerInfo,
}

impl<Out: Message, In: Message> fmt::Debug for Session<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("sends", &Out::CONVERSATION)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// The two halves of a wire and the way to end it.
pub(crate) struct Wire<W> {
    pub(crate) writer: W,
    pub(crate) reader: Box<dyn WireReader>,
    pub(crate) closer: Box<dyn WireCloser>,
    /// The other end's memory, if both ends can map each other's.
    pub(crate) memory: Option<PeerMemory>,
}

impl<Out: Message, In: Message> Session<Out, In> {
    /// Starts a session on a wire; its pump runs on the current executor.
    pub(crate) fn start<W: WireWriter>(wire: Wire<W>, peer: PeerInfo, settings: &Settings) -> Self {
        let link = Arc::new(Link::new(wire.closer, settings, wire.memory.is_some()));
        pump::spawn(wire.writer, Arc::clone(&link), settings.close_deadline);
        Self {
            sender: SessionSender::new(Arc::clone(&link)),
            receiver: SessionReceiver::new(wire.reader, wire.memory, link, peer.role),
            peer,
        }
    }
}

/// What the halves of a session and its pump share.
#[derive(Debug)]
pub(crate) struct Link {
    queue: Mutex<queue::Queue>,
    closer: Box<dyn WireCloser>,
    reason: watch::Sender<Option<CloseReason>>,
}

impl Link {
    fn new(closer: Box<dyn WireCloser>, settings: &Settings, shares_memory: bool) -> Self {
        Self {
            queue: Mutex::new(queue::Queue::new(
                settings.queue_frames_max,
                settings.queue_bytes_max,
                shares_memory,
            )),
            closer,
            reason: watch::Sender::new(None),
        }
    }

    fn queue(&self) -> MutexGuard<'_, queue::Queue> {
        // A panic under the lock can only come from a message's encoder; the queue is then as
        // it was before that message, or holds part of a frame that is never sent whole.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks the pump to send what is queued and then to close. The first to ask decides.
    fn request_close(&self, code: ErrorCode, detail: &str) {
        let waker = self.queue().begin_close(CloseReason::Us { code, detail: detail.to_owned() });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Closes at once because the other end broke a rule.
    fn punish(&self, code: ErrorCode, detail: String) -> CloseReason {
        let reason = CloseReason::Violation { code, detail };
        self.settle(reason)
    }

    /// Records why the session ended, and sees to it that the wire ends too; the first reason
    /// stays. What the wire calls our own doing becomes the reason that we gave.
    fn settle(&self, reason: CloseReason) -> CloseReason {
        let mut queue = self.queue();
        let reason = match (reason, queue.own_reason()) {
            (CloseReason::Us { .. }, Some(own)) => own.clone(),
            (reason, _) => reason,
        };
        queue.end();
        drop(queue);
        let is_first = self.reason.send_if_modified(|settled| {
            let is_first = settled.is_none();
            settled.get_or_insert_with(|| reason.clone());
            is_first
        });
        if !is_first {
            return self.reason.borrow().clone().unwrap_or(reason);
        }
        match &reason {
            CloseReason::Violation { code, detail } => self.closer.close(*code, detail),
            // Already closed, as a rule; then this does nothing.
            _ => self.closer.close(ErrorCode::Closed, ""),
        }
        reason
    }

    async fn closed(&self) -> CloseReason {
        let mut reason = self.reason.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        match reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Lost),
            Err(_) => CloseReason::Lost,
        }
    }
}

/// Sessions live on any executor: the hub's one thread, or a client's many.
const _: () = {
    use phalanx_protocol::client::{ClientToHub, HubToClient};
    const fn is_send_and_sync<T: Send + Sync>() {}
    const fn is_send<T: Send>() {}
    is_send_and_sync::<SessionSender<ClientToHub>>();
    is_send::<SessionReceiver<HubToClient>>();
};
