//! The slots of a cache of the slab allocator SLUB, found by the descriptors of their pages.
//!
//! ```text
//!   struct page (struct slab) of each frame ──► whose cache it is
//!   slab.freelist ──► slot + kmem_cache.offset ──► slot …          free slots of the slab
//!   kmem_cache.cpu_slab->freelist ──► …                            free slots that a processor keeps
//! ```
//!
//! Slabs that are full are on no list, so the descriptors of all frames are looked at. They lie at `vmemmap_base`
//! by the number of their frame (`SPARSEMEM_VMEMMAP`), or at `mem_map` (FLATMEM).

use foldhash::{HashSet, HashSetExt as _};
use osier_memory::{Cause, Fault, PAGE_BYTES, PhysAddr, VirtAddr};
use osier_osi::{Absent, Guard, Seen, WalkEnd, WalkEnds};
use osier_profile::{Bits, Field, Ptr, Resolver, UInt, layout};

use crate::constants;
use crate::frames;
use crate::guest::Guest;
use crate::layouts::files::Page;
use crate::symbols;

/// The walk's name in endings.
const WALK: &str = "slab pages";
/// Slots of one slab: its counter has 15 bits.
const SLOTS: u64 = 1 << 15;
/// Slots of a whole cache that are taken.
const MOST: usize = 1 << 23;
/// Descriptors that are read at a time.
const AT_ONCE: u64 = 256;

layout! {
    /// Fields read from `struct slab`, which lies over a `struct page`. Linux commit d122019bf061 ("mm: Split slab
    /// into its own type"), v5.17.
    pub(crate) struct Slab: "slab" {
        /// The cache that the page is of.
        slab_cache: Option<Field<Ptr<()>>>,
        /// The first free slot.
        freelist: Option<Field<Ptr<()>>>,
        /// Number of slots.
        objects: Option<Field<Bits>>,
    }
}

