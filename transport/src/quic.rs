//! A session's wire over one QUIC connection: three bidirectional streams for the lanes, one
//! unidirectional stream for each payload.
//!
//! The handshake makes it. It knows nothing of frames.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use phalanx_protocol::codec::Lane;
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::ids::Ticket;
use phalanx_protocol::pieces::Pieces;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::io::AsyncReadExt as _;

use crate::segments::PeerMemory;
use crate::session::{CloseReason, Wire};
use crate::settings::{CONTROL_HEADROOM, Settings};
use crate::sources::Sources;
use crate::wire::{BoxFuture, PayloadReader, WireCloser, WireReader, WireWriter, payload_prefix};

const LANES: usize = Lane::ALL.len();

/// Stream priorities: higher ones are sent first. Events and payloads share what tasks leave.
const LANE_PRIORITIES: [i32; LANES] = [2, 1, 0];
const PAYLOAD_PRIORITY: i32 = 0;

/// The close code of a session on the wire.
pub(crate) fn code_number(code: ErrorCode) -> VarInt {
    VarInt::from_u32(code.number().into())
}

/// What a connection's end means for its session.
pub(crate) fn close_reason(error: ConnectionError) -> CloseReason {
    match error {
        ConnectionError::ApplicationClosed(close) => CloseReason::Peer {
            code: u16::try_from(close.error_code.into_inner())
                .ok()
                .and_then(ErrorCode::from_number),
            detail: String::from_utf8_lossy(&close.reason).into_owned(),
        },
        ConnectionError::TimedOut => CloseReason::Lost,
        ConnectionError::Reset => CloseReason::Forgotten,
        ConnectionError::LocallyClosed => {
            CloseReason::Us { code: ErrorCode::Closed, detail: "endpoint closed".to_owned() }
        }
        other => CloseReason::Network { detail: other.to_string() },
    }
}

/// The streams of the three lanes, most urgent first.
#[derive(Debug)]
pub(crate) struct Lanes {
    pub(crate) send: [SendStream; LANES],
    pub(crate) recv: [RecvStream; LANES],
    /// The other end's memory, if both ends can map each other's.
    pub(crate) memory: Option<PeerMemory>,
}

/// A session's wire over this connection.
pub(crate) fn wire(connection: &Connection, lanes: Lanes) -> Wire<QuicWriter> {
    for (stream, priority) in lanes.send.iter().zip(LANE_PRIORITIES) {
        // Fails only on a stream that is closed already; the pump learns that by itself.
        let _ = stream.set_priority(priority);
    }
    Wire {
        writer: QuicWriter {
            connection: connection.clone(),
            closed: closed(connection),
            streams: lanes.send,
            unacknowledged: None,
        },
        reader: Box::new(QuicReader {
            connection: connection.clone(),
            closed: closed(connection),
            streams: lanes.recv,
            payload: accept_payload(connection),
            sources: Sources::new(),
        }),
        closer: Box::new(connection.clone()),
        memory: lanes.memory,
    }
}

impl WireCloser for Connection {
    fn close(&self, code: ErrorCode, detail: &str) {
        Self::close(self, code_number(code), detail.as_bytes());
    }
}

fn closed(connection: &Connection) -> BoxFuture<CloseReason> {
    let connection = connection.clone();
    Box::pin(async move { close_reason(connection.closed().await) })
}

pub(crate) struct QuicWriter {
    connection: Connection,
    closed: BoxFuture<CloseReason>,
    streams: [SendStream; LANES],
    /// Lanes that are finished but not acknowledged whole.
    unacknowledged: Option<Vec<BoxFuture<()>>>,
}

