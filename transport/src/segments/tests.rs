//! Segments by themselves: limits, names and lengths that are wrong, being used again.

use std::io;

use phalanx_protocol::ids::SegmentId;
use phalanx_protocol::limits::SEGMENT_POOL_AGE_MAX;
use phalanx_protocol::payload::SegmentRef;

use super::file::SegmentFile;
use super::table::{Bounds, Table};
use super::*;

const LEN: usize = SEGMENT_LEN_MIN + 5;
const BOUNDS: Bounds = Bounds { bytes: 8 << 20, held: 4, pool_bytes: 4 << 20 };

/// A table of its own for one test, as if of another process. It is never freed.
fn table(bounds: Bounds) -> &'static Table {
    let table: &'static Table = Box::leak(Box::new(Table::new(bounds)));
    table.join();
    table
}

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|index| (index.wrapping_mul(7) ^ seed) as u8).collect()
}

fn write(table: &'static Table, content: &[u8]) -> Option<Bytes> {
    let mut writer = SegmentWriter::from_table(table, content.len() as u64)?;
    // In unequal pieces, one of them empty.
    let (head, tail) = content.split_at(content.len() / 3);
    for piece in [head, &[], tail] {
        writer.write(piece).unwrap();
    }
    Some(writer.finish().unwrap())
}

/// Opens what `reference` names in this process, for another table.
fn open(table: &'static Table, reference: &SegmentRef) -> Result<Bytes, OpenError> {
    let offer = Beacon::of_this_process().unwrap().offer();
    let (memory, _) = PeerMemory::find(&offer).unwrap();
    memory.open_in(table, reference)
}

#[test]
fn what_one_writes_another_maps_and_passes_on_without_a_copy() {
    let (maker, hub, engine) = (table(BOUNDS), table(BOUNDS), table(BOUNDS));
    let content = pattern(1, LEN);
    let made = write(maker, &content).unwrap();
    assert_eq!(made, content);
    let at_hub = open(hub, &maker.find(&made).unwrap()).unwrap();
    let passed_on = hub.find(&at_hub).unwrap();
    assert_ne!(passed_on.descriptor, maker.find(&made).unwrap().descriptor);
    // The maker has forgotten it; the hub's own descriptor is enough.
    maker.part();
    drop(made);
    let at_engine = open(engine, &passed_on).unwrap();
    drop(at_hub);
    assert_eq!(at_engine, content);
    for (table, written, mapped) in [(maker, 1, 0), (hub, 0, 1), (engine, 0, 1)] {
        let stats = table.stats();
        assert_eq!((stats.written, stats.mapped), (written, mapped));
    }
}

#[test]
fn a_view_of_most_of_a_segment_is_in_it_and_a_small_piece_is_not() {
    let table = table(BOUNDS);
    let made = write(table, &pattern(1, 2 * LEN)).unwrap();
    let view = made.slice(100..2 * LEN - 100);
    let reference = table.find(&view).unwrap();
    assert_eq!((reference.offset, reference.len), (100, 2 * LEN as u64 - 200));
    assert_eq!(table.find(&made.slice(..LEN / 2)), None);
    assert_eq!(table.find(&Bytes::from(vec![0; LEN])), None);
    drop((made, view));
    assert_eq!(table.stats().held, 1, "it waits to be used again");
}

#[test]
fn what_is_gathered_is_copied_but_for_long_slices_that_are_in_a_segment() {
    let table = table(BOUNDS);
    let (ordinary, made) = (pattern(1, LEN), write(table, &pattern(2, 2 * LEN)).unwrap());
    let view = &made[64..];
    for (slices, copied) in [
        (&[&ordinary[..]][..], Some(LEN)),
        (&[&ordinary[..9], view, b"end"], None),
        (&[view], None),
        (&[view, b"", view], None),
        (&[&ordinary[..INLINE_LEN_MAX], view, b"end"], Some(INLINE_LEN_MAX)),
        (&[&made[..100], &ordinary], Some(LEN + 100)),
    ] {
        let before = table.stats();
        let pieces = gather_by(table, slices);
        assert_eq!(pieces.contiguous(), slices.concat(), "whatever is copied");
        for slice in slices.iter().filter(|slice| slice.len() == view.len()) {
            let is_it = |piece: &Bytes| piece.as_ptr() == slice.as_ptr();
            assert_eq!(pieces.iter().any(is_it), slice.as_ptr() == view.as_ptr());
        }
        let is_copied = |piece: &&Bytes| piece.as_ptr() != view.as_ptr();
        let placed = pieces.iter().filter(|piece| table.find(piece).is_some()).find(is_copied);
        assert_eq!(placed.map(Bytes::len), copied, "{pieces:?}");
        assert!(table.stats().written - before.written <= 2);
    }
}

