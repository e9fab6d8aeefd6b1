//! Searching memory: cheap probes for kernels met before, then one pass for everything else.

use std::ops::ControlFlow;

use foldhash::HashSet;
use memchr::memmem;
use osier_memory::{Machine, PAGE_BYTES, Paging, PhysAddr, PhysRun, ZERO_PAGE, encryption_bits};

use super::confirm::{BANNER, BANNER_MAX, banner_line};
use super::found::{Candidate, KnownKernel};
use super::i386;
use super::vmcoreinfo::{self, Vmcoreinfo};

/// Kernel images start at multiples of this (`CONFIG_PHYSICAL_ALIGN`, at least 2 MiB on x86-64).
const IMAGE_ALIGN: u64 = 2 << 20;
const WINDOW: usize = 1 << 20;
/// What processors start by lies below.
const LOW: u64 = 1 << 20;
/// The last entry of a table.
const LAST: usize = 511;

/// The kernel's own root, by the table that other processors start by (`trampoline_pgd`), which is in the first
/// MiB of every x86-64 machine: its last entry is that of `init_top_pgt`, and leads to a table of the image
/// that `init_top_pgt` stands before (`arch/x86/kernel/head_64.S`). None where several kernels have left
/// one, for which of them runs is not known. Source: `setup_real_mode()`, `arch/x86/realmode/init.c`.
pub(super) fn low_stub(machine: &Machine) -> Vec<Candidate> {
    let low = PhysRun {
        start: PhysAddr(0),
        len: LOW,
    };
    let mut stubs: Vec<(PhysAddr, u64)> = Vec::new();
    let _ = machine.memory.sweep(low, WINDOW, &mut |start, window| {
        let pages = window.chunks_exact(PAGE_BYTES as usize);
        for (at, page) in (0_u64..).zip(pages) {
            let last = entry(page, LAST);
            if last & PRESENT != 0 {
                stubs.push((start.plus(at.wrapping_mul(PAGE_BYTES)), last));
            }
        }
        ControlFlow::Continue(())
    });
    let mut found: Vec<Candidate> = Vec::new();
    for (at, last) in stubs {
        // Read by itself, so that a recorder sees it.
        if page_at(machine, at).is_some_and(|page| entry(&page, LAST) == last) {
            found.extend(root_before(machine, at, last));
        }
    }
    let one = |found: &[Candidate]| {
        found
            .windows(2)
            .all(|two| matches!(two, [a, b] if a.root == b.root))
    };
    if one(&found) { found } else { Vec::new() }
}

/// The root before the table that `last` leads to, which has the same entry, in the mode in which it leads
/// to an image.
fn root_before(machine: &Machine, stub: PhysAddr, last: u64) -> Option<Candidate> {
    /// Pages between the two: the user half of the root (KPTI), and tables that fill room.
    const FAR: u64 = 8;
    const MARKS: u64 = 0x60;
    let frame = FRAME & !encryption_bits(&*machine.memory);
    let below = |table: &[u8], index| {
        let entry = entry(table, index);
        let leads = entry & PRESENT != 0 && entry & frame != 0;
        leads
            .then(|| page_at(machine, PhysAddr(entry & frame)))
            .flatten()
    };
    let table = PhysAddr(last & frame);
    let top = page_at(machine, table).filter(|_| table.0 >= LOW)?;
    let image = |pointers: &[u8]| below(pointers, LAST - 1).is_some_and(|page| maps_image(&page));
    let mode = if image(&top) {
        Paging::Long4
    } else if below(&top, LAST).is_some_and(|pointers| image(&pointers)) {
        Paging::Long5
    } else {
        return None;
    };
    let root = (1..=FAR)
        .map(|pages| table.0.wrapping_sub(pages.wrapping_mul(PAGE_BYTES)))
        .map(PhysAddr)
        .find(|root| {
            page_at(machine, *root)
                .is_some_and(|page| (entry(&page, LAST) ^ last) & !MARKS == 0 && maps_memory(&page))
        })?;
    Some(Candidate {
        mode,
        root,
        by: format!("the table at physical {stub} that processors start by"),
        kernel_half: false,
    })
}

/// The page at `at`.
fn page_at(machine: &Machine, at: PhysAddr) -> Option<Vec<u8>> {
    let mut page = vec![0; PAGE_BYTES as usize];
    machine.memory.read(at, &mut page).is_ok().then_some(page)
}

/// Whether entries 256 to 503 map something, as those of a root do: all of memory, for one. Above them
/// lie the per-processor entry areas, which share a table with the image under 5 levels (the kernel's
/// `Documentation/arch/x86/x86_64/mm.rst`).
fn maps_memory(page: &[u8]) -> bool {
    (256..504).any(|index| entry(page, index) & PRESENT != 0)
}

