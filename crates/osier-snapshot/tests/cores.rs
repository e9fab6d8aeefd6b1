//! ELF cores of other writers than QEMU, made for the test or by the writers themselves.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by panicking and skips visibly"
)]

mod made;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use made::battle::battle;
use made::{Load, PAGE, elf, filler, folder, opened, same_bytes, try_open};
use osier_memory::{Cause, Filter, PhysAddr, PhysicalMemory};
use osier_snapshot::{Format, OpenError, OpenOptions, Snapshot, open};
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
        assert_eq!(snapshot.info.anomalies, [""; 0]);
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

/// A QEMU core as a kernel writes it: without section headers, which makedumpfile stumbles over,
/// and with the direct map's virtual addresses, which it asks for.
fn as_vmcore(core: &[u8]) -> Vec<u8> {
    let word = |at: usize| u64::from_le_bytes(core[at..at + 8].try_into().unwrap());
    let headers = word(32) as usize;
    let count = usize::from(u16::from_le_bytes([core[56], core[57]]));
    let mut out = core[..40].to_vec();
    out[32..40].copy_from_slice(&64_u64.to_le_bytes());
    out.extend([0; 12]);
    for half in [64, 56, count as u16, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    let mut bodies: Vec<u8> = Vec::new();
    for number in 0..count {
        let at = headers + 56 * number;
        let (offset, len) = (word(at + 8) as usize, word(at + 32) as usize);
        bodies.resize(bodies.len().next_multiple_of(PAGE), 0);
        out.extend(&core[at..at + 8]);
        out.extend((PAGE as u64 + bodies.len() as u64).to_le_bytes());
        let direct = if core[at] == 1 { 0xffff_8880 << 32 } else { 0 };
        out.extend((word(at + 24) + direct).to_le_bytes());
        out.extend(&core[at + 24..at + 56]);
        bodies.extend(&core[offset..offset + len]);
    }
    out.resize(PAGE, 0);
    out.extend(bodies);
    out
}

/// Every page of `raw` must be the same in `other`, or be left out by the writer. Returns how many
/// are the same, and how many are left out.
fn compared(raw: &Snapshot, other: &Snapshot, what: &str) -> (u64, u64) {
    let (mut same, mut excluded) = (0, 0);
    let mut page = [0; PAGE];
    for pa in (0..raw.info.file_bytes).step_by(PAGE).map(PhysAddr) {
        if (0xa_0000..0xc_0000).contains(&pa.0) {
            continue;
        }
        match other.machine.memory.read(pa, &mut page) {
            Ok(()) => {
                let theirs = raw.machine.memory.chunk(pa).unwrap();
                assert!(theirs[..PAGE] == page, "{what}: page {pa} differs");
                same += 1;
            }
            Err(fault) => {
                let filter = Filter::DumpLevel;
                assert_eq!(fault.cause, Cause::Excluded { filter }, "{what}: {fault}");
                excluded += 1;
            }
        }
    }
    (same, excluded)
}

/// The dumps that an installed makedumpfile makes of a real machine.
#[test]
fn makedumpfiles_own_dumps_hold_the_same_machine() {
    let data = osier_testkit::real_data!("deb11-5.10-amd64");
    let installed = Command::new("makedumpfile").arg("-v").output();
    if installed.is_err() {
        osier_testkit::skip!("makedumpfile is not installed");
    }
    let folder = folder("makedumpfile");
    let core = folder.join("vmcore");
    let core_bytes = fs::read(data.join("memory.elf")).unwrap();
    fs::write(&core, as_vmcore(&core_bytes)).unwrap();
    drop(core_bytes);
    let plain = OpenOptions::default();
    let raw = open(&data.join("memory.raw"), &plain).unwrap();
    let by_qemu = open(&data.join("memory.elf"), &plain).unwrap();
    let write = |options: &[&str], outputs: &[PathBuf], stdout: Stdio| {
        let done = Command::new("makedumpfile")
            .args(options)
            .arg(&core)
            .args(outputs)
            .stdout(stdout)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success(), "makedumpfile {options:?}");
    };
    let check = |file: &Path, what: &str, format: Format| {
        let snapshot = open(file, &plain).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(snapshot.info.format, format, "{what}");
        assert_eq!(snapshot.machine.hints, by_qemu.machine.hints, "{what}");
        assert_eq!(snapshot.machine.cpus, by_qemu.machine.cpus, "{what}");
        compared(&raw, &snapshot, what)
    };
    let pages = raw.info.file_bytes / PAGE as u64 - 32;
    for (options, format) in [
        (&["-c", "-d", "31"][..], Format::Kdump),
        (&["-l", "-d", "31"], Format::Kdump),
        (&["-d", "31"], Format::Kdump),
        (&["-c", "-d", "0"], Format::Kdump),
        (&["-E", "-d", "31"], Format::ElfCore),
    ] {
        let what = options.join(" ");
        let file = folder.join("dump");
        write(options, std::slice::from_ref(&file), Stdio::null());
        let (same, excluded) = check(&file, &what, format);
        assert_eq!(same + excluded, pages, "{what}");
        assert_eq!(excluded > 0, what.ends_with("31"), "{what}: {excluded}");
        fs::remove_file(&file).unwrap();
    }
    for (options, format) in [
        (&["-c", "-d", "31", "-F"][..], Format::Kdump),
        (&["-E", "-d", "31", "-F"], Format::ElfCore),
    ] {
        let file = folder.join("flat");
        let stdout = Stdio::from(File::create(&file).unwrap());
        write(options, &[], stdout);
        check(&file, &options.join(" "), format);
        fs::remove_file(&file).unwrap();
    }
    let parts = ["1", "2", "3"].map(|part| folder.join(part));
    write(&["-l", "-d", "31", "--split"], &parts, Stdio::null());
    check(&parts[0], "--split", Format::Kdump);
    fs::remove_dir_all(folder).unwrap();
}
