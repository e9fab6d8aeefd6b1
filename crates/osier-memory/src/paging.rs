//! x86 paging: each mode is a table of constants, and one walk serves them all.
//!
//! The behaviour is that of QEMU's debug walk (`x86_cpu_get_phys_page_debug`, QEMU 2.9.1): no
//! permission checks, the canonical check of long mode, PSE honoured only in 2-level paging, 2 MiB
//! pages under PAE without asking CR4.PSE. Bits that the processor reserves do not stop the walk;
//! each [`Step`] names those that are set.

use std::cell::RefCell;

use crate::{Cause, Fault, PAGE_BYTES, Page, PhysAddr, PhysicalMemory, Store, VirtAddr};

const PRESENT: u64 = 1;
const PAGE_SIZE_BIT: u64 = 1 << 7;
/// Bits 51:12 of an entry.
pub(crate) const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// A paging mode of an x86 processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Paging {
    /// Paging is off: virtual is physical, 32 bits.
    Flat,
    /// No page tables: the file holds 64-bit virtual memory, by virtual address.
    Virtual,
    /// Two levels, 4-byte entries, CR4.PSE clear: no 4 MiB pages.
    LegacyNoPse,
    /// Two levels, 4-byte entries, 4 MiB pages with PSE-36.
    Legacy,
    /// PAE: three levels, 8-byte entries, 2 MiB pages.
    Pae,
    /// Long mode, four levels, 2 MiB and 1 GiB pages.
    Long4,
    /// Long mode with LA57: five levels.
    Long5,
}

/// One level of a paging mode.
struct Level {
    /// Number of the level: 1 is the page table.
    number: u8,
    /// Lowest bit of the index in a virtual address.
    shift: u8,
    /// Width of the index in bits.
    bits: u8,
    /// Whether an entry with PS set maps a page here.
    large: bool,
    /// Bits that must be zero in a present entry that points to a table.
    reserved_table: u64,
    /// Bits that must be zero in a present entry that maps a page.
    reserved_page: u64,
}

const fn level(number: u8, shift: u8, bits: u8, large: bool, table: u64, page: u64) -> Level {
    Level {
        number,
        shift,
        bits,
        large,
        reserved_table: table,
        reserved_page: page,
    }
}

const PML5: Level = level(5, 48, 9, false, PAGE_SIZE_BIT, 0);
const PML4: Level = level(4, 39, 9, false, PAGE_SIZE_BIT, 0);
const PDPT: Level = level(3, 30, 9, true, 0, 0x3fff_e000);
const PD: Level = level(2, 21, 9, true, 0, 0x001f_e000);
const PT: Level = level(1, 12, 9, false, 0, 0);
/// A PAE page-directory pointer: bits 1, 2, 5 to 8 and 63:52 are reserved, PS among them.
const PDPT_PAE: Level = level(3, 30, 2, false, 0xfff0_0000_0000_01e6, 0);
const PD32: Level = level(2, 22, 10, true, 0, 0x0020_0000);
const PD32_NO_PSE: Level = level(2, 22, 10, false, 0, 0);
const PT32: Level = level(1, 12, 10, false, 0, 0);

