//! Windows hibernation files, written after the published descriptions of their forms.

use osier_memory::{PAGE_BYTES, PhysAddr, PhysicalMemory};

use super::xpress;

const PAGE: usize = PAGE_BYTES as usize;

/// Whose file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiberForm {
    /// Windows XP and 2003, 32-bit.
    Xp32,
    /// Windows XP and 2003, 64-bit.
    Xp64,
    /// Windows Vista before SP1, 32-bit.
    Vista32,
    /// Windows Vista before SP1, 64-bit.
    Vista64,
    /// Windows 7, 32-bit.
    Win7x32,
    /// Windows 7, 64-bit.
    Win7x64,
    /// Windows 8 and later: whether 64-bit, and `LengthSelf`.
    Modern(bool, u32),
}

/// A hibernation file to be written.
#[derive(Clone, Debug)]
pub struct HiberFile {
    /// Whose it is.
    pub form: HiberForm,
    /// Its first four bytes.
    pub signature: [u8; 4],
    /// Huffman codes, where the form has them.
    pub huffman: bool,
    /// CR3.
    pub cr3: u64,
}

/// Where the fields of a form lie.
struct Places {
    wide: bool,
    length: u32,
    /// `FirstTablePage`, or 0.
    first_table: usize,
    /// The page of the processor's state.
    state: usize,
}

impl HiberForm {
    fn places(self) -> Places {
        let (wide, length, first_table, state) = match self {
            Self::Xp32 => (false, 168, 88, 2),
            Self::Xp64 => (true, 192, 104, 2),
            Self::Vista32 => (false, 224, 80, 2),
            Self::Vista64 => (true, 296, 104, 2),
            Self::Win7x32 => (false, 224, 76, 1),
            Self::Win7x64 => (true, 296, 96, 1),
            Self::Modern(wide, length) => (wide, length, 0, 1),
        };
        Places {
            wide,
            length,
            first_table,
            state,
        }
    }

    /// Whether it is one of a 64-bit Windows.
    pub fn wide(self) -> bool {
        self.places().wide
    }
}

