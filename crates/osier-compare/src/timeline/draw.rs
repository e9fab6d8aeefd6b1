//! Lifetimes as lines of text.

use std::fmt::Write as _;

use super::life::Mark;
use super::lines::{Line, cut, lines, names, times};
use super::series::Timeline;
use crate::diff::Turn;

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
/// Snapshots that are named below the bars; of more the first and the last are.
const NAMED: usize = 20;
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

    fn turn(self, turn: Turn) -> char {
        match (turn, self.ascii) {
            (Turn::Executed, true) => 'X',
            (Turn::Executed, false) => '◆',
            (Turn::Renamed, true) => 'r',
            (Turn::Renamed, false) => '○',
            (Turn::Exited, true) => 'z',
            (Turn::Exited, false) => '×',
        }
    }

    /// What each mark means.
    fn legend(self) -> Vec<String> {
        let marks = [
            (self.of(Mark::There), "there"),
            (self.of(Mark::Current), "runs"),
            (self.of(Mark::Unknown), "may have been missed"),
            (self.turn(Turn::Executed), "executed another program"),
            (self.turn(Turn::Renamed), "renamed"),
            (self.turn(Turn::Exited), "exited"),
        ];
        marks
            .map(|(glyph, means)| format!("{glyph} {means}"))
            .into()
    }
}

/// A line for each process, by first appearance, no wider than `width` columns unless that leaves
/// too little: name, pid, and a bar with a cell for each snapshot. Threads of the kernel are one line. Where there are
/// more snapshots than cells, a cell shows the most that any of its snapshots says. Above stand the numbers of snapshots,
/// below what the marks mean, and what each snapshot is called with the guest's own time.
pub fn drawing(timeline: &Timeline, width: usize, glyphs: Glyphs) -> String {
    let room = width.saturating_sub(NAME.saturating_add(AROUND)).max(LEAST);
    let moments = timeline.moments.len();
    // Few snapshots have wide cells.
    let each = room.checked_div(moments).unwrap_or(1).clamp(1, 4);
    let cells = moments.min(room);
    let more = if glyphs.ascii { '~' } else { '…' };
    let mut drawn = numbers(moments, cells, each);
    for line in lines(timeline) {
        let (name, pid) = (cut(&line.name, NAME, more), &line.pid);
        let _ = write!(drawn, "{name:>NAME$} {pid:>7} [");
        for cell in 0..cells {
            let (mark, turn) = strongest(&line, cell, cells);
            let mut glyph = String::from(glyphs.of(mark)).repeat(each);
            if let Some(turn) = turn {
                let rest = glyph.chars().skip(1).collect::<String>();
                glyph = format!("{}{rest}", glyphs.turn(turn));
            }
            if glyphs.colour && mark == Mark::Current {
                let _ = write!(drawn, "{GREEN}{glyph}{PLAIN}");
            } else {
                drawn.push_str(&glyph);
            }
        }
        drawn.push_str("]\n");
    }
    drawn.push('\n');
    wrapped(&glyphs.legend(), width, &mut drawn);
    moments_of(timeline, width, more, &mut drawn);
    drawn
}

/// The numbers of snapshots above their cells, as many as there is room for.
fn numbers(moments: usize, cells: usize, each: usize) -> String {
    let mut line = " ".repeat(NAME.saturating_add(AROUND).saturating_sub(2));
    let left = line.len();
    for moment in 0..moments {
        let cell = moment
            .saturating_mul(cells)
            .checked_div(moments)
            .unwrap_or(0);
        let at = left.saturating_add(cell.saturating_mul(each));
        let number = moment.saturating_add(1).to_string();
        let end = cells.saturating_mul(each).saturating_add(left);
        if (at > line.len() || line.len() == left && moment == 0)
            && at.saturating_add(number.len()) <= end
        {
            line.push_str(&" ".repeat(at.saturating_sub(line.len())));
            line.push_str(&number);
        }
    }
    line.push('\n');
    line
}

/// Words one behind the other, in lines of `width` columns.
fn wrapped(words: &[String], width: usize, into: &mut String) {
    let mut used = 0_usize;
    for word in words {
        let columns = word.chars().count();
        if used > 0 && used.saturating_add(columns).saturating_add(3) > width {
            into.push('\n');
            used = 0;
        }
        if used > 0 {
            into.push_str("   ");
            used = used.saturating_add(3);
        }
        into.push_str(word);
        used = used.saturating_add(columns);
    }
    into.push('\n');
}

/// What each snapshot is called, and what the guest's clock showed.
fn moments_of(timeline: &Timeline, width: usize, more: char, into: &mut String) {
    let all = timeline.moments.len();
    let digits = all.to_string().len();
    let each = names(timeline).into_iter().zip(times(timeline)).enumerate();
    for (at, (name, time)) in each {
        let number = at.saturating_add(1);
        if all > NAMED && at > 0 && number < all {
            if at == 1 {
                let _ = writeln!(into, "{more:>digits$}  and so on");
            }
            continue;
        }
        let time = time.map_or_else(
            || "clock not known".to_owned(),
            |(date, time)| format!("{date}T{time}Z"),
        );
        let room = width.saturating_sub(digits.saturating_add(time.len()).saturating_add(4));
        let _ = writeln!(
            into,
            "{number:>digits$}  {time}  {}",
            cut(&name, room.max(LEAST), more)
        );
    }
}

/// The most that any of the snapshots in this cell says, and what became of the program in one of them.
fn strongest(line: &Line, cell: usize, cells: usize) -> (Mark, Option<Turn>) {
    let count = line.marks.len();
    let bound = |cell: usize| cell.saturating_mul(count).checked_div(cells).unwrap_or(0);
    let within = bound(cell)..bound(cell.saturating_add(1));
    let turn = line.turns.iter().find(|(at, _)| within.contains(at));
    let most = line.marks.get(within.clone());
    let most = most.and_then(|within| within.iter().max());
    (
        most.copied().unwrap_or(Mark::Missing),
        turn.map(|(_, turn)| *turn),
    )
}
