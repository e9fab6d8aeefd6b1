//! The kernel's image: a PE header whose CodeView record names one of the kernel's PDBs.
//!
//! Source: Microsoft's PE format specification; the records `RSDS` (PDB 7.0) and `NB10` (PDB 2.0).

use std::cell::RefCell;
use std::ops::ControlFlow;

use osier_memory::{AddressSpace, Fault, MappedRange, PAGE_BYTES, VirtAddr};
use osier_profile::BuildId;

use super::pages::Learnt;
use crate::guest::is_kernel_address;

/// How far below a place in the kernel its header is looked for: the largest kernels have 18 MiB.
const REACH: u64 = 32 << 20;
/// Sizes of a kernel image, from Windows 2000's to several times the newest.
const SIZES: std::ops::Range<u64> = 0x10_0000..0x1000_0000;
/// `IMAGE_DIRECTORY_ENTRY_DEBUG`.
const DEBUG: u64 = 6;
/// Longest name of a PDB or an image.
const NAME: usize = 64;

/// The kernel's image as its header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) base: VirtAddr,
    /// `SizeOfImage`.
    pub(crate) size: u64,
    /// `None` when the record could not be read; the export directory then calls the image
    /// `ntoskrnl.exe`.
    pub(crate) codeview: Option<CodeView>,
    /// Whether there is no such record: the header names no debug directory.
    pub(crate) unnamed: bool,
}

/// What names an image's PDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CodeView {
    pub(crate) pdb: String,
    pub(crate) build_id: BuildId,
}

/// The kernel's image that holds `at`: its header is looked for page by page downwards.
pub(super) fn below(space: &AddressSpace, at: VirtAddr, others: &mut usize) -> Option<Image> {
    let top = at.page().0;
    let bottom = top.saturating_sub(REACH);
    let mut page = top;
    while page >= bottom && is_kernel_address(space, VirtAddr(page)) {
        if let Some(image) = kernel_at(space, VirtAddr(page), others)
            && at.since(image.base) < image.size
        {
            return Some(image);
        }
        page = page.checked_sub(PAGE_BYTES)?;
    }
    None
}

/// The kernel's image, looked for at every page of the kernel half that starts as one; on x86-64 first
/// where the loader puts it. The kernel's own mappings of itself and the page tables' window on
/// themselves make the kernel half look larger than it is: `learnt` keeps what was looked at.
pub(super) fn anywhere(
    space: &AddressSpace,
    learnt: &mut Learnt,
    others: &mut usize,
) -> Option<Image> {
    let ranges: &[(u64, u64)] = if space.mode().pointer_bytes() == 4 {
        &[(0x8000_0000, 0xffff_f000)]
    } else {
        &[
            (0xffff_f800_0000_0000, 0xffff_f880_0000_0000),
            (0xff00_0000_0000_0000, 0xffff_ffff_ffff_f000),
        ]
    };
    let memory = &**space.memory();
    let Learnt { pages, tables } = learnt;
    let pages = RefCell::new(pages);
    let image_in = |start, len| pages.borrow_mut().image_in(memory, start, len);
    ranges.iter().find_map(|&(start, end)| {
        let mut found = None;
        let within = VirtAddr(start)..VirtAddr(end);
        let mut want = |range: &MappedRange| image_in(range.phys, range.len).is_some();
        space.mapped_where(within, tables, &mut want, &mut |range| {
            let mut by = 0;
            while let Some(page) = image_in(range.phys.plus(by), range.len.saturating_sub(by)) {
                by = page.since(range.phys);
                found = kernel_at(space, range.start.plus(by), others);
                if found.is_some() {
                    return ControlFlow::Break(());
                }
                by = by.saturating_add(PAGE_BYTES);
            }
            ControlFlow::Continue(())
        });
        found
    })
}

/// The kernel's image, if its header lies at `base`.
pub(super) fn kernel_at(space: &AddressSpace, base: VirtAddr, others: &mut usize) -> Option<Image> {
    const MZ: u64 = 0x5a4d;
    if space.read_uint(base, 2).ok()? != MZ {
        return None;
    }
    let header = Header::read(space, base).ok().flatten()?;
    let image = header.kernel(space);
    if image.is_none() {
        *others = others.saturating_add(1);
    }
    image
}

/// What a PE header says.
struct Header {
    base: VirtAddr,
    size: u64,
    /// Address of the data directories, and their number.
    directories: VirtAddr,
    count: u64,
}