fn put(out: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if out.len() < at + bytes.len() {
        out.resize(at + bytes.len(), 0);
    }
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

fn put_word(out: &mut Vec<u8>, wide: bool, at: usize, value: u64) {
    put(out, at, &value.to_le_bytes()[..if wide { 8 } else { 4 }]);
}

/// Page numbers as `(first, count)`.
fn runs(pages: &[u64]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &page in pages {
        match runs.last_mut() {
            Some((start, n)) if *start + *n == page => *n += 1,
            _ => runs.push((page, 1)),
        }
    }
    runs
}

/// The pages compressed, or as they are when that is no shorter.
fn packed(memory: &dyn PhysicalMemory, pages: &[u64], huffman: bool) -> Vec<u8> {
    let mut bytes = vec![0; pages.len() * PAGE];
    for (page, into) in pages.iter().zip(bytes.chunks_mut(PAGE)) {
        memory
            .read(PhysAddr(page * PAGE_BYTES), into)
            .expect("a page of a run");
    }
    let packed = if huffman {
        xpress::huffman(&bytes)
    } else {
        xpress::plain(&bytes)
    };
    if packed.len() < bytes.len() {
        packed
    } else {
        bytes
    }
}

impl HiberFile {
    /// The file of `memory`'s pages.
    pub fn write(&self, memory: &dyn PhysicalMemory) -> Vec<u8> {
        let places = self.form.places();
        let mut out = vec![0; 6 * PAGE];
        self.header(&mut out, &places);
        self.state(&mut out, &places);
        let ranges = memory.runs().iter();
        let pages: Vec<u64> = ranges
            .flat_map(|run| run.start.0 / PAGE_BYTES..run.end().0 / PAGE_BYTES)
            .collect();
        if let HiberForm::Modern(wide, length) = self.form {
            self.sections(&mut out, memory, &pages, wide, length);
        } else {
            put_word(&mut out, places.wide, places.first_table, 6);
            self.tables(&mut out, memory, &pages);
        }
        out
    }

    fn header(&self, out: &mut Vec<u8>, places: &Places) {
        put(out, 0, &self.signature);
        put(out, 12, &places.length.to_le_bytes());
        put_word(out, places.wide, 16, 0x91819);
        put(
            out,
            if places.wide { 24 } else { 20 },
            &4096_u32.to_le_bytes(),
        );
    }

    /// `_KPROCESSOR_STATE`: register n of `CpuState::general` holds 0x1000 × (n + 1), then RIP.
    fn state(&self, out: &mut Vec<u8>, places: &Places) {
        let page = places.state * PAGE;
        let value = |register: u64| 0x1000 * register;
        if places.wide {
            for (at, register) in [
                (0x00, 0x8005_0033),
                (0x08, 0x7fff_0000),
                (0x10, self.cr3),
                (0x18, 0x6f8),
                (0xa8, 0xffff_f800_0001_0000),
                (0xb0, 0x7ffd_e000),
                (0xc0, 0xffff_f800_0002_0000),
            ] {
                put(out, page + at, &u64::to_le_bytes(register));
            }
            for (at, base) in [
                (0x56, 0xffff_f800_0003_0000_u64),
                (0x66, 0xffff_f800_0004_0000),
            ] {
                put(out, page + at, &0xfff_u16.to_le_bytes());
                put(out, page + at + 2, &base.to_le_bytes());
            }
            put(out, page + 0x70, &0x40_u16.to_le_bytes());
            // MsrFsBase came, and the frame moved, with a `_KSPECIAL_REGISTERS` of 240 bytes.
            let late = matches!(self.form, HiberForm::Modern(_, 0x3d8..));
            let frame = page + if late { 0xf0 } else { 0xe0 };
            put(out, frame + 0x30, &0x10_000f_u32.to_le_bytes());
            put(out, frame + 0x38, &0x10_u16.to_le_bytes());
            for register in 0..17 {
                put(
                    out,
                    frame + 0x78 + 8 * register as usize,
                    &value(register + 1).to_le_bytes(),
                );
            }
        } else {
            let special = page + 0x2cc;
            for (index, register) in [0x8001_003b, 0x7fff_0000, self.cr3, 0x6f8]
                .iter()
                .enumerate()
            {
                put_word(out, false, special + 4 * index, *register);
            }
            for (at, base) in [(0x2a, 0x8003_f000_u64), (0x32, 0x8003_f400)] {
                put(out, special + at, &0x7ff_u16.to_le_bytes());
                put_word(out, false, special + at + 2, base);
            }
            put(out, special + 0x38, &0x28_u16.to_le_bytes());
            put(out, page, &0x1_0007_u32.to_le_bytes());
            let order = [8, 7, 4, 3, 2, 1, 6, 17];
            for (index, register) in order.into_iter().enumerate() {
                put_word(out, false, page + 0x9c + 4 * index, value(register));
            }
            put_word(out, false, page + 0xbc, 8);
            put_word(out, false, page + 0xc4, value(5));
        }
    }

    /// Two sections of compression sets.
    fn sections(
        &self,
        out: &mut Vec<u8>,
        memory: &dyn PhysicalMemory,
        pages: &[u64],
        wide: bool,
        length: u32,
    ) {
        let (boot, kernel) = pages.split_at(pages.len() / 3);
        let (loader_at, boot_at, kernel_at) = match (wide, length) {
            (true, 0x360) => (0x58, 0x60, 0x68),
            (true, _) => (0x58, 0x68, 0x70),
            (false, _) => (0x48, 0x50, 0x54),
        };
        let processed_at = match (wide, length) {
            (true, 0x360) => 0x1c8,
            (true, 0x3b0) => 0x218,
            (true, 0x3c8) => 0x220,
            (true, _) => 0x230,
            (false, 0x2c8) => 0x1b0,
            (false, 0x310) => 0x1f8,
            (false, 0x328) => 0x200,
            (false, _) => 0x210,
        };
        put(out, loader_at, &(boot.len() as u64).to_le_bytes());
        put(out, processed_at, &(kernel.len() as u64).to_le_bytes());
        for (field, section) in [(boot_at, boot), (kernel_at, kernel)] {
            out.resize(out.len().next_multiple_of(PAGE), 0);
            let page = out.len() / PAGE;
            put_word(out, wide, field, page as u64);
            for unit in section.chunks(16) {
                let packed = packed(memory, unit, self.huffman);
                let ranges: Vec<u64> = runs(unit)
                    .iter()
                    .map(|(page, n)| page << 4 | (n - 1))
                    .collect();
                let method = if self.huffman { 2 } else { 0 };
                let word = ranges.len() as u32 | (packed.len() as u32) << 8 | method << 30;
                out.extend(word.to_le_bytes());
                for range in ranges {
                    out.extend(&range.to_le_bytes()[..if wide { 8 } else { 4 }]);
                }
                out.extend(packed);
            }
        }
    }

    /// Tables of four ranges each, and blocks behind each.
    fn tables(&self, out: &mut Vec<u8>, memory: &dyn PhysicalMemory, pages: &[u64]) {
        let ranges = runs(pages);
        let mut tables = ranges.chunks(4).peekable();
        while let Some(ranges) = tables.next() {
            let table = out.len();
            out.resize(table + PAGE, 0);
            let own: Vec<u64> = ranges
                .iter()
                .flat_map(|(page, n)| *page..page + n)
                .collect();
            for unit in own.chunks(16) {
                let packed = packed(memory, unit, false);
                let word = (packed.len() as u32 - 1) << 10 | (unit.len() as u32 - 1);
                out.extend(b"\x81\x81xpress");
                out.extend(word.to_le_bytes());
                out.extend([0; 20]);
                out.extend(packed);
                out.resize(out.len().next_multiple_of(8), 0);
            }
            out.resize(out.len().next_multiple_of(PAGE), 0);
            let next = tables.peek().map_or(0, |_| out.len() / PAGE);
            self.table(out, table, next as u64, ranges);
        }
    }

    fn table(&self, out: &mut Vec<u8>, at: usize, next: u64, ranges: &[(u64, u64)]) {
        let count = (ranges.len() as u32).to_le_bytes();
        let (first, each) = match self.form {
            // Next, NextTable, CheckSum, EntryCount; PageNo, StartPage, EndPage, CheckSum.
            HiberForm::Xp32 | HiberForm::Vista32 => {
                put_word(out, false, at + 4, next);
                put(out, at + 12, &count);
                (at + 16 + 4, 16)
            }
            // The same, and a reserved word.
            HiberForm::Xp64 => {
                put_word(out, true, at + 8, next);
                put(out, at + 20, &count);
                (at + 32 + 8, 32)
            }
            // Next, NextTable, EntryCount; StartPage, EndPage.
            HiberForm::Vista64 => {
                put_word(out, true, at + 8, next);
                put(out, at + 16, &count);
                (at + 24, 16)
            }
            // NextTable, EntryCount; StartPage, EndPage.
            HiberForm::Win7x32 => {
                put_word(out, false, at, next);
                put(out, at + 4, &count);
                (at + 8, 8)
            }
            _ => {
                put_word(out, true, at, next);
                put(out, at + 8, &count);
                (at + 16, 16)
            }
        };
        let wide = self.form.wide();
        for (index, (page, n)) in ranges.iter().enumerate() {
            let start = first + each * index;
            put_word(out, wide, start, *page);
            put_word(out, wide, start + if wide { 8 } else { 4 }, page + n);
        }
    }
}
