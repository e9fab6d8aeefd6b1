//! Compressed memory on its way out of a file.

use super::memory::Unit;
use crate::anomaly::Anomaly;

/// The most pages of a unit.
pub(super) const UNIT_PAGES: u64 = 16;
/// The most pages that a processor can address, by 52 bits.
pub(super) const PAGES_MAX: u64 = 1 << 40;

/// Compressed memory on its way out of a file.
#[derive(Default)]
pub(super) struct Found {
    pub(super) units: Vec<Unit>,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) anomalies: Vec<Anomaly>,
}
