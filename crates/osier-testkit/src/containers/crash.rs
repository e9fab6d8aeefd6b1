//! Windows crash dumps, written field by field after `mindumpdef.h` and Microsoft's `Dump.h`.

use osier_memory::{PAGE_BYTES, PhysAddr, PhysicalMemory};

const PAGE: usize = PAGE_BYTES as usize;

/// What kind of dump of physical memory is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKind {
    /// `DUMP_TYPE_FULL` (1): all RAM.
    Full,
    /// `DUMP_TYPE_SUMMARY` (2): a bitmap behind a 32-bit header.
    Summary,
    /// `DUMP_TYPE_BITMAP_FULL` and `_KERNEL` (5 to 7): a bitmap behind a 64-bit header.
    Bitmap(u32),
    /// 8 to 10: ranges of pages.
    Ranges(u32),
}

/// A crash dump of physical memory to be written.
#[derive(Clone, Debug)]
pub struct CrashDump {
    /// `DUMP_HEADER64` rather than `DUMP_HEADER32`.
    pub wide: bool,
    /// `PaeEnabled` of a 32-bit header.
    pub pae: bool,
    /// What follows the header.
    pub kind: CrashKind,
    /// `DirectoryTableBase`.
    pub table_root: u64,
    /// `PsLoadedModuleList`.
    pub loaded_modules: u64,
    /// `PsActiveProcessHead`.
    pub active_processes: u64,
    /// `KdDebuggerDataBlock`.
    pub debugger_data: u64,
    /// `MinorVersion`: the build.
    pub build: u32,
    /// `NumberProcessors`.
    pub processors: u32,
    /// The machine's RAM as `(page, pages)` in the order of the header; empty: the memory's runs.
    pub ram: Vec<(u64, u64)>,
    /// Pages that a bitmap or ranges leave out.
    pub left_out: Vec<u64>,
    /// Whether there is a context record: every register holds 0x1000 times its number from 1 in
    /// the order of `CpuState::general`, then the instruction pointer; CS is 0x10 or 8.
    pub context: bool,
}

impl Default for CrashDump {
    fn default() -> Self {
        Self {
            wide: true,
            pae: false,
            kind: CrashKind::Full,
            table_root: 0x1a_d000,
            loaded_modules: 0xffff_f800_0010_0000,
            active_processes: 0xffff_f800_0010_1000,
            debugger_data: 0xffff_f800_0010_2000,
            build: 19041,
            processors: 2,
            ram: Vec::new(),
            left_out: Vec::new(),
            context: true,
        }
    }
}

/// A file that is written at offsets.
struct Out(Vec<u8>);

impl Out {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        if self.0.len() < at + bytes.len() {
            self.0.resize(at + bytes.len(), 0);
        }
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn u16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_le_bytes());
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    fn u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    fn word(&mut self, wide: bool, at: usize, value: u64) {
        if wide {
            self.u64(at, value);
        } else {
            self.u32(at, value as u32);
        }
    }
}

impl CrashDump {
    /// The dump of `memory`. Pages that it does not hold are written as zeros.
    pub fn write(&self, memory: &dyn PhysicalMemory) -> Vec<u8> {
        let mut out = Out(b"PAGE".repeat(if self.wide { 0x800 } else { 0x400 }));
        let ram = self.ram(memory);
        self.header(&mut out, &ram);
        let header = out.0.len();
        let mut pages: Vec<u64> = ram.iter().flat_map(|(page, n)| *page..page + n).collect();
        if self.kind == CrashKind::Full {
            out.u32(self.at(0xf88, 0xf98), 1);
        } else {
            pages.sort_unstable();
            pages.retain(|page| !self.left_out.contains(page));
        }
        match self.kind {
            CrashKind::Full => {}
            CrashKind::Summary => {
                let bits = pages.last().map_or(0, |page| page + 1);
                let start = header + self.at(0x20, 0x28);
                bitmap(&mut out, header, start, bits, &pages);
                let end = out.0.len();
                out.u32(self.at(0xf88, 0xf98), 2);
                for (index, value) in [end as u64, bits, pages.len() as u64, bits]
                    .iter()
                    .enumerate()
                {
                    out.u32(header + 0xc + 4 * index, *value as u32);
                }
            }
            CrashKind::Bitmap(number) => {
                let bits = pages.last().map_or(0, |page| page + 1);
                bitmap(&mut out, header, header + 0x38, bits, &pages);
                let end = out.0.len();
                out.u32(self.at(0xf88, 0xf98), number);
                out.u64(header + 0x20, end as u64);
                out.u64(header + 0x28, pages.len() as u64);
                out.u64(header + 0x30, bits);
                let signature: &[u8] = if number == 5 { b"FDMP" } else { b"SDMP" };
                out.put(header, signature);
            }
            CrashKind::Ranges(number) => {
                out.u32(self.at(0xf88, 0xf98), number);
                let mut ranges: Vec<(u64, u64)> = Vec::new();
                for &page in &pages {
                    match ranges.last_mut() {
                        Some((start, n)) if *start + *n == page => *n += 1,
                        _ => ranges.push((page, 1)),
                    }
                }
                out.u32(header, 0x40);
                out.put(header + 4, b"RDMPDUMP");
                out.u32(header + 12, 0);
                let list = header + 0x30;
                for (index, (page, n)) in ranges.iter().enumerate() {
                    out.u64(list + 16 * index, *page);
                    out.u64(list + 16 * index + 8, *n);
                }
                // The list's room is a page, and what is not used of it is zero.
                let first = (list + 16 * ranges.len()).next_multiple_of(PAGE);
                out.put(first - 1, &[0]);
                out.u64(header + 0x10, (first - header - 0x20) as u64);
                out.u64(header + 0x18, first as u64);
                out.u64(header + 0x20, ranges.len() as u64);
                out.u64(header + 0x28, pages.len() as u64);
            }
        }
        for page in pages {
            let mut bytes = [0; PAGE];
            let _ = memory.read(PhysAddr(page * PAGE_BYTES), &mut bytes);
            out.0.extend(bytes);
        }
        out.0
    }

