//! What becomes of a damage: refused, told, without effect, or silent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::excuses::{self, Excuse};
use crate::subject::Answer;

/// No damage may cost more.
const PATIENCE: Duration = Duration::from_secs(20);

/// A damage that changed an answer which claims to be complete.
#[derive(Clone, Debug)]
pub(crate) struct Silent {
    pub(crate) question: &'static str,
    /// The fields that changed; `-row` for rows that went, `+row` for rows that came.
    pub(crate) fields: BTreeSet<String>,
    /// By what the rows changed, where that is part of the answer: the rules of findings that came or went, the
    /// sources that lead to something scanned, and how else it is said to be found.
    pub(crate) by: BTreeSet<String>,
    /// What was done, such as `zero`.
    pub(crate) how: String,
    /// Where, such as `task_struct.tasks.next`.
    pub(crate) place: String,
    /// Whether the snapshot holds only the pages that were asked for when it was made.
    pub(crate) distilled: bool,
    /// The very bytes.
    pub(crate) example: String,
    pub(crate) before: String,
    pub(crate) after: String,
}

impl Silent {
    pub(crate) fn of(
        question: &'static str,
        how: &str,
        place: &str,
        old: &Answer,
        new: &Answer,
    ) -> Self {
        let gone: Vec<_> = old
            .rows
            .iter()
            .filter(|row| !new.rows.contains(row))
            .collect();
        let came: Vec<_> = new
            .rows
            .iter()
            .filter(|row| !old.rows.contains(row))
            .collect();
        let mut fields = BTreeSet::new();
        if gone.len() > came.len() {
            fields.insert("-row".to_owned());
        }
        if came.len() > gone.len() {
            fields.insert("+row".to_owned());
        }
        if gone.len() == came.len() {
            for old in &gone {
                let old = cells(old);
                let differs = |new: &&String| differing(&old, &cells(new));
                let nearest = came.iter().map(differs).min_by_key(BTreeSet::len);
                fields.extend(nearest.unwrap_or_default());
            }
        }
        let text = |rows: &[&String]| rows.first().map_or_else(String::new, ToString::to_string);
        Self {
            question,
            fields,
            by: by(question, &gone, &came),
            how: how.to_owned(),
            place: place.to_owned(),
            distilled: true,
            example: String::new(),
            before: text(&gone),
            after: text(&came),
        }
    }
}

/// The cells that are not the same in both.
fn differing(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> BTreeSet<String> {
    let names = old.keys().chain(new.keys());
    names
        .filter(|name| old.get(*name) != new.get(*name))
        .cloned()
        .collect()
}

/// The rules of the findings that came or went; of what was scanned, the sources that lead to it and no longer do, or do
/// now.
fn by(question: &str, gone: &[&String], came: &[&String]) -> BTreeSet<String> {
    let of = |rows: &[&String], name: &str| -> BTreeSet<String> {
        let words = rows.iter().filter_map(|row| cells(row).remove(name));
        let words = words.flat_map(|word| {
            let word = word.trim_matches('"').split(',').map(str::to_owned);
            word.collect::<Vec<_>>()
        });
        words.collect()
    };
    match question {
        "findings" => &of(gone, "rule") | &of(came, "rule"),
        "scan" => gone
            .iter()
            .zip(came)
            .flat_map(|(old, new)| &of(&[old], "found_by") ^ &of(&[new], "found_by"))
            .collect(),
        _ => BTreeSet::new(),
    }
}

/// The cells of a row's JSON by name.
fn cells(row: &str) -> BTreeMap<String, String> {
    let parsed: serde_json::Value = serde_json::from_str(row).unwrap();
    let object = parsed.as_object().unwrap();
    let flat = object.iter().flat_map(|(name, value)| match value {
        // The absent ones, each with its reason.
        serde_json::Value::Object(absent) if name == "absent" => absent
            .iter()
            .map(|(name, why)| (name.clone(), why.to_string()))
            .collect(),
        _ => vec![(name.clone(), value.to_string())],
    });
    flat.filter(|(_, value)| value != "null").collect()
}

/// What became of many damages.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) variants: usize,
    refused: usize,
    told: usize,
    without_effect: usize,
    pub(crate) silent: Vec<Silent>,
    /// Panics, and what took too long.
    pub(crate) wrong: Vec<String>,
    slowest: Duration,
}

