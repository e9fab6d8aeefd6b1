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

mod layouts;
mod look;

use std::sync::Arc;

use layouts::Layout;
use look::Look;
use osier_memory::{Paging, PhysAddr, PhysicalMemory, VirtAddr};
use osier_testkit::Patched;
use osier_testkit::windows::{
    DebuggerData, Libosi, Paged, Part, Plan, Process, Protection, Proto, Rekall, VadKind,
    WindowsMachine, Wow64,
};

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

fn look<'p>(layout: &'p Layout, machine: &WindowsMachine) -> Look<'p> {
    let plan = &machine.plan;
    Look::new(
        &layout.profile,
        &machine.machine(),
        plan.paging,
        plan.system_root,
    )
}

/// Pid, name and table root of each process on the ring.
fn ring(look: &Look<'_>, plan: &Plan) -> Vec<(u64, String, u64)> {
    let head = look.symbol(plan.kernel_base, "PsActiveProcessHead");
    let (link, _) = look.place("_EPROCESS", "ActiveProcessLinks");
    let objects = look.ring(head, link);
    let rows = objects.iter().map(|at| {
        let (name, _) = look.place("_EPROCESS", "ImageFileName");
        let name = look.space.read_cstr(at.plus(name), 15).expect("a name");
        (
            look.get(*at, "_EPROCESS", "UniqueProcessId"),
            String::from_utf8(name).expect("ASCII"),
            look.get(*at, "_EPROCESS", "Pcb.DirectoryTableBase"),
        )
    });
    rows.collect()
}

