//! Files that a real QEMU writes: every way to send a page, memory equal to `pmemsave`'s and
//! registers equal to `info registers`'.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod made;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use osier_memory::{CpuState, PAGE_BYTES, PhysAddr, Segments};
use osier_snapshot::{Format, OpenOptions, Snapshot, open};
use osier_testkit::qemu::{FILLED, Guest, Qemu};
use osier_testkit::{ignore, need};

osier_testkit::trials! {
    need::program(QEMU) =>
        whole_pages, mapped_ram, blocks_with_addresses, pages_sent_as_deltas,
        a_background_snapshot_has_no_end_of_ram;
    need::program(QEMU).and(need::program("qemu-img")) => internal_snapshots_of_a_disk_image;
}

const QEMU: &str = "qemu-system-x86_64";

const RAM: u64 = 4 << 20;

/// Whether the processor sees RAM at `pa`, and not a ROM or a device's memory.
fn plain(pa: u64) -> bool {
    !(0xa_0000..0x10_0000).contains(&pa)
}

/// Holds a snapshot's memory to `pmemsave`'s, read page by page and swept.
fn same_memory(snapshot: &Snapshot, expected: &[u8], what: &str) {
    let memory = &snapshot.machine.memory;
    for (page, bytes) in expected.chunks(PAGE_BYTES as usize).enumerate() {
        let pa = page as u64 * PAGE_BYTES;
        if !plain(pa) {
            continue;
        }
        let mut read = vec![0; bytes.len()];
        memory.read(PhysAddr(pa), &mut read).unwrap();
        assert!(read == bytes, "{what}: page {pa:#x}");
    }
    let mut seen = 0;
    for run in memory.runs() {
        let _ = memory.sweep(*run, 1 << 16, &mut |pa, bytes| {
            for (at, byte) in bytes.iter().enumerate() {
                let pa = pa.0 + at as u64;
                if pa < RAM && plain(pa) {
                    assert_eq!(*byte, expected[pa as usize], "{what}: {pa:#x}");
                    seen += 1;
                }
            }
            ControlFlow::Continue(())
        });
    }
    assert_eq!(seen, RAM - 0x6_0000, "{what}: swept");
}

/// Holds a snapshot's processors to `info registers`'.
fn same_registers(snapshot: &Snapshot, text: &str, folder: &Path, file: &Path, what: &str) {
    let registers = folder.join("registers");
    std::fs::write(&registers, text).unwrap();
    let options = OpenOptions {
        registers: Some(registers),
        ..OpenOptions::default()
    };
    let told = open(file, &options).unwrap().machine.cpus;
    let read = &snapshot.machine.cpus;
    assert_eq!(read.len(), told.len(), "{what}");
    for (read, told) in read.iter().zip(&told) {
        assert_eq!(read.general, told.general, "{what}");
        assert_eq!(
            (read.rip, read.rflags, read.cr0, read.cr3, read.cr4),
            (told.rip, told.rflags, told.cr0, told.cr3, told.cr4),
            "{what}"
        );
        assert_eq!(tables(read), tables(told), "{what}");
        assert_eq!(read.efer, told.efer, "{what}");
    }
}

/// The segments; of the tables' registers, which have neither, without the selectors and flags that
/// a stream shows.
fn tables(cpu: &CpuState) -> Segments {
    let mut segments = cpu.segments;
    for table in [&mut segments.gdt, &mut segments.idt] {
        (table.selector, table.flags) = (None, None);
    }
    segments
}

fn fact<'a>(snapshot: &'a Snapshot, name: &str) -> &'a str {
    let found = snapshot.info.facts.iter().find(|fact| fact.0 == name);
    found.map_or("", |fact| &fact.1)
}

