//! What a profile that was made of a part of a kernel's types does not tell.

use crate::{Kind, Profile, Type, Wanted};

/// The structure that a member of this kind holds in place or points to.
fn named(kind: &Kind) -> &str {
    match kind {
        Kind::Embedded { name } | Kind::Pointer { to: name } => name,
        Kind::Array { of, .. } => named(of),
        Kind::Int { .. } | Kind::Unknown => "",
    }
}

/// What the kernel has and `profile` does not tell, as `STRUCTURE` or `STRUCTURE.MEMBER`: of these members, which every
/// kernel has, and of the structures that are `wanted`, those that a member of another holds or points to.
pub fn lacking(profile: &Profile, members: &[(&str, &[&str])], wanted: &Wanted) -> Vec<String> {
    let mut lacking = Vec::new();
    for (structure, members) in members {
        match profile.find_type(structure) {
            None => lacking.push((*structure).to_owned()),
            Some(known) => {
                let absent = members.iter().filter(|name| known.member(name).is_none());
                lacking.extend(absent.map(|name| format!("{structure}.{name}")));
            }
        }
    }
    let is_wanted = |name: &str| wanted.types.iter().any(|names| names.contains(&name));
    for member in profile.types().iter().flat_map(Type::members) {
        let name = named(&member.kind);
        // What is empty is not described by every source; an array of no stated length is not empty.
        let some = member.bytes > 0 || matches!(member.kind, Kind::Array { .. });
        if some
            && !name.is_empty()
            && profile.find_type(name).is_none()
            && is_wanted(name)
            && !lacking.iter().any(|known| known == name)
        {
            lacking.push(name.to_owned());
        }
    }
    lacking
}
