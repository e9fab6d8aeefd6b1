//! A dumped core, read back by another library.

#![allow(dead_code, reason = "each test program uses what it needs")]

use object::read::elf::{ElfFile32, ElfFile64, FileHeader, ProgramHeader as _};
use object::{Endianness, elf};

/// What a core holds.
pub(crate) struct Core {
    pub(crate) wide: bool,
    pub(crate) segments: Vec<Segment>,
    /// Names, types and contents.
    pub(crate) notes: Vec<(Vec<u8>, u32, Vec<u8>)>,
}

/// A `PT_LOAD`.
pub(crate) struct Segment {
    pub(crate) start: u64,
    pub(crate) memory: u64,
    pub(crate) flags: u32,
    /// Empty where the process's memory is not in the core.
    pub(crate) bytes: Vec<u8>,
}

impl Core {
    pub(crate) fn read(file: &[u8]) -> Self {
        match file[4] {
            1 => Self::of(
                ElfFile32::<Endianness>::parse(file).unwrap().elf_header(),
                file,
                false,
            ),
            _ => Self::of(
                ElfFile64::<Endianness>::parse(file).unwrap().elf_header(),
                file,
                true,
            ),
        }
    }

    fn of<H: FileHeader<Endian = Endianness>>(header: &H, file: &[u8], wide: bool) -> Self {
        let endian = header.endian().unwrap();
        assert_eq!(header.e_type(endian), elf::ET_CORE);
        let mut core = Self {
            wide,
            segments: Vec::new(),
            notes: Vec::new(),
        };
        for program in header.program_headers(endian, file).unwrap() {
            match program.p_type(endian) {
                elf::PT_LOAD => {
                    let bytes = program.data(endian, file).unwrap().to_vec();
                    let memory: u64 = program.p_memsz(endian).into();
                    assert!(bytes.is_empty() || bytes.len() as u64 == memory);
                    core.segments.push(Segment {
                        start: program.p_vaddr(endian).into(),
                        memory,
                        flags: program.p_flags(endian).0,
                        bytes,
                    });
                }
                elf::PT_NOTE => {
                    let Some(mut notes) = program.notes(endian, file).unwrap() else {
                        continue;
                    };
                    while let Some(note) = notes.next().unwrap() {
                        let kind = note.n_type(endian).0;
                        core.notes
                            .push((note.name().to_vec(), kind, note.desc().to_vec()));
                    }
                }
                other => unreachable!("a segment of type {other}"),
            }
        }
        core
    }

    /// The contents of the notes of this type.
    pub(crate) fn notes(&self, kind: u32) -> Vec<&[u8]> {
        let of_kind = self.notes.iter().filter(|note| note.1 == kind);
        of_kind.map(|note| note.2.as_slice()).collect()
    }

    /// Bytes at an address, where the core has them.
    pub(crate) fn at(&self, address: u64, len: usize) -> Option<&[u8]> {
        self.segments.iter().find_map(|segment| {
            let from = usize::try_from(address.checked_sub(segment.start)?).ok()?;
            segment.bytes.get(from..from.checked_add(len)?)
        })
    }
}
