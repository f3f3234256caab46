//! Golden bytes: what is on the wire today stays on the wire.
//!
//! `golden/frames.txt` has a line for each sample of each message, `golden/values.txt` one for each
//! value rule. `UPDATE_GOLDEN=1` rewrites both, and the fuzz targets' seeds; a change of an existing
//! line is a change of the protocol.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{Debug, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use phalanx_protocol::handshake::PeerGreeting;
use phalanx_protocol::value::{ArrayBuffer, Timestamp, from_bytes, to_bytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use support::samples::{Samples, label};
use support::{for_each_direction, frame, hex, read};

const UPDATE: &str = "set UPDATE_GOLDEN=1 to write the new bytes, if the change is meant";

fn crate_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1")
}

/// The lines of a golden file, or, on update, the file written anew.
fn golden(name: &str, lines: &[(String, Vec<u8>)]) -> BTreeMap<String, Vec<u8>> {
    // Tests run side by side: one rewrites while no other reads.
    static FILES: Mutex<()> = Mutex::new(());
    let _guard = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    let path = crate_path("tests/golden").join(name);
    if is_update() {
        let mut text = String::new();
        for (label, bytes) in lines {
            writeln!(text, "{label} {}", hex::encode(bytes)).expect("a String takes any text");
        }
        std::fs::write(&path, text).expect("the golden file can be written");
    }
    let text = std::fs::read_to_string(&path).expect("the golden file is checked in");
    text.lines()
        .map(|line| {
            let (label, bytes) = line.rsplit_once(' ').expect("a label and hex");
            (label.to_owned(), hex::decode(bytes).expect("hex"))
        })
        .collect()
}

fn check_golden(name: &str, lines: &[(String, Vec<u8>)]) {
    let golden = golden(name, lines);
    let labels: BTreeSet<&str> = lines.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels.len(), lines.len(), "two samples have the same label");
    for (label, bytes) in lines {
        let expected =
            golden.get(label).unwrap_or_else(|| panic!("{name} has no line for {label}; {UPDATE}"));
        assert_eq!(
            hex::encode(expected),
            hex::encode(bytes),
            "{label} has other bytes than in {name}; {UPDATE}"
        );
    }
    for label in golden.keys() {
        assert!(labels.contains(label.as_str()), "{name}: {label} is gone");
    }
}

fn collect_frames<M: Samples>(lines: &mut Vec<(String, Vec<u8>)>) {
    for (case, message) in M::samples() {
        lines.push((label(case, &message), frame(&message).to_vec()));
    }
}

fn frames() -> Vec<(String, Vec<u8>)> {
    let mut lines = Vec::new();
    for_each_direction!(collect_frames(&mut lines));
    lines
}

fn check_every_message_has_a_sample<M: Samples>() {
    for info in M::MESSAGES {
        assert_eq!(M::sample(info.name).info(), info);
    }
}

#[test]
fn every_message_has_a_golden_line() {
    for_each_direction!(check_every_message_has_a_sample());
}

#[test]
fn frames_have_the_golden_bytes() {
    check_golden("frames.txt", &frames());
}

fn check_golden_decodes<M: Samples>(golden: &BTreeMap<String, Vec<u8>>) {
    for (case, message) in M::samples() {
        let label = label(case, &message);
        let decoded: M = read(&golden[&label]).unwrap_or_else(|error| panic!("{label}: {error}"));
        assert_eq!(decoded, message, "{label}");
    }
}

#[test]
fn golden_frames_decode_to_what_was_sent() {
    let golden = golden("frames.txt", &frames());
    for_each_direction!(check_golden_decodes(&golden));
}

/// The seeds of the fuzz targets are the golden bytes, one file each.
#[test]
fn fuzz_seeds_are_the_golden_bytes() {
    let greetings = ["PeerGreeting ", "HubGreeting "];
    let is_greeting = |label: &str| greetings.iter().any(|start| label.starts_with(start));
    for (label, bytes) in frames() {
        check_seed("frames", &label, &bytes);
        if is_greeting(&label) {
            check_seed("handshake", &label, &bytes);
        }
    }
    for (label, bytes) in values() {
        check_seed("value", &label, &bytes);
    }
}

fn check_seed(target: &str, label: &str, bytes: &[u8]) {
    let folder = crate_path("fuzz/seeds").join(target);
    let name: String =
        label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let path = folder.join(name);
    if is_update() {
        std::fs::create_dir_all(&folder).expect("the seed folder can be made");
        std::fs::write(&path, bytes).expect("the seed can be written");
    }
    let seed = std::fs::read(&path).unwrap_or_else(|_| panic!("no {}; {UPDATE}", path.display()));
    assert_eq!(seed, bytes, "{}; {UPDATE}", path.display());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    label: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(f64),
    Line { from: Point, to: Point },
}

