//! Small files of each format, written by hand: read right when whole, and without a panic when
//! cut anywhere or with any bit flipped.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

use osier_memory::{Cause, Filter, PAGE_BYTES, PhysAddr, PhysicalMemory};
use osier_snapshot::{Format, OpenError, OpenOptions, Snapshot, open};

const PAGE: usize = PAGE_BYTES as usize;

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{name}"))
}

fn open_bytes(name: &str, bytes: &[u8]) -> Result<Snapshot, OpenError> {
    let path = scratch(name);
    std::fs::write(&path, bytes).unwrap();
    open(&path, &OpenOptions::default())
}

/// A stream of eight pages of `pc.ram` and its pieces switched on and off.
struct StreamShape {
    configuration: bool,
    footers: bool,
    wide: bool,
}

fn named(name: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(name.len()).unwrap()];
    bytes.extend(name.as_bytes());
    bytes
}

fn stream(shape: &StreamShape) -> Vec<u8> {
    let mut s = b"QEVM\0\0\0\x03".to_vec();
    let footer = |s: &mut Vec<u8>, id: u32| {
        if shape.footers {
            s.push(0x7e);
            s.extend(id.to_be_bytes());
        }
    };
    if shape.configuration {
        s.push(0x07);
        s.extend(13_u32.to_be_bytes());
        s.extend(b"pc-i440fx-2.8");
    }
    s.push(0x01);
    s.extend(4_u32.to_be_bytes());
    s.extend(named("ram"));
    s.extend(0_u32.to_be_bytes());
    s.extend(4_u32.to_be_bytes());
    s.extend(((8 * PAGE_BYTES) | 0x04).to_be_bytes());
    s.extend(named("pc.ram"));
    s.extend((8 * PAGE_BYTES).to_be_bytes());
    s.extend(0x10_u64.to_be_bytes());
    footer(&mut s, 4);
    s.push(0x02);
    s.extend(4_u32.to_be_bytes());
    s.extend(0x08_u64.to_be_bytes());
    s.extend(named("pc.ram"));
    s.extend([1; PAGE]);
    for page in 1..7_u64 {
        // Fill pages; the last of them is not zero.
        s.extend(((page * PAGE_BYTES) | 0x22).to_be_bytes());
        s.push(if page == 6 { 0xcc } else { 0 });
    }
    s.extend(0x10_u64.to_be_bytes());
    footer(&mut s, 4);
    // The current block outlives the section; page 0 is sent once more, page 7 never.
    s.push(0x03);
    s.extend(4_u32.to_be_bytes());
    s.extend(0x28_u64.to_be_bytes());
    s.extend([2; PAGE]);
    s.extend(0x10_u64.to_be_bytes());
    footer(&mut s, 4);
    s.push(0x04);
    s.extend(6_u32.to_be_bytes());
    s.extend(named("cpu"));
    s.extend(0_u32.to_be_bytes());
    s.extend(12_u32.to_be_bytes());
    let (bytes, cr3, cr0) = if shape.wide {
        (0x719, 0x1d8, 0x1c8)
    } else {
        (0x521, 0x138, 0x130)
    };
    let mut cpu = vec![0_u8; bytes];
    let word = if shape.wide { 8 } else { 4 };
    cpu[cr3 + word - 2..cr3 + word].copy_from_slice(&[0x30, 0x00]);
    cpu[cr0 + word - 4] = 0x80;
    s.extend(cpu);
    s.push(0x7e);
    s.extend(6_u32.to_be_bytes());
    s.push(0);
    s
}

fn elf() -> Vec<u8> {
    let mut e = b"\x7fELF\x02\x01\x01".to_vec();
    e.resize(16, 0);
    e.extend(4_u16.to_le_bytes());
    e.extend(62_u16.to_le_bytes());
    e.extend(1_u32.to_le_bytes());
    e.extend(0_u64.to_le_bytes());
    e.extend(64_u64.to_le_bytes());
    e.extend(0_u64.to_le_bytes());
    e.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 3, 0, 0, 0] {
        e.extend(half.to_le_bytes());
    }
    let mut notes = Vec::new();
    for (name, kind, desc) in [
        (&b"VMCOREINFO\0"[..], 0_u32, &b"OSRELEASE=6.1\n"[..]),
        (b"CORE\0", 1, &[0; 336]),
    ] {
        notes.extend((name.len() as u32).to_le_bytes());
        notes.extend((desc.len() as u32).to_le_bytes());
        notes.extend(kind.to_le_bytes());
        for part in [name, desc] {
            notes.extend(part);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
    }
    let data = 64 + 3 * 56 + notes.len();
    let headers = [
        (4_u32, 64 + 3 * 56, 0_u64, notes.len(), notes.len()),
        (1, data, 0, 2 * PAGE, 2 * PAGE),
        // Half of this segment was not written.
        (1, data + 2 * PAGE, 0x10_0000, PAGE, 2 * PAGE),
    ];
    for (kind, offset, paddr, filesz, memsz) in headers {
        e.extend(kind.to_le_bytes());
        e.extend(0_u32.to_le_bytes());
        for word in [offset as u64, 0, paddr, filesz as u64, memsz as u64, 0] {
            e.extend(word.to_le_bytes());
        }
    }
    e.extend(notes);
    e.extend([7; 3 * PAGE]);
    e
}