#[test]
fn bytes_of_a_segment_are_held_by_their_address_as_long_as_somebody_has_them() {
    let (maker, reader) = (table(BOUNDS), table(BOUNDS));
    let made = write(maker, &pattern(1, LEN)).unwrap();
    let opened = open(reader, &maker.find(&made).unwrap()).unwrap();
    let (address, held) = (opened.as_ptr(), reader.hold(&opened[1..]).unwrap());
    drop(opened);
    assert_eq!(held.as_ptr(), address.wrapping_add(1), "not copied");
    assert_eq!(held, made[1..]);
    assert_eq!(reader.stats().held, 1);
    assert!(reader.hold(&held[..LEN / 3]).is_none(), "a small piece keeps nothing large");
    assert!(reader.hold(&made).is_none(), "of another process");
    drop(held);
    assert_eq!(reader.stats().held, 0);
}

#[test]
fn references_that_are_wrong_open_nothing() {
    let (maker, reader) = (table(BOUNDS), table(BOUNDS));
    let made = write(maker, &pattern(1, LEN)).unwrap();
    let good = maker.find(&made).unwrap();
    let page = good.len.next_multiple_of(4_096);
    let whole = SegmentRef { len: page, ..good };
    assert_eq!(open(reader, &whole).unwrap()[..LEN], made);
    for (wrong, is_lie) in [
        (SegmentRef { len: page + 1, ..good }, true),
        (SegmentRef { offset: page, ..good }, true),
        (SegmentRef { offset: u64::MAX, ..good }, true),
        (SegmentRef { len: u64::MAX, ..good }, true),
        (SegmentRef { turn: good.turn + 1, ..good }, false),
        (SegmentRef { id: SegmentId(good.id.0 ^ 1), ..good }, false),
        (SegmentRef { descriptor: 0, ..good }, false),
        (SegmentRef { descriptor: u32::MAX, ..good }, false),
    ] {
        match open(reader, &wrong) {
            Err(OpenError::Wrong { .. }) => assert!(is_lie, "{wrong:?}"),
            Err(OpenError::Gone(_)) => assert!(!is_lie, "{wrong:?}"),
            other => panic!("{wrong:?}: {other:?}"),
        }
    }
    drop(made);
    maker.part();
    assert!(matches!(open(reader, &good), Err(OpenError::Gone(_))), "it is closed");
    assert_eq!(reader.stats().held, 0);
}

/// Memory with the name of a segment that is none: it could be cut under its reader.
fn unsealed(id: u64) -> std::fs::File {
    use rustix::fs::MemfdFlags;
    let name = format!("phalanx-{id:016x}");
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = std::fs::File::from(rustix::fs::memfd_create(&*name, flags).unwrap());
    file.set_len((2 << 20) + 8).unwrap();
    file
}

#[test]
fn memory_that_could_be_cut_or_has_an_odd_length_is_refused() {
    use std::os::fd::AsRawFd;
    let reader = table(BOUNDS);
    let file = unsealed(0xabc);
    let mut reference = SegmentRef {
        descriptor: file.as_raw_fd().unsigned_abs(),
        id: SegmentId(0xabc),
        turn: 0,
        offset: 0,
        len: LEN as u64,
    };
    assert!(matches!(open(reader, &reference), Err(OpenError::Wrong { .. })));
    let odd = unsealed(0xabd);
    odd.set_len((2 << 20) + 7).unwrap();
    rustix::fs::fcntl_add_seals(&odd, rustix::fs::SealFlags::SHRINK | rustix::fs::SealFlags::GROW)
        .unwrap();
    reference.descriptor = odd.as_raw_fd().unsigned_abs();
    reference.id = SegmentId(0xabd);
    assert!(matches!(open(reader, &reference), Err(OpenError::Wrong { .. })));
}

#[test]
fn nobody_can_cut_a_segment() {
    let table = table(BOUNDS);
    let made = write(table, &pattern(1, LEN)).unwrap();
    let descriptor = table.find(&made).unwrap().descriptor;
    let path = format!("/proc/self/fd/{descriptor}");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    assert!(file.set_len(10).is_err());
    assert_eq!(made, pattern(1, LEN));
}

#[test]
fn a_segment_is_used_again_only_when_nobody_maps_it() {
    let (maker, reader) = (table(BOUNDS), table(BOUNDS));
    let first = write(maker, &pattern(1, LEN)).unwrap();
    let reference = maker.find(&first).unwrap();
    let mapped = open(reader, &reference).unwrap();
    drop(first);
    // The reader still sees the first, so this is another one.
    let second = write(maker, &pattern(2, LEN)).unwrap();
    assert_ne!(maker.find(&second).unwrap().id, reference.id);
    assert_eq!(mapped, pattern(1, LEN));
    drop(mapped);
    let third = write(maker, &pattern(3, LEN - 1)).unwrap();
    let again = maker.find(&third).unwrap();
    assert_eq!((again.id, again.turn), (reference.id, reference.turn + 1));
    assert_eq!(third, pattern(3, LEN - 1));
    assert_eq!(maker.stats().reused, 1);
    // Whoever comes late with the old reference does not see the new content.
    assert!(matches!(open(reader, &reference), Err(OpenError::Gone(_))));
    assert_eq!(open(reader, &again).unwrap(), pattern(3, LEN - 1));
}

