//! What finds a kernel and what is held against it, on the golden snapshots.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use osier::SeenExt as _;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier::osier_memory::{Hint, Paging, PhysAddr, PhysicalMemory};
use osier::osier_profile::{Identity, OsKind, ProfileBuilder};
use osier::osier_snapshot::Snapshot;
use osier::{Error, Guest, Options, open_snapshot};
use osier_testkit::{MemoryBuilder, Rights, TableBuilder};

const LINUX: [&str; 5] = [
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
    folder.join(format!("{name}.elf"))
}

/// A cache of the test's own, empty.
fn cache(name: &str) -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&cache);
    cache
}

fn processes(guest: &Guest) -> Vec<String> {
    let mut rows = Vec::new();
    let _ = guest.provider().processes(&mut |row| {
        rows.push(format!("{row:?}"));
        ControlFlow::Continue(())
    });
    assert!(!rows.is_empty());
    rows
}

fn roots(guest: &Guest) -> Vec<PhysAddr> {
    let mut roots = BTreeSet::new();
    let _ = guest.provider().processes(&mut |row| {
        roots.extend(row.asid.value());
        ControlFlow::Continue(())
    });
    roots.into_iter().collect()
}

fn premise<'a>(guest: &'a Guest, about: &str) -> Option<(&'a str, &'a str)> {
    let all = &guest.kernel().premises;
    let found = all.iter().find(|premise| premise.about == about)?;
    Some((&found.value, &found.by))
}

#[test]
fn any_root_that_maps_the_kernel_may_be_named_whatever_the_cache_holds() {
    for name in LINUX {
        let path = golden(name);
        let plain = Guest::open(&path, &Options::default()).unwrap();
        let told = processes(&plain);
        let mut named = vec![plain.located().root()];
        named.extend(roots(&plain).into_iter().take(3));
        named.extend(plain.machine().cpus.iter().map(|cpu| PhysAddr(cpu.cr3)));
        if plain.located().mode().pointer_bytes() == 8 {
            // As CR3 holds it: a process-context identifier, and the wish to flush nothing.
            named.push(PhysAddr(plain.machine().cpus[0].cr3 | 1 << 63 | 0x7));
        }
        let options = Options {
            cache: Some(cache("named-root")),
            ..Options::default()
        };
        for root in named {
            for _ in 0..2 {
                let options = Options {
                    table_root: Some(root),
                    ..options.clone()
                };
                let guest = Guest::open(&path, &options).unwrap();
                assert_eq!(processes(&guest), told, "{name} by {root}");
                // A small snapshot lacks the tables of some processes.
                let (_, by) = premise(&guest, "named-root")
                    .or_else(|| premise(&guest, "table-root"))
                    .unwrap();
                let said = format!("the table root {root} that was named");
                assert!(by.contains(&said), "{name}: {by}");
            }
        }
    }
}

#[test]
fn a_root_that_maps_no_kernel_is_refused_with_what_was_seen() {
    let options = Options {
        table_root: Some(PhysAddr(0x1000)),
        ..Options::default()
    };
    let Err(error) = Guest::open(&golden("deb12-6.1-amd64"), &options) else {
        panic!("a kernel by no table");
    };
    let text = error.to_string();
    assert!(text.contains("at 0x1000 (a note, VMCOREINFO of Linux 6.1.0-50-amd64, build id"));
}

/// The snapshot's memory, to be changed.
fn copy(memory: &dyn PhysicalMemory) -> MemoryBuilder {
    let mut copy = MemoryBuilder::new(PhysAddr(0x4000_0000));
    for run in memory.runs() {
        let mut bytes = vec![0; run.len as usize];
        memory.read(run.start, &mut bytes).unwrap();
        copy.write_bytes(run.start, &bytes);
    }
    copy
}

/// Sets `mark` in the present entries of `table`, `depth` levels from the last, and below.
fn mark(
    memory: &mut MemoryBuilder,
    table: PhysAddr,
    depth: usize,
    mark: u64,
    met: &mut BTreeSet<PhysAddr>,
) {
    if !met.insert(table) {
        return;
    }
    for index in 0..512 {
        let at = table.plus(index * 8);
        let Ok(entry) = memory.read_uint(at, 8) else {
            return;
        };
        if entry & 1 == 0 {
            continue;
        }
        memory.write_u64(at, entry | mark);
        if depth > 1 && entry & 0x80 == 0 {
            let next = PhysAddr(entry & 0x000f_ffff_ffff_f000);
            self::mark(memory, next, depth - 1, mark, met);
        }
    }
}

