//! Whether two snapshots are of one boot of one kernel, without which addresses do not compare.

use osier::Process;
use osier::SeenExt as _;
use osier::format::{escape_bytes, iso8601, json_string};

use crate::View;

/// Something that events lean on and that is not the same in both snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Premise {
    /// What: `kernel`, `build-id`, `kernel-slide`, `first-process` or `boot-time`.
    pub about: &'static str,
    /// The earlier snapshot's.
    pub was: String,
    /// The later snapshot's.
    pub now: String,
    /// What follows.
    pub means: &'static str,
}

const ANOTHER: &str =
    "another kernel or another boot: no address of one says anything of the other";
const CLOCK: &str = "the clock was set in between, or it is another boot";

/// Nanoseconds by which the time of booting may differ, as clocks are steered.
const STEERED: u64 = 1_000_000_000;

/// What is not the same in both snapshots although events lean on it. What one of them does not
/// know is not told.
pub fn premises(before: &View, after: &View) -> Vec<Premise> {
    let mut found = Vec::new();
    let mut differs = |about, was: Option<String>, now: Option<String>, means| {
        if let (Some(was), Some(now)) = (was, now)
            && was != now
        {
            found.push(Premise {
                about,
                was,
                now,
                means,
            });
        }
    };
    let (a, b) = (&before.boot, &after.boot);
    let slide = |slide: Option<u64>| slide.map(|slide| format!("{slide:#x}"));
    differs("kernel", text(&a.banner), text(&b.banner), ANOTHER);
    differs("build-id", a.build_id.clone(), b.build_id.clone(), ANOTHER);
    differs("kernel-slide", slide(a.slide), slide(b.slide), ANOTHER);
    let (a, b) = (first(before), first(after));
    differs("first-process", a.and_then(life), b.and_then(life), ANOTHER);
    if let (Some(was), Some(now)) = (a.and_then(booted), b.and_then(booted))
        && was.abs_diff(now) > STEERED
    {
        differs("boot-time", Some(iso8601(was)), Some(iso8601(now)), CLOCK);
    }
    found
}

impl Premise {
    /// Writes the premise as one JSON object, `{"premise": …}`.
    pub fn json(&self, into: &mut String) {
        into.push_str("{\"premise\":{");
        let fields = [
            ("about", self.about),
            ("was", &self.was),
            ("now", &self.now),
            ("means", self.means),
        ];
        for (name, value) in fields {
            if !into.ends_with('{') {
                into.push(',');
            }
            json_string(name, into);
            into.push(':');
            json_string(value, into);
        }
        into.push_str("}}");
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    escape_bytes(bytes, &mut text);
    (!text.is_empty()).then_some(text)
}

/// The process that lives as long as the boot: Linux's init, Windows' System.
fn first(view: &View) -> Option<&Process> {
    let mut rows = view.processes.rows.iter();
    rows.find(|process| matches!(process.pid.value(), Some(1 | 4)))
}

fn life(process: &Process) -> Option<String> {
    let born = process.create_time.value()?;
    Some(format!("{} since {born}", process.taskd))
}

/// When the clock of `create_time` began, on the wall clock.
fn booted(process: &Process) -> Option<i64> {
    let since = i64::try_from(process.create_time.value()?).ok()?;
    process.start.value()?.checked_sub(since)
}
