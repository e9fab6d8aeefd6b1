//! Streams made here of machines whose RAM is several blocks, or divided in a way of its own; and
//! streams that end early. (`layouts_real.rs` has QEMU's own.)

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use made::{Made, PAGE, be64, filler, name, opened, try_open};
use osier_memory::{Cause, PhysAddr};
use osier_snapshot::{OpenOptions, Snapshot};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A stream of these blocks, of which the last page alone is sent, filled with the block's number from
/// 1 on; `tables` are the first bytes of the block with ACPI's tables.
fn stream(made: &Made, blocks: &[(&str, u64)], tables: &[u8]) -> Vec<u8> {
    const TABLES: &str = "/rom@etc/acpi/tables";
    let mut all = blocks.to_vec();
    all.push((TABLES, PAGE as u64));
    let mut out = made.head(&all);
    made.part(&mut out, 3, |out| {
        for (number, (block, bytes)) in blocks.iter().enumerate() {
            be64(out, (bytes - PAGE as u64) | 0x08);
            name(out, block);
            out.extend([number as u8 + 1; PAGE]);
        }
        be64(out, 0x08);
        name(out, TABLES);
        let mut page = tables.to_vec();
        page.resize(PAGE, 0);
        out.extend(page);
    });
    made.tail(&mut out);
    out
}

/// An SRAT with these ranges of memory: node, start, length, flags.
fn srat(ranges: &[(u32, u64, u64, u32)]) -> Vec<u8> {
    let mut table = b"FACS....SRAT".to_vec();
    table.extend((48 + 40 * ranges.len() as u32).to_le_bytes());
    table.resize(8 + 48, 1);
    for (node, start, len, flags) in ranges {
        let mut entry = vec![1, 40];
        entry.extend(node.to_le_bytes());
        entry.extend([0; 2]);
        entry.extend(start.to_le_bytes());
        entry.extend(len.to_le_bytes());
        entry.extend([0; 4]);
        entry.extend(flags.to_le_bytes());
        entry.resize(40, 0);
        table.extend(entry);
    }
    table
}

/// Which block's last page lies in the page that ends at `end`.
fn block_at(snapshot: &Snapshot, end: u64) -> u8 {
    filler(snapshot, end - PAGE as u64)
}

/// What is said, apart from the pages that these streams do not send.
fn said(snapshot: &Snapshot) -> Vec<String> {
    let anomalies = snapshot.info.anomalies.iter().map(ToString::to_string);
    anomalies
        .filter(|said| !said.contains("not in the stream"))
        .collect()
}

fn cause(snapshot: &Snapshot, pa: u64) -> Cause {
    snapshot
        .machine
        .memory
        .chunk(PhysAddr(pa))
        .unwrap_err()
        .cause
}

fn of(machine: &'static str) -> Made {
    Made {
        machine: Some(machine),
        ..Made::default()
    }
}

#[test]
fn nodes_are_joined_by_their_numbers() {
    // The stream lists larger blocks first.
    let blocks = [
        ("ram-node1", 32 * MIB),
        ("ram-node10", 16 * MIB),
        ("ram-node2", 16 * MIB),
        ("vga.vram", 16 * MIB),
        ("ram-node0", 8 * MIB),
    ];
    let snapshot = opened(&stream(&of("pc-i440fx-7.2"), &blocks, b""));
    let ends = [8, 40, 56, 72].map(|end| block_at(&snapshot, end * MIB));
    assert_eq!(ends, [5, 1, 3, 2]);
    assert_eq!(cause(&snapshot, 72 * MIB), Cause::NoRam);
    assert_eq!(said(&snapshot), [""; 0]);
    let ram: Vec<_> = snapshot.info.ram.iter().map(|run| run.len).collect();
    assert_eq!(ram, [72 * MIB]);
}