fn wanted(plan: &Plan) -> Vec<(u64, String, u64)> {
    let low = if plan.kva_shadow { 2 } else { 0 };
    let rows = plan.processes.iter().map(|process| {
        let root = process.root.expect("written").0 | low;
        (process.pid, process.name.clone(), root)
    });
    rows.collect()
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

fn modules(look: &Look<'_>, process: &Process, peb: VirtAddr) {
    const ENTRY: &str = "_LDR_DATA_TABLE_ENTRY";
    let ldr = VirtAddr(look.get(peb, "_PEB", "Ldr"));
    let (head, _) = look.place("_PEB_LDR_DATA", "InLoadOrderModuleList");
    let entries = look.ring(ldr.plus(head), 0);
    let rows: Vec<_> = entries
        .iter()
        .map(|at| {
            (
                look.get(*at, ENTRY, "DllBase"),
                look.get(*at, ENTRY, "SizeOfImage"),
                look.text(*at, ENTRY, "FullDllName"),
                look.text(*at, ENTRY, "BaseDllName"),
            )
        })
        .collect();
    let wanted = process.modules.iter();
    let wanted: Vec<_> = wanted
        .map(|m| (m.base, m.size, m.path.clone(), m.name.clone()))
        .collect();
    assert_eq!(rows, wanted);
    let parameters = VirtAddr(look.get(peb, "_PEB", "ProcessParameters"));
    let cmdline = look.text(parameters, "_RTL_USER_PROCESS_PARAMETERS", "CommandLine");
    assert_eq!(cmdline, process.cmdline);
}

/// First and last page of each node, in order, from the tree of whichever shape.
fn vads(look: &Look<'_>, eprocess: VirtAddr) -> Vec<(u64, u64)> {
    let short = look.profile.find_type("_MMVAD_SHORT").expect("VADs");
    let balanced = short.member("VadNode").is_some();
    let (left, right) = if balanced {
        let place = |side: &str| look.place("_RTL_BALANCED_NODE", side).0;
        (place("Left"), place("Right"))
    } else {
        let place = |side: &str| look.place("_MMVAD_SHORT", side).0;
        (place("LeftChild"), place("RightChild"))
    };
    let (root, _) = look.place("_EPROCESS", "VadRoot");
    let avl = look.profile.find_type("_MM_AVL_TABLE").is_some() && !balanced;
    let root = if avl {
        look.pointer(eprocess.plus(root).plus(right))
    } else {
        look.pointer(eprocess.plus(root))
    };
    let (mut found, mut path, mut at) = (Vec::new(), Vec::new(), root);
    while !path.is_empty() || !at.is_null() {
        while !at.is_null() {
            path.push(at);
            at = look.pointer(at.plus(left));
        }
        let node = path.pop().expect("not empty");
        let number = |member: &str, high: &str| {
            let low = look.get(node, "_MMVAD_SHORT", member);
            let high = short
                .member(high)
                .map(|_| look.get(node, "_MMVAD_SHORT", high));
            low | high.unwrap_or(0) << 32
        };
        found.push((
            number("StartingVpn", "StartingVpnHigh"),
            number("EndingVpn", "EndingVpnHigh"),
        ));
        at = look.pointer(node.plus(right));
    }
    found
}

fn expected_vads(process: &Process) -> Vec<(u64, u64)> {
    let vads = process.vads.iter();
    let vads: Vec<_> = vads.map(|vad| (vad.start >> 12, vad.end >> 12)).collect();
    assert!(vads.is_sorted());
    vads
}

fn drivers(look: &Look<'_>, plan: &Plan) {
    let head = look.symbol(plan.kernel_base, "PsLoadedModuleList");
    let entries = look.ring(head, 0);
    let rows = entries.iter().map(|at| {
        let ty = "_LDR_DATA_TABLE_ENTRY";
        (
            look.get(*at, ty, "DllBase"),
            look.text(*at, ty, "BaseDllName"),
        )
    });
    let wanted = plan.drivers.iter().map(|d| (d.base, d.name.clone()));
    assert!(rows.eq(wanted));
}

/// From each processor's registers to its current thread and process.
fn processors(look: &Look<'_>, machine: &WindowsMachine) {
    let plan = &machine.plan;
    let wide = plan.paging.pointer_bytes() == 8;
    for (number, cpu) in machine.cpus.iter().enumerate() {
        assert_eq!(cpu.paging(), Some(plan.paging));
        let look = look.through(plan.paging.root_of_cr3(cpu.cr3));
        let pcr = if wide {
            match cpu.cpl {
                Some(0) => VirtAddr(cpu.segments.gs.base.expect("GS")),
                _ => VirtAddr(cpu.kernel_gs_base.expect("MSRs")),
            }
        } else {
            let entry = VirtAddr(cpu.segments.gdt.base.expect("a GDT")).plus(0x30);
            let entry = look.space.read_uint(entry, 8).expect("a descriptor");
            VirtAddr((entry >> 16 & 0xff_ffff) | (entry >> 56) << 24)
        };
        let (this, prcb) = if wide {
            ("Self", "CurrentPrcb")
        } else {
            ("SelfPcr", "Prcb")
        };
        assert_eq!(look.get(pcr, "_KPCR", this), pcr.0);
        let prcb = VirtAddr(look.get(pcr, "_KPCR", prcb));
        let thread = VirtAddr(look.get(prcb, "_KPRCB", "CurrentThread"));
        let (pid, tid) = match plan.processors[number].tid {
            Some(tid) => (plan.thread(tid).expect("a thread").0.pid, tid),
            None => (0, 0),
        };
        assert_eq!(look.get(thread, "_ETHREAD", "Cid.UniqueThread"), tid);
        let process = VirtAddr(look.get(thread, "_ETHREAD", "Tcb.ApcState.Process"));
        assert_eq!(look.get(process, "_EPROCESS", "UniqueProcessId"), pid);
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
            let bits = (entry & 1, entry >> 10 & 3);
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

/// Every row of a machine, through each process's own table.
fn check_rows(layout: &Layout, machine: &WindowsMachine) {
    let (plan, look) = (&machine.plan, look(layout, machine));
    assert_eq!(ring(&look, plan), wanted(plan), "{}", layout.name);
    let away = |process: &Process| {
        let named = process
            .modules
            .iter()
            .any(|module| module.paged_names.is_some());
        named || !process.paged.is_empty()
    };
    for process in plan.processes.iter().filter(|p| p.has_peb() && !away(p)) {
        let own = look.through(process.root.expect("written"));
        modules(&own, process, process.peb.expect("a PEB"));
        let eprocess = process.eprocess.expect("written");
        assert_eq!(vads(&own, eprocess), expected_vads(process));
    }
    drivers(&look, plan);
    processors(&look, machine);
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
    let layout = match layouts::of("3844DBB9") {
        Ok(layout) => layout,
        Err(reason) => osier_testkit::skip!("{reason}"),
    };
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

#[test]
fn rekall_s_xp_can_be_written() {
    let folder = osier_testkit::real_data!("rekall-xp-laptop-2005-06-25");
    let rekall = Rekall::read(&folder.join("test_data"));
    for layout in &layouts::xp() {
        let machine = rekall.plan(&layout.profile).write(&layout.profile);
        assert_eq!(machine.plan.processes.len(), 47);
        assert_eq!(machine.plan.drivers.len(), 127);
        check_rows(layout, &machine);
    }
}
