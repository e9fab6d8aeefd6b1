//! Whole Windows machines: what comes out is what went in.
//!
//! Every layout, paging mode and container, with registers and without, and no hint but a folder
//! that holds the profile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod distilled;
mod ids;
#[path = "../../../osier-testkit/tests/windows/layouts.rs"]
mod layouts;
mod osi_test;
mod rows;
mod win2000;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use layouts::Layout;
use osier::osier_memory::{Machine, Paging};
use osier::osier_osi::Osi;
use osier::osier_profile::Kind;
use osier::osier_windows::{self, Windows};
use osier::{Options, Session};
use osier_testkit::Patched;
use osier_testkit::containers::hiber::HiberForm;
use osier_testkit::windows::{
    Libosi, Module, Paged, Part, Plan, Process, ProcessKind, Protection, Proto, Rekall, VadKind,
    WindowsMachine, Wow64,
};
use rows::{found, planned};

/// Every paging mode that kernels of the layout ran in.
fn modes(layout: &Layout) -> Vec<Paging> {
    let plan = Plan::new(&layout.profile);
    match plan.paging {
        Paging::Legacy => vec![Paging::Legacy, Paging::LegacyNoPse],
        Paging::Long4 if plan.version.0 == 10 => vec![Paging::Long4, Paging::Long5],
        mode => vec![mode],
    }
}

/// Processes of every sort that the layout knows.
fn crowd(layout: &Layout, mode: Paging) -> Plan {
    let profile = &layout.profile;
    let mut plan = Plan::new(profile);
    plan.paging = mode;
    let ntdll = "C:\\Windows\\SYSTEM32\\ntdll.dll";
    let mut shell = Process::new(1012, "explorer.exe")
        .child_of(4)
        .in_session(1)
        .runs(
            "C:\\Windows\\explorer.exe",
            "explorer.exe /e",
            0x0100_0000,
            0x2c_0000,
        )
        .loads(0x775c_0000, 0x1a_9000, ntdll)
        .thread(2000)
        .maps(0x20_0000, 0x1000, VadKind::Private, Protection::READ_WRITE)
        .maps(
            0x21_0000,
            0x3000,
            VadKind::Mapped(None),
            Protection::READ_WRITE,
        );
    let locale = VadKind::Mapped(Some("\\Windows\\System32\\locale.nls".to_owned()));
    shell = shell.maps(0x30_0000, 0x6_7000, locale, Protection::READ);
    // An image that the loader does not list.
    let unlinked = VadKind::Image("\\Users\\x\\hidden.dll".to_owned());
    shell = shell.maps(
        0x6000_0000,
        0x8000,
        unlinked,
        Protection::EXECUTE_WRITE_COPY,
    );
    "worker".clone_into(&mut shell.threads[0].name);
    plan.processes.push(shell);
    let mut gone = Process::new(1400, "gone.exe").child_of(1012);
    "C:\\Temp\\gone.exe".clone_into(&mut gone.path);
    plan.processes.push(gone.exited(0x01cb_3000_0000_0000));
    plan.processes.push(
        Process::new(1500, "a_very_long_name_of.exe")
            .child_of(1012)
            .runs(
                "C:\\Program Files\\Größe\\a_very_long_name_of.exe",
                "a_very_long_name_of.exe \u{1f980}",
                0x40_0000,
                0x1_0000,
            ),
    );
    if plan.version.0 == 10 {
        plan.processes.insert(1, Process::minimal(100, "Registry"));
        let mut pico = Process::minimal(1600, "bash");
        pico.kind = ProcessKind::Pico;
        plan.processes.push(pico);
    }
    if profile.identity().pointer_bytes == 8 {
        let (path, base, size) = ("C:\\old\\preccalc.exe", 0x40_0000, 0x2_d000);
        let mut old = Process::new(1756, "preccalc.exe")
            .child_of(1012)
            .in_session(1);
        old = old.runs(path, "native half", base, size);
        old = old.loads(0x07fe_f000_0000, 0x1a_9000, ntdll);
        old.wow64 = Some(Wow64 {
            modules: vec![
                Module::new(base, size, path),
                Module::new(0x775f_0000, 0x18_0000, "C:\\Windows\\SysWOW64\\ntdll.dll"),
            ],
            path: path.to_owned(),
            cmdline: "preccalc.exe /32".to_owned(),
            ..Wow64::default()
        });
        plan.processes.push(old);
    }
    plan.run(1016);
    plan
}

/// The provider on a machine in memory.
fn attach(layout: &Layout, machine: &Machine) -> Windows {
    let profile = Arc::new(layout.profile.clone());
    let known: Vec<_> = osier_windows::Known::of_profile(&profile)
        .into_iter()
        .collect();
    let located = osier_windows::locate(machine, &known)
        .unwrap_or_else(|error| panic!("{}: {error}", layout.name));
    Windows::attach(machine, &located, profile).expect("the profile serves")
}

