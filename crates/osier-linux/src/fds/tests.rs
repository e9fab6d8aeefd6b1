#![allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]

use std::sync::Arc;

use osier_memory::VirtAddr;
use osier_osi::WalkEnds;
use osier_testkit::Knockout;

use super::{Fds, Slot};
use crate::toy::{Is, Toy};

// Offsets in the toy's files_struct.
const COUNT: u64 = 0;
const FDT: u64 = 8;
const FDTAB: u64 = 16;
const CLOSE_INIT: u64 = 48;
const OPEN_INIT: u64 = 56;
const ARRAY: u64 = 64;
// Offsets in its fdtable.
const FD: u64 = 8;
const CLOSE: u64 = 16;
const OPEN: u64 = 24;

/// Descriptors of the large table.
const LARGE: u64 = 1024;

struct Table {
    toy: Toy,
    files: VirtAddr,
    fdt: VirtAddr,
    /// The array of files.
    array: VirtAddr,
    open: VirtAddr,
    close: VirtAddr,
}

impl Table {
    fn new(large: bool) -> Self {
        let mut toy = Toy::new();
        let table: [(&str, i64, Is); 4] = [
            ("max_fds", 0, Is::Int(4)),
            ("fd", FD.cast_signed(), Is::Pointer),
            ("close_on_exec", CLOSE.cast_signed(), Is::Pointer),
            ("open_fds", OPEN.cast_signed(), Is::Pointer),
        ];
        toy.structure("fdtable", 32, &table);
        toy.structure(
            "files_struct",
            576,
            &[
                ("count", COUNT.cast_signed(), Is::Int(4)),
                ("fdt", FDT.cast_signed(), Is::Pointer),
                ("fdtab", FDTAB.cast_signed(), Is::Struct("fdtable", 32)),
                ("close_on_exec_init", CLOSE_INIT.cast_signed(), Is::Words(1)),
                ("open_fds_init", OPEN_INIT.cast_signed(), Is::Words(1)),
                ("fd_array", ARRAY.cast_signed(), Is::Words(64)),
            ],
        );
        let files = toy.page();
        let (fdt, array, open, close, slots) = if large {
            let (fdt, bits, array) = (toy.page(), toy.page(), toy.page());
            toy.page();
            (fdt, array, bits, bits.plus(LARGE / 8), LARGE)
        } else {
            let at = |offset| files.plus(offset);
            (at(FDTAB), at(ARRAY), at(OPEN_INIT), at(CLOSE_INIT), 64)
        };
        toy.put_u32(files, COUNT, 1);
        toy.put(files, FDT, fdt.0);
        toy.put_u32(fdt, 0, slots as u32);
        toy.put(fdt, FD, array.0);
        toy.put(fdt, CLOSE, close.0);
        toy.put(fdt, OPEN, open.0);
        Self {
            toy,
            files,
            fdt,
            array,
            open,
            close,
        }
    }

    /// With these descriptors in use, each third of them closed by `execve`.
    fn with(large: bool, fds: &[u64]) -> Self {
        let mut table = Self::new(large);
        let mut bits = [[0_u64; 2]; 16];
        for (index, &fd) in fds.iter().enumerate() {
            let file = 0xffff_8880_0001_0000 + 0x100 * fd;
            table.toy.put(table.array, 8 * fd, file);
            let word = (fd / 64) as usize;
            bits[word][0] |= 1 << (fd % 64);
            bits[word][1] |= u64::from(index % 3 == 0) << (fd % 64);
        }
        for (word, [open, close]) in bits.into_iter().enumerate() {
            if word == 0 || large {
                table.toy.put(table.open, 8 * word as u64, open);
                table.toy.put(table.close, 8 * word as u64, close);
            }
        }
        table
    }

    fn read(&self) -> (Vec<Slot>, WalkEnds) {
        let fds = self.toy.resolve(Fds::resolve);
        fds.slots(&self.toy.guest(), self.files, 0)
    }

    fn read_without(&self, page: VirtAddr) -> (Vec<Slot>, WalkEnds) {
        let memory = Knockout::new(self.toy.memory.clone(), Toy::pa(page));
        let fds = self.toy.resolve(Fds::resolve);
        fds.slots(&self.toy.guest_in(Arc::new(memory)), self.files, 0)
    }
}

const FEW: [u64; 5] = [0, 1, 2, 40, 63];
const MANY: [u64; 7] = [0, 1, 2, 63, 64, 500, 1023];

fn numbers(slots: &[Slot]) -> Vec<u64> {
    slots.iter().map(|slot| u64::from(slot.fd)).collect()
}

#[test]
fn both_tables_are_read() {
    for (large, fds) in [(false, &FEW[..]), (true, &MANY)] {
        let (slots, ends) = Table::with(large, fds).read();
        assert!(ends.all_closed(), "{ends}");
        assert_eq!(numbers(&slots), fds);
        for (index, slot) in slots.iter().enumerate() {
            let file = VirtAddr(0xffff_8880_0001_0000 + 0x100 * u64::from(slot.fd));
            assert_eq!(slot.file, Ok(file));
            assert_eq!(slot.close_on_exec, Ok(index % 3 == 0));
        }
    }
}

#[test]
fn a_word_that_lies_is_told() {
    for large in [false, true] {
        let fds = if large { &MANY[..] } else { &FEW };
        let whole = Table::with(large, fds);
        let places = [
            (whole.files, FDT),
            (whole.fdt, 0),
            (whole.fdt, FD),
            (whole.fdt, CLOSE),
            (whole.fdt, OPEN),
            (whole.array, 8),
            (whole.open, 0),
        ];
        for (base, offset) in places {
            for lie in [0, 2, 0x40, 0xffff_8880_0000_0008, u64::MAX] {
                let mut table = Table::with(large, fds);
                table.toy.put(base, offset, lie);
                let (slots, ends) = table.read();
                let changed = slots.iter().any(|slot| {
                    slot.file.is_ok_and(VirtAddr::is_null)
                        || slot.file.is_ok_and(|file| file.0 % 8 != 0)
                });
                let same = numbers(&slots) == fds;
                assert!(
                    !ends.all_closed() || changed || same,
                    "{large} {base}+{offset:#x} = {lie:#x}: {slots:?}"
                );
                // What is left is what there was.
                assert!(slots.len() <= 1 << 20);
            }
        }
    }
}

#[test]
fn a_page_that_is_hidden_is_named() {
    let table = Table::with(true, &MANY);
    for page in [table.files, table.fdt, table.array, table.open] {
        let (slots, ends) = table.read_without(page);
        if page == table.array {
            // The bitmap says which there are.
            assert_eq!(numbers(&slots), MANY);
            // The last of them lies on the array's second page.
            let (last, hidden) = slots.split_last().unwrap();
            assert!(hidden.iter().all(|slot| slot.file.is_err()), "{slots:?}");
            assert!(last.file.is_ok());
        } else {
            assert!(!ends.is_complete(), "{page}: {ends}");
        }
        if page == table.open {
            assert_eq!(numbers(&slots), MANY);
            assert!(slots.iter().all(|slot| slot.close_on_exec.is_err()));
        }
    }
}
