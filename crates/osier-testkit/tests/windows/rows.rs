//! The rows of a machine as a bare reader finds them, and as its plan has them.

use osier_memory::VirtAddr;
use osier_testkit::windows::{Plan, Process, WindowsMachine};

use crate::look::Look;
use osier_testkit::windows::layouts::Layout;

pub(crate) fn look<'p>(layout: &'p Layout, machine: &WindowsMachine) -> Look<'p> {
    let plan = &machine.plan;
    Look::new(
        &layout.profile,
        &machine.machine(),
        plan.paging,
        plan.system_root,
    )
}

/// Pid, name and table root of each process on the ring.
pub(crate) fn ring(look: &Look<'_>, plan: &Plan) -> Vec<(u64, String, u64)> {
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

pub(crate) fn wanted(plan: &Plan) -> Vec<(u64, String, u64)> {
    let low = if plan.kva_shadow { 2 } else { 0 };
    let rows = plan.processes.iter().map(|process| {
        let root = process.root.expect("written").0 | low;
        (process.pid, process.name.clone(), root)
    });
    rows.collect()
}

pub(crate) fn modules(look: &Look<'_>, process: &Process, peb: VirtAddr) {
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
pub(crate) fn vads(look: &Look<'_>, eprocess: VirtAddr) -> Vec<(u64, u64)> {
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

pub(crate) fn expected_vads(process: &Process) -> Vec<(u64, u64)> {
    let vads = process.vads.iter();
    let vads: Vec<_> = vads.map(|vad| (vad.start >> 12, vad.end >> 12)).collect();
    assert!(vads.is_sorted());
    vads
}

pub(crate) fn drivers(look: &Look<'_>, plan: &Plan) {
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
pub(crate) fn processors(look: &Look<'_>, machine: &WindowsMachine) {
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

/// Every row of a machine, through each process's own table.
pub(crate) fn check_rows(layout: &Layout, machine: &WindowsMachine) {
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
