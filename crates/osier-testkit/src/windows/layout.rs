//! Layouts that every clone has: Windows 7 SP1 on x86, without and with PAE, ReactOS on x86, and what is
//! published of Windows 2000.

use osier_profile::{
    BuildId, Identity, Kind, Member, OsKind, Profile, ProfileBuilder, Type, TypeKind,
};

const COMMON: &str = include_str!("facts/win7_sp1_x86.layout");
const WIN2000: &str = include_str!("facts/win2000_sp4_x86.layout");
const WIN7: &str = "the published layout of Windows 7 SP1 x86";
const REACTOS: &str = include_str!("facts/reactos_x86.layout");
const ENTRIES: &str = include_str!("facts/win7_x86_pte.layout");
const ENTRIES_PAE: &str = include_str!("facts/win7_x86_pte_pae.layout");

/// Windows 7 SP1 x86 without PAE. Its GUID is made up.
pub fn win7_sp1_x86() -> Profile {
    profile(guid(0x7a), WIN7, &[COMMON, ENTRIES])
}

/// Windows 7 SP1 x86 with PAE. Its GUID is made up.
pub fn win7_sp1_x86_pae() -> Profile {
    profile(guid(0x7b), WIN7, &[COMMON, ENTRIES_PAE])
}

/// ReactOS on x86, without PAE. Its GUID is made up.
pub fn reactos_x86() -> Profile {
    let published = "the layout of ReactOS's public headers, x86";
    profile(guid(0x52), published, &[REACTOS, ENTRIES])
}

/// Windows 2000 SP4 x86, without PAE. Its PDB's signature, by which kernels of that age name their
/// PDBs, is made up.
pub fn win2000_sp4_x86() -> Profile {
    const SIGNATURE: u32 = 0x3ee6_50b3;
    let published = "the published layout of Windows 2000 SP4 x86";
    profile(
        BuildId::of_nb10(SIGNATURE, 1),
        published,
        &[WIN2000, ENTRIES],
    )
}

fn guid(digits: u8) -> BuildId {
    BuildId([vec![digits; 16], vec![0, 0, 0, 1]].concat())
}

fn profile(id: BuildId, published: &str, texts: &[&str]) -> Profile {
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Windows,
        pointer_bytes: 4,
        build_id: Some(id),
        banner: Vec::new(),
        release: String::new(),
    });
    builder.provenance(published);
    // A machine that is made here has no types beside these.
    builder.set_whole();
    let types = || texts.iter().flat_map(|text| blocks(text));
    let sizes: Vec<(&str, u64)> = types().map(|(name, bytes, _)| (name, bytes)).collect();
    for (name, bytes, rows) in types() {
        let members = rows.iter().map(|row| member(row, &sizes)).collect();
        let ty = Type::new(name.to_owned(), TypeKind::Struct, bytes, members);
        builder.add_type(ty);
    }
    for line in texts.iter().flat_map(|text| text.lines()) {
        if let Some(symbol) = line.strip_prefix("= ") {
            let (name, rva) = symbol.split_once(' ').expect("a name and a number");
            builder.add_symbol(name, number(rva));
        }
    }
    builder.build()
}

/// Name, size and member lines of each structure.
fn blocks(text: &str) -> Vec<(&str, u64, Vec<&str>)> {
    let mut blocks: Vec<(&str, u64, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        if let Some(row) = line.strip_prefix("  ") {
            blocks.last_mut().expect("a structure").2.push(row);
        } else if line.starts_with('_') {
            let (name, bytes) = line.split_once(' ').expect("a name and a size");
            blocks.push((name, number(bytes), Vec::new()));
        }
    }
    blocks
}

fn member(row: &str, sizes: &[(&str, u64)]) -> Member {
    let mut words = row.split(' ');
    let mut word = || words.next().expect("name, offset and kind");
    let (name, offset, held) = (word(), word(), word());
    let parts: Vec<&str> = held.split(':').collect();
    let int = |signed| Kind::Int { signed };
    let (kind, bytes, bits) = match parts.as_slice() {
        ["u8", count] => {
            let (of, count) = (Box::new(int(false)), count.parse().expect("a count"));
            (Kind::Array { of, count }, count, None)
        }
        ["u8"] => (int(false), 1, None),
        ["u16"] => (int(false), 2, None),
        ["i16"] => (int(true), 2, None),
        ["u32"] => (int(false), 4, None),
        ["i32"] => (int(true), 4, None),
        ["i64"] => (int(true), 8, None),
        ["ptr", to @ ..] => {
            let to = to.first().copied().unwrap_or_default().to_owned();
            (Kind::Pointer { to }, 4, None)
        }
        ["in", name] => {
            let size = sizes.iter().find(|(other, _)| other == name);
            let (_, bytes) = size.unwrap_or_else(|| panic!("no structure {name}"));
            let name = (*name).to_owned();
            (Kind::Embedded { name }, *bytes, None)
        }
        ["bits", first, count, bytes] => {
            let number = |text: &str| text.parse().expect("a number");
            let bits = (number(first), number(count));
            (int(false), u64::from(number(bytes)), Some(bits))
        }
        _ => panic!("what is {held}?"),
    };
    Member {
        name: name.to_owned(),
        offset: i64::try_from(number(offset)).expect("an offset"),
        bytes,
        bits,
        kind,
    }
}

fn number(text: &str) -> u64 {
    let digits = text.trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text} is no number"))
}
