//! What is no file here.

use std::path::Path;

/// Whether this is the address of something that is no file here.
pub(crate) fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains("://"))
}
