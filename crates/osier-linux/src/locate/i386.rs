//! An i386 kernel that nothing tells the place of: its page tables and its first code.
//!
//! No table leads to its image alone, as on x86-64, and before v5.9 no VMCOREINFO lies in memory that nobody asked
//! for. But every directory that holds the kernel half has, at the entry of the split (`CONFIG_PAGE_OFFSET`) and
//! behind it, large pages whose frames count from 0 on: low memory (`kernel_physical_mapping_init()`,
//! `arch/x86/mm/init_32.c`). And `_text` is where the code stands that the processor is handed over to
//! (`startup_32`, `arch/x86/kernel/head_32.S`), which is kept.

use std::ops::ControlFlow;

use foldhash::HashSet;
use memchr::memmem;
use osier_memory::{AddressSpace, PAGE_BYTES, Paging, PhysAddr, VirtAddr};

use super::found::Candidate;

const PRESENT: u64 = 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;

/// Where the kernel's half may start: `CONFIG_VMSPLIT_3G`, `3G_OPT`, `2G`, `2G_OPT` and `1G`.
const SPLITS: [u64; 5] = [
    0xc000_0000,
    0xb000_0000,
    0x8000_0000,
    0x7800_0000,
    0x4000_0000,
];
/// Entries behind the split that are looked at first: of a directory that maps low memory one at least maps a large
/// page. The first is not among them: it is parted for the BIOS's sake.
const FIRST: std::ops::Range<usize> = 1..4;
/// Large pages in a row that are no chance.
const ENOUGH: usize = 4;
/// Directories that are kept.
const MOST: usize = 4096;

/// What a pass has met of i386 page tables.
#[derive(Default)]
pub(super) struct Met {
    /// Two-level directories, and whether they map nothing for user mode: the kernel's own.
    directories: Vec<(u64, bool)>,
    /// PAE directories that low memory starts in.
    low: HashSet<u64>,
    /// What may be a PAE root.
    roots: Vec<(u64, [u64; 4])>,
}

impl Met {
    /// Looks at one page.
    pub(super) fn look(&mut self, pa: u64, page: &[u8]) {
        if self.directories.len() < MOST
            && let Some(split) = SPLITS
                .iter()
                .map(|split| usize::try_from(split >> 22).unwrap_or(0))
                .find(|split| counts_on(page, 4, *split))
        {
            let user = page.get(..split.saturating_mul(4));
            let empty = user.is_some_and(|user| user.iter().all(|&byte| byte == 0));
            self.directories.push((pa, empty));
        }
        let starts =
            |split: u64| counts_on(page, 8, usize::try_from(split >> 21 & 511).unwrap_or(0));
        if self.low.len() < MOST && SPLITS.into_iter().any(starts) {
            self.low.insert(pa);
        }
        if self.roots.len() < MOST
            && let Some(entries) = pae_root(page)
        {
            self.roots.push((pa, entries));
        }
    }

    /// The roots: those of the kernel's own first.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let legacy = self.directories.iter().map(|(pa, own)| {
            let by = "a page directory that maps low memory";
            (Paging::Legacy, *pa, *own, by)
        });
        let pae = self.roots.iter().filter_map(|(pa, entries)| {
            let frame = |entry: &u64| entry & !0xfff;
            let leads = |entry: &u64| self.low.contains(&frame(entry));
            let first = entries.iter().position(leads)?;
            // The lowest is for user mode, whatever the split.
            let own = entries.iter().take(first).all(|entry| *entry == 0);
            let by = "a table that leads to a page directory that maps low memory";
            (first > 0).then_some((Paging::Pae, *pa, own, by))
        });
        let mut all: Vec<_> = legacy.chain(pae).collect();
        all.sort_by_key(|(_, _, own, _)| !own);
        let candidate = |(mode, pa, _, by): (Paging, u64, bool, &str)| Candidate {
            mode,
            root: PhysAddr(pa),
            by: format!("{by}, at physical {pa:#x}"),
            kernel_half: false,
        };
        all.into_iter().map(candidate).collect()
    }
}

