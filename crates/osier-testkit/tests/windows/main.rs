//! What the writer of Windows machines writes is there to be read, on every layout and in every
//! paging mode: by a bare reader that shares nothing with the provider.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod look;
mod rows;

use std::sync::Arc;

use look::Look;
use osier_memory::{Paging, PhysAddr, PhysicalMemory, VirtAddr};
use osier_testkit::Patched;
use osier_testkit::windows::layouts::{self, Layout};
use osier_testkit::windows::{
    DebuggerData, Libosi, Paged, Part, Plan, Process, Protection, Proto, VadKind, WindowsMachine,
    Wow64,
};
use rows::{check_rows, drivers, expected_vads, look, modules, processors, ring, vads, wanted};

/// Every paging mode that kernels of the layout ran in.
fn modes(plan: &Plan) -> Vec<Paging> {
    match plan.paging {
        Paging::Legacy => vec![Paging::Legacy, Paging::LegacyNoPse],
        Paging::Long4 if plan.version.0 == 10 => vec![Paging::Long4, Paging::Long5],
        mode => vec![mode],
    }
}

/// A few processes of every sort.
fn crowd(layout: &Layout) -> Plan {
    let mut plan = Plan::new(&layout.profile);
    let wide = layout.profile.identity().pointer_bytes == 8;
    let shell = Process::new(1012, "explorer.exe")
        .child_of(4)
        .in_session(1)
        .runs(
            "C:\\Windows\\explorer.exe",
            "explorer.exe /e",
            0x0100_0000,
            0x2c_0000,
        )
        .loads(0x775c_0000, 0x1a_9000, "C:\\Windows\\SYSTEM32\\ntdll.dll")
        .thread(2000)
        .maps(0x20_0000, 0x1000, VadKind::Private, Protection::READ_WRITE)
        .maps(
            0x30_0000,
            0x6_7000,
            VadKind::Mapped(Some("\\Windows\\System32\\locale.nls".to_owned())),
            Protection::READ,
        );
    plan.processes.push(shell);
    let gone = Process::new(1400, "gone.exe")
        .child_of(1012)
        .exited(0x01cb_3000_0000_0000);
    plan.processes.push(gone);
    if wide && layout.profile.find_type("_EWOW64PROCESS").is_some() {
        plan.processes.insert(1, Process::minimal(100, "Registry"));
    }
    if wide {
        let mut old = Process::new(1756, "preccalc.exe")
            .child_of(1012)
            .in_session(1)
            .runs("C:\\old\\preccalc.exe", "preccalc", 0x40_0000, 0x2_d000);
        let mut modules = old.modules.clone();
        modules.extend(
            Process::new(0, "")
                .loads(0x775f_0000, 0x18_0000, "C:\\n32.dll")
                .modules,
        );
        old.wow64 = Some(Wow64 {
            modules,
            ..Wow64::default()
        });
        plan.processes.push(old);
    }
    plan.run(1016);
    plan
}

#[test]
fn what_is_planned_is_there() {
    for layout in layouts::all() {
        for mode in modes(&Plan::new(&layout.profile)) {
            let mut plan = crowd(layout);
            plan.paging = mode;
            let machine = plan.write(&layout.profile);
            let look = look(layout, &machine);
            let plan = &machine.plan;
            assert_eq!(ring(&look, plan), wanted(plan), "{} {mode:?}", layout.name);
            for process in plan.processes.iter().filter(|p| p.has_peb()) {
                // The kernel half is the same through every table.
                let own = look.through(process.root.expect("written"));
                assert_eq!(ring(&own, plan), wanted(plan));
                let peb = process.peb.expect("a PEB");
                let eprocess = process.eprocess.expect("written");
                assert_eq!(own.get(eprocess, "_EPROCESS", "Peb"), peb.0);
                modules(&own, process, peb);
                assert_eq!(
                    vads(&own, eprocess),
                    expected_vads(process),
                    "{}",
                    layout.name
                );
            }
            drivers(&look, plan);
            processors(&look, &machine);
        }
    }
}

#[test]
fn a_wrong_field_in_the_machine_shows() {
    for layout in layouts::own() {
        let machine = crowd(&layout).write(&layout.profile);
        let plan = &machine.plan;
        let truth = look(&layout, &machine);
        let eprocess = machine.process(1012).eprocess.expect("written");
        for member in ["UniqueProcessId", "ImageFileName", "Pcb.DirectoryTableBase"] {
            let (offset, _) = truth.place("_EPROCESS", member);
            let pa = truth
                .space
                .translate(eprocess.plus(offset))
                .expect("mapped");
            let mut patched = Patched::new(machine.machine().memory);
            patched.flip(pa, 0);
            let mut wrong = machine.machine();
            wrong.memory = Arc::new(patched);
            let look = Look::new(&layout.profile, &wrong, plan.paging, plan.system_root);
            assert_ne!(ring(&look, plan), wanted(plan), "{member}");
        }
    }
}

