//! Why a byte could not be read.

use std::fmt;

use crate::{PhysAddr, VirtAddr};

/// Why a byte could not be read. Small and `Copy`: built at the lowest layer, only enriched on the
/// way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// What stood in the way.
    pub cause: Cause,
    /// The virtual address that was asked for, when the read was a virtual one.
    pub va: Option<VirtAddr>,
    /// The physical address of the byte, or of the page-table entry that could not be read.
    pub pa: Option<PhysAddr>,
    /// The paging level whose entry stood in the way: 1 is the page table, 4 the PML4.
    pub level: Option<u8>,
}

/// What stands between a reader and a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The virtual address is not one that the paging mode can translate.
    NonCanonical,
    /// A page-table entry is not present and says nothing of another place.
    NotPresent {
        /// The entry as it stands in memory.
        entry: u64,
    },
    /// The page lives somewhere else than in physical memory.
    Elsewhere {
        /// The entry as it stands in memory.
        entry: u64,
        /// Where it lives.
        store: Store,
    },
    /// The machine has no RAM at this physical address.
    NoRam,
    /// The machine has RAM here, but the snapshot does not hold it.
    NotCaptured,
    /// The writer of the snapshot left the page out on purpose.
    Excluded {
        /// By which rule.
        filter: Filter,
    },
    /// The file ends before the byte that its headers promise.
    FileShort {
        /// The file offset of the byte.
        offset: u64,
    },
    /// The system could not read the byte from the file.
    ReadFailed {
        /// The file offset of the byte.
        offset: u64,
    },
    /// A compressed page could not be decoded.
    Decode {
        /// The file offset of the compressed bytes.
        offset: u64,
        /// The compression.
        codec: Codec,
    },
    /// The page table was met before, in the tables of a process, which has each of them once.
    TableAgain,
    /// The types and symbols by which it would be read are damaged: nothing tells where it lies, nor whether
    /// this kernel has it.
    DamagedSymbols,
    /// The structures by which it would be read were inferred, and nothing proves where it lies: it may be there.
    NotInferred,
    /// The types by which it would be read are a part of the kernel's: they do not tell where it lies, nor whether
    /// this kernel has it.
    NotInProfile,
}

/// Where a page lives that is not in physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Store {
    /// A Linux swap area, or a special entry of the kernel's in swap form (migration, poison).
    Swap,
    /// A Windows paging file.
    PageFile,
    /// A Windows prototype entry.
    Prototype,
    /// A compressed store in memory.
    Compressed,
    /// Nowhere yet: Windows gives a page of zeros when it is first touched.
    DemandZero,
    /// A file that is mapped.
    MappedFile,
}

/// Why a dump writer left a page out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Filter {
    /// The dump's bitmap says "not dumped"; the rule is not recorded.
    DumpLevel,
    /// The writer leaves out large blocks of zeros, and does not tell them from holes.
    Zeros,
}

/// A page compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// zlib.
    Zlib,
    /// LZO1X.
    Lzo,
    /// snappy.
    Snappy,
    /// Zstandard.
    Zstd,
    /// XZ.
    Xz,
    /// gzip.
    Gzip,
    /// LZ4.
    Lz4,
    /// Microsoft's Xpress, LZ77 alone or with Huffman codes.
    Xpress,
    /// None: the bytes as they are, of a wrong length.
    Stored,
    /// QEMU's delta encoding of a page.
    Xbzrle,
}

/// A stretch of a read that could not be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Bytes from the start of the read.
    pub start: usize,
    /// Length in bytes.
    pub len: usize,
    /// Why.
    pub fault: Fault,
}

impl Fault {
    /// A fault without a place; the layers above add theirs.
    pub const fn new(cause: Cause) -> Self {
        Self {
            cause,
            va: None,
            pa: None,
            level: None,
        }
    }

    /// A fault of the physical address `pa`.
    pub const fn at_phys(cause: Cause, pa: PhysAddr) -> Self {
        Self {
            cause,
            va: None,
            pa: Some(pa),
            level: None,
        }
    }

    /// The same fault, of a read at `va`.
    #[must_use]
    pub const fn with_va(self, va: VirtAddr) -> Self {
        Self {
            va: Some(va),
            ..self
        }
    }

    /// The same fault, met while reading the entry of paging level `level`.
    #[must_use]
    pub const fn with_level(self, level: u8) -> Self {
        Self {
            level: Some(level),
            ..self
        }
    }
}

impl Cause {
    /// The word that rows and scripts know this cause by; see `docs/rows.md`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NonCanonical => "non-canonical",
            Self::NotPresent { .. } => "not-present",
            Self::Elsewhere { store, .. } => match store {
                Store::Swap => "swapped-out",
                Store::PageFile => "pagefile",
                Store::Prototype => "prototype",
                Store::Compressed => "compressed-store",
                Store::DemandZero => "demand-zero",
                Store::MappedFile => "mapped-file",
            },
            Self::NoRam => "no-ram",
            Self::NotCaptured => "not-captured",
            Self::Excluded { .. } => "excluded",
            Self::FileShort { .. } => "file-short",
            Self::ReadFailed { .. } => "read-failed",
            Self::Decode { .. } => "undecodable",
            Self::TableAgain => "table-again",
            Self::DamagedSymbols => "damaged-symbols",
            Self::NotInferred => "not-inferred",
            Self::NotInProfile => "not-in-profile",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::NonCanonical => f.write_str("the address is not canonical")?,
            Cause::NotPresent { entry } => write!(f, "not present (entry {entry:#x})")?,
            Cause::Elsewhere { entry, store } => {
                write!(
                    f,
                    "not in memory ({}, entry {entry:#x})",
                    match store {
                        Store::Swap => "swapped out",
                        Store::PageFile => "in the paging file",
                        Store::Prototype => "prototype entry",
                        Store::Compressed => "in a compressed store",
                        Store::DemandZero => "demand-zero, never touched",
                        Store::MappedFile => "in the file that is mapped",
                    }
                )?;
            }
            Cause::NoRam => f.write_str("the machine has no RAM there")?,
            Cause::NotCaptured => f.write_str("not captured in the snapshot")?,
            Cause::Excluded { filter } => f.write_str(match filter {
                Filter::DumpLevel => "left out by the writer of the dump",
                Filter::Zeros => "left out by the writer of the dump: all zeros there, or no RAM",
            })?,
            Cause::FileShort { offset } => write!(f, "the file ends before offset {offset:#x}")?,
            Cause::ReadFailed { offset } => {
                write!(f, "the system cannot read the file at offset {offset:#x}")?;
            }
            Cause::Decode { offset, codec } => {
                write!(
                    f,
                    "the {codec:?} page at file offset {offset:#x} cannot be decoded"
                )?;
            }
            Cause::TableAgain => f.write_str("the page table was met before")?,
            Cause::DamagedSymbols => {
                f.write_str("the kernel's types and symbols are damaged, and do not tell of it")?;
            }
            Cause::NotInferred => {
                f.write_str("the kernel's structures were inferred, and nothing proves its place")?;
            }
            Cause::NotInProfile => {
                f.write_str(
                    "the profile has a part of the kernel's types, and does not tell of it",
                )?;
            }
        }
        if let Some(va) = self.va {
            write!(f, ", virtual {va}")?;
        }
        if let Some(pa) = self.pa {
            write!(f, ", physical {pa}")?;
        }
        if let Some(level) = self.level {
            write!(f, ", paging level {level}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
