//! What the headers of an image say of it, read where the loader mapped it.
//!
//! Source: Microsoft's PE format specification; `VS_VERSIONINFO` of its resource formats.

use osier_memory::{PAGE_BYTES, VirtAddr};
use osier_osi::{Absent, Seen};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// More bytes than any image has.
const MOST_BYTES: u32 = 1 << 30;
/// More sections than the format allows, and than a debug directory or a directory of resources has entries.
const MOST_SECTIONS: u16 = 96;
const MOST_ENTRIES: u32 = 4096;
/// A record that names a PDB, and its path.
const RECORD: std::ops::RangeInclusive<u32> = 17..=1024;
/// Indices of data directories.
const RESOURCES: usize = 2;
const DEBUG: usize = 6;

/// Reads memory at an address, all of it or nothing.
pub(super) type Read<'a> = dyn Fn(VirtAddr, &mut [u8]) -> Seen<()> + 'a;

/// What an image's headers say.
pub(super) struct Image {
    pub(super) base: VirtAddr,
    pub(super) time_date_stamp: u32,
    pub(super) check_sum: u32,
    /// Bytes in memory: `SizeOfImage`.
    pub(super) bytes: u32,
    /// Bytes of the headers, in the file as in memory.
    pub(super) header_bytes: u32,
    pub(super) sections: Vec<Section>,
    /// Address from the base and size of the data directories that are read here.
    resources: DataDirectory,
    debug: DataDirectory,
}

/// `IMAGE_SECTION_HEADER`.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Section {
    pub(super) name: [u8; 8],
    pub(super) virtual_size: U32,
    pub(super) virtual_address: U32,
    pub(super) size_of_raw_data: U32,
    pub(super) pointer_to_raw_data: U32,
    rest: [u8; 16],
}

/// `IMAGE_DATA_DIRECTORY`.
#[derive(Clone, Copy, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct DataDirectory {
    virtual_address: U32,
    size: U32,
}

/// `Signature` and `IMAGE_FILE_HEADER`.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct FileHeader {
    signature: [u8; 4],
    machine: U16,
    number_of_sections: U16,
    time_date_stamp: U32,
    symbols: [U32; 2],
    size_of_optional_header: U16,
    characteristics: U16,
}

/// The part of `IMAGE_OPTIONAL_HEADER` that both widths have in the same places.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct OptionalHeader {
    magic: U16,
    before: [u8; 54],
    size_of_image: U32,
    size_of_headers: U32,
    check_sum: U32,
}

/// `IMAGE_DEBUG_DIRECTORY`.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct DebugDirectory {
    before: [u8; 12],
    kind: U32,
    size_of_data: U32,
    address_of_raw_data: U32,
    pointer_to_raw_data: U32,
}

/// `IMAGE_RESOURCE_DIRECTORY`.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct ResourceDirectory {
    before: [u8; 12],
    named: U16,
    numbered: U16,
}

/// `IMAGE_RESOURCE_DIRECTORY_ENTRY`.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct ResourceEntry {
    name: U32,
    /// The highest bit says that another directory is there.
    offset: U32,
}

fn value<T: FromZeros + IntoBytes + FromBytes>(read: &Read<'_>, at: VirtAddr) -> Seen<T> {
    let mut value = T::new_zeroed();
    read(at, value.as_mut_bytes())?;
    Ok(value)
}

impl Image {
    /// The image that is mapped at `base`.
    pub(super) fn read(read: &Read<'_>, base: VirtAddr) -> Seen<Self> {
        /// `e_magic`, and where `e_lfanew` stands.
        const MZ: u16 = 0x5a4d;
        const E_LFANEW: u64 = 0x3c;
        let wrong = |raw: u32, rule| Absent::implausible(raw.into(), rule, Some(base));
        let magic = value::<U16>(read, base)?.get();
        if magic != MZ {
            return Err(wrong(magic.into(), "an image begins with MZ"));
        }
        let header = value::<U32>(read, base.plus(E_LFANEW))?.get();
        if u64::from(header) > PAGE_BYTES {
            let rule = "an image's header lies in its first page (e_lfanew)";
            return Err(wrong(header, rule));
        }
        let at = base.plus(header.into());
        let file = value::<FileHeader>(read, at)?;
        let optional_at = at.plus(size_of::<FileHeader>() as u64);
        let optional = value::<OptionalHeader>(read, optional_at)?;
        let directories = match (file.signature, optional.magic.get()) {
            ([b'P', b'E', 0, 0], 0x10b) => 96,
            ([b'P', b'E', 0, 0], 0x20b) => 112,
            (_, other) => return Err(wrong(other.into(), "an image has a header of PE or PE+")),
        };
        let (bytes, header_bytes) = (optional.size_of_image.get(), optional.size_of_headers.get());
        if bytes == 0 || bytes > MOST_BYTES || header_bytes > bytes {
            let rule = "an image has at most 1 GiB, and its headers are in it";
            return Err(wrong(bytes, rule));
        }
        let sections = file.number_of_sections.get().min(MOST_SECTIONS);
        let first = optional_at.plus(file.size_of_optional_header.get().into());
        let section = |nth: u16| {
            let by = (size_of::<Section>() as u64).saturating_mul(nth.into());
            value::<Section>(read, first.plus(by))
        };
        let number = value::<U32>(read, optional_at.plus(directories).minus(4))?.get();
        let directory = |index: usize| {
            if number as usize <= index {
                return Ok(DataDirectory::default());
            }
            let by = directories.wrapping_add((index as u64).wrapping_mul(8));
            value::<DataDirectory>(read, optional_at.plus(by))
        };
        Ok(Self {
            base,
            time_date_stamp: file.time_date_stamp.get(),
            check_sum: optional.check_sum.get(),
            bytes,
            header_bytes,
            sections: (0..sections).map(section).collect::<Seen<_>>()?,
            resources: directory(RESOURCES)?,
            debug: directory(DEBUG)?,
        })
    }

