//! Real Windows crash dumps.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod made;

use made::crash::{cause, drivers_of, fact, header, refused, survive};
use made::{PAGE, opened};
use osier_memory::{Cause, PAGE_BYTES, PhysAddr};
use osier_testkit::Random;
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::file("windows/dumps/triage_x64.dmp.zst") => the_triage_dump_is_read;
    need::file("windows/dumps") => headers_name_what_is_missing;
}

fn the_triage_dump_is_read(real: &Real) {
    let bytes = real.unpacked();
    let snapshot = opened(&bytes);
    assert!(
        snapshot.info.anomalies.is_empty(),
        "{:?}",
        snapshot.info.anomalies
    );
    let header = header(&snapshot);
    assert_eq!(header.table_root.0, 0x1a_d000);
    assert_eq!(header.active_processes.0, 0xffff_f804_7c61_e200);
    assert_eq!(
        header.debugger_data.map(|va| va.0),
        Some(0xffff_f804_7c60_0b20)
    );
    assert_eq!((header.processors, header.minor_version), (16, 19041));
    assert!(fact(&snapshot, "data blocks").starts_with("1831, 1153874 bytes"));
    let drivers = drivers_of(&snapshot);
    assert_eq!(drivers.len(), 151);
    let name = String::from_utf16(&drivers[0].name).unwrap();
    assert_eq!(name, r"\SystemRoot\system32\ntoskrnl.exe");
    let memory = &snapshot.machine.memory;
    let word = |va: u64| memory.read_uint(PhysAddr(va), 8);
    assert_eq!(
        memory.read_uint(PhysAddr(0xffff_f804_7ba0_0000), 2),
        Ok(0x5a4d)
    );
    // The debugger data block: its tag, its size and the kernel's base.
    assert_eq!(word(0xffff_f804_7c60_0b30), Ok(0x0380_4742_444b));
    assert_eq!(word(0xffff_f804_7c60_0b38), Ok(0xffff_f804_7ba0_0000));
    // The crashing process is System: the copy has its name where no block has it.
    let mut name = [0; 7];
    memory
        .read(PhysAddr(0xffff_c08b_dce9_4180 + 0x5a8), &mut name)
        .unwrap();
    assert_eq!(&name, b"System\0");
    // Blocks inside the stack and the copies hold the same bytes as those.
    assert_eq!(word(0xffff_f804_782d_4188), Ok(0xffff_c08b_de9e_1640));
    assert_eq!(word(0xffff_c08b_de9e_1648), Ok(0xffff_c08b_de9e_1648));
    assert_eq!(cause(&snapshot, 0xffff_f804_7c61_e140), Cause::NotCaptured);
    let [cpu] = snapshot.machine.cpus.as_slice() else {
        panic!("one processor");
    };
    assert_eq!(cpu.rip, 0xffff_f804_8b58_334c);
    // Cut short, its blocks are missing by name; flipped, it is read or refused.
    let mut random = Random::new(6);
    for _ in 0..60 {
        survive(&bytes[..random.below(bytes.len() as u64) as usize]);
        let mut bad = bytes.clone();
        for _ in 0..3 {
            let at = 0x2000 + random.below(0x1e_000) as usize;
            bad[at] ^= 1 << random.below(8);
        }
        survive(&bad);
    }
}

fn headers_name_what_is_missing(real: &Real) {
    for (name, offset, promised) in [
        (
            "win10-19041-x64-fulldump-header-livekd.dmp",
            "0x2000",
            "17176129536",
        ),
        ("win7sp1-x86pae-fulldump-header.dmp", "0x1000", "3220688896"),
    ] {
        let bytes = std::fs::read(real.path.join(name)).unwrap();
        let said = refused(&bytes);
        assert!(said.contains(offset) && said.contains(promised), "{said}");
        // With a page behind them they are dumps cut short.
        let mut longer = bytes.clone();
        longer.extend([9; PAGE]);
        let snapshot = opened(&longer);
        assert!(snapshot.info.anomalies[0].text.contains("cut short"));
        assert_eq!(made::filler(&snapshot, PAGE_BYTES), 9);
        let header = header(&snapshot);
        if name.contains("x86pae") {
            assert_eq!(header.table_root.0, 0xbf62_f2e0);
            assert_eq!((header.pae, header.minor_version), (Some(true), 7601));
            assert_eq!(header.debugger_data, None);
        } else {
            assert_eq!(header.table_root.0, 0x3_e6b1_a000);
            assert_eq!(header.minor_version, 9200);
        }
        assert_eq!(fact(&snapshot, "Comment"), "LiveKD live system view");
    }
}
