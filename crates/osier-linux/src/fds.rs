//! Tables of descriptors: a `files_struct` to its slots.
//!
//! Which descriptors are in use stands in a bitmap and in the array of files; where the two lie, how
//! many there are, and how far the bitmaps are apart, is said twice as well.

use osier_memory::{AddressSpace, Fault, VirtAddr};
use osier_osi::{WalkEnd, WalkEnds};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use crate::guest::Guest;

/// The walk's name in its endings.
pub(crate) const WALK: &str = "descriptors";
/// Most descriptors that are read: the kernel's own limit, `sysctl_nr_open`, unless it was raised.
const LIMIT: u64 = 1 << 20;
/// Slots that are read at a time.
const WINDOW: u64 = 512;

layout! {
    /// Fields read from `struct files_struct`.
    pub(crate) struct FilesStruct: "files_struct" {
        /// The table in use.
        fdt: Option<Field<Ptr<()>>>,
        /// The first table, for few descriptors.
        fdtab: Option<Field<Embed<()>>>,
        /// Tasks that use it.
        count: Option<Field<UInt>>,
        /// No descriptor below it is free.
        next_fd: Option<Field<UInt>>,
        /// The first table's bitmap.
        open_fds_init: Option<Field<Embed<()>>>,
        /// The first table's marks.
        close_on_exec_init: Option<Field<Embed<()>>>,
        /// The first table's files.
        fd_array: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct fdtable`.
    pub(crate) struct FdTable: "fdtable" {
        /// Slots.
        max_fds: Option<Field<UInt>>,
        /// The files.
        fd: Option<Field<Ptr<()>>>,
        /// A bit for each descriptor: in use.
        open_fds: Option<Field<Ptr<()>>>,
        /// A bit for each descriptor: closed by `execve`.
        close_on_exec: Option<Field<Ptr<()>>>,
    }
}

/// How to read tables of descriptors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fds {
    files: FilesStruct,
    table: FdTable,
}

/// A descriptor in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The descriptor.
    pub(crate) fd: u32,
    /// Where its file's address stands.
    pub(crate) place: VirtAddr,
    /// The address; null where the bitmap alone says that it is in use.
    pub(crate) file: Result<VirtAddr, Fault>,
    /// Whether `execve` closes it.
    pub(crate) close_on_exec: Result<bool, Fault>,
}

/// The members of one table.
struct Table {
    slots: u64,
    fd: VirtAddr,
    open_fds: VirtAddr,
    close_on_exec: VirtAddr,
}

impl Table {
    /// Of what cannot be a table.
    const NONE: Self = Self {
        slots: 0,
        fd: VirtAddr(0),
        open_fds: VirtAddr(0),
        close_on_exec: VirtAddr(0),
    };
}

impl Fds {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            files: FilesStruct::resolve(resolver),
            table: FdTable::resolve(resolver),
        }
    }

    /// How many tasks the `files_struct` at `files` says that use it.
    pub(crate) fn users(&self, space: &AddressSpace, files: VirtAddr) -> Option<u64> {
        self.files.count?.read(space, files).ok()
    }

    /// The descriptors in use of the `files_struct` at `files`, by number, and how the walk ended. Not more
    /// than `reserved` of them may be without a file yet.
    pub(crate) fn slots(
        &self,
        guest: &Guest,
        files: VirtAddr,
        reserved: usize,
    ) -> (Vec<Slot>, WalkEnds) {
        let mut ends = WalkEnds::default();
        let table = match self.table(guest, files, &mut ends) {
            Ok(Some(table)) => table,
            Ok(None) => {
                return (
                    Vec::new(),
                    no_start("members of fdtable in the profile", None),
                );
            }
            Err(fault) => return (Vec::new(), no_start("the fdtable", Some(fault))),
        };
        let mut slots = Vec::new();
        let (mut only_bitmap, mut only_array) = (0_usize, 0_usize);
        let pointer = u64::from(guest.pointer_bytes());
        let bits = pointer.saturating_mul(8);
        let most = table.slots.min(LIMIT);
        let mut first = 0;
        while first < most {
            let count = WINDOW.min(most.wrapping_sub(first));
            let start = table.fd.plus(first.wrapping_mul(pointer));
            let mut bytes = vec![0; count.wrapping_mul(pointer) as usize];
            let gaps = guest.space.read_partial(start, &mut bytes);
            let mut open = Word::default();
            let mut close = Word::default();
            for (index, word) in bytes.chunks_exact(pointer as usize).enumerate() {
                let fd = first.wrapping_add(index as u64);
                let at = index.wrapping_mul(pointer as usize);
                let gap = gaps
                    .iter()
                    .find(|gap| at >= gap.start && at < gap.start.saturating_add(gap.len));
                let file = match gap {
                    Some(gap) => Err(gap.fault),
                    None => Ok(VirtAddr(number(word))),
                };
                let used = open.bit(&guest.space, table.open_fds, fd, bits);
                match (file, used) {
                    (Ok(file), Ok(false)) if file.is_null() => continue,
                    (Ok(file), Ok(true)) if file.is_null() => {
                        only_bitmap = only_bitmap.saturating_add(1);
                    }
                    (Ok(_), Ok(false)) => only_array = only_array.saturating_add(1),
                    // Nothing says that it is in use.
                    (Ok(file), Err(_)) if file.is_null() => continue,
                    (Err(_), Ok(false)) => continue,
                    _ => {}
                }
                slots.push(Slot {
                    fd: u32::try_from(fd).unwrap_or(u32::MAX),
                    place: table.fd.plus(fd.wrapping_mul(pointer)),
                    file,
                    close_on_exec: close.bit(&guest.space, table.close_on_exec, fd, bits),
                });
            }
            if let Some(fault) = open.fault {
                let from = table.open_fds;
                ends.add(WALK, WalkEnd::broken(from, None, fault));
            }
            if slots.len() > LIMIT as usize {
                break;
            }
            first = first.wrapping_add(count);
        }
        if only_bitmap <= reserved {
            only_bitmap = 0;
        }
        ends.disagree("open_fds and the array of files", only_bitmap, only_array);
        let next = self
            .files
            .next_fd
            .map(|field| field.read(&guest.space, files));
        if let Some(Ok(next)) = next {
            // Slots are in ascending order.
            let below = slots.partition_point(|slot| u64::from(slot.fd) < next);
            let free = next.saturating_sub(below as u64);
            let free = usize::try_from(free).unwrap_or(usize::MAX);
            ends.disagree("next_fd and the descriptors in use", free, 0);
        }
        if table.slots > LIMIT {
            ends.add(
                WALK,
                WalkEnd::Limit {
                    after: LIMIT as usize,
                },
            );
        } else {
            ends.add(WALK, WalkEnd::Closed);
        }
        (slots, ends)
    }

    /// The table in use; `None` when the profile does not describe it.
    fn table(
        &self,
        guest: &Guest,
        files: VirtAddr,
        ends: &mut WalkEnds,
    ) -> Result<Option<Table>, Fault> {
        let (layout, space) = (&self.table, &guest.space);
        let (Some(fdt), Some(max_fds), Some(fd), Some(open_fds), Some(close_on_exec)) = (
            self.files.fdt,
            layout.max_fds,
            layout.fd,
            layout.open_fds,
            layout.close_on_exec,
        ) else {
            return Ok(None);
        };
        let mut at = fdt.read(space, files)?;
        if !guest.can_be_object(at) {
            let end = WalkEnd::Inconsistent {
                at: fdt.place(files),
                back_link: at,
                expected: VirtAddr(at.0 & !u64::from(guest.pointer_bytes()).wrapping_sub(1)),
            };
            ends.add(WALK, end);
            return Ok(Some(Table::NONE));
        }
        let mut table = Table {
            slots: max_fds.read(space, at)?,
            fd: fd.read(space, at)?,
            open_fds: open_fds.read(space, at)?,
            close_on_exec: close_on_exec.read(space, at)?,
        };
        let mut expect = |place: VirtAddr, told: &mut u64, expected: u64| {
            if *told != expected {
                let end = WalkEnd::Inconsistent {
                    at: place,
                    back_link: VirtAddr(*told),
                    expected: VirtAddr(expected),
                };
                ends.add(WALK, end);
                *told = expected;
            }
        };
        let word = u64::from(guest.pointer_bytes());
        let first = self.files.fdtab.map(|fdtab| fdtab.place(files));
        if first == Some(at) {
            // The first table lies in the files_struct itself, and so does all of it.
            if let Some(array) = self.files.fd_array {
                expect(max_fds.place(at), &mut table.slots, word.wrapping_mul(8));
                expect(fd.place(at), &mut table.fd.0, array.place(files).0);
            }
            if let Some((open, close)) = self.files.open_fds_init.zip(self.files.close_on_exec_init)
            {
                expect(
                    open_fds.place(at),
                    &mut table.open_fds.0,
                    open.place(files).0,
                );
                let place = close_on_exec.place(at);
                expect(place, &mut table.close_on_exec.0, close.place(files).0);
            }
        } else {
            // Both bitmaps are one allocation: the second begins where the first ends.
            let apart = table.close_on_exec.0.wrapping_sub(table.open_fds.0);
            let slots = apart.wrapping_mul(8);
            let told = table.slots;
            if (apart > LIMIT || !apart.is_multiple_of(word))
                && (told > LIMIT || !told.is_multiple_of(word.wrapping_mul(8)))
            {
                // Nothing of it is a table's.
                expect(fdt.place(files), &mut at.0, first.unwrap_or_default().0);
                return Ok(Some(Table::NONE));
            }
            if apart > LIMIT || apart < word || !apart.is_multiple_of(word) {
                let expected = table.open_fds.plus(table.slots.wrapping_div(8)).0;
                expect(
                    close_on_exec.place(at),
                    &mut table.close_on_exec.0,
                    expected,
                );
            } else {
                expect(max_fds.place(at), &mut table.slots, slots);
            }
        }
        Ok(Some(table))
    }
}

/// A word of a bitmap, kept while its bits are asked for.
#[derive(Default)]
struct Word {
    number: Option<u64>,
    bits: u64,
    fault: Option<Fault>,
}

impl Word {
    fn bit(
        &mut self,
        space: &AddressSpace,
        bitmap: VirtAddr,
        bit: u64,
        word_bits: u64,
    ) -> Result<bool, Fault> {
        let number = bit.checked_div(word_bits).unwrap_or(0);
        if self.number != Some(number) {
            let bytes = word_bits.wrapping_div(8);
            let at = bitmap.plus(number.wrapping_mul(bytes));
            match space.read_uint(at, bytes as usize) {
                Ok(bits) => {
                    self.bits = bits;
                    self.number = Some(number);
                }
                Err(fault) => {
                    self.fault = Some(fault);
                    return Err(fault);
                }
            }
        }
        let bit = bit.checked_rem(word_bits).unwrap_or(0);
        Ok(self.bits.wrapping_shr(bit as u32) & 1 != 0)
    }
}

/// The number in the bytes of a pointer.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number.wrapping_shl(8) | u64::from(*byte))
}

fn no_start(missing: &str, fault: Option<Fault>) -> WalkEnds {
    WalkEnds::one(WALK, WalkEnd::no_start(missing, fault))
}

#[cfg(test)]
mod tests;
