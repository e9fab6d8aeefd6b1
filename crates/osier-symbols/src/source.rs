//! Which kind of symbol file bytes are, and reading whichever it is.

use std::io::Read;

use osier_profile::{Identity, Member, OsKind, Profile, ProfileBuilder, Wanted};

use crate::btf::{Btf, BtfError};
use crate::{
    SymbolError, btf_damage, cabinet, import_elf, import_kernelinfo, import_pdb, import_pe,
    import_system_map, isf, parse_kernelinfo, pdb, pe, rekall, system_map,
};

/// The most that a compressed file may hold.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;

/// A kind of symbol file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SymbolFile {
    /// A profile file of this project.
    Profile,
    /// An ELF file: `vmlinux`, with DWARF or without.
    Elf,
    /// A Windows image with DWARF, as MinGW makes them.
    Pe,
    /// BTF by itself, such as `/sys/kernel/btf/vmlinux`.
    Btf,
    /// A Windows program database.
    Pdb,
    /// A Windows program database in a cabinet, as symbol servers compress it (`.pd_`).
    PdbCab,
    /// Volatility 3's ISF.
    Isf,
    /// ISF, compressed with xz.
    IsfXz,
    /// A Rekall profile.
    Rekall,
    /// System.map, or the text of `/proc/kallsyms`.
    SystemMap,
    /// PANDA's `kernelinfo.conf`.
    Kernelinfo,
}

impl SymbolFile {
    /// Recognises a file by its content; `None` for anything else.
    pub fn detect(data: &[u8]) -> Option<Self> {
        let begins = |magic: &[u8]| data.starts_with(magic);
        if begins(b"OSIERPRF") {
            return Some(Self::Profile);
        }
        if begins(b"\x7fELF") {
            // `e_type` 4: a core is memory, and no file of symbols.
            let core = data.get(16).zip(data.get(17)) == Some((&4, &0));
            return (!core).then_some(Self::Elf);
        }
        if pe::looks_like(data) {
            return Some(Self::Pe);
        }
        if begins(&[0x9f, 0xeb]) {
            return Some(Self::Btf);
        }
        if pdb::looks_like(data) {
            return Some(Self::Pdb);
        }
        if begins(cabinet::MAGIC) {
            return Some(Self::PdbCab);
        }
        if begins(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            return Some(Self::IsfXz);
        }
        if system_map::looks_like(data) {
            return Some(Self::SystemMap);
        }
        let first = data.trim_ascii_start().first()?;
        match first {
            b'{' if rekall::looks_like(data) => Some(Self::Rekall),
            b'{' => Some(Self::Isf),
            b'[' | b'#' => parse_kernelinfo(data)
                .is_ok_and(|groups| !groups.is_empty())
                .then_some(Self::Kernelinfo),
            _ => None,
        }
    }
}

/// What to keep of a kernel of each operating system; `None` keeps everything.
pub type WantedOf = fn(OsKind) -> Option<&'static Wanted>;

/// The [`WantedOf`] that keeps everything.
pub fn everything(_: OsKind) -> Option<&'static Wanted> {
    None
}

/// Reads a symbol file of any kind, and keeps what is wanted of its operating system. A
/// `kernelinfo.conf` may hold many kernels, and gives one
/// builder per group; everything else gives one.
///
/// # Errors
///
/// A kind that is not known, or a damaged file.
pub fn import_symbols(data: &[u8], wanted: WantedOf) -> Result<Vec<ProfileBuilder>, SymbolError> {
    let kind = SymbolFile::detect(data).ok_or_else(|| {
        SymbolError::Unusable(
            "no symbol file that is known: neither profile, ELF, PE with DWARF, BTF, PDB (.pdb, .pd_), ISF or \
             Rekall (.json, .json.xz), System.map nor kernelinfo.conf"
                .to_owned(),
        )
    })?;
    let linux = wanted(OsKind::Linux);
    let one = match kind {
        SymbolFile::Profile => Profile::from_bytes(data)
            .map_err(|error| SymbolError::Unusable(error.to_string()))?
            .0
            .into_builder(),
        SymbolFile::Elf => import_elf(data, linux)?,
        SymbolFile::Pe => import_pe(data, wanted(OsKind::Windows))?,
        SymbolFile::Btf => import_btf(data, linux)?,
        SymbolFile::Pdb => import_pdb(data, wanted(OsKind::Windows))?,
        SymbolFile::PdbCab => {
            let pdb = cabinet::unpack(data, MAX_UNPACKED_BYTES)?;
            import_pdb(&pdb, wanted(OsKind::Windows))?
        }
        SymbolFile::Rekall => rekall::import(data, wanted(OsKind::Windows))?,
        SymbolFile::Isf => isf::import(data, wanted)?,
        SymbolFile::IsfXz => isf::import(&unpack(data)?, wanted)?,
        SymbolFile::SystemMap => import_system_map(data, linux)?,
        SymbolFile::Kernelinfo => {
            let groups = parse_kernelinfo(data)?;
            return groups.iter().map(import_kernelinfo).collect();
        }
    };
    match kind {
        // A profile may be made by hand, with members relative to others.
        SymbolFile::Profile => Ok(vec![one]),
        _ => Ok(vec![held(one)?]),
    }
}

