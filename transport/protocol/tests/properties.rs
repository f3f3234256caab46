//! What holds for every message and for every input, by generated cases.
//!
//! Memory is measured in `allocation.rs`; exact limits are in `limits.rs`.

mod support;

use bytes::{Bytes, BytesMut};
use phalanx_protocol::client::ClientToHub;
use phalanx_protocol::codec::{Message, decode_frame, encode_frame};
use phalanx_protocol::payload::{Body, Format, Payload};
use phalanx_protocol::value;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use support::samples::{Samples, label};
use support::strategies::Strategies;
use support::{for_each_direction, frame, header, raw_frame, read};

/// Cases of one property and direction: all properties together take a few seconds unoptimised.
const CASES: u32 = 128;

/// Runs a property on generated values, and reports the smallest that breaks it.
fn check<S: Strategy>(
    direction: &str,
    strategy: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let mut runner = TestRunner::new(Config::with_cases(CASES));
    if let Err(error) = runner.run(strategy, property) {
        panic!("{direction}: {error}");
    }
}

/// Every frame of `buffer` that is all there.
fn drain<M: Message>(buffer: &mut BytesMut, messages: &mut Vec<M>) {
    while let Some(message) = decode_frame(buffer).expect("only valid frames were fed") {
        messages.push(message);
    }
}

fn check_round_trip<M: Strategies>() {
    for (strategy, info) in M::strategies().iter().zip(M::MESSAGES) {
        check(M::CONVERSATION, strategy, |message| {
            prop_assert_eq!(message.info(), info);
            prop_assert_eq!(&read::<M>(&frame(&message)).expect("decodes"), &message);
            Ok(())
        });
    }
    assert_eq!(M::strategies().len(), M::MESSAGES.len());
}

#[test]
fn every_message_survives_the_round_trip() {
    for_each_direction!(check_round_trip());
}

