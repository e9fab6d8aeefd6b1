//! Mappings and pages.

use osier_memory::PageFlags;
use osier_osi::{Mapping, MappingKind, PageRange};

use crate::hit::Hit;

use super::{Cell, Kind, brief, bytes, count, id, number, phys, seen, virt, wide};

rows! {
    /// Every kind of hit.
    HITS: Hit, "hit", |row| {
        number("pid") => id(&row.pid),
        brief("address").of(Kind::Address) => virt(&row.address),
        brief("phys").of(Kind::Address) => phys(&row.phys),
        brief("mapping").of(Kind::Bytes) => bytes(&row.mapping),
        brief("rule").of(Kind::Bytes) => Cell::Bytes(row.rule.as_bytes()),
        brief("match").of(Kind::Bytes) => Cell::Bytes(&row.matched),
    }
}

/// The word of a mapping's kind.
const fn kind_word(kind: MappingKind) -> &'static str {
    match kind {
        MappingKind::File => "file",
        MappingKind::Heap => "heap",
        MappingKind::Stack => "stack",
        MappingKind::Unknown => "unknown",
        MappingKind::Image => "image",
        MappingKind::Private => "private",
    }
}

/// The letters of rights, which are text as they stand.
fn text(letters: [u8; 4]) -> String {
    std::str::from_utf8(&letters).map_or_else(
        |_| letters.iter().map(|&letter| char::from(letter)).collect(),
        str::to_owned,
    )
}

rows! {
    /// Every kind of mapping.
    MAPPINGS: Mapping, "mapping", |row| {
        number("pid") => id(&row.pid),
        brief("base").of(Kind::Address) => virt(&row.base),
        number("size") => count(&row.size),
        brief("name").of(Kind::Bytes) => bytes(&row.name),
        brief("file").of(Kind::Bytes) => bytes(&row.file),
        number("offset") => count(&row.offset),
        wide("flags").of(Kind::Address) => seen(&row.flags, |&flags| Cell::Address(flags)),
        brief("perms") => seen(&row.perms, |letters| Cell::Text(text(*letters))),
        brief("kind") => seen(&row.kind, |&kind| Cell::Word(kind_word(kind))),
        wide("modd").of(Kind::Address) => Cell::Address(row.modd.0),
    }
}

rows! {
    /// Every kind of page range.
    PAGES: PageRange, "page", |row| {
        number("pid") => id(&row.pid),
        brief("start").of(Kind::Address) => Cell::Address(row.start.0),
        number("len") => Cell::Number(row.len),
        brief("phys").of(Kind::Address) => Cell::Address(row.phys.0),
        number("page_size") => Cell::Number(row.page_bytes),
        brief("flags") => Cell::Text(page_flags(row.flags)),
        brief("backing").of(Kind::Bytes) => bytes(&row.backing),
    }
}

/// A letter for each mark that is set, a dash for each that is not: `rwxugadk` are readable,
/// writable, executable, user, global, accessed, dirty, kept by the operating system although not
/// present.
fn page_flags(flags: PageFlags) -> String {
    let letters = [
        ('r', true),
        ('w', flags.write),
        ('x', !flags.no_execute),
        ('u', flags.user),
        ('g', flags.global),
        ('a', flags.accessed),
        ('d', flags.dirty),
        ('k', flags.kept),
    ];
    letters
        .iter()
        .map(|&(letter, set)| if set { letter } else { '-' })
        .collect()
}
