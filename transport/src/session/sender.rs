//! The sending half of a session, as its users hold it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use phalanx_protocol::codec::{EncodeError, Message};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::limits::TASK_PAYLOAD_LEN_MAX;

use super::queue::Refused;
use super::{CloseReason, Link};

/// Sends the messages of one direction. Cheap to clone, usable from any thread.
///
/// When the last clone is dropped the session closes in an orderly way, as by
/// [`SessionSender::close`] with [`ErrorCode::Closed`].
pub struct SessionSender<Out: Message> {
    life: Arc<Life>,
    direction: PhantomData<fn(Out)>,
}

/// Closes the session when the last sender goes.
struct Life {
    link: Arc<Link>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.link.request_close(ErrorCode::Closed, "sender dropped");
    }
}

impl<Out: Message> Clone for SessionSender<Out> {
    fn clone(&self) -> Self {
        Self { life: Arc::clone(&self.life), direction: PhantomData }
    }
}

impl<Out: Message> fmt::Debug for SessionSender<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionSender")
            .field("direction", &Out::CONVERSATION)
            .finish_non_exhaustive()
    }
}

impl<Out: Message> SessionSender<Out> {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { life: Arc::new(Life { link }), direction: PhantomData }
    }

    /// Queues a message and returns at once. Messages of one lane arrive in the order sent. A
    /// payload over [`INLINE_LEN_MAX`](phalanx_protocol::limits::INLINE_LEN_MAX) takes a stream
    /// of its own and arrives after its message; one in shared memory
    /// ([`crate::segments::place`]) arrives with it, if the other end can map it. Keep a payload
    /// until the other end has confirmed it.
    ///
    /// # Errors
    /// [`SendError`], which gives the message back: the session is closed, or its queue is full
    /// (limits in [`crate::Settings`]), or the message breaks a limit of the protocol.
    pub fn send(&self, message: impl Into<Out>) -> Result<(), SendError<Out>> {
        let mut message = message.into();
        let pushed = self.life.link.queue().push(&mut message);
        match pushed {
            Ok(None) => Ok(()),
            Ok(Some(pump)) => {
                pump.wake();
                Ok(())
            }
            Err(refused) => Err(SendError::new(refused, message)),
        }
    }

    /// Frames and bytes that wait to be sent, payloads included.
    pub fn queued(&self) -> (usize, u64) {
        self.life.link.queue().load()
    }

    /// Takes no more messages, sends what is queued within the close deadline, then closes with
    /// this code and text. Returns at once; [`SessionSender::closed`] tells when it is done. Of
    /// several calls the first counts.
    pub fn close(&self, code: ErrorCode, detail: &str) {
        self.life.link.request_close(code, detail);
    }

    /// Waits until the session is over, and tells why.
    pub async fn closed(&self) -> CloseReason {
        self.life.link.closed().await
    }

    /// Why the session is over, if it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.life.link.reason.borrow().clone()
    }
}

/// Why a message was not sent; gives it back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError<Out> {
    /// The session is closing or over.
    #[error("the session is closed")]
    Closed(Box<Out>),
    /// Too much waits to be sent: the other end does not read, or not fast enough.
    #[error("the session's send queue is full; try again when the other end has read")]
    Overloaded(Box<Out>),
    /// The payload is longer than a task's may be.
    #[error("payload of {len} bytes is over the limit of {TASK_PAYLOAD_LEN_MAX}")]
    PayloadTooLong {
        /// The message.
        message: Box<Out>,
        /// How long its payload is.
        len: u64,
    },
    /// The payload is a ticket or a segment: it names something of another session. Send the bytes.
    #[error("a ticket or segment is good in its own session only; send the payload's bytes")]
    ForeignTicket(Box<Out>),
    /// The message cannot be encoded within the limits.
    #[error("the message cannot be sent: {source}")]
    Encode {
        /// The message.
        message: Box<Out>,
        /// Why.
        source: EncodeError,
    },
}

impl<Out> SendError<Out> {
    fn new(refused: Refused, message: Out) -> Self {
        let message = Box::new(message);
        match refused {
            Refused::Closed => Self::Closed(message),
            Refused::Overloaded => Self::Overloaded(message),
            Refused::PayloadTooLong { len } => Self::PayloadTooLong { message, len },
            Refused::ForeignTicket => Self::ForeignTicket(message),
            Refused::Encode(source) => Self::Encode { message, source },
        }
    }

    /// The message that was not sent.
    pub fn into_message(self) -> Out {
        match self {
            Self::Closed(message) | Self::Overloaded(message) | Self::ForeignTicket(message) => {
                *message
            }
            Self::PayloadTooLong { message, .. } | Self::Encode { message, .. } => *message,
        }
    }
}