/// Encodes a value, after checking that it reads back.
#[allow(clippy::needless_pass_by_value, reason = "literals read better without a borrow")]
fn value<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    lines: &mut Vec<(String, Vec<u8>)>,
    name: &str,
    value: T,
) {
    let bytes = to_bytes(&value).expect("it can be expressed");
    assert_eq!(from_bytes::<T>(&bytes).expect("it reads back"), value);
    lines.push((name.to_owned(), bytes.to_vec()));
}

fn numbers(lines: &mut Vec<(String, Vec<u8>)>) {
    value(lines, "nothing", ());
    value(lines, "none", None::<u8>);
    value(lines, "true", true);
    value(lines, "false", false);
    // Each side of every step in the integer's length.
    for bits in [7, 8, 16, 32] {
        let end = 1_i64 << bits;
        value(lines, &format!("int {}", end - 1), end - 1);
        value(lines, &format!("int {end}"), end);
    }
    for bits in [5, 7, 15, 31] {
        let end = -1_i64 << bits;
        value(lines, &format!("int {end}"), end);
        value(lines, &format!("int {}", end - 1), end - 1);
    }
    value(lines, "int max", u64::MAX);
    value(lines, "int min", i64::MIN);
    value(lines, "float 1.5", 1.5_f64);
    value(lines, "float -0.0", -0.0_f64);
    value(lines, "float infinity", f64::INFINITY);
    value(lines, "float32 1.5", 1.5_f32);
}

fn texts_and_containers(lines: &mut Vec<(String, Vec<u8>)>) {
    value(lines, "text empty", String::new());
    value(lines, "text greeting", "grüß dich".to_owned());
    value(lines, "text 32", "a".repeat(32));
    value(lines, "char", 'ß');
    value(lines, "bytes empty", serde_bytes::ByteBuf::new());
    value(lines, "bytes 3", serde_bytes::ByteBuf::from([0, 127, 255]));
    value(lines, "bytes 256", serde_bytes::ByteBuf::from([9; 256]));
    value(lines, "bytes crate", Bytes::from_static(&[1, 2, 3]));
    value(lines, "list", vec![1, 2, 300]);
    value(lines, "tuple", (1_u8, "two".to_owned(), 3.0_f64));
    value(lines, "list 16", vec![0_u8; 16]);
    value(lines, "map text", BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    value(lines, "map int", BTreeMap::from([(-1, true), (300, false)]));
    value(lines, "map hash", HashMap::from([(7_u8, Some("x".to_owned()))]));
    let point = |x| Point { x, label: "p".into() };
    value(lines, "struct", point(-5));
    value(lines, "enum unit", Shape::Empty);
    value(lines, "enum newtype", Shape::Circle(2.0));
    value(lines, "enum struct", Shape::Line { from: point(1), to: point(2) });
}

fn extensions(lines: &mut Vec<(String, Vec<u8>)>) {
    for (seconds, nanoseconds) in [(0, 0), (1_795_316_400, 500), (-1, 999_999_999)] {
        value(
            lines,
            &format!("timestamp {seconds}.{nanoseconds:09}"),
            Timestamp { seconds, nanoseconds },
        );
    }
    for (dtype, shape, data) in [
        ("<f8", vec![2], [0_u8; 16].as_slice()),
        ("<i4", vec![2, 1], &[1, 0, 0, 0, 255, 255, 255, 255]),
        ("|u1", vec![0, 3], &[]),
        ("|b1", vec![], &[1]),
    ] {
        let array = ArrayBuffer { dtype: dtype.into(), shape, data: Bytes::copy_from_slice(data) };
        value(lines, &format!("array {dtype}"), array);
    }
}

fn values() -> Vec<(String, Vec<u8>)> {
    let mut lines = Vec::new();
    numbers(&mut lines);
    texts_and_containers(&mut lines);
    extensions(&mut lines);
    lines
}

#[test]
fn values_have_the_golden_bytes() {
    check_golden("values.txt", &values());
}

#[test]
fn hello_is_readable_without_this_crate() {
    // The first bytes of every session, spelt out once by hand.
    let mut expected = vec![74, 0, 0, 0, 1, 0, 0, 0, 74, 0, 0, 0];
    expected.extend(b"\x85\xa8versions\x82\xa3min\x01\xa3max\x01");
    expected.extend(b"\xa7release\xa50.1.0\xa4name\xa8laptop/2\xa6memory\xc0");
    expected.extend(b"\xa7dialect\xcf\x01\x23\x45\x67\x89\xab\xcd\xef");
    let hello = frame(&PeerGreeting::sample("Hello"));
    assert_eq!(hex::encode(&hello), hex::encode(&expected));
}
