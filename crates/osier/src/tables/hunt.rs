//! What was found by its own bytes, and what does not fit.

use osier_osi::{Finding, Scanned};

use super::{Cell, Kind, brief, bytes, flag, id, number, phys, wide};

rows! {
    /// Every kind of what is scanned.
    SCANNEDS: Scanned, "scanned", |row| {
        brief("kind") => Cell::Word(row.kind.word()),
        brief("address").of(Kind::Address) => Cell::Address(row.address.0),
        wide("phys").of(Kind::Address) => phys(&row.phys),
        number("pid") => id(&row.pid),
        number("tid") => id(&row.tid),
        brief("name").of(Kind::Bytes) => bytes(&row.name),
        brief("linked").of(Kind::Flag) => Cell::Flag(row.linked),
        brief("freed").of(Kind::Flag) => flag(&row.freed),
        brief("exited").of(Kind::Flag) => flag(&row.exited),
        wide("found_by") => Cell::Text(row.found_by.to_string()),
    }
}

/// The words of severities, from the least on.
const SEVERITIES: [&str; 3] = ["note", "medium", "high"];

rows! {
    /// Every kind of finding.
    FINDINGS: Finding, "finding", |row| {
        brief("rule") => Cell::Word(row.rule),
        brief("severity").ordered(&SEVERITIES) => Cell::Word(row.severity.word()),
        brief("subject").of(Kind::Bytes) => Cell::Bytes(&row.subject),
        brief("text") => Cell::Text(row.text.clone()),
        wide("evidence").of(Kind::Bytes) => Cell::Bytes(&row.evidence),
        wide("pid").of(Kind::Number) => id(&row.pid),
        wide("address").of(Kind::Address) => Cell::Address(row.address.0),
        wide("normal") => Cell::Word(row.normal),
        wide("otherwise") => Cell::Word(row.otherwise),
    }
}
