//! What a profile that was made of a part of a kernel's types does not tell.

use std::collections::HashSet;

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
/// kernel has; of the structures that are `wanted`, those that a member of another holds or points to; and of those
/// that something else `proves`.
pub fn lacking<'a>(
    profile: &'a Profile,
    members: &[(&str, &[&str])],
    wanted: &Wanted,
    proven: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    // One that has bytes and no member is not described.
    let is_told = |name: &str| {
        let known = profile.find_type(name);
        known.is_some_and(|known| known.bytes == 0 || !known.members().is_empty())
    };
    let mut lacking = Vec::new();
    let mut met = HashSet::new();
    for (structure, members) in members {
        match profile.find_type(structure).filter(|_| is_told(structure)) {
            None => {
                met.insert(*structure);
                lacking.push((*structure).to_owned());
            }
            Some(known) => {
                let absent = members.iter().filter(|name| known.member(name).is_none());
                lacking.extend(absent.map(|name| format!("{structure}.{name}")));
            }
        }
    }
    let wanted: HashSet<&str> = wanted.types.iter().copied().flatten().copied().collect();
    let all = profile.types().iter().flat_map(Type::members);
    let named = all.map(|member| named(&member.kind));
    for name in named.chain(proven) {
        if wanted.contains(name) && met.insert(name) && !is_told(name) {
            lacking.push(name.to_owned());
        }
    }
    lacking
}
