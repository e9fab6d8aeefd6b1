//! The machines of these tests, the provider on them, and what they must answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier::Options;
use osier::osier_memory::{Machine, Paging};
use osier::osier_osi::Osi;
use osier::osier_windows::{self, Windows};
use osier_testkit::windows::{
    Module, Plan, Process, ProcessKind, Protection, VadKind, WindowsMachine, Wow64,
};

use crate::layouts::Layout;
use crate::rows::{found, planned};

/// Every paging mode that kernels of the layout ran in.
pub(crate) fn modes(layout: &Layout) -> Vec<Paging> {
    let plan = Plan::new(&layout.profile);
    match plan.paging {
        Paging::Legacy => vec![Paging::Legacy, Paging::LegacyNoPse],
        Paging::Long4 if plan.version.0 == 10 => vec![Paging::Long4, Paging::Long5],
        mode => vec![mode],
    }
}

/// Processes of every sort that the layout knows.
pub(crate) fn crowd(layout: &Layout, mode: Paging) -> Plan {
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
pub(crate) fn attach(layout: &Layout, machine: &Machine) -> Windows {
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
pub(crate) fn compare(osi: &dyn Osi, machine: &WindowsMachine, what: &str) {
    let bad = compare_rows(osi, machine, what);
    assert_eq!(bad, Vec::<String>::new(), "{what}");
}

/// All rows are as planned. Returns what is said of those that could not be had.
#[track_caller]
pub(crate) fn compare_rows(osi: &dyn Osi, machine: &WindowsMachine, what: &str) -> Vec<String> {
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

/// The profiles that a store needs to know the kernels by themselves.
pub(crate) fn store(folder: &Path, layout: &Layout) -> Options {
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
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
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