impl Outcome {
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.variants += other.variants;
        self.refused += other.refused;
        self.told += other.told;
        self.without_effect += other.without_effect;
        self.silent.extend(other.silent);
        self.wrong.extend(other.wrong);
        self.slowest = self.slowest.max(other.slowest);
        self
    }

    /// The silent ones that nothing excuses, grouped, in words; and what each excuse that was used let pass.
    pub(crate) fn unexcused<'a>(
        &'a self,
        used: &mut BTreeMap<&'static str, Vec<&'a Silent>>,
    ) -> Vec<String> {
        let mut unexcused = Vec::new();
        for silent in &self.silent {
            match excuses::of(silent) {
                Some(Excuse { why, .. }) => used.entry(why).or_default().push(silent),
                None => unexcused.push(silent),
            }
        }
        grouped(&unexcused)
    }

    /// One line of numbers.
    pub(crate) fn numbers(&self) -> String {
        let excused = self
            .silent
            .iter()
            .filter(|silent| excuses::of(silent).is_some())
            .count();
        let mut text = String::new();
        let _ = write!(
            text,
            "{} variants, {} refused, {} told, {} without effect, {excused} excused, {} silent, {} wrong, slowest {:.1?}",
            self.variants,
            self.refused,
            self.told,
            self.without_effect,
            self.silent.len() - excused,
            self.wrong.len(),
            self.slowest,
        );
        text
    }
}

/// What is alike in question, place and fields, in words, with one example of each.
pub(crate) fn grouped(all: &[&Silent]) -> Vec<String> {
    type Key<'a> = (&'a str, &'a str, &'a BTreeSet<String>, &'a BTreeSet<String>);
    let mut groups: BTreeMap<Key<'_>, Vec<&Silent>> = BTreeMap::new();
    for silent in all {
        let key = (
            silent.question,
            silent.place.as_str(),
            &silent.fields,
            &silent.by,
        );
        groups.entry(key).or_default().push(silent);
    }
    let joined = |words: &BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(" ");
    let group = |((question, place, fields, by), all): (Key<'_>, Vec<&Silent>)| {
        let mut hows: BTreeMap<&str, usize> = BTreeMap::new();
        for one in &all {
            *hows.entry(&one.how).or_default() += 1;
        }
        let one = all[0];
        let by = if by.is_empty() {
            String::new()
        } else {
            format!(" by {}", joined(by))
        };
        format!(
            "- {question} [{}]{by} <- {place}: {hows:?}; e.g. {}\n    - {}\n    + {}",
            joined(fields),
            one.example,
            one.before,
            one.after
        )
    };
    groups.into_iter().map(group).collect()
}

/// How long this thread has kept a core busy: others may keep the machine busy too.
fn busy() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| BEGAN.elapsed(), Duration::from_nanos)
}

/// When this program began, for systems that do not tell how long a thread ran.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Runs one damage: `ask` gives what is silent and whether anything was told, or `None` when the
/// snapshot is refused.
pub(crate) fn judge(damage: &str, ask: impl FnOnce() -> Option<(Vec<Silent>, bool)>) -> Outcome {
    let mut outcome = Outcome {
        variants: 1,
        ..Outcome::default()
    };
    let began = busy();
    let asked = catch_unwind(AssertUnwindSafe(ask));
    outcome.slowest = busy().saturating_sub(began);
    if outcome.slowest > PATIENCE {
        outcome
            .wrong
            .push(format!("{:?}: {damage}", outcome.slowest));
    }
    match asked {
        Err(_) => outcome.wrong.push(format!("panic: {damage}")),
        Ok(None) => outcome.refused = 1,
        Ok(Some((silent, _))) if !silent.is_empty() => outcome.silent = silent,
        Ok(Some((_, true))) => outcome.told = 1,
        Ok(Some((_, false))) => outcome.without_effect = 1,
    }
    outcome
}
