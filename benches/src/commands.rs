//! Osier's commands as whole processes, on snapshots that are named, beside a program that does nothing.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::args::Args;
use crate::measure::{Costs, run_silent};
use crate::table::Table;
use crate::workshop::Workshop;

/// Runs of each line, when they are this cheap.
const RUNS: usize = 15;

/// A program, as it is called in the table, and what it cost so far.
struct Line {
    name: String,
    words: Vec<OsString>,
    /// What is kept between runs; nothing is, of a command that meets its snapshot for the first time.
    kept: Kept,
    costs: Costs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Cache,
    Nothing,
}

impl Line {
    fn new(name: String, words: Vec<OsString>, kept: Kept) -> Self {
        let costs = Costs::default();
        Self {
            name,
            words,
            kept,
            costs,
        }
    }

    /// Runs it once, with a cache below `folder`.
    fn run(&mut self, workshop: &Workshop, folder: &Path, counts: bool) -> Result<()> {
        let cache = match self.kept {
            Kept::Cache => folder.join("again"),
            Kept::Nothing => {
                let first = folder.join("first");
                let _ = fs::remove_dir_all(&first);
                first
            }
        };
        let mut command = workshop.osier();
        let cost = run_silent(command.args(&self.words).env("XDG_CACHE_HOME", cache))?;
        let (status, words) = (cost.status, &self.words);
        ensure!(
            status.code().is_some_and(|code| code == 0 || code == 3),
            "{words:?}: {status}"
        );
        if counts {
            self.costs.0.push(cost);
        }
        Ok(())
    }
}

/// One table for all snapshots. The programs take turns, round by round, so that other work on the machine burdens
/// all of them.
pub(crate) fn run(args: &Args, workshop: &Workshop) -> Result<String> {
    let folder = workshop.folder.join("commands-cache");
    let mut lines = lines(&args.snapshots);
    let unit = empty_program(workshop);
    let mut units = Costs::default();
    for round in 0..=RUNS {
        let counts = round > 0;
        if let Ok(unit) = &unit {
            let cost = run_silent(&mut Command::new(unit))?;
            units.0.extend(counts.then_some(cost));
        }
        for line in &mut lines {
            line.run(workshop, &folder, counts)?;
        }
    }
    let _ = fs::remove_dir_all(&folder);

    let headings = [
        "command",
        "CPU ms",
        "to an empty program",
        "wall ms",
        "peak MiB",
    ];
    let mut table = Table::new(&headings, &["command"]);
    let mut show = |name: &str, costs: &Costs| {
        let to_unit = costs.cpu() / units.cpu();
        table.line(&[
            name.to_owned(),
            format!("{:.2}", costs.cpu() * 1000.0),
            if to_unit.is_finite() {
                format!("{to_unit:.1}")
            } else {
                "–".to_owned()
            },
            format!("{:.2}", costs.wall() * 1000.0),
            format!("{:.0}", costs.peak_mib()),
        ]);
    };
    if unit.is_ok() {
        show("an empty program in C", &units);
    }
    for line in &lines {
        show(&line.name, &line.costs);
    }
    let missing = match &unit {
        Ok(_) => String::new(),
        Err(why) => format!(" No empty program: {why:#}."),
    };
    Ok(format!(
        "Medians of {RUNS} runs.{missing}\n\n{}\n",
        table.text()
    ))
}

fn lines(snapshots: &[PathBuf]) -> Vec<Line> {
    let version = vec!["--version".into()];
    let mut lines = vec![Line::new(
        "`osier --version`".to_owned(),
        version,
        Kept::Cache,
    )];
    for snapshot in snapshots {
        let shown = snapshot.file_name().unwrap_or(snapshot.as_os_str());
        let shown = shown.display();
        let asked = |table: &str, more: &[&str]| -> Vec<OsString> {
            let words = [table, "--format", "jsonl"]
                .into_iter()
                .chain(more.iter().copied());
            words.map(OsString::from).chain([snapshot.into()]).collect()
        };
        lines.push(Line::new(
            format!("`osier ps {shown}`, nothing cached, no profile"),
            asked("ps", &["--no-shipped"]),
            Kept::Nothing,
        ));
        for table in ["ps", "modules", "maps"] {
            let name = format!("`osier {table} {shown}`, again");
            lines.push(Line::new(name, asked(table, &[]), Kept::Cache));
        }
    }
    lines
}

/// What starting any program costs here: one in C that returns at once, linked as the compiler does it by itself.
fn empty_program(workshop: &Workshop) -> Result<PathBuf> {
    let (source, program) = (
        workshop.folder.join("empty.c"),
        workshop.folder.join("empty"),
    );
    fs::write(&source, "int main(void) { return 0; }\n")?;
    let mut compile = Command::new("cc");
    compile.arg("-O2").arg(&source).arg("-o").arg(&program);
    workshop.step("empty program", &mut compile)?;
    Ok(program)
}
