//! The same memory in another container.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use osier_linux::{find_vmcoreinfo, locate};
use osier_memory::{Fault, Hint, Machine, PAGE_BYTES, Paging, PhysAddr, PhysRun, PhysicalMemory};

use osier_snapshot::Anomaly;

use crate::elf_core::{Core, CoreError, write_core};
use crate::{Error, Options, open_snapshot};

/// A container to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// File offset = guest-physical address. What the snapshot does not hold is a hole in the
    /// file, which reads as zeros: the format has no words for it.
    Raw,
    /// An ELF core as QEMU's `dump-guest-memory` writes it, with the processors and VMCOREINFO, and
    /// a note of the registers that the snapshot does not hold.
    Elf,
    /// LiME version 1: a header before each range.
    Lime,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Bytes of memory in the file.
    pub memory: u64,
    /// Bytes between the lowest and the highest that the snapshot holds as RAM but could not read.
    pub unread: u64,
    /// The first fault met, when there was one.
    pub fault: Option<Fault>,
    /// What is odd about the snapshot's file and may make the memory wrong or short.
    pub doubts: Vec<Anomaly>,
    /// Length of the file in bytes.
    pub bytes: u64,
}

/// Why a snapshot could not be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The snapshot could not be opened.
    #[error(transparent)]
    Open(#[from] Error),
    /// The file could not be written.
    #[error("{file}: {source}", file = osier_text::path(file))]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: CoreError,
    },
    /// The snapshot holds virtual memory, which these containers cannot hold.
    #[error(
        "the snapshot holds blocks of virtual memory and no physical memory: there is nothing to \
         export; ask it directly"
    )]
    NoPhysicalMemory,
}

/// Writes the memory of the snapshot at `path` to `out`, in the container `to`.
///
/// The file appears under its name when it is whole. Pages are read twice: once to see which can
/// be, once to be written.
///
/// # Errors
///
/// [`ExportError`]. A page of the snapshot that cannot be read is left out and counted.
pub fn export(
    path: &Path,
    options: &Options,
    to: Container,
    out: &Path,
) -> Result<Exported, ExportError> {
    let snapshot = open_snapshot(path, options)?;
    let machine = &snapshot.machine;
    if machine.hints.contains(&Hint::VirtualBlocks) {
        return Err(ExportError::NoPhysicalMemory);
    }
    let readable = Readable::of(&*machine.memory);
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let write = || -> Result<u64, CoreError> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
        match to {
            Container::Raw => raw(&*machine.memory, &readable.ranges, &mut file)?,
            Container::Lime => lime(&*machine.memory, &readable.ranges, &mut file)?,
            Container::Elf => elf(machine, &readable.ranges, &mut file)?,
        }
        file.flush()?;
        let bytes = file.get_ref().metadata()?.len();
        std::fs::rename(&partial, out)?;
        Ok(bytes)
    };
    let written = write().inspect_err(|_| {
        let _: io::Result<()> = std::fs::remove_file(&partial);
    });
    let bytes = written.map_err(|source| ExportError::Write {
        file: out.to_owned(),
        source,
    })?;
    Ok(Exported {
        memory: readable.ranges.iter().map(|range| range.len).sum(),
        unread: readable.unread,
        fault: readable.fault,
        doubts: snapshot.info.doubts().cloned().collect(),
        bytes,
    })
}

/// The pages of a memory that can be read, as ranges.
struct Readable {
    ranges: Vec<PhysRun>,
    unread: u64,
    fault: Option<Fault>,
}

impl Readable {
    fn of(memory: &dyn PhysicalMemory) -> Self {
        let mut found = Self {
            ranges: Vec::new(),
            unread: 0,
            fault: None,
        };
        for run in memory.runs() {
            let mut at = run.start;
            while at < run.end() {
                let left = run.end().since(at);
                match memory.chunk(at) {
                    Ok(chunk) => {
                        let len = left.min(chunk.len() as u64);
                        found.push(at, len);
                        at = at.plus(len);
                    }
                    Err(fault) => {
                        let page = left.min(PAGE_BYTES.wrapping_sub(at.in_page()));
                        found.fault = found.fault.or(Some(fault));
                        found.unread = found.unread.saturating_add(page);
                        at = at.plus(page);
                    }
                }
            }
        }
        found
    }

