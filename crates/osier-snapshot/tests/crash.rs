//! Windows crash dumps: made ones of every kind, damaged ones.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use made::crash::{cause, drivers_of, fact, header, refused, survive};
use made::{PAGE, opened, try_open};
use osier_memory::{Cause, Filter, Hint, PAGE_BYTES, Paging, PhysAddr};
use osier_snapshot::{Format, OpenOptions};
use osier_testkit::containers::crash::{CrashDump, CrashKind, TriageDump};
use osier_testkit::{MemoryBuilder, Random};

/// RAM pages 1 to 9, 16 to 99, 0x100000 and 0x100001; page n is full of bytes of n.
const RAM: [(u64, u64); 3] = [(1, 9), (16, 84), (0x10_0000, 2)];

fn memory(ram: &[(u64, u64)]) -> MemoryBuilder {
    let mut memory = MemoryBuilder::default();
    for page in ram.iter().flat_map(|(page, n)| *page..page + n) {
        memory.write_bytes(PhysAddr(page * PAGE_BYTES), &[filler(page); PAGE]);
    }
    memory
}

fn filler(page: u64) -> u8 {
    (page % 251) as u8 + 1
}

/// Every kind of physical dump, of either width.
fn kinds() -> Vec<CrashDump> {
    let mut kinds = Vec::new();
    for wide in [true, false] {
        let forms = [
            CrashKind::Full,
            CrashKind::Summary,
            CrashKind::Bitmap(5),
            CrashKind::Bitmap(6),
            CrashKind::Ranges(8),
            CrashKind::Ranges(10),
        ];
        for kind in forms {
            if !wide && matches!(kind, CrashKind::Ranges(_)) {
                continue;
            }
            kinds.push(CrashDump {
                wide,
                kind,
                pae: !wide,
                table_root: if wide { 0x1a_d000 } else { 0xbf62_f2e0 },
                left_out: vec![3, 4, 16, 0x10_0000],
                ..CrashDump::default()
            });
        }
    }
    kinds
}

#[test]
fn every_kind_gives_the_pages_that_went_in() {
    const EXCLUDED: Cause = Cause::Excluded {
        filter: Filter::DumpLevel,
    };
    for dump in kinds() {
        let snapshot = opened(&dump.write(&memory(&RAM)));
        assert_eq!(snapshot.info.format, Format::CrashDump);
        assert!(
            snapshot.info.anomalies.is_empty(),
            "{:?}",
            snapshot.info.anomalies
        );
        for page in RAM.iter().flat_map(|(page, n)| *page..page + n) {
            let pa = page * PAGE_BYTES;
            if dump.kind != CrashKind::Full && dump.left_out.contains(&page) {
                assert_eq!(cause(&snapshot, pa), EXCLUDED, "{dump:?} page {page:#x}");
            } else {
                assert_eq!(made::filler(&snapshot, pa), filler(page), "{dump:?}");
            }
        }
        for hole in [0, 10, 15, 100, 0x10_0002, 1 << 40] {
            assert_eq!(cause(&snapshot, hole * PAGE_BYTES), Cause::NotCaptured);
        }
        assert_eq!(cause(&snapshot, u64::MAX), Cause::NotCaptured);
        // The runs and a sweep over them show what the chunks show.
        let runs = snapshot.machine.memory.runs();
        let mut seen = 0;
        for run in runs {
            let _ = snapshot
                .machine
                .memory
                .sweep(*run, 3 * PAGE, &mut |pa, bytes| {
                    for (index, page) in bytes.chunks(PAGE).enumerate() {
                        let number = pa.0 / PAGE_BYTES + index as u64;
                        assert!(page.iter().all(|byte| *byte == filler(number)));
                        seen += 1;
                    }
                    std::ops::ControlFlow::Continue(())
                });
        }
        let all: u64 = RAM.iter().map(|(_, n)| n).sum();
        let out = if dump.kind == CrashKind::Full { 0 } else { 4 };
        assert_eq!(seen, all - out);
        assert_eq!(
            runs.iter().map(|run| run.len).sum::<u64>(),
            seen * PAGE_BYTES
        );
    }
}

