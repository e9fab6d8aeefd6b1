//! Makes a machine's snapshot with the maker.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use osier_maker::tool;

use crate::machines::Machine;

/// What every machine is told: the timer of a busy host is too slow for the kernel's check of it, and its
/// serial port raises more interrupts than an RT kernel expects.
const APPEND: &str = "no_timer_check noirqdebug";
/// The most time that is added to the guest's own for downloading, unpacking and saving.
const BESIDES: u32 = 1800;

/// Files that the maker writes, by what they are called in the report.
pub(crate) const CONTAINERS: [(&str, &str); 5] = [
    ("raw", "memory.raw"),
    ("ELF", "memory.elf"),
    ("ELF by virtual addresses", "memory-paging.elf"),
    ("kdump", "memory.kdump"),
    ("stream", "memory.savevm"),
];

/// Whether the maker has finished in this folder, and the memory is still there. The stream is saved last.
pub(crate) fn is_made(folder: &Path) -> bool {
    folder.join("recipe.json").is_file() && folder.join("memory.savevm").is_file()
}

/// Runs the maker, and once more when the guest's kernel panicked by itself: software emulation of
/// several processors lets one see another's change of the kernel's text too late.
///
/// # Errors
///
/// When the maker fails: the last thing that it said.
pub(crate) fn make(machine: &Machine, folder: &Path, maker: &Path, patience: u32) -> Result<()> {
    let first = once(machine, folder, maker, patience);
    match first {
        Err(error) if error.to_string().contains("panicked") => {
            once(machine, folder, maker, patience)
        }
        other => other,
    }
}

fn once(machine: &Machine, folder: &Path, maker: &Path, patience: u32) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut command = Command::new(maker);
    command
        .args(["make", "--kdump", "--no-symbols"])
        .args(["--kernel", machine.kernel, "--suite", machine.suite])
        .args(["--arch", machine.arch, "--mem", &machine.mem.to_string()])
        .args(["--patience", &patience.to_string()])
        .args([
            "--append",
            format!("{APPEND} {}", machine.append).trim_end(),
        ])
        .args(machine.options)
        .arg("--out")
        .arg(folder)
        .env("RUST_BACKTRACE", "0");
    let limit = Duration::from_secs(patience.saturating_add(BESIDES).into());
    let log = folder.join("maker.log");
    if !tool::run_to(&mut command, &log, limit)? {
        let said = tool::read_text(&log)?;
        let error = said.lines().find(|line| line.starts_with("Error: "));
        anyhow::bail!("the maker failed: {}", error.unwrap_or(said.trim_end()));
    }
    Ok(())
}

/// Removes the memory of a machine that was compared; its truth and its recipe stay.
///
/// # Errors
///
/// When a file cannot be removed.
pub(crate) fn forget_memory(folder: &Path) -> Result<()> {
    for (_, file) in CONTAINERS {
        let path = folder.join(file);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}