    fn push(&mut self, start: PhysAddr, len: u64) {
        match self.ranges.last_mut() {
            Some(last) if last.end() == start => last.len = last.len.saturating_add(len),
            _ => self.ranges.push(PhysRun { start, len }),
        }
    }
}

/// Shows the bytes of `range` piece by piece.
fn pieces(
    memory: &dyn PhysicalMemory,
    range: PhysRun,
    mut write: impl FnMut(PhysAddr, &[u8]) -> io::Result<()>,
) -> Result<(), CoreError> {
    const PIECE: usize = 1 << 20;
    let mut at = range.start;
    while at < range.end() {
        let left = usize::try_from(range.end().since(at)).unwrap_or(PIECE);
        let piece = memory.chunk(at)?.truncated(left.min(PIECE));
        write(at, &piece)?;
        at = at.plus(piece.len() as u64);
    }
    Ok(())
}

fn raw(
    memory: &dyn PhysicalMemory,
    ranges: &[PhysRun],
    file: &mut BufWriter<File>,
) -> Result<(), CoreError> {
    for &range in ranges {
        pieces(memory, range, |at, bytes| {
            // Pages of zeros are left to the file system, which reads them back as such.
            for (at, page) in (at.0..)
                .step_by(PAGE_BYTES as usize)
                .zip(bytes.chunks(PAGE_BYTES as usize))
            {
                if page.iter().any(|byte| *byte != 0) {
                    file.seek(SeekFrom::Start(at))?;
                    file.write_all(page)?;
                }
            }
            Ok(())
        })?;
    }
    file.flush()?;
    let end = ranges.last().map_or(0, |range| range.end().0);
    Ok(file.get_ref().set_len(end)?)
}

/// LiME version 1: `EMiL`, version, first and last address, eight reserved bytes; then the range.
fn lime(
    memory: &dyn PhysicalMemory,
    ranges: &[PhysRun],
    file: &mut BufWriter<File>,
) -> Result<(), CoreError> {
    for &range in ranges {
        file.write_all(b"EMiL")?;
        file.write_all(&1_u32.to_le_bytes())?;
        file.write_all(&range.start.0.to_le_bytes())?;
        let last = range.end().0.saturating_sub(1); // the end is inclusive; no range is empty
        file.write_all(&last.to_le_bytes())?;
        file.write_all(&[0; 8])?;
        pieces(memory, range, |_, bytes| file.write_all(bytes))?;
    }
    Ok(())
}

fn elf(machine: &Machine, ranges: &[PhysRun], file: &mut BufWriter<File>) -> Result<(), CoreError> {
    let whole_pages = |range: &PhysRun| {
        let first = range.start.plus(PAGE_BYTES.wrapping_sub(1)).page().0;
        (first..range.end().page().0)
            .step_by(PAGE_BYTES as usize)
            .map(PhysAddr)
    };
    let pages: Vec<PhysAddr> = ranges.iter().flat_map(whole_pages).collect();
    let noted = machine.hints.iter().find_map(|hint| match hint {
        Hint::Vmcoreinfo(text) => Some(text.clone()),
        _ => None,
    });
    let width = |mode: &Paging| mode.pointer_bytes();
    let told = machine.cpus.first().and_then(|cpu| {
        let modes = cpu.modes();
        let first = modes.first().map(width)?;
        let agreed = modes.iter().all(|mode| width(mode) == first);
        agreed.then_some(first)
    });
    // Who did not note it may still have it in memory, and other tools want it in a note.
    let found = match (&noted, told) {
        (Some(_), Some(_)) => None,
        _ => locate(machine, &[]).ok(),
    };
    let pointer_bytes = told.or(found.as_ref().map(|kernel| width(&kernel.mode)));
    let sought = || {
        let kernel = found.as_ref()?;
        let known = kernel.vmcoreinfo.clone();
        known.or_else(|| find_vmcoreinfo(machine, kernel))
    };
    let vmcoreinfo = noted.or_else(sought);
    let core = Core {
        memory: &*machine.memory,
        runs: machine.memory.runs(),
        pages: &pages,
        cpus: &machine.cpus,
        vmcoreinfo: vmcoreinfo.as_deref(),
        pointer_bytes: pointer_bytes.unwrap_or(8),
    };
    write_core(&core, file)
}
