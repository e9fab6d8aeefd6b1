//! Questions to a whole snapshot: what `osier ps`, `osier maps` and so on ask, row by row.

use osier_osi::SeenExt as _;
use std::cell::{OnceCell, RefCell};
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Choice, Handle, Osi, Process, WalkEnd, WalkEnds};

use crate::format::{json_end, json_row};
pub use crate::question::Question;
use crate::tables::Cells;

/// Shows every row of the answer and returns how the walks ended.
///
/// `row` may end the answer early.
pub fn ask(
    osi: &dyn Osi,
    question: Question,
    row: &mut dyn FnMut(&Cells<'_>) -> ControlFlow<()>,
) -> WalkEnds {
    Asker::new(osi).ask(question, row)
}

/// Asks one snapshot several questions. The list of processes, which those about every process go
/// through, is walked once.
pub struct Asker<'a> {
    osi: &'a dyn Osi,
    processes: OnceCell<Listed>,
}

/// Processes, for answers that go through them and do not show their rows: all, or those that were wanted.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    handles: Vec<Handle>,
    ends: WalkEnds,
    /// The first process with a value that cannot be right, and how many there are of all.
    implausible: Option<(VirtAddr, usize)>,
}

impl Listed {
    /// Walks the processes. With `row` each is shown, which may end the walk early.
    pub(crate) fn of(
        osi: &dyn Osi,
        row: &mut dyn FnMut(&Process, &Cells<'_>) -> ControlFlow<()>,
    ) -> Self {
        let mut listed = Self::default();
        listed.ends = osi.processes(&mut |process| {
            let cells = Cells::of(&process);
            listed.note(&process, &cells);
            row(&process, &cells)
        });
        listed
    }

    /// Walks the processes once, and builds the rows of those that are `wanted`.
    fn wanted(osi: &dyn Osi, wanted: Choice<'_>) -> Self {
        let listed = RefCell::new(Self::default());
        let ends = osi.processes_of(
            &mut |process| {
                let is = wanted(process);
                if !is {
                    let read = [process.pid.absence(), process.name.absence()];
                    let wrong = read.into_iter().flatten();
                    let wrong = wrong.filter(|absent| absent.is_implausible()).count();
                    listed.borrow_mut().wrong(process.taskd, wrong);
                }
                is
            },
            &mut |process| {
                listed.borrow_mut().note(&process, &Cells::of(&process));
                ControlFlow::Continue(())
            },
        );
        let listed = listed.into_inner();
        Self { ends, ..listed }
    }

    fn note(&mut self, process: &Process, cells: &Cells<'_>) {
        self.wrong(process.taskd, cells.implausible());
        self.handles.push(Handle {
            taskd: process.taskd,
            asid: process.asid.clone(),
        });
    }

    /// Counts values of the process at `taskd` that cannot be right.
    fn wrong(&mut self, taskd: VirtAddr, values: usize) {
        if values > 0 {
            let (first, before) = self.implausible.unwrap_or((taskd, 0));
            self.implausible = Some((first, before.saturating_add(values)));
        }
    }

    /// The handles, in the list's order.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// The same, each by its `taskd` alone.
    pub fn taskds(&self) -> Vec<VirtAddr> {
        self.handles.iter().map(|handle| handle.taskd).collect()
    }

    /// The handles, in the list's order.
    pub(crate) fn into_handles(self) -> Vec<Handle> {
        self.handles
    }

    /// How the walk ended, for an answer that does not show the processes' values: that one of them
    /// cannot be right is an ending, so that every answer over one loss is as incomplete as `ps`. Where only some
    /// processes were wanted, as `ps` of these: of the others their ids and names count, by which they were passed over.
    pub fn ends(&self) -> WalkEnds {
        let mut ends = self.ends.clone();
        if let Some((at, values)) = self.implausible {
            ends.add(PROCESSES, WalkEnd::Implausible { at, values });
        }
        ends
    }
}

/// The name, in endings, of what is walked for answers that do not show processes.
const PROCESSES: &str = "processes";

impl<'a> Asker<'a> {
    /// Nothing has been asked yet.
    pub fn new(osi: &'a dyn Osi) -> Self {
        Self {
            osi,
            processes: OnceCell::new(),
        }
    }

