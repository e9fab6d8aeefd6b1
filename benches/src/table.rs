//! Markdown tables.

use std::fmt::Write as _;

/// A table with a line of headings; the columns after the first are right-aligned but the last.
pub(crate) struct Table {
    width: usize,
    text: String,
}

impl Table {
    /// An empty table. `left` names the columns that hold words.
    pub(crate) fn new(headings: &[&str], left: &[&str]) -> Self {
        let rule = |name: &&str| if left.contains(name) { "---" } else { "--:" };
        let rules: Vec<&str> = headings.iter().map(rule).collect();
        Self {
            width: headings.len(),
            text: format!("| {} |\n|{}|\n", headings.join(" | "), rules.join("|")),
        }
    }

    /// Adds a line; missing cells are empty.
    pub(crate) fn line(&mut self, cells: &[String]) {
        let mut cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        cells.resize(self.width, "");
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    /// The table.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}
