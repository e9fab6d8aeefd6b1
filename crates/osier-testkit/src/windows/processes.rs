//! `_EPROCESS`: the ring of processes and their ids, sessions, and the idle process that stands outside it.

use std::collections::BTreeMap;

use osier_memory::{PhysAddr, VirtAddr};

use super::arena::Away;
use super::cpu::Idle;
use super::objects::EPROCESS;
use super::rows::{Process, ProcessKind, Told};
use super::spaces::Space;
use super::writer::{Object, Writer, utf16};
use super::{cid, handles, objects, pages, peb, threads, tokens, vad};

/// `_DISPATCHER_HEADER.Type` of a process.
const PROCESS_OBJECT: u64 = 3;
/// What CR3 and `DirectoryTableBase` carry in their low bits under KVA shadow: the PCID of the
/// kernel's view, and that of the user's.
pub(super) const KERNEL_PCID: u64 = 2;
pub(super) const USER_PCID: u64 = 1;

/// What the processes share while they are written.
#[derive(Default)]
pub(super) struct Shared {
    /// `_MM_SESSION_SPACE` by number.
    sessions: BTreeMap<u32, VirtAddr>,
    /// Sections by file, and whether as an image.
    pub(super) sections: vad::Sections,
}

/// Writes the processes and their ring. Returns the space of each.
pub(super) fn write(w: &mut Writer<'_>, processes: &mut [Process]) -> Vec<Space> {
    let mut shared = Shared::default();
    let mut links = vec![w.must("PsActiveProcessHead")];
    let mut spaces = Vec::new();
    for process in processes.iter_mut() {
        let space = match process.kind {
            ProcessKind::System => Space::SYSTEM,
            _ => w.spaces.add(process.root),
        };
        let object = objects::object(w, "Process", EPROCESS, process.eprocess, None);
        process.eprocess = Some(object.at);
        process.root = Some(w.spaces.root(space));
        spaces.push(space);
        let link = w.member(object, "ActiveProcessLinks");
        if process.told == Told::ByTable {
            let word = w.word();
            w.ring(Space::SYSTEM, &[link], word);
        } else {
            links.push(link);
        }
        common(w, object, process);
        session(w, object, process, &mut shared);
        image_name(w, object, process, &mut shared);
        process.peb = process.peb.filter(|_| process.has_peb());
        let mut away = Away::new();
        if process.exit_time.is_none() {
            tokens::write(w, object, process);
        }
        if process.has_peb() {
            away = peb::write(w, object, process, space);
        }
        let named = process.peb.or(process.stale_peb);
        w.set(object, "Peb", named.map_or(0, |peb| peb.0));
        vad::write(w, object, process, &mut shared.sections);
        threads::write(w, object, process, space);
        for (first, end, paged) in away {
            pages::take_away(w, space, first, end, paged);
        }
    }
    let word = w.word();
    w.ring(Space::SYSTEM, &links, word);
    cid::write(w, processes);
    handles::write(w, processes, &mut shared.sections);
    let system = processes.iter().find(|p| p.kind == ProcessKind::System);
    let system = system.and_then(|p| p.eprocess).expect("a System process");
    if let Some(at) = w.symbol("PsInitialSystemProcess") {
        w.pointer(Space::SYSTEM, at, system);
    }
    spaces
}