    /// As the function [`ask`].
    pub fn ask(
        &self,
        question: Question,
        row: &mut dyn FnMut(&Cells<'_>) -> ControlFlow<()>,
    ) -> WalkEnds {
        match question {
            Question::Processes => {
                let mut stopped = false;
                let listed = Listed::of(self.osi, &mut |_, cells| {
                    let flow = row(cells);
                    stopped = flow.is_break();
                    flow
                });
                let ends = listed.ends.clone();
                if !stopped {
                    // Another question about the processes need not walk again.
                    let _ = self.processes.set(listed);
                }
                ends
            }
            Question::Handles => {
                let listed = self.listed();
                let mut handles = listed.handles.iter();
                match handles.try_for_each(|handle| row(&Cells::of(handle))) {
                    ControlFlow::Continue(()) => listed.ends(),
                    ControlFlow::Break(()) => stopped(&listed.ends()),
                }
            }
            Question::Current => self.osi.current(&mut |current| row(&Cells::of(&current))),
            Question::Log => self.osi.log(&mut |line| row(&Cells::of(&line))),
            Question::Wide => self.osi.wide(&mut |process| row(&Cells::of(&process))),
            Question::Sockets => self.osi.sockets(&mut |one| row(&Cells::of(&one))),
            Question::Interfaces => self.osi.interfaces(&mut |one| row(&Cells::of(&one))),
            Question::Scan => self.osi.scan(&mut |one| row(&Cells::of(&one))),
            Question::Findings => self.osi.findings(&mut |one| row(&Cells::of(&one))),
            Question::Modules => self.osi.modules(&mut |module| row(&Cells::of(&module))),
            Question::Threads
            | Question::Mappings
            | Question::Pages
            | Question::Files
            | Question::Environment
            | Question::Mounts => self.of_every_process(question, row),
        }
    }

    fn listed(&self) -> &Listed {
        let walk = || Listed::of(self.osi, &mut |_, _| ControlFlow::Continue(()));
        self.processes.get_or_init(walk)
    }

    fn of_every_process(
        &self,
        question: Question,
        row: &mut dyn FnMut(&Cells<'_>) -> ControlFlow<()>,
    ) -> WalkEnds {
        let listed = self.listed();
        let mut ends = listed.ends();
        let mut stopped = false;
        for handle in &listed.handles {
            ends.join(ask_process(self.osi, question, handle.taskd, &mut |one| {
                let flow = row(one);
                stopped = flow.is_break();
                flow
            }));
            if stopped {
                break;
            }
        }
        ends
    }
}

/// An answer as JSON Lines: what golden files hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// Every row, then every ending that is not good, without line ends.
    pub lines: Vec<String>,
    /// How many of the lines are rows.
    pub rows: usize,
    /// Number of values that exist in the guest and were lost on the way.
    pub lost: usize,
}

impl Transcript {
    /// Whether every value was read and every walk closed.
    pub fn is_complete(&self) -> bool {
        self.lost == 0 && self.rows == self.lines.len()
    }
}

/// Asks `question` and writes the answer down.
pub fn transcript(osi: &dyn Osi, question: Question) -> Transcript {
    let mut written = Transcript::default();
    let ends = ask(osi, question, &mut |row| {
        let mut line = String::new();
        json_row(row, &mut line);
        written.lines.push(line);
        written.lost = written.lost.saturating_add(row.losses());
        ControlFlow::Continue(())
    });
    written.rows = written.lines.len();
    for (walk, end) in ends.bad() {
        let mut line = String::new();
        json_end(walk, end, &mut line);
        written.lines.push(line);
    }
    written
}

/// As [`ask`], of the process at `taskd` alone; questions that are not a process's have no rows.
pub fn ask_process(
    osi: &dyn Osi,
    question: Question,
    taskd: VirtAddr,
    row: &mut dyn FnMut(&Cells<'_>) -> ControlFlow<()>,
) -> WalkEnds {
    match question {
        Question::Threads => osi.threads(taskd, &mut |thread| row(&Cells::of(&thread))),
        Question::Mappings => osi.mappings(taskd, &mut |mapping| row(&Cells::of(&mapping))),
        Question::Pages => osi.pages(taskd, &mut |range| row(&Cells::of(&range))),
        Question::Files => osi.files(taskd, &mut |file| row(&Cells::of(&file))),
        Question::Environment => osi.environment(taskd, &mut |variable| row(&Cells::of(&variable))),
        Question::Mounts => osi.mounts(taskd, &mut |one| row(&Cells::of(&one))),
        _ => WalkEnds::default(),
    }
}

/// The endings of a walk whose rows the caller did not want all of.
fn stopped(ends: &WalkEnds) -> WalkEnds {
    let mut all = WalkEnds::one(PROCESSES, WalkEnd::Stopped);
    for (walk, end) in ends.bad() {
        all.add(walk, end.clone());
    }
    all
}

/// The `taskd` of every process, in the list's order, and how the walk of them ended; see
/// [`WalkEnd::Implausible`].
pub fn taskds(osi: &dyn Osi) -> (Vec<VirtAddr>, WalkEnds) {
    let listed = Listed::of(osi, &mut |_, _| ControlFlow::Continue(()));
    (listed.taskds(), listed.ends())
}

/// The processes with this pid (several only when the list is damaged), by `taskd`.
pub fn by_pid(osi: &dyn Osi, pid: u32) -> (Vec<VirtAddr>, WalkEnds) {
    let listed = find(osi, &mut |process| process.pid.value() == Some(pid));
    (listed.taskds(), listed.ends())
}

/// The processes that are `wanted`, in the list's order. The list is walked once, and only their rows are built.
pub fn find(osi: &dyn Osi, wanted: Choice<'_>) -> Listed {
    Listed::wanted(osi, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::built;

    #[test]
    fn cells_are_built_once_and_of_the_processes_that_are_wanted() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
        let guest = crate::open(file).unwrap();
        let osi = guest.provider();
        let mut rows = Vec::new();
        let ends = osi.processes(&mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        assert!(rows.len() > 2 && ends.is_complete());
        let shown = built::by(|| {
            let _ = ask(&*osi, Question::Processes, &mut |_| {
                ControlFlow::Continue(())
            });
        });
        assert_eq!(shown, rows.len());
        let last = rows.last().unwrap();
        let pid = last.pid.value().unwrap();
        let mut looked_at = 0;
        let of_one = built::by(|| {
            let listed = find(&*osi, &mut |process| {
                looked_at += 1;
                process.pid == last.pid
            });
            assert_eq!(listed.taskds(), [last.taskd]);
            assert_eq!(listed.ends(), ends);
        });
        assert_eq!((of_one, looked_at), (1, rows.len()));
        assert_eq!(built::by(|| drop(by_pid(&*osi, pid))), 1);
    }

    #[test]
    fn an_id_that_cannot_be_right_is_told_by_who_passed_over_it() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
        let guest = crate::open(file).unwrap();
        let mut listed = find(&*guest.provider(), &mut |_| false);
        assert!(listed.ends().is_complete() && listed.handles().is_empty());
        listed.wrong(VirtAddr(0x1000), 1);
        listed.wrong(VirtAddr(0x2000), 2);
        let ends = listed.ends();
        let told: Vec<_> = ends.bad().map(|(_, end)| end.clone()).collect();
        let end = WalkEnd::Implausible {
            at: VirtAddr(0x1000),
            values: 3,
        };
        assert_eq!(told, [end]);
    }
}
