//! A program's file, a kernel module, and a stretch of addresses.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use osier_memory::{AddressSpace, Each, PAGE_BYTES, PhysAddr, PhysicalMemory, VirtAddr};
use osier_osi::{
    Absent, Behind, CachedFile, Carve, CarveLinux, CarveWindows, KeptFile, Osi, SeenExt as _,
    Stretch, WalkEnd, WalkEnds,
};

use super::core_file::write;
use super::plan::{Held, Plan, copy};
use super::rebuilt;
use super::sink::Sink;
use super::{DumpError, Dumped, spare};
use crate::Guest;
use crate::process_memory::{Area, Content, ProcessMemory, readable};

/// The longest stretch that is written.
const LONGEST: u64 = 1 << 40;
/// Pieces of a file that are looked for: the pages of 1 TiB. What cannot be read of a tree is passed a page at a time.
const MOST_PIECES: u64 = 1 << 28;
/// `PF_X`, `PF_W` and `PF_R`.
const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
const READ: u32 = 4;

fn carve<'a>(guest: &Guest, osi: &'a dyn Osi) -> Result<&'a dyn Carve, DumpError> {
    osi.carve().ok_or_else(|| not_of(guest))
}

fn page_cache<'a>(guest: &Guest, osi: &'a dyn Osi) -> Result<&'a dyn CarveLinux, DumpError> {
    let carve = osi.carve().and_then(Carve::linux);
    carve.ok_or_else(|| not_of(guest))
}

fn not_of(guest: &Guest) -> DumpError {
    DumpError::NotOfThisSystem(guest.located().system().to_owned())
}

/// Writes the file of the program of the process at `taskd` as far as it is in memory: pages of the page cache,
/// and pages that the process maps of it and may not write. What is in neither is a hole. Of Windows the file is put
/// together of the image that the process maps, as it is in memory.
///
/// # Errors
/// [`DumpError`]. What could not be read is told in [`Dumped`], by offset.
pub fn executable(guest: &Guest, taskd: VirtAddr, out: &Path) -> Result<Dumped, DumpError> {
    spare(guest, out)?;
    let osi = &*guest.provider();
    if let Some(windows) = osi.carve().and_then(Carve::windows) {
        return program(osi, windows, taskd, out);
    }
    let carve = page_cache(guest, osi)?;
    let file = carve.executable(taskd).map_err(|absent| {
        DumpError::Absent(format!("the program's file cannot be found: {absent}"))
    })?;
    let size = file.size.clone().map_err(|absent| {
        DumpError::Absent(format!(
            "the length of the program's file is not known: {absent}"
        ))
    })?;
    let memory = ProcessMemory::of(osi, taskd).map_err(DumpError::NoMemory)?;
    let mapped = mapped(carve, &memory, &file);
    let name = osi.process(taskd).ok();
    let name = name.and_then(|process| match process.extra {
        osier_osi::ProcessExtra::Linux(linux) => linux.exe.ok(),
        _ => None,
    });
    let name = name.unwrap_or_default();
    let beside = |at| mapped_at(&mapped, memory.space(), at);
    let beside: Option<&Beside<'_>> = (!mapped.is_empty()).then_some(&beside);
    let whole = Whole {
        carve,
        ram: &**memory.space().memory(),
        file: &file,
        name: &name,
    };
    let mut dumped = whole.write(size, beside, out)?;
    dumped.ends.join(memory.ends.clone());
    Ok(dumped)
}

/// As [`executable`], of Windows.
fn program(
    osi: &dyn Osi,
    carve: &dyn CarveWindows,
    taskd: VirtAddr,
    out: &Path,
) -> Result<Dumped, DumpError> {
    let base = carve
        .program_base(taskd)
        .map_err(|absent| DumpError::Absent(format!("the program cannot be found: {absent}")))?;
    let memory = ProcessMemory::of(osi, taskd).map_err(DumpError::NoMemory)?;
    let area = memory
        .areas
        .iter()
        .find(|area| area.range.contains(&base.0));
    let name = area.map(|area| area.name().to_owned()).unwrap_or_default();
    let read = |at: VirtAddr, into: &mut [u8]| memory.read(at, into);
    let mut dumped = rebuilt::file(
        &read,
        &mut |range, sink, dumped| of_process(&memory, range, sink, dumped),
        base,
        &name,
        out,
    )?;
    dumped.ends.join(memory.ends.clone());
    Ok(dumped)
}

