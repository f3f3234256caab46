//! Limits of the codec are exact: what is at one passes, what is one over it is refused.

mod support;

use bytes::{Bytes, BytesMut};
use phalanx_protocol::client::{ClientToHub, HubToClient};
use phalanx_protocol::codec::{DecodeError, EncodeError, Message, Prefix, encode_frame};
use phalanx_protocol::handshake::PeerGreeting;
use phalanx_protocol::host::{HubToHost, StopCluster};
use phalanx_protocol::limits::{
    DEPENDENCIES_PER_TASK_MAX, FRAME_PREFIX_LEN, HEADER_DEPTH_MAX, HEADER_LEN_MAX, INLINE_LEN_MAX,
    LABELS_PER_ENGINE_MAX, LIST_ITEMS_MAX, METHOD_LEN_MAX, PAYLOAD_PIECES_MAX,
    RESOURCE_NAME_LEN_MAX, RESOURCES_PER_ENGINE_MAX, TASK_PAYLOAD_LEN_MAX, TEXT_LEN_MAX,
};
use phalanx_protocol::needs::{Amount, Needs};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::task::{Dependency, MethodName, TaskOptions, TaskSpec};
use phalanx_protocol::value::{ArrayBuffer, Timestamp, VALUE_DEPTH_MAX, from_bytes};
use serde::Deserialize;

use support::samples::{Samples, by_pieces, by_segment, by_stream, task};
use support::{for_each_direction, frame, header, raw_frame, read};

/// A message whose header has exactly this length.
fn with_header_len(len: usize) -> HubToHost {
    // A map of one entry: 1 byte for the map, 7 for the key, 5 for the text's length.
    HubToHost::from(StopCluster { reason: "x".repeat(len - 13) })
}

#[test]
fn a_header_at_the_limit_travels_and_a_longer_one_does_not() {
    let longest = with_header_len(HEADER_LEN_MAX);
    assert_eq!(header(&longest).len(), HEADER_LEN_MAX);
    assert_eq!(read::<HubToHost>(&frame(&longest)).expect("at the limit"), longest);

    let too_long = with_header_len(HEADER_LEN_MAX + 1);
    let mut out = BytesMut::from(&b"before"[..]);
    let error = encode_frame(&too_long, &mut out).expect_err("over the limit");
    assert!(matches!(error, EncodeError::HeaderTooLong { len } if len == HEADER_LEN_MAX + 1));
    assert_eq!(&out[..], b"before", "a refused message leaves nothing behind");
    let sent_all_the_same = raw_frame(1, &header(&too_long), &[]);
    let error = read::<HubToHost>(&sent_all_the_same).expect_err("over the limit");
    assert!(matches!(error, DecodeError::FrameTooLong { .. }), "{error}");
}

#[test]
fn a_tail_at_the_limit_travels_and_a_longer_one_does_not() {
    let with_tail = |len| {
        let mut message = ClientToHub::sample("Submit");
        let payload = Payload::inline(Format::Raw, Bytes::from(vec![0; len]));
        *message.payload_mut().expect("a submit has a payload") = payload;
        message
    };
    let longest = with_tail(INLINE_LEN_MAX);
    assert_eq!(read::<ClientToHub>(&frame(&longest)).expect("at the limit"), longest);

    let too_long = with_tail(INLINE_LEN_MAX + 1);
    let mut out = BytesMut::new();
    let error = encode_frame(&too_long, &mut out).expect_err("over the limit");
    assert!(matches!(error, EncodeError::TailTooLong { len } if len == INLINE_LEN_MAX + 1));
    assert!(out.is_empty());
    let tail = vec![0; INLINE_LEN_MAX + 1];
    let sent_all_the_same = raw_frame(2, &header(&too_long), &tail);
    let error = read::<ClientToHub>(&sent_all_the_same).expect_err("over the limit");
    assert!(matches!(error, DecodeError::FrameTooLong { .. }), "{error}");
}