/// Holds structures against their members, which end where they do or before.
fn held(builder: ProfileBuilder) -> Result<ProfileBuilder, SymbolError> {
    let profile = builder.build();
    for ty in profile.types().iter().filter(|ty| ty.bytes > 0) {
        let ends_behind = |member: &&Member| {
            let offset = u64::try_from(member.offset).unwrap_or(0);
            // A bit field's storage unit may reach past the end of a packed structure.
            member.bits.is_none() && offset.saturating_add(member.bytes) > ty.bytes
        };
        if let Some(member) = ty.members().iter().find(ends_behind) {
            return Err(SymbolError::Unusable(format!(
                "damaged: {} has {} bytes, and its member {} lies at {} and has {}",
                ty.name, ty.bytes, member.name, member.offset, member.bytes
            )));
        }
    }
    Ok(profile.into_builder())
}

/// Adds what `other` has to `builder`, which keeps its own where both have a name. What `builder`
/// does not know of its kernel (build id, banner, release, head of the text) it learns.
pub fn merge(builder: &mut ProfileBuilder, other: &Profile) {
    let theirs = other.identity();
    let identity = builder.identity_mut();
    if identity.build_id.is_none() {
        identity.build_id.clone_from(&theirs.build_id);
    }
    if identity.banner.is_empty() {
        identity.banner.clone_from(&theirs.banner);
    }
    if identity.release.is_empty() {
        identity.release.clone_from(&theirs.release);
    }
    if !other.text_head().is_empty() {
        builder.set_text_head(other.text_head().to_vec());
    }
    for ty in other.types() {
        builder.add_type(ty.clone());
    }
    for (name, value) in other.symbols() {
        builder.add_symbol(name.as_str(), *value);
    }
    for (name, value) in other.constants() {
        builder.add_constant(name.as_str(), *value);
    }
    for line in other.provenance() {
        builder.provenance(line.as_str());
    }
    for line in other.damage() {
        builder.damaged(line.as_str());
    }
    if other.is_whole() {
        builder.set_whole();
    }
}

/// What `parts` say together of one kernel: an earlier one counts before a later one. `None` where there is
/// none.
///
/// A file of a Windows build's public symbols alone names the kernel: of parts that name another build only
/// the types and enumerators are taken, for their symbols lie elsewhere.
///
/// # Errors
///
/// Types of pointers of another width than the kernel's.
pub fn join(mut parts: Vec<Profile>) -> Result<Option<ProfileBuilder>, SymbolError> {
    let names_it = |part: &Profile| {
        let identity = part.identity();
        let bare = part.types().is_empty() && !part.symbols().is_empty();
        identity.os == OsKind::Windows && bare && identity.build_id.is_some()
    };
    let namer = parts.iter().position(names_it);
    if parts.is_empty() {
        return Ok(None);
    }
    let first = parts.remove(namer.unwrap_or(0));
    let own = first.identity().clone();
    let mut builder = first.into_builder();
    for part in parts {
        let theirs = part.identity();
        let other = theirs.build_id.is_some() && theirs.build_id != own.build_id;
        if namer.is_none() || !other {
            merge(&mut builder, &part);
            continue;
        }
        if theirs.pointer_bytes != own.pointer_bytes {
            let bits = |bytes: u8| bytes.saturating_mul(8);
            return Err(SymbolError::Unusable(format!(
                "its types are of a {}-bit kernel, and the symbols beside it of a {}-bit one",
                bits(theirs.pointer_bytes),
                bits(own.pointer_bytes)
            )));
        }
        for ty in part.types() {
            builder.add_type(ty.clone());
        }
        for (name, value) in part.constants() {
            builder.add_constant(name.as_str(), *value);
        }
        for line in part.provenance() {
            builder.provenance(format!("types alone, of another build: {line}"));
        }
    }
    Ok(Some(builder))
}

fn import_btf(data: &[u8], wanted: Option<&Wanted>) -> Result<ProfileBuilder, SymbolError> {
    let unusable = |error: BtfError| SymbolError::Unusable(error.to_string());
    let btf = Btf::of(data).map_err(unusable)?;
    // A file can be fetched again, a machine cannot.
    if let Some(damage) = btf_damage::of(&btf, wanted).into_iter().next() {
        return Err(SymbolError::Unusable(damage));
    }
    let types = btf.collect(wanted).map_err(unusable)?;
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Linux,
        pointer_bytes: types.pointer_bytes,
        build_id: None,
        banner: Vec::new(),
        release: String::new(),
    });
    types.add_to(&mut builder);
    builder.provenance("BTF of a file");
    Ok(builder)
}

fn unpack(data: &[u8]) -> Result<Vec<u8>, SymbolError> {
    let malformed = |problem: String| SymbolError::Malformed {
        format: "xz",
        offset: 0,
        problem,
    };
    let mut json = Vec::new();
    let limit = MAX_UNPACKED_BYTES.saturating_add(1);
    liblzma::read::XzDecoder::new(data)
        .take(limit)
        .read_to_end(&mut json)
        .map_err(|error| malformed(error.to_string()))?;
    if json.len() as u64 >= limit {
        return Err(malformed("more than 1 GiB".to_owned()));
    }
    Ok(json)
}
