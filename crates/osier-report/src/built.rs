//! A process's row, built once for all that shows it.

use std::borrow::Borrow;

use osier::Process;
use osier::tables::Cells;

/// A process, and its row as cells, which the tree and the lists are made of.
pub(crate) struct Built<'a> {
    pub(crate) process: &'a Process,
    pub(crate) cells: Cells<'a>,
}

impl<'a> Built<'a> {
    pub(crate) fn of(process: &'a Process) -> Self {
        let cells = Cells::of(process);
        Self { process, cells }
    }
}

impl Borrow<Process> for Built<'_> {
    fn borrow(&self) -> &Process {
        self.process
    }
}
