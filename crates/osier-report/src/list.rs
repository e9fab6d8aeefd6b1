//! One list: rows that come one by one and become a table, with what is lost in it and how it ended below.

use std::fmt::Write as _;

use osier::format::Style;
use osier::tables::{Cell, Cells, Column, Columns, Kind};
use osier::{WalkEnd, WalkEnds};
use osier_text::markup;

use crate::bounds::Bounds;
use crate::links::Links;

/// Reasons of losses, and endings, that are told below one list.
const REASONS: usize = 20;

/// How values look: as in the terminal's table, uncut.
const STYLE: Style = Style {
    pointer_bytes: 0,
    colour: false,
    wide: true,
    ascii: false,
    width: None,
    leave_out: false,
};

/// Letters of a value that may be broken.
const LONG: usize = 48;

/// Columns of pids, which lead to the process.
const PIDS: [&str; 3] = ["pid", "ppid", "tracer"];

/// A list that grows.
pub(crate) struct List<'a> {
    columns: Columns,
    /// Which of the columns are shown.
    shown: Vec<bool>,
    hidden: &'static [&'static str],
    bounds: &'a Bounds,
    links: &'a Links,
    body: String,
    /// Rows that came.
    pub(crate) rows: usize,
    drawn: usize,
    /// Values that are lost in them.
    pub(crate) lost: usize,
    losses: Losses,
    ends: WalkEnds,
    late: bool,
}

impl<'a> List<'a> {
    /// A list of rows without the columns `hidden`.
    pub(crate) fn new(
        hidden: &'static [&'static str],
        bounds: &'a Bounds,
        links: &'a Links,
    ) -> Self {
        Self {
            columns: Columns::of(&[]),
            shown: Vec::new(),
            hidden,
            bounds,
            links,
            body: String::new(),
            rows: 0,
            drawn: 0,
            lost: 0,
            losses: Losses::default(),
            ends: WalkEnds::default(),
            late: false,
        }
    }

    /// Takes the columns of the first row's kind: of several that answer a question, a guest has one.
    fn begin(&mut self, row: &Cells<'_>) {
        self.columns = Columns::of(&[row.table]);
        let (hidden, wide) = (self.hidden, self.bounds.wide);
        let shown = |column: &Column| (column.brief || wide) && !hidden.contains(&column.name);
        self.shown = self.columns.iter().map(shown).collect();
    }

    /// Adds a row; behind the last that there is room for they are counted alone.
    pub(crate) fn row(&mut self, row: &Cells<'_>) {
        if self.rows == 0 {
            self.begin(row);
        }
        self.rows = self.rows.saturating_add(1);
        let lost = row.losses();
        if lost > 0 {
            self.lost = self.lost.saturating_add(lost);
            self.losses.note(row);
        }
        if self.drawn < self.rows.saturating_sub(1)
            || self.drawn >= self.bounds.rows
            || self.body.len() >= self.bounds.bytes
        {
            return;
        }
        self.drawn = self.rows;
        self.body.push_str("<tr>");
        let cells = self.columns.cells(row);
        for ((column, cell), shown) in self.columns.iter().zip(cells).zip(&self.shown) {
            if *shown {
                data(
                    column,
                    cell.unwrap_or(&Cell::Null),
                    self.links,
                    &mut self.body,
                );
            }
        }
        self.body.push_str("</tr>\n");
    }

    /// Says how its walks ended.
    pub(crate) fn end(&mut self, ends: WalkEnds) {
        self.ends.join(ends);
    }

    /// Says that the limit of time ended it.
    pub(crate) fn late(&mut self) {
        self.late = true;
    }

    /// Whether the last row that came is shown.
    pub(crate) const fn is_drawn(&self) -> bool {
        self.drawn == self.rows
    }

    /// Whether there is nothing to show of it: no rows, and no ending that is not good.
    pub(crate) fn is_nothing(&self) -> bool {
        self.rows == 0 && !self.late && answered(&self.ends).next().is_none()
    }

    /// Writes the table under `name`, by which a row's list is known, with `caption` for who does not see it. `more`
    /// is the command that shows all rows.
    pub(crate) fn finish(self, name: &str, caption: &str, more: &str, into: &mut String) {
        let caption = markup(caption);
        if self.rows > 0 {
            let _ = write!(
                into,
                "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\">\
                 <table data-list=\"{name}\"><thead><tr>"
            );
            for (column, shown) in self.columns.iter().zip(&self.shown) {
                if *shown {
                    let class = attribute(class(column));
                    let _ = write!(into, "<th scope=\"col\"{class}>{}</th>", column.name);
                }
            }
            into.push_str("</tr></thead>\n<tbody>\n");
            into.push_str(&self.body);
            into.push_str("</tbody></table></div>\n");
        } else if self.ends.bad().next().is_none() && !self.late {
            into.push_str("<p class=\"dim\">None.</p>\n");
        }
        let left = self.rows.saturating_sub(self.drawn);
        if left > 0 {
            let _ = writeln!(
                into,
                "<p class=\"cut\">{} more not shown here: <code>{}</code> lists them all.</p>",
                plural(left, "row"),
                markup(more)
            );
        }
        self.losses.tell(self.lost, into);
        tell_ends(&self.ends, into);
        if self.late {
            into.push_str(LATE);
        }
    }

    /// Whether values are lost in it, or it did not end well.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.lost > 0 || self.late || answered(&self.ends).next().is_some()
    }

    /// Shows none of its rows, which stay counted.
    pub(crate) fn leave_out(&mut self) {
        self.body = String::new();
        self.drawn = 0;
    }

    /// The markup of the rows and what is said below them, by which lists are known to be the same.
    pub(crate) fn content(&self) -> (&str, &WalkEnds) {
        (&self.body, &self.ends)
    }
}

