//! What it costs to get a kernel's types out of its DWARF.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::args::Args;
use crate::guest::{Guest, RECIPES};
use crate::measure::{Costs, run_silent, seconds};
use crate::table::Table;
use crate::workshop::{Workshop, say};

const INDEX: &str = "\
import sys
import drgn

prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
prog.load_debug_info([sys.argv[2]])
assert prog.type('struct task_struct').size
";

/// What is made, and by which program; the program, or why it is not here.
type Line = (&'static str, &'static str, Result<Vec<Command>>);

/// One table, of the first guest's kernel.
pub(crate) fn run(args: &Args, workshop: &Workshop) -> Result<String> {
    let Some(recipe) = RECIPES.first() else {
        return Ok(String::new());
    };
    let guest = Guest::get(recipe, workshop)?;
    let vmlinux = guest.vmlinux(workshop)?;
    let map = guest.system_map(workshop);
    let out = workshop.folder.join("symbols.out");
    let several = |make: &dyn Fn() -> Command| (0..=args.runs).map(|_| make()).collect::<Vec<_>>();
    let import = || {
        let mut command = workshop.osier();
        command.args(["profile", "import"]).arg(&vmlinux);
        command.arg("-o").arg(&out);
        command
    };
    let isf = || {
        let mut command = workshop.osier();
        command.args(["profile", "export"]).arg(&vmlinux);
        command.args(["--to", "isf", "-o"]).arg(&out);
        command
    };
    let drgn = || -> Result<Vec<Command>> {
        let python = workshop.python("drgn==0.3.0")?;
        let script = workshop.folder.join("index.py");
        fs::write(&script, INDEX)?;
        Ok(several(&|| {
            let mut command = Command::new(&python);
            command.arg(&script).arg(&guest.elf).arg(&vmlinux);
            command
        }))
    };
    let isr = || -> Result<Vec<Command>> {
        let (program, map) = (workshop.driver("peer-isr")?, map?);
        Ok(several(&|| {
            let mut command = Command::new(&program);
            command.arg(&vmlinux).arg(&map).arg(&out);
            command
        }))
    };
    let pahole = || -> Result<Vec<Command>> {
        let program = workshop.debian_program("bookworm", "pahole")?;
        Ok(several(&|| {
            let mut words = program.iter();
            let mut command = Command::new(words.next().cloned().unwrap_or_default());
            command
                .args(words)
                .args(["-F", "dwarf", "--sizes"])
                .arg(&vmlinux);
            command
        }))
    };
    let dwarf2json = || -> Result<Vec<Command>> {
        installed("dwarf2json")?;
        Ok(several(&|| {
            let mut command = Command::new("dwarf2json");
            command.args(["linux", "--elf"]).arg(&vmlinux);
            command
        }))
    };
    let lines: [Line; 6] = [
        (
            "**Osier**, `osier profile import`",
            "a profile of what Osier reads",
            Ok(several(&import)),
        ),
        (
            "**Osier**, `osier profile export --to isf`",
            "all types and symbols as ISF",
            Ok(several(&isf)),
        ),
        (
            "drgn 0.3.0, `load_debug_info`",
            "an index, types as they are asked for",
            drgn(),
        ),
        ("isr-dwarf 0.8.1", "a profile of all types", isr()),
        (
            "pahole 1.24, `-F dwarf --sizes`",
            "sizes of all structures",
            pahole(),
        ),
        ("dwarf2json", "all types and symbols as ISF", dwarf2json()),
    ];
    let mut table = Table::new(
        &[
            "program",
            "makes",
            "CPU s",
            "to Osier's",
            "wall s",
            "peak MiB",
        ],
        &["program", "makes"],
    );
    let mut ours = f64::NAN;
    for (name, makes, commands) in lines {
        let mut costs = Costs::default();
        let missing = match commands {
            Err(error) => Some(format!("not here: {error:#}")),
            Ok(commands) => {
                for (round, mut command) in commands.into_iter().enumerate() {
                    say(&format!("{name}, round {round}"));
                    let cost = run_silent(&mut command)?;
                    if round > 0 {
                        costs.0.push(cost);
                    }
                }
                let failed = costs.0.iter().any(|cost| !cost.status.success());
                failed.then(|| "failed".to_owned())
            }
        };
        if let Some(why) = missing {
            let cells = [name, makes, "–", "–", "–", "–"].map(str::to_owned);
            let mut cells = cells.to_vec();
            if let Some(cell) = cells.get_mut(1) {
                *cell = format!("{makes}; {why}");
            }
            table.line(&cells);
            continue;
        }
        if ours.is_nan() {
            ours = costs.cpu();
        }
        table.line(&[
            name.to_owned(),
            makes.to_owned(),
            seconds(costs.cpu()),
            format!("{:.1}", costs.cpu() / ours),
            seconds(costs.wall()),
            format!("{:.0}", costs.peak_mib()),
        ]);
    }
    let mib = fs::metadata(&vmlinux)?.len() >> 20;
    let _ = fs::remove_file(out);
    Ok(format!(
        "`vmlinux` {} with DWARF, {mib} MiB.\n\n{}\n",
        guest.release,
        table.text()
    ))
}

/// Whether a program is on the path.
fn installed(program: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    anyhow::ensure!(
        found,
        "{program} is in no package registry and not on the path"
    );
    Ok(())
}