#[test]
fn nodes_are_divided_at_4_gib_by_their_sum() {
    let blocks = [("ram-node1", 2 * GIB), ("/objects/ram-node0", GIB)];
    let snapshot = opened(&stream(&of("pc-q35-7.2"), &blocks, b""));
    assert_eq!(block_at(&snapshot, GIB), 2);
    assert_eq!(block_at(&snapshot, 5 * GIB), 1);
    assert_eq!(cause(&snapshot, 2 * GIB), Cause::NoRam);
    assert_eq!(said(&snapshot), [""; 0]);
}

#[test]
fn machines_divide_ram_in_their_own_ways() {
    for (machine, block, ram, below) in [
        (Some("pc-i440fx-7.2"), "pc.ram", 3583 * MIB, 3583),
        (Some("pc-i440fx-2.10"), "pc.ram", 3584 * MIB, 3072),
        (Some("pc-i440fx-1.7"), "pc.ram", 3600 * MIB, 3584),
        (Some("pc-0.15"), "pc.ram", 3600 * MIB, 3584),
        (Some("isapc"), "pc.ram", 3600 * MIB, 3584),
        (Some("pc-q35-9.2"), "pc.ram", 2816 * MIB, 2048),
        (Some("pc-q35-1.5"), "pc.ram", 3600 * MIB, 2816),
        (Some("microvm"), "microvm.ram", 3072 * MIB, 3072),
        (Some("microvm"), "microvm.ram", 3600 * MIB, 3072),
        (None, "pc.ram", 3500 * MIB, 3500),
    ] {
        let made = Made {
            machine,
            ..Made::default()
        };
        let snapshot = opened(&stream(&made, &[(block, ram)], b""));
        let ram_runs: Vec<_> = snapshot.info.ram.iter().map(|run| run.len / MIB).collect();
        assert_eq!(ram_runs[0], below, "{machine:?}");
        let above = ram - below * MIB;
        let top = if above > 0 { 4 * GIB + above } else { ram };
        assert_eq!(block_at(&snapshot, top), 1, "{machine:?}");
        assert_eq!(said(&snapshot), [""; 0], "{machine:?}");
    }
}

#[test]
fn a_layout_that_nothing_tells_is_said_to_be_guessed() {
    for (machine, ram) in [
        (None, 3584 * MIB),
        (Some("virt-7.2"), 64 * MIB),
        (Some("none"), 3584 * MIB),
    ] {
        let made = Made {
            machine,
            ..Made::default()
        };
        let bytes = stream(&made, &[("pc.ram", ram)], b"");
        let said = said(&opened(&bytes));
        assert!(said.len() == 1 && said[0].contains("guessed"), "{said:?}");
        let told = OpenOptions {
            ram_split: Some(GIB),
            ..OpenOptions::default()
        };
        let snapshot = try_open(&bytes, &told).unwrap();
        assert!(
            snapshot
                .info
                .anomalies
                .iter()
                .all(|a| !a.to_string().contains("guess"))
        );
    }
}

#[test]
fn the_clock_tells_the_split() {
    for footers in [true, false] {
        let made = Made {
            machine: footers.then_some("pc-i440fx-7.2"),
            footers,
            vmdesc: footers,
            clock: Some((GIB, 2 * GIB)),
            ..Made::default()
        };
        let bytes = stream(&made, &[("pc.ram", 3 * GIB)], b"");
        let snapshot = opened(&bytes);
        assert_eq!(block_at(&snapshot, 6 * GIB), 1);
        assert_eq!(cause(&snapshot, GIB), Cause::NoRam);
        let mut said = said(&snapshot);
        said.retain(|said| !said.contains("no section footers"));
        assert_eq!(said, [""; 0]);
        // Who says otherwise is contradicted.
        let told = OpenOptions {
            ram_split: Some(2 * GIB),
            ..OpenOptions::default()
        };
        let told = try_open(&bytes, &told).unwrap();
        assert!(
            told.info
                .anomalies
                .iter()
                .any(|a| a.to_string().contains("CMOS says"))
        );
        assert_eq!(block_at(&told, 5 * GIB), 1);
    }
    // A clock of another machine.
    let made = Made {
        clock: Some((64 * MIB, 0)),
        ..Made::default()
    };
    let other = opened(&stream(&made, &[("pc.ram", 32 * MIB)], b""));
    assert!(said(&other)[0].contains("the clock's CMOS says 67108864 bytes"));
}

