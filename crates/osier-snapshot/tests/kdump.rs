//! kdump's dumps and diskdumps made for the test.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use std::io::Write;

use made::battle::battle;
use made::{PAGE, folder, note, opened, qemu_note, same_bytes, try_open};
use osier_memory::{Cause, Codec, Filter, Hint, PhysAddr};
use osier_snapshot::{Format, OpenError, OpenOptions, Snapshot, open};
use osier_testkit::Random;
use osier_testkit::containers::kdump::{
    INCOMPLETE, Kdump, LZO, Packing, SNAPPY, ZLIB, ZSTD, flattened,
};
use osier_testkit::containers::packing;

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn snapped(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

const PACKINGS: [Option<Packing>; 8] = [
    None,
    Some((ZLIB, packing::zlib)),
    Some((LZO, packing::lzo)),
    Some((SNAPPY, packing::snappy)),
    Some((ZSTD, packing::zstd)),
    Some((ZLIB, deflated)),
    Some((SNAPPY, snapped)),
    Some((ZSTD, zstandard)),
];

/// Pages of every kind over two stretches and a lone frame, and excluded ones between.
fn dump() -> Kdump {
    let mut random = Random::new(11);
    let mut dump = Kdump {
        frames: 5000,
        vmcoreinfo: b"OSRELEASE=5.10.0\n".to_vec(),
        erased: b"erased: secret at 0x10\n".to_vec(),
        ..Kdump::default()
    };
    for frame in (0..20).chain(100..130).chain([4999]) {
        let mut page: Vec<u8> = (0..PAGE).map(|_| random.bits() as u8).collect();
        match frame % 5 {
            0 => page.fill(0),
            1 => page[10..4000].fill(frame as u8),
            2 => page[..2000].fill(1),
            3 => page = (0..PAGE).map(|at| (at / 16) as u8).collect(),
            _ => {}
        }
        dump.pages.insert(frame, page);
    }
    dump.excluded = (20..40).chain([130, 4998]).collect();
    note(&mut dump.notes, "CORE", 1, &[0; 336]);
    note(&mut dump.notes, "QEMU", 0, &qemu_note(440, 0));
    dump
}

fn ranges(dump: &Kdump) -> Vec<(u64, Vec<u8>)> {
    let page = PAGE as u64;
    dump.pages
        .iter()
        .map(|(frame, bytes)| (frame * page, bytes.clone()))
        .collect()
}

fn cause(snapshot: &Snapshot, frame: u64) -> Cause {
    let pa = PhysAddr(frame * PAGE as u64 + 5);
    let fault = snapshot.machine.memory.chunk(pa).unwrap_err();
    assert_eq!(fault.pa, Some(pa));
    fault.cause
}

const EXCLUDED: Cause = Cause::Excluded {
    filter: Filter::DumpLevel,
};

#[test]
fn pages_of_every_compression_are_read() {
    for packing in PACKINGS {
        let dump = Kdump { packing, ..dump() };
        let file = dump.file();
        for file in [flattened(&file, 1000), flattened(&file, 70_000), file] {
            let snapshot = opened(&file);
            assert_eq!(snapshot.info.format, Format::Kdump);
            assert_eq!(snapshot.info.anomalies, []);
            same_bytes(&snapshot, &ranges(&dump));
            for frame in [20, 39, 130, 4998] {
                assert_eq!(cause(&snapshot, frame), EXCLUDED);
            }
            for frame in [40, 99, 5000, u64::MAX >> 12] {
                assert_eq!(cause(&snapshot, frame), Cause::NoRam);
            }
            let [cpu] = snapshot.machine.cpus.as_slice() else {
                panic!("one processor");
            };
            assert_eq!((cpu.cr3, cpu.long_mode), (0x3000, Some(true)));
            assert_eq!(
                snapshot.machine.hints,
                [Hint::Vmcoreinfo(dump.vmcoreinfo.clone())]
            );
            let facts = &snapshot.info.facts;
            for fact in [
                ("erased", "erased: secret at 0x10\\n"),
                ("pages excluded", "22"),
                ("pages in the dump", "51"),
                ("dump level", "31"),
                ("page frames", "5000"),
            ] {
                assert!(facts.contains(&(fact.0, fact.1.to_owned())), "{fact:?}");
            }
        }
    }
}

#[test]
fn headers_of_every_version_and_width_are_read() {
    for version in 0..=6 {
        for wide in [true, false] {
            for machine in ["", "Unknown", if wide { "x86_64" } else { "i686" }] {
                let dump = Kdump {
                    version,
                    wide,
                    machine,
                    packing: PACKINGS[1],
                    ..dump()
                };
                let snapshot = opened(&dump.file());
                same_bytes(&snapshot, &ranges(&dump));
                assert_eq!(cause(&snapshot, 30), EXCLUDED);
                assert_eq!(snapshot.machine.hints.is_empty(), version < 3);
                assert_eq!(snapshot.machine.cpus.is_empty(), version < 4);
                let fact = |name| snapshot.info.facts.iter().find(|fact| fact.0 == name);
                assert_eq!(
                    fact("header width").unwrap().1,
                    if wide { "64" } else { "32" }
                );
                assert_eq!(fact("dump level").is_some(), version >= 1);
                assert_eq!(fact("erased").is_some(), version >= 5);
            }
        }
    }
    // A diskdump with one bitmap cannot tell what it left out from holes.
    let dump = Kdump {
        signature: *b"DISKDUMP",
        version: 1,
        one_bitmap: true,
        ..dump()
    };
    let snapshot = opened(&dump.file());
    assert_eq!(snapshot.info.format, Format::Diskdump);
    same_bytes(&snapshot, &ranges(&dump));
    assert_eq!(cause(&snapshot, 30), Cause::NoRam);
}

#[test]
fn parts_of_a_split_dump_are_found() {
    let whole = dump();
    let folder = folder("split");
    let part = |name: &str, range| {
        let part = Kdump {
            split: Some(range),
            packing: PACKINGS[2],
            ..whole.clone()
        };
        let file = folder.join(name);
        std::fs::write(&file, part.file()).unwrap();
        file
    };
    let first = part("a", 0..7);
    let second = part("b", 7..115);
    let error = |options: &OpenOptions| open(&first, options).err().unwrap().to_string();
    let missing = error(&OpenOptions::default());
    assert!(missing.contains("0x73 to 0x1387"), "{missing}");
    // Another dump's part, and a file that is not one, are left alone.
    let third = part("c", 115..5000);
    let flat = flattened(&std::fs::read(&third).unwrap(), 5000);
    std::fs::write(&third, flat).unwrap();
    let mut stranger = std::fs::read(&second).unwrap();
    stranger[13] ^= 1;
    std::fs::write(folder.join("d"), stranger).unwrap();
    std::fs::write(folder.join("e"), b"KDUMP   ").unwrap();
    for file in [&first, &second, &third] {
        let snapshot = open(file, &OpenOptions::default()).unwrap();
        assert_eq!(snapshot.info.anomalies, []);
        same_bytes(&snapshot, &ranges(&whole));
        assert_eq!(cause(&snapshot, 30), EXCLUDED);
    }
    let named = |parts: &[&std::path::PathBuf]| OpenOptions {
        parts: parts.iter().map(|part| (*part).clone()).collect(),
        ..OpenOptions::default()
    };
    let options = named(&[&third, &second, &first]);
    same_bytes(&open(&first, &options).unwrap(), &ranges(&whole));
    let missing = error(&named(&[&third]));
    assert!(missing.contains("0x7 to 0x72"), "{missing}");
    let other = error(&named(&[&folder.join("d")]));
    assert!(other.contains("no part of the split dump"), "{other}");
    // The same frames once more.
    std::fs::copy(&second, folder.join("f")).unwrap();
    let snapshot = open(&first, &OpenOptions::default()).unwrap();
    assert_eq!(snapshot.info.anomalies.len(), 1);
    same_bytes(&snapshot, &ranges(&whole));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Offset of the first descriptor: header, two blocks of sub-header, two of bitmaps.
const DESCRIPTORS: usize = 5 * PAGE;

#[test]
fn what_is_missing_or_damaged_is_known_to_be() {
    let dump = Kdump {
        status: INCOMPLETE,
        ..dump()
    };
    let whole = dump.file();
    let mut file = whole.clone();
    // The writer stopped before the descriptors from the third on.
    file[DESCRIPTORS + 2 * 24..DESCRIPTORS + 51 * 24].fill(0);
    let snapshot = opened(&file);
    assert!(snapshot.info.anomalies[0].text.contains("ran out of space"));
    assert!(snapshot.machine.memory.chunk(PhysAddr(0x1000)).is_ok());
    assert_eq!(cause(&snapshot, 2), Cause::NotCaptured);
    // Cut among the pages, and among the descriptors.
    let len = whole.len() - 10;
    assert_eq!(
        cause(&opened(&whole[..len]), 4999),
        Cause::FileShort {
            offset: whole.len() as u64 - PAGE as u64
        }
    );
    let snapshot = opened(&whole[..DESCRIPTORS + 24 + 5]);
    let offset = DESCRIPTORS as u64 + 24;
    assert_eq!(cause(&snapshot, 1), Cause::FileShort { offset });
    let held: u64 = snapshot.machine.memory.runs().iter().map(|r| r.len).sum();
    assert_eq!(held, PAGE as u64);
    // Descriptors that lie.
    let with = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[DESCRIPTORS + 24 + at..][..bytes.len()].copy_from_slice(bytes);
        cause(&opened(&file), 1)
    };
    let short = |offset| Cause::FileShort { offset };
    assert_eq!(with(0, &u64::MAX.to_le_bytes()), short(u64::MAX));
    for (at, value, codec) in [
        (8, 4095, Codec::Stored),
        (12, 1, Codec::Zlib),
        (12, 2, Codec::Lzo),
        (12, 4, Codec::Snappy),
        (12, 0x20, Codec::Zstd),
        (12, 3, Codec::Stored),
    ] {
        let found = with(at, &u32::to_le_bytes(value));
        assert!(
            matches!(found, Cause::Decode { codec: theirs, .. } if theirs == codec),
            "{found:?}"
        );
    }
    let cut = flattened(&whole, 4096);
    let snapshot = opened(&cut[..cut.len() - 16]);
    assert!(snapshot.info.anomalies[1].text.contains("end mark"));
}

#[test]
fn headers_that_lie_are_survived() {
    let file = dump().file();
    let with = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..][..bytes.len()].copy_from_slice(bytes);
        try_open(&file, &OpenOptions::default())
    };
    let word = |value: u32| value.to_le_bytes();
    // max_mapnr_64: more frames than there are bits.
    let snapshot = with(PAGE + 96, &u64::MAX.to_le_bytes()).unwrap();
    assert!(snapshot.info.anomalies[0].text.contains("page frames"));
    // block_size, sub_hdr_size, bitmap_blocks.
    for (at, value) in [
        (428, 0),
        (428, 4097),
        (428, 1 << 31),
        (432, 0),
        (432, u32::MAX),
        (436, 0),
        (436, u32::MAX),
    ] {
        let error = with(at, &word(value)).err().unwrap();
        assert!(matches!(error, OpenError::Malformed { .. }), "{error}");
    }
    // Texts and notes of 16 EiB, and beyond the end.
    for at in [PAGE + 32, PAGE + 48, PAGE + 64] {
        assert!(with(at, &u64::MAX.to_le_bytes()).is_ok());
        assert!(with(at + 8, &u64::MAX.to_le_bytes()).is_ok());
    }
    // Flattened pieces of 16 EiB and at the end of the world.
    let head = &flattened(&[], 1)[..4096];
    for (offset, len) in [
        (0, u64::MAX),
        (u64::MAX - 1, 1),
        (1 << 62, 1 << 62),
        (0, 1 << 62),
    ] {
        let piece = [
            &u64::to_be_bytes(offset)[..],
            &u64::to_be_bytes(len),
            &file[..],
        ]
        .concat();
        let opened = try_open(&[head, &piece[..]].concat(), &OpenOptions::default());
        assert_eq!(opened.is_ok(), len == 1 << 62 && offset == 0);
    }
}

