//! `osier check`: snapshots against their golden rows.

mod report;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use osier::Session;
use osier::ask::Question;
use osier_compare::golden::{Case, Golden, GoldenError, Ignore, Suite, Verdict, answer, junit};

use super::{options, questions};
use crate::args::{CheckArgs, OutputArgs};
use crate::failure::{Outcome, Usage, in_file};
use crate::output::{MAY_SUFFER, plural};
use report::Report;

pub(super) fn run(args: &CheckArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let asked = match &args.ask {
        Some(words) => Some(questions(words)?),
        None => None,
    };
    let mut check = Check {
        args,
        asked,
        ignore: Ignore::parse(&args.ignore).map_err(|error| Usage(error.to_string()))?,
        report: Report::new(output, args.github),
        incomplete: false,
    };
    let paths = inputs(&args.paths)?;
    if !args.update && !args.golden.is_dir() {
        let golden = osier_text::path(&args.golden);
        anyhow::bail!("{golden}: there is no such folder of golden rows; --update makes it");
    }
    let named: Vec<Golden> = paths
        .iter()
        .map(|path| Golden::of(&args.golden, path))
        .collect::<Result<_, _>>()
        .map_err(|error| Usage(error.to_string()))?;
    let suites: Vec<Suite> = paths
        .iter()
        .zip(&named)
        .map(|(path, golden)| check.snapshot(path, golden))
        .collect::<anyhow::Result<_>>()?;
    if let Some(file) = &args.junit {
        osier_file::write(file, junit(&suites)).map_err(in_file(file))?;
    }
    check.conclude(&suites, output.strict)
}

/// The snapshots that the arguments name: files as they are, of a folder what `distill` wrote.
fn inputs(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            let cores = cores(path).map_err(in_file(path))?;
            if cores.is_empty() {
                anyhow::bail!("{} holds no distilled snapshot (*.elf)", path.display());
            }
            all.extend(cores);
        } else {
            all.push(path.clone());
        }
    }
    let mut names: HashMap<_, &PathBuf> = HashMap::new();
    for path in &all {
        if let Some(other) = names.insert(path.file_stem(), path) {
            let (path, other) = (path.display(), other.display());
            let wrong = format!("{other} and {path} would share golden files; check one at a time");
            return Err(Usage(wrong).into());
        }
    }
    Ok(all)
}

fn cores(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut cores = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "elf") {
            cores.push(path);
        }
    }
    cores.sort();
    Ok(cores)
}

struct Check<'a> {
    args: &'a CheckArgs,
    asked: Option<Vec<Question>>,
    ignore: Ignore,
    report: Report,
    incomplete: bool,
}

impl Check<'_> {
    /// Asks one snapshot everything.
    fn snapshot(&mut self, path: &Path, golden: &Golden) -> anyhow::Result<Suite> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut suite = Suite {
            snapshot: path.display().to_string(),
            begun: i64::try_from(now.as_nanos())?,
            cases: Vec::new(),
        };
        let begun = Instant::now();
        let session = match Session::open(path, &options(&self.args.known)) {
            Ok(session) => session,
            Err(error) => {
                let case = Case {
                    name: "open",
                    seconds: begun.elapsed().as_secs_f64(),
                    verdict: Verdict::Failed(error.to_string()),
                    advice: String::new(),
                };
                self.report.case(path, golden.folder(), &case)?;
                suite.cases.push(case);
                return Ok(suite);
            }
        };
        for doubt in session.info.doubts() {
            self.incomplete = true;
            let (path, may) = (path.display(), MAY_SUFFER);
            self.report.say(&format!("{path}: {may}: {doubt}"))?;
        }
        for question in self.asked.clone().unwrap_or_else(|| golden.questions()) {
            let begun = Instant::now();
            let verdict = self.question(&session, golden, question);
            let verdict = verdict.unwrap_or_else(|error| Verdict::Failed(error.to_string()));
            let advice = match &verdict {
                Verdict::Differs(_) | Verdict::Missing => self.update_command(path, question),
                _ => String::new(),
            };
            let case = Case {
                name: question.word(),
                seconds: begun.elapsed().as_secs_f64(),
                verdict,
                advice,
            };
            self.report.case(path, &golden.file(question), &case)?;
            suite.cases.push(case);
        }
        Ok(suite)
    }

    fn question(
        &mut self,
        session: &Session,
        golden: &Golden,
        question: Question,
    ) -> Result<Verdict, GoldenError> {
        let answer = answer(&*session.osi, question)?;
        self.incomplete |= !answer.is_complete();
        if self.args.update {
            if golden.update(question, &answer)? {
                let file = golden.file(question);
                // A message that cannot be written is no failure of the update.
                let _ = self.report.say(&format!("{} written", file.display()));
            }
            return Ok(Verdict::Same);
        }
        golden.check(question, &answer, &mut self.ignore)
    }

    /// What to do about a difference that is meant to be.
    fn update_command(&self, path: &Path, question: Question) -> String {
        format!(
            "to keep the new rows: osier check --update --ask {} --golden '{}' '{}'",
            question.word(),
            self.args.golden.display(),
            path.display()
        )
    }

    fn conclude(self, suites: &[Suite], strict: bool) -> anyhow::Result<Outcome> {
        for rule in self.ignore.unmet().filter(|_| !self.args.update) {
            self.report
                .say(&format!("--ignore {rule}: no row has such a field"))?;
        }
        let cases = || suites.iter().flat_map(|suite| &suite.cases);
        let bad = cases().filter(|case| !matches!(case.verdict, Verdict::Same));
        let bad = bad.count();
        let (outcome, partial) = match (bad, self.incomplete && !self.args.partial_ok) {
            (0, false) => (Outcome::Complete, ""),
            (0, true) if strict => (Outcome::PartialIsFailure, PARTIAL),
            (0, true) => (Outcome::Partial, PARTIAL),
            (_, false) => (Outcome::Different, ""),
            (_, true) => (Outcome::Different, PARTIAL),
        };
        let tables = plural(cases().count(), "table");
        let snapshots = plural(suites.len(), "snapshot");
        self.report.say(&format!(
            "{tables} of {snapshots}, {bad} not as they should be{partial}"
        ))?;
        self.report.close()?;
        Ok(outcome)
    }
}

const PARTIAL: &str = "; something could not be read (--partial-ok accepts that)";
