//! The bytes of an ELF core's headers, little-endian, of both classes; read and written by these.
//!
//! Source: the ELF specification (`Elf32_Ehdr` to `Elf64_Nhdr`), `include/uapi/linux/elf.h`.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use crate::look::Look;

/// `e_machine` of x86's two widths.
pub(super) const EM_386: u16 = 3;
pub(super) const EM_X86_64: u16 = 62;
/// `e_type` of a core.
pub(super) const ET_CORE: u16 = 4;
/// `e_ident` of a little-endian core of class 64.
pub(super) const IDENT_64: [u8; 16] = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0";

/// The file's header, `Elf64_Ehdr`.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Header64 {
    pub(super) ident: [u8; 16],
    pub(super) kind: U16,
    pub(super) machine: U16,
    pub(super) version: U32,
    pub(super) entry: U64,
    pub(super) phoff: U64,
    pub(super) shoff: U64,
    pub(super) flags: U32,
    pub(super) ehsize: U16,
    pub(super) phentsize: U16,
    pub(super) phnum: U16,
    pub(super) shentsize: U16,
    pub(super) shnum: U16,
    pub(super) shstrndx: U16,
}

/// `Elf32_Ehdr`.
#[derive(Clone, Copy, FromBytes, Immutable, Unaligned)]
#[repr(C)]
struct Header32 {
    ident: [u8; 16],
    kind: U16,
    machine: U16,
    version: U32,
    entry: U32,
    phoff: U32,
    shoff: U32,
    flags: U32,
    ehsize: U16,
    phentsize: U16,
    phnum: U16,
    shentsize: U16,
    shnum: U16,
    shstrndx: U16,
}

/// A program header, `Elf64_Phdr`.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Program64 {
    pub(super) kind: U32,
    pub(super) flags: U32,
    pub(super) offset: U64,
    pub(super) vaddr: U64,
    pub(super) paddr: U64,
    pub(super) filesz: U64,
    pub(super) memsz: U64,
    pub(super) align: U64,
}

/// `Elf32_Phdr`.
#[derive(Clone, Copy, FromBytes, Immutable, Unaligned)]
#[repr(C)]
struct Program32 {
    kind: U32,
    offset: U32,
    vaddr: U32,
    paddr: U32,
    filesz: U32,
    memsz: U32,
    flags: U32,
    align: U32,
}

/// A section header, `Elf64_Shdr`.
#[derive(Clone, Copy, Default, FromBytes, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Section64 {
    pub(super) name: U32,
    pub(super) kind: U32,
    pub(super) flags: U64,
    pub(super) addr: U64,
    pub(super) offset: U64,
    pub(super) size: U64,
    pub(super) link: U32,
    pub(super) info: U32,
    pub(super) addralign: U64,
    pub(super) entsize: U64,
}

/// `Elf32_Shdr`.
#[derive(Clone, Copy, FromBytes, Immutable, Unaligned)]
#[repr(C)]
struct Section32 {
    name: U32,
    kind: U32,
    flags: U32,
    addr: U32,
    offset: U32,
    size: U32,
    link: U32,
    info: U32,
    addralign: U32,
    entsize: U32,
}

/// What stands before a note's name, `Elf64_Nhdr`.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
pub(super) struct Note {
    pub(super) namesz: U32,
    pub(super) descsz: U32,
    pub(super) kind: U32,
}

/// What a file's header says, of either class.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) kind: u16,
    pub(super) machine: u16,
    pub(super) phoff: u64,
    pub(super) shoff: u64,
    pub(super) ehsize: u16,
    pub(super) phentsize: u16,
    pub(super) phnum: u16,
    pub(super) shentsize: u16,
    pub(super) shnum: u16,
}

/// A program header, of either class.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub(super) kind: u32,
    pub(super) offset: u64,
    pub(super) paddr: u64,
    pub(super) filesz: u64,
    pub(super) memsz: u64,
}

/// A section header, of either class.
#[derive(Clone, Copy)]
pub(super) struct Section {
    pub(super) kind: u32,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) info: u32,
}

/// Reads the header at a place, of class 64 or 32: these members of it, as wide as the larger class has them.
macro_rules! of_class {
    ($file:ident, $wide:ident, $at:expr, $of_64:ident or $of_32:ident { $($member:ident),* }) => {
        if $wide {
            let header: $of_64 = $file.record($at)?;
            Some(Self { $($member: header.$member.get(),)* })
        } else {
            let header: $of_32 = $file.record($at)?;
            Some(Self { $($member: header.$member.get().into(),)* })
        }
    };
}

impl Header {
    /// Bytes of the header.
    pub(super) const fn bytes(wide: bool) -> usize {
        if wide {
            size_of::<Header64>()
        } else {
            size_of::<Header32>()
        }
    }

    /// The header of `file`, of class 64 when `wide`.
    pub(super) fn read(file: Look<'_>, wide: bool) -> Option<Self> {
        of_class!(file, wide, 0, Header64 or Header32 {
            kind, machine, phoff, shoff, ehsize, phentsize, phnum, shentsize, shnum
        })
    }
}

impl Segment {
    /// Bytes of a program header.
    pub(super) const fn bytes(wide: bool) -> usize {
        if wide {
            size_of::<Program64>()
        } else {
            size_of::<Program32>()
        }
    }

    /// The program header at `at`.
    pub(super) fn read(file: Look<'_>, wide: bool, at: usize) -> Option<Self> {
        of_class!(file, wide, at, Program64 or Program32 { kind, offset, paddr, filesz, memsz })
    }

    /// One past its last byte in the file.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(self.filesz)
    }

    /// Whether it has a physical address: `/proc/kcore` gives -1 to what is only mapped.
    pub(super) fn has_place(&self, wide: bool) -> bool {
        self.paddr != if wide { u64::MAX } else { u32::MAX.into() }
    }
}

impl Section {
    /// The section header at `at`.
    pub(super) fn read(file: Look<'_>, wide: bool, at: u64) -> Option<Self> {
        let at = usize::try_from(at).ok()?;
        of_class!(file, wide, at, Section64 or Section32 { kind, offset, size, info })
    }

    /// One past its last byte in the file; `None` for one that has none there (`SHT_NOBITS`).
    pub(super) fn end(&self) -> Option<u64> {
        (self.kind != 8).then(|| self.offset.saturating_add(self.size))
    }
}
