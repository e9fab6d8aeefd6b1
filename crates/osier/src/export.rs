//! The same memory in another container.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use osier_linux::find_vmcoreinfo;
use osier_memory::{
    Cause, Fault, Filter, Hint, PAGE_BYTES, Paging, PhysAddr, PhysRun, PhysicalMemory,
};

use osier_file::Output;
use osier_snapshot::{
    Anomaly, Core, Lost, Snapshot, WriteError, write_core, write_lime, write_raw, write_raw_sparse,
};

use crate::kernel::Located;
use crate::known::KnownKernels;
use crate::located::find;
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
    /// Bytes that the snapshot should hold and that could not be read.
    pub unread: u64,
    /// Why, of the first of them.
    pub fault: Option<Fault>,
    /// Bytes that the writer of the snapshot left out, between or before what it kept, and that stand as zeros in raw
    /// memory. The other containers keep them apart, and there it is 0.
    pub left_out: u64,
    /// What is odd about the snapshot's file and may make the memory wrong or short.
    pub doubts: Vec<Anomaly>,
    /// Length of the file in bytes, or how many went through the pipe.
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
        source: io::Error,
    },
    /// The snapshot changed meanwhile.
    #[error(
        "{snapshot}: a page that was read before cannot be read again: {fault}; export it when nobody writes it",
        snapshot = osier_text::path(snapshot)
    )]
    Changed {
        /// The snapshot's file.
        snapshot: PathBuf,
        /// Why the page cannot be read.
        fault: Fault,
    },
    /// The file to write is the snapshot.
    #[error("{file}: this is the snapshot itself; name another file", file = osier_text::path(.0))]
    Same(PathBuf),
    /// The snapshot holds virtual memory, which these containers cannot hold.
    #[error(
        "the snapshot holds blocks of virtual memory and no physical memory: there is nothing to \
         export; ask it directly"
    )]
    NoPhysicalMemory,
}

/// Writes the memory of the snapshot at `path` to `out`, in the container `to`.
///
/// The file appears under its name when it is whole, unless it is a device or a pipe
/// ([`osier_file`]). Pages are read twice: once to see which can be, once to be written. An ELF core
/// keeps in a note what was odd about the snapshot and which memory it lacked.
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
    if osier_file::same(&snapshot.info.file, out) {
        return Err(ExportError::Same(out.to_owned()));
    }
    let machine = &snapshot.machine;
    if machine.hints.contains(&Hint::VirtualBlocks) {
        return Err(ExportError::NoPhysicalMemory);
    }
    let doubts: Vec<Anomaly> = snapshot.info.doubts().cloned().collect();
    let write = || -> Result<(Readable, u64), WriteError> {
        // First of all, for reading takes time and whoever cannot write need not begin.
        let mut output = Output::create(out)?;
        let sparse = output.written().is_some();
        let readable = Readable::of(&*machine.memory);
        let (memory, ranges) = (&*machine.memory, &readable.ranges);
        let written = if sparse && to == Container::Raw {
            write_raw_sparse(memory, ranges, output.file())?;
            0
        } else {
            let file = output.file();
            let mut file = BufWriter::with_capacity(1 << 20, Counted { file, bytes: 0 });
            match to {
                Container::Raw => write_raw(memory, ranges, &mut file)?,
                Container::Lime => write_lime(memory, ranges, &mut file)?,
                Container::Elf => elf(&snapshot, options, &readable, &doubts, &mut file)?,
            }
            file.flush()?;
            file.get_ref().bytes
        };
        // A pipe has no length.
        Ok((readable, output.finish()?.max(written)))
    };
    let (readable, bytes) = write().map_err(|error| match error {
        WriteError::Io(source) => ExportError::Write {
            file: out.to_owned(),
            source,
        },
        WriteError::Fault(fault) => ExportError::Changed {
            snapshot: snapshot.info.file.clone(),
            fault,
        },
    })?;
    Ok(Exported {
        memory: readable.ranges.iter().map(|range| range.len).sum(),
        unread: readable.unread,
        left_out: match to {
            Container::Raw => left_out(&*machine.memory, &readable.ranges),
            Container::Elf | Container::Lime => 0,
        },
        fault: readable.fault,
        doubts,
        bytes,
    })
}