#[test]
fn the_header_is_handed_on() {
    for dump in kinds() {
        let snapshot = opened(&dump.write(&memory(&RAM)));
        let narrow = |va: u64| if dump.wide { va } else { va & 0xffff_ffff };
        let header = header(&snapshot);
        assert_eq!(header.table_root.0, dump.table_root);
        assert_eq!(header.loaded_modules.0, narrow(dump.loaded_modules));
        assert_eq!(header.active_processes.0, narrow(dump.active_processes));
        let debugger_data = header.debugger_data.map(|va| va.0);
        assert_eq!(debugger_data, Some(narrow(dump.debugger_data)));
        assert_eq!(header.pae, (!dump.wide).then_some(true));
        assert_eq!(header.minor_version, 19041);
        assert_eq!(header.processors, 2);
        assert_eq!(header.system_time, Some(0x01d7_07f2_3dbb_3399));
        let [cpu] = snapshot.machine.cpus.as_slice() else {
            panic!("one processor");
        };
        let registers = if dump.wide { 16 } else { 8 };
        for (index, value) in cpu.general.unwrap().iter().enumerate() {
            let put = if index < registers {
                0x1000 * (index as u64 + 1)
            } else {
                0
            };
            assert_eq!(*value, put, "register {index}");
        }
        assert_eq!((cpu.rip, cpu.cr3), (0x11_000, dump.table_root));
        assert_eq!(cpu.rflags, Some(0x246));
        assert_eq!(
            cpu.segments.cs.selector,
            Some(if dump.wide { 0x10 } else { 8 })
        );
        // A 64-bit header does not tell the levels.
        let modes: &[Paging] = if dump.wide {
            &[Paging::Long4, Paging::Long5]
        } else {
            &[Paging::Pae]
        };
        assert_eq!(cpu.modes(), modes);
        // What the file does not hold is not 0.
        assert_eq!((cpu.cr0, cpu.cr2, cpu.cr4), (None, None, None));
        assert_eq!((cpu.segments.gs.base, cpu.segments.idt.base), (None, None));
    }
    let bare = CrashDump {
        context: false,
        debugger_data: 0,
        ..CrashDump::default()
    };
    let snapshot = opened(&bare.write(&memory(&RAM)));
    assert!(snapshot.machine.cpus.is_empty());
    assert_eq!(header(&snapshot).debugger_data, None);
}

#[test]
fn unordered_and_overlapping_runs_are_survived() {
    let unordered = CrashDump {
        ram: vec![(0x40, 2), (0x10, 4)],
        ..CrashDump::default()
    };
    let snapshot = opened(&unordered.write(&memory(&unordered.ram)));
    for page in [0x10, 0x13, 0x40, 0x41] {
        assert_eq!(made::filler(&snapshot, page * PAGE_BYTES), filler(page));
    }
    let overlapping = CrashDump {
        ram: vec![(0x10, 4), (0x12, 4)],
        ..CrashDump::default()
    };
    let snapshot = opened(&overlapping.write(&memory(&overlapping.ram)));
    assert_eq!(made::filler(&snapshot, 0x15 * PAGE_BYTES), filler(0x15));
    assert!(snapshot.info.anomalies[0].text.contains("8192 bytes"));
}