/// Whether the entries of a directory from `first` on map large pages in a row, from frame 0 on; some may
/// be parted into small ones. `width` are the bytes of an entry.
fn counts_on(page: &[u8], width: usize, first: usize) -> bool {
    let large = if width == 8 { 21 } else { 22 };
    let entry = |index: usize| -> u64 {
        let at = first.saturating_add(index).saturating_mul(width);
        let bytes = page.get(at..at.saturating_add(width)).unwrap_or_default();
        let bytes = bytes.iter().rev();
        bytes.fold(0, |entry, byte| entry << 8 | u64::from(*byte))
    };
    // What holds of memory that is not executed: the highest bit, of a PAE entry.
    let frame = |entry: u64| (entry & !(1 << 63)) >> large;
    let is_large = |entry: u64| entry & (PRESENT | USER | LARGE) == PRESENT | LARGE;
    let fits = |index: usize| {
        let entry = entry(index);
        is_large(entry) && frame(entry) == index as u64
    };
    if !FIRST.into_iter().any(fits) {
        return false;
    }
    let entries = page.len().checked_div(width).unwrap_or(0);
    let behind = 0..entries.saturating_sub(first);
    let mut found = 0_usize;
    for index in behind {
        let entry = entry(index);
        if entry & PRESENT == 0 {
            break;
        }
        if is_large(entry) {
            if frame(entry) != index as u64 {
                return false;
            }
            found = found.saturating_add(1);
        }
    }
    found >= ENOUGH
}

/// The four entries that a page starts with, where they may be those of a PAE root: present or empty, and no other
/// bit set that the processor would refuse.
fn pae_root(page: &[u8]) -> Option<[u64; 4]> {
    const FRAME: u64 = 0x000f_ffff_ffff_f000;
    let mut entries = [0; 4];
    for (entry, bytes) in entries.iter_mut().zip(page.chunks_exact(8)) {
        *entry = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    let sound = |entry: &u64| *entry == 0 || *entry & !FRAME == PRESENT;
    let some = entries.iter().skip(1).any(|entry| *entry != 0);
    (some && entries.iter().all(sound)).then_some(entries)
}

/// Where `startup_32` runs, which is `_text`: at the start of a page, and within its first bytes the load of the
/// descriptor table and of the segment registers with `__BOOT_DS`. What the kernel was unpacked by has it not in
/// this order.
pub(super) fn started(space: &AddressSpace) -> Option<VirtAddr> {
    /// `lgdt` of an address.
    const LGDT: [u8; 3] = [0x0f, 0x01, 0x15];
    /// `mov $0x18, %eax`, then `%ds`, `%es`, `%fs` and `%gs` of it.
    const SEGMENTS: [u8; 13] = [
        0xb8, 0x18, 0, 0, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xe0, 0x8e, 0xe8,
    ];
    /// The most that stands before: the stack, and whether the segments are to be kept (until v5.7).
    const BEFORE: usize = 40;
    let finder = memmem::Finder::new(&SEGMENTS);
    let kernel = VirtAddr(0x4000_0000)..VirtAddr(0xffff_f000);
    let mut found = None;
    let _ = space.sweep(kernel, 0, &mut |at, window| {
        let pages = window.chunks(usize::try_from(PAGE_BYTES).unwrap_or(4096));
        for (page, bytes) in (0_u64..).zip(pages) {
            let head = bytes.get(..BEFORE.saturating_add(SEGMENTS.len()));
            let loads = head.and_then(|head| {
                let lgdt = finder.find(head)?.checked_sub(7)?;
                Some(head.get(lgdt..)?.starts_with(&LGDT))
            });
            if loads == Some(true) {
                found = Some(at.plus(page.wrapping_mul(PAGE_BYTES)));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    found
}
