//! Snapshots inside compressed files and tars: the same memory as bare, whatever is around it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use std::fs;
use std::path::Path;

use made::wrapped::{
    LEN, MIB, bzip2, gzip, holds, legacy_lz4, lz4, lzop, memory, no_flipped_bit_goes_unsaid,
    options, tar, xz, zlib, zstd,
};
use made::{Load, elf, filler, folder};
use osier_memory::PhysAddr;
use osier_snapshot::{Format, OpenOptions, Snapshot, open};
use osier_testkit::Random;

fn fact<'a>(snapshot: &'a Snapshot, name: &str) -> Vec<&'a str> {
    let facts = snapshot.info.facts.iter();
    facts
        .filter(|(fact, _)| *fact == name)
        .map(|(_, value)| value.as_str())
        .collect()
}

#[test]
fn raw_memory_reads_the_same_whatever_is_around_it() {
    let (dir, bytes) = (folder("wrapped"), memory());
    let half = LEN / 2;
    let two = |pack: fn(&[u8]) -> Vec<u8>| [pack(&bytes[..half]), pack(&bytes[half..])].concat();
    let cases: [(&str, Vec<u8>, bool); 14] = [
        ("gz", gzip(&bytes), true),
        ("two-members.gz", two(gzip), true),
        ("zz", zlib(&bytes), false),
        ("xz", xz(&bytes, MIB), true),
        ("one-block.xz", xz(&bytes, 64 * MIB), true),
        ("two-streams.xz", two(|part| xz(part, MIB)), false),
        ("zst", zstd(&bytes), false),
        ("two-frames.zst", two(zstd), false),
        ("lz4", lz4(&bytes, true), true),
        ("unsized.lz4", lz4(&bytes, false), false),
        ("bz2", bzip2(&bytes), false),
        ("two-streams.bz2", two(bzip2), false),
        ("tar", tar(&[("memory.raw", &bytes)]), false),
        ("tar.gz", gzip(&tar(&[("memory.raw", &bytes)])), false),
    ];
    for (name, packed, in_place) in cases {
        let path = dir.join(format!("memory.{name}"));
        fs::write(&path, &packed).unwrap();
        for _ in 0..2 {
            // The second opening finds what the first one kept.
            let snapshot = open(&path, &options(&dir.join("cache"))).unwrap();
            assert_eq!(snapshot.info.format, Format::Raw, "{name}");
            assert_eq!(snapshot.info.anomalies, [], "{name}");
            assert_eq!(snapshot.info.file_bytes, packed.len() as u64);
            assert_eq!(!fact(&snapshot, "read").is_empty(), in_place, "{name}");
            holds(&snapshot, &bytes);
        }
        let nothing_kept = open(&path, &OpenOptions::default()).unwrap();
        holds(&nothing_kept, &bytes);
    }
    let left: Vec<_> = fs::read_dir(dir.join("cache")).unwrap().flatten().collect();
    let indexes = left
        .iter()
        .filter(|entry| entry.path().extension().is_some_and(|ext| ext == "ogz"));
    assert_eq!(indexes.count(), 2, "two indexes of gzip files: {left:?}");
    fs::remove_dir_all(dir).unwrap();
}

/// A frame without content, as pzstd and seekable formats write them.
fn skippable(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut frame = (0x184d_2a50 | kind).to_le_bytes().to_vec();
    frame.extend((bytes.len() as u32).to_le_bytes());
    frame.extend(bytes);
    frame
}

