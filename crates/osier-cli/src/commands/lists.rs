//! `osier handles`, `current`, `threads`, `modules`, `maps`, `pages`: a question, its rows.

use osier::SeenExt as _;
use std::ops::ControlFlow;

use osier::Guest;
use osier::ask::{Question, ask, ask_process, taskds};
use osier::osier_memory::VirtAddr;
use osier::{Mapping, MappingKind, WalkEnds};

use super::common::{flow, open, processes};
use crate::args::{KindArg, MapsArgs, OutputArgs, SnapshotArgs};
use crate::outcome::Outcome;
use crate::output::Output;

pub(super) fn run(
    args: &SnapshotArgs,
    pid: Option<u32>,
    question: Question,
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    let (guest, mut out) = open(args, output)?;
    let mut written = Ok(());
    let ends = match pid {
        None => ask(&*guest.provider(), question, &mut |row| {
            flow(out.cells(row), &mut written)
        }),
        Some(pid) => {
            let (taskds, mut ends) = processes(&guest, pid)?;
            for taskd in taskds {
                ends.join(ask_process(
                    &*guest.provider(),
                    question,
                    taskd,
                    &mut |row| flow(out.cells(row), &mut written),
                ));
            }
            ends
        }
    };
    written?;
    let none = out.rows() == 0;
    if none && matches!(question, Question::Handles | Question::Threads) {
        anyhow::bail!(
            "the {} list is empty, which no running system's is",
            question.word()
        );
    }
    Ok(out.finish(&ends)?)
}

pub(super) fn maps(args: &MapsArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let (guest, mut out) = open(&args.snapshot, output)?;
    let wanted = |row: &Mapping| {
        let kind = args.kind.is_none_or(|kind| {
            // A kind that could not be read may be the one that is asked for.
            row.kind.value().is_none_or(|is| is == kind_of(kind))
        });
        kind && args.at.is_none_or(|at| may_hold(row, at))
    };
    let mut written = Ok(());
    let (asked, mut ends) = match args.pid {
        Some(pid) => processes(&guest, pid)?,
        None => taskds(&*guest.provider()),
    };
    for taskd in asked {
        ends.join(maps_of(&guest, taskd, &wanted, &mut out, &mut written));
        if written.is_err() {
            break;
        }
    }
    written?;
    Ok(out.finish(&ends)?)
}

fn maps_of(
    guest: &Guest,
    taskd: VirtAddr,
    wanted: &dyn Fn(&Mapping) -> bool,
    out: &mut Output,
    written: &mut std::io::Result<()>,
) -> WalkEnds {
    guest.provider().mappings(taskd, &mut |row| {
        if wanted(&row) {
            flow(out.row(&row), written)
        } else {
            ControlFlow::Continue(())
        }
    })
}

fn kind_of(kind: KindArg) -> MappingKind {
    match kind {
        KindArg::File => MappingKind::File,
        KindArg::Heap => MappingKind::Heap,
        KindArg::Stack => MappingKind::Stack,
        KindArg::Unknown => MappingKind::Unknown,
        KindArg::Image => MappingKind::Image,
        KindArg::Private => MappingKind::Private,
    }
}

/// Whether the mapping holds the address, as far as its bounds are known.
fn may_hold(row: &Mapping, at: u64) -> bool {
    let (Some(base), Some(size)) = (row.base.value(), row.size.value()) else {
        return true;
    };
    at >= base.0 && at.wrapping_sub(base.0) < size
}
