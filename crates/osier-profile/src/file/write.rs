//! A profile into the bytes of its card and its body.

use std::collections::HashMap;

use crate::{Kind, OsKind, Profile, TypeKind};

/// Symbols that confirm that a kernel lies where it is thought to.
const ANCHORS: [&str; 12] = [
    "_text",
    "_stext",
    "linux_banner",
    "init_top_pgt",
    "init_level4_pgt",
    "swapper_pg_dir",
    "initial_page_table",
    "init_task",
    "init_uts_ns",
    "KdDebuggerDataBlock",
    "PsActiveProcessHead",
    "PsLoadedModuleList",
];

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_number(out, (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The card of `profile`.
pub(super) fn write_card(profile: &Profile) -> Vec<u8> {
    let identity = profile.identity();
    let mut out = Vec::new();
    out.push(match identity.os {
        OsKind::Linux => 0,
        OsKind::Windows => 1,
        OsKind::Other => 2,
    });
    out.push(identity.pointer_bytes);
    put_bytes(&mut out, identity.build_id.as_ref().map_or(&[], |id| &id.0));
    put_bytes(&mut out, &identity.banner);
    put_bytes(&mut out, identity.release.as_bytes());
    put_bytes(&mut out, profile.text_head());
    let anchors = ANCHORS.map(|name| profile.symbol(name).map(|value| (name, value)));
    put_number(&mut out, anchors.iter().flatten().count() as u64);
    for (name, value) in anchors.into_iter().flatten() {
        put_bytes(&mut out, name.as_bytes());
        put_number(&mut out, value);
    }
    out
}

/// Items numbered in the order of their first use.
struct Numbered<K> {
    items: Vec<K>,
    numbers: HashMap<K, u64>,
}

impl<K: Clone + Eq + std::hash::Hash> Numbered<K> {
    fn new() -> Self {
        Self {
            items: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    fn number(&mut self, item: K) -> u64 {
        let next = self.items.len() as u64;
        let items = &mut self.items;
        *self.numbers.entry(item).or_insert_with_key(|item| {
            items.push(item.clone());
            next
        })
    }
}

/// A kind as it stands in the file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum FlatKind {
    Signed,
    Unsigned,
    Pointer { to: u64 },
    Embedded { name: u64 },
    Array { of: u64, count: u64 },
    Unknown,
}

fn number_kind<'p>(
    kind: &'p Kind,
    strings: &mut Numbered<&'p str>,
    kinds: &mut Numbered<FlatKind>,
) -> u64 {
    let flat = match kind {
        Kind::Int { signed: true } => FlatKind::Signed,
        Kind::Int { signed: false } => FlatKind::Unsigned,
        Kind::Pointer { to } => FlatKind::Pointer {
            to: strings.number(to),
        },
        Kind::Embedded { name } => FlatKind::Embedded {
            name: strings.number(name),
        },
        Kind::Array { of, count } => FlatKind::Array {
            of: number_kind(of, strings, kinds),
            count: *count,
        },
        Kind::Unknown => FlatKind::Unknown,
    };
    kinds.number(flat)
}

/// Writes the body of `profile`.
pub(super) fn write_body(profile: &Profile, out: &mut Vec<u8>) {
    let mut strings = Numbered::new();
    let mut kinds = Numbered::new();
    let mut rest = Vec::new();

    let mut provenance = Vec::new();
    put_number(&mut provenance, profile.provenance().len() as u64);
    for line in profile.provenance() {
        put_number(&mut provenance, strings.number(line.as_str()));
    }

    put_number(&mut rest, profile.types().len() as u64);
    for ty in profile.types() {
        put_number(&mut rest, strings.number(&ty.name));
        rest.push(match ty.kind {
            TypeKind::Struct => 0,
            TypeKind::Union => 1,
        });
        put_number(&mut rest, ty.bytes);
        put_number(&mut rest, ty.members().len() as u64);
        for member in ty.members() {
            put_number(&mut rest, strings.number(&member.name));
            let kind = number_kind(&member.kind, &mut strings, &mut kinds);
            put_number(&mut rest, kind << 1 | u64::from(member.bits.is_some()));
            put_signed(&mut rest, member.offset);
            put_number(&mut rest, member.bytes);
            if let Some((first, width)) = member.bits {
                rest.extend_from_slice(&[first, width]);
            }
        }
    }

    put_number(&mut rest, profile.symbols().len() as u64);
    for (name, value) in profile.symbols() {
        put_number(&mut rest, strings.number(name));
        put_number(&mut rest, *value);
    }

    put_number(&mut rest, profile.constants().len() as u64);
    for (name, value) in profile.constants() {
        put_number(&mut rest, strings.number(name));
        put_signed(&mut rest, *value);
    }
    rest.push(profile.is_whole().into());

    put_number(out, strings.items.len() as u64);
    for text in &strings.items {
        put_bytes(out, text.as_bytes());
    }
    out.append(&mut provenance);
    put_number(out, kinds.items.len() as u64);
    for kind in &kinds.items {
        match kind {
            FlatKind::Signed => out.push(0),
            FlatKind::Unsigned => out.push(1),
            FlatKind::Pointer { to } => {
                out.push(2);
                put_number(out, *to);
            }
            FlatKind::Embedded { name } => {
                out.push(3);
                put_number(out, *name);
            }
            FlatKind::Array { of, count } => {
                out.push(4);
                put_number(out, *of);
                put_number(out, *count);
            }
            FlatKind::Unknown => out.push(5),
        }
    }
    out.append(&mut rest);
}