#[test]
fn a_prefix_is_refused_before_its_body_arrives() {
    let prefix = |body: u32, reserved: u16, header: u32| {
        let mut bytes = [0; FRAME_PREFIX_LEN];
        bytes[0..4].copy_from_slice(&body.to_le_bytes());
        bytes[4..6].copy_from_slice(&1_u16.to_le_bytes());
        bytes[6..8].copy_from_slice(&reserved.to_le_bytes());
        bytes[8..12].copy_from_slice(&header.to_le_bytes());
        bytes
    };
    let (header_max, tail_max) = (HEADER_LEN_MAX as u32, INLINE_LEN_MAX as u32);
    assert!(Prefix::parse(&prefix(header_max + tail_max, 0, header_max)).is_ok());
    for (body, reserved, header) in [
        (header_max + 1, 0, header_max + 1),
        (tail_max + 1, 0, 0),
        (u32::MAX, 0, header_max),
        (u32::MAX, 0, u32::MAX),
        (9, 0, 10),
        (10, 1, 10),
    ] {
        let bytes = prefix(body, reserved, header);
        assert!(Prefix::parse(&bytes).is_err(), "{body} {reserved} {header}");
        assert!(read::<PeerGreeting>(&bytes).is_err(), "{body} {reserved} {header}");
    }
}

#[test]
fn a_ticket_or_segment_at_the_limit_is_taken_and_a_longer_one_refused() {
    let with = |payload| {
        let mut message = ClientToHub::sample("Submit");
        *message.payload_mut().expect("a submit has a payload") = payload;
        frame(&message)
    };
    for elsewhere in [
        |len| by_stream(Format::Raw, 1, len),
        |len| by_segment(Format::Raw, u64::MAX, len),
        |len| by_pieces(Format::Raw, len - (1 << 20) - 6),
    ] {
        assert!(read::<ClientToHub>(&with(elsewhere(TASK_PAYLOAD_LEN_MAX))).is_ok());
        let error = read::<ClientToHub>(&with(elsewhere(TASK_PAYLOAD_LEN_MAX + 1)));
        assert!(matches!(error, Err(DecodeError::PayloadTooLong { .. })));
    }
}

#[test]
fn pieces_of_a_payload_are_arrays_whose_tails_make_out_the_tail() {
    let submit = |pieces: &[&[u64]], tail: &[u8]| {
        let header = rmp_serde::to_vec(&((7, 42), "Any", "m", (0, pieces), (), ()));
        read::<ClientToHub>(&raw_frame(2, &header.expect("encodes"), tail))
    };
    let segment: &[u64] = &[1, 2, 3, 4, 5];
    for (pieces, tail, is_valid) in [
        (&[segment][..], &b""[..], true),
        (&[segment, segment], b"", true),
        (&[&[2], segment, &[1]], b"abc", true),
        (&[&[3]], b"abc", true),
        (&[&[2], segment], b"abc", false),
        (&[&[4], segment], b"abc", false),
        (&[&[u64::MAX], segment, &[u64::MAX]], b"abc", false),
        (&[segment], b"abc", false),
        (&[&[1], segment], b"", false),
        (&[segment, &[1, 2]], b"", false),
        (&[segment, &[]], b"", false),
        (&[&[], segment], b"", false),
        (&[segment, &[1, 2, 3, 4, 5, 6]], b"", false),
    ] {
        assert_eq!(submit(pieces, tail).is_ok(), is_valid, "{pieces:?} {tail:?}");
    }
    let most = vec![segment; PAYLOAD_PIECES_MAX];
    assert!(submit(&most, b"").is_ok());
    assert!(submit(&[&most[..], &[segment]].concat(), b"").is_err());
}

#[test]
fn a_payload_is_elsewhere_by_two_numbers_or_five() {
    let submit = |elsewhere: &[u64], tail: &[u8]| {
        let header = rmp_serde::to_vec(&((7, 42), "Any", "m", (0, elsewhere), (), ()));
        read::<ClientToHub>(&raw_frame(2, &header.expect("encodes"), tail))
    };
    for (elsewhere, is_valid) in [
        (&[][..], false),
        (&[1], false),
        (&[1, 2], true),
        (&[1, 2, 3], false),
        (&[1, 2, 3, 4], false),
        (&[1, u64::MAX, u64::MAX, u64::MAX, 5], true),
        (&[u64::from(u32::MAX) + 1, 2, 3, 4, 5], false),
        (&[1, 2, 3, 4, 5, 6], false),
    ] {
        assert_eq!(submit(elsewhere, b"").is_ok(), is_valid, "{elsewhere:?}");
        assert!(submit(elsewhere, b"tail").is_err(), "{elsewhere:?}");
    }
}

