//! Asks a machine every question out of every container, and judges the answers.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use osier_maker::tool;
use osier_testkit::truth::{TABLES, Truth};
use serde_json::Value;

use crate::machines::Machine;
use crate::make::CONTAINERS;
use crate::outcome::{Count, Outcome};

/// Questions that no truth answers: they must end well, and be the same out of every container.
const REST: &[&[&str]] = &[
    &["handles"],
    &["current"],
    &["scan"],
    &["findings"],
    &["recover"],
];
/// The container whose rows are held against the truth; the others give the same.
const REFERENCE: &str = "memory.elf";
/// No question takes longer, of a machine of this size.
const LIMIT: Duration = Duration::from_secs(600);
/// How much of a difference is told.
const SHOWN: usize = 12;

/// The lines that one question prints.
struct Answer {
    fine: bool,
    rows: Vec<String>,
    said: String,
}

/// One container of a machine, read with a cache of its own that was empty.
struct Asked<'a> {
    osier: &'a Path,
    machine: &'a Machine,
    name: &'static str,
    file: PathBuf,
    folder: PathBuf,
}

impl Asked<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.osier);
        command
            .args(words)
            // A kernel with types of its own is read by them alone.
            .args(self.machine.has_types().then_some("--no-shipped"))
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .env_remove("OSIER_PROFILES")
            .env("RUST_BACKTRACE", "0");
        command
    }

    fn ask(&self, words: &[&str]) -> Result<Answer> {
        let (out, err) = (self.folder.join("out"), self.folder.join("err"));
        let mut command = self.command(words);
        command.args(["--format", "jsonl"]).arg(&self.file);
        let mut running = command
            .stdout(fs::File::create(&out)?)
            .stderr(fs::File::create(&err)?)
            .spawn()
            .with_context(|| format!("cannot start {}", self.osier.display()))?;
        let (status, _) = tool::wait(&mut running, LIMIT)?;
        let rows = fs::read_to_string(&out)?;
        Ok(Answer {
            fine: status.success(),
            rows: rows.lines().map(str::to_owned).collect(),
            said: format!("{status}: {}", tool::read_text(&err)?.trim_end()),
        })
    }
}

/// Asks everything.
///
/// # Errors
///
/// When `osier` cannot be started, or the machine's files cannot be read.
pub(crate) fn everything(machine: &Machine, folder: &Path, osier: &Path) -> Result<Outcome> {
    let osier = fs::canonicalize(osier)
        .with_context(|| format!("there is no {}: build it first", osier.display()))?;
    let mut outcome = Outcome::default();
    let truth = folder.join("truth");
    let truth = truth.is_dir().then(|| Truth::read(&truth));
    if truth.is_none() && !machine.has("--before-init") {
        outcome.faults.push("the guest left no truth".to_owned());
    }
    // The reference comes first.
    let mut containers: Vec<(&str, &str)> = CONTAINERS.to_vec();
    containers.sort_by_key(|(_, file)| *file != REFERENCE);
    let mut reference: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, file) in containers {
        let path = folder.join(file);
        if !path.is_file() {
            continue;
        }
        let work = folder.join(format!("work-{file}"));
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work)?;
        let asked = Asked {
            osier: &osier,
            machine,
            name,
            file: path,
            folder: work,
        };
        outcome.containers.push(name.to_owned());
        info(&asked, &mut outcome)?;
        for (words, compare) in TABLES {
            let question = words.join(" ");
            let rows = answer(&asked, words, &mut reference, &mut outcome)?;
            let (Some(truth), Some(rows), REFERENCE) = (&truth, rows, file) else {
                continue;
            };
            let rows: Vec<Value> = rows.iter().filter_map(|row| parse(row)).collect();
            let rows: Vec<Value> = rows
                .into_iter()
                .filter(|row| row.get("end").is_none())
                .collect();
            match catch_unwind(AssertUnwindSafe(|| compare(truth, &rows))) {
                Ok(tally) => {
                    let wrong = tally.wrong.iter().map(|text| format!("{question}: {text}"));
                    outcome.faults.extend(wrong);
                    outcome.questions.insert(question, Count::from(&tally));
                }
                Err(_) => outcome
                    .faults
                    .push(format!("{question}: the comparison panicked")),
            }
        }
        for words in REST {
            let rows = answer(&asked, words, &mut reference, &mut outcome)?;
            if file == REFERENCE {
                let rows = rows.unwrap_or_default();
                let rows: Vec<Value> = rows.iter().filter_map(|row| parse(row)).collect();
                judge(machine, words, &rows, &mut outcome);
                outcome.asked.push(words.join(" "));
            }
        }
        if file == REFERENCE && machine.has_types() {
            export(&asked, &mut outcome)?;
        }
        fs::remove_dir_all(&asked.folder)?;
    }
    Ok(outcome)
}

fn parse(row: &str) -> Option<Value> {
    serde_json::from_str(row).ok()
}

