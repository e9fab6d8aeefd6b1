//! A kernel's ELF file, `vmlinux` with debug information: types, symbols and identity.

use std::borrow::Cow;

use gimli::RunTimeEndian;
use object::read::elf::{ElfFile, FileHeader};
use object::{
    CompressionFormat, FileKind, Object, ObjectKind, ObjectSection, ObjectSymbol, RelocationKind,
    RelocationTarget, SymbolKind,
};
use osier_profile::{BuildId, Identity, OsKind, ProfileBuilder, Wanted};

use crate::SymbolError;
use crate::dwarf::{Dwarf, Sections};
use crate::dwarf_scan::Scan;

/// The most that a compressed section may grow: beyond what zlib can do.
const MAX_EXPANSION: u64 = 2048;
/// Bytes of the head of the text: as many as a profile keeps.
const HEAD_BYTES: usize = 64;
/// Fewer bytes than these do not tell one kernel from another.
const LEAST_HEAD_BYTES: usize = 16;

/// Reads types (DWARF 4 or 5), symbols, build id and banner out of an ELF file. Of the types,
/// symbols and enumerators those that are `wanted` are kept; `None` keeps all that have a name.
///
/// A file without DWARF gives its symbols and identity only, as a stripped `vmlinux` does.
///
/// # Errors
///
/// No ELF file, a damaged one, or one whose debug information is split into other files.
pub fn import_elf(data: &[u8], wanted: Option<&Wanted>) -> Result<ProfileBuilder, SymbolError> {
    match FileKind::parse(data) {
        Ok(FileKind::Elf32) => {
            let file = object::read::elf::ElfFile32::<object::Endianness>::parse(data);
            import(&file.map_err(broken)?, 4, wanted)
        }
        Ok(FileKind::Elf64) => {
            let file = object::read::elf::ElfFile64::<object::Endianness>::parse(data);
            import(&file.map_err(broken)?, 8, wanted)
        }
        _ => Err(SymbolError::Unusable("not an ELF file".to_owned())),
    }
}

fn broken(error: object::Error) -> SymbolError {
    SymbolError::Malformed {
        format: "ELF",
        offset: 0,
        problem: error.to_string(),
    }
}

type Elf<'d, H> = ElfFile<'d, H>;

fn import<H: FileHeader>(
    file: &Elf<'_, H>,
    pointer_bytes: u8,
    wanted: Option<&Wanted>,
) -> Result<ProfileBuilder, SymbolError> {
    let endian = if file.is_little_endian() {
        RunTimeEndian::Little
    } else {
        RunTimeEndian::Big
    };
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Linux,
        pointer_bytes,
        build_id: None,
        banner: Vec::new(),
        release: String::new(),
    });
    add_symbols(file, wanted, &mut builder);
    identify(file, &mut builder);

    let section = |name| contents(file, name);
    let (info, types) = (section(".debug_info")?, section(".debug_types")?);
    let (abbrev, strings) = (section(".debug_abbrev")?, section(".debug_str")?);
    let line_strings = section(".debug_line_str")?;
    let string_offsets = section(".debug_str_offsets")?;
    let sections = Sections {
        info: &info,
        types: &types,
        abbrev: &abbrev,
        strings: &strings,
        line_strings: &line_strings,
        string_offsets: &string_offsets,
    };
    let dwarf = Dwarf::new(&sections, endian);
    Scan::new(&dwarf, strings.len(), wanted).run(&mut builder)?;
    let found = if info.is_empty() {
        "symbols"
    } else {
        "DWARF and symbols"
    };
    builder.provenance(match &builder.identity().build_id {
        Some(id) => format!("{found} of the ELF file with build id {id}"),
        None => format!("{found} of an ELF file without a build id"),
    });
    Ok(builder)
}

/// A section's bytes, decompressed, and relocated where the file is not linked; empty when the
/// file has no such section. An object file has one per type unit: they are put together, as the
/// linker does.
fn contents<'d, H: FileHeader>(
    file: &Elf<'d, H>,
    name: &str,
) -> Result<Cow<'d, [u8]>, SymbolError> {
    let mut all: Cow<'d, [u8]> = Cow::Borrowed(&[]);
    for section in file.sections() {
        if section.name_bytes() != Ok(name.as_bytes()) {
            continue;
        }
        let range = section.compressed_file_range().map_err(broken)?;
        if range.format != CompressionFormat::None
            && range.uncompressed_size > range.compressed_size.saturating_mul(MAX_EXPANSION)
        {
            return Err(SymbolError::Malformed {
                format: "ELF",
                offset: range.offset,
                problem: format!(
                    "{name} claims to grow from {} to {} bytes",
                    range.compressed_size, range.uncompressed_size
                ),
            });
        }
        let mut data = section.uncompressed_data().map_err(broken)?;
        if file.kind() == ObjectKind::Relocatable {
            relocate(file, &section, data.to_mut());
        }
        if all.is_empty() {
            all = data;
        } else if file.kind() == ObjectKind::Relocatable {
            all.to_mut().extend_from_slice(&data);
        }
    }
    Ok(all)
}

