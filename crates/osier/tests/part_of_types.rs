//! Profiles that lack a structure that the kernel has: no value changes while the answer claims to be complete, and
//! none is said not to be in this kernel.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;

use osier::ask::{Question, transcript};
use osier::osier_profile::{Kind, Member, OsKind, Profile, ProfileBuilder, Type};
use osier::osier_snapshot::Snapshot;
use osier::{Guest, Options, ProfileSource, Shared, open_snapshot};

/// `kind`, of which nobody knows what it points to.
fn void(kind: &Kind) -> Kind {
    match kind {
        Kind::Pointer { .. } => Kind::Pointer { to: String::new() },
        Kind::Array { of, count } => Kind::Array {
            of: Box::new(void(of)),
            count: *count,
        },
        kind => kind.clone(),
    }
}

/// `profile` with what `written` makes of each of its types.
fn rewritten(profile: &Profile, written: impl Fn(&Type) -> Option<Type>) -> Profile {
    let mut cut = ProfileBuilder::new(profile.identity().clone());
    for known in profile.types().iter().filter_map(written) {
        cut.add_type(known);
    }
    for (name, value) in profile.symbols() {
        cut.add_symbol(name.clone(), *value);
    }
    for (name, value) in profile.constants() {
        cut.add_constant(name.clone(), *value);
    }
    cut.build()
}

/// `known` with other members.
fn with(known: &Type, members: Vec<Member>) -> Type {
    Type::new(known.name.clone(), known.kind, known.bytes, members)
}

/// `profile`, whose pointers say no more what they point to.
fn of_void_pointers(profile: &Profile) -> Profile {
    rewritten(profile, |known| {
        let mut members = known.members().to_vec();
        for held in &mut members {
            held.kind = void(&held.kind);
        }
        Some(with(known, members))
    })
}

/// `profile` without the structure `name`, or without a member of it. How long a member is that holds the structure,
/// nobody knows then, as an ISF does not say.
fn without(profile: &Profile, name: &str, member: Option<&str>) -> Profile {
    rewritten(profile, |known| {
        let mut members = known.members().to_vec();
        if known.name == name {
            let member = member?;
            members.retain(|one| one.name != member);
        } else if member.is_none() {
            for held in &mut members {
                if matches!(&held.kind, Kind::Embedded { name: of } if of == name) {
                    held.bytes = 0;
                }
            }
        }
        Some(with(known, members))
    })
}

/// A golden snapshot, and the profile that comes with it.
struct Golden {
    shared: Shared,
    options: Options,
    file: std::path::PathBuf,
}

impl Golden {
    fn open(name: &str) -> Self {
        let file = osier_testkit::data::workspace().join(format!("snapshots/{name}.elf"));
        let options = Options::default();
        let shared = Shared::new(&options).unwrap();
        Self {
            shared,
            options,
            file,
        }
    }

    fn snapshot(&self) -> Snapshot {
        open_snapshot(&self.file, &self.options).unwrap()
    }

    /// The structures of its profile.
    fn structures(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let located = self.shared.locate(&snapshot, &[]).unwrap();
        let (profile, _) = self.shared.profile(&snapshot, &located).unwrap();
        profile
            .types()
            .iter()
            .map(|known| known.name.clone())
            .collect()
    }

    fn guest(&self, cut: impl FnOnce(&Profile) -> Profile) -> Option<Guest> {
        let snapshot = self.snapshot();
        let located = self.shared.locate(&snapshot, &[]).unwrap();
        let (profile, _) = self.shared.profile(&snapshot, &located).unwrap();
        let profile = Arc::new(cut(&profile));
        // One that lacks what is needed to attach is refused.
        Guest::with(snapshot, located, profile, ProfileSource::Given).ok()
    }
}

#[test]
fn a_structure_that_a_profile_lacks_is_no_structure_that_the_kernel_lacks() {
    lacking_structures(Profile::clone);
}

/// Some writers of symbol files name no structure that a pointer leads to.
#[test]
fn nor_is_one_that_no_pointer_names() {
    lacking_structures(of_void_pointers);
}