#[test]
fn lies_are_refused_with_their_place() {
    let full = CrashDump::default().write(&memory(&RAM));
    let with = |bytes: &[u8], at: usize, value: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    let runs = refused(&with(&full, 0x88, &43_u32.to_le_bytes()));
    assert!(runs.contains("0x88") && runs.contains("42 runs"), "{runs}");
    let page = refused(&with(&full, 0x98, &u64::MAX.to_le_bytes()));
    assert!(page.contains("0x98") && page.contains("2^64"), "{page}");
    // 16 EiB in four runs of 2^62 bytes: each can be, all together cannot.
    let mut sixteen = full.clone();
    sixteen[0x88] = 4;
    for run in 0..4 {
        sixteen = with(&sixteen, 0x98 + 16 * run, &1_u64.to_le_bytes());
        sixteen = with(&sixteen, 0xa0 + 16 * run, &(1_u64 << 50).to_le_bytes());
    }
    assert!(refused(&sixteen).contains("2^64"));
    // One such run is a file cut short: what is there is read, the rest says so.
    let one = with(&full, 0x88, &1_u32.to_le_bytes());
    let one = with(&one, 0xa0, &(1_u64 << 50).to_le_bytes());
    let snapshot = opened(&one);
    assert!(
        snapshot
            .info
            .anomalies
            .iter()
            .any(|a| a.text.contains("cut short"))
    );
    let short = Cause::FileShort {
        offset: 0x2000 + (1 << 40) - PAGE_BYTES,
    };
    assert_eq!(cause(&snapshot, 1 << 40), short);
    let kind = refused(&with(&full, 0xf98, &11_u32.to_le_bytes()));
    assert!(
        kind.contains("0xf98") && kind.contains("DumpType"),
        "{kind}"
    );
    assert!(refused(&with(&full, 0xf98, &3_u32.to_le_bytes())).contains("header only"));
    assert!(refused(&with(&full, 0x30, &0xaa64_u32.to_le_bytes())).contains("x86"));

    let bitmap = CrashDump {
        kind: CrashKind::Bitmap(6),
        ..CrashDump::default()
    };
    let bitmap = bitmap.write(&memory(&RAM));
    let bits = refused(&with(&bitmap, 0x2030, &u64::MAX.to_le_bytes()));
    assert!(bits.contains("0x2038") && bits.contains("bitmap"), "{bits}");
    let first = refused(&with(&bitmap, 0x2020, &0x2040_u64.to_le_bytes()));
    assert!(first.contains("0x2000"), "{first}");
    assert!(refused(&with(&bitmap, 0x2000, b"XDMP")).contains("SDMP or FDMP"));
}

fn triage(wide: bool) -> TriageDump {
    let kernel = |va: u64| if wide { va } else { va & 0xffff_ffff };
    // An object whose empty wait list names its address.
    let object = |va: u64, len: usize, fill: u8| {
        let mut bytes = vec![fill; len];
        let link = kernel(va + 8).to_le_bytes();
        let word = if wide { 8 } else { 4 };
        bytes[8..8 + word].copy_from_slice(&link[..word]);
        bytes[8 + word..8 + 2 * word].copy_from_slice(&link[..word]);
        bytes
    };
    TriageDump {
        wide,
        header: CrashDump::default(),
        blocks: vec![
            (0xffff_f800_9000_0010, vec![1; 256]),
            (0xffff_f800_8fff_0000, vec![2; 8192]),
            // The first block of the process, whose copy gives the rest.
            (0xffff_f800_a000_0000, object(0xffff_f800_a000_0000, 64, 3)),
        ],
        stack: Some((0xffff_f800_b000_0ee8, vec![4; 0x118])),
        process: object(0xffff_f800_a000_0000, 0x400, 5),
        thread: object(0xffff_f800_a000_1000, 0x200, 6),
        debugger_data: vec![7; 0x380],
        drivers: vec![
            (
                r"\SystemRoot\ntoskrnl.exe".to_owned(),
                0xffff_f800_1000_0000,
            ),
            (r"\SystemRoot\hal.dll".to_owned(), 0xffff_f800_2000_0000),
        ],
        unloaded: vec![(
            "dam.sys".to_owned(),
            0xffff_f800_3000_0000,
            0xffff_f800_3001_0000,
        )],
    }
}