/// Applies absolute relocations: in an object file, references between debug sections are made so.
fn relocate<'d, 'f, H: FileHeader>(
    file: &'f Elf<'d, H>,
    section: &impl ObjectSection<'d, RelocationIterator: Iterator<Item = (u64, object::Relocation)>>,
    data: &mut [u8],
) {
    let little = file.is_little_endian();
    for (offset, relocation) in section.relocations() {
        let base = match relocation.target() {
            RelocationTarget::Symbol(index) => match file.symbol_by_index(index) {
                Ok(symbol) => symbol.address(),
                Err(_) => continue,
            },
            RelocationTarget::Absolute => 0,
            _ => continue,
        };
        if relocation.kind() != RelocationKind::Absolute {
            continue;
        }
        let bytes = usize::from(relocation.size()).div_ceil(8);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(place) = data.get_mut(start..start.saturating_add(bytes)) else {
            continue;
        };
        let mut wide = [0_u8; 8];
        let (Some(low), Some(high)) = (wide.get_mut(..bytes), 8_usize.checked_sub(bytes)) else {
            continue;
        };
        low.copy_from_slice(place);
        let mut value = base.wrapping_add(relocation.addend().cast_unsigned());
        if relocation.has_implicit_addend() {
            let stored = if little {
                u64::from_le_bytes(wide)
            } else {
                u64::from_be_bytes(wide).wrapping_shr(8_u32.saturating_mul(high as u32))
            };
            value = value.wrapping_add(stored);
        }
        let encoded = if little {
            value.to_le_bytes()
        } else {
            value
                .wrapping_shl(8_u32.saturating_mul(high as u32))
                .to_be_bytes()
        };
        place.copy_from_slice(encoded.get(..bytes).unwrap_or_default());
    }
}

/// Global symbols come first, so that a static one of the same name does not hide them.
fn add_symbols<H: FileHeader>(
    file: &Elf<'_, H>,
    wanted: Option<&Wanted>,
    builder: &mut ProfileBuilder,
) {
    let wanted = wanted.map(|wanted| {
        let names = wanted.symbols.iter().copied().flatten();
        let names = names.map(|name| name.as_bytes());
        names.collect::<std::collections::HashSet<&[u8]>>()
    });
    let mut local = Vec::new();
    for symbol in file.symbols() {
        if !symbol.is_definition() && symbol.kind() != SymbolKind::Unknown {
            let absolute = symbol.section() == object::SymbolSection::Absolute;
            if !absolute {
                continue;
            }
        }
        if symbol.is_undefined() || matches!(symbol.kind(), SymbolKind::File | SymbolKind::Section)
        {
            continue;
        }
        let Ok(name) = symbol.name_bytes() else {
            continue;
        };
        let kept = wanted.as_ref().is_none_or(|wanted| wanted.contains(name));
        if !kept || name.is_empty() {
            continue;
        }
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        if symbol.is_local() {
            local.push((name, symbol.address()));
        } else {
            builder.add_symbol(name, symbol.address());
        }
    }
    for (name, address) in local {
        builder.add_symbol(name, address);
    }
}

/// Build id, banner, release and head of the text.
fn identify<H: FileHeader>(file: &Elf<'_, H>, builder: &mut ProfileBuilder) {
    let address = |name: &str| {
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
        symbol.map(|symbol| symbol.address())
    };
    let banner = address("linux_banner").and_then(|at| bytes_at(file, at, 4096));
    let text = address("_text");
    let head = text.map(|at| head_of_text(file, at)).unwrap_or_default();
    builder.set_text_head(head);
    let id = build_id(file);
    let identity = builder.identity_mut();
    identity.build_id = id.map(BuildId);
    if let Some(banner) = banner {
        let end = banner.iter().position(|byte| *byte == 0);
        let banner = banner.get(..end.unwrap_or(0)).unwrap_or_default();
        set_banner(identity, banner.trim_ascii_end());
    }
}

/// Keeps a banner, and the release that it names.
pub(crate) fn set_banner(identity: &mut Identity, banner: &[u8]) {
    identity.banner = banner.to_vec();
    let release = banner.strip_prefix(b"Linux version ".as_slice());
    let release = release.and_then(|rest| rest.split(|byte| *byte == b' ').next());
    let release = release.and_then(|release| std::str::from_utf8(release).ok());
    if let Some(release) = release {
        release.clone_into(&mut identity.release);
    }
}

