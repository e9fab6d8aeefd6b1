//! Kernel modules.

use osier_osi::Module;

use super::{Cell, Row, Table, brief, bytes, count, number, seen};

static MODULE: Table = Table {
    name: "module",
    columns: &[
        brief("name"),
        brief("base"),
        number("size"),
        brief("file"),
        brief("modd"),
    ],
};

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
