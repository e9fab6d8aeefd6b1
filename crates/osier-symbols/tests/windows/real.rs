//! Real symbols of Windows: PDBs and the profiles that others made of PDBs, held against one another.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod damaged;
mod isf;
mod kernel_pdb;
mod members;
mod rekall;

use std::fs;
use std::path::PathBuf;

use osier_testkit::need::{self, Real};

const XP_KERNEL: &str =
    "windows/pdb/winxp-sp3-x86pae-ntkrnlpa-30B5FB31AE7E4ACAABA750AA241FF331-1.pdb.zst";
const XP_NTDLL: &str = "windows/pdb/winxp-sp3-x86-ntdll-36515FB5D04345E491F672FA2E2878C0-2.pdb.zst";
const STRIPPED: &str =
    "windows/pdb/win7-sp1-x86-kernel32-17D8B8C647E14C1DAF9C6FC206AAAC51-2.pdb.zst";
/// Those whose types LLVM reads.
const NTDLLS: [&str; 3] = [
    "windows/pdb/win7-sp1-x86-ntdll-E3C1142BAD004AB1A930386A8D557B99-2.pdb.zst",
    "windows/pdb/win7-sp1-x64-ntdll-9D04EB0AA387494FBD81ED062072B99C-2.pdb.zst",
    "windows/pdb/win10-2004_22H2-x64-ntdll-96EF4ED537402DAAA51D4A4212EA4B2C-1.pdb.zst",
];

osier_testkit::trials! {
    need::file("windows/isf") => isf::every_windows_isf_is_read, rekall::every_rekall_profile_is_read;
    need::file(XP_KERNEL) =>
        kernel_pdb::the_xp_kernel_is_known, kernel_pdb::only_what_is_wanted_is_kept,
        members::pdb2_reads_the_same_of_the_xp_kernel;
    need::file(STRIPPED) => kernel_pdb::a_pdb_without_types_gives_its_symbols_or_says_so;
    need::each(need::file, &NTDLLS) => members::pdb2_reads_the_same_of_an_ntdll;
    need::file(XP_NTDLL) =>
        members::pdb2_reads_the_same_of_an_ntdll, damaged::a_pdb_cut_short_is_an_error,
        damaged::flipped_bits_do_no_harm;
    NTDLLS.map(|name| need::file(name).and(need::program("llvm-pdbutil"))) =>
        members::llvm_reads_the_same_of_an_ntdll;
}

/// The files of the folder, by name.
fn files(real: &Real) -> Vec<PathBuf> {
    let entries = fs::read_dir(&real.path).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
