//! `osier dump`: a process as an ELF core or a minidump, its program, a kernel module, a stretch of memory.

use std::path::Path;

use anyhow::bail;
use osier::dump::{Dumped, Lost, executable, module, process, range};
use osier::osier_memory::VirtAddr;
use osier::{Guest, WalkEnds};

use super::common::{open, options_beside, processes};
use crate::args::{DumpArgs, Format, OutputArgs};
use crate::failure::Usage;
use crate::outcome::Outcome;
use crate::output::{Output, say};

/// Lost stretches that are named without `-v`.
const NAMED: usize = 20;
/// Bytes of a page.
const PAGE: u64 = 4096;

pub(super) fn run(args: &DumpArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let usage = |why: &str| Err(Usage(why.to_owned()).into());
    if args.pid.is_none() && args.module.is_none() && args.range.is_none() {
        return usage("nothing says what to dump: --pid N, --module NAME or --range A-B");
    }
    if output.format.is_some() {
        return usage("dump writes a file and no rows, which have no --format");
    }
    // What is said goes to standard error, whatever standard output is.
    let said = OutputArgs {
        format: Some(Format::Table),
        ..output.clone()
    };
    let snapshot = &args.snapshot;
    options_beside(snapshot, &args.out)?;
    let (guest, mut out) = open(snapshot, &said)?;
    let mut ends = WalkEnds::default();
    let taskd = match args.pid {
        Some(pid) => {
            let (taskd, walked) = one(&guest, pid)?;
            ends.join(walked);
            Some(taskd)
        }
        None => None,
    };
    let path = &args.out;
    let done = match (taskd, &args.module, args.range) {
        (_, Some(name), _) => module(&guest, name.as_bytes(), path)?,
        (taskd, _, Some((first, end))) => range(&guest, taskd, first..end, path)?,
        (Some(taskd), _, _) if args.exe => executable(&guest, taskd, path)?,
        (Some(taskd), _, _) => process(&guest, taskd, path)?,
        _ => bail!("nothing says what to dump"),
    };
    ends.join(done.ends.clone());
    if !output.quiet {
        tell(path, &done, output.verbose);
    }
    lose(&done, &mut out);
    Ok(out.conclude(&ends)?)
}

/// The process with this pid.
fn one(guest: &Guest, pid: u32) -> anyhow::Result<(VirtAddr, WalkEnds)> {
    let (taskds, ends) = processes(guest, pid)?;
    let [taskd] = taskds.as_slice() else {
        bail!(
            "{} processes have pid {pid}: it is not known which one is meant",
            taskds.len()
        );
    };
    Ok((*taskd, ends))
}

/// Counts the pages that are missing.
pub(super) fn lose(done: &Dumped, out: &mut Output) {
    out.count("page");
    let pages = done.lost_bytes.div_ceil(PAGE);
    out.lose(usize::try_from(pages).unwrap_or(usize::MAX));
}

/// Says what was written to `path` and what is missing in it.
pub(super) fn tell(path: &Path, done: &Dumped, verbose: bool) {
    let file = osier_text::path(path);
    let threads = match done.threads {
        0 => String::new(),
        1 => ", 1 thread".to_owned(),
        threads => format!(", {threads} threads"),
    };
    say(&format!(
        "{file}: {} bytes of memory{threads} in {} bytes",
        done.memory, done.bytes
    ));
    let most = if verbose { usize::MAX } else { NAMED };
    for lost in done.lost.iter().take(most) {
        say(&line(lost));
    }
    let told: u64 = done.lost.iter().take(most).map(|lost| lost.bytes).sum();
    let more = done.lost_bytes.saturating_sub(told);
    if more > 0 {
        let hint = if verbose { "" } else { "; -v names them" };
        say(&format!("and {more} bytes more{hint}"));
    }
}

/// A stretch that is missing, and why.
fn line(lost: &Lost) -> String {
    let end = lost.start.saturating_add(lost.bytes);
    let mut of = String::new();
    osier::format::escape_bytes(&lost.of, &mut of);
    let blank = if of.is_empty() { "" } else { " " };
    let pages = lost.bytes.div_ceil(PAGE);
    let pages = crate::output::plural(usize::try_from(pages).unwrap_or(usize::MAX), "page");
    format!(
        "missing: {:#x}-{end:#x}{blank}{of}: {pages}: {}",
        lost.start, lost.why
    )
}
