//! `LiME` and AVML dumps made for the test.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use made::battle::battle;
use made::{PAGE, opened, same_bytes, try_open};
use osier_memory::{Cause, Codec, Filter, PhysAddr};
use osier_snapshot::{Format, OpenOptions};
use osier_testkit::Random;
use osier_testkit::containers::lime::{avml, header, lime};

/// Ranges out of order, two of them over the same memory, one inside a page.
fn ranges() -> Vec<(u64, Vec<u8>)> {
    let mut random = Random::new(7);
    let mut noise = |len: usize| (0..len).map(|_| random.bits() as u8).collect::<Vec<u8>>();
    let mut text = noise(3 * PAGE);
    text[100..PAGE].fill(b'x');
    text[PAGE + 5..2 * PAGE].fill(0);
    vec![
        (0x1_0000_0000, noise(2 * PAGE)),
        (0x1000, text),
        (0x3000, vec![0xee; 2 * PAGE]),
        (0x9_0000, vec![0; 9]),
        (0x10_0000, noise(100_000)),
    ]
}

/// What the ranges hold at `pa`: where two overlap, the one that starts lower counts.
fn expected(ranges: &[(u64, Vec<u8>)]) -> Vec<(u64, Vec<u8>)> {
    let mut ranges = ranges.to_vec();
    ranges.sort();
    ranges[1] = (0x4000, ranges[1].1[PAGE..].to_vec());
    ranges
}

#[test]
fn ranges_are_read_where_they_lie() {
    let ranges = ranges();
    let files = [
        (lime(&ranges), Format::Lime),
        (avml(&ranges, 65_536), Format::Avml),
        (avml(&ranges, 5000), Format::Avml),
    ];
    for (file, format) in files {
        for cache_bytes in [0, 64 << 20] {
            let options = OpenOptions {
                cache_bytes,
                ..OpenOptions::default()
            };
            let snapshot = try_open(&file, &options).unwrap();
            assert_eq!(snapshot.info.format, format);
            let anomaly = "4096 bytes of memory are held more than once";
            assert_eq!(
                snapshot.info.anomalies,
                [osier_snapshot::Anomaly::bytes(anomaly)]
            );
            assert!(snapshot.info.facts.contains(&("ranges", "5".to_owned())));
            let memory = &snapshot.machine.memory;
            let runs: Vec<_> = memory.runs().iter().map(|r| (r.start.0, r.len)).collect();
            let page = PAGE as u64;
            let held = [
                (0x1000, 4 * page),
                (0x9_0000, 9), // the last address belongs to a range
                (0x10_0000, 100_000),
                (0x1_0000_0000, 2 * page),
            ];
            assert_eq!(runs, held);
            same_bytes(&snapshot, &expected(&ranges));
            let outside = match format {
                Format::Lime => Cause::NotCaptured,
                _ => Cause::Excluded {
                    filter: Filter::Zeros,
                },
            };
            for pa in [0, 0xfff, 0x5000, 0x9_0009, u64::MAX] {
                let cause = memory.chunk(PhysAddr(pa)).unwrap_err().cause;
                assert_eq!(cause, outside, "{pa:#x}");
            }
        }
    }
}

#[test]
fn what_is_cut_or_damaged_is_known_to_be() {
    let ranges = ranges();
    let cut = |file: &[u8], len: usize| {
        let snapshot = opened(&file[..len]);
        assert!(snapshot.info.anomalies.len() == 2, "{len}");
        let last = PhysAddr(0x10_0000 + 99_999);
        snapshot.machine.memory.chunk(last).unwrap_err().cause
    };
    let plain = lime(&ranges);
    assert_eq!(
        cut(&plain, plain.len() - 1),
        Cause::FileShort {
            offset: plain.len() as u64 - 1
        }
    );
    let packed = avml(&ranges, 4096);
    let absent = Cause::Excluded {
        filter: Filter::Zeros,
    };
    assert_eq!(cut(&packed, packed.len() - 1000), absent);
    // A byte of the last frame's data.
    let mut bad = packed.clone();
    let at = packed.len() - 10; // the last byte before the trailer is at -9
    bad[at] ^= 1;
    let snapshot = opened(&bad);
    let fault = snapshot.machine.memory.chunk(PhysAddr(0x10_0000 + 99_999));
    let cause = fault.unwrap_err().cause;
    let Cause::Decode { offset, codec } = cause else {
        panic!("{cause:?}");
    };
    assert_eq!(codec, Codec::Snappy);
    assert!(offset < at as u64 && offset > at as u64 - 2000);
    // A header without its magic: another lies where its range ends.
    let mut bad = plain.clone();
    bad[32 + 2 * PAGE] = b'X';
    let snapshot = opened(&bad);
    let anomaly = snapshot.info.anomalies[0].to_string();
    assert!(anomaly.contains("0x2020"), "{anomaly}");
    same_bytes(&snapshot, &expected(&ranges));
}

