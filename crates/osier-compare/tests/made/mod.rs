//! Views made by hand: what a snapshot would say of a guest with these processes.

use osier::osier_memory::{Cause, Fault, PhysAddr, VirtAddr};
use osier::osier_osi::{
    FoundBy, LinuxProcess, Mapping, MappingKind, Module, Process, ProcessExtra, Seen, TaskState,
    Thread, WalkEnd, WalkEnds,
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
        clock: Seen::Is(0),
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
    Seen::unreadable(Fault::new(Cause::NotCaptured).with_va(VirtAddr(0x50)))
}

pub(crate) fn process(pid: u32) -> Process {
    Process {
        taskd: VirtAddr(u64::from(pid) << 12),
        pid: Seen::Is(pid),
        ppid: Seen::Is(1),
        name: Seen::Is(b"sh".to_vec()),
        asid: Seen::Is(PhysAddr(u64::from(pid) << 16)),
        pgd: Seen::Is(VirtAddr(u64::from(pid) << 20)),
        create_time: Seen::Is(u64::from(pid)),
        start: Seen::Is(i64::from(pid)),
        found_by: FoundBy::Both,
        extra: ProcessExtra::Linux(LinuxProcess {
            uid: Seen::Is(0),
            gid: Seen::Is(0),
            state: Seen::Is(TaskState('S')),
            threads: Seen::Is(1),
            exe: Seen::Is(b"/bin/sh".to_vec()),
            cmdline: Seen::Is(b"sh\0".to_vec()),
            kernel_thread: Seen::Is(false),
        }),
    }
}

pub(crate) fn linux(process: &mut Process) -> &mut LinuxProcess {
    match &mut process.extra {
        ProcessExtra::Linux(linux) => linux,
        ProcessExtra::Windows(_) => panic!("made processes are of Linux"),
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
        pid: Seen::Is(pid),
        tid: Seen::Is(tid),
        name: Seen::Is(b"sh".to_vec()),
        task: VirtAddr(u64::from(tid) << 12),
        state: Seen::Is(TaskState('S')),
    }
}

pub(crate) fn module(name: &str, at: u64) -> Module {
    Module {
        name: Seen::Is(name.as_bytes().to_vec()),
        base: Seen::Is(VirtAddr(at)),
        size: Seen::Is(0x4000),
        file: Seen::not_in_this_kernel(),
        modd: VirtAddr(at | 0x40),
    }
}

/// Anonymous memory.
pub(crate) fn anonymous(base: u64, end: u64, flags: u64) -> Mapping {
    Mapping {
        pid: Seen::Is(1),
        base: Seen::Is(VirtAddr(base)),
        size: Seen::Is(end - base),
        name: Seen::not_applicable("anonymous memory without a name"),
        file: Seen::not_applicable("no file"),
        offset: Seen::not_applicable("no file"),
        flags: Seen::Is(flags),
        perms: Seen::Is(if flags & WRITE == 0 {
            *b"r--p"
        } else {
            *b"rw-p"
        }),
        kind: Seen::Is(MappingKind::Unknown),
        modd: VirtAddr(base | 1 << 40),
    }
}

/// A mapping of a file from its first byte on.
pub(crate) fn file(name: &str, base: u64, end: u64) -> Mapping {
    Mapping {
        name: Seen::Is(name.as_bytes().to_vec()),
        file: Seen::Is(name.as_bytes().to_vec()),
        offset: Seen::Is(0),
        kind: Seen::Is(MappingKind::File),
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
