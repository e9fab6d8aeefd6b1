//! Whether other programs open what `osier export` writes, and say the same of it.

use std::fs;

use anyhow::{Context as _, Result};

use crate::answer::Verdict;
use crate::args::Args;
use crate::guest::{Guest, RECIPES};
use crate::measure::{printed, run_to};
use crate::peers::PEERS;
use crate::table::Table;
use crate::workshop::{Workshop, say};

/// What is exported from which container, and who is asked to open it.
const EXPORTS: [(&str, &str, &[&str]); 5] = [
    ("memory.elf", "elf", &["drgn", "crash 8.0.6", "Volatility"]),
    ("memory.raw", "elf", &["drgn", "crash 8.0.6", "Volatility"]),
    (
        "memory.savevm",
        "elf",
        &["drgn", "crash 8.0.6", "Volatility"],
    ),
    ("memory.elf", "lime", &["Volatility", "mquire"]),
    ("memory.elf", "raw", &["Volatility", "mquire"]),
];

/// One table for all guests.
pub(crate) fn run(args: &Args, workshop: &Workshop) -> Result<String> {
    let mut table = Table::new(
        &["guest", "from", "to", "opened by", "answer"],
        &["guest", "from", "to", "opened by", "answer"],
    );
    let out = workshop.folder.join("exports");
    fs::create_dir_all(&out)?;
    for recipe in RECIPES {
        let wanted = |word: &String| recipe.title.contains(word.as_str());
        if !args.guests.is_empty() && !args.guests.iter().any(wanted) {
            continue;
        }
        let Ok(guest) = Guest::get(recipe, workshop) else {
            continue;
        };
        let folder = guest.raw.parent().context("a folder")?.to_owned();
        for (from, to, names) in EXPORTS {
            // The ending tells mquire the container.
            let path = out.join(format!("{}-{from}.{to}", guest.name));
            let mut export = workshop.osier();
            export.arg("export").arg(folder.join(from));
            export.args(["--to", to, "-o"]).arg(&path);
            workshop.step("export", &mut export)?;
            let exported = Guest {
                raw: path.clone(),
                elf: path.clone(),
                ..guest.clone()
            };
            for name in names {
                let peer = PEERS.iter().find(|peer| peer.name.starts_with(name));
                let peer = peer.with_context(|| format!("no peer {name}"))?;
                say(&format!("{}: {}", path.display(), peer.name));
                let answer = (peer.install)(workshop).and_then(|program| {
                    let mut command = (peer.list)(&program, &exported, workshop)?;
                    let out = workshop.folder.join("logs/exported");
                    let cost = run_to(&mut command, &out)?;
                    let rows = (peer.rows)(&printed(&out)?)?;
                    anyhow::ensure!(!rows.is_empty(), "no rows, {}", cost.status);
                    Ok(Verdict::of(&guest.rows, &rows).words())
                });
                let answer = answer.unwrap_or_else(|error| format!("not opened: {error:#}"));
                let cells = [guest.title, from, to, peer.name, &answer].map(str::to_owned);
                table.line(&cells);
            }
            let _ = fs::remove_file(path);
        }
    }
    Ok(format!("{}\n", table.text()))
}