/// Ascending, as both tools write them.
fn ascending() -> Vec<(u64, Vec<u8>)> {
    let mut random = Random::new(3);
    let mut noise = |pages: usize| (0..pages * PAGE).map(|_| random.bits() as u8).collect();
    vec![
        (0x1000, noise(2)),
        (0x10_0000, noise(3)),
        (0x20_0000, noise(2)),
        (0x1_0000_0000, noise(2)),
    ]
}

/// Where the headers of a file of `ranges` lie.
fn headers(ranges: &[(u64, Vec<u8>)]) -> Vec<usize> {
    let mut at = 0;
    let place = |(_, bytes): &(u64, Vec<u8>)| {
        let here = at;
        at += 32 + bytes.len();
        here
    };
    ranges.iter().map(place).collect()
}

#[test]
fn a_range_of_a_wrong_length_costs_no_other() {
    let ranges = ascending();
    let file = lime(&ranges);
    let third = headers(&ranges)[2];
    let long = [&file[..third], &[0; 9], &file[third..]].concat();
    let short = [&file[..third - 9], &file[third..]].concat();
    for (torn, lost) in [(long, 0), (short, 9)] {
        let snapshot = opened(&torn);
        let [anomaly] = &snapshot.info.anomalies[..] else {
            panic!("{:?}", snapshot.info.anomalies);
        };
        let anomaly = anomaly.to_string();
        let next = if lost == 0 { third + 9 } else { third - 9 };
        assert!(
            anomaly.contains(&format!("file offset {third:#x}")),
            "{anomaly}"
        );
        assert!(anomaly.contains(&format!("{next:#x}")), "{anomaly}");
        assert!(anomaly.contains("range at 0x100000"), "{anomaly}");
        let mut held = ranges.clone();
        held[1].1.truncate(3 * PAGE - lost);
        same_bytes(&snapshot, &held);
        let past = PhysAddr(0x10_0000 + (3 * PAGE - lost) as u64);
        let fault = snapshot.machine.memory.chunk(past).unwrap_err();
        assert_eq!(fault.cause, Cause::NotCaptured);
    }
}

#[test]
fn a_lost_header_costs_its_range_alone() {
    let ranges = ascending();
    let file = lime(&ranges);
    let third = headers(&ranges)[2];
    let mut without = file.clone();
    without[third..third + 32].fill(0);
    let snapshot = opened(&without);
    let mut held = ranges.clone();
    held.remove(2);
    same_bytes(&snapshot, &held);
    assert_eq!(snapshot.info.anomalies.len(), 1);
    let fault = snapshot.machine.memory.chunk(PhysAddr(0x20_0000));
    assert_eq!(fault.unwrap_err().cause, Cause::NotCaptured);
    // A last address that is far too high swallows nothing, and the first header is a header as well.
    for at in [third, 0] {
        let mut far = file.clone();
        far[at + 22] ^= 0x40;
        let snapshot = opened(&far);
        assert_eq!(snapshot.info.anomalies.len(), 1);
        same_bytes(&snapshot, &ranges);
        let mut bad = file.clone();
        bad[at + 4] ^= 0x40; // the version
        let snapshot = opened(&bad);
        assert_eq!(snapshot.info.anomalies.len(), 1);
        same_bytes(&snapshot, &ranges);
    }
    // A header among the bytes of a whole range is memory.
    let mut inside = ranges.clone();
    inside[1].1[100..132].copy_from_slice(&header(*b"EMiL", 1, 0x5000_0000, 0x5000_ffff));
    let snapshot = opened(&lime(&inside));
    assert!(snapshot.info.anomalies.is_empty());
    same_bytes(&snapshot, &inside);
}