impl Paging {
    const fn levels(self) -> &'static [Level] {
        match self {
            Self::Flat | Self::Virtual => &[],
            Self::LegacyNoPse => &[PD32_NO_PSE, PT32],
            Self::Legacy => &[PD32, PT32],
            Self::Pae => &[PDPT_PAE, PD, PT],
            Self::Long4 => &[PML4, PDPT, PD, PT],
            Self::Long5 => &[PML5, PML4, PDPT, PD, PT],
        }
    }

    /// Bytes of a page-table entry; 0 when paging is off.
    pub const fn entry_bytes(self) -> usize {
        match self {
            Self::Flat | Self::Virtual => 0,
            Self::LegacyNoPse | Self::Legacy => 4,
            Self::Pae | Self::Long4 | Self::Long5 => 8,
        }
    }

    /// Bytes of a pointer of the kernel that runs in this mode.
    pub const fn pointer_bytes(self) -> u8 {
        match self {
            Self::Virtual | Self::Long4 | Self::Long5 => 8,
            _ => 4,
        }
    }

    /// Bits of a virtual address that are translated.
    pub const fn va_bits(self) -> u8 {
        match self {
            Self::Long4 => 48,
            Self::Long5 => 57,
            Self::Virtual => 64,
            _ => 32,
        }
    }

    /// The physical address of the root table that CR3 holds in this mode.
    pub const fn root_of_cr3(self, cr3: u64) -> PhysAddr {
        PhysAddr(match self {
            Self::Flat | Self::Virtual => 0,
            Self::Pae => cr3 & 0xffff_ffe0,
            Self::LegacyNoPse | Self::Legacy => cr3 & 0xffff_f000,
            Self::Long4 | Self::Long5 => cr3 & FRAME,
        })
    }

    /// Every mode.
    pub const ALL: [Self; 7] = [
        Self::Flat,
        Self::Virtual,
        Self::LegacyNoPse,
        Self::Legacy,
        Self::Pae,
        Self::Long4,
        Self::Long5,
    ];

    /// The mode of this [`name`](Self::name).
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The name that `osier info` shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flat => "off",
            Self::Virtual => "none, virtual memory",
            Self::LegacyNoPse => "2-level without PSE",
            Self::Legacy => "2-level",
            Self::Pae => "PAE",
            Self::Long4 => "4-level",
            Self::Long5 => "5-level",
        }
    }

    /// Whether `va` is one that this mode translates: sign-extended in long mode, below 4 GiB
    /// otherwise.
    pub const fn canonical(self, va: VirtAddr) -> bool {
        match self {
            Self::Long4 => sign_extends(va.0, 47),
            Self::Long5 => sign_extends(va.0, 56),
            Self::Virtual => true,
            _ => va.0 >> 32 == 0,
        }
    }

    /// `va` as this mode writes it: bits above the translated ones made copies of the top one.
    #[must_use]
    pub const fn canonicalise(self, va: VirtAddr) -> VirtAddr {
        match self {
            Self::Long4 => VirtAddr((va.0.wrapping_shl(16).cast_signed() >> 16).cast_unsigned()),
            Self::Long5 => VirtAddr((va.0.wrapping_shl(7).cast_signed() >> 7).cast_unsigned()),
            Self::Virtual => va,
            _ => VirtAddr(va.0 & 0xffff_ffff),
        }
    }

    /// Number of levels.
    pub const fn depth(self) -> usize {
        self.levels().len()
    }

    /// Bytes that one entry covers of the tables of paging level `level`, as [`crate::Fault::level`] counts: 1 is
    /// the page table. `None` of a level that the mode does not have.
    pub fn entry_span(self, level: u8) -> Option<u64> {
        let depth = self.depth().checked_sub(usize::from(level))?;
        let (_, shift) = self.table_shape(depth)?;
        1_u64.checked_shl(shift)
    }

    /// The shape of table level `depth` from the root: bits of the index, and log2 of the bytes
    /// that one entry covers.
    pub(crate) fn table_shape(self, depth: usize) -> Option<(u32, u32)> {
        self.levels()
            .get(depth)
            .map(|l| (u32::from(l.bits), u32::from(l.shift)))
    }
}

const fn sign_extends(value: u64, top: u32) -> bool {
    let high = value.cast_signed() >> top;
    high == 0 || high == -1
}

/// What an operating system makes of an entry that the processor finds not present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPresent {
    /// The page cannot be read from here.
    Fault(Cause),
    /// The page is in memory all the same; the entry as it would stand if it were present.
    InMemory(u64),
    /// The page is described by another entry, of the same format, at this virtual address; followed
    /// once.
    LookAt(VirtAddr),
}

/// An entry that the processor finds not present, as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsentEntry {
    /// The paging mode.
    pub mode: Paging,
    /// The paging level: 1 is the page table.
    pub level: u8,
    /// The entry as it stands in memory.
    pub entry: u64,
    /// Another entry led here ([`NotPresent::LookAt`]).
    pub indirect: bool,
    /// What the operating system told of its entries; see
    /// [`crate::AddressSpace::with_policy_words`].
    pub words: PolicyWords,
}

/// What an operating system tells its policy of all entries of a machine. They mean nothing to this
/// crate, and are all 0 unless somebody set them.
pub type PolicyWords = [u64; 4];

/// Decides what a non-present entry means.
pub type NotPresentPolicy = fn(AbsentEntry) -> NotPresent;

/// The policy of the bare processor: not present is not present.
pub fn hardware_policy(absent: AbsentEntry) -> NotPresent {
    let entry = absent.entry;
    NotPresent::Fault(Cause::NotPresent { entry })
}

/// One table entry on the way of a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Paging level: 1 is the page table, 5 the PML5.
    pub level: u8,
    /// Physical address of the entry.
    pub at: PhysAddr,
    /// The entry as it stands in memory.
    pub entry: u64,
    /// Bits of the entry that are set although the processor reserves them.
    pub reserved: u64,
}

/// Where a virtual address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The physical address of the byte.
    pub pa: PhysAddr,
    /// Bytes of the page that maps it: 4 KiB, 2 MiB, 4 MiB or 1 GiB (all of memory without paging).
    pub page_bytes: u64,
    /// The entry that maps it (0 without paging).
    pub entry: u64,
    /// All entries' flag bits and-ed: user, write are what the processor would allow. Bit 63 (NX)
    /// is or-ed.
    pub rights: u64,
}