#[test]
fn a_triage_dump_is_memory_by_virtual_address() {
    for wide in [true, false] {
        let snapshot = opened(&triage(wide).write());
        assert!(
            snapshot.info.anomalies.is_empty(),
            "{:?}",
            snapshot.info.anomalies
        );
        assert!(snapshot.machine.hints.contains(&Hint::VirtualBlocks));
        let at = |va: u64| {
            let va = if wide { va } else { va & 0xffff_ffff };
            let chunk = snapshot.machine.memory.chunk(PhysAddr(va));
            chunk.map(|chunk| chunk[0]).map_err(|fault| fault.cause)
        };
        assert_eq!(at(0xffff_f800_9000_0010), Ok(1));
        assert_eq!(at(0xffff_f800_9000_010f), Ok(1));
        assert_eq!(at(0xffff_f800_9000_0110), Err(Cause::NotCaptured));
        assert_eq!(at(0xffff_f800_8fff_1fff), Ok(2));
        assert_eq!(at(0xffff_f800_a000_0020), Ok(3), "the block, not the copy");
        assert_eq!(at(0xffff_f800_a000_0040), Ok(5), "the copy goes on");
        assert_eq!(at(0xffff_f800_a000_0400), Err(Cause::NotCaptured));
        assert_eq!(at(0xffff_f800_a000_1100), Ok(6));
        assert_eq!(at(0xffff_f800_b000_0ee8), Ok(4));
        assert_eq!(at(0xffff_f800_b000_0fff), Ok(4));
        assert_eq!(at(0xffff_f800_0010_2000), Ok(7), "at KdDebuggerDataBlock");
        let drivers = drivers_of(&snapshot);
        let names: Vec<String> = drivers
            .iter()
            .map(|driver| String::from_utf16(&driver.name).unwrap())
            .collect();
        assert_eq!(names, [r"\SystemRoot\ntoskrnl.exe", r"\SystemRoot\hal.dll"]);
        let (base, word) = if wide { (0x30, 8) } else { (0x18, 4) };
        let mut image = [0; 8];
        image[..word].copy_from_slice(&drivers[1].loader_entry[base..base + word]);
        let put = 0xffff_f800_2000_0000_u64;
        let put = if wide { put } else { put & 0xffff_ffff };
        assert_eq!(u64::from_le_bytes(image), put);
        assert!(fact(&snapshot, "unloaded drivers").starts_with("1: dam.sys 0x"));
    }
}

#[test]
fn names_that_drivers_share_are_not_held_for_each() {
    let long = "n".repeat(30_000);
    let mut dump = triage(true);
    dump.drivers = (0..399).map(|n| (n.to_string(), n)).collect();
    dump.drivers.insert(0, (long, 0));
    let mut bytes = dump.write();
    let list = u32::from_le_bytes(bytes[0x2030..0x2034].try_into().unwrap()) as usize;
    let first: [u8; 4] = bytes[list..list + 4].try_into().unwrap();
    for entry in 1..400 {
        bytes[list + 0x90 * entry..][..4].copy_from_slice(&first);
    }
    let snapshot = opened(&bytes);
    let drivers = drivers_of(&snapshot);
    assert_eq!(drivers.len(), 400);
    let held: usize = drivers.iter().map(|driver| 2 * driver.name.len()).sum();
    assert!(held >= 60_000 && held <= bytes.len());
    assert!(snapshot.info.anomalies[0].text.contains("have no name"));
}

fn files() -> Vec<Vec<u8>> {
    let small = [(1, 3), (9, 5)];
    let mut files: Vec<_> = kinds()
        .iter()
        .map(|dump| dump.write(&memory(&small)))
        .collect();
    files.extend([true, false].map(|wide| triage(wide).write()));
    files
}

#[test]
fn cut_anywhere() {
    let mut random = Random::new(4);
    for bytes in files() {
        assert!(survive(&bytes));
        let body = if &bytes[..8] == b"PAGEDU64" {
            0x2000
        } else {
            0x1000
        };
        let borders = (body..body + 0x90).chain([0, 1, 8, 0x10, 0x98, body - 1]);
        let anywhere = (0..100).map(|_| random.below(bytes.len() as u64) as usize);
        for len in borders.chain(anywhere.collect::<Vec<_>>()) {
            let opened = survive(&bytes[..len]);
            assert!(!opened || len > body, "a header alone is no dump");
            if opened {
                let said = try_open(&bytes[..len], &OpenOptions::default()).unwrap();
                assert!(
                    !said.info.anomalies.is_empty(),
                    "cut at {len:#x} without a word"
                );
            }
        }
    }
}

#[test]
fn bits_flipped() {
    let mut random = Random::new(5);
    for bytes in files() {
        let body = if &bytes[..8] == b"PAGEDU64" {
            0x2000
        } else {
            0x1000
        };
        for _ in 0..300 {
            let mut bad = bytes.clone();
            for _ in 0..=random.below(3) {
                // Where fields are: the header's start and kind, and the body's header.
                let at = match random.below(4) {
                    0 => random.below(0xd8),
                    1 => body - 0x1000 + random.below(0x1000),
                    _ => body + random.below((bytes.len() as u64 - body).min(0x600)),
                };
                bad[at as usize] ^= 1 << random.below(8);
            }
            survive(&bad);
        }
    }
}
