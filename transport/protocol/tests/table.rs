//! The message table is sound, and `PROTOCOL.md` says the same as the code.
//!
//! The tables of the document are read as they stand: a number changed on one side only fails here.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use phalanx_protocol::codec::{Encoding, Lane, Message, MessageInfo};
use phalanx_protocol::error::ErrorCode;
use phalanx_protocol::handshake::VERSIONS;
use phalanx_protocol::payload::Format;
use phalanx_protocol::role::Role;
use phalanx_protocol::value::{EXT_ARRAY, EXT_TIMESTAMP, VALUE_DEPTH_MAX};

use support::for_each_direction;

/// Limits that the codec itself enforces: the document must list them. It may list others.
const CODEC_LIMITS: [&str; 7] = [
    "FRAME_PREFIX_LEN",
    "HEADER_LEN_MAX",
    "HEADER_DEPTH_MAX",
    "LIST_ITEMS_MAX",
    "INLINE_LEN_MAX",
    "TASK_PAYLOAD_LEN_MAX",
    "METHOD_LEN_MAX",
];

/// What a monitor may say: nothing that changes anything.
const MONITOR_SAYS: [&str; 8] = [
    "Hello",
    "Proof",
    "Open",
    "StatusRequest",
    "Ping",
    "Leave",
    "RecordsRequest",
    "ExplainRequest",
];

fn manifest_path(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn document() -> String {
    manifest_path("../../PROTOCOL.md")
}

/// The rows of the first table under a heading: cells without back ticks; no head, no rule. Rows
/// of what is gone (`~~name~~`) stay in the document and are left out here.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = document
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("PROTOCOL.md has no heading {heading:?}"));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>()
    };
    section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .filter(|line| !line.contains("~~"))
        .map(cells)
        .collect()
}

fn collect<M: Message>(all: &mut Vec<(&'static str, &'static MessageInfo)>) {
    all.extend(M::MESSAGES.iter().map(|info| (M::CONVERSATION, info)));
}

fn messages() -> Vec<(&'static str, &'static MessageInfo)> {
    let mut all = Vec::new();
    for_each_direction!(collect(&mut all));
    all
}

fn directions() -> Vec<&'static str> {
    let mut directions: Vec<_> = messages().into_iter().map(|(direction, _)| direction).collect();
    directions.dedup();
    directions
}

fn check_numbers<M: Message>() {
    let numbers: Vec<u16> = M::MESSAGES.iter().map(|info| info.number).collect();
    let direction = M::CONVERSATION;
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{direction}: {numbers:?}");
    assert_ne!(numbers.first(), Some(&0), "{direction}: 0 is no message");
    let mut names: Vec<&str> = M::MESSAGES.iter().map(|info| info.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), numbers.len(), "{direction}: two messages of one name");
}

#[test]
fn numbers_are_ascending_and_names_are_told_apart() {
    for_each_direction!(check_numbers());
}

#[test]
fn every_direction_of_the_sources_is_tested() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let count: usize = std::fs::read_dir(sources)
        .expect("the crate has sources")
        .map(|entry| std::fs::read_to_string(entry.expect("readable").path()).expect("text"))
        .map(|text| text.lines().filter(|line| *line == "messages! {").count())
        .sum();
    assert_eq!(directions().len(), count, "add the new direction to for_each_direction");
}

#[test]
fn payloads_travel_in_order_with_tasks_and_behind_compact_headers() {
    for (direction, info) in messages() {
        if info.carries_payload {
            let form = (info.lane, info.encoding);
            assert_eq!(form, (Lane::Tasks, Encoding::Array), "{direction} {}", info.name);
        }
    }
}

#[test]
fn only_the_hub_speaks_for_the_hub_and_a_monitor_changes_nothing() {
    for (direction, info) in messages() {
        let label = format!("{direction} {}", info.name);
        let roles: Vec<Role> = info.senders.iter().collect();
        assert!(!roles.is_empty(), "{label}");
        if direction.starts_with("Hub") {
            assert_eq!(roles, [Role::Hub], "{label}");
        } else {
            assert!(!roles.contains(&Role::Hub), "{label}");
        }
        if roles.contains(&Role::Monitor) {
            assert!(MONITOR_SAYS.contains(&info.name), "{label}");
        }
        let is_for_clients = roles.contains(&Role::Client);
        assert!(!is_for_clients || roles.contains(&Role::Admin), "{label}: admins are clients");
    }
}

fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::Control => "control",
        Lane::Tasks => "tasks",
        Lane::Events => "events",
    }
}

/// A message's row in the document: all columns but the last, which is prose.
fn row(info: &MessageInfo) -> Vec<String> {
    let encoding = match info.encoding {
        Encoding::Array => "array",
        Encoding::Map => "map",
    };
    let senders: Vec<&str> = info.senders.iter().map(Role::as_str).collect();
    vec![
        info.number.to_string(),
        info.name.to_owned(),
        lane(info.lane).to_owned(),
        encoding.to_owned(),
        senders.join(", "),
        if info.carries_payload { "yes" } else { "" }.to_owned(),
    ]
}

#[test]
fn message_tables_equal_the_code() {
    let document = document();
    for direction in directions() {
        let expected: Vec<_> = messages()
            .into_iter()
            .filter(|(of, _)| *of == direction)
            .map(|(_, info)| row(info))
            .collect();
        let mut written = table(&document, &format!("### {direction}"));
        for row in &mut written {
            assert_eq!(row.len(), 7, "{direction}: {row:?}");
            let prose = row.pop().unwrap_or_default();
            assert!(!prose.is_empty(), "{direction}: a message without words: {row:?}");
        }
        assert_eq!(written, expected, "{direction}: left is PROTOCOL.md, right is the code");
    }
}

