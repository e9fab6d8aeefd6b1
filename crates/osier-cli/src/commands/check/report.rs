//! What `check` says: text for people, rows when a format is asked for, annotations for GitHub.

use std::io::{self, Write};
use std::path::Path;

use osier::WalkEnds;
use osier_compare::golden::{Case, Finding, NO_FILE, Verdict, What, annotation};

use crate::args::OutputArgs;
use crate::output::{Output, say};

/// Differences of one table that people are shown before the rest is only counted.
const SHOWN: usize = 20;

pub(super) struct Report {
    /// Where rows go, when a format was asked for.
    rows: Option<Output>,
    github: bool,
    quiet: bool,
}

impl Report {
    pub(super) fn new(output: &OutputArgs, github: bool) -> Self {
        Self {
            rows: output.format.is_some().then(|| Output::new(output, 8)),
            github,
            quiet: output.quiet,
        }
    }

    /// Tells what came of one question of the snapshot at `path`; `golden` is what it was held
    /// against.
    pub(super) fn case(&mut self, path: &Path, golden: &Path, case: &Case) -> io::Result<()> {
        let (line, lines) = match &case.verdict {
            Verdict::Same => return Ok(()),
            Verdict::Differs(differences) => {
                let line = differences.first().map_or(1, |first| first.line);
                (line, differences.iter().map(ToString::to_string).collect())
            }
            Verdict::Missing => (1, vec![NO_FILE.to_owned()]),
            Verdict::Failed(why) => (1, vec![why.clone()]),
        };
        let snapshot = osier_text::path(path).to_string();
        let text = shortened(&lines, &case.advice);
        if self.github {
            let title = format!("osier check: {} of {snapshot}", case.name);
            let command = annotation(golden, line, &title, &text);
            writeln!(io::stdout(), "{command}")?;
        }
        let Some(rows) = &mut self.rows else {
            let (name, golden) = (case.name, osier_text::path(golden));
            let text = text.replace('\n', "\n  ");
            if let Verdict::Failed(why) = &case.verdict {
                // Most reasons begin with the file.
                return if why.starts_with(&snapshot) {
                    writeln!(io::stdout(), "{text}")
                } else {
                    writeln!(io::stdout(), "{snapshot}: {name}: {text}")
                };
            }
            return writeln!(
                io::stdout(),
                "{snapshot}: {name} is not as in {golden}:\n  {text}"
            );
        };
        let finding = |what| Finding {
            snapshot: &snapshot,
            table: case.name,
            what,
        };
        match &case.verdict {
            Verdict::Same => Ok(()),
            Verdict::Differs(differences) => {
                let mut findings = differences.iter().map(What::Difference).map(finding);
                findings.try_for_each(|finding| rows.row(&finding))
            }
            Verdict::Missing => rows.row(&finding(What::Failure(NO_FILE))),
            Verdict::Failed(why) => rows.row(&finding(What::Failure(why))),
        }
    }

    /// A message on standard error.
    pub(super) fn say(&self, message: &str) {
        if !self.quiet {
            say(message);
        }
    }

    /// Writes what waits.
    pub(super) fn close(self) -> io::Result<()> {
        match self.rows {
            Some(rows) => rows.finish(&WalkEnds::default()).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// The first lines, how many there are more, and the advice.
fn shortened(lines: &[String], advice: &str) -> String {
    let mut shown: Vec<String> = lines.iter().take(SHOWN).cloned().collect();
    let more = lines.len().saturating_sub(SHOWN);
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    if !advice.is_empty() {
        shown.push(advice.to_owned());
    }
    shown.join("\n")
}
