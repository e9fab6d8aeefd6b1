//! YARA's rules, in a build without what reads them.

use std::path::PathBuf;
use std::time::Instant;

use osier::search::{Scope, Searched, Tell};

use crate::failure::Usage;

/// Nothing can be read.
pub(super) enum Rules {}

/// An error, when there are any.
pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Rules>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let wrong =
        "--yara: this osier was built without the feature `yara`; build it with --features yara";
    Err(Usage(wrong.to_owned()).into())
}

pub(super) fn search(
    _: &Scope<'_>,
    rules: &Rules,
    _: Option<Instant>,
    _: &mut Tell<'_>,
) -> Searched {
    match *rules {}
}