/// Bytes of the gaps before and between `ranges` that were left out on purpose, and not because they are zeros.
fn left_out(memory: &dyn PhysicalMemory, ranges: &[PhysRun]) -> u64 {
    let mut end = PhysAddr(0);
    let mut bytes = 0_u64;
    for range in ranges {
        let gap = range.start.0.saturating_sub(end.0);
        let cause = memory.chunk(end).err().map(|fault| fault.cause);
        let on_purpose = Some(Cause::Excluded {
            filter: Filter::DumpLevel,
        });
        if gap > 0 && cause == on_purpose {
            bytes = bytes.saturating_add(gap);
        }
        end = range.end();
    }
    bytes
}

/// The pages of a memory that can be read, as ranges.
struct Readable {
    ranges: Vec<PhysRun>,
    /// What cannot, by address.
    lost: Vec<Lost>,
    unread: u64,
    fault: Option<Fault>,
}

impl Readable {
    fn of(memory: &dyn PhysicalMemory) -> Self {
        let mut found = Self {
            ranges: Vec::new(),
            lost: Vec::new(),
            unread: 0,
            fault: None,
        };
        for (run, cause) in memory.lost() {
            found.lose(memory, run, Fault::at_phys(cause, run.start));
        }
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
                        let run = PhysRun {
                            start: at,
                            len: page,
                        };
                        found.lose(memory, run, fault);
                        at = at.plus(page);
                    }
                }
            }
        }
        found.lost.sort_by_key(|lost| lost.run.start);
        found
    }

    fn lose(&mut self, memory: &dyn PhysicalMemory, run: PhysRun, fault: Fault) {
        self.fault = self.fault.or(Some(fault));
        self.unread = self.unread.saturating_add(run.len);
        let cause = fault.cause;
        match self.lost.last_mut() {
            Some(last) if last.run.end() == run.start && last.cause == cause => {
                last.run.len = last.run.len.saturating_add(run.len);
            }
            _ => self.lost.push(Lost::of(memory, run, cause)),
        }
    }

    fn push(&mut self, start: PhysAddr, len: u64) {
        match self.ranges.last_mut() {
            Some(last) if last.end() == start => last.len = last.len.saturating_add(len),
            _ => self.ranges.push(PhysRun { start, len }),
        }
    }
}

/// A file that takes its bytes in their turn, and how many it took.
struct Counted<'a> {
    file: &'a mut File,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.bytes = self.bytes.saturating_add(n as u64);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn elf(
    snapshot: &Snapshot,
    options: &Options,
    readable: &Readable,
    doubts: &[Anomaly],
    file: &mut dyn Write,
) -> Result<(), WriteError> {
    let machine = &snapshot.machine;
    // A page that can be read in part is one of the core's: the note says which part.
    let ranges = &readable.ranges;
    let whole_pages = |range: &PhysRun| {
        let partly = |pa: PhysAddr| {
            let mut lost = readable.lost.iter();
            lost.any(|lost| lost.run.start == pa && pa.in_page() > 0)
        };
        let first = range.start.plus(PAGE_BYTES.wrapping_sub(1)).page().0;
        let end = range.end();
        let end = if partly(end) {
            end.page().plus(PAGE_BYTES)
        } else {
            end.page()
        };
        (first..end.0).step_by(PAGE_BYTES as usize).map(PhysAddr)
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
    // A Linux kernel that did not note it may still have it in memory, and other tools want it in a note.
    let found = match (&noted, told) {
        (Some(_), Some(_)) => None,
        _ => find(snapshot, options, &KnownKernels::default(), &[]).ok(),
    };
    let pointer_bytes = told.or(found.as_ref().map(|kernel| width(&kernel.mode())));
    let sought = || match found.as_ref()? {
        Located::Linux(kernel) => {
            let known = kernel.vmcoreinfo.clone();
            known.or_else(|| find_vmcoreinfo(machine, kernel))
        }
        Located::Windows(_) | Located::Other(_) => None,
    };
    let vmcoreinfo = noted.or_else(sought);
    let core = Core {
        memory: &*machine.memory,
        runs: machine.memory.runs(),
        pages: &pages,
        cpus: &machine.cpus,
        vmcoreinfo: vmcoreinfo.as_deref(),
        pointer_bytes: pointer_bytes.unwrap_or(8),
        doubts,
        lost: &readable.lost,
    };
    write_core(&core, file)
}
