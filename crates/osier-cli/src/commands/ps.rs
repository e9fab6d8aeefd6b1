//! `osier ps`: processes, as a list or a tree.

use std::ops::ControlFlow;

use osier::ask::{Question, ask};
use osier::order::{Order, arrange, tree};
use osier::osier_profile::OsKind;
use osier::panda::current_process;
use osier::tables::Cells;

use super::common::{flow, open};
use crate::args::{Format, OrderArg, OutputArgs, PsArgs};
use crate::outcome::Outcome;

const EMPTY: &str = "the process list is empty, which no running system's is";

pub(super) fn run(args: &PsArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let mut output = output.clone();
    if args.tree {
        // A tree is drawn wherever it goes, unless another format is asked for by name.
        output.format.get_or_insert(Format::Table);
    }
    let (guest, mut out) = open(&args.snapshot, &output)?;
    let osi = &*guest.provider();
    if !args.tree && args.order == OrderArg::List {
        let mut written = Ok(());
        let ends = ask(osi, Question::Processes, &mut |row| {
            flow(out.cells(row), &mut written)
        });
        written?;
        if out.rows() == 0 {
            anyhow::bail!(EMPTY);
        }
        return Ok(out.finish(&ends)?);
    }
    let mut processes = Vec::new();
    let ends = osi.processes(&mut |process| {
        processes.push(process);
        ControlFlow::Continue(())
    });
    if processes.is_empty() {
        anyhow::bail!(EMPTY);
    }
    if args.tree {
        for leaf in tree(&processes) {
            if let Some(process) = processes.get(leaf.index) {
                out.branch(&Cells::of(process), &leaf.branch)?;
            }
        }
    } else {
        let (order, current) = match args.order {
            OrderArg::List => (Order::List, None),
            OrderArg::Pid => (Order::Pid, None),
            OrderArg::Panda => (Order::Panda, current_process(osi).map(|p| p.taskd)),
        };
        let linux = osi.kernel().os == OsKind::Linux;
        if order == Order::Panda && linux && current.is_none() {
            anyhow::bail!("PANDA's order starts from the current process, which is not known here");
        }
        arrange(&mut processes, order, current);
        for process in &processes {
            out.row(process)?;
        }
    }
    Ok(out.finish(&ends)?)
}
