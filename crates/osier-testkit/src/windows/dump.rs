//! The machine as a file: raw, a Windows crash dump of all physical memory, and a hibernation file.
//!
//! Source: `_DUMP_HEADER` and `_DUMP_HEADER64` as the Windows SDK's debuggers and the published
//! descriptions of `MEMORY.DMP` have them. Files are sparse: pages that hold nothing are holes.

use std::fs::File;
use std::io::{Result, Seek, SeekFrom, Write};
use std::path::Path;

use osier_memory::{CpuState, Paging, PhysAddr, PhysicalMemory, Segment};

use super::WindowsMachine;
use crate::MemoryBuilder;
use crate::containers::hiber::{HiberFile, HiberForm};

const PAGE: u64 = 4096;
/// `DumpType` of a dump of all physical memory.
const FULL: u32 = 1;
/// `MANUALLY_INITIATED_CRASH`.
const BUG_CHECK: u32 = 0xe2;

impl WindowsMachine {
    /// Writes all of memory from address 0 on, as a raw dump.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_raw(&self, path: &Path) -> Result<()> {
        let mut file = File::create(path)?;
        file.set_len(self.memory.bytes())?;
        for (pa, bytes) in self.memory.pages() {
            file.seek(SeekFrom::Start(pa.0))?;
            file.write_all(&bytes)?;
        }
        file.flush()
    }

    /// Writes a hibernation file of the pages that hold anything. Of its registers, CR3 alone is
    /// the machine's.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_hibernation(&self, path: &Path, form: HiberForm, huffman: bool) -> Result<()> {
        let mut pages = MemoryBuilder::new(PhysAddr(0));
        for (pa, bytes) in self.memory.pages() {
            pages.write_bytes(pa, &bytes);
        }
        let file = HiberFile {
            form,
            signature: *b"HIBR",
            huffman,
            cr3: self.heads.root.0,
        };
        std::fs::write(path, file.write(&pages))
    }

    /// Writes a crash dump of all physical memory.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_crash_dump(&self, path: &Path) -> Result<()> {
        let header = match self.plan.paging {
            Paging::Long4 | Paging::Long5 => self.header64(),
            _ => self.header32(),
        };
        let runs = self.memory.runs();
        let bytes: u64 = runs.iter().map(|run| run.len).sum();
        let mut file = File::create(path)?;
        file.set_len(header.len() as u64 + bytes)?;
        file.write_all(&header)?;
        for (pa, bytes) in self.memory.pages() {
            let mut before = header.len() as u64;
            for run in runs {
                if run.contains(pa) {
                    before += pa.0 - run.start.0;
                    break;
                }
                before += run.len;
            }
            file.seek(SeekFrom::Start(before))?;
            file.write_all(&bytes)?;
        }
        file.flush()
    }

    fn header32(&self) -> Vec<u8> {
        let mut header = Header::filled(0x1000, *b"PAGEDUMP");
        let heads = self.heads;
        for (offset, value) in [
            (0x08, 0xf),
            (0x0c, u64::from(self.plan.build)),
            (0x10, heads.root.0),
            (0x14, 0),
            (0x18, heads.modules.0),
            (0x1c, heads.processes.0),
            (0x20, 0x14c),
            (0x24, self.cpus.len() as u64),
            (0x28, u64::from(BUG_CHECK)),
            (0x60, heads.debugger.0),
            (0xf88, u64::from(FULL)),
        ] {
            header.put(offset, value, 4);
        }
        for parameter in 0..4 {
            header.put(0x2c + parameter * 4, 0, 4);
        }
        header.put(0x5c, u64::from(self.plan.paging == Paging::Pae), 1);
        header.put(0xfa0, self.memory_bytes() + 0x1000, 8);
        header.put(0xfb8, 36_000_000_000, 8); // SystemUpTime
        header.put(0xfc0, self.plan.time, 8);
        self.runs(&mut header, 0x64, 4);
        if let Some(cpu) = self.cpus.first() {
            header.zero(0x320, 1200);
            context32(&mut header, 0x320, cpu);
        }
        header.0
    }

    fn header64(&self) -> Vec<u8> {
        let mut header = Header::filled(0x2000, *b"PAGEDU64");
        let heads = self.heads;
        header.put(0x08, 0xf, 4);
        header.put(0x0c, u64::from(self.plan.build), 4);
        header.put(0x30, 0x8664, 4);
        header.put(0x34, self.cpus.len() as u64, 4);
        header.put(0x38, u64::from(BUG_CHECK), 4);
        for (offset, value) in [
            (0x10, heads.root.0),
            (0x18, 0),
            (0x20, heads.modules.0),
            (0x28, heads.processes.0),
            (0x80, heads.debugger.0),
            (0xfa0, self.memory_bytes() + 0x2000),
            (0xfa8, self.plan.time),
            (0x1030, 36_000_000_000), // SystemUpTime
        ] {
            header.put(offset, value, 8);
        }
        for parameter in 0..4 {
            header.put(0x40 + parameter * 8, 0, 8);
        }
        header.put(0xf98, u64::from(FULL), 4);
        self.runs(&mut header, 0x88, 8);
        if let Some(cpu) = self.cpus.first() {
            header.zero(0x348, 3000);
            context64(&mut header, 0x348, cpu);
        }
        header.0
    }

    fn memory_bytes(&self) -> u64 {
        self.memory.runs().iter().map(|run| run.len).sum()
    }

    /// `_PHYSICAL_MEMORY_DESCRIPTOR`: number of runs, number of pages, and of each run its first
    /// page and their number.
    fn runs(&self, header: &mut Header, at: usize, width: usize) {
        let runs = self.memory.runs();
        header.put(at, runs.len() as u64, 4);
        header.put(at + width, self.memory_bytes() / PAGE, width);
        let mut at = at + 2 * width;
        for run in runs {
            header.put(at, run.start.0 / PAGE, width);
            header.put(at + width, run.len / PAGE, width);
            at += 2 * width;
        }
    }
}

