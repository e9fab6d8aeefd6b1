//! What the system has to do before the command `osier` runs.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use object::elf::{DT_NEEDED, ET_EXEC};
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Object as _, ObjectSection as _};

/// The program lies at a fixed address, and the loader opens the C library and no other: not libm, which has the
/// program's own functions in its place, nor `libgcc_s`, which LLD leaves out.
#[test]
fn the_loader_opens_the_c_library_alone() {
    let file = std::fs::read(env!("CARGO_BIN_EXE_osier")).unwrap();
    let program = ElfFile64::<object::Endianness>::parse(&*file).unwrap();
    let endian = program.elf_header().endian().unwrap();
    assert_eq!(program.elf_header().e_type(endian), ET_EXEC);
    let entries = program.elf_dynamic_table().unwrap();
    let needed: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.tag == DT_NEEDED)
        .map(|entry| std::str::from_utf8(entries.string(entry).unwrap()).unwrap())
        .collect();
    let linker = program.section_by_name(".comment").unwrap();
    let linker = linker.data().unwrap();
    let by_lld = linker.windows(3).any(|bytes| bytes == b"LLD");
    let allowed = |name: &&str| {
        name.starts_with("libc.so")
            || name.starts_with("ld-linux")
            || (!by_lld && name.starts_with("libgcc_s.so"))
            // The SQL engine has functions of its own that need it.
            || (cfg!(feature = "sql") && name.starts_with("libm.so"))
    };
    assert!(needed.iter().all(allowed), "{needed:?}");
}
