//! ELF cores of other writers than QEMU, made for the test or by the writers themselves.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod made;

use made::battle::battle;
use made::{Load, PAGE, elf, filler, opened, same_bytes, try_open};
use osier_memory::PhysicalMemory;
use osier_snapshot::{Format, OpenError, OpenOptions};
use osier_testkit::containers::kdump::flattened;
use osier_testkit::containers::{vbox, xen};

#[test]
fn virtualbox_cores_tell_their_processors() {
    let ranges = [
        (0, vec![1; 3 * PAGE]),
        (0x10_0000, vec![2; PAGE]),
        (0x1_0000_0000, vec![3; PAGE]),
    ];
    for format in [0x1_0004, 0x1_0005, 0x1_0006] {
        let snapshot = opened(&vbox::core(format, 2, &ranges));
        assert_eq!(snapshot.info.format, Format::ElfCore);
        assert_eq!(snapshot.info.anomalies, []);
        same_bytes(&snapshot, &ranges);
        let words = format!("7.1.4 r165100, core format 1.{}, 2 processors", format & 15);
        assert!(snapshot.info.facts.contains(&("VirtualBox", words)));
        let [first, second] = snapshot.machine.cpus.as_slice() else {
            panic!("two processors");
        };
        // RAX RBX RCX RDX RSI RDI R8 … R15 RIP RSP RBP RFLAGS
        assert_eq!(
            first.general.unwrap(),
            [
                0x100, 0x102, 0x103, 0x101, 0x10f, 0x110, 0x104, 0x105, 0x106, 0x107, 0x108, 0x109,
                0x10a, 0x10b, 0x10c, 0x10d
            ]
        );
        assert_eq!((first.rip, first.rflags), (0x10e, Some(0x111)));
        assert_eq!((first.cr0, first.cr2), (Some(0x8005_0033), Some(0x2222)));
        assert_eq!((first.cr3, first.cr4), (0x3000, Some(0x6f0)));
        assert_eq!((second.index, second.cr3), (1, 0x3001));
        let s = &first.segments;
        let bases = [s.cs, s.ds, s.es, s.fs, s.gs, s.ss].map(|segment| segment.base);
        let expected = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000];
        assert_eq!(bases, expected.map(Some));
        assert_eq!(
            (s.gdt.base, s.idt.base, s.gdt.limit),
            (Some(0x7000), Some(0x8000), Some(0x7f))
        );
        assert_eq!((s.ldt.base, s.tr.base), (Some(0x9000), Some(0xa000)));
        assert_eq!((s.cs.selector, s.cs.flags), (Some(11), Some(0x00c0_f300)));
        assert_eq!((first.cpl, first.long_mode), (Some(3), Some(true)));
        assert_eq!(first.efer, Some(0xd01));
        assert_eq!(
            (first.lstar, first.kernel_gs_base),
            (Some(0x202), Some(0x205))
        );
    }
    // An old format, whose notes are another structure.
    let snapshot = opened(&vbox::core(0x1_0000, 1, &ranges));
    assert!(snapshot.machine.cpus.is_empty());
    assert_eq!(snapshot.info.anomalies.len(), 1);
    same_bytes(&snapshot, &ranges);
    let small = vbox::core(0x1_0006, 1, &[(0, vec![7; 100])]);
    battle(&small, 300, &[64, 120, 176, 300, 760], 100, 1000);
}

#[test]
fn what_kcore_maps_without_a_place_is_passed_over() {
    let page = PAGE as u64;
    let load = |paddr, fill| Load {
        paddr,
        filesz: page,
        memsz: page,
        fill,
    };
    for wide in [true, false] {
        let loads = [load(u64::MAX, 9), load(0x1000, 1), load(0x8000, 2)];
        let snapshot = opened(&elf(wide, 440, &loads));
        assert_eq!(filler(&snapshot, 0x1000), 1);
        assert_eq!(filler(&snapshot, 0x8000), 2);
        let runs = snapshot.machine.memory.runs();
        assert_eq!(runs.len(), 2);
        let fact = ("segments without a physical address", "1".to_owned());
        assert!(snapshot.info.facts.contains(&fact));
    }
}