/// A header: its unused bytes read `PAGE`, over and over.
struct Header(Vec<u8>);

impl Header {
    fn filled(bytes: usize, signature: [u8; 8]) -> Self {
        let mut header = b"PAGE".repeat(bytes / 4);
        header[..8].copy_from_slice(&signature);
        Self(header)
    }

    fn put(&mut self, offset: usize, value: u64, width: usize) {
        self.0[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }

    fn zero(&mut self, offset: usize, bytes: usize) {
        self.0[offset..offset + bytes].fill(0);
    }
}

fn selector(segment: &Segment) -> u64 {
    segment.selector.unwrap_or(0).into()
}

/// An x86 `_CONTEXT`: integer, control and segment registers.
fn context32(header: &mut Header, at: usize, cpu: &CpuState) {
    let [ax, cx, dx, bx, sp, bp, si, di, ..] = cpu.general.unwrap_or_default();
    let s = &cpu.segments;
    for (offset, value) in [
        (0x00, 0x1_0007),
        (0x8c, selector(&s.gs)),
        (0x90, selector(&s.fs)),
        (0x94, selector(&s.es)),
        (0x98, selector(&s.ds)),
        (0x9c, di),
        (0xa0, si),
        (0xa4, bx),
        (0xa8, dx),
        (0xac, cx),
        (0xb0, ax),
        (0xb4, bp),
        (0xb8, cpu.rip),
        (0xbc, selector(&s.cs)),
        (0xc0, cpu.rflags.unwrap_or(0)),
        (0xc4, sp),
        (0xc8, selector(&s.ss)),
    ] {
        header.put(at + offset, value, 4);
    }
}

/// An x86-64 `_CONTEXT`, likewise.
fn context64(header: &mut Header, at: usize, cpu: &CpuState) {
    let s = &cpu.segments;
    header.put(at + 0x30, 0x10_0007, 4);
    let selectors = [&s.cs, &s.ds, &s.es, &s.fs, &s.gs, &s.ss];
    for (number, segment) in selectors.into_iter().enumerate() {
        header.put(at + 0x38 + number * 2, selector(segment), 2);
    }
    header.put(at + 0x44, cpu.rflags.unwrap_or(0), 4);
    for (number, value) in cpu.general.into_iter().flatten().enumerate() {
        header.put(at + 0x78 + number * 8, value, 8);
    }
    header.put(at + 0xf8, cpu.rip, 8);
}
