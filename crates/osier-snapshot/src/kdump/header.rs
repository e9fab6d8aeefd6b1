//! The header and the sub-header, in both widths.
//!
//! Offsets, 64-bit and 32-bit: `disk_dump_header` has `status` at 424 or 412, behind `utsname` and a
//! `struct timeval`; `kdump_sub_header` is packed as those compilers pack it, with 64-bit file
//! offsets in both.

use osier_memory::PAGE_BYTES;

use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::look::Look;
use crate::pieces::View;

const KDUMP: &[u8] = b"KDUMP   ";
const DISKDUMP: &[u8] = b"DISKDUMP";

/// Whether a dump starts with `head`.
pub(crate) fn recognises(head: Look<'_>) -> bool {
    head.starts_with(KDUMP) || head.starts_with(DISKDUMP)
}

/// Bytes of one name of `struct new_utsname`.
const NAME: usize = 65;
/// Bytes of the 64-bit `disk_dump_header`.
const HEADER: u64 = 464;
/// The largest block that is believed.
const BLOCK_MAX: u64 = 1 << 20;

/// `DUMP_DH_COMPRESSED_INCOMPLETE`: the writer ran out of space.
pub(super) const INCOMPLETE: u32 = 8;

/// What the headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether the signature is diskdump's, not kdump's.
    pub(super) diskdump: bool,
    /// `header_version`.
    pub(super) version: u32,
    /// Whether the header is a 64-bit one.
    pub(super) wide: bool,
    /// `utsname`: system, node, release, version, machine.
    pub(super) names: [String; 5],
    /// `timestamp.tv_sec`.
    pub(super) seconds: u64,
    /// `status`.
    pub(super) status: u32,
    /// `block_size`: a page.
    pub(super) block: u64,
    /// `sub_hdr_size`, in blocks.
    pub(super) sub_blocks: u64,
    /// `bitmap_blocks`: both bitmaps.
    pub(super) bitmap_blocks: u64,
    /// The number of page frames.
    pub(super) max_mapnr: u64,
    /// `nr_cpus`.
    pub(super) cpus: u32,
    /// kdump's sub-header; diskdump's holds registers of another form and is not read.
    pub(super) sub: Sub,
}

/// `kdump_sub_header`; what a version does not have is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sub {
    /// `phys_base`.
    pub(super) phys_base: u64,
    /// `dump_level`, the sum of what was left out: 1 zeros, 2 cache, 4 private cache, 8 user data,
    /// 16 free pages. `None` before version 1.
    pub(super) dump_level: Option<u32>,
    /// `split`: the dump lies in several files, and this one has the frames from `start` to `end`.
    pub(super) split: bool,
    /// `start_pfn`.
    pub(super) start: u64,
    /// `end_pfn`.
    pub(super) end: u64,
    /// Offset and length of the text of VMCOREINFO.
    pub(super) vmcoreinfo: (u64, u64),
    /// Offset and length of the ELF notes.
    pub(super) notes: (u64, u64),
    /// Offset and length of the text that says what was erased.
    pub(super) erased: (u64, u64),
}

impl Header {
    /// Offset of the bitmaps.
    pub(super) fn bitmaps(&self) -> u64 {
        self.sub_blocks.saturating_add(1).saturating_mul(self.block)
    }

    /// Bytes of both bitmaps.
    pub(super) fn bitmap_bytes(&self) -> u64 {
        self.bitmap_blocks.saturating_mul(self.block)
    }

    /// Whether there is a bitmap of what is in the file behind that of what is in the machine.
    pub(super) fn two_bitmaps(&self) -> bool {
        let one = self.max_mapnr.div_ceil(8).div_ceil(self.block);
        self.bitmap_blocks >= one.saturating_mul(2)
    }

    /// Offset of the page descriptors.
    pub(super) fn descriptors(&self) -> u64 {
        self.bitmaps().saturating_add(self.bitmap_bytes())
    }
}

/// Reads the headers.
pub(super) fn read(view: &View) -> Result<Header, Malformed> {
    let short = || Malformed::new(view.file_bytes(), "the dump's header (464 bytes)");
    let bytes = view.header(0, HEADER).ok_or_else(short)?;
    let mut header = main(&bytes)?;
    if !header.diskdump {
        let (sub, max_mapnr) = sub(view, &header)?;
        header.sub = sub;
        header.max_mapnr = max_mapnr.unwrap_or(header.max_mapnr);
    }
    Ok(header)
}

