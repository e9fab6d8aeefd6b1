//! The rows that a machine must give by its plan, and those that a provider gives, in one shape.

use std::ops::ControlFlow;

use osier::osier_memory::VirtAddr;
use osier::{MappingKind, Osi, ProcessExtra, Seen, SeenExt as _, WalkEnds};
use osier_testkit::windows::{Module, Paged, Part, Plan, Process, Proto, Thread, Vad, VadKind};

/// Everything that the questions give. A field that is absent is `None`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Rows {
    pub(crate) processes: Vec<ProcessRow>,
    pub(crate) handles: Vec<(u64, Option<u64>)>,
    pub(crate) threads: Vec<(u32, u32, u64, char, Option<String>)>,
    pub(crate) current: Vec<(u32, u32, u32, u64, u64)>,
    pub(crate) modules: Vec<(String, u64, u64, String, u64)>,
    pub(crate) mappings: Vec<MappingRow>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ProcessRow {
    pub(crate) pid: u32,
    pub(crate) ppid: u32,
    pub(crate) name: String,
    pub(crate) taskd: u64,
    pub(crate) asid: Option<u64>,
    pub(crate) create_time: Option<u64>,
    pub(crate) exit_time: Option<u64>,
    pub(crate) session: Option<u32>,
    pub(crate) wow64: bool,
    pub(crate) peb: Option<u64>,
    pub(crate) path: Option<String>,
    pub(crate) cmdline: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MappingRow {
    pub(crate) pid: u32,
    pub(crate) base: u64,
    pub(crate) size: u64,
    pub(crate) kind: MappingKind,
    pub(crate) perms: String,
    pub(crate) name: Option<String>,
    pub(crate) file: Option<String>,
}

// --- what was found ---

fn text(seen: &Seen<Vec<u8>>) -> Option<String> {
    let bytes = seen.get()?.clone();
    Some(String::from_utf8(bytes).expect("UTF-8"))
}

fn found_process(row: &osier::Process) -> ProcessRow {
    let ProcessExtra::Windows(more) = &row.extra else {
        panic!("not of Windows: {row:?}");
    };
    ProcessRow {
        pid: row.pid.value().expect("a pid"),
        ppid: row.ppid.value().expect("a ppid"),
        name: text(&row.name).expect("a name"),
        taskd: row.taskd.0,
        asid: row.asid.value().map(|asid| asid.0),
        create_time: row.create_time.value(),
        exit_time: more.exit_time.value(),
        session: more.session.value(),
        wow64: more.wow64.value().expect("WoW64 or not"),
        peb: more.peb.value().map(|peb| peb.0),
        path: text(&more.path),
        cmdline: text(&more.cmdline),
    }
}

/// All rows, and what is said of those that could not be read: walks that did not end well, and
/// images of which nothing but their loader's entry is known.
pub(crate) fn found(osi: &dyn Osi) -> (Rows, Vec<String>) {
    let mut rows = Rows::default();
    let mut ends = WalkEnds::default();
    let mut unread = Vec::new();
    let go = ControlFlow::<()>::Continue(());
    ends.join(osi.processes(&mut |row| {
        if let ProcessExtra::Windows(more) = &row.extra
            && let Err(absent) = &more.exit_time
            && absent.is_loss()
        {
            unread.push(format!("the exit of {}: {absent:?}", row.taskd));
        }
        rows.processes.push(found_process(&row));
        go
    }));
    ends.join(osi.processes(&mut |row| {
        let asid = row.asid.value().map(|asid| asid.0);
        rows.handles.push((row.taskd.0, asid));
        go
    }));
    ends.join(osi.current(&mut |row| {
        let (thread, process) = (row.thread.get(), row.process.get());
        let (thread, process) = (thread.expect("a thread"), process.expect("a process"));
        rows.current.push((
            row.cpu,
            process.pid.value().expect("a pid"),
            thread.tid.value().expect("a tid"),
            process.taskd.0,
            thread.task.0,
        ));
        go
    }));
    ends.join(osi.modules(&mut |row| {
        rows.modules.push((
            text(&row.name).expect("a name"),
            row.base.value().expect("a base").0,
            row.size.value().expect("a size"),
            text(&row.file).expect("a file"),
            row.modd.0,
        ));
        go
    }));
    for process in rows.processes.iter().map(|process| process.taskd) {
        ends.join(osi.threads(VirtAddr(process), &mut |row| {
            rows.threads.push((
                row.pid.value().expect("a pid"),
                row.tid.value().expect("a tid"),
                row.task.0,
                row.state.value().expect("a state").0,
                text(&row.name),
            ));
            go
        }));
        ends.join(osi.mappings(VirtAddr(process), &mut |row| {
            let Some(base) = row.base.value() else {
                unread.push(format!("a mapping by {}", row.modd));
                return go;
            };
            let perms = row.perms.value();
            rows.mappings.push(MappingRow {
                pid: row.pid.value().expect("a pid"),
                base: base.0,
                size: row.size.value().expect("a size"),
                kind: row.kind.value().expect("a kind"),
                perms: perms.map_or_else(String::new, |letters| {
                    String::from_utf8(letters.to_vec()).expect("letters")
                }),
                name: text(&row.name),
                file: text(&row.file),
            });
            go
        }));
    }
    let bad = ends.bad().map(|(walk, end)| format!("{walk}: {end:?}"));
    (rows, bad.chain(unread).collect())
}

// --- what was planned ---

/// The rows that the plan of a machine promises.
pub(crate) fn planned(plan: &Plan) -> Rows {
    let mut rows = Rows::default();
    for process in &plan.processes {
        let taskd = process.eprocess.expect("written").0;
        rows.processes.push(planned_process(process));
        rows.handles.push((taskd, process.root.map(|root| root.0)));
        for thread in &process.threads {
            rows.threads.push(planned_thread(plan, process, thread));
        }
        rows.mappings.extend(planned_mappings(process));
    }
    for (cpu, processor) in (0..).zip(&plan.processors) {
        let current = processor.tid.and_then(|tid| plan.thread(tid));
        let idle = (0, 0, plan.idle_process, plan.idle_threads[cpu as usize]);
        let (pid, tid, taskd, task) = current.map_or(idle, |(process, thread)| {
            let (taskd, task) = (process.eprocess, thread.ethread);
            (
                process.pid,
                thread.tid,
                taskd.expect("written"),
                task.expect("written"),
            )
        });
        let (pid, tid) = (pid as u32, tid as u32);
        rows.current.push((cpu, pid, tid, taskd.0, task.0));
    }
    for driver in &plan.drivers {
        let (name, file) = (driver.name.clone(), driver.path.clone());
        let entry = driver.entry.expect("written").0;
        rows.modules
            .push((name, driver.base, driver.size, file, entry));
    }
    rows
}

/// Whether the bytes of a page in this state can be read. Without PAE, where a prototype entry lies
/// is counted from a variable of the kernel.
pub(crate) fn is_there(paged: Paged) -> bool {
    match paged {
        Paged::Transition | Paged::Prototype(Proto::Valid | Proto::Transition) => true,
        Paged::Prototype(Proto::PageFile(_) | Proto::DemandZero | Proto::MappedFile)
        | Paged::DemandZero
        | Paged::PageFile { .. } => false,
    }
}

/// Whether every one of `parts` can be read.
fn has(process: &Process, parts: &[Part]) -> bool {
    let mut away = process.paged.iter().filter(|(_, paged)| !is_there(*paged));
    !away.any(|(part, _)| parts.contains(part))
}

fn planned_process(process: &Process) -> ProcessRow {
    let name = process.name.as_bytes();
    let native = process.has_peb() && has(process, &[Part::Peb, Part::Parameters]);
    let of_wow64 = process.wow64.as_ref();
    let of_wow64 = of_wow64.filter(|_| has(process, &[Part::Peb32]) && !process.unstarted);
    let (path, cmdline) = match of_wow64 {
        Some(wow64) => (Some(&wow64.path), Some(&wow64.cmdline)),
        None => (
            native.then_some(&process.path),
            native.then_some(&process.cmdline),
        ),
    };
    // What the kernel noted itself stands for the path of a process that has no PEB to tell it; a
    // path that was paged out stays lost.
    let lost = process.has_peb() && !native && of_wow64.is_none();
    let device = process.path.split_once(':').filter(|_| !lost);
    let device = device.map(|(_, rest)| rest);
    let device = device.map(|rest| format!("\\Device\\HarddiskVolume1{rest}"));
    ProcessRow {
        pid: process.pid as u32,
        ppid: process.ppid as u32,
        name: String::from_utf8(name[..name.len().min(15)].to_vec()).expect("ASCII"),
        taskd: process.eprocess.expect("written").0,
        asid: process.root.map(|root| root.0),
        create_time: Some(process.create_time).filter(|time| *time != 0),
        exit_time: process.exit_time,
        session: process.session,
        wow64: process.wow64.is_some(),
        peb: process.peb.map(|peb| peb.0),
        path: path.filter(|path| !path.is_empty()).cloned().or(device),
        cmdline: cmdline.cloned(),
    }
}

type ThreadRow = (u32, u32, u64, char, Option<String>);

fn planned_thread(plan: &Plan, process: &Process, thread: &Thread) -> ThreadRow {
    let state = match thread.state {
        2 => 'R',
        4 => 'T',
        5 => 'w',
        other => panic!("what letter has state {other}?"),
    };
    let named = plan.version.0 >= 10 && !thread.name.is_empty();
    (
        process.pid as u32,
        thread.tid as u32,
        thread.ethread.expect("written").0,
        state,
        named.then(|| thread.name.clone()),
    )
}

/// One row a VAD, with the loader's names where it lists an image at its first byte; and one for
/// each image that no VAD begins with.
fn planned_mappings(process: &Process) -> Vec<MappingRow> {
    let mut listed = Vec::new();
    if let Some(wow64) = &process.wow64
        && has(process, &[Part::Peb32])
        && !process.unstarted
    {
        listed.extend(&wow64.modules);
    }
    let lists = process.has_peb() && !process.unstarted;
    if lists && has(process, &[Part::Peb, Part::Loader, Part::Entries]) {
        listed.extend(&process.modules);
    }
    let mut rows: Vec<MappingRow> = Vec::new();
    for vad in &process.vads {
        let mut row = planned_vad(process, vad);
        // Where an image has a descriptor for each of its segments, all of them have its names.
        let is_image = matches!(vad.kind, VadKind::Image(_));
        let part = |m: &Module| is_image && m.base <= vad.start && vad.end < m.base + m.size;
        let mut images = listed.iter();
        let image = images.find(|module| module.base == vad.start || part(module));
        if let Some(module) = image.filter(|m| m.paged_names.is_none_or(is_there)) {
            row.name = Some(module.name.clone());
            row.file = Some(module.path.clone());
        }
        rows.push(row);
    }
    for module in listed {
        if rows.iter().any(|row| row.base == module.base) {
            continue;
        }
        rows.push(MappingRow {
            pid: process.pid as u32,
            base: module.base,
            size: module.size,
            kind: MappingKind::Image,
            perms: String::new(),
            name: Some(module.name.clone()),
            file: Some(module.path.clone()),
        });
    }
    rows.sort_by_key(|row| row.base);
    rows
}

fn planned_vad(process: &Process, vad: &Vad) -> MappingRow {
    let holds = |at: u64| vad.start <= at && at <= vad.end;
    let has_heap = has(process, &[Part::Peb]) && process.heap.is_some_and(|heap| holds(heap.0));
    let stacks = process.threads.iter();
    let mut stacks = stacks.flat_map(|thread| [thread.stack, thread.stack32]);
    let has_stack = stacks.any(|(low, bytes)| bytes > 0 && holds(low + bytes - 1));
    let (kind, file) = match &vad.kind {
        VadKind::Private if has_stack => (MappingKind::Stack, None),
        VadKind::Private if has_heap => (MappingKind::Heap, None),
        VadKind::Private => (MappingKind::Private, None),
        VadKind::Mapped(None) => (MappingKind::Unknown, None),
        VadKind::Mapped(Some(file)) => (MappingKind::File, Some(file.clone())),
        VadKind::Image(file) => (MappingKind::Image, Some(file.clone())),
    };
    let letters = ["---", "r--", "--x", "r-x", "rw-", "rw-", "rwx", "rwx"];
    let protection = vad.protection.0 & 7;
    let shared = matches!(vad.kind, VadKind::Mapped(_)) && !matches!(protection, 5 | 7);
    let name = file
        .as_deref()
        .map(|file: &str| file.rsplit('\\').next().unwrap_or(file));
    MappingRow {
        pid: process.pid as u32,
        base: vad.start,
        size: vad.end + 1 - vad.start,
        kind,
        perms: format!(
            "{}{}",
            letters[usize::from(protection)],
            if shared { 's' } else { 'p' }
        ),
        name: name.map(str::to_owned),
        file,
    }
}