#[test]
fn every_page_in_a_bitmap_of_lies_costs_no_memory() {
    // Every other bit of a large bitmap is set, and no descriptor is there.
    let mut file = dump().file();
    file[436..440].copy_from_slice(&2000_u32.to_le_bytes());
    file.truncate(3 * PAGE);
    file.resize(2003 * PAGE, 0x55);
    file[PAGE + 96..][..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let snapshot = opened(&file);
    assert_eq!(snapshot.machine.memory.runs(), []);
    assert!(matches!(cause(&snapshot, 0), Cause::FileShort { .. }));
}

#[test]
fn damaged_dumps_are_survived() {
    let small = |packing: Option<Packing>, wide: bool| {
        let mut dump = Kdump {
            packing,
            wide,
            machine: "",
            ..dump()
        };
        dump.pages.retain(|frame, _| *frame < 6);
        dump.file()
    };
    let texts = PAGE + 256;
    let boundaries = [
        PAGE,
        texts,
        3 * PAGE,
        4 * PAGE,
        DESCRIPTORS,
        DESCRIPTORS + 24,
        DESCRIPTORS + 6 * 24,
    ];
    for (number, packing) in PACKINGS.into_iter().take(5).enumerate() {
        let file = small(packing, number % 2 == 0);
        battle(&file, DESCRIPTORS + 6 * 24, &boundaries, 50, 400);
    }
    let flat = flattened(&small(PACKINGS[1], true), 3000);
    battle(&flat, 5000, &[4096, 4112, 4812, 4828], 100, 600);
}

#[test]
fn a_bitmap_that_its_descriptors_contradict_is_told() {
    let whole = dump().file();
    let bitmap = 4 * 4096; // behind the header, two blocks of sub-header, and the first bitmap
    for frame in [15, 50, 3000] {
        let mut bad = whole.clone();
        bad[bitmap + frame / 8] ^= 1 << (frame % 8);
        let anomalies = opened(&bad).info.anomalies;
        assert!(
            anomalies
                .iter()
                .any(|a| a.is_loss() && a.text.contains("the bitmap counts")),
            "{frame}: {anomalies:?}"
        );
    }
    // A dump that is not flattened has no end mark; its last pages are missed all the same.
    let anomalies = opened(&whole[..whole.len() - 5000]).info.anomalies;
    assert!(anomalies[0].is_loss() && anomalies[0].text.contains("cut short"));
}

/// A bit of the bitmap more or less, and every page behind it would be another's.
#[test]
fn the_bitmap_is_held_against_the_descriptors() {
    for packing in PACKINGS {
        let dump = Kdump { packing, ..dump() };
        let file = dump.file();
        assert!(opened(&file).info.anomalies.is_empty());
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let (block, sub, blocks) = (word(428), word(432), word(436));
        let bitmaps = (1 + sub) * block;
        let second = bitmaps + blocks * block / 2;
        // Frames of the middle, of an excluded stretch, and of no RAM.
        for frame in [3, 105, 129, 25, 130, 60] {
            let mut bad = file.clone();
            bad[second + frame / 8] ^= 1 << (frame % 8);
            let anomalies = opened(&bad).info.anomalies;
            assert!(
                anomalies
                    .iter()
                    .any(|anomaly| anomaly.text.contains("bitmap")),
                "{frame}: {anomalies:?}"
            );
        }
    }
}

/// Pages share bytes where they are equal; a damaged descriptor reads them by another rule than its
/// neighbour, and says so whoever was asked first.
#[test]
fn a_page_that_was_read_does_not_answer_for_another_descriptor_of_its_bytes() {
    let dump = Kdump {
        packing: Some((ZLIB, deflated)),
        ..dump()
    };
    let whole = dump.file();
    let first = &whole[DESCRIPTORS..DESCRIPTORS + 12];
    let size = u32::from_le_bytes(first[8..].try_into().unwrap());
    for (size, flags, codec) in [(size, 2_u32, Codec::Lzo), (size - 5, ZLIB, Codec::Zlib)] {
        let mut file = whole.clone();
        let second = DESCRIPTORS + 24;
        file.copy_within(DESCRIPTORS..DESCRIPTORS + 8, second);
        file[second + 8..second + 12].copy_from_slice(&size.to_le_bytes());
        file[second + 12..second + 16].copy_from_slice(&flags.to_le_bytes());
        let snapshot = opened(&file);
        assert!(snapshot.machine.memory.chunk(PhysAddr(0)).is_ok());
        let found = cause(&snapshot, 1);
        assert!(
            matches!(found, Cause::Decode { codec: theirs, .. } if theirs == codec),
            "{found:?}"
        );
    }
}
