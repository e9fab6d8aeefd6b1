//! `osier check`: snapshots against their golden rows.

mod report;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use osier::ask::Question;
use osier::{Guest, Options};
use osier_compare::golden::{Case, Golden, GoldenError, Ignore, Suite, Verdict, answer, junit};
use osier_fleet::{Input, RunError};
use osier_text::is_hidden;

use super::common::{options, questions, spare};
use super::inputs::tell_others;
use crate::args::{CheckArgs, OutputArgs};
use crate::failure::{Usage, in_file};
use crate::outcome::Outcome;
use crate::output::{MAY_SUFFER, plural};
use report::Report;

pub(super) fn run(args: &CheckArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let asked = match &args.ask {
        Some(words) => Some(questions(words)?),
        None => None,
    };
    let mut check = Check {
        args,
        options: options(&args.known),
        asked,
        ignore: Ignore::parse(&args.ignore).map_err(|error| Usage(error.to_string()))?,
        report: Report::new(output, args.github),
        incomplete: false,
    };
    let files = args.inputs.files(&check.options)?;
    if !args.update && !args.golden.is_dir() {
        let golden = osier_text::path(&args.golden);
        if args.golden.exists() {
            anyhow::bail!("{golden}: this is no folder; name the folder that golden rows are in");
        }
        anyhow::bail!("{golden}: there is no such folder of golden rows; --update makes it");
    }
    check.tell_apart(&files)?;
    if let Some(junit) = &args.junit {
        for file in &files {
            spare(junit, &check.options.files_of(&file.path))?;
        }
        spare_golden(junit, &args.golden)?;
    }
    let named: Vec<Golden> = files
        .iter()
        .map(|file| Golden::of(&args.golden, &file.path))
        .collect::<Result<_, _>>()
        .map_err(|error| Usage(error.to_string()))?;
    let mut suites: Vec<Suite> = Vec::new();
    let mut others = Vec::new();
    for (file, golden) in files.iter().zip(&named) {
        match check.snapshot(file, golden)? {
            Some(suite) => suites.push(suite),
            None => others.push(file.path.clone()),
        }
    }
    if suites.is_empty() {
        let looked = files.len();
        return Err(RunError::Nothing { looked }.into());
    }
    if !output.quiet && output.verbose {
        tell_others(&others, true);
    }
    if let Some(file) = &args.junit {
        osier_file::write(file, junit(&suites)).map_err(in_file(file))?;
    }
    check.conclude(&suites, output.strict)
}

/// An error when the report would be written over golden rows.
fn spare_golden(junit: &Path, golden: &Path) -> anyhow::Result<()> {
    let folder = match junit.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let (Ok(folder), Ok(golden)) = (folder.canonicalize(), golden.canonicalize()) else {
        return Ok(());
    };
    let rows = junit
        .extension()
        .is_some_and(|extension| extension == "jsonl");
    if rows && folder.starts_with(&golden) {
        let junit = osier_text::path(junit);
        anyhow::bail!("{junit}: golden rows have such names; name another file for the report");
    }
    Ok(())
}

struct Check<'a> {
    args: &'a CheckArgs,
    options: Options,
    asked: Option<Vec<Question>>,
    ignore: Ignore,
    report: Report,
    incomplete: bool,
}

