//! What a process sees at its addresses: the pages of its own table, and behind them those of the page cache, and
//! zeros where memory was promised and never touched.

use std::ops::{ControlFlow, Range};

use osier_memory::{
    AddressSpace, Cause, Each, Fault, PAGE_BYTES, PhysAddr, PhysicalMemory, VirtAddr,
};
use osier_osi::{
    Absent, Behind, Mapping, Osi, ProcessAddress, Seen, SeenExt as _, Stretch, WalkEnd, WalkEnds,
};

/// The walk's name in endings.
const WALK: &str = "memory";
/// Steps a walk may take for each page of RAM: page tables that are met again and again map more than
/// any machine holds.
const STEPS_A_PAGE: u64 = 64;
/// Steps that every walk may take.
const STEPS: u64 = 1 << 20;

/// A mapping of which it is known where it lies.
#[derive(Clone, Debug)]
pub struct Area {
    /// Its addresses.
    pub range: Range<u64>,
    /// What it is.
    pub mapping: Mapping,
}

impl Area {
    /// What the area is called: the file's path, a name in brackets, or `[anonymous]`.
    pub fn name(&self) -> &[u8] {
        let name = self.mapping.file.as_deref();
        let name = name.or(self.mapping.name.as_deref());
        name.unwrap_or(b"[anonymous]")
    }
}

/// What a stretch of addresses holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// RAM from this physical address on.
    Frame(PhysAddr),
    /// Zeros that nobody wrote.
    Zeros,
    /// Nothing that can be told: behind the end of a file, or a driver's.
    Nothing,
    /// Something that is not in memory, or that cannot be read.
    Lost(Box<Absent>),
}

/// A stretch of addresses that hold the same kind of thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First address.
    pub start: VirtAddr,
    /// Length in bytes.
    pub len: u64,
    /// What stands there.
    pub content: Content,
}

/// The memory of a process.
pub struct ProcessMemory<'a> {
    osi: &'a dyn Osi,
    taskd: VirtAddr,
    space: AddressSpace,
    /// The mappings, by address.
    pub areas: Vec<Area>,
    /// How the walk over the mappings ended.
    pub ends: WalkEnds,
    steps: u64,
}

impl<'a> ProcessMemory<'a> {
    /// The memory of the process, or thread, at `taskd`.
    ///
    /// # Errors
    /// It has none, or its page table cannot be found.
    pub fn of(osi: &'a dyn Osi, taskd: VirtAddr) -> Seen<Self> {
        let space = osi.address_space(taskd)?;
        let mut areas = Vec::new();
        let mut unplaced = None;
        let mut ends = osi.mappings(taskd, &mut |mapping| {
            match (&mapping.base, &mapping.size) {
                (Ok(base), Ok(size)) => areas.push(Area {
                    range: base.0..base.0.saturating_add(*size),
                    mapping,
                }),
                (Err(absent), _) | (_, Err(absent)) => {
                    unplaced.get_or_insert((mapping.modd, absent.clone()));
                }
            }
            ControlFlow::Continue(())
        });
        if let Some((at, absent)) = unplaced {
            ends.add(
                WALK,
                WalkEnd::without(format!("where the mapping at {at} lies"), &absent),
            );
        }
        areas.sort_by_key(|area| area.range.start);
        let ram: u64 = space.memory().runs().iter().map(|run| run.len).sum();
        Ok(Self {
            osi,
            taskd,
            space,
            areas,
            ends,
            steps: (ram / PAGE_BYTES)
                .saturating_mul(STEPS_A_PAGE)
                .saturating_add(STEPS),
        })
    }

    /// The page tables that it is read by.
    pub fn space(&self) -> &AddressSpace {
        &self.space
    }

    /// Shows what stands in the part `within` of the mapping `area`, by address.
    pub fn pieces(&self, area: &Area, within: Range<u64>, visit: Each<'_, Piece>) -> WalkEnd {
        let mut walk = Walk {
            memory: self,
            left: self.steps,
            pending: None,
            visit,
        };
        let start = within.start.max(area.range.start) & !PAGE_BYTES.wrapping_sub(1);
        let end = within.end.min(area.range.end);
        match walk.area(area, start..end) {
            ControlFlow::Continue(()) => {
                let _ = walk.flush();
                WalkEnd::Closed
            }
            ControlFlow::Break(end) => end,
        }
    }
}

impl ProcessMemory<'_> {
    /// Fills `into` from `at` on with what the process sees there.
    ///
    /// # Errors
    /// Why the first byte that is not in memory is not, or that no mapping is there.
    pub fn read(&self, at: VirtAddr, into: &mut [u8]) -> Seen<()> {
        let ram = &**self.space.memory();
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let va = at.plus(done as u64);
            let left = PAGE_BYTES.saturating_sub(va.in_page());
            let some = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let (part, _) = rest.split_at_mut(some);
            match self.at(va)? {
                Some(pa) => ram.read(pa, part).map_err(|fault| fault.with_va(va))?,
                None => part.fill(0),
            }
            done = done.saturating_add(some);
        }
        Ok(())
    }

    /// The byte of RAM that the process sees at `va`; `None` for a zero that nobody wrote.
    fn at(&self, va: VirtAddr) -> Seen<Option<PhysAddr>> {
        let after = self.areas.partition_point(|area| area.range.start <= va.0);
        let before = self.areas.get(..after).and_then(<[Area]>::last);
        let area = before.filter(|area| area.range.contains(&va.0));
        let area = area.ok_or_else(|| Absent::not_applicable("no mapping is there"))?;
        let page = va.page();
        let mut found = Err(Absent::not_applicable("nothing is there"));
        let end = self.pieces(area, page.0..page.0.saturating_add(1), &mut |piece| {
            found = match piece.content {
                Content::Frame(pa) => Ok(Some(pa.plus(va.in_page()))),
                Content::Zeros => Ok(None),
                Content::Nothing => return ControlFlow::Continue(()),
                Content::Lost(absent) => Err(absent),
            };
            ControlFlow::Break(())
        });
        let _ = end; // a page is there, or why it is not
        found
    }
}

