//! What stands behind addresses of a process that its page table does not have.
//!
//! ```text
//!   private memory   committed at once (MemCommit): zeros; else reserved, until the table has an entry
//!   of a section     FirstPrototypePte … LastContiguousPte, or the subsections' arrays: an entry for each page
//! ```
//!
//! Sources: `_MMVAD`, `_SUBSECTION`, `_MMPTE_*` of Microsoft's kernel PDBs; `MiGetProtoPteAddress` of the Windows
//! Research Kernel for pages behind the last contiguous one.

use osier_memory::{Cause, Fault, PAGE_BYTES, Store, VirtAddr};
use osier_osi::{Absent, Behind, Descriptor, ProcessAddress, Seen, Stretch};

use crate::vad::{self, Sort, Vad};
use crate::windows::Windows;

/// More parts than a section of any file has.
const MOST_PARTS: usize = 1 << 16;

pub(crate) fn behind(windows: &Windows, place: ProcessAddress, fault: Fault, most: u64) -> Stretch {
    let lost = |bytes| Stretch {
        what: Err(Absent::unreadable(fault)),
        bytes,
    };
    match fault.cause {
        Cause::Elsewhere {
            entry,
            store: Store::DemandZero,
        } => {
            let what = Ok(untouched(entry));
            return Stretch { what, bytes: most };
        }
        // Nothing, or that the descriptor must be asked.
        Cause::NotPresent { entry: 0 }
        | Cause::Elsewhere {
            store: Store::Prototype,
            ..
        } => {}
        _ => return lost(most),
    }
    let Some(vad) = vad::holding(windows, place.taskd, place.va) else {
        return lost(most);
    };
    let said = match vad::flags(windows, vad.at) {
        Ok(said) => said,
        Err(absent) => {
            let what = Err(absent);
            return Stretch { what, bytes: most };
        }
    };
    match said.sort {
        Sort::Special => Stretch {
            what: Ok(Behind::Driver),
            bytes: most,
        },
        Sort::Area => lost(most),
        Sort::Usual if said.private && !said.image => Stretch {
            what: vad::committed(windows, vad.at)
                .map(|all| if all { Behind::Zeros } else { Behind::Past }),
            bytes: most,
        },
        Sort::Usual => of_section(windows, &vad, place.va, most),
    }
}

/// What an entry says that is neither in memory nor in a file: zeros, or memory that was given back.
fn untouched(entry: u64) -> Behind {
    /// `MM_DECOMMIT`.
    const GIVEN_BACK: u64 = 0x10;
    match entry >> 5 & 0x1f {
        GIVEN_BACK => Behind::Past,
        _ => Behind::Zeros,
    }
}

/// As [`behind`], of a page of a section, by the entry that all who map it share.
fn of_section(windows: &Windows, vad: &Vad, va: VirtAddr, most: u64) -> Stretch {
    let space = &windows.guest.space;
    let bytes = space.mode().entry_bytes() as u64;
    let entry = match prototype(windows, vad, va, bytes) {
        Ok(Some(entry)) => entry,
        Ok(None) => {
            let what = Ok(Behind::Past);
            return Stretch { what, bytes: most };
        }
        Err(absent) => {
            let what = Err(absent);
            return Stretch { what, bytes: most };
        }
    };
    let pages = |count: u64| count.max(1).saturating_mul(PAGE_BYTES).min(most);
    let raw = match space.read_uint(entry, bytes as usize) {
        Ok(raw) => raw,
        Err(fault) => {
            // A whole table of such entries, or a table of tables, is not there.
            let span = fault
                .level
                .and_then(|level| space.mode().entry_span(level))
                .unwrap_or(PAGE_BYTES)
                .max(PAGE_BYTES);
            let left = span.saturating_sub(entry.0 & span.wrapping_sub(1));
            let never = matches!(
                fault.cause,
                Cause::NotPresent { entry: 0 }
                    | Cause::Elsewhere {
                        store: Store::DemandZero,
                        ..
                    }
            );
            let what = if never {
                Ok(Behind::Past)
            } else {
                Err(Absent::unreadable(fault))
            };
            let count = left.checked_div(bytes).unwrap_or(1);
            return Stretch {
                what,
                bytes: pages(count),
            };
        }
    };
    let what = match space.page_of_entry(entry, va) {
        Ok(frame) => Ok(Behind::Frame(frame)),
        Err(Fault {
            cause: Cause::NotPresent { entry: 0 },
            ..
        }) => Ok(Behind::Past),
        Err(Fault {
            cause:
                Cause::Elsewhere {
                    entry,
                    store: Store::DemandZero,
                },
            ..
        }) => Ok(untouched(entry)),
        Err(fault) => Err(Absent::unreadable(fault)),
    };
    if matches!(what, Ok(Behind::Frame(_)) | Err(_)) {
        return Stretch {
            what,
            bytes: pages(1),
        };
    }
    // As far as the same stands in the same page of entries.
    let left = PAGE_BYTES.saturating_sub(entry.in_page());
    let count = left.checked_div(bytes).unwrap_or(1);
    let wanted = most.checked_div(PAGE_BYTES).unwrap_or(1);
    let same = |nth: &u64| {
        let at = entry.plus(nth.saturating_mul(bytes));
        space.read_uint(at, bytes as usize) == Ok(raw)
    };
    let count = (0..count.min(wanted)).take_while(same).count() as u64;
    Stretch {
        what,
        bytes: pages(count),
    }
}