/// The snapshot as a machine with encrypted memory takes it of itself: bit `bit` of each table entry
/// and of CR3 is set.
fn encrypted(name: &str, bit: u32, roots: &[PhysAddr], depth: usize) -> Snapshot {
    let mut snapshot = open_snapshot(&golden(name), &Options::default()).unwrap();
    let mut memory = copy(&*snapshot.machine.memory);
    let mut met = BTreeSet::new();
    for root in roots {
        mark(&mut memory, *root, depth, 1 << bit, &mut met);
    }
    for cpu in &mut snapshot.machine.cpus {
        cpu.cr3 |= 1 << bit;
    }
    snapshot.machine.memory = Arc::new(memory);
    snapshot
}

#[test]
fn the_table_of_user_mode_may_be_named() {
    let path = golden("deb12-6.1-amd64");
    let plain = Guest::open(&path, &Options::default()).unwrap();
    let mut snapshot = open_snapshot(&path, &Options::default()).unwrap();
    let mut memory = copy(&*snapshot.machine.memory);
    let tables = TableBuilder::new(plain.located().mode(), &mut memory);
    let entry = plain.located().base().plus(0x20_0000);
    let space = plain.located().space(plain.machine());
    let place = space.translate(entry).unwrap();
    tables.map_run(&mut memory, entry, place, 2, Rights::KERNEL);
    let root = tables.root();
    snapshot.machine.memory = Arc::new(memory);
    let options = Options {
        table_root: Some(root),
        ..Options::default()
    };
    let guest = Guest::attach(snapshot, &options).unwrap();
    assert_eq!(processes(&guest), processes(&plain));
    let (_, by) = premise(&guest, "named-root").unwrap();
    assert!(by.contains("as user mode's table does"), "{by}");
}

#[test]
fn encrypted_memory_is_read_by_its_page_tables() {
    for name in ["deb11-5.10-amd64", "deb12-6.1-amd64", "deb13-6.12-amd64"] {
        let plain = Guest::open(&golden(name), &Options::default()).unwrap();
        let told = processes(&plain);
        assert_eq!(premise(&plain, "encryption"), None);
        let mut all = roots(&plain);
        all.push(plain.located().root());
        all.extend(
            plain
                .machine()
                .cpus
                .iter()
                .map(|cpu| PhysAddr(cpu.cr3 & !0xfff)),
        );
        let depth = match plain.located().mode() {
            Paging::Long5 => 5,
            _ => 4,
        };
        for bit in [43, 47, 51] {
            let value = format!("bit {bit}");
            let found = encrypted(name, bit, &all, depth);
            let guest = Guest::attach(found, &Options::default()).unwrap();
            assert_eq!(processes(&guest), told, "{name}, bit {bit}");
            let (bits, by) = premise(&guest, "encryption").unwrap();
            assert_eq!(bits, value);
            assert!(by.contains("past the end of RAM"), "{by}");

            // Without registers, and named by VMCOREINFO.
            let mut raw = encrypted(name, bit, &all, depth);
            raw.machine.cpus.clear();
            for hint in &mut raw.machine.hints {
                if let Hint::Vmcoreinfo(text) = hint {
                    text.extend(format!("\nNUMBER(sme_mask)={}\n", 1_u64 << bit).bytes());
                }
            }
            let guest = Guest::attach(raw, &Options::default()).unwrap();
            assert_eq!(processes(&guest), told, "{name}, bit {bit}, raw");
            assert_eq!(premise(&guest, "encryption").unwrap().0, value);
        }
    }
}

#[test]
fn another_system_is_a_contradiction_and_a_lost_banner_is_told() {
    let options = Options {
        os: Some("windows".to_owned()),
        ..Options::default()
    };
    let path = golden("deb12-6.1-amd64");
    let Err(Error::Contradiction { found, .. }) = Guest::open(&path, &options) else {
        panic!("no contradiction");
    };
    assert_eq!(found, "the snapshot holds Linux 6.1.0-50-amd64");

    let mut snapshot = open_snapshot(&path, &Options::default()).unwrap();
    let plain = Guest::open(&path, &Options::default()).unwrap();
    let osier::Located::Linux(linux) = plain.located() else {
        panic!("no Linux");
    };
    let banner = linux
        .space(plain.machine())
        .translate(linux.banner_at)
        .unwrap();
    let mut memory = copy(&*snapshot.machine.memory);
    memory.write_bytes(banner.page(), &[0; 0x1000]);
    snapshot.machine.memory = Arc::new(memory);
    for os in [None, Some("linux".to_owned())] {
        let options = Options {
            os,
            no_shipped: true,
            ..Options::default()
        };
        let again = Snapshot {
            machine: snapshot.machine.clone(),
            info: snapshot.info.clone(),
        };
        let Err(error) = Guest::attach(again, &options) else {
            panic!("a kernel without a banner");
        };
        let text = error.to_string();
        let id = linux.build_id.as_ref().unwrap().to_string();
        for seen in ["6.1.0-50-amd64", &id, "no banner in it"] {
            assert!(text.contains(seen), "{text}");
        }
        let windows = text.contains("no Windows kernel");
        assert_eq!(windows, options.os.is_none(), "{text}");
    }
    // A profile that ships stands for the banner, where VMCOREINFO names its build.
    let again = Snapshot {
        machine: snapshot.machine.clone(),
        info: snapshot.info.clone(),
    };
    let guest = Guest::attach(again, &Options::default()).unwrap();
    assert_eq!(processes(&guest), processes(&plain));
    let (_, by) = premise(&guest, "banner").unwrap();
    assert!(
        by.contains("a kernel met before") && by.contains("not be read"),
        "{by}"
    );
    // So does the one that is named, whatever is there.
    let symbols = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../symbols");
    let options = Options {
        profile: Some(symbols.join("linux-6.1.0-50-amd64.osp")),
        ..Options::default()
    };
    let guest = Guest::attach(snapshot, &options).unwrap();
    assert_eq!(processes(&guest), processes(&plain));
    let (_, by) = premise(&guest, "banner").unwrap();
    assert!(by.contains("could not be read"), "{by}");
}