struct Walk<'a> {
    memory: &'a ProcessMemory<'a>,
    left: u64,
    pending: Option<Piece>,
    visit: Each<'a, Piece>,
}

impl Walk<'_> {
    fn area(&mut self, area: &Area, within: Range<u64>) -> ControlFlow<WalkEnd> {
        let space = &self.memory.space;
        let mut at = within.start;
        while at < within.end {
            let left = within.end.saturating_sub(at);
            let Some(steps) = self.left.checked_sub(1) else {
                let after = usize::try_from(self.memory.steps).unwrap_or(usize::MAX);
                return ControlFlow::Break(WalkEnd::Limit { after });
            };
            self.left = steps;
            let va = VirtAddr(at);
            let (len, content) = match space.lookup(va) {
                Ok(found) => {
                    // As far as the large page goes.
                    let page = found.page_bytes.max(PAGE_BYTES);
                    let in_page = found.pa.0 & page.wrapping_sub(1);
                    let len = page.saturating_sub(in_page).max(PAGE_BYTES);
                    (len, Content::Frame(found.pa))
                }
                Err(fault) => self.absent(area, va, left, fault),
            };
            let len = len.min(left);
            self.add(Piece {
                start: va,
                len,
                content,
            })?;
            at = at.saturating_add(len.max(PAGE_BYTES));
        }
        ControlFlow::Continue(())
    }

    /// What stands at `va`, of which the page table says nothing, and for how many bytes.
    fn absent(&self, area: &Area, va: VirtAddr, left: u64, fault: Fault) -> (u64, Content) {
        let mode = self.memory.space.mode();
        let span = fault.level.and_then(|level| mode.entry_span(level));
        let span = span.unwrap_or(PAGE_BYTES).max(PAGE_BYTES);
        let stretch = span.saturating_sub(va.0 & span.wrapping_sub(1)).min(left);
        let Some(carve) = self.memory.osi.carve() else {
            return (stretch, Content::Lost(Absent::unreadable(fault)));
        };
        let place = ProcessAddress {
            taskd: self.memory.taskd,
            modd: area.mapping.modd,
            va,
        };
        let Stretch { what, bytes } = carve.behind(place, fault, stretch);
        let content = match what {
            Ok(Behind::Frame(pa)) => Content::Frame(pa),
            Ok(Behind::Zeros) => Content::Zeros,
            Ok(Behind::Past | Behind::Driver) => Content::Nothing,
            Err(absent) => Content::Lost(absent),
        };
        (bytes.min(stretch), content)
    }

    /// Adds a piece, joined with the one before where it goes on.
    fn add(&mut self, next: Piece) -> ControlFlow<WalkEnd> {
        if let Some(last) = &mut self.pending {
            let adjoins = last.start.plus(last.len) == next.start;
            let goes_on = match (&last.content, &next.content) {
                (Content::Frame(one), Content::Frame(other)) => one.plus(last.len) == *other,
                (Content::Lost(one), Content::Lost(other)) => alike(one, other),
                (one, other) => one == other,
            };
            if adjoins && goes_on {
                last.len = last.len.saturating_add(next.len);
                return ControlFlow::Continue(());
            }
        }
        let flow = self.flush();
        self.pending = Some(next);
        match flow {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(()) => ControlFlow::Break(WalkEnd::Stopped),
        }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        match self.pending.take() {
            Some(piece) => (self.visit)(piece),
            None => ControlFlow::Continue(()),
        }
    }
}

/// Whether two pages are lost for one reason, wherever they are.
pub(crate) fn alike(one: &Absent, other: &Absent) -> bool {
    use osier_osi::Why;
    match (one.why, other.why) {
        (Why::Unreadable(one), Why::Unreadable(other)) => one.cause.word() == other.cause.word(),
        (Why::Implausible { rule: one, .. }, Why::Implausible { rule: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

/// Whether some value of it was lost.
pub(crate) fn lost<T>(seen: &Seen<T>) -> Option<&Absent> {
    seen.absence().filter(|absent| absent.is_loss())
}

/// Shows the stretches of `len` bytes from `pa` on: their distance, length, and the fault of those that
/// cannot be read.
pub(crate) fn readable(
    ram: &dyn PhysicalMemory,
    pa: PhysAddr,
    len: u64,
    visit: &mut dyn FnMut(u64, u64, Option<Fault>),
) {
    let mut by = 0;
    while by < len {
        let at = pa.plus(by);
        let left = len.saturating_sub(by);
        let page = PAGE_BYTES.saturating_sub(at.in_page());
        let (some, fault) = match ram.chunk(at) {
            Ok(chunk) if !chunk.is_empty() => ((chunk.len() as u64).min(left), None),
            Ok(_) => {
                let cause = Cause::NotCaptured;
                (page.min(left), Some(Fault::at_phys(cause, at)))
            }
            Err(fault) => (page.min(left), Some(fault)),
        };
        visit(by, some, fault);
        by = by.saturating_add(some);
    }
}