#[test]
fn a_method_name_has_1_to_255_bytes_on_both_ends() {
    let submit = |name: &str| {
        let header = rmp_serde::to_vec(&((7, 42), "Any", name, (0, ()), (), ()));
        read::<ClientToHub>(&raw_frame(2, &header.expect("encodes"), &[]))
    };
    for (len, is_valid) in
        [(0, false), (1, true), (METHOD_LEN_MAX, true), (METHOD_LEN_MAX + 1, false)]
    {
        let name = "m".repeat(len);
        assert_eq!(MethodName::try_from(name.as_str()).is_ok(), is_valid, "{len}");
        assert_eq!(submit(&name).is_ok(), is_valid, "{len}");
    }
    let error = submit("").expect_err("empty").to_string();
    assert!(error.contains("a method name has 1 to 255 bytes, not 0"), "{error}");
}

#[test]
fn a_list_of_structs_at_the_limit_is_taken_and_a_longer_one_refused() {
    let opened = |len: usize| {
        // {"engines": [{}, {}, …]}: each engine a byte on the wire.
        let mut header = b"\x81\xa7engines\xdd".to_vec();
        header.extend((len as u32).to_be_bytes());
        header.extend(std::iter::repeat_n(0x80, len));
        read::<HubToClient>(&raw_frame(1, &header, &[]))
    };
    let Ok(HubToClient::Opened(message)) = opened(LIST_ITEMS_MAX) else {
        panic!("a list at the limit is refused");
    };
    assert_eq!(message.engines.len(), LIST_ITEMS_MAX);
    assert!(opened(LIST_ITEMS_MAX + 1).is_err());
}

#[test]
fn the_most_dependencies_and_needs_a_task_may_have_fit_into_a_header() {
    let most =
        || Dependency::all((0..DEPENDENCIES_PER_TASK_MAX as u64).map(|seq| task(u64::MAX - seq)));
    let ClientToHub::Submit(spec) = ClientToHub::sample("Submit") else {
        panic!("Submit is a submit");
    };
    let labels = vec!["l".repeat(TEXT_LEN_MAX); LABELS_PER_ENGINE_MAX];
    let amount = |n: usize| (format!("{n:0RESOURCE_NAME_LEN_MAX$}"), Amount(u64::MAX));
    let needs = Needs { labels, amounts: (0..RESOURCES_PER_ENGINE_MAX).map(amount).collect() };
    assert_eq!(needs.check(), Ok(()));
    let message = ClientToHub::from(TaskSpec {
        options: Some(Box::new(TaskOptions {
            after: Some(most()),
            follow: Some(most()),
            needs: Some(needs),
            ..TaskOptions::default()
        })),
        ..spec
    });
    assert_eq!(read::<ClientToHub>(&frame(&message)).expect("it fits"), message);
}

/// Lists in lists, `depth` of them.
fn nested_lists(depth: usize) -> Vec<u8> {
    let mut bytes = vec![0x91; depth - 1];
    bytes.push(0x90);
    bytes
}

#[test]
fn nesting_at_the_limit_is_taken_and_deeper_refused() {
    let hello = |depth: usize| {
        // An unknown field, which a reader skips: the map itself is the first level.
        let mut header = b"\x81\xa6future".to_vec();
        header.extend(nested_lists(depth - 1));
        read::<PeerGreeting>(&raw_frame(1, &header, &[]))
    };
    assert!(hello(HEADER_DEPTH_MAX).is_ok());
    assert!(hello(HEADER_DEPTH_MAX + 1).is_err());
    assert!(hello(HEADER_LEN_MAX - 100).is_err());
}