layout! {
    /// Fields read from `kmem_cache`.
    pub(crate) struct Cache: "kmem_cache" {
        /// Bytes from one slot to the next.
        slot_bytes: Option<Field<UInt>> = ["size"],
        /// Where a free slot holds the address of the next.
        link: Option<Field<UInt>> = ["offset"],
        /// Bytes before the first slot, when the allocator checks itself.
        red_left_pad: Option<Field<UInt>>,
        /// What links are mixed with, where they are hardened. Linux commit 2482ddec670f ("mm: add SLUB free list
        /// pointer obfuscation"), v4.14.
        random: Option<Field<UInt>>,
        /// What each processor keeps. Until v6.19.
        cpu_slab: Option<Field<Ptr<()>>>,
        /// What each processor keeps. Since v6.18.
        cpu_sheaves: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `kmem_cache_cpu`.
    pub(crate) struct CacheCpu: "kmem_cache_cpu" {
        /// The first free slot that the processor keeps.
        freelist: Option<Field<Ptr<()>>>,
    }
}

/// How to tell a page of slots by its descriptor.
#[derive(Clone, Copy, Debug)]
enum Mark {
    /// By a bit of `flags`.
    Flag(Field<UInt>, u64),
    /// By the highest byte of `page_type`. Linux commit 4ffca5a96678 ("mm: support only one `page_type` per page"),
    /// v6.12.
    Type(Field<UInt>, u64),
    /// By a bit of `page_type` that is clear. Linux commit 46df8e73a4a3 ("mm: free up `PG_slab`"), v6.10.
    Clear(Field<UInt>, u64),
    /// The profile does not say: by the cache alone.
    None,
}

/// How to read slabs.
pub(crate) struct Slabs {
    /// Bytes of a descriptor.
    page_bytes: u64,
    slab_cache: Field<Ptr<()>>,
    freelist: Field<Ptr<()>>,
    objects: Field<Bits>,
    mark: Mark,
    cache: Cache,
    cpu: CacheCpu,
}

/// A place that a cache has for one object.
pub(crate) struct Slot {
    /// Its first byte.
    pub(crate) at: VirtAddr,
    /// Whether nothing is kept there; absent where the lists of free slots could not be read whole.
    pub(crate) free: Seen<bool>,
}

/// The slots of a cache.
pub(crate) struct Slots {
    pub(crate) slots: Vec<Slot>,
    pub(crate) ends: WalkEnds,
}

/// A cache, as far as its slots need it.
struct Shape {
    at: VirtAddr,
    bytes: u64,
    pad: u64,
    link: u64,
    random: Option<u64>,
    /// A slot that no list of free ones has may be one that a processor keeps.
    kept_apart: bool,
}

/// A slab: its first byte, its slots and the first free one.
struct Found {
    base: VirtAddr,
    objects: u64,
    freelist: VirtAddr,
}

impl Slabs {
    /// Resolves the shape; `None` when the profile does not describe SLUB's pages.
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Option<Self> {
        let page = Page::resolve(resolver);
        let slab = Slab::resolve(resolver);
        let kind = page.page_type;
        let flag = resolver.constant(&[constants::PG_slab]);
        let flag = flag.and_then(|flag| u64::try_from(flag).ok());
        let byte = resolver.constant(&[constants::PGTY_slab]);
        let byte = byte.and_then(|byte| u64::try_from(byte).ok());
        let mark = match (byte, flag) {
            (Some(byte), _) => kind.map_or(Mark::None, |field| Mark::Type(field, byte)),
            (None, Some(bit @ 0..64)) => page
                .flags
                .map_or(Mark::None, |field| Mark::Flag(field, 1 << bit)),
            (None, Some(mask)) => kind.map_or(Mark::None, |field| Mark::Clear(field, mask)),
            (None, None) => Mark::None,
        };
        let own = slab.slab_cache.zip(slab.freelist).zip(slab.objects);
        let old = page.slab_cache.zip(page.freelist).zip(page.objects);
        let ((slab_cache, freelist), objects) = own.or(old)?;
        Some(Self {
            page_bytes: Some(page.size).filter(|size| (16..=256).contains(size))?,
            slab_cache,
            freelist,
            objects,
            mark,
            cache: Cache::resolve(resolver),
            cpu: CacheCpu::resolve(resolver),
        })
    }

    /// Every slot of the cache that the variable `name` leads to.
    pub(crate) fn slots(&self, guest: &Guest, name: &'static str) -> Slots {
        let mut ends = WalkEnds::default();
        let slots = match self.shape(guest, name) {
            Ok(shape) => self.all(guest, &shape, &mut ends),
            Err((missing, fault)) => {
                ends.add(WALK, WalkEnd::no_start(missing, fault));
                Vec::new()
            }
        };
        ends.add(WALK, WalkEnd::Closed);
        Slots { slots, ends }
    }

    fn shape(
        &self,
        guest: &Guest,
        name: &'static str,
    ) -> Result<Shape, (&'static str, Option<Fault>)> {
        let space = &guest.space;
        let variable = guest.symbol(name).ok_or((name, None))?;
        let at = space
            .read_pointer(variable)
            .map_err(|fault| (name, Some(fault)))?;
        if !guest.can_be_object(at) {
            return Err((name, Some(Fault::new(Cause::NonCanonical).with_va(at))));
        }
        let layout = &self.cache;
        let read = |field: Option<Field<UInt>>, what: &'static str| {
            let field = field.ok_or((what, None))?;
            field.read(space, at).map_err(|fault| (what, Some(fault)))
        };
        let bytes = read(layout.slot_bytes, "the size of the cache's slots")?;
        let link = read(layout.link, "the place of the link in a free slot")?;
        let pad = layout.red_left_pad.map_or(Ok(0), |field| {
            let what = "the bytes before the cache's first slot";
            field.read(space, at).map_err(|fault| (what, Some(fault)))
        })?;
        let random = layout.random.map(|field| {
            let what = "what the cache's links are mixed with";
            field.read(space, at).map_err(|fault| (what, Some(fault)))
        });
        let word = u64::from(guest.pointer_bytes());
        if !(word..=1 << 20).contains(&bytes) || link > bytes || pad > bytes {
            return Err(("the size of the cache's slots: it cannot be right", None));
        }
        Ok(Shape {
            at,
            bytes,
            pad,
            link,
            random: random.transpose()?,
            kept_apart: layout.cpu_sheaves.is_some(),
        })
    }

    /// Looks at the descriptor of every frame.
    fn all(&self, guest: &Guest, shape: &Shape, ends: &mut WalkEnds) -> Vec<Slot> {
        let start = match frames::descriptors(guest) {
            Ok(start) => start,
            Err((missing, fault)) => {
                ends.add(WALK, WalkEnd::no_start(missing, fault));
                return Vec::new();
            }
        };
        let Some(direct) = frames::direct(guest, shape.at) else {
            ends.add(WALK, WalkEnd::no_start("the direct map of memory", None));
            return Vec::new();
        };
        let (frames, said) = frames::count(guest, WALK, ends);
        let runs = guest.space.memory().runs();
        let is_ram = |start: u64, end: u64| {
            let end = PhysAddr(end.min(said).saturating_mul(PAGE_BYTES));
            let start = PhysAddr(start.saturating_mul(PAGE_BYTES));
            start < end && runs.iter().any(|run| run.start < end && start < run.end())
        };
        let mut lost = Lost::default();
        let mut slabs = Vec::new();
        let mut buffer = vec![0_u8; self.page_bytes.saturating_mul(AT_ONCE) as usize];
        let mut first = 0_u64;
        while first < frames {
            let count = AT_ONCE.min(frames.saturating_sub(first));
            let bytes = count.saturating_mul(self.page_bytes);
            let at = start.plus(first.wrapping_mul(self.page_bytes));
            let Some(window) = buffer.get_mut(..bytes as usize) else {
                break;
            };
            window.fill(0);
            for gap in guest.space.read_partial(at, window) {
                // Of frames that there are not, no descriptors are mapped.
                let from = (gap.start as u64).checked_div(self.page_bytes).unwrap_or(0);
                let to = gap.start.saturating_add(gap.len) as u64;
                let (from, to) = (
                    first.saturating_add(from),
                    first.saturating_add(to.div_ceil(self.page_bytes.max(1))),
                );
                if !matches!(gap.fault.cause, Cause::NotPresent { .. }) || is_ram(from, to) {
                    let pages = (gap.len as u64).div_ceil(PAGE_BYTES);
                    lost.note(pages, gap.fault);
                }
            }
            for (nth, page) in window.chunks_exact(self.page_bytes as usize).enumerate() {
                if let Some((freelist, objects)) = self.is_of(page, shape.at, guest.pointer_bytes())
                {
                    let frame = first.wrapping_add(nth as u64);
                    slabs.push(Found {
                        base: direct.plus(frame.wrapping_mul(PAGE_BYTES)),
                        objects,
                        freelist,
                    });
                }
            }
            first = first.saturating_add(count);
        }
        lost.end("pages of page descriptors", ends);
        let kept = self.kept_by_processors(guest, shape);
        let mut slots = Vec::new();
        for slab in &slabs {
            slots_of(guest, shape, slab, &kept, &mut slots);
            if slots.len() > MOST {
                let after = slots.len();
                ends.add(WALK, WalkEnd::Limit { after });
                break;
            }
        }
        slots
    }

    /// The first free slot and the number of slots, when the descriptor is of a slab of the cache at `cache`.
    fn is_of(&self, page: &[u8], cache: VirtAddr, word: u8) -> Option<(VirtAddr, u64)> {
        if number(page, self.slab_cache.offset, word.into())? != cache.0 {
            return None;
        }
        let read = |field: Field<UInt>| number(page, field.offset, field.bytes);
        let is = match self.mark {
            Mark::Flag(field, mask) => read(field)? & mask != 0,
            Mark::Type(field, byte) => read(field)? >> 24 & 0xff == byte & 0xff,
            Mark::Clear(field, mask) => {
                let kind = read(field)?;
                kind & 0xf000_0000 == 0xf000_0000 && kind & mask == 0
            }
            Mark::None => true,
        };
        if !is {
            return None;
        }
        let raw = number(page, self.objects.offset, self.objects.bytes)?;
        let objects = match self.objects.bits {
            Some((first, width)) => {
                let mask = (1_u64 << width.min(63)).wrapping_sub(1);
                raw.checked_shr(first.into()).unwrap_or(0) & mask
            }
            None => raw,
        };
        let freelist = number(page, self.freelist.offset, word.into())?;
        Some((VirtAddr(freelist), objects.min(SLOTS)))
    }

    /// The free slots that processors keep, and whether all were read.
    fn kept_by_processors(
        &self,
        guest: &Guest,
        shape: &Shape,
    ) -> (HashSet<VirtAddr>, Option<Fault>) {
        let mut kept = HashSet::new();
        let Some((cpu_slab, freelist)) = self.cache.cpu_slab.zip(self.cpu.freelist) else {
            return (kept, None);
        };
        let space = &guest.space;
        let mut fault = None;
        match cpu_slab.read(space, shape.at) {
            Ok(pointer) => {
                for offset in processors(guest) {
                    let own = offset.and_then(|offset| {
                        let at = guest.space.mode().canonicalise(pointer.plus(offset));
                        freelist.read(space, at)
                    });
                    let end = own.map(|first| {
                        chain(guest, shape, first, &mut |slot| {
                            kept.insert(slot);
                        })
                    });
                    match end {
                        Ok(Ok(())) => {}
                        Ok(Err(lost)) | Err(lost) => fault = Some(lost),
                    }
                }
            }
            Err(lost) => fault = Some(lost),
        }
        (kept, fault)
    }
}

