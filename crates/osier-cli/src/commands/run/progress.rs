//! How far a run is: a bar on a terminal, a line now and then otherwise.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use osier_fleet::{Event, Status};

use crate::output::{MAY_SUFFER, plural, say};

/// Time between two lines where there is no terminal.
const PACE: Duration = Duration::from_secs(5);

const BAR: &str = "{bar:30} {pos}/{len} {msg}, {rate}, {eta} left";

/// Shows on standard error how far a run is.
pub(crate) struct Progress {
    quiet: bool,
    /// `None` without a terminal.
    bar: Option<ProgressBar>,
    asking: bool,
    unread: usize,
    last: Instant,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let shown = !quiet && io::stderr().is_terminal();
        Self {
            quiet,
            bar: shown.then(|| ProgressBar::new(0).with_message("looked at")),
            asking: false,
            unread: 0,
            last: Instant::now(),
        }
    }

    /// Shows one event. That standard error is closed is no failure of the run.
    pub(crate) fn show(&mut self, event: &Event<'_>) {
        match *event {
            Event::Identified { done, of } => self.step(done, of, "looked at"),
            Event::Missing { why, snapshots } => {
                let snapshots = plural(snapshots, "snapshot");
                self.say(&format!("{snapshots} will fail: {why}"));
            }
            Event::Resumed { done, of } => {
                self.say(&format!(
                    "going on after {done} of {of} snapshots, which an interrupted run finished"
                ));
                self.begin_asking(done);
            }
            Event::Finished {
                path,
                status,
                doubts,
                why,
                done,
                of,
                ..
            } => {
                self.begin_asking(done.saturating_sub(1));
                let file = osier_text::path(path);
                if matches!(status, Status::Failed | Status::Skipped) {
                    self.unread = self.unread.saturating_add(1);
                    let (word, why) = (status.word(), why.join("; "));
                    let reason = why.strip_prefix(&format!("{file}: ")).unwrap_or(&why);
                    self.say(&format!("{file}: {word}: {reason}"));
                }
                if status == Status::Partial {
                    for doubt in doubts {
                        self.say(&format!("{file}: {MAY_SUFFER}: {doubt}"));
                    }
                    // Each doubt is a reason already, before the others.
                    let others = why.get(doubts.len()..).unwrap_or_default();
                    if let Some((first, more)) = others.split_first() {
                        let more = match more.len() {
                            0 => String::new(),
                            more => format!(" (the manifest has {more} more reasons)"),
                        };
                        self.say(&format!("{file}: partial: {first}{more}"));
                    }
                }
                let message = match self.unread {
                    0 => "snapshots".to_owned(),
                    unread => format!("snapshots, {unread} not read"),
                };
                self.step(done, of, &message);
            }
            _ => {}
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// The second pass has a rate of its own.
    fn begin_asking(&mut self, done: usize) {
        if self.asking {
            return;
        }
        self.asking = true;
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.reset_eta();
        }
    }

    fn step(&mut self, done: usize, of: usize, message: &str) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(of as u64) {
                bar.set_length(of as u64);
                if let Ok(style) = ProgressStyle::with_template(BAR) {
                    let rate = |state: &ProgressState, to: &mut dyn std::fmt::Write| {
                        // A bar that cannot be drawn is no failure.
                        let _ = write!(to, "{:.1}/s", state.per_sec());
                    };
                    bar.set_style(style.with_key("rate", rate));
                }
            }
            bar.set_position(done as u64);
            bar.set_message(message.to_owned());
        } else if self.last.elapsed() >= PACE {
            self.last = Instant::now();
            self.say(&format!("{done}/{of} {message}"));
        }
    }

    fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        let write = || {
            say(text);
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}
