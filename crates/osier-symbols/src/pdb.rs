//! Microsoft's program databases (PDB): the types and public symbols of a Windows kernel.
//!
//! ```text
//!   the file: pages ──► streams (pdb2)
//!     1  identity: signature or GUID          ──┐
//!     2  types (records.rs, types.rs)           ├──► ProfileBuilder
//!     3  debug information: age, machine,       │
//!        where symbols and sections are (pdb2) ─┘
//! ```
//!
//! Both containers are read: MSF 7.00, and 2.00 of Windows 2000's age. Public symbols become bytes
//! from the image's base, through the section headers and, where the linked image was rearranged
//! afterwards, through its address map (OMAP). Source: Microsoft's microsoft-pdb, LLVM's "The PDB
//! File Format".

mod records;
mod source;
mod types;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use osier_profile::{BuildId, Identity, OsKind, ProfileBuilder, Wanted};
use pdb2::{FallibleIterator, MachineType, PDB, StreamIndex, SymbolData};

use self::records::Records;
use self::source::File;
use self::types::Types;
use crate::SymbolError;
use crate::fence::fence;
use crate::names::Names;

/// How a file with pages of any size begins, and how one of Visual C++ 6 and older.
const BIG: &[u8] = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0";
const SMALL: &[u8] = b"Microsoft C/C++ program database 2.00\r\n\x1aJG\0\0";

/// The streams that have fixed numbers.
const IDENTITY: StreamIndex = StreamIndex(1);
const TYPES: StreamIndex = StreamIndex(2);
/// After this version of stream 1 a GUID follows signature and age.
const LAST_WITHOUT_GUID: u32 = 19_990_604;
/// `S_PUB32` and its older form.
const PUBLIC: [u16; 2] = [0x110e, 0x1009];

/// Whether a file begins as a PDB does.
pub(crate) fn looks_like(data: &[u8]) -> bool {
    data.starts_with(BIG) || data.starts_with(SMALL)
}

/// Reads a PDB. The identity is its GUID and the age of its debug information, by which symbol
/// servers name it; before Visual C++ 7 its signature and that age.
///
/// # Errors
///
/// No PDB, a damaged one, one of another processor, or one that has neither types nor symbols that are
/// wanted. One that was stripped of its types gives its symbols alone.
pub fn import_pdb(data: &[u8], wanted: Option<&Wanted>) -> Result<ProfileBuilder, SymbolError> {
    // pdb2 panics where a damaged file makes an address overflow.
    let read = fence(|| read(data, wanted));
    read.unwrap_or_else(|_| Err(damaged("its debug information contradicts itself")))
}

fn read(data: &[u8], wanted: Option<&Wanted>) -> Result<ProfileBuilder, SymbolError> {
    let mut pdb = PDB::open(File(data)).map_err(damaged)?;
    let debug = pdb.debug_information().map_err(damaged)?;
    let machine = debug.machine_type().map_err(damaged)?;
    let id = identity(&mut pdb, debug.age())?;

    let types = pdb.raw_stream(TYPES).map_err(damaged)?;
    let types = types.as_ref().map_or(&[][..], |stream| stream.as_slice());
    let symbols = public_symbols(&mut pdb)?;
    let types = match types {
        [] => None,
        stream => Some(Types::new(Records::new(stream)?)?).filter(|types| !types.is_empty()),
    };
    let pointer_bytes = match (machine, &types) {
        (MachineType::X86, _) => 4,
        (MachineType::Amd64, _) => 8,
        // Old linkers leave it out.
        (MachineType::Unknown, Some(types)) => types.pointer_bytes()?,
        (MachineType::Unknown, None) => return Err(without_types(&id, symbols.len())),
        (other, _) => {
            return Err(SymbolError::Unusable(format!(
                "PDB: it is of a program for {other}, and only x86 and amd64 are known"
            )));
        }
    };
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Windows,
        pointer_bytes,
        build_id: Some(id.clone()),
        banner: Vec::new(),
        release: String::new(),
    });
    let named = add_symbols(&mut builder, &symbols, wanted);
    let key = id.symbol_server_key().unwrap_or_default();
    match &types {
        Some(types) => {
            types.add_to(&mut builder, wanted)?;
            builder.provenance(format!("PDB {key}"));
        }
        // It may join a file of types; by itself it describes nothing.
        None if named => {
            builder.provenance(format!("public symbols of PDB {key}, which has no types"));
        }
        None => return Err(without_types(&id, symbols.len())),
    }
    Ok(builder)
}

