//! What asks one snapshot: every question once, counted, until the limit of time is over.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;

use osier::ask::{Question, ask_process};
use osier::osier_profile::OsKind;
use osier::tables::{self, Cell, Cells, Columns};
use osier::{Guest, Osi, Process, VirtAddr, WalkEnds};

use crate::bounds::Bounds;
use crate::built::Built;
use crate::links::Links;
use crate::list::{LATE, List, Losses, tell_ends};
use crate::tally::Tally;

/// How the walk of the processes ended.
pub(crate) struct Ended {
    question: Question,
    ends: WalkEnds,
    /// Whether the limit of time was over.
    late: bool,
}

/// The lists of a snapshot in the order of the page: the place, what heads it.
pub(crate) const PLACES: [(&str, &str); 11] = [
    ("findings", "Findings"),
    ("complete", "Completeness"),
    ("machine", "Machine"),
    ("tree", "Process tree"),
    ("processes", "Processes"),
    ("modules", "Kernel modules"),
    ("scan", "Found by their own bytes"),
    ("sockets", "Sockets"),
    ("net", "Network interfaces"),
    ("mounts", "Mounts"),
    ("log", "Kernel log"),
];

/// What heads the part of that name.
pub(crate) fn title(place: &str) -> &'static str {
    let known = PLACES.iter().find(|(known, _)| *known == place);
    known.map_or("", |(_, title)| title)
}

/// The beginning of the part of that name.
pub(crate) fn heading(links: &Links, place: &str, into: &mut String) {
    let title = title(place);
    let prefix = &links.prefix;
    let _ = writeln!(
        into,
        "<section id=\"{prefix}-{place}\" aria-labelledby=\"{prefix}-{place}-h\"><h3 id=\"{prefix}-{place}-h\">{title}</h3>"
    );
}

/// What asks one snapshot and writes its lists.
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    pub(crate) guest: &'a Guest,
    pub(crate) osi: Box<dyn Osi>,
    pub(crate) bounds: &'a Bounds,
    pub(crate) tally: Tally,
}

impl<'a> Section<'a> {
    /// Asks a question of the whole snapshot, unless the limit of time is over.
    pub(crate) fn ask(&mut self, question: Question, row: &mut dyn FnMut(&Cells<'_>)) -> WalkEnds {
        self.counted(question, row, |osi, show| {
            osier::ask::ask(osi, question, show)
        })
        .0
    }

    /// Counts the rows that `walk` shows and what is lost in them, and ends it at the limit of time; whether that was
    /// over. A walk that would begin behind it does not begin.
    fn counted(
        &mut self,
        question: Question,
        row: &mut dyn FnMut(&Cells<'_>),
        walk: impl FnOnce(&dyn Osi, &mut dyn FnMut(&Cells<'_>) -> ControlFlow<()>) -> WalkEnds,
    ) -> (WalkEnds, bool) {
        if self.bounds.over().is_some() {
            self.tally.late(question);
            return (WalkEnds::default(), true);
        }
        let (mut rows, mut lost, mut late) = (0_usize, 0_usize, false);
        let bounds = self.bounds;
        let ends = walk(&*self.osi, &mut |cells| {
            row(cells);
            rows = rows.saturating_add(1);
            lost = lost.saturating_add(cells.losses());
            late = bounds.over().is_some();
            if late {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        self.tally.add(question, rows, lost);
        self.tally.end(question, &ends);
        if late {
            self.tally.late(question);
        }
        (ends, late)
    }

    /// The answer to a question of the whole snapshot.
    pub(crate) fn list<'l>(
        &mut self,
        question: Question,
        hidden: &'static [&'static str],
        links: &'l Links,
    ) -> List<'l>
    where
        'a: 'l,
    {
        let mut list = List::new(hidden, self.bounds, links);
        let ends = self.ask(question, &mut |row| list.row(row));
        list.end(ends);
        if self.tally.is_late(question) {
            list.late();
        }
        list
    }

    /// The processes, with all that is known of them, and how the walk ended.
    pub(crate) fn processes(&mut self) -> (Vec<Process>, Ended) {
        let bounds = self.bounds;
        let question = match self.osi.kernel().os {
            OsKind::Other => Question::Processes,
            OsKind::Linux | OsKind::Windows => Question::Wide,
        };
        let mut processes = Vec::new();
        let mut late = false;
        let mut row = |process: Process| {
            processes.push(process);
            late = bounds.over().is_some();
            if late {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let ends = if question == Question::Wide {
            self.osi.wide(&mut row)
        } else {
            self.osi.processes(&mut row)
        };
        let ended = Ended {
            question,
            ends,
            late,
        };
        (processes, ended)
    }

    /// What the page says of the list of processes, whose walk ended so.
    pub(crate) fn told(&mut self, processes: &[Built<'_>], ended: &Ended) -> String {
        let Ended {
            question,
            ends,
            late,
        } = ended;
        let mut lost = 0_usize;
        let mut losses = Losses::default();
        for Built { cells, .. } in processes {
            if cells.losses() > 0 {
                lost = lost.saturating_add(cells.losses());
                losses.note(cells);
            }
        }
        self.tally.add(*question, processes.len(), lost);
        self.tally.end(*question, ends);
        let mut end = String::new();
        losses.tell(lost, &mut end);
        tell_ends(ends, &mut end);
        if *late {
            self.tally.late(*question);
            end.push_str(LATE);
        }
        end
    }

    /// Asks the process at `taskd` a question that is of a process.
    pub(crate) fn of_process(
        &mut self,
        question: Question,
        taskd: VirtAddr,
        row: &mut dyn FnMut(&Cells<'_>),
    ) -> (WalkEnds, bool) {
        self.counted(question, row, |osi, show| {
            ask_process(osi, question, taskd, show)
        })
    }

    /// All sockets, and those of each pid.
    pub(crate) fn sockets<'l>(&mut self, links: &'l Links) -> (List<'l>, HashMap<u32, List<'l>>)
    where
        'a: 'l,
    {
        let (question, bounds) = (Question::Sockets, self.bounds);
        let tables = tables::of(question);
        let mut all = List::new(&[], bounds, links);
        let mut of_processes: HashMap<u32, List<'l>> = HashMap::new();
        let pid = Columns::of(tables);
        let pid = pid.iter().position(|column| column.name == "pid");
        let ends = self.ask(question, &mut |row| {
            all.row(row);
            let cell = pid.and_then(|pid| row.cells.get(pid));
            // What is beyond what one list shows is not held for each process either.
            if let Some(Cell::Number(pid)) = cell
                && let Ok(pid) = u32::try_from(*pid)
                && all.is_drawn()
            {
                let list = of_processes.entry(pid);
                list.or_insert_with(|| List::new(&["pid"], bounds, links))
                    .row(row);
            }
        });
        all.end(ends);
        if self.tally.is_late(question) {
            all.late();
        }
        (all, of_processes)
    }
}
