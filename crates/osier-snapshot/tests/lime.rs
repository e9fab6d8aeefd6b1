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
    // Garbage between ranges.
    let mut bad = plain.clone();
    bad[32 + 2 * PAGE] = b'X';
    let snapshot = opened(&bad);
    let anomaly = &snapshot.info.anomalies[0].text;
    assert!(anomaly.contains("0x2020"), "{anomaly}");
    assert_eq!(snapshot.machine.memory.runs().len(), 1);
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