impl Header {
    fn read(space: &AddressSpace, base: VirtAddr) -> Result<Option<Self>, Fault> {
        const PE: u64 = 0x4550;
        let at = space.read_uint(base.plus(0x3c), 4)?;
        if at >= PAGE_BYTES {
            return Ok(None);
        }
        let pe = base.plus(at);
        let optional = pe.plus(24);
        if space.read_uint(pe, 4)? != PE {
            return Ok(None);
        }
        let machine = space.read_uint(pe.plus(4), 2)?;
        let magic = space.read_uint(optional, 2)?;
        let wanted = match space.mode().pointer_bytes() {
            4 => (0x14c, 0x10b, 92),
            _ => (0x8664, 0x20b, 108),
        };
        if (machine, magic) != (wanted.0, wanted.1) {
            return Ok(None);
        }
        let size = space.read_uint(optional.plus(56), 4)?;
        let count = space.read_uint(optional.plus(wanted.2), 4)?;
        Ok(Some(Self {
            base,
            size,
            directories: optional.plus(wanted.2).plus(4),
            count,
        }))
    }

    /// The image, when it is the kernel's.
    fn kernel(&self, space: &AddressSpace) -> Option<Image> {
        if !SIZES.contains(&self.size) {
            return None;
        }
        let unnamed = self.directory(space, DEBUG) == Ok(None);
        let image = |codeview| Image {
            base: self.base,
            size: self.size,
            codeview,
            unnamed,
        };
        let codeview = self.codeview(space).ok().flatten();
        if let Some(codeview) = codeview.as_ref().filter(|record| !record.pdb.is_empty()) {
            return is_kernel_pdb(&codeview.pdb).then(|| image(Some(codeview.clone())));
        }
        // No record, one that was not captured, or one of GNU's linker, which names no PDB: the export
        // directory has a name, too.
        let name = self.export_name(space).ok().flatten()?;
        name.eq_ignore_ascii_case(b"ntoskrnl.exe")
            .then(|| image(codeview))
    }

    /// Place and size of data directory `index`, when it lies inside the image.
    fn directory(&self, space: &AddressSpace, index: u64) -> Result<Option<(u64, u64)>, Fault> {
        if index >= self.count {
            return Ok(None);
        }
        let at = self.directories.plus(index.wrapping_mul(8));
        let (rva, size) = (space.read_uint(at, 4)?, space.read_uint(at.plus(4), 4)?);
        Ok((rva != 0 && rva < self.size).then_some((rva, size)))
    }

    fn codeview(&self, space: &AddressSpace) -> Result<Option<CodeView>, Fault> {
        /// Bytes of an `IMAGE_DEBUG_DIRECTORY`.
        const ENTRY: u64 = 28;
        /// `IMAGE_DEBUG_TYPE_CODEVIEW`.
        const CODEVIEW: u64 = 2;
        let Some((rva, bytes)) = self.directory(space, DEBUG)? else {
            return Ok(None);
        };
        for nth in 0..(bytes / ENTRY).min(16) {
            let entry = self.base.plus(rva).plus(nth.wrapping_mul(ENTRY));
            if space.read_uint(entry.plus(12), 4)? != CODEVIEW {
                continue;
            }
            let record = space.read_uint(entry.plus(20), 4)?;
            if record == 0 || record >= self.size {
                continue;
            }
            return read_record(space, self.base.plus(record));
        }
        Ok(None)
    }

    fn export_name(&self, space: &AddressSpace) -> Result<Option<Vec<u8>>, Fault> {
        /// `IMAGE_DIRECTORY_ENTRY_EXPORT`.
        const EXPORT: u64 = 0;
        let Some((rva, _)) = self.directory(space, EXPORT)? else {
            return Ok(None);
        };
        let name = space.read_uint(self.base.plus(rva).plus(12), 4)?;
        if name == 0 || name >= self.size {
            return Ok(None);
        }
        space.read_cstr(self.base.plus(name), NAME).map(Some)
    }
}

/// Reads the record `RSDS` or `NB10` at `at`.
fn read_record(space: &AddressSpace, at: VirtAddr) -> Result<Option<CodeView>, Fault> {
    let mut tag = [0; 4];
    space.read(at, &mut tag)?;
    let (id, name) = match &tag {
        b"RSDS" => {
            let mut raw = [0; 16];
            space.read(at.plus(4), &mut raw)?;
            let age = space.read_uint(at.plus(20), 4)? as u32;
            (BuildId::of_rsds(raw, age), at.plus(24))
        }
        b"NB10" => {
            let signature = space.read_uint(at.plus(8), 4)? as u32;
            let age = space.read_uint(at.plus(12), 4)? as u32;
            (BuildId::of_nb10(signature, age), at.plus(16))
        }
        _ => return Ok(None),
    };
    let path = space.read_cstr(name, 260)?;
    let file = path.rsplit(|&byte| matches!(byte, b'\\' | b'/')).next();
    let pdb = String::from_utf8(file.unwrap_or_default().to_vec());
    Ok(pdb.ok().map(|pdb| CodeView { pdb, build_id: id }))
}

/// The PDBs of kernels: one or many processors, PAE or not, 5-level paging.
fn is_kernel_pdb(name: &str) -> bool {
    const NAMES: [&str; 5] = [
        "ntkrnlmp.pdb",
        "ntoskrnl.pdb",
        "ntkrnlpa.pdb",
        "ntkrpamp.pdb",
        "ntkrla57.pdb",
    ];
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}