/// The roots of known kernels whose first bytes stand at a place that can hold a kernel image.
pub(super) fn known_kernels(machine: &Machine, known: &[KnownKernel]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let longest = known
        .iter()
        .map(|kernel| kernel.text_head.len())
        .max()
        .unwrap_or(0);
    if longest == 0 {
        return found;
    }
    let mut look = |at: PhysAddr| {
        // A sweep does not map what it reads: of a large dump, every probe would otherwise
        // leave its surroundings in this process's memory.
        let head = PhysRun {
            start: at,
            len: longest as u64,
        };
        let _ = machine.memory.sweep(head, longest, &mut |_, bytes| {
            for kernel in known {
                if kernel.starts(bytes) && kernel.stands_at(machine, at) {
                    let by = format!("the first bytes of a kernel met before, at physical {at}");
                    found.extend(roots_of(kernel, at, &by));
                }
            }
            ControlFlow::Break(())
        });
    };
    for run in machine.memory.runs() {
        let mut at = PhysAddr(run.start.0.next_multiple_of(IMAGE_ALIGN));
        while run.contains(at) {
            look(at);
            at = at.plus(IMAGE_ALIGN);
        }
    }
    // An old i386 kernel may be aligned less; it then lies where it was linked.
    let linked = known.iter().filter(|kernel| kernel.pointer_bytes == 4);
    let linked = linked.map(|kernel| kernel.text & 0x3fff_ffff);
    let odd: HashSet<u64> = linked.filter(|at| at % IMAGE_ALIGN != 0).collect();
    for at in odd {
        look(PhysAddr(at));
    }
    found
}

/// The roots of known kernels whose banner stands at `pa`.
pub(super) fn known_by_banner(
    known: &[KnownKernel],
    pa: PhysAddr,
    banner: &[u8],
) -> Vec<Candidate> {
    let same = known.iter().filter(|kernel| kernel.banner == banner);
    let roots = same.flat_map(|kernel| {
        let text =
            pa.0.wrapping_sub(kernel.linux_banner.wrapping_sub(kernel.text));
        let by = format!("the banner of a kernel met before, at physical {pa}");
        roots_of(kernel, PhysAddr(text), &by)
    });
    roots.collect()
}

fn roots_of(kernel: &KnownKernel, text_pa: PhysAddr, by: &str) -> Vec<Candidate> {
    let modes: &[Paging] = if kernel.pointer_bytes == 8 {
        &[Paging::Long4, Paging::Long5]
    } else {
        &[Paging::Pae, Paging::Legacy]
    };
    let root = text_pa.plus(kernel.root.wrapping_sub(kernel.text));
    modes
        .iter()
        .map(|&mode| Candidate {
            mode,
            root,
            by: by.to_owned(),
            kernel_half: false,
        })
        .collect()
}

/// What a pass over memory finds.
#[derive(Default)]
pub(super) struct Sweep {
    /// How many VMCOREINFO pages were met.
    pub(super) vmcoreinfo: usize,
    /// Roots of tables that map an x86-64 kernel image.
    pub(super) roots: Vec<Candidate>,
    /// Roots of tables that map low memory as an i386 kernel's do.
    pub(super) linear: Vec<Candidate>,
    /// Banners, the first few, and where they stand.
    pub(super) banners: Vec<(PhysAddr, Vec<u8>)>,
}

/// Banners that are kept: of a kernel, of what it unpacked itself from, of its log.
const MAX_BANNERS: usize = 8;

/// What a pass has met so far.
#[derive(Default)]
struct Met {
    images: HashSet<u64>,
    tails: Vec<Tail>,
    narrow: i386::Met,
    banners: Vec<(PhysAddr, Vec<u8>)>,
}

/// The last two entries of a page, where it could be a page table of an x86-64 kernel.
struct Tail {
    page: u64,
    entries: [u64; 2],
    /// [`maps_memory`].
    maps_memory: bool,
    /// Entries 0 to 255 are empty: no process's.
    no_user: bool,
}

const PRESENT: u64 = 1;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Passes over all memory once. `try_info` is shown each VMCOREINFO page when it is met, and ends the
/// pass when it has found the kernel.
pub(super) fn sweep(
    machine: &Machine,
    try_info: &mut dyn FnMut(&Vmcoreinfo) -> ControlFlow<()>,
) -> Sweep {
    let mut found = Sweep::default();
    let mut met = Met::default();
    for run in machine.memory.runs() {
        let mut rest = *run;
        // The pass stops at a VMCOREINFO page, and goes on behind it.
        while let ControlFlow::Break(pa) = sweep_run(machine, rest, &mut met) {
            // Read by itself, so that a recorder sees it.
            let mut page = vec![0; PAGE_BYTES as usize];
            if machine.memory.read(pa, &mut page).is_ok()
                && let Some(info) = Vmcoreinfo::parse(&page)
            {
                found.vmcoreinfo = found.vmcoreinfo.saturating_add(1);
                if try_info(&info).is_break() {
                    return found;
                }
            }
            let start = pa.plus(PAGE_BYTES);
            let len = run.end().0.saturating_sub(start.0);
            rest = PhysRun { start, len };
        }
    }
    let frame = FRAME & !encryption_bits(&*machine.memory);
    found.roots = roots(frame, &met.images, &met.tails);
    found.linear = met.narrow.candidates();
    found.banners = met.banners;
    found
}

