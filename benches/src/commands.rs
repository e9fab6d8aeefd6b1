//! Osier's commands as whole processes, on snapshots that are named.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::Args;
use crate::measure::{Costs, run_silent};
use crate::table::Table;
use crate::workshop::Workshop;

/// Runs of each line, when they are this cheap.
const RUNS: usize = 15;

/// One table for all snapshots.
pub(crate) fn run(args: &Args, workshop: &Workshop) -> Result<String> {
    let mut table = Table::new(&["command", "CPU ms", "wall ms", "peak MiB"], &["command"]);
    let cache = workshop.folder.join("commands-cache");
    let mut measure = |name: &str, words: &[OsString], cold: bool| -> Result<()> {
        let mut costs = Costs::default();
        for round in 0..=RUNS {
            if cold {
                let _ = fs::remove_dir_all(&cache);
            }
            let mut command = workshop.osier();
            let cost = run_silent(command.args(words).env("XDG_CACHE_HOME", &cache))?;
            let status = cost.status;
            ensure!(
                status.code().is_some_and(|code| code == 0 || code == 3),
                "{words:?}: {status}"
            );
            if round > 0 {
                costs.0.push(cost);
            }
        }
        table.line(&[
            name.to_owned(),
            format!("{:.1}", costs.cpu() * 1000.0),
            format!("{:.1}", costs.wall() * 1000.0),
            format!("{:.0}", costs.peak_mib()),
        ]);
        Ok(())
    };
    measure("`osier --version`", &["--version".into()], false)?;
    for snapshot in &args.snapshots {
        let shown = shown(snapshot);
        let asked = |table: &str| -> Vec<OsString> {
            let words = [table, "--format", "jsonl"].map(OsString::from);
            words.into_iter().chain([snapshot.into()]).collect()
        };
        let mut first = asked("ps");
        first.push("--no-shipped".into());
        measure(
            &format!("`osier ps {shown}`, nothing cached, no profile"),
            &first,
            true,
        )?;
        for table in ["ps", "modules", "maps"] {
            measure(
                &format!("`osier {table} {shown}`, again"),
                &asked(table),
                false,
            )?;
        }
    }
    let _ = fs::remove_dir_all(&cache);
    Ok(format!("Medians of {RUNS} runs.\n\n{}\n", table.text()))
}

fn shown(snapshot: &Path) -> String {
    let name = snapshot.file_name().unwrap_or(snapshot.as_os_str());
    name.display().to_string()
}
