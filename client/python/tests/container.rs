//! The container of a payload's parts: what is written is read, and hostile bytes are refused.
//!
//! It is compiled from its source: the module itself can only be loaded by an interpreter.

use proptest::prelude::*;

#[path = "../src/container.rs"]
#[allow(dead_code, reason = "the module uses what the tests do not")]
mod container;

use bytes::Bytes;
use container::{ALIGNED_FROM, ALIGNMENT, ContainerError, Index};
use phalanx_client::protocol::pieces::Pieces;

fn pack(parts: &[&[u8]]) -> Vec<u8> {
    container::pack(parts).contiguous().to_vec()
}

/// Reads bytes that came in one run; in two, cut anywhere, they say the same.
fn read(bytes: &[u8]) -> Result<Index, ContainerError> {
    let whole = Bytes::copy_from_slice(bytes);
    let index = container::read(&whole.clone().into());
    for cut in (0..whole.len()).step_by(whole.len() / 50 + 1) {
        let pieces: Pieces = [whole.slice(..cut), whole.slice(cut..)].into_iter().collect();
        assert_eq!(container::read(&pieces), index);
    }
    index
}

fn short(len: usize, needed: u64) -> ContainerError {
    ContainerError::Short { len, needed }
}

#[test]
fn an_empty_container_has_a_head() {
    let bytes = pack(&[]);
    assert_eq!(bytes, [0; 8]);
    let index = read(&bytes).unwrap();
    assert_eq!((index.len(), index.part(0)), (0, None));
}

#[test]
fn the_bytes_are_those_of_the_description() {
    let bytes = pack(&[b"pickle", b"buffer of it"]);
    let mut expected = vec![2, 0, 0, 0, 0, 0, 0, 0];
    for len in [6u64, 12] {
        expected.extend(len.to_le_bytes());
    }
    expected.extend(b"picklebuffer of it");
    assert_eq!(bytes, expected);
    let index = read(&bytes).unwrap();
    assert_eq!((index.len(), index.part(0), index.part(1)), (2, Some(24..30), Some(30..42)));
}

#[test]
fn long_parts_are_aligned_and_short_ones_are_not() {
    let (long, short) = (vec![1u8; ALIGNED_FROM], vec![2u8; ALIGNED_FROM - 1]);
    let bytes = pack(&[b"x", &long, &short, &long]);
    let index = read(&bytes).unwrap();
    let starts: Vec<_> = (0..4).map(|part| index.part(part).unwrap().start).collect();
    assert_eq!(starts[1] % ALIGNMENT, 0);
    assert_eq!(starts[2], starts[1] + ALIGNED_FROM, "directly after");
    assert_eq!(starts[3] % ALIGNMENT, 0);
    assert_eq!(bytes[index.part(3).unwrap()], long[..]);
}

#[test]
fn lengths_that_lie_are_refused_without_allocating_for_them() {
    let lying = |count: u32, lens: &[u64]| {
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(lens.iter().flat_map(|len| len.to_le_bytes()));
        read(&bytes)
    };
    assert_eq!(read(&[]), Err(short(0, 8)));
    assert_eq!(read(&[1, 0, 0, 0, 0]), Err(short(5, 8)));
    assert_eq!(lying(u32::MAX, &[]), Err(short(8, 8 + 8 * u64::from(u32::MAX))));
    assert_eq!(lying(1, &[1]), Err(short(16, 17)));
    assert!(matches!(lying(1, &[u64::MAX]), Err(ContainerError::Short { .. })));
    assert!(matches!(lying(2, &[u64::MAX - 64, 80]), Err(ContainerError::Short { .. })));
    assert_eq!(lying(0, &[0]), Err(ContainerError::Trailing(8)));
}

#[test]
fn flags_and_padding_are_checked() {
    let mut unknown = pack(&[b"x"]);
    unknown[4] = 2;
    assert_eq!(read(&unknown), Err(ContainerError::Flags(2)));
    let mut dirty = pack(&[b"x", &[1; ALIGNED_FROM]]);
    dirty[26] = 1;
    assert_eq!(read(&dirty), Err(ContainerError::Padding(1)));
}

proptest! {
    #[test]
    fn what_is_packed_is_read(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..6),
    ) {
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let bytes = pack(&slices);
        let index = read(&bytes).unwrap();
        prop_assert_eq!(index.len(), parts.len());
        for (number, part) in parts.iter().enumerate() {
            prop_assert_eq!(&bytes[index.part(number).unwrap()], &part[..]);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(index) = read(&bytes) {
            for number in 0..index.len() {
                prop_assert!(index.part(number).unwrap().end <= bytes.len());
            }
        }
    }

    #[test]
    fn a_cut_or_changed_container_never_panics(
        part in proptest::collection::vec(any::<u8>(), 0..1500),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = pack(&[&part, &part]);
        let cut = at.index(bytes.len());
        prop_assert!(read(&bytes[..cut]).is_err());
        bytes[cut] = byte;
        let _ = read(&bytes);
    }
}