/// Writes the file whose pages the kernel keeps as far as they are in memory; what is not is a hole. `file` is one of
/// [`kept_files`].
///
/// # Errors
/// [`DumpError`]. What is not in memory is told in [`Dumped`], by offset.
pub fn kept(guest: &Guest, file: &KeptFile, out: &Path) -> Result<Dumped, DumpError> {
    spare(guest, out)?;
    let osi = &*guest.provider();
    let size = file
        .size
        .clone()
        .map_err(|absent| DumpError::Absent(format!("the file's length is not known: {absent}")))?;
    let cached = CachedFile {
        mapping: file.mapping,
        size: Ok(size),
    };
    let name = [&file.path, &file.inside]
        .into_iter()
        .find_map(|name| name.as_ref().ok());
    let whole = Whole {
        carve: page_cache(guest, osi)?,
        ram: &**osi.kernel_space().memory(),
        file: &cached,
        name: name.map(Vec::as_slice).unwrap_or_default(),
    };
    let mut dumped = whole.write(size, None, out)?;
    if let Err(absent) = &file.cached
        && absent.is_loss()
    {
        // Its tree lacks pages that it counts: where tmpfs has zeros, they may have stood.
        dumped.lose(VirtAddr(0), 1, whole.name, absent);
    }
    Ok(dumped)
}

/// Calls `row` for every file of which the kernel keeps pages.
///
/// # Errors
/// [`DumpError::NotOfThisSystem`].
pub fn kept_files(guest: &Guest, row: Each<'_, KeptFile>) -> Result<WalkEnds, DumpError> {
    let osi = &*guest.provider();
    Ok(page_cache(guest, osi)?.kept_files(row))
}

/// Where else the page at an offset of a file may be.
type Beside<'a> = dyn Fn(u64) -> Option<PhysAddr> + 'a;

/// A file that is written from front to back out of the pages that the kernel keeps of it.
struct Whole<'a> {
    carve: &'a dyn CarveLinux,
    ram: &'a dyn PhysicalMemory,
    file: &'a CachedFile,
    name: &'a [u8],
}

impl Whole<'_> {
    /// Writes `size` bytes to `out`: pages of the cache, or else what is `beside`.
    fn write(
        &self,
        size: u64,
        beside: Option<&Beside<'_>>,
        out: &Path,
    ) -> Result<Dumped, DumpError> {
        let mut dumped = Dumped::default();
        let mut sink = Sink::create(out)?;
        let (mut at, mut pieces) = (0_u64, 0_u64);
        while at < size {
            pieces = pieces.saturating_add(1);
            if pieces > MOST_PIECES {
                let why = "the file is in more pieces than any machine has pages of one";
                return Err(DumpError::Absent(why.to_owned()));
            }
            let left = size.saturating_sub(at);
            let Stretch { what, bytes } = self.carve.cached(self.file, at, left);
            let what = what.or_else(|absent| {
                let page = beside.and_then(|beside| beside(at));
                page.map(Behind::Frame).ok_or(absent)
            });
            let one = matches!(what, Ok(Behind::Frame(_)) | Err(_)) && beside.is_some();
            let bytes = if one { PAGE_BYTES } else { bytes }.min(left);
            match what {
                Ok(Behind::Frame(pa)) => {
                    out_of(self.ram, pa, at, bytes, self.name, &mut sink, &mut dumped)?;
                }
                Ok(Behind::Zeros) => {
                    dumped.memory = dumped.memory.saturating_add(bytes);
                    sink.zeros(bytes)?;
                }
                Ok(Behind::Past | Behind::Driver) => sink.zeros(bytes)?,
                Err(absent) => {
                    dumped.lose(VirtAddr(at), bytes, self.name, &absent);
                    sink.zeros(bytes)?;
                }
            }
            at = at.saturating_add(bytes.max(1));
        }
        dumped.bytes = sink.finish()?;
        Ok(dumped)
    }
}