/// All rows are as planned, and all walks ended well.
#[track_caller]
fn compare(osi: &dyn Osi, machine: &WindowsMachine, what: &str) {
    let bad = compare_rows(osi, machine, what);
    assert_eq!(bad, Vec::<String>::new(), "{what}");
}

/// All rows are as planned. Returns what is said of those that could not be had.
#[track_caller]
fn compare_rows(osi: &dyn Osi, machine: &WindowsMachine, what: &str) -> Vec<String> {
    let (rows, bad) = found(osi);
    let wanted = planned(&machine.plan);
    assert_eq!(rows.processes, wanted.processes, "{what}");
    assert_eq!(rows.handles, wanted.handles, "{what}");
    assert_eq!(rows.threads, wanted.threads, "{what}");
    assert_eq!(rows.current, wanted.current, "{what}");
    assert_eq!(rows.modules, wanted.modules, "{what}");
    for (found, wanted) in rows.mappings.iter().zip(&wanted.mappings) {
        assert_eq!(found, wanted, "{what}");
    }
    assert_eq!(rows.mappings.len(), wanted.mappings.len(), "{what}");
    bad
}

#[test]
fn in_memory_with_registers_and_without() {
    for layout in layouts::all() {
        for mode in modes(layout) {
            let machine = crowd(layout, mode).write(&layout.profile);
            for (with, snapshot) in [
                ("registers", machine.machine()),
                ("no registers", machine.without_registers()),
            ] {
                let what = format!("{} {mode:?} {with}", layout.name);
                let osi = attach(layout, &snapshot);
                compare(&osi, &machine, &what);
                assert_eq!(
                    osi.kernel().banner,
                    machine.plan.build_lab.as_bytes(),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn under_kva_shadow() {
    for layout in layouts::all() {
        let kprocess = layout.profile.find_type("_KPROCESS").unwrap();
        if kprocess.member("UserDirectoryTableBase").is_none() {
            continue;
        }
        for user in [true, false] {
            let mut plan = crowd(layout, Paging::Long4);
            plan.kva_shadow = true;
            plan.processors[0].user = user;
            let machine = plan.write(&layout.profile);
            for snapshot in [machine.machine(), machine.without_registers()] {
                let what = format!("{}, user mode: {user}", layout.name);
                compare(&attach(layout, &snapshot), &machine, &what);
            }
        }
    }
}

#[test]
fn with_small_pages_and_without_the_record_of_the_pdb() {
    for layout in layouts::all() {
        for mode in modes(layout) {
            let mut plan = crowd(layout, mode);
            plan.large_pages = false;
            let machine = plan.clone().write(&layout.profile);
            let what = format!("{} {mode:?} small pages", layout.name);
            compare(
                &attach(layout, &machine.without_registers()),
                &machine,
                &what,
            );
            plan.rsds = false;
            let machine = plan.write(&layout.profile);
            let what = format!("{} {mode:?} no RSDS", layout.name);
            compare(&attach(layout, &machine.machine()), &machine, &what);
        }
    }
}

/// Each part of a process away in each way: its rows say less, and nothing else changes.
#[test]
fn with_pages_that_are_away() {
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
    let parts = [Part::Peb, Part::Loader, Part::Entries, Part::Parameters];
    for layout in layouts::all() {
        let mode = modes(layout)[0];
        for (part, state) in parts
            .into_iter()
            .flat_map(|part| states.map(|state| (part, state)))
        {
            let mut plan = crowd(layout, mode);
            let process = plan.processes.iter_mut().find(|p| p.pid == 1012).unwrap();
            process.paged.push((part, state));
            let machine = plan.write(&layout.profile);
            let what = format!("{} {part:?} {state:?}", layout.name);
            let bad = compare_rows(&attach(layout, &machine.machine()), &machine, &what);
            // What is lost of a list is told; of the parameters the row itself tells.
            let there = rows::is_there(state) || part == Part::Parameters;
            assert_eq!(bad.is_empty(), there, "{what}: {bad:?}");
        }
    }
}

/// The profiles that a store needs to know the kernels by themselves.
fn store(folder: &Path, layout: &Layout) -> Options {
    let profiles = folder.join("profiles");
    std::fs::create_dir_all(&profiles).unwrap();
    let path = profiles.join("kernel.osp");
    let fingerprint = osier::import::fingerprint(&layout.profile);
    layout.profile.write_file(&path, fingerprint).unwrap();
    Options {
        profiles: vec![profiles],
        ..Options::default()
    }
}

/// A folder of this test, gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("osier-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn from_files_with_nothing_but_a_profile_in_the_store() {
    let folder = Folder::new("windows-files");
    for layout in layouts::all() {
        let options = store(&folder.0, layout);
        for mode in modes(layout) {
            let machine = crowd(layout, mode).write(&layout.profile);
            let (raw, dump) = (folder.0.join("memory.raw"), folder.0.join("memory.dmp"));
            machine.write_raw(&raw).unwrap();
            machine.write_crash_dump(&dump).unwrap();
            let mut files = vec![raw, dump];
            files.extend(hibernated(&machine, mode, &folder.0));
            for file in files {
                let what = format!("{} {mode:?} {}", layout.name, file.display());
                let session = Session::open(&file, &options)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(session.located.mode(), written_as(mode), "{what}");
                compare(session.osi.as_ref(), &machine, &what);
            }
        }
    }
}

/// The machine in a hibernation file of its time, where the paging mode is one that such files are
/// written in.
fn hibernated(machine: &WindowsMachine, mode: Paging, folder: &Path) -> Option<PathBuf> {
    let modern = machine.plan.version >= (6, 2);
    let (form, huffman) = match (mode, modern) {
        (Paging::Long4, true) => (HiberForm::Modern(true, 0x448), true),
        (Paging::Long4, false) => (HiberForm::Win7x64, false),
        (Paging::Pae, _) => (HiberForm::Win7x32, false),
        _ => return None,
    };
    let path = folder.join("hiberfil.sys");
    machine.write_hibernation(&path, form, huffman).unwrap();
    Some(path)
}

/// Nothing in a file tells 2-level paging with large pages from one without, where none is used.
fn written_as(mode: Paging) -> Paging {
    match mode {
        Paging::LegacyNoPse => Paging::Legacy,
        mode => mode,
    }
}

#[test]
fn libosi_s_machines() {
    let own = layouts::own();
    let i386 = Libosi::I386
        .plan(&own[0].profile, true)
        .write(&own[0].profile);
    let osi = attach(&own[0], &i386.machine());
    compare(&osi, &i386, "i386");
    let layout = match layouts::of("3844DBB9") {
        Ok(layout) => layout,
        Err(reason) => osier_testkit::skip!("{reason}"),
    };
    for (image, _) in Libosi::WOW64 {
        let machine = image.plan(&layout.profile, true).write(&layout.profile);
        compare(
            &attach(layout, &machine.machine()),
            &machine,
            &format!("{image:?}"),
        );
    }
    // The same rows on every x64 layout; on its own at the addresses that libosi expects.
    for layout in layouts::all()
        .iter()
        .filter(|layout| layout.profile.identity().pointer_bytes == 8)
    {
        let at_home = layout.name.contains("3844DBB9");
        let machine = Libosi::Amd64
            .plan(&layout.profile, at_home)
            .write(&layout.profile);
        let bad = compare_rows(&attach(layout, &machine.machine()), &machine, &layout.name);
        assert!(!bad.is_empty(), "most PEBs are away");
    }
}

#[test]
fn rekall_s_machine() {
    let folder = osier_testkit::real_data!("rekall-xp-laptop-2005-06-25");
    let rekall = Rekall::read(&folder.join("test_data"));
    for layout in &layouts::xp() {
        let machine = rekall.plan(&layout.profile).write(&layout.profile);
        for snapshot in [machine.machine(), machine.without_registers()] {
            let bad = compare_rows(&attach(layout, &snapshot), &machine, &layout.name);
            // Of one process Rekall could not read the PEB.
            let of_peb = |end: &String| end.starts_with("loader") || end.starts_with("heaps");
            assert!(bad.len() == 2 && bad.iter().all(of_peb), "{bad:?}");
        }
    }
}

/// The comparison itself: whatever is changed in the machine shows.
#[test]
fn a_wrong_field_shows() {
    let layout = &layouts::own()[1];
    let machine = crowd(layout, Paging::Pae).write(&layout.profile);
    let osi = attach(layout, &machine.machine());
    let eprocess = machine.process(1012).eprocess.unwrap();
    let fields = [
        "UniqueProcessId",
        "InheritedFromUniqueProcessId",
        "ImageFileName",
        "CreateTime",
        "ExitTime",
        "Pcb.DirectoryTableBase",
        "Peb",
        "VadRoot.BalancedRoot.RightChild",
        "ThreadListHead.Flink",
        "ActiveProcessLinks.Flink",
    ];
    let wanted = format!("{:?}", (planned(&machine.plan), Vec::<String>::new()));
    assert_eq!(format!("{:?}", found(&osi)), wanted);
    for field in fields {
        let mut at = eprocess;
        let mut ty = "_EPROCESS".to_owned();
        for part in field.split('.') {
            let member = layout.profile.find_type(&ty).unwrap().member(part).unwrap();
            at = at.plus(u64::try_from(member.offset).unwrap());
            if let Kind::Embedded { name } = &member.kind {
                ty.clone_from(name);
            }
        }
        let pa = osi.kernel_space().translate(at).unwrap();
        let mut patched = Patched::new(machine.machine().memory);
        // A link that is off by so much leads into the same page.
        patched.flip(pa, 6);
        let mut wrong = machine.machine();
        wrong.memory = Arc::new(patched);
        let rows = std::panic::catch_unwind(AssertUnwindSafe(|| {
            format!("{:?}", found(&attach(layout, &wrong)))
        }));
        assert!(
            rows.is_err() || rows.is_ok_and(|rows| rows != wanted),
            "{field}"
        );
    }
}
