//! A process as an ELF core, as the kernel writes one when a process crashes.
//!
//! A mapping is cut into segments where it has pages that are not in memory: those are segments without bytes,
//! which a debugger fills from the file on its own disk or refuses to show. Memory that was promised and never
//! touched is zeros, which are holes of the file.

use std::path::Path;

use osier_memory::{PAGE_BYTES, PhysicalMemory, VirtAddr};
use osier_osi::{Carve, SeenExt as _, WalkEnd, WalkEnds};

use super::notes::{Bytes, MappedFile, notes};
use super::plan::{Segment, plan};
use super::sink::Sink;
use super::threads::{threads, who};
use super::{DumpError, Dumped, is_wide, spare};
use crate::Guest;
use crate::process_memory::{Area, ProcessMemory, lost};

/// `e_machine` of x86's two widths.
const EM_386: u16 = 3;
const EM_X86_64: u16 = 62;
const ET_CORE: u16 = 4;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// What `e_phnum` holds when the number stands in the first section header.
const PN_XNUM: u16 = 0xffff;

/// Writes the process at `taskd` to `out`, as an ELF core of the program's width.
///
/// The file appears under its name when it is whole, unless it is a device or a pipe ([`osier_file`]).
///
/// # Errors
/// [`DumpError`]. What could not be read is told in [`Dumped`].
pub fn process_core(guest: &Guest, taskd: VirtAddr, out: &Path) -> Result<Dumped, DumpError> {
    spare(guest, out)?;
    let osi = &*guest.provider();
    let carve = osi.carve().and_then(Carve::linux);
    let carve =
        carve.ok_or_else(|| DumpError::NotOfThisSystem(guest.located().system().to_owned()))?;
    let mut dumped = Dumped::default();
    let threads = threads(osi, carve, taskd, &mut dumped.ends);
    let memory = ProcessMemory::of(osi, taskd).map_err(DumpError::NoMemory)?;
    let holder = threads.first().map_or(taskd, |thread| thread.row.task);
    dumped.threads = threads.len();
    let rights = |area: &Area| area.mapping.perms.value().map_or(4, flags);
    let plan = plan(&memory, &rights, &mut (), &mut dumped);
    let wide = is_wide(guest, carve, holder, "memory", &mut dumped);
    let auxiliary = carve.auxiliary(holder);
    if let Some(absent) = lost(&auxiliary) {
        let what = "the auxiliary vector".to_owned();
        dumped.ends.add("memory", WalkEnd::without(what, absent));
    }
    let who = who(osi, taskd, &mut dumped.ends);
    let files = files(&memory, &mut dumped.ends);
    let auxiliary = auxiliary.ok();
    let notes = notes(wide, &who, &threads, auxiliary.as_deref(), &files);
    dumped.ends.join(memory.ends.clone());
    let mut sink = Sink::create(out)?;
    let ram = &**memory.space().memory();
    write(&mut sink, wide, &notes, &plan.segments, ram)?;
    dumped.bytes = sink.finish()?;
    Ok(dumped)
}

/// The rights of a segment, from `rwxp`.
fn flags(perms: [u8; 4]) -> u32 {
    let [read, write, execute, _] = perms;
    let bit = |letter, is, bit| if letter == is { bit } else { 0 };
    bit(read, b'r', 4) | bit(write, b'w', 2) | bit(execute, b'x', 1)
}

/// The mappings of files. A mapping of which the file, the place in it or the rights are lost is told.
fn files(memory: &ProcessMemory<'_>, ends: &mut WalkEnds) -> Vec<MappedFile> {
    for area in &memory.areas {
        let mapping = &area.mapping;
        let values = [
            lost(&mapping.file),
            lost(&mapping.name),
            lost(&mapping.offset),
            lost(&mapping.perms),
        ];
        if let Some(absent) = values.into_iter().flatten().next() {
            let what = format!("what the mapping at {:#x} is of", area.range.start);
            ends.add("memory", WalkEnd::without(what, absent));
        }
    }
    let of_area = |area: &Area| {
        Some(MappedFile {
            start: area.range.start,
            end: area.range.end,
            offset: area.mapping.offset.value()?,
            path: area.mapping.file.get()?.clone(),
        })
    };
    memory.areas.iter().filter_map(of_area).collect()
}

