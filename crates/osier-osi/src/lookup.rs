//! Questions about a process's mappings, answered from its rows.
//!
//! PANDA's `get_mapping_by_addr`, `get_mapping_base_address_by_name`, `has_mapping_prefix` and
//! `in_shared_object`. Rows come in the order of their addresses, and the first that fits answers.
//! A row without the value that is asked about does not fit.

use crate::SeenExt as _;
use osier_memory::VirtAddr;

use crate::{Mapping, MappingKind};

impl Mapping {
    /// Whether `address` lies in this mapping: from its first byte to its last.
    pub fn contains(&self, address: VirtAddr) -> bool {
        match (self.base.value(), self.size.value()) {
            (Some(base), Some(size)) => address >= base && address.since(base) < size,
            _ => false,
        }
    }

    fn is_called(&self, fits: impl FnOnce(&[u8]) -> bool) -> bool {
        self.name.get().is_some_and(|name| fits(name))
    }
}

/// The mapping that holds `address`: PANDA's `get_mapping_by_addr`. Half-open, as PANDA's.
pub fn mapping_at(rows: &[Mapping], address: VirtAddr) -> Option<&Mapping> {
    rows.iter().find(|row| row.contains(address))
}

/// The first address of the first mapping called `name` (the base name, whole): PANDA's
/// `get_mapping_base_address_by_name`.
///
/// PANDA compares up to the first NUL and names more mappings `[???]`; names here are those of the
/// rows, such as `[vdso]`.
pub fn base_by_name(rows: &[Mapping], name: &[u8]) -> Option<VirtAddr> {
    let row = rows.iter().find(|row| row.is_called(|own| own == name))?;
    row.base.value()
}

/// Whether the name (the base name) of any mapping of a file starts with `prefix`: PANDA's
/// `has_mapping_prefix`.
pub fn has_mapping_prefix(rows: &[Mapping], prefix: &[u8]) -> bool {
    let of_file = |kind| matches!(kind, MappingKind::File | MappingKind::Image);
    rows.iter()
        .filter(|row| row.kind.value().is_some_and(of_file))
        .any(|row| row.is_called(|name| name.starts_with(prefix)))
}

/// Whether `pc`, an address that user code runs at, lies in a shared object: the mapping that holds
/// it has `.so` or `.dll` in its name, in any case. PANDA's `in_shared_object`; the caller knows
/// whether the processor is in user mode, and PANDA answers no in kernel mode.
///
/// PANDA counts the address after a mapping's last byte as inside, so that the first byte of a
/// mapping is taken for a part of the one before when they touch, and reads through a null name.
/// Here the end is exclusive, and a mapping without a name is no shared object.
pub fn in_shared_object(rows: &[Mapping], pc: VirtAddr) -> bool {
    mapping_at(rows, pc).is_some_and(|row| {
        row.is_called(|name| {
            let holds = |part: &[u8]| {
                let mut parts = name.windows(part.len());
                parts.any(|window| window.eq_ignore_ascii_case(part))
            };
            holds(b".so") || holds(b".dll")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Absent;

    fn row(base: u64, size: u64, name: &[u8], kind: MappingKind) -> Mapping {
        Mapping {
            pid: Ok(1),
            base: Ok(VirtAddr(base)),
            size: Ok(size),
            name: Ok(name.to_vec()),
            file: Err(Absent::not_applicable("no file")),
            offset: Ok(0),
            flags: Ok(0),
            perms: Ok(*b"---p"),
            kind: Ok(kind),
            modd: VirtAddr(1),
        }
    }

    fn rows() -> Vec<Mapping> {
        let mut nameless = row(0x4000, 0x1000, b"", MappingKind::Unknown);
        nameless.name = Err(Absent::not_applicable("anonymous memory without a name"));
        vec![
            row(0x1000, 0x1000, b"busybox", MappingKind::File),
            row(0x2000, 0x2000, b"libc.SO.6", MappingKind::File),
            nameless,
            row(0x5000, 0x1000, b"[heap]", MappingKind::Heap),
        ]
    }

    #[test]
    fn an_address_belongs_to_the_mapping_that_holds_it_and_not_to_the_one_before() {
        let rows = rows();
        assert_eq!(mapping_at(&rows, VirtAddr(0xfff)), None);
        let at = |address| mapping_at(&rows, VirtAddr(address)).map(|row| row.base.value());
        assert_eq!(at(0x1fff), Some(Some(VirtAddr(0x1000))));
        assert_eq!(at(0x2000), Some(Some(VirtAddr(0x2000))));
        assert_eq!(at(0x6000), None);
    }

    #[test]
    fn names_are_whole_and_prefixes_are_of_files() {
        let rows = rows();
        assert_eq!(base_by_name(&rows, b"[heap]"), Some(VirtAddr(0x5000)));
        assert_eq!(base_by_name(&rows, b"libc"), None);
        assert!(has_mapping_prefix(&rows, b"libc"));
        assert!(!has_mapping_prefix(&rows, b"[he"));
    }

    #[test]
    fn shared_objects_are_told_by_name_in_any_case_and_the_end_is_outside() {
        let rows = rows();
        assert!(!in_shared_object(&rows, VirtAddr(0x1800)));
        assert!(in_shared_object(&rows, VirtAddr(0x2000)));
        assert!(in_shared_object(&rows, VirtAddr(0x3fff)));
        assert!(!in_shared_object(&rows, VirtAddr(0x4000)));
        assert!(!in_shared_object(&rows, VirtAddr(0x9000)));
    }
}