    fn at(&self, narrow: usize, wide: usize) -> usize {
        if self.wide { wide } else { narrow }
    }

    fn ram(&self, memory: &dyn PhysicalMemory) -> Vec<(u64, u64)> {
        if !self.ram.is_empty() {
            return self.ram.clone();
        }
        let runs = memory.runs().iter();
        runs.map(|run| (run.start.0 / PAGE_BYTES, run.len / PAGE_BYTES))
            .collect()
    }

    fn header(&self, out: &mut Out, ram: &[(u64, u64)]) {
        let wide = self.wide;
        out.put(4, if wide { b"DU64" } else { b"DUMP" });
        out.u32(8, 0xf);
        out.u32(12, self.build);
        out.word(wide, 0x10, self.table_root);
        out.word(wide, self.at(0x14, 0x18), 0);
        out.word(wide, self.at(0x18, 0x20), self.loaded_modules);
        out.word(wide, self.at(0x1c, 0x28), self.active_processes);
        out.u32(self.at(0x20, 0x30), if wide { 0x8664 } else { 0x14c });
        out.u32(self.at(0x24, 0x34), self.processors);
        out.u32(self.at(0x28, 0x38), 0xe2);
        for index in 0..4 {
            let at = self.at(0x2c + 4 * index, 0x40 + 8 * index);
            out.word(wide, at, index as u64);
        }
        if !wide {
            out.put(0x5c, &[u8::from(self.pae)]);
        }
        out.word(wide, self.at(0x60, 0x80), self.debugger_data);
        let runs = self.at(0x64, 0x88);
        out.u32(runs, ram.len() as u32);
        let pages = ram.iter().map(|(_, n)| n).sum();
        let word = self.at(4, 8);
        out.word(wide, runs + word, pages);
        for (index, (page, n)) in ram.iter().enumerate() {
            let at = runs + 2 * word + 2 * word * index;
            out.word(wide, at, *page);
            out.word(wide, at + word, *n);
        }
        if self.context {
            self.context(out);
        }
        out.u64(self.at(0xfc0, 0xfa8), 0x01d7_07f2_3dbb_3399);
    }

    /// A `CONTEXT`, in the order of its members.
    fn context(&self, out: &mut Out) {
        let value = |register: u64| 0x1000 * register;
        if self.wide {
            let at = 0x348;
            out.put(at, &[0; 1232]);
            out.u32(at + 0x30, 0x10_001f);
            out.u16(at + 0x38, 0x10);
            out.u32(at + 0x44, 0x246);
            for register in 0..17 {
                out.u64(at + 0x78 + 8 * register as usize, value(register + 1));
            }
        } else {
            let at = 0x320;
            out.put(at, &[0; 716]);
            out.u32(at, 0x1_001f);
            // EDI ESI EBX EDX ECX EAX EBP EIP CS EFLAGS ESP SS
            let order = [8, 7, 4, 3, 2, 1, 6, 17];
            for (index, register) in order.into_iter().enumerate() {
                out.u32(at + 0x9c + 4 * index, value(register) as u32);
            }
            out.u32(at + 0xbc, 8);
            out.u32(at + 0xc0, 0x246);
            out.u32(at + 0xc4, value(5) as u32);
            out.u32(at + 0xc8, 0x10);
        }
    }
}

/// Writes a bitmap of `pages` at `start`, behind the signatures at `header`.
fn bitmap(out: &mut Out, header: usize, start: usize, bits: u64, pages: &[u64]) {
    out.put(header, b"SDMPDUMP");
    let mut bytes = vec![0_u8; (bits as usize).div_ceil(32) * 4];
    for page in pages {
        bytes[*page as usize / 8] |= 1 << (page % 8);
    }
    // The first page lies at a page of the file, as in the kernel's own dumps.
    bytes.resize((start + bytes.len()).next_multiple_of(PAGE) - start, 0);
    out.put(start, &bytes);
}

