//! Peers of other versions: what an older and a newer one send, and what must stay readable.
//!
//! Maps may lack fields and have unknown ones; arrays are fixed for ever; what is unknown is an
//! error, never a panic.

mod support;

use bytes::Bytes;
use phalanx_protocol::client::{ClientToHub, HubToClient, Opened, Scope};
use phalanx_protocol::codec::{DecodeError, Encoding, Message, message_info};
use phalanx_protocol::engine::{EngineToHub, HubToEngine};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::handshake::{
    Hello, HubGreeting, PeerGreeting, Refusal, VersionRange, Welcome,
};
use phalanx_protocol::ids::EngineId;
use phalanx_protocol::outcome::{AttemptOutcome, Outcome};
use phalanx_protocol::output::OutputKind;
use phalanx_protocol::payload::Payload;
use phalanx_protocol::task::{Quorum, Target};
use serde::Serialize;

use support::samples::{Samples, label, task};
use support::{for_each_direction, header, hex, raw_frame, read};

/// MessagePack written by hand: what peers of other versions send.
#[derive(Clone)]
struct Written(Vec<u8>);

impl Written {
    fn value<T: Serialize>(value: &T) -> Self {
        Self(rmp_serde::to_vec(value).expect("it can be expressed"))
    }

    /// A map of at most 15 entries.
    fn map(entries: &[(&str, Self)]) -> Self {
        let mut bytes = vec![0x80 | entries.len() as u8];
        for (key, value) in entries {
            bytes.extend(Self::value(key).0);
            bytes.extend(&value.0);
        }
        Self(bytes)
    }

    /// An array of at most 15 items.
    fn array(items: &[Self]) -> Self {
        let mut bytes = vec![0x90 | items.len() as u8];
        bytes.extend(items.iter().flat_map(|item| &item.0));
        Self(bytes)
    }

    fn read<M: Message>(&self, number: u16) -> Result<M, DecodeError> {
        read(&raw_frame(number, &self.0, &[]))
    }
}

fn nil() -> Written {
    Written::value(&())
}

/// What a newer peer may add to any map.
fn future() -> Written {
    Written::map(&[("deep", Written::array(&[nil(), Written::value(&"é")]))])
}

/// An extra entry at the end of a header that is a map of at most 14 entries.
fn with_unknown_field(header: &[u8]) -> Vec<u8> {
    let mut bytes = header.to_vec();
    assert!((0x80..0x8f).contains(&bytes[0]), "a small map");
    bytes[0] += 1;
    bytes.extend(Written::value(&"from_the_future").0);
    bytes.extend(future().0);
    bytes
}

fn check_unknown_fields<M: Samples>() {
    for (case, message) in M::samples() {
        if message.info().encoding == Encoding::Map {
            let header = with_unknown_field(&header(&message));
            let decoded: M = read(&raw_frame(message.info().number, &header, &[]))
                .unwrap_or_else(|error| panic!("{}: {error}", label(case, &message)));
            assert_eq!(decoded, message);
        }
    }
}

#[test]
fn named_headers_of_a_newer_peer_decode_without_what_is_unknown() {
    for_each_direction!(check_unknown_fields());
}

/// The messages for and from one life of a room are a fixed pair, also by name.
const FIXED: [&str; 3] = ["Hold", "EngineUp", "Place"];

fn check_missing_fields<M: Samples>() {
    for info in M::MESSAGES {
        if info.encoding == Encoding::Map && !FIXED.contains(&info.name) {
            let decoded = Written::map(&[]).read::<M>(info.number);
            assert!(decoded.is_ok(), "{} {}", M::CONVERSATION, info.name);
        }
    }
}

#[test]
fn named_headers_of_an_older_peer_decode_with_defaults() {
    for_each_direction!(check_missing_fields());
    let older = Written::map(&[("next_seq", Written::value(&9))]);
    let expected = Opened { next_seq: 9, ..Opened::default() };
    assert_eq!(older.read::<HubToClient>(1).expect("decodes"), expected.into());
}

#[test]
fn a_map_for_a_room_names_its_generation_and_may_leave_out_the_rest() {
    let place = |entries: &[_]| {
        Written::map(entries).read::<phalanx_protocol::scheduling::HubToScheduling>(7)
    };
    let generation = ("generation", Written::value(&4));
    assert!(place(&[generation.clone(), ("what", Written::map(&[]))]).is_ok());
    assert!(place(&[generation.clone(), ("what", future())]).is_ok());
    assert!(place(&[generation]).is_err());
    assert!(place(&[("what", Written::map(&[]))]).is_err());
}

