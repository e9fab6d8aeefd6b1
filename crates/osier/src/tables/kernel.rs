//! Kernel modules.

use osier_osi::{LogLine, Module};

use super::{Cell, Kind, brief, bytes, count, number, seen, virt, wide, word};

rows! {
    /// Every kind of module.
    MODULES: Module, "module", |row| {
        brief("name").of(Kind::Bytes) => bytes(&row.name),
        brief("base").of(Kind::Address) => virt(&row.base),
        number("size") => count(&row.size),
        brief("file").of(Kind::Bytes) => bytes(&row.file),
        brief("modd").of(Kind::Address) => Cell::Address(row.modd.0),
    }
}

/// The words of syslog's levels.
const LEVELS: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
];
/// The words of syslog's facilities.
const FACILITIES: [&str; 12] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp",
];

rows! {
    /// Every kind of line of the kernel's log.
    LINES: LogLine, "line", |row| {
        number("time").in_seconds() => count(&row.time),
        brief("level").ordered(&LEVELS) => seen(&row.level, |&level| word(&LEVELS, level)),
        brief("facility") => seen(&row.facility, |&facility| word(&FACILITIES, facility)),
        brief("caller").of(Kind::Bytes) => bytes(&row.caller),
        brief("text").of(Kind::Bytes) => bytes(&row.text),
        wide("seq").of(Kind::Number) => count(&row.seq),
        wide("address").of(Kind::Address) => Cell::Address(row.address.0),
    }
}