/// Where the file is mapped so that the process cannot have written to it: the offset of the first byte, and the
/// addresses.
fn mapped(
    carve: &dyn CarveLinux,
    memory: &ProcessMemory<'_>,
    file: &CachedFile,
) -> Vec<(u64, Range<u64>)> {
    /// `VM_WRITE` and `VM_MAYWRITE`, which a debugger's writes do not need.
    const VM_WRITE: u64 = 2;
    let of_area = |area: &Area| {
        let own = carve.mapped_file(area.mapping.modd).ok()?;
        let written = area.mapping.flags.value()? & VM_WRITE != 0;
        let offset = area.mapping.offset.value()?;
        (own.mapping == file.mapping && !written).then(|| (offset, area.range.clone()))
    };
    memory.areas.iter().filter_map(of_area).collect()
}

fn mapped_at(mapped: &[(u64, Range<u64>)], space: &AddressSpace, at: u64) -> Option<PhysAddr> {
    mapped.iter().find_map(|(offset, range)| {
        let va = range.start.checked_add(at.checked_sub(*offset)?)?;
        range
            .contains(&va)
            .then(|| space.translate(VirtAddr(va)).ok())?
    })
}

/// Writes RAM from `pa` on, and notes what of it cannot be read.
fn out_of(
    ram: &dyn PhysicalMemory,
    pa: PhysAddr,
    at: u64,
    bytes: u64,
    name: &[u8],
    sink: &mut Sink<'_>,
    dumped: &mut Dumped,
) -> Result<(), DumpError> {
    let mut result = Ok(());
    readable(ram, pa, bytes, &mut |by, len, fault| {
        if result.is_err() {
            return;
        }
        result = match fault {
            None => {
                dumped.memory = dumped.memory.saturating_add(len);
                copy(sink, ram, pa.plus(by), len)
            }
            Some(fault) => {
                let absent = Absent::unreadable(fault);
                dumped.lose(VirtAddr(at.saturating_add(by)), len, name, &absent);
                sink.zeros(len)
            }
        };
    });
    result
}

/// Writes the addresses `range` of the process at `taskd`, or of the kernel, to `out`: byte for byte, with holes
/// where nothing can be read.
///
/// # Errors
/// [`DumpError`]. What could not be read is told in [`Dumped`].
pub fn range(
    guest: &Guest,
    taskd: Option<VirtAddr>,
    range: Range<u64>,
    out: &Path,
) -> Result<Dumped, DumpError> {
    spare(guest, out)?;
    let length = range.end.saturating_sub(range.start);
    if length == 0 || length > LONGEST {
        let why = "a range ends behind its start, and has at most 1 TiB";
        return Err(DumpError::Absent(why.to_owned()));
    }
    let osi = &*guest.provider();
    let mut dumped = Dumped::default();
    if let Some(taskd) = taskd {
        let memory = ProcessMemory::of(osi, taskd).map_err(DumpError::NoMemory)?;
        let mut sink = Sink::create(out)?;
        of_process(&memory, range, &mut sink, &mut dumped)?;
        dumped.ends.join(memory.ends.clone());
        dumped.bytes = sink.finish()?;
        return Ok(dumped);
    }
    let space = osi.kernel_space();
    let mut sink = Sink::create(out)?;
    kernel_bytes(space, range, b"kernel", &mut sink, &mut dumped)?;
    dumped.bytes = sink.finish()?;
    Ok(dumped)
}