#[test]
fn the_matrix_of_roles_equals_the_code() {
    let expected: Vec<Vec<String>> = messages()
        .into_iter()
        .map(|(direction, info)| {
            let mark = |role| if info.senders.contains(role) { "x" } else { "" };
            let mut row = vec![format!("{direction} {}", info.name)];
            row.extend(Role::ALL.into_iter().map(|role| mark(role).to_owned()));
            row
        })
        .collect();
    let written = table(&document(), "## Who may say what");
    let print = |rows: &[Vec<String>]| {
        let lines: Vec<_> = rows.iter().map(|row| format!("| {} |", row.join(" | "))).collect();
        lines.join("\n")
    };
    let (written, expected) = (print(&written), print(&expected));
    assert!(written == expected, "the code says:\n{expected}\nPROTOCOL.md says:\n{written}");
}

#[test]
fn error_codes_equal_the_code() {
    let expected: Vec<Vec<String>> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let retryable = if code.is_retryable() { "yes" } else { "" };
            vec![
                code.number().to_string(),
                code.name().to_owned(),
                retryable.to_owned(),
                code.to_string(),
            ]
        })
        .collect();
    let mut written = table(&document(), "## Error codes");
    written.iter_mut().for_each(|row| row.truncate(4));
    assert_eq!(written, expected, "left is PROTOCOL.md, right is the code");
}

/// The value of a constant of `limits.rs`: bytes and counts as they are, times in milliseconds.
fn evaluate(text: &str, known: &BTreeMap<String, u64>) -> Option<u64> {
    let text = text.trim();
    if let Some((left, right)) = text.split_once("<<") {
        return Some(evaluate(left, known)? << evaluate(right, known)?);
    }
    let duration = text.strip_prefix("Duration::from_").and_then(|text| text.split_once('('));
    if let Some((unit, number)) = duration {
        let number = evaluate(number.trim_end_matches(')'), known)?;
        return match unit {
            "secs" => Some(number * 1_000),
            "millis" => Some(number),
            _ => None,
        };
    }
    known.get(text).copied().or_else(|| text.replace('_', "").parse().ok())
}

fn limits_of_the_code() -> BTreeMap<String, u64> {
    let mut known = BTreeMap::new();
    let source = manifest_path("src/limits.rs").replace("=\n", "=");
    for line in source.lines() {
        let Some(constant) = line.strip_prefix("pub const ") else {
            continue;
        };
        let (name, rest) = constant.split_once(':').expect("a constant has a type");
        let (_, value) = rest.split_once('=').expect("a constant has a value");
        let value = evaluate(value.trim_end_matches(';'), &known)
            .unwrap_or_else(|| panic!("{name}: this test cannot evaluate {value}"));
        known.insert(name.to_owned(), value);
    }
    known
}

/// A value as people write it: `64 KiB`, `1,024`, `15 s`.
fn evaluate_prose(text: &str) -> Option<u64> {
    let mut words = text.split(' ');
    let number: u64 = words.next()?.replace(',', "").parse().ok()?;
    let factor = match words.next() {
        None | Some("bytes" | "ms") => 1,
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        Some("GiB") => 1 << 30,
        Some("s") => 1_000,
        Some("min") => 60_000,
        Some("h") => 3_600_000,
        Some(_) => return None,
    };
    Some(number * factor)
}

#[test]
fn limits_equal_the_code() {
    let known = limits_of_the_code();
    assert!(known.len() > 30, "limits.rs is not read as it is written: {known:?}");
    let written = table(&document(), "## Limits");
    for row in &written {
        let (name, value) = (&row[0], &row[1]);
        let code = known.get(name).unwrap_or_else(|| panic!("limits.rs has no {name}"));
        assert_eq!(evaluate_prose(value), Some(*code), "{name}: PROTOCOL.md says {value}");
    }
    for name in CODEC_LIMITS {
        assert!(written.iter().any(|row| row[0] == name), "PROTOCOL.md does not list {name}");
    }
}

#[test]
fn versions_formats_and_extension_types_equal_the_code() {
    let document = document();
    for sentence in [
        format!("This page describes message versions {VERSIONS}."),
        format!("{VALUE_DEPTH_MAX} levels deep at most"),
        format!("ext {EXT_ARRAY} "),
        format!("ext {EXT_TIMESTAMP} "),
    ] {
        assert!(document.contains(&sentence), "PROTOCOL.md does not say {sentence:?}");
    }
    let formats = [Format::Raw, Format::MessagePack, Format::Pickle5, Format::Bundle];
    let expected: Vec<_> = formats
        .into_iter()
        .map(|format| vec![(format as u8).to_string(), format!("{format:?}")])
        .collect();
    let mut written = table(&document, "### Formats");
    written.iter_mut().for_each(|row| row.truncate(2));
    assert_eq!(written, expected, "left is PROTOCOL.md, right is the code");
    assert_eq!(Format::from_number(formats.len() as u8), None);
    let lanes: Vec<_> = Lane::ALL
        .into_iter()
        .map(|one| vec![(one as u8).to_string(), lane(one).to_owned()])
        .collect();
    let mut written = table(&document, "### Lanes");
    written.iter_mut().for_each(|row| row.truncate(2));
    assert_eq!(written, lanes, "left is PROTOCOL.md, right is the code");
}
