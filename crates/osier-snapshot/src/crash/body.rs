//! What the reader of a dump's body gives.

use std::sync::Arc;

use osier_memory::{Hint, PhysicalMemory};

use crate::anomaly::Anomaly;

/// What a dump's body gives.
pub(super) struct Body {
    pub(super) memory: Arc<dyn PhysicalMemory>,
    pub(super) hints: Vec<Hint>,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) anomalies: Vec<Anomaly>,
}
