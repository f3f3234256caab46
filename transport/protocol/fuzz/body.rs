//! What the fuzz targets do with their input; `tests/fuzz_smoke.rs` does the same in every test run.
//!
//! Each function must return for any input: a panic is a finding.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use phalanx_protocol::client::{ClientToHub, HubToClient};
use phalanx_protocol::codec::{EncodeError, Message, decode_frame, decode_parts, encode_frame};
use phalanx_protocol::engine::{EngineToHub, HubToEngine};
use phalanx_protocol::handshake::{HubGreeting, PeerGreeting, VERSIONS};
use phalanx_protocol::host::{HostToHub, HubToHost};
use phalanx_protocol::limits::FRAME_PREFIX_LEN;
use phalanx_protocol::scheduling::{HubToScheduling, SchedulingToHub};
use phalanx_protocol::value::{ArrayBuffer, Timestamp, from_bytes, to_bytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Reads `data` as frames of each direction.
pub(crate) fn frames(data: &[u8]) {
    direction::<ClientToHub>(data);
    direction::<HubToClient>(data);
    direction::<EngineToHub>(data);
    direction::<HubToEngine>(data);
    direction::<HostToHub>(data);
    direction::<HubToHost>(data);
    direction::<HubToScheduling>(data);
    direction::<SchedulingToHub>(data);
    direction::<PeerGreeting>(data);
    direction::<HubGreeting>(data);
}

/// Reads `data` as what either end says first, and does with it what a handshake does.
pub(crate) fn handshake(data: &[u8]) {
    for greeting in direction::<PeerGreeting>(data) {
        let PeerGreeting::Hello(hello) = greeting else { continue };
        let common = hello.versions.common(VERSIONS);
        assert_eq!(common, VERSIONS.common(hello.versions));
        if let Some(version) = common {
            assert!((VERSIONS.min..=VERSIONS.max).contains(&version));
            assert!((hello.versions.min..=hello.versions.max).contains(&version));
        }
    }
    direction::<HubGreeting>(data);
}

/// Reads `data` as values of several types.
pub(crate) fn value(data: &[u8]) {
    one_value::<()>(data);
    one_value::<bool>(data);
    one_value::<u64>(data);
    one_value::<i64>(data);
    one_value::<f64>(data);
    one_value::<Option<char>>(data);
    one_value::<String>(data);
    one_value::<serde_bytes::ByteBuf>(data);
    one_value::<Bytes>(data);
    one_value::<Vec<i32>>(data);
    one_value::<(u8, String, f64)>(data);
    one_value::<BTreeMap<String, Vec<u64>>>(data);
    one_value::<Timestamp>(data);
    one_value::<ArrayBuffer>(data);
    one_value::<Vec<Option<ArrayBuffer>>>(data);
    one_value::<Tree>(data);
    let _ = from_bytes::<serde::de::IgnoredAny>(data);
}

/// A type as users write them: recursive in each way there is.
#[derive(Debug, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Number(f32),
    Next(Box<Tree>),
    List(Vec<Tree>),
    Pair(Box<Tree>, Box<Tree>),
    Named { name: String, rest: Option<Box<Tree>> },
}

/// Reads `data` as a stream, and its start as a frame whose lengths are mended so that mutations
/// reach the header. What was read must survive being written again.
fn direction<M: Message + PartialEq + Debug>(data: &[u8]) -> Vec<M> {
    let mut messages = Vec::new();
    let mut stream = BytesMut::from(data);
    loop {
        match decode_frame::<M>(&mut stream) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => break,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                break;
            }
        }
    }
    if let Some((prefix, body)) = data.split_first_chunk::<FRAME_PREFIX_LEN>() {
        let number = u16::from_le_bytes([prefix[4], prefix[5]]);
        let header_len = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
        for header_len in [body.len(), body.len().min(header_len as usize)] {
            let (header, tail) = body.split_at(header_len);
            messages.extend(decode_parts::<M>(number, header, Bytes::copy_from_slice(tail)));
        }
    }
    messages.iter().for_each(check_rewritten);
    messages
}

fn check_rewritten<M: Message + PartialEq + Debug>(message: &M) {
    let mut frame = BytesMut::new();
    match encode_frame(message, &mut frame) {
        Ok(()) => {
            let again = decode_frame::<M>(&mut frame).expect("we wrote it");
            assert_eq!(again.as_ref(), Some(message));
        }
        // A long header of an older peer grows when all its fields are written.
        Err(EncodeError::HeaderTooLong { .. } | EncodeError::TailTooLong { .. }) => {}
        Err(error) => panic!("{message:?} cannot be written: {error}"),
    }
}

fn one_value<T: Serialize + DeserializeOwned>(data: &[u8]) {
    if let Ok(value) = from_bytes::<T>(data) {
        let bytes = to_bytes(&value).expect("what was read can be written");
        let again = from_bytes::<T>(&bytes).expect("we wrote it");
        // Compared as bytes, since a NaN is not itself.
        assert_eq!(to_bytes(&again).expect("it was written before"), bytes);
    }
}
