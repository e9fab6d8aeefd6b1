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
            for (old, new) in gone.iter().zip(&came) {
                let (old, new) = (cells(old), cells(new));
                let differs = |name: &&String| old.get(*name) != new.get(*name);
                fields.extend(old.keys().chain(new.keys()).filter(differs).cloned());
            }
        }
        let text = |rows: &[&String]| rows.first().map_or_else(String::new, ToString::to_string);
        Self {
            question,
            fields,
            how: how.to_owned(),
            place: place.to_owned(),
            distilled: true,
            example: String::new(),
            before: text(&gone),
            after: text(&came),
        }
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

    /// The silent ones that nothing excuses, grouped, in words; which excuses were used.
    pub(crate) fn unexcused(&self, used: &mut BTreeMap<&'static str, usize>) -> Vec<String> {
        let mut groups: BTreeMap<(&str, &str, &BTreeSet<String>), Vec<&Silent>> = BTreeMap::new();
        for silent in &self.silent {
            if let Some(Excuse { why, .. }) = excuses::of(silent) {
                *used.entry(why).or_default() += 1;
                continue;
            }
            let key = (silent.question, silent.place.as_str(), &silent.fields);
            groups.entry(key).or_default().push(silent);
        }
        let group = |((question, place, fields), all): (_, Vec<&Silent>)| {
            let mut hows: BTreeMap<&str, usize> = BTreeMap::new();
            for one in &all {
                *hows.entry(&one.how).or_default() += 1;
            }
            let one = all[0];
            let fields: &BTreeSet<String> = fields;
            let fields: Vec<_> = fields.iter().map(String::as_str).collect();
            format!(
                "- {question} [{}] <- {place}: {hows:?}; e.g. {}\n    - {}\n    + {}",
                fields.join(" "),
                one.example,
                one.before,
                one.after
            )
        };
        groups.into_iter().map(group).collect()
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
