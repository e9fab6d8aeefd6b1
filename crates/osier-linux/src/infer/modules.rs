//! Kernel modules: the list, whose head lies in the image, and what each says of its own memory.
//!
//! ```text
//!   struct module:  state, list, name, … mkobj.mod = itself, …
//!     until v4.4    module_init, module_core, init_size, core_size
//!     until v6.3    core_layout { base, size, …, mtn.mod = itself }, init_layout { … }
//!     since v6.4    mem[7] { base, size, mtn.mod = itself }
//!     since v6.13   mem[7] { base, …, is_rox, size, mtn.mod = itself }, pieces of larger stretches
//! ```
//!
//! `struct module` lies in its module's own memory, which is mapped from its first page to its last, with a
//! page before and one behind that are not. The commits are those of [`crate::modules`].

use std::ops::{ControlFlow, Range};

use osier_memory::{PAGE_BYTES, VirtAddr};

use super::ground::{Ground, Unproven, all, only};
use crate::symbols;

/// How far into `struct module` members are looked for.
const MODULE: u64 = 0x800;
/// More than any module takes.
const LIMIT: u64 = 1 << 30;
/// Parts of `mem` (`MOD_MEM_NUM_TYPES`).
pub(super) const PARTS: u64 = 7;
/// More pointers to a module in itself than any has.
const MOST: usize = 64;

/// Where a module says that its memory lies; offsets in `struct module`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// `module_core`, with `module_init` before it and both sizes behind it.
    Old {
        /// The offset of `module_core`.
        core: u64,
    },
    /// `core_layout` and `init_layout`, in each of which the size follows the address.
    Layouts {
        /// The offset of `core_layout`.
        core: u64,
        /// The offset of `init_layout`.
        init: u64,
    },
    /// `mem`.
    Parts {
        /// The offset of `mem`.
        mem: u64,
        /// Bytes of a part.
        bytes: u64,
        /// The offset of the size in a part, which starts with the address.
        size: u64,
    },
}

/// What is known of modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Modules {
    /// The head of the list.
    pub(super) head: VirtAddr,
    /// Number of modules.
    pub(super) count: usize,
    /// Where their memory stands.
    pub(super) extent: Result<Extent, Unproven>,
}

/// Finds the list of modules.
///
/// # Errors
///
/// What could not be proved.
pub(super) fn find(ground: &Ground<'_>) -> Result<Modules, Unproven> {
    let lists = match ground.guest.symbol(symbols::modules) {
        Some(head) => ring(ground, head).into_iter().collect(),
        None => heads(ground),
    };
    let (head, modules) = only(lists)?;
    let count = modules.len();
    let extent = extent(ground, &modules);
    Ok(Modules {
        head,
        count,
        extent,
    })
}

/// The lists of modules that have their head among the image's data.
fn heads(ground: &Ground<'_>) -> Vec<(VirtAddr, Vec<VirtAddr>)> {
    const PAGE: usize = PAGE_BYTES as usize;
    let word = ground.word() as usize;
    let image = ground.image.clone();
    let mut found = Vec::new();
    let mut page = VirtAddr(image.start.0 & !PAGE_BYTES.wrapping_sub(1));
    let mut bytes = [0_u8; PAGE];
    while page < image.end {
        let at = page;
        page = page.plus(PAGE_BYTES);
        if ground.guest.space.read(at, &mut bytes).is_err() {
            continue;
        }
        for (index, chunk) in (0_u64..).zip(bytes.chunks_exact(word)) {
            let mut whole = [0; 8];
            if let Some(start) = whole.get_mut(..word) {
                start.copy_from_slice(chunk);
            }
            let next = VirtAddr(u64::from_le_bytes(whole));
            if ground.guest.can_be_object(next) && !image.contains(&next) {
                let head = at.plus(index.wrapping_mul(word as u64));
                found.extend(ring(ground, head));
            }
        }
    }
    found
}