/// A triage dump to be written.
#[derive(Clone, Debug, Default)]
pub struct TriageDump {
    /// `DUMP_HEADER64` rather than `DUMP_HEADER32`.
    pub wide: bool,
    /// The header's fields; its `kind`, `ram` and `left_out` are not used.
    pub header: CrashDump,
    /// Data blocks: virtual address and bytes, in the order of the list.
    pub blocks: Vec<(u64, Vec<u8>)>,
    /// The stack.
    pub stack: Option<(u64, Vec<u8>)>,
    /// Copies of `_EPROCESS` and `_ETHREAD`.
    pub process: Vec<u8>,
    /// As above.
    pub thread: Vec<u8>,
    /// The debugger data block, at the header's `debugger_data`.
    pub debugger_data: Vec<u8>,
    /// Drivers: name and image base.
    pub drivers: Vec<(String, u64)>,
    /// Unloaded drivers: name, start, end.
    pub unloaded: Vec<(String, u64, u64)>,
}

impl TriageDump {
    /// The dump.
    pub fn write(&self) -> Vec<u8> {
        let wide = self.wide;
        let header = CrashDump {
            wide,
            ..self.header.clone()
        };
        let mut out = Out(b"PAGE".repeat(if wide { 0x800 } else { 0x400 }));
        header.header(&mut out, &[]);
        let (dump_type, runs) = if wide { (0xf98, 0x88) } else { (0xf88, 0x64) };
        out.u32(dump_type, 4);
        out.put(runs, b"PAGE");
        let base = out.0.len();
        out.put(base, &vec![0; if wide { 0x80 } else { 0x68 }]);
        let field = |out: &mut Out, at: usize, value: usize| out.u32(base + at, value as u32);
        field(&mut out, 0x0c, if wide { 0x348 } else { 0x320 });
        field(&mut out, 0x10, if wide { 0xf00 } else { 0x7d0 });
        let append = |out: &mut Out, bytes: &[u8]| {
            let at = out.0.len().next_multiple_of(8);
            out.put(at, bytes);
            at
        };
        // Unloaded drivers.
        let mut bytes = vec![];
        bytes.extend((self.unloaded.len() as u64).to_le_bytes());
        bytes.truncate(if wide { 8 } else { 4 });
        for (name, start, end) in &self.unloaded {
            let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let mut entry = Out(vec![0; if wide { 0x38 } else { 0x28 }]);
            entry.u16(0, units.len() as u16);
            entry.put(if wide { 16 } else { 8 }, &units);
            entry.word(wide, if wide { 0x28 } else { 0x20 }, *start);
            entry.word(wide, if wide { 0x30 } else { 0x24 }, *end);
            bytes.extend(entry.0);
        }
        let at = append(&mut out, &bytes);
        field(&mut out, 0x18, at);
        let at = append(&mut out, &self.process);
        field(&mut out, 0x20, at);
        let at = append(&mut out, &self.thread);
        field(&mut out, 0x24, at);
        if let Some((va, bytes)) = &self.stack {
            let at = append(&mut out, bytes);
            field(&mut out, 0x28, at);
            field(&mut out, 0x2c, bytes.len());
            out.word(wide, base + 0x48, *va);
        }
        let debugger = if wide { 0x70 } else { 0x58 };
        if !self.debugger_data.is_empty() {
            let at = append(&mut out, &self.debugger_data);
            field(&mut out, debugger, at);
            field(&mut out, debugger + 4, self.debugger_data.len());
        }
        // Drivers, then their names.
        let (each, base_at) = if wide { (0x90, 0x38) } else { (0x4c, 0x1c) };
        let list = append(&mut out, &vec![0; each * self.drivers.len()]);
        field(&mut out, 0x30, list);
        field(&mut out, 0x34, self.drivers.len());
        let pool = out.0.len();
        for (index, (name, image)) in self.drivers.iter().enumerate() {
            let units: Vec<u16> = name.encode_utf16().collect();
            let mut text = (units.len() as u32).to_le_bytes().to_vec();
            text.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
            text.extend([0, 0]);
            let at = append(&mut out, &text);
            out.u32(list + each * index, at as u32);
            // DllBase, behind the links and four words (0x30, or 0x18 of a 32-bit entry).
            out.word(wide, list + each * index + base_at, *image);
        }
        field(&mut out, 0x38, pool);
        let len = out.0.len() - pool;
        field(&mut out, 0x3c, len);
        // Blocks: the list, then the bytes.
        let list = append(&mut out, &vec![0; 16 * self.blocks.len()]);
        let blocks = if wide { 0x78 } else { 0x60 };
        field(&mut out, blocks, list);
        field(&mut out, blocks + 4, self.blocks.len());
        for (index, (va, bytes)) in self.blocks.iter().enumerate() {
            let at = append(&mut out, bytes);
            let va = if wide {
                *va
            } else {
                u64::from(*va as u32) | 0xffff_ffff_0000_0000
            };
            out.u64(list + 16 * index, va);
            out.u32(list + 16 * index + 8, at as u32);
            out.u32(list + 16 * index + 12, bytes.len() as u32);
        }
        let end = append(&mut out, b"TRGD");
        field(&mut out, 0x08, end);
        field(&mut out, 0x04, end + 4);
        out.0
    }
}
