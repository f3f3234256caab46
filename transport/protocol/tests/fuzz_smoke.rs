//! The fuzz targets' work in small: every seed, and a fixed number of mutations of each.
//!
//! The same bytes each time: a failing input is printed and fails again.

#[path = "../fuzz/body.rs"]
mod body;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// SplitMix64: small, seeded, the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Bytes that mean something to MessagePack or to a length.
const TELLING: [u8; 20] = [
    0x00, 0x01, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x91, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc9, 0xcf,
    0xd9, 0xdd, 0xdf, 0xff,
];

fn mutate(random: &mut Random, seeds: &[Vec<u8>], seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = TELLING[random.below(TELLING.len())],
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
            4 => bytes.truncate(at),
            5 => {
                // The start of this one, the end of another.
                let other = &seeds[random.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            _ => {
                let end = at + random.below(bytes.len() - at);
                bytes.extend_from_within(at..end);
            }
        }
    }
    bytes
}

fn run(body: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        eprintln!("input: {input:02x?}");
        std::panic::resume_unwind(panic);
    }
}

fn smoke(target: &str, body: fn(&[u8]), mutations_per_seed: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .expect("the seeds are checked in")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> =
        paths.iter().map(|path| std::fs::read(path).expect("a readable seed")).collect();
    assert!(seeds.len() >= 3, "{} has too few seeds", folder.display());
    let mut random = Random(1);
    for seed in &seeds {
        run(body, seed);
        for _ in 0..mutations_per_seed {
            run(body, &mutate(&mut random, &seeds, seed));
        }
    }
}

#[test]
fn mutated_frames_of_every_direction_never_panic() {
    smoke("frames", body::frames, 1_200);
}

#[test]
fn mutated_handshakes_never_panic() {
    smoke("handshake", body::handshake, 10_000);
}

#[test]
fn mutated_values_never_panic() {
    smoke("value", body::value, 2_500);
}