#[test]
fn a_field_sent_twice_is_refused() {
    let pid = || ("pid", Written::value(&1));
    assert!(
        Written::map(&[pid(), pid()]).read::<EngineToHub>(4).is_ok(),
        "unknown ones may repeat"
    );
    let reason = || ("reason", Written::value(&"x"));
    assert!(Written::map(&[reason(), reason()]).read::<EngineToHub>(4).is_err());
}

fn task_id() -> Written {
    Written::value(&(7, 42))
}

fn no_payload() -> Written {
    Written::value(&(0, ()))
}

/// A submit whose target and options are as given.
fn submit(target: Written, options: Written) -> Result<ClientToHub, DecodeError> {
    let items = [task_id(), target, Written::value(&"m"), no_payload(), options, nil()];
    Written::array(&items).read(2)
}

fn any() -> Written {
    Written::value(&"Any")
}

#[test]
fn options_of_a_hot_header_grow_and_shrink() {
    let dependency =
        Written::map(&[("tasks", Written::array(&[task_id()])), ("from_the_future", future())]);
    let options = Written::map(&[("after", dependency), ("from_the_future", future())]);
    let Ok(ClientToHub::Submit(spec)) = submit(any(), options) else {
        panic!("options of a newer peer are refused");
    };
    let options = spec.options.expect("they were sent");
    let after = options.after.expect("it was sent");
    assert_eq!((after.tasks, after.quorum), (vec![task(42)], Quorum::All));
    assert_eq!((options.follow, options.timeout_ms), (None, None));
    assert!(submit(any(), Written::map(&[])).is_ok());
    assert!(submit(any(), nil()).is_ok());
}

/// A report that an attempt ended in this way.
fn report(outcome: Written) -> Result<EngineToHub, DecodeError> {
    let attempt = Written::value(&((7, 42), 1));
    let times = Written::value(&(0, 0));
    Written::array(&[Written::value(&0), attempt, outcome, times, no_payload(), nil()]).read(3)
}

/// A delivery of a task that ended in this way.
fn delivery(outcome: Written) -> Result<HubToClient, DecodeError> {
    let number = || Written::value(&0);
    let times = Written::value(&(0, 0));
    let tried = Written::array(&[]);
    let items = [number(), task_id(), outcome, nil(), number(), times, no_payload(), nil(), tried];
    Written::array(&items).read(3)
}

#[test]
fn errors_in_a_hot_header_grow_and_shrink() {
    let error = Written::map(&[("kind", Written::value(&"E")), ("notes", future())]);
    let failed = Written::map(&[("Failed", error)]);
    let Ok(EngineToHub::Report(report)) = report(failed.clone()) else {
        panic!("a newer engine's error is refused");
    };
    let AttemptOutcome::Failed(error) = report.outcome else {
        panic!("it failed");
    };
    assert_eq!((error.kind.as_str(), error.engine), ("E", None));
    assert!(delivery(failed).is_ok());
    for variant in ["EngineLost", "DependencyFailed", "Rejected"] {
        assert!(delivery(Written::map(&[(variant, future())])).is_ok(), "{variant}");
        assert!(delivery(Written::map(&[(variant, Written::map(&[]))])).is_ok(), "{variant}");
    }
    let losses = Written::array(&[Written::map(&[("engine", Written::value(&3)), ("x", nil())])]);
    let Ok(HubToClient::Delivery(delivery)) = delivery(Written::map(&[("Poison", losses)])) else {
        panic!("a newer hub's loss is refused");
    };
    assert!(
        matches!(&delivery.outcome, Outcome::Poison(losses) if losses[0].engine == EngineId(3))
    );
}

#[test]
fn output_grows_and_shrinks_and_its_kinds_are_open() {
    let chunk = Written::array(&[Written::value(&9), Written(vec![0xc4, 1, b'x'])]);
    let chunks = ("chunks", Written::array(std::slice::from_ref(&chunk)));
    let newer = Written::map(&[chunks, ("from_the_future", future())]);
    let attempt = || Written::value(&((7, 42), 1));
    let times = Written::value(&(0, 0));
    let head = [Written::value(&0), attempt(), Written::value(&"Done"), times, no_payload()];
    let report =
        |output: Written| Written::array(&[&head[..], &[output]].concat()).read::<EngineToHub>(3);
    let Ok(EngineToHub::Report(newer)) = report(newer) else {
        panic!("a newer engine's output is refused");
    };
    let output = newer.output.expect("it was sent");
    assert_eq!((output.chunks[0].kind, output.truncated), (OutputKind(9), 0));
    assert!(report(Written::map(&[])).is_ok());
    let news = [attempt(), Written::value(&3), Written::array(&[chunk])];
    assert!(Written::array(&news).read::<EngineToHub>(5).is_ok());
    assert!(Written::array(&news).read::<HubToClient>(9).is_ok());
}

