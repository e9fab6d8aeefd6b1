//! What the reader of a format is given.

use std::path::Path;

use crate::data::Data;
use crate::snapshot::OpenOptions;

/// A file on its way to the reader of its format.
pub(crate) struct Input<'a> {
    pub(crate) path: &'a Path,
    pub(crate) data: Data,
    pub(crate) options: &'a OpenOptions,
}