/// A stopped machine, migrated with `capabilities`.
fn stopped(machine: &[&str], capabilities: &[&str]) {
    let what = format!("{machine:?} {capabilities:?}");
    let folder = made::folder("qemu");
    let mut qemu = Qemu::start(Guest::Halts, &folder, machine);
    qemu.hmp("stop");
    let expected = qemu.memory();
    let text = qemu.registers();
    if let Err(reason) = qemu.capabilities(capabilities) {
        ignore!("{reason}");
    }
    let file = folder.join("stream");
    qemu.migrate(&file, !capabilities.contains(&"mapped-ram"));
    qemu.wait();
    drop(qemu);
    let options = OpenOptions {
        index_dir: Some(folder.join("index")),
        ..OpenOptions::default()
    };
    for kept in [false, true] {
        let snapshot = open(&file, &options).unwrap();
        assert_eq!(snapshot.info.format, Format::QemuStream);
        assert_eq!(snapshot.info.anomalies, [], "{what}, kept {kept}");
        assert_eq!(
            fact(&snapshot, "capabilities").is_empty(),
            capabilities.iter().all(|c| *c == "multifd")
        );
        same_memory(&snapshot, &expected, &what);
        same_registers(&snapshot, &text, &folder, &file, &what);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn whole_pages() {
    stopped(&["-M", "pc"], &[]);
    stopped(&["-M", "q35", "-smp", "2"], &[]);
}

fn mapped_ram() {
    stopped(&["-M", "pc"], &["mapped-ram"]);
    stopped(&["-M", "q35", "-smp", "3"], &["mapped-ram", "multifd"]);
    stopped(&["-M", "pc"], &["mapped-ram", "x-ignore-shared"]);
}

fn blocks_with_addresses() {
    stopped(&["-M", "pc"], &["x-ignore-shared"]);
}

/// The number of deltas that `query-migrate` counts.
fn deltas(status: &str) -> u32 {
    let count = || {
        let cache = status
            .split("\"xbzrle-cache\": {")
            .nth(1)?
            .split('}')
            .next()?;
        let digits = cache.split("\"pages\": ").nth(1)?;
        digits
            .split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    count().unwrap_or(0)
}

fn pages_sent_as_deltas() {
    let folder = made::folder("qemu");
    let mut qemu = Qemu::start(Guest::Works, &folder, &["-M", "pc"]);
    qemu.capabilities(&["xbzrle"]).unwrap();
    // A slow link that hardly ever seems fast enough to stop the guest: its pages are sent again in
    // each of many passes.
    let slow = r#"{"max-bandwidth":150000,"avail-switchover-bandwidth":1000,"downtime-limit":1,
        "xbzrle-cache-size":1048576}"#;
    if let Err(error) = qemu.try_qmp("migrate-set-parameters", slow) {
        ignore!(
            "no guest can be kept from stopping by QEMU {}: {error}",
            qemu.version()
        );
    }
    let file = folder.join("stream");
    qemu.migrate(&file, true);
    let began = std::time::Instant::now();
    loop {
        let status = qemu.qmp("query-migrate", "{}");
        if deltas(&status) >= 100 || status.contains("completed") {
            break;
        }
        assert!(began.elapsed().as_secs() < 20, "{status}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let fast = r#"{"max-bandwidth":1000000000,"avail-switchover-bandwidth":1000000000,
        "downtime-limit":2000}"#;
    qemu.qmp("migrate-set-parameters", fast);
    qemu.wait();
    let expected = qemu.memory();
    let text = qemu.registers();
    drop(qemu);
    let snapshot = open(&file, &OpenOptions::default()).unwrap();
    let sent = fact(&snapshot, "pages sent");
    let deltas = sent.split(' ').rev().nth(2).unwrap();
    assert!(deltas.parse::<u32>().unwrap() >= 8, "{sent}");
    same_memory(&snapshot, &expected, "xbzrle");
    same_registers(&snapshot, &text, &folder, &file, "xbzrle");
    let changed = FILLED.start as usize + 0x800;
    assert_ne!(expected[changed..changed + 4], [0; 4]);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn a_background_snapshot_has_no_end_of_ram() {
    let folder = made::folder("qemu");
    let mut qemu = Qemu::start(Guest::Halts, &folder, &["-M", "pc"]);
    if let Err(reason) = qemu.capabilities(&["background-snapshot"]) {
        ignore!("{reason}");
    }
    let expected = qemu.memory();
    let file = folder.join("stream");
    qemu.migrate(&file, true);
    qemu.wait();
    drop(qemu);
    let snapshot = open(&file, &OpenOptions::default()).unwrap();
    assert_eq!(snapshot.info.anomalies, []);
    assert_eq!(snapshot.machine.cpus.len(), 1);
    same_memory(&snapshot, &expected, "background-snapshot");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A new qcow2 image of 1 MiB.
fn image(folder: &Path, options: &str) -> PathBuf {
    let image = folder.join("disk");
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-o", options])
        .arg(&image)
        .arg("1M")
        .status();
    assert!(made.unwrap().success());
    image
}

/// Takes `count` snapshots of a guest that works into an image made with `options`; returns the
/// memory and the registers of each.
fn saved(folder: &Path, options: &str, count: usize) -> Vec<(Vec<u8>, String)> {
    let image = image(folder, options);
    let drive = format!("if=none,format=qcow2,file={},id=disk", image.display());
    let mut qemu = Qemu::start(Guest::Works, folder, &["-M", "pc", "-drive", &drive]);
    let mut states = Vec::new();
    for number in 0..count {
        qemu.hmp("stop");
        states.push((qemu.memory(), qemu.registers()));
        let answer = qemu.hmp(&format!("savevm state{number}"));
        assert!(!answer.contains("rror"), "{answer}");
        qemu.hmp("cont");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    states
}

fn internal_snapshots_of_a_disk_image() {
    // (Of 512-byte clusters, the state has many L2 tables.)
    for (options, count) in [
        ("compat=1.1", 1),
        ("compat=0.10", 3),
        ("compat=1.1,cluster_size=512", 2),
        ("compat=1.1,extended_l2=on", 2),
    ] {
        let folder = made::folder("qemu");
        let states = saved(&folder, options, count);
        let file = folder.join("disk");
        for (number, (memory, text)) in states.iter().enumerate() {
            for name in [format!("state{number}"), (number + 1).to_string()] {
                let options = OpenOptions {
                    internal: Some(name.clone()).filter(|_| count > 1),
                    ..OpenOptions::default()
                };
                let snapshot = open(&file, &options).unwrap();
                assert_eq!(snapshot.info.format, Format::Qcow2);
                assert_eq!(snapshot.info.anomalies, [], "{:?}", snapshot.info.facts);
                same_memory(&snapshot, memory, &name);
                let chosen = fact(&snapshot, "internal snapshot");
                assert_eq!(chosen, format!("{} \"state{number}\"", number + 1));
                let registers = folder.join("registers");
                std::fs::write(&registers, text).unwrap();
                let told = OpenOptions {
                    registers: Some(registers),
                    ..options
                };
                let told = open(&file, &told).unwrap().machine.cpus;
                assert_eq!(snapshot.machine.cpus[0].rip, told[0].rip);
                assert_eq!(tables(&snapshot.machine.cpus[0]), tables(&told[0]));
            }
        }
        if count > 1 {
            let error = open(&file, &OpenOptions::default())
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains("2 \"state1\""), "{error}");
            assert!(error.contains("--internal"), "{error}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