/// Where the shared entry of the page at `va` stands; `None` behind the section's end.
fn prototype(windows: &Windows, vad: &Vad, va: VirtAddr, bytes: u64) -> Seen<Option<VirtAddr>> {
    let space = &windows.guest.space;
    let long = &windows.vad.long;
    let field = long
        .first_prototype_pte
        .ok_or_else(Absent::not_in_this_kernel)?;
    let first = field.read(space, vad.at)?;
    if windows.guest.plausible(first).is_err() && !windows.guest.is_kernel_address(first) {
        let rule = "a section's shared entries lie in the kernel's half";
        return Err(Absent::implausible(
            first.0,
            rule,
            Some(field.place(vad.at)),
        ));
    }
    let start = vad.span?.start;
    let number = va.0.saturating_sub(start) >> 12;
    let entry = first.plus(number.saturating_mul(bytes));
    let last = long
        .last_contiguous_pte
        .map(|field| field.read(space, vad.at));
    match last.transpose()? {
        Some(last) if entry > last && last >= first => {}
        _ => return Ok(Some(entry)),
    }
    // Behind it the section goes on elsewhere.
    let layout = &windows.section.subsection;
    let (Some(part), Some(base), Some(count), Some(next)) = (
        long.subsection,
        layout.subsection_base,
        layout.ptes,
        layout.next,
    ) else {
        return Err(Absent::not_in_this_kernel());
    };
    let mut part = part.read(space, vad.at)?;
    let head = base.read(space, part)?;
    let before = first.0.saturating_sub(head.0);
    let mut number = number.saturating_add(before.checked_div(bytes).unwrap_or_default());
    for _ in 0..MOST_PARTS {
        windows.guest.plausible(part)?;
        let own = count.read(space, part)?;
        if number < own {
            let head = base.read(space, part)?;
            if head.is_null() {
                break; // nobody has touched this part
            }
            return Ok(Some(head.plus(number.saturating_mul(bytes))));
        }
        number = number.saturating_sub(own);
        part = next.read(space, part)?;
        if part.is_null() {
            return Ok(None);
        }
    }
    let rule = "a section has an entry for each of its pages";
    Err(Absent::implausible(number, rule, Some(part)))
}

/// What the descriptor that holds `va` says, in the words of the programming interface.
pub(crate) fn descriptor(windows: &Windows, taskd: VirtAddr, va: VirtAddr) -> Seen<Descriptor> {
    /// `MEM_PRIVATE`, `MEM_MAPPED`, `MEM_IMAGE`.
    const PRIVATE: u32 = 0x2_0000;
    const MAPPED: u32 = 0x4_0000;
    const IMAGE: u32 = 0x100_0000;
    let none = || Absent::not_applicable("no virtual address descriptor was met");
    let vad = vad::holding(windows, taskd, va).ok_or_else(none)?;
    let span = vad.span?;
    let said = crate::section::said(windows, vad.at, false);
    let protection = said.clone().and_then(|said| match said.protection {
        Some(bits) => Ok(protection(bits)),
        None => Err(Absent::not_in_this_kernel()),
    });
    let kind = said.map(|said| match (said.image, said.private) {
        (true, _) => IMAGE,
        (_, true) => PRIVATE,
        _ => MAPPED,
    });
    Ok(Descriptor {
        start: VirtAddr(span.start),
        bytes: span.size,
        protection,
        kind,
    })
}

/// `PAGE_READWRITE` and the like for `MM_READWRITE` and the like: `MmProtectToValue`.
fn protection(bits: u64) -> u32 {
    const NO_ACCESS: u32 = 1;
    const NO_CACHE: u32 = 0x200;
    const GUARD: u32 = 0x100;
    const WRITE_COMBINE: u32 = 0x400;
    let rights: u32 = match bits & 7 {
        0 => return NO_ACCESS,
        1 => 2,
        2 => 0x10,
        3 => 0x20,
        4 => 4,
        5 => 8,
        6 => 0x40,
        _ => 0x80,
    };
    rights
        | match bits >> 3 & 3 {
            1 => NO_CACHE,
            2 => GUARD,
            3 => WRITE_COMBINE,
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protections_have_the_interface_s_numbers() {
        assert_eq!(protection(4), 4, "PAGE_READWRITE");
        assert_eq!(protection(0x14), 0x104, "with PAGE_GUARD");
        assert_eq!(protection(0x18), 1, "PAGE_NOACCESS");
        assert_eq!(protection(7), 0x80, "PAGE_EXECUTE_WRITECOPY");
        assert_eq!(protection(0x1c), 0x404, "with PAGE_WRITECOMBINE");
    }

    #[test]
    fn memory_that_was_given_back_is_no_zeros() {
        assert_eq!(untouched(0x80), Behind::Zeros);
        assert_eq!(untouched(0x200), Behind::Past);
    }
}
