//! A provider over a real snapshot: opened, located, its profile out of its own memory or, for a
//! kernel without type information, out of the folder `symbols/`.

use osier_osi::SeenExt as _;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use osier_linux::{Linux, Located, WANTED, linux_policy, locate};
use osier_memory::{AddressSpace, Machine};
use osier_osi::{Mapping, Osi, Process, WalkEnds};
use osier_profile::{Identity, OsKind, Profile, ProfileStore};
use osier_snapshot::{OpenOptions, open};
use osier_symbols::image;

pub(crate) const SNAPSHOTS: [&str; 5] = [
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

/// The provider of the kernel in `file`.
pub(crate) fn attach(file: &Path) -> Linux {
    let (machine, located, profile) = parts(file);
    Linux::attach(&machine, &located, profile).unwrap()
}

/// What a provider of the kernel in `file` is made of.
pub(crate) fn parts(file: &Path) -> (Machine, Located, Arc<Profile>) {
    let snapshot = open(file, &OpenOptions::default()).unwrap();
    let machine = snapshot.machine;
    let located = locate(&machine, &[]).unwrap();
    let profile = match own_profile(&machine, &located) {
        Some(own) => own,
        None => stored_profile(&located),
    };
    (machine, located, profile)
}

fn own_profile(machine: &Machine, located: &Located) -> Option<Arc<Profile>> {
    let space = AddressSpace::new(
        machine.memory.clone(),
        located.mode,
        located.root,
        linux_policy,
    );
    let identity = Identity {
        os: OsKind::Linux,
        pointer_bytes: located.mode.pointer_bytes(),
        build_id: located.build_id.clone(),
        banner: located.banner.clone(),
        release: located.release(),
    };
    let image = image::Image {
        text: located.text,
        end: located.end,
        slide: None,
    };
    let made = image::import(&space, image, Some(&WANTED), identity).ok()?;
    Some(Arc::new(made.build()))
}

fn stored_profile(located: &Located) -> Arc<Profile> {
    let store = ProfileStore {
        dirs: vec![osier_testkit::data::workspace().join("symbols")],
        ..ProfileStore::default()
    };
    let fingerprint = || WANTED.fingerprint();
    let by_id = located.build_id.as_ref();
    by_id
        .and_then(|id| store.find(id, fingerprint))
        .or_else(|| store.find_by_banner(&store.all(), &located.banner, fingerprint))
        .map(|(profile, _)| profile)
        .expect("a profile of this kernel in symbols/")
}

/// Every process by its id.
pub(crate) fn processes(linux: &Linux) -> BTreeMap<u32, Process> {
    let mut processes = BTreeMap::new();
    let ends = linux.processes(&mut |process| {
        processes.insert(process.pid.value().unwrap(), process);
        ControlFlow::Continue(())
    });
    assert!(ends.is_complete(), "{ends:?}");
    processes
}

/// The mappings of a process.
pub(crate) fn mappings(linux: &Linux, process: &Process) -> (Vec<Mapping>, WalkEnds) {
    let mut rows = Vec::new();
    let ends = linux.mappings(process.taskd, &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    (rows, ends)
}
