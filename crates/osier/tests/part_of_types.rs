//! Profiles that lack a structure that the kernel has: no value changes while the answer claims to be complete, and
//! none is said not to be in this kernel.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use osier::ask::{Question, transcript};
use osier::osier_profile::{Kind, Profile, ProfileBuilder, Type};
use osier::osier_snapshot::Snapshot;
use osier::{Guest, Options, ProfileSource, Shared, open_snapshot};

/// `profile` without the structure `name`, or without a member of it. How long a member is that holds the structure,
/// nobody knows then, as an ISF does not say.
fn without(profile: &Profile, name: &str, member: Option<&str>) -> Profile {
    let mut cut = ProfileBuilder::new(profile.identity().clone());
    for known in profile.types() {
        if known.name != name {
            let mut members = known.members().to_vec();
            for held in &mut members {
                if matches!(&held.kind, Kind::Embedded { name: of } if of == name && member.is_none())
                {
                    held.bytes = 0;
                }
            }
            cut.add_type(Type::new(
                known.name.clone(),
                known.kind,
                known.bytes,
                members,
            ));
        } else if let Some(member) = member {
            let members = known.members().iter().filter(|one| one.name != member);
            let (kind, bytes) = (known.kind, known.bytes);
            let rest = members.cloned().collect();
            cut.add_type(Type::new(name.to_owned(), kind, bytes, rest));
        }
    }
    for (name, value) in profile.symbols() {
        cut.add_symbol(name.clone(), *value);
    }
    for (name, value) in profile.constants() {
        cut.add_constant(name.clone(), *value);
    }
    cut.build()
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
            let Some(guest) = golden.guest(|profile| without(profile, &structure, None)) else {
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

/// Every profile that comes with Osier was made of all of a kernel's types.
#[test]
fn what_is_shipped_lacks_nothing() {
    let folder = osier_testkit::data::workspace().join("symbols");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|ending| ending != "osp") {
            continue;
        }
        let profile = Profile::read_file(&file).unwrap().0;
        let lacking = match profile.identity().os {
            osier::osier_profile::OsKind::Linux => osier_linux::lacking(&profile),
            _ => osier_windows::lacking(&profile),
        };
        assert_eq!(lacking, Vec::<String>::new(), "{}", file.display());
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}
