//! What is drawn of a series, whatever it is drawn with: a line for each process, one for all threads of
//! the kernel, and how snapshots and their times are called.

use std::collections::HashMap;

use osier::SeenExt as _;
use osier::format::iso8601;

use super::life::{Life, Mark};
use super::series::Timeline;
use crate::diff::Turn;

/// A line.
pub(super) struct Line {
    /// The process's name, or what is folded into the line.
    pub(super) name: String,
    /// Its pid, or how many are folded.
    pub(super) pid: String,
    /// Every name that it had; empty where it had one.
    pub(super) names: String,
    /// A mark for each snapshot.
    pub(super) marks: Vec<Mark>,
    /// What became of its program, and in which snapshot that shows, counted from 0.
    pub(super) turns: Vec<(usize, Turn)>,
}

impl Line {
    fn of(life: &Life) -> Self {
        let (name, pid) = life.caption();
        Self {
            name,
            pid,
            names: life
                .all_names()
                .filter(|_| life.names.len() > 1)
                .unwrap_or_default(),
            marks: life.marks.clone(),
            turns: life.turns.clone(),
        }
    }
}

/// The lines, by first appearance; threads of the kernel come last and are one.
pub(super) fn lines(timeline: &Timeline) -> Vec<Line> {
    let (kernel, others): (Vec<&Life>, Vec<&Life>) = timeline
        .lives
        .iter()
        .partition(|life| life.is_of_the_kernel());
    let mut lines: Vec<Line> = others.into_iter().map(Line::of).collect();
    if !kernel.is_empty() {
        let most = |at: usize| {
            let marks = kernel.iter().filter_map(|life| life.marks.get(at));
            marks.max().copied().unwrap_or(Mark::Missing)
        };
        lines.push(Line {
            name: "kernel threads".to_owned(),
            pid: format!("({})", kernel.len()),
            names: String::new(),
            marks: (0..timeline.moments.len()).map(most).collect(),
            turns: Vec::new(),
        });
    }
    lines
}

/// What each snapshot is called, as short as tells them apart: the last part of its path where no other has that.
pub(super) fn names(timeline: &Timeline) -> Vec<String> {
    let last = |label: &str| label.rsplit('/').next().unwrap_or_default().to_owned();
    let mut uses: HashMap<String, usize> = HashMap::new();
    for moment in &timeline.moments {
        let count = uses.entry(last(&moment.label)).or_default();
        *count = count.saturating_add(1);
    }
    let moments = timeline.moments.iter();
    let name = |label: &str| match last(label) {
        short if uses.get(&short) == Some(&1) && !short.is_empty() => short,
        _ => label.to_owned(),
    };
    moments.map(|moment| name(&moment.label)).collect()
}

/// The guest's own date and time of day at each snapshot; `None` where its clock is not known.
pub(super) fn times(timeline: &Timeline) -> Vec<Option<(String, String)>> {
    let moments = timeline.moments.iter();
    let time = |at: i64| {
        let text = iso8601(at);
        let (date, time) = text.split_once('T')?;
        let time = time.split('.').next().unwrap_or(time);
        Some((date.to_owned(), time.to_owned()))
    };
    moments
        .map(|moment| moment.clock.value().and_then(time))
        .collect()
}

/// The first characters of `text` that stand in `room` columns, with a mark where it is cut.
pub(super) fn cut(text: &str, room: usize, more: char) -> String {
    // A wide character takes two columns.
    let columns = |c: char| if u32::from(c) < 0x1100 { 1 } else { 2_usize };
    let all = text.chars().map(columns).fold(0, usize::saturating_add);
    if all <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let mut cut = String::new();
    for c in text.chars() {
        match left.checked_sub(columns(c)) {
            Some(rest) => left = rest,
            None => break,
        }
        cut.push(c);
    }
    cut.push(more);
    cut
}
