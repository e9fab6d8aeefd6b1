//! `osi-test` of Windows machines: PANDA's format, order and last row, written down by its
//! `printf` formats and libosi's rules and held against the answer byte for byte.

use std::fmt::Write as _;

use osier::panda::{Sentinel, osi_test};
use osier_testkit::windows::{Libosi, Module, Plan, Process, ProcessKind, Told};

use crate::machines::{attach, crowd};
use osier_testkit::windows::layouts::{self, Layout};

const RULE: &str = "-------------------------------------------------";

/// What PANDA prints of the machine: libosi begins after System and ends with it, and lists what
/// has a PEB.
fn expected(plan: &Plan, sentinel: bool) -> String {
    let mut out = String::new();
    let tid = plan.processors[0].tid.expect("a current thread");
    let (current, _) = plan.thread(tid).expect("the thread");
    let (pid, ppid) = (current.pid, current.ppid);
    writeln!(
        out,
        "Current process: {} PID:{pid} PPID:{ppid}",
        cut(current)
    )
    .unwrap();
    writeln!(out).unwrap();
    let listed = |process: &&Process| process.peb.is_some();
    let system = plan
        .processes
        .iter()
        .filter(|p| p.kind == ProcessKind::System);
    let processes: Vec<_> = plan.processes.iter().filter(listed).chain(system).collect();
    writeln!(out, "Process list ({} procs):", processes.len()).unwrap();
    for process in processes {
        let (name, pid, ppid) = (cut(process), process.pid, process.ppid);
        writeln!(out, "  {name:<16}\t{pid}\t{ppid}").unwrap();
    }
    write!(out, "\n{RULE}\n\n").unwrap();
    let wide = plan.paging.pointer_bytes() == 8;
    let row = |out: &mut String, base: u64, size: u64, name: &str, file: &str| {
        let digits = if wide { 16 } else { 8 };
        writeln!(out, "\t0x{base:0digits$x}\t{size}\t{name:<24} {file}").unwrap();
    };
    let mut libraries: Vec<&Module> = Vec::new();
    libraries.extend(current.wow64.iter().flat_map(|wow64| &wow64.modules));
    libraries.extend(&current.modules);
    writeln!(out, "Dynamic libraries list ({} libs):", libraries.len()).unwrap();
    for library in libraries {
        row(
            &mut out,
            library.base,
            library.size,
            &library.name,
            &library.path,
        );
    }
    writeln!(out).unwrap();
    let count = plan.drivers.len() + usize::from(sentinel);
    writeln!(out, "Kernel module list ({count} modules):").unwrap();
    for driver in &plan.drivers {
        row(
            &mut out,
            driver.base,
            driver.size,
            &driver.name,
            &driver.path,
        );
    }
    if sentinel {
        row(&mut out, 0, 0, "", "");
    }
    write!(out, "\n{RULE}\n\n").unwrap();
    out
}

/// A name as `ImageFileName` holds it.
fn cut(process: &Process) -> &str {
    &process.name[..process.name.len().min(15)]
}

fn check(layout: &Layout, plan: Plan, what: &str) {
    let machine = plan.write(&layout.profile);
    let osi = attach(layout, &machine.machine());
    let bytes = machine.plan.paging.pointer_bytes();
    for (sentinel, shown) in [(Sentinel::Shown, true), (Sentinel::LeftOut, false)] {
        let mut out = Vec::new();
        let printed = osi_test(&osi, bytes, sentinel, &mut out).unwrap();
        assert!(printed.ends.is_complete(), "{what}: {printed:?}");
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, expected(&machine.plan, shown), "{what}");
    }
}

#[test]
fn of_libosi_s_windows_7_machines() {
    let own = layouts::own();
    let i386 = Libosi::I386.plan(&own[0].profile, true);
    check(&own[0], i386, "i386");
    let layout = layouts::of("3844dbb9");
    for (image, _) in Libosi::WOW64 {
        check(
            layout,
            image.plan(&layout.profile, true),
            &format!("{image:?}"),
        );
    }
}

/// Exited, minimal and pico processes are left out, as libosi does.
#[test]
fn of_processes_that_libosi_leaves_out() {
    for layout in layouts::all() {
        let mode = Plan::new(&layout.profile).paging;
        check(layout, crowd(layout, mode), &layout.name);
    }
}

/// libosi walks the list, and never sees a process that was taken off it.
#[test]
fn of_a_process_that_is_on_no_list() {
    let layout = &layouts::own()[0];
    let mut plan = crowd(layout, Plan::new(&layout.profile).paging);
    let hidden = Process::new(3004, "rootkit.exe").told(Told::ByTable);
    plan.processes
        .push(hidden.runs("C:\\r.exe", "r", 0x40_0000, 0x1_0000));
    let machine = plan.write(&layout.profile);
    let osi = attach(layout, &machine.machine());
    let mut out = Vec::new();
    let printed = osi_test(&osi, 4, Sentinel::LeftOut, &mut out).unwrap();
    assert!(!printed.ends.is_complete(), "the table of ids disagrees");
    let mut listed = machine.plan.clone();
    listed
        .processes
        .retain(|process| process.told != Told::ByTable);
    assert_eq!(String::from_utf8(out).unwrap(), expected(&listed, false));
}
