//! What a frame may make its reader allocate, measured.
//!
//! The allocator of this binary counts bytes per thread, so that tests may run side by side.

mod support;

use bytes::BytesMut;
use phalanx_protocol::client::{ClientToHub, HubToClient};
use phalanx_protocol::codec::{Message, decode_frame};
use phalanx_protocol::engine::{EngineToHub, HubToEngine};
use phalanx_protocol::limits::{HEADER_LEN_MAX, INLINE_LEN_MAX, LIST_ITEMS_MAX};
use phalanx_protocol::payload::{Format, Payload};
use phalanx_protocol::scheduling::HubToScheduling;

use counting::peak_len;
use support::samples::{Samples, label};
use support::{for_each_direction, frame, raw_frame};

/// The promise of the codec: so many bytes for each byte of header, and this much besides.
const PER_HEADER_BYTE: usize = 32;
const BESIDES: usize = 8 << 20;

/// The only unsafe code of the crate's tests: a global allocator that counts.
mod counting {
    #![allow(unsafe_code)]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<isize> = const { Cell::new(0) };
        static PEAK: Cell<isize> = const { Cell::new(0) };
    }

    struct Counting;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    fn add(len: isize) {
        let now = NOW.get() + len;
        NOW.set(now);
        PEAK.set(PEAK.get().max(now));
    }

    // SAFETY: every call is passed on to the system's allocator unchanged. Counting neither
    // allocates (the cells are constant and have no destructor) nor unwinds.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            add(layout.size() as isize);
            // SAFETY: the caller keeps the contract of `alloc`.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            add(-(layout.size() as isize));
            // SAFETY: the caller keeps the contract of `dealloc`; the system allocated it.
            unsafe { System.dealloc(pointer, layout) }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
            // For a moment both may be there.
            add(len as isize);
            add(-(layout.size() as isize));
            // SAFETY: the caller keeps the contract of `realloc`; the system allocated it.
            unsafe { System.realloc(pointer, layout, len) }
        }
    }

    /// The most bytes that `work` had allocated at once on this thread, and what it returns.
    pub(crate) fn peak_len<T>(work: impl FnOnce() -> T) -> (usize, T) {
        let before = NOW.get();
        PEAK.set(before);
        let result = work();
        ((PEAK.get() - before) as usize, result)
    }
}

/// Decodes one frame; says whether it was valid and what it allocated.
fn decode_peak<M: Message>(frame: &[u8]) -> (usize, bool) {
    let mut buffer = BytesMut::from(frame);
    let (peak, result) = peak_len(|| decode_frame::<M>(&mut buffer));
    (peak, matches!(result, Ok(Some(_))))
}

fn check_bound<M: Message>(what: &str, header: &[u8], number: u16) -> (usize, bool) {
    let (peak, is_valid) = decode_peak::<M>(&raw_frame(number, header, &[]));
    let bound = PER_HEADER_BYTE * header.len() + BESIDES;
    assert!(peak <= bound, "{what}: {peak} bytes for a header of {}", header.len());
    (peak, is_valid)
}

#[test]
fn the_allocator_counts() {
    let (peak, _) = peak_len(|| {
        drop(Vec::<u8>::with_capacity(1_000));
        Vec::<u8>::with_capacity(500)
    });
    assert!((1_000..1_100).contains(&peak), "{peak}");
}

fn check_mutations<M: Samples>() {
    for (case, message) in M::samples() {
        let label = label(case, &message);
        let whole = frame(&message);
        for at in 0..whole.len() {
            // Marks of the longest containers, texts and numbers there are.
            for marker in [0x00, 0x7f, 0x80, 0xbf, 0xc9, 0xdb, 0xdd, 0xdf, 0xff] {
                let mut bytes = whole.to_vec();
                bytes[at] = marker;
                let (peak, _) = decode_peak::<M>(&bytes);
                let bound = PER_HEADER_BYTE * bytes.len() + BESIDES;
                assert!(peak <= bound, "{label} with {marker:#x} at {at}: {peak}");
            }
        }
    }
}

#[test]
fn a_mutated_frame_allocates_within_the_bound() {
    for_each_direction!(check_mutations());
}