fn of_process(
    memory: &ProcessMemory<'_>,
    range: Range<u64>,
    sink: &mut Sink<'_>,
    dumped: &mut Dumped,
) -> Result<(), DumpError> {
    const UNMAPPED: &str = "no mapping is there";
    let ram = &**memory.space().memory();
    let mut at = range.start;
    for area in &memory.areas {
        if area.range.end <= at || area.range.start >= range.end {
            continue;
        }
        if area.range.start > at {
            let gap = area.range.start.saturating_sub(at);
            let absent = Absent::not_applicable(UNMAPPED);
            dumped.lose(VirtAddr(at), gap, b"", &absent);
            sink.zeros(gap)?;
            at = area.range.start;
        }
        let mut result = Ok(());
        let end = memory.pieces(area, at..range.end, &mut |piece| {
            // A piece starts with a page, and the range perhaps within one.
            let skip = at.saturating_sub(piece.start.0);
            let start = piece.start.plus(skip);
            let len = piece.len.saturating_sub(skip);
            result = match piece.content {
                Content::Frame(pa) => {
                    out_of(ram, pa.plus(skip), start.0, len, area.name(), sink, dumped)
                }
                Content::Zeros => {
                    dumped.memory = dumped.memory.saturating_add(len);
                    sink.zeros(len)
                }
                Content::Nothing => {
                    let why = "behind the end of the file, or a driver's";
                    dumped.lose(start, len, area.name(), &Absent::not_applicable(why));
                    sink.zeros(len)
                }
                Content::Lost(absent) => {
                    dumped.lose(start, len, area.name(), &absent);
                    sink.zeros(len)
                }
            };
            at = start.0.saturating_add(len);
            if result.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        result?;
        if !matches!(end, WalkEnd::Closed) {
            dumped.ends.add("page-tables", end);
        }
    }
    if at < range.end {
        let gap = range.end.saturating_sub(at);
        dumped.lose(VirtAddr(at), gap, b"", &Absent::not_applicable(UNMAPPED));
        sink.zeros(gap)?;
    }
    Ok(())
}

/// A stretch of the kernel's addresses.
enum Kernel {
    Frame(u64, PhysAddr, u64),
    Lost(u64, u64, Box<Absent>),
}

/// Shows what stands in `range` of the kernel's addresses.
fn of_kernel(
    space: &AddressSpace,
    range: Range<u64>,
    visit: &mut dyn FnMut(Kernel) -> Result<(), DumpError>,
) -> Result<(), DumpError> {
    let mut at = range.start;
    while at < range.end {
        let left = range.end.saturating_sub(at);
        let (len, piece) = match space.lookup(VirtAddr(at)) {
            Ok(found) => {
                let page = found.page_bytes.max(PAGE_BYTES);
                let in_page = found.pa.0 & page.wrapping_sub(1);
                let len = page.saturating_sub(in_page).min(left);
                (len, Kernel::Frame(at, found.pa, len))
            }
            Err(fault) => {
                let span = fault.level.and_then(|level| space.mode().entry_span(level));
                let span = span.unwrap_or(PAGE_BYTES).max(PAGE_BYTES);
                let len = span.saturating_sub(at & span.wrapping_sub(1)).min(left);
                (len, Kernel::Lost(at, len, Absent::unreadable(fault)))
            }
        };
        visit(piece)?;
        at = at.saturating_add(len.max(1));
    }
    Ok(())
}

/// Writes the memory of the kernel module `name` to `out`: of Linux as an ELF core whose segments are its parts, of
/// Windows as the file that its image came from, as it is in memory.
///
/// # Errors
/// [`DumpError`]. What could not be read is told in [`Dumped`].
pub fn module(guest: &Guest, name: &[u8], out: &Path) -> Result<Dumped, DumpError> {
    spare(guest, out)?;
    let osi = &*guest.provider();
    let carve = carve(guest, osi)?;
    let mut found = Vec::new();
    let ends = osi.modules(&mut |module| {
        if module.name.get().is_some_and(|own| own == name) {
            found.push(module.modd);
        }
        ControlFlow::Continue(())
    });
    let mut shown = String::new();
    crate::format::escape_bytes(name, &mut shown);
    let modd = match found.as_slice() {
        [modd] => *modd,
        [] if ends.is_complete() => {
            return Err(DumpError::Absent(format!("no module is called {shown}")));
        }
        [] => {
            let why = format!("no module called {shown} was found, and the list is incomplete");
            return Err(DumpError::Absent(why));
        }
        several => {
            let why = format!(
                "{} modules are called {shown}: it is not known which one is meant",
                several.len()
            );
            return Err(DumpError::Absent(why));
        }
    };
    let parts = carve.module_parts(modd).map_err(|absent| {
        DumpError::Absent(format!(
            "where the memory of {shown} lies is not known: {absent}"
        ))
    })?;
    let space = osi.kernel_space();
    if let (Some(_), [image]) = (carve.windows(), parts.as_slice()) {
        let mut dumped = driver(space, image.base, name, out)?;
        dumped.ends.join(ends);
        return Ok(dumped);
    }
    let mut dumped = Dumped {
        ends,
        ..Dumped::default()
    };
    let ram = &**space.memory();
    let mut plan = Plan::default();
    for part in parts {
        let range = part.base.0..part.base.0.saturating_add(part.size);
        of_kernel(space, range, &mut |piece| {
            match piece {
                Kernel::Frame(at, pa, len) => {
                    let flags = rights(space, VirtAddr(at));
                    readable(ram, pa, len, &mut |by, len, fault| {
                        let start = at.saturating_add(by);
                        let content = match fault {
                            None => {
                                dumped.memory = dumped.memory.saturating_add(len);
                                Held::Frame(pa.plus(by))
                            }
                            Some(fault) => {
                                dumped.lose(VirtAddr(start), len, name, &Absent::unreadable(fault));
                                Held::Nothing
                            }
                        };
                        plan.add(start, len, flags, content);
                    });
                }
                Kernel::Lost(at, len, absent) => {
                    dumped.lose(VirtAddr(at), len, name, &absent);
                    plan.add(at, len, READ, Held::Nothing);
                }
            }
            Ok(())
        })?;
    }
    let mut sink = Sink::create(out)?;
    write(
        &mut sink,
        guest.pointer_bytes() == 8,
        &[],
        &plan.segments,
        ram,
    )?;
    dumped.bytes = sink.finish()?;
    Ok(dumped)
}

/// As [`module`], of the image of Windows at `base`.
fn driver(
    space: &AddressSpace,
    base: VirtAddr,
    name: &[u8],
    out: &Path,
) -> Result<Dumped, DumpError> {
    let read = |at: VirtAddr, into: &mut [u8]| Ok(space.read(at, into)?);
    let mut write = |range: Range<u64>, sink: &mut Sink<'_>, dumped: &mut Dumped| {
        kernel_bytes(space, range, name, sink, dumped)
    };
    rebuilt::file(&read, &mut write, base, name, out)
}

/// Writes what stands in `range` of the kernel's addresses, which belongs to `name`.
fn kernel_bytes(
    space: &AddressSpace,
    range: Range<u64>,
    name: &[u8],
    sink: &mut Sink<'_>,
    dumped: &mut Dumped,
) -> Result<(), DumpError> {
    of_kernel(space, range, &mut |piece| match piece {
        Kernel::Frame(at, pa, len) => out_of(&**space.memory(), pa, at, len, name, sink, dumped),
        Kernel::Lost(at, len, absent) => {
            dumped.lose(VirtAddr(at), len, name, &absent);
            sink.zeros(len)
        }
    })
}

/// The rights of the page at `at`, as the tables say.
fn rights(space: &AddressSpace, at: VirtAddr) -> u32 {
    const RW: u64 = 1 << 1;
    const NX: u64 = 1 << 63;
    let Ok(found) = space.lookup(at) else {
        return READ;
    };
    let write = if found.rights & RW != 0 { WRITE } else { 0 };
    let execute = if found.rights & NX == 0 { EXECUTE } else { 0 };
    READ | write | execute
}