/// Follows the free slots from `first` on.
fn chain(
    guest: &Guest,
    shape: &Shape,
    first: VirtAddr,
    met: &mut dyn FnMut(VirtAddr),
) -> Result<(), Fault> {
    let space = &guest.space;
    let mut guard = Guard::new(SLOTS as usize);
    let mut slot = first;
    while !slot.is_null() {
        if !guest.can_be_object(slot) || guard.meet(slot).is_err() {
            return Err(Fault::new(Cause::NonCanonical).with_va(slot));
        }
        met(slot);
        let at = slot.plus(shape.link);
        let raw = space.read_pointer(at)?.0;
        slot = VirtAddr(match shape.random {
            None => raw,
            Some(random) => decoded(guest, raw, random, at),
        });
    }
    Ok(())
}

/// The slots of a slab.
fn slots_of(
    guest: &Guest,
    shape: &Shape,
    slab: &Found,
    kept: &(HashSet<VirtAddr>, Option<Fault>),
    into: &mut Vec<Slot>,
) {
    let mut free = HashSet::new();
    let chain = chain(guest, shape, slab.freelist, &mut |slot| {
        free.insert(slot);
    });
    let fault = chain.err().or(kept.1);
    for nth in 0..slab.objects {
        let at = slab
            .base
            .plus(shape.pad)
            .plus(nth.wrapping_mul(shape.bytes));
        let is_free = free.contains(&at) || kept.0.contains(&at);
        let free = match fault {
            _ if is_free => Ok(true),
            Some(fault) => Err(Absent::unreadable(fault)),
            None if shape.kept_apart => Err(Absent::not_in_this_kernel()),
            None => Ok(false),
        };
        into.push(Slot { at, free });
    }
}

