//! The machines of these tests, the provider on them, and what they must answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier::Options;
use osier::Osi;
use osier::osier_memory::{Machine, Paging};
use osier::osier_windows::{self, Windows};
use osier_testkit::windows::{self, Plan, WindowsMachine};

use crate::rows::{found, planned};
use osier_testkit::windows::layouts::Layout;

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
    let mut plan = windows::crowd(&layout.profile);
    plan.paging = mode;
    plan
}

/// The provider on a machine in memory.
pub(crate) fn attach(layout: &Layout, machine: &Machine) -> Windows {
    let profile = Arc::new(layout.profile.clone());
    let known: Vec<_> = osier_windows::KnownKernel::of_profile(&profile)
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

/// All rows are as planned. Returns what is said of those that could not be read.
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
