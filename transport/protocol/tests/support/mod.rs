//! What the tests of this crate share: samples of every message, generators, hex, raw frames.
//!
//! Each test binary uses a part of it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod hex;
pub(crate) mod samples;
pub(crate) mod strategies;

use bytes::{BufMut as _, BytesMut};
use phalanx_protocol::codec::{DecodeError, Message, decode_frame, encode_frame};

/// Calls a function that is generic over the direction once for each direction there is.
macro_rules! for_each_direction {
    ($function:ident ( $($argument:expr),* )) => {{
        $function::<phalanx_protocol::client::ClientToHub>($($argument),*);
        $function::<phalanx_protocol::client::HubToClient>($($argument),*);
        $function::<phalanx_protocol::engine::EngineToHub>($($argument),*);
        $function::<phalanx_protocol::engine::HubToEngine>($($argument),*);
        $function::<phalanx_protocol::host::HostToHub>($($argument),*);
        $function::<phalanx_protocol::host::HubToHost>($($argument),*);
        $function::<phalanx_protocol::scheduling::HubToScheduling>($($argument),*);
        $function::<phalanx_protocol::scheduling::SchedulingToHub>($($argument),*);
        $function::<phalanx_protocol::handshake::PeerGreeting>($($argument),*);
        $function::<phalanx_protocol::handshake::HubGreeting>($($argument),*);
    }};
}
pub(crate) use for_each_direction;

/// One whole frame.
pub(crate) fn frame<M: Message>(message: &M) -> BytesMut {
    let mut out = BytesMut::new();
    encode_frame(message, &mut out).expect("samples are within the limits");
    out
}

/// The header of a message, without prefix and tail.
pub(crate) fn header<M: Message>(message: &M) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode_header(&mut out).expect("samples encode");
    out.to_vec()
}

/// A frame made by hand, so that it can be what no encoder of ours makes.
pub(crate) fn raw_frame(number: u16, header: &[u8], tail: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u32_le((header.len() + tail.len()) as u32);
    out.put_u16_le(number);
    out.put_u16_le(0);
    out.put_u32_le(header.len() as u32);
    out.put_slice(header);
    out.put_slice(tail);
    out
}

/// Reads a frame that is all there.
pub(crate) fn read<M: Message>(frame: &[u8]) -> Result<M, DecodeError> {
    let mut buffer = BytesMut::from(frame);
    let message = decode_frame(&mut buffer)?.expect("the frame is all there");
    assert!(buffer.is_empty(), "bytes are left after the frame");
    Ok(message)
}