/// Asks everything without each structure in turn, of profiles that were written like this.
fn lacking_structures(written: fn(&Profile) -> Profile) {
    for name in ["deb11-5.10-686", "deb12-6.1-amd64", "deb13-6.12-amd64"] {
        let golden = Golden::open(name);
        let whole = golden.guest(Profile::clone).unwrap();
        let whole =
            Question::ALL.map(|question| (question, transcript(&*whole.provider(), question)));
        // What was distilled for other questions than these is asked for nothing.
        let mut whole = Vec::from(whole);
        whole.retain(|(_, answer)| answer.is_complete());
        let (mut asked, mut told, mut changed) = (0, 0, Vec::new());
        for structure in golden.structures() {
            let Some(guest) = golden.guest(|profile| without(&written(profile), &structure, None))
            else {
                continue;
            };
            for (question, whole) in &whole {
                let answer = transcript(&*guest.provider(), *question);
                let place = format!("{name} without {structure}: {}", question.word());
                asked += 1;
                if answer.is_complete() {
                    for (line, before) in answer.lines.iter().zip(&whole.lines) {
                        // What was not held against the pid table is as right as it was.
                        let line = line.replace("\"list-unchecked\"", "\"both\"");
                        if line != *before {
                            changed.push(format!("{place}: {before}, now {line}"));
                            break;
                        }
                    }
                    if answer.rows != whole.rows {
                        changed.push(format!("{place}: {} rows, now {}", whole.rows, answer.rows));
                    }
                } else {
                    told += 1;
                }
                // Linux keeps no such thing, or this kernel does not, by its whole types as well.
                let mut lines = answer.lines.iter().zip(&whole.lines);
                let gone = "not-in-this-kernel";
                let wrong =
                    lines.find(|(line, before)| line.contains(gone) && !before.contains(gone));
                if let Some((line, _)) = wrong {
                    changed.push(format!("{place}: not in this kernel: {line}"));
                }
            }
        }
        assert!(changed.is_empty(), "{name}: {changed:#?}");
        assert!(asked > 1000 && told > 50, "{name}: {told} of {asked}");
    }
}

#[test]
fn a_member_that_every_kernel_has_is_missed() {
    let golden = Golden::open("deb12-6.1-amd64");
    for (structure, member) in [
        ("task_struct", "flags"),
        ("mm_struct", "arg_start"),
        ("inode", "i_mode"),
        ("signal_struct", "tty"),
    ] {
        let guest = golden.guest(|profile| without(profile, structure, Some(member)));
        let guest = guest.unwrap();
        let place = format!("{structure}.{member}");
        let said = guest.info().anomalies.iter();
        assert!(
            said.into_iter()
                .any(|anomaly| anomaly.to_string().contains(&place)),
            "{place}"
        );
    }
    let whole = golden.guest(Profile::clone).unwrap();
    let mut said = whole.info().anomalies.iter();
    assert!(!said.any(|one| one.text.contains("part of the kernel's types")));
}

/// The profiles that come with Osier, by the names of their files.
fn shipped() -> Vec<(String, Profile)> {
    let folder = osier_testkit::data::workspace().join("symbols");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|ending| ending == "osp"));
    let read = |file: std::path::PathBuf| {
        (
            file.display().to_string(),
            Profile::read_file(&file).unwrap().0,
        )
    };
    files.map(read).collect()
}

fn lacking(profile: &Profile) -> Vec<String> {
    match profile.identity().os {
        OsKind::Linux => osier_linux::lacking(profile),
        _ => osier_windows::lacking(profile),
    }
}

/// Every profile that comes with Osier was made of all of a kernel's types.
#[test]
fn what_is_shipped_lacks_nothing() {
    let shipped = shipped();
    assert!(shipped.len() > 10, "{}", shipped.len());
    for (file, profile) in &shipped {
        assert_eq!(lacking(profile), Vec::<String>::new(), "{file}");
        let void = of_void_pointers(profile);
        assert_eq!(lacking(&void), Vec::<String>::new(), "{file}");
    }
}

/// What every shipped kernel of a system has is missed in a profile that lacks it, though no pointer names it.
#[test]
fn what_every_kernel_has_is_missed() {
    for os in [OsKind::Linux, OsKind::Windows] {
        let mut of_os = shipped();
        of_os.retain(|(_, profile)| profile.identity().os == os);
        let (_, first) = of_os.first().unwrap();
        // Members without a name, and types that have one by `typedef` alone, are called so by some sources.
        let named = |known: &&Type| {
            let by_typedef = matches!(
                &*known.name,
                "atomic_t" | "kgid_t" | "kuid_t" | "mm_context_t"
            );
            !known.members().is_empty() && !known.name.contains('.') && !by_typedef
        };
        let mut unnoticed = Vec::new();
        for known in first.types().iter().filter(named) {
            let everywhere = of_os.iter().all(|(_, profile)| {
                let other = profile.find_type(&known.name);
                other.is_some_and(|other| !other.members().is_empty())
            });
            let miss = |profile: &Profile| {
                let cut = without(&of_void_pointers(profile), &known.name, None);
                !lacking(&cut).is_empty()
            };
            if everywhere && !of_os.iter().all(|(_, profile)| miss(profile)) {
                unnoticed.push(known.name.clone());
            }
        }
        let known = match os {
            OsKind::Linux => &OPTIONAL[..],
            _ => &[],
        };
        assert_eq!(unnoticed, known, "{os:?}");
    }
}

/// What all shipped Linux kernels have, and is not missed: the first, whose list an older kernel keeps of other things;
/// `percpu_counter`, which is missed where a member holds one that is read; and what no walker reads.
const OPTIONAL: [&str; 15] = [
    "bpf_ksym",
    "cgroup_root",
    "cgroup_subsys",
    "cgrp_cset_link",
    "gate_struct",
    "kernel_param",
    "kernfs_root",
    "nf_hook_ops",
    "percpu_counter",
    "proc_dir_entry",
    "proc_ops",
    "task_cputime",
    "timezone",
    "vm_struct",
    "vmap_area",
];