fn byte(snapshot: &Snapshot, pa: u64) -> Result<u8, Cause> {
    let chunk = snapshot.machine.memory.chunk(PhysAddr(pa));
    chunk.map(|chunk| chunk[0]).map_err(|fault| fault.cause)
}

#[test]
fn every_shape_of_a_stream_is_read() {
    for (configuration, footers, wide) in [
        (true, true, true),
        (true, true, false),
        (false, false, true),
        (false, true, false),
    ] {
        let bytes = stream(&StreamShape {
            configuration,
            footers,
            wide,
        });
        let snapshot = open_bytes("stream-shapes", &bytes).unwrap();
        assert_eq!(snapshot.info.format, Format::QemuStream);
        assert_eq!(byte(&snapshot, 0), Ok(2), "the last page sent counts");
        assert_eq!(byte(&snapshot, PAGE_BYTES + 5), Ok(0));
        assert_eq!(byte(&snapshot, 6 * PAGE_BYTES + 5), Ok(0xcc));
        assert_eq!(byte(&snapshot, 7 * PAGE_BYTES), Err(Cause::NotCaptured));
        assert_eq!(byte(&snapshot, 8 * PAGE_BYTES), Err(Cause::NoRam));
        assert_eq!(snapshot.machine.cpus.len(), 1);
        assert_eq!(snapshot.machine.cpus[0].cr3, 0x3000);
        assert_eq!(snapshot.machine.cpus[0].cr0, Some(1 << 31));
        assert!(
            snapshot
                .info
                .anomalies
                .iter()
                .any(|a| a.text.contains("sent more than once"))
        );
    }
}

#[test]
fn what_a_core_does_not_hold_is_not_zero() {
    let snapshot = open_bytes("core", &elf()).unwrap();
    assert_eq!(snapshot.info.format, Format::ElfCore);
    assert_eq!(byte(&snapshot, 0), Ok(7));
    assert_eq!(byte(&snapshot, 0x10_0000 + PAGE_BYTES - 1), Ok(7));
    assert_eq!(
        byte(&snapshot, 0x10_0000 + PAGE_BYTES),
        Err(Cause::Excluded {
            filter: Filter::DumpLevel
        })
    );
    assert_eq!(byte(&snapshot, 2 * PAGE_BYTES), Err(Cause::NotCaptured));
    assert_eq!(snapshot.machine.hints.len(), 1);
}

/// Reads every page, so that damage shows.
fn touch(snapshot: &Snapshot) {
    for run in snapshot.machine.memory.runs().iter().take(16) {
        let mut pa = run.start;
        for _ in 0..16 {
            if let Ok(chunk) = snapshot.machine.memory.chunk(pa) {
                assert!(!chunk.is_empty());
            }
            pa = pa.plus(PAGE_BYTES);
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_marked() {
    for (name, whole) in [
        ("cut-core", elf()),
        (
            "cut-stream",
            stream(&StreamShape {
                configuration: true,
                footers: true,
                wide: true,
            }),
        ),
    ] {
        let mut step = 1;
        let mut len = 0;
        while len < whole.len() {
            match open_bytes(name, &whole[..len]) {
                Ok(snapshot) => {
                    let said = !snapshot.info.anomalies.is_empty();
                    let end = whole.len() - len;
                    assert!(
                        said || end <= 16,
                        "{name}: {len} of {} and not a word",
                        whole.len()
                    );
                    touch(&snapshot);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
            // Every byte of headers, some of pages.
            step = if len > 800 && len + 900 < whole.len() {
                97
            } else {
                step.min(1)
            };
            len += step;
        }
    }
}

#[test]
fn a_flipped_bit_never_panics() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for (name, whole) in [
        ("flip-core", elf()),
        (
            "flip-wide",
            stream(&StreamShape {
                configuration: true,
                footers: true,
                wide: true,
            }),
        ),
        (
            "flip-bare",
            stream(&StreamShape {
                configuration: false,
                footers: false,
                wide: false,
            }),
        ),
    ] {
        for _ in 0..1500 {
            let mut bytes = whole.clone();
            for _ in 0..=random() % 3 {
                // Headers mostly.
                let near = if random() % 4 == 0 { whole.len() } else { 400 };
                let at = random() % near;
                bytes[at] ^= 1 << (random() % 8);
            }
            if let Ok(snapshot) = open_bytes(name, &bytes) {
                touch(&snapshot);
            }
        }
    }
}

#[test]
fn known_formats_that_are_not_read_say_so() {
    for (magic, word) in [
        (&b"LiME"[..], "big-endian"),
        (b"KDUMP   ", "block_size"),
        (b"MDMP", "Windows"),
    ] {
        let mut bytes = magic.to_vec();
        bytes.resize(2 << 20, 0);
        let error = open_bytes("not-read", &bytes).err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(
        open_bytes("tiny", b"sho\0t")
            .err()
            .unwrap()
            .to_string()
            .contains("5 bytes")
    );
}
