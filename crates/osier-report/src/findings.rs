//! Findings, the gravest first.

use std::fmt::Write as _;

use osier::ask::Question;
use osier::tables::{Cell, Cells};
use osier::{WalkEnd, WalkEnds};

use crate::bounds::Bounds;
use crate::links::Links;
use crate::list::{LATE, Losses, plural, tell_ends, value};
use crate::tally::Tally;

/// Severities from the gravest on, and the sign of each.
const SEVERITIES: [(&str, &str); 3] = [("high", "▲"), ("medium", "◆"), ("note", "●")];

/// Fields that stand in the head of a finding.
const HEAD: [&str; 4] = ["rule", "severity", "subject", "text"];

/// The findings of one snapshot.
pub(crate) struct Findings<'a> {
    bounds: &'a Bounds,
    links: &'a Links,
    /// Of each severity the markup, and how many there are.
    of: [(String, usize); 3],
    drawn: usize,
    lost: usize,
    losses: Losses,
    ends: WalkEnds,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(bounds: &'a Bounds, links: &'a Links) -> Self {
        Self {
            bounds,
            links,
            of: Default::default(),
            drawn: 0,
            lost: 0,
            losses: Losses::default(),
            ends: WalkEnds::default(),
        }
    }

    /// Says how the walks ended.
    pub(crate) fn end(&mut self, ends: WalkEnds) {
        self.ends.join(ends);
    }

    /// How many there are of each severity, the gravest first.
    pub(crate) fn counted(&self) -> [usize; 3] {
        self.of.each_ref().map(|(_, count)| *count)
    }

    /// Whether the system has rules at all.
    pub(crate) fn is_answered(&self) -> bool {
        let mut bad = self.ends.bad();
        !bad.any(|(_, end)| *end == WalkEnd::NotAnswered)
    }

    /// How many there are of each severity, in a sentence.
    pub(crate) fn sentence(&self, late: bool) -> String {
        if !self.is_answered() {
            return "Findings: there are no rules for this system yet".to_owned();
        }
        let all = self.counted().into_iter().fold(0, usize::saturating_add);
        let of = SEVERITIES.iter().zip(self.counted());
        let of: Vec<String> = of
            .map(|((word, sign), count)| match *word {
                "note" => format!("{sign} {}", plural(count, word)),
                word => format!("{sign} {count} {word}"),
            })
            .collect();
        let short = if late || !self.ends.is_complete() {
            " (not all was looked at)"
        } else {
            ""
        };
        format!("{}: {}{short}", plural(all, "finding"), of.join(", "))
    }

    /// Adds one.
    pub(crate) fn row(&mut self, row: &Cells<'_>) {
        self.lost = self.lost.saturating_add(row.losses());
        self.losses.note(row);
        let severity = field(row, "severity");
        let at = SEVERITIES.iter().position(|(word, _)| *word == severity);
        let at = at.unwrap_or(0);
        let size = self.of.iter().map(|(html, _)| html.len());
        let room = self.drawn < self.bounds.rows
            && size.fold(0, usize::saturating_add) < self.bounds.bytes;
        let Some((html, count)) = self.of.get_mut(at) else {
            return;
        };
        *count = count.saturating_add(1);
        if !room {
            return;
        }
        self.drawn = self.drawn.saturating_add(1);
        let (_, sign) = SEVERITIES.get(at).copied().unwrap_or_default();
        let shown = |name: &str| {
            let mut shown = String::new();
            for (column, cell) in row.iter().filter(|(column, _)| column.name == name) {
                value(column, cell, self.links, &mut shown);
            }
            shown
        };
        // What nobody need look at twice is folded.
        let open = if severity == "note" { "" } else { " open" };
        let _ = write!(
            html,
            "<details class=\"finding {severity}\"{open}><summary><span class=\"badge {severity}\"><span aria-hidden=\"true\">{sign}</span> \
             {severity}</span> <code>{}</code> <b><bdi>{}</bdi></b> <span class=\"said\">{}</span></summary>\n<dl class=\"facts one\">\n",
            shown("rule"),
            shown("subject"),
            shown("text")
        );
        for (column, cell) in row
            .iter()
            .filter(|(column, _)| !HEAD.contains(&column.name))
        {
            if matches!(cell, Cell::Absent(absent) if !absent.is_loss()) {
                continue;
            }
            let _ = write!(html, "<div><dt>{}</dt><dd>", column.name);
            value(column, cell, self.links, html);
            html.push_str("</dd></div>\n");
        }
        html.push_str("</dl></details>\n");
    }

    /// Writes them, and what is missing of them.
    pub(crate) fn write(&self, tally: &Tally, into: &mut String) {
        let all = self
            .counted()
            .iter()
            .copied()
            .fold(0, usize::saturating_add);
        let late = tally.is_late(Question::Findings);
        if all == 0 && self.is_answered() {
            into.push_str(if self.ends.is_complete() && !late {
                "<p class=\"verdict yes\"><b>✓ None:</b> nothing breaks one of Osier's rules.</p>\n"
            } else {
                "<p class=\"verdict no\"><b>✕ None, but not all was looked at.</b></p>\n"
            });
        }
        for (html, _) in &self.of {
            into.push_str(html);
        }
        let left = all.saturating_sub(self.drawn);
        if left > 0 {
            let _ = writeln!(
                into,
                "<p class=\"cut\">{} more not shown here: <code>osier findings SNAP</code> lists them all.</p>",
                plural(left, "finding")
            );
        }
        self.losses.tell(self.lost, into);
        tell_ends(&self.ends, into);
        if late {
            into.push_str(LATE);
        }
    }
}

fn field(row: &Cells<'_>, name: &str) -> &'static str {
    let mut cells = row.iter();
    let found = cells.find(|(column, _)| column.name == name);
    match found {
        Some((_, Cell::Word(word))) => word,
        _ => "",
    }
}
