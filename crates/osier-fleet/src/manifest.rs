//! What became of each snapshot: one JSON object each.

use std::fmt::Write as _;
use std::time::Duration;

use osier::WalkEnds;
use osier::ask::Question;
use osier::format::{json_ending, json_string};

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
    /// What is odd about its file and may make its rows wrong or short; also the first of `why`.
    pub(crate) doubts: Vec<String>,
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
        let mut json = String::new();
        for (field, value) in FIELDS.iter().zip(self.values()) {
            json.push(if json.is_empty() { '{' } else { ',' });
            let _ = write!(json, "\"{}\":", field.name);
            value.write(&mut json);
        }
        json.push('}');
        json
    }

    /// The values of [`FIELDS`].
    pub(crate) fn values(&self) -> [Value<'_>; FIELDS.len()] {
        let mut why = String::new();
        list(&self.why, &mut why, |why, json| json_string(why, json));
        let rows = self.of_each(|asked, json| {
            let _ = write!(json, "{}", asked.rows);
        });
        let lost = self.of_each(|asked, json| {
            let _ = write!(json, "{}", asked.lost);
        });
        let ends = self.of_each(|asked, json| {
            list(&asked.ends.0, json, |(walk, end), json| {
                json_ending(walk, end, json);
            });
        });
        [
            Value::Text(Some(&self.snapshot)),
            Value::Text(self.id.as_deref()),
            Value::Text(Some(&self.path)),
            Value::Text(self.format),
            Value::Text(self.kernel.as_deref()),
            Value::Text(self.build_id.as_deref()),
            Value::Text(self.profile.as_deref()),
            Value::Text(Some(self.status.word())),
            Value::Number(self.bytes),
            Value::Json(why),
            Value::Json(rows),
            Value::Json(lost),
            Value::Json(ends),
            Value::Milliseconds(self.elapsed.as_secs_f64() * 1e3),
            Value::Number(peak_bytes()),
        ]
    }

    /// An object with something of each answer.
    fn of_each(&self, value: impl Fn(&Asked, &mut String)) -> String {
        let mut json = String::from("{");
        for (number, asked) in self.asked.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let _ = write!(json, "{comma}\"{}\":", asked.question.word());
            value(asked, &mut json);
        }
        json.push('}');
        json
    }
}

/// A field of the manifest.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: FieldKind,
}

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Text,
    Number,
    Milliseconds,
    /// Lists and objects.
    Json,
}

const fn field(name: &'static str, kind: FieldKind) -> Field {
    Field { name, kind }
}

/// The fields of the manifest.
pub(crate) const FIELDS: [Field; 15] = [
    field("snapshot", FieldKind::Text),
    field("id", FieldKind::Text),
    field("path", FieldKind::Text),
    field("format", FieldKind::Text),
    field("kernel", FieldKind::Text),
    field("build_id", FieldKind::Text),
    field("profile", FieldKind::Text),
    field("status", FieldKind::Text),
    field("bytes", FieldKind::Number),
    field("why", FieldKind::Json),
    field("rows", FieldKind::Json),
    field("lost", FieldKind::Json),
    field("ends", FieldKind::Json),
    field("elapsed_ms", FieldKind::Milliseconds),
    field("peak_bytes", FieldKind::Number),
];

/// The value of a field.
pub(crate) enum Value<'a> {
    Text(Option<&'a str>),
    Number(Option<u64>),
    Milliseconds(f64),
    Json(String),
}

impl Value<'_> {
    fn write(&self, json: &mut String) {
        let _ = match self {
            Self::Text(Some(text)) => {
                json_string(text, json);
                Ok(())
            }
            Self::Number(Some(number)) => write!(json, "{number}"),
            Self::Milliseconds(time) => write!(json, "{time:.3}"),
            Self::Json(text) => json.write_str(text),
            Self::Text(None) | Self::Number(None) => json.write_str("null"),
        };
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
