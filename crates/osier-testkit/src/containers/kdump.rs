//! kdump's compressed dumps (makedumpfile's `IMPLEMENTATION` and `diskdump_mod.h`; crash's
//! `diskdump.h`).

use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of a block, which is a page.
const BLOCK: usize = 4096;
/// Where the texts of the sub-header lie.
const TEXTS: usize = BLOCK + 256;

/// `page_desc.flags` and `status` of each compression.
pub const ZLIB: u32 = 1;
/// LZO.
pub const LZO: u32 = 2;
/// Snappy.
pub const SNAPPY: u32 = 4;
/// Zstandard.
pub const ZSTD: u32 = 0x20;
/// `status`: the writer ran out of space.
pub const INCOMPLETE: u32 = 8;

/// The flag of a compression, and the compression.
pub type Packing = (u32, fn(&[u8]) -> Vec<u8>);

/// A dump to be written.
#[derive(Clone)]
pub struct Kdump {
    /// `KDUMP   ` or `DISKDUMP`.
    pub signature: [u8; 8],
    /// `header_version`, 0 to 6.
    pub version: u32,
    /// The width of the header.
    pub wide: bool,
    /// `utsname.machine`; QEMU writes none that means anything.
    pub machine: &'static str,
    /// `status`.
    pub status: u32,
    /// `max_mapnr`.
    pub frames: u64,
    /// The frames in the dump.
    pub pages: BTreeMap<u64, Vec<u8>>,
    /// The frames that the machine has and the dump has not.
    pub excluded: Vec<u64>,
    /// How pages are compressed. A page that does not get smaller is stored
    /// as it is, and pages of zeros share one that is stored.
    pub packing: Option<Packing>,
    /// Whether the bitmap of what the machine has is left out, as diskdump did.
    pub one_bitmap: bool,
    /// The frames of this file of a split dump.
    pub split: Option<Range<u64>>,
    /// The text of VMCOREINFO.
    pub vmcoreinfo: Vec<u8>,
    /// ELF notes.
    pub notes: Vec<u8>,
    /// The text that says what was erased.
    pub erased: Vec<u8>,
}

impl Default for Kdump {
    fn default() -> Self {
        Self {
            signature: *b"KDUMP   ",
            version: 6,
            wide: true,
            machine: "x86_64",
            status: 0,
            frames: 0,
            pages: BTreeMap::new(),
            excluded: Vec::new(),
            packing: None,
            one_bitmap: false,
            split: None,
            vmcoreinfo: Vec::new(),
            notes: Vec::new(),
            erased: Vec::new(),
        }
    }
}

impl Kdump {
    /// The file.
    pub fn file(&self) -> Vec<u8> {
        let one = (self.frames as usize).div_ceil(8).div_ceil(BLOCK);
        let bitmaps = if self.one_bitmap { one } else { 2 * one };
        let mut out = self.header(bitmaps as u32);
        out.resize(BLOCK, 0);
        out.extend(self.sub_header());
        out.resize(TEXTS, 0);
        out.extend([&self.vmcoreinfo[..], &self.notes, &self.erased].concat());
        assert!(out.len() <= 3 * BLOCK, "two blocks of sub-header");
        out.resize(3 * BLOCK, 0);
        let mut bitmap = |frames: &mut dyn Iterator<Item = u64>| {
            let start = out.len();
            out.resize(start + one * BLOCK, 0);
            for frame in frames {
                out[start + frame as usize / 8] |= 1 << (frame % 8);
            }
        };
        if !self.one_bitmap {
            bitmap(&mut self.pages.keys().chain(&self.excluded).copied());
        }
        bitmap(&mut self.pages.keys().copied());

        let all = 0..self.frames;
        let range = self.split.as_ref().unwrap_or(&all);
        let pages: Vec<&Vec<u8>> = self
            .pages
            .range(range.clone())
            .map(|(_, page)| page)
            .collect();
        let mut descriptors = Vec::new();
        let data_at = out.len() + pages.len() * 24;
        let mut data = vec![0; BLOCK]; // the page of zeros
        for page in pages {
            let (offset, size, flags) = if page.iter().all(|byte| *byte == 0) {
                (0, BLOCK, 0)
            } else {
                let packed = self.packing.map(|(flag, pack)| (flag, pack(page)));
                let smaller = packed.filter(|(_, packed)| packed.len() < BLOCK);
                let (flags, bytes) = smaller.unwrap_or_else(|| (0, page.clone()));
                data.extend(&bytes);
                (data.len() - bytes.len(), bytes.len(), flags)
            };
            descriptors.extend(((data_at + offset) as u64).to_le_bytes());
            descriptors.extend((size as u32).to_le_bytes());
            descriptors.extend(flags.to_le_bytes());
            descriptors.extend([0; 8]);
        }
        out.extend(descriptors);
        out.extend(data);
        out
    }