/// The items of an array of at most 15, each as it is encoded.
fn array_items(header: &[u8]) -> usize {
    assert!((0x90..=0x9f).contains(&header[0]), "a small array");
    usize::from(header[0] & 0x0f)
}

fn check_array_len<M: Samples>() {
    for (case, message) in M::samples() {
        let (info, label) = (message.info(), label(case, &message));
        if info.encoding != Encoding::Array {
            continue;
        }
        let header = header(&message);
        let items = array_items(&header);
        let mut longer = header.clone();
        longer[0] += 1;
        longer.push(0xc0);
        assert!(read::<M>(&raw_frame(info.number, &longer, &[])).is_err(), "{label}, one more");
        for fewer in 0..items as u8 {
            // What is left of the items then trails, or is missing: refused either way. The exact
            // form of a shorter array is below.
            let mut shorter = header.clone();
            shorter[0] = 0x90 | fewer;
            assert!(read::<M>(&raw_frame(info.number, &shorter, &[])).is_err(), "{label}, {fewer}");
        }
    }
}

#[test]
fn hot_arrays_of_another_length_are_refused() {
    for_each_direction!(check_array_len());
    let one = || Written::value(&1);
    let attempt = || Written::value(&((7, 42), 1));
    let grant = || Written::value(&(1, 1));
    let refused =
        |array: &[Written], number| Written::array(array).read::<HubToClient>(number).is_err();
    assert!(Written::array(&[one(), grant()]).read::<HubToClient>(2).is_ok());
    assert!(refused(&[one()], 2) && refused(&[one(), grant(), one()], 2) && refused(&[], 2));
    assert!(refused(&[one(), Written::value(&(1, 1, 1))], 2), "a grant of three");
    assert!(Written::array(&[attempt(), one()]).read::<EngineToHub>(2).is_ok());
    assert!(Written::array(&[attempt()]).read::<EngineToHub>(2).is_err());
    assert!(Written::array(&[]).read::<HubToEngine>(3).is_err());
    // The arrays inside are as fixed as the outer ones.
    for id in [Written::value(&(7,)), Written::value(&(7, 42, 0)), Written::value(&7)] {
        let spec = [id, any(), Written::value(&"m"), no_payload(), nil(), nil()];
        assert!(Written::array(&spec).read::<ClientToHub>(2).is_err());
    }
    for payload in [
        Written::value(&(0,)),
        Written::value(&(0, (), 0)),
        Written::value(&(0, (1,))),
        Written::value(&(0, (1, 2, 3))),
        Written::value(&(9, ())),
        Written::value(&(-1, ())),
    ] {
        let spec = [task_id(), any(), Written::value(&"m"), payload, nil(), nil()];
        assert!(Written::array(&spec).read::<ClientToHub>(2).is_err());
    }
}

fn check_unknown_numbers<M: Samples>() {
    let last = M::MESSAGES.last().expect("a direction has messages").number;
    for number in [0, last + 1, 0xff, u16::MAX] {
        assert!(message_info::<M>(number).is_none());
        let error = read::<M>(&raw_frame(number, &[0x80], &[])).expect_err("unknown");
        assert!(
            matches!(error, DecodeError::UnknownMessage { number: sent, .. } if sent == number),
            "{error}"
        );
        assert!(error.to_string().contains(M::CONVERSATION), "{error}");
    }
}

#[test]
fn an_unknown_message_is_an_error_that_names_it() {
    for_each_direction!(check_unknown_numbers());
}

#[test]
fn an_unknown_variant_is_an_error() {
    let unknown = || Written::value(&"FromTheFuture");
    let unknown_map = || Written::map(&[("FromTheFuture", nil())]);
    for variant in [unknown(), unknown_map(), Written::map(&[]), nil(), Written::value(&99)] {
        assert!(submit(variant.clone(), nil()).is_err());
        assert!(report(variant.clone()).is_err());
        assert!(delivery(variant.clone()).is_err());
        let shutdown = Written::map(&[("scope", variant)]);
        assert!(shutdown.read::<ClientToHub>(6).is_err());
    }
    // A variant with a body where one without stands, and the other way about.
    assert!(submit(Written::map(&[("Any", Written::value(&1))]), nil()).is_err());
    assert!(submit(Written::value(&"Engine"), nil()).is_err());
    let quorum = Written::map(&[("quorum", unknown())]);
    assert!(submit(any(), Written::map(&[("after", quorum)])).is_err());
}

