//! Mappings and pages.

use osier_memory::PageFlags;
use osier_osi::{Mapping, MappingKind, PageRange};

use crate::hit::Hit;

use super::{Cell, Kind, Row, Table, brief, bytes, count, id, number, seen, wide};

static HIT: Table = Table {
    name: "hit",
    columns: &[
        number("pid"),
        brief("address").of(Kind::Address),
        brief("phys").of(Kind::Address),
        brief("mapping").of(Kind::Bytes),
        brief("rule").of(Kind::Bytes),
        brief("match").of(Kind::Bytes),
    ],
};

/// Every kind of hit.
pub(super) static HITS: [&Table; 1] = [&HIT];

impl Row for Hit {
    fn table(&self) -> &'static Table {
        &HIT
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            id(&self.pid),
            seen(&self.address, |address| Cell::Address(address.0)),
            seen(&self.phys, |phys| Cell::Address(phys.0)),
            bytes(&self.mapping),
            Cell::Bytes(self.rule.as_bytes()),
            Cell::Bytes(&self.matched),
        ]
    }
}

static MAPPING: Table = Table {
    name: "mapping",
    columns: &[
        number("pid"),
        brief("base").of(Kind::Address),
        number("size"),
        brief("name").of(Kind::Bytes),
        brief("file").of(Kind::Bytes),
        number("offset"),
        wide("flags").of(Kind::Address),
        brief("perms"),
        brief("kind"),
        wide("modd").of(Kind::Address),
    ],
};

/// Every kind of mapping.
pub(super) static MAPPINGS: [&Table; 1] = [&MAPPING];

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

impl Row for Mapping {
    fn table(&self) -> &'static Table {
        &MAPPING
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            id(&self.pid),
            seen(&self.base, |base| Cell::Address(base.0)),
            count(&self.size),
            bytes(&self.name),
            bytes(&self.file),
            count(&self.offset),
            seen(&self.flags, |&flags| Cell::Address(flags)),
            seen(&self.perms, |letters| Cell::Text(text(*letters))),
            seen(&self.kind, |&kind| Cell::Word(kind_word(kind))),
            Cell::Address(self.modd.0),
        ]
    }
}

static PAGE: Table = Table {
    name: "page",
    columns: &[
        number("pid"),
        brief("start").of(Kind::Address),
        number("len"),
        brief("phys").of(Kind::Address),
        number("page_size"),
        brief("flags"),
        brief("backing").of(Kind::Bytes),
    ],
};

/// Every kind of page range.
pub(super) static PAGES: [&Table; 1] = [&PAGE];

impl Row for PageRange {
    fn table(&self) -> &'static Table {
        &PAGE
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            id(&self.pid),
            Cell::Address(self.start.0),
            Cell::Number(self.len),
            Cell::Address(self.phys.0),
            Cell::Number(self.page_bytes),
            Cell::Text(page_flags(self.flags)),
            bytes(&self.backing),
        ]
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
