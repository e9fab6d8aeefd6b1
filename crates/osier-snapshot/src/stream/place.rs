//! Where the blocks lie in guest-physical memory.
//!
//! The machine's own RAM is one block (`pc.ram`), or one for each NUMA node that was given a memory
//! of its own, joined in the order of the nodes; it is divided at 4 GiB. Memory that was plugged in
//! (DIMMs, NVDIMMs, `virtio-mem`) lies behind it, from a multiple of 1 GiB on, where the user or
//! QEMU put it. The stream lists the blocks by size and does not say which is what. What does:
//!
//! | where | what |
//! |---|---|
//! | the clock's CMOS (`mc146818rtc`) | bytes of the machine's RAM below and above 4 GiB |
//! | ACPI's SRAT (`/rom@etc/acpi/tables`) | ranges of the nodes, of NVDIMMs, and where memory can be plugged in |
//! | a `virtio-mem` section | the address of its block |
//! | names | `pc.ram`, `ram-nodeN` (libvirt's) |
//! | the machine type | where RAM is divided, unless `max-ram-below-4g` was given |
//!
//! What none of them tells is guessed, and said to be; or left out, and said to be.
//!
//! Sources: QEMU `hw/core/numa.c`, `hw/i386/pc.c`, `hw/i386/acpi-build.c`, `hw/mem/memory-device.c`
//! (2.9 to 10.0).

use osier_memory::{PhysAddr, PhysRun};

use super::pages::{Block, PAGE};
use super::srat::Affinity;
use crate::anomaly::Anomaly;
use crate::layout::{self, FOUR_GIB, Kind};

/// What the clock's CMOS says of the machine's RAM; without what was plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Bytes below 4 GiB; rounded down to 64 KiB.
    pub(crate) below: u64,
    /// Units of 64 KiB above 4 GiB; 24 bits.
    pub(crate) above: u64,
}

/// The unit of the CMOS' counts.
const UNIT: u64 = 64 << 10;
/// The boundary that plugged memory starts at.
const GIB: u64 = 1 << 30;
/// The alignment of what is plugged in.
const ALIGNED: u64 = 2 << 20;

impl Clock {
    /// Reads the CMOS' first 128 bytes.
    pub(crate) fn read(cmos: &[u8]) -> Option<Self> {
        let byte = |at: usize| cmos.get(at).map(|byte| u64::from(*byte));
        let large = byte(0x34)? | byte(0x35)? << 8;
        let small = byte(0x30)? | byte(0x31)? << 8; // KiB past 1 MiB
        let below = if large > 0 {
            large.checked_mul(UNIT)?.checked_add(16 << 20)?
        } else {
            small.checked_mul(1 << 10)?.checked_add(1 << 20)?
        };
        let above = byte(0x5b)? | byte(0x5c)? << 8 | byte(0x5d)? << 16;
        Some(Self { below, above })
    }

    /// Bytes below 4 GiB of a machine of `ram` bytes; `None` when this is not the clock of one.
    fn below(self, ram: u64) -> Option<u64> {
        let rest = ram.checked_sub(self.below)?;
        if self.above == 0 && rest < UNIT {
            return Some(ram);
        }
        let fits = rest > 0 && (rest / UNIT) & 0xff_ffff == self.above;
        (fits && self.below.is_multiple_of(PAGE) && self.below <= FOUR_GIB).then_some(self.below)
    }

    fn total(self) -> u64 {
        self.below.saturating_add(self.above.saturating_mul(UNIT))
    }
}

/// What tells where blocks lie, beside their names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clues<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) clock: Option<Clock>,
    /// The entries of the SRAT.
    pub(crate) ranges: &'a [Affinity],
    /// Whether the sections after RAM were read to the last.
    pub(crate) whole: bool,
    /// What the user said of the bytes below 4 GiB.
    pub(crate) told: Option<u64>,
}

/// A stretch of guest-physical memory, and what of which block lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) block: &'a Block,
    /// Bytes from the start of the block.
    pub(crate) offset: u64,
}

