//! The task list: thread-group leaders, forwards and backwards, against the pid table, the parents'
//! lists of children, and the number of threads that the kernel counts.
//!
//! A leader that not all of them name is shown and marked, and the answer says that they disagree.
//! `init_task` (pid 0) heads the list, has no number in the table and is nobody's child.

use foldhash::{HashMap, HashSet};
use osier_memory::{Each, PhysAddr, VirtAddr};
use osier_osi::{
    Choice, FoundBy, Handle, Process, ProcessExtra, ProcessName, ProcessSource, Seen, SeenExt as _,
    WalkEnd, WalkEnds, Walked, Why, merge,
};

use crate::symbols;
use crate::{Linux, family, list, memory, pid, process};

/// The walk's name in endings.
const WALK: &str = "tasks";

/// The thread-group leaders.
pub(crate) struct Leaders {
    /// Each with the source that named it.
    pub(crate) rows: Vec<(VirtAddr, FoundBy)>,
    /// How many threads have a number; `None` when the whole table is not known.
    threads: Option<usize>,
    /// How the walks ended.
    pub(crate) ends: WalkEnds,
}

/// Every thread-group leader.
pub(crate) fn leaders(linux: &Linux) -> Leaders {
    let mut leaders = named(linux);
    relatives(linux, &mut leaders);
    if let Some((at, threads)) = linux.guest.symbol(symbols::nr_threads).zip(leaders.threads) {
        let counted = linux.guest.space.read_uint(at, 4);
        let counted = counted.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        // A kernel that runs counts itself. None at all are a page that some writer filled with zeros
        // because it did not have it: no witness, and not a contradiction.
        if let Ok(counted @ 1..) = counted {
            leaders
                .ends
                .differ("nr_threads and pid table", counted, threads);
        }
    }
    leaders
}

/// The leaders that the task list and the pid table name.
fn named(linux: &Linux) -> Leaders {
    const BETWEEN: &str = "task list and pid table";
    let Some(init) = linux.init_task else {
        return Leaders {
            rows: Vec::new(),
            threads: None,
            ends: WalkEnds::one(WALK, WalkEnd::no_start(symbols::init_task, None)),
        };
    };
    let layout = &linux.tasks;
    let Walked { nodes, end } = list::ring(&linux.guest, layout.tasks.place(init));
    let listed = nodes.iter().map(|node| layout.tasks.container(*node));
    let mut ends = WalkEnds::one(WALK, end);

    let Some(numbered) = linux.tabled() else {
        return Leaders {
            rows: merge(Some(init), listed, None, BETWEEN, &mut ends),
            threads: None,
            ends,
        };
    };
    let whole = numbered.ends.is_complete();
    ends.join(numbered.ends.clone());
    let leaders = Some((numbered.leaders.as_slice(), whole));
    let rows = merge(Some(init), listed, leaders, BETWEEN, &mut ends);
    ends.disagree(pid::STRAYS, numbered.strays, 0);
    Leaders {
        rows,
        threads: whole.then_some(numbered.threads.len()),
        ends,
    }
}

/// Adds the leaders that only their parent names, and says when a parent does not name one.
fn relatives(linux: &Linux, leaders: &mut Leaders) {
    let known: Vec<VirtAddr> = leaders.rows.iter().map(|(task, _)| *task).collect();
    if family::is_closed(linux, &known) == Some(true) {
        return;
    }
    let Some(family) = family::family(linux, &known) else {
        return;
    };
    let mut nameless: HashSet<VirtAddr> = known.iter().copied().collect();
    if let Some(init) = linux.init_task {
        nameless.remove(&init);
    }
    let known: HashSet<VirtAddr> = known.into_iter().collect();
    let mut only_children = 0_usize;
    let found_by = FoundBy::source(ProcessSource::Children)
        .missing(ProcessSource::List)
        .missing(ProcessSource::PidTable);
    for child in family.children {
        nameless.remove(&child);
        if !known.contains(&child) {
            only_children = only_children.saturating_add(1);
            leaders.rows.push((child, found_by));
        }
    }
    let only_known = if family.whole { nameless.len() } else { 0 };
    leaders.ends.join(family.ends);
    let between = "processes and parents' children";
    leaders.ends.disagree(between, only_known, only_children);
}

