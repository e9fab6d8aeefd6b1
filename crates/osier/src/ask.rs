//! Questions to a whole snapshot: what `osier ps`, `osier maps` and so on ask, row by row.

use std::cell::OnceCell;
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Osi, WalkEnds};

use crate::format::{json_end, json_row};
use crate::tables::Row;

/// A question that has rows for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Processes.
    Processes,
    /// Process handles.
    Handles,
    /// What runs on each processor.
    Current,
    /// Threads of every process.
    Threads,
    /// Kernel modules.
    Modules,
    /// Mappings of every process.
    Mappings,
    /// Present pages of every process.
    Pages,
}

impl Question {
    /// Every question.
    pub const ALL: [Self; 7] = [
        Self::Processes,
        Self::Handles,
        Self::Current,
        Self::Threads,
        Self::Modules,
        Self::Mappings,
        Self::Pages,
    ];

    /// The questions that are asked when nobody says which: all but the pages, which are many.
    pub const USUAL: [Self; 6] = [
        Self::Processes,
        Self::Handles,
        Self::Current,
        Self::Threads,
        Self::Modules,
        Self::Mappings,
    ];

    /// The command that asks it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Processes => "ps",
            Self::Handles => "handles",
            Self::Current => "current",
            Self::Threads => "threads",
            Self::Modules => "modules",
            Self::Mappings => "maps",
            Self::Pages => "pages",
        }
    }

    /// The question that the command `word` asks.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|question| question.word() == word)
    }
}

/// Shows every row of the answer and returns how the walks ended.
///
/// `row` may end the answer early.
pub fn ask(
    osi: &dyn Osi,
    question: Question,
    row: &mut dyn FnMut(&dyn Row) -> ControlFlow<()>,
) -> WalkEnds {
    Asker::new(osi).ask(question, row)
}

/// Asks one snapshot several questions. The list of processes, which those about every process go
/// through, is walked once.
pub struct Asker<'a> {
    osi: &'a dyn Osi,
    processes: OnceCell<(Vec<VirtAddr>, WalkEnds)>,
}

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
        row: &mut dyn FnMut(&dyn Row) -> ControlFlow<()>,
    ) -> WalkEnds {
        match question {
            Question::Processes => self.osi.processes(&mut |process| row(&process)),
            Question::Handles => self.osi.process_handles(&mut |handle| row(&handle)),
            Question::Current => self.osi.current(&mut |current| row(&current)),
            Question::Modules => self.osi.modules(&mut |module| row(&module)),
            Question::Threads | Question::Mappings | Question::Pages => {
                self.of_every_process(question, row)
            }
        }
    }

    fn of_every_process(
        &self,
        question: Question,
        row: &mut dyn FnMut(&dyn Row) -> ControlFlow<()>,
    ) -> WalkEnds {
        let (taskds, ends) = self.processes.get_or_init(|| taskds(self.osi));
        let mut ends = ends.clone();
        let mut stopped = false;
        for &taskd in taskds {
            ends.join(ask_process(self.osi, question, taskd, &mut |one| {
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
    row: &mut dyn FnMut(&dyn Row) -> ControlFlow<()>,
) -> WalkEnds {
    match question {
        Question::Threads => osi.threads(taskd, &mut |thread| row(&thread)),
        Question::Mappings => osi.mappings(taskd, &mut |mapping| row(&mapping)),
        Question::Pages => osi.pages(taskd, &mut |range| row(&range)),
        _ => WalkEnds::default(),
    }
}

/// Every process's `taskd`, in the list's order.
fn taskds(osi: &dyn Osi) -> (Vec<VirtAddr>, WalkEnds) {
    let mut found = Vec::new();
    let ends = osi.process_handles(&mut |handle| {
        found.push(handle.taskd);
        ControlFlow::Continue(())
    });
    (found, ends)
}

/// The processes with this pid (several only when the list is damaged), by `taskd`.
pub fn by_pid(osi: &dyn Osi, pid: u32) -> (Vec<VirtAddr>, WalkEnds) {
    let mut found = Vec::new();
    let ends = osi.processes(&mut |process| {
        if process.pid.value() == Some(pid) {
            found.push(process.taskd);
        }
        ControlFlow::Continue(())
    });
    (found, ends)
}