#[test]
fn every_member_of_a_file_is_read_and_what_follows_them_is_said() {
    let (dir, bytes) = (folder("members"), memory());
    let (a, b) = bytes.split_at(LEN / 2);
    let frames = |one: Vec<u8>, two: Vec<u8>| {
        [
            skippable(0, &[1, 2, 3, 4]),
            skippable(15, &[]),
            one,
            skippable(3, &[0; 500]),
            two,
            skippable(0, b"index"),
        ]
        .concat()
    };
    let cases = [
        ("zst", frames(zstd(a), zstd(b))),
        ("lz4", frames(lz4(a, true), lz4(b, true))),
        ("unsized.lz4", frames(lz4(a, false), lz4(b, false))),
        ("legacy.lz4", legacy_lz4(&bytes)),
        ("mixed.lz4", [lz4(a, false), legacy_lz4(b)].concat()),
        ("lz4", [lz4(a, false), lz4(b, false)].concat()),
        ("lzo", [lzop(a), lzop(b)].concat()),
        ("xz", [xz(a, MIB), vec![0; 8], xz(b, MIB)].concat()),
        ("gz", [gzip(a), gzip(b)].concat()),
        ("bz2", [bzip2(a), bzip2(b)].concat()),
        ("zz", zlib(&bytes)),
    ];
    let path = dir.join("memory");
    for (name, packed) in cases {
        fs::write(&path, &packed).unwrap();
        let snapshot = open(&path, &options(&dir)).unwrap();
        assert!(snapshot.info.anomalies.is_empty(), "{name}");
        holds(&snapshot, &bytes);
        // Zeros are padding, other bytes may have been memory.
        fs::write(&path, [&packed[..], &[0; 1000]].concat()).unwrap();
        let snapshot = open(&path, &options(&dir)).unwrap();
        assert!(snapshot.info.anomalies.is_empty(), "{name}");
        assert_eq!(fact(&snapshot, "padding").len(), 1, "{name}");
        holds(&snapshot, &bytes);
        fs::write(&path, [&packed[..], b"and a word"].concat()).unwrap();
        let snapshot = open(&path, &options(&dir)).unwrap();
        let [anomaly] = &snapshot.info.anomalies[..] else {
            panic!("{name}: {:?}", snapshot.info.anomalies);
        };
        let anomaly = anomaly.to_string();
        let place = format!("10 bytes from file offset {:#x}", packed.len());
        assert!(anomaly.starts_with(&place), "{name}: {anomaly}");
        holds(&snapshot, &bytes);
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn no_compression_gives_other_bytes_without_a_word() {
    let dir = folder("checked");
    let bytes = &memory()[..MIB];
    for packed in [
        gzip(bytes),
        zlib(bytes),
        xz(bytes, MIB / 4),
        bzip2(bytes),
        lzop(bytes),
    ] {
        no_flipped_bit_goes_unsaid(&dir, bytes, &packed);
    }
    fs::remove_dir_all(dir).unwrap();
}

/// A checksum alone is wrong: all bytes are read, and the anomaly names the member.
#[test]
fn a_wrong_checksum_names_its_member_and_costs_no_other() {
    let (dir, bytes) = (folder("sums"), memory());
    let (a, b) = bytes.split_at(LEN / 2);
    let path = dir.join("memory.gz");
    let mut first = gzip(a);
    let crc = first.len() - 8;
    first[crc] ^= 1;
    let begun = first.len();
    fs::write(&path, [first, gzip(b)].concat()).unwrap();
    let snapshot = open(&path, &options(&dir)).unwrap();
    holds(&snapshot, &bytes);
    let [anomaly] = &snapshot.info.anomalies[..] else {
        panic!("{:?}", snapshot.info.anomalies);
    };
    let anomaly = anomaly.to_string();
    assert!(
        anomaly.contains("gzip member 1 at file offset 0x0"),
        "{anomaly}"
    );
    assert!(anomaly.contains("CRC-32"), "{anomaly}");
    assert!(
        anomaly.contains(&format!("{} bytes from 0x0 on", LEN / 2)),
        "{anomaly}"
    );
    // A frame that is read in place is a fault, and the frames beside it are whole.
    let mut file = lzop(a);
    file.truncate(begun.min(file.len()));
    fs::write(&path, file).unwrap();
    let snapshot = open(&path, &options(&dir)).unwrap();
    assert_eq!(snapshot.info.anomalies.len(), 1);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn wrappings_in_one_another_are_taken_off_up_to_a_depth() {
    let (dir, bytes) = (folder("layers"), memory());
    let path = dir.join("memory.gz");
    let mut packed = bytes.clone();
    for layer in 1..=12 {
        packed = gzip(&packed);
        fs::write(&path, &packed).unwrap();
        let opened = open(&path, &options(&dir));
        if layer <= 8 {
            holds(&opened.unwrap(), &bytes);
        } else {
            let error = opened.err().unwrap().to_string();
            assert!(error.contains("gzip and gzip"), "{error}");
        }
    }
    fs::remove_dir_all(dir).unwrap();
}

/// What is inside is told from its first bytes: nothing more is unpacked.
#[test]
fn a_foreign_format_inside_is_named_before_it_is_unpacked() {
    let dir = folder("foreign-inside");
    let path = dir.join("memory.gz");
    let mut zip = vec![0x5a; 4 * MIB];
    zip[..4].copy_from_slice(b"PK\x03\x04");
    fs::write(&path, gzip(&zip)).unwrap();
    let small = OpenOptions {
        scratch_limit: MIB as u64,
        ..options(&dir)
    };
    let error = open(&path, &small).err().unwrap().to_string();
    assert!(error.contains("a ZIP archive, in gzip"), "{error}");
    fs::write(&path, gzip(b"")).unwrap();
    let error = open(&path, &small).err().unwrap().to_string();
    assert!(error.contains("an empty file, packed with gzip"), "{error}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_bomb_stops_at_the_limit_and_zeros_take_no_room() {
    let dir = folder("bomb");
    let path = dir.join("memory.bz2");
    fs::write(&path, bzip2(&vec![0; 40 * MIB])).unwrap();
    let small = OpenOptions {
        scratch_limit: 30 * MIB as u64,
        ..options(&dir)
    };
    let error = open(&path, &small).err().unwrap().to_string();
    assert!(error.contains("--scratch-gib"), "{error}");
    let left = |dir: &Path| fs::read_dir(dir).unwrap().count();
    assert_eq!(left(&dir), 1, "nothing but the file itself");
    holds(&open(&path, &options(&dir)).unwrap(), &vec![0; 40 * MIB]);
    fs::remove_dir_all(dir).unwrap();
}

/// Where the cache folder cannot hold what is unpacked, the system's folder for temporary files does.
#[test]
fn a_cache_folder_that_takes_nothing_is_passed_over() {
    let (dir, bytes) = (folder("no-cache"), memory());
    let path = dir.join("memory");
    let file = dir.join("a-file");
    fs::write(&file, "").unwrap();
    for packed in [gzip(&bytes), bzip2(&bytes), lz4(&bytes, true)] {
        fs::write(&path, packed).unwrap();
        holds(&open(&path, &options(&file.join("cache"))).unwrap(), &bytes);
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn other_formats_are_found_inside() {
    let dir = folder("inside");
    let load = Load {
        paddr: 0x10_0000,
        filesz: 4096,
        memsz: 4096,
        fill: 7,
    };
    let core = elf(true, 440, &[load]);
    for (name, packed) in [
        ("core.xz", xz(&core, MIB)),
        ("core.gz", gzip(&core)),
        ("core.tar.zst", zstd(&tar(&[("core.elf", &core)]))),
    ] {
        let path = dir.join(name);
        fs::write(&path, packed).unwrap();
        let snapshot = open(&path, &options(&dir)).unwrap();
        assert_eq!(snapshot.info.format, Format::ElfCore);
        assert_eq!(filler(&snapshot, 0x10_0000), 7);
    }
    fs::remove_dir_all(dir).unwrap();
}

/// What zlib makes with `LiME`'s settings (a window of 2 KiB, memory level 5) of a `LiME` dump of one
/// page of sevens at 0x1000. `LiME` writes at most one page of what is left at the end, so a whole
/// dump can end inside the stream.
const LIME_DEFLATED: &[u8] = b"\x38\x8d\xed\xc1\xb1\x11\x00\x10\x10\x00\xb0\x57\x69\x6d\x60\x1a\x1d\x83\xd8\x7f\x00\x9c\xce\x0a\x2e\x49\x1b\xb3\xa7\x38\x4a\x5c\xab\xc6\x23\x03\x00\x00\x00\xdf\xdb\x19\x22\x72\x77";

#[test]
fn a_lime_dump_that_was_deflated_is_found_inside() {
    let dir = folder("deflated");
    let path = dir.join("memory.lime");
    for (left_out, anomalies) in [(0, 0), (4, 1)] {
        fs::write(&path, &LIME_DEFLATED[..LIME_DEFLATED.len() - left_out]).unwrap();
        let snapshot = open(&path, &OpenOptions::default()).unwrap();
        assert_eq!(snapshot.info.format, Format::Lime);
        assert_eq!(snapshot.info.anomalies.len(), anomalies);
        assert_eq!(fact(&snapshot, "wrapped in"), ["zlib"]);
        assert_eq!(filler(&snapshot, 0x1000), 7);
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_tar_with_no_file_or_several_is_an_error() {
    let dir = folder("tars");
    let page = vec![7; 4096];
    for (members, says) in [
        (&[][..], "without a file"),
        (&[("a", &page[..]), ("b", &page)], "several files"),
    ] {
        let path = dir.join("some.tar");
        let mut packed = tar(members);
        if members.is_empty() {
            packed = tar(&[("empty", b"")]);
        }
        fs::write(&path, packed).unwrap();
        let error = open(&path, &OpenOptions::default()).err().unwrap();
        assert!(error.to_string().contains(says), "{error}");
    }
    fs::remove_dir_all(dir).unwrap();
}

/// A cut or damaged file gives an error, or true bytes up to the damage and faults behind it.
#[test]
fn damage_costs_what_lies_behind_it_and_invents_nothing() {
    let (dir, bytes) = (folder("torn"), memory());
    let mut random = Random::new(11);
    let path = dir.join("memory");
    let kept = options(&dir.join("cache"));
    for (name, packed) in [
        ("gz", gzip(&bytes)),
        ("zz", zlib(&bytes)),
        ("xz", xz(&bytes, MIB)),
        ("zst", zstd(&bytes)),
        ("lz4", lz4(&bytes, true)),
        ("bz2", bzip2(&bytes)),
    ] {
        for round in 0..24 {
            let mut torn = packed.clone();
            let at = random.below(packed.len() as u64) as usize;
            if round % 2 == 0 {
                torn.truncate(at);
            } else {
                torn[at] ^= 1 << random.below(8);
            }
            fs::write(&path, &torn).unwrap();
            let options = if round % 4 < 2 {
                &kept
            } else {
                &OpenOptions::default()
            };
            let Ok(snapshot) = open(&path, options) else {
                continue;
            };
            let memory = &snapshot.machine.memory;
            let len: u64 = memory.runs().iter().map(|run| run.len).sum();
            let complete = len == LEN as u64;
            assert!(
                complete || !snapshot.info.anomalies.is_empty(),
                "{name} {round}: {len} bytes and no word"
            );
            let checked = matches!(name, "xz" | "gz") || round % 2 == 0;
            for at in (0..LEN).step_by(64 << 10) {
                let mut page = [0; 4096];
                if memory.read(PhysAddr(at as u64), &mut page).is_ok() && checked {
                    let same = page == bytes[at..at + 4096];
                    assert!(
                        same || !snapshot.info.anomalies.is_empty(),
                        "{name} {at:#x}"
                    );
                }
            }
        }
    }
    fs::remove_dir_all(dir).unwrap();
}
