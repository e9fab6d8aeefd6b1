//! The real snapshots: every container of one instant holds the same machine, and independent
//! programs' words on them agree.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use osier_memory::{CpuState, Hint, PAGE_BYTES, PhysAddr, PhysicalMemory};
use osier_snapshot::{Format, OpenOptions, Snapshot, open};
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::snapshot, LINUX) => every_container_holds_the_same_machine;
    need::each(need::snapshot, PANDA) => recordings_hold_what_the_monitor_saw, dumps_of_a_replay_are_read;
    need::each(need::snapshot, RECORDINGS) => an_independent_parser_agrees;
    need::each(need::snapshot, SUMMED) => the_checksum_of_memory_is_zlibs;
    need::snapshot("amd64-5.10-kaslr-pti-running") => a_kept_index_opens_the_same_machine;
}

const LINUX: &[&str] = &[
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];
const PANDA: &[&str] = &["amd64-5.10", "i386-5.10-nonpae"];

const RECORDINGS: &[&str] = &[
    "amd64-5.10",
    "i386-5.10-nonpae",
    "amd64-5.10-kaslr-pti-running",
];
const SUMMED: &[&str] = &[
    "amd64-5.10",
    "i386-5.10-nonpae",
    "amd64-5.10-kaslr-pti-running",
    "deb13-6.12-amd64",
];

