//! What a session needs from whatever carries it: ordered lanes, payload streams, an end.
//!
//! Sessions use these traits; `quic` and `memory` provide them. A lane over TCP/TLS or over ssh's
//! standard streams would be a third. Nothing here knows frames or messages.

use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use phalanx_protocol::codec::Lane;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::Ticket;
use phalanx_protocol::pieces::Pieces;

use crate::session::CloseReason;

/// A future that any executor may run.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Length of what stands before a payload's bytes on its stream: ticket and length, each a
/// little-endian u64.
pub(crate) const PAYLOAD_PREFIX_LEN: usize = 16;

/// What stands before a payload's bytes on its stream.
pub(crate) fn payload_prefix(ticket: Ticket, len: u64) -> [u8; PAYLOAD_PREFIX_LEN] {
    let mut prefix = [0; PAYLOAD_PREFIX_LEN];
    prefix[..8].copy_from_slice(&ticket.0.to_le_bytes());
    prefix[8..].copy_from_slice(&len.to_le_bytes());
    prefix
}

/// The sending half: the session's pump drives it.
pub(crate) trait WireWriter: Send + 'static {
    /// Takes some of `bytes` for a lane, in order.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        lane: Lane,
        bytes: &[u8],
    ) -> Poll<Result<usize, CloseReason>>;

    /// Sends one payload on a stream of its own; done when the other end's transport has it all.
    fn write_payload(&self, ticket: Ticket, bytes: Pieces) -> BoxFuture<Result<(), CloseReason>>;

    /// Ends the lanes; ready when the other end's transport has all that was written.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ready when the connection is gone.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason>;
}

/// The receiving half: the session's receiver drives it.
pub(crate) trait WireReader: Send + 'static {
    /// Appends what has arrived on a lane to the buffer's spare room; 0 at the lane's end.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        lane: Lane,
        buffer: &mut BytesMut,
    ) -> Poll<Result<usize, CloseReason>>;

    /// The next payload stream that the other end opened.
    fn poll_payload(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<dyn PayloadReader>, CloseReason>>;

    /// Ready when the connection is gone.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason>;
}

/// One payload stream that the other end opened.
pub(crate) trait PayloadReader: Send {
    /// Appends up to `len_max` bytes that have arrived; 0 at the stream's end.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        len_max: usize,
    ) -> Poll<Result<usize, CloseReason>>;
}

/// Ends the connection at once; what was not sent is lost. Either half may do it.
pub(crate) trait WireCloser: Debug + Send + Sync + 'static {
    /// Ends it with this code and text.
    fn close(&self, code: ErrorCode, detail: &str);
}
