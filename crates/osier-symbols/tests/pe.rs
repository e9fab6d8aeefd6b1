//! Windows images with DWARF, and files that describe one kernel together.
//!
//! The images were made of `data/nt.c` by Debian's MinGW (GCC 12, i686): `-g -gdwarf-4`, `-g -gdwarf-5
//! -Wl,--build-id`, and `-s`, each with `-nostdlib -Wl,--subsystem,native -Wl,--image-base,0x400000`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "tests"
)]

use osier_profile::{
    BuildId, Identity, Kind, OsKind, Profile, ProfileBuilder, Resolver, Type, TypeKind, UInt,
    Wanted,
};
use osier_symbols::{SymbolFile, everything, import_pe, import_symbols, join};

fn read(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

fn place(profile: &Profile, ty: &str, member: &str) -> (i64, u64, Option<(u8, u8)>) {
    let member = profile.find_type(ty).unwrap().member(member);
    let member = member.unwrap_or_else(|| panic!("{ty}"));
    (member.offset, member.bytes, member.bits)
}

#[test]
fn an_image_of_mingw_gives_its_types_and_symbols() {
    for name in ["nt-dwarf4.exe", "nt-dwarf5.exe"] {
        let data = read(name);
        assert_eq!(SymbolFile::detect(&data), Some(SymbolFile::Pe));
        let profile = import_symbols(&data, everything).unwrap().remove(0).build();
        let identity = profile.identity();
        assert_eq!((identity.os, identity.pointer_bytes), (OsKind::Windows, 4));
        for (ty, member, expected) in [
            ("_EPROCESS", "Pcb", (0, 24, None)),
            ("_EPROCESS", "CreateTime", (24, 8, None)),
            ("_EPROCESS", "ActiveProcessLinks", (44, 8, None)),
            ("_EPROCESS", "ImageFileName", (52, 16, None)),
            ("_EPROCESS", "Deep", (68, 4, Some((1, 5)))),
            ("_LARGE_INTEGER", "QuadPart", (0, 8, None)),
            ("_LARGE_INTEGER", "HighPart", (4, 4, None)),
            ("_KPCR", "Prcb", (0x20, 4, None)),
        ] {
            assert_eq!(
                place(&profile, ty, member),
                expected,
                "{name} {ty}.{member}"
            );
        }
        let prcb = profile.find_type("_KPCR").unwrap().member("Prcb").unwrap();
        assert!(matches!(&prcb.kind, Kind::Pointer { to } if to == "_KPRCB"));
        // A part that has no name but its member's, as a PDB's importer calls it.
        let resolver = Resolver::new(&profile);
        let offset = resolver.optional::<UInt>("_MEMORY_AREA", &["SectionData.ViewOffset"]);
        assert_eq!(
            offset.map(|field| (field.offset, field.bytes)),
            Some((16, 8))
        );
        // One inside another, as older ReactOS has it.
        let old = resolver.optional::<UInt>("_MEMORY_AREA", &["Data.SectionData.Old"]);
        assert_eq!(old.map(|field| field.offset), Some(36));
        let union = profile.find_type("_MMVAD.u1").unwrap();
        assert_eq!((union.kind, union.bytes), (TypeKind::Union, 4));
        // By their names in C, from the image's base.
        for (symbol, rva) in [
            ("PsActiveProcessHead", 0x5000),
            ("PsLoadedModuleList", 0x5008),
            ("NtClose", 0x1000),
            ("KfLower", 0x1014),
        ] {
            let found = profile.symbol(symbol);
            let placed = found.is_some_and(|at| at == rva || name.contains("dwarf5"));
            assert!(placed, "{name} {symbol}: {found:x?}");
        }
        assert_eq!(profile.constant("Gone"), Some(-1));
        // `--build-id` writes the record that a running image is known by.
        assert_eq!(identity.build_id.is_some(), name.contains("dwarf5"));
    }
}

#[test]
fn only_what_is_wanted_is_kept_and_its_parts() {
    let wanted = Wanted {
        types: &[&["_MEMORY_AREA"]],
        symbols: &[&["NtBuildNumber"]],
        constants: &[],
    };
    let profile = import_pe(&read("nt-dwarf4.exe"), Some(&wanted))
        .unwrap()
        .build();
    let types: Vec<_> = profile.types().iter().map(|ty| ty.name.as_str()).collect();
    let parts = ["Data", "Data.SectionData", "SectionData"];
    let parts = parts.map(|part| format!("_MEMORY_AREA.{part}"));
    assert_eq!(types[0], "_MEMORY_AREA");
    assert_eq!(types[1..], parts);
    assert_eq!(profile.symbols(), [("NtBuildNumber".to_owned(), 0x2000)]);
}

#[test]
fn an_image_without_debug_information_says_so() {
    let error = import_pe(&read("nt-stripped.exe"), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("no debug information of its own"), "{error}");
}

#[test]
fn a_damaged_image_is_an_error_or_less() {
    let whole = read("nt-dwarf5.exe");
    for length in (0..whole.len()).step_by(97) {
        let _ = import_symbols(&whole[..length], everything);
    }
    for at in (0..whole.len()).step_by(13) {
        let mut data = whole.clone();
        data[at] ^= 0x5a;
        let _ = import_symbols(&data, everything);
    }
}

/// A part of what is known of a kernel whose build is called by this letter.
fn part(build: u8, types: &[(&str, u64)], symbols: &[(&str, u64)]) -> Profile {
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Windows,
        pointer_bytes: 4,
        build_id: Some(BuildId(vec![build; 20])),
        banner: Vec::new(),
        release: String::new(),
    });
    for (name, bytes) in types {
        let ty = Type::new((*name).to_owned(), TypeKind::Struct, *bytes, Vec::new());
        builder.add_type(ty);
    }
    for (name, rva) in symbols {
        builder.add_symbol(*name, *rva);
    }
    builder.provenance(format!("build {}", char::from(build)));
    builder.build()
}

/// Public symbols name the kernel; the types beside them may be of another build, whose symbols are not.
#[test]
fn public_symbols_join_a_file_of_types() {
    let publics = part(b'a', &[], &[("PsActiveProcessHead", 0x1000)]);
    let types = part(
        b'b',
        &[("_EPROCESS", 0x260)],
        &[
            ("PsActiveProcessHead", 0x2000),
            ("PsLoadedModuleList", 0x3000),
        ],
    );
    let wanted = [("PsActiveProcessHead".to_owned(), 0x1000)];
    for parts in [
        vec![publics.clone(), types.clone()],
        vec![types.clone(), publics.clone()],
    ] {
        let joined = join(parts).unwrap().unwrap().build();
        assert_eq!(joined.identity().build_id, Some(BuildId(vec![b'a'; 20])));
        assert_eq!(joined.symbols(), wanted);
        assert!(joined.find_type("_EPROCESS").is_some());
        let told = joined.provenance().join("; ");
        assert!(
            told.contains("types alone, of another build: build b"),
            "{told}"
        );
    }
    // Of one build, or of none that is named, all is taken.
    let own = part(
        b'a',
        &[("_EPROCESS", 0x260)],
        &[("PsLoadedModuleList", 0x3000)],
    );
    let joined = join(vec![own, publics.clone()]).unwrap().unwrap().build();
    assert_eq!(joined.symbols().len(), 2);
    let mut wide = types.into_builder();
    wide.identity_mut().pointer_bytes = 8;
    let error = join(vec![publics, wide.build()]).unwrap_err().to_string();
    assert!(
        error.contains("64-bit") && error.contains("32-bit"),
        "{error}"
    );
    assert!(join(Vec::new()).unwrap().is_none());
}
