//! Hyper-V's saved machines, which are not read: what to say of them.
//!
//! `.vmrs` (2016 on) keeps blocks of memory, packed or not, in a database whose format Microsoft has
//! not written down; `.vsv` keeps the processors of 2008 to 2012 R2 likewise. The `.bin` beside a
//! `.vsv` is taken for raw memory. None of them has a mark that is known for certain, so it is the
//! name that tells.

use std::path::Path;

use crate::error::OpenError;

fn named(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|named| named.eq_ignore_ascii_case(extension))
}

/// Refuses `.vmrs` and `.vsv`.
///
/// # Errors
///
/// The file is one of them; what it can be converted with.
pub(crate) fn refuse(path: &Path) -> Result<(), OpenError> {
    let format = if named(path, "vmrs") {
        "a Hyper-V saved machine (.vmrs)"
    } else if named(path, "vsv") {
        "the processors of a Hyper-V saved machine (.vsv)"
    } else {
        return Ok(());
    };
    Err(OpenError::Unsupported {
        path: path.to_owned(),
        format,
        way_out: "convert the saved machine to a crash dump with Microsoft's vm2dmp or with LiveCloudKd; of a .bin and a .vsv, the .bin can be tried as raw memory",
    })
}

/// What to say of a `.bin` that is taken for raw memory.
pub(crate) fn hint(path: &Path) -> Option<String> {
    let state = path.with_extension("vsv");
    (named(path, "bin") && state.is_file()).then(|| {
        format!(
            "taken for raw memory; {} beside it holds the processors and is not read (vm2dmp and \
             LiveCloudKd make a crash dump of the two)",
            osier_text::path(&state)
        )
    })
}
