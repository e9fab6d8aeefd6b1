//! YARA's rules.

use std::path::PathBuf;

pub(super) use osier::search::{Rules, search_rules as search};

use crate::failure::Usage;

/// The rules in these files.
pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Rules>> {
    let read = |file: &PathBuf| {
        let rules = Rules::of_file(file);
        rules.map_err(|error| Usage(error.to_string()).into())
    };
    files.iter().map(read).collect()
}