/// Where everything lies.
#[derive(Debug, Default)]
pub(crate) struct Places<'a> {
    pub(crate) pieces: Vec<Piece<'a>>,
    /// The machine's own RAM in block order, as guest-physical stretches.
    pub(crate) ram: Vec<PhysRun>,
    /// Bytes of it.
    pub(crate) ram_bytes: u64,
    /// Bytes of it below 4 GiB.
    pub(crate) below: u64,
    /// Who says so.
    pub(crate) said_by: &'static str,
    /// Whether the machine may have memory that is placed nowhere.
    pub(crate) unplaced: bool,
    pub(crate) anomalies: Vec<Anomaly>,
}

/// Blocks that are a device's or the board's, and not RAM.
pub(crate) fn is_device(block: &Block) -> bool {
    const BOARD: &[&str] = &[".rom", ".bios", "vram", "-bios", "-ppi", "-page"];
    let name = bare(&block.name);
    name.contains('/') || name.starts_with("system.flash") || {
        BOARD.iter().any(|end| name.ends_with(end))
    }
}

/// A name without what machine types before 4.0 put before an object's.
fn bare(name: &str) -> &str {
    name.strip_prefix("/objects/").unwrap_or(name)
}

/// Blocks that may be RAM: neither a device's nor known to be plugged in.
pub(crate) fn candidates(blocks: &[Block]) -> Vec<&Block> {
    let open = |block: &&Block| block.plugged.is_none() && !is_device(block);
    blocks.iter().filter(open).collect()
}

/// Places `blocks`; `None` when none of them can be RAM.
pub(crate) fn place<'a>(blocks: &'a [Block], clues: &Clues<'_>) -> Option<Places<'a>> {
    let mut places = Places::default();
    let candidates = candidates(blocks);
    let own = own_ram(&candidates, clues, &mut places.anomalies)?;
    let total = sum(&own);
    if let Some(clock) = clues.clock
        && clock.below(total).is_none()
        && !is_xen(&own)
    {
        places.anomalies.push(Anomaly::bytes(format!(
            "the clock's CMOS says {} bytes of RAM, and {} have {total}",
            clock.total(),
            names(&own)
        )));
    }
    let high = divide(total, clues, is_xen(&own), &mut places);
    lay_out(&own, high, &mut places);
    let rest = candidates
        .into_iter()
        .filter(|block| !own.iter().any(|taken| std::ptr::eq(*taken, *block)))
        .collect();
    let end = places.ram.iter().map(|run| run.end().0).max();
    let behind = end.unwrap_or(0).max(FOUR_GIB);
    plugged(blocks, rest, clues, behind, &mut places);
    Some(places)
}

