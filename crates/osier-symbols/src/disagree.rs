//! Whether two sources describe one kernel.

use osier_profile::{Identity, OsKind, Profile};

/// Structures that every kernel of a system changes from release to release.
const TELLING: [&str; 4] = ["task_struct", "mm_struct", "_EPROCESS", "_ETHREAD"];
/// What the search for a kernel starts from: a source that has it elsewhere is another kernel's, whatever else agrees.
const START: &str = "init_task";

/// What `one` and `other` say of their kernels that cannot be true of one: `what` it is, of the one, of the other.
/// `None` where nothing tells them apart.
pub fn disagreement(one: &Profile, other: &Profile) -> Option<[String; 3]> {
    let (first, second) = (one.identity(), other.identity());
    let differ = |what: &str, first: String, second: String| Some([what.to_owned(), first, second]);
    if first.os != second.os {
        return differ("the system", system(first), system(second));
    }
    if first.pointer_bytes != second.pointer_bytes {
        let width =
            |identity: &Identity| format!("{} bits", identity.pointer_bytes.saturating_mul(8));
        return differ("the width of pointers", width(first), width(second));
    }
    if let (Some(own), Some(theirs)) = (&first.build_id, &second.build_id)
        && own != theirs
    {
        return differ("the build", own.to_string(), theirs.to_string());
    }
    let [own, theirs] = [first, second].map(|identity| trimmed(&identity.banner));
    if !own.is_empty() && !theirs.is_empty() && own != theirs {
        let shown = |banner: &[u8]| banner.escape_ascii().to_string();
        return differ("the banner", shown(own), shown(theirs));
    }
    let (own, theirs) = (&first.release, &second.release);
    if is_release(own) && is_release(theirs) && own != theirs {
        return differ("the release", own.clone(), theirs.clone());
    }
    symbols(one, other).or_else(|| members(one, other))
}

fn system(identity: &Identity) -> String {
    let name = match identity.os {
        OsKind::Linux => "Linux",
        OsKind::Windows => "Windows",
        OsKind::Other => "another",
    };
    name.to_owned()
}

/// A banner without what some writers keep at its end.
fn trimmed(banner: &[u8]) -> &[u8] {
    let end = banner
        .iter()
        .rposition(|byte| !matches!(byte, 0 | b'\n' | b' '))
        .map_or(0, |last| last.saturating_add(1));
    banner.get(..end).unwrap_or_default()
}

/// Whether this is a release and not a name that somebody gave.
fn is_release(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && text.contains('.')
}

/// Symbols that both have and most of which lie elsewhere. A few may: of two static ones of one name each source has one.
fn symbols(one: &Profile, other: &Profile) -> Option<[String; 3]> {
    let (mut common, mut apart, mut first) = (0_usize, 0_usize, None);
    for (name, own) in one.symbols() {
        let Some(theirs) = other.symbol(name) else {
            continue;
        };
        common = common.saturating_add(1);
        if *own == theirs {
            continue;
        }
        apart = apart.saturating_add(1);
        let found = [
            format!("the address of {name}"),
            format!("{own:#x}"),
            format!("{theirs:#x}"),
        ];
        if name == START {
            return Some(found);
        }
        first.get_or_insert(found);
    }
    first.filter(|_| apart > common / 2)
}

/// Members of a telling structure that both have and most of which lie elsewhere.
fn members(one: &Profile, other: &Profile) -> Option<[String; 3]> {
    TELLING.iter().find_map(|name| {
        let (own, theirs) = (one.find_type(name)?, other.find_type(name)?);
        let (mut common, mut apart, mut first) = (0_usize, 0_usize, None);
        for member in own.members() {
            let Some(there) = theirs.member(&member.name) else {
                continue;
            };
            common = common.saturating_add(1);
            if member.offset != there.offset {
                apart = apart.saturating_add(1);
                first.get_or_insert([
                    format!("the offset of {name}.{}", member.name),
                    member.offset.to_string(),
                    there.offset.to_string(),
                ]);
            }
        }
        first.filter(|_| apart > common / 2)
    })
}

#[cfg(test)]
mod tests {
    use osier_profile::{Kind, Member, ProfileBuilder, Type, TypeKind};

    use super::*;

    fn profile(release: &str, banner: &[u8], symbols: &[(&str, u64)], offsets: &[i64]) -> Profile {
        let mut builder = ProfileBuilder::new(Identity {
            os: OsKind::Linux,
            pointer_bytes: 8,
            build_id: None,
            banner: banner.to_vec(),
            release: release.to_owned(),
        });
        for (name, value) in symbols {
            builder.add_symbol(*name, *value);
        }
        let member = |(number, offset): (usize, &i64)| Member {
            name: format!("m{number}"),
            offset: *offset,
            bytes: 4,
            bits: None,
            kind: Kind::Int { signed: false },
        };
        let members = offsets.iter().enumerate().map(member).collect();
        let task = Type::new("task_struct".to_owned(), TypeKind::Struct, 0, members);
        builder.add_type(task);
        builder.build()
    }

    #[test]
    fn what_cannot_be_of_one_kernel_is_told() {
        let base = profile(
            "6.1.0-50-amd64",
            b"Linux version 6.1",
            &[("init_task", 16), ("a", 1)],
            &[0, 8, 16],
        );
        let what = |other: &Profile| disagreement(&base, other).map(|[what, ..]| what);
        assert_eq!(what(&base), None);
        // Others keep the end of the line, and a name may be anybody's.
        assert_eq!(
            what(&profile("mine", b"Linux version 6.1\n\0", &[], &[])),
            None
        );
        assert_eq!(
            what(&profile("6.1.0-49-amd64", b"", &[], &[])).unwrap(),
            "the release"
        );
        assert_eq!(
            what(&profile("", b"Linux version 5.10", &[], &[])).unwrap(),
            "the banner"
        );
        assert_eq!(
            what(&profile("", b"", &[("init_task", 32), ("a", 1)], &[])).unwrap(),
            "the address of init_task"
        );
        // One of two static ones of a name.
        assert_eq!(
            what(&profile("", b"", &[("init_task", 16), ("a", 2)], &[])),
            None
        );
        assert_eq!(
            what(&profile("", b"", &[("a", 2)], &[])).unwrap(),
            "the address of a"
        );
        assert_eq!(what(&profile("", b"", &[], &[0, 8, 24])), None);
        assert_eq!(
            what(&profile("", b"", &[], &[0, 16, 24])).unwrap(),
            "the offset of task_struct.m1"
        );
    }
}