#[test]
fn cores_of_xen_guests_are_read_by_their_frames() {
    let frames = [7, 8, 2, u64::MAX, 0x10_0000, 8];
    let pages: Vec<(u64, Vec<u8>)> = frames
        .iter()
        .zip(1..)
        .map(|(f, b)| (*f, vec![b; PAGE]))
        .collect();
    let page = PAGE as u64;
    for own_tables in [true, false] {
        let file = xen::core(own_tables, 2, &pages);
        let snapshot = opened(&file);
        let runs: Vec<_> = snapshot
            .machine
            .memory
            .runs()
            .iter()
            .map(|r| (r.start.0, r.len))
            .collect();
        assert_eq!(
            runs,
            [
                (2 * page, page),
                (7 * page, 2 * page),
                (0x1_0000_0000, page)
            ]
        );
        for (frame, byte) in [(7, 1), (8, 2), (2, 3), (0x10_0000, 5)] {
            assert_eq!(filler(&snapshot, frame * page), byte);
        }
        assert_eq!(snapshot.info.anomalies.len(), 1 + usize::from(!own_tables));
        let processors = ("processors of the header", "2".to_owned());
        assert!(snapshot.info.facts.contains(&processors));
        // One frame less than pages: the note's own count tells.
        let mut less = file.clone();
        let at = less
            .windows(8)
            .position(|w| w == (pages.len() as u64).to_le_bytes());
        less[at.unwrap()] += 1;
        let anomalies = opened(&less).info.anomalies;
        assert!(
            anomalies
                .iter()
                .any(|a| a.is_loss() && a.text.contains("its note says"))
        );
        let small = xen::core(own_tables, 1, &pages[..2]);
        let tail = small.len() - 800;
        battle(&small, 600, &[64, 600, tail], 200, 800);
    }
}

#[test]
fn flattened_cores_are_rearranged() {
    let page = PAGE as u64;
    let load = Load {
        paddr: 0x4000,
        filesz: 3 * page,
        memsz: 5 * page,
        fill: 4,
    };
    let file = flattened(&elf(true, 440, &[load]), 3000);
    let snapshot = opened(&file);
    assert_eq!(snapshot.info.file_bytes, file.len() as u64);
    assert!(
        snapshot
            .info
            .facts
            .contains(&("flattened", "yes".to_owned()))
    );
    assert_eq!(filler(&snapshot, 0x5000), 4);
    assert_eq!(snapshot.machine.cpus.len(), 2);
    let small = OpenOptions {
        scratch_limit: 5000,
        ..OpenOptions::default()
    };
    let error = try_open(&file, &small).err().unwrap();
    assert!(matches!(error, OpenError::ScratchLimit { .. }), "{error}");
}

/// A header whose offset is damaged gives the bytes of one place of memory to another, too.
#[test]
fn bytes_of_the_file_stand_for_one_place_of_memory() {
    let page = PAGE as u64;
    let load = |paddr, fill| Load {
        paddr,
        filesz: page,
        memsz: page,
        fill,
    };
    let whole = elf(true, 440, &[load(0x1000, 1), load(0x8000, 2)]);
    assert_eq!(opened(&whole).info.anomalies, []);
    // Where the `p_offset` of each LOAD header stands.
    let headers = (0..3).map(|number| 64 + 56 * number);
    let mut places = headers.filter(|&at| whole[at..at + 4] == [1, 0, 0, 0]);
    let (first, second) = (places.next().unwrap() + 8, places.next().unwrap() + 8);
    let offset = u64::from_le_bytes(whole[first..first + 8].try_into().unwrap());
    let said = |at: usize, value: u64| {
        let mut damaged = whole.clone();
        damaged[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let anomalies = opened(&damaged).info.anomalies;
        let words: Vec<String> = anomalies.iter().map(ToString::to_string).collect();
        words
    };
    let text = "2048 bytes of the file stand for more than one place of memory";
    // Where a header leads elsewhere, what it led to before may belong to none.
    assert_eq!(said(second, offset + page / 2)[0], text);
    assert_eq!(said(first, 0)[0], "a LOAD segment holds the ELF header");
}

/// Two cores in one file, or a dump that something was written behind, hold memory that is not read.
#[test]
fn bytes_behind_the_last_segment_are_told() {
    let page = PAGE as u64;
    let load = |paddr, fill| Load {
        paddr,
        filesz: page,
        memsz: page,
        fill,
    };
    let whole = elf(true, 440, &[load(0x1000, 1), load(0x8000, 2)]);
    let said = |behind: &[u8]| {
        let info = opened(&[&whole[..], behind].concat()).info;
        let doubts = info.doubts().count();
        let words: Vec<String> = info.anomalies.iter().map(ToString::to_string).collect();
        (doubts, words.join("; "))
    };
    assert_eq!(said(b"").0, 0);
    let (doubts, words) = said(&[0; 4096]);
    assert_eq!(
        (doubts, &words[..]),
        (0, "4096 zeros behind the last segment")
    );
    let (doubts, words) = said(&[[0; 5000], [7; 5000]].concat());
    assert_eq!(doubts, 1, "{words}");
    assert!(words.contains("10000 bytes from file offset"), "{words}");
    let (doubts, words) = said(&whole);
    assert_eq!(doubts, 1, "{words}");
    assert!(words.contains("another ELF file"), "{words}");
}