/// The modules of the list at `head`, when it is one that is not empty: each node lies behind a state and
/// before a name, in a structure that has its own address within.
fn ring(ground: &Ground<'_>, head: VirtAddr) -> Option<(VirtAddr, Vec<VirtAddr>)> {
    let word = ground.word();
    let first = ground.object(head).filter(|first| *first != head)?;
    let back = ground.pointer(first.plus(word));
    if back != Some(head) || !is_module(ground, first.minus(word)) {
        return None;
    }
    let nodes = ground.ring(head)?;
    let modules: Vec<VirtAddr> = nodes.iter().map(|node| node.minus(word)).collect();
    let sound = modules.iter().all(|module| is_module(ground, *module));
    (sound && !selves(ground, &modules).is_empty()).then_some((head, modules))
}

/// Whether a state and, behind a list's links, the name of a module stand at `module`.
fn is_module(ground: &Ground<'_>, module: VirtAddr) -> bool {
    const STATES: u64 = 4;
    let word = ground.word();
    let room = 64_usize.saturating_sub(word as usize);
    let name = module.plus(word.saturating_mul(3));
    let state = ground.int(module).is_some_and(|state| state < STATES);
    let name = ground.guest.space.read_cstr(name, room);
    state
        && name.is_ok_and(|name| {
            let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
            !name.is_empty() && name.len() < room && name.iter().all(letter)
        })
}

/// The places in every module that hold its own address.
fn selves(ground: &Ground<'_>, modules: &[VirtAddr]) -> Vec<u64> {
    let offsets = ground.offsets(0..MODULE);
    let own = offsets.filter(|offset| {
        all(modules, |module| {
            Some(ground.pointer(module.plus(*offset))? == *module)
        })
    });
    own.take(MOST).collect()
}

/// Where the modules' memory stands.
fn extent(ground: &Ground<'_>, modules: &[VirtAddr]) -> Result<Extent, Unproven> {
    let selves = selves(ground, modules);
    let word = ground.word();
    let mut found = Vec::new();
    for core in ground.offsets(word..MODULE) {
        if is_old(ground, modules, core) {
            found.push(Extent::Old { core });
        }
    }
    for (first, stride) in runs(&selves, 2) {
        let lowest = first.saturating_sub(stride);
        for core in ground.offsets(lowest.next_multiple_of(word)..first) {
            let init = core.saturating_add(stride);
            if are_layouts(ground, modules, core, init) {
                found.push(Extent::Layouts { core, init });
            }
        }
    }
    for (first, bytes) in runs(&selves, PARTS as usize) {
        let lowest = first.saturating_sub(bytes);
        for mem in ground.offsets(lowest.next_multiple_of(word)..first) {
            // Behind the address, or behind `is_rox`, with `rw_copy` before that in v6.13 and v6.14.
            let sizes = [
                word,
                word.saturating_add(4),
                word.saturating_mul(2).saturating_add(4),
            ];
            for size in sizes {
                if are_parts(ground, modules, mem, bytes, size) {
                    found.push(Extent::Parts { mem, bytes, size });
                }
            }
        }
    }
    only(found)
}

/// The first of each `count` places in `places` that lie one after the other and as far apart, no more and no
/// fewer, and how far.
fn runs(places: &[u64], count: usize) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut rest = places;
    while let [first, second, ..] = rest {
        let stride = second.wrapping_sub(*first);
        let steps = rest.windows(2).take_while(|pair| match pair {
            [one, other] => other.wrapping_sub(*one) == stride,
            _ => false,
        });
        let steps = steps.count();
        if steps.saturating_add(1) == count {
            found.push((*first, stride));
        }
        // The last of a run may be the first of another.
        rest = rest.get(steps.max(1)..).unwrap_or_default();
    }
    found
}

/// What a module says of a piece of memory.
fn piece(ground: &Ground<'_>, base: VirtAddr, size: VirtAddr) -> Option<(VirtAddr, u64)> {
    Some((ground.pointer(base)?, ground.int(size)?))
}