fn check_splits<M: Strategies>() {
    let inputs = (vec(M::any_message(), 1..8), vec(any::<Index>(), 0..8));
    check(M::CONVERSATION, &inputs, |(messages, cuts)| {
        let mut stream = BytesMut::new();
        for message in &messages {
            encode_frame(message, &mut stream).expect("small enough");
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        let (mut buffer, mut decoded, mut start) = (BytesMut::new(), Vec::<M>::new(), 0);
        for cut in cuts {
            buffer.extend_from_slice(&stream[start..cut]);
            drain(&mut buffer, &mut decoded);
            start = cut;
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(decoded, messages);
        Ok(())
    });
}

#[test]
fn frames_decode_alike_wherever_the_stream_is_cut() {
    for_each_direction!(check_splits());
}

/// Decodes what there is until it ends or breaks a rule. Neither may panic.
fn devour<M: Message>(input: &[u8]) {
    let mut buffer = BytesMut::from(input);
    while let Ok(Some(_)) = decode_frame::<M>(&mut buffer) {}
}

fn check_arbitrary_bytes<M: Strategies>() {
    let number = 0..=M::MESSAGES.len() as u16 + 1;
    // Bytes in the range of small containers and integers get far deeper than random ones.
    let byte = prop_oneof![any::<u8>(), 0x80..0xa8_u8, Just(0xc0), 0xd9..=0xdf_u8];
    let inputs = (vec(byte, 0..120), number, vec(any::<u8>(), 0..20));
    check(M::CONVERSATION, &inputs, |(bytes, number, tail)| {
        devour::<M>(&bytes);
        devour::<M>(&raw_frame(number, &bytes, &tail));
        Ok(())
    });
}

#[test]
fn arbitrary_bytes_never_panic() {
    for_each_direction!(check_arbitrary_bytes());
}

fn check_truncation<M: Samples>() {
    for (case, message) in M::samples() {
        let label = label(case, &message);
        let whole = frame(&message);
        for len in 0..whole.len() {
            let mut buffer = BytesMut::from(&whole[..len]);
            let decoded = decode_frame::<M>(&mut buffer);
            assert!(matches!(decoded, Ok(None)), "{label} cut to {len} bytes");
            assert_eq!(buffer.len(), len, "{label}: what is there stays there");
        }
        let (number, header) = (message.info().number, header(&message));
        for len in 0..header.len() {
            let cut = raw_frame(number, &header[..len], &[]);
            assert!(read::<M>(&cut).is_err(), "{label}, header of {len} bytes");
        }
    }
}

#[test]
fn a_frame_cut_short_waits_and_a_header_cut_short_is_refused() {
    for_each_direction!(check_truncation());
}

fn check_trailing<M: Samples>() {
    for (case, message) in M::samples() {
        let mut header = header(&message);
        header.push(0xc0);
        let frame = raw_frame(message.info().number, &header, &[]);
        assert!(read::<M>(&frame).is_err(), "{}", label(case, &message));
    }
}

#[test]
fn bytes_that_trail_a_header_are_refused() {
    for_each_direction!(check_trailing());
}

fn check_bit_flips<M: Samples>() {
    for (_, message) in M::samples() {
        let mut bytes = frame(&message).to_vec();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            devour::<M>(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_flipped_bit_never_panics() {
    for_each_direction!(check_bit_flips());
}

fn check_foreign_tail<M: Samples>() {
    for (case, message) in M::samples() {
        if message.payload().is_some_and(|payload| payload.ticket().is_none()) {
            continue;
        }
        let frame = raw_frame(message.info().number, &header(&message), b"x");
        assert!(read::<M>(&frame).is_err(), "{}", label(case, &message));
    }
}

#[test]
fn a_tail_is_refused_beside_a_ticket_and_where_no_payload_belongs() {
    for_each_direction!(check_foreign_tail());
}

/// Every message that carries a payload, with this one.
fn with_payload<M: Samples>(payload: &Payload) -> Vec<M> {
    M::samples()
        .into_iter()
        .filter_map(|(_, mut message)| {
            *message.payload_mut()? = payload.clone();
            Some(message)
        })
        .collect()
}

fn check_zero_copy<M: Samples>() {
    let payload = Payload::inline(Format::Raw, Bytes::from(vec![7; 64 << 10]));
    for message in with_payload::<M>(&payload) {
        let mut buffer = frame(&message);
        let received = buffer.as_ptr_range();
        let decoded: M = decode_frame(&mut buffer).expect("valid").expect("whole");
        let tail = decoded.payload().and_then(Payload::bytes).expect("inline");
        assert_eq!(tail.len(), 64 << 10);
        let slice = tail.as_ptr_range();
        assert!(received.start < slice.start && slice.end == received.end);
    }
}

#[test]
fn a_payload_is_a_slice_of_the_receive_buffer() {
    for_each_direction!(check_zero_copy());
}

#[test]
fn an_empty_payload_does_not_keep_the_receive_buffer() {
    let message = with_payload::<ClientToHub>(&Payload::empty()).remove(0);
    let mut buffer = frame(&message);
    let capacity = buffer.capacity();
    let decoded: ClientToHub = decode_frame(&mut buffer).expect("valid").expect("whole");
    assert!(buffer.try_reclaim(capacity), "something holds on to it");
    assert_eq!(decoded, message);
}

fn check_payload_len<M: Samples>() {
    let empty = with_payload::<M>(&Payload::empty());
    let thousand = Payload::inline(Format::Raw, Bytes::from(vec![200; 1_000]));
    let carriers = M::MESSAGES.iter().filter(|info| info.carries_payload);
    assert!(empty.len() >= carriers.count());
    for (empty, full) in empty.iter().zip(with_payload::<M>(&thousand)) {
        assert_eq!(frame(&full).len(), frame(empty).len() + 1_000);
    }
}

#[test]
fn payload_bytes_travel_as_they_are() {
    for_each_direction!(check_payload_len());
    let array = value::ArrayBuffer {
        dtype: "|u1".into(),
        shape: vec![1_000],
        data: Bytes::from(vec![200; 1_000]),
    };
    assert!(value::to_bytes(&array).expect("encodes").len() < 1_020);
    assert!(value::to_bytes(&array.data).expect("encodes").len() < 1_010);
}

/// A `Vec<u8>` that serde sees is an array of numbers: twice as long and 8 to 60 times as slow.
#[test]
fn no_wire_type_has_a_bare_vec_of_bytes() {
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    for entry in sources.expect("the crate has sources") {
        let path = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(!code.contains(": Vec<u8>"), "{}", path.display());
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(CASES) })]

    #[test]
    fn timestamps_and_arrays_survive_the_round_trip(
        seconds in any::<i64>(),
        nanoseconds in 0..1_000_000_000_u32,
        shape in vec(0..5_u64, 0..4),
        kind in prop::sample::select(&[("<f8", 8), ("|u1", 1), (">i2", 2), ("<c16", 16)][..]),
    ) {
        let timestamp = value::Timestamp { seconds, nanoseconds };
        let bytes = value::to_bytes(&timestamp).expect("encodes");
        prop_assert_eq!(value::from_bytes::<value::Timestamp>(&bytes).expect("decodes"), timestamp);
        let len = shape.iter().product::<u64>() * kind.1;
        let array = value::ArrayBuffer {
            dtype: kind.0.into(),
            shape,
            data: Bytes::from(vec![3; len as usize]),
        };
        let bytes = value::to_bytes(&array).expect("encodes");
        prop_assert_eq!(value::from_bytes::<value::ArrayBuffer>(&bytes).expect("decodes"), array);
    }
}

#[test]
fn a_ticket_keeps_its_number_and_length() {
    for message in
        with_payload::<ClientToHub>(&support::samples::by_stream(Format::Raw, 5, 1 << 30))
    {
        let decoded: ClientToHub = read(&frame(&message)).expect("valid");
        let body = decoded.payload().map(|payload| &payload.body);
        assert!(matches!(body, Some(Body::Ticket { len: 0x4000_0000, .. })));
    }
}