/// The GNU build id: in `.note.gnu.build-id`, or among the kernel's `.notes`.
fn build_id<H: FileHeader>(file: &Elf<'_, H>) -> Option<Vec<u8>> {
    file.sections().find_map(|section| {
        if section.kind() != object::SectionKind::Note {
            return None;
        }
        note_of(section.data().ok()?, file.is_little_endian(), b"GNU\0", 3)
    })
}

/// The content of the first note with that name and type.
fn note_of(mut notes: &[u8], little: bool, name: &[u8], kind: u32) -> Option<Vec<u8>> {
    let word = |bytes: &[u8]| {
        let bytes: [u8; 4] = bytes.try_into().ok()?;
        Some(if little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    };
    loop {
        let (header, rest) = notes.split_at_checked(12)?;
        let name_bytes = word(header.get(..4)?)? as usize;
        let content_bytes = word(header.get(4..8)?)? as usize;
        let found_kind = word(header.get(8..)?)?;
        let (found_name, rest) = rest.split_at_checked(name_bytes.checked_next_multiple_of(4)?)?;
        let content = rest.get(..content_bytes)?;
        if found_kind == kind && found_name.get(..name_bytes)? == name && !content.is_empty() {
            return Some(content.to_vec());
        }
        notes = rest
            .get(content_bytes.checked_next_multiple_of(4)?..)
            .unwrap_or_default();
    }
}

/// At most `count` bytes of the section that holds the address.
fn bytes_at<'d, H: FileHeader>(file: &Elf<'d, H>, address: u64, count: usize) -> Option<&'d [u8]> {
    file.sections().find_map(|section| {
        let offset = address.checked_sub(section.address())?;
        if section.address() == 0 || offset >= section.size() {
            return None;
        }
        let data = section.data().ok()?.get(usize::try_from(offset).ok()?..)?;
        data.get(..count.min(data.len()))
    })
}

/// The bytes at `_text`, as many as a profile keeps. Relocation changes some of them when the kernel runs
/// elsewhere than it was linked: where the file tells which, no more than a quarter of what is kept, for
/// so many may differ where the head is looked for. This early code holds no alternatives and no
/// tracing calls.
fn head_of_text<H: FileHeader>(file: &Elf<'_, H>, text: u64) -> Vec<u8> {
    let section = file.sections().find(|section| {
        let offset = text.checked_sub(section.address());
        section.address() != 0 && offset.is_some_and(|offset| offset < section.size())
    });
    let (Some(section), Some(bytes)) = (section, bytes_at(file, text, HEAD_BYTES)) else {
        return Vec::new();
    };
    let mut changed = [false; HEAD_BYTES];
    for (at, relocation) in section.relocations() {
        let absolute = relocation.kind() == RelocationKind::Absolute
            || relocation.kind() == RelocationKind::Unknown;
        // Linked files name a relocation's place by its address.
        if let Some(offset) = at.checked_sub(text).and_then(|at| usize::try_from(at).ok())
            && absolute
        {
            let width = usize::from(relocation.size()).div_ceil(8).max(4);
            let bytes = changed.iter_mut().skip(offset).take(width);
            bytes.for_each(|changed| *changed = true);
        }
    }
    let kept = longest_head(changed.get(..bytes.len()).unwrap_or_default());
    bytes.get(..kept).unwrap_or_default().to_vec()
}

/// The longest head of which no more than a quarter is `changed`; 0 when none is long enough.
fn longest_head(changed: &[bool]) -> usize {
    let few = |len: &usize| {
        let head = changed.iter().take(*len);
        head.filter(|changed| **changed).count().saturating_mul(4) <= *len
    };
    let mut lengths = (LEAST_HEAD_BYTES..=changed.len()).rev();
    lengths.find(few).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_kept_as_long_as_relocation_changes_little_of_it() {
        let head = |changed: &[(usize, usize)]| {
            let at = |at| changed.iter().any(|(from, to)| (*from..*to).contains(&at));
            longest_head(&(0..HEAD_BYTES).map(at).collect::<Vec<bool>>())
        };
        assert_eq!(head(&[]), HEAD_BYTES);
        // A kernel linked with --emit-relocs: one address, 15 bytes in.
        assert_eq!(head(&[(15, 19)]), HEAD_BYTES);
        assert_eq!(head(&[(15, 19), (30, 34), (40, 64)]), 42);
        assert_eq!(head(&[(12, 64)]), 16);
        assert_eq!(head(&[(11, 64)]), 0);
    }
}