/// A translation with every table entry on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The entries that were read, root first.
    pub steps: Vec<Step>,
    /// Where the walk led.
    pub outcome: Result<Translation, Fault>,
}

/// Tables to translate by.
pub(crate) struct Tables<'a, M: ?Sized> {
    pub(crate) memory: &'a M,
    pub(crate) mode: Paging,
    pub(crate) root: PhysAddr,
    pub(crate) a20_mask: u64,
    /// Bits of an entry that are no part of its frame.
    pub(crate) encryption: u64,
    pub(crate) policy: NotPresentPolicy,
    pub(crate) words: PolicyWords,
    /// This walk looks for an entry that another one told to look at.
    pub(crate) indirect: bool,
    /// Few walks go by these tables: [`PhysicalMemory::read_uint_alone`].
    pub(crate) alone: bool,
    /// Pages of tables that were read before.
    pub(crate) kept: &'a RefCell<TablePages>,
}

/// The last pages of tables that were read, of a memory that gives its pages away: most entries stand in one of
/// them, and the memory's own cache is not asked, which other threads use.
#[derive(Default)]
pub(crate) struct TablePages([Option<(PhysAddr, Page)>; 16]);

impl TablePages {
    /// The entry of `width` bytes at `at`, which no table has in part.
    fn entry<M: PhysicalMemory + ?Sized>(
        &mut self,
        memory: &M,
        at: PhysAddr,
        width: usize,
    ) -> Option<u64> {
        let page = at.page();
        let number = (page.0 / PAGE_BYTES) as usize;
        let slots = self.0.len().wrapping_sub(1);
        let slot = self.0.get_mut(number & slots)?;
        if slot.as_ref().is_none_or(|(held, _)| *held != page) {
            *slot = Some((page, memory.page(page)?));
        }
        slot.as_ref()?.1.uint(at.in_page() as usize, width)
    }
}

impl<M: PhysicalMemory + ?Sized> Tables<'_, M> {
    /// The physical address that an entry points to, for a page or table of `bytes`.
    pub(crate) fn frame_of(&self, entry: u64, bytes: u64) -> u64 {
        frame_of(self.mode, entry & !self.encryption, bytes)
    }

    /// The entry at `at`.
    pub(crate) fn entry(&self, at: PhysAddr) -> Result<u64, Fault> {
        let width = self.mode.entry_bytes();
        if self.alone {
            return self.memory.read_uint_alone(at, width);
        }
        let kept = self.kept.borrow_mut().entry(self.memory, at, width);
        kept.map_or_else(|| self.memory.read_uint(at, width), Ok)
    }

    /// What the policy makes of an entry that is not present, met on the way to `va`: the entry as
    /// it would stand.
    pub(crate) fn resolve(&self, level: u8, entry: u64, va: VirtAddr) -> Result<u64, Fault> {
        let absent = |entry, indirect| AbsentEntry {
            mode: self.mode,
            level,
            entry,
            indirect,
            words: self.words,
        };
        let here = |cause| Fault {
            cause,
            va: Some(va),
            pa: None,
            level: Some(level),
        };
        let elsewhere = here(Cause::Elsewhere {
            entry,
            store: Store::Prototype,
        });
        match (self.policy)(absent(entry, false)) {
            NotPresent::InMemory(as_if) => Ok(as_if),
            NotPresent::Fault(cause) => Err(here(cause)),
            NotPresent::LookAt(_) if self.indirect => Err(elsewhere),
            NotPresent::LookAt(at) => {
                let other = self.look_at(at).map_err(|fault| match fault.cause {
                    // The other entry's own page is no more in memory than this one's.
                    Cause::NotPresent { .. } | Cause::NonCanonical | Cause::Elsewhere { .. } => {
                        elsewhere
                    }
                    _ => fault.with_va(va).with_level(level),
                })?;
                if other & PRESENT != 0 {
                    return Ok(other);
                }
                match (self.policy)(absent(other, true)) {
                    NotPresent::InMemory(as_if) => Ok(as_if),
                    NotPresent::Fault(cause) => Err(here(cause)),
                    NotPresent::LookAt(_) => Err(elsewhere),
                }
            }
        }
    }

    /// The physical address of the page of `va` that the entry at the virtual address `at` describes.
    pub(crate) fn page_of(&self, at: VirtAddr, va: VirtAddr) -> Result<PhysAddr, Fault> {
        let here = |cause| Fault {
            cause,
            va: Some(va),
            pa: None,
            level: Some(1),
        };
        let mut entry = self.look_at(at)?;
        if entry & PRESENT == 0 {
            let absent = AbsentEntry {
                mode: self.mode,
                level: 1,
                entry,
                indirect: true,
                words: self.words,
            };
            entry = match (self.policy)(absent) {
                NotPresent::InMemory(as_if) => as_if,
                NotPresent::Fault(cause) => return Err(here(cause)),
                NotPresent::LookAt(_) => {
                    let store = Store::Prototype;
                    return Err(here(Cause::Elsewhere { entry, store }));
                }
            };
        }
        Ok(PhysAddr(self.frame_of(entry, PAGE_BYTES)))
    }

    /// The entry at the virtual address `at`.
    fn look_at(&self, at: VirtAddr) -> Result<u64, Fault> {
        let tables = Tables {
            indirect: true,
            ..*self
        };
        let to = walk(&tables, at, ignore as fn(Step))?;
        self.memory.read_uint(to.pa, self.mode.entry_bytes())
    }
}

