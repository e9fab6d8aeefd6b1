//! What came out of one machine, and the file that keeps it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
use osier_testkit::truth::Tally;
use serde_json::{Value, json};

use crate::machines::Machine;

/// A question's rows against the truth, by numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) equal: u64,
    pub(crate) wrong: u64,
    /// Reason to number of rows.
    pub(crate) excused: BTreeMap<String, u64>,
}

impl From<&Tally> for Count {
    fn from(tally: &Tally) -> Self {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let excused = tally.excused.iter();
        Self {
            equal: number(tally.equal),
            wrong: number(tally.wrong.len()),
            excused: excused
                .map(|(reason, count)| ((*reason).to_owned(), number(*count)))
                .collect(),
        }
    }
}

/// What came out of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The kernel's release, as the guest had it.
    pub(crate) release: String,
    /// The containers that were asked.
    pub(crate) containers: Vec<String>,
    /// Question to its count; the containers give one answer, or it is a fault.
    pub(crate) questions: BTreeMap<String, Count>,
    /// Questions that no truth answers, and that ended well.
    pub(crate) asked: Vec<String>,
    /// Everything that is not as it should be, a line for each.
    pub(crate) faults: Vec<String>,
}

impl Outcome {
    /// A machine that could not be made or asked.
    pub(crate) fn failed(machine: &Machine, why: &str) -> Self {
        Self {
            release: machine.kernel.to_owned(),
            faults: vec![why.to_owned()],
            ..Self::default()
        }
    }

    /// Whether it was asked, and everything was as it should be.
    pub(crate) fn is_fine(&self) -> bool {
        self.faults.is_empty() && !self.containers.is_empty()
    }

    /// A line for the terminal.
    pub(crate) fn summary(&self) -> String {
        if self.is_fine() {
            let equal: u64 = self.questions.values().map(|count| count.equal).sum();
            return format!("all as it should be, {equal} rows equal");
        }
        let some: Vec<&str> = self.faults.iter().take(40).map(String::as_str).collect();
        format!("{} faults\n  {}", self.faults.len(), some.join("\n  "))
    }

    /// The outcome that a folder keeps; none when it keeps none that can be read.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join("outcome.json")).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        let texts = |name: &str| -> Option<Vec<String>> {
            let all = value.get(name)?.as_array()?.iter();
            all.map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let mut questions = BTreeMap::new();
        for (question, count) in value.get("questions")?.as_object()? {
            let number = |name: &str| count.get(name)?.as_u64();
            let excused = count.get("excused")?.as_object()?.iter();
            questions.insert(
                question.clone(),
                Count {
                    equal: number("equal")?,
                    wrong: number("wrong")?,
                    excused: excused
                        .filter_map(|(reason, count)| Some((reason.clone(), count.as_u64()?)))
                        .collect(),
                },
            );
        }
        Some(Self {
            release: value.get("release")?.as_str()?.to_owned(),
            containers: texts("containers")?,
            questions,
            asked: texts("asked")?,
            faults: texts("faults")?,
        })
    }

    /// Keeps the outcome in a folder.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let questions: BTreeMap<&str, Value> = self
            .questions
            .iter()
            .map(|(question, count)| {
                let value = json!({
                    "equal": count.equal,
                    "wrong": count.wrong,
                    "excused": count.excused,
                });
                (question.as_str(), value)
            })
            .collect();
        let value = json!({
            "release": self.release,
            "containers": self.containers,
            "questions": questions,
            "asked": self.asked,
            "faults": self.faults,
        });
        fs::write(folder.join("outcome.json"), format!("{value:#}\n"))?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{Count, Outcome};

    #[test]
    fn an_outcome_is_read_as_it_was_written() {
        let count = Count {
            equal: 5,
            wrong: 1,
            excused: [("a reason".to_owned(), 2)].into(),
        };
        let outcome = Outcome {
            release: "7.3-amd64".to_owned(),
            containers: vec!["raw".to_owned()],
            questions: [("ps --wide".to_owned(), count)].into(),
            asked: vec!["scan".to_owned()],
            faults: vec!["one".to_owned()],
        };
        let folder = std::env::temp_dir().join(format!("osier-kernels-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        outcome.write(&folder).unwrap();
        assert_eq!(Outcome::read(&folder), Some(outcome));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(Outcome::read(&folder), None);
    }
}
