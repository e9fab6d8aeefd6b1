//! A register that a snapshot does not hold stays absent in what is exported from it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use osier::export::{Container, export};
use osier::osier_memory::{CpuState, Paging, PhysAddr};
use osier::{Options, open_snapshot};
use osier_testkit::MemoryBuilder;
use osier_testkit::containers::crash::CrashDump;

/// The only processor of the snapshot at `path`, and the notes that the file has.
fn processor(path: &Path) -> CpuState {
    let snapshot = open_snapshot(path, &Options::default()).unwrap();
    let [cpu] = snapshot.machine.cpus.as_slice() else {
        panic!("{} processors", snapshot.machine.cpus.len());
    };
    cpu.clone()
}

#[test]
fn a_core_of_a_crash_dump_knows_what_the_dump_does_not() {
    let mut memory = MemoryBuilder::new(PhysAddr(0x1000));
    for page in 0..8 {
        memory.write_bytes(PhysAddr(0x1000 * page), &[page as u8; 0x1000]);
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registers");
    fs::create_dir_all(&dir).unwrap();
    for (wide, pae, modes) in [
        (true, false, &[Paging::Long4, Paging::Long5][..]),
        (false, true, &[Paging::Pae]),
        (false, false, &[Paging::Legacy]),
    ] {
        let dump = CrashDump {
            wide,
            pae,
            table_root: 0x3000,
            ..CrashDump::default()
        };
        let (from, to) = (dir.join("memory.dmp"), dir.join("memory.elf"));
        fs::write(&from, dump.write(&memory)).unwrap();
        let told = processor(&from);
        assert_eq!((told.cr0, told.cr2, told.cr4), (None, None, None));
        assert_eq!(told.segments.gs.base, None);
        assert_eq!(told.modes(), modes);
        export(&from, &Options::default(), Container::Elf, &to).unwrap();
        let kept = processor(&to);
        assert_eq!(kept, told, "wide: {wide}, PAE: {pae}");
        // Another tool, which does not know the note, finds the paging where it looks for it.
        let core = fs::read(&to).unwrap();
        let note = core.windows(6).any(|bytes| bytes == b"OSIER\0");
        assert!(note);
    }
}