/// Stream 1: version, signature, age, and from Visual C++ 7 on a GUID. Its age counts every writing
/// of the file; symbol servers and images go by the debug information's.
fn identity<'d>(
    pdb: &mut PDB<'d, File<'d>>,
    debug_age: Option<u32>,
) -> Result<BuildId, SymbolError> {
    let stream = pdb.raw_stream(IDENTITY).map_err(damaged)?;
    let bytes = stream.as_ref().map_or(&[][..], |stream| stream.as_slice());
    let word = |at: usize| {
        let word = bytes.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*word))
    };
    let short = || damaged("stream 1 is too short to name it");
    let (version, signature) = word(0).zip(word(4)).ok_or_else(short)?;
    let age = debug_age.or_else(|| word(8)).ok_or_else(short)?;
    if version <= LAST_WITHOUT_GUID {
        return Ok(BuildId::of_nb10(signature, age));
    }
    let guid = bytes.get(12..).and_then(|rest| rest.first_chunk::<16>());
    let guid = guid.ok_or_else(short)?;
    Ok(BuildId::of_rsds(*guid, age))
}

/// A public symbol: its name as the linker knows it, and bytes from the image's base.
pub(crate) type Public = (String, u32);

fn public_symbols<'d>(pdb: &mut PDB<'d, File<'d>>) -> Result<Vec<Public>, SymbolError> {
    let map = pdb.address_map().map_err(damaged)?;
    let table = pdb.global_symbols().map_err(damaged)?;
    let mut records = table.iter();
    let mut symbols = Vec::new();
    while let Some(record) = records.next().map_err(damaged)? {
        if !PUBLIC.contains(&record.raw_kind()) {
            continue;
        }
        // A symbol outside the sections has no place in the image: an absolute one.
        if let SymbolData::Public(symbol) = record.parse().map_err(damaged)?
            && let Some(place) = symbol.offset.to_rva(&map)
        {
            symbols.push((symbol.name.to_string().into_owned(), place.0));
        }
    }
    Ok(symbols)
}

/// Adds the wanted symbols by their names in C, and returns whether there are any. Where two symbols of different places have one such
/// name, the later one is called as the linker calls it.
pub(crate) fn add_symbols(
    builder: &mut ProfileBuilder,
    symbols: &[Public],
    wanted: Option<&Wanted>,
) -> bool {
    let narrow = builder.identity().pointer_bytes == 4;
    let names = wanted.map(|wanted| Names::new(wanted.symbols));
    let mut taken = HashMap::new();
    let mut any = false;
    for (linked, place) in symbols {
        let plain = if narrow { undecorated(linked) } else { linked };
        let name = match taken.entry(plain) {
            Entry::Vacant(free) => {
                free.insert(*place);
                plain
            }
            Entry::Occupied(other) if other.get() == place => continue,
            Entry::Occupied(_) => linked,
        };
        if names
            .as_ref()
            .is_none_or(|names| names.contains(name.as_bytes()))
        {
            builder.add_symbol(name, u64::from(*place));
            any = true;
        }
    }
    any
}

/// The name in C of a symbol of a 32-bit image: `_name` (cdecl), `_name@8` (stdcall) or `@name@8`
/// (fastcall); a name of C++ (`?…`) or assembler stays.
pub(crate) fn undecorated(linked: &str) -> &str {
    let without_bytes = linked
        .rsplit_once('@')
        .filter(|(name, bytes)| {
            name.len() > 1 && !bytes.is_empty() && bytes.bytes().all(|b| b.is_ascii_digit())
        })
        .map(|(name, _)| name);
    match linked.as_bytes().first() {
        Some(b'@') => without_bytes.and_then(|name| name.strip_prefix('@')),
        Some(b'_') => without_bytes.unwrap_or(linked).strip_prefix('_'),
        _ => None,
    }
    .unwrap_or(linked)
}

fn without_types(id: &BuildId, symbols: usize) -> SymbolError {
    let key = id.symbol_server_key().unwrap_or_default();
    SymbolError::Unusable(format!(
        "PDB {key} was stripped of its types: it has {symbols} public symbols and describes no \
         structure; the PDB of a kernel (ntoskrnl, ntkrnlmp, ntkrnlpa, ntkrpamp) describes them"
    ))
}

fn damaged(problem: impl std::fmt::Display) -> SymbolError {
    SymbolError::Unusable(format!("damaged PDB: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_the_calling_convention_adds() {
        for (linked, plain) in [
            ("_PsActiveProcessHead", "PsActiveProcessHead"),
            ("_NtClose@4", "NtClose"),
            (
                "@ExfInterlockedPopEntryList@8",
                "ExfInterlockedPopEntryList",
            ),
            ("__except_handler3", "_except_handler3"),
            ("?Gate@@YGXXZ", "?Gate@@YGXXZ"),
            ("ExecuteHandler@20", "ExecuteHandler@20"),
            ("@", "@"),
            ("_@4", "@4"),
            ("@name@", "@name@"),
            ("", ""),
        ] {
            assert_eq!(undecorated(linked), plain);
        }
    }
}
