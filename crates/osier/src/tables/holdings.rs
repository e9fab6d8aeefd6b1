//! What a process holds: open files and variables.

use osier_osi::{OpenFile, Variable};

use super::{Cell, Kind, Row, Table, brief, bytes, count, id, number, seen, wide};

static FILE: Table = Table {
    name: "file",
    columns: &[
        number("pid"),
        number("fd"),
        brief("path").of(Kind::Bytes),
        brief("kind").of(Kind::Bytes),
        brief("flags").of(Kind::Address),
        number("pos"),
        number("inode"),
        brief("device"),
        wide("socket").of(Kind::Address),
        wide("filed").of(Kind::Address),
    ],
};

/// Every kind of open file.
pub(super) static FILES: [&Table; 1] = [&FILE];

impl Row for OpenFile {
    fn table(&self) -> &'static Table {
        &FILE
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            id(&self.pid),
            Cell::Number(u64::from(self.fd)),
            bytes(&self.path),
            seen(&self.kind, |kind| Cell::Bytes(kind.word())),
            seen(&self.flags, |&flags| Cell::Address(flags)),
            count(&self.pos),
            count(&self.inode),
            seen(&self.device, |device| {
                Cell::Text(format!("{}:{}", device.major, device.minor))
            }),
            seen(&self.socket, |socket| Cell::Address(socket.0)),
            seen(&self.filed, |file| Cell::Address(file.0)),
        ]
    }
}

static VARIABLE: Table = Table {
    name: "variable",
    columns: &[
        number("pid"),
        brief("name").of(Kind::Bytes),
        brief("value").of(Kind::Bytes),
        wide("address").of(Kind::Address),
    ],
};

/// Every kind of variable.
pub(super) static VARIABLES: [&Table; 1] = [&VARIABLE];

impl Row for Variable {
    fn table(&self) -> &'static Table {
        &VARIABLE
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            id(&self.pid),
            bytes(&self.name),
            bytes(&self.value),
            Cell::Address(self.address.0),
        ]
    }
}