#[test]
fn the_tables_tell_whose_block_is_which_node() {
    let tables = srat(&[
        (0, 0, 0xa_0000, 1),
        (0, MIB, 31 * MIB, 1),
        (1, 32 * MIB, 64 * MIB, 1),
    ]);
    let made = of("pc-i440fx-7.2");
    let blocks = [("big", 64 * MIB), ("small", 32 * MIB)];
    let snapshot = opened(&stream(&made, &blocks, &tables));
    assert_eq!(block_at(&snapshot, 32 * MIB), 2);
    assert_eq!(block_at(&snapshot, 96 * MIB), 1);
    assert_eq!(said(&snapshot), [""; 0]);
    // Without them the names are all there is.
    let blocks = [("mem1", 64 * MIB), ("mem0", 32 * MIB)];
    let snapshot = opened(&stream(&made, &blocks, b""));
    assert_eq!(block_at(&snapshot, 32 * MIB), 2);
    assert_eq!(block_at(&snapshot, 96 * MIB), 1);
    assert!(said(&snapshot)[0].contains("guessed"));
}

#[test]
fn what_cannot_be_placed_is_named_and_no_hole() {
    let made = of("pc-i440fx-7.2");
    let blocks = [("one", 64 * MIB), ("two", 64 * MIB)];
    let snapshot = opened(&stream(&made, &blocks, b""));
    assert_eq!(block_at(&snapshot, 64 * MIB), 1); // the first of equals
    assert_eq!(cause(&snapshot, 64 * MIB), Cause::NotCaptured);
    let said = said(&snapshot);
    assert!(
        said[0].contains("\"one\" is taken for the machine's RAM"),
        "{said:?}"
    );
    // The other is placed where QEMU would plug it in, which is a guess.
    assert!(
        said[1].contains("\"two\" is placed at 0x100000000 by guess"),
        "{said:?}"
    );
    let blocks = [("pc.ram", 64 * MIB), ("a", 32 * MIB), ("b", 16 * MIB)];
    let snapshot = opened(&stream(&made, &blocks, b""));
    assert_eq!(cause(&snapshot, 4 * GIB), Cause::NotCaptured);
    let said = self::said(&snapshot);
    assert!(
        said[0].contains("\"a\" (33554432 bytes), \"b\""),
        "{said:?}"
    );
}

#[test]
fn plugged_memory_lies_behind_ram() {
    let made = of("pc-q35-7.2");
    let blocks = [
        ("pc.ram", 64 * MIB),
        ("memdimm1", 32 * MIB),
        ("memdimm0", 16 * MIB),
    ];
    let snapshot = opened(&stream(&made, &blocks, b""));
    assert_eq!(block_at(&snapshot, 4 * GIB + 16 * MIB), 3);
    assert_eq!(block_at(&snapshot, 4 * GIB + 48 * MIB), 2);
    assert_eq!(cause(&snapshot, 5 * GIB), Cause::NotCaptured);
    assert_eq!(said(&snapshot).len(), 2);
    // The tables tell where an NVDIMM lies, and where the room for DIMMs starts.
    let tables = srat(&[
        (0, 0, 64 * MIB, 1),
        (0, 6 * GIB, 32 * MIB, 5),
        (0, 6 * GIB, 8 * GIB, 3),
    ]);
    let snapshot = opened(&stream(&made, &blocks, &tables));
    assert_eq!(block_at(&snapshot, 6 * GIB + 32 * MIB), 2);
    assert_eq!(block_at(&snapshot, 6 * GIB + 48 * MIB), 3);
    assert_eq!(said(&snapshot).len(), 1);
}