/// Writes a core: headers, notes, segments.
pub(super) fn write(
    sink: &mut Sink<'_>,
    wide: bool,
    notes: &[u8],
    segments: &[Segment],
    ram: &dyn PhysicalMemory,
) -> Result<(), DumpError> {
    let (header_bytes, program_bytes, section_bytes): (u64, u64, u64) =
        if wide { (64, 56, 64) } else { (52, 32, 40) };
    let count = (segments.len() as u64).saturating_add(1);
    let many = count >= u64::from(PN_XNUM);
    let programs = count.saturating_mul(program_bytes);
    let sections = header_bytes.saturating_add(programs);
    let notes_at = sections.saturating_add(if many { section_bytes } else { 0 });
    let page_up = |at: u64| at.checked_next_multiple_of(PAGE_BYTES).unwrap_or(at);
    let first = page_up(notes_at.saturating_add(notes.len() as u64));

    let mut head = Bytes::new(wide);
    head.put(b"\x7fELF");
    head.put(&[if wide { 2 } else { 1 }, 1, 1, 0]);
    head.zeros(8);
    head.u16(ET_CORE);
    head.u16(if wide { EM_X86_64 } else { EM_386 });
    head.u32(1);
    head.word(0); // e_entry
    head.word(header_bytes); // e_phoff
    head.word(if many { sections } else { 0 }); // e_shoff
    head.u32(0); // e_flags
    head.u16(header_bytes as u16);
    head.u16(program_bytes as u16);
    head.u16(if many { PN_XNUM } else { count as u16 });
    head.u16(if many { section_bytes as u16 } else { 0 });
    head.u16(u16::from(many));
    head.u16(0); // e_shstrndx
    program(
        &mut head,
        &Program {
            kind: PT_NOTE,
            flags: 0,
            offset: notes_at,
            start: 0,
            file: notes.len() as u64,
            memory: 0,
            align: 4,
        },
    );
    let mut offset = first;
    for segment in segments {
        let file = segment.file_bytes();
        program(
            &mut head,
            &Program {
                kind: PT_LOAD,
                flags: segment.flags,
                offset,
                start: segment.start,
                file,
                memory: segment.len,
                align: PAGE_BYTES,
            },
        );
        offset = page_up(offset.saturating_add(file));
    }
    if many {
        // The first section header, whose `sh_info` is the number of program headers.
        head.u32(0);
        head.u32(0);
        for _ in 0..3 {
            head.word(0);
        }
        head.word(0);
        head.u32(0);
        head.u32(u32::try_from(count).unwrap_or(u32::MAX));
        head.word(0);
        head.word(0);
    }
    sink.write(&head.bytes)?;
    sink.write(notes)?;
    for segment in segments.iter().filter(|segment| segment.has_bytes()) {
        let at = sink.at();
        sink.zeros(page_up(at).saturating_sub(at))?;
        segment.write(sink, ram)?;
    }
    Ok(())
}

/// A program header.
struct Program {
    kind: u32,
    flags: u32,
    offset: u64,
    start: u64,
    file: u64,
    memory: u64,
    align: u64,
}

fn program(to: &mut Bytes, header: &Program) {
    to.u32(header.kind);
    if to.wide {
        to.u32(header.flags);
    }
    to.word(header.offset);
    to.word(header.start);
    to.word(0); // p_paddr
    to.word(header.file);
    to.word(header.memory);
    if !to.wide {
        to.u32(header.flags);
    }
    to.word(header.align);
}