/// How deep MessagePack bytes are nested, and how long their first value is.
fn depth(bytes: &[u8]) -> (usize, usize) {
    let long = |at: usize, len: usize| {
        bytes[at..at + len].iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let (mut at, items) = match bytes[0] {
        marker @ 0x80..=0x8f => (1, usize::from(marker & 0x0f) * 2),
        marker @ 0x90..=0x9f => (1, usize::from(marker & 0x0f)),
        0xdc => (3, long(1, 2)),
        0xde => (3, long(1, 2) * 2),
        marker @ 0xa0..=0xbf => return (0, 1 + usize::from(marker & 0x1f)),
        0xd9 | 0xc4 => return (0, 2 + long(1, 1)),
        0xda => return (0, 3 + long(1, 2)),
        0xcc | 0xd0 => return (0, 2),
        0xcd | 0xd1 => return (0, 3),
        0xce | 0xd2 | 0xca => return (0, 5),
        0xcf | 0xd3 | 0xcb => return (0, 9),
        _ => return (0, 1),
    };
    let mut deepest = 0;
    for _ in 0..items {
        let (depth, len) = depth(&bytes[at..]);
        deepest = deepest.max(depth);
        at += len;
    }
    (deepest + 1, at)
}

fn collect_depths<M: Samples>(deepest: &mut usize) {
    for (_, message) in M::samples() {
        let header = header(&message);
        let (depth, len) = depth(&header);
        assert_eq!(len, header.len());
        *deepest = (*deepest).max(depth);
    }
}

#[test]
fn our_own_headers_stay_far_below_the_depth_limit() {
    let mut deepest = 0;
    for_each_direction!(collect_depths(&mut deepest));
    assert_eq!(deepest, 7, "say so at HEADER_DEPTH_MAX");
}

#[derive(Debug, Deserialize)]
enum Chain {
    Link(Box<Chain>),
    #[allow(dead_code, reason = "it ends the type, not the test")]
    End,
}

fn chain_len(chain: &Chain) -> usize {
    match chain {
        Chain::Link(next) => 1 + chain_len(next),
        Chain::End => 0,
    }
}

#[test]
fn a_value_nested_too_deep_is_an_error_for_every_type() {
    #[derive(Debug, Deserialize)]
    struct Nest(#[allow(dead_code, reason = "only its reading matters")] Vec<Nest>);

    assert!(from_bytes::<Nest>(&nested_lists(VALUE_DEPTH_MAX)).is_ok());
    assert!(from_bytes::<Nest>(&nested_lists(VALUE_DEPTH_MAX + 1)).is_err());
    assert!(from_bytes::<Nest>(&nested_lists(1_000_000)).is_err());

    let chain = |links: usize| [b"\x81\xa4Link".repeat(links), b"\xa3End".to_vec()].concat();
    let deepest = from_bytes::<Chain>(&chain(VALUE_DEPTH_MAX)).expect("at the limit");
    assert_eq!(chain_len(&deepest), VALUE_DEPTH_MAX);
    assert!(from_bytes::<Chain>(&chain(VALUE_DEPTH_MAX + 1)).is_err());
    assert!(from_bytes::<Chain>(&chain(200_000)).is_err());
}

/// An extension value of at most 255 bytes.
fn extension(kind: i8, body: &[u8]) -> Vec<u8> {
    [&[0xc7, body.len() as u8, kind as u8][..], body].concat()
}

#[test]
fn a_second_has_a_thousand_million_nanoseconds_in_every_form_of_a_timestamp() {
    let long = |nanoseconds: u32| [&nanoseconds.to_be_bytes()[..], &7_i64.to_be_bytes()].concat();
    let short = |nanoseconds: u64| (nanoseconds << 34 | 7).to_be_bytes();
    let read = |body: &[u8]| from_bytes::<Timestamp>(&extension(-1, body)).ok();
    let last = Some(Timestamp { seconds: 7, nanoseconds: 999_999_999 });
    assert_eq!((read(&long(999_999_999)), read(&short(999_999_999))), (last, last));
    assert_eq!((read(&long(1_000_000_000)), read(&short(1_000_000_000))), (None, None));
    for len in [0, 1, 3, 5, 7, 9, 11, 13, 16] {
        assert_eq!(read(&vec![0; len]), None, "{len} bytes are no timestamp");
    }
}

#[test]
fn an_extension_of_another_type_is_refused() {
    let array = extension(1, b"\x92\xa3|u1\x91\x01\x05");
    assert!(from_bytes::<ArrayBuffer>(&array).is_ok());
    assert!(from_bytes::<Timestamp>(&extension(-1, &[0; 4])).is_ok());
    for kind in [-128, -1, 0, 2, 127] {
        assert!(from_bytes::<ArrayBuffer>(&extension(kind, &array[3..])).is_err(), "{kind}");
    }
    for kind in [-128, 0, 1, 127] {
        assert!(from_bytes::<Timestamp>(&extension(kind, &[0; 4])).is_err(), "{kind}");
    }
    // A number or bytes are neither.
    for other in [&[7][..], &[0xc4, 1, 5], &[0xc0], &[0x90]] {
        assert!(from_bytes::<Timestamp>(other).is_err());
        assert!(from_bytes::<ArrayBuffer>(other).is_err());
    }
}