/// Looks at each page of `run`; breaks at one that starts as VMCOREINFO does.
fn sweep_run(machine: &Machine, run: PhysRun, met: &mut Met) -> ControlFlow<PhysAddr> {
    let finder = memmem::Finder::new(BANNER);
    let mut stop = ControlFlow::Continue(());
    let _ = machine.memory.sweep(run, WINDOW, &mut |start, window| {
        let chunks = window.chunks_exact(PAGE_BYTES as usize);
        for (at, page) in (0_u64..).zip(chunks) {
            if page == ZERO_PAGE {
                continue;
            }
            let pa = start.plus(at.wrapping_mul(PAGE_BYTES));
            if page.starts_with(vmcoreinfo::START) {
                stop = ControlFlow::Break(pa);
                return ControlFlow::Break(());
            }
            if maps_image(page) {
                met.images.insert(pa.0);
            }
            met.narrow.look(pa.0, page);
            let entries = [entry(page, 510), entry(page, 511)];
            if entries.iter().any(|entry| entry & PRESENT != 0) {
                met.tails.push(Tail {
                    page: pa.0,
                    entries,
                    maps_memory: maps_memory(page),
                    no_user: (0..256).all(|index| entry(page, index) == 0),
                });
            }
        }
        if met.banners.len() < MAX_BANNERS {
            for at in finder.find_iter(window) {
                let bytes = window.get(at..).unwrap_or_default();
                let line = banner_line(bytes.get(..BANNER_MAX).unwrap_or(bytes));
                met.banners
                    .extend(line.map(|line| (start.plus(at as u64), line.to_vec())));
            }
        }
        ControlFlow::Continue(())
    });
    stop
}

fn entry(page: &[u8], index: usize) -> u64 {
    let at = index.saturating_mul(8);
    let bytes = page
        .get(at..at.saturating_add(8))
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

/// Whether a page is a page directory that maps a kernel image: large pages, global or not, that user
/// mode has no right to. Four side by side in consecutive frames will do; a small kernel fills fewer, and
/// its directory holds nothing else but small tables.
fn maps_image(page: &[u8]) -> bool {
    const LARGE: u64 = 1 << 7;
    const USER: u64 = 1 << 2;
    const LARGE_FRAME: u64 = 0x000f_ffff_ffe0_0000;
    let mut run = 0_u32;
    let mut last = 0_u64;
    let mut any = false;
    for index in 0..512 {
        let entry = entry(page, index);
        if entry & (PRESENT | LARGE | USER) != PRESENT | LARGE {
            if entry != 0 && entry & PRESENT == 0 {
                return false; // no kernel table holds anything else
            }
            run = 0;
            continue;
        }
        let frame = entry & LARGE_FRAME;
        run = if run > 0 && frame == last.wrapping_add(IMAGE_ALIGN) {
            run.saturating_add(1)
        } else {
            1
        };
        last = frame;
        any = true;
        if run >= 4 {
            return true;
        }
    }
    any
}

/// Table roots whose last entries lead to one of `images`: the image lies in the last but one GiB
/// of the address space. `frame` are the bits of an entry that tell an address.
fn roots(frame: u64, images: &HashSet<u64>, tails: &[Tail]) -> Vec<Candidate> {
    let leads =
        |entry: u64, to: &HashSet<u64>| entry & PRESENT != 0 && to.contains(&(entry & frame));
    let level = |slot: usize, to: &HashSet<u64>| -> Vec<&Tail> {
        let fits = |tail: &&Tail| {
            tail.entries
                .get(slot)
                .is_some_and(|&entry| leads(entry, to))
        };
        tails.iter().filter(fits).collect()
    };
    let pages = |tails: &[&Tail]| -> HashSet<u64> { tails.iter().map(|tail| tail.page).collect() };
    let pointers = level(0, images);
    let four = level(1, &pages(&pointers));
    let five = level(1, &pages(&four));
    // Under a 5-level root there is a table that alone would pass for a 4-level one, but it maps
    // none of the memory.
    let mut all = Vec::new();
    for (mode, mut tables) in [(Paging::Long4, four), (Paging::Long5, five)] {
        tables.retain(|tail| tail.maps_memory);
        tables.sort_by_key(|tail| !tail.no_user);
        all.extend(tables.iter().map(|tail| Candidate {
            mode,
            root: PhysAddr(tail.page),
            by: format!(
                "a table at physical {:#x} that leads to a kernel image's page directory",
                tail.page
            ),
            kernel_half: false,
        }));
    }
    all
}
