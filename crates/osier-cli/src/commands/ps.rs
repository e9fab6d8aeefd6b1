//! `osier ps`: processes, as a list or a tree.

use std::ops::ControlFlow;

use osier::Process;
use osier::ask::Question;
use osier::order::{Order, arrange, tree};
use osier::osier_profile::OsKind;
use osier::panda::current_process;
use osier::tables::Cells;

use super::common::{Choice, flow, of_writer, open_list, shape};
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
    let mut processes = Vec::new();
    let mut written = Ok(());
    let mut choice = out.processes().map(Choice::new);
    // What is limited is written when all that was named is known to be there.
    let at_once = choice.is_none() && !args.tree && args.order == OrderArg::List;
    let mut show = |process: Process| {
        if at_once {
            return flow(out.row(&process), &mut written);
        }
        processes.push(process);
        ControlFlow::Continue(())
    };
    let wide = has_more && question == Question::Wide;
    let ends = match &mut choice {
        None if wide => osi.wide(&mut show),
        None => osi.processes(&mut show),
        Some(choice) if wide => osi.wide_of(&mut |named| choice.takes(named), &mut show),
        Some(choice) => osi.processes_of(&mut |named| choice.takes(named), &mut show),
    };
    written.map_err(of_writer)?;
    match choice {
        Some(choice) => drop(choice.made(&ends, &mut out)?),
        None if out.came() == 0 && processes.is_empty() => anyhow::bail!(EMPTY),
        None => {}
    }
    if args.tree {
        let mut wanted = Vec::new();
        let mut built = Vec::new();
        for process in &processes {
            let cells = Cells::of(process);
            if out.wants(&cells).map_err(of_writer)? {
                wanted.push(process);
                built.push(cells);
            }
        }
        for leaf in tree(&wanted) {
            if let Some(cells) = built.get(leaf.index) {
                out.branch(cells, &leaf.branch)?;
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