/// Nothing at the file's start says what it is; the second range's header does.
#[test]
fn a_lost_first_header_costs_its_range_alone() {
    let ranges = ascending();
    let mut held = ranges.clone();
    held.remove(0);
    for file in [lime(&ranges), avml(&ranges, 4096)] {
        for lost in [32, 100, PAGE] {
            let mut bad = file.clone();
            bad[..lost].fill(0);
            let snapshot = opened(&bad);
            let anomalies = &snapshot.info.anomalies;
            assert_eq!(anomalies.len(), 1, "{anomalies:?}");
            assert!(anomalies[0].is_loss());
            assert_ne!(snapshot.info.format, Format::Raw);
            same_bytes(&snapshot, &held);
            assert!(snapshot.machine.memory.chunk(PhysAddr(0x1000)).is_err());
        }
    }
    // Its magic alone: where its range ends tells that it is one.
    let mut bad = lime(&ranges);
    bad[0] = 0;
    let snapshot = opened(&bad);
    assert_eq!(snapshot.info.anomalies.len(), 1);
    same_bytes(&snapshot, &ranges);
}

#[test]
fn a_lost_header_or_chunk_of_avml_costs_its_range_alone() {
    let ranges = ascending();
    let file = avml(&ranges, 4096);
    let third = (1..file.len())
        .filter(|at| file[*at..].starts_with(b"AVML"))
        .nth(1)
        .unwrap();
    let mut held = ranges.clone();
    held.remove(2);
    // The header, and the length of its first chunk behind the format's name.
    for at in [third, third + 32 + 10 + 3] {
        let mut bad = file.clone();
        bad[at] ^= 0x40;
        let snapshot = opened(&bad);
        assert_eq!(
            snapshot.info.anomalies.len(),
            1,
            "{:?}",
            snapshot.info.anomalies
        );
        same_bytes(&snapshot, &held);
        assert!(snapshot.machine.memory.chunk(PhysAddr(0x20_0000)).is_err());
    }
}

/// A range's header inside the padding of another range, so that both go on with the same frame: the
/// first has a byte of it, the second all.
#[test]
fn frames_that_two_ranges_share_give_each_its_own_bytes() {
    let noise = ascending().remove(0).1;
    let (first, second) = noise.split_at(PAGE);
    let one = avml(&[(0x1000, first.to_vec())], PAGE);
    let other = avml(&[(0x10_0000, second.to_vec())], PAGE);
    let trailer = 8;
    let named = 42_u8;
    let mut file = header(*b"AVML", 2, 0x1000, 0x2000);
    file.extend(&one[32..one.len() - trailer]);
    file.extend([0xfe, named, 0, 0]);
    file.extend(&other);
    let snapshot = opened(&file);
    let anomalies = &snapshot.info.anomalies;
    assert_eq!(anomalies.len(), 1, "{anomalies:?}");
    let held = [
        (0x1000, [first, &second[..1]].concat()),
        (0x10_0000, second.to_vec()),
    ];
    same_bytes(&snapshot, &held);
}

#[test]
fn headers_that_lie_are_survived() {
    let options = OpenOptions::default();
    for magic in [*b"EMiL", *b"AVML"] {
        let version = if magic[0] == b'E' { 1 } else { 2 };
        let all = header(magic, version, 0, u64::MAX);
        let snapshot = opened(&[&all[..], &[1; 64]].concat());
        assert_eq!(snapshot.info.anomalies.len(), 1);
        let held: u64 = snapshot.machine.memory.runs().iter().map(|r| r.len).sum();
        assert_eq!(held, if version == 1 { 64 } else { 0 });
        let top = header(magic, version, u64::MAX - 5, u64::MAX);
        opened(&[&top[..], &[1; 64]].concat());
        for (version, first, last) in [(version, 5, 4), (9, 0, 100)] {
            let file = header(magic, version, first, last);
            let error = try_open(&file, &options).err().unwrap().to_string();
            assert!(error.contains("file offset"), "{error}");
        }
    }
}

#[test]
fn damaged_files_are_survived() {
    let ranges: Vec<_> = ranges()
        .into_iter()
        .map(|(first, bytes)| (first, bytes[..bytes.len().min(5000)].to_vec()))
        .collect();
    battle(&lime(&ranges), 100, &[8224, 8256], 500, 2000);
    let packed = avml(&ranges, 1000);
    let frames: Vec<usize> = (0..packed.len())
        .filter(|at| packed[*at..].starts_with(b"\xfe\x03\0\0"))
        .collect();
    battle(&packed, 100, &frames, 500, 2000);
}