#[test]
fn what_is_long_is_written_whole_the_first_time_and_again() {
    const LONG: usize = 33 << 20;
    let bounds = Bounds { bytes: 80 << 20, held: 4, pool_bytes: 40 << 20 };
    let (maker, reader) = (table(bounds), table(bounds));
    // Shorter first, so that the end of the second has never been written before it.
    for (seed, len) in [(1, LONG / 2), (2, LONG - 7), (3, LONG - 4_099), (4, LONG - 7)] {
        let content = pattern(seed, len);
        let mut writer = SegmentWriter::from_table(maker, len as u64).unwrap();
        let (head, tail) = content.split_at(17);
        writer.write(head).unwrap();
        writer.write(tail).unwrap();
        let made = writer.finish().unwrap();
        let reference = maker.find(&made).unwrap();
        assert!(open(reader, &reference).unwrap() == content, "turn {}", reference.turn);
    }
    assert!(maker.stats().reused > 0);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_again_in_time_is_freed() {
    let maker = table(BOUNDS);
    drop(write(maker, &pattern(1, LEN)).unwrap());
    assert_eq!(maker.stats().held, 1);
    tokio::time::sleep(SEGMENT_POOL_AGE_MAX * 2).await;
    assert_eq!((maker.stats().held, maker.stats().made_bytes), (0, 0));
    // And so is what comes after it.
    drop(write(maker, &pattern(2, LEN)).unwrap());
    tokio::time::sleep(SEGMENT_POOL_AGE_MAX * 2).await;
    assert_eq!(maker.stats().held, 0);
}

#[test]
fn a_segment_that_is_being_filled_again_cannot_be_opened() {
    let (maker, reader) = (table(BOUNDS), table(BOUNDS));
    let first = write(maker, &pattern(1, LEN)).unwrap();
    let reference = maker.find(&first).unwrap();
    drop(first);
    let mut writer = SegmentWriter::from_table(maker, LEN as u64).unwrap();
    writer.write(&pattern(2, LEN)).unwrap();
    assert!(matches!(open(reader, &reference), Err(OpenError::Gone(_))));
    drop(writer);
    assert!(matches!(open(reader, &reference), Err(OpenError::Gone(_))));
}

#[test]
fn at_a_limit_there_are_no_more_segments_and_what_waits_gives_way() {
    let maker = table(BOUNDS);
    let all: Vec<Bytes> = (0..4).map(|n| write(maker, &pattern(n, LEN)).unwrap()).collect();
    assert_eq!(write(maker, &pattern(9, LEN)), None, "as many descriptors as there may be");
    drop(all);
    let stats = maker.stats();
    assert!(stats.made_bytes <= BOUNDS.pool_bytes, "{stats:?}");
    // Neither of those that wait is large enough; they make room.
    let large = write(maker, &pattern(5, 7 << 20)).unwrap();
    assert_eq!(write(maker, &pattern(6, LEN)), None, "as many bytes as there may be");
    assert_eq!(large, pattern(5, 7 << 20));
    maker.part();
    drop(large);
    assert_eq!((maker.stats().held, maker.stats().made_bytes), (0, 0), "nobody needs them");
}

#[test]
fn a_process_with_too_many_segments_copies_what_it_receives() {
    let maker = table(BOUNDS);
    let reader = table(Bounds { held: 0, ..BOUNDS });
    let made = write(maker, &pattern(1, LEN)).unwrap();
    let copied = open(reader, &maker.find(&made).unwrap()).unwrap();
    assert_eq!(copied, made);
    assert_eq!(reader.find(&copied), None, "it cannot be passed on");
    assert_eq!((reader.stats().mapped, reader.stats().held), (0, 0));
}

#[test]
fn what_the_system_gives_bounds_what_is_taken() {
    let bounds = Bounds::of_this_process();
    let memory = rustix::system::sysinfo();
    assert!(bounds.bytes <= memory.totalram as u64 * u64::from(memory.mem_unit) / 4);
    assert!(bounds.held > 0 && bounds.pool_bytes < bounds.bytes, "{bounds:?}");
}

#[test]
fn more_than_was_announced_cannot_be_written() {
    let maker = table(BOUNDS);
    let mut writer = SegmentWriter::from_table(maker, LEN as u64).unwrap();
    writer.write(&pattern(1, LEN)).unwrap();
    let error = writer.write(&[0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(writer.finish().unwrap(), pattern(1, LEN));
}

#[test]
fn a_segment_has_whole_pages_and_a_name_that_differs() {
    let (one, two) = (SegmentFile::create(1).unwrap(), SegmentFile::create(4_097).unwrap());
    assert_eq!((one.capacity(), two.capacity()), (4_096, 8_192));
    assert_ne!(one.id(), two.id());
}