/// The rows of the processes that are wanted, of every one where nobody chooses. Of the others is read what the lists are held against.
pub(crate) fn processes(
    linux: &Linux,
    mut wanted: Option<Choice<'_>>,
    row: Each<'_, Process>,
) -> WalkEnds {
    let leaders = leaders(linux);
    let mut ends = leaders.ends;
    // What each process says of its threads, together; the idle task's own has no number.
    let mut threads = Some(0_usize);
    let mut spaces = Spaces::default();
    for (task, found_by) in leaders.rows {
        let is_wanted = wanted.as_mut().is_none_or(|wanted| {
            wanted(&ProcessName {
                taskd: task,
                pid: process::leader_id(linux, task),
                name: process::name(linux, task),
            })
        });
        let process = is_wanted.then(|| process::row(linux, task, found_by));
        match &process {
            Some(process) => spaces.note(linux, task, &process.asid),
            None => spaces.note(linux, task, &table_root(linux, task)),
        }
        if linux.init_task != Some(task) {
            let own = match process.as_ref().map(|process| &process.extra) {
                Some(ProcessExtra::Linux(extra)) => extra.threads.value(),
                Some(ProcessExtra::Windows(_) | ProcessExtra::Other) => None,
                None => process::threads(linux, task).value(),
            };
            threads = threads
                .zip(own)
                .and_then(|(sum, own)| sum.checked_add(usize::try_from(own).ok()?));
        }
        if process.is_some_and(|process| row(process).is_break()) {
            return ends.stopped(WALK);
        }
    }
    if let Some((said, numbered)) = threads.zip(leaders.threads) {
        ends.differ("threads and pid table", said, numbered);
    }
    spaces.compare(&mut ends);
    ends
}

/// Every process's handle.
pub(crate) fn handles(linux: &Linux, row: Each<'_, Handle>) -> WalkEnds {
    let Leaders { rows, mut ends, .. } = leaders(linux);
    let mut spaces = Spaces::default();
    let mut nameless = 0_usize;
    for (taskd, _) in rows {
        let pid = process::leader_id(linux, taskd);
        let implausible = pid
            .absence()
            .is_some_and(|absent| matches!(absent.why, Why::Implausible { .. }));
        nameless = nameless.saturating_add(implausible.into());
        let asid = table_root(linux, taskd);
        spaces.note(linux, taskd, &asid);
        if row(Handle { taskd, asid }).is_break() {
            return ends.stopped(WALK);
        }
    }
    spaces.compare(&mut ends);
    ends.disagree("processes and their ids", nameless, 0);
    ends
}

fn table_root(linux: &Linux, task: VirtAddr) -> Seen<PhysAddr> {
    memory::table(linux, &memory::mm(linux, task)).asid
}

/// The page tables met, to tell one that two memories claim. Processes may share a memory (`vfork`).
#[derive(Default)]
struct Spaces {
    /// The first process that has each table.
    owners: HashMap<PhysAddr, VirtAddr>,
    /// Processes whose table is another memory's.
    doubles: usize,
}

impl Spaces {
    fn note(&mut self, linux: &Linux, task: VirtAddr, asid: &Seen<PhysAddr>) {
        let Some(asid) = asid.value() else { return };
        let first = *self.owners.entry(asid).or_insert(task);
        let mm = |task| memory::mm(linux, task);
        if first != task && mm(first) != mm(task) {
            self.doubles = self.doubles.saturating_add(1);
        }
    }

    fn compare(&self, ends: &mut WalkEnds) {
        ends.disagree("memories and page tables", self.doubles, 0);
    }
}
