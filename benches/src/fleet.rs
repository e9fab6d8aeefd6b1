//! Many snapshots in one call.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::args::Args;
use crate::guest::{Guest, RECIPES};
use crate::measure::{Costs, run_silent, seconds};
use crate::table::Table;
use crate::workshop::{Workshop, say};

/// Full snapshots of one kernel.
const FULL: usize = 100;
/// Distilled ones, of several kernels.
const DISTILLED: usize = 1000;

/// Full dumps of one kernel, and distilled ones, with one job and more.
pub(crate) fn run(args: &Args, workshop: &Workshop) -> Result<String> {
    let mut table = Table::new(
        &[
            "snapshots",
            "tables",
            "jobs",
            "CPU s",
            "wall s",
            "snapshots a second",
            "peak MiB",
        ],
        &["snapshots", "tables"],
    );
    if let Some(recipe) = RECIPES.first() {
        let guest = Guest::get(recipe, workshop)?;
        let folder = workshop.folder.join("fleet-full");
        links(&folder, &[guest.raw], FULL)?;
        let what = format!("{FULL} full, one kernel, 512 MiB each");
        for jobs in [1, 2] {
            measure(
                args,
                workshop,
                &mut table,
                &folder,
                (&what, "ps", jobs, FULL),
            )?;
        }
    }
    let distilled = workshop.workspace.join("snapshots");
    let mut sources: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&distilled)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "elf") {
            sources.push(path);
        }
    }
    sources.sort();
    let folder = workshop.folder.join("fleet-distilled");
    links(&folder, &sources, DISTILLED)?;
    let what = format!("{DISTILLED} distilled, {} kinds", sources.len());
    for jobs in [1, 2, 4] {
        measure(
            args,
            workshop,
            &mut table,
            &folder,
            (&what, "all", jobs, DISTILLED),
        )?;
    }
    Ok(format!("{}\n", table.text()))
}

/// A folder of hard links to a few files: many names, which nothing is shared between.
fn links(folder: &Path, sources: &[PathBuf], count: usize) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    for (number, source) in (0..count).zip(sources.iter().cycle()) {
        let kind = source.extension().unwrap_or_default().display().to_string();
        let link = folder.join(format!("{number:04}.{kind}"));
        if fs::hard_link(source, &link).is_err() {
            let source = fs::canonicalize(source)?;
            std::os::unix::fs::symlink(source, &link).context("neither hard nor symbolic link")?;
        }
    }
    Ok(())
}

fn measure(
    args: &Args,
    workshop: &Workshop,
    table: &mut Table,
    folder: &Path,
    (what, tables, jobs, count): (&str, &str, usize, usize),
) -> Result<()> {
    let out = workshop.folder.join("fleet-out");
    let mut costs = Costs::default();
    for round in 0..=args.runs {
        say(&format!("{what}, {jobs} jobs, round {round}"));
        let _ = fs::remove_dir_all(&out);
        let mut command = workshop.osier();
        command.arg("run").arg(folder).arg("-o").arg(&out);
        command.args(["--jobs", &jobs.to_string()]);
        if tables != "all" {
            command.args(["--tables", tables]);
        }
        let cost = run_silent(&mut command)?;
        // 3: something could not be read, as in snapshots that were distilled for fewer tables.
        let fine = matches!(cost.status.code(), Some(0 | 3));
        ensure!(fine, "osier run ended with {}", cost.status);
        if round > 0 {
            costs.0.push(cost);
        }
    }
    let _ = fs::remove_dir_all(out);
    table.line(&[
        what.to_owned(),
        tables.to_owned(),
        jobs.to_string(),
        seconds(costs.cpu()),
        seconds(costs.wall()),
        format!("{:.0}", count as f64 / costs.wall()),
        format!("{:.0}", costs.peak_mib()),
    ]);
    Ok(())
}