#[test]
fn a_stream_is_read_as_far_as_it_goes() {
    let made = Made::default();
    let whole = made.stream();
    let pages = whole
        .windows(PAGE)
        .position(|bytes| bytes == [1; PAGE])
        .unwrap();
    let mut seen = [0; 2];
    for len in (pages + PAGE..whole.len()).step_by(61) {
        let snapshot = opened(&whole[..len]);
        assert!(!snapshot.info.anomalies.is_empty(), "{len}");
        let memory = &snapshot.machine.memory;
        for page in 0..made::RAM_PAGES {
            match memory.chunk(PhysAddr(page * PAGE as u64)) {
                // Page 3 is sent once more, with other bytes.
                Ok(bytes) => assert!(u64::from(bytes[0]) == page || (page, bytes[0]) == (3, 0xee)),
                Err(fault) => {
                    assert_eq!(fault.cause, Cause::FileShort { offset: len as u64 });
                    seen[0] += 1;
                }
            }
        }
        seen[1] += snapshot.machine.cpus.len();
        assert!(snapshot.machine.cpus.len() <= 2);
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

#[test]
fn behind_damage_the_processors_are_looked_for() {
    let made = Made::default();
    let mut bytes = made.stream();
    let page = bytes
        .windows(PAGE)
        .position(|bytes| bytes == [2; PAGE])
        .unwrap();
    bytes[page - 1] |= 0x80; // the flags of its record
    let snapshot = opened(&bytes);
    assert_eq!(filler(&snapshot, PAGE as u64), 1);
    assert_eq!(cause(&snapshot, 2 * PAGE as u64), Cause::NotCaptured);
    assert!(snapshot.info.anomalies[0].to_string().contains("damaged"));
    assert_eq!(snapshot.machine.cpus.len(), 2);
    assert_eq!(snapshot.machine.cpus[1].rip, 0xc100_0001);
}

#[test]
fn a_lost_processor_is_missed() {
    let made = Made::default();
    let whole = made.stream();
    // The header of the second processor's section.
    let at = whole
        .windows(9)
        .position(|bytes| bytes == b"\x03cpu\0\0\0\x01\0")
        .unwrap();
    for damage in [at + 1, at + 11] {
        let mut bytes = whole.clone();
        bytes[damage] ^= 0x40;
        let snapshot = opened(&bytes);
        assert_eq!(snapshot.machine.cpus[0].index, 0);
        let said = said(&snapshot);
        let lost = snapshot.machine.cpus.len() < 2;
        assert!(
            !lost || said.iter().any(|said| said.contains("processor")),
            "{said:?}"
        );
        assert!(lost || damage > at + 1);
    }
}

/// Whether something says that processors may be lost or wrong.
fn processors_doubted(bytes: &[u8]) -> bool {
    let snapshot = opened(bytes);
    let mut anomalies = snapshot.info.anomalies.iter();
    anomalies.any(|anomaly| anomaly.effect == osier_snapshot::Effect::Processors)
}

#[test]
fn what_the_stream_says_of_processors_twice_is_compared() {
    let made = Made {
        devices: true,
        ..Made::default()
    };
    let whole = made.stream();
    assert!(!processors_doubted(&whole));
    let text = |what: &str| whole.windows(what.len()).position(|w| w == what.as_bytes());
    let replaced = |at: usize, with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    // A field's size in the description; both processors have it.
    let size = text(r#"env.eip","type":"x","size":8"#).unwrap() + 27;
    assert!(processors_doubted(&replaced(size, b"4")));
    // A field that changes places with one of its size.
    let name = text(r#""env.cr[3]""#).unwrap();
    let name_of_next = text(r#""env.cr[4]""#).unwrap();
    let mut swapped = replaced(name, br#""env.cr[4]""#);
    swapped[name_of_next..name_of_next + 11].copy_from_slice(br#""env.cr[3]""#);
    assert!(processors_doubted(&swapped));
    // Long mode: hflags of the first processor.
    let first = text("\x03cpu\0\0\0\0\0\0\0\x0c").unwrap() + 12;
    assert!(processors_doubted(&replaced(first + 0x92, &[0])));
    // The first section behind RAM becomes the stream's end.
    let timer = text("\x05timer").unwrap() - 5;
    assert_eq!(whole[timer], 4);
    let lost = replaced(timer, &[0]);
    assert!(processors_doubted(&lost) && opened(&lost).machine.cpus.is_empty());
}