#[test]
fn what_is_of_another_machine_is_refused() {
    let path = golden("deb12-6.1-amd64");
    let dir = cache("foreign");
    std::fs::create_dir_all(&dir).unwrap();
    let registers = |name: &str| {
        let snapshot = open_snapshot(&golden(name), &Options::default()).unwrap();
        let cpu = &snapshot.machine.cpus[0];
        let file = dir.join(format!("{name}.txt"));
        let segments = &cpu.segments;
        let text = format!(
            "CPU#0\nRAX=0 RBX=0 RCX=0 RDX=0\nRSI=0 RDI=0 RBP=0 RSP=0\n\
             R8 =0 R9 =0 R10=0 R11=0\nR12=0 R13=0 R14=0 R15=0\nRIP={:016x} RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\n\
             GDT=     {:016x} 0000007f\nIDT=     {:016x} 00000fff\n\
             CR0={:08x} CR2=0000000000000000 CR3={:016x} CR4={:08x}\nEFER=0000000000000d01\n",
            cpu.rip,
            segments.gdt.base.unwrap(),
            segments.idt.base.unwrap(),
            cpu.cr0.unwrap(),
            cpu.cr3,
            cpu.cr4.unwrap(),
        );
        std::fs::write(&file, text).unwrap();
        Options {
            registers: Some(file),
            ..Options::default()
        }
    };
    Guest::open(&path, &registers("deb12-6.1-amd64")).unwrap();
    for name in ["deb11-5.10-amd64", "deb13-6.12-amd64"] {
        let Err(error) = Guest::open(&path, &registers(name)) else {
            panic!("registers of {name}");
        };
        assert!(matches!(error, Error::ForeignRegisters { .. }), "{error}");
    }

    let symbols = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../symbols");
    for (profile, fits) in [
        ("linux-6.1.0-50-amd64.osp", true),
        ("linux-5.10.0-46-amd64.osp", false),
    ] {
        let options = Options {
            profile: Some(symbols.join(profile)),
            ..Options::default()
        };
        let opened = Guest::open(&path, &options);
        assert_eq!(opened.is_ok(), fits, "{profile}");
        if let Err(error) = opened {
            assert!(matches!(error, Error::ForeignProfile { .. }), "{error}");
        }
    }

    let raw = dir.join("memory.raw");
    std::fs::write(&raw, vec![0; 1 << 20]).unwrap();
    for (file, split, fits) in [
        (&raw, 1 << 19, true),
        (&raw, 1 << 20, false),
        (&raw, 99_999_999_999, false),
        (&path, 1 << 19, false),
    ] {
        let options = Options {
            ram_split: Some(split),
            ..Options::default()
        };
        assert_eq!(open_snapshot(file, &options).is_ok(), fits, "{split:#x}");
    }
    for options in [
        Options {
            internal: Some("1".to_owned()),
            ..Options::default()
        },
        Options {
            parts: vec![raw.clone()],
            ..Options::default()
        },
    ] {
        let refused = open_snapshot(&path, &options).err().unwrap();
        assert!(matches!(refused, Error::Unapplied { .. }), "{refused}");
    }
}

#[test]
fn an_old_kernel_is_known_by_the_root_that_it_has() {
    for root in ["init_top_pgt", "init_level4_pgt", "swapper_pg_dir"] {
        let mut builder = ProfileBuilder::new(Identity {
            os: OsKind::Linux,
            pointer_bytes: 8,
            build_id: None,
            banner: b"Linux version 4.4.155 #1".to_vec(),
            release: "4.4.155".to_owned(),
        });
        builder.add_symbol("_text", 0xffff_ffff_8100_0000);
        builder.add_symbol("linux_banner", 0xffff_ffff_8180_0000);
        builder.add_symbol(root, 0xffff_ffff_81c0_a000);
        let known = osier::known(&builder.build()).unwrap();
        assert_eq!(known.root, 0xffff_ffff_81c0_a000, "{root}");
    }
}
