//! A Windows image with DWARF, as MinGW's compilers make kernels: types, symbols and identity.
//!
//! Source: Microsoft's PE format specification; the long names of sections and the symbol table of COFF, which
//! GNU's linker keeps in images; the record `RSDS` that it writes for `--build-id`.

use std::collections::HashSet;

use gimli::RunTimeEndian;
use object::read::pe::{ImageNtHeaders, PeFile};
use object::{
    ExportTarget, FileKind, NameOrOrdinal, Object, ObjectSection, ObjectSymbol, SymbolKind,
};
use osier_profile::{BuildId, Identity, OsKind, ProfileBuilder, Wanted};

use crate::SymbolError;
use crate::dwarf::{Dwarf, Sections};
use crate::dwarf_scan::Scan;
use crate::fence::fence;
use crate::pdb::{Public, add_symbols};

/// Whether a file begins as an image does: a DOS header that leads to the signature `PE`.
pub(crate) fn looks_like(data: &[u8]) -> bool {
    let place = data
        .get(0x3c..0x40)
        .and_then(|bytes| bytes.first_chunk::<4>());
    let place = place.and_then(|bytes| usize::try_from(u32::from_le_bytes(*bytes)).ok());
    let signature = place.and_then(|at| data.get(at..)?.first_chunk::<4>());
    data.starts_with(b"MZ") && signature == Some(b"PE\0\0")
}

/// Reads types (DWARF 4 or 5) and symbols out of a Windows image. Of both, and of the enumerators, those that
/// are `wanted` are kept; `None` keeps all that have a name. Symbols count from the image's base, and lose
/// what the calling convention adds to their names. The identity is that of its CodeView record, where it has
/// one: the image itself names no other.
///
/// # Errors
///
/// No image, a damaged one, one of another processor, or one whose debug information is not in it.
pub fn import_pe(data: &[u8], wanted: Option<&Wanted>) -> Result<ProfileBuilder, SymbolError> {
    let read = fence(|| match FileKind::parse(data) {
        Ok(FileKind::Pe32) => {
            let file = object::read::pe::PeFile32::parse(data);
            import(&file.map_err(broken)?, 4, wanted)
        }
        Ok(FileKind::Pe64) => {
            let file = object::read::pe::PeFile64::parse(data);
            import(&file.map_err(broken)?, 8, wanted)
        }
        _ => Err(SymbolError::Unusable("not a Windows image".to_owned())),
    });
    read.unwrap_or_else(|_| Err(broken("the image contradicts itself")))
}

fn broken(problem: impl std::fmt::Display) -> SymbolError {
    SymbolError::Malformed {
        format: "PE",
        offset: 0,
        problem: problem.to_string(),
    }
}

fn import<H: ImageNtHeaders>(
    file: &PeFile<'_, H>,
    pointer_bytes: u8,
    wanted: Option<&Wanted>,
) -> Result<ProfileBuilder, SymbolError> {
    use object::Architecture::{I386, X86_64};
    if !matches!(file.architecture(), I386 | X86_64) {
        let other = format!("{:?}", file.architecture());
        let problem =
            format!("PE: it is of a program for {other}, and only x86 and amd64 are known");
        return Err(SymbolError::Unusable(problem));
    }
    let build_id = file.pdb_info().map_err(broken)?;
    let build_id = build_id.map(|record| BuildId::of_rsds(record.guid(), record.age()));
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Windows,
        pointer_bytes,
        build_id,
        banner: Vec::new(),
        release: String::new(),
    });
    let symbols = symbols(file);
    add_symbols(&mut builder, &symbols, wanted);

    let section = |name: &str| {
        let mut sections = file.sections();
        let found = sections.find(|section| section.name_bytes() == Ok(name.as_bytes()));
        found.map_or(Ok(&[][..]), |section| section.data().map_err(broken))
    };
    let sections = Sections {
        info: section(".debug_info")?,
        types: section(".debug_types")?,
        abbrev: section(".debug_abbrev")?,
        strings: section(".debug_str")?,
        line_strings: section(".debug_line_str")?,
        string_offsets: section(".debug_str_offsets")?,
    };
    if sections.info.is_empty() {
        let count = symbols.len();
        return Err(SymbolError::Unusable(format!(
            "PE: the image has no debug information of its own (DWARF), and {count} symbols; import the one \
             that was not stripped, or its PDB"
        )));
    }
    let dwarf = Dwarf::new(&sections, RunTimeEndian::Little);
    let scan = Scan::new(&dwarf, sections.strings.len(), wanted);
    scan.with_parts().run(&mut builder)?;
    builder.provenance(match &builder.identity().build_id {
        Some(id) => format!("DWARF and symbols of the PE file with build id {id}"),
        None => "DWARF and symbols of a PE file that names no build".to_owned(),
    });
    Ok(builder)
}

/// The symbols of the image by their linked names, and what it exports besides; those that everybody sees come
/// first, so that a static one of the same name does not hide them.
fn symbols<H: ImageNtHeaders>(file: &PeFile<'_, H>) -> Vec<Public> {
    let base = file.relative_address_base();
    let rva = |address: u64| u32::try_from(address.checked_sub(base)?).ok();
    let mut found: Vec<Public> = Vec::new();
    let mut local: Vec<Public> = Vec::new();
    for symbol in file.symbols() {
        let placed = symbol.section_index().is_some() && !symbol.is_undefined();
        if !placed || matches!(symbol.kind(), SymbolKind::File | SymbolKind::Section) {
            continue;
        }
        if let Ok(name) = symbol.name()
            && let Some(place) = rva(symbol.address())
        {
            let list = if symbol.is_local() {
                &mut local
            } else {
                &mut found
            };
            list.push((name.to_owned(), place));
        }
    }
    found.append(&mut local);
    let known: HashSet<u32> = found.iter().map(|(_, place)| *place).collect();
    // A damaged table of exports takes nothing from the symbols.
    let exports = file.exports().into_iter().flatten().map_while(Result::ok);
    for export in exports {
        if let NameOrOrdinal::Name(name) = export.name()
            && let Ok(name) = std::str::from_utf8(name)
            && let ExportTarget::Address { address } = export.target()
            && let Some(place) = rva(address)
            && !known.contains(&place)
        {
            found.push((name.to_owned(), place));
        }
    }
    found
}
