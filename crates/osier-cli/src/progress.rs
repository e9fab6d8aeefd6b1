//! A bar for the long steps of opening a snapshot, on a terminal only.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use osier::osier_snapshot::Progress;

/// A step that is over sooner than this is not worth a bar.
const PATIENCE: Duration = Duration::from_millis(400);

/// A bar on standard error for steps that last, when that is a terminal.
pub(crate) fn on_terminal() -> Progress {
    if !stderr().is_terminal() {
        return Progress::default();
    }
    let shown: Mutex<Option<(&'static str, Instant, Option<ProgressBar>)>> = Mutex::new(None);
    Progress::new(move |step, done, all| {
        let Ok(mut shown) = shown.lock() else { return };
        let (_, since, bar) = match &mut *shown {
            Some(known) if known.0 == step => known,
            other => other.insert((step, Instant::now(), None)),
        };
        if bar.is_none() && since.elapsed() >= PATIENCE {
            let style = "{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left";
            let style = ProgressStyle::with_template(style).ok();
            let new = ProgressBar::new(all).with_message(step);
            *bar = Some(match style {
                Some(style) => new.with_style(style),
                None => new,
            });
        }
        if let Some(bar) = bar {
            bar.set_position(done);
            if done >= all {
                bar.finish_and_clear();
            }
        }
    })
}