impl Check<'_> {
    /// Asks one snapshot everything.
    fn snapshot(&mut self, file: &Input, golden: &Golden) -> anyhow::Result<Option<Suite>> {
        let path = &file.path;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut suite = Suite {
            snapshot: osier_text::path(path).to_string(),
            begun: i64::try_from(now.as_nanos())?,
            cases: Vec::new(),
        };
        let begun = Instant::now();
        let guest = match file.open(&self.options) {
            Ok(Some(guest)) => guest,
            Ok(None) => return Ok(None),
            Err(error) => {
                let case = Case {
                    name: "open",
                    seconds: begun.elapsed().as_secs_f64(),
                    verdict: Verdict::Failed(error),
                    advice: String::new(),
                };
                self.report.case(path, golden.folder(), &case)?;
                suite.cases.push(case);
                return Ok(Some(suite));
            }
        };
        for doubt in guest.info().doubts() {
            self.incomplete = true;
            let (path, may) = (osier_text::path(path), MAY_SUFFER);
            self.report.say(&format!("{path}: {may}: {doubt}"));
        }
        for question in self.asked.clone().unwrap_or_else(|| golden.questions()) {
            let begun = Instant::now();
            let verdict = self.question(&guest, golden, question);
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
        Ok(Some(suite))
    }

    /// Refuses snapshots whose golden rows would lie in one folder.
    fn tell_apart(&self, files: &[Input]) -> anyhow::Result<()> {
        let mut names: HashMap<_, Vec<&Input>> = HashMap::new();
        for file in files {
            names.entry(file.path.file_stem()).or_default().push(file);
        }
        let is_snapshot = |file: &&Input| !matches!(file.open(&self.options), Ok(None));
        for same in names.into_values().filter(|same| same.len() > 1) {
            let mut same = same.into_iter().filter(is_snapshot);
            if let (Some(one), Some(other)) = (same.next(), same.next()) {
                let (one, other) = (osier_text::path(&one.path), osier_text::path(&other.path));
                let wrong =
                    format!("{one} and {other} would share golden files; check one at a time");
                return Err(Usage(wrong).into());
            }
        }
        Ok(())
    }

    fn question(
        &mut self,
        guest: &Guest,
        golden: &Golden,
        question: Question,
    ) -> Result<Verdict, GoldenError> {
        let answer = answer(&*guest.provider(), question)?;
        self.incomplete |= !answer.is_complete();
        if self.args.update {
            if golden.update(question, &answer)? {
                let file = golden.file(question);
                let file = osier_text::path(&file);
                self.report.say(&format!("{file} written"));
            }
            return Ok(Verdict::Same);
        }
        golden.check(question, &answer, &mut self.ignore)
    }

    /// What to do about a difference that is meant to be.
    fn update_command(&self, path: &Path, question: Question) -> String {
        format!(
            "to keep the new rows: osier check --update --ask {} --golden {} {}",
            question.word(),
            shell_word(&self.args.golden),
            shell_word(path)
        )
    }

    fn conclude(self, suites: &[Suite], strict: bool) -> anyhow::Result<Outcome> {
        for rule in self.ignore.unmet().filter(|_| !self.args.update) {
            self.report
                .say(&format!("--ignore {rule}: no row has such a field"));
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
        ));
        self.report.close()?;
        Ok(outcome)
    }
}

/// A path as a word that a shell reads back, with nothing in it that cannot be seen.
fn shell_word(path: &Path) -> String {
    // Quotes do not keep what begins so from being taken for an option.
    let beside = path.as_os_str().as_encoded_bytes().starts_with(b"-");
    let path = &if beside {
        Path::new(".").join(path)
    } else {
        path.to_owned()
    };
    if let Some(text) = path.to_str().filter(|text| !text.contains(is_hidden)) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut word = String::from("$'");
    for &byte in path.as_os_str().as_encoded_bytes() {
        let plain = byte.is_ascii_graphic() || byte == b' ';
        if plain && !matches!(byte, b'\'' | b'\\') {
            word.push(char::from(byte));
        } else {
            // Three digits, so that what follows is no part of it.
            let _ = write!(word, "\\{byte:03o}");
        }
    }
    word.push('\'');
    word
}

const PARTIAL: &str = "; something could not be read (--partial-ok accepts that)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_words_of_a_shell() {
        let word = |path: &str| shell_word(Path::new(path));
        assert_eq!(word("a.elf"), "'a.elf'");
        assert_eq!(word("it's $1 `x`.elf"), r"'it'\''s $1 `x`.elf'");
        assert_eq!(word("-f.elf"), "'./-f.elf'");
        assert_eq!(word("a\nb\u{202e}"), r"$'a\012b\342\200\256'");
    }
}