/// The blocks of the machine's own RAM, in their order.
fn own_ram<'a>(
    candidates: &[&'a Block],
    clues: &Clues<'_>,
    anomalies: &mut Vec<Anomaly>,
) -> Option<Vec<&'a Block>> {
    const MAIN: &[&str] = &["pc.ram", "microvm.ram", "xen.ram"];
    let sorted = by_name(candidates);
    let numbered: Vec<&Block> = sorted
        .iter()
        .copied()
        .filter(|block| node(block).is_some())
        .collect();
    let named = candidates
        .iter()
        .find(|block| MAIN.contains(&bare(&block.name)));
    let tabled = of_nodes(&sorted, clues.ranges);
    // Who tells it and what, with what is to be said; the surest first.
    let mut ways: Vec<(Vec<&Block>, Option<String>)> = Vec::new();
    if let Some(named) = named {
        ways.push((vec![named], None));
    }
    if let Some((blocks, sure)) = tabled {
        let said = format!("the order of {} is guessed by their names", names(&blocks));
        ways.push((blocks, (!sure).then_some(said)));
    }
    if !numbered.is_empty() {
        ways.push((numbered, None));
    }
    if let [only] = candidates {
        let said = format!("the block {:?} is taken for the machine's RAM", only.name);
        let sure = clues.clock.is_some_and(|c| c.below(only.bytes).is_some());
        ways.push((vec![only], (!sure).then_some(said)));
    }
    // By what the clock says of the sum alone.
    let cold: Vec<&Block> = sorted
        .iter()
        .copied()
        .filter(|block| !block.name.contains("dimm"))
        .collect();
    for blocks in [sorted.clone(), cold] {
        if blocks.len() > 1 && (clues.clock.is_some() || are_numbered(&blocks)) {
            let said = format!(
                "that {} are the machine's RAM, and in which order, is guessed by their names",
                names(&blocks)
            );
            ways.push((blocks, Some(said)));
        }
    }
    for block in clues.clock.iter().flat_map(|_| &sorted) {
        let said = format!("the block {:?} is taken for the machine's RAM", block.name);
        let alike = sorted.iter().filter(|b| b.bytes == block.bytes).count();
        ways.push((vec![block], (alike > 1).then_some(said)));
    }
    let largest = candidates
        .iter()
        .rev()
        .max_by_key(|block| block.bytes) // the first of equals
        .map(|block| {
            let said = format!("the block {:?} is taken for the machine's RAM", block.name);
            (vec![*block], Some(said))
        });
    ways.extend(largest);
    let fits = |way: &&(Vec<&Block>, _)| {
        clues
            .clock
            .is_none_or(|clock| is_xen(&way.0) || clock.below(sum(&way.0)).is_some())
    };
    let (blocks, said) = ways.iter().find(fits).or(ways.first())?.clone();
    anomalies.extend(said.map(Anomaly::bytes));
    Some(blocks)
}

/// The blocks of the nodes by the SRAT: by their sizes, and of equals by their names. Also whether
/// nothing but this order is possible, or the names are the nodes' own.
fn of_nodes<'a>(sorted: &[&'a Block], ranges: &[Affinity]) -> Option<(Vec<&'a Block>, bool)> {
    let mut nodes: Vec<(u32, u64)> = Vec::new();
    for range in ranges.iter().filter(|range| range.is_own()) {
        // PCs have a hole in their first MiB, which the table leaves out and the block has.
        let hole = if range.start == 0x10_0000 {
            0x6_0000
        } else {
            0
        };
        let len = range.len.saturating_add(hole);
        match nodes.iter_mut().find(|node| node.0 == range.node) {
            Some(node) => node.1 = node.1.saturating_add(len),
            None => nodes.push((range.node, len)),
        }
    }
    nodes.sort_unstable();
    let mut left = sorted.to_vec();
    let mut sure = true;
    let mut found = Vec::new();
    for (number, bytes) in nodes {
        let fits = |block: &&Block| block.bytes == bytes;
        let own = |block: &&Block| fits(block) && node(block) == Some(number.into());
        let own = left.iter().position(own);
        sure &= own.is_some() || left.iter().copied().filter(fits).count() == 1;
        found.push(left.remove(own.or_else(|| left.iter().position(fits))?));
    }
    (!found.is_empty()).then_some((found, sure))
}

