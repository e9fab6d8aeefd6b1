//! Two rows of the same thing, field by field.

use osier::Why;
use osier::tables::{Cell, Row};

use crate::event::cell;

pub(super) const EARLIER: &str = "earlier";
pub(super) const LATER: &str = "later";

/// Those of `fields` that both rows know and that differ. That there is nothing to have is known;
/// a lost value is not.
pub(super) fn changed(
    before: &dyn Row,
    after: &dyn Row,
    fields: &[&'static str],
) -> Vec<&'static str> {
    let differs = |field: &&&'static str| match (cell(before, field), cell(after, field)) {
        (Some(Cell::Absent(_)), Some(Cell::Absent(_))) => false,
        (Some(was), Some(now)) => is_known(&was) && is_known(&now) && was != now,
        _ => false,
    };
    fields.iter().filter(differs).copied().collect()
}

/// Why `fields` cannot be compared: each that was lost, on which side, and why.
pub(super) fn lost(before: &dyn Row, after: &dyn Row, fields: &[&'static str]) -> Vec<String> {
    let mut reasons = Vec::new();
    for field in fields {
        for (side, row) in [(EARLIER, before), (LATER, after)] {
            if let Some(Cell::Absent(absent)) = cell(row, field)
                && absent.is_loss()
            {
                let why = absent.to_string();
                reasons.push(format!("{field} of the {side} snapshot: {why}"));
            }
        }
    }
    reasons
}

/// Whether a value, or its absence, is known: not when it was lost or is not kept.
fn is_known(cell: &Cell<'_>) -> bool {
    match cell {
        Cell::Absent(absent) => matches!(absent.why, Why::NotApplicable(_)),
        _ => true,
    }
}

/// The path without what the kernel says of an unlinked file.
pub(super) fn undeleted(path: &[u8]) -> &[u8] {
    path.strip_suffix(b" (deleted)").unwrap_or(path)
}
