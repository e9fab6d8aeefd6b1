//! Kernel modules.

use osier_osi::{LogLine, Module};

use super::{Cell, Kind, Row, Table, brief, bytes, count, number, seen, wide};

static MODULE: Table = Table {
    name: "module",
    columns: &[
        brief("name").of(Kind::Bytes),
        brief("base").of(Kind::Address),
        number("size"),
        brief("file").of(Kind::Bytes),
        brief("modd").of(Kind::Address),
    ],
};

/// Every kind of module.
pub(super) static MODULES: [&Table; 1] = [&MODULE];

impl Row for Module {
    fn table(&self) -> &'static Table {
        &MODULE
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            bytes(&self.name),
            seen(&self.base, |base| Cell::Address(base.0)),
            count(&self.size),
            bytes(&self.file),
            Cell::Address(self.modd.0),
        ]
    }
}

static LINE: Table = Table {
    name: "line",
    columns: &[
        number("time").in_seconds(),
        brief("level").ordered(&LEVELS),
        brief("facility"),
        brief("caller").of(Kind::Bytes),
        brief("text").of(Kind::Bytes),
        wide("seq").of(Kind::Number),
        wide("address").of(Kind::Address),
    ],
};

/// Every kind of line of the kernel's log.
pub(super) static LINES: [&Table; 1] = [&LINE];

/// The words of syslog's levels.
const LEVELS: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
];
/// The words of syslog's facilities.
const FACILITIES: [&str; 12] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp",
];

/// The word of a number, or the number where it has none.
fn word(words: &'static [&'static str], number: u8) -> Cell<'static> {
    match words.get(usize::from(number)) {
        Some(word) => Cell::Word(word),
        None => Cell::Text(number.to_string()),
    }
}

impl Row for LogLine {
    fn table(&self) -> &'static Table {
        &LINE
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            count(&self.time),
            seen(&self.level, |&level| word(&LEVELS, level)),
            seen(&self.facility, |&facility| word(&FACILITIES, facility)),
            bytes(&self.caller),
            bytes(&self.text),
            count(&self.seq),
            Cell::Address(self.address.0),
        ]
    }
}
