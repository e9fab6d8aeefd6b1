//! The kernel of Windows XP SP3, PAE: types of version 19990903, and no machine in the header.

use osier_profile::{OsKind, Wanted};
use osier_symbols::{SymbolFile, everything, import_pdb, import_symbols};

use osier_testkit::need::Real;

pub(crate) fn the_xp_kernel_is_known(real: &Real) {
    let data = real.unpacked();
    assert_eq!(SymbolFile::detect(&data), Some(SymbolFile::Pdb));
    let profile = import_symbols(&data, everything).unwrap()[0]
        .clone()
        .build();
    let identity = profile.identity();
    assert_eq!((identity.os, identity.pointer_bytes), (OsKind::Windows, 4));
    let key = identity.build_id.as_ref().unwrap().symbol_server_key();
    assert_eq!(key.unwrap(), "30B5FB31AE7E4ACAABA750AA241FF3311");
    for (name, bytes) in [
        ("_EPROCESS", 608),
        ("_ETHREAD", 600),
        ("_KPROCESS", 108),
        ("_KTHREAD", 448),
    ] {
        assert_eq!(profile.find_type(name).unwrap().bytes, bytes, "{name}");
    }
    for (name, place) in [
        ("PsActiveProcessHead", 0x8_3158),
        ("PsLoadedModuleList", 0x7_cfc0),
        ("KdDebuggerDataBlock", 0x6_eae0),
    ] {
        assert_eq!(profile.symbol(name), Some(place), "{name}");
    }
    assert_eq!(profile.symbols().len(), 10_445);
}

pub(crate) fn only_what_is_wanted_is_kept(real: &Real) {
    let data = real.unpacked();
    let wanted = Wanted {
        types: &[&["_MMVAD", "_LIST_ENTRY"]],
        symbols: &[&["PsActiveProcessHead", "NtClose"]],
        constants: &[&["NtProductWinNt"]],
    };
    let profile = import_pdb(&data, Some(&wanted)).unwrap().build();
    let types: Vec<_> = profile.types().iter().map(|ty| ty.name.as_str()).collect();
    assert_eq!(types, ["_LIST_ENTRY", "_MMVAD", "_MMVAD.u", "_MMVAD.u2"]);
    let symbols: Vec<_> = profile.symbols().iter().map(|s| s.0.as_str()).collect();
    assert_eq!(symbols, ["NtClose", "PsActiveProcessHead"]);
    assert_eq!(profile.constants(), [("NtProductWinNt".to_owned(), 1)]);
}

pub(crate) fn a_pdb_without_types_gives_its_symbols_or_says_so(real: &Real) {
    let data = real.unpacked();
    let whole = import_pdb(&data, None).unwrap().build();
    assert!(whole.types().is_empty() && whole.symbols().len() > 11_000);
    let said = whole.provenance().concat();
    assert!(said.contains("has no types"), "{said}");
    // Of what a kernel is wanted for there is nothing.
    let wanted = Wanted {
        types: &[],
        symbols: &[&["PsActiveProcessHead"]],
        constants: &[],
    };
    let error = import_pdb(&data, Some(&wanted)).unwrap_err().to_string();
    let start = "PDB 17D8B8C647E14C1DAF9C6FC206AAAC512 was stripped of its types: it has 11997 ";
    assert!(error.starts_with(start), "{error}");
}