#[test]
fn a_length_that_lies_allocates_next_to_nothing() {
    let lying = |key: &str, marker: u8| {
        let mut header = vec![0x81, 0xa0 | key.len() as u8];
        header.extend(key.as_bytes());
        header.extend([marker, 0xff, 0xff, 0xff, 0xff]);
        header
    };
    for marker in [0xdb, 0xdd, 0xdf, 0xc6, 0xc9] {
        for (key, number) in [("engines", 1), ("tasks", 4), ("name", 1)] {
            let header = lying(key, marker);
            let (peak, is_valid) = check_bound::<ClientToHub>(key, &header, number);
            assert!(!is_valid && peak <= 2 << 20, "{key} {marker:#x}: {peak}");
            let (peak, _) = check_bound::<HubToClient>(key, &header, number);
            assert!(peak <= 2 << 20, "{key} {marker:#x}: {peak}");
        }
    }
}

/// `{key: [item; count]}`, with nothing else.
fn list_of(key: &str, item: &[u8], count: usize) -> Vec<u8> {
    let mut header = vec![0x81, 0xa0 | key.len() as u8];
    header.extend(key.as_bytes());
    header.push(0xdd);
    header.extend((count as u32).to_be_bytes());
    header.extend(item.repeat(count));
    header
}

/// As [`list_of`], as long as a header may be.
fn longest_list_of(key: &str, item: &[u8]) -> Vec<u8> {
    let list = list_of(key, item, (HEADER_LEN_MAX - 64) / item.len());
    assert!(list.len() <= HEADER_LEN_MAX);
    list
}

fn inside(key: &str, header: &[u8]) -> Vec<u8> {
    let mut outer = vec![0x81, 0xa0 | key.len() as u8];
    outer.extend(key.as_bytes());
    outer.extend(header);
    outer
}

#[test]
fn the_longest_lists_of_the_smallest_items_stay_within_the_bound() {
    let attempt = &[0x92, 0x92, 1, 2, 3];
    let task = &[0x92, 1, 2];
    let check = |result: (usize, bool)| assert!(result.1, "it is valid, only large");
    check(check_bound::<ClientToHub>("tasks", &longest_list_of("tasks", task), 4));
    check(check_bound::<HubToEngine>("drop", &longest_list_of("drop", attempt), 1));
    check(check_bound::<HubToEngine>("attempts", &longest_list_of("attempts", attempt), 4));
    for (key, item) in [("running", &attempt[..]), ("direct_marks", &[0x92, 1, 2])] {
        let header = inside("inventory", &longest_list_of(key, item));
        check(check_bound::<EngineToHub>(key, &header, 1));
    }
    let engines = inside("scope", &longest_list_of("Engines", &[1]));
    check(check_bound::<ClientToHub>("engines", &engines, 6));
    for key in ["engines", "clients", "rooms"] {
        let header = inside("status", &list_of(key, &[0x80], LIST_ITEMS_MAX));
        check(check_bound::<HubToClient>(key, &header, 6));
    }
    // The smallest piece of output, as many as a list may have.
    let chunks = list_of("chunks", &[0x92, 1, 0xc4, 0], LIST_ITEMS_MAX)[1 + 7..].to_vec();
    let news = [&[0x93, 0x92, 0x92, 1, 2, 3, 0][..], &chunks].concat();
    check(check_bound::<EngineToHub>("output", &news, 5));
    check(check_bound::<HubToClient>("output", &news, 9));
    for (key, item) in [("labels", &[0xa0][..]), ("methods", b"\xa1m")] {
        // As many engines as fit, each with many empty words.
        let list = list_of(key, item, LIST_ITEMS_MAX);
        let header = longest_list_of("engines", &list);
        check(check_bound::<HubToClient>(key, &header, 1));
        let capacity = [&[0x92, 1][..], &list_of(key, item, LIST_ITEMS_MAX)].concat();
        check(check_bound::<HubToScheduling>(key, &capacity, 5));
    }
}

#[test]
fn payload_bytes_are_not_copied() {
    let mut message = ClientToHub::sample("Submit");
    let payload = Payload::inline(Format::Raw, vec![1; INLINE_LEN_MAX].into());
    *message.payload_mut().expect("a submit has a payload") = payload;
    let (peak, is_valid) = decode_peak::<ClientToHub>(&frame(&message));
    assert!(is_valid && peak < 1_024, "{peak} bytes for a submit");
}