fn plain(path: &Path) -> Snapshot {
    open(path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn with_registers(path: &Path, registers: PathBuf) -> Snapshot {
    let options = OpenOptions {
        registers: Some(registers),
        ..OpenOptions::default()
    };
    open(path, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// What the texts and the notes of a processor have in common with the stream. Text and notes have
/// no LSTAR, text has no kernel GS base, notes have no EFER.
fn common(cpu: &CpuState) -> CpuState {
    CpuState {
        efer: None,
        lstar: None,
        kernel_gs_base: None,
        ..cpu.clone()
    }
}

/// The tables have no selectors and flags; QEMU's note and stream show leftovers there.
fn without_table_flags(mut cpu: CpuState) -> CpuState {
    for table in [&mut cpu.segments.gdt, &mut cpu.segments.idt] {
        table.selector = None;
        table.flags = None;
    }
    cpu
}

/// Compares RAM page by page, apart from the window where the VGA device stands; returns the
/// number of pages.
fn same_ram(raw: &Snapshot, other: &Snapshot, what: &str) -> usize {
    let (raw, other) = (&raw.machine.memory, &other.machine.memory);
    let mut pages = 0;
    let end = raw.sweep(raw.runs()[0], 1 << 20, &mut |start, bytes| {
        for (page, at) in bytes.chunks(PAGE_BYTES as usize).zip(0..) {
            let pa = start.plus(at * PAGE_BYTES);
            if (0xa_0000..0xc_0000).contains(&pa.0) {
                continue;
            }
            let mut theirs = vec![0; page.len()];
            if let Err(fault) = other.read(pa, &mut theirs) {
                panic!("{what}: {fault}");
            }
            assert!(page == theirs, "{what}: page {pa} differs");
            pages += 1;
        }
        ControlFlow::Continue(())
    });
    assert!(end.is_continue());
    pages
}

/// A sweep must give the bytes that reads give.
fn sweep_equals_reads(snapshot: &Snapshot, what: &str) {
    let memory = &snapshot.machine.memory;
    for run in memory.runs() {
        let mut next = run.start;
        let end = memory.sweep(*run, 1 << 18, &mut |pa, bytes| {
            assert_eq!(pa, next, "{what}");
            let mut read = vec![0; bytes.len()];
            memory.read(pa, &mut read).unwrap();
            assert!(read == bytes, "{what}: window at {pa}");
            next = pa.plus(bytes.len() as u64);
            ControlFlow::Continue(())
        });
        assert!(end.is_continue());
        assert_eq!(next, run.end(), "{what}");
    }
}

fn every_container_holds_the_same_machine(real: &Real) {
    let (name, folder) = (real.name.as_str(), &real.path);
    let registers = folder.join("registers.txt");
    let raw = with_registers(&folder.join("memory.raw"), registers.clone());
    assert_eq!(raw.info.format, Format::Raw);
    let stream = plain(&folder.join("memory.savevm"));
    assert_eq!(stream.info.anomalies, [], "{name}");
    let pages = raw.info.file_bytes / PAGE_BYTES - 32;
    for (file, format) in [
        ("memory.elf", Format::ElfCore),
        ("memory-paging.elf", Format::ElfCore),
        ("memory.savevm", Format::QemuStream),
    ] {
        if !folder.join(file).exists() {
            assert_eq!(file, "memory-paging.elf");
            continue;
        }
        let what = format!("{name} {file}");
        let other = plain(&folder.join(file));
        assert_eq!(other.info.format, format);
        assert_eq!(same_ram(&raw, &other, &what) as u64, pages, "{what}");
        sweep_equals_reads(&other, &what);
        // The text has the first processor, the others have all.
        assert_eq!(other.machine.cpus.len(), stream.machine.cpus.len());
        for (ours, theirs) in other.machine.cpus.iter().zip(&stream.machine.cpus) {
            assert_eq!(common(ours), common(theirs), "{what}");
        }
        for (ours, theirs) in raw.machine.cpus.iter().zip(&other.machine.cpus) {
            assert_eq!(common(ours), without_table_flags(common(theirs)), "{what}");
        }
    }
    for (ours, theirs) in raw.machine.cpus.iter().zip(&stream.machine.cpus) {
        if theirs.efer.is_some() {
            assert_eq!(ours.efer, theirs.efer, "{name}");
        }
    }
    // The notes have the kernel GS base, and so has the stream of an x86-64 machine.
    let core = plain(&folder.join("memory.elf"));
    for (ours, theirs) in core.machine.cpus.iter().zip(&stream.machine.cpus) {
        if theirs.kernel_gs_base.is_some() {
            assert_eq!(ours.kernel_gs_base, theirs.kernel_gs_base, "{name}");
        }
    }
    let hint = core
        .machine
        .hints
        .iter()
        .any(|hint| matches!(hint, Hint::Vmcoreinfo(_)));
    assert!(hint, "{name}: VMCOREINFO");
    // A register file goes with every container.
    let both = with_registers(&folder.join("memory.elf"), registers);
    assert_eq!(both.machine.cpus, raw.machine.cpus);
}

fn recordings_hold_what_the_monitor_saw(real: &Real) {
    let (name, folder) = (real.name.as_str(), &real.path);
    let raw = with_registers(
        &folder.join(format!("{name}.pmemsave.raw")),
        folder.join("stopped.regs.txt"),
    );
    let recording = plain(&folder.join(name));
    let by_folder = plain(folder);
    assert_eq!(recording.info.facts, by_folder.info.facts);
    same_ram(&raw, &recording, name);
    sweep_equals_reads(&recording, name);
    let [cpu] = recording.machine.cpus.as_slice() else {
        panic!("{name}: one processor");
    };
    let ours = without_table_flags(common(cpu));
    assert_eq!(ours, common(&raw.machine.cpus[0]), "{name}");
    // The migration stream of the same instant: all devices, no index of ours.
    let migrated = folder.join(format!("{name}.migrate"));
    if migrated.exists() {
        let migrated = plain(&migrated);
        assert_eq!(migrated.machine.cpus, recording.machine.cpus);
        assert_eq!(migrated.ram_crc32(), recording.ram_crc32());
        assert_eq!(migrated.info.anomalies, []);
    }
}

/// What an independent parser wrote of the sections and the processor's fields.
fn an_independent_parser_agrees(real: &Real) {
    let (name, folder) = (real.name.as_str(), &real.path);
    let recording = plain(&folder.join(name));
    let facts: BTreeMap<_, _> = recording.info.facts.iter().cloned().collect();
    let sections = std::fs::read_to_string(folder.join("rr-snp.sections.txt")).unwrap();
    let number = |key: &str| -> u64 {
        let stats = sections
            .lines()
            .find(|line| line.starts_with("page stats"))
            .unwrap();
        let at = stats.find(&format!("'{key}': ")).unwrap() + key.len() + 4;
        stats[at..]
            .split([',', '}'])
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    let sent = format!(
        "{} raw, {} fill, 0 compressed, 0 as deltas",
        number("page"),
        number("fill 00")
    );
    assert_eq!(facts["pages sent"], sent, "{name}");
    let parts = sections.split("('PART', 'ram'): ").nth(1).unwrap();
    assert_eq!(facts["RAM parts"], parts.split(',').next().unwrap());
    assert_eq!(facts["machine type"], "pc-i440fx-2.8");
    assert_eq!(facts["sections"], "ram, cpu");
    for block in sections
        .lines()
        .filter_map(|line| line.trim().strip_prefix("block "))
    {
        let mut words = block.split_ascii_whitespace();
        let (block, _) = (words.next().unwrap(), words.next());
        let bytes = words.next().unwrap().trim_matches(['(', ')']);
        assert!(
            facts["RAM blocks"].contains(&format!("{block} {bytes}")),
            "{block}"
        );
    }
    let twice = recording
        .info
        .anomalies
        .iter()
        .any(|a| a.text.starts_with("17 pages are sent"));
    assert_eq!(twice, name == "amd64-5.10-kaslr-pti-running");

    let fields = folder.join("rr-snp.cpu-fields.txt");
    if !fields.exists() {
        return;
    }
    let fields = std::fs::read_to_string(fields).unwrap();
    let fields: BTreeMap<&str, u64> = fields
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let value = u64::from_str_radix(words.last()?, 16).ok()?;
            Some((*words.get(2)?, value))
        })
        .collect();
    let cpu = &recording.machine.cpus[0];
    let wide = fields.contains_key("env.regs[15]");
    for (register, at) in cpu
        .general
        .unwrap()
        .iter()
        .zip(0..if wide { 16 } else { 8 })
    {
        assert_eq!(*register, fields[format!("env.regs[{at}]").as_str()]);
    }
    let s = &cpu.segments;
    for (segment, at) in [s.es, s.cs, s.ss, s.ds, s.fs, s.gs].into_iter().zip(0..) {
        let of = |part: &str| fields[format!("env.segs[{at}].{part}").as_str()];
        assert_eq!(segment.selector.map(u64::from), Some(of("selector")));
        assert_eq!(segment.base, Some(of("base")));
        assert_eq!(segment.limit.map(u64::from), Some(of("limit")));
        assert_eq!(
            segment.flags.map(u64::from),
            Some(of("flags") & 0x00ff_ff00)
        );
    }
    for (value, field) in [
        (Some(cpu.rip), "env.eip"),
        (cpu.rflags, "env.eflags"),
        (cpu.cr0, "env.cr[0]"),
        (cpu.cr2, "env.cr[2]"),
        (Some(cpu.cr3), "env.cr[3]"),
        (cpu.cr4, "env.cr[4]"),
    ] {
        assert_eq!(value, Some(fields[field]), "{name} {field}");
    }
    assert_eq!(cpu.efer, fields.get("env.efer").copied());
    assert_eq!(cpu.lstar, fields.get("env.lstar").copied());
    assert_eq!(cpu.kernel_gs_base, fields.get("env.kernelgsbase").copied());
    assert_eq!(cpu.cpl.map(u64::from), Some(fields["env.hflags"] & 3));
}

fn dumps_of_a_replay_are_read(real: &Real) {
    let (name, folder) = (real.name.as_str(), &real.path);
    let osi = folder.join("osi");
    let dump = with_registers(
        &osi.join("memsavep_50.raw"),
        osi.join("memsavep_50.regs.txt"),
    );
    let [cpu] = dump.machine.cpus.as_slice() else {
        panic!("{name}: one processor");
    };
    assert!(cpu.paging().is_some());
    let table = dump.machine.memory.read_uint(PhysAddr(cpu.cr3 & !0xfff), 8);
    assert!(table.is_ok());
    let recording = plain(&folder.join(name));
    let count = recording
        .info
        .facts
        .iter()
        .any(|fact| fact.0 == "recorded instructions");
    assert!(count);
}

/// Python's `zlib.crc32` over the block, as a parser of its own put it together.
fn the_checksum_of_memory_is_zlibs(real: &Real) {
    let sums: &[(&str, u32)] = match real.name.as_str() {
        "amd64-5.10" => &[
            ("amd64-5.10", 0xa083_7e46),
            ("osi/mid.1596691.pcram.raw", 0x0573_155c),
        ],
        "i386-5.10-nonpae" => &[
            ("i386-5.10-nonpae", 0xefef_b6d6),
            ("osi/mid.1965758.pcram.raw", 0x703d_d99d),
        ],
        "amd64-5.10-kaslr-pti-running" => &[("amd64-5.10-kaslr-pti-running", 0xec2e_e5d4)],
        _ => &[("memory.savevm", 0x5e34_52ce)],
    };
    for (file, crc) in sums {
        let found = plain(&real.path.join(file)).ram_crc32();
        assert_eq!(found, Ok(Some(*crc)), "{file}");
    }
}

fn a_kept_index_opens_the_same_machine(real: &Real) {
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("real-index");
    let options = OpenOptions {
        index_dir: Some(kept.clone()),
        ..OpenOptions::default()
    };
    let first = open(&real.path, &options).unwrap();
    let second = open(&real.path, &options).unwrap();
    assert_eq!(first.machine.cpus, second.machine.cpus);
    assert_eq!(first.info.facts, second.info.facts);
    assert_eq!(first.info.anomalies, second.info.anomalies);
    assert_eq!(first.ram_crc32().unwrap(), second.ram_crc32().unwrap());
    sweep_equals_reads(&second, "kept index");
    std::fs::remove_dir_all(kept).unwrap();
}
