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
use std::io::Write;

use made::wrapped::{LEN, MIB, holds, memory, options};
use made::{Load, elf, filler, folder};
use osier_memory::PhysAddr;
use osier_snapshot::{Format, OpenOptions, Snapshot, open};
use osier_testkit::Random;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::new(6);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
    zlib.write_all(bytes).unwrap();
    zlib.finish().unwrap()
}

fn xz(bytes: &[u8], block: usize) -> Vec<u8> {
    let stream = liblzma::stream::MtStreamBuilder::new()
        .threads(1)
        .preset(0)
        .block_size(block as u64)
        .check(liblzma::stream::Check::Crc32)
        .encoder()
        .unwrap();
    let mut xz = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    xz.write_all(bytes).unwrap();
    xz.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn lz4(bytes: &[u8], sized: bool) -> Vec<u8> {
    let mut info = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Independent)
        .block_size(lz4_flex::frame::BlockSize::Max256KB);
    if sized {
        info = info.content_size(Some(bytes.len() as u64));
    }
    let mut lz4 = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    lz4.write_all(bytes).unwrap();
    lz4.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(bytes).unwrap();
    bzip2.finish().unwrap()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

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
    assert_eq!(left.len(), 2, "two indexes of gzip files: {left:?}");
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