    fn header(&self, bitmap_blocks: u32) -> Vec<u8> {
        let mut out = self.signature.to_vec();
        out.extend(self.version.to_le_bytes());
        for name in ["Linux", "node", "5.10.0", "#1 SMP", self.machine, "(none)"] {
            let start = out.len();
            out.extend(name.as_bytes());
            out.resize(start + 65, 0);
        }
        // `struct timeval` is aligned as the machine aligns longs.
        if self.wide {
            out.resize(408, 0);
            out.extend(1_700_000_000_u64.to_le_bytes());
            out.extend(4096_u64.to_le_bytes());
        } else {
            out.resize(404, 0);
            out.extend(1_700_000_000_u32.to_le_bytes());
            out.extend(4096_u32.to_le_bytes());
        }
        let words = [
            self.status,
            BLOCK as u32,
            2, // sub_hdr_size
            bitmap_blocks,
            self.frames as u32,
            0, // total_ram_blocks
            0, // device_blocks
            0, // written_blocks
            0, // current_cpu
            1, // nr_cpus
        ];
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        out
    }

    fn sub_header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let wide = self.wide;
        let word = |out: &mut Vec<u8>, value: u64| {
            out.extend(&value.to_le_bytes()[..if wide { 8 } else { 4 }]);
        };
        let range = self.split.clone().unwrap_or(0..0);
        word(&mut out, 0x10_0000); // phys_base
        if self.version >= 1 {
            out.extend(31_u32.to_le_bytes());
        }
        if self.version >= 2 {
            out.extend(u32::from(self.split.is_some()).to_le_bytes());
            word(&mut out, range.start);
            word(&mut out, range.end);
        }
        let mut at = TEXTS;
        for (version, text) in [(3, &self.vmcoreinfo), (4, &self.notes), (5, &self.erased)] {
            if self.version >= version {
                let offset = if text.is_empty() { 0 } else { at as u64 };
                out.extend(offset.to_le_bytes());
                word(&mut out, text.len() as u64);
            }
            at += text.len();
        }
        if self.version >= 6 {
            for value in [range.start, range.end, self.frames] {
                out.extend(value.to_le_bytes());
            }
        }
        out
    }
}

/// `file` flattened in pieces of `piece` bytes: the last ones first, and the first block twice, wrong
/// and then right, as a writer does that comes back to its header.
pub fn flattened(file: &[u8], piece: usize) -> Vec<u8> {
    let mut out = b"makedumpfile\0\0\0\0".to_vec();
    out.extend(1_u64.to_be_bytes());
    out.extend(1_u64.to_be_bytes());
    out.resize(4096, 0);
    let mut put = |offset: usize, bytes: &[u8]| {
        out.extend((offset as u64).to_be_bytes());
        out.extend((bytes.len() as u64).to_be_bytes());
        out.extend(bytes);
    };
    put(0, &[0xaa; 700]);
    for (number, bytes) in file.chunks(piece).enumerate().rev() {
        put(number * piece, bytes);
    }
    if let Some(right) = file.get(90..1010) {
        put(100, &[0xbb; 900]);
        put(90, right);
    }
    out.extend([0xff; 16]);
    out
}
