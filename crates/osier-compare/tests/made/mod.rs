//! Views made by hand: what a snapshot would say of a guest with these processes.

use osier::osier_memory::{Cause, Fault, PhysAddr, VirtAddr};
use osier::{
    Absent, FoundBy, LinuxProcess, Mapping, MappingKind, Module, Process, ProcessExtra,
    ProcessSource, Seen, TaskState, Thread, WalkEnd, WalkEnds,
};
use osier_compare::{Answer, Belongings, Boot, Event, View, diff};

pub(crate) const READ: u64 = 1;
pub(crate) const WRITE: u64 = 2;

pub(crate) fn view(processes: Vec<(Process, Belongings)>) -> View {
    let (rows, belongings) = processes.into_iter().unzip();
    View {
        doubts: Vec::new(),
        label: "made".to_owned(),
        boot: Boot {
            banner: b"Linux version 6.1".to_vec(),
            build_id: None,
            slide: Some(0),
        },
        clock: Ok(0),
        pointer_bytes: 8,
        processes: answer(rows),
        belongings,
        modules: answer(Vec::new()),
        current: answer(Vec::new()),
    }
}

pub(crate) fn answer<T>(rows: Vec<T>) -> Answer<T> {
    Answer {
        rows,
        ends: WalkEnds::one("walk", WalkEnd::Closed),
    }
}

/// A walk that broke.
pub(crate) fn broken() -> WalkEnds {
    let end = WalkEnd::Cycle {
        at: VirtAddr(0x1000),
        after: 7,
    };
    WalkEnds::one("tasks", end)
}

pub(crate) fn lost<T>() -> Seen<T> {
    Err(Absent::unreadable(
        Fault::new(Cause::NotCaptured).with_va(VirtAddr(0x50)),
    ))
}

pub(crate) fn process(pid: u32) -> Process {
    Process {
        taskd: VirtAddr(u64::from(pid) << 12),
        pid: Ok(pid),
        ppid: Ok(1),
        name: Ok(b"sh".to_vec()),
        asid: Ok(PhysAddr(u64::from(pid) << 16)),
        pgd: Ok(VirtAddr(u64::from(pid) << 20)),
        create_time: Ok(u64::from(pid)),
        start: Ok(i64::from(pid)),
        found_by: FoundBy::source(ProcessSource::List).and(ProcessSource::PidTable),
        extra: ProcessExtra::Linux(LinuxProcess {
            uid: Ok(0),
            gid: Ok(0),
            state: Ok(TaskState('S')),
            threads: Ok(1),
            exe: Ok(b"/bin/sh".to_vec()),
            cmdline: Ok(b"sh\0".to_vec()),
            kernel_thread: Ok(false),
            wide: None,
        }),
    }
}

pub(crate) fn linux(process: &mut Process) -> &mut LinuxProcess {
    match &mut process.extra {
        ProcessExtra::Linux(linux) => linux,
        ProcessExtra::Windows(_) | ProcessExtra::Other => panic!("made processes are of Linux"),
    }
}

/// A process with what it has.
pub(crate) fn with(process: Process, threads: Vec<Thread>, mappings: Vec<Mapping>) -> View {
    let belongings = Belongings {
        threads: answer(threads),
        mappings: answer(mappings),
    };
    view(vec![(process, belongings)])
}

pub(crate) fn alone(processes: Vec<Process>) -> View {
    let each = processes.into_iter();
    view(each.map(|one| (one, Belongings::default())).collect())
}

pub(crate) fn thread(pid: u32, tid: u32) -> Thread {
    Thread {
        pid: Ok(pid),
        tid: Ok(tid),
        name: Ok(b"sh".to_vec()),
        task: VirtAddr(u64::from(tid) << 12),
        state: Ok(TaskState('S')),
    }
}

pub(crate) fn module(name: &str, at: u64) -> Module {
    Module {
        name: Ok(name.as_bytes().to_vec()),
        base: Ok(VirtAddr(at)),
        size: Ok(0x4000),
        file: Err(Absent::not_in_this_kernel()),
        modd: VirtAddr(at | 0x40),
    }
}

/// Anonymous memory.
pub(crate) fn anonymous(base: u64, end: u64, flags: u64) -> Mapping {
    Mapping {
        pid: Ok(1),
        base: Ok(VirtAddr(base)),
        size: Ok(end - base),
        name: Err(Absent::not_applicable("anonymous memory without a name")),
        file: Err(Absent::not_applicable("no file")),
        offset: Err(Absent::not_applicable("no file")),
        flags: Ok(flags),
        perms: Ok(if flags & WRITE == 0 {
            *b"r--p"
        } else {
            *b"rw-p"
        }),
        kind: Ok(MappingKind::Unknown),
        modd: VirtAddr(base | 1 << 40),
    }
}

/// A mapping of a file from its first byte on.
pub(crate) fn file(name: &str, base: u64, end: u64) -> Mapping {
    Mapping {
        name: Ok(name.as_bytes().to_vec()),
        file: Ok(name.as_bytes().to_vec()),
        offset: Ok(0),
        kind: Ok(MappingKind::File),
        ..anonymous(base, end, READ)
    }
}

/// What happened between the two, each event as its JSON.
pub(crate) fn events(before: &View, after: &View) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    diff(before, after, &mut |event: Event<'_>| {
        let mut json = String::new();
        event.json(&mut json);
        found.push(serde_json::from_str(&json).unwrap());
    });
    found
}

/// The words of the events.
pub(crate) fn words(before: &View, after: &View) -> Vec<String> {
    let events = events(before, after);
    let word = |event: &serde_json::Value| event["event"].as_str().unwrap().to_owned();
    events.iter().map(word).collect()
}