/// What stands where the limit of time ended a list.
pub(crate) const LATE: &str =
    "<p class=\"bad\"><b>Stopped.</b> The limit of time was over before this list ended.</p>\n";

/// What stands where nobody answers a question of the system.
pub(crate) const UNANSWERED: &str =
    "<p class=\"dim\">Osier does not answer this of this system yet.</p>\n";

/// Endings that are not good, but for those of what nobody answers of this system.
fn answered(ends: &WalkEnds) -> impl Iterator<Item = (&'static str, &WalkEnd)> {
    ends.bad().filter(|(_, end)| **end != WalkEnd::NotAnswered)
}

/// Says which walks did not end well, and what nobody answers.
pub(crate) fn tell_ends(ends: &WalkEnds, into: &mut String) {
    if ends.bad().any(|(_, end)| *end == WalkEnd::NotAnswered) {
        into.push_str(UNANSWERED);
    }
    // What every process lacks alike is told once.
    let mut told: Vec<(String, usize)> = Vec::new();
    let mut others = 0_usize;
    for (walk, end) in answered(ends) {
        let words = end.of(walk);
        let known = told.iter().position(|(known, _)| *known == words);
        if let Some((_, count)) = known.and_then(|at| told.get_mut(at)) {
            *count = count.saturating_add(1);
        } else if told.len() < REASONS {
            told.push((words, 1));
        } else {
            others = others.saturating_add(1);
        }
    }
    if told.is_empty() {
        return;
    }
    into.push_str(
        "<div class=\"bad\"><b>This list did not end well.</b> What follows may be missing.",
    );
    reasons(&told, others, into);
    into.push_str("</div>\n");
}

/// A list of reasons, each with how often it is one.
fn reasons(told: &[(String, usize)], others: usize, into: &mut String) {
    into.push_str("<ul>");
    for (reason, count) in told {
        let times = if *count > 1 {
            format!(" ({count} times)")
        } else {
            String::new()
        };
        let _ = write!(into, "<li>{}{times}</li>", markup(reason));
    }
    if others > 0 {
        let _ = write!(into, "<li>and {others} more</li>");
    }
    into.push_str("</ul>");
}

/// Why values of a list are lost.
#[derive(Default)]
pub(crate) struct Losses {
    /// Column and reason, and how often.
    reasons: Vec<(String, usize)>,
    others: usize,
}

impl Losses {
    pub(crate) fn note(&mut self, row: &Cells<'_>) {
        for (column, cell) in row.iter() {
            let Cell::Absent(absent) = cell else { continue };
            if !absent.is_loss() {
                continue;
            }
            let reason = format!("{}: {absent}", column.name);
            let known = self.reasons.iter().position(|(known, _)| *known == reason);
            if let Some((_, count)) = known.and_then(|at| self.reasons.get_mut(at)) {
                *count = count.saturating_add(1);
            } else if self.reasons.len() < REASONS {
                self.reasons.push((reason, 1));
            } else {
                self.others = self.others.saturating_add(1);
            }
        }
    }

    /// Says how many values are lost, and why.
    pub(crate) fn tell(&self, lost: usize, into: &mut String) {
        if lost == 0 {
            return;
        }
        let values = plural(lost, "value");
        let _ = write!(
            into,
            "<div class=\"warn\"><b>{values} could not be read</b>, and {} <span class=\"l\">?</span> above.",
            if lost == 1 { "is" } else { "are" }
        );
        reasons(&self.reasons, self.others, into);
        into.push_str("</div>\n");
    }
}

/// The class of a column's head, by which it is aligned.
fn class(column: &Column) -> &'static str {
    let right = matches!(column.kind, Kind::Number | Kind::Signed) || column.right;
    match (right, column.kind) {
        (true, _) => "n",
        (false, Kind::Address) => "a",
        (false, _) => "",
    }
}

/// The attribute `class`, where there is one.
fn attribute(class: &str) -> String {
    match class {
        "" => String::new(),
        class => format!(" class=\"{class}\""),
    }
}

/// A cell of a table. A long value may go on in the next line, a short one stays in one.
fn data(column: &Column, cell: &Cell<'_>, links: &Links, into: &mut String) {
    let mut shown = String::new();
    value(column, cell, links, &mut shown);
    let class = match cell {
        Cell::Absent(absent) if absent.is_loss() => "l",
        Cell::Bytes(_) | Cell::Arguments(_) | Cell::Text(_) if shown.len() > LONG => "w",
        _ => class(column),
    };
    let _ = write!(into, "<td{}>{shown}</td>", attribute(class));
}

/// A value: of a process's id with a link to the process, of an absent one with its reason.
pub(crate) fn value(column: &Column, cell: &Cell<'_>, links: &Links, into: &mut String) {
    match cell {
        Cell::Absent(absent) => {
            let why = absent.to_string();
            let (why, mark) = (markup(&why), STYLE.text(column, cell));
            let _ = write!(into, "<span title=\"{why}\">{mark}</span>");
            if absent.is_loss() {
                into.push_str("<span class=\"v\"> could not be read</span>");
            }
        }
        Cell::Number(pid) if PIDS.contains(&column.name) => match links.of_pid(*pid) {
            Some(place) => {
                let _ = write!(into, "<a href=\"#{place}\">{pid}</a>");
            }
            None => {
                let _ = write!(into, "{pid}");
            }
        },
        cell => into.push_str(&markup(&STYLE.text(column, cell))),
    }
}

/// `1 row`, `2 rows`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