    /// The address of `by`, when so many bytes from there on lie in the image.
    fn within(&self, by: u32, bytes: u32) -> Option<VirtAddr> {
        let end = by.checked_add(bytes)?;
        (by != 0 && end <= self.bytes).then(|| self.base.plus(by.into()))
    }

    /// The record that names the image's PDB, `RSDS` or `NB10`, as it stands there; `None` when there is none,
    /// or its page is not in memory.
    pub(super) fn codeview(&self, read: &Read<'_>) -> Option<Vec<u8>> {
        /// `IMAGE_DEBUG_TYPE_CODEVIEW`.
        const CODEVIEW: u32 = 2;
        let bytes = size_of::<DebugDirectory>() as u32;
        let count = self.debug.size.get().checked_div(bytes)?.min(MOST_ENTRIES);
        for nth in 0..count {
            let by = self
                .debug
                .virtual_address
                .get()
                .checked_add(nth.checked_mul(bytes)?)?;
            let entry = value::<DebugDirectory>(read, self.within(by, bytes)?).ok()?;
            let size = entry.size_of_data.get();
            if entry.kind.get() != CODEVIEW || !RECORD.contains(&size) {
                continue;
            }
            let at = self.within(entry.address_of_raw_data.get(), size)?;
            let mut record = vec![0; size as usize];
            read(at, &mut record).ok()?;
            return (record.starts_with(b"RSDS") || record.starts_with(b"NB10")).then_some(record);
        }
        None
    }

    /// `VS_FIXEDFILEINFO`, out of the image's first resource of a version; `None` when there is none, or its page is
    /// not in memory.
    pub(super) fn version(&self, read: &Read<'_>) -> Option<[u8; 52]> {
        /// `RT_VERSION`, and the signature of what is looked for.
        const VERSION: u32 = 16;
        const SIGNATURE: [u8; 4] = 0xfeef_04bd_u32.to_le_bytes();
        /// What stands before it: three lengths, `VS_VERSION_INFO` with its NUL, and up to a multiple of 4.
        const BEFORE: u32 = 40;
        let root = self.resources.virtual_address.get();
        let mut at = root;
        for wanted in [Some(VERSION), None, None] {
            let offset = self.entry(read, at, wanted)?;
            at = root.checked_add(offset & 0x7fff_ffff)?;
        }
        let data = value::<DataDirectory>(read, self.within(at, 8)?).ok()?;
        let place = data.virtual_address.get().checked_add(BEFORE)?;
        let info = value::<[u8; 52]>(read, self.within(place, 52)?).ok()?;
        info.starts_with(&SIGNATURE).then_some(info)
    }

    /// Where the entry `wanted`, or the first, of the directory of resources at `at` leads, from the first directory on.
    fn entry(&self, read: &Read<'_>, at: u32, wanted: Option<u32>) -> Option<u32> {
        let head = size_of::<ResourceDirectory>() as u32;
        let bytes = size_of::<ResourceEntry>() as u32;
        let directory = value::<ResourceDirectory>(read, self.within(at, head)?).ok()?;
        let count =
            u32::from(directory.named.get()).checked_add(directory.numbered.get().into())?;
        for nth in 0..count.min(MOST_ENTRIES) {
            let by = at.checked_add(head)?.checked_add(nth.checked_mul(bytes)?)?;
            let entry = value::<ResourceEntry>(read, self.within(by, bytes)?).ok()?;
            if wanted.is_none_or(|wanted| entry.name.get() == wanted) {
                return Some(entry.offset.get());
            }
        }
        None
    }
}