/// Divides `ram` bytes at 4 GiB; returns where the rest goes on.
fn divide(ram: u64, clues: &Clues<'_>, xen: bool, places: &mut Places<'_>) -> u64 {
    places.ram_bytes = ram;
    let own = |range: &&Affinity| range.is_own();
    let tabled_high = clues
        .ranges
        .iter()
        .filter(own)
        .map(|range| range.start)
        .filter(|start| *start >= FOUR_GIB)
        .min();
    let tabled_low = clues
        .ranges
        .iter()
        .filter(own)
        .filter(|range| range.start < FOUR_GIB)
        .map(Affinity::end)
        .max();
    let clock = clues.clock.and_then(|clock| clock.below(ram));
    let tabled =
        tabled_low.filter(|low| tabled_high.is_some() && *low < ram && low.is_multiple_of(PAGE));
    let known = clock
        .map(|below| (below, "the clock's CMOS"))
        .or_else(|| tabled.map(|below| (below, "ACPI's SRAT")));
    let told = clues.told.filter(|told| {
        let good = told.is_multiple_of(PAGE) && *told <= FOUR_GIB;
        if !good {
            places.anomalies.push(Anomaly::bytes(format!(
                "a RAM split of {told} bytes is not whole pages below 4 GiB, and is not used"
            )));
        }
        good
    });
    (places.below, places.said_by) = match (told, known) {
        (Some(told), Some((below, by))) if told.min(ram) != below => {
            places.anomalies.push(Anomaly::bytes(format!(
                "a RAM split of {told} bytes was asked for, and {by} says {below}"
            )));
            (told, "the user")
        }
        (Some(told), _) => (told, "the user"),
        (None, Some(known)) => known,
        (None, None) => {
            let split = clues.kind.split(ram);
            if split.guessed {
                places.anomalies.push(Anomaly::bytes(format!(
                    "where RAM goes on behind {} bytes at 4 GiB is guessed: the stream names no machine \
                     type that tells it; --ram-split says it",
                    split.below
                )));
            }
            (
                split.below,
                if split.guessed {
                    "a guess"
                } else {
                    "the machine type"
                },
            )
        }
    };
    places.below = places.below.min(ram);
    let above = ram.saturating_sub(places.below);
    let high = tabled_high.unwrap_or(FOUR_GIB);
    let reach = high.saturating_add(above).saturating_add(64 << 30);
    if tabled_high.is_none() && above > 0 && reach > layout::AMD_HOLE && !xen {
        places.anomalies.push(Anomaly::bytes(
            "that RAM goes on at 4 GiB is guessed: on an AMD processor a machine of this size has it at 1 TiB",
        ));
    }
    high
}

/// Lays the machine's own RAM out.
fn lay_out<'a>(own: &[&'a Block], high: u64, places: &mut Places<'a>) {
    let mut stretches = layout::stretches(places.ram_bytes, places.below, high);
    if is_xen(own) {
        // Xen's block has the hole in it.
        for (start, len, offset) in &mut stretches {
            let hole = start.saturating_sub(*offset);
            (*offset, *len) = (*start, len.saturating_sub(hole));
        }
        stretches.retain(|stretch| stretch.1 > 0);
    }
    for (start, len, offset) in stretches {
        places.ram.push(PhysRun {
            start: PhysAddr(start),
            len,
        });
        let mut first = 0_u64; // of the block, among all
        for block in own {
            let end = first.saturating_add(block.bytes);
            let from = offset.max(first);
            let to = offset.saturating_add(len).min(end);
            if from < to {
                places.pieces.push(Piece {
                    start: start.saturating_add(from.saturating_sub(offset)),
                    len: to.saturating_sub(from),
                    block,
                    offset: from.saturating_sub(first),
                });
            }
            first = end;
        }
    }
}

/// Places what was plugged in, from `behind` on: what `blocks` themselves say, and the `rest`.
fn plugged<'a>(
    blocks: &'a [Block],
    mut rest: Vec<&'a Block>,
    clues: &Clues<'_>,
    behind: u64,
    places: &mut Places<'a>,
) {
    let mut out: Vec<&Block> = Vec::new();
    for block in blocks {
        match block.plugged {
            Some(0) => out.push(block),
            Some(start) => settle(block, start, places, &mut out),
            // A device's memory, unless the sections that could say otherwise are lost.
            None if !clues.whole && may_be_lent(block) => out.push(block),
            None => {}
        }
    }
    let ranges = clues.ranges.iter().filter(|range| !range.is_own());
    for range in ranges.clone() {
        let alike = |len: u64| ranges.clone().filter(|r| r.len == len).count();
        let mut fits = rest.iter().filter(|block| block.bytes == range.len);
        if let (Some(block), None, 1) = (fits.next().copied(), fits.next(), alike(range.len)) {
            rest.retain(|other| !std::ptr::eq(*other, block));
            settle(block, range.start, places, &mut out);
        }
    }
    let rest = by_name(&rest);
    let mut next = ranges
        .filter(|range| !range.is_lasting())
        .map(|range| range.start)
        .min()
        .unwrap_or(behind.next_multiple_of(GIB));
    let pc = rest.iter().all(|block| block.bytes.is_multiple_of(ALIGNED));
    if pc && (rest.len() == 1 || are_numbered(&rest)) {
        for block in rest {
            while let Some(taken) = overlapping(next, block.bytes, places) {
                next = taken.next_multiple_of(ALIGNED);
            }
            places.anomalies.push(Anomaly::bytes(format!(
                "the block {:?} is placed at {next:#x} by guess: the stream does not say where memory was \
                 plugged in",
                block.name
            )));
            places.unplaced = true;
            settle(block, next, places, &mut out);
        }
    } else {
        out.extend(rest);
    }
    if !out.is_empty() {
        places.unplaced = true;
        places.anomalies.push(Anomaly::bytes(format!(
            "{} left out: the stream does not say where it lies",
            names(&out)
        )));
    }
}

