//! The dumps that an installed makedumpfile makes of a real machine.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod made;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use made::{PAGE, folder};
use osier_memory::{Cause, Filter, PhysAddr, PhysicalMemory};
use osier_snapshot::{Format, OpenOptions, Snapshot, open};
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::snapshot("deb11-5.10-amd64").and(need::program("makedumpfile")) =>
        makedumpfiles_own_dumps_hold_the_same_machine;
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

fn makedumpfiles_own_dumps_hold_the_same_machine(real: &Real) {
    let data = &real.path;
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
        let losses = snapshot.info.anomalies.iter().filter(|a| a.is_loss());
        assert_eq!(losses.count(), 0, "{what}: {:?}", snapshot.info.anomalies);
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
