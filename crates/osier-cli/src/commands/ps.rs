//! `osier ps`: processes, as a list or a tree.

use std::ops::ControlFlow;

use osier::Process;
use osier::ask::Question;
use osier::order::{Order, arrange, tree};
use osier::osier_profile::OsKind;
use osier::panda::current_process;
use osier::tables::Cells;

use super::common::{chosen, flow, of_writer, open_list, shape};
use crate::args::{Format, OrderArg, OutputArgs, PsArgs};
use crate::outcome::Outcome;

const EMPTY: &str = "the process list is empty, which no running system's is";

pub(super) fn run(args: &PsArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let mut output = output.clone();
    if args.tree {
        // A tree is drawn wherever it goes, unless another format is asked for by name.
        output.format.get_or_insert(Format::Table);
    }
    // Columns that a plain list has not are asked for by their names as well.
    let question = if output.wide || shape(&args.list, Question::Processes).is_err() {
        Question::Wide
    } else {
        Question::Processes
    };
    let (guest, mut out) = open_list(&args.list, question, &output)?;
    let os = guest.provider().kernel().os;
    let linux = os == OsKind::Linux;
    let has_more = os != OsKind::Other;
    if output.wide && !has_more {
        out.remark("--wide shows every column of a plain list; this system has no others");
    }
    let osi = &*guest.provider();
    let shape = shape(&args.list, question)?;
    let limit = match shape.processes() {
        Some(limit) => Some(chosen(&guest, &limit, &mut out)?.taskds),
        None => None,
    };
    let limited = |taskd| limit.as_ref().is_none_or(|all| all.contains(&taskd));
    let mut processes = Vec::new();
    let mut written = Ok(());
    let at_once = !args.tree && args.order == OrderArg::List;
    let mut show = |process: Process| {
        if !limited(process.taskd) {
            return ControlFlow::Continue(());
        }
        if at_once {
            return flow(out.row(&process), &mut written);
        }
        processes.push(process);
        ControlFlow::Continue(())
    };
    let ends = if has_more && question == Question::Wide {
        osi.wide(&mut show)
    } else {
        osi.processes(&mut show)
    };
    written.map_err(of_writer)?;
    if limit.is_none() && out.came() == 0 && processes.is_empty() {
        anyhow::bail!(EMPTY);
    }
    if args.tree {
        let mut wanted = Vec::new();
        for process in processes {
            if out.wants(&Cells::of(&process)).map_err(of_writer)? {
                wanted.push(process);
            }
        }
        for leaf in tree(&wanted) {
            if let Some(process) = wanted.get(leaf.index) {
                out.branch(&Cells::of(process), &leaf.branch)?;
            }
        }
        return Ok(out.finish(&ends)?);
    }
    let (order, current) = match args.order {
        OrderArg::List => (Order::List, None),
        OrderArg::Pid => (Order::Pid, None),
        OrderArg::Panda => (Order::Panda, current_process(osi).map(|p| p.taskd)),
    };
    if order == Order::Panda && linux && current.is_none() {
        anyhow::bail!("PANDA's order starts from the current process, which is not known here");
    }
    arrange(&mut processes, order, current);
    for process in &processes {
        out.row(process).map_err(of_writer)?;
    }
    Ok(out.finish(&ends)?)
}
