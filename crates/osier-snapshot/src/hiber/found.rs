//! Compressed memory on its way out of a file.

use super::memory::Unit;
use crate::anomaly::Anomaly;

/// The most pages of a unit.
pub(super) const UNIT_PAGES: u64 = 16;

/// Compressed memory on its way out of a file.
#[derive(Default)]
pub(super) struct Found {
    pub(super) units: Vec<Unit>,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) anomalies: Vec<Anomaly>,
}
