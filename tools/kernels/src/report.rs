//! `docs/kernels.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;
use osier_testkit::truth::TABLES;

use crate::ask;
use crate::machines::{MACHINES, Machine};
use crate::outcome::{Count, Outcome};

/// The file that is written.
pub(crate) const FILE: &str = "docs/kernels.md";

const HEAD: &str = "\
# Kernels

Machines that really ran (QEMU, software emulation, `docs/making-snapshots.md`), each with a crowd of processes that are odd in one
way each: a chain of pid namespaces, a tracer and its tracee, 2,000 mappings in one process, names of control bytes and of bytes that
are no text, a thousand descriptors, a container, sockets of eight families, and so on. Each was stopped, saved in every container, and
asked every question out of every container with an empty cache and, where the kernel carries its types, without any profile; the rows
were held against what the guest's kernel said of itself moments before (`/proc`). Written by `cargo xtask kernels`, which also checks
of every machine:

- every container gives the same rows, byte for byte;
- every question ends with exit status 0, those that no truth answers (`handles`, `current`, `scan`, `findings`, `recover`) too;
- `current` has a row for each processor that runs; `findings` has nothing above `note`, and `scan` nobody who is hidden;
- `info` tells of a panic where there was one, with its message, and nowhere else, and of no anomaly that could change an answer;
- `profile export --to isf` gives types and symbols, where the kernel carries them.

In a cell `equal/compared`, or a dash where nobody was there to tell a truth; what is missing between the two is excused by name, see below, or wrong, and then the last column says so.

";

/// Writes the file of all outcomes that are there.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write(root: &Path) -> Result<()> {
    let outcomes: Vec<(&Machine, Option<Outcome>)> = MACHINES
        .iter()
        .map(|machine| (machine, Outcome::read(&root.join(machine.name))))
        .collect();
    fs::write(FILE, text(&outcomes))?;
    Ok(())
}

fn text(outcomes: &[(&Machine, Option<Outcome>)]) -> String {
    let questions: Vec<String> = TABLES.iter().map(|(words, _)| words.join(" ")).collect();
    let mut out = HEAD.to_owned();
    let asked = outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref());
    let fine: Vec<&Outcome> = asked.filter(|outcome| outcome.is_fine()).collect();
    let mut releases: Vec<&str> = fine
        .iter()
        .map(|outcome| outcome.release.as_str())
        .collect();
    releases.sort_unstable();
    releases.dedup();
    let _ = writeln!(
        out,
        "{} machines of {} kernels are as they should be, of {} in the table.\n",
        fine.len(),
        releases.len(),
        outcomes.len()
    );
    let _ = writeln!(
        out,
        "| machine | kernel | configuration | {} | rest | containers | faults |",
        questions.join(" | ")
    );
    let _ = writeln!(
        out,
        "|---|---|---|{}--:|---|---|",
        "--:|".repeat(questions.len())
    );
    for (machine, outcome) in outcomes {
        let _ = write!(out, "| {} |", machine.name);
        let Some(outcome) = outcome else {
            let blanks = " |".repeat(questions.len().saturating_add(2));
            let _ = writeln!(
                out,
                " {} | {} |{blanks} not run |",
                machine.kernel, machine.what
            );
            continue;
        };
        let _ = write!(out, " {} | {} |", outcome.release, machine.what);
        for question in &questions {
            let cell = outcome.questions.get(question).map_or("–".to_owned(), cell);
            let _ = write!(out, " {cell} |");
        }
        let faults = match outcome.faults.len() {
            0 => "none".to_owned(),
            count => format!("{count}, below"),
        };
        let containers = outcome.containers.join(", ");
        let _ = writeln!(out, " {} | {containers} | {faults} |", outcome.asked.len());
    }
    out.push_str("\n`rest` is how many questions without a truth were asked.\n");
    excuses(outcomes, &mut out);
    faults(outcomes, &mut out);
    out
}

fn compared(count: &Count) -> u64 {
    let excused: u64 = count.excused.values().sum();
    count
        .equal
        .saturating_add(count.wrong)
        .saturating_add(excused)
}

fn cell(count: &Count) -> String {
    format!("{}/{}", count.equal, compared(count))
}

/// Every excuse, and how many rows of which questions it excused.
fn excuses(outcomes: &[(&Machine, Option<Outcome>)], out: &mut String) {
    let mut reasons: BTreeMap<&str, BTreeMap<&str, (u64, u64)>> = BTreeMap::new();
    for outcome in outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref()) {
        for (question, count) in &outcome.questions {
            for (reason, rows) in &count.excused {
                let all = reasons
                    .entry(reason)
                    .or_default()
                    .entry(question)
                    .or_default();
                *all = (all.0.saturating_add(*rows), all.1.saturating_add(1));
            }
        }
    }
    out.push_str("\n## Excuses\n\n| reason | rows, in all machines |\n|---|---|\n");
    for (reason, counts) in reasons {
        let counts: Vec<String> = counts
            .into_iter()
            .map(|(question, (rows, machines))| {
                format!("`{question}` {rows} of {machines} machines")
            })
            .collect();
        let _ = writeln!(out, "| {reason} | {} |", counts.join(", "));
    }
}

fn faults(outcomes: &[(&Machine, Option<Outcome>)], out: &mut String) {
    out.push_str("\n## Faults\n\n");
    let mut any = false;
    for (machine, outcome) in outcomes {
        let faults = outcome.as_ref().map_or(&[][..], |outcome| &outcome.faults);
        for fault in ask::shortened(faults) {
            any = true;
            let one = fault.split_whitespace().collect::<Vec<_>>().join(" ");
            let short: String = one.chars().take(300).collect();
            let _ = writeln!(out, "- {}: {}", machine.name, short.replace('|', "\\|"));
        }
    }
    if !any {
        out.push_str("None.\n");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::{FILE, Outcome, text};
    use crate::machines::MACHINES;
    use crate::outcome::Count;

    #[test]
    fn every_machine_has_a_row_of_its_own_in_the_document() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(FILE);
        let document = fs::read_to_string(path).unwrap();
        let mut names = BTreeSet::new();
        for machine in MACHINES {
            assert!(names.insert(machine.name), "{} stands twice", machine.name);
            let start = format!("| {} |", machine.name);
            let rows = document.lines().filter(|line| line.starts_with(&start));
            assert_eq!(rows.count(), 1, "rows of {}", machine.name);
        }
        let table = document.lines().filter(|line| line.starts_with("| "));
        let rows = table
            .skip(1)
            .take_while(|line| !line.starts_with("| reason"));
        assert_eq!(rows.count(), MACHINES.len(), "rows of no machine");
    }

    #[test]
    fn what_was_not_run_and_what_is_wrong_says_so() {
        let machine = MACHINES.first().unwrap();
        assert!(text(&[(machine, None)]).contains("| not run |"));
        let count = Count {
            equal: 3,
            wrong: 1,
            excused: [("because".to_owned(), 2)].into(),
        };
        let outcome = Outcome {
            release: "1.2.3".to_owned(),
            containers: vec!["raw".to_owned()],
            questions: [("ps".to_owned(), count)].into(),
            faults: vec!["ps: a | b".to_owned()],
            ..Outcome::default()
        };
        let said = text(&[(machine, Some(outcome))]);
        for part in [
            "0 machines of 0 kernels",
            " 3/6 |",
            "1, below |",
            "| because | `ps` 2 of 1 machines |",
            "a \\| b",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}