/// What could not be read.
#[derive(Default)]
struct Lost {
    parts: u64,
    first: Option<Fault>,
}

impl Lost {
    fn note(&mut self, parts: u64, fault: Fault) {
        self.parts = self.parts.saturating_add(parts);
        self.first.get_or_insert(fault);
    }

    fn end(&self, what: &'static str, ends: &mut WalkEnds) {
        if let Some(fault) = self.first {
            let parts = usize::try_from(self.parts).unwrap_or(usize::MAX);
            ends.add(WALK, WalkEnd::Unread { what, parts, fault });
        }
    }
}

/// The address that a hardened link leads to. Its own address is mixed in with its bytes in the other order since
/// Linux commit 1ad53d9fa3f6 ("slub: improve bit diffusion for freelist ptr obfuscation"), v5.7 and
/// older stable ones; before, as it is.
fn decoded(guest: &Guest, raw: u64, random: u64, at: VirtAddr) -> u64 {
    let (swapped, mask) = if guest.pointer_bytes() == 8 {
        (at.0.swap_bytes(), u64::MAX)
    } else {
        (u64::from((at.0 as u32).swap_bytes()), 0xffff_ffff)
    };
    let fits = |address: u64| address == 0 || guest.can_be_object(VirtAddr(address));
    let today = (raw ^ random ^ swapped) & mask;
    let before = (raw ^ random ^ at.0) & mask;
    if !fits(today) && fits(before) {
        before
    } else {
        today
    }
}

/// The little-endian number of `bytes` bytes at `offset`.
fn number(page: &[u8], offset: i64, bytes: u64) -> Option<u64> {
    let from = usize::try_from(offset).ok()?;
    let raw = page.get(from..from.checked_add(bytes.min(8) as usize)?)?;
    let mut whole = [0_u8; 8];
    whole.get_mut(..raw.len())?.copy_from_slice(raw);
    Some(u64::from_le_bytes(whole))
}

/// What is added to the address of a variable that each processor has of its own, for each.
fn processors(guest: &Guest) -> Vec<Result<u64, Fault>> {
    let Some(table) = guest.symbol(symbols::__per_cpu_offset) else {
        return vec![Ok(0)];
    };
    let word = u64::from(guest.pointer_bytes());
    let cpus = guest.symbol(symbols::nr_cpu_ids);
    let cpus = cpus.map_or(Ok(1), |at| guest.space.read_uint(at, 4));
    match cpus {
        Ok(cpus) => (0..cpus.min(8192))
            .map(|cpu| {
                guest
                    .space
                    .read_pointer(table.plus(cpu.wrapping_mul(word)))
                    .map(|at| at.0)
            })
            .collect(),
        Err(fault) => vec![Err(fault)],
    }
}
