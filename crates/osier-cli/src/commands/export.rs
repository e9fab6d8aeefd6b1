//! `osier export`: the same memory in another container.

use osier::export::{Container, export};

use super::common::options_beside;
use crate::args::{ContainerArg, ExportArgs, OutputArgs};
use crate::outcome::Outcome;
use crate::output::say;

pub(super) fn run(args: &ExportArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let to = match args.to {
        ContainerArg::Raw => Container::Raw,
        ContainerArg::Elf => Container::Elf,
        ContainerArg::Lime => Container::Lime,
    };
    let snapshot = &args.snapshot;
    let options = options_beside(snapshot, &args.out)?;
    let done = export(&snapshot.snapshot, &options, to, &args.out)?;
    let file = osier_text::path(&args.out);
    if !output.quiet {
        let (memory, bytes) = (done.memory, done.bytes);
        say(&format!(
            "{file}: {memory} bytes of memory in {bytes} bytes"
        ));
    }
    for doubt in done.doubts.iter().filter(|_| !output.quiet) {
        say(&format!(
            "{file}: the memory may be wrong or short: {doubt}"
        ));
    }
    let partial = if output.strict {
        Outcome::PartialIsFailure
    } else {
        Outcome::Partial
    };
    let left_out = done.left_out;
    if left_out > 0 && !output.quiet {
        say(&format!(
            "{file}: {left_out} bytes that the writer of the snapshot left out stand as zeros, for raw memory has no \
             words for them; --to elf and --to lime keep them apart"
        ));
    }
    let Some(fault) = done.fault else {
        return Ok(if done.doubts.is_empty() && left_out == 0 {
            Outcome::Complete
        } else {
            partial
        });
    };
    let how = match to {
        Container::Raw => "stand as zeros, for raw memory has no words for them",
        Container::Elf | Container::Lime => "are left out",
    };
    if !output.quiet {
        let unread = done.unread;
        say(&format!(
            "{file}: {unread} bytes could not be read and {how}; the first: {fault}"
        ));
    }
    Ok(partial)
}
