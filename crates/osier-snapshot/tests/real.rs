//! The real snapshots: every container of one instant holds the same machine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use osier_memory::{CpuState, PAGE_BYTES, PhysAddr, PhysicalMemory};
use osier_snapshot::{OpenOptions, Snapshot, open, panda_checksum};

const LINUX: &[&str] = &[
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

fn with_registers(folder: &Path, file: &str) -> Snapshot {
    let registers = Some(folder.join("registers.txt"));
    open(
        &folder.join(file),
        &OpenOptions {
            registers,
            ..OpenOptions::default()
        },
    )
    .unwrap()
}

/// The registers that every container holds.
fn common(cpu: &CpuState) -> impl PartialEq + std::fmt::Debug {
    let s = cpu.segments;
    let bases = [s.es, s.cs, s.ss, s.ds, s.fs, s.gs, s.tr, s.gdt, s.idt].map(|x| x.base);
    let numbers = [cpu.rip, cpu.cr0, cpu.cr2, cpu.cr3, cpu.cr4];
    (
        cpu.index,
        cpu.general,
        numbers,
        bases,
        cpu.cpl,
        cpu.long_mode,
    )
}

#[test]
fn every_container_holds_the_same_machine() {
    for name in LINUX {
        let folder = match osier_testkit::data::folder(name) {
            Ok(folder) => folder,
            Err(why) => {
                eprintln!("skipped: {why}");
                continue;
            }
        };
        let raw = with_registers(&folder, "memory.raw");
        assert!(!raw.machine.cpus.is_empty());
        for file in ["memory.elf", "memory-paging.elf", "memory.savevm"] {
            if !folder.join(file).exists() {
                continue;
            }
            let other = open(&folder.join(file), &OpenOptions::default()).unwrap();
            for (a, b) in raw.machine.cpus.iter().zip(&other.machine.cpus) {
                assert_eq!(
                    format!("{:?}", common(a)),
                    format!("{:?}", common(b)),
                    "{name} {file}"
                );
            }
            let mut compared = 0;
            let ram = raw.machine.memory.runs()[0];
            let mut pa = PhysAddr(0);
            while ram.contains(pa) {
                // The VGA window shows the device in some containers and RAM in others.
                let vga = (0xa0000..0xc0000).contains(&pa.0);
                let mut page = [0; PAGE_BYTES as usize];
                if !vga && other.machine.memory.read(pa, &mut page).is_ok() {
                    let chunk = raw.machine.memory.chunk(pa).unwrap();
                    assert!(
                        chunk[..page.len()] == page,
                        "{name} {file}: page {pa} differs"
                    );
                    compared += 1;
                }
                pa = pa.plus(PAGE_BYTES);
            }
            assert!(
                compared > 20_000,
                "{name} {file}: only {compared} pages compared"
            );
        }
    }
}

#[test]
fn a_recording_holds_what_pmemsave_saw_and_its_checksum_is_pandas() {
    for name in ["amd64-5.10", "i386-5.10-nonpae"] {
        let folder = match osier_testkit::data::folder(name) {
            Ok(folder) => folder,
            Err(why) => {
                eprintln!("skipped: {why}");
                continue;
            }
        };
        let registers = Some(folder.join("stopped.regs.txt"));
        let options = OpenOptions {
            registers,
            ..OpenOptions::default()
        };
        let raw = open(&folder.join(format!("{name}.pmemsave.raw")), &options).unwrap();
        // The base name of the recording is enough.
        let recording = open(&folder.join(name), &OpenOptions::default()).unwrap();
        assert_eq!(recording.machine.cpus.len(), 1);
        let (a, b) = (&raw.machine.cpus[0], &recording.machine.cpus[0]);
        assert_eq!(format!("{:?}", common(a)), format!("{:?}", common(b)));
        let ram = raw.machine.memory.runs()[0];
        let mut pa = PhysAddr(0);
        while ram.contains(pa) {
            if !(0xa0000..0xc0000).contains(&pa.0) {
                let mut page = [0; PAGE_BYTES as usize];
                recording.machine.memory.read(pa, &mut page).unwrap();
                assert!(
                    raw.machine.memory.chunk(pa).unwrap()[..page.len()] == page,
                    "{pa}"
                );
            }
            pa = pa.plus(PAGE_BYTES);
        }
        assert!(panda_checksum(&folder.join(name)).unwrap().is_some());
    }
}
