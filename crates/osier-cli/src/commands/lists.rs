//! `osier handles`, `current`, `threads`, `modules`, `maps`, `pages`: a question, its rows.

use osier::SeenExt as _;
use std::ops::ControlFlow;

use osier::ask::{Listed, Question, ask, ask_process, taskds};
use osier::osier_memory::VirtAddr;
use osier::osier_profile::OsKind;
use osier::tables::{self, Cell, Cells, Columns};
use osier::{Guest, Osi};
use osier::{Mapping, MappingKind, WalkEnd, WalkEnds};

use super::common::{Chosen, chosen, flow, of_writer, open_list};
use crate::args::{KindArg, ListArgs, MapsArgs, OutputArgs};
use crate::failure::Usage;
use crate::outcome::Outcome;
use crate::output::Output;

pub(super) fn run(
    args: &ListArgs,
    question: Question,
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    let (guest, mut out) = open_list(args, question, output)?;
    let osi = &*guest.provider();
    let limit = limited(&guest, question, &mut out)?;
    let whole = matches!(limit, Limit::None);
    let mut written = Ok(());
    let mut show = |row: &Cells<'_>| flow(out.cells(row), &mut written);
    let ends = match limit {
        Limit::None => ask(osi, question, &mut show),
        Limit::Each(listed) => {
            let mut ends = listed.ends();
            for taskd in listed.taskds() {
                ends.join(ask_process(osi, question, taskd, &mut show));
            }
            ends
        }
        Limit::Handles(listed) => {
            let mut handles = listed.handles().iter();
            // A row that cannot be written ends the list; what it was is in `written`.
            let _ = handles.try_for_each(|handle| show(&Cells::of(handle)));
            listed.ends()
        }
        Limit::Rows(wanted) => ask(osi, question, &mut |row| {
            if wanted(row) {
                show(row)
            } else {
                ControlFlow::Continue(())
            }
        }),
    };
    written.map_err(of_writer)?;
    if ends.bad().any(|(_, end)| *end == WalkEnd::NotAnswered) {
        let system = match osi.kernel().os {
            OsKind::Linux => "Linux",
            OsKind::Windows => "Windows",
            OsKind::Other => "this system",
        };
        let others = match osi.kernel().os {
            OsKind::Windows => "maps, pages, files, env, scan and findings",
            _ => "maps and pages",
        };
        anyhow::bail!(
            "`{}` is not answered of {system} yet; ps, handles, current, threads, modules, {others} are",
            question.word()
        );
    }
    let none = out.came() == 0;
    if none && whole && matches!(question, Question::Handles | Question::Threads) {
        anyhow::bail!(
            "the {} list is empty, which no running system's is",
            question.word()
        );
    }
    Ok(out.finish(&ends)?)
}

pub(super) fn pages(args: &ListArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    if args.shape.pid.is_empty() && args.shape.name.is_none() {
        let wrong = "pages: whose pages? name processes with --pid or --name";
        return Err(Usage(wrong.to_owned()).into());
    }
    run(args, Question::Pages, output)
}

/// What --pid and --name of processes limit an answer to.
enum Limit {
    /// All rows.
    None,
    /// The rows of these processes, which are asked one by one; and how the walk of all ended.
    Each(Listed),
    /// The handles of these processes.
    Handles(Listed),
    /// Rows that this is true of.
    Rows(Box<dyn Fn(&Cells<'_>) -> bool>),
}

fn limited(guest: &Guest, question: Question, out: &mut Output) -> anyhow::Result<Limit> {
    let Some(wanted) = out.processes() else {
        return Ok(Limit::None);
    };
    if question.is_of_a_process() {
        return Ok(Limit::Each(chosen(guest, wanted, out)?.listed));
    }
    if question == Question::Handles {
        return Ok(Limit::Handles(chosen(guest, wanted, out)?.listed));
    }
    let columns = Columns::of(tables::of(question));
    let has = |name| columns.iter().any(|column| column.name == name);
    if !has("taskd") && !has("pid") {
        let list = question.word();
        let wrong = format!("{list}: these rows are of no process; --pid and --name do not apply");
        return Err(Usage(wrong).into());
    }
    let Chosen { listed, pids } = chosen(guest, wanted, out)?;
    let taskds = listed.taskds();
    Ok(Limit::Rows(Box::new(move |row| {
        row.iter().any(|(column, cell)| match (column.name, cell) {
            ("taskd", Cell::Address(at)) => taskds.contains(&VirtAddr(*at)),
            ("pid", Cell::Number(of)) => pids.iter().any(|&pid| u64::from(pid) == *of),
            _ => false,
        })
    })))
}

pub(super) fn maps(args: &MapsArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let (guest, mut out) = open_list(&args.list, Question::Mappings, output)?;
    let osi = &*guest.provider();
    let wanted = |row: &Mapping| {
        let kind = args.kind.is_none_or(|kind| {
            // A kind that could not be read may be the one that is asked for.
            row.kind.value().is_none_or(|is| is == kind_of(kind))
        });
        kind && args.at.is_none_or(|at| may_hold(row, at))
    };
    let mut written = Ok(());
    let (asked, mut ends) = match out.processes() {
        Some(limit) => {
            let Chosen { listed, .. } = chosen(&guest, limit, &mut out)?;
            (listed.taskds(), listed.ends())
        }
        None => taskds(osi),
    };
    for taskd in asked {
        ends.join(maps_of(osi, taskd, &wanted, &mut out, &mut written));
        if written.is_err() {
            break;
        }
    }
    written.map_err(of_writer)?;
    Ok(out.finish(&ends)?)
}

fn maps_of(
    osi: &dyn Osi,
    taskd: VirtAddr,
    wanted: &dyn Fn(&Mapping) -> bool,
    out: &mut Output,
    written: &mut std::io::Result<()>,
) -> WalkEnds {
    osi.mappings(taskd, &mut |row| {
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