#[test]
fn variants_travel_by_name() {
    let by_name = Written::map(&[("Engine", Written::value(&3))]);
    let Ok(ClientToHub::Submit(spec)) = submit(by_name, nil()) else {
        panic!("a variant's name is refused");
    };
    assert_eq!(spec.target, Target::Engine(EngineId(3)));
    let scope = Written::map(&[("scope", Written::value(&"Cluster"))]);
    let Ok(ClientToHub::Shutdown(shutdown)) = scope.read(6) else {
        panic!("a variant's name is refused");
    };
    assert_eq!(shutdown.scope, Scope::Cluster);
}

#[test]
fn an_error_code_of_a_newer_hub_reads_as_none_and_its_words_stay() {
    let refused = Written::map(&[
        ("code", Written::value(&60_000)),
        ("detail", Written::value(&"the moon is full")),
    ]);
    let Ok(HubToClient::Refused(message)) = refused.read(7) else {
        panic!("a newer hub's refusal is not readable");
    };
    assert_eq!((message.code, message.detail.as_str()), (None, "the moon is full"));
    let Ok(HubGreeting::Refusal(refusal)) = refused.read(2) else {
        panic!("a newer hub's refusal is not readable");
    };
    assert_eq!((refusal.code, refusal.detail.as_str()), (None, "the moon is full"));
    assert!(delivery(Written::map(&[("Rejected", refused)])).is_ok());
    let beyond = Written::map(&[("code", Written::value(&70_000))]);
    assert!(beyond.read::<HubGreeting>(2).is_err(), "codes have 16 bits");
}

/// Handshakes as releases sent them. Never change a line; add one for each release.
const SAVED: [(&str, &str); 3] = [
    (
        "Hello 0.1.0",
        "31000000010000003100000083a876657273696f6e7382a36d696e01a36d617801\
         a772656c65617365a5302e312e30a46e616d65a86c6170746f702f32",
    ),
    ("Welcome 0.1.0", "18000000010000001800000082a776657273696f6e01a772656c65617365a5302e312e30"),
    (
        "Refusal 0.1.0",
        "46000000020000004600000083a4636f646504a876657273696f6e7382a36d696e02a36d617803\
         a664657461696cd922796f7520737065616b20312d312c20746869732068756220737065616b7320322d33",
    ),
];

fn saved(name: &str) -> Vec<u8> {
    let (_, text) = SAVED.iter().find(|(saved, _)| *saved == name).expect("it is listed");
    hex::decode(text).expect("hex")
}

#[test]
fn handshakes_of_every_release_stay_readable() {
    let hello: PeerGreeting = read(&saved("Hello 0.1.0")).expect("readable");
    let expected = Hello {
        versions: VersionRange { min: 1, max: 1 },
        release: "0.1.0".into(),
        name: "laptop/2".into(),
        ..Hello::default()
    };
    assert_eq!(hello, expected.into());
    let welcome: HubGreeting = read(&saved("Welcome 0.1.0")).expect("readable");
    let expected = Welcome { version: 1, release: "0.1.0".into(), ..Welcome::default() };
    assert_eq!(welcome, expected.into());
    let refusal: HubGreeting = read(&saved("Refusal 0.1.0")).expect("readable");
    let expected = Refusal {
        code: Some(ErrorCode::Version),
        versions: VersionRange { min: 2, max: 3 },
        detail: "you speak 1-1, this hub speaks 2-3".into(),
        ..Refusal::default()
    };
    assert_eq!(refusal, expected.into());
}

#[test]
fn a_hello_of_another_version_is_understood_well_enough_to_refuse_it() {
    let far = Written::map(&[("min", Written::value(&7)), ("max", Written::value(&9))]);
    let newer = Written::map(&[("versions", far), ("shapes", future())]);
    let hello = hello_of(newer.read(1).expect("readable"));
    assert_eq!(hello.versions.common(phalanx_protocol::handshake::VERSIONS), None);
    let hello = hello_of(Written::map(&[]).read(1).expect("readable"));
    assert_eq!(hello.versions.common(phalanx_protocol::handshake::VERSIONS), None);
}

fn hello_of(greeting: PeerGreeting) -> Hello {
    match greeting {
        PeerGreeting::Hello(hello) => hello,
        other => panic!("{other:?} is no hello"),
    }
}

#[test]
fn an_inline_payload_is_the_tail_even_if_the_header_came_from_elsewhere() {
    let items = [task_id(), any(), Written::value(&"m"), no_payload(), nil(), nil()];
    let frame = raw_frame(2, &Written::array(&items).0, b"tail");
    let message: ClientToHub = read(&frame).expect("valid");
    let bytes = message.payload().and_then(Payload::bytes);
    assert_eq!(bytes, Some(Bytes::from_static(b"tail")));
    assert_eq!(support::frame(&message), frame);
}
