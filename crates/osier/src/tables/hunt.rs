//! What was found by its own bytes.

use osier_osi::Scanned;

use super::{Cell, Kind, Row, Table, brief, bytes, flag, id, number, seen, wide};

static SCANNED: Table = Table {
    name: "scanned",
    columns: &[
        brief("kind"),
        brief("address").of(Kind::Address),
        wide("phys").of(Kind::Address),
        number("pid"),
        number("tid"),
        brief("name").of(Kind::Bytes),
        brief("linked").of(Kind::Flag),
        brief("freed").of(Kind::Flag),
        brief("exited").of(Kind::Flag),
        wide("found_by"),
    ],
};

/// Every kind of what is scanned.
pub(super) static SCANNEDS: [&Table; 1] = [&SCANNED];

impl Row for Scanned {
    fn table(&self) -> &'static Table {
        &SCANNED
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::Word(self.kind.word()),
            Cell::Address(self.address.0),
            seen(&self.phys, |phys| Cell::Address(phys.0)),
            id(&self.pid),
            id(&self.tid),
            bytes(&self.name),
            Cell::Flag(self.linked),
            flag(&self.freed),
            flag(&self.exited),
            Cell::Text(self.found_by.to_string()),
        ]
    }
}