/// Whether `base` and `size` are a piece of memory of its own: mapped from its first page to its last, and
/// not around.
fn is_apart(ground: &Ground<'_>, (base, size): (VirtAddr, u64)) -> bool {
    if base.in_page() != 0
        || !ground.guest.is_kernel_address(base)
        || size == 0
        || size > LIMIT
        || ground.guest.space.translate(base.minus(1)).is_ok()
    {
        return false;
    }
    let end = base.plus(size.next_multiple_of(PAGE_BYTES));
    mapped_whole(ground, base..end) && ground.guest.space.translate(end).is_err()
}

/// Whether every page of `range` is mapped.
fn mapped_whole(ground: &Ground<'_>, range: Range<VirtAddr>) -> bool {
    let (mut next, end) = (range.start, range.end);
    ground.guest.space.mapped(range, &mut |met| match met {
        Ok(met) if met.start <= next => {
            next = met.start.plus(met.len);
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Break(()),
    });
    next >= end
}

/// Whether the piece holds `at`.
fn holds((base, size): (VirtAddr, u64), at: VirtAddr) -> bool {
    at >= base && at.since(base) < size
}

/// Whether the two say that there is no such piece.
fn is_none((base, size): (VirtAddr, u64)) -> bool {
    base.is_null() && size == 0
}

fn is_old(ground: &Ground<'_>, modules: &[VirtAddr], core: u64) -> bool {
    let word = ground.word();
    all(modules, |module| {
        let at = module.plus(core);
        let sizes = at.plus(word);
        let own = piece(ground, at, sizes.plus(4))?;
        let first = piece(ground, at.minus(word), sizes)?;
        Some(
            holds(own, *module)
                && is_apart(ground, own)
                && (is_none(first) || is_apart(ground, first)),
        )
    })
}

fn are_layouts(ground: &Ground<'_>, modules: &[VirtAddr], core: u64, init: u64) -> bool {
    let word = ground.word();
    all(modules, |module| {
        let at = |offset: u64| {
            let at = module.plus(offset);
            piece(ground, at, at.plus(word))
        };
        let (own, first) = (at(core)?, at(init)?);
        Some(
            holds(own, *module)
                && is_apart(ground, own)
                && (is_none(first) || is_apart(ground, first)),
        )
    })
}

/// Whether `base` and `size` are whole pages that are mapped, which may be a piece of a larger stretch.
fn is_piece(ground: &Ground<'_>, (base, size): (VirtAddr, u64)) -> bool {
    let whole = base.in_page() == 0 && size.is_multiple_of(PAGE_BYTES);
    whole
        && ground.guest.is_kernel_address(base)
        && (1..=LIMIT).contains(&size)
        && mapped_whole(ground, base..base.plus(size))
}

/// Whether seven parts stand at `mem` with their sizes at `size`: the first is there, one holds the module, and
/// no two of all modules overlap.
fn are_parts(ground: &Ground<'_>, modules: &[VirtAddr], mem: u64, bytes: u64, size: u64) -> bool {
    let apart = size == ground.word();
    let mut ranges = Vec::new();
    let sound = all(modules, |module| {
        let mut holding = 0_u32;
        for part in 0..PARTS {
            let at = module.plus(mem).plus(part.wrapping_mul(bytes));
            let part_of = piece(ground, at, at.plus(size))?;
            let none = is_none(part_of);
            let there = || {
                if apart {
                    is_apart(ground, part_of)
                } else {
                    is_piece(ground, part_of)
                }
            };
            if (none && part == 0) || !(none || there()) {
                return Some(false);
            }
            if !none {
                ranges.push(part_of);
            }
            holding = holding.wrapping_add(u32::from(holds(part_of, *module)));
        }
        Some(holding == 1)
    });
    ranges.sort_unstable();
    let overlap = ranges.windows(2).any(|pair| match pair {
        [first, second] => holds(*first, second.0),
        _ => false,
    });
    sound && !overlap
}