#[test]
fn tables_refer_to_themselves_where_windows_has_it() {
    for layout in layouts::all() {
        for mode in modes(&Plan::new(&layout.profile)) {
            let mut plan = crowd(layout);
            plan.paging = mode;
            let machine = plan.write(&layout.profile);
            let plan = &machine.plan;
            for process in &plan.processes {
                let root = process.root.expect("written");
                let memory = machine.memory.as_ref();
                let entry = |at: PhysAddr, width| memory.read_uint(at, width).expect("a table");
                match mode {
                    Paging::Legacy | Paging::LegacyNoPse => {
                        let own = entry(root.plus(0x300 * 4), 4);
                        assert_eq!(own & !0xfff, root.0);
                    }
                    Paging::Pae => {
                        let directory = |i: u64| entry(root.plus(i * 8), 8) & !0xfff;
                        for i in 0..4 {
                            let own = entry(PhysAddr(directory(3) + i * 8), 8);
                            assert_eq!(own & !0xfff, directory(i));
                        }
                    }
                    _ => {
                        let own = entry(root.plus(plan.self_map * 8), 8);
                        assert_eq!(own & !0xfff, root.0);
                    }
                }
            }
        }
    }
}

#[test]
fn user_mode_does_not_see_the_kernel_under_kva_shadow() {
    for layout in layouts::all() {
        let kprocess = layout.profile.find_type("_KPROCESS").expect("processes");
        if kprocess.member("UserDirectoryTableBase").is_none() {
            continue;
        }
        let mut plan = crowd(layout);
        plan.kva_shadow = true;
        let machine = plan.write(&layout.profile);
        let (plan, look) = (&machine.plan, look(layout, &machine));
        assert_eq!(ring(&look, plan), wanted(plan), "{}", layout.name);
        let process = machine.process(1012);
        let (eprocess, user) = (process.eprocess.unwrap(), process.user_root.unwrap());
        let value = look.get(eprocess, "_EPROCESS", "Pcb.UserDirectoryTableBase");
        assert_eq!(value, user.0 | 1);
        let shadow = look.through(user);
        assert!(shadow.space.translate(eprocess).is_err());
        let peb = process.peb.expect("a PEB");
        let own = look.through(process.root.unwrap());
        assert_eq!(shadow.space.translate(peb), own.space.translate(peb));
        let cpu = &machine.cpus[0];
        assert_eq!((cpu.cpl, cpu.cr3), (Some(3), user.0 | 1));
        assert!(
            shadow
                .space
                .translate(VirtAddr(cpu.segments.idt.base.expect("an IDT")))
                .is_ok()
        );
    }
}

#[test]
fn the_debugger_block_is_encoded_as_windows_decodes_it() {
    for layout in layouts::all() {
        let plan = crowd(layout);
        let how = plan.debugger_data;
        let machine = plan.write(&layout.profile);
        let look = look(layout, &machine);
        let base = machine.plan.kernel_base;
        let block = look.symbol(base, "KdDebuggerDataBlock");
        let word = |offset| {
            look.space
                .read_uint(block.plus(offset), 8)
                .expect("the block")
        };
        let decoded = |offset| match how {
            DebuggerData::Plain => word(offset),
            DebuggerData::Encoded { never, always } => {
                // `KdDecodeDataBlock`, as Volatility's source has it.
                let flag = look.symbol(base, "KdpDataBlockEncoded").0 | 0xffff_0000_0000_0000;
                let turned = (word(offset) ^ never).rotate_left(never as u32 & 0xff);
                (turned ^ flag).swap_bytes() ^ always
            }
        };
        let tag = decoded(0x10).to_le_bytes();
        assert_eq!(&tag[..4], b"KDBG", "{}", layout.name);
        let heads = ["PsLoadedModuleList", "PsActiveProcessHead"];
        for (offset, name) in [0x48, 0x50].into_iter().zip(heads) {
            assert_eq!(decoded(offset), look.symbol(base, name).0);
        }
        if matches!(how, DebuggerData::Encoded { .. }) {
            assert_ne!(&word(0x10).to_le_bytes()[..4], b"KDBG");
        }
    }
}

#[test]
fn pages_are_away_as_the_plan_says() {
    let states = [
        Paged::Transition,
        Paged::Prototype(Proto::Valid),
        Paged::Prototype(Proto::Transition),
        Paged::Prototype(Proto::PageFile(0x77)),
        Paged::DemandZero,
        Paged::PageFile {
            number: 1,
            offset: 0x4321,
        },
    ];
    for layout in layouts::all() {
        for state in states {
            let mut plan = crowd(layout);
            let process = plan.processes.iter_mut().find(|p| p.pid == 1012);
            process.unwrap().paged.push((Part::Peb, state));
            let machine = plan.write(&layout.profile);
            let look = look(layout, &machine);
            let process = machine.process(1012);
            let own = look.through(process.root.unwrap());
            let walk = own.space.walk(process.peb.unwrap());
            let entry = walk.steps.last().expect("a step").entry;
            // Above the mark of a prototype entry stands a part of its address.
            let marks = match state {
                Paged::Prototype(_) => 1,
                _ => 3,
            };
            let bits = (entry & 1, entry >> 10 & marks);
            let wanted = match state {
                Paged::Transition => (0, 2),
                Paged::Prototype(_) => (0, 1),
                _ => (0, 0),
            };
            assert_eq!(bits, wanted, "{} {state:?}", layout.name);
            assert!(own.space.translate(process.peb.unwrap()).is_err());
        }
    }
}

