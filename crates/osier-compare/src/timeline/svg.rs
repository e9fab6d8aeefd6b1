//! Lifetimes as a picture.

use std::fmt::Write as _;

use osier_text::markup;

use super::life::Mark;
use super::lines::{Line, cut, lines, names, times};
use super::series::Timeline;
use crate::diff::Turn;

/// Pixels: a line, the names' column, the bars, what is left free beside them.
const LINE: usize = 20;
const NAMES: usize = 236;
const BARS: usize = 900;
const MARGIN: usize = 14;
/// The head: what marks mean, then the snapshots' names and times.
const LEGEND: usize = 26;
const HEAD: usize = 78;
/// The least room that a snapshot's name and time stand in, and the columns of a letter in tenths of pixels.
const LABEL: usize = 112;
const LETTER: usize = 75;
/// Letters of a process's name.
const NAME: usize = 22;

/// The rules for [`picture`]: its colours, light and dark. A document of several parts has them once.
pub const STYLE: &str = "\
.tl{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace}\
.tl text{fill:#1c2430}.tl .b{fill:#fff}.tl .d{fill:#5a6675}.tl .n{text-anchor:end}\
.tl .g{stroke:#d4dae1}.tl .z{fill:#f4f6f8}\
.tl .t{fill:#c6d4e3;stroke:#5b7896}.tl .c{fill:#1f6b3a;stroke:#12452a}\
.tl .u{fill:none;stroke:#8a6100;stroke-dasharray:4 3}\
.tl .x{fill:#b3261e;stroke:#fff}.tl .r{fill:#fff;stroke:#6a3d9a;stroke-width:2}\
.tl .e{stroke:#1c2430;stroke-width:2.5;fill:none}\
@media(prefers-color-scheme:dark){\
.tl text{fill:#e4e9ef}.tl .b{fill:#14181d}.tl .d{fill:#9aa7b6}\
.tl .g{stroke:#343c46}.tl .z{fill:#1a2027}\
.tl .t{fill:#33475c;stroke:#7f9dbb}.tl .c{fill:#57b878;stroke:#a5e0b8}\
.tl .u{stroke:#e0b04a}\
.tl .x{fill:#ff8a80;stroke:#14181d}.tl .r{fill:#14181d;stroke:#c5a3ec}\
.tl .e{stroke:#e4e9ef}}";

/// A document of its own with [`picture`] in it.
pub fn svg(timeline: &Timeline) -> String {
    let picture = picture(timeline);
    let namespace = "<svg xmlns=\"http://www.w3.org/2000/svg\"";
    let Some((head, rest)) = picture.split_once('\n') else {
        return picture;
    };
    let head = head.replacen("<svg", namespace, 1);
    format!("{head}\n<style>{STYLE}</style>\n{rest}")
}

