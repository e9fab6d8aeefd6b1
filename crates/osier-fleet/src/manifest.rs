//! What became of each snapshot: one JSON object each.

use std::fmt::Write as _;
use std::time::Duration;

use osier::ask::Question;
use osier::format::{json_ending, json_string};
use osier::osier_osi::WalkEnds;

/// How the reading of a snapshot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every value was read and every walk closed.
    Complete,
    /// There are rows, and something is missing.
    Partial,
    /// There are no rows.
    Failed,
    /// It was named and is no snapshot.
    Skipped,
}

impl Status {
    /// Its word in the manifest.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        let all = [Self::Complete, Self::Partial, Self::Failed, Self::Skipped];
        all.into_iter().find(|status| status.word() == word)
    }
}

/// What one question gave.
pub(crate) struct Asked {
    pub(crate) question: Question,
    /// Rows.
    pub(crate) rows: usize,
    /// Values that exist in the guest and could not be read.
    pub(crate) lost: usize,
    pub(crate) ends: WalkEnds,
}

/// One snapshot's entry.
pub(crate) struct Entry {
    pub(crate) snapshot: String,
    pub(crate) id: Option<String>,
    pub(crate) path: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) format: Option<&'static str>,
    /// The kernel's banner.
    pub(crate) kernel: Option<String>,
    pub(crate) build_id: Option<String>,
    /// Where the profile came from.
    pub(crate) profile: Option<String>,
    pub(crate) status: Status,
    /// Why it is not complete.
    pub(crate) why: Vec<String>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) elapsed: Duration,
}

impl Entry {
    /// The snapshot failed: there are no rows of it.
    pub(crate) fn fail(&mut self, why: String) {
        self.status = Status::Failed;
        self.why = vec![why];
        self.asked.clear();
    }

    /// Number of rows in all tables.
    pub(crate) fn rows(&self) -> usize {
        let rows = self.asked.iter().map(|asked| asked.rows);
        rows.fold(0, usize::saturating_add)
    }

    /// The entry as a JSON object. Its last two fields differ from run to run.
    pub(crate) fn json(&self) -> String {
        let mut json = String::from("{\"snapshot\":");
        json_string(&self.snapshot, &mut json);
        let mut field = |name: &str, text: Option<&str>| {
            let _ = write!(json, ",\"{name}\":");
            match text {
                Some(text) => json_string(text, &mut json),
                None => json.push_str("null"),
            }
        };
        field("id", self.id.as_deref());
        field("path", Some(&self.path));
        field("format", self.format);
        field("kernel", self.kernel.as_deref());
        field("build_id", self.build_id.as_deref());
        field("profile", self.profile.as_deref());
        field("status", Some(self.status.word()));
        let _ = match self.bytes {
            Some(bytes) => write!(json, ",\"bytes\":{bytes}"),
            None => write!(json, ",\"bytes\":null"),
        };
        json.push_str(",\"why\":");
        list(&self.why, &mut json, |why, json| json_string(why, json));
        self.of_each("rows", &mut json, |asked, json| {
            let _ = write!(json, "{}", asked.rows);
        });
        self.of_each("lost", &mut json, |asked, json| {
            let _ = write!(json, "{}", asked.lost);
        });
        self.of_each("ends", &mut json, |asked, json| {
            list(&asked.ends.0, json, |(walk, end), json| {
                json_ending(walk, end, json);
            });
        });
        let milliseconds = self.elapsed.as_secs_f64() * 1e3;
        let _ = write!(json, ",\"elapsed_ms\":{milliseconds:.3}");
        let _ = match peak_bytes() {
            Some(peak) => write!(json, ",\"peak_bytes\":{peak}}}"),
            None => write!(json, ",\"peak_bytes\":null}}"),
        };
        json
    }

    fn of_each(&self, name: &str, json: &mut String, value: impl Fn(&Asked, &mut String)) {
        let _ = write!(json, ",\"{name}\":{{");
        for (number, asked) in self.asked.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let _ = write!(json, "{comma}\"{}\":", asked.question.word());
            value(asked, json);
        }
        json.push('}');
    }
}

fn list<T>(items: &[T], json: &mut String, one: impl Fn(&T, &mut String)) {
    json.push('[');
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            json.push(',');
        }
        one(item, json);
    }
    json.push(']');
}

/// The most memory that the process had resident so far, in bytes: `VmHWM` of Linux's
/// `/proc/self/status`; `None` on other systems.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}
