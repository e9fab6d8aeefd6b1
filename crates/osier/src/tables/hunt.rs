//! What was found by its own bytes, and what does not fit.

use osier_osi::{Finding, Scanned};

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

static FINDING: Table = Table {
    name: "finding",
    columns: &[
        brief("rule"),
        brief("severity").ordered(&SEVERITIES),
        brief("subject").of(Kind::Bytes),
        brief("text"),
        wide("evidence").of(Kind::Bytes),
        wide("pid").of(Kind::Number),
        wide("address").of(Kind::Address),
        wide("normal"),
        wide("otherwise"),
    ],
};

/// Every kind of finding.
pub(super) static FINDINGS: [&Table; 1] = [&FINDING];

/// The words of severities, from the least on.
const SEVERITIES: [&str; 3] = ["note", "medium", "high"];

impl Row for Finding {
    fn table(&self) -> &'static Table {
        &FINDING
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::Word(self.rule),
            Cell::Word(self.severity.word()),
            Cell::Bytes(&self.subject),
            Cell::Text(self.text.clone()),
            Cell::Bytes(&self.evidence),
            id(&self.pid),
            Cell::Address(self.address.0),
            Cell::Word(self.normal),
            Cell::Word(self.otherwise),
        ]
    }
}
