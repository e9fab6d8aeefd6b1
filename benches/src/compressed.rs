//! Memory on a large dump inside a compressed file: `--cache-mib` bounds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::args::Args;
use crate::guest::{Guest, RECIPES};
use crate::measure::{Costs, run_silent, seconds};
use crate::table::Table;
use crate::workshop::Workshop;

const LARGE: u64 = 5 << 30;
const CACHE_MIB: &str = "64";

/// How a file is packed so that parts of it decode by themselves.
const PACKERS: [(&str, &str, &str); 3] = [
    ("gz", "gzip, its index kept", "gzip -1 -c"),
    (
        "xz",
        "xz, blocks of 16 MiB",
        "xz -0 -T2 --block-size=16MiB -c",
    ),
    (
        "zst",
        "Zstandard, frames of 16 MiB",
        "split -b 16M --filter='zstd -q -1 -c' -",
    ),
];

/// The first guest's memory, followed by zeros up to 5 GiB.
pub(crate) fn run(args: &Args, workshop: &Workshop) -> Result<String> {
    let Some(recipe) = RECIPES.first() else {
        return Ok(String::new());
    };
    let guest = Guest::get(recipe, workshop)?;
    let folder = workshop.folder.join("compressed");
    fs::create_dir_all(&folder)?;
    let raw = folder.join("large.raw");
    if !raw.is_file() {
        let mut copy = Command::new("cp");
        copy.args(["--sparse=always"]).arg(&guest.raw).arg(&raw);
        workshop.step("copy", &mut copy)?;
        fs::File::options().write(true).open(&raw)?.set_len(LARGE)?;
    }
    let mut table = Table::new(
        &["5 GiB", "file MiB", "CPU s", "wall s", "peak MiB"],
        &["5 GiB"],
    );
    line(args, workshop, &mut table, "as it is", &raw)?;
    for (suffix, name, packer) in PACKERS {
        let packed = folder.join(format!("large.raw.{suffix}"));
        if !packed.is_file() {
            let part = folder.join("part");
            let mut pack = Command::new("sh");
            pack.arg("-c")
                .arg(format!("{packer} < \"$1\" > \"$2\" && mv \"$2\" \"$3\""))
                .arg("sh")
                .args([&raw, &part, &packed]);
            workshop.step(suffix, &mut pack)?;
        }
        line(args, workshop, &mut table, name, &packed)?;
    }
    Ok(format!(
        "`osier ps --cache-mib {CACHE_MIB}`, after a first run.\n\n{}\n",
        table.text()
    ))
}

fn line(
    args: &Args,
    workshop: &Workshop,
    table: &mut Table,
    name: &str,
    file: &PathBuf,
) -> Result<()> {
    let mut costs = Costs::default();
    for round in 0..=args.runs {
        let mut command = workshop.osier();
        command.args(["ps", "--cache-mib", CACHE_MIB, "--format", "jsonl"]);
        let cost = run_silent(command.arg(file))?;
        ensure!(cost.status.success(), "{}: {}", file.display(), cost.status);
        if round > 0 {
            costs.0.push(cost);
        }
    }
    table.line(&[
        name.to_owned(),
        mib(file)?,
        seconds(costs.cpu()),
        seconds(costs.wall()),
        format!("{:.0}", costs.peak_mib()),
    ]);
    Ok(())
}

fn mib(file: &Path) -> Result<String> {
    Ok(format!("{}", fs::metadata(file)?.len() >> 20))
}