fn ignore(_: Step) {}

/// The bit that forbids execution.
const NX: u64 = 1 << 63;

/// Translates `va` in `tables`, telling `step` every entry that is read.
pub(crate) fn walk<M: PhysicalMemory + ?Sized>(
    tables: &Tables<'_, M>,
    va: VirtAddr,
    step: impl FnMut(Step),
) -> Result<Translation, Fault> {
    let &Tables {
        mode,
        root,
        a20_mask,
        ..
    } = tables;
    if let Paging::Flat | Paging::Virtual = mode {
        let (pa, page_bytes) = match mode {
            Paging::Virtual => (PhysAddr(va.0), PAGE_BYTES),
            _ => (PhysAddr(va.0 & a20_mask), 1 << 32),
        };
        return Ok(Translation {
            pa,
            page_bytes,
            entry: 0,
            rights: !NX,
        });
    }
    if !mode.canonical(va) {
        return Err(Fault::new(Cause::NonCanonical).with_va(va));
    }
    walk_from(tables, (mode.levels(), root), va, step)
}

/// Translates `va`, whose walk has come to the page table at `table`: it has one entry to read. The rights
/// are those of that entry alone.
pub(crate) fn walk_last<M: PhysicalMemory + ?Sized>(
    tables: &Tables<'_, M>,
    table: PhysAddr,
    va: VirtAddr,
) -> Result<Translation, Fault> {
    let levels = tables.mode.levels();
    let last = levels.get(levels.len().saturating_sub(1)..);
    walk_from(tables, (last.unwrap_or_default(), table), va, ignore)
}

/// Translates `va` from the table on that the first of `levels` has.
fn walk_from<M: PhysicalMemory + ?Sized>(
    tables: &Tables<'_, M>,
    (levels, mut table): (&[Level], PhysAddr),
    va: VirtAddr,
    mut step: impl FnMut(Step),
) -> Result<Translation, Fault> {
    let &Tables { mode, a20_mask, .. } = tables;
    let width = mode.entry_bytes();
    let mut rights = !NX;
    for level in levels {
        let index = (va.0 >> level.shift) & ((1_u64 << level.bits).wrapping_sub(1));
        let at = PhysAddr(table.plus(index.wrapping_mul(width as u64)).0 & a20_mask);
        let stored = tables
            .entry(at)
            .map_err(|fault| fault.with_va(va).with_level(level.number))?;
        let mut entry = stored;
        let page_here = |e: u64| level.number == 1 || (level.large && e & PAGE_SIZE_BIT != 0);
        let reserved = if page_here(entry) && level.number != 1 {
            entry & level.reserved_page
        } else {
            entry & level.reserved_table
        };
        step(Step {
            level: level.number,
            at,
            entry,
            reserved,
        });
        if entry & PRESENT == 0 {
            entry = tables.resolve(level.number, entry, va)?;
        }
        // A PAE page-directory pointer has no rights bits.
        if !(mode == Paging::Pae && level.number == 3) {
            rights = (rights & entry & !NX) | ((rights | entry) & NX);
        }
        if page_here(entry) {
            let page_bytes = 1_u64 << level.shift;
            let base = tables.frame_of(entry, page_bytes);
            let pa = PhysAddr((base | (va.0 & page_bytes.wrapping_sub(1))) & a20_mask);
            return Ok(Translation {
                pa,
                page_bytes,
                entry,
                rights,
            });
        }
        table = PhysAddr(tables.frame_of(entry, 0x1000));
    }
    Err(Fault::new(Cause::NonCanonical).with_va(va)) // no mode ends on a level without pages
}

fn frame_of(mode: Paging, entry: u64, bytes: u64) -> u64 {
    let base = entry & FRAME & !bytes.wrapping_sub(1);
    match mode {
        Paging::Legacy | Paging::LegacyNoPse if bytes > 0x1000 => {
            // PSE-36: bits 20:13 of the entry are bits 39:32 of the address.
            (base & 0xffff_ffff) | (((entry >> 13) & 0xff) << 32)
        }
        _ => base,
    }
}