/// The rows of a question of one container, which must end well and be those of the first container.
fn answer(
    asked: &Asked<'_>,
    words: &[&str],
    reference: &mut BTreeMap<String, Vec<String>>,
    outcome: &mut Outcome,
) -> Result<Option<Vec<String>>> {
    let question = words.join(" ");
    let answer = asked.ask(words)?;
    if !answer.fine {
        outcome
            .faults
            .push(format!("{question} of {}: {}", asked.name, answer.said));
    }
    let Some(first) = reference.get(&question) else {
        reference.insert(question, answer.rows.clone());
        return Ok(Some(answer.rows));
    };
    if *first == answer.rows {
        return Ok(None);
    }
    if let Some(reason) = excused(asked, words, first, &answer.rows) {
        let count = outcome.questions.entry(question).or_default();
        count.excused.insert(reason.to_owned(), 1);
    } else {
        let mut lines = first.iter().zip(&answer.rows);
        let differs = lines.find(|(one, other)| one != other);
        let what = match differs {
            Some((one, other)) => format!("{one} / {other}"),
            None => format!("{} / {} rows", first.len(), answer.rows.len()),
        };
        outcome
            .faults
            .push(format!("{question}: ELF and {} differ: {what}", asked.name));
    }
    Ok(None)
}

/// Why these rows of a container may be others than those of the first.
fn excused(
    asked: &Asked<'_>,
    words: &[&str],
    first: &[String],
    rows: &[String],
) -> Option<&'static str> {
    let offline = asked.machine.has("--offline") && asked.name == "raw" && words == ["current"];
    let running = asked.machine.processors(false);
    (offline && first.get(..running) == Some(rows)).then_some(
        "a processor that was taken offline stands still in the kernel: registers tell that it is there, raw memory has none",
    )
}

/// What the machine says of itself: its kernel, and whether it stopped by itself.
fn info(asked: &Asked<'_>, outcome: &mut Outcome) -> Result<()> {
    let answer = asked.ask(&["info"])?;
    let mut fault = |text: String| {
        outcome
            .faults
            .push(format!("info of {}: {text}", asked.name));
    };
    if !answer.fine {
        fault(answer.said);
        return Ok(());
    }
    let row = answer
        .rows
        .first()
        .and_then(|row| parse(row))
        .unwrap_or_default();
    let kernel = row.get("kernel").cloned().unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let message = text(kernel.get("crash").and_then(|crash| crash.get("message")));
    let told = kernel.get("crash").is_some_and(|crash| !crash.is_null());
    if asked.machine.has("--panic") {
        if message != "Kernel panic - not syncing: sysrq triggered crash" {
            fault(format!("after a panic, its message is {message:?}"));
        }
    } else if told {
        fault(format!("a panic that never was: {message:?}"));
    }
    let effects = row.get("anomaly_effects").and_then(Value::as_array);
    let mut effects = effects.into_iter().flatten();
    if effects.any(|effect| effect != "harmless") {
        let anomalies = row.get("anomalies").unwrap_or(&Value::Null);
        fault(format!("anomalies of a whole file: {anomalies}"));
    }
    let release = text(kernel.get("release"));
    if outcome.release.is_empty() {
        outcome.release = release;
    } else if outcome.release != release {
        let text = format!("the release is {release:?}, not {:?}", outcome.release);
        outcome.faults.push(text);
    }
    Ok(())
}

/// What must hold of an untouched machine, beside that the question ends well.
fn judge(machine: &Machine, words: &[&str], rows: &[Value], outcome: &mut Outcome) {
    let text = |row: &Value, field: &str| {
        row.get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let faults = &mut outcome.faults;
    match words {
        ["current"] if rows.len() != machine.processors(true) => {
            let (has, shown) = (machine.processors(true), rows.len());
            faults.push(format!("current: {has} processors run, {shown} rows"));
        }
        ["findings"] => {
            let grave = rows.iter().filter(|row| text(row, "severity") != "note");
            faults.extend(grave.map(|row| format!("findings: above a note: {row}")));
        }
        ["scan"] => {
            let no = Some(&Value::Bool(false));
            let hidden = rows.iter().filter(|row| {
                row.get("linked") == no
                    && row.get("freed") != Some(&Value::Bool(true))
                    && row.get("exited") == no
            });
            faults.extend(hidden.map(|row| format!("scan: told as hidden: {row}")));
        }
        ["handles"] if rows.is_empty() => faults.push("handles: no row".to_owned()),
        _ => {}
    }
}

/// The kernel's own types and symbols as a file of Volatility's.
fn export(asked: &Asked<'_>, outcome: &mut Outcome) -> Result<()> {
    let isf = asked.folder.join("isf");
    let mut command = Command::new(asked.osier);
    command
        .args(["profile", "export", "--to", "isf", "-o"])
        .arg(&isf)
        .arg(&asked.file)
        .env("XDG_CACHE_HOME", asked.folder.join("cache"))
        .env("RUST_BACKTRACE", "0");
    let log = asked.folder.join("isf.log");
    if !tool::run_to(&mut command, &log, LIMIT)? {
        let said = tool::read_text(&log)?;
        outcome
            .faults
            .push(format!("profile export --to isf: {}", said.trim_end()));
        return Ok(());
    }
    let value: Value = serde_json::from_slice(&fs::read(&isf)?).unwrap_or_default();
    for (part, name) in [("symbols", "init_task"), ("user_types", "task_struct")] {
        let has = value.get(part).and_then(|part| part.get(name)).is_some();
        if !has {
            outcome
                .faults
                .push(format!("profile export --to isf: no {name} in {part}"));
        }
    }
    outcome.asked.push("profile export --to isf".to_owned());
    Ok(())
}

/// The first of many faults, and how many more there are.
pub(crate) fn shortened(faults: &[String]) -> Vec<String> {
    let mut some: Vec<String> = faults.iter().take(SHOWN).cloned().collect();
    if faults.len() > SHOWN {
        some.push(format!("and {} more", faults.len().saturating_sub(SHOWN)));
    }
    some
}