fn common(w: &mut Writer<'_>, object: Object, process: &Process) {
    w.set_if(object, "Pcb.Header.Type", PROCESS_OBJECT);
    let words = w.size("_KPROCESS") / 4;
    w.set_if(object, "Pcb.Header.Size", words & 0xff);
    let root = process.root.map_or(0, |root| root.0);
    let pcid = if w.shadow { KERNEL_PCID } else { 0 };
    w.set(object, "Pcb.DirectoryTableBase", root | pcid);
    w.set(object, "UniqueProcessId", process.pid);
    w.set(object, "InheritedFromUniqueProcessId", process.ppid);
    w.set_long(object, "CreateTime", process.create_time);
    w.set_long(object, "ExitTime", process.exit_time.unwrap_or(0));
    name(w, object, &process.name);
    if process.exit_time.is_some() {
        w.set_if(object, "Pcb.Header.SignalState", 1);
        w.set_if(object, "ProcessExiting", 1);
        w.set_if(object, "ExitStatus", 0);
    } else {
        w.set_if(object, "ExitStatus", 0x103); // STATUS_PENDING
    }
    match process.kind {
        ProcessKind::Minimal => w.set_if(object, "Minimal", 1),
        ProcessKind::Pico => {
            w.set_if(object, "Minimal", 1);
            w.set_if(object, "PicoCreated", 1);
            let context = w.nonpaged_room(*b"Pico", 0x40);
            w.set_if(object, "PicoContext", context.0);
        }
        ProcessKind::Normal | ProcessKind::System => {}
    }
}

/// `ImageFileName` holds 15 bytes, and where it is an array of 16 a NUL.
fn name(w: &mut Writer<'_>, object: Object, name: &str) {
    let at = w.member(object, "ImageFileName");
    let kept = name.len().min(15);
    w.bytes(object.space, at, &name.as_bytes()[..kept]);
}

fn session(w: &mut Writer<'_>, object: Object, process: &Process, shared: &mut Shared) {
    let Some(number) = process.session else {
        return;
    };
    // Some layouts hold the number itself; all others point to the session's space.
    if w.has(EPROCESS, "SessionId") {
        w.set(object, "SessionId", u64::from(number));
    }
    if !w.has(EPROCESS, "Session") || !w.has_type("_MM_SESSION_SPACE") {
        return;
    }
    let space = *shared.sessions.entry(number).or_insert_with(|| {
        let space = w.pool(*b"MmSs", "_MM_SESSION_SPACE");
        w.set(space, "SessionId", u64::from(number));
        space.at
    });
    w.set(object, "Session", space.0);
}

/// The path in `SeAuditProcessCreationInfo`, and the program's file where the layout points to it.
fn image_name(w: &mut Writer<'_>, object: Object, process: &Process, shared: &mut Shared) {
    if process.path.is_empty() {
        return;
    }
    let file = vad::device_path(&process.path);
    if w.has(EPROCESS, "SeAuditProcessCreationInfo") && w.has_type("_OBJECT_NAME_INFORMATION") {
        let path = format!("\\Device\\HarddiskVolume1{file}");
        let head = w.size("_OBJECT_NAME_INFORMATION");
        let bytes = head + utf16(&path).len() as u64 + 2;
        let at = w.nonpaged_room(*b"SeSd", bytes);
        let string = Object::system("_UNICODE_STRING", at);
        w.unicode(string, &path, at.plus(head));
        let place = w.member(object, "SeAuditProcessCreationInfo");
        w.pointer(object.space, place, at);
    }
    if w.has(EPROCESS, "ImageFilePointer") && process.has_peb() {
        let file = shared.sections.file(w, &file);
        w.set(object, "ImageFilePointer", file.0);
    }
}

/// The idle process and a thread of it for each of `cpus` processors. It has the system's table
/// and is on no list.
pub(super) fn idle(w: &mut Writer<'_>, cpus: usize, root: PhysAddr) -> Idle {
    let place = ["KiInitialProcess", "KiIdleProcess"];
    let place = place.iter().find_map(|symbol| w.symbol(symbol));
    let object = match place {
        Some(at) => Object::system(EPROCESS, at),
        None => w.pool(*b"Pro\xe3", EPROCESS),
    };
    let process = Process {
        pid: 0,
        name: "Idle".to_owned(),
        root: Some(root),
        ..Process::default()
    };
    common(w, object, &process);
    if let Some(at) = w.symbol("PsIdleProcess") {
        w.pointer(Space::SYSTEM, at, object.at);
    }
    let threads = threads::idle(w, object, cpus);
    Idle {
        process: object.at,
        threads,
    }
}