impl QuicWriter {
    /// Lets a control write pass a send window that is full of other lanes' bytes.
    fn poll_write_urgent(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, CloseReason>> {
        let window = Settings::send_window(self.connection.remote_address().ip());
        self.connection.set_send_window(window + CONTROL_HEADROOM);
        let written = poll_write_stream(&mut self.streams[Lane::Control as usize], cx, bytes);
        self.connection.set_send_window(window);
        written
    }
}

fn poll_write_stream(
    stream: &mut SendStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<Result<usize, CloseReason>> {
    Pin::new(stream).poll_write(cx, bytes).map(|written| match written {
        // The other end reads no more: its close is on the way and gives the reason.
        Err(WriteError::Stopped(_)) => Ok(bytes.len()),
        Err(WriteError::ConnectionLost(error)) => Err(close_reason(error)),
        Err(other) => Err(CloseReason::Network { detail: other.to_string() }),
        Ok(len) => Ok(len),
    })
}

impl WireWriter for QuicWriter {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        lane: Lane,
        bytes: &[u8],
    ) -> Poll<Result<usize, CloseReason>> {
        match poll_write_stream(&mut self.streams[lane as usize], cx, bytes) {
            Poll::Pending if lane == Lane::Control => self.poll_write_urgent(cx, bytes),
            written => written,
        }
    }

    fn write_payload(&self, ticket: Ticket, bytes: Pieces) -> BoxFuture<Result<(), CloseReason>> {
        let connection = self.connection.clone();
        Box::pin(async move {
            let mut stream = connection.open_uni().await.map_err(close_reason)?;
            let prefix = payload_prefix(ticket, bytes.len() as u64);
            let prefix = std::iter::once(Bytes::copy_from_slice(&prefix));
            let mut chunks: Vec<Bytes> = prefix.chain(bytes.iter().cloned()).collect();
            // Both fail only if the stream is closed already; then the write tells.
            let _ = stream.set_priority(PAYLOAD_PRIORITY);
            let written = stream.write_all_chunks(&mut chunks).await;
            let _ = stream.finish();
            match written {
                Ok(()) | Err(WriteError::Stopped(_)) => {}
                Err(WriteError::ConnectionLost(error)) => return Err(close_reason(error)),
                Err(other) => {
                    return Err(CloseReason::Network { detail: other.to_string() });
                }
            }
            // An error means that the connection is gone, and the pump learns that by itself.
            let _ = stream.stopped().await;
            Ok(())
        })
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let unacknowledged = self.unacknowledged.get_or_insert_with(|| {
            let finish = |stream: &mut SendStream| -> BoxFuture<()> {
                let _ = stream.finish();
                let stopped = stream.stopped();
                Box::pin(async move {
                    let _ = stopped.await;
                })
            };
            self.streams.iter_mut().map(finish).collect()
        });
        unacknowledged.retain_mut(|stopped| stopped.as_mut().poll(cx).is_pending());
        if unacknowledged.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.closed.as_mut().poll(cx)
    }
}

/// A payload stream that the other end opened, or why there will be none.
type AcceptedPayload = Result<RecvStream, ConnectionError>;

fn accept_payload(connection: &Connection) -> BoxFuture<AcceptedPayload> {
    let connection = connection.clone();
    Box::pin(async move { connection.accept_uni().await })
}

struct QuicReader {
    connection: Connection,
    closed: BoxFuture<CloseReason>,
    streams: [RecvStream; LANES],
    payload: BoxFuture<AcceptedPayload>,
    /// The lanes by number, then `payload`.
    sources: Sources<{ LANES + 1 }>,
}

impl WireReader for QuicReader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        lane: Lane,
        buffer: &mut BytesMut,
    ) -> Poll<Result<usize, CloseReason>> {
        // The read is cancel-safe: dropping it while it waits loses nothing, and the stream
        // keeps the waker.
        let stream = &mut self.streams[lane as usize];
        self.sources.poll(cx, lane as usize, |cx| {
            let read = stream.read_buf(buffer);
            pin!(read).poll(cx).map_err(|error| read_failed(&error))
        })
    }

    fn poll_payload(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<dyn PayloadReader>, CloseReason>> {
        let payload = &mut self.payload;
        let accepted = ready!(self.sources.poll(cx, LANES, |cx| payload.as_mut().poll(cx)));
        self.payload = accept_payload(&self.connection);
        Poll::Ready(match accepted {
            Ok(stream) => Ok(Box::new(QuicPayload(stream))),
            Err(error) => Err(close_reason(error)),
        })
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.closed.as_mut().poll(cx)
    }
}

struct QuicPayload(RecvStream);

impl PayloadReader for QuicPayload {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        len_max: usize,
    ) -> Poll<Result<usize, CloseReason>> {
        let mut limited = (&mut self.0).take(len_max as u64);
        let read = limited.read_buf(buffer);
        pin!(read).poll(cx).map_err(|error| read_failed(&error))
    }
}

fn read_failed(error: &std::io::Error) -> CloseReason {
    let read_error = error.get_ref().and_then(|source| source.downcast_ref::<ReadError>());
    match read_error {
        Some(ReadError::ConnectionLost(error)) => close_reason(error.clone()),
        // Our own sender never resets a stream.
        Some(ReadError::Reset(_)) => CloseReason::Violation {
            code: ErrorCode::Malformed,
            detail: "a stream was reset".to_owned(),
        },
        Some(other) => CloseReason::Network { detail: other.to_string() },
        None => CloseReason::Network { detail: error.to_string() },
    }
}