/// An `svg` element with a line for each process, by first appearance, one for all threads of the kernel, and a
/// column for each snapshot, under its name and the guest's own time. What marks mean stands above; each has a shape of
/// its own. Titles, which browsers show where the pointer rests, say the same in words. [`STYLE`] has its colours.
pub fn picture(timeline: &Timeline) -> String {
    let lines = lines(timeline);
    let bars = lines.len().saturating_mul(LINE);
    let height = HEAD.saturating_add(bars).saturating_add(MARGIN);
    let width = NAMES.saturating_add(BARS).saturating_add(MARGIN);
    let title = format!(
        "{} processes through {} snapshots",
        timeline.lives.len(),
        timeline.moments.len()
    );
    let mut svg = format!(
        "<svg class=\"tl\" role=\"img\" aria-label=\"{title}\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<title>{title}</title>\n\
         <rect class=\"b\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    legend(&mut svg);
    zebra(lines.len(), width, &mut svg);
    axis(timeline, HEAD.saturating_add(bars), &mut svg);
    let moments = timeline.moments.len().max(1);
    for (nth, line) in lines.iter().enumerate() {
        let top = HEAD.saturating_add(nth.saturating_mul(LINE));
        draw(line, top, moments, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

/// What each mark means.
fn legend(svg: &mut String) {
    let mut left = MARGIN;
    let mut one = |shape: &dyn Fn(usize, &mut String), means: &str| {
        shape(left, svg);
        let text = left.saturating_add(34);
        let _ = writeln!(svg, "<text x=\"{text}\" y=\"17\">{means}</text>");
        let letters = means.len().saturating_mul(LETTER) / 10;
        left = text.saturating_add(letters).saturating_add(20);
    };
    one(&|left, svg| bar(Mark::There, left, 26, 4, svg), "there");
    one(
        &|left, svg| bar(Mark::Current, left, 26, 4, svg),
        "runs on a processor",
    );
    one(
        &|left, svg| bar(Mark::Unknown, left, 26, 4, svg),
        "may have been missed",
    );
    for turn in [Turn::Executed, Turn::Renamed, Turn::Exited] {
        one(
            &|left, svg| sign(turn, left.saturating_add(16), 4, svg),
            match turn {
                Turn::Executed => "executed another program",
                Turn::Renamed => "renamed",
                Turn::Exited => "exited",
            },
        );
    }
}

/// Every second line has a ground of its own, to go along.
fn zebra(lines: usize, width: usize, svg: &mut String) {
    for line in (1..lines).step_by(2) {
        let top = HEAD.saturating_add(line.saturating_mul(LINE));
        let _ = writeln!(
            svg,
            "<rect class=\"z\" y=\"{top}\" width=\"{width}\" height=\"{LINE}\"/>"
        );
    }
}

/// The snapshots: a line down for each, its name and time above where there is room.
fn axis(timeline: &Timeline, bottom: usize, svg: &mut String) {
    let (names, times) = (names(timeline), times(timeline));
    let moments = names.len().max(1);
    let each = BARS.checked_div(moments).unwrap_or(BARS).max(1);
    let step = LABEL.div_ceil(each).max(1);
    let letters = each
        .saturating_mul(step)
        .saturating_sub(10)
        .saturating_mul(10)
        / LETTER;
    let dates: Vec<&String> = times.iter().flatten().map(|(date, _)| date).collect();
    let date = match dates.as_slice() {
        [first, rest @ ..] if rest.iter().all(|date| date == first) => Some(*first),
        _ => None,
    };
    let about = match (date, dates.is_empty()) {
        (Some(date), _) => format!("guest's time, {date} UTC"),
        (None, true) => "guest's time is not known".to_owned(),
        (None, false) => "guest's time, UTC".to_owned(),
    };
    let right = NAMES.saturating_sub(10);
    let _ = writeln!(
        svg,
        "<text class=\"n d\" x=\"{right}\" y=\"48\">snapshot</text>"
    );
    let _ = writeln!(
        svg,
        "<text class=\"n d\" x=\"{right}\" y=\"65\">{about}</text>"
    );
    for (at, (name, time)) in names.iter().zip(&times).enumerate() {
        let number = at.saturating_add(1);
        let left = x(at, moments);
        let shown = match time {
            Some((_, time)) if date.is_some() => time.clone(),
            Some((date, time)) => format!("{} {time}", date.get(5..).unwrap_or_default()),
            None => "?".to_owned(),
        };
        let whole = match time {
            Some((date, time)) => format!("{date}T{time}Z"),
            None => "the guest's clock is not known".to_owned(),
        };
        let label = timeline
            .moments
            .get(at)
            .map_or(name, |moment| &moment.label);
        let _ = write!(
            svg,
            "<g><title>{}</title><line class=\"g\" x1=\"{left}\" y1=\"{LEGEND}\" x2=\"{left}\" y2=\"{bottom}\"/>",
            markup(&format!("{number}: {label} {whole}"))
        );
        if at.is_multiple_of(step) {
            let text = left.saturating_add(5);
            let name = cut(&format!("{number} {name}"), letters, '…');
            let _ = write!(
                svg,
                "<text x=\"{text}\" y=\"48\">{}</text><text class=\"d\" x=\"{text}\" y=\"65\">{shown}</text>",
                markup(&name)
            );
        }
        svg.push_str("</g>\n");
    }
    let end = NAMES.saturating_add(BARS);
    let _ = writeln!(
        svg,
        "<line class=\"g\" x1=\"{end}\" y1=\"{LEGEND}\" x2=\"{end}\" y2=\"{bottom}\"/>"
    );
}

/// One process.
fn draw(line: &Line, top: usize, moments: usize, svg: &mut String) {
    let name = cut(&line.name, NAME, '…');
    let (right, base) = (NAMES.saturating_sub(10), top.saturating_add(14));
    let mut title = format!("{} {}", line.name, line.pid);
    if !line.names.is_empty() {
        let _ = write!(title, ": {}", line.names);
    }
    let _ = writeln!(
        svg,
        "<g><title>{}</title><text class=\"n\" x=\"{right}\" y=\"{base}\">{} {}</text>",
        markup(&title),
        markup(&name),
        markup(&line.pid)
    );
    for (mark, from, until) in runs(&line.marks) {
        let (left, right) = (x(from, moments), x(until, moments));
        bar(mark, left, right.saturating_sub(left), top, svg);
    }
    for (at, turn) in &line.turns {
        let (before, now) = (*at, at.saturating_add(1));
        let word = turn.word();
        let _ = write!(
            svg,
            "<g><title>{word} between snapshots {before} and {now}</title>"
        );
        sign(*turn, x(*at, moments), top, svg);
        svg.push_str("</g>\n");
    }
    svg.push_str("</g>\n");
}

/// A stretch of one mark in the line at `top`; each mark has a height and an outline of its own.
fn bar(mark: Mark, left: usize, width: usize, top: usize, svg: &mut String) {
    let (class, down, height) = match mark {
        Mark::Missing => return,
        Mark::Unknown => ("u", 5, 10),
        Mark::There => ("t", 6, 8),
        Mark::Current => ("c", 3, 14),
    };
    let top = top.saturating_add(down);
    let _ = writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>"
    );
    if mark == Mark::Unknown {
        let (middle, base) = (left.saturating_add(width / 2), top.saturating_add(9));
        let _ = writeln!(
            svg,
            "<text x=\"{middle}\" y=\"{base}\" text-anchor=\"middle\">?</text>"
        );
    }
}

/// What became of a program, at `at` in the line at `top`: a diamond, a ring, a cross.
fn sign(turn: Turn, at: usize, top: usize, svg: &mut String) {
    let middle = top.saturating_add(10);
    let _ = match turn {
        Turn::Executed => writeln!(
            svg,
            "<path class=\"x\" d=\"M{at} {}l7 7l-7 7l-7 -7z\"/>",
            middle.saturating_sub(7)
        ),
        Turn::Renamed => writeln!(
            svg,
            "<circle class=\"r\" cx=\"{at}\" cy=\"{middle}\" r=\"5\"/>"
        ),
        Turn::Exited => writeln!(
            svg,
            "<path class=\"e\" d=\"M{} {}l10 10m0 -10l-10 10\"/>",
            at.saturating_sub(5),
            middle.saturating_sub(5)
        ),
    };
}

/// Where the column of a moment begins.
fn x(moment: usize, moments: usize) -> usize {
    let share = BARS.saturating_mul(moment).checked_div(moments);
    NAMES.saturating_add(share.unwrap_or(0))
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
