//! Every question asked of a toy kernel, with every answer kept.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use osier_linux::{AttachError, Linux, Located};
use osier_memory::{PhysicalMemory, VirtAddr};
use osier_osi::{
    Current, Mapping, Module, Osi, PageRange, Process, ProcessExtra, Seen, Thread, WalkEnds, Why,
};
use osier_testkit::ToyKernel;

/// Rows that one answer may have before the test calls it endless.
const ROW_LIMIT: usize = 20_000;

/// The value of a field, or why it is absent.
pub(crate) type Value = Result<String, Why>;
/// A row's fields by name.
pub(crate) type Fields = BTreeMap<&'static str, Value>;

/// All answers: rows by table and key, and how the walks of each question ended.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) rows: BTreeMap<(String, u64), Fields>,
    pub(crate) ends: BTreeMap<String, WalkEnds>,
    pub(crate) twice: Vec<(String, u64)>,
}

pub(crate) fn located(toy: &ToyKernel) -> Located {
    Located {
        mode: toy.mode,
        root: toy.root,
        encryption: 0,
        text: toy.text,
        text_pa: toy.text_pa,
        end: toy.end,
        build_id: None,
        banner: toy.banner.clone(),
        banner_at: toy.banner_at,
        vmcoreinfo: None,
        premises: Vec::new(),
    }
}

pub(crate) fn attach(
    toy: &ToyKernel,
    memory: Arc<dyn PhysicalMemory>,
) -> Result<Linux, AttachError> {
    let mut machine = toy.machine.clone();
    machine.memory = memory;
    Linux::attach(&machine, &located(toy), toy.profile.clone())
}

fn value<T: std::fmt::Debug>(seen: &Seen<T>) -> Value {
    match seen {
        Ok(value) => Ok(format!("{value:x?}")),
        Err(absent) => Err(absent.why),
    }
}

macro_rules! fields {
    ($row:expr; $($name:ident),*) => {
        Fields::from([$((stringify!($name), value(&$row.$name))),*])
    };
}

pub(crate) fn process(row: &Process) -> Fields {
    let mut fields = fields!(row; pid, ppid, name, asid, pgd, create_time, start);
    fields.insert("found_by", Ok(format!("{:?}", row.found_by)));
    if let ProcessExtra::Linux(extra) = &row.extra {
        fields.extend(fields!(extra; uid, gid, state, threads, exe, cmdline, kernel_thread));
    }
    fields
}

fn thread(row: &Thread) -> Fields {
    fields!(row; pid, tid, name, state)
}

fn mapping(row: &Mapping) -> Fields {
    fields!(row; pid, base, size, name, file, offset, flags, kind)
}

impl Answers {
    fn add(&mut self, table: &str, key: u64, fields: Fields) -> ControlFlow<()> {
        if self.rows.insert((table.to_owned(), key), fields).is_some() {
            self.twice.push((table.to_owned(), key));
        }
        assert!(self.rows.len() < ROW_LIMIT, "{table} does not end");
        ControlFlow::Continue(())
    }

    /// Asks everything. `handles` are the processes to ask for, besides those that are found; of
    /// the first `paged` of them the pages are asked for too, which takes most of the time.
    pub(crate) fn ask(linux: &Linux, handles: &[VirtAddr], paged: usize) -> Self {
        let mut all = Self::default();
        let mut leaders = handles.to_vec();
        let ends = linux.processes(&mut |row: Process| {
            leaders.push(row.taskd);
            all.add("process", row.taskd.0, process(&row))
        });
        let unwanted = linux.processes_of(&mut |_| false, &mut |row| panic!("unwanted: {row:?}"));
        assert_eq!(unwanted, ends, "a list ends as it does when it is shown");
        all.ends.insert("process".to_owned(), ends);
        let ends = linux.modules(&mut |row: Module| {
            all.add("module", row.modd.0, fields!(row; name, base, size))
        });
        all.ends.insert("module".to_owned(), ends);
        let ends = linux.current(&mut |row: Current| {
            let mut fields = Fields::from([(
                "process",
                match &row.process {
                    Ok(process) => Ok(format!("{}", process.taskd)),
                    Err(absent) => Err(absent.why),
                },
            )]);
            match &row.thread {
                Ok(row) => {
                    fields.extend(thread(row));
                    fields.insert("task", Ok(row.task.to_string()));
                }
                Err(absent) => {
                    for name in ["task", "pid", "tid", "name", "state"] {
                        fields.insert(name, Err(absent.why));
                    }
                }
            }
            all.add("current", u64::from(row.cpu), fields)
        });
        all.ends.insert("current".to_owned(), ends);
        leaders.sort();
        leaders.dedup();
        for taskd in leaders {
            let table = |what| format!("{what} of {taskd}");
            let name = table("thread");
            let ends = linux.threads(taskd, &mut |row: Thread| {
                all.add(&name, row.task.0, thread(&row))
            });
            all.ends.insert(name, ends);
            let name = table("mapping");
            let ends = linux.mappings(taskd, &mut |row: Mapping| {
                all.add(&name, row.modd.0, mapping(&row))
            });
            all.ends.insert(name, ends);
            let heap = osier_osi::Panda::heap_bounds(linux, taskd);
            let fields = Fields::from([("bounds", value(&heap))]);
            let _ = all.add("heap", taskd.0, fields);
            if !handles.iter().take(paged).any(|handle| *handle == taskd) {
                continue;
            }
            let name = table("page");
            let ends = linux.pages(taskd, &mut |row: PageRange| {
                // A hidden table splits ranges: compare page by page.
                let mut flow = ControlFlow::Continue(());
                for by in (0..row.len).step_by(0x1000).take(64) {
                    let place = format!("{} {:?}", row.phys.plus(by), row.flags);
                    let fields = Fields::from([
                        ("place", Ok(place)),
                        ("backing", value(&row.backing)),
                        ("pid", value(&row.pid)),
                    ]);
                    flow = all.add(&name, row.start.0 + by, fields);
                }
                flow
            });
            all.ends.insert(name, ends);
        }
        all
    }
}