#[test]
fn files_hold_the_machine() {
    let folder = std::env::temp_dir().join(format!("osier-winmach-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for layout in layouts::all() {
        let machine = crowd(layout).write(&layout.profile);
        let (raw, dump) = (folder.join("raw"), folder.join("dmp"));
        machine.write_raw(&raw).unwrap();
        machine.write_crash_dump(&dump).unwrap();
        let wide = machine.plan.paging.pointer_bytes() == 8;
        let header = if wide { 0x2000 } else { 0x1000 };
        let bytes = |path, at, n| {
            use std::io::{Read, Seek, SeekFrom};
            let mut file = std::fs::File::open(path).unwrap();
            let mut bytes = vec![0; n];
            file.seek(SeekFrom::Start(at)).unwrap();
            file.read_exact(&mut bytes).unwrap();
            bytes
        };
        let pa = machine.plan.kernel_physical;
        let mut truth = vec![0; 4096];
        machine.memory.read(pa, &mut truth).unwrap();
        assert_eq!(&truth[..2], b"MZ", "{}", layout.name);
        assert_eq!(bytes(&raw, pa.0, 4096), truth);
        // Two runs: to 0x9f000, and from 1 MiB on.
        let at = header + 0x9_e000 + (pa.0 - 0x10_0000);
        assert_eq!(bytes(&dump, at, 4096), truth);
        let magic = if wide { b"PAGEDU64" } else { b"PAGEDUMP" };
        assert_eq!(bytes(&dump, 0, 8), magic);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn libosi_s_tables_can_be_written() {
    let own = layouts::own();
    let i386 = Libosi::I386
        .plan(&own[0].profile, true)
        .write(&own[0].profile);
    check_rows(&own[0], &i386);
    let modules = |machine: &WindowsMachine| {
        let seen = machine.plan.processes.iter().filter(|p| p.paged.is_empty());
        seen.map(|process| process.modules.len()).sum::<usize>()
    };
    assert_eq!((i386.plan.processes.len(), modules(&i386)), (31, 1391));
    let layout = layouts::of("3844dbb9");
    let amd64 = Libosi::Amd64
        .plan(&layout.profile, true)
        .write(&layout.profile);
    check_rows(layout, &amd64);
    // One row of libosi's 403 is an entry that could not be read.
    assert_eq!((amd64.plan.processes.len(), modules(&amd64)), (37, 402));
    assert_eq!(amd64.process(420).root, Some(PhysAddr(0x1c55_a000)));
    // Where libosi expects the first processor's block, as it finds it.
    let gs = amd64.cpus[0].kernel_gs_base;
    assert_eq!(gs, Some(0xffff_f800_0284_cd00));
    for (image, pid) in Libosi::WOW64 {
        let machine = image.plan(&layout.profile, true).write(&layout.profile);
        check_rows(layout, &machine);
        let wow64 = machine.process(pid).wow64.as_ref().unwrap();
        assert!(wow64.modules.len() >= 26);
        wow64_list(&look(layout, &machine), machine.process(pid));
    }
    for layout in layouts::all()
        .iter()
        .filter(|layout| layout.profile.identity().pointer_bytes == 8)
    {
        let machine = Libosi::Amd64
            .plan(&layout.profile, false)
            .write(&layout.profile);
        check_rows(layout, &machine);
    }
}

/// The 32-bit list by the offsets of a 32-bit Windows, from the `_EPROCESS` on.
fn wow64_list(look: &Look<'_>, process: &Process) {
    let wow64 = process.wow64.as_ref().unwrap();
    let own = look.through(process.root.unwrap());
    let word = |at: u64| own.space.read_uint(VirtAddr(at), 4).unwrap();
    let eprocess = process.eprocess.unwrap();
    let peb = own.get(eprocess, "_EPROCESS", "Wow64Process");
    assert_eq!(peb, wow64.peb.0);
    let head = word(peb + 0xc) + 0xc;
    let (mut at, mut rows) = (word(head), Vec::new());
    while at != head {
        rows.push((word(at + 0x18), word(at + 0x20)));
        at = word(at);
    }
    let wanted: Vec<_> = wow64.modules.iter().map(|m| (m.base, m.size)).collect();
    assert_eq!(rows, wanted);
}
