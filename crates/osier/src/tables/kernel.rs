//! Kernel modules.

use osier_osi::Module;

use super::{Cell, Kind, Row, Table, brief, bytes, count, number, seen};

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