/// Puts all of `block` at `start`, or into `out` where something lies there.
fn settle<'a>(block: &'a Block, start: u64, places: &mut Places<'a>, out: &mut Vec<&'a Block>) {
    let fits = start.is_multiple_of(PAGE) && start.checked_add(block.bytes).is_some();
    if !fits || overlapping(start, block.bytes, places).is_some() {
        out.push(block);
        return;
    }
    places.pieces.push(Piece {
        start,
        len: block.bytes,
        block,
        offset: 0,
    });
}

/// The end of a piece that overlaps `[start, start + len)`.
fn overlapping(start: u64, len: u64, places: &Places<'_>) -> Option<u64> {
    let end = start.saturating_add(len);
    let ends = places.pieces.iter().filter_map(|piece| {
        let over = piece.start.saturating_add(piece.len);
        (piece.start < end && start < over).then_some(over)
    });
    ends.max()
}

/// Whether a device's block is neither a ROM nor a screen's memory.
fn may_be_lent(block: &Block) -> bool {
    let name = bare(&block.name);
    let plain = name.ends_with("rom") || name.ends_with("vram") || name.starts_with('/');
    name.contains('/') && !plain
}

fn is_xen(blocks: &[&Block]) -> bool {
    matches!(blocks, [only] if bare(&only.name) == "xen.ram")
}

fn sum(blocks: &[&Block]) -> u64 {
    let add = |sum: u64, block: &&Block| sum.saturating_add(block.bytes);
    blocks.iter().fold(0, add)
}

/// The number at the end of a name, and what stands before it.
fn number(block: &Block) -> (&str, Option<u64>) {
    let name = bare(&block.name);
    let front = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = name.get(front.len()..).unwrap_or_default();
    (front, digits.parse().ok())
}

/// The node of a block that libvirt named.
fn node(block: &Block) -> Option<u64> {
    let (front, number) = number(block);
    number.filter(|_| front == "ram-node")
}

/// By names, numbers by their value; of equals in the order of the stream.
fn by_name<'a>(blocks: &[&'a Block]) -> Vec<&'a Block> {
    let mut sorted = blocks.to_vec();
    sorted.sort_by(|a, b| number(a).cmp(&number(b)));
    sorted
}

/// Whether the names differ in their numbers alone.
fn are_numbered(blocks: &[&Block]) -> bool {
    let front = blocks.first().map(|block| number(block).0);
    let alike = |block: &&Block| number(block).1.is_some() && Some(number(block).0) == front;
    !blocks.is_empty() && blocks.iter().all(alike)
}

/// The names, for a message.
fn names(blocks: &[&Block]) -> String {
    let names: Vec<String> = blocks
        .iter()
        .map(|block| format!("{:?} ({} bytes)", block.name, block.bytes))
        .collect();
    let many = if blocks.len() == 1 { "block" } else { "blocks" };
    format!("the {many} {}", names.join(", "))
}