/// `disk_dump_header`.
fn main(bytes: &[u8]) -> Result<Header, Malformed> {
    let mut cursor = Cursor::new(bytes, 0);
    let diskdump = cursor.take(8, "the signature")? == DISKDUMP;
    let version = cursor.le32("header_version")?;
    let mut names: [String; 5] = Default::default();
    for name in &mut names {
        let text = cursor.take(NAME, "a name of utsname")?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        *name = text.escape_ascii().to_string();
    }
    let wide = width(bytes, &names[4])?;
    let mut cursor = Cursor::new(bytes, if wide { 408 } else { 404 });
    let seconds = if wide {
        cursor.le64("tv_sec")?
    } else {
        cursor.le32("tv_sec")?.into()
    };
    let mut cursor = Cursor::new(bytes, status_at(wide));
    let status = cursor.le32("status")?;
    let block = cursor.le32("block_size")?.into();
    let sub_blocks = cursor.le32("sub_hdr_size")?.into();
    let bitmap_blocks = cursor.le32("bitmap_blocks")?.into();
    let max_mapnr = cursor.le32("max_mapnr")?.into();
    cursor.pass(16, "total_ram_blocks to current_cpu")?;
    let cpus = cursor.le32("nr_cpus")?;
    Ok(Header {
        diskdump,
        version,
        wide,
        names,
        seconds,
        status,
        block,
        sub_blocks,
        bitmap_blocks,
        max_mapnr,
        cpus,
        sub: Sub::default(),
    })
}

const fn status_at(wide: bool) -> usize {
    if wide { 424 } else { 412 }
}

/// Whether the header is a 64-bit one: by the machine's name, and where that is not written, by where
/// the block's size makes sense.
fn width(bytes: &[u8], machine: &str) -> Result<bool, Malformed> {
    let makes_sense = |wide: bool| {
        let mut cursor = Cursor::new(bytes, status_at(wide).saturating_add(4));
        let mut next = || cursor.le32("").map_or(0, u64::from);
        let (block, sub, bitmap) = (next(), next(), next());
        block.is_power_of_two()
            && (PAGE_BYTES..=BLOCK_MAX).contains(&block)
            && (1..=1 << 20).contains(&sub)
            && bitmap > 0
    };
    let named = match machine {
        // A 32-bit kernel.
        "i386" | "i486" | "i586" | "i686" => [false, true],
        _ => [true, false],
    };
    named
        .into_iter()
        .find(|wide| makes_sense(*wide))
        .ok_or_else(|| {
            Malformed::new(
                status_at(named[0]).saturating_add(4) as u64,
                "block_size of a page, sub_hdr_size and bitmap_blocks",
            )
        })
}

/// Bytes of `kdump_sub_header`, by `header_version`.
fn sub_bytes(version: u32, wide: bool) -> u64 {
    let bytes = if wide {
        [8, 12, 32, 48, 64, 80, 104]
    } else {
        [4, 8, 20, 32, 44, 56, 80]
    };
    let [.., last] = bytes;
    bytes.get(version as usize).copied().unwrap_or(last)
}

/// `kdump_sub_header`, and the number of page frames when it stands there.
fn sub(view: &View, header: &Header) -> Result<(Sub, Option<u64>), Malformed> {
    let (version, wide) = (header.version, header.wide);
    let at = header.block;
    let len = sub_bytes(version, wide);
    let bytes = view.header(at, len).ok_or_else(|| {
        Malformed::new(
            view.file_offset(at),
            format!("the sub-header ({len} bytes)"),
        )
    })?;
    let word = |cursor: &mut Cursor<'_>, name: &str| {
        if wide {
            cursor.le64(name)
        } else {
            cursor.le32(name).map(u64::from)
        }
    };
    let mut cursor = Cursor::new(&bytes, 0);
    let at = &mut cursor;
    let mut sub = Sub {
        phys_base: word(at, "phys_base")?,
        ..Sub::default()
    };
    if version >= 1 {
        sub.dump_level = Some(at.le32("dump_level")?);
    }
    if version >= 2 {
        sub.split = at.le32("split")? != 0;
        sub.start = word(at, "start_pfn")?;
        sub.end = word(at, "end_pfn")?;
    }
    if version >= 3 {
        sub.vmcoreinfo = (at.le64("offset_vmcoreinfo")?, word(at, "size_vmcoreinfo")?);
    }
    if version >= 4 {
        sub.notes = (at.le64("offset_note")?, word(at, "size_note")?);
    }
    if version >= 5 {
        sub.erased = (at.le64("offset_eraseinfo")?, word(at, "size_eraseinfo")?);
    }
    if version >= 6 {
        sub.start = at.le64("start_pfn_64")?;
        sub.end = at.le64("end_pfn_64")?;
        let max_mapnr = at.le64("max_mapnr_64")?;
        return Ok((sub, Some(max_mapnr)));
    }
    Ok((sub, None))
}
