//! ACPI's SRAT in the tables that QEMU hands to the firmware: which memory belongs to which node,
//! and where memory can be plugged in.
//!
//! The table: `SRAT`, le32 length, revision, and so on, 48 bytes; then entries of a type and a length
//! in a byte each. Type 1 has 40 bytes: le32 node at 2, le64 start at 8, le64 length at 16, le32 flags
//! at 28 (bit 0 in use, bit 1 can be plugged in, bit 2 keeps its contents).
//!
//! Sources: ACPI 6.5, 5.2.16; QEMU `hw/i386/acpi-build.c` (`build_srat`).

use crate::cursor::Cursor;

/// One range of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Affinity {
    pub(crate) node: u32,
    pub(crate) start: u64,
    pub(crate) len: u64,
    flags: u32,
}

impl Affinity {
    /// Whether it is the machine's own RAM.
    pub(crate) fn is_own(&self) -> bool {
        self.flags == 1
    }

    /// Whether it is an NVDIMM.
    pub(crate) fn is_lasting(&self) -> bool {
        self.flags & 4 != 0
    }

    pub(crate) fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// The ranges of the first SRAT in `tables` that is whole.
pub(crate) fn find(tables: &[u8]) -> Vec<Affinity> {
    let mut tables_at = memchr::memmem::find_iter(tables, b"SRAT");
    tables_at
        .find_map(|at| ranges(tables.get(at..)?))
        .unwrap_or_default()
}

/// The ranges of the table that `table` starts with; `None` when it is none.
fn ranges(table: &[u8]) -> Option<Vec<Affinity>> {
    const HEADER: usize = 48;
    const MEMORY: u8 = 1;
    let len = Cursor::new(table, 4).le32("a length").ok()?;
    let table = table.get(..usize::try_from(len).ok()?)?;
    let mut at = Cursor::new(table, HEADER);
    let mut ranges = Vec::new();
    while at.left() > 0 {
        let mut entry = at;
        let kind = entry.u8("a type").ok()?;
        let len = entry.u8("a length").ok()?;
        if len < 2 {
            return None;
        }
        let bytes = at.take(len.into(), "an entry").ok()?;
        if kind != MEMORY {
            continue;
        }
        let range = Affinity {
            node: Cursor::new(&*bytes, 2).le32("a node").ok()?,
            start: Cursor::new(&*bytes, 8).le64("a start").ok()?,
            len: Cursor::new(&*bytes, 16).le64("a length").ok()?,
            flags: Cursor::new(&*bytes, 28).le32("flags").ok()?,
        };
        if range.flags & 1 != 0 && range.len > 0 {
            ranges.push(range);
        }
    }
    (table.len() > HEADER).then_some(ranges)
}
