//! Lifetimes as a picture.

use osier::SeenExt as _;
use std::fmt::Write as _;

use osier::format::iso8601;
use osier_text::visible_bytes;

use super::life::{Life, Mark};
use super::series::Timeline;
use crate::xml::escape;

/// Pixels: a line, the names' column, a bar.
const LINE: usize = 18;
const NAMES: usize = 220;
const BARS: usize = 900;
/// The head: the numbers of snapshots.
const HEAD: usize = 30;

const STYLE: &str = "text{font:12px monospace;fill:#222}.n{text-anchor:end}\
                     .t{fill:#9db4c8}.c{fill:#2a7f3f}.u{fill:#e6c36a}.g{stroke:#ddd}";

/// A document with a line for each process, by first appearance, and a column for each snapshot. Its
/// titles, which browsers show where the pointer rests, say which snapshot and when.
pub fn svg(timeline: &Timeline) -> String {
    let moments = timeline.moments.len().max(1);
    let lines = timeline.lives.len();
    let x = |moment: usize| at(moment, moments);
    let height = HEAD.saturating_add(lines.saturating_mul(LINE));
    let width = NAMES.saturating_add(BARS).saturating_add(10);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n"
    );
    for (number, moment) in timeline.moments.iter().enumerate() {
        let clock = moment.clock.value().map(iso8601);
        let title = format!("{} {}", moment.label, clock.unwrap_or_default());
        let (left, number) = (x(number), number.saturating_add(1));
        let _ = writeln!(
            svg,
            "<g><title>{}</title><line class=\"g\" x1=\"{left}\" y1=\"{HEAD}\" x2=\"{left}\" \
             y2=\"{height}\"/><text x=\"{left}\" y=\"20\">{number}</text></g>",
            escape(title.trim_end())
        );
    }
    for (line, life) in timeline.lives.iter().enumerate() {
        let top = HEAD.saturating_add(line.saturating_mul(LINE));
        let _ = writeln!(
            svg,
            "<text class=\"n\" x=\"{}\" y=\"{}\">{}</text>",
            NAMES.saturating_sub(10),
            top.saturating_add(13),
            escape(&caption(life))
        );
        for (mark, from, until) in runs(&life.marks) {
            let class = match mark {
                Mark::Missing => continue,
                Mark::Unknown => "u",
                Mark::There => "t",
                Mark::Current => "c",
            };
            let (left, right) = (x(from), x(until));
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{left}\" y=\"{}\" width=\"{}\" height=\"12\"/>",
                top.saturating_add(3),
                right.saturating_sub(left)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where the column of a moment begins.
fn at(moment: usize, moments: usize) -> usize {
    let share = BARS.saturating_mul(moment).checked_div(moments);
    NAMES.saturating_add(share.unwrap_or(0))
}

fn caption(life: &Life) -> String {
    let name = life.process.name.get().map(|name| visible_bytes(name));
    let pid = life.process.pid.value().map(|pid| pid.to_string());
    let unknown = || "?".to_owned();
    format!(
        "{} {}",
        name.unwrap_or_else(unknown),
        pid.unwrap_or_else(unknown)
    )
}

/// Neighbours with one mark: the mark, the first, and the one behind the last.
fn runs(marks: &[Mark]) -> Vec<(Mark, usize, usize)> {
    let mut runs: Vec<(Mark, usize, usize)> = Vec::new();
    for (at, &mark) in marks.iter().enumerate() {
        let next = at.saturating_add(1);
        match runs.last_mut() {
            Some((last, _, until)) if *last == mark => *until = next,
            _ => runs.push((mark, at, next)),
        }
    }
    runs
}
