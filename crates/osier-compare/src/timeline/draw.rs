//! Lifetimes as lines of text.

use osier::SeenExt as _;
use std::fmt::Write as _;

use osier_text::visible_bytes;

use super::life::{Life, Mark};
use super::series::Timeline;

/// What marks are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glyphs {
    /// Letters of ASCII alone.
    pub ascii: bool,
    /// Whether to colour.
    pub colour: bool,
}

/// Columns of a name: what PANDA's `asidstory` gives it.
const NAME: usize = 20;
/// Columns of a pid and what stands around it and the bar.
const AROUND: usize = 12;
/// The least that a bar is given, however narrow the terminal.
const LEAST: usize = 10;

const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

impl Glyphs {
    fn of(self, mark: Mark) -> char {
        match (mark, self.ascii) {
            (Mark::Missing, _) => ' ',
            (Mark::Unknown, _) => '?',
            (Mark::There, true) => '-',
            (Mark::There, false) => '─',
            (Mark::Current, true) => '#',
            (Mark::Current, false) => '█',
        }
    }
}

/// A line for each process, by first appearance, no wider than `width` columns unless that leaves
/// too little: name, pid, and a bar with a cell for each snapshot. Where there are more snapshots
/// than cells, a cell shows the most that any of its snapshots says.
pub fn drawing(timeline: &Timeline, width: usize, glyphs: Glyphs) -> String {
    let room = width.saturating_sub(NAME.saturating_add(AROUND)).max(LEAST);
    let moments = timeline.moments.len();
    // Few snapshots have wide cells.
    let each = room.checked_div(moments).unwrap_or(1).clamp(1, 4);
    let cells = moments.min(room);
    let mut drawn = String::new();
    for life in &timeline.lives {
        let name: String = life.process.name.get().map_or_else(
            || "?".to_owned(),
            |name| visible_bytes(name).chars().take(NAME).collect(),
        );
        let pid = life.process.pid.value();
        let pid = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        let _ = write!(drawn, "{name:>NAME$} {pid:>7} [");
        for cell in 0..cells {
            let mark = strongest(life, cell, cells);
            let glyph = String::from(glyphs.of(mark)).repeat(each);
            if glyphs.colour && mark == Mark::Current {
                let _ = write!(drawn, "{GREEN}{glyph}{PLAIN}");
            } else {
                drawn.push_str(&glyph);
            }
        }
        drawn.push_str("]\n");
    }
    drawn
}

/// The most that any of the snapshots in this cell says.
fn strongest(life: &Life, cell: usize, cells: usize) -> Mark {
    let count = life.marks.len();
    let bound = |cell: usize| cell.saturating_mul(count).checked_div(cells).unwrap_or(0);
    let within = life.marks.get(bound(cell)..bound(cell.saturating_add(1)));
    let most = within.and_then(|within| within.iter().max());
    most.copied().unwrap_or(Mark::Missing)
}
