//! The tree of processes, as text and as a picture.

use std::fmt::Write as _;

use osier::order::tree;
use osier::{Process, SeenExt as _};
use osier_text::{markup, visible_bytes};
use pyo3::prelude::*;

use crate::poll::Poll;

/// Pixels of a line, and of a letter.
const LINE: usize = 18;
const LETTER: usize = 8;

/// The tree of processes. ``str()`` draws it as text, and a notebook shows it as SVG.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Tree(Vec<String>);

impl Tree {
    /// Walks the processes.
    pub(crate) fn of(py: Python<'_>, guest: &osier::Guest) -> PyResult<Self> {
        let mut poll = Poll::new();
        let lines = py.detach(|| {
            let mut rows = Vec::new();
            let ends = guest.provider().processes(&mut |row| {
                rows.push(row);
                poll.look()
            });
            let leaves = tree(&rows);
            let drawn = leaves.iter().filter_map(|leaf| {
                let row: &Process = rows.get(leaf.index)?;
                let name = row.name.get().map(|name| visible_bytes(name));
                let pid = row.pid.value().map(|pid| pid.to_string());
                let (name, pid) = (name.as_deref().unwrap_or("?"), pid.as_deref());
                Some(format!("{}{name} {}", leaf.branch, pid.unwrap_or("?")))
            });
            let mut lines: Vec<String> = drawn.collect();
            lines.extend(ends.bad().map(|(walk, end)| end.of(walk)));
            lines
        });
        poll.raised()?;
        Ok(Self(lines))
    }
}

#[pymethods]
impl Tree {
    fn __str__(&self) -> String {
        self.0.join("\n")
    }

    /// The drawing, as an SVG document.
    fn svg(&self) -> String {
        let widths = self.0.iter().map(|line| line.chars().count());
        let width = widths
            .max()
            .unwrap_or(0)
            .saturating_mul(LETTER)
            .saturating_add(LINE);
        let height = self.0.len().saturating_add(1).saturating_mul(LINE);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\">\n\
             <style>text{{font:13px monospace;white-space:pre}}</style>\n"
        );
        for (nth, line) in self.0.iter().enumerate() {
            let at = nth.saturating_add(1).saturating_mul(LINE);
            let _ = writeln!(svg, "<text x=\"8\" y=\"{at}\">{}</text>", markup(line));
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn _repr_svg_(&self) -> String {
        self.svg()
    }

    fn __repr__(&self) -> String {
        format!("<Tree of {} lines>", self.0.len())
    }
}
